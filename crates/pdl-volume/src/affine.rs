//! The map from voxel indices to millimetres.

use crate::{AxisCode, Orientation};

/// A 4 x 4 affine in row-major order that maps voxel indices (x, y, z of the stored image, voxel
/// centres at integers) to RAS+ millimetres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    rows: [[f64; 4]; 4],
}

impl Affine {
    /// From the three upper rows; the last one is (0, 0, 0, 1).
    pub fn from_upper_rows(rows: [[f64; 4]; 3]) -> Self {
        Self { rows: [rows[0], rows[1], rows[2], [0.0, 0.0, 0.0, 1.0]] }
    }

    /// From 16 numbers in row-major order, or `None` if there are not 16.
    pub fn from_row_major(values: &[f64]) -> Option<Self> {
        let values: &[f64; 16] = values.try_into().ok()?;
        Some(Self::from_upper_rows(std::array::from_fn(|r| std::array::from_fn(|c| values[4 * r + c]))))
    }

    /// From the steps in millimetres along each voxel axis and the world position of voxel (0, 0,
    /// 0).
    pub fn from_columns(steps_mm: [[f64; 3]; 3], origin_mm: [f64; 3]) -> Self {
        Self::from_upper_rows(std::array::from_fn(|r| {
            [steps_mm[0][r], steps_mm[1][r], steps_mm[2][r], origin_mm[r]]
        }))
    }

    /// Axis-aligned with the given orientation and spacing; the volume's centre lies at the world's
    /// origin.
    pub fn from_orientation(orientation: Orientation, spacing_mm: [f64; 3], shape: [usize; 3]) -> Self {
        let mut steps = [[0.0; 3]; 3];
        for (axis, code) in orientation.axes().into_iter().enumerate() {
            steps[axis][code.world_axis()] = code.sign() * spacing_mm[axis];
        }
        let mut affine = Self::from_columns(steps, [0.0; 3]);
        let centre = affine.apply(shape.map(|n| (n as f64 - 1.0) / 2.0));
        for (row, offset) in affine.rows.iter_mut().zip(centre) {
            row[3] = -offset;
        }
        affine
    }

    /// The 16 numbers in row-major order.
    pub fn to_row_major(&self) -> Vec<f64> {
        self.rows.concat()
    }

    /// The rows.
    pub fn rows(&self) -> &[[f64; 4]; 4] {
        &self.rows
    }

    /// The step in RAS+ millimetres when the index along `axis` (0 = x, 1 = y, 2 = z) grows by one.
    pub fn step_mm(&self, axis: usize) -> [f64; 3] {
        std::array::from_fn(|r| self.rows[r][axis])
    }

    /// World position in RAS+ millimetres of voxel (0, 0, 0).
    pub fn origin_mm(&self) -> [f64; 3] {
        self.step_mm(3)
    }

    /// Voxel size in millimetres along x, y, z of the stored image: the length of each step.
    pub fn spacing_mm(&self) -> [f64; 3] {
        std::array::from_fn(|axis| norm(self.step_mm(axis)))
    }

    /// The world position in RAS+ millimetres of a (fractional) voxel index.
    pub fn apply(&self, index: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|r| {
            let row = &self.rows[r];
            row[0] * index[0] + row[1] * index[1] + row[2] * index[2] + row[3]
        })
    }

    /// The closest axis-aligned orientation: of the six assignments of stored axes to world axes,
    /// the one with the largest sum of absolute direction cosines.
    pub fn orientation(&self) -> Orientation {
        const PERMUTATIONS: [[usize; 3]; 6] =
            [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let spacing = self.spacing_mm();
        let cosine = |axis: usize, world: usize| self.step_mm(axis)[world] / spacing[axis];
        let fit = |p: &[usize; 3]| (0..3).map(|axis| cosine(axis, p[axis]).abs()).sum::<f64>();
        let mut best = PERMUTATIONS[0];
        for candidate in &PERMUTATIONS[1..] {
            if fit(candidate) > fit(&best) + 1e-9 {
                best = *candidate;
            }
        }
        Orientation::from_axes(std::array::from_fn(|axis| {
            AxisCode::from_world(best[axis], cosine(axis, best[axis]) >= 0.0)
        }))
    }

    /// The (fractional) voxel index at a world position in RAS+ millimetres, by Cramer's rule;
    /// meaningless unless [`Affine::is_usable`].
    pub fn index_at(&self, point_mm: [f64; 3]) -> [f64; 3] {
        let origin = self.origin_mm();
        let from_origin = std::array::from_fn(|r| point_mm[r] - origin[r]);
        let whole = self.determinant();
        std::array::from_fn(|axis| {
            let mut steps = [self.step_mm(0), self.step_mm(1), self.step_mm(2)];
            steps[axis] = from_origin;
            Self::from_columns(steps, [0.0; 3]).determinant() / whole
        })
    }

    /// The affine of a grid whose voxel j sits at index `scale * j + shift` of this one, per axis.
    pub fn rescaled(&self, scale: [f64; 3], shift: [f64; 3]) -> Self {
        let steps = std::array::from_fn(|axis| self.step_mm(axis).map(|v| v * scale[axis]));
        Self::from_columns(steps, self.apply(shift))
    }

    /// Volume in cubic millimetres spanned by the three steps; 0 for a degenerate affine.
    pub fn determinant(&self) -> f64 {
        let [a, b, c] = [self.step_mm(0), self.step_mm(1), self.step_mm(2)];
        a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1])
            + c[0] * (a[1] * b[2] - a[2] * b[1])
    }

    /// Whether it is invertible: every number finite and the three steps independent.
    pub fn is_usable(&self) -> bool {
        let spacing = self.spacing_mm();
        let box_volume = spacing.iter().product::<f64>();
        self.rows.iter().flatten().all(|v| v.is_finite())
            && box_volume > 0.0
            && self.determinant().abs() > 1e-3 * box_volume
    }

    /// The largest distance in millimetres between the corners of a volume of `shape` under the two
    /// affines.
    pub fn corner_distance_mm(&self, other: &Self, shape: [usize; 3]) -> f64 {
        let mut largest = 0.0_f64;
        for corner in 0..8 {
            let index =
                std::array::from_fn(
                    |axis| {
                        if corner >> axis & 1 == 1 { shape[axis] as f64 - 1.0 } else { 0.0 }
                    },
                );
            let (p, q) = (self.apply(index), other.apply(index));
            largest = largest.max(norm([p[0] - q[0], p[1] - q[1], p[2] - q[2]]));
        }
        largest
    }
}

fn norm(v: [f64; 3]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}
