//! A case's labels on the grid of its proxy, each with the fraction of every cell that it fills.

use std::collections::BTreeMap;

use pdl_similarity::registration::{UnitAffine, UnitBox};
use pdl_volume::LabelMap;

/// Fraction of a cell below which it is no part of a label's box.
const COUNTS: f32 = 0.3;

/// One label of a case on the proxies' grid.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LabelCells {
    pub value: u16,
    /// Cells of the C array (z, y, x) with the fraction that the label fills, in (0, 1].
    pub cells: Vec<(u32, f32)>,
}

impl LabelCells {
    /// The fraction of the proxy's box that the label fills, and its centroid in unit coordinates
    /// (z, y, x).
    pub(super) fn moments(&self, shape: [usize; 3]) -> (f64, [f64; 3]) {
        let (mut sum, mut centroid) = (0.0, [0.0; 3]);
        for (cell, share) in &self.cells {
            let share = f64::from(*share);
            sum += share;
            centroid.iter_mut().zip(centre(*cell, shape)).for_each(|(all, at)| *all += share * at);
        }
        let whole = shape.iter().product::<usize>() as f64;
        (sum / whole, if sum > 0.0 { centroid.map(|all| all / sum) } else { centroid })
    }
}

/// The centre of a cell in unit coordinates, z, y, x.
pub(super) fn centre(cell: u32, [nz, ny, nx]: [usize; 3]) -> [f64; 3] {
    let cell = cell as usize;
    let place = [cell / (ny * nx), cell / nx % ny, cell % nx];
    let sides = [nz, ny, nx];
    std::array::from_fn(|axis| (place[axis] as f64 + 0.5) / sides[axis] as f64 - 0.5)
}

/// The box that holds all labels of a case; nothing where it has none.
pub(super) fn labelled_box(labels: &[LabelCells], shape: [usize; 3]) -> Option<UnitBox> {
    let mut found: Option<UnitBox> = None;
    for (cell, _) in labels.iter().flat_map(|label| &label.cells).filter(|(_, share)| *share >= COUNTS) {
        let at = centre(*cell, shape);
        let known = found.get_or_insert(UnitBox { low: at, high: at });
        for (axis, own) in at.into_iter().enumerate() {
            known.low[axis] = known.low[axis].min(own);
            known.high[axis] = known.high[axis].max(own);
        }
    }
    found
}

/// A run of voxels of one label along x.
struct Run {
    label: u16,
    z: usize,
    y: usize,
    start: usize,
    end: usize,
}

/// Puts a RAS+ label map on a grid of `shape` (z, y, x). `shares` (x, y, z) are its sides as shares
/// of the proxy's box, in whose middle it lies; what lies outside is cut off.
pub(super) fn label_cells(map: &LabelMap, shape: [usize; 3], shares: [f64; 3]) -> Vec<LabelCells> {
    let [nx, ny, nz] = map.grid.shape;
    let axes = [
        Axis { voxels: nz, cells: shape[0], share: shares[2] },
        Axis { voxels: ny, cells: shape[1], share: shares[1] },
        Axis { voxels: nx, cells: shape[2], share: shares[0] },
    ];
    let runs = runs(map);
    let mut boxes: BTreeMap<u16, DenseBox> = BTreeMap::new();
    for run in &runs {
        let reach = [
            axes[0].cells(run.z, run.z + 1),
            axes[1].cells(run.y, run.y + 1),
            axes[2].cells(run.start, run.end),
        ];
        boxes.entry(run.label).or_insert_with(DenseBox::empty).extend(&reach);
    }
    boxes.values_mut().for_each(DenseBox::allocate);
    let planes: Vec<Vec<(usize, f32)>> = (0..nz).map(|z| axes[0].overlaps(z, z + 1)).collect();
    let lines: Vec<Vec<(usize, f32)>> = (0..ny).map(|y| axes[1].overlaps(y, y + 1)).collect();
    for run in &runs {
        let Some(dense) = boxes.get_mut(&run.label) else { continue };
        let along = axes[2].overlaps(run.start, run.end);
        for (z, of_z) in &planes[run.z] {
            for (y, of_y) in &lines[run.y] {
                dense.add([*z, *y], of_z * of_y, &along);
            }
        }
    }
    boxes.into_iter().map(|(value, dense)| LabelCells { value, cells: dense.cells(shape) }).collect()
}

fn runs(map: &LabelMap) -> Vec<Run> {
    let [nx, ny, _] = map.grid.shape;
    let mut runs = Vec::new();
    for (line, row) in map.voxels.chunks_exact(nx.max(1)).enumerate() {
        let mut start = 0;
        for part in row.chunk_by(|a, b| a == b) {
            if part[0] != 0 {
                runs.push(Run { label: part[0], z: line / ny, y: line % ny, start, end: start + part.len() });
            }
            start += part.len();
        }
    }
    runs
}

/// How the voxels of an axis lie over the cells of the proxy.
struct Axis {
    voxels: usize,
    cells: usize,
    /// Length of the voxels together as a fraction of that of the cells.
    share: f64,
}

impl Axis {
    /// Where the face before a voxel lies, in cells.
    fn face(&self, voxel: usize) -> f64 {
        ((voxel as f64 / self.voxels as f64 - 0.5) * self.share + 0.5) * self.cells as f64
    }

    /// The first cell that voxels `start..end` reach, and the one after the last.
    fn cells(&self, start: usize, end: usize) -> [usize; 2] {
        let cells = self.cells as f64;
        let first = self.face(start).clamp(0.0, cells) as usize;
        [first, (self.face(end).clamp(0.0, cells).ceil() as usize).max(first)]
    }

    /// The cells that voxels `start..end` reach with the fraction that they cover of each.
    fn overlaps(&self, start: usize, end: usize) -> Vec<(usize, f32)> {
        let (from, to) = (self.face(start), self.face(end));
        let [first, after] = self.cells(start, end);
        let share = |cell: usize| (to.min((cell + 1) as f64) - from.max(cell as f64)) as f32;
        (first..after).map(|cell| (cell, share(cell))).filter(|(_, share)| *share > 0.0).collect()
    }
}

/// The fractions of the cells in the box of one label.
struct DenseBox {
    low: [usize; 3],
    high: [usize; 3],
    shares: Vec<f32>,
}

impl DenseBox {
    fn empty() -> Self {
        Self { low: [usize::MAX; 3], high: [0; 3], shares: Vec::new() }
    }

    fn extend(&mut self, reach: &[[usize; 2]; 3]) {
        for (axis, [first, after]) in reach.iter().enumerate() {
            self.low[axis] = self.low[axis].min(*first);
            self.high[axis] = self.high[axis].max(*after);
        }
    }

    fn sides(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.high[axis].saturating_sub(self.low[axis]))
    }

    fn allocate(&mut self) {
        self.shares = vec![0.0; self.sides().iter().product()];
    }

    fn add(&mut self, [z, y]: [usize; 2], share: f32, along: &[(usize, f32)]) {
        let [_, ny, nx] = self.sides();
        let row = ((z - self.low[0]) * ny + y - self.low[1]) * nx;
        along.iter().for_each(|(x, of_x)| self.shares[row + x - self.low[2]] += share * of_x);
    }

    /// The cells that are not empty, on the grid of `shape`.
    fn cells(&self, shape: [usize; 3]) -> Vec<(u32, f32)> {
        let [_, ny, nx] = self.sides();
        let cell = |(place, share): (usize, &f32)| {
            let [z, y, x] =
                [place / (ny * nx) + self.low[0], place / nx % ny + self.low[1], place % nx + self.low[2]];
            (((z * shape[1] + y) * shape[2] + x) as u32, share.min(1.0))
        };
        self.shares.iter().enumerate().filter(|(_, share)| **share > 1e-4).map(cell).collect()
    }
}

/// The grid of the part of the template in which labels are compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct RegionGrid {
    pub region: UnitBox,
    /// Cells along z, y, x.
    pub shape: [usize; 3],
}

impl RegionGrid {
    pub(super) fn cells(&self) -> usize {
        self.shape.iter().product()
    }

    /// The sides of the region as fractions of the template.
    pub(super) fn sides(&self) -> [f64; 3] {
        std::array::from_fn(|axis| self.region.high[axis] - self.region.low[axis])
    }

    /// The fraction of the template that a cell covers.
    pub(super) fn cell_volume(&self) -> f64 {
        self.sides().iter().product::<f64>() / self.cells() as f64
    }

    /// The centre of a cell in the template's unit coordinates.
    pub(super) fn centre(&self, cell: usize) -> [f64; 3] {
        let (unit, sides) = (centre(cell as u32, self.shape), self.sides());
        std::array::from_fn(|axis| self.region.low[axis] + (unit[axis] + 0.5) * sides[axis])
    }

    /// A label of a case on this grid, by the map from the case to the template: each cell of the
    /// proxy is divided into `parts` along each axis, and each part shared linearly among the eight
    /// cells about it.
    pub(super) fn placed(
        &self,
        label: &LabelCells,
        shape: [usize; 3],
        to_template: &UnitAffine,
        parts: usize,
    ) -> Vec<(u32, f32)> {
        let mut dense = vec![0.0_f32; self.cells()];
        let volume = to_template.determinant().abs() / shape.iter().product::<usize>() as f64;
        let weight = (volume / self.cell_volume() / parts.pow(3) as f64) as f32;
        let sides = self.sides();
        let offset =
            |part: usize, axis: usize| ((part as f64 + 0.5) / parts as f64 - 0.5) / shape[axis] as f64;
        for (cell, share) in &label.cells {
            let middle = centre(*cell, shape);
            for part in 0..parts.pow(3) {
                let digits = [part / parts / parts, part / parts % parts, part % parts];
                let at =
                    to_template.apply(std::array::from_fn(|axis| middle[axis] + offset(digits[axis], axis)));
                let there: [f64; 3] = std::array::from_fn(|axis| {
                    (at[axis] - self.region.low[axis]) / sides[axis] * self.shape[axis] as f64 - 0.5
                });
                self.add(&mut dense, there, share * weight);
            }
        }
        let cells = dense.iter().enumerate().filter(|(_, share)| **share > 1e-3);
        cells.map(|(cell, share)| (cell as u32, share.min(1.0))).collect()
    }

    /// Shares a weight among the cells about a position in cells; what falls outside is lost.
    fn add(&self, dense: &mut [f32], at: [f64; 3], weight: f32) {
        let low = at.map(f64::floor);
        let above: [f32; 3] = std::array::from_fn(|axis| (at[axis] - low[axis]) as f32);
        for corner in 0..8_usize {
            let upper = [corner >> 2 & 1, corner >> 1 & 1, corner & 1];
            let place: [f64; 3] = std::array::from_fn(|axis| low[axis] + upper[axis] as f64);
            if (0..3).any(|axis| place[axis] < 0.0 || place[axis] >= self.shape[axis] as f64) {
                continue;
            }
            let [z, y, x] = place.map(|at| at as usize);
            let of_axis = |axis: usize| if upper[axis] == 1 { above[axis] } else { 1.0 - above[axis] };
            dense[(z * self.shape[1] + y) * self.shape[2] + x] +=
                weight * of_axis(0) * of_axis(1) * of_axis(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Grid, Orientation};

    fn map(shape: [usize; 3], label: impl Fn([usize; 3]) -> u16) -> LabelMap {
        let grid = Grid::new(shape, Affine::from_orientation(Orientation::RAS, [1.0; 3], shape));
        let [nx, ny, _] = shape;
        let voxels = (0..grid.len()).map(|i| label([i % nx, i / nx % ny, i / (nx * ny)])).collect();
        LabelMap { grid, voxels }
    }

    #[test]
    fn cells_hold_the_share_that_a_label_fills() {
        // Voxels 1 and 2 of 3 along x are cells 1.33 to 4 of 4.
        let own = map([3, 2, 2], |[x, ..]| if x > 0 { 7 } else { 0 });
        let found = label_cells(&own, [1, 1, 4], [1.0; 3]);
        assert_eq!((found.len(), found[0].value), (1, 7));
        let shares: Vec<(u32, f32)> =
            found[0].cells.iter().map(|(cell, share)| (*cell, (share * 300.0).round())).collect();
        assert_eq!(shares, [(1, 200.0), (2, 300.0), (3, 300.0)]);
        let (volume, centroid) = found[0].moments([1, 1, 4]);
        assert!(
            (volume - 2.0 / 3.0).abs() < 1e-6 && (centroid[2] - 1.0 / 6.0).abs() < 0.02,
            "{volume} {centroid:?}"
        );
    }

    #[test]
    fn a_map_longer_than_the_box_is_cut() {
        let own = map([8, 1, 1], |_| 1);
        let found = label_cells(&own, [1, 1, 4], [2.0, 1.0, 1.0]);
        assert_eq!(found[0].cells, [(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)]);
        let short = label_cells(&own, [1, 1, 4], [0.5, 1.0, 1.0]);
        assert_eq!(short[0].cells, [(1, 1.0), (2, 1.0)]);
    }

    #[test]
    fn placing_keeps_the_volume() {
        let own = map([16, 16, 16], |[x, y, z]| {
            u16::from((4..9).contains(&x) && (5..11).contains(&y) && (6..10).contains(&z))
        });
        let shape = [16; 3];
        let label = &label_cells(&own, shape, [1.0; 3])[0];
        let grid = RegionGrid { region: UnitBox { low: [-0.5; 3], high: [0.5; 3] }, shape: [12; 3] };
        let turned =
            UnitAffine::from_rows([[1.0, 0.1, 0.0, 0.05], [-0.1, 1.0, 0.0, 0.0], [0.0, 0.0, 0.9, 0.02]]);
        let placed = grid.placed(label, shape, &turned, 2);
        let volume: f64 = placed.iter().map(|(_, share)| f64::from(*share)).sum::<f64>() * grid.cell_volume();
        let expected = label.moments(shape).0 * turned.determinant();
        assert!((volume / expected - 1.0).abs() < 0.02, "{volume} {expected}");
    }
}
