//! Units of the frames of enhanced PET objects: not stated by Units, but by the codes of their real
//! world value mappings (DICOM PS3.3, C.7.6.16.2.11; codes of CID 84 and 85).

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::file::functional_groups::Groups;
use crate::file::{items, number, text};
use crate::pixels::pet_unit::PetUnit;

/// How stored values of a frame become values in a unit of PET.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PetMapping {
    pub unit: PetUnit,
    /// Slope and intercept, in Bq/ml or g/ml.
    pub scaling: [f64; 2],
}

/// The mapping of a frame: that to SUVbw, else that to activity concentration. `None` if there is
/// none, or if several of one unit differ, as for ranges of stored values.
pub(crate) fn mapping(groups: &Groups<'_>) -> Option<PetMapping> {
    let of = |object| items(object, tags::REAL_WORLD_VALUE_MAPPING_SEQUENCE);
    let own =
        [groups.frame, groups.shared, groups.object].map(of).into_iter().find(|items| !items.is_empty())?;
    let all: Vec<PetMapping> = own.iter().filter_map(of_item).collect();
    [PetUnit::SuvBw, PetUnit::Bqml].into_iter().find_map(|unit| {
        let mut of_unit = all.iter().filter(|mapping| mapping.unit == unit);
        let first = of_unit.next()?;
        of_unit.all(|other| other == first).then_some(*first)
    })
}

fn of_item(item: &InMemDicomObject) -> Option<PetMapping> {
    let slope =
        number(item, tags::REAL_WORLD_VALUE_SLOPE).filter(|slope| slope.is_finite() && *slope != 0.0)?;
    let intercept = number(item, tags::REAL_WORLD_VALUE_INTERCEPT).unwrap_or(0.0);
    let code = text(items(item, tags::MEASUREMENT_UNITS_CODE_SEQUENCE).first()?, tags::CODE_VALUE);
    let (unit, factor) = unit_of(&code)?;
    Some(PetMapping { unit, scaling: [slope * factor, intercept * factor] })
}

/// The unit of a UCUM code, and what one of it is in Bq/ml or g/ml.
fn unit_of(code: &str) -> Option<(PetUnit, f64)> {
    Some(match code.to_lowercase().as_str() {
        // The default kind of SUV is by weight, as with Units GML.
        "{suvbw}g/ml" | "g/ml{suvbw}" | "g/ml" => (PetUnit::SuvBw, 1.0),
        "bq/ml" => (PetUnit::Bqml, 1.0),
        "kbq/ml" => (PetUnit::Bqml, 1e3),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::value::{DataSetSequence, Value};
    use dicom_core::{DataElement, Tag, VR};

    fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> DataElement<InMemDicomObject> {
        DataElement::new(tag, VR::SQ, Value::from(DataSetSequence::from(items)))
    }

    fn frame(mappings: &[(&str, &str)]) -> InMemDicomObject {
        let item = |(code, slope): &(&str, &str)| {
            let mut units = InMemDicomObject::new_empty();
            units.put_str(tags::CODE_VALUE, VR::SH, *code);
            let mut item = InMemDicomObject::new_empty();
            item.put_str(tags::REAL_WORLD_VALUE_SLOPE, VR::DS, *slope);
            item.put_str(tags::REAL_WORLD_VALUE_INTERCEPT, VR::DS, "1");
            item.put(sequence(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, vec![units]));
            item
        };
        let mut frame = InMemDicomObject::new_empty();
        let mappings = mappings.iter().map(item).collect();
        frame.put(sequence(tags::REAL_WORLD_VALUE_MAPPING_SEQUENCE, mappings));
        frame
    }

    #[test]
    fn suv_comes_first_and_ranges_are_no_mapping() {
        let nothing = InMemDicomObject::new_empty();
        let found = |mappings| {
            let frame = frame(mappings);
            mapping(&Groups { frame: &frame, shared: &nothing, object: &nothing })
                .map(|found| (found.unit, found.scaling))
        };
        assert_eq!(found(&[("kBq/ml", "2")]), Some((PetUnit::Bqml, [2000.0, 1000.0])));
        assert_eq!(found(&[("Bq/ml", "2"), ("{SUVbw}g/ml", "0.5")]), Some((PetUnit::SuvBw, [0.5, 1.0])));
        assert_eq!(found(&[("Bq/ml", "2"), ("Bq/ml", "2")]), Some((PetUnit::Bqml, [2.0, 1.0])));
        assert_eq!(found(&[("Bq/ml", "2"), ("Bq/ml", "3")]), None);
        assert_eq!(found(&[("{SUVlbm}g/ml", "2"), ("Bq/ml", "0")]), None);
    }
}
