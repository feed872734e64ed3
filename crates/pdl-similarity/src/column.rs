//! The fused pass: one volume against as many as there are lanes, a chunk of windows at a time.
//!
//! Lanes are volumes: each vector holds one voxel of as many volumes b, against which one voxel of a is spread.
//! No lane ever looks at its neighbours, so a pair's result does not depend on which pairs are computed beside
//! it. Windows are taken in columns along z, chunk by chunk; the last planes of a chunk, summed along x and y, are
//! kept for the next one, and all volumes a pass over the same chunk of b, which stays in the cache.

use pulp::{Simd, bytemuck};

use crate::filter::Filter;
use crate::kernel::{Kernel, Member};
use crate::statistics::StatisticsView;

/// Most windows along an axis of a chunk, with the uniform window.
pub(crate) const UNIFORM_CHUNK: usize = 13;
/// Most windows along an axis of a chunk, with the Gaussian window.
pub(crate) const GAUSSIAN_CHUNK: usize = 11;

/// Sums that a pair has: squares, SSIM, UQI, and over bodies also voxels and windows.
pub(crate) const SUMS: usize = 5;

/// Below this a product of means counts as 0: far below what the square of any voxel's float32 noise gives.
const NO_MEAN: f32 = 1e-18;

/// A chunk of windows: where it begins and how many windows it has along z, y, x.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    pub start: [usize; 3],
    pub windows: [usize; 3],
    /// Its number in [`Kernel::chunk_index`]'s order.
    pub index: usize,
}

impl Chunk {
    /// Whether it is the first of its column, and so sums all its planes itself.
    fn is_first(&self) -> bool {
        self.start[0] == 0
    }

    /// Voxels that it reads anew: the first plane along z, and how many there are along z, y, x.
    fn reads(&self, halo: [usize; 3]) -> (usize, [usize; 3]) {
        let [z, y, x] = [0, 1, 2].map(|axis| self.windows[axis] + halo[axis]);
        if self.is_first() { (0, [z, y, x]) } else { (self.start[0] + halo[0], [self.windows[0], y, x]) }
    }

    /// Of the voxels that it reads, those that no other chunk counts: a box from the first one on.
    fn owns(&self, kernel: &Kernel, halo: [usize; 3]) -> [usize; 3] {
        let (_, reads) = self.reads(halo);
        let side = |axis: usize| {
            let last = self.start[axis] + self.windows[axis] == kernel.inner[axis];
            if last { reads[axis] } else { self.windows[axis] }
        };
        [reads[0], side(1), side(2)]
    }
}

/// The volumes b of a chunk, one in each lane.
pub(crate) struct Lanes<V> {
    /// (z, y, x), rows and planes of the widest chunk.
    voxels: Vec<V>,
    /// (y, x, z), rows and runs of the widest chunk.
    mean: Vec<V>,
    spread: Vec<V>,
    /// Bodies at the voxels and at the windows' middles; empty unless only bodies are compared.
    body_voxels: Vec<V>,
    body_windows: Vec<V>,
    /// Whether a window of one of them is constant.
    flat: bool,
}

impl<V: bytemuck::Pod> Lanes<V> {
    pub(crate) fn new(wide: usize, deep: usize, chunk: usize, masked: bool) -> Self {
        let zero = V::zeroed;
        let body = |len: usize| vec![zero(); if masked { len } else { 0 }];
        let (voxels, windows) = (deep * wide * wide, chunk * chunk * chunk);
        Self {
            voxels: vec![zero(); voxels],
            mean: vec![zero(); windows],
            spread: vec![zero(); windows],
            body_voxels: body(voxels),
            body_windows: body(windows),
            flat: false,
        }
    }

    /// Fills the lanes with the volumes `b`; lanes beyond them keep what they had.
    pub(crate) fn fill<FXY: Filter, FZ: Filter, const N: usize>(
        &mut self,
        kernel: &Kernel,
        chunk: &Chunk,
        b: &[Member<'_>],
    ) {
        let lanes = size_of::<V>() / size_of::<f32>();
        let halo = [FZ::SIDE - 1, FXY::SIDE - 1, FXY::SIDE - 1];
        let wide = N + halo[1];
        let (first, [planes, rows, row]) = chunk.reads(halo);
        let [_, ny, nx] = kernel.shape;
        let [nz, _, windows_x] = kernel.inner;
        let [windows_z, windows_y, _] = chunk.windows;
        self.flat = b.iter().any(|member| member.statistics.flat[chunk.index]);
        let voxels: &mut [f32] = bytemuck::cast_slice_mut(&mut self.voxels);
        let mean: &mut [f32] = bytemuck::cast_slice_mut(&mut self.mean);
        let spread: &mut [f32] = bytemuck::cast_slice_mut(&mut self.spread);
        let body_voxels: &mut [f32] = bytemuck::cast_slice_mut(&mut self.body_voxels);
        let body_windows: &mut [f32] = bytemuck::cast_slice_mut(&mut self.body_windows);
        // Line by line, so that a line stays in the nearest cache while its lanes are filled.
        for (z, y) in (0..planes).flat_map(|z| (0..rows).map(move |y| (z, y))) {
            let from = ((first + z) * ny + chunk.start[1] + y) * nx + chunk.start[2];
            let to = (z * wide + y) * wide * lanes;
            for (lane, member) in b.iter().enumerate() {
                spread_out(&member.voxels[from..from + row], &mut voxels[to + lane..], lanes);
                if !body_voxels.is_empty() {
                    spread_out(&member.body[from..from + row], &mut body_voxels[to + lane..], lanes);
                }
            }
        }
        for (y, x) in (0..windows_y).flat_map(|y| (0..chunk.windows[2]).map(move |x| (y, x))) {
            let from = ((chunk.start[1] + y) * windows_x + chunk.start[2] + x) * nz + chunk.start[0];
            let to = (y * N + x) * N * lanes;
            for (lane, member) in b.iter().enumerate() {
                let StatisticsView { mean: of_mean, spread: of_spread, .. } = member.statistics;
                spread_out(&of_mean[from..from + windows_z], &mut mean[to + lane..], lanes);
                spread_out(&of_spread[from..from + windows_z], &mut spread[to + lane..], lanes);
                if !body_windows.is_empty() {
                    for z in 0..windows_z {
                        let middle = middle::<FXY, FZ>(kernel, chunk, [z, y, x]);
                        body_windows[to + lane + z * lanes] = member.body[middle];
                    }
                }
            }
        }
    }
}

/// Every value of `from` to every `lanes`-th place of `to`.
fn spread_out(from: &[f32], to: &mut [f32], lanes: usize) {
    to.iter_mut().step_by(lanes).zip(from).for_each(|(to, from)| *to = *from);
}

/// The voxel in the middle of a chunk's window.
fn middle<FXY: Filter, FZ: Filter>(kernel: &Kernel, chunk: &Chunk, [z, y, x]: [usize; 3]) -> usize {
    let [_, ny, nx] = kernel.shape;
    let half = [FZ::SIDE / 2, FXY::SIDE / 2, FXY::SIDE / 2];
    let at = |axis: usize, i: usize| chunk.start[axis] + i + half[axis];
    (at(0, z) * ny + at(1, y)) * nx + at(2, x)
}

/// The volumes a of a column, chunk by chunk: what a chunk needs of one volume lies together, and that of the next
/// volume follows, so that memory is read in order.
pub(crate) struct Column {
    values: Vec<f32>,
    /// Where each chunk begins.
    starts: Vec<usize>,
    masked: bool,
}

/// What a chunk needs of a volume a.
#[derive(Clone, Copy)]
struct Slices<'a> {
    /// (z, y, x), without gaps.
    voxels: &'a [f32],
    /// (y, x, z), without gaps.
    mean: &'a [f32],
    spread: &'a [f32],
    body_voxels: &'a [f32],
    body_windows: &'a [f32],
}

impl Column {
    pub(crate) fn new<FXY: Filter, FZ: Filter>(
        kernel: &Kernel,
        chunks: &[Chunk],
        a: &[Member<'_>],
        masked: bool,
    ) -> Self {
        let halo = [FZ::SIDE - 1, FXY::SIDE - 1, FXY::SIDE - 1];
        let [_, ny, nx] = kernel.shape;
        let [inner_z, _, inner_x] = kernel.inner;
        let mut values = Vec::with_capacity(Self::len::<FXY, FZ>(chunks, masked) * a.len());
        let mut starts = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            starts.push(values.len());
            let (first, [planes, rows, row]) = chunk.reads(halo);
            let [oz, oy, ox] = chunk.windows;
            for member in a {
                let lines = (0..planes).flat_map(|z| (0..rows).map(move |y| (first + z, chunk.start[1] + y)));
                let lines = lines.map(|(z, y)| (z * ny + y) * nx + chunk.start[2]);
                let runs =
                    (0..oy).flat_map(|y| (0..ox).map(move |x| (chunk.start[1] + y, chunk.start[2] + x)));
                let runs = runs.map(|(y, x)| (y * inner_x + x) * inner_z + chunk.start[0]);
                lines.clone().for_each(|at| values.extend_from_slice(&member.voxels[at..at + row]));
                let StatisticsView { mean, spread, .. } = member.statistics;
                runs.clone().for_each(|at| values.extend_from_slice(&mean[at..at + oz]));
                runs.for_each(|at| values.extend_from_slice(&spread[at..at + oz]));
                if masked {
                    lines.for_each(|at| values.extend_from_slice(&member.body[at..at + row]));
                    let middles =
                        (0..oy).flat_map(|y| (0..ox).flat_map(move |x| (0..oz).map(move |z| [z, y, x])));
                    values.extend(middles.map(|at| member.body[middle::<FXY, FZ>(kernel, chunk, at)]));
                }
            }
        }
        Self { values, starts, masked }
    }

    /// Values that it holds of one volume.
    fn len<FXY: Filter, FZ: Filter>(chunks: &[Chunk], masked: bool) -> usize {
        let halo = [FZ::SIDE - 1, FXY::SIDE - 1, FXY::SIDE - 1];
        let len = |chunk: &Chunk| {
            let voxels: usize = chunk.reads(halo).1.iter().product();
            let windows: usize = chunk.windows.iter().product();
            voxels + 2 * windows + if masked { voxels + windows } else { 0 }
        };
        chunks.iter().map(len).sum()
    }

    /// What chunk number `index` of the column needs of volume `a`.
    fn slices<FXY: Filter, FZ: Filter>(&self, chunk: &Chunk, index: usize, a: usize) -> Slices<'_> {
        let halo = [FZ::SIDE - 1, FXY::SIDE - 1, FXY::SIDE - 1];
        let voxels: usize = chunk.reads(halo).1.iter().product();
        let windows: usize = chunk.windows.iter().product();
        let each = voxels + 2 * windows + if self.masked { voxels + windows } else { 0 };
        let all = &self.values[self.starts[index] + a * each..][..each];
        let (of_voxels, rest) = all.split_at(voxels);
        let (mean, rest) = rest.split_at(windows);
        let (spread, rest) = rest.split_at(windows);
        let (body_voxels, body_windows) = rest.split_at(if self.masked { voxels } else { 0 });
        Slices { voxels: of_voxels, mean, spread, body_voxels, body_windows }
    }
}

/// Working memory of one thread.
pub(crate) struct Scratch<V> {
    /// One plane of squared differences, summed along x.
    rows: Vec<V>,
    /// The chunk's planes, summed along x and y.
    planes: Vec<V>,
}

impl<V: bytemuck::Pod> Scratch<V> {
    pub(crate) fn new(wide: usize, deep: usize, chunk: usize) -> Self {
        Self { rows: vec![V::zeroed(); wide * chunk], planes: vec![V::zeroed(); deep * chunk * chunk] }
    }
}

/// Adds the sums of volume `a` of `column`, whose chunk number `which` this is, against the lanes `b` over one chunk to `sums`, a row of lanes for each of [`SUMS`].
///
/// `kept` holds the last planes of the column's chunk before this one, and takes those of this one in their place:
/// the halo along z times N x N.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "buffers are handed in so that a thread makes them once")]
#[expect(unsafe_code, reason = "bounds checks would take a third of the time")]
pub(crate) fn add_chunk<S: Simd, FXY: Filter, FZ: Filter, const N: usize, const MASKED: bool>(
    simd: S,
    kernel: &Kernel,
    chunk: &Chunk,
    (column, which, a): (&Column, usize, usize),
    flat_a: bool,
    b: &Lanes<S::f32s>,
    scratch: &mut Scratch<S::f32s>,
    kept: &mut [S::f32s],
    sums: &mut [f64],
) {
    let halo = [FZ::SIDE - 1, FXY::SIDE - 1, FXY::SIDE - 1];
    let wide = N + halo[1];
    let area = N * N;
    let (_, [planes, rows, row_len]) = chunk.reads(halo);
    let owned = chunk.owns(kernel, halo);
    let [oz, oy, ox] = chunk.windows;
    let of_a_all = column.slices::<FXY, FZ>(chunk, which, a);
    let weights = &kernel.half_weights;
    let zero = simd.splat_f32s(0.0);

    // Everything that the unchecked accesses below rest on.
    assert!(oz <= N && oy <= N && ox <= N && rows <= wide && row_len <= wide);
    assert!(b.voxels.len() >= planes * wide * wide && b.mean.len() >= N * area && b.spread.len() >= N * area);
    assert!(scratch.rows.len() >= wide * N && scratch.planes.len() >= (oz + halo[0]) * area);
    assert!(kept.len() >= halo[0] * area);
    assert!(oz + halo[0] <= PLANES);

    // Where each plane of the chunk, summed along x and y, lies.
    let from_before = if chunk.is_first() { 0 } else { halo[0] };
    let (kept_at, scratch_at) = (kept.as_mut_ptr(), scratch.planes.as_mut_ptr());
    let mut plane_at = [std::ptr::null_mut::<S::f32s>(); PLANES];
    for (i, place) in plane_at.iter_mut().enumerate().take(oz + halo[0]) {
        *place = if i < from_before { kept_at } else { scratch_at }.wrapping_add(i * area);
    }

    for z in 0..planes {
        let mut squares = zero;
        let mut voxels = zero;
        for y in 0..rows {
            let from = (z * rows + y) * row_len;
            let of_a = &of_a_all.voxels[from..from + row_len];
            let body_a = if MASKED { &of_a_all.body_voxels[from..from + row_len] } else { of_a };
            let at = (z * wide + y) * wide;
            let of_b = &b.voxels[at..at + wide];
            let body_b = if MASKED { &b.body_voxels[at..at + wide] } else { of_b };
            let row = &mut scratch.rows[y * N..(y + 1) * N];
            let counted = if z < owned[0] && y < owned[1] { owned[2] } else { 0 };
            FXY::run::<S, N>(
                simd,
                weights,
                ox,
                #[inline(always)]
                |i| {
                    // SAFETY: i < ox + halo = row_len <= wide, the lengths of these slices.
                    let (va, vb) = unsafe { (*of_a.get_unchecked(i), *of_b.get_unchecked(i)) };
                    let difference = simd.sub_f32s(vb, simd.splat_f32s(va));
                    let square = simd.mul_f32s(difference, difference);
                    if i < counted {
                        if MASKED {
                            let both = simd.mul_f32s(body_b[i], simd.splat_f32s(body_a[i]));
                            squares = simd.mul_add_f32s(square, both, squares);
                            voxels = simd.add_f32s(voxels, both);
                        } else {
                            squares = simd.add_f32s(squares, square);
                        }
                    }
                    square
                },
                #[inline(always)]
                |i, sum| {
                    // SAFETY: i < ox <= N, the length of the slice.
                    unsafe { *row.get_unchecked_mut(i) = sum };
                },
            );
        }
        add(sums, 0, squares);
        if MASKED {
            add(sums, 3, voxels);
        }
        let plane = plane_at[z + from_before];
        let of_rows = &scratch.rows[..];
        for x in (kernel.first_taken(chunk.start[2])..ox).step_by(kernel.stride) {
            FXY::run::<S, N>(
                simd,
                weights,
                oy,
                #[inline(always)]
                |i| {
                    // SAFETY: i < oy + halo <= wide and x < N; there are wide rows of N.
                    unsafe { *of_rows.get_unchecked(i * N + x) }
                },
                #[inline(always)]
                |i, sum| {
                    // SAFETY: i < oy <= N and x < N; a plane has N x N places that nothing else borrows
                    // now.
                    unsafe { *plane.add(i * N + x) = sum };
                },
            );
        }
    }

    let terms = Terms {
        mass: simd.splat_f32s((kernel.mass / f64::from(crate::statistics::MEAN_SCALE).powi(2)) as f32),
        c1: simd.splat_f32s(kernel.c1),
        c2: simd.splat_f32s(kernel.c2),
    };
    let flat = b.flat || flat_a;
    let first_z = kernel.first_taken(chunk.start[0]);
    let mut run = [zero; N];
    for y in (kernel.first_taken(chunk.start[1])..oy).step_by(kernel.stride) {
        let (mut ssim, mut uqi, mut windows) = (zero, zero, zero);
        for x in (kernel.first_taken(chunk.start[2])..ox).step_by(kernel.stride) {
            let from = (y * ox + x) * oz;
            let mean_a = &of_a_all.mean[from..from + oz];
            let spread_a = &of_a_all.spread[from..from + oz];
            let at = (y * N + x) * N;
            let mean_b = &b.mean[at..at + N];
            let spread_b = &b.spread[at..at + N];
            FZ::run::<S, N>(
                simd,
                weights,
                oz,
                #[inline(always)]
                |i| {
                    // SAFETY: i < oz + halo, all of which are set, and a plane has N x N places.
                    unsafe { *(*plane_at.get_unchecked(i)).add(y * N + x) }
                },
                #[inline(always)]
                |i, sum| run[i] = sum,
            );
            let mut i = first_z;
            while i < oz {
                // SAFETY: i < oz <= N, the lengths of these slices.
                let (of_a, of_b, squares) = unsafe {
                    (
                        (*mean_a.get_unchecked(i), *spread_a.get_unchecked(i)),
                        (*mean_b.get_unchecked(i), *spread_b.get_unchecked(i)),
                        *run.get_unchecked(i),
                    )
                };
                let (s, u) = if flat {
                    terms.with_flat_windows(simd, of_a, of_b, squares)
                } else {
                    terms.without_flat_windows(simd, of_a, of_b, squares)
                };
                if MASKED {
                    let body_a = simd.splat_f32s(of_a_all.body_windows[from + i]);
                    let both = simd.mul_f32s(b.body_windows[at + i], body_a);
                    ssim = simd.mul_add_f32s(s, both, ssim);
                    uqi = simd.mul_add_f32s(u, both, uqi);
                    windows = simd.add_f32s(windows, both);
                } else {
                    ssim = simd.add_f32s(ssim, s);
                    uqi = simd.add_f32s(uqi, u);
                }
                i += kernel.stride;
            }
        }
        add(sums, 1, ssim);
        add(sums, 2, uqi);
        if MASKED {
            add(sums, 4, windows);
        }
    }
    // Planes move towards the beginning, in order, so none is overwritten before it has moved.
    for i in 0..halo[0] {
        if oz + i < from_before {
            kept.copy_within((oz + i) * area..(oz + i + 1) * area, i * area);
        } else {
            kept[i * area..(i + 1) * area].copy_from_slice(&scratch.planes[(oz + i) * area..][..area]);
        }
    }
}

/// Most planes of a chunk, its halo included.
const PLANES: usize = 32;

/// Adds the lanes of `values` to row `which` of `sums`.
fn add<V: bytemuck::Pod>(sums: &mut [f64], which: usize, values: V) {
    let values: &[f32] = bytemuck::cast_slice(std::slice::from_ref(&values));
    sums[which * values.len()..].iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(*value));
}

/// Constants of SSIM and UQI, in every lane.
#[derive(Clone, Copy)]
struct Terms<V> {
    mass: V,
    c1: V,
    c2: V,
}

impl<V: Copy> Terms<V> {
    /// Local SSIM and UQI from the means and spreads of both windows and the windowed sum of d^2.
    #[inline(always)]
    fn without_flat_windows<S: Simd<f32s = V>>(
        &self,
        simd: S,
        of_a: (f32, f32),
        of_b: (V, V),
        squares: V,
    ) -> (V, V) {
        let (luminance, means, contrast, spreads) = self.parts(simd, of_a, of_b, squares);
        let ssim = self.ssim(simd, luminance, means, contrast, spreads);
        let uqi = (simd.mul_f32s(luminance, contrast), simd.mul_f32s(means, spreads));
        quotients(simd, ssim, uqi)
    }

    /// The same where a window may be constant, with the rules of UQI for that.
    #[inline(always)]
    fn with_flat_windows<S: Simd<f32s = V>>(
        &self,
        simd: S,
        of_a: (f32, f32),
        of_b: (V, V),
        squares: V,
    ) -> (V, V) {
        let (luminance, means, contrast, spreads) = self.parts(simd, of_a, of_b, squares);
        let ssim = self.ssim(simd, luminance, means, contrast, spreads);
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let flat_b = simd.equal_f32s(of_b.1, zero);
        // The structure's quotient: 1 where both are constant, 0 where one is.
        let (contrast, spreads) = if of_a.1 == 0.0 {
            (simd.select_f32s(flat_b, one, zero), one)
        } else {
            (simd.select_f32s(flat_b, zero, contrast), simd.select_f32s(flat_b, one, spreads))
        };
        let dark = simd.less_than_f32s(means, simd.splat_f32s(NO_MEAN));
        let luminance = simd.select_f32s(dark, one, luminance);
        let means = simd.select_f32s(dark, one, means);
        quotients(simd, ssim, (simd.mul_f32s(luminance, contrast), simd.mul_f32s(means, spreads)))
    }

    /// Both sides of SSIM's quotient.
    #[inline(always)]
    fn ssim<S: Simd<f32s = V>>(&self, simd: S, luminance: V, means: V, contrast: V, spreads: V) -> (V, V) {
        let above = simd.mul_f32s(simd.add_f32s(luminance, self.c1), simd.add_f32s(contrast, self.c2));
        let below = simd.mul_f32s(simd.add_f32s(means, self.c1), simd.add_f32s(spreads, self.c2));
        (above, below)
    }

    /// 2 ma mb, ma^2 + mb^2, 2 cov and va + vb, in the units of means and spreads.
    #[inline(always)]
    fn parts<S: Simd<f32s = V>>(
        &self,
        simd: S,
        (mean_a, spread_a): (f32, f32),
        (mean_b, spread_b): (V, V),
        squares: V,
    ) -> (V, V, V, V) {
        let difference = simd.sub_f32s(mean_b, simd.splat_f32s(mean_a));
        let square = simd.mul_f32s(difference, difference);
        // Not fused: both squares are rounded alike, so that a pair is the same both ways round.
        let means = simd.add_f32s(simd.mul_f32s(mean_b, mean_b), simd.splat_f32s(mean_a * mean_a));
        let spreads = simd.add_f32s(spread_b, simd.splat_f32s(spread_a));
        let spread_of_difference = simd.negate_mul_add_f32s(self.mass, square, squares);
        (simd.sub_f32s(means, square), means, simd.sub_f32s(spreads, spread_of_difference), spreads)
    }
}

/// Two quotients for the price of one division; the product of what is below stays in float32's range, because
/// means and spreads that are not 0 do.
#[inline(always)]
fn quotients<S: Simd>(simd: S, first: (S::f32s, S::f32s), second: (S::f32s, S::f32s)) -> (S::f32s, S::f32s) {
    let inverse = simd.div_f32s(simd.splat_f32s(1.0), simd.mul_f32s(first.1, second.1));
    (
        simd.mul_f32s(simd.mul_f32s(first.0, second.1), inverse),
        simd.mul_f32s(simd.mul_f32s(second.0, first.1), inverse),
    )
}
