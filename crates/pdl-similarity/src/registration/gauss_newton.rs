//! Alignment of one volume to another by normalised cross-correlation.
//!
//! The inverse compositional method (Baker and Matthews 2004): slopes and the Hessian belong to the
//! fixed volume and are computed once; each step samples the moving one. Intensities are compared
//! less their mean and in standard deviations over the overlap, so that a step descends on
//! 2 - 2 NCC. Coordinates are those of [`UnitAffine`].

use std::ops::Range;

use crate::registration::unit_affine::UnitAffine;

/// Parameters of an affine map: the shift, then the three columns of the matrix.
const PARAMETERS: usize = 12;

/// Fraction of the points that must lie in the moving volume.
const LEAST_OVERLAP: f64 = 0.3;

/// Longest step of a parameter.
const LONGEST: f64 = 0.08;

/// The descent ends after a step in which no parameter changes by more.
const SHORT: f64 = 1e-3;

/// Parameters that a descent may change.
#[derive(Clone, Copy, Debug)]
pub(super) enum Freedom {
    /// The shift alone.
    Shift,
    /// All twelve parameters, damped by this fraction of the mean curvature (Levenberg-Marquardt).
    Affine { damping: f64 },
}

impl Freedom {
    fn parameters(self) -> usize {
        match self {
            Self::Shift => 3,
            Self::Affine { .. } => PARAMETERS,
        }
    }

    fn damping(self) -> f64 {
        match self {
            Self::Shift => 1e-3,
            Self::Affine { damping } => damping,
        }
    }
}

/// A volume that others are aligned to, at some of its voxels.
pub(super) struct Target {
    shape: [usize; 3],
    /// Unit coordinates.
    points: Vec<[f32; 3]>,
    /// Intensities less their mean, in standard deviations.
    values: Vec<f32>,
    /// Derivatives of the values by the parameters, less their mean.
    slopes: Vec<[f32; PARAMETERS]>,
    hessian: [[f64; PARAMETERS]; PARAMETERS],
}

impl Target {
    /// Takes a box of a C array of `shape` (z, y, x), with a stride of `steps` voxels along each
    /// axis.
    pub(super) fn new(voxels: &[f32], shape: [usize; 3], part: [Range<usize>; 3], steps: [usize; 3]) -> Self {
        let mut target = Self {
            shape,
            points: vec![],
            values: vec![],
            slopes: vec![],
            hessian: [[0.0; PARAMETERS]; PARAMETERS],
        };
        let [zs, ys, xs] = part;
        for z in zs.step_by(steps[0]) {
            for y in ys.clone().step_by(steps[1]) {
                for x in xs.clone().step_by(steps[2]) {
                    target.add(voxels, [z, y, x]);
                }
            }
        }
        target.normalise();
        target
    }

    fn add(&mut self, voxels: &[f32], at: [usize; 3]) {
        let shape = self.shape;
        let value = |[z, y, x]: [usize; 3]| voxels[(z * shape[1] + y) * shape[2] + x];
        let point: [f32; 3] = std::array::from_fn(|axis| (at[axis] as f32 + 0.5) / shape[axis] as f32 - 0.5);
        let mut slopes = [0.0; PARAMETERS];
        for axis in 0..3 {
            let (mut next, mut last) = (at, at);
            next[axis] = (at[axis] + 1).min(shape[axis] - 1);
            last[axis] = at[axis].saturating_sub(1);
            let slope = (value(next) - value(last)) * 0.5 * shape[axis] as f32;
            slopes[axis] = slope;
            (0..3).for_each(|column| slopes[3 + 3 * column + axis] = slope * point[column]);
        }
        self.points.push(point);
        self.values.push(value(at));
        self.slopes.push(slopes);
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
            slopes
                .iter_mut()
                .zip(means)
                .for_each(|(slope, mean)| *slope = ((f64::from(*slope) - mean) * scale) as f32);
            for (row, a) in self.hessian.iter_mut().zip(*slopes) {
                row.iter_mut().zip(*slopes).for_each(|(sum, b)| *sum += f64::from(a * b));
            }
        }
    }

    /// The map near `start` from this volume to `moving`, a C array of the same shape, with the
    /// largest correlation that at most `steps` steps reach, and that correlation, -1 to 1.
    pub(super) fn align(
        &self,
        moving: &[f32],
        start: UnitAffine,
        freedom: Freedom,
        steps: usize,
    ) -> (UnitAffine, f64) {
        let (mut map, mut best) = (start, (start, -1.0));
        let mut sampled = Vec::with_capacity(self.points.len());
        let mut last = false;
        for step in 0..=steps {
            let fixed = (self.points.as_slice(), self.values.as_slice());
            let Some(overlap) = overlap(fixed, self.shape, moving, &map, &mut sampled) else { break };
            if overlap.correlation > best.1 {
                best = (map, overlap.correlation);
            }
            if step == steps || last {
                break;
            }
            let change = self.step(&sampled, &overlap, freedom);
            last = change.iter().all(|by| by.abs() < SHORT);
            let Some(back) = increment(&change).inverse() else { break };
            map = map.after(&back);
        }
        best
    }

    /// The change of the parameters that the residuals ask for.
    fn step(&self, sampled: &[f32], overlap: &Overlap, freedom: Freedom) -> [f64; PARAMETERS] {
        let right = descent(&self.values, &self.slopes, sampled, overlap);
        let count = freedom.parameters();
        let mut change = solve(&self.hessian, &right, count, freedom.damping());
        change.iter_mut().for_each(|by| *by = by.clamp(-LONGEST, LONGEST));
        change
    }
}

/// How the fixed and the moving volume agree where they overlap.
pub(super) struct Overlap {
    /// Mean of the moving volume.
    pub(super) mean: f64,
    /// Standard deviation of the moving volume.
    pub(super) deviation: f64,
    pub(super) correlation: f64,
}

/// Sums over the voxels of two volumes.
#[derive(Default)]
pub(super) struct Sums {
    count: f64,
    fixed: f64,
    moving: f64,
    fixed_squares: f64,
    moving_squares: f64,
    products: f64,
}

impl Sums {
    pub(super) fn add(&mut self, fixed: f64, moving: f64) {
        self.count += 1.0;
        self.fixed += fixed;
        self.moving += moving;
        self.fixed_squares += fixed * fixed;
        self.moving_squares += moving * moving;
        self.products += fixed * moving;
    }

    /// Nothing where one of the two is of one intensity.
    pub(super) fn overlap(&self) -> Option<Overlap> {
        let (mean, fixed_mean) = (self.moving / self.count, self.fixed / self.count);
        let variance = self.moving_squares / self.count - mean * mean;
        let fixed_variance = self.fixed_squares / self.count - fixed_mean * fixed_mean;
        if variance.is_nan() || variance < 1e-8 || fixed_variance < 1e-8 {
            return None;
        }
        let covariance = self.products / self.count - mean * fixed_mean;
        Some(Overlap {
            mean,
            deviation: variance.sqrt(),
            correlation: covariance / (variance * fixed_variance).sqrt(),
        })
    }
}

/// Samples the moving volume, a C array of this shape, at all points of the fixed one, NaN outside;
/// nothing where too little overlaps or all of that is of one intensity. `map` leads from the
/// points, in fractions of the sides, to the moving volume; the values are those of the fixed one.
pub(super) fn overlap(
    (points, values): (&[[f32; 3]], &[f32]),
    shape: [usize; 3],
    moving: &[f32],
    map: &UnitAffine,
    sampled: &mut Vec<f32>,
) -> Option<Overlap> {
    sampled.clear();
    let rows = map.rows().map(|row| row.map(|value| value as f32));
    let sides = shape.map(|side| side as f32);
    let mut sums = Sums::default();
    for (point, fixed) in points.iter().zip(values) {
        let at: [f32; 3] = std::array::from_fn(|axis| {
            let [a, b, c, shift] = rows[axis];
            (a * point[0] + b * point[1] + c * point[2] + shift + 0.5) * sides[axis] - 0.5
        });
        let value = if inside(at, sides) { sample(moving, shape, at) } else { f32::NAN };
        if !value.is_nan() {
            sums.add(f64::from(*fixed), f64::from(value));
        }
        sampled.push(value);
    }
    if sums.count < LEAST_OVERLAP * points.len() as f64 {
        return None;
    }
    sums.overlap()
}

/// Products of the slopes, by parameter, with the residuals of the normalised moving volume.
pub(super) fn descent<const N: usize>(
    values: &[f32],
    slopes: &[[f32; N]],
    sampled: &[f32],
    overlap: &Overlap,
) -> [f64; N] {
    let (mean, scale) = (overlap.mean as f32, (1.0 / overlap.deviation) as f32);
    let mut right = [0.0_f64; N];
    // Short sums in single precision, the whole in double.
    let parts = sampled.chunks(256).zip(values.chunks(256)).zip(slopes.chunks(256));
    for ((sampled, values), slopes) in parts {
        let mut sum = [0.0_f32; N];
        for ((moving, fixed), slopes) in sampled.iter().zip(values).zip(slopes) {
            let residual = (moving - mean) * scale - fixed;
            let residual = if residual.is_nan() { 0.0 } else { residual };
            sum.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += slope * residual);
        }
        right.iter_mut().zip(sum).for_each(|(all, sum)| *all += f64::from(sum));
    }
    right
}

/// The mean and the standard deviation of the population.
pub(super) fn moments(values: &[f32]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let squares = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>();
    (mean, (squares / count).sqrt())
}

/// Whether voxel coordinates lie between the centres of the outermost voxels; along an axis of one
/// voxel, within it.
pub(super) fn inside(at: [f32; 3], sides: [f32; 3]) -> bool {
    (0..3).all(|axis| match sides[axis] {
        1.0 => (-0.5..=0.5).contains(&at[axis]),
        side => (0.0..=side - 1.0).contains(&at[axis]),
    })
}

/// Linear interpolation at voxel coordinates (z, y, x), which are taken to the nearest voxel where
/// they lie outside.
pub(super) fn sample(voxels: &[f32], shape: [usize; 3], at: [f32; 3]) -> f32 {
    let at: [f32; 3] = std::array::from_fn(|axis| at[axis].clamp(0.0, (shape[axis] - 1) as f32));
    let below = at.map(|at| at as usize);
    let share: [f32; 3] = std::array::from_fn(|axis| at[axis] - below[axis] as f32);
    let stride = [shape[1] * shape[2], shape[2], 1];
    let step: [usize; 3] =
        std::array::from_fn(|axis| if below[axis] + 1 < shape[axis] { stride[axis] } else { 0 });
    let first = below[0] * stride[0] + below[1] * stride[1] + below[2];
    let line = |at: usize| voxels[at] + share[2] * (voxels[at + step[2]] - voxels[at]);
    let plane = |at: usize| {
        let near = line(at);
        near + share[1] * (line(at + step[1]) - near)
    };
    let near = plane(first);
    near + share[0] * (plane(first + step[0]) - near)
}

/// The map that a change of the parameters makes of the identity.
fn increment(change: &[f64; PARAMETERS]) -> UnitAffine {
    let mut rows = *UnitAffine::IDENTITY.rows();
    for (axis, row) in rows.iter_mut().enumerate() {
        row[3] = change[axis];
        (0..3).for_each(|column| row[column] += change[3 + 3 * column + axis]);
    }
    UnitAffine::from_rows(rows)
}

/// Solves the first `count` normal equations by Cholesky's decomposition, with `damping` times the
/// mean diagonal added to the diagonal; the other parameters are 0.
pub(super) fn solve<const N: usize>(
    hessian: &[[f64; N]; N],
    right: &[f64; N],
    count: usize,
    damping: f64,
) -> [f64; N] {
    let mean = (0..count).map(|k| hessian[k][k]).sum::<f64>() / count as f64;
    let mut lower = *hessian;
    let mut solution = [0.0; N];
    if mean.is_nan() || mean <= 0.0 {
        return solution;
    }
    for row in 0..count {
        lower[row][row] += damping * mean;
        for column in 0..=row {
            let known: f64 = (0..column).map(|k| lower[row][k] * lower[column][k]).sum();
            let rest = lower[row][column] - known;
            lower[row][column] = if row == column { rest.sqrt() } else { rest / lower[column][column] };
        }
        let known: f64 = (0..row).map(|k| lower[row][k] * solution[k]).sum();
        solution[row] = (right[row] - known) / lower[row][row];
    }
    for row in (0..count).rev() {
        let known: f64 = (row + 1..count).map(|k| lower[k][row] * solution[k]).sum();
        solution[row] = (solution[row] - known) / lower[row][row];
    }
    solution
}
