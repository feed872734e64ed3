//! Rigid alignment of one volume to another by normalised cross-correlation.
//!
//! As in `gauss_newton`, by the inverse compositional method, with six parameters in mm: a shift
//! along z, y, x and a rotation about them. Persons differ in size, so lengths are kept.

use crate::registration::gauss_newton::{Overlap, descent, moments, overlap, solve};
use crate::registration::rigid_motion::RigidMotion;

/// Parameters: the shift, then the rotation.
const PARAMETERS: usize = 6;

/// Longest step of a parameter: a fraction of half a side, or radians.
const LONGEST: f64 = 0.15;

/// Damping of every parameter, as a fraction of the mean curvature (Levenberg-Marquardt).
const DAMPING: f64 = 1e-3;

/// The descent ends after a step in which no parameter changes by more.
const SHORT: f64 = 3e-4;

/// Parameters that a descent may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RigidFreedom {
    /// The shift alone.
    Shift,
    /// Shift and rotation.
    Rigid,
}

impl RigidFreedom {
    fn parameters(self) -> usize {
        match self {
            Self::Shift => 3,
            Self::Rigid => PARAMETERS,
        }
    }
}

/// A volume that others are aligned to, at some of its voxels.
pub(super) struct RigidTarget {
    shape: [usize; 3],
    /// Half the mean side of its box, mm: the unit of length of points and parameters.
    length_mm: f64,
    /// From the centre of the box.
    points: Vec<[f32; 3]>,
    /// Intensities less their mean, in standard deviations.
    values: Vec<f32>,
    /// Derivatives of the values by the parameters, less their mean.
    slopes: Vec<[f32; PARAMETERS]>,
    hessian: [[f64; PARAMETERS]; PARAMETERS],
}

impl RigidTarget {
    /// Takes a C array of `shape` (z, y, x) whose box has these sides, with a stride of `step`
    /// voxels along each axis.
    pub(super) fn new(voxels: &[f32], shape: [usize; 3], box_mm: [f64; 3], step: usize) -> Self {
        let length_mm = box_mm.iter().product::<f64>().cbrt() / 2.0;
        let mut target = Self {
            shape,
            length_mm,
            points: vec![],
            values: vec![],
            slopes: vec![],
            hessian: [[0.0; PARAMETERS]; PARAMETERS],
        };
        let sides: [f64; 3] = std::array::from_fn(|axis| box_mm[axis] / length_mm / shape[axis] as f64);
        let first = shape.map(|side| side.saturating_sub(1) % step / 2);
        for z in (first[0]..shape[0]).step_by(step) {
            for y in (first[1]..shape[1]).step_by(step) {
                for x in (first[2]..shape[2]).step_by(step) {
                    target.add(voxels, sides, [z, y, x]);
                }
            }
        }
        target.normalise();
        target
    }

    fn add(&mut self, voxels: &[f32], sides: [f64; 3], at: [usize; 3]) {
        let shape = self.shape;
        let value = |[z, y, x]: [usize; 3]| f64::from(voxels[(z * shape[1] + y) * shape[2] + x]);
        let point: [f64; 3] =
            std::array::from_fn(|axis| (at[axis] as f64 + 0.5 - shape[axis] as f64 / 2.0) * sides[axis]);
        let slope: [f64; 3] = std::array::from_fn(|axis| {
            let (mut next, mut last) = (at, at);
            next[axis] = (at[axis] + 1).min(shape[axis] - 1);
            last[axis] = at[axis].saturating_sub(1);
            let far = (next[axis] - last[axis]).max(1) as f64 * sides[axis];
            (value(next) - value(last)) / far
        });
        let [p, g] = [point, slope];
        let turn = [p[1] * g[2] - p[2] * g[1], p[2] * g[0] - p[0] * g[2], p[0] * g[1] - p[1] * g[0]];
        self.points.push(point.map(|at| at as f32));
        self.values.push(value(at) as f32);
        let [a, b, c] = slope;
        let [d, e, f] = turn;
        self.slopes.push([a, b, c, d, e, f].map(|slope| slope as f32));
    }

    fn normalise(&mut self) {
        let (mean, deviation) = moments(&self.values);
        let scale = 1.0 / deviation.max(1e-6);
        self.values.iter_mut().for_each(|value| *value = ((f64::from(*value) - mean) * scale) as f32);
        let count = self.slopes.len().max(1) as f64;
        let means: [f64; PARAMETERS] = std::array::from_fn(|k| {
            self.slopes.iter().map(|slopes| f64::from(slopes[k])).sum::<f64>() / count
        });
        for slopes in &mut self.slopes {
            for (slope, mean) in slopes.iter_mut().zip(means) {
                *slope = ((f64::from(*slope) - mean) * scale) as f32;
            }
            for (row, a) in self.hessian.iter_mut().zip(*slopes) {
                row.iter_mut().zip(*slopes).for_each(|(sum, b)| *sum += f64::from(a * b));
            }
        }
    }

    /// The motion near `start` from this volume to `moving`, a C array of the same shape whose box
    /// has the sides `moving_mm`, with the largest correlation that at most `steps` steps reach,
    /// and that correlation, -1 to 1. The correlation is -1 where too little overlaps.
    pub(super) fn align(
        &self,
        moving: &[f32],
        moving_mm: [f64; 3],
        start: RigidMotion,
        freedom: RigidFreedom,
        steps: usize,
    ) -> (RigidMotion, f64) {
        let (mut motion, mut best) = (start, (start, -1.0));
        let mut sampled = Vec::with_capacity(self.points.len());
        let mut last = false;
        for step in 0..=steps {
            let Some(overlap) = self.overlap(moving, moving_mm, &motion, &mut sampled) else { break };
            if overlap.correlation > best.1 {
                best = (motion, overlap.correlation);
            }
            if step == steps || last {
                break;
            }
            let change = self.step(&sampled, &overlap, freedom);
            last = change.iter().all(|by| by.abs() < SHORT);
            motion = motion.after(&self.motion(change).inverse());
        }
        best
    }

    /// The motion that a change of the parameters makes of none.
    fn motion(&self, [a, b, c, d, e, f]: [f64; PARAMETERS]) -> RigidMotion {
        RigidMotion::new([d, e, f], [a, b, c].map(|by| by * self.length_mm))
    }

    /// How the volumes agree after a motion, where enough overlaps.
    fn overlap(
        &self,
        moving: &[f32],
        moving_mm: [f64; 3],
        motion: &RigidMotion,
        sampled: &mut Vec<f32>,
    ) -> Option<Overlap> {
        let map = motion.in_unit_coordinates([self.length_mm; 3], moving_mm);
        overlap((&self.points, &self.values), self.shape, moving, &map, sampled)
    }

    /// The change of the parameters that the residuals ask for.
    fn step(&self, sampled: &[f32], overlap: &Overlap, freedom: RigidFreedom) -> [f64; PARAMETERS] {
        let right = descent(&self.values, &self.slopes, sampled, overlap);
        let mut change = solve(&self.hessian, &right, freedom.parameters(), DAMPING);
        change.iter_mut().for_each(|by| *by = by.clamp(-LONGEST, LONGEST));
        change
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::registration) const SHAPE: [usize; 3] = [24, 28, 20];
    pub(in crate::registration) const BOX_MM: [f64; 3] = [120.0, 100.0, 110.0];

    /// Spots without symmetry in a box of these sides, seen after a motion.
    pub(in crate::registration) fn spots(box_mm: [f64; 3], motion: &RigidMotion) -> Vec<f32> {
        let spot = |at: [f64; 3], centre: [f64; 3], width: f64| {
            let far: f64 = (0..3).map(|axis| (at[axis] - centre[axis]).powi(2)).sum();
            (-far / (width * width)).exp()
        };
        let mut voxels = Vec::new();
        for z in 0..SHAPE[0] {
            for y in 0..SHAPE[1] {
                for x in 0..SHAPE[2] {
                    let place = [z, y, x];
                    let mm = std::array::from_fn(|axis| {
                        ((place[axis] as f64 + 0.5) / SHAPE[axis] as f64 - 0.5) * box_mm[axis]
                    });
                    let at = motion.apply(mm);
                    let value = spot(at, [0.0, 0.0, 0.0], 30.0) + 0.8 * spot(at, [15.0, -10.0, 20.0], 20.0)
                        - 0.7 * spot(at, [-20.0, 20.0, -10.0], 25.0)
                        + 0.6 * spot(at, [-10.0, -20.0, -20.0], 20.0);
                    voxels.push(value as f32);
                }
            }
        }
        voxels
    }

    #[test]
    fn a_known_motion_is_found_in_a_box_of_other_sides() {
        let known = RigidMotion::new([0.12, -0.08, 0.1], [4.0, -6.0, 3.0]);
        let other_mm = [130.0, 118.0, 104.0];
        let fixed = spots(BOX_MM, &RigidMotion::IDENTITY);
        // What lies at p in the moving volume lies at known(p) in the fixed one.
        let moving = spots(other_mm, &known);
        let target = RigidTarget::new(&fixed, SHAPE, BOX_MM, 1);
        let start = target.align(&moving, other_mm, RigidMotion::IDENTITY, RigidFreedom::Shift, 6).0;
        let (found, correlation) = target.align(&moving, other_mm, start, RigidFreedom::Rigid, 20);
        assert!(correlation > 0.999, "{correlation}");
        let rest = found.after(&known);
        assert!(rest.angle_degrees() < 0.3, "{rest:?}");
        assert!(rest.apply([0.0; 3]).iter().all(|mm| mm.abs() < 0.3), "{rest:?}");
    }

    #[test]
    fn the_descent_is_the_gradient_of_the_correlation() {
        let fixed = spots(BOX_MM, &RigidMotion::IDENTITY);
        let moving = spots(BOX_MM, &RigidMotion::new([0.03, 0.02, -0.04], [1.0, -1.0, 2.0]));
        let target = RigidTarget::new(&fixed, SHAPE, BOX_MM, 1);
        let mut sampled = Vec::new();
        let overlap = target.overlap(&moving, BOX_MM, &RigidMotion::IDENTITY, &mut sampled).unwrap();
        let descent = descent(&target.values, &target.slopes, &sampled, &overlap);
        // Moving the fixed volume by h changes 2 - 2 NCC by 2 h <slope, fixed - moving> / points.
        let correlation = |parameter: usize, by: f64| {
            let mut change = [0.0; PARAMETERS];
            change[parameter] = by;
            let motion = target.motion(change).inverse();
            target.overlap(&moving, BOX_MM, &motion, &mut Vec::new()).unwrap().correlation
        };
        let h = 1e-3;
        let size = descent.iter().fold(0.0_f64, |most, by| most.max(by.abs())) / target.values.len() as f64;
        for (parameter, descent) in descent.iter().enumerate() {
            let numeric = (correlation(parameter, h) - correlation(parameter, -h)) / (2.0 * h);
            let analytic = descent / target.values.len() as f64;
            let apart = (numeric - analytic).abs();
            assert!(apart < 0.15 * size, "{parameter}: {numeric} {analytic}");
            assert!(
                numeric * analytic > 0.0 || numeric.abs() < 0.1 * size,
                "{parameter}: {numeric} {analytic}"
            );
        }
    }

    #[test]
    fn planes_and_constant_volumes_harm_nothing() {
        let shape = [1, 16, 16];
        let plane: Vec<f32> =
            (0..256).map(|i| ((i % 16) as f32 * 0.4).sin() + (i / 16) as f32 * 0.05).collect();
        let box_mm = [5.0, 160.0, 160.0];
        let target = RigidTarget::new(&plane, shape, box_mm, 1);
        let rigid = RigidFreedom::Rigid;
        let (motion, correlation) = target.align(&plane, box_mm, RigidMotion::IDENTITY, rigid, 6);
        assert!(correlation > 0.9999 && motion.angle_degrees() < 0.1, "{motion:?} {correlation}");
        let flat = vec![0.5; 256];
        assert_eq!(
            target.align(&flat, box_mm, RigidMotion::IDENTITY, rigid, 6),
            (RigidMotion::IDENTITY, -1.0)
        );
        let nothing = RigidTarget::new(&flat, shape, box_mm, 1);
        assert_eq!(nothing.align(&plane, box_mm, RigidMotion::IDENTITY, rigid, 3).0, RigidMotion::IDENTITY);
    }
}
