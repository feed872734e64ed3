//! A block of voxels on a grid.

use crate::{Affine, Orientation};

/// A regular grid of voxels: how many along each axis, and where they lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Voxels along x, y, z of the stored image.
    pub shape: [usize; 3],
    /// Voxel indices to RAS+ millimetres.
    pub affine: Affine,
}

/// An inconsistent volume.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VolumeError {
    /// The number of voxels is not the product of the shape.
    #[error("{voxels} voxels do not fill a grid of {shape:?} (x, y, z)")]
    WrongLength {
        /// Voxels given.
        voxels: usize,
        /// The grid's shape (x, y, z).
        shape: [usize; 3],
    },
}

impl Grid {
    /// A grid of `shape` (x, y, z) under `affine`.
    pub fn new(shape: [usize; 3], affine: Affine) -> Self {
        Self { shape, affine }
    }

    /// Number of voxels.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no voxels.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it has the voxels of another grid: as many along each axis, and corners less than a
    /// thousandth of the shortest side of a voxel apart.
    pub fn coincides(&self, other: &Self) -> bool {
        const TOLERANCE: f64 = 1e-3;
        let side = self.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
        self.shape == other.shape
            && self.affine.corner_distance_mm(&other.affine, self.shape) <= TOLERANCE * side
    }

    /// The closest axis-aligned orientation.
    pub fn orientation(&self) -> Orientation {
        self.affine.orientation()
    }

    /// Voxel size in millimetres (x, y, z).
    pub fn spacing_mm(&self) -> [f64; 3] {
        self.affine.spacing_mm()
    }

    /// The same box, outer faces included, cut into `shape` voxels (x, y, z): extent and centre
    /// stay.
    pub fn resized(&self, shape: [usize; 3]) -> Self {
        let scale: [f64; 3] = std::array::from_fn(|axis| self.shape[axis] as f64 / shape[axis] as f64);
        let shift = scale.map(|s| 0.5 * s - 0.5);
        Self { shape, affine: self.affine.rescaled(scale, shift) }
    }

    /// The grid of [`Volume::to_ras`].
    pub fn to_ras(&self) -> Self {
        let plan = self.orientation().to_ras();
        let shape = plan.map(|(axis, _)| self.shape[axis]);
        let mut origin = [0.0; 3];
        let mut steps = [[0.0; 3]; 3];
        for (ras_axis, (axis, flipped)) in plan.into_iter().enumerate() {
            let sign = if flipped { -1.0 } else { 1.0 };
            steps[ras_axis] = self.affine.step_mm(axis).map(|v| sign * v + 0.0); // never -0
            origin[axis] = if flipped { self.shape[axis] as f64 - 1.0 } else { 0.0 };
        }
        Self { shape, affine: Affine::from_columns(steps, self.affine.apply(origin)) }
    }
}

/// Voxels on a grid, x fastest: index (x, y, z) is `x + nx * (y + ny * z)`, a C array (z, y, x).
#[derive(Clone, Debug, PartialEq)]
pub struct Volume<T> {
    /// Shape and place.
    pub grid: Grid,
    /// The voxels, x fastest.
    pub voxels: Vec<T>,
}

impl<T: Copy> Volume<T> {
    /// Voxels on a grid.
    ///
    /// # Errors
    /// [`VolumeError::WrongLength`] when their number is not the product of the shape.
    pub fn new(grid: Grid, voxels: Vec<T>) -> Result<Self, VolumeError> {
        if voxels.len() == grid.len() {
            Ok(Self { grid, voxels })
        } else {
            Err(VolumeError::WrongLength { voxels: voxels.len(), shape: grid.shape })
        }
    }

    /// The same grid, other voxels.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Volume<U> {
        Volume { grid: self.grid, voxels: self.voxels.iter().map(f).collect() }
    }

    /// The opposite of [`Volume::to_ras`]: voxels of a RAS+ volume in the order in which `stored`
    /// keeps them.
    ///
    /// # Errors
    /// [`VolumeError::WrongLength`] if the volume is not that of `stored` in RAS+.
    pub fn stored_as(&self, stored: Grid) -> Result<Self, VolumeError> {
        if stored.to_ras().shape != self.grid.shape {
            return Err(VolumeError::WrongLength { voxels: self.voxels.len(), shape: stored.shape });
        }
        let plan = stored.orientation().to_ras();
        let stride = [1, self.grid.shape[0], self.grid.shape[0] * self.grid.shape[1]];
        // Index of the first stored voxel in the RAS+ array, and the step there along each stored
        // axis.
        let (mut start, mut step) = (0, [0_isize; 3]);
        for (ras_axis, (axis, flipped)) in plan.into_iter().enumerate() {
            start += if flipped { (self.grid.shape[ras_axis] - 1) * stride[ras_axis] } else { 0 };
            step[axis] = if flipped { -(stride[ras_axis] as isize) } else { stride[ras_axis] as isize };
        }
        let [nx, ny, nz] = stored.shape;
        let mut voxels = Vec::with_capacity(self.voxels.len());
        for z in 0..nz as isize {
            for y in 0..ny as isize {
                let row = start as isize + z * step[2] + y * step[1];
                voxels.extend((0..nx as isize).map(|x| self.voxels[(row + x * step[0]) as usize]));
            }
        }
        Self::new(stored, voxels)
    }

    /// [`Volume::to_ras`], without a copy when it already is.
    pub fn into_ras(self) -> Self {
        if self.grid.orientation() == Orientation::RAS { self } else { self.to_ras() }
    }

    /// Axes permuted and flipped, never interpolated, to the orientation closest to RAS+
    /// (nibabel's `as_closest_canonical`).
    pub fn to_ras(&self) -> Self {
        let plan = self.grid.orientation().to_ras();
        let grid = self.grid.to_ras();
        if plan == [(0, false), (1, false), (2, false)] {
            return self.clone();
        }
        let stride = [1, self.grid.shape[0], self.grid.shape[0] * self.grid.shape[1]];
        // Stored index of RAS voxel (0, 0, 0), and the step of the stored index along each RAS
        // axis.
        let start: usize = plan
            .iter()
            .map(|&(axis, flipped)| if flipped { (self.grid.shape[axis] - 1) * stride[axis] } else { 0 })
            .sum();
        let step = plan.map(|(axis, flipped)| {
            let stride = stride[axis] as isize;
            if flipped { -stride } else { stride }
        });
        let mut voxels = Vec::with_capacity(self.voxels.len());
        for z in 0..grid.shape[2] {
            for y in 0..grid.shape[1] {
                let row = start as isize + z as isize * step[2] + y as isize * step[1];
                voxels.extend((0..grid.shape[0]).map(|x| self.voxels[(row + x as isize * step[0]) as usize]));
            }
        }
        Self { grid, voxels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AxisCode;

    const SHAPE: [usize; 3] = [3, 4, 5];

    /// All 48 ways to store a volume.
    fn orientations() -> Vec<Orientation> {
        use AxisCode::{Anterior, Inferior, Left, Posterior, Right, Superior};
        let codes = [Right, Left, Anterior, Posterior, Superior, Inferior];
        let mut found = Vec::new();
        for a in codes {
            for b in codes {
                found.extend(codes.into_iter().filter_map(|c| Orientation::new([a, b, c])));
            }
        }
        assert_eq!(found.len(), 48);
        found
    }

    #[test]
    fn every_voxel_keeps_its_place_in_the_world() {
        for orientation in orientations() {
            let grid = Grid::new(SHAPE, Affine::from_orientation(orientation, [0.7, 1.3, 2.9], SHAPE));
            assert_eq!(grid.orientation(), orientation);
            let stored = Volume::new(grid, (0..60).collect::<Vec<i32>>()).unwrap();
            let ras = stored.to_ras();
            assert_eq!(ras.grid.orientation(), Orientation::RAS);
            for (i, value) in ras.voxels.iter().enumerate() {
                let [nx, ny, _] = ras.grid.shape;
                let place = [i % nx, i / nx % ny, i / (nx * ny)].map(|n| n as f64);
                let j = *value as usize;
                let before = [j % 3, j / 3 % 4, j / 12].map(|n| n as f64);
                let (p, q) = (ras.grid.affine.apply(place), grid.affine.apply(before));
                assert!(p.iter().zip(q).all(|(p, q)| (p - q).abs() < 1e-9), "{orientation}: {p:?} {q:?}");
            }
            assert_eq!(ras.to_ras(), ras);
            let negative_zero = |v: &f64| *v == 0.0 && v.is_sign_negative();
            assert!(!ras.grid.affine.to_row_major().iter().any(negative_zero), "{orientation}");
        }
    }

    #[test]
    fn what_went_to_ras_comes_back() {
        for orientation in orientations() {
            let grid = Grid::new(SHAPE, Affine::from_orientation(orientation, [1.0, 2.0, 3.0], SHAPE));
            let volume = Volume::new(grid, (0..60).collect()).unwrap();
            assert_eq!(volume.to_ras().stored_as(grid).unwrap(), volume, "{orientation}");
        }
        let grid = Grid::new(SHAPE, Affine::from_orientation(Orientation::RAS, [1.0; 3], SHAPE));
        let other = Grid::new([60, 1, 1], grid.affine);
        assert!(Volume::new(grid, vec![0; 60]).unwrap().stored_as(other).is_err());
    }

    #[test]
    fn an_oblique_volume_goes_to_the_closest_axes() {
        let (sin, cos) = 0.3_f64.sin_cos();
        // Stored x runs to the left and a little to the back, y to the front and a little to the
        // left.
        let steps = [[-cos, -sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 2.0]];
        let grid = Grid::new(SHAPE, Affine::from_columns(steps, [10.0, 20.0, 30.0]));
        assert_eq!(grid.orientation().to_string(), "LAS");
        let ras = grid.to_ras();
        assert!(ras.affine.step_mm(0)[0] > 0.9);
        assert_eq!(ras.affine.apply([2.0, 0.0, 0.0]), grid.affine.apply([0.0, 0.0, 0.0]));
    }

    #[test]
    fn a_resized_grid_keeps_extent_and_centre() {
        let grid = Grid::new(SHAPE, Affine::from_orientation(Orientation::RAS, [0.7, 1.3, 2.9], SHAPE));
        let resized = grid.resized([7, 2, 9]);
        for axis in 0..3 {
            let extent = |g: &Grid| g.shape[axis] as f64 * g.spacing_mm()[axis];
            assert!((extent(&grid) - extent(&resized)).abs() < 1e-9);
        }
        let centre = |g: &Grid| g.affine.apply(g.shape.map(|n| (n as f64 - 1.0) / 2.0));
        assert!(centre(&grid).iter().zip(centre(&resized)).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn too_few_voxels_are_refused() {
        let grid = Grid::new(SHAPE, Affine::from_orientation(Orientation::RAS, [1.0; 3], SHAPE));
        assert!(Volume::new(grid, vec![0; 59]).is_err());
    }
}
