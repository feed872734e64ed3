//! DICOM segmentations: a frame for every segment and plane.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use pdl_store::memory::{MemoryLimit, MemoryShare};
use pdl_store::plural::counted;
use pdl_store::shorten::MOST_LISTED;

use crate::DicomError;
use crate::file::{items, number, text};
use crate::labels::frame_placement::{Placed, Placement};
use crate::labels::mask::Mask;
use crate::labels::references::{VolumeImages, of_frame};
use crate::names::{Identifiers, NameMask, Source, declares_characters, has_odd_characters, name_findings};
use crate::pixels::Pixels;
use crate::series::concatenation::ConcatenationPart;
use crate::series::geometry::{dot, minus};
use crate::series::header::{Frame, frames_where};
use crate::series::slice_positions::SAME_POSITION_MM;
use crate::series::stack::Stack;
use pdl_findings::{Code, Finding};

/// The code of background segments (DCM, PS3.16).
const BACKGROUND: &str = "125040";
/// Frames that are further apart than this many times the slices are those of a coarser image.
const COARSER: f64 = 1.5;

/// A segmentation object with its pixels in memory, as they are stored.
pub struct Segmentation {
    /// Segments by number, without the background of a label map.
    pub segments: Vec<Segment>,
    /// Whether its coordinates are in another frame of reference than the volume.
    pub is_foreign: bool,
    pixels: Pixels,
    kind: Kind,
    /// Frames, each with its segment; `None` in a label map.
    frames: Vec<(Option<u16>, Frame)>,
}

/// The meaning of a pixel of a segmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Whether it is inside.
    Binary,
    /// How much of it is inside; whole at `largest`.
    Fractional { largest: i64 },
    /// The number of its segment, or of none.
    LabelMap { background: Option<i64> },
}

/// A segment of a segmentation object: its number and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Segment number: from 1 by the standard, from 0 in a label map and where a writer counts so.
    pub number: u16,
    /// Segment label, trimmed, with people's names masked; its property type if it has no label.
    pub name: String,
    /// The same as the object has it: never to be shown.
    pub original: String,
    /// Whether its name held such parts.
    pub masked: bool,
    /// Whether characters of its name were guessed, replaced or removed.
    pub odd_characters: bool,
}

impl Segmentation {
    /// Reads a BINARY, FRACTIONAL or LABELMAP segmentation; of fractions, half the largest value
    /// and more is inside.
    ///
    /// # Errors
    /// [`DicomError`] if it cannot be read.
    pub fn read(path: &Path) -> Result<Self, DicomError> {
        Self::read_within(path, &MemoryLimit::free().alone())
    }

    /// Like [`Segmentation::read`], with memory out of a share.
    ///
    /// # Errors
    /// As [`Segmentation::read`].
    pub fn read_within(path: &Path, memory: &MemoryShare<'_>) -> Result<Self, DicomError> {
        Self::read_of_volume(path, &VolumeImages::default(), memory)
    }

    /// Like [`Segmentation::read_within`], without the frames that were drawn on another volume.
    ///
    /// # Errors
    /// As [`Segmentation::read`].
    pub fn read_of_volume(
        path: &Path,
        images: &VolumeImages,
        memory: &MemoryShare<'_>,
    ) -> Result<Self, DicomError> {
        let pixels = Pixels::open(path, memory)?;
        let object = pixels.object();
        if ConcatenationPart::of(object).is_some_and(|part| part.has_others()) {
            let problem = "it is one of several files of a segmentation (a concatenation), which are not joined: store the \
                           segmentation in one file";
            return Err(DicomError::unsupported(path, problem));
        }
        let kind = Kind::of(object).ok_or_else(|| {
            let problem = "a segmentation that is neither binary nor fractional nor a label map";
            DicomError::unsupported(path, problem)
        })?;
        let segments = segments(object);
        let shared = items(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
        let groups = items(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
        let frame_of_reference = text(object, tags::FRAME_OF_REFERENCE_UID);
        let mut frames = Vec::with_capacity(groups.len());
        let nothing = InMemDicomObject::new_empty();
        // A single frame may be described by the shared groups alone.
        let group = |number: usize| groups.get(number).unwrap_or(&nothing);
        // A frame need not state where it lies if it names the image that it was drawn on.
        let wanted = |number: usize| {
            let named = of_frame(group(number));
            images.holds(&named, &frame_of_reference).then(|| images.plane(&named))
        };
        for frame in frames_where(path, object, wanted)? {
            let group = group(frame.number as usize);
            let number = segment_of(group).or_else(|| shared.and_then(segment_of));
            let number = match kind {
                Kind::LabelMap { .. } => None,
                _ => Some(number.ok_or_else(|| DicomError::damaged(path, "a frame names no segment"))?),
            };
            if number.is_some_and(|number| !segments.iter().any(|segment| segment.number == number)) {
                return Err(DicomError::damaged(path, "a frame belongs to a segment that it does not name"));
            }
            frames.push((number, frame));
        }
        let is_foreign = images.is_foreign(&frame_of_reference);
        Ok(Self { segments, is_foreign, pixels, kind, frames })
    }

    /// The planes that its own frames lie on, in the order of their normal.
    ///
    /// # Errors
    /// [`DicomError::Geometry`] if it has no frames or they are not parallel.
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
        let slices = |frame: &Frame| if Placement::is_along(&frame.plane, stack) { 1 } else { usize::MAX };
        let frames = self.frames_of(segment).map(slices).fold(0, usize::saturating_add);
        stack.mask_bytes(frames)
    }

    fn frames_of(&self, segment: u16) -> impl Iterator<Item = &Frame> {
        let frames = self.frames.iter();
        frames.filter(move |(own, _)| own.is_none_or(|own| own == segment)).map(|(_, frame)| frame)
    }

    /// The pixels of a segment on the slices of a series. The pixels of each frame must lie on
    /// voxels of the series; its rows and columns may run along any of the series' axes, either
    /// way, and it may be smaller or stick out.
    ///
    /// # Errors
    /// [`DicomError::LabelGrid`] when a frame that holds some of the segment lies on another grid,
    /// [`DicomError::Damaged`] when its pixels cannot be decoded.
    pub fn mask(&self, segment: u16, stack: &Stack) -> Result<Mask, DicomError> {
        let mut mask = Mask::default();
        let (mut cut, mut fractions, mut inside) = (0, 0, 0);
        for frame in self.frames_of(segment) {
            let stored = self.pixels.frame(frame.number)?;
            let values = || stored.values(0..stored.len()).into_iter().flatten();
            if matches!(self.kind, Kind::Fractional { .. }) {
                fractions += values().filter(|value| self.kind.is_fraction(*value)).count();
            }
            let own = values().filter(|value| self.kind.is_inside(*value, segment)).count();
            if own == 0 {
                continue; // it may lie anywhere
            }
            inside += own;
            let placement = Placement::new(&frame.plane, stack)?;
            let is_own = |(_, value): &(usize, i64)| self.kind.is_inside(*value, segment);
            for (pixel, _) in values().enumerate().filter(is_own) {
                match placement.voxel(pixel) {
                    Placed::Voxel { slice, pixel } => mask.insert(slice, pixel, stack),
                    Placed::Beyond => cut += 1,
                }
            }
        }
        mask.findings = self.findings(segment, cut, fractions, inside);
        mask.findings.extend(self.coarser(segment, stack));
        mask.forget_empty();
        Ok(mask)
    }

    /// Finding about a segment whose frames are thicker than the slices, so that it has frames on
    /// some of them only.
    fn coarser(&self, segment: u16, stack: &Stack) -> Option<Finding> {
        let step = stack.step()?;
        let name = &self.segments.iter().find(|named| named.number == segment)?.name;
        let own = self.frames_of(segment).filter(|frame| Placement::is_along(&frame.plane, stack));
        let first = stack.first();
        let height = |frame: &Frame| dot(minus(frame.plane.position, first.position), first.normal());
        let slices: BTreeSet<usize> = own.map(|frame| stack.nearest(height(frame)).0).collect();
        let slices: Vec<usize> = slices.into_iter().collect();
        let stated = self.frames_of(segment).find_map(|frame| frame.stated_step.or(frame.thickness))?;
        let skips = slices.len() > 1 && slices.windows(2).all(|pair| pair[1] > pair[0] + 1);
        (skips && stated > COARSER * step).then(|| {
            let between = slices[slices.len() - 1] - slices[0] + 1 - slices.len();
            let message = format!(
                "{name}: no frame on {} between its first and last; its frames are {stated:.2} mm apart by their header, the \
                 slices {step:.2} mm",
                counted(between, "slice")
            );
            Finding::new(Code::MissingContours, message)
        })
    }

    fn findings(&self, segment: u16, cut: usize, fractions: usize, inside: usize) -> Vec<Finding> {
        let Some(named) = self.segments.iter().find(|named| named.number == segment) else {
            return Vec::new();
        };
        let name = &named.name;
        let mut found = name_findings(name, named.masked, named.odd_characters);
        if cut > 0 {
            let message = format!("{name}: {cut} of its pixels are outside the image");
            found.push(Finding::new(Code::LabelBeyondImage, message));
        }
        if fractions > 0 {
            let message = format!(
                "{name}: {fractions} of its pixels are fractions; half the largest value and more is inside, {inside} pixels"
            );
            found.push(Finding::new(Code::FractionalSegment, message));
        }
        found
    }

    /// Finding about pixels of a label map that are neither background nor of a segment.
    ///
    /// # Errors
    /// [`DicomError::Damaged`] when pixels cannot be decoded.
    pub fn undescribed(&self) -> Result<Option<Finding>, DicomError> {
        let Kind::LabelMap { background } = self.kind else { return Ok(None) };
        let described = described(self.pixels.object());
        let known: BTreeSet<i64> =
            described.iter().map(|described| i64::from(described.segment.number)).collect();
        let mut others: BTreeMap<i64, usize> = BTreeMap::new();
        for (_, frame) in &self.frames {
            let stored = self.pixels.frame(frame.number)?;
            for value in stored.values(0..stored.len()).into_iter().flatten() {
                if value != 0 && Some(value) != background && !known.contains(&value) {
                    *others.entry(value).or_default() += 1;
                }
            }
        }
        let shown: Vec<String> =
            others.iter().take(MOST_LISTED).map(|(value, n)| format!("{value} ({n} pixels)")).collect();
        Ok((!others.is_empty()).then(|| {
            let more = if others.len() > MOST_LISTED { " and others" } else { "" };
            let message = format!("values that no segment has became background: {}{more}", shown.join(", "));
            Finding::new(Code::LabelVoxelsUnnamed, message)
        }))
    }
}

impl Kind {
    fn of(object: &InMemDicomObject) -> Option<Self> {
        match text(object, tags::SEGMENTATION_TYPE).as_str() {
            "BINARY" => Some(Self::Binary),
            "FRACTIONAL" => {
                let largest = number(object, tags::MAXIMUM_FRACTIONAL_VALUE).unwrap_or(255.0);
                Some(Self::Fractional { largest: (largest as i64).max(1) })
            }
            "LABELMAP" => Some(Self::LabelMap { background: background(object) }),
            _ => None,
        }
    }

    fn is_inside(self, value: i64, segment: u16) -> bool {
        match self {
            Self::Binary => value >= 1,
            Self::Fractional { largest } => 2 * value >= largest && value >= 1,
            Self::LabelMap { .. } => value == i64::from(segment),
        }
    }

    fn is_fraction(self, value: i64) -> bool {
        matches!(self, Self::Fractional { largest } if value > 0 && value < largest)
    }
}

/// The value of a label map's background: the one of PixelPaddingValue (PS3.3, C.8.20.2), if it is
/// there.
fn background(object: &InMemDicomObject) -> Option<i64> {
    number(object, tags::PIXEL_PADDING_VALUE).map(|value| value as i64)
}

/// The names of all segments, in the file's order, as it has them.
pub(crate) fn names(object: &InMemDicomObject) -> Vec<String> {
    segments(object).into_iter().map(|segment| segment.original).collect()
}

/// The segments, without the background of a label map.
fn segments(object: &InMemDicomObject) -> Vec<Segment> {
    let segments = described(object).into_iter().filter(|described| !described.is_background);
    segments.map(|described| described.segment).collect()
}

/// An item of the sequence of segments.
struct Described {
    segment: Segment,
    /// Whether it is background.
    is_background: bool,
}

fn described(object: &InMemDicomObject) -> Vec<Described> {
    let people = NameMask::of(&Identifiers::of(object, Source::Labels));
    let declared = declares_characters(object);
    let is_label_map = text(object, tags::SEGMENTATION_TYPE) == "LABELMAP";
    let padding = background(object).filter(|_| is_label_map);
    let described = |item: &InMemDicomObject| {
        let number = number(item, tags::SEGMENT_NUMBER).filter(|n| (0.0..=65535.0).contains(n))? as u16;
        let code = items(item, tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE).first();
        let of_code = |tag| code.map(|code| text(code, tag)).unwrap_or_default();
        let coded =
            of_code(tags::CODE_VALUE) == BACKGROUND && of_code(tags::CODING_SCHEME_DESIGNATOR) == "DCM";
        let label = text(item, tags::SEGMENT_LABEL);
        let original = if label.trim().is_empty() { of_code(tags::CODE_MEANING) } else { label };
        let is_background = is_label_map && (padding == Some(i64::from(number)) || coded);
        let name = people.without(&original);
        let segment = Segment {
            number,
            name: name.text,
            masked: name.masked,
            odd_characters: has_odd_characters(&original, declared),
            original,
        };
        Some(Described { segment, is_background })
    };
    items(object, tags::SEGMENT_SEQUENCE).iter().filter_map(described).collect()
}

fn segment_of(groups: &InMemDicomObject) -> Option<u16> {
    let item = items(groups, tags::SEGMENT_IDENTIFICATION_SEQUENCE).first()?;
    number(item, tags::REFERENCED_SEGMENT_NUMBER).map(|n| n as u16)
}
