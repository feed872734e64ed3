//! Rotations and shifts of a body in millimetres.

use crate::registration::unit_affine::UnitAffine;

/// A rotation about the centre of a volume's box, then a shift, into the box of another. Axes are
/// z, y, x; positions and shifts are in mm from the centre of the box that they belong to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RigidMotion {
    rotation: [[f64; 3]; 3],
    shift_mm: [f64; 3],
}

impl RigidMotion {
    /// No motion.
    pub const IDENTITY: Self =
        Self { rotation: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], shift_mm: [0.0; 3] };

    /// A rotation about an axis through the centre by the length of `turn`, radians (Rodrigues'
    /// formula), then a shift.
    pub(super) fn new(turn: [f64; 3], shift_mm: [f64; 3]) -> Self {
        let angle = turn.iter().map(|by| by * by).sum::<f64>().sqrt();
        let (first, second) = match angle < 1e-9 {
            true => (1.0, 0.5),
            false => (angle.sin() / angle, (1.0 - angle.cos()) / (angle * angle)),
        };
        let [u, v, w] = turn;
        let cross = [[0.0, -w, v], [w, 0.0, -u], [-v, u, 0.0]];
        let mut rotation = Self::IDENTITY.rotation;
        for (i, row) in rotation.iter_mut().enumerate() {
            for (j, entry) in row.iter_mut().enumerate() {
                let square: f64 = (0..3).map(|k| cross[i][k] * cross[k][j]).sum();
                *entry += first * cross[i][j] + second * square;
            }
        }
        Self { rotation, shift_mm }
    }

    /// Where a position of the first volume lies in the second, mm.
    pub fn apply(&self, at: [f64; 3]) -> [f64; 3] {
        let turned = self.rotated(at);
        std::array::from_fn(|axis| turned[axis] + self.shift_mm[axis])
    }

    fn rotated(&self, by: [f64; 3]) -> [f64; 3] {
        self.rotation.map(|row| row[0] * by[0] + row[1] * by[1] + row[2] * by[2])
    }

    /// First `first`, then this motion.
    #[must_use]
    pub(super) fn after(&self, first: &Self) -> Self {
        let column = |axis: usize| self.rotated(first.rotation.map(|row| row[axis]));
        let columns = [column(0), column(1), column(2)];
        let rotation = std::array::from_fn(|row| columns.map(|column| column[row]));
        Self { rotation, shift_mm: self.apply(first.shift_mm) }
    }

    /// The motion back.
    #[must_use]
    pub(super) fn inverse(&self) -> Self {
        let rotation = std::array::from_fn(|row| self.rotation.map(|own| own[row]));
        let back = Self { rotation, shift_mm: [0.0; 3] };
        Self { rotation, shift_mm: back.rotated(self.shift_mm).map(|by| -by) }
    }

    /// The angle of the rotation, degrees.
    pub fn angle_degrees(&self) -> f64 {
        let trace: f64 = (0..3).map(|axis| self.rotation[axis][axis]).sum();
        ((trace - 1.0) / 2.0).clamp(-1.0, 1.0).acos().to_degrees()
    }

    /// The same in unit coordinates, for boxes of these sides (z, y, x; mm).
    pub(super) fn in_unit_coordinates(&self, from_mm: [f64; 3], to_mm: [f64; 3]) -> UnitAffine {
        UnitAffine::from_rows(std::array::from_fn(|row| {
            let entry = |column: usize| self.rotation[row][column] * from_mm[column] / to_mm[row];
            [entry(0), entry(1), entry(2), self.shift_mm[row] / to_mm[row]]
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: [f64; 3], b: [f64; 3]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
    }

    #[test]
    fn a_quarter_turn_and_back() {
        let turn = RigidMotion::new([std::f64::consts::FRAC_PI_2, 0.0, 0.0], [1.0, 2.0, 3.0]);
        assert!(near(turn.apply([5.0, 1.0, 0.0]), [6.0, 2.0, 4.0]), "about z, y goes to x");
        assert!((turn.angle_degrees() - 90.0).abs() < 1e-9);
        assert!(near(turn.inverse().apply(turn.apply([5.0, -7.0, 2.0])), [5.0, -7.0, 2.0]));
        let both = turn.after(&RigidMotion::new([0.1, -0.2, 0.3], [-4.0, 0.0, 1.0]));
        assert!(near(both.after(&both.inverse()).apply([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]));
        // A lattice in a box twice as long along z.
        let unit = turn.in_unit_coordinates([10.0, 20.0, 20.0], [20.0, 20.0, 20.0]);
        assert!(near(unit.apply([0.5, 0.05, 0.0]), [6.0 / 20.0, 2.0 / 20.0, 4.0 / 20.0]));
    }
}
