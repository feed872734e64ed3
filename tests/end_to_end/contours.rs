//! Structure sets of a tree of DICOM files: which of their structures become labels, and what is
//! said of the others.

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use pdl_cohort::attributes::Status;
use pdl_cohort::table::cases::Cases;
use pdl_tests::run;

use crate::dicom::copy_case;
use crate::folder;

/// The names of the labels that one of the sample's cases has after `edit` of the number and the
/// item of each structure, its status, and its findings.
fn indexed(edit: impl Fn(usize, &mut InMemDicomObject)) -> (Vec<String>, Status, Vec<String>) {
    let (tree, out) = (folder(), folder());
    copy_case("ct_01", tree.path(), "2.25.", |object| {
        object.update_value(tags::STRUCTURE_SET_ROI_SEQUENCE, |value| {
            value.items_mut().unwrap().iter_mut().enumerate().for_each(|(number, roi)| edit(number, roi));
        });
    });
    let words = ["index", tree.path().to_str().unwrap(), "--out", out.path().to_str().unwrap(), "--keep-ids"];
    let told = String::from_utf8(run(&words).stderr).unwrap();
    let cases = Cases::read(out.path()).unwrap_or_else(|error| panic!("{error}: {told}"));
    let [row] = cases.rows.as_slice() else { panic!("{}: {told}", cases.rows.len()) };
    let labels = row.labels_annotated.iter().map(|value| cases.label_names[value].clone()).collect();
    let finding = |finding: &pdl_findings::Finding| format!("{}: {}", finding.code, finding.message);
    (labels, row.status, row.findings.iter().map(finding).collect())
}

#[test]
fn structures_of_another_frame_of_reference_are_left_out_and_those_of_one_name_joined() {
    let other_frame = |roi: &mut InMemDicomObject| {
        roi.put_str(tags::REFERENCED_FRAME_OF_REFERENCE_UID, VR::UI, "2.25.999");
    };
    let (labels, status, findings) = indexed(|number, roi| match number {
        0 | 1 => other_frame(roi),
        _ => drop(roi.put_str(tags::ROI_NAME, VR::LO, ["Node", "node", "cord"][number - 2])),
    });
    assert_eq!((labels.len(), status), (2, Status::Warning), "{labels:?} {findings:?}");
    let of_frame = findings.iter().filter(|told| told.starts_with("other-frame-of-reference: "));
    assert_eq!(of_frame.count(), 2, "{findings:?}");
    let joined = "label-names-joined: structures of one file have one name, but for case and spaces, and are one \
                  label: 'Node', 'node'";
    assert!(findings.iter().any(|told| told == joined), "{findings:?}");
    let (labels, status, findings) = indexed(|_, roi| other_frame(roi));
    assert_eq!((labels.len(), status), (0, Status::Rejected));
    assert!(findings.iter().any(|told| told.contains("in another frame of reference")), "{findings:?}");
}
