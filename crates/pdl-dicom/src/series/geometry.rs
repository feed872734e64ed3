//! Vectors in the patient's millimetres, and planes of pixels.

use pdl_volume::Affine;

/// Left, posterior, superior in millimetres.
pub(crate) type Vector = [f64; 3];

pub(crate) fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub(crate) fn minus(a: Vector, b: Vector) -> Vector {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(crate) fn plus(a: Vector, b: Vector, times: f64) -> Vector {
    [a[0] + times * b[0], a[1] + times * b[1], a[2] + times * b[2]]
}

pub(crate) fn scaled(a: Vector, by: f64) -> Vector {
    a.map(|v| v * by)
}

pub(crate) fn norm(a: Vector) -> f64 {
    dot(a, a).sqrt()
}

/// One plane of pixels in the patient, LPS millimetres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plane {
    /// Centre of the first pixel (ImagePositionPatient).
    pub position: Vector,
    /// Unit vector in which the column index grows (ImageOrientationPatient, first three).
    pub along_row: Vector,
    /// Unit vector in which the row index grows.
    pub along_column: Vector,
    /// Step of the column index and of the row index, mm: PixelSpacing the other way round.
    pub spacing: [f64; 2],
    /// Columns and rows.
    pub size: [usize; 2],
}

impl Plane {
    /// The unit normal: along row x along column.
    pub(crate) fn normal(&self) -> Vector {
        let n = cross(self.along_row, self.along_column);
        scaled(n, 1.0 / norm(n))
    }

    /// Why it is not a valid plane: its two directions must be unit vectors at a right angle, and
    /// its pixels have a size.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let unit = |v: Vector| (norm(v) - 1.0).abs() < 1e-3;
        let square = dot(self.along_row, self.along_column).abs() < 1e-3;
        if !(unit(self.along_row) && unit(self.along_column) && square) {
            return Some(
                "its orientation (ImageOrientationPatient) is no pair of unit vectors at a right angle",
            );
        }
        if !self.spacing.iter().all(|s| s.is_finite() && *s > 0.0) {
            return Some("its pixel spacing is not positive");
        }
        if !self.position.iter().all(|v| v.is_finite()) || self.size.contains(&0) {
            return Some("its position is not finite, or it has no rows or columns");
        }
        None
    }

    /// Whether the other is parallel, with the same pixels: the two can be slices of one volume.
    pub(crate) fn stacks_with(&self, other: &Self) -> bool {
        let near = |a: Vector, b: Vector| norm(minus(a, b)) < 1e-3;
        self.size == other.size
            && near(self.along_row, other.along_row)
            && near(self.along_column, other.along_column)
            && self.spacing.iter().zip(other.spacing).all(|(a, b)| (a - b).abs() < 1e-3 * a)
    }

    /// (column, row) of a place in the plane, in pixels, and its distance along the normal, mm.
    pub(crate) fn locate(&self, place: Vector) -> ([f64; 2], f64) {
        let from = minus(place, self.position);
        let pixel =
            [dot(from, self.along_row) / self.spacing[0], dot(from, self.along_column) / self.spacing[1]];
        (pixel, dot(from, self.normal()))
    }
}

/// The affine (RAS+) of slices that start at `plane` and lie `step` (LPS, mm) apart.
pub(crate) fn affine(plane: &Plane, step: Vector) -> Affine {
    let x = scaled(plane.along_row, plane.spacing[0]);
    let y = scaled(plane.along_column, plane.spacing[1]);
    Affine::from_columns([x, y, step].map(to_ras), to_ras(plane.position))
}

pub(crate) fn to_ras([x, y, z]: Vector) -> Vector {
    [-x + 0.0, -y + 0.0, z] // + 0.0: never -0
}
