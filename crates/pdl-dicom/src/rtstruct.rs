//! Structure sets: closed planar contours in the patient's millimetres.

use std::collections::BTreeMap;
use std::path::Path;

use dicom_core::PrimitiveValue;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use pdl_store::memory::{MemoryLimit, MemoryShare};

use crate::DicomError;
use crate::file::{Extent, items, number, numbers, open, text};
use crate::geometry::{Vector, dot, minus};
use crate::mask::Mask;
use crate::names::{Identifiers, NameMask, Source};
use crate::raster::{Point, fill};
use crate::stack::Stack;
use pdl_findings::{Code, Finding};

/// Points of a contour that lie further from their plane than this share of a slice's step make it
/// oblique.
const FLAT: f64 = 0.25;
/// A contour plane further from its slice than this share of the step is worth a word.
const OFF_SLICE: f64 = 0.1;

/// An RTSTRUCT.
#[derive(Clone, Debug)]
pub struct StructureSet {
    /// Its structures, in the file's order.
    pub regions: Vec<Region>,
}

/// One structure (ROI) of a set.
#[derive(Clone, Debug)]
pub struct Region {
    /// ROI number.
    pub number: i64,
    /// ROI name, trimmed, without what the header of the set says of people.
    pub name: String,
    /// ROI name as the set has it: never to be shown.
    pub original: String,
    /// Whether its name held such parts.
    pub masked: bool,
    /// Closed contours: points in left, posterior, superior, mm.
    pub contours: Vec<Vec<[f64; 3]>>,
    /// Contours of other types (points, open lines), which enclose nothing.
    pub others: usize,
}

impl StructureSet {
    /// Reads an RTSTRUCT, with no more memory than is free.
    ///
    /// # Errors
    /// [`DicomError`] when it cannot be read or a contour's numbers are no points.
    pub fn read(path: &Path) -> Result<Self, DicomError> {
        Self::read_within(path, &MemoryLimit::free().alone())
    }

    /// As [`StructureSet::read`], with memory out of a share.
    ///
    /// # Errors
    /// As [`StructureSet::read`].
    pub fn read_within(path: &Path, memory: &MemoryShare<'_>) -> Result<Self, DicomError> {
        let while_open = memory.part();
        let object = open(path, Extent::Header, &while_open)?;
        let mut regions = regions(&object);
        for item in items(&object, tags::ROI_CONTOUR_SEQUENCE) {
            let referenced = number(item, tags::REFERENCED_ROI_NUMBER).unwrap_or(0.0) as i64;
            let region = regions.iter_mut().find(|region| region.number == referenced);
            let region = region.ok_or_else(|| {
                DicomError::damaged(path, "its contours belong to a structure that it does not name")
            })?;
            for contour in items(item, tags::CONTOUR_SEQUENCE) {
                memory.take(points_bytes(contour)).map_err(DicomError::no_memory(path))?;
                region.add(path, contour)?;
            }
        }
        Ok(Self { regions })
    }
}

/// Memory that a contour's numbers take, once as such and once as points, bytes.
fn points_bytes(contour: &InMemDicomObject) -> u64 {
    let value = contour.get(tags::CONTOUR_DATA).and_then(|element| element.value().primitive());
    let count = match value {
        Some(PrimitiveValue::Str(text)) => text.bytes().filter(|byte| *byte == b'\\').count() + 1,
        _ => 0,
    };
    2 * (count * size_of::<f64>()) as u64
}

/// The names of all structures, in the file's order, as it has them.
pub(crate) fn names(object: &InMemDicomObject) -> Vec<String> {
    items(object, tags::STRUCTURE_SET_ROI_SEQUENCE).iter().map(|item| text(item, tags::ROI_NAME)).collect()
}

/// All structures, without contours.
fn regions(object: &InMemDicomObject) -> Vec<Region> {
    let people = NameMask::of(&Identifiers::of(object, Source::Labels));
    items(object, tags::STRUCTURE_SET_ROI_SEQUENCE).iter().map(|item| Region::new(item, &people)).collect()
}

impl Region {
    fn new(item: &InMemDicomObject, people: &NameMask) -> Self {
        let original = text(item, tags::ROI_NAME);
        let name = people.without(&original);
        Self {
            number: number(item, tags::ROI_NUMBER).unwrap_or(0.0) as i64,
            name: name.text,
            original,
            masked: name.masked,
            contours: Vec::new(),
            others: 0,
        }
    }

    fn add(&mut self, path: &Path, contour: &InMemDicomObject) -> Result<(), DicomError> {
        let kind = text(contour, tags::CONTOUR_GEOMETRIC_TYPE);
        if !kind.starts_with("CLOSED") && kind != "INTERPOLATED_PLANAR" {
            self.others += 1;
            return Ok(());
        }
        let data = numbers(contour, tags::CONTOUR_DATA);
        if data.is_empty() || !data.len().is_multiple_of(3) || !data.iter().all(|v| v.is_finite()) {
            return Err(DicomError::damaged(path, "a contour's numbers are no points"));
        }
        self.contours.push(data.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect());
        Ok(())
    }

    /// Bytes of memory that its mask on these slices takes at most.
    pub fn mask_bytes(&self, stack: &Stack) -> u64 {
        stack.mask_bytes(self.contours.len())
    }

    /// Its pixels on the slices of a series.
    ///
    /// # Errors
    /// [`DicomError::LabelGrid`] when contours lie oblique to the slices or beyond them.
    pub fn mask(&self, stack: &Stack) -> Result<Mask, DicomError> {
        let step = stack.median_gap().unwrap_or(f64::INFINITY);
        let mut by_slice: BTreeMap<usize, Vec<Vec<Point>>> = BTreeMap::new();
        let (mut farthest, mut beyond) = (0.0_f64, 0);
        for contour in &self.contours {
            let (height, spread) = height_of(contour, stack);
            if spread > FLAT * step {
                return Err(DicomError::label_grid(format!(
                    "a contour lies oblique to the slices: its points are {spread:.2} mm apart along their normal"
                )));
            }
            let (slice, off) = stack.nearest(height);
            if off > 0.5 * step {
                beyond += 1;
                continue;
            }
            farthest = farthest.max(off);
            let plane = &stack.planes()[slice];
            by_slice.entry(slice).or_default().push(contour.iter().map(|p| plane.locate(*p).0).collect());
        }
        let size = stack.first().size;
        let slices = by_slice.iter().map(|(slice, contours)| (*slice, fill(contours, size))).collect();
        let mut mask = Mask { slices, findings: self.findings(&by_slice, beyond, farthest, step) };
        mask.forget_empty();
        Ok(mask)
    }

    fn findings(
        &self,
        by_slice: &BTreeMap<usize, Vec<Vec<Point>>>,
        beyond: usize,
        farthest: f64,
        step: f64,
    ) -> Vec<Finding> {
        let name = &self.name;
        let mut found: Vec<Finding> = self.masked.then(|| name_masked(name)).into_iter().collect();
        if self.others > 0 {
            let message = format!(
                "{name}: {} of its contours are points or open lines and enclose nothing",
                self.others
            );
            found.push(Finding::new(Code::OpenContours, message));
        }
        if beyond > 0 {
            let message = format!("{name}: {beyond} of its contours lie on no slice of the series");
            found.push(Finding::new(Code::ContoursOffSeries, message));
        }
        if farthest > OFF_SLICE * step {
            let message =
                format!("{name}: its contours lie up to {farthest:.2} mm from the slices they are drawn on");
            found.push(Finding::new(Code::ContoursOffSlice, message));
        }
        let (Some(first), Some(last)) = (by_slice.keys().next(), by_slice.keys().next_back()) else {
            return found;
        };
        let missing: Vec<String> = (*first..*last)
            .filter(|slice| !by_slice.contains_key(slice))
            .map(|slice| (slice + 1).to_string())
            .collect();
        if !missing.is_empty() {
            let message = format!(
                "{name}: no contour on {} slices between its first and last ({})",
                missing.len(),
                missing.join(", ")
            );
            found.push(Finding::new(Code::MissingContours, message));
        }
        found
    }
}

/// Says that a name held something of the patient.
pub(crate) fn name_masked(name: &str) -> Finding {
    let message =
        format!("{name}: its name held a name, an id or a date that its headers hold, too, which is masked");
    Finding::new(Code::NameMasked, message)
}

/// Mean height of a contour above the first slice, and how far its points spread, mm.
fn height_of(contour: &[Vector], stack: &Stack) -> (f64, f64) {
    let first = stack.first();
    let heights = contour.iter().map(|p| dot(minus(*p, first.position), first.normal()));
    let (mut low, mut high, mut sum) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
    for height in heights {
        (low, high, sum) = (low.min(height), high.max(height), sum + height);
    }
    (sum / contour.len() as f64, high - low)
}
