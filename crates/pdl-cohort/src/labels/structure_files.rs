//! Label maps with one mask file for each structure, as in TotalSegmentator, merged into one label
//! map.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_io::{Part, Unread};
use pdl_store::fault;
use pdl_store::memory::{MemoryShare, zeros};
use pdl_volume::{Grid, IGNORED, LabelMap, LabelOverlap, LabelReading, labels_on, labels_placed_on};

use crate::check;
use crate::discover::stack_hint::StackHint;
use crate::import::ImportFailure;
use crate::import::stacks;

/// Maximum number of values of a mask in a message.
const MOST_VALUES: usize = 5;

/// The masks of a case as one label map.
pub(crate) struct MergedMasks {
    pub map: LabelMap,
    /// The files, in the order of the structures' names.
    pub parts: Vec<Part>,
    /// Voxels that a label has lost to another.
    pub overlaps: BTreeMap<LabelOverlap, usize>,
}

/// How masks are read, and where they are put.
#[derive(Clone, Copy)]
pub(crate) struct MaskGrid {
    /// The grid of the image, if there is one.
    pub image: Option<Grid>,
    /// Whether masks on other grids are resampled to it.
    pub resample: bool,
    /// How voxels become labels.
    pub reading: LabelReading,
    /// Spacing and axes of masks that are stacks, or pictures.
    pub stacks: StackHint,
}

impl MaskGrid {
    /// The mark of voxels to ignore, if there are any.
    fn ignored(&self) -> Option<u16> {
        self.reading.ignored.map(|_| IGNORED)
    }
}

/// Reads the masks of `structures`, files by name, and merges those that `label` gives a label;
/// where two overlap, the higher label wins. Voxels other than 0 are the structure. Masks are
/// placed on the image's grid where their voxels lie on its voxels. Memory: two bytes a voxel of
/// the label map and of one mask at a time.
///
/// # Errors
/// [`ImportFailure::Case`] when a mask cannot be read, holds several values, or lies on another
/// grid than the others.
pub(crate) fn merge(
    structures: &BTreeMap<String, PathBuf>,
    label: &dyn Fn(&str) -> Option<u16>,
    grid: MaskGrid,
    memory: &MemoryShare<'_>,
) -> Result<MergedMasks, ImportFailure> {
    let mut merged: Option<LabelMap> = grid.image.map(|grid| empty(grid, memory)).transpose()?;
    let (mut parts, mut overlaps) = (Vec::new(), HashMap::new());
    for (name, path) in structures {
        let Some(value) = label(name) else { continue };
        let while_merged = memory.part();
        let (mask, read_from) = read(name, path, grid, &while_merged)?;
        parts.extend(read_from);
        let map = match &mut merged {
            Some(map) => map,
            None => merged.insert(empty(mask.grid, memory)?),
        };
        if !check::is_same_grid(&map.grid, &mask.grid) {
            return Err(other_grid(name, &map.grid, &mask.grid).into());
        }
        paint(&mut map.voxels, &mask.voxels, value, grid.ignored(), &mut overlaps);
    }
    let no_mask = || Finding::new(Code::NoLabel, "none of its structures is one of the cohort's labels");
    let map = merged.ok_or_else(no_mask)?;
    Ok(MergedMasks { map, parts, overlaps: overlaps.into_iter().collect() })
}

/// A label map without labels.
fn empty(grid: Grid, memory: &MemoryShare<'_>) -> Result<LabelMap, ImportFailure> {
    memory.take_each(grid.len() as u64, size_of::<u16>() as u64).map_err(ImportFailure::Memory)?;
    let voxels = zeros(grid.len()).map_err(ImportFailure::Memory)?;
    Ok(LabelMap { grid, voxels })
}

/// The mask of one structure, on the image's grid where it can be put there.
fn read(
    name: &str,
    path: &Path,
    grid: MaskGrid,
    memory: &MemoryShare<'_>,
) -> Result<(LabelMap, Vec<Part>), ImportFailure> {
    let read = stacks::read_labels(path, grid.stacks, grid.reading, memory);
    let read = read.map_err(|unread| refusal(name, &unread))?;
    let mask = read.map;
    let of_mask = |value: &u16| *value != 0 && Some(*value) != grid.ignored();
    let values: BTreeSet<u16> = mask.voxels.iter().copied().filter(of_mask).collect();
    if values.len() > 1 {
        let listed: Vec<String> = values.iter().take(MOST_VALUES).map(u16::to_string).collect();
        let more = if values.len() > MOST_VALUES { " and others" } else { "" };
        let message = format!(
            "{name}: its file must be the mask of one structure: expected 0 and one other value, found {}{more}",
            listed.join(", ")
        );
        return Err(Finding::new(Code::UnreadableLabel, message).into());
    }
    let Some(image) = grid.image.filter(|image| !check::is_same_grid(image, &mask.grid)) else {
        return Ok((mask, read.parts));
    };
    if !image.affine.is_usable() || !mask.grid.affine.is_usable() {
        return Ok((mask, read.parts));
    }
    memory.take_each(image.len() as u64, size_of::<u16>() as u64).map_err(ImportFailure::Memory)?;
    if let Some((placed, _)) = labels_placed_on(&mask, image) {
        return Ok((placed, read.parts));
    }
    let mask = if grid.resample { labels_on(&mask, image) } else { mask };
    Ok((mask, read.parts))
}

fn refusal(name: &str, unread: &Unread) -> ImportFailure {
    match (fault::machine_error(unread), unread.error.memory()) {
        (Some(error), _) => ImportFailure::Machine(error),
        (None, Some(error)) => ImportFailure::Memory(error),
        (None, None) => {
            Finding::new(Code::UnreadableLabel, format!("{name}: {}", check::reason(&unread.error))).into()
        }
    }
}

fn other_grid(name: &str, grid: &Grid, mask: &Grid) -> Finding {
    let text = |shape: [usize; 3]| format!("{} x {} x {}", shape[0], shape[1], shape[2]);
    let message = format!(
        "{name}: its mask of {} voxels is on another grid than its image or the other structures, which have {} \
         (--resample-labels resamples it)",
        text(mask.shape),
        text(grid.shape)
    );
    Finding::new(Code::GridMismatch, message)
}

/// Gives the voxels of a mask their label; where there is another, the higher one stays. A voxel
/// that is to be ignored in one mask is ignored.
fn paint(
    labels: &mut [u16],
    mask: &[u16],
    value: u16,
    ignored: Option<u16>,
    overlaps: &mut HashMap<LabelOverlap, usize>,
) {
    for (label, mask) in labels.iter_mut().zip(mask).filter(|(_, mask)| **mask != 0) {
        if ignored.is_some_and(|ignored| [*label, *mask].contains(&ignored)) {
            *label = IGNORED;
            continue;
        }
        if *label != 0 && *label != value {
            *overlaps.entry((value.min(*label), value.max(*label))).or_default() += 1;
        }
        *label = value.max(*label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_label_stays_where_masks_meet() {
        let mut labels = vec![0, 1, 3, 2, 0];
        let mut overlaps = HashMap::new();
        paint(&mut labels, &[1, 1, 255, 0, 0], 2, None, &mut overlaps);
        assert_eq!(labels, [2, 2, 3, 2, 0]);
        assert_eq!(overlaps, HashMap::from([((1, 2), 1), ((2, 3), 1)]));
    }

    #[test]
    fn what_one_mask_ignores_is_ignored_and_no_overlap() {
        let (mut labels, mut overlaps) = (vec![0, 1, 0], HashMap::new());
        paint(&mut labels, &[IGNORED, IGNORED, 1], 2, Some(IGNORED), &mut overlaps);
        paint(&mut labels, &[1, 0, 0], 3, Some(IGNORED), &mut overlaps);
        assert_eq!((labels, overlaps), (vec![IGNORED, IGNORED, 2], HashMap::new()));
    }
}
