//! Rules that choose, rename and merge the labels of label maps, as those for structures of DICOM.

use std::collections::BTreeMap;

use pdl_volume::{LabelMap, count_labels};

use crate::CohortError;
use crate::labels::structures::Structures;

/// The mapping from values of a cohort's label maps to labels.
pub(crate) struct LabelRules {
    structures: Structures,
    /// Names of the values, from the cohort.
    names: BTreeMap<u16, String>,
    /// The value to ignore, which no rule changes into background.
    ignored: Option<u16>,
}

impl LabelRules {
    /// Parses rules such as `255=tumour`, `1=lung` and `*lung*=lung`, whose patterns match values
    /// and names; `None` without rules.
    ///
    /// # Errors
    /// [`CohortError::InvalidOption`] if a rule is invalid.
    pub(crate) fn new(
        rules: &[String],
        names: &BTreeMap<u16, String>,
        ignored: Option<u16>,
    ) -> Result<Option<Self>, CohortError> {
        if rules.is_empty() {
            return Ok(None);
        }
        let structures = Structures::new(rules, std::iter::empty(), &BTreeMap::new())?;
        Ok(Some(Self { structures, names: names.clone(), ignored }))
    }

    /// Names of the labels that the rules give, by value.
    pub(crate) fn label_names(&self) -> &BTreeMap<u16, String> {
        &self.structures.names
    }

    /// Names of the cohort's values, which decide with the rules what becomes of them.
    pub(crate) fn values(&self) -> &BTreeMap<u16, String> {
        &self.names
    }

    /// The value to ignore in the mapped label maps: the one after the last label, as in nnU-Net.
    pub(crate) fn ignored(&self) -> Option<u16> {
        let last = self.structures.names.keys().next_back().copied().unwrap_or(0);
        self.ignored.map(|_| last.saturating_add(1))
    }

    /// The label of a value; 0 if no rule matches it.
    pub(crate) fn label(&self, value: u16) -> u16 {
        if Some(value) == self.ignored {
            return self.ignored().unwrap_or(0);
        }
        let by_name = || self.structures.label(self.names.get(&value)?);
        self.structures.label(&value.to_string()).or_else(by_name).unwrap_or(0)
    }

    /// Gives every voxel its label.
    pub(crate) fn apply(&self, map: &mut LabelMap) {
        let values = count_labels(map).into_iter().map(|count| count.value);
        let labels: BTreeMap<u16, u16> = values.map(|value| (value, self.label(value))).collect();
        let mut last = (0, 0);
        for voxel in &mut map.voxels {
            if *voxel != last.0 {
                last = (*voxel, labels.get(voxel).copied().unwrap_or(0));
            }
            *voxel = last.1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Grid, Orientation};

    #[test]
    fn values_are_chosen_renamed_merged_and_mapped_by_value_or_name() {
        let names = BTreeMap::from([(4, "Left Lung".to_owned()), (7, "heart".to_owned())]);
        let rules = ["255=tumour", "2=tumour", "*lung=lung"].map(str::to_owned);
        let rules = LabelRules::new(&rules, &names, Some(9)).unwrap().unwrap();
        let shape = [8, 1, 1];
        let grid = Grid::new(shape, Affine::from_orientation(Orientation::RAS, [1.0; 3], shape));
        let mut map = LabelMap::new(grid, vec![0, 255, 2, 4, 7, 9, 4, 0]).unwrap();
        rules.apply(&mut map);
        assert_eq!(map.voxels, [0, 1, 1, 2, 0, 3, 2, 0]);
        assert_eq!(rules.label_names(), &BTreeMap::from([(1, "tumour".to_owned()), (2, "lung".to_owned())]));
        assert_eq!(rules.ignored(), Some(3));
        assert!(LabelRules::new(&[], &names, None).unwrap().is_none());
        assert!(LabelRules::new(&["255".to_owned()], &names, None).is_err());
    }
}
