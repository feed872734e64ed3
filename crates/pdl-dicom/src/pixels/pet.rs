//! Units of PET values, and the factors to Bq/ml and to SUVbw.
//!
//! SUVbw is the activity concentration over the injected dose per gram of body weight, the dose
//! decayed to the time that the values are corrected to (DICOM PS3.3, C.8.9.1; QIBA's
//! vendor-neutral pseudo-code for SUV).

use dicom_core::{PrimitiveValue, Tag};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::file::date_time::{self, SECONDS_A_DAY};
use crate::file::functional_groups::Groups;
use crate::file::{items, number, text};
use crate::pixels::pet_mapping::{self, PetMapping};
use crate::pixels::pet_unit::PetUnit;

/// The unit to which PET values are converted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PetScale {
    /// No conversion: the file's own unit, after RescaleSlope and RescaleIntercept.
    #[default]
    Stored,
    /// Activity concentration, Bq/ml.
    Bqml,
    /// SUV by body weight, g/ml.
    SuvBw,
}

/// Why PET values cannot be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PetError {
    /// The unit of the values cannot be converted.
    #[error("its values are in {0}, which cannot be converted")]
    Unit(PetUnit),
    /// The header lacks an attribute.
    #[error("its header lacks {0}")]
    Missing(&'static str),
    /// The header has an implausible value.
    #[error("{0}")]
    Implausible(&'static str),
    /// Files disagree.
    #[error("its files differ in unit, dose, weight, injection or decay correction")]
    Mixed,
}

/// The moment that decay is corrected to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Decay {
    /// The start of the scan.
    Start,
    /// The injection.
    Admin,
    /// A moment that enhanced objects state.
    Stated,
    /// Decay is not corrected.
    None,
}

/// When the dose was injected.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Injected {
    /// Seconds since 1970.
    At(f64),
    /// Seconds of a day that is not stated.
    OfDay(f64),
}

/// Attributes in which all files of a scan must agree.
#[derive(Clone, Debug, PartialEq)]
struct Common {
    unit: PetUnit,
    decay: Option<Decay>,
    /// Corrections that were made, where they are listed.
    attenuation: Option<bool>,
    decay_listed: Option<bool>,
    weight_kg: Option<f64>,
    dose_bq: Option<f64>,
    half_life_s: Option<f64>,
    injected: Option<Injected>,
    doses: usize,
    /// Philips: SUVbw and Bq/ml of a count.
    of_count: [Option<f64>; 2],
}

/// The PET attributes in the header of one file.
#[derive(Clone, Debug)]
pub(crate) struct PetHeader {
    common: Common,
    /// Seconds since 1970, as are those that follow.
    series: Option<f64>,
    acquired: Option<f64>,
    /// GE's own start of the scan.
    scan_start: Option<f64>,
    /// The moment that an enhanced object corrects decay to.
    corrected_to: Option<f64>,
    /// Slope and intercept to the unit, where these are not RescaleSlope and RescaleIntercept.
    mapped: Option<[f64; 2]>,
    /// From the start of the scan to the mean of the frame's counts, s.
    reference_s: Option<f64>,
    duration_s: Option<f64>,
}

/// Minimum plausible dose in Bq: smaller ones are stated in MBq.
const SMALLEST_DOSE_BQ: f64 = 1e5;
/// Plausible weights, kg: from a mouse to beyond any person.
const WEIGHTS_KG: std::ops::RangeInclusive<f64> = 0.005..=600.0;
/// Maximum time between injection and scan, in half-lives.
const MOST_HALF_LIVES: f64 = 12.0;
/// Nuclides that live longer, s, are scanned on later days, too.
const SAME_DAY_HALF_LIFE_S: f64 = 6.0 * 3600.0;
/// Maximum time since an injection without a stated day, s.
const LONGEST_WAIT_S: f64 = 12.0 * 3600.0;
/// Times of a series may be rounded up by this much, s.
const ROUNDED_S: f64 = 1.0;

impl PetHeader {
    pub(crate) fn of(object: &InMemDicomObject) -> Self {
        let doses = items(object, tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE);
        let nothing = InMemDicomObject::new_empty();
        let dose = doses.first().unwrap_or(&nothing);
        let positive = |value: Option<f64>| value.filter(|value| value.is_finite() && *value > 0.0);
        let corrections = text(object, tags::CORRECTED_IMAGE);
        let listed = |word: &str| {
            (!corrections.is_empty()).then(|| corrections.split('\\').any(|part| part.trim() == word))
        };
        let decay = match text(object, tags::DECAY_CORRECTION).as_str() {
            "START" => Some(Decay::Start),
            "ADMIN" => Some(Decay::Admin),
            "NONE" => Some(Decay::None),
            _ => match text(object, tags::DECAY_CORRECTED).as_str() {
                "YES" => Some(Decay::Stated),
                "NO" => Some(Decay::None),
                _ => None,
            },
        };
        let attenuation = match text(object, tags::ATTENUATION_CORRECTED).as_str() {
            "YES" => Some(true),
            "NO" => Some(false),
            _ => listed("ATTN"),
        };
        let philips =
            |element| positive(private_number(object, 0x7053, "Philips PET Private Group", element));
        let common = Common {
            unit: unit(object),
            decay,
            attenuation,
            decay_listed: listed("DECY"),
            weight_kg: positive(number(object, tags::PATIENT_WEIGHT)),
            dose_bq: positive(number(dose, tags::RADIONUCLIDE_TOTAL_DOSE)),
            half_life_s: positive(number(dose, tags::RADIONUCLIDE_HALF_LIFE)),
            injected: injected(object, dose),
            doses: doses.len(),
            of_count: [philips(0x00), philips(0x09)],
        };
        let study_day = [tags::SERIES_DATE, tags::STUDY_DATE];
        let acquired = date_time(object, &text(object, tags::ACQUISITION_DATE_TIME)).or_else(|| {
            let days = [tags::ACQUISITION_DATE, tags::SERIES_DATE, tags::STUDY_DATE];
            date_time::of(object, &days, tags::ACQUISITION_TIME)
        });
        let milliseconds = |tag| number(object, tag).filter(|ms| ms.is_finite()).map(|ms| ms / 1000.0);
        Self {
            common,
            series: date_time::of(object, &study_day, tags::SERIES_TIME),
            acquired,
            scan_start: private(object, 0x0009, "GEMS_PETD_01", 0x0d)
                .and_then(|text| date_time(object, &text)),
            corrected_to: date_time(object, &text(object, tags::DECAY_CORRECTION_DATE_TIME)),
            mapped: None,
            reference_s: milliseconds(tags::FRAME_REFERENCE_TIME),
            duration_s: positive(milliseconds(tags::ACTUAL_FRAME_DURATION)),
        }
    }

    /// Like [`PetHeader::of`], for a frame of an object, from its functional groups.
    pub(crate) fn of_frame(&self, groups: &Groups<'_>) -> Self {
        let mut header = self.clone();
        if header.common.unit == PetUnit::Unstated
            && let Some(PetMapping { unit, scaling }) = pet_mapping::mapping(groups)
        {
            (header.common.unit, header.mapped) = (unit, Some(scaling));
        }
        let content = items(groups.frame, tags::FRAME_CONTENT_SEQUENCE).first();
        let acquired = content.map(|content| text(content, tags::FRAME_ACQUISITION_DATE_TIME));
        header.acquired = acquired.and_then(|stated| date_time(groups.object, &stated)).or(header.acquired);
        let duration = content.and_then(|content| number(content, tags::FRAME_ACQUISITION_DURATION));
        let duration_s = duration.filter(|ms| ms.is_finite() && *ms > 0.0).map(|ms| ms / 1000.0);
        header.duration_s = duration_s.or(header.duration_s);
        header
    }

    /// Slope and intercept from stored values to [`PetHeader::unit`], where they are not
    /// RescaleSlope and RescaleIntercept.
    pub(crate) fn mapped(&self) -> Option<[f64; 2]> {
        self.mapped
    }

    /// The unit that its values are stored in.
    pub(crate) fn unit(&self) -> PetUnit {
        self.common.unit
    }

    /// From the start of the frame to when its mean count rate was reached, s.
    fn mean_within_frame_s(&self, half_life_s: f64) -> f64 {
        let decay = std::f64::consts::LN_2 / half_life_s;
        self.duration_s.map_or(0.0, |duration| {
            let lost = decay * duration;
            (lost / -(-lost).exp_m1()).ln() / decay
        })
    }
}

fn unit(object: &InMemDicomObject) -> PetUnit {
    match text(object, tags::UNITS).to_uppercase().as_str() {
        "BQML" => PetUnit::Bqml,
        // The default kind is by weight (PS3.3, C.8.9.1).
        "GML" if ["", "BW"].contains(&text(object, tags::SUV_TYPE).as_str()) => PetUnit::SuvBw,
        "GML" | "CM2ML" => PetUnit::OtherSuv,
        "CNTS" => PetUnit::Counts,
        "" => PetUnit::Unstated,
        _ => PetUnit::Other,
    }
}

fn injected(object: &InMemDicomObject, dose: &InMemDicomObject) -> Option<Injected> {
    let whole = date_time(object, &text(dose, tags::RADIOPHARMACEUTICAL_START_DATE_TIME));
    let clock = || date_time::time(&text(dose, tags::RADIOPHARMACEUTICAL_START_TIME));
    whole.map(Injected::At).or_else(|| clock().map(Injected::OfDay))
}

/// Seconds since 1970, in the zone of the object's other times where both zones are stated.
fn date_time(object: &InMemDicomObject, stated: &str) -> Option<f64> {
    let (seconds, zone) = date_time::date_time(stated)?;
    let own = date_time::offset(&text(object, tags::TIMEZONE_OFFSET_FROM_UTC));
    Some(zone.zip(own).map_or(seconds, |(zone, own)| seconds - zone + own))
}

/// A private element's text, by the creator of its block.
fn private(object: &InMemDicomObject, group: u16, creator: &str, element: u16) -> Option<String> {
    let said = |tag: Tag| -> Option<String> {
        let value = object.get(tag)?.value().primitive()?;
        let text = match value {
            // Of unknown representation, as in implicit transfer syntaxes.
            PrimitiveValue::U8(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => other.to_str().into_owned(),
        };
        Some(text.trim_matches([' ', '\0']).to_owned())
    };
    let block = (0x10..=0xff).find(|block| said(Tag(group, *block)).is_some_and(|name| name == creator))?;
    said(Tag(group, block << 8 | element))
}

fn private_number(object: &InMemDicomObject, group: u16, creator: &str, element: u16) -> Option<f64> {
    private(object, group, creator, element)?.split('\\').next()?.trim().parse().ok()
}

/// The factor that converts the values of every file (after RescaleSlope) to a scale.
///
/// # Errors
/// [`PetError`].
pub(crate) fn factors(headers: &[&PetHeader], scale: PetScale) -> Result<Vec<f64>, PetError> {
    let Some(first) = headers.first() else { return Ok(Vec::new()) };
    if scale == PetScale::Stored {
        return Ok(vec![1.0; headers.len()]);
    }
    if headers.iter().any(|header| header.common != first.common) {
        return Err(PetError::Mixed);
    }
    let common = &first.common;
    let [suv_of_count, bqml_of_count] = common.of_count;
    let all = |factor: f64| Ok(vec![factor; headers.len()]);
    let of_bqml = |bqml: f64| match scale {
        PetScale::SuvBw => Ok(suv_of_bqml(headers)?.into_iter().map(|factor| factor * bqml).collect()),
        PetScale::Bqml | PetScale::Stored => all(bqml),
    };
    match (common.unit, scale) {
        (PetUnit::Bqml, _) => of_bqml(1.0),
        (PetUnit::SuvBw, PetScale::SuvBw) => all(1.0),
        (PetUnit::SuvBw, _) => Ok(suv_of_bqml(headers)?.into_iter().map(|factor| 1.0 / factor).collect()),
        (PetUnit::Counts, PetScale::SuvBw) if suv_of_count.is_some() => all(suv_of_count.unwrap_or(1.0)),
        (PetUnit::Counts, _) => match bqml_of_count {
            Some(factor) => of_bqml(factor),
            None => Err(PetError::Unit(PetUnit::Counts)),
        },
        (unit @ (PetUnit::OtherSuv | PetUnit::Other | PetUnit::Unstated), _) => Err(PetError::Unit(unit)),
    }
}

/// SUVbw of a Bq/ml of every file.
fn suv_of_bqml(headers: &[&PetHeader]) -> Result<Vec<f64>, PetError> {
    let Some(common) = headers.first().map(|header| &header.common) else { return Ok(Vec::new()) };
    if common.attenuation == Some(false) {
        return Err(PetError::Implausible("its values are not corrected for attenuation"));
    }
    if common.doses > 1 {
        return Err(PetError::Implausible("its header states several radiopharmaceuticals"));
    }
    let weight_kg = common.weight_kg.ok_or(PetError::Missing("the patient's weight"))?;
    let dose_bq = common.dose_bq.ok_or(PetError::Missing("the injected dose"))?;
    if !WEIGHTS_KG.contains(&weight_kg) {
        return Err(PetError::Implausible("its header states an implausible weight in kg"));
    }
    if dose_bq < SMALLEST_DOSE_BQ {
        return Err(PetError::Implausible(
            "its header states a dose in Bq too small for a scan: it may be in MBq",
        ));
    }
    let decay = common.decay.ok_or(PetError::Missing("to which moment decay is corrected"))?;
    if common.decay_listed.is_some_and(|listed| listed == (decay == Decay::None)) {
        return Err(PetError::Implausible("its header contradicts itself as to whether decay is corrected"));
    }
    let grams = weight_kg * 1000.0;
    if decay == Decay::Admin {
        return Ok(vec![grams / dose_bq; headers.len()]);
    }
    let half_life_s = common.half_life_s.ok_or(PetError::Missing("the half-life"))?;
    let start = match decay {
        Decay::Start => Some(scan_start(headers, half_life_s)?),
        Decay::Stated => {
            let stated = headers.first().and_then(|header| header.corrected_to);
            Some(stated.ok_or(PetError::Missing("to which moment decay is corrected"))?)
        }
        Decay::Admin | Decay::None => None,
    };
    let factor = |header: &&PetHeader| {
        let at = match start {
            Some(start) => start,
            None => {
                let acquired = header.acquired.ok_or(PetError::Missing("the time of acquisition"))?;
                acquired + header.mean_within_frame_s(half_life_s)
            }
        };
        let delay_s = since_injection_s(common.injected, at, half_life_s)?;
        Ok(grams / (dose_bq * (-delay_s / half_life_s).exp2()))
    };
    headers.iter().map(factor).collect()
}

/// The moment that values are corrected to, seconds since 1970: the series' time, unless that is
/// later than its first acquisition and so that of a later processing.
fn scan_start(headers: &[&PetHeader], half_life_s: f64) -> Result<f64, PetError> {
    let acquired = headers.iter().filter_map(|header| Some((header.acquired?, header)));
    let first = acquired.min_by(|(a, _), (b, _)| a.total_cmp(b));
    let series = headers.iter().filter_map(|header| header.series).min_by(f64::total_cmp);
    let not_later = |series: &f64| first.is_none_or(|(acquired, _)| *series <= acquired + ROUNDED_S);
    if let Some(series) = series.filter(not_later) {
        return Ok(series);
    }
    if let Some(start) = headers.iter().find_map(|header| header.scan_start) {
        return Ok(start);
    }
    let (acquired, header) = first.ok_or(PetError::Missing("the time of the scan"))?;
    let until_mean = header.reference_s.map(|reference| header.mean_within_frame_s(half_life_s) - reference);
    Ok(acquired + until_mean.unwrap_or(0.0))
}

/// How long before a moment the dose was injected, s.
fn since_injection_s(injected: Option<Injected>, at: f64, half_life_s: f64) -> Result<f64, PetError> {
    let delay_s = match injected.ok_or(PetError::Missing("the time of the injection"))? {
        Injected::At(injected) => at - injected,
        Injected::OfDay(_) if half_life_s > SAME_DAY_HALF_LIFE_S => {
            return Err(PetError::Missing("the day of the injection, of a nuclide that lives for days"));
        }
        Injected::OfDay(clock) => {
            // The last occurrence of this clock time before the scan, which may be on the day
            // before.
            let delay_s = (at - clock).rem_euclid(SECONDS_A_DAY);
            if delay_s > LONGEST_WAIT_S { delay_s - SECONDS_A_DAY } else { delay_s }
        }
    };
    if delay_s < 0.0 {
        return Err(PetError::Implausible("its header has the injection after the scan"));
    }
    if delay_s > MOST_HALF_LIVES * half_life_s {
        return Err(PetError::Implausible(
            "its header has the injection too long before the scan for anything to be left",
        ));
    }
    Ok(delay_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::value::{DataSetSequence, Value};
    use dicom_core::{DataElement, VR};

    const HALF_LIFE_S: f64 = 6586.2;

    fn object(edit: &[(Tag, &str)], dose: &[(Tag, &str)]) -> InMemDicomObject {
        let put = |object: &mut InMemDicomObject, pairs: &[(Tag, &str)]| {
            for (tag, value) in pairs {
                object.put_str(*tag, VR::LO, *value);
            }
        };
        let mut item = InMemDicomObject::new_empty();
        put(
            &mut item,
            &[
                (tags::RADIONUCLIDE_TOTAL_DOSE, "3.5e8"),
                (tags::RADIONUCLIDE_HALF_LIFE, "6586.2"),
                (tags::RADIOPHARMACEUTICAL_START_TIME, "091500"),
            ],
        );
        put(&mut item, dose);
        let mut object = InMemDicomObject::new_empty();
        put(
            &mut object,
            &[
                (tags::UNITS, "BQML"),
                (tags::DECAY_CORRECTION, "START"),
                (tags::CORRECTED_IMAGE, "ATTN\\DECY"),
                (tags::PATIENT_WEIGHT, "70"),
                (tags::SERIES_DATE, "20240102"),
                (tags::SERIES_TIME, "101500"),
                (tags::ACQUISITION_DATE, "20240102"),
                (tags::ACQUISITION_TIME, "101600"),
            ],
        );
        put(&mut object, edit);
        let sequence = Value::from(DataSetSequence::from(vec![item]));
        object.put(DataElement::new(tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE, VR::SQ, sequence));
        object
    }

    fn suv(edit: &[(Tag, &str)], dose: &[(Tag, &str)]) -> Result<f64, PetError> {
        let header = PetHeader::of(&object(edit, dose));
        factors(&[&header], PetScale::SuvBw).map(|factors| factors[0])
    }

    /// A gram's share of a dose that has decayed for this long.
    fn after(delay_s: f64) -> f64 {
        70_000.0 / (3.5e8 * (-delay_s / HALF_LIFE_S).exp2())
    }

    fn close(found: Result<f64, PetError>, expected: f64) {
        let found = found.unwrap();
        assert!((found / expected - 1.0).abs() < 1e-9, "{found} is not {expected}");
    }

    #[test]
    fn the_dose_decays_to_the_moment_that_the_values_are_corrected_to() {
        close(suv(&[], &[]), after(3600.0));
        close(suv(&[(tags::DECAY_CORRECTION, "ADMIN")], &[]), after(0.0));
        let none = [(tags::DECAY_CORRECTION, "NONE"), (tags::CORRECTED_IMAGE, "ATTN")];
        close(suv(&none, &[]), after(3660.0));
        // A series that was made later: the first acquisition, less what its frame says.
        let later = (tags::SERIES_TIME, "150000");
        close(suv(&[later], &[]), after(3660.0));
        close(suv(&[later, (tags::FRAME_REFERENCE_TIME, "60000")], &[]), after(3600.0));
    }

    #[test]
    fn the_day_of_the_injection_may_be_the_one_before() {
        let night = [(tags::SERIES_TIME, "003000"), (tags::ACQUISITION_TIME, "003000")];
        close(suv(&night, &[(tags::RADIOPHARMACEUTICAL_START_TIME, "233000")]), after(3600.0));
        let stated = (tags::RADIOPHARMACEUTICAL_START_DATE_TIME, "20240101233000");
        close(suv(&night, &[stated]), after(3600.0));
        let zoned = (tags::RADIOPHARMACEUTICAL_START_DATE_TIME, "20240102081500+0000");
        close(suv(&[(tags::TIMEZONE_OFFSET_FROM_UTC, "+0100")], &[zoned]), after(3600.0));
    }

    #[test]
    fn what_cannot_be_converted_says_why() {
        let missing = |tag| suv(&[(tag, "")], &[]).unwrap_err();
        assert_eq!(missing(tags::PATIENT_WEIGHT), PetError::Missing("the patient's weight"));
        assert_eq!(missing(tags::UNITS), PetError::Unit(PetUnit::Unstated));
        assert_eq!(missing(tags::DECAY_CORRECTION), PetError::Missing("to which moment decay is corrected"));
        assert!(matches!(suv(&[], &[(tags::RADIONUCLIDE_TOTAL_DOSE, "")]), Err(PetError::Missing(_))));
        let none = [(tags::SERIES_TIME, ""), (tags::ACQUISITION_TIME, "")];
        assert_eq!(suv(&none, &[]), Err(PetError::Missing("the time of the scan")));
        for (edit, dose) in [
            ((tags::UNITS, "BQML"), (tags::RADIONUCLIDE_TOTAL_DOSE, "350")), // MBq
            ((tags::UNITS, "BQML"), (tags::RADIOPHARMACEUTICAL_START_TIME, "102000")),
            ((tags::UNITS, "BQML"), (tags::RADIOPHARMACEUTICAL_START_DATE_TIME, "20240101091500")),
            ((tags::CORRECTED_IMAGE, "DECY"), (tags::RADIONUCLIDE_TOTAL_DOSE, "3.5e8")),
            ((tags::CORRECTED_IMAGE, "ATTN"), (tags::RADIONUCLIDE_TOTAL_DOSE, "3.5e8")),
        ] {
            assert!(matches!(suv(&[edit], &[dose]), Err(PetError::Implausible(_))), "{edit:?} {dose:?}");
        }
        let days = [(tags::RADIONUCLIDE_HALF_LIFE, "282240")];
        assert!(matches!(suv(&[], &days), Err(PetError::Missing(_))), "the day is not known");
        let header = PetHeader::of(&object(&[], &[]));
        let other = PetHeader::of(&object(&[(tags::PATIENT_WEIGHT, "71")], &[]));
        assert_eq!(factors(&[&header, &other], PetScale::SuvBw), Err(PetError::Mixed));
    }

    #[test]
    fn an_enhanced_object_states_the_moment() {
        let none = [(tags::DECAY_CORRECTION, ""), (tags::CORRECTED_IMAGE, "")];
        let with = |edit: &[(Tag, &str)]| suv(&[&none[..], edit].concat(), &[]);
        let yes = (tags::DECAY_CORRECTED, "YES");
        close(with(&[yes, (tags::DECAY_CORRECTION_DATE_TIME, "20240102094500")]), after(1800.0));
        assert_eq!(with(&[yes]), Err(PetError::Missing("to which moment decay is corrected")));
        close(with(&[(tags::DECAY_CORRECTED, "NO")]), after(3660.0));
        let attenuation = (tags::ATTENUATION_CORRECTED, "NO");
        let moment = (tags::DECAY_CORRECTION_DATE_TIME, "20240102094500");
        assert!(matches!(with(&[yes, moment, attenuation]), Err(PetError::Implausible(_))));
    }

    #[test]
    fn every_unit_has_its_own_way() {
        close(suv(&[(tags::UNITS, "GML")], &[(tags::RADIONUCLIDE_TOTAL_DOSE, "")]), 1.0);
        assert_eq!(
            suv(&[(tags::UNITS, "GML"), (tags::SUV_TYPE, "LBM")], &[]),
            Err(PetError::Unit(PetUnit::OtherSuv))
        );
        let counts = |element: &str, value: &str| {
            let tag = Tag(0x7053, u16::from_str_radix(element, 16).unwrap());
            let creator = (Tag(0x7053, 0x0010), "Philips PET Private Group");
            suv(&[(tags::UNITS, "CNTS"), creator, (tag, value)], &[])
        };
        close(counts("1000", "0.0025"), 0.0025);
        close(counts("1009", "2"), 2.0 * after(3600.0));
        assert_eq!(counts("1000", "0"), Err(PetError::Unit(PetUnit::Counts)));
        let header = PetHeader::of(&object(&[(tags::UNITS, "GML")], &[]));
        close(factors(&[&header], PetScale::Bqml).map(|factors| factors[0]), 1.0 / after(3600.0));
    }
}
