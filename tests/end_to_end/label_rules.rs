//! Rules for the values of label maps, and voxels that say nothing.

use std::path::Path;

use pdl_cohort::table::cases::Cases;
use pdl_curriculum::manifest::Manifest;
use pdl_findings::Code;
use pdl_io::nifti;
use pdl_tests::run_ok;
use pdl_volume::{Affine, Volume};

use crate::{cohort_of, curate, folder};

fn labels(out: &Path, file: &str) -> Vec<u16> {
    pdl_io::read_labels(&out.join(file)).unwrap().map.voxels
}

fn index(cohort: &Path, out: &Path, flags: &[&str]) -> Cases {
    let words = ["index", cohort.to_str().unwrap(), "--out", out.to_str().unwrap(), "--modality", "CT"];
    run_ok(&[&words[..], flags].concat());
    Cases::read(out).unwrap()
}

#[test]
fn values_are_chosen_renamed_and_merged_and_images_stay_where_they_are() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..3);
    let plain = index(cohort.path(), &out.path().join("plain"), &[]);
    let ruled = index(cohort.path(), &out.path().join("ruled"), &["--structures", "3=heart,1=lung,2=lung"]);
    let names: Vec<(u16, &str)> =
        ruled.label_names.iter().map(|(value, name)| (*value, name.as_str())).collect();
    assert_eq!(names, [(1, "heart"), (2, "lung")]);
    for (before, after) in plain.rows.iter().zip(&ruled.rows) {
        assert_eq!((&before.case_id, &before.image_blake3), (&after.case_id, &after.image_blake3));
        assert!(after.image.ends_with(&format!("images/{}.nii.gz", before.case_id)));
        assert!(!after.image.starts_with("volumes"), "{}", after.image);
        let old = labels(&out.path().join("plain"), before.label.as_ref().unwrap());
        let new = labels(&out.path().join("ruled"), after.label.as_ref().unwrap());
        let rule = |value: u16| [0, 2, 2, 1].get(usize::from(value)).copied().unwrap_or(0);
        assert!(old.iter().zip(&new).all(|(old, new)| rule(*old) == *new));
        assert_eq!(after.labels.iter().map(|label| label.value).collect::<Vec<_>>(), [1, 2]);
    }
    let before = pdl_tests::files(&out.path().join("ruled"));
    index(cohort.path(), &out.path().join("ruled"), &["--structures", "3=heart,1=lung,2=lung"]);
    assert!(before == pdl_tests::files(&out.path().join("ruled")));
}

#[test]
fn a_value_below_0_can_be_the_label_to_ignore() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..8);
    for entry in std::fs::read_dir(cohort.path().join("labels")).unwrap() {
        let path = entry.unwrap().path();
        let map = pdl_io::read_labels(&path).unwrap().map;
        let below = |label: u16| if label == 5 { -1.0 } else { f32::from(label) };
        let voxels = map.voxels.iter().map(|label| below(*label)).collect();
        nifti::write_image(&path, &Volume { grid: map.grid, voxels }).unwrap();
    }
    let refused = index(cohort.path(), &out.path().join("refused"), &[]);
    let told =
        &refused.rows[0].findings.iter().find(|finding| finding.code == Code::UnreadableLabel).unwrap();
    assert!(told.message.contains("(--ignore -1 excludes voxels of that value"), "{}", told.message);
    let read = index(cohort.path(), &out.path().join("read"), &["--ignore", "-1"]);
    assert_eq!(read.parameters.ignored_label(), Some(pdl_volume::IGNORED));
    assert!(read.findings.iter().any(|finding| finding.message.contains("the label -1 are ignored")));
    let row = &read.rows[0];
    assert_eq!(row.labels.iter().map(|label| label.value).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let voxels = labels(&out.path().join("read"), row.label.as_ref().unwrap());
    assert!(voxels.contains(&pdl_volume::IGNORED));
    let rules = ["--ignore", "-1", "--structures", "1=lung,2=lung,3=heart"];
    let ruled = index(cohort.path(), &out.path().join("ruled"), &rules);
    assert_eq!(ruled.parameters.ignored_label(), Some(3));
    assert_eq!(ruled.parameters.ignore_stated.as_deref(), Some("-1"), "for label files of later cohorts");
    curate(cohort.path(), &out.path().join("read"), &["--ignore", "-1", "--no-report", "--proxy-size", "16"]);
    // An image in the place of a label map has many values below 0.
    std::fs::copy(cohort.path().join("images/ct_01.nii.gz"), cohort.path().join("labels/ct_01.nii.gz"))
        .unwrap();
    let exchanged = index(cohort.path(), &out.path().join("exchanged"), &[]);
    let told =
        &exchanged.rows[0].findings.iter().find(|finding| finding.code == Code::UnreadableLabel).unwrap();
    assert!(told.message.contains("several values: check that it is no image"), "{}", told.message);
}

#[test]
fn the_label_called_ignore_is_none() {
    let (sample, cohort, out) = (folder(), folder(), folder());
    cohort_of(sample.path(), 0..8);
    for (from, to) in [("images", "imagesTr"), ("labels", "labelsTr")] {
        std::fs::rename(sample.path().join(from), cohort.path().join(to)).unwrap();
    }
    let dataset = r#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1, "b": 2, "c": 3, "d": 4, "ignore": 5}}"#;
    std::fs::write(cohort.path().join("dataset.json"), dataset).unwrap();
    curate(cohort.path(), out.path(), &["--no-report", "--proxy-size", "16"]);
    let cases = Cases::read(out.path()).unwrap();
    assert!(cases.rows.iter().all(|row| row.labels.iter().all(|label| label.value < 5)));
    assert!(cases.rows.iter().all(|row| !row.labels_annotated.contains(&5)));
    assert!(cases.findings.iter().any(|finding| finding.code.as_str() == "label-ignored"));
    let manifest = Manifest::open(out.path()).unwrap();
    assert_eq!(manifest.info.index.ignored_label(), Some(5));
    assert!(manifest.info.labels.iter().all(|label| label.value != 5));

    // A rule that leaves everything else out leaves it what it is, under the next value.
    let ruled = index(cohort.path(), &out.path().join("ruled"), &["--structures", "a=a"]);
    assert_eq!(ruled.parameters.ignored_label(), Some(2));
    let row = &ruled.rows[0];
    let [old, new] = [(out.path().to_owned(), &cases.rows), (out.path().join("ruled"), &ruled.rows)].map(
        |(folder, rows)| {
            let row = rows.iter().find(|other| other.case_id == row.case_id).unwrap();
            labels(&folder, row.label.as_ref().unwrap())
        },
    );
    assert!(old.contains(&5) && old.iter().zip(&new).all(|(old, new)| (*old == 5) == (*new == 2)));
}

#[test]
fn how_near_to_a_whole_number_is_near_enough_can_be_said() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..3);
    let path = cohort.path().join("labels/ct_01.nii.gz");
    let map = pdl_io::read_labels(&path).unwrap().map;
    let blurred =
        Volume { grid: map.grid, voxels: map.voxels.iter().map(|v| f32::from(*v) * 0.93).collect() };
    nifti::write_image(&path, &blurred).unwrap();
    let rejected = index(cohort.path(), &out.path().join("strict"), &[]);
    assert!(!rejected.rows[0].is_usable());
    let rounded = index(cohort.path(), &out.path().join("near"), &["--round-labels", "0.4"]);
    let row = &rounded.rows[0];
    assert!(row.findings.iter().any(|finding| finding.code == Code::LabelRounded), "{:?}", row.findings);
    assert_eq!(labels(&out.path().join("near"), row.label.as_ref().unwrap()), map.voxels);
    assert!(rounded.rows[1].findings.iter().all(|finding| finding.code != Code::LabelRounded));
    let words = ["index", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let refused = pdl_tests::run(&[&words[..], &["--round-labels", "0.6"]].concat());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("expected a distance from 0 to 0.5"));
}

#[test]
fn labels_that_preparation_loses_are_told_and_listed() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..5);
    // A single voxel of the label 9.
    for case in 1..=5 {
        let path = cohort.path().join(format!("labels/ct_{case:02}.nii.gz"));
        let mut map = pdl_io::read_labels(&path).unwrap().map;
        let [nx, ny, nz] = map.grid.shape;
        let middle = nx / 2 + nx * (ny / 2 + ny * (nz / 2));
        map.voxels[middle] = 9;
        nifti::write_labels(&path, &map).unwrap();
    }
    let words = ["curate", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let flags = ["--no-report", "--proxy-size", "16", "--spacing", "20,20,20"];
    let output = pdl_tests::run(&[&words[..], &flags].concat());
    let told = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("9 in 5 of 5 cases (ct_01)") && told.contains("[label-vanished]"), "{told}");
    assert!(told.contains("[label-shrunk]"), "{told}");
    let rows = pdl_prepare::prepared_row::read(out.path()).unwrap();
    let cases = Cases::read(out.path()).unwrap();
    for (row, case) in rows.iter().zip(&cases.rows) {
        let prepared = labels(out.path(), row.label.as_deref().unwrap());
        assert_eq!(row.labels.len(), case.labels.len());
        for label in &row.labels {
            let voxels = prepared.iter().filter(|value| **value == label.value).count() as u64;
            assert_eq!(voxels, label.voxels);
            let before = case.labels.iter().find(|own| own.value == label.value).unwrap().voxels as f64;
            let volumes = [&row.spacing_mm, &case.spacing_mm].map(|sides| sides.iter().product::<f64>());
            assert!((label.kept - voxels as f64 * volumes[0] / (before * volumes[1])).abs() < 1e-9);
        }
    }
}

#[test]
fn label_maps_without_their_origin_are_taken_voxel_for_voxel_where_that_is_said() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..3);
    let path = cohort.path().join("labels/ct_02.nii.gz");
    let mut map = pdl_io::read_labels(&path).unwrap().map;
    let steps = [0, 1, 2].map(|axis| map.grid.affine.step_mm(axis));
    map.grid.affine = Affine::from_columns(steps, [0.0; 3]);
    nifti::write_labels(&path, &map).unwrap();
    let rejected = index(cohort.path(), &out.path().join("as-stated"), &[]);
    assert_eq!(rejected.rows.iter().filter(|row| !row.is_usable()).count(), 1);
    let taken = index(cohort.path(), &out.path().join("copied"), &["--copy-affine"]);
    assert!(taken.rows.iter().all(|row| row.is_usable()));
    let told = |number: usize| {
        taken.rows[number].findings.iter().any(|finding| finding.code == Code::LabelAffineReplaced)
    };
    assert_eq!([told(0), told(1), told(2)], [false, true, false]);
}
