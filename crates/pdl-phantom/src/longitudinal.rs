//! A longitudinal cohort: several visits of each patient, under names that do not show the patient.

use std::path::Path;

use pdl_io::nifti;
use pdl_store::atomic;
use rayon::prelude::*;

use crate::PhantomError;
use crate::anatomy::Anatomy;
use crate::cohort::PhantomCase;
use crate::modality::PhantomModality;
use crate::patient::patients_at;
use crate::random::RandomSource;
use crate::scan::{VisitSettings, scan_visit};

/// Streams of random numbers: the patients, and each visit.
const STREAM: u64 = 3_000_000;

/// Generates CT scans of `visits` visits of each of `patients`, patient by patient. Each visit
/// rotates the patient about the long axis, and has its own noise and gain; the scanner's grid is
/// the same for all. Names are numbered in random order.
///
/// # Errors
/// [`PhantomError`] when a grid is invalid, which the built-in one is not.
pub fn longitudinal(
    seed: u64,
    patients: usize,
    visits: usize,
    settings: &VisitSettings,
) -> Result<Vec<PhantomCase>, PhantomError> {
    let traits = patients_at(&mut RandomSource::new(seed, STREAM), patients, settings.distance);
    let names = shuffled(&mut RandomSource::new(seed, STREAM + 1), patients * visits);
    let case = |number: usize| {
        let person = number / visits;
        let mut source = RandomSource::new(seed, STREAM + 2 + number as u64);
        Ok(PhantomCase {
            name: format!("scan_{:03}", names[number] + 1),
            patient: format!("p{:02}", person + 1),
            patient_number: person + 1,
            scan: scan_visit(&Anatomy::new(&traits[person]), settings, &mut source)?,
        })
    };
    (0..patients * visits).into_par_iter().map(case).collect()
}

/// The numbers below `count` in random order.
fn shuffled(source: &mut RandomSource, count: usize) -> Vec<usize> {
    let mut numbers: Vec<(f64, usize)> = (0..count).map(|number| (source.uniform(), number)).collect();
    numbers.sort_by(|a, b| a.0.total_cmp(&b.0));
    numbers.into_iter().map(|(_, number)| number).collect()
}

/// Writes the scans into a folder, with a `cohort.csv` that names no patients.
///
/// # Errors
/// [`PhantomError`] if a file cannot be written.
pub fn write_longitudinal(folder: &Path, cases: &[PhantomCase]) -> Result<(), PhantomError> {
    cases.par_iter().try_for_each(|case| {
        let [image, label] = case.paths();
        nifti::write_image_i16(&folder.join(image), &case.scan.image)?;
        nifti::write_labels(&folder.join(label), &case.scan.labels)
    })?;
    let mut names: Vec<[String; 2]> = cases.iter().map(PhantomCase::paths).collect();
    names.sort();
    let modality = PhantomModality::Ct.code();
    let rows = names.iter().map(|[image, label]| format!("{image},{label},{modality}\n"));
    let table = format!("image,label,modality\n{}", rows.collect::<String>());
    atomic::write_if_changed(&folder.join("cohort.csv"), table.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_differ_and_are_the_same_every_time() {
        let cases = longitudinal(1, 2, 2, &VisitSettings::default()).unwrap();
        assert_eq!(cases, longitudinal(1, 2, 2, &VisitSettings::default()).unwrap());
        let patients: Vec<&str> = cases.iter().map(|case| case.patient.as_str()).collect();
        assert_eq!(patients, ["p01", "p01", "p02", "p02"]);
        assert!(cases[0].scan.image != cases[1].scan.image && cases[0].scan.labels != cases[1].scan.labels);
        let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["scan_001", "scan_002", "scan_003", "scan_004"]);
    }
}
