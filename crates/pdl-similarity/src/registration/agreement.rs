//! How well two volumes agree after alignment, where they overlap.

use crate::registration::gauss_newton::{Sums, inside, sample};
use crate::registration::unit_affine::UnitAffine;

/// Side of the window of local statistics, voxels; that of SSIM.
const WINDOW: usize = 7;

/// Stride of the windows along each axis, voxels.
const STRIDE: usize = 2;

/// A correlation is at most this far from 1, so that its logarithm is bounded.
const CLOSEST: f64 = 1e-6;

/// Sums over the voxels of a window: their count, a, b, a^2, b^2 and a b.
type WindowSums = [f64; 6];

/// How much two C arrays of `shape` agree where the second, seen through `map`, covers the first:
/// the mean of -ln(1 - NCC) and -ln(1 - s), where s is the structure term of SSIM pooled over all
/// windows that lie wholly in the overlap, that is the sum of their covariances in proportion to
/// those of their variances. A gain and an offset change nothing. 0 is no agreement at all; nothing
/// where either is of one intensity or no window lies in the overlap.
pub(super) fn agreement(fixed: &[f32], moving: &[f32], shape: [usize; 3], map: &UnitAffine) -> Option<f64> {
    let sides = shape.map(|side| side as f32);
    let extent = shape.map(|side| side as f64);
    let mut whole = Sums::default();
    let mut sums: Vec<WindowSums> = Vec::with_capacity(fixed.len());
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                let at = [z, y, x];
                let unit = std::array::from_fn(|axis| (at[axis] as f64 + 0.5) / extent[axis] - 0.5);
                let there = map.apply(unit);
                let voxel: [f32; 3] =
                    std::array::from_fn(|axis| settled((there[axis] + 0.5) * extent[axis] - 0.5) as f32);
                if !inside(voxel, sides) {
                    sums.push([0.0; 6]);
                    continue;
                }
                let a = f64::from(fixed[sums.len()]);
                let b = f64::from(sample(moving, shape, voxel));
                whole.add(a, b);
                sums.push([1.0, a, b, a * a, b * b, a * b]);
            }
        }
    }
    let global = whole.overlap()?.correlation;
    let local = pooled_structure(sums, shape)?;
    let logarithm = |correlation: f64| -(1.0 - correlation).max(CLOSEST).ln();
    Some((logarithm(global) + logarithm(local)) / 2.0)
}

/// A coordinate that is a whole number but for rounding, as that number: volumes that lie on each
/// other overlap up to the border.
fn settled(at: f64) -> f64 {
    if (at - at.round()).abs() < 1e-6 { at.round() } else { at }
}

/// The sum of the covariances in all windows, in proportion to that of their variances.
fn pooled_structure(mut sums: Vec<WindowSums>, mut shape: [usize; 3]) -> Option<f64> {
    let window = shape.map(|side| side.min(WINDOW));
    for axis in [2, 1, 0] {
        (sums, shape) = windowed(&sums, shape, axis, window[axis]);
    }
    let full = window.iter().product::<usize>() as f64;
    let (mut shared, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for [count, a, b, aa, bb, ab] in sums {
        if count == full {
            shared += ab / full - a * b / (full * full);
            of_a += aa / full - a * a / (full * full);
            of_b += bb / full - b * b / (full * full);
        }
    }
    let both = of_a * of_b;
    (both > 0.0).then(|| shared / both.sqrt())
}

/// Sums over windows along one axis.
fn windowed(
    sums: &[WindowSums],
    shape: [usize; 3],
    axis: usize,
    window: usize,
) -> (Vec<WindowSums>, [usize; 3]) {
    let inner: usize = shape[axis + 1..].iter().product();
    let mut to = shape;
    to[axis] = (shape[axis] - window) / STRIDE + 1;
    let mut found = Vec::with_capacity(to.iter().product());
    for slab in sums.chunks_exact(shape[axis] * inner) {
        for start in (0..to[axis]).map(|place| place * STRIDE) {
            for column in 0..inner {
                let mut sum = [0.0; 6];
                for place in start..start + window {
                    let own = &slab[place * inner + column];
                    sum.iter_mut().zip(own).for_each(|(sum, value)| *sum += value);
                }
                found.push(sum);
            }
        }
    }
    (found, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::rigid_motion::RigidMotion;
    use crate::registration::rigid_target::tests::{BOX_MM, SHAPE, spots};

    #[test]
    fn gain_and_offset_change_nothing_and_anatomy_does() {
        let volume = spots(BOX_MM, &RigidMotion::IDENTITY);
        let gained: Vec<f32> = volume.iter().map(|value| 1.3 * value + 0.2).collect();
        let of = |moving: &[f32]| agreement(&volume, moving, SHAPE, &UnitAffine::IDENTITY);
        assert!(of(&gained).unwrap() > 12.0, "as near to 1 as is told apart: {:?}", of(&gained));
        let moved = spots(BOX_MM, &RigidMotion::new([0.0; 3], [8.0, 0.0, 0.0]));
        assert!((0.0..4.0).contains(&of(&moved).unwrap()), "{:?}", of(&moved));
        assert_eq!(of(&vec![0.5; volume.len()]), None, "one intensity");
        let away = UnitAffine::from_rows([[1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
        assert_eq!(agreement(&volume, &volume, SHAPE, &away), None, "no overlap");
    }

    #[test]
    fn the_structure_term_is_that_of_windows_alone() {
        // Over one window the pooled term is the correlation in it.
        let a: Vec<f32> = (0..343).map(|i| (i as f32 * 0.37).sin()).collect();
        let b: Vec<f32> = (0..343).map(|i| (i as f32 * 0.37).sin() + (i as f32 * 1.3).cos()).collect();
        let mut whole = Sums::default();
        a.iter().zip(&b).for_each(|(a, b)| whole.add(f64::from(*a), f64::from(*b)));
        let correlation = whole.overlap().unwrap().correlation;
        let found = agreement(&a, &b, [7; 3], &UnitAffine::IDENTITY).unwrap();
        assert!((found + (1.0 - correlation).ln()).abs() < 1e-9, "{found} {correlation}");
    }
}
