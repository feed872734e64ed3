//! Squared differences without windows, as fast as a matrix product. Differences are squared
//! directly: a^2 + b^2 - 2ab would cancel and lose the distance of near-duplicates.

use pulp::{Simd, bytemuck};

use crate::ssim::setup::Kernel;
use crate::ssim::simd::SUMS;
use crate::ssim::views::{LaneGroup, VolumeView};

/// Voxels of a slice: as many as fit into the second-level cache in 16 lanes.
const SLICE: usize = 4096;
/// Voxels that are summed in float32 before the sum is added to a float64.
const RUN: usize = 128;
/// Volumes a at once: each vector of b is loaded once for all of them.
const AT_ONCE: usize = 8;

/// Number of slices of a volume.
pub(crate) fn slices(kernel: &Kernel) -> usize {
    kernel.shape.iter().product::<usize>().div_ceil(SLICE)
}

/// For each group and each of its volumes a, [`SUMS`] rows of lanes; only the first row is filled.
#[inline(always)]
pub(crate) fn sums<S: Simd>(
    simd: S,
    kernel: &Kernel,
    slice: usize,
    groups: &[LaneGroup],
    a: &[VolumeView<'_>],
    b: &[VolumeView<'_>],
) -> Vec<f64> {
    let lanes = S::F32_LANES;
    let voxels = kernel.shape.iter().product::<usize>();
    let part = slice * SLICE..((slice + 1) * SLICE).min(voxels);
    let all: usize = groups.iter().map(|group| group.a.len()).sum();
    let mut sums = vec![0.0; all * SUMS * lanes];
    let mut in_lanes = vec![simd.splat_f32s(0.0); part.len()];
    let mut rest = sums.as_mut_slice();
    for group in groups {
        let (mine, others) = rest.split_at_mut(group.a.len() * SUMS * lanes);
        rest = others;
        let flat: &mut [f32] = bytemuck::cast_slice_mut(&mut in_lanes);
        for (lane, view) in b[group.b.clone()].iter().enumerate() {
            let values = &view.voxels[part.clone()];
            flat[lane..].iter_mut().step_by(lanes).zip(values).for_each(|(to, from)| *to = *from);
        }
        for (some, sums) in group.a.chunks(AT_ONCE).zip(mine.chunks_mut(AT_ONCE * SUMS * lanes)) {
            // A short group repeats its last volume; those sums are dropped.
            let of = |i: usize| &a[some[i.min(some.len() - 1)]].voxels[part.clone()];
            let of_a: [&[f32]; AT_ONCE] = std::array::from_fn(of);
            for start in (0..part.len()).step_by(RUN) {
                let run = start..(start + RUN).min(part.len());
                let values = squares_of_run(simd, of_a.map(|of_a| &of_a[run.clone()]), &in_lanes[run]);
                for (values, sums) in values.iter().zip(sums.chunks_exact_mut(SUMS * lanes)) {
                    let values: &[f32] = bytemuck::cast_slice(std::slice::from_ref(values));
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(*value));
                }
            }
        }
    }
    sums
}

/// Sums of squared differences over one run of voxels.
#[inline(always)]
fn squares_of_run<S: Simd>(simd: S, a: [&[f32]; AT_ONCE], b: &[S::f32s]) -> [S::f32s; AT_ONCE] {
    let a = a.map(|of_a| &of_a[..b.len()]);
    let mut sums = [simd.splat_f32s(0.0); AT_ONCE];
    for (i, of_b) in b.iter().enumerate() {
        for (sum, of_a) in sums.iter_mut().zip(&a) {
            let difference = simd.sub_f32s(*of_b, simd.splat_f32s(of_a[i]));
            *sum = simd.mul_add_f32s(difference, difference, *sum);
        }
    }
    sums
}
