//! Findings by their codes, which scripts rely on: those that no other test expects by its code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use pdl_cohort::table::cases::Cases;
use pdl_findings::{Code, Finding};
use pdl_io::nifti;
use pdl_tests::{run, sample};

use crate::dicom::copy_case;
use crate::{cohort_of, folder};

/// The codes in the rows of `cases.parquet` and of the cohort, after `pdl index`.
fn indexed(cohort: &Path, flags: &[&str]) -> BTreeSet<Code> {
    let out = folder();
    let words = ["index", cohort.to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let told = String::from_utf8(run(&[&words[..], flags].concat()).stderr).unwrap();
    let cases = Cases::read(out.path()).unwrap_or_else(|error| panic!("{error}: {told}"));
    let of_rows = cases.rows.iter().flat_map(|row| &row.findings);
    of_rows.chain(&cases.findings).map(|finding: &Finding| finding.code).collect()
}

/// What `pdl` says, in which findings end with their code in brackets.
fn told(words: &[&str]) -> String {
    let output = run(words);
    String::from_utf8([output.stderr, output.stdout].concat()).unwrap()
}

fn assert_holds(found: &BTreeSet<Code>, codes: &[Code]) {
    assert!(codes.iter().all(|code| found.contains(code)), "{codes:?} in {found:?}");
}

fn copy(from: &str, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(sample("ct").join(from), to).unwrap();
}

#[test]
fn channels_and_files_that_leave_a_choice_are_told() {
    let cohort = folder();
    let image = |name: &str| cohort.path().join("imagesTr").join(name);
    for (file, name) in
        [("ct_01", "p_0000.nii.gz"), ("ct_02", "p_0001.nii.gz"), ("ct_03", "q.nii.gz"), ("ct_04", "r.nii.gz")]
    {
        copy(&format!("images/{file}.nii.gz"), &image(name));
    }
    for (file, name) in [("ct_01", "p"), ("ct_03", "q"), ("ct_04", "r")] {
        copy(&format!("labels/{file}.nii.gz"), &cohort.path().join(format!("labelsTr/{name}.nii.gz")));
    }
    nifti::write_image(&image("q.nii"), &pdl_io::read_image(&image("q.nii.gz")).unwrap().volume).unwrap();
    assert_holds(&indexed(cohort.path(), &[]), &[Code::MissingChannel, Code::SeveralFiles]);
    assert_holds(&indexed(cohort.path(), &["--channel", "5"]), &[Code::NoSuchChannel]);
}

#[test]
fn what_the_user_states_or_a_table_holds_is_told() {
    let cohort = folder();
    cohort_of(cohort.path(), 0..5);
    assert_holds(&indexed(cohort.path(), &["--orientation", "RAS"]), &[Code::OrientationOverridden]);
    let mut table = "image,label,modality\n".to_owned();
    for case in 1..=5 {
        let modality = if case == 5 { "MR" } else { "CT" };
        table += &format!("images/ct_{case:02}.nii.gz,labels/ct_{case:02}.nii.gz,{modality}\n");
    }
    fs::write(cohort.path().join("cohort.csv"), table).unwrap();
    let found = indexed(cohort.path(), &["--modality", "CT"]);
    assert_holds(&found, &[Code::OtherModality]);
}

#[cfg(unix)]
#[test]
fn links_out_of_the_cohort_and_special_files_of_a_tree_are_told() {
    let cohort = folder();
    for case in 1..=3 {
        for kind in ["images", "labels"] {
            let name = format!("{kind}/ct_{case:02}.nii.gz");
            copy(&name, &cohort.path().join(&name));
        }
    }
    let linked = cohort.path().join("images/ct_03.nii.gz");
    fs::remove_file(&linked).unwrap();
    std::os::unix::fs::symlink(sample("ct").join("images/ct_03.nii.gz"), &linked).unwrap();
    assert_holds(&indexed(cohort.path(), &[]), &[Code::LinkOutside]);
    let tree = folder();
    copy_case("ct_01", tree.path(), "2.25.", |_| ());
    let fifo = tree.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(fifo).status().unwrap().success());
    assert_holds(&indexed(tree.path(), &["--keep-ids"]), &[Code::SpecialFile]);
}

/// Adds an attribute of one text.
fn put(object: &mut InMemDicomObject, tag: dicom_core::Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, value));
}

#[test]
fn what_a_tree_of_dicom_files_leaves_open_is_told() {
    let tree = folder();
    copy_case("ct_01", tree.path(), "2.25.", |object| {
        object.remove_element(tags::PATIENT_ID);
        if object.get(tags::ROWS).is_some() {
            put(object, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1");
        }
    });
    fs::copy(tree.path().join("CT.005.dcm"), tree.path().join("again.dcm")).unwrap();
    copy_case("ct_01", &tree.path().join("later"), "2.25.", |object| {
        object.remove_element(tags::PATIENT_ID);
        put(object, tags::STRUCTURE_SET_DATE, VR::DA, "20990101");
        put(object, tags::SOP_INSTANCE_UID, VR::UI, "2.25.77");
        // A slice without its contours, between others.
        object.update_value(tags::ROI_CONTOUR_SEQUENCE, |value| {
            for region in value.items_mut().unwrap() {
                region.update_value(tags::CONTOUR_SEQUENCE, |contours| {
                    let contours = contours.items_mut().unwrap();
                    let middle = contours.len() / 2;
                    let height =
                        contours[middle].element(tags::CONTOUR_DATA).unwrap().to_multi_float64().unwrap()[2];
                    let is_there = |contour: &InMemDicomObject| {
                        contour.element(tags::CONTOUR_DATA).unwrap().to_multi_float64().unwrap()[2]
                    };
                    contours.retain(|contour| (is_there(contour) - height).abs() > 0.01);
                });
            }
        });
    });
    for entry in fs::read_dir(tree.path().join("later")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("CT") {
            fs::remove_file(path).unwrap();
        }
    }
    copy("images/ct_02.nii.gz", &tree.path().join("beside.nii.gz"));
    let codes = [
        Code::Inverted,
        Code::MissingContours,
        Code::NoPatientId,
        Code::RepeatedFile,
        Code::SeveralLabels,
        Code::VolumesBesideDicom,
    ];
    assert_holds(&indexed(tree.path(), &["--keep-ids"]), &codes);
}

#[test]
fn what_changes_between_runs_is_told() {
    let (cohort, out) = (folder(), folder());
    let text = |cases: usize, moved: bool| {
        let mut table = "image,label,patient,modality,split\n".to_owned();
        for case in 1..=cases {
            let split = match case {
                1 => "val",
                2 if moved => "val",
                2 => "test",
                _ => "train",
            };
            table += &format!("images/ct_{case:02}.nii.gz,labels/ct_{case:02}.nii.gz,p{case},CT,{split}\n");
        }
        fs::write(cohort.path().join("cohort.csv"), table).unwrap();
    };
    cohort_of(cohort.path(), 0..12);
    let words = |metrics: &'static str| {
        let place = [cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
        let flags = ["--no-report", "--proxy-size", "16", "--metrics", metrics];
        [&["curate"], &place[..], &flags[..]].concat()
    };
    text(4, false);
    told(&words("mse,ssim"));
    // Voxels of other sides in all cases that join.
    for case in 5..=12 {
        let path = cohort.path().join(format!("images/ct_{case:02}.nii.gz"));
        for path in [path.clone(), cohort.path().join(format!("labels/ct_{case:02}.nii.gz"))] {
            let mut volume = pdl_io::read_image(&path).unwrap().volume;
            let mut matrix = volume.grid.affine.to_row_major();
            matrix.iter_mut().take(12).for_each(|value| *value *= 1.5);
            volume.grid.affine = pdl_volume::Affine::from_row_major(&matrix).unwrap();
            nifti::write_image(&path, &volume).unwrap();
        }
    }
    text(12, true);
    let found = told(&words("mse,psnr,ssim"));
    for code in ["split-moved", "plan-drift"] {
        assert!(found.contains(&format!("[{code}]")), "{code}: {found}");
    }
    let ranked = told(&["rank", out.path().to_str().unwrap(), "--metric", "mse,psnr"]);
    assert!(ranked.contains("[psnr-repeats-mse]"), "{ranked}");
}

#[test]
fn labels_of_few_intensities_and_padded_proxies_are_told() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..4);
    for case in 1..=4 {
        let path = |kind: &str| cohort.path().join(format!("{kind}/ct_{case:02}.nii.gz"));
        let mut image = pdl_io::read_image(&path("images")).unwrap().volume;
        let labels = pdl_io::read_labels(&path("labels")).unwrap().map;
        for (voxel, label) in image.voxels.iter_mut().zip(&labels.voxels).filter(|(_, label)| **label > 0) {
            *voxel = 1000.0 + f32::from(*label);
        }
        nifti::write_image(&path("images"), &image).unwrap();
    }
    let place = [cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let found = told(&[&["curate"], &place[..], &["--no-report", "--proxy-size", "16"]].concat());
    assert!(found.contains("[narrow-window]"), "{found}");
    // A field of view that is larger than the images is padded.
    let field = ["prepare", out.path().to_str().unwrap(), "--grid", "fov", "--field-of-view", "400,400,400"];
    let found = told(&[&field[..], &["--proxy-size", "16", "--replan"]].concat());
    assert!(found.contains("[padded-proxies]"), "{found}");
}
