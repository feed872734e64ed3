//! The flips and the shift that align one volume to another, and their SSIM after it.
//!
//! Whole-voxel shifts come from the projections onto each axis, forwards and backwards. The most
//! likely flips are then refined to sub-voxel shifts by least squares (Lucas and Kanade 1981).
//! Arrays over axes are z, y, x here.

use crate::SimilarityError;
use crate::isa::Isa;
use crate::registration::motion::Motion;
use crate::ssim::setup::Kernel;
use crate::ssim::window::SsimWindow;

/// Number of flips that are refined: a body is often nearly its own mirror image.
const REFINED: usize = 2;

/// Maximum number of Gauss-Newton steps of the refinement.
const STEPS: usize = 8;

/// The refinement ends with a step shorter than this along every axis, in voxels.
const SHORT: f64 = 0.005;

/// Samples along each axis, evenly spaced, at which differences are computed.
const LOOKED_AT: usize = 16;

/// The largest shift is a side divided by this.
const SHIFT_SHARE: usize = 8;

/// Aligns volumes of one shape.
pub(super) struct Aligner {
    shape: [usize; 3],
    /// Largest shift along each axis, in voxels.
    reach: [usize; 3],
    window: SsimWindow,
    isa: Isa,
}

impl Aligner {
    pub(super) fn new(shape: [usize; 3], window: SsimWindow, isa: Isa) -> Result<Self, SimilarityError> {
        Kernel::new(window, shape, 1.0, isa)?; //  refuses sides shorter than the window
        let reach = shape.map(|side| (side / SHIFT_SHARE).min(side.saturating_sub(window.side())));
        Ok(Self { shape, reach, window, isa })
    }

    /// The motion with the largest SSIM between two C arrays with values in [0, 1], and that SSIM.
    pub(super) fn align(&self, a: &[f32], b: &[f32]) -> Result<(Motion, f32), SimilarityError> {
        let lags = self.lags(a, b);
        let flips = (0..8_usize).map(|bits| [bits & 4 != 0, bits & 2 != 0, bits & 1 != 0]);
        let mut likely: Vec<(f64, [bool; 3], [f64; 3])> = flips
            .map(|flips| {
                let shift: [f64; 3] = std::array::from_fn(|axis| lags[axis][usize::from(flips[axis])] as f64);
                (self.difference(a, &self.flipped(b, flips), shift), flips, shift)
            })
            .collect();
        // stable: of equals the one with fewer flips along z, y, x
        likely.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut best: Option<(Motion, f32)> = None;
        for (_, flips, shift) in likely.into_iter().take(REFINED) {
            let other = self.flipped(b, flips);
            let shift = self.refined(a, &other, shift);
            let ssim = self.ssim(a, &other, shift)?;
            if best.is_none_or(|(_, most)| ssim > most) {
                let [z, y, x] = shift;
                let motion = Motion { flips: [flips[2], flips[1], flips[0]], shift: [x, y, z] };
                best = Some((motion, ssim));
            }
        }
        Ok(best.unwrap_or((Motion { flips: [false; 3], shift: [0.0; 3] }, f32::NAN)))
    }

    /// For each axis the whole-voxel shift with the smallest difference between the projections of
    /// `a` and of `b`: `b` as it is, then flipped.
    fn lags(&self, a: &[f32], b: &[f32]) -> [[isize; 2]; 3] {
        let (a, b) = (self.projections(a), self.projections(b));
        std::array::from_fn(|axis| {
            let backwards = b[axis].iter().rev().copied().collect();
            [b[axis].clone(), backwards].map(|b| best_lag(&a[axis], &b, self.reach[axis]))
        })
    }

    /// The mean over each plane perpendicular to z, y and x.
    fn projections(&self, voxels: &[f32]) -> [Vec<f64>; 3] {
        let [nz, ny, nx] = self.shape;
        let mut sums = self.shape.map(|side| vec![0.0; side]);
        for (line, row) in voxels.chunks_exact(nx).enumerate() {
            let mut of_row = 0.0;
            for (sum, voxel) in sums[2].iter_mut().zip(row) {
                *sum += f64::from(*voxel);
                of_row += f64::from(*voxel);
            }
            sums[1][line % ny] += of_row;
            sums[0][line / ny] += of_row;
        }
        let voxels = (nz * ny * nx) as f64;
        sums.map(|sums| sums.iter().map(|sum| sum * sums.len() as f64 / voxels).collect())
    }

    fn flipped(&self, voxels: &[f32], [z, y, x]: [bool; 3]) -> Vec<f32> {
        let [nz, ny, nx] = self.shape;
        let mut flipped = Vec::with_capacity(voxels.len());
        for line in 0..nz * ny {
            let (iz, iy) = (line / ny, line % ny);
            let from = (if z { nz - 1 - iz } else { iz }) * ny + if y { ny - 1 - iy } else { iy };
            let row = &voxels[from * nx..(from + 1) * nx];
            if x { flipped.extend(row.iter().rev()) } else { flipped.extend(row) }
        }
        flipped
    }

    /// The mean squared difference over the overlap.
    fn difference(&self, a: &[f32], b: &[f32], shift: [f64; 3]) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        self.each_overlapping(shift, |place, there| {
            sum += (f64::from(a[place]) - self.sampled(b, there)).powi(2);
            count += 1.0;
        });
        sum / count
    }

    /// The shift with the smallest squared difference near `shift`, by Gauss-Newton steps.
    fn refined(&self, a: &[f32], b: &[f32], mut shift: [f64; 3]) -> [f64; 3] {
        let mut best = (self.difference(a, b, shift), shift);
        for _ in 0..STEPS {
            let (mut hessian, mut slope) = ([[0.0; 3]; 3], [0.0; 3]);
            self.each_overlapping(shift, |place, there| {
                let difference = f64::from(a[place]) - self.sampled(b, there);
                let gradient: [f64; 3] = std::array::from_fn(|axis| {
                    let at = |by: f64| {
                        let mut moved = there;
                        moved[axis] = (moved[axis] + by).clamp(0.0, (self.shape[axis] - 1) as f64);
                        self.sampled(b, moved)
                    };
                    (at(0.5) - at(-0.5)) * f64::from(u8::from(self.reach[axis] > 0))
                });
                for i in 0..3 {
                    slope[i] += gradient[i] * difference;
                    (0..3).for_each(|j| hessian[i][j] += gradient[i] * gradient[j]);
                }
            });
            let Some(step) = solve(hessian, slope) else { break };
            for axis in 0..3 {
                let reach = self.reach[axis] as f64;
                shift[axis] = (shift[axis] + step[axis].clamp(-1.0, 1.0)).clamp(-reach, reach);
            }
            let difference = self.difference(a, b, shift);
            if difference < best.0 {
                best = (difference, shift);
            }
            if step.iter().all(|by| by.abs() < SHORT) {
                break;
            }
        }
        best.1
    }

    /// Visits evenly spaced voxels of the first volume with the position in the second that
    /// overlaps them, if there is one.
    fn each_overlapping(&self, shift: [f64; 3], mut visit: impl FnMut(usize, [f64; 3])) {
        let [_, ny, nx] = self.shape;
        let places = |axis: usize| {
            let last = (self.shape[axis] - 1) as f64;
            let first = (-shift[axis]).ceil().max(0.0) as usize;
            let end = ((last - shift[axis]).floor().min(last)) as usize + 1;
            (first..end).step_by(self.shape[axis].div_ceil(LOOKED_AT))
        };
        for z in places(0) {
            for y in places(1) {
                for x in places(2) {
                    let there = [z as f64 + shift[0], y as f64 + shift[1], x as f64 + shift[2]];
                    visit((z * ny + y) * nx + x, there);
                }
            }
        }
    }

    /// Linear interpolation; `at` lies inside the volume.
    fn sampled(&self, voxels: &[f32], at: [f64; 3]) -> f64 {
        let [_, ny, nx] = self.shape;
        let below: [usize; 3] = std::array::from_fn(|axis| (at[axis] as usize).min(self.shape[axis] - 1));
        let share: [f64; 3] = std::array::from_fn(|axis| at[axis] - below[axis] as f64);
        let step: [usize; 3] =
            std::array::from_fn(|axis| usize::from(share[axis] > 0.0 && below[axis] + 1 < self.shape[axis]));
        let voxel = |z: usize, y: usize, x: usize| f64::from(voxels[(z * ny + y) * nx + x]);
        let [z, y, x] = below;
        let line =
            |z: usize, y: usize| voxel(z, y, x) + share[2] * (voxel(z, y, x + step[2]) - voxel(z, y, x));
        let plane = |z: usize| line(z, y) + share[1] * (line(z, y + step[1]) - line(z, y));
        plane(z) + share[0] * (plane(z + step[0]) - plane(z))
    }

    /// SSIM of the overlap. Each volume is shifted half the way, so that interpolation smooths both
    /// equally.
    fn ssim(&self, a: &[f32], b: &[f32], shift: [f64; 3]) -> Result<f32, SimilarityError> {
        let lost = shift.map(|by| by.abs().ceil() as usize);
        let shape: [usize; 3] = std::array::from_fn(|axis| self.shape[axis] - lost[axis]);
        let start_a: [f64; 3] = std::array::from_fn(|axis| (lost[axis] as f64 - shift[axis]) / 2.0);
        let start_b: [f64; 3] = std::array::from_fn(|axis| (lost[axis] as f64 + shift[axis]) / 2.0);
        let kernel = Kernel::new(self.window, shape, 1.0, self.isa)?;
        Ok(kernel.compare(&self.cut(a, start_a, shape), &self.cut(b, start_b, shape)).ssim as f32)
    }

    /// A box of `shape` that begins at `start`, linearly interpolated.
    fn cut(&self, voxels: &[f32], start: [f64; 3], shape: [usize; 3]) -> Vec<f32> {
        let [_, ny, nx] = self.shape;
        let first = start.map(|at| at as usize);
        let share: [f32; 3] = std::array::from_fn(|axis| (start[axis] - first[axis] as f64) as f32);
        // where it is 0 there may be no next voxel
        let step = share.map(|share| usize::from(share > 0.0));
        let row = |z: usize, y: usize| &voxels[(z * ny + y) * nx + first[2]..][..shape[2] + step[2]];
        let between = |a: f32, b: f32, share: f32| a + share * (b - a);
        let mut cut = Vec::with_capacity(shape.iter().product());
        let mut line = vec![0.0; shape[2] + step[2]];
        for z in first[0]..first[0] + shape[0] {
            for y in first[1]..first[1] + shape[1] {
                let rows =
                    [row(z, y), row(z, y + step[1]), row(z + step[0], y), row(z + step[0], y + step[1])];
                for (x, to) in line.iter_mut().enumerate() {
                    let [near, far] = [[rows[0][x], rows[1][x]], [rows[2][x], rows[3][x]]]
                        .map(|[a, b]| between(a, b, share[1]));
                    *to = between(near, far, share[0]);
                }
                cut.extend((0..shape[2]).map(|x| between(line[x], line[x + step[2]], share[2])));
            }
        }
        cut
    }
}

/// The lag, at most `reach`, with the smallest mean squared difference between `b[i + lag]` and
/// `a[i]`; of equals the smallest.
fn best_lag(a: &[f64], b: &[f64], reach: usize) -> isize {
    let difference = |lag: isize| {
        let (a, b) = if lag < 0 { (&a[lag.unsigned_abs()..], b) } else { (a, &b[lag as usize..]) };
        let squares = a.iter().zip(b).map(|(a, b)| (a - b).powi(2));
        squares.sum::<f64>() / a.len().min(b.len()) as f64
    };
    let reach = reach as isize;
    let by_size = |(x, p): &(f64, isize), (y, q): &(f64, isize)| x.total_cmp(y).then(p.abs().cmp(&q.abs()));
    (-reach..=reach).map(|lag| (difference(lag), lag)).min_by(by_size).map_or(0, |(_, lag)| lag)
}

/// Solves the normal equations by Gaussian elimination. An axis without gradient keeps its shift.
fn solve(mut matrix: [[f64; 3]; 3], mut right: [f64; 3]) -> Option<[f64; 3]> {
    let size: f64 = (0..3).map(|i| matrix[i][i]).sum();
    if size <= 0.0 || !size.is_finite() {
        return None;
    }
    (0..3).for_each(|i| matrix[i][i] += 1e-6 * size); //  regularises: every pivot stays above 0
    for i in 0..3 {
        for j in i + 1..3 {
            let factor = matrix[j][i] / matrix[i][i];
            (0..3).for_each(|k| matrix[j][k] -= factor * matrix[i][k]);
            right[j] -= factor * right[i];
        }
    }
    let mut solution = [0.0; 3];
    for i in (0..3).rev() {
        let known: f64 = (i + 1..3).map(|j| matrix[i][j] * solution[j]).sum();
        solution[i] = (right[i] - known) / matrix[i][i];
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [24, 28, 32];

    /// Waves without mirror symmetry, shifted by `shift` (z, y, x) voxels.
    fn waves(shift: [f64; 3]) -> Vec<f32> {
        let places = (0..SHAPE[0])
            .flat_map(|z| (0..SHAPE[1]).flat_map(move |y| (0..SHAPE[2]).map(move |x| [z, y, x])));
        let value = |at: [usize; 3]| {
            let [z, y, x]: [f64; 3] = std::array::from_fn(|axis| at[axis] as f64 - shift[axis]);
            0.5 + 0.2 * (0.31 * x + 0.2 * y).sin()
                + 0.15 * (0.23 * z - 0.37 * y + 1.0).cos()
                + 0.1 * (0.5 * x + 0.3 * z).sin()
        };
        places.map(|at| value(at) as f32).collect()
    }

    #[test]
    fn every_flip_and_a_shift_of_parts_of_a_voxel_are_undone() {
        let aligner = Aligner::new(SHAPE, SsimWindow::Uniform, Isa::Auto).unwrap();
        let plain = waves([0.0; 3]);
        for bits in 0..8 {
            let flips = [bits & 4 != 0, bits & 2 != 0, bits & 1 != 0];
            let copy = aligner.flipped(&waves([1.3, -0.6, 2.2]), flips);
            let (motion, ssim) = aligner.align(&plain, &copy).unwrap();
            assert_eq!(motion.flips, [flips[2], flips[1], flips[0]]);
            for (found, planted) in motion.shift.iter().zip([2.2, -0.6, 1.3]) {
                assert!((found - planted).abs() < 0.05, "{motion:?}");
            }
            assert!(ssim > 0.99, "{ssim}");
        }
    }

    #[test]
    fn an_image_lies_over_itself_and_a_constant_one_harms_nothing() {
        let aligner = Aligner::new(SHAPE, SsimWindow::Gaussian, Isa::Auto).unwrap();
        let plain = waves([0.0; 3]);
        assert_eq!(
            aligner.align(&plain, &plain).unwrap(),
            (Motion { flips: [false; 3], shift: [0.0; 3] }, 1.0)
        );
        let flat = vec![0.25; plain.len()];
        assert_eq!(aligner.align(&flat, &flat).unwrap().1, 1.0);
        assert!(aligner.align(&plain, &flat).unwrap().1 < 0.5);
    }

    #[test]
    fn a_plane_is_aligned_in_its_two_axes() {
        let aligner = Aligner::new([1, 32, 32], SsimWindow::Uniform, Isa::Auto).unwrap();
        let plane: Vec<f32> =
            (0..32 * 32).map(|i| ((i % 32) as f32 * 0.3).sin() * 0.4 + (i / 32) as f32 / 64.0).collect();
        let copy = aligner.flipped(&plane, [false, true, false]);
        let (motion, ssim) = aligner.align(&plane, &copy).unwrap();
        assert!(motion.flips[1] && ssim > 0.999, "{motion:?} {ssim}");
    }
}
