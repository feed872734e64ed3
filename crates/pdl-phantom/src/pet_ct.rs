//! Cohorts of two channels on one grid, CT and PET: the lungs are seen in the CT alone, and a
//! lesion of uptake at a random place in the PET alone, so that neither channel shows all labels.

use std::collections::BTreeMap;
use std::path::Path;

use pdl_io::nifti;
use pdl_store::atomic;
use pdl_volume::{LabelMap, Volume};
use rayon::prelude::*;
use serde::Serialize;

use crate::PhantomError;
use crate::anatomy::Anatomy;
use crate::cohort::patient_of;
use crate::patient::patients;
use crate::random::RandomSource;
use crate::scan::scan_at;
use crate::solid::Point;
use crate::tissue::Tissue;

/// The folder, and what the names of cases begin with.
pub const FOLDER: &str = "petct";

/// The labels' names; the first one is label 0, the background.
pub const LABEL_NAMES: [&str; 3] = ["background", "lung", "lesion"];

/// Stream of random numbers of the patients; those of the scans follow.
const STREAM: u64 = 3_000_000;

/// Uptake, as a stored value: around the body, inside it, and in the lesion.
const UPTAKE: [f64; 3] = [0.0, 90.0, 600.0];

/// Standard deviation of the noise of the PET, in stored values.
const NOISE: f64 = 20.0;

/// One scan of one patient.
#[derive(Clone, Debug, PartialEq)]
pub struct PetCtCase {
    /// Name, such as "petct_07".
    pub name: String,
    /// HU.
    pub ct: Volume<f32>,
    /// Uptake on the grid of the CT; whole numbers from 0.
    pub pet: Volume<f32>,
    /// 1 for lung, 2 for the lesion, which lies upon it where both are.
    pub labels: LabelMap,
}

/// A ball of uptake, in the patient's coordinates (right, anterior, superior; mm).
#[derive(Clone, Copy, Debug)]
struct Lesion {
    centre: Point,
    radius_mm: f64,
}

impl Lesion {
    fn new(source: &mut RandomSource) -> Self {
        let centre = [70.0, 40.0, 70.0].map(|range| source.between(-range, range));
        Self { centre, radius_mm: source.between(18.0, 28.0) }
    }

    fn holds(&self, point: Point) -> bool {
        (0..3).map(|axis| (point[axis] - self.centre[axis]).powi(2)).sum::<f64>() <= self.radius_mm.powi(2)
    }
}

/// Generates `count` cases. The same seed and count give the same voxels everywhere.
///
/// # Errors
/// [`PhantomError`] when a grid is invalid, which none of the built-in ones is.
pub fn generate_pet_ct(seed: u64, count: usize) -> Result<Vec<PetCtCase>, PhantomError> {
    let people = count - count / 6;
    let traits = patients(&mut RandomSource::new(seed, STREAM), people);
    let case = |index: usize| {
        let mut source = RandomSource::new(seed, STREAM + 1 + index as u64);
        let anatomy = Anatomy::new(&traits[patient_of(index, people)]);
        let (scan, pose) = scan_at(crate::PhantomModality::Ct, &anatomy, index, &mut source)?;
        let lesion = Lesion::new(&mut source);
        let grid = scan.image.grid;
        let [nx, ny, _] = grid.shape;
        let (mut pet, mut labels) = (Vec::with_capacity(grid.len()), Vec::with_capacity(grid.len()));
        for (i, label) in scan.labels.voxels.iter().enumerate() {
            let index = [i % nx, i / nx % ny, i / (nx * ny)].map(|n| n as f64);
            let point = pose.to_patient(grid.affine.apply(index));
            let tissue = anatomy.tissue(point);
            let in_body = !matches!(tissue, Tissue::Air | Tissue::Couch);
            let in_lesion = in_body && lesion.holds(point);
            let uptake = UPTAKE[usize::from(in_body) + usize::from(in_lesion)];
            pet.push((uptake + NOISE * source.normal()).max(0.0).round() as f32);
            labels.push(if in_lesion { 2 } else { u16::from((1..=2).contains(label)) });
        }
        Ok(PetCtCase {
            name: format!("{FOLDER}_{:02}", index + 1),
            pet: Volume::new(grid, pet)?,
            labels: Volume::new(grid, labels)?,
            ct: scan.image,
        })
    };
    (0..count).into_par_iter().map(case).collect()
}

/// Writes a cohort into `out/petct` as a raw dataset of nnU-Net: `imagesTr/CASE_0000.nii.gz` (CT)
/// and `CASE_0001.nii.gz` (PET), `labelsTr/CASE.nii.gz` and `dataset.json`.
///
/// # Errors
/// [`PhantomError`] if a file cannot be written.
pub fn write_pet_ct(out: &Path, cases: &[PetCtCase]) -> Result<(), PhantomError> {
    let folder = out.join(FOLDER);
    cases.par_iter().try_for_each(|case| {
        let image = |n: usize| folder.join(format!("imagesTr/{}_{n:04}.nii.gz", case.name));
        nifti::write_image_i16(&image(0), &case.ct)?;
        nifti::write_image_i16(&image(1), &case.pet)?;
        nifti::write_labels(&folder.join(format!("labelsTr/{}.nii.gz", case.name)), &case.labels)
    })?;
    let description = RawDataset {
        channel_names: BTreeMap::from([("0", "CT"), ("1", "PET")]),
        labels: LABEL_NAMES.into_iter().zip(0..).collect(),
        num_training: cases.len(),
        file_ending: ".nii.gz",
    };
    let mut bytes = serde_json::to_vec_pretty(&description)?;
    bytes.push(b'\n');
    atomic::write_if_changed(&folder.join("dataset.json"), &bytes)?;
    Ok(())
}

#[derive(Serialize)]
struct RawDataset {
    channel_names: BTreeMap<&'static str, &'static str>,
    labels: BTreeMap<&'static str, u16>,
    #[serde(rename = "numTraining")]
    num_training: usize,
    file_ending: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean of an image where a label is.
    fn mean(image: &Volume<f32>, labels: &LabelMap, label: u16) -> f64 {
        let chosen = image.voxels.iter().zip(&labels.voxels).filter(|(_, own)| **own == label);
        let values: Vec<f64> = chosen.map(|(value, _)| f64::from(*value)).collect();
        assert!(!values.is_empty());
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn each_channel_shows_one_of_the_labels_alone() {
        let cases = generate_pet_ct(7, 3).unwrap();
        assert_eq!(cases, generate_pet_ct(7, 3).unwrap());
        for case in &cases {
            let PetCtCase { ct, pet, labels, .. } = case;
            assert!(mean(ct, labels, 1) < -600.0);
            assert!(mean(pet, labels, 2) > 500.0 && mean(pet, labels, 1) < 120.0);
            // In the CT the lesion is what lies there anyway.
            let lesion = labels.voxels.iter().filter(|label| **label == 2).count();
            assert!(lesion > 20, "{lesion}");
        }
    }
}
