//! What a label object refers to.

use std::collections::BTreeSet;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::file::{items, text};

/// UIDs that a label object names.
#[derive(Clone, Debug, Default)]
pub(crate) struct References {
    /// Images that single contours or frames were drawn on.
    pub drawn_on: BTreeSet<String>,
    /// All images.
    pub instances: BTreeSet<String>,
    /// SeriesInstanceUIDs that the object refers to.
    pub series: BTreeSet<String>,
    /// Frames of reference.
    pub frames: BTreeSet<String>,
}

impl References {
    /// Whether it names neither images nor a series.
    pub(crate) fn name_no_images(&self) -> bool {
        self.drawn_on.is_empty() && self.instances.is_empty() && self.series.is_empty()
    }
}

/// Where the date and time of an object may stand.
const DATES: [(Tag, Tag); 3] = [
    (tags::STRUCTURE_SET_DATE, tags::STRUCTURE_SET_TIME),
    (tags::CONTENT_DATE, tags::CONTENT_TIME),
    (tags::INSTANCE_CREATION_DATE, tags::INSTANCE_CREATION_TIME),
];

/// When the object was made, and its UID so that no two are alike.
pub(crate) fn made_at(object: &InMemDicomObject) -> String {
    let stamp = |(date, time)| {
        Some(text(object, date)).filter(|d| !d.is_empty()).map(|d| d + " " + &text(object, time))
    };
    let found = DATES.into_iter().find_map(stamp).unwrap_or_default();
    format!("{found} {}", text(object, tags::SOP_INSTANCE_UID))
}

/// Everything that an RTSTRUCT or SEG says it was drawn on.
pub(crate) fn references(object: &InMemDicomObject) -> References {
    let mut found = References::default();
    add(&mut found.frames, object, tags::FRAME_OF_REFERENCE_UID);
    for frame in items(object, tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE) {
        add(&mut found.frames, frame, tags::FRAME_OF_REFERENCE_UID);
        for study in items(frame, tags::RT_REFERENCED_STUDY_SEQUENCE) {
            for series in items(study, tags::RT_REFERENCED_SERIES_SEQUENCE) {
                add(&mut found.series, series, tags::SERIES_INSTANCE_UID);
                add_instances(&mut found.instances, series, tags::CONTOUR_IMAGE_SEQUENCE);
            }
        }
    }
    for series in items(object, tags::REFERENCED_SERIES_SEQUENCE) {
        add(&mut found.series, series, tags::SERIES_INSTANCE_UID);
        add_instances(&mut found.instances, series, tags::REFERENCED_INSTANCE_SEQUENCE);
    }
    let shared = items(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE);
    for groups in shared.iter().chain(items(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)) {
        for derivation in items(groups, tags::DERIVATION_IMAGE_SEQUENCE) {
            add_instances(&mut found.drawn_on, derivation, tags::SOURCE_IMAGE_SEQUENCE);
        }
    }
    for region in items(object, tags::STRUCTURE_SET_ROI_SEQUENCE) {
        add(&mut found.frames, region, tags::REFERENCED_FRAME_OF_REFERENCE_UID);
    }
    for region in items(object, tags::ROI_CONTOUR_SEQUENCE) {
        for contour in items(region, tags::CONTOUR_SEQUENCE) {
            add_instances(&mut found.drawn_on, contour, tags::CONTOUR_IMAGE_SEQUENCE);
        }
    }
    found.instances.extend(found.drawn_on.iter().cloned());
    found
}

fn add_instances(found: &mut BTreeSet<String>, object: &InMemDicomObject, sequence: Tag) {
    for item in items(object, sequence) {
        add(found, item, tags::REFERENCED_SOP_INSTANCE_UID);
    }
}

fn add(to: &mut BTreeSet<String>, object: &InMemDicomObject, tag: Tag) {
    let uid = text(object, tag);
    if !uid.is_empty() {
        to.insert(uid);
    }
}
