//! DICOM segmentations: a frame for every segment and plane.

use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use pdl_store::memory::{MemoryLimit, MemoryShare};

use crate::DicomError;
use crate::file::{items, number, text};
use crate::geometry::{dot, minus, norm};
use crate::header::{Frame, frames_of};
use crate::mask::Mask;
use crate::names::{Identifiers, NameMask, Source};
use crate::pixels::Pixels;
use crate::rtstruct::name_masked;
use crate::stack::Stack;
use crate::volume_grouping::SAME_POSITION_MM;
use pdl_findings::{Code, Finding};

/// A frame further from a slice than this share of the step, or from whole pixels than this share
/// of one, is on another grid.
const GRID_TOLERANCE: f64 = 0.01;

/// A segmentation object with its pixels in memory, as they are stored.
pub struct Segmentation {
    /// Its segments, by number.
    pub segments: Vec<Segment>,
    pixels: Pixels,
    kind: Kind,
    /// Its frames, with the segment that each is of, other than in a label map.
    frames: Vec<(Option<u16>, Frame)>,
}

/// What a pixel of a segmentation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Inside when it has at least this value.
    Share(i64),
    /// The number of its segment.
    LabelMap,
}

/// A segment of a segmentation object: its number and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Segment number, from 1.
    pub number: u16,
    /// Segment label, trimmed, without what the header of the object says of people; that of its
    /// property type where it has none.
    pub name: String,
    /// The same as the object has it: never to be shown.
    pub original: String,
    /// Whether its name held such parts.
    pub masked: bool,
}

impl Segmentation {
    /// Reads a BINARY, FRACTIONAL or LABELMAP segmentation; of fractions, half the largest value
    /// and more is inside.
    ///
    /// # Errors
    /// [`DicomError`] when it cannot be read.
    pub fn read(path: &Path) -> Result<Self, DicomError> {
        Self::read_within(path, &MemoryLimit::free().alone())
    }

    /// As [`Segmentation::read`], with memory out of a share.
    ///
    /// # Errors
    /// As [`Segmentation::read`].
    pub fn read_within(path: &Path, memory: &MemoryShare<'_>) -> Result<Self, DicomError> {
        let pixels = Pixels::open(path, memory)?;
        let object = pixels.object();
        let kind = match text(object, tags::SEGMENTATION_TYPE).as_str() {
            "BINARY" => Kind::Share(1),
            "FRACTIONAL" => {
                let largest = number(object, tags::MAXIMUM_FRACTIONAL_VALUE).unwrap_or(255.0);
                Kind::Share(((largest / 2.0).ceil() as i64).max(1))
            }
            "LABELMAP" => Kind::LabelMap,
            _ => {
                return Err(DicomError::unsupported(
                    path,
                    "a segmentation that is neither binary nor fractional nor a label map",
                ));
            }
        };
        let segments = segments(object);
        let shared = items(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
        let groups = items(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
        let mut frames = Vec::with_capacity(groups.len());
        for (frame, group) in frames_of(path, object)?.into_iter().zip(groups) {
            let number = segment_of(group).or_else(|| shared.and_then(segment_of));
            let number = match kind {
                Kind::LabelMap => None,
                Kind::Share(_) => {
                    Some(number.ok_or_else(|| DicomError::damaged(path, "a frame names no segment"))?)
                }
            };
            if number.is_some_and(|number| !segments.iter().any(|segment| segment.number == number)) {
                return Err(DicomError::damaged(path, "a frame belongs to a segment that it does not name"));
            }
            frames.push((number, frame));
        }
        Ok(Self { segments, pixels, kind, frames })
    }

    /// The planes that its own frames lie on, in the order of their normal.
    ///
    /// # Errors
    /// [`DicomError::Geometry`] when it has no frames or they are not parallel.
    pub fn stack(&self) -> Result<Stack, DicomError> {
        let Some((_, first)) = self.frames.first() else {
            return Err(DicomError::geometry("the segmentation has no frames"));
        };
        if !self.frames.iter().all(|(_, frame)| first.plane.stacks_with(&frame.plane)) {
            return Err(DicomError::geometry("the segmentation's frames are not parallel"));
        }
        let normal = first.plane.normal();
        let mut planes: Vec<_> = self.frames.iter().map(|(_, frame)| frame.plane).collect();
        planes.sort_by(|a, b| dot(a.position, normal).total_cmp(&dot(b.position, normal)));
        planes.dedup_by(|a, b| dot(minus(a.position, b.position), normal).abs() < SAME_POSITION_MM);
        Stack::new(planes)
    }

    /// Bytes of memory that the mask of a segment on these slices takes at most.
    pub fn mask_bytes(&self, segment: u16, stack: &Stack) -> u64 {
        let of_segment = |number: Option<u16>| number.is_none_or(|number| number == segment);
        let frames = self.frames.iter().filter(|(number, _)| of_segment(*number)).count();
        stack.mask_bytes(frames)
    }

    /// The pixels of a segment on the slices of a series: each frame must lie on a slice and its
    /// pixels on the slice's pixels, but it may be smaller or stick out.
    ///
    /// # Errors
    /// [`DicomError::LabelGrid`] when a frame lies on another grid, [`DicomError::Damaged`] when
    /// its pixels cannot be decoded.
    pub fn mask(&self, segment: u16, stack: &Stack) -> Result<Mask, DicomError> {
        let mut mask = Mask::default();
        let mut cut = 0;
        let inside = |value: i64| match self.kind {
            Kind::Share(least) => value >= least,
            Kind::LabelMap => value == i64::from(segment),
        };
        let of_segment = |number: Option<u16>| number.is_none_or(|number| number == segment);
        for (_, frame) in self.frames.iter().filter(|(number, _)| of_segment(*number)) {
            let stored = self.pixels.frame(frame.number)?;
            let flags = stored.values(0..stored.len()).into_iter().flatten().map(inside);
            cut += place(frame, flags, stack, &mut mask)?;
        }
        if cut > 0 {
            let message = format!("{cut} of its pixels lie beyond the image");
            mask.findings.push(Finding::new(Code::LabelBeyondImage, message));
        }
        if let Some(named) = self.segments.iter().find(|named| named.number == segment && named.masked) {
            mask.findings.push(name_masked(&named.name));
        }
        mask.forget_empty();
        Ok(mask)
    }
}

/// The names of all segments, in the file's order, as it has them.
pub(crate) fn names(object: &InMemDicomObject) -> Vec<String> {
    segments(object).into_iter().map(|segment| segment.original).collect()
}

fn segments(object: &InMemDicomObject) -> Vec<Segment> {
    let people = NameMask::of(&Identifiers::of(object, Source::Labels));
    items(object, tags::SEGMENT_SEQUENCE).iter().filter_map(|item| segment(item, &people)).collect()
}

fn segment(item: &InMemDicomObject, people: &NameMask) -> Option<Segment> {
    let number = number(item, tags::SEGMENT_NUMBER).filter(|n| (1.0..=65535.0).contains(n))? as u16;
    let label = text(item, tags::SEGMENT_LABEL);
    let types = items(item, tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE).first();
    let meaning = types.map(|code| text(code, tags::CODE_MEANING)).unwrap_or_default();
    let original = if label.trim().is_empty() { meaning } else { label };
    let name = people.without(&original);
    Some(Segment { number, name: name.text, original, masked: name.masked })
}

fn segment_of(groups: &InMemDicomObject) -> Option<u16> {
    let item = items(groups, tags::SEGMENT_IDENTIFICATION_SEQUENCE).first()?;
    number(item, tags::REFERENCED_SEGMENT_NUMBER).map(|n| n as u16)
}

/// Adds the pixels of a frame to the mask; gives how many lie outside of the slice.
fn place(
    frame: &Frame,
    flags: impl Iterator<Item = bool>,
    stack: &Stack,
    mask: &mut Mask,
) -> Result<usize, DicomError> {
    let first = stack.first();
    let (_, height) = first.locate(frame.plane.position);
    let (slice, off) = stack.nearest(height);
    let step = stack.median_gap().unwrap_or(1.0);
    if off > GRID_TOLERANCE * step {
        return Err(DicomError::label_grid(format!("a frame lies {off:.3} mm from the nearest slice")));
    }
    let plane = &stack.planes()[slice];
    let turned = norm(minus(plane.along_row, frame.plane.along_row))
        + norm(minus(plane.along_column, frame.plane.along_column));
    let sides =
        [0, 1].map(|axis| (plane.spacing[axis] - frame.plane.spacing[axis]).abs() / plane.spacing[axis]);
    if turned > 1e-3 || sides.iter().any(|share| *share > 1e-3) {
        return Err(DicomError::label_grid(
            "its frames have another direction or pixel size than the slices",
        ));
    }
    let (corner, _) = plane.locate(frame.plane.position);
    let whole = corner.map(f64::round);
    let off_pixels = (corner[0] - whole[0]).hypot(corner[1] - whole[1]);
    if off_pixels > GRID_TOLERANCE {
        let mm = off_pixels * plane.spacing[0];
        return Err(DicomError::label_grid(format!("its pixels lie {mm:.3} mm from those of the slices")));
    }
    let [columns, rows] = plane.size;
    let target = mask.slices.entry(slice).or_insert_with(|| vec![false; columns * rows]);
    let mut cut = 0;
    for (index, _) in flags.enumerate().filter(|(_, inside)| *inside) {
        let x = (index % frame.plane.size[0]) as f64 + whole[0];
        let y = (index / frame.plane.size[0]) as f64 + whole[1];
        if x >= 0.0 && y >= 0.0 && x < columns as f64 && y < rows as f64 {
            target[x as usize + columns * y as usize] = true;
        } else {
            cut += 1;
        }
    }
    Ok(cut)
}
