//! Masks that a program has saved as a series of images, on the grid of the images that they were
//! drawn on. Such a series is no case of its own.

use std::collections::{BTreeMap, BTreeSet};

use pdl_dicom::{Scan, Series};
use pdl_findings::{Code, Finding};
use pdl_volume::Volume;

/// Maximum number of different values in a label map that was saved as an image. CT, MR and PET
/// images have hundreds.
const MOST_VALUES: usize = 16;

/// Maximum difference of the values of such a label map, as in one of 0 and 255.
const MOST_RANGE: f32 = 255.0;

/// For every series, whether it lies on another one of its study, and has no label: masks that were
/// saved as images do.
pub(crate) fn may_be_masks(scan: &Scan, labels: &[Vec<usize>]) -> Vec<bool> {
    let mut studies: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (number, Series { patient_id, study_uid, .. }) in scan.series.iter().enumerate() {
        studies.entry((patient_id, study_uid)).or_default().push(number);
    }
    let may_be = |(number, series): (usize, &Series)| {
        let of_study = studies.get(&(series.patient_id.as_str(), series.study_uid.as_str()));
        let mut others = of_study.into_iter().flatten().filter(|other| **other != number);
        labels[number].is_empty() && others.any(|other| series.lies_on(&scan.series[*other]))
    };
    scan.series.iter().enumerate().map(may_be).collect()
}

/// Finding if the voxels of an image that lies on another are those of a mask: of two values, or of
/// a few whole numbers. An image of one value is left to other checks.
pub(crate) fn finding(image: &Volume<f32>) -> Option<Finding> {
    let mut values: BTreeSet<u32> = BTreeSet::new();
    for voxel in &image.voxels {
        values.insert((voxel + 0.0).to_bits());
        if values.len() > MOST_VALUES {
            return None;
        }
    }
    let values: Vec<f32> = values.into_iter().map(f32::from_bits).collect();
    let lowest = values.iter().copied().fold(f32::INFINITY, f32::min);
    let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let are_whole = values.iter().all(|value| (value - lowest).fract() == 0.0);
    let is_mask = values.len() == 2 || values.len() > 2 && are_whole && highest - lowest <= MOST_RANGE;
    let message = format!(
        "its voxels have {} different values only ({lowest} to {highest}), on the grid of another series of its study: it \
         is probably a mask that was saved as an image; convert it to DICOM SEG or NIfTI, and state image and label in a \
         table (one that states this series as an image has it read as one)",
        values.len()
    );
    is_mask.then(|| Finding::new(Code::MaskAsImage, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Grid};

    fn told(voxels: Vec<f32>) -> bool {
        let grid = Grid {
            shape: [voxels.len(), 1, 1],
            affine: Affine::from_row_major(&[
                1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0,
            ])
            .unwrap(),
        };
        finding(&Volume { grid, voxels }).is_some()
    }

    #[test]
    fn few_values_are_those_of_a_mask() {
        assert!(told(vec![0.0, 255.0, 0.0]));
        assert!(told(vec![-1024.0, -1023.0, -1022.0]), "a label map with the offset of its CT");
        assert!(!told(vec![0.0; 4]), "an empty image");
        assert!(!told(vec![0.0, 0.5, 1.5]));
        assert!(!told(vec![-1000.0, 0.0, 1000.0]));
        assert!(!told((0_u8..40).map(f32::from).collect()));
    }
}
