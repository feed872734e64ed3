//! Structure sets of a tree of DICOM files: which of their structures become labels, and what is
//! said of the others.

use std::path::Path;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, open_file};
use pdl_cohort::attributes::Status;
use pdl_cohort::cases::Cases;
use pdl_cohort::sources;
use pdl_tests::run;

use crate::dicom::copy_case;
use crate::folder;

/// What the index makes of one of the sample's cases after its structure set was edited: names of
/// the labels that its case has, whether it can be used, codes and messages of its findings, and
/// why files were left out.
struct Indexed {
    labels: Vec<String>,
    usable: bool,
    findings: Vec<String>,
    set_aside: Vec<String>,
}

fn indexed(edit: impl Fn(&mut InMemDicomObject)) -> Indexed {
    let (tree, out) = (folder(), folder());
    copy_case("ct_01", tree.path(), "2.25.", |_| ());
    let path = tree.path().join("RTSTRUCT.dcm");
    let mut set = open_file(&path).unwrap();
    edit(&mut set);
    set.write_to_file(&path).unwrap();
    index(tree.path(), out.path())
}

fn index(tree: &Path, out: &Path) -> Indexed {
    let output = run(&["index", tree.to_str().unwrap(), "--out", out.to_str().unwrap(), "--keep-ids"]);
    let told = String::from_utf8(output.stderr).unwrap();
    let cases = Cases::read(out).unwrap_or_else(|error| panic!("{error}: {told}"));
    let [row] = cases.rows.as_slice() else { panic!("{}: {told}", cases.rows.len()) };
    let name = |value: &u16| cases.label_names[value].clone();
    Indexed {
        labels: row.labels_annotated.iter().map(name).collect(),
        usable: row.status == Status::Ok,
        findings: row
            .findings
            .iter()
            .map(|finding| format!("{}: {}", finding.code, finding.message))
            .collect(),
        set_aside: sources::read(out).unwrap().into_iter().filter_map(|row| row.set_aside).collect(),
    }
}

/// Edits the items of a sequence, which must be there.
fn each(object: &mut InMemDicomObject, tag: Tag, edit: impl Fn(usize, &mut InMemDicomObject)) {
    let mut items = 0;
    object.update_value(tag, |value| {
        for (number, item) in value.items_mut().unwrap().iter_mut().enumerate() {
            edit(number, item);
            items += 1;
        }
    });
    assert!(items > 0);
}

/// Removes all that it says of the images it was drawn on.
fn without_images(set: &mut InMemDicomObject) {
    set.remove_element(tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE);
    each(set, tags::ROI_CONTOUR_SEQUENCE, |_, roi| {
        each(roi, tags::CONTOUR_SEQUENCE, |_, contour| {
            contour.remove_element(tags::CONTOUR_IMAGE_SEQUENCE);
        });
    });
}

#[test]
fn structures_in_another_frame_of_reference_are_left_out_with_the_cause() {
    let other = |set: &mut InMemDicomObject, which: fn(usize) -> bool| {
        each(set, tags::STRUCTURE_SET_ROI_SEQUENCE, |number, roi| {
            if which(number) {
                roi.put_str(tags::REFERENCED_FRAME_OF_REFERENCE_UID, VR::UI, "2.25.999");
            }
        });
    };
    let some = indexed(|set| other(set, |number| number < 2));
    assert_eq!(some.labels.len(), 3, "{:?}", some.findings);
    let told = some.findings.iter().filter(|told| told.starts_with("other-frame-of-reference: "));
    assert_eq!(told.count(), 2, "{:?}", some.findings);
    let all = indexed(|set| other(set, |_| true));
    assert!(!all.usable && all.findings.iter().any(|told| told.contains("another frame of reference")));
}

#[test]
fn structures_of_one_name_are_one_label_and_told() {
    let same = indexed(|set| {
        each(set, tags::STRUCTURE_SET_ROI_SEQUENCE, |number, roi| {
            roi.put_str(tags::ROI_NAME, VR::LO, ["Lung", "lung", "heart", "cord", "oesophagus"][number]);
        });
    });
    let told = "label-names-joined: structures of one file have one name, but for case and spaces, and are one label: 'Lung', 'lung'";
    assert!(same.findings.iter().any(|finding| finding == told), "{:?}", same.findings);
    assert_eq!(same.labels.len(), 4);
}

#[test]
fn a_set_without_references_to_images_goes_to_the_only_series_of_its_frame_of_reference() {
    assert_eq!(indexed(without_images).labels.len(), 5);
    let elsewhere = indexed(|set| {
        without_images(set);
        set.put_str(tags::FRAME_OF_REFERENCE_UID, VR::UI, "2.25.999");
        each(set, tags::STRUCTURE_SET_ROI_SEQUENCE, |_, roi| {
            roi.put_str(tags::REFERENCED_FRAME_OF_REFERENCE_UID, VR::UI, "2.25.999");
        });
    });
    assert!(!elsewhere.usable);
    let why = "label file that names no images, in a frame of reference of none that are here";
    assert_eq!(elsewhere.set_aside, [why]);
}

/// A sample case and its slices once more as another series of the same frame of reference, after
/// its structure set was edited: why files were left out, and the labels of each case.
fn twice(edit: impl Fn(&mut InMemDicomObject)) -> (Vec<String>, Vec<usize>) {
    let (tree, out) = (folder(), folder());
    copy_case("ct_01", tree.path(), "2.25.", |_| ());
    copy_case("ct_01", &tree.path().join("again"), "2.25.", |object| {
        let uid = object.element(tags::SOP_INSTANCE_UID).unwrap().to_str().unwrap().into_owned();
        object.put_str(tags::SOP_INSTANCE_UID, VR::UI, again(&uid));
        object.put_str(tags::SERIES_INSTANCE_UID, VR::UI, "2.25.998");
    });
    std::fs::remove_file(tree.path().join("again/RTSTRUCT.dcm")).unwrap();
    let path = tree.path().join("RTSTRUCT.dcm");
    let mut set = open_file(&path).unwrap();
    edit(&mut set);
    set.write_to_file(&path).unwrap();
    let flags = ["--out", out.path().to_str().unwrap(), "--keep-ids"];
    let output = run(&[&["index", tree.path().to_str().unwrap()], &flags[..]].concat());
    let set_aside = sources::read(out.path())
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
        .into_iter()
        .filter_map(|row| row.set_aside);
    let cases = Cases::read(out.path()).unwrap();
    (set_aside.collect(), cases.rows.iter().map(|row| row.labels_annotated.len()).collect())
}

/// The UID of the same slice in the other series.
fn again(uid: &str) -> String {
    uid.trim_end_matches('\0').to_owned() + "1"
}

#[test]
fn a_set_that_names_no_images_and_fits_several_series_is_left_out_with_the_cause() {
    let (set_aside, labels) = twice(without_images);
    assert_eq!(set_aside, ["label file that names no images, in a frame of reference of several series"]);
    assert_eq!(labels, [0, 0]);
}

#[test]
fn of_the_series_that_a_set_lists_those_that_its_contours_are_drawn_on_bear_it() {
    let listing_both = |set: &mut InMemDicomObject| {
        each(set, tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE, |_, frame| {
            each(frame, tags::RT_REFERENCED_STUDY_SEQUENCE, |_, study| {
                study.update_value(tags::RT_REFERENCED_SERIES_SEQUENCE, |value| {
                    let series = value.items_mut().unwrap();
                    let mut other = series[0].clone();
                    other.put_str(tags::SERIES_INSTANCE_UID, VR::UI, "2.25.998");
                    each(&mut other, tags::CONTOUR_IMAGE_SEQUENCE, |_, image| {
                        let uid = image
                            .element(tags::REFERENCED_SOP_INSTANCE_UID)
                            .unwrap()
                            .to_str()
                            .unwrap()
                            .into_owned();
                        image.put_str(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, again(&uid));
                    });
                    series.push(other);
                });
            });
        });
    };
    let (set_aside, mut labels) = twice(listing_both);
    labels.sort_unstable();
    assert_eq!((set_aside, labels), (vec![], vec![0, 5]));
}

#[test]
fn a_damaged_contour_costs_that_contour_alone() {
    let damaged = indexed(|set| {
        each(set, tags::ROI_CONTOUR_SEQUENCE, |number, roi| {
            each(roi, tags::CONTOUR_SEQUENCE, |place, contour| {
                if (number, place) == (0, 2) {
                    contour.remove_element(tags::CONTOUR_DATA);
                }
            });
        });
    });
    assert_eq!((damaged.labels.len(), damaged.usable), (5, true), "{:?}", damaged.findings);
    let told = "1 contour left out: 1 without points";
    assert!(damaged.findings.iter().any(|finding| finding.contains(told)), "{:?}", damaged.findings);
}
