//! Affine maps between volumes in coordinates that do not depend on their grids.

/// An affine map from the unit coordinates of one volume to those of another. Unit coordinates are
/// z, y, x and run from -0.5 to 0.5 over a volume's own box: the centre of voxel i of n lies at
/// (i + 0.5) / n - 0.5.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitAffine {
    rows: [[f64; 4]; 3],
}

impl UnitAffine {
    /// The map of a volume to itself.
    pub const IDENTITY: Self =
        Self { rows: [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]] };

    /// From the matrix with the shift in its fourth column; rows are z, y, x.
    pub fn from_rows(rows: [[f64; 4]; 3]) -> Self {
        Self { rows }
    }

    /// The matrix with the shift in its fourth column; rows are z, y, x.
    pub fn rows(&self) -> &[[f64; 4]; 3] {
        &self.rows
    }

    /// Where a position of the first volume lies in the second.
    pub fn apply(&self, at: [f64; 3]) -> [f64; 3] {
        let turned = self.turn(at);
        std::array::from_fn(|axis| turned[axis] + self.rows[axis][3])
    }

    /// A difference of two positions, to which the shift adds nothing.
    pub fn turn(&self, by: [f64; 3]) -> [f64; 3] {
        self.rows.map(|row| row[0] * by[0] + row[1] * by[1] + row[2] * by[2])
    }

    /// First `first`, then this map.
    #[must_use]
    pub fn after(&self, first: &Self) -> Self {
        let column = |axis: usize| std::array::from_fn(|row: usize| first.rows[row][axis]);
        let columns =
            [self.turn(column(0)), self.turn(column(1)), self.turn(column(2)), self.apply(column(3))];
        Self { rows: std::array::from_fn(|row| columns.map(|column| column[row])) }
    }

    /// Volume of the second's box that a unit of the first covers; negative with a reflection.
    pub fn determinant(&self) -> f64 {
        let [a, b, c] = &self.rows;
        a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
            + a[2] * (b[0] * c[1] - b[1] * c[0])
    }

    /// The map back, or nothing where a direction is lost.
    pub fn inverse(&self) -> Option<Self> {
        let whole = self.determinant();
        if whole.abs() < 1e-9 || !whole.is_finite() {
            return None;
        }
        let minor = |row: usize, column: usize| {
            let [r, s] = [(row + 1) % 3, (row + 2) % 3];
            let [c, d] = [(column + 1) % 3, (column + 2) % 3];
            (self.rows[r][c] * self.rows[s][d] - self.rows[r][d] * self.rows[s][c]) / whole
        };
        let mut back = Self {
            rows: std::array::from_fn(|row| {
                std::array::from_fn(|column| if column < 3 { minor(column, row) } else { 0.0 })
            }),
        };
        let shift = back.turn(self.rows.map(|row| row[3]));
        back.rows.iter_mut().zip(shift).for_each(|(row, by)| row[3] = -by);
        Some(back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_nowhere() {
        let map =
            UnitAffine::from_rows([[1.1, 0.2, -0.1, 0.05], [0.0, 0.9, 0.3, -0.2], [0.1, -0.2, 1.3, 0.1]]);
        let back = map.inverse().unwrap();
        for at in [[0.1, -0.3, 0.4], [-0.5, 0.5, 0.0]] {
            let twice = back.apply(map.apply(at));
            let composed = back.after(&map).apply(at);
            for axis in 0..3 {
                assert!((twice[axis] - at[axis]).abs() < 1e-12 && (composed[axis] - at[axis]).abs() < 1e-12);
            }
        }
        assert!((map.determinant() * back.determinant() - 1.0).abs() < 1e-12);
        assert!(UnitAffine::from_rows([[0.0; 4]; 3]).inverse().is_none());
    }
}
