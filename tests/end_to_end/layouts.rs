//! Cohorts in the layouts of public data sets, read without a table.

use std::fs;
use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_cohort::table::cases::Cases;
use pdl_findings::Code;
use pdl_io::nifti;
use pdl_tests::{root, run, run_ok, sample};
use pdl_volume::LabelMap;
use serde_json::Value;

use crate::folder;

/// The structures of the sample by value, as TotalSegmentator calls them, and one that is nowhere.
const STRUCTURES: [(u16, &str); 6] = [
    (1, "lung_left"),
    (2, "lung_right"),
    (3, "heart"),
    (4, "spinal_cord"),
    (5, "esophagus"),
    (99, "kidney_left"),
];

fn index(cohort: &Path, out: &Path, flags: &[&str]) -> Value {
    let words = ["index", cohort.to_str().unwrap(), "--out", out.to_str().unwrap(), "--json"];
    serde_json::from_str(&run_ok(&[&words[..], flags].concat())).unwrap()
}

/// Writes cases of the sample with a mask for each structure, of which the heart's reaches into the
/// oesophagus; their label maps in the sample.
fn totalsegmentator(to: &Path, cases: usize) -> Vec<LabelMap> {
    let mut table = "image_id;age;split\n".to_owned();
    let one = |case: usize| {
        let folder = to.join(format!("s{case:04}"));
        fs::create_dir_all(folder.join("segmentations")).unwrap();
        let of = |kind: &str| sample("ct").join(kind).join(format!("ct_{case:02}.nii.gz"));
        fs::copy(of("images"), folder.join("ct.nii.gz")).unwrap();
        let map = pdl_io::read_labels(&of("labels")).unwrap().map;
        for (value, name) in STRUCTURES {
            let is_in = |label: &u16| *label == value || value == 3 && *label == 5;
            let voxels = map.voxels.iter().map(|label| u16::from(is_in(label))).collect();
            let path = folder.join("segmentations").join(format!("{name}.nii.gz"));
            nifti::write_labels(&path, &LabelMap { grid: map.grid, voxels }).unwrap();
        }
        table += &format!("s{case:04};{};{}\n", 40 + case, if case == 1 { "test" } else { "train" });
        map
    };
    let maps = (1..=cases).map(one).collect();
    fs::write(to.join("meta.csv"), table).unwrap();
    maps
}

#[test]
fn masks_of_structures_become_one_label_map_by_their_names() {
    let (cohort, out) = (folder(), folder());
    let maps = totalsegmentator(cohort.path(), 3);
    let result = index(cohort.path(), out.path(), &["--carry", "age"]);
    assert_eq!(result["index"]["cases"], 3, "{result}");
    let cases = Cases::read(out.path()).unwrap();
    let names: Vec<(u16, &str)> =
        cases.label_names.iter().map(|(value, name)| (*value, name.as_str())).collect();
    let expected = [
        (1, "esophagus"),
        (2, "heart"),
        (3, "kidney_left"),
        (4, "lung_left"),
        (5, "lung_right"),
        (6, "spinal_cord"),
    ];
    assert_eq!(names, expected);
    // The heart has the higher value, and with it what both masks claim.
    let value = |label: u16| match label {
        0 => 0,
        3 | 5 => 2,
        1 => 4,
        2 => 5,
        _ => 6,
    };
    for (row, map) in cases.rows.iter().zip(&maps) {
        let kept = pdl_io::read_labels(&out.path().join(row.label.as_ref().unwrap())).unwrap().map;
        assert!(
            kept.voxels.iter().copied().eq(map.voxels.iter().map(|label| value(*label))),
            "{}",
            row.case_id
        );
        let overlap =
            row.findings.iter().find(|finding| finding.code == Code::OverlappingStructures).unwrap();
        let voxels = map.voxels.iter().filter(|label| **label == 5).count();
        assert!(overlap.message.contains(&format!("heart over esophagus ({voxels} voxels)")), "{overlap:?}");
        // Of the structures that a case of the cohort has; none has an esophagus beside the heart,
        // and none a left kidney.
        assert_eq!(row.labels_annotated, [2, 4, 5, 6]);
    }
    assert_eq!(
        cases.rows.iter().map(|row| row.split).collect::<Vec<_>>(),
        [Split::Test, Split::Train, Split::Train]
    );
    assert_eq!(cases.rows[1].carried["age"].as_deref(), Some("42"));
    assert_eq!(index(cohort.path(), out.path(), &["--carry", "age"])["index"]["read"], 0);
    let rules = ["--structures", "lung_*=lung", "--structures", "heart=heart"];
    let chosen = folder();
    index(cohort.path(), chosen.path(), &rules);
    let chosen = Cases::read(chosen.path()).unwrap();
    assert_eq!(chosen.label_names.into_values().collect::<Vec<_>>(), ["lung", "heart"]);
    assert_eq!(chosen.rows[0].labels.len(), 2);
}

#[test]
fn a_mask_of_several_values_or_of_another_grid_rejects_its_case() {
    let (cohort, out) = (folder(), folder());
    let maps = totalsegmentator(cohort.path(), 4);
    let mask = |case: usize| cohort.path().join(format!("s{case:04}/segmentations/lung_left.nii.gz"));
    nifti::write_labels(&mask(1), &maps[0]).unwrap();
    let mut moved = maps[1].clone();
    moved.grid.affine =
        pdl_volume::Affine::from_orientation("LPS".parse().unwrap(), [3.0; 3], moved.grid.shape);
    moved.voxels.iter_mut().for_each(|label| *label = u16::from(*label == 1));
    nifti::write_labels(&mask(2), &moved).unwrap();
    index(cohort.path(), out.path(), &[]);
    let rows = Cases::read(out.path()).unwrap().rows;
    let message = |case: usize, code: Code| {
        let found = rows[case].findings.iter().find(|finding| finding.code == code);
        found.unwrap_or_else(|| panic!("{:?}", rows[case].findings)).message.clone()
    };
    assert!(
        message(0, Code::UnreadableLabel).contains("lung_left: its file must be the mask of one structure")
    );
    assert!(message(1, Code::GridMismatch).starts_with("lung_left: its mask"));
    assert_eq!(rows.iter().map(|row| row.is_usable()).collect::<Vec<_>>(), [false, false, true, true]);
}

#[test]
fn pictures_are_2d_cases_of_pixels_of_1_mm_unless_stated() {
    let cohort = folder();
    for kind in ["imagesTr", "labelsTr"] {
        fs::create_dir(cohort.path().join(kind)).unwrap();
    }
    let slice = |number: usize| root().join(format!("tests/golden/data/stacks/png-8/slice{number}.png"));
    for number in 1..=3 {
        fs::copy(slice(number), cohort.path().join(format!("imagesTr/a{number}_0000.png"))).unwrap();
        fs::copy(slice(number), cohort.path().join(format!("labelsTr/a{number}.png"))).unwrap();
    }
    for (flags, spacing) in [(&[][..], 1.0), (&["--stack-spacing", "0.5,0.5,1"], 0.5)] {
        let out = folder();
        index(cohort.path(), out.path(), flags);
        let cases = Cases::read(out.path()).unwrap();
        assert_eq!((cases.usable().count(), cases.rows[0].spacing_mm[0]), (3, spacing), "{:?}", cases.rows);
        assert_eq!(cases.rows[0].shape[2], 1);
        let told = cases.findings.iter().any(|finding| finding.code == Code::PixelSizeAssumed);
        assert_eq!(told, flags.is_empty());
    }
}

#[test]
fn a_data_set_without_a_case_is_no_import() {
    let folder = folder();
    let list = folder.path().join("list.json");
    fs::write(&list, r#"{"training": [{"image": "a.nii.gz"}], "testing": ["b.nii.gz"]}"#).unwrap();
    let dest = folder.path().join("cohort");
    let refused = run(&["import", list.to_str().unwrap(), "--dest", dest.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("no case with an image and a label map (2 without a label map)"), "{told}");
    assert!(!dest.exists());
}
