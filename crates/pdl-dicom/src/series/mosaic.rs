//! Siemens mosaics: all slices of a volume as tiles of one image.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::file::{number, text};
use crate::series::geometry::{Plane, Vector, dot, plus};

/// "SIEMENS CSA HEADER", the image's header.
const CSA_IMAGE_HEADER: Tag = Tag(0x0029, 0x1010);
/// Number of images in the mosaic, if Siemens' private group states it.
const IMAGES_IN_MOSAIC: Tag = Tag(0x0019, 0x100A);
/// Bytes of a CSA tag's header: name 64, VM, VR 4, syngo type, items, and a check word.
const CSA_TAG: usize = 84;

/// How a mosaic is laid out.
pub(crate) struct Mosaic {
    slices: usize,
    /// From slice to slice, mm.
    step: f64,
    /// The direction of growing slice numbers, if the header states it.
    normal: Option<Vector>,
}

/// Whether an object calls itself a mosaic: also the slices of one that was split since.
pub(crate) fn is_named(object: &InMemDicomObject) -> bool {
    text(object, tags::IMAGE_TYPE).split('\\').any(|part| part.trim() == "MOSAIC")
}

/// The mosaic in this object, or nothing when it is none.
pub(crate) fn find(object: &InMemDicomObject) -> Option<Mosaic> {
    if !is_named(object) {
        return None;
    }
    let csa = object.get(CSA_IMAGE_HEADER).and_then(|e| e.to_bytes().ok()).unwrap_or_default();
    let from_csa = csa_numbers(&csa, "NumberOfImagesInMosaic").and_then(|v| v.first().copied());
    let slices = number(object, IMAGES_IN_MOSAIC).or(from_csa).filter(|n| (1.0..=65535.0).contains(n))?;
    let step =
        number(object, tags::SPACING_BETWEEN_SLICES).or_else(|| number(object, tags::SLICE_THICKNESS))?;
    let normal = csa_numbers(&csa, "SliceNormalVector").and_then(|v| v.try_into().ok());
    Some(Mosaic { slices: slices as usize, step: step.abs(), normal })
}

impl Mosaic {
    /// First column and row of every slice in the mosaic, and its plane; `None` if the mosaic does
    /// not divide evenly. ImagePositionPatient is that of a slice as large as the mosaic, so that
    /// the tiles' corner lies half the difference further in.
    pub(crate) fn tiles(&self, whole: &Plane) -> Option<Vec<([usize; 2], Plane)>> {
        let side = (1..).find(|n| n * n >= self.slices)?;
        if self.step <= 0.0 || whole.size.iter().any(|n| n % side != 0) {
            return None;
        }
        let size = whole.size.map(|n| n / side);
        let inset = |axis: usize| whole.spacing[axis] * (whole.size[axis] - size[axis]) as f64 / 2.0;
        let corner = plus(whole.position, whole.along_row, inset(0));
        let corner = plus(corner, whole.along_column, inset(1));
        let towards = self.normal.map_or(1.0, |normal| dot(normal, whole.normal()).signum());
        let tile = |slice: usize| {
            let position = plus(corner, whole.normal(), towards * self.step * slice as f64);
            ([slice % side * size[0], slice / side * size[1]], Plane { position, size, ..*whole })
        };
        Some((0..self.slices).map(tile).collect())
    }
}

/// The numbers of one tag of a CSA header of version 2 ("SV10"), as nibabel documents the format.
fn csa_numbers(csa: &[u8], wanted: &str) -> Option<Vec<f64>> {
    let word = |at: usize| csa.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
    if csa.get(..4)? != b"SV10" {
        return None;
    }
    let tags = word(8)?;
    let mut at: usize = 16;
    for _ in 0..tags {
        let name = csa.get(at..at + 64)?.split(|b| *b == 0).next()?;
        let items = word(at + 76)?;
        at += CSA_TAG;
        let mut found = Vec::new();
        for _ in 0..items {
            let length = word(at + 4)?; // the second of four words
            let value = csa.get(at + 16..at.checked_add(16)?.checked_add(length)?)?;
            let text: String = value.iter().take_while(|b| **b != 0).map(|b| char::from(*b)).collect();
            found.extend(text.trim().parse::<f64>().ok());
            at += 16 + length.div_ceil(4) * 4;
        }
        if name == wanted.as_bytes() {
            return Some(found);
        }
    }
    None
}
