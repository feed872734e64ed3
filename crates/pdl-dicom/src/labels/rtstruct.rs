//! Structure sets: closed planar contours in the patient's millimetres.

use std::collections::BTreeMap;
use std::path::Path;

use dicom_core::PrimitiveValue;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use pdl_store::memory::{MemoryLimit, MemoryShare};
use pdl_store::plural::counted;

use crate::DicomError;
use crate::file::{Extent, items, number, numbers, open, text};
use crate::labels::contour_findings::Drawing;
use crate::labels::contour_planes::{ContourPlane, ContourPlanes};
use crate::labels::contour_set::{ContourSet, SLICES_AT_WORK};
use crate::labels::mask::Mask;
use crate::labels::polygon::{Point, Polygon};
use crate::labels::references::{VolumeImages, of_contour};
use crate::names::{Identifiers, NameMask, Source, declares_characters, has_odd_characters, name_findings};
use crate::series::stack::Stack;
use pdl_findings::{Code, Finding};

/// An RTSTRUCT.
#[derive(Clone, Debug)]
pub struct StructureSet {
    /// Structures, in the file's order.
    pub regions: Vec<Region>,
    /// Findings about the set as a whole.
    pub findings: Vec<Finding>,
}

/// One structure (ROI) of a set.
#[derive(Clone, Debug, Default)]
pub struct Region {
    /// ROI number, if it has one that is a whole number.
    pub number: Option<i64>,
    /// ROI name, trimmed, with people's names masked.
    pub name: String,
    /// ROI name as the set has it: never to be shown.
    pub original: String,
    /// Whether its name held such parts.
    pub masked: bool,
    /// Whether characters of its name were guessed, replaced or removed.
    pub odd_characters: bool,
    /// UID of the frame of reference of its points, empty where the set names none: never to be
    /// shown.
    pub frame_of_reference: String,
    /// Closed contours.
    pub contours: Vec<Contour>,
    /// Number of contours that were drawn on other images than the volume's.
    pub elsewhere: usize,
    /// Number of skipped items by reason.
    pub skipped: BTreeMap<Skipped, usize>,
}

/// A closed contour.
#[derive(Clone, Debug, PartialEq)]
pub struct Contour {
    /// Left, posterior, superior, mm.
    pub points: Vec<[f64; 3]>,
    /// Whether it combines with all others on its plane by XOR (CLOSEDPLANAR_XOR).
    pub exclusive: bool,
}

/// Why a contour is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skipped {
    /// The type POINT.
    Point,
    /// The type OPEN_PLANAR.
    OpenPlanar,
    /// The type OPEN_NONPLANAR.
    OpenNonplanar,
    /// A type that the standard does not know, or none.
    OtherType,
    /// No ContourData.
    NoPoints,
    /// ContourData that are not finite numbers.
    NotNumbers,
    /// ContourData that are not three numbers for each point.
    NotTriples,
    /// Coordinates that no scanner reaches.
    TooFar,
    /// Fewer points than NumberOfContourPoints declares.
    CutShort,
    /// Fewer than three different points, or all on one line.
    NoArea,
}

impl Skipped {
    /// Whether the contour is valid, but of a type that encloses no area.
    fn is_open(self) -> bool {
        matches!(self, Self::Point | Self::OpenPlanar | Self::OpenNonplanar | Self::OtherType)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Point => "POINT",
            Self::OpenPlanar => "OPEN_PLANAR",
            Self::OpenNonplanar => "OPEN_NONPLANAR",
            Self::OtherType => "of an unknown type",
            Self::NoPoints => "without points",
            Self::NotNumbers => "with coordinates that are not numbers",
            Self::NotTriples => "with coordinates that are not three for each point",
            Self::TooFar => "with coordinates beyond 100 m",
            Self::CutShort => "with fewer points than declared",
            Self::NoArea => "with fewer than three points that are not on one line",
        }
    }
}

impl StructureSet {
    /// Reads an RTSTRUCT, with no more memory than is free.
    ///
    /// # Errors
    /// [`DicomError`] if it cannot be read.
    pub fn read(path: &Path) -> Result<Self, DicomError> {
        Self::read_within(path, &MemoryLimit::free().alone())
    }

    /// Like [`StructureSet::read`], with memory out of a share.
    ///
    /// # Errors
    /// As [`StructureSet::read`].
    pub fn read_within(path: &Path, memory: &MemoryShare<'_>) -> Result<Self, DicomError> {
        Self::read_of_volume(path, &VolumeImages::default(), memory)
    }

    /// Like [`StructureSet::read_within`], without the contours that were drawn on another volume.
    ///
    /// # Errors
    /// As [`StructureSet::read`].
    pub fn read_of_volume(
        path: &Path,
        images: &VolumeImages,
        memory: &MemoryShare<'_>,
    ) -> Result<Self, DicomError> {
        let while_open = memory.part();
        let object = open(path, Extent::Header, &while_open)?;
        let mut regions = regions(&object);
        let numbers: Vec<i64> = regions.iter().filter_map(|region| region.number).collect();
        let mut unassigned = 0;
        for item in items(&object, tags::ROI_CONTOUR_SEQUENCE) {
            let contours = items(item, tags::CONTOUR_SEQUENCE);
            // Two structures with one number share their contours, which cannot be assigned.
            let referenced = whole_number(item, tags::REFERENCED_ROI_NUMBER)
                .filter(|referenced| numbers.iter().filter(|number| *number == referenced).count() == 1);
            let region =
                regions.iter_mut().find(|region| referenced.is_some() && region.number == referenced);
            let Some(region) = region else {
                unassigned += contours.len();
                continue;
            };
            for contour in contours {
                if !images.holds(&of_contour(contour), &region.frame_of_reference) {
                    region.elsewhere += 1;
                    continue;
                }
                memory.take(points_bytes(contour)).map_err(DicomError::no_memory(path))?;
                match read_contour(contour) {
                    Ok(contour) => region.contours.push(contour),
                    Err(reason) => *region.skipped.entry(reason).or_default() += 1,
                }
            }
        }
        let message = format!(
            "{} of a structure set name a structure that it does not describe, or describes twice, and are skipped",
            counted(unassigned, "contour")
        );
        let findings = (unassigned > 0).then(|| Finding::new(Code::UnassignedContours, message));
        Ok(Self { regions, findings: findings.into_iter().collect() })
    }
}

fn whole_number(object: &InMemDicomObject, tag: dicom_core::Tag) -> Option<i64> {
    number(object, tag).filter(|n| n.fract() == 0.0 && n.abs() < 1e15).map(|n| n as i64)
}

/// Memory of a contour's numbers and points, in bytes.
fn points_bytes(contour: &InMemDicomObject) -> u64 {
    let value = contour.get(tags::CONTOUR_DATA).and_then(|element| element.value().primitive());
    let of_text = |text: &[u8]| text.iter().filter(|byte| **byte == b'\\').count() + 1;
    let count = match value {
        Some(PrimitiveValue::Str(text)) => of_text(text.as_bytes()),
        Some(PrimitiveValue::U8(bytes)) => of_text(bytes),
        _ => 0,
    };
    2 * (count * size_of::<f64>()) as u64
}

/// No point of a patient lies further from the origin, mm.
const FARTHEST_MM: f64 = 1e5;

/// A closed contour, or why it is skipped.
fn read_contour(item: &InMemDicomObject) -> Result<Contour, Skipped> {
    let kind = text(item, tags::CONTOUR_GEOMETRIC_TYPE).to_uppercase();
    let exclusive = match kind.as_str() {
        "CLOSED_PLANAR" | "INTERPOLATED_PLANAR" => false,
        "CLOSEDPLANAR_XOR" | "CLOSED_PLANAR_XOR" => true,
        "POINT" => return Err(Skipped::Point),
        "OPEN_PLANAR" => return Err(Skipped::OpenPlanar),
        "OPEN_NONPLANAR" => return Err(Skipped::OpenNonplanar),
        _ => return Err(Skipped::OtherType),
    };
    let data = contour_data(item).ok_or(Skipped::NotNumbers)?;
    if data.is_empty() {
        return Err(Skipped::NoPoints);
    }
    if !data.iter().all(|v| v.is_finite()) {
        return Err(Skipped::NotNumbers);
    }
    if !data.len().is_multiple_of(3) {
        return Err(Skipped::NotTriples);
    }
    if data.iter().any(|v| v.abs() > FARTHEST_MM) {
        return Err(Skipped::TooFar);
    }
    let points: Vec<[f64; 3]> = data.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
    // A point less is the closing one, which some writers count and do not write.
    let declared = number(item, tags::NUMBER_OF_CONTOUR_POINTS).unwrap_or(0.0);
    if declared > points.len() as f64 + 1.0 {
        return Err(Skipped::CutShort);
    }
    match encloses(&points) {
        true => Ok(Contour { points, exclusive }),
        false => Err(Skipped::NoArea),
    }
}

/// Whether points enclose an area in any of the planes of the axes.
fn encloses(points: &[[f64; 3]]) -> bool {
    let seen = |a: usize, b: usize| Polygon::new(points.iter().map(|p| [p[a], p[b]]).collect()).is_some();
    seen(0, 1) || seen(1, 2) || seen(0, 2)
}

/// ContourData; `None` if it is not a list of numbers. Longer than 64 KiB it does not fit an
/// explicit DS, and some writers store the same text as an unknown representation (UN).
fn contour_data(item: &InMemDicomObject) -> Option<Vec<f64>> {
    let value = item.get(tags::CONTOUR_DATA).and_then(|element| element.value().primitive());
    let parsed = |text: &str| -> Option<Vec<f64>> {
        let text = text.trim_matches([' ', '\0']).trim_end_matches('\\');
        let parts = text.split('\\').map(|part| part.trim_matches([' ', '\0']).parse().ok());
        if text.is_empty() { Some(Vec::new()) } else { parts.collect() }
    };
    match value {
        None | Some(PrimitiveValue::Empty) => Some(Vec::new()),
        Some(PrimitiveValue::Str(text)) => parsed(text),
        Some(PrimitiveValue::U8(bytes)) => parsed(std::str::from_utf8(bytes).ok()?),
        Some(_) => Some(numbers(item, tags::CONTOUR_DATA)).filter(|numbers| !numbers.is_empty()),
    }
}

fn are_drawn(contours: usize) -> String {
    format!("{} {} drawn", counted(contours, "contour"), if contours == 1 { "is" } else { "are" })
}

/// The names of all structures, in the file's order, as it has them.
pub(crate) fn names(object: &InMemDicomObject) -> Vec<String> {
    items(object, tags::STRUCTURE_SET_ROI_SEQUENCE).iter().map(|item| text(item, tags::ROI_NAME)).collect()
}

/// All structures, without contours.
fn regions(object: &InMemDicomObject) -> Vec<Region> {
    let people = NameMask::of(&Identifiers::of(object, Source::Labels));
    let declared = declares_characters(object);
    let of_set = text(object, tags::FRAME_OF_REFERENCE_UID);
    let rois = items(object, tags::STRUCTURE_SET_ROI_SEQUENCE);
    rois.iter().map(|item| Region::new(item, &people, declared, &of_set)).collect()
}

impl Region {
    fn new(item: &InMemDicomObject, people: &NameMask, declared: bool, frame_of_set: &str) -> Self {
        let original = text(item, tags::ROI_NAME);
        let name = people.without(&original);
        let frame = text(item, tags::REFERENCED_FRAME_OF_REFERENCE_UID);
        Self {
            number: whole_number(item, tags::ROI_NUMBER),
            name: name.text,
            odd_characters: has_odd_characters(&original, declared),
            original,
            masked: name.masked,
            frame_of_reference: if frame.is_empty() { frame_of_set.to_owned() } else { frame },
            contours: Vec::new(),
            elsewhere: 0,
            skipped: BTreeMap::new(),
        }
    }

    /// Bytes of memory that its mask on these slices takes at most, what is needed while it is
    /// drawn included.
    pub fn mask_bytes(&self, stack: &Stack) -> u64 {
        let at_work = SLICES_AT_WORK.min(self.contours.len());
        let points: usize = self.contours.iter().map(|contour| contour.points.len()).sum();
        let points = (points * size_of::<Point>()) as u64;
        let slices = stack.mask_bytes(self.contours.len()).saturating_add(stack.slices_bytes(at_work));
        slices.saturating_add(points)
    }

    /// Pixels on the slices of a series. A contour belongs to the slice within half a slice's
    /// thickness (the distance between slices; of a single slice its SliceThickness); of several
    /// planes that belong to one slice the nearest counts.
    ///
    /// # Errors
    /// [`DicomError::OtherFrame`] when the series has another frame of reference,
    /// [`DicomError::LabelGrid`] when at least half of its contours lie oblique to the slices.
    pub fn mask(&self, stack: &Stack) -> Result<Mask, DicomError> {
        let frames = [self.frame_of_reference.as_str(), stack.frame_of_reference()];
        if !self.contours.is_empty() && frames[0] != frames[1] && frames.iter().all(|uid| !uid.is_empty()) {
            return Err(DicomError::OtherFrame);
        }
        let contours: Vec<&[[f64; 3]]> =
            self.contours.iter().map(|contour| contour.points.as_slice()).collect();
        let planes = ContourPlanes::new(&contours, stack);
        if !planes.oblique.is_empty() && 2 * planes.oblique.len() >= self.contours.len() {
            return Err(DicomError::label_grid(format!(
                "its contours are oblique to the slices ({} of {}): their points are up to {:.2} mm apart along the \
                 normal",
                planes.oblique.len(),
                self.contours.len(),
                planes.spread
            )));
        }
        let sets: Vec<ContourSet> = planes.planes.iter().map(|plane| self.on_slice(plane, stack)).collect();
        let drawn = planes.nearest();
        let size = stack.first().size;
        let slices = drawn.iter().map(|(slice, plane)| (*slice, sets[*plane].mask(size))).collect();
        let mut mask = Mask { slices, findings: self.findings() };
        mask.forget_empty();
        let drawing = Drawing { stack, planes: &planes, sets: &sets, drawn: &drawn, mask: &mask };
        let found = drawing.findings(&self.name);
        mask.findings.extend(found);
        Ok(mask)
    }

    /// The contours of a plane in pixels of the slice nearest to it, along the normal.
    fn on_slice(&self, plane: &ContourPlane, stack: &Stack) -> ContourSet {
        let slice = plane.slice.map_or_else(|| stack.nearest(plane.height).0, |(slice, _)| slice);
        let pixels = &stack.planes()[slice];
        let polygon = |contour: &usize| {
            let contour = &self.contours[*contour];
            let points = contour.points.iter().map(|point| pixels.locate(*point).0).collect();
            Polygon::new(points).map(|polygon| (polygon, contour.exclusive))
        };
        ContourSet::new(plane.contours.iter().filter_map(polygon).collect())
    }

    /// Findings about it before it is drawn.
    fn findings(&self) -> Vec<Finding> {
        let name = &self.name;
        let mut found = name_findings(name, self.masked, self.odd_characters);
        if self.contours.is_empty() && self.skipped.is_empty() {
            let message = match self.elsewhere {
                0 => format!("{name}: the structure set names it and has no contours of it"),
                count => format!("{name}: its {} on other images than these", are_drawn(count)),
            };
            found.push(Finding::new(Code::NoContours, message));
        }
        for (code, open) in [(Code::OpenContours, true), (Code::DamagedContours, false)] {
            let skipped = self.skipped.iter().filter(|(reason, _)| reason.is_open() == open);
            let told: Vec<String> =
                skipped.clone().map(|(reason, count)| format!("{count} {}", reason.as_str())).collect();
            let all = skipped.map(|(_, count)| count).sum::<usize>();
            if all > 0 {
                let message = format!("{name}: {} skipped: {}", counted(all, "contour"), told.join(", "));
                found.push(Finding::new(code, message));
            }
        }
        found
    }
}
