//! Several images of each person in a cohort that names no patients.

use std::collections::{BTreeMap, BTreeSet};

use pdl_cohort::attributes::Split;
use pdl_cohort::table::cases::Cases;
use pdl_io::nifti;

use pdl_phantom::{VisitSettings, longitudinal, write_longitudinal};

use crate::{cohort_of, curate, folder};

/// Rotated scans of one person resemble those of others more than each other, until they are
/// aligned.
#[test]
fn rotated_visits_of_a_person_are_joined_and_nobody_else_is() {
    const PERSONS: usize = 20;
    let (cohort, out) = (folder(), folder());
    let settings = VisitSettings { distance: 0.22, rotation_degrees: 2.0, ..VisitSettings::default() };
    let scans = longitudinal(4, PERSONS, 3, &settings).unwrap();
    write_longitudinal(cohort.path(), &scans).unwrap();
    curate(cohort.path(), out.path(), &["--no-report", "--metrics", "ssim"]);

    let persons: BTreeMap<&str, &str> =
        scans.iter().map(|scan| (scan.name.as_str(), scan.patient.as_str())).collect();
    let cases = Cases::read(out.path()).unwrap();
    let mut splits: BTreeMap<&str, BTreeSet<Split>> = BTreeMap::new();
    let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut shown: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in &cases.rows {
        let person = persons[row.case_id.as_str()];
        splits.entry(person).or_default().insert(row.split);
        names.entry(person).or_default().insert(&row.patient_id);
        shown.entry(&row.patient_id).or_default().insert(person);
    }
    assert!(shown.values().all(|persons| persons.len() == 1), "no two persons are joined: {shown:?}");
    let whole = names.values().filter(|names| names.len() == 1).count();
    assert!(whole >= PERSONS - 1, "{names:?}");
    let divided = splits.values().filter(|splits| splits.len() > 1).count();
    assert!(divided <= PERSONS - whole, "{splits:?}");
    for split in [Split::Val, Split::Test] {
        let held = splits.values().filter(|own| own.len() == 1 && own.contains(&split)).count();
        assert!((2..=4).contains(&held), "a share of 0.15: {splits:?}");
    }
    // Another run finds the same, and nobody more.
    let before = pdl_tests::files(out.path());
    curate(cohort.path(), out.path(), &["--no-report", "--metrics", "ssim"]);
    assert!(before == pdl_tests::files(out.path()));
}

#[test]
fn all_visits_of_a_person_end_in_one_split_and_splits_keep_their_shares() {
    const PERSONS: usize = 20;
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..PERSONS);
    let mut text = "image,label,modality\n".to_owned();
    for person in 1..=PERSONS {
        let original = cohort.path().join(format!("images/ct_{person:02}.nii.gz"));
        let image = pdl_io::read_image(&original).unwrap().volume;
        for visit in 0..3_usize {
            // Another noise and gain at each visit, the same every time.
            let mut volume = image.clone();
            let mut state = (3 * person + visit) as u64;
            for voxel in &mut volume.voxels {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let noise = ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 200.0;
                *voxel = ((*voxel + 1000.0) * (1.0 + 0.01 * visit as f32) - 1000.0 + noise).round();
            }
            let name = format!("images/p{person:02}_{visit}.nii.gz");
            nifti::write_image_i16(&cohort.path().join(&name), &volume).unwrap();
            text += &format!("{name},labels/ct_{person:02}.nii.gz,CT\n");
        }
    }
    std::fs::write(cohort.path().join("cohort.csv"), text).unwrap();
    curate(cohort.path(), out.path(), &["--no-report", "--proxy-size", "48", "--metrics", "ssim"]);

    let cases = Cases::read(out.path()).unwrap();
    let mut splits: BTreeMap<&str, BTreeSet<Split>> = BTreeMap::new();
    let mut persons: BTreeMap<Split, BTreeSet<&str>> = BTreeMap::new();
    for row in &cases.rows {
        let person = row.case_id.split('_').next().unwrap();
        splits.entry(person).or_default().insert(row.split);
        persons.entry(row.split).or_default().insert(person);
    }
    assert!(splits.values().all(|splits| splits.len() == 1), "nobody is in two splits: {splits:?}");
    let patients: BTreeSet<&str> = cases.rows.iter().map(|row| row.patient_id.as_str()).collect();
    assert_eq!(patients.len(), PERSONS);
    for split in [Split::Val, Split::Test] {
        assert!((2..=4).contains(&persons[&split].len()), "a share of 0.15: {persons:?}");
    }
    // The plan is made from the training cases of the splits that hold in the end.
    let plan = pdl_prepare::plan::read(out.path()).unwrap();
    let training = cases.rows.iter().filter(|row| row.split == Split::Train).count();
    assert_eq!(plan.fingerprint.training_cases, training);
}
