//! Label maps: a small whole number for every voxel, 0 for background.

use std::collections::{BTreeMap, TryReserveError};

use crate::{Grid, Volume};

/// A label for every voxel; 0 is background.
pub type LabelMap = Volume<u16>;

/// Two labels that overlap: the one that loses the voxel and the one that wins.
pub type LabelOverlap = (u16, u16);

/// Number of voxels of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelCount {
    /// The label.
    pub value: u16,
    /// Number of its voxels.
    pub voxels: u64,
}

/// A voxel that is not a label.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum LabelError {
    /// A voxel that is not a whole number between 0 and 65535.
    #[error("label voxels must be whole numbers from 0 to 65535, but one is {value} ({count} such voxels)")]
    NotALabel {
        /// The first such voxel.
        value: f32,
        /// Number of such voxels.
        count: usize,
        /// Whether all of them have its value.
        alike: bool,
    },
    /// Voxels with the value that marks those to ignore, beside voxels of another such value.
    #[error("{count} label voxels are {}, which marks the voxels of the value to ignore", IGNORED)]
    MarkTaken {
        /// Their number.
        count: usize,
    },
}

/// The label of voxels to ignore whose value in a file is negative.
pub const IGNORED: u16 = u16::MAX;

/// How numbers become labels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LabelReading {
    /// Maximum distance at which voxels are rounded, instead of 0.001.
    pub round_within: Option<f32>,
    /// A negative value whose voxels become [`IGNORED`].
    pub ignored: Option<i32>,
}

/// Maximum distance from an integer at which a voxel is that label: conversions and scaling produce
/// values such as 2.9999998.
const ROUNDED_WITHIN: f32 = 1e-3;

/// Voxels that were rounded to a label.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoundedLabels {
    /// Number of the rounded voxels.
    pub count: usize,
    /// The value farthest from its label.
    pub farthest: f32,
}

/// Whether a number is a label as it stands: the cast drops fractions, and clamps.
fn is_label(v: f32) -> bool {
    f32::from(v as u16) == v
}

/// Labels from voxels read as numbers, piece by piece.
#[derive(Clone, Debug)]
pub struct LabelReader {
    round_within: f32,
    ignored: Option<f32>,
    /// Number of voxels to ignore.
    ignored_count: usize,
    labels: Vec<u16>,
    wrong: Option<f32>,
    count: usize,
    alike: bool,
    rounded: RoundedLabels,
}

impl Default for LabelReader {
    fn default() -> Self {
        Self::new(LabelReading::default())
    }
}

impl LabelReader {
    /// A reader without voxels.
    pub fn new(reading: LabelReading) -> Self {
        Self {
            round_within: reading.round_within.unwrap_or(ROUNDED_WITHIN),
            ignored: reading.ignored.map(|value| value as f32),
            ignored_count: 0,
            labels: Vec::new(),
            wrong: None,
            count: 0,
            alike: true,
            rounded: RoundedLabels::default(),
        }
    }

    /// Reserves memory for exactly this many more labels.
    ///
    /// # Errors
    /// [`TryReserveError`] if the system has not enough memory.
    pub fn reserve(&mut self, labels: usize) -> Result<(), TryReserveError> {
        self.labels.try_reserve_exact(labels)
    }

    /// Appends voxels; those near to an integer are rounded.
    pub fn push(&mut self, voxels: &[f32]) {
        // Nearly every piece holds labels alone, and to round is far slower than the cast.
        if voxels.iter().fold(true, |all, voxel| all & is_label(*voxel)) {
            self.labels.extend(voxels.iter().map(|v| *v as u16));
            return;
        }
        let ignored = self.ignored;
        for voxel in voxels.iter().copied().filter(|v| !is_label(*v)) {
            if Some(voxel) == ignored {
                self.ignored_count += 1;
                continue;
            }
            let off = (voxel - voxel.round()).abs();
            if off <= self.round_within && is_label(voxel.round().abs()) && voxel >= -0.5 {
                self.rounded.count += 1;
                let farthest = self.rounded.farthest;
                if self.rounded.count == 1 || off > (farthest - farthest.round()).abs() {
                    self.rounded.farthest = voxel;
                }
            } else {
                let first = *self.wrong.get_or_insert(voxel);
                self.alike &= first == voxel;
                self.count += 1;
            }
        }
        let label = |v: &f32| if Some(*v) == ignored { IGNORED } else { v.round() as u16 };
        self.labels.extend(voxels.iter().map(label));
    }

    /// The voxels that were rounded; `None` if all were integers.
    pub fn rounded(&self) -> Option<RoundedLabels> {
        (self.rounded.count > 0).then_some(self.rounded)
    }

    /// All labels.
    ///
    /// # Errors
    /// [`LabelError::NotALabel`] when a voxel was negative, fractional, too large or not finite;
    /// [`LabelError::MarkTaken`] when one has the value that marks others.
    pub fn finish(self) -> Result<Vec<u16>, LabelError> {
        if let Some(value) = self.wrong {
            return Err(LabelError::NotALabel { value, count: self.count, alike: self.alike });
        }
        if self.ignored.is_some() {
            let marked = self.labels.iter().filter(|label| **label == IGNORED).count();
            let count = marked.saturating_sub(self.ignored_count);
            if count > 0 {
                return Err(LabelError::MarkTaken { count });
            }
        }
        Ok(self.labels)
    }
}

/// A label map on another grid: each label's indicator is interpolated linearly, and the label is
/// set where that reaches one half, the higher one of two; background beyond the map's own box.
pub fn labels_on(map: &LabelMap, grid: Grid) -> LabelMap {
    let own = &map.grid;
    let [nx, ny, nz] = own.shape;
    let at = |index: [usize; 3]| map.voxels[index[0] + nx * (index[1] + ny * index[2])];
    // Index in the map as a linear function of the index in `grid`.
    let origin = own.affine.index_at(grid.affine.origin_mm());
    let step: [[f64; 3]; 3] = std::array::from_fn(|axis| {
        let (from, to) = (grid.affine.origin_mm(), grid.affine.step_mm(axis));
        let next = own.affine.index_at(std::array::from_fn(|i| from[i] + to[i]));
        std::array::from_fn(|i| next[i] - origin[i])
    });
    let label = |x: usize, y: usize, z: usize| -> u16 {
        let place: [f64; 3] = std::array::from_fn(|i| {
            origin[i] + x as f64 * step[0][i] + y as f64 * step[1][i] + z as f64 * step[2][i]
        });
        let inside = |axis: usize| (-0.5..=own.shape[axis] as f64 - 0.5).contains(&place[axis]);
        if !(0..3).all(inside) {
            return 0;
        }
        let shape = [nx, ny, nz];
        let low: [f64; 3] = place.map(f64::floor);
        let mut shares: [(u16, f64); 8] = [(0, 0.0); 8];
        for (corner, share) in shares.iter_mut().enumerate() {
            let upper = |axis: usize| corner >> axis & 1 == 1;
            let index = std::array::from_fn(|axis| {
                let index = low[axis] + f64::from(u8::from(upper(axis)));
                index.clamp(0.0, shape[axis] as f64 - 1.0) as usize
            });
            let weight = (0..3).map(|axis| {
                let above = place[axis] - low[axis];
                if upper(axis) { above } else { 1.0 - above }
            });
            *share = (at(index), weight.product());
        }
        let share =
            |label: u16| shares.iter().filter(|(l, _)| *l == label).map(|(_, share)| share).sum::<f64>();
        // The sum of corner weights of exactly one half may be smaller by rounding.
        let reached = |label: &u16| *label > 0 && share(*label) >= 0.5 - 1e-9;
        shares.iter().map(|(label, _)| *label).filter(reached).max().unwrap_or(0)
    };
    let [mx, my, mz] = grid.shape;
    let rows = (0..mz).flat_map(|z| (0..my).map(move |y| (y, z)));
    let voxels =
        rows.flat_map(|(y, z)| (0..mx).map(move |x| (x, y, z))).map(|(x, y, z)| label(x, y, z)).collect();
    LabelMap { grid, voxels }
}

/// A label map whose voxels all lie on voxels of another grid, on that grid: its axes may run along
/// any of the grid's, either way, and it may be smaller or stick out. Background beyond the map's
/// own box. Also returns the number of labelled voxels outside of the grid; `None` if the voxels do
/// not coincide.
pub fn labels_placed_on(map: &LabelMap, grid: Grid) -> Option<(LabelMap, usize)> {
    let own = &map.grid;
    let first = grid.affine.index_at(own.affine.origin_mm());
    let origin = whole_index(first)?;
    let mut steps = [[0; 3]; 3];
    for (axis, step) in steps.iter_mut().enumerate() {
        let (from, to) = (own.affine.origin_mm(), own.affine.step_mm(axis));
        // By the last voxel along the axis, where small differences of a step have added up.
        let far = own.shape[axis].saturating_sub(1).max(1) as f64;
        let last = grid.affine.index_at(std::array::from_fn(|i| from[i] + far * to[i]));
        let each: [f64; 3] = std::array::from_fn(|i| (last[i] - first[i]) / far);
        *step = each.map(|v| v.round() as i64);
        let is_off = |i: usize| (last[i] - first[i] - far * step[i] as f64).abs() > ON_GRID;
        if step.iter().map(|v| v.abs()).sum::<i64>() != 1 || (0..3).any(is_off) {
            return None;
        }
    }
    // Three steps along three axes.
    if (0..3).any(|i| steps.iter().all(|step| step[i] == 0)) {
        return None;
    }
    let mut placed = LabelMap { grid, voxels: vec![0; grid.len()] };
    let mut outside = 0;
    let [nx, ny, _] = own.shape;
    for (voxel, label) in map.voxels.iter().enumerate().filter(|(_, label)| **label != 0) {
        let index = [voxel % nx, voxel / nx % ny, voxel / (nx * ny)].map(|n| n as i64);
        let at: [i64; 3] =
            std::array::from_fn(|i| origin[i] + (0..3).map(|axis| index[axis] * steps[axis][i]).sum::<i64>());
        let inside = (0..3).all(|i| at[i] >= 0 && at[i] < grid.shape[i] as i64);
        match inside {
            true => placed.voxels[grid_index(grid.shape, at)] = *label,
            false => outside += 1,
        }
    }
    Some((placed, outside))
}

/// Maximum distance between coinciding voxels of two grids, in voxels.
const ON_GRID: f64 = 0.01;

/// The voxel at an index; `None` if it is between voxels or out of any volume.
fn whole_index(index: [f64; 3]) -> Option<[i64; 3]> {
    let is_whole = |v: &f64| (v - v.round()).abs() <= ON_GRID && v.abs() < 1e9;
    index.iter().all(is_whole).then(|| index.map(|v| v.round() as i64))
}

fn grid_index(shape: [usize; 3], at: [i64; 3]) -> usize {
    let [x, y, z] = at.map(|n| n as usize);
    x + shape[0] * (y + shape[1] * z)
}

/// The labels present, without background, in ascending order.
pub fn count_labels(map: &LabelMap) -> Vec<LabelCount> {
    let mut counts = BTreeMap::new();
    for run in map.voxels.chunk_by(|a, b| a == b) {
        *counts.entry(run[0]).or_insert(0) += run.len() as u64;
    }
    counts.remove(&0);
    counts.into_iter().map(|(value, voxels)| LabelCount { value, voxels }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affine, Orientation};

    fn map(shape: [usize; 3], spacing: [f64; 3], voxels: Vec<u16>) -> LabelMap {
        Volume { grid: Grid::new(shape, Affine::from_orientation(Orientation::RAS, spacing, shape)), voxels }
    }

    #[test]
    fn what_is_nearly_a_label_is_rounded_and_told_and_nothing_else_is() {
        let read = |voxels: &[f32]| {
            let mut reader = LabelReader::default();
            reader.push(voxels);
            (reader.rounded(), reader.finish())
        };
        let (rounded, labels) = read(&[2.999_999_8, 1.0, -0.000_5, 4.000_9]);
        assert_eq!(rounded, Some(RoundedLabels { count: 3, farthest: 4.000_9 }));
        assert_eq!(labels, Ok(vec![3, 1, 0, 4]));
        assert_eq!(read(&[0.0, 7.0]), (None, Ok(vec![0, 7])));
        for wrong in [0.93, 1.002, -1.0, 70_000.0, 65_536.0, f32::NAN, f32::INFINITY] {
            assert!(read(&[1.0, wrong]).1.is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_negative_value_can_mark_voxels_to_ignore() {
        let read = |voxels: &[f32]| {
            let mut reader = LabelReader::new(LabelReading { ignored: Some(-1), round_within: None });
            voxels.chunks(2).for_each(|piece| reader.push(piece));
            reader.finish()
        };
        assert_eq!(read(&[-1.0, 0.0, 2.0, 1.0]), Ok(vec![IGNORED, 0, 2, 1]));
        assert_eq!(read(&[65535.0, 1.0]), Err(LabelError::MarkTaken { count: 1 }));
        assert_eq!(read(&[-1.0, 0.0, 65535.0]), Err(LabelError::MarkTaken { count: 1 }));
        assert_eq!(
            read(&[-1.0, -2.0, -2.0, -3.0]),
            Err(LabelError::NotALabel { value: -2.0, count: 3, alike: false })
        );
    }

    #[test]
    fn the_same_points_have_the_same_label_whatever_the_orientation() {
        let coarse = map([4, 4, 4], [2.0; 3], (0..64).map(|i| u16::from(i % 4 > 1) * 5).collect());
        // Twice as many voxels in the same box, and the axes of the image run the other way.
        let fine = coarse.grid.resized([8, 8, 8]);
        let mut columns = [0, 1, 2].map(|axis| fine.affine.step_mm(axis));
        let last = fine.affine.apply([7.0; 3]);
        columns.iter_mut().flatten().for_each(|v| *v = -*v);
        let turned = Grid::new([8; 3], Affine::from_columns(columns, last));
        let found = labels_on(&coarse, turned);
        // x now runs from the far side: the labelled half comes first.
        assert!(
            found.voxels.chunks(8).all(|row| row == [5, 5, 5, 5, 0, 0, 0, 0]),
            "{:?}",
            &found.voxels[..8]
        );
        assert!(labels_on(&coarse, coarse.grid) == coarse);
    }

    #[test]
    fn beyond_the_map_is_background_and_a_tie_goes_to_the_higher_label() {
        let own = map([2, 1, 1], [1.0; 3], vec![3, 4]);
        let wide = Grid::new(
            [5, 1, 1],
            Affine::from_columns(
                [[0.5, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
                own.grid.affine.apply([-1.0, 0.0, 0.0]),
            ),
        );
        // Places -1, -0.5, 0, 0.5 and 1 of the map.
        assert_eq!(labels_on(&own, wide).voxels, [0, 3, 3, 4, 4]);
    }

    #[test]
    fn a_map_on_voxels_of_another_grid_is_placed_whichever_way_it_lies() {
        let whole = map([4, 3, 2], [1.0, 2.0, 3.0], (0..24).collect());
        // A part of it, whose axes are z, x backwards and y.
        let part = [2, 2, 3];
        let source = |[a, b, c]: [usize; 3]| whole.voxels[(3 - b) + 4 * (c + 3 * a)];
        let voxels = (0..12).map(|n| source([n % 2, n / 2 % 2, n / 4])).collect();
        let step = |axis: usize, sign: f64| whole.grid.affine.step_mm(axis).map(|v| sign * v);
        let affine = Affine::from_columns(
            [step(2, 1.0), step(0, -1.0), step(1, 1.0)],
            whole.grid.affine.apply([3.0, 0.0, 0.0]),
        );
        let map = LabelMap { grid: Grid::new(part, affine), voxels };
        let (placed, outside) = labels_placed_on(&map, whole.grid).unwrap();
        let expected = |(n, label): (usize, &u16)| if n % 4 >= 2 { *label } else { 0 };
        let expected: Vec<u16> = whole.voxels.iter().enumerate().map(expected).collect();
        assert_eq!((placed.voxels, outside), (expected, 0));
        // Two voxels beyond the grid's end, and half a voxel off.
        let moved = |by: f64| {
            let mut origin = whole.grid.affine.origin_mm();
            origin[0] += by;
            let steps = [0, 1, 2].map(|axis| whole.grid.affine.step_mm(axis));
            LabelMap { grid: Grid::new([4, 3, 2], Affine::from_columns(steps, origin)), voxels: vec![1; 24] }
        };
        assert_eq!(labels_placed_on(&moved(2.0), whole.grid).unwrap().1, 12);
        assert!(labels_placed_on(&moved(0.5), whole.grid).is_none());
        assert!(labels_placed_on(&map_of_half_steps(), whole.grid).is_none());
    }

    fn map_of_half_steps() -> LabelMap {
        map([8, 3, 2], [0.5, 2.0, 3.0], vec![1; 48])
    }
}
