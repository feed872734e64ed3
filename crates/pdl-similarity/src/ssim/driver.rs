//! Compares a block of volumes with a block of volumes on all cores.

use pulp::{Simd, WithSimd, bytemuck};
use rayon::prelude::*;

use crate::ssim::filter::{Box7, Filter, Gaussian11, Single};
use crate::ssim::memory_layout::Chunked;
use crate::ssim::mse;
use crate::ssim::setup::Kernel;
use crate::ssim::simd::{self, Lanes, SUMS, Scratch};
use crate::ssim::tiling::{self, GAUSSIAN_WIDTH, UNIFORM_WIDTH};
use crate::ssim::views::{LaneGroup, Similarity, Sums, VolumeView};
use crate::ssim::window::SsimWindow;

/// Tasks per thread that are computed before their results are summed.
const TASKS_A_THREAD: usize = 16;

/// Volumes a that go down a column together: a chunk of the volumes b is loaded into the
/// second-level cache once for all of them, beside the state of each a.
fn together(window: SsimWindow) -> usize {
    match window {
        SsimWindow::Uniform => 4,
        SsimWindow::Gaussian => 2,
    }
}

/// The sums that a pass accumulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Squared differences.
    Squares,
    /// Squared differences, and SSIM and UQI over all windows.
    Windows,
    /// The same over the voxels inside both bodies and the windows whose centre lies inside both.
    Bodies,
}

/// Sums for every pair of `a` x `b`, row by row. Pairs for which `wanted` is false have arbitrary
/// values.
///
/// The result depends neither on the number of threads nor on which volumes share a block.
pub(crate) fn sums(
    kernel: &Kernel,
    pass: Pass,
    a: &[VolumeView<'_>],
    b: &[VolumeView<'_>],
    wanted: impl Fn(usize, usize) -> bool + Sync,
) -> Vec<Sums> {
    let lanes = kernel.isa.run(LaneCount);
    let groups: Vec<LaneGroup> = (0..b.len())
        .step_by(lanes)
        .map(|first| {
            let b = first..(first + lanes).min(b.len());
            LaneGroup { a: (0..a.len()).filter(|a| b.clone().any(|b| wanted(*a, b))).collect(), b }
        })
        .collect();
    let places = if pass == Pass::Squares { mse::slices(kernel) } else { kernel.columns.len() };
    // With few places several tasks share one, so that every thread has work.
    let threads = rayon::current_num_threads();
    let shares = (TASKS_A_THREAD * threads / 2).div_ceil(places).clamp(1, groups.len().max(1));
    let share = groups.len().div_ceil(shares).max(1);
    let tasks: Vec<(usize, &[LaneGroup])> =
        (0..places).flat_map(|place| groups.chunks(share).map(move |groups| (place, groups))).collect();
    let mut totals = vec![Sums::default(); a.len() * b.len()];
    for wave in tasks.chunks(TASKS_A_THREAD * threads) {
        let parts: Vec<Vec<f64>> = wave
            .par_iter()
            .map(|(place, groups)| kernel.isa.run(Task { kernel, pass, place: *place, groups, a, b }))
            .collect();
        // Summed in the order of the places, independent of the threads.
        for ((_, groups), part) in wave.iter().zip(parts) {
            let mut part = part.chunks_exact(SUMS * lanes);
            for group in *groups {
                for a in &group.a {
                    let Some(sums) = part.next() else { continue };
                    for (lane, b_index) in group.b.clone().enumerate() {
                        let total = &mut totals[a * b.len() + b_index];
                        let sum = |which: usize| sums[which * lanes + lane];
                        total.squares += sum(0);
                        total.ssim += sum(1);
                        total.uqi += sum(2);
                        total.voxels += sum(3);
                        total.windows += sum(4);
                    }
                }
            }
        }
    }
    if pass != Pass::Squares {
        let unit = f64::from(kernel.scale).powi(2);
        totals.iter_mut().for_each(|total| total.squares /= unit);
    }
    if pass != Pass::Bodies {
        let windows = if pass == Pass::Windows { kernel.windows() } else { 0 };
        for total in &mut totals {
            total.voxels = kernel.shape.iter().product::<usize>() as f64;
            total.windows = windows as f64;
        }
    }
    totals
}

impl Kernel {
    /// Compares two C arrays (z, y, x) of the kernel's shape.
    pub fn compare(&self, a: &[f32], b: &[f32]) -> Similarity {
        let volumes = [a, b];
        let chunked = Chunked::new(self, 2, false, |i| (volumes[i], &[]));
        let [a, b] = [0, 1].map(|i| VolumeView {
            voxels: volumes[i],
            chunked: chunked.view(self, i),
            ..VolumeView::default()
        });
        let sums = sums(self, Pass::Windows, &[a], &[b], |_, _| true);
        self.similarity(&sums[0])
    }

    /// The mean of MSE, SSIM and UQI over the channels of a pair, and the PSNR of that MSE.
    pub(crate) fn mean(&self, channels: &[Similarity]) -> Similarity {
        if let [one] = channels {
            return *one;
        }
        let mean =
            |value: fn(&Similarity) -> f64| channels.iter().map(value).sum::<f64>() / channels.len() as f64;
        let mse = mean(|similarity| similarity.mse);
        let (ssim, uqi) = (mean(|similarity| similarity.ssim), mean(|similarity| similarity.uqi));
        Similarity { mse, psnr: self.psnr(mse), ssim, uqi }
    }

    fn psnr(&self, mse: f64) -> f64 {
        if mse > 0.0 { 10.0 * (self.range.powi(2) / mse).log10() } else { f64::INFINITY }
    }

    /// MSE, PSNR, SSIM and UQI from the sums of a pass.
    pub(crate) fn similarity(&self, sums: &Sums) -> Similarity {
        let mse = sums.squares / sums.voxels;
        let psnr = self.psnr(mse);
        let mean = |sum: f64| if mse == 0.0 && sums.windows > 0.0 { 1.0 } else { sum / sums.windows };
        Similarity { mse, psnr, ssim: mean(sums.ssim), uqi: mean(sums.uqi) }
    }
}

/// Working memory of one thread, in bytes, for blocks of `volumes` volumes.
pub(crate) fn bytes_a_thread(kernel: &Kernel, volumes: usize) -> u64 {
    let vector = kernel.isa.run(LaneCount) * size_of::<f32>();
    let (depth, side) = (kernel.depth(), kernel.window.side());
    let vectors = kernel.columns.iter().map(|column| {
        let [oy, ox] = column.first().map_or([0; 2], |chunk| chunk.windows);
        let in_lanes: usize = column.iter().map(|chunk| chunk.len(depth)).sum();
        in_lanes + together(kernel.window) * oy * ox * (depth - 1) + (oy + side) * ox + oy * ox * depth
    });
    let vectors = vectors.max().unwrap_or(0);
    let sums = TASKS_A_THREAD * volumes * volumes * SUMS * size_of::<f64>();
    (vectors * vector + sums) as u64
}

struct LaneCount;

impl WithSimd for LaneCount {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// A column of windows or a slice of voxels, for some groups.
struct Task<'a> {
    kernel: &'a Kernel,
    pass: Pass,
    place: usize,
    groups: &'a [LaneGroup],
    a: &'a [VolumeView<'a>],
    b: &'a [VolumeView<'a>],
}

impl WithSimd for Task<'_> {
    /// For each group and each of its volumes a, [`SUMS`] rows of lanes.
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f64> {
        match (self.pass, self.kernel.window, self.kernel.is_plane()) {
            (Pass::Squares, ..) => mse::sums(simd, self.kernel, self.place, self.groups, self.a, self.b),
            (Pass::Windows, SsimWindow::Uniform, false) => {
                self.column::<S, Box7, Box7, UNIFORM_WIDTH, false>(simd)
            }
            (Pass::Windows, SsimWindow::Uniform, true) => {
                self.column::<S, Box7, Single, UNIFORM_WIDTH, false>(simd)
            }
            (Pass::Windows, SsimWindow::Gaussian, false) => {
                self.column::<S, Gaussian11, Gaussian11, GAUSSIAN_WIDTH, false>(simd)
            }
            (Pass::Windows, SsimWindow::Gaussian, true) => {
                self.column::<S, Gaussian11, Single, GAUSSIAN_WIDTH, false>(simd)
            }
            (Pass::Bodies, SsimWindow::Uniform, false) => {
                self.column::<S, Box7, Box7, UNIFORM_WIDTH, true>(simd)
            }
            (Pass::Bodies, SsimWindow::Uniform, true) => {
                self.column::<S, Box7, Single, UNIFORM_WIDTH, true>(simd)
            }
            (Pass::Bodies, SsimWindow::Gaussian, false) => {
                self.column::<S, Gaussian11, Gaussian11, GAUSSIAN_WIDTH, true>(simd)
            }
            (Pass::Bodies, SsimWindow::Gaussian, true) => {
                self.column::<S, Gaussian11, Single, GAUSSIAN_WIDTH, true>(simd)
            }
        }
    }
}

impl Task<'_> {
    /// Runs down all chunks of a column.
    #[inline(always)]
    fn column<S: Simd, FXY: Filter, FZ: Filter, const N: usize, const MASKED: bool>(
        self,
        simd: S,
    ) -> Vec<f64> {
        let kernel = self.kernel;
        let lanes = S::F32_LANES;
        let zero = <S::f32s as bytemuck::Zeroable>::zeroed();
        let mut in_lanes = Lanes::<S::f32s>::new();
        let [height, _] = tiling::most_windows(kernel.window);
        let mut scratch = Scratch::<S::f32s>::new::<FXY, FZ, N>(height);
        let state_len = simd::state_len::<FZ, N>(height);
        let together = together(kernel.window);
        // The first chunk of a column reads this initial state, but no window ends there.
        let mut state = vec![zero; together * state_len.max(1)];
        let all: usize = self.groups.iter().map(|group| group.a.len()).sum();
        let mut sums = vec![0.0; all * SUMS * lanes];
        let mut rest = sums.as_mut_slice();
        let column = &kernel.columns[self.place];
        for group in self.groups {
            let (mine, others) = rest.split_at_mut(group.a.len() * SUMS * lanes);
            rest = others;
            in_lanes.fill(kernel, column, &self.b[group.b.clone()], MASKED);
            for (sums, some) in mine.chunks_mut(together * SUMS * lanes).zip(group.a.chunks(together)) {
                for chunk in column {
                    let of_each =
                        sums.chunks_exact_mut(SUMS * lanes).zip(state.chunks_exact_mut(state_len.max(1)));
                    for (a, (sums, state)) in some.iter().zip(of_each) {
                        simd::add_chunk::<S, FXY, FZ, N, MASKED>(
                            simd,
                            kernel,
                            chunk,
                            &self.a[*a],
                            &in_lanes,
                            &mut scratch,
                            state,
                            sums,
                        );
                    }
                }
            }
        }
        sums
    }
}
