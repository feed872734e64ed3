//! Segmentations of 3-D Slicer (`.seg.nrrd`): a NRRD file whose header names segments by
//! `SegmentN_Name`, `SegmentN_LabelValue` and `SegmentN_Layer`. Segments that overlap are in
//! several layers, which a fourth axis counts (`list`), before or behind those of space.

use std::collections::{BTreeMap, HashMap};

use pdl_findings::{Code, Finding};
use pdl_store::memory::{MemoryError, reserve};
use pdl_store::printable::one_line;
use pdl_volume::{LabelError, LabelOverlap};

use super::{Header, Text, check_kinds};
use crate::content::Content;
use crate::file::Files;
use crate::header_text::number;
use crate::voxels::Sink;
use crate::{LabelSegment, ReadError};

/// The segments in a header; `None` if it names none, or is not an NRRD header.
pub(crate) fn read_header(files: &Files<'_>) -> Result<Option<Vec<LabelSegment>>, ReadError> {
    let mut source = files.open(files.path)?;
    let Ok(text) = Text::read(files, &mut source) else { return Ok(None) };
    if !text.pairs.keys().any(|key| of_segment(key).is_some()) {
        return Ok(None);
    }
    let mut header = Header::new(files, &text.fields)?;
    let layers = Layers::take(files, &mut header, &text)?;
    segments(files, &text.pairs, layers.count).map(|found| found.map(|named| named.segments))
}

/// All layers of a file merged into one label map.
pub(crate) struct SegmentVoxels {
    /// Labels, x fastest; where two meet, the higher one.
    pub labels: Vec<u16>,
    /// Voxels that a label has lost to another.
    pub overlaps: BTreeMap<LabelOverlap, usize>,
    /// Voxels of values that no segment has, by value.
    pub unnamed: BTreeMap<u16, usize>,
}

/// Reads the voxels; `label` gives the label of a segment, or `None` if it has none.
pub(crate) fn read(
    files: &mut Files<'_>,
    label: &dyn Fn(&LabelSegment) -> Option<u16>,
) -> Result<(Content, SegmentVoxels), ReadError> {
    let mut source = files.open(files.path)?;
    let text = Text::read(files, &mut source)?;
    let mut header = Header::new(files, &text.fields)?;
    let layers = Layers::take(files, &mut header, &text)?;
    let named = segments(files, &text.pairs, layers.count)?;
    let named = named.ok_or_else(|| files.unsupported("its header names no segments"))?;
    let NamedSegments { segments, mut findings } = named;
    let [nx, ny, nz] = match header.axes[..] {
        [nx, ny, nz] if ![nx, ny, nz].contains(&0) => [nx, ny, nz],
        _ => {
            return Err(
                files.unsupported(format!("its axes are {:?}: three of space are needed", header.axes))
            );
        }
    };
    let (affine, of_header) = header.affine(files)?;
    findings.extend(of_header);
    let too_large =
        || files.invalid(format!("it declares {:?} voxels in {} layers", header.axes, layers.count));
    let count = nx.checked_mul(ny).and_then(|n| n.checked_mul(nz)).ok_or_else(too_large)?;
    files.memory.take_each(count as u64, size_of::<u16>() as u64).map_err(|error| files.no_memory(error))?;
    // All layers as one volume, as they lie in the file.
    let stored = match layers.place {
        LayerPlace::First => [layers.count.checked_mul(nx).ok_or_else(too_large)?, ny, nz],
        LayerPlace::Last => [nx, ny, nz.checked_mul(layers.count).ok_or_else(too_large)?],
    };
    let slot = |segment: &LabelSegment| label(segment).map_or(Slot::LeftOut, Slot::Label);
    let slots = segments.iter().map(|segment| ((segment.layer, segment.value), slot(segment))).collect();
    let mut sink = LayerSink::new(&layers, count, slots);
    header.read_voxels(files, source, &text.fields, (stored, 0), &mut sink)?;
    let LayerSink { labels, overlaps, unnamed, wrong, .. } = sink;
    if let Some((value, count, alike)) = wrong {
        let source = LabelError::NotALabel { value, count, alike };
        return Err(ReadError::Labels { path: files.path.to_owned(), source });
    }
    let content =
        Content { shape: [nx, ny, nz], affine, voxel_type: header.voxel_type, scaling: None, findings };
    Ok((content, SegmentVoxels { labels, overlaps, unnamed }))
}

/// The layers of a file.
struct Layers {
    count: usize,
    place: LayerPlace,
}

/// Position of the axis of the layers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LayerPlace {
    /// Before those of space: the layers of a voxel lie side by side.
    First,
    /// Behind them: layer after layer.
    Last,
}

impl Layers {
    /// Removes the axis of the layers from a header, so that the spatial axes remain.
    fn take(files: &Files<'_>, header: &mut Header, text: &Text) -> Result<Self, ReadError> {
        let kinds = text.fields.get("kinds").map_or("", String::as_str);
        if header.axes.len() != 4 {
            check_kinds(files, kinds)?;
            return Ok(Self { count: 1, place: LayerPlace::Last });
        }
        let directions: Vec<&str> = header.directions.as_deref().unwrap_or("").split_whitespace().collect();
        let axis = directions.iter().position(|direction| *direction == "none").unwrap_or(3);
        let place = match axis {
            0 => LayerPlace::First,
            3 => LayerPlace::Last,
            _ => return Err(files.unsupported("its layers are neither its first axis nor its last")),
        };
        let space: Vec<&str> = directions.iter().filter(|direction| **direction != "none").copied().collect();
        header.directions = header.directions.as_ref().map(|_| space.join(" "));
        let count = header.axes.remove(axis);
        if count == 0 {
            return Err(files.invalid("it has no layers"));
        }
        Ok(Self { count, place })
    }
}

/// The segments by number, with their fields.
struct NamedSegments {
    segments: Vec<LabelSegment>,
    findings: Vec<Finding>,
}

/// The segments of a header; `None` if it has none.
fn segments(
    files: &Files<'_>,
    pairs: &HashMap<String, String>,
    layers: usize,
) -> Result<Option<NamedSegments>, ReadError> {
    let mut by_number: BTreeMap<u32, HashMap<&str, &str>> = BTreeMap::new();
    for (key, value) in pairs {
        if let Some((number, field)) = of_segment(key) {
            by_number.entry(number).or_default().insert(field, value);
        }
    }
    let (is_alone, mut findings) = (by_number.len() == 1, Vec::new());
    // Older files name neither layers nor values: a layer, of ones, for each segment.
    let is_old = layers > 1 && !by_number.values().any(|fields| fields.contains_key("Layer"));
    let mut found: Vec<LabelSegment> = Vec::new();
    for (place, (number_in_file, fields)) in by_number.into_iter().enumerate() {
        let name = fields.get("Name").map_or("", |text| *text);
        let shown = one_line(&unescaped(name));
        let id = fields.get("ID").map(|text| one_line(text)).filter(|id| !id.is_empty());
        let name = match shown.is_empty() {
            false => shown,
            true => {
                let name = id.unwrap_or_else(|| format!("Segment_{}", number_in_file.saturating_add(1)));
                let message = format!("its segment {number_in_file} has no name and is called {name}");
                findings.push(Finding::new(Code::OddHeader, message));
                name
            }
        };
        let field = |name: &str| fields.get(name).copied().filter(|text| !text.is_empty());
        let layer = match field("Layer") {
            Some(text) => number::<usize>(files, "layer of a segment", text)?,
            None if is_old => place,
            None => 0,
        };
        if layer >= layers {
            return Err(
                files.invalid(format!("its segment '{name}' is in layer {layer}, of {layers} from 0"))
            );
        }
        let value = match field("LabelValue") {
            Some(text) => number::<u16>(files, "label value of a segment", text)?,
            None if is_old || is_alone => 1,
            None => {
                return Err(files.invalid(format!("it has no label value of its segment '{name}'")));
            }
        };
        if value == 0 {
            return Err(
                files.invalid(format!("its segment '{name}' has the label value 0, which is background"))
            );
        }
        if let Some(other) = found.iter().find(|other| (other.layer, other.value) == (layer, value)) {
            return Err(files.invalid(format!(
                "its segments '{}' and '{name}' have one label value, {value}, in one layer",
                other.name
            )));
        }
        found.push(LabelSegment { name, value, layer });
    }
    Ok((!found.is_empty()).then_some(NamedSegments { segments: found, findings }))
}

/// The segment number and the field in a key such as `Segment0_Name`.
fn of_segment(key: &str) -> Option<(u32, &str)> {
    let (number, field) = key.strip_prefix("Segment")?.split_once('_')?;
    Some((number.parse().ok()?, field))
}

/// A value of a `key:=value` pair without its escapes.
fn unescaped(text: &str) -> String {
    text.replace("\\n", " ").replace("\\\\", "\\")
}

/// The label that a value in a layer becomes.
#[derive(Clone, Copy)]
enum Slot {
    Label(u16),
    LeftOut,
    /// No segment has it.
    Unnamed,
}

/// Merges the layers as they are read.
struct LayerSink {
    layers: usize,
    place: LayerPlace,
    /// Voxels of a layer.
    count: usize,
    /// Slots of the segments, by layer and value.
    slots: HashMap<(usize, u16), Slot>,
    /// The last lookup.
    last: ((usize, u16), Slot),
    /// The layer and the voxel that come next.
    next: (usize, usize),
    labels: Vec<u16>,
    overlaps: BTreeMap<LabelOverlap, usize>,
    unnamed: BTreeMap<u16, usize>,
    /// The first voxel that is no label, and how many there are.
    wrong: Option<(f32, usize, bool)>,
}

impl LayerSink {
    fn new(layers: &Layers, count: usize, slots: HashMap<(usize, u16), Slot>) -> Self {
        Self {
            layers: layers.count,
            place: layers.place,
            count,
            slots,
            last: ((0, 0), Slot::LeftOut),
            next: (0, 0),
            labels: Vec::new(),
            overlaps: BTreeMap::new(),
            unnamed: BTreeMap::new(),
            wrong: None,
        }
    }

    fn slot(&mut self, layer: usize, value: u16) -> Slot {
        if self.last.0 != (layer, value) {
            let slot = self.slots.get(&(layer, value)).copied().unwrap_or(Slot::Unnamed);
            self.last = ((layer, value), slot);
        }
        self.last.1
    }

    fn take(&mut self, voxel: f32) {
        let (layer, index) = self.next;
        let (layers, count) = (self.layers, self.count);
        self.next = match self.place {
            LayerPlace::First if layer + 1 < layers => (layer + 1, index),
            LayerPlace::First => (0, index + 1),
            LayerPlace::Last if index + 1 < count => (layer, index + 1),
            LayerPlace::Last => (layer + 1, 0),
        };
        if layer == 0 {
            self.labels.push(0);
        }
        let value = voxel as u16; // drops fractions, and clamps
        if f32::from(value) != voxel {
            let (first, count, alike) = self.wrong.get_or_insert((voxel, 0, true));
            *count += 1;
            *alike &= *first == voxel;
        } else if value > 0 {
            match self.slot(layer, value) {
                Slot::Label(label) => self.put(index, label),
                Slot::LeftOut => (),
                Slot::Unnamed => *self.unnamed.entry(value).or_default() += 1,
            }
        }
    }

    /// Writes a label; where two labels overlap, the higher one stays.
    fn put(&mut self, index: usize, label: u16) {
        let Some(here) = self.labels.get_mut(index) else { return };
        if *here != 0 && *here != label {
            *self.overlaps.entry((label.min(*here), label.max(*here))).or_default() += 1;
        }
        *here = label.max(*here);
    }
}

impl Sink for LayerSink {
    /// The caller reserves its memory: several voxels of the file become one label.
    fn voxel_bytes(&self) -> u64 {
        0
    }

    fn reserve(&mut self, voxels: usize) -> Result<(), MemoryError> {
        let more = match self.place {
            LayerPlace::First => voxels / self.layers + 1,
            LayerPlace::Last => voxels,
        };
        let room = self.count.saturating_sub(self.labels.len());
        reserve(&mut self.labels, more.min(room))
    }

    fn push(&mut self, voxels: &[f32]) {
        voxels.iter().for_each(|voxel| self.take(*voxel));
    }
}
