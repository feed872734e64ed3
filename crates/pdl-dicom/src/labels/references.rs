//! References of a label object.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::file::{items, numbers, text};
use crate::series::geometry::Plane;

/// Frames of images by the images' UIDs, counted from 1; none where the whole image is named.
pub(crate) type NamedFrames = BTreeMap<String, BTreeSet<u32>>;

/// UIDs that a label object names.
#[derive(Clone, Debug, Default)]
pub(crate) struct References {
    /// Images that contours or frames say they were drawn on.
    pub drawn_on: NamedFrames,
    /// Images that are listed for the object as a whole.
    pub listed: NamedFrames,
    /// SeriesInstanceUIDs that the object refers to.
    pub series: BTreeSet<String>,
    /// Frames of reference.
    pub frames: BTreeSet<String>,
}

impl References {
    /// Whether it names neither images nor a series.
    pub(crate) fn name_no_images(&self) -> bool {
        self.drawn_on.is_empty() && self.listed.is_empty() && self.series.is_empty()
    }
}

/// Attributes with the date and time of an object.
const DATES: [(Tag, Tag); 3] = [
    (tags::STRUCTURE_SET_DATE, tags::STRUCTURE_SET_TIME),
    (tags::CONTENT_DATE, tags::CONTENT_TIME),
    (tags::INSTANCE_CREATION_DATE, tags::INSTANCE_CREATION_TIME),
];

/// A sort key: the time of creation of the object, then its UID.
pub(crate) fn made_at(object: &InMemDicomObject) -> String {
    let stamp = |(date, time)| {
        Some(text(object, date)).filter(|d| !d.is_empty()).map(|d| d + " " + &text(object, time))
    };
    let found = DATES.into_iter().find_map(stamp).unwrap_or_default();
    format!("{found} {}", text(object, tags::SOP_INSTANCE_UID))
}

/// All images that an RTSTRUCT or SEG states as drawn on.
pub(crate) fn references(object: &InMemDicomObject) -> References {
    let mut found = References::default();
    add(&mut found.frames, object, tags::FRAME_OF_REFERENCE_UID);
    for frame in items(object, tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE) {
        add(&mut found.frames, frame, tags::FRAME_OF_REFERENCE_UID);
        for study in items(frame, tags::RT_REFERENCED_STUDY_SEQUENCE) {
            for series in items(study, tags::RT_REFERENCED_SERIES_SEQUENCE) {
                add(&mut found.series, series, tags::SERIES_INSTANCE_UID);
                extend(&mut found.listed, named_frames(series, tags::CONTOUR_IMAGE_SEQUENCE));
            }
        }
    }
    extend(&mut found.listed, named_frames(object, tags::SOURCE_IMAGE_SEQUENCE));
    for series in items(object, tags::REFERENCED_SERIES_SEQUENCE) {
        add(&mut found.series, series, tags::SERIES_INSTANCE_UID);
        extend(&mut found.listed, named_frames(series, tags::REFERENCED_INSTANCE_SEQUENCE));
    }
    let shared = items(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE);
    for groups in shared.iter().chain(items(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)) {
        extend(&mut found.drawn_on, of_frame(groups));
    }
    for region in items(object, tags::STRUCTURE_SET_ROI_SEQUENCE) {
        add(&mut found.frames, region, tags::REFERENCED_FRAME_OF_REFERENCE_UID);
    }
    for region in items(object, tags::ROI_CONTOUR_SEQUENCE) {
        for contour in items(region, tags::CONTOUR_SEQUENCE) {
            extend(&mut found.drawn_on, of_contour(contour));
        }
    }
    found
}

fn extend(all: &mut NamedFrames, more: NamedFrames) {
    for (instance, frames) in more {
        all.entry(instance).or_default().extend(frames);
    }
}

/// The images, and frames of them, that the items of a sequence name.
fn named_frames(object: &InMemDicomObject, sequence: Tag) -> NamedFrames {
    let mut named = NamedFrames::new();
    for item in items(object, sequence) {
        let instance = text(item, tags::REFERENCED_SOP_INSTANCE_UID);
        if !instance.is_empty() {
            let frames = numbers(item, tags::REFERENCED_FRAME_NUMBER);
            extend(&mut named, [(instance, frames.into_iter().map(|frame| frame as u32).collect())].into());
        }
    }
    named
}

/// The images that a contour refers to.
pub(crate) fn of_contour(contour: &InMemDicomObject) -> NamedFrames {
    named_frames(contour, tags::CONTOUR_IMAGE_SEQUENCE)
}

/// The images that a frame of a segmentation was derived from.
pub(crate) fn of_frame(groups: &InMemDicomObject) -> NamedFrames {
    let mut named = NamedFrames::new();
    for derivation in items(groups, tags::DERIVATION_IMAGE_SEQUENCE) {
        extend(&mut named, named_frames(derivation, tags::SOURCE_IMAGE_SEQUENCE));
    }
    named
}

/// The images of one volume among all that exist, to distinguish contours that were drawn on
/// another volume at the same place.
#[derive(Clone, Debug, Default)]
pub struct VolumeImages {
    /// The volume's own images, and their frames counted from 1, each with its plane; `None` where
    /// it has several, as a mosaic.
    pub(crate) own: HashMap<String, HashMap<u32, Option<Plane>>>,
    /// Images that other volumes have, or have some frames of.
    pub(crate) others: HashSet<String>,
    /// The volume's frame of reference.
    pub(crate) frame_of_reference: String,
    /// Frames of reference of other volumes.
    pub(crate) other_frames_of_reference: HashSet<String>,
}

impl VolumeImages {
    /// Whether a contour or frame that refers to these images may belong to this volume: it refers
    /// to one of its images, or to none of another volume.
    fn may_hold(&self, named: &NamedFrames) -> bool {
        named.is_empty() || self.names_own(named) || !named.keys().any(|name| self.others.contains(name))
    }

    /// Whether one of the volume's own images is named; frames count where the image has some in
    /// another volume.
    fn names_own(&self, named: &NamedFrames) -> bool {
        named.iter().any(|(instance, frames)| {
            self.own.get(instance).is_some_and(|own| {
                !self.others.contains(instance)
                    || frames.is_empty()
                    || frames.iter().any(|n| own.contains_key(n))
            })
        })
    }

    /// Whether a contour or frame with these references, in this frame of reference, belongs to
    /// this volume.
    pub(crate) fn holds(&self, named: &NamedFrames, frame_of_reference: &str) -> bool {
        let of_another = self.is_foreign(frame_of_reference)
            && self.other_frames_of_reference.contains(frame_of_reference);
        self.may_hold(named) && (!of_another || self.names_own(named))
    }

    /// The plane of the one frame of the volume that is named; `None` if several are, or none is.
    pub(crate) fn plane(&self, named: &NamedFrames) -> Option<Plane> {
        let mut planes = named.iter().flat_map(|(instance, frames)| {
            let own = self.own.get(instance).into_iter().flatten();
            own.filter(|(number, _)| frames.is_empty() || frames.contains(number)).map(|(_, plane)| *plane)
        });
        planes.next().filter(|_| planes.next().is_none()).flatten()
    }

    /// Whether coordinates in this frame of reference are known not to be those of the volume.
    pub(crate) fn is_foreign(&self, frame_of_reference: &str) -> bool {
        ![frame_of_reference, &self.frame_of_reference].contains(&"")
            && frame_of_reference != self.frame_of_reference
    }
}

fn add(to: &mut BTreeSet<String>, object: &InMemDicomObject, tag: Tag) {
    let uid = text(object, tag);
    if !uid.is_empty() {
        to.insert(uid);
    }
}
