//! The pixels of one structure, slice by slice, and how several become a label map.

use std::collections::BTreeMap;

use crate::series::stack::Stack;
use pdl_findings::Finding;
use pdl_volume::LabelOverlap;

/// The pixels of one structure on the stored slices of a series. Slices without any are omitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// Flags of the pixels of each slice, columns fastest.
    pub slices: BTreeMap<usize, Vec<bool>>,
    /// Findings about it.
    pub findings: Vec<Finding>,
}

impl Mask {
    /// Pixels of each slice that has any.
    pub fn counts(&self) -> BTreeMap<usize, usize> {
        self.slices.iter().map(|(z, slice)| (*z, count(slice))).collect()
    }

    /// Pixels of all slices.
    pub fn count(&self) -> usize {
        self.slices.values().map(|slice| count(slice)).sum()
    }

    /// Adds a pixel (columns fastest) of a slice.
    pub(crate) fn insert(&mut self, slice: usize, pixel: usize, stack: &Stack) {
        let [columns, rows, _] = stack.shape();
        let flags = self.slices.entry(slice).or_insert_with(|| vec![false; columns * rows]);
        if let Some(flag) = flags.get_mut(pixel) {
            *flag = true;
        }
    }

    pub(crate) fn forget_empty(&mut self) {
        self.slices.retain(|_, slice| slice.contains(&true));
    }
}

/// How many flags are set: in bytes, of which a vector register holds many.
fn count(flags: &[bool]) -> usize {
    let of_part = |part: &[bool]| usize::from(part.iter().map(|flag| u8::from(*flag)).sum::<u8>());
    flags.chunks(usize::from(u8::MAX)).map(of_part).sum()
}

/// Paints masks one after the other, so that a later one wins where they overlap. Gives a label for
/// every pixel of the stack (x fastest, slice by slice), and how many pixels a label has lost to
/// another.
pub fn paint<'a>(
    stack: &Stack,
    masks: impl IntoIterator<Item = (u16, &'a Mask)>,
) -> (Vec<u16>, BTreeMap<LabelOverlap, usize>) {
    let [columns, rows, slices] = stack.shape();
    let mut labels = vec![0; columns * rows * slices];
    let mut overlaps = BTreeMap::new();
    for (label, mask) in masks {
        for (z, slice) in &mask.slices {
            let part = &mut labels[z * columns * rows..(z + 1) * columns * rows];
            for (voxel, _) in part.iter_mut().zip(slice).filter(|(_, inside)| **inside) {
                if *voxel != 0 && *voxel != label {
                    *overlaps.entry((*voxel, label)).or_default() += 1;
                }
                *voxel = label;
            }
        }
    }
    (labels, overlaps)
}
