//! Attributes of a frame: from its own functional groups, the shared ones, or the object itself.

use dicom_core::Tag;
use dicom_object::InMemDicomObject;

use crate::file::{items, text};

/// The items that may hold an attribute of a frame, by precedence.
#[derive(Clone, Copy)]
pub(crate) struct Groups<'a> {
    pub frame: &'a InMemDicomObject,
    pub shared: &'a InMemDicomObject,
    pub object: &'a InMemDicomObject,
}

impl Groups<'_> {
    /// From the frame's own group, else the shared one, else the object itself.
    pub(crate) fn find<T>(&self, group: Tag, read: impl Fn(&InMemDicomObject) -> Option<T>) -> Option<T> {
        let of = |groups| items(groups, group).first().and_then(&read);
        of(self.frame).or_else(|| of(self.shared)).or_else(|| read(self.object))
    }

    /// An attribute's text; `None` if it is absent or empty.
    pub(crate) fn text(&self, group: Tag, tag: Tag) -> Option<String> {
        self.find(group, |object| Some(text(object, tag)).filter(|text| !text.is_empty()))
    }
}
