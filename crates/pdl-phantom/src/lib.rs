//! Generates the synthetic sample cohorts.
//!
//! In: a seed and a number of cases. Out: cohorts of synthetic thorax scans (CT and MR) with exact
//! labels, as NIfTI files with a `cohort.csv` and a `dataset.json`, and two of the CT scans as
//! DICOM series with RTSTRUCT; the same bits on every machine. It reads no files, and the images
//! are of no real patient.
//!
//! A cohort is generated in three steps: [`patients`](patient::patients) draws the patients, an
//! [`Anatomy`](anatomy::Anatomy) returns the tissue at a point, and [`scan`](scan::scan) samples it
//! on a scanner's grid.

pub mod anatomy;
pub mod cohort;
pub mod contour;
pub mod dicom;
mod dicom_elements;
pub mod longitudinal;
pub mod modality;
pub mod patient;
pub mod pet_ct;
pub mod random;
mod rtstruct;
pub mod scan;
pub mod solid;
pub mod tissue;

use std::path::Path;

use pdl_io::nifti;
use pdl_store::{StoreError, atomic};
use pdl_volume::{OrientationError, VolumeError};
use rayon::prelude::*;

pub use cohort::{PhantomCase, PhantomCohort, generate};
pub use longitudinal::{longitudinal, write_longitudinal};
pub use modality::PhantomModality;
pub use pet_ct::{PetCtCase, generate_pet_ct, write_pet_ct};
pub use scan::VisitSettings;

/// The seed of the bundled sample cohorts.
pub const SAMPLE_SEED: u64 = 2026;

/// The cases of each bundled sample cohort.
pub const SAMPLE_CASES: usize = 24;

/// Cohorts that could not be made or written.
#[derive(Debug, thiserror::Error)]
pub enum PhantomError {
    /// A file could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A protocol has an invalid orientation.
    #[error(transparent)]
    Orientation(#[from] OrientationError),
    /// A protocol has an invalid grid.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The description cannot be expressed as JSON.
    #[error("the cohort's description cannot be encoded as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A DICOM object cannot be encoded.
    #[error("the DICOM object cannot be encoded: {0}")]
    Dicom(String),
    /// A scan that is not axial cannot be written as an axial series.
    #[error("{0} is not stored in the orientation LPS, which its DICOM series needs")]
    NotAxial(String),
}

/// Writes a cohort into its folder under `out` (such as `out/ct`).
///
/// # Errors
/// [`PhantomError`] if a file cannot be written.
pub fn write_cohort(out: &Path, cohort: &PhantomCohort) -> Result<(), PhantomError> {
    let folder = out.join(cohort.modality.folder());
    cohort.cases.par_iter().try_for_each(|case| {
        let [image, label] = case.paths();
        nifti::write_image_i16(&folder.join(image), &case.scan.image)?;
        nifti::write_labels(&folder.join(label), &case.scan.labels)
    })?;
    atomic::write_if_changed(&folder.join("cohort.csv"), cohort.table().as_bytes())?;
    atomic::write_if_changed(&folder.join("dataset.json"), &cohort.dataset()?)?;
    Ok(())
}

/// Writes the cohort's [DICOM cases](dicom::dicom_cases) under `out/dicom`, a folder each.
///
/// # Errors
/// [`PhantomError`] if a file cannot be made or written.
pub fn write_dicom(out: &Path, cohort: &PhantomCohort) -> Result<(), PhantomError> {
    dicom::dicom_cases(cohort).into_iter().try_for_each(|case| {
        let folder = out.join("dicom").join(&case.name);
        for (name, bytes) in dicom::files(case, cohort.seed)? {
            atomic::write_if_changed(&folder.join(name), &bytes)?;
        }
        Ok(())
    })
}
