//! Labels as an RTSTRUCT that refers to the slices of its series.

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use crate::cohort::PhantomCase;
use crate::contour::{Corner, outlines};
use crate::dicom_elements::{Study, decimals, object, sequence, text, to_lps};
use crate::tissue::LABEL_NAMES;

/// Red, green, blue of each label from 1 on.
const COLOURS: [&str; 5] = ["70\\130\\180", "100\\180\\230", "220\\60\\60", "250\\220\\80", "190\\110\\60"];

/// The structure set of a case: one region for each label.
pub(crate) fn object_of(study: &Study, case: &PhantomCase) -> InMemDicomObject {
    let mut set = study.common(uids::RT_STRUCTURE_SET_STORAGE, &study.uid("rtstruct"), "RTSTRUCT");
    let labels = 1..LABEL_NAMES.len();
    for element in [
        text(tags::INSTANCE_NUMBER, VR::IS, "1"),
        text(tags::STRUCTURE_SET_LABEL, VR::SH, "LABELS"),
        text(tags::STRUCTURE_SET_DATE, VR::DA, "20000101"),
        text(tags::STRUCTURE_SET_TIME, VR::TM, "120000"),
        sequence(tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE, vec![frame(study, case)]),
        sequence(
            tags::STRUCTURE_SET_ROI_SEQUENCE,
            labels.clone().map(|label| region(study, label)).collect(),
        ),
        sequence(
            tags::ROI_CONTOUR_SEQUENCE,
            labels.clone().map(|label| contours(study, case, label)).collect(),
        ),
        sequence(tags::RTROI_OBSERVATIONS_SEQUENCE, labels.map(observation).collect()),
        text(tags::APPROVAL_STATUS, VR::CS, "UNAPPROVED"),
    ] {
        set.put(element);
    }
    set
}

/// A reference to the slice at this index from the feet up.
fn slice_reference(study: &Study, index: usize) -> InMemDicomObject {
    object([
        text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
        text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &study.slice_uid(index)),
    ])
}

/// The frame of reference, with the study and the series whose slices bear the contours.
fn frame(study: &Study, case: &PhantomCase) -> InMemDicomObject {
    let slices = 0..case.scan.labels.grid.shape[2];
    let series = object([
        text(tags::SERIES_INSTANCE_UID, VR::UI, &study.uid("CT")),
        sequence(tags::CONTOUR_IMAGE_SEQUENCE, slices.map(|index| slice_reference(study, index)).collect()),
    ]);
    let study_of_series = object([
        // The retired class that the standard names for this reference.
        text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, "1.2.840.10008.3.1.2.3.1"),
        text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &study.uid("study")),
        sequence(tags::RT_REFERENCED_SERIES_SEQUENCE, vec![series]),
    ]);
    object([
        text(tags::FRAME_OF_REFERENCE_UID, VR::UI, &study.uid("frame")),
        sequence(tags::RT_REFERENCED_STUDY_SEQUENCE, vec![study_of_series]),
    ])
}

fn region(study: &Study, label: usize) -> InMemDicomObject {
    object([
        text(tags::ROI_NUMBER, VR::IS, &label.to_string()),
        text(tags::REFERENCED_FRAME_OF_REFERENCE_UID, VR::UI, &study.uid("frame")),
        text(tags::ROI_NAME, VR::LO, LABEL_NAMES[label]),
        text(tags::ROI_GENERATION_ALGORITHM, VR::CS, "AUTOMATIC"),
    ])
}

fn observation(label: usize) -> InMemDicomObject {
    object([
        text(tags::OBSERVATION_NUMBER, VR::IS, &label.to_string()),
        text(tags::REFERENCED_ROI_NUMBER, VR::IS, &label.to_string()),
        text(tags::RTROI_INTERPRETED_TYPE, VR::CS, "ORGAN"),
        text(tags::ROI_INTERPRETER, VR::PN, ""),
    ])
}

/// The contours of one label, slice by slice from the feet up.
fn contours(study: &Study, case: &PhantomCase, label: usize) -> InMemDicomObject {
    let map = &case.scan.labels;
    let [columns, rows, slices] = map.grid.shape;
    let mut items = Vec::new();
    for index in 0..slices {
        let slice = &map.voxels[index * columns * rows..(index + 1) * columns * rows];
        let inside = |x: usize, y: usize| usize::from(slice[x + columns * y]) == label;
        for outline in outlines([columns, rows], inside) {
            // A pixel's corner lies half a pixel before its centre.
            let place = |corner: &Corner| {
                let voxel = [corner[0] as f64 - 0.5, corner[1] as f64 - 0.5, index as f64];
                to_lps(map.grid.affine.apply(voxel))
            };
            let points: Vec<f64> = outline.iter().flat_map(place).collect();
            items.push(object([
                sequence(tags::CONTOUR_IMAGE_SEQUENCE, vec![slice_reference(study, index)]),
                text(tags::CONTOUR_GEOMETRIC_TYPE, VR::CS, "CLOSED_PLANAR"),
                text(tags::NUMBER_OF_CONTOUR_POINTS, VR::IS, &outline.len().to_string()),
                text(tags::CONTOUR_DATA, VR::DS, &decimals(&points)),
            ]));
        }
    }
    object([
        text(tags::ROI_DISPLAY_COLOR, VR::IS, COLOURS[(label - 1) % COLOURS.len()]),
        sequence(tags::CONTOUR_SEQUENCE, items),
        text(tags::REFERENCED_ROI_NUMBER, VR::IS, &label.to_string()),
    ])
}
