//! A box of voxels: a part of a grid.

use crate::{Grid, Volume};

/// Maximum distance, in voxels, between corners of a grid and of the box that it fills: the
/// rounding of an affine stored as float32.
const NEAR_VOXELS: f64 = 0.05;

/// A box of voxels of a grid, whole voxels along x, y, z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoxelBox {
    /// First voxel.
    pub start: [usize; 3],
    /// Voxels.
    pub shape: [usize; 3],
}

impl VoxelBox {
    /// All of a grid of `shape`.
    pub fn whole(shape: [usize; 3]) -> Self {
        Self { start: [0; 3], shape }
    }

    /// The smallest box about the voxels of a grid of `shape` for which `inside` is true, by index;
    /// `None` if there is none.
    pub fn around(shape: [usize; 3], inside: impl Fn(usize) -> bool) -> Option<Self> {
        let [nx, ny, nz] = shape;
        let (mut low, mut high) = (shape, [0; 3]);
        for row in 0..ny * nz {
            let in_row = |x: &usize| inside(row * nx + x);
            let Some(first) = (0..nx).find(in_row) else { continue };
            let last = (first..nx).rfind(in_row).unwrap_or(first);
            for (axis, (from, to)) in
                [(first, last), (row % ny, row % ny), (row / ny, row / ny)].into_iter().enumerate()
            {
                low[axis] = low[axis].min(from);
                high[axis] = high[axis].max(to + 1);
            }
        }
        (high != [0; 3]).then(|| Self::between(low, high))
    }

    /// From the first voxel of each axis to the one before `end`.
    fn between(start: [usize; 3], end: [usize; 3]) -> Self {
        Self { start, shape: std::array::from_fn(|axis| end[axis] - start[axis]) }
    }

    fn end(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.start[axis] + self.shape[axis])
    }

    /// The smallest box that holds both.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        let (ends, others) = (self.end(), other.end());
        Self::between(
            std::array::from_fn(|axis| self.start[axis].min(other.start[axis])),
            std::array::from_fn(|axis| ends[axis].max(others[axis])),
        )
    }

    /// Whether it holds the voxel at x, y, z.
    pub fn holds(&self, voxel: [usize; 3]) -> bool {
        let end = self.end();
        (0..3).all(|axis| (self.start[axis]..end[axis]).contains(&voxel[axis]))
    }

    /// Number of voxels.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no voxels.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// This part of a grid: its voxels stay where they are in the world.
    pub fn of_grid(&self, grid: &Grid) -> Grid {
        let start = self.start.map(|index| index as f64);
        Grid { shape: self.shape, affine: grid.affine.rescaled([1.0; 3], start) }
    }

    /// This part of a volume.
    ///
    /// # Panics
    /// When the volume is smaller than the box.
    pub fn of_volume<T: Copy>(&self, volume: Volume<T>) -> Volume<T> {
        if *self == Self::whole(volume.grid.shape) {
            return volume;
        }
        let grid = self.of_grid(&volume.grid);
        let mut voxels = Vec::with_capacity(self.len());
        for row in self.rows(volume.grid.shape) {
            voxels.extend_from_slice(&volume.voxels[row..row + self.shape[0]]);
        }
        Volume { grid, voxels }
    }

    /// Puts the voxels of this part back where they belong in a grid of `shape`, with `fill` about
    /// them.
    ///
    /// # Panics
    /// When the grid is smaller than the box, or the voxels are not as many as its.
    pub fn put_back<T: Copy>(&self, voxels: Vec<T>, shape: [usize; 3], fill: T) -> Vec<T> {
        if *self == Self::whole(shape) {
            return voxels;
        }
        let mut all = vec![fill; shape.iter().product()];
        for (row, part) in self.rows(shape).zip(voxels.chunks_exact(self.shape[0].max(1))) {
            all[row..row + self.shape[0]].copy_from_slice(part);
        }
        all
    }

    /// Start indices of its rows along x in a volume of `shape`.
    fn rows(&self, [nx, ny, _]: [usize; 3]) -> impl Iterator<Item = usize> {
        let Self { start: [x0, y0, z0], shape: [_, height, depth] } = *self;
        (z0..z0 + depth).flat_map(move |z| (y0..y0 + height).map(move |y| x0 + nx * (y + ny * z)))
    }

    /// The box of `grid` that `other` divides into other voxels ([`Grid::resized`]), known by where
    /// both lie in the world; `None` if `other` is no such grid.
    pub fn filled_by(grid: &Grid, other: &Grid) -> Option<Self> {
        let face =
            |index: [f64; 3]| grid.affine.index_at(other.affine.apply(index)).map(|v| (v + 0.5).round());
        let start = face([-0.5; 3]);
        let end = face(other.shape.map(|n| n as f64 - 0.5));
        let sound = (0..3).all(|axis| {
            start[axis] >= 0.0 && start[axis] < end[axis] && end[axis] <= grid.shape[axis] as f64
        });
        if !sound {
            return None;
        }
        let found = Self::between(start.map(|v| v as usize), end.map(|v| v as usize));
        let expected = found.of_grid(grid).resized(other.shape).affine;
        let side = grid.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
        (expected.corner_distance_mm(&other.affine, other.shape) <= NEAR_VOXELS * side).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affine, Orientation};

    const SHAPE: [usize; 3] = [7, 6, 5];
    const PART: VoxelBox = VoxelBox { start: [2, 1, 0], shape: [3, 4, 5] };

    fn volume() -> Volume<usize> {
        let affine = Affine::from_orientation(Orientation::RAS, [0.9, 1.1, 2.5], SHAPE);
        Volume::new(Grid::new(SHAPE, affine), (0..210).collect()).unwrap()
    }

    fn place(index: usize) -> [usize; 3] {
        [index % 7, index / 7 % 6, index / 42]
    }

    #[test]
    fn the_smallest_box_about_voxels_is_found_and_joins_others() {
        let corners = [2 + 7, 4 + 7 * (4 + 6 * 4), 3];
        assert_eq!(VoxelBox::around(SHAPE, |i| corners[..2].contains(&i)), Some(PART));
        assert_eq!(VoxelBox::around(SHAPE, |_| false), None);
        assert_eq!(VoxelBox::around(SHAPE, |_| true), Some(VoxelBox::whole(SHAPE)));
        let dot = VoxelBox { start: [6, 0, 1], shape: [1; 3] };
        assert_eq!(PART.joined(&dot), VoxelBox { start: [2, 0, 0], shape: [5, 5, 5] });
        assert!(PART.holds([4, 4, 4]) && !PART.holds([5, 4, 4]) && !PART.holds([4, 0, 4]));
    }

    #[test]
    fn a_part_keeps_its_place_in_the_world_and_goes_back_to_it() {
        let whole = volume();
        let part = PART.of_volume(whole.clone());
        let (from, to) = (part.grid.affine.apply([1.0, 2.0, 3.0]), whole.grid.affine.apply([3.0, 3.0, 3.0]));
        assert!(from.iter().zip(to).all(|(a, b)| (a - b).abs() < 1e-12));
        assert_eq!(part.voxels[1 + 3 * (2 + 4 * 3)], 3 + 7 * (3 + 6 * 3));
        let back = PART.put_back(part.voxels, SHAPE, 999);
        assert!((0..210).all(|i| back[i] == if PART.holds(place(i)) { i } else { 999 }));
    }

    #[test]
    fn a_resized_part_is_known_by_where_it_lies() {
        let whole = volume().grid;
        for shape in [[3, 4, 5], [9, 2, 4], [1, 1, 1]] {
            assert_eq!(VoxelBox::filled_by(&whole, &PART.of_grid(&whole).resized(shape)), Some(PART));
        }
        let half = whole.affine.rescaled([1.0; 3], [0.5, 0.0, 0.0]);
        assert_eq!(VoxelBox::filled_by(&whole, &Grid::new([3, 3, 3], half)), None);
        let beyond = whole.affine.rescaled([1.0; 3], [5.0, 0.0, 0.0]);
        assert_eq!(VoxelBox::filled_by(&whole, &Grid::new([3, 3, 3], beyond)), None);
    }
}
