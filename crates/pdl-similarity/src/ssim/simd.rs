//! The fused pass: one volume against as many as there are lanes, a chunk at a time.
//!
//! Lanes are volumes: each vector holds one voxel of several volumes b and is compared with one
//! voxel of a. No lane reads its neighbours, so a pair's result does not depend on the pairs
//! computed beside it. Several volumes a go down a column together, so that a chunk of the volumes
//! b is in the cache when the next a reads it. What a window needs of the planes before its chunk
//! is stored for each a.

use pulp::{Simd, bytemuck};

use crate::ssim::filter::Filter;
use crate::ssim::setup::Kernel;
use crate::ssim::tiling::Chunk;
use crate::ssim::views::VolumeView;

/// Sums of a pair: squares, SSIM, UQI, and inside bodies also voxels and windows.
pub(crate) const SUMS: usize = 5;

/// A column of the volumes b, one in each lane, in the order of
/// [`crate::ssim::memory_layout::Chunked`].
pub(crate) struct Lanes<V> {
    values: Vec<V>,
    /// Empty unless bodies are compared.
    bodies: Vec<V>,
    /// For each chunk of the column, whether one of the volumes has a flat window in it.
    flat: Vec<bool>,
    /// The column's first chunk.
    first: Option<Chunk>,
}

impl<V: bytemuck::Pod> Lanes<V> {
    pub(crate) fn new() -> Self {
        Self { values: Vec::new(), bodies: Vec::new(), flat: Vec::new(), first: None }
    }

    /// Fills the lanes with a column of the volumes `b`; spare lanes repeat the last one.
    #[inline(always)]
    pub(crate) fn fill(&mut self, kernel: &Kernel, column: &[Chunk], b: &[VolumeView<'_>], masked: bool) {
        let (Some(first), Some(last)) = (column.first(), column.last()) else { return };
        let depth = kernel.depth();
        let is_flat = |chunk: &Chunk| b.iter().any(|view| view.chunked.flat[chunk.index]);
        self.flat = column.iter().map(is_flat).collect();
        self.values.resize(last.at + last.len(depth) - first.at, V::zeroed());
        interleave(&mut self.values, b, |view| &view.chunked.values[first.at..]);
        if masked {
            self.bodies.resize(last.bodies_at + last.bodies_len(depth) - first.bodies_at, V::zeroed());
            interleave(&mut self.bodies, b, |view| &view.chunked.bodies[first.bodies_at..]);
        }
        self.first = Some(first.clone());
    }

    /// The values of a chunk, its bodies, and whether it has a flat window.
    fn chunk(&self, chunk: &Chunk, depth: usize, masked: bool) -> (&[V], &[V], bool) {
        let (at, bodies_at, index) =
            self.first.as_ref().map_or((0, 0, 0), |first| (first.at, first.bodies_at, first.index));
        let bodies = if masked {
            &self.bodies[chunk.bodies_at - bodies_at..][..chunk.bodies_len(depth)]
        } else {
            &self.bodies[..0]
        };
        (&self.values[chunk.at - at..][..chunk.len(depth)], bodies, self.flat[chunk.index - index])
    }
}

/// Writes the values of each volume into a lane of its own, position by position, so that memory is
/// written in whole vectors.
#[inline(always)]
#[expect(unsafe_code, reason = "a bounds check for each lane would take most of the time")]
fn interleave<'a, V: bytemuck::Pod>(
    to: &mut [V],
    b: &[VolumeView<'a>],
    values: impl Fn(&VolumeView<'a>) -> &'a [f32],
) {
    const MOST: usize = 16;
    let lanes = size_of::<V>() / size_of::<f32>();
    assert!(lanes <= MOST, "there is no wider vector of float32");
    let len = to.len();
    let from: [&[f32]; MOST] =
        std::array::from_fn(|lane| b.get(lane.min(b.len() - 1)).map_or(&[][..], |b| &values(b)[..len]));
    assert!(from.iter().all(|from| from.len() == len));
    let to: &mut [f32] = bytemuck::cast_slice_mut(to);
    for (i, place) in to.chunks_exact_mut(lanes).enumerate() {
        for (place, from) in place.iter_mut().zip(&from) {
            // SAFETY: i < len, the length of every slice, as is asserted above.
            *place = unsafe { *from.get_unchecked(i) };
        }
    }
}

/// Working memory of one thread.
pub(crate) struct Scratch<V> {
    /// One plane of squared differences, summed along x: rows of N, the column's most windows along
    /// x.
    rows: Vec<V>,
    /// The chunk's planes, summed along x and y: for each (x, y) its planes.
    planes: Vec<V>,
}

impl<V: bytemuck::Pod> Scratch<V> {
    /// For columns of at most `height` windows along y.
    pub(crate) fn new<FXY: Filter, FZ: Filter, const N: usize>(height: usize) -> Self {
        let zeroed = |len: usize| vec![V::zeroed(); len];
        Self { rows: zeroed((height + FXY::SIDE - 1) * N), planes: zeroed(height * N * FZ::SIDE) }
    }
}

/// Length in vectors of the state of each volume a between the chunks of a column of at most
/// `height` windows along y.
pub(crate) const fn state_len<FZ: Filter, const N: usize>(height: usize) -> usize {
    height * N * (FZ::SIDE - 1)
}

/// The parts of a chunk; `V` is a value of volume a, or a vector of values of the volumes b.
#[derive(Clone, Copy)]
struct Parts<'a, V> {
    /// (z, y, x).
    voxels: &'a [V],
    /// (x, y, z), like everything per window.
    means: &'a [V],
    spreads: &'a [V],
    /// Empty unless bodies are compared.
    body_voxels: &'a [V],
    body_windows: &'a [V],
}

impl<'a, V> Parts<'a, V> {
    fn new(chunk: &Chunk, depth: usize, values: &'a [V], bodies: &'a [V]) -> Self {
        let (voxels, rest) = values.split_at(chunk.voxel_count());
        let (means, rest) = rest.split_at(chunk.places(depth));
        let spreads = &rest[..chunk.places(depth)];
        let (body_voxels, rest) = bodies.split_at(if bodies.is_empty() { 0 } else { chunk.voxel_count() });
        let body_windows = &rest[..if bodies.is_empty() { 0 } else { chunk.places(depth) }];
        Self { voxels, means, spreads, body_voxels, body_windows }
    }
}

/// Adds the sums of volume `a` against the lanes `b` over one chunk to `sums`, a row of lanes for
/// each of [`SUMS`].
///
/// `state` is what [`Filter::advance`] carries for each (x, y) between the chunks of a column,
/// [`state_len`] vectors.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "buffers are handed in so that a thread makes them once")]
pub(crate) fn add_chunk<S: Simd, FXY: Filter, FZ: Filter, const N: usize, const MASKED: bool>(
    simd: S,
    kernel: &Kernel,
    chunk: &Chunk,
    a: &VolumeView<'_>,
    b: &Lanes<S::f32s>,
    scratch: &mut Scratch<S::f32s>,
    state: &mut [S::f32s],
    sums: &mut [f64],
) {
    let depth = FZ::SIDE;
    let bodies = if MASKED { chunk.bodies_at..chunk.bodies_at + chunk.bodies_len(depth) } else { 0..0 };
    let values = &a.chunked.values[chunk.at..][..chunk.len(depth)];
    let of_a = Parts::new(chunk, depth, values, &a.chunked.bodies[bodies]);
    let (values, bodies, flat_b) = b.chunk(chunk, depth, MASKED);
    let of_b = Parts::new(chunk, depth, values, bodies);
    sum_planes::<S, FXY, FZ, N, MASKED>(simd, kernel, chunk, of_a, of_b, scratch, sums);
    let flat = flat_b || a.chunked.flat[chunk.index];
    let all = chunk.first_end == 0 && chunk.voxels[0] == depth && kernel.stride == 1;
    let windows = Windows { simd, kernel, chunk, of_a, of_b };
    // The common case is compiled for itself; the others check every window.
    match (all && !MASKED, flat) {
        (true, false) => windows.sum::<FZ, true, false, MASKED>(&scratch.planes, state, sums),
        (true, true) => windows.sum::<FZ, true, true, MASKED>(&scratch.planes, state, sums),
        (false, _) => windows.sum::<FZ, false, true, MASKED>(&scratch.planes, state, sums),
    }
}

/// Squared differences, summed over the voxels that the column counts, and windowed along x and y
/// into `scratch.planes`.
#[inline(always)]
#[expect(unsafe_code, reason = "bounds checks would take a third of the time")]
fn sum_planes<S: Simd, FXY: Filter, FZ: Filter, const N: usize, const MASKED: bool>(
    simd: S,
    kernel: &Kernel,
    chunk: &Chunk,
    a: Parts<'_, f32>,
    b: Parts<'_, S::f32s>,
    scratch: &mut Scratch<S::f32s>,
    sums: &mut [f64],
) {
    let [planes, rows, row_len] = chunk.voxels;
    let [oy, ox] = chunk.windows;
    let weights = &kernel.half_weights;
    let zero = simd.splat_f32s(0.0);
    // The unchecked accesses below rely on these.
    assert!(planes <= FZ::SIDE && rows == oy + FXY::SIDE - 1 && row_len == ox + FXY::SIDE - 1);
    assert!(ox <= N && scratch.rows.len() >= rows * N && scratch.planes.len() >= ox * oy * FZ::SIDE);
    assert!(!MASKED || (a.body_voxels.len() == a.voxels.len() && b.body_voxels.len() == b.voxels.len()));
    for z in 0..planes {
        let (mut squares, mut voxels) = (zero, zero);
        for y in 0..rows {
            let part = (z * rows + y) * row_len..(z * rows + y + 1) * row_len;
            let (of_a, of_b) = (&a.voxels[part.clone()], &b.voxels[part.clone()]);
            let bodies =
                if MASKED { (&a.body_voxels[part.clone()], &b.body_voxels[part]) } else { (of_a, of_b) };
            let row = &mut scratch.rows[y * N..(y + 1) * N];
            let counted = if y < chunk.own[0] { chunk.own[1] } else { 0 };
            // Row by row: a longer sum in float32 would lose small squares.
            let mut of_row = zero;
            FXY::run::<S, N>(
                simd,
                weights,
                ox,
                #[inline(always)]
                |i| {
                    // SAFETY: i < ox + FXY::SIDE - 1 = row_len, the length of these slices.
                    let (va, vb) = unsafe { (*of_a.get_unchecked(i), *of_b.get_unchecked(i)) };
                    let difference = simd.sub_f32s(vb, simd.splat_f32s(va));
                    let square = simd.mul_f32s(difference, difference);
                    if i < counted {
                        if MASKED {
                            let both = simd.mul_f32s(bodies.1[i], simd.splat_f32s(bodies.0[i]));
                            of_row = simd.mul_add_f32s(square, both, of_row);
                            voxels = simd.add_f32s(voxels, both);
                        } else {
                            of_row = simd.mul_add_f32s(difference, difference, of_row);
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
            squares = simd.add_f32s(squares, of_row);
        }
        add(sums, 0, squares);
        if MASKED {
            add(sums, 3, voxels);
        }
        let (of_rows, to) = (&scratch.rows[..], &mut scratch.planes[..]);
        for x in (kernel.first_taken(chunk.first[2])..ox).step_by(kernel.stride) {
            for first in (0..oy).step_by(N) {
                FXY::run::<S, N>(
                    simd,
                    weights,
                    N.min(oy - first),
                    #[inline(always)]
                    |i| {
                        // SAFETY: first + i < oy + FXY::SIDE - 1 = rows and x < ox <= N,
                        // and there are `rows` rows of N.
                        unsafe { *of_rows.get_unchecked((first + i) * N + x) }
                    },
                    #[inline(always)]
                    |i, sum| {
                        // SAFETY: x < ox, first + i < oy and z < planes <= FZ::SIDE.
                        unsafe { *to.get_unchecked_mut((x * oy + first + i) * FZ::SIDE + z) = sum };
                    },
                );
            }
        }
    }
}

/// The windows of a chunk.
struct Windows<'a, S: Simd> {
    simd: S,
    kernel: &'a Kernel,
    chunk: &'a Chunk,
    of_a: Parts<'a, f32>,
    of_b: Parts<'a, S::f32s>,
}

impl<S: Simd> Windows<'_, S> {
    /// Sums local SSIM and UQI over the windows that end in the chunk. `ALL`: a window ends at
    /// every position, and all of them count.
    #[inline(always)]
    #[expect(unsafe_code, reason = "bounds checks would take a third of the time")]
    fn sum<FZ: Filter, const ALL: bool, const FLAT: bool, const MASKED: bool>(
        &self,
        planes: &[S::f32s],
        state: &mut [S::f32s],
        sums: &mut [f64],
    ) {
        let Self { simd, kernel, chunk, of_a: a, of_b: b } = *self;
        let (depth, halo) = (FZ::SIDE, FZ::SIDE - 1);
        let [oy, ox] = chunk.windows;
        let zero = simd.splat_f32s(0.0);
        let terms = Terms { c1: simd.splat_f32s(kernel.c1), c2: simd.splat_f32s(kernel.c2) };
        // The unchecked accesses below rely on these.
        let places = ox * oy * depth;
        assert!(planes.len() >= places && state.len() >= ox * oy * halo);
        assert!([a.means.len(), a.spreads.len(), b.means.len(), b.spreads.len()] == [places; 4]);
        assert!(!MASKED || (a.body_windows.len() == places && b.body_windows.len() == places));
        for x in (kernel.first_taken(chunk.first[2])..ox).step_by(kernel.stride) {
            let (mut ssim, mut uqi, mut windows) = (zero, zero, zero);
            for y in (kernel.first_taken(chunk.first[1])..oy).step_by(kernel.stride) {
                let i = x * oy + y;
                // SAFETY: i < ox * oy, and the slices have as many times `depth` and `halo` values.
                let (new, state) = unsafe {
                    (
                        planes.get_unchecked(i * depth..(i + 1) * depth),
                        state.get_unchecked_mut(i * halo..(i + 1) * halo),
                    )
                };
                FZ::advance(
                    simd,
                    &kernel.half_weights,
                    state,
                    new,
                    #[inline(always)]
                    |k, squares| {
                        if !ALL && !kernel.takes(chunk, k) {
                            return;
                        }
                        let at = i * depth + k;
                        // SAFETY: i < ox * oy and k < depth, so at < places, the length of
                        // these slices.
                        let (of_a, of_b) = unsafe {
                            (
                                (*a.means.get_unchecked(at), *a.spreads.get_unchecked(at)),
                                (*b.means.get_unchecked(at), *b.spreads.get_unchecked(at)),
                            )
                        };
                        let window = terms.window::<S, FLAT>(simd, of_a, of_b, squares);
                        let (above_ssim, above_uqi, inverse) = window;
                        if MASKED {
                            let body_a = simd.splat_f32s(a.body_windows[at]);
                            let both = simd.mul_f32s(b.body_windows[at], body_a);
                            let inverse = simd.mul_f32s(inverse, both);
                            ssim = simd.mul_add_f32s(above_ssim, inverse, ssim);
                            uqi = simd.mul_add_f32s(above_uqi, inverse, uqi);
                            windows = simd.add_f32s(windows, both);
                        } else {
                            ssim = simd.mul_add_f32s(above_ssim, inverse, ssim);
                            uqi = simd.mul_add_f32s(above_uqi, inverse, uqi);
                        }
                    },
                );
            }
            add(sums, 1, ssim);
            add(sums, 2, uqi);
            if MASKED {
                add(sums, 4, windows);
            }
        }
    }
}

/// Adds the lanes of `values` to row `which` of `sums`.
#[inline(always)]
fn add<V: bytemuck::Pod>(sums: &mut [f64], which: usize, values: V) {
    let values: &[f32] = bytemuck::cast_slice(std::slice::from_ref(&values));
    sums[which * values.len()..].iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(*value));
}

/// Constants of SSIM, in every lane.
#[derive(Clone, Copy)]
struct Terms<V> {
    c1: V,
    c2: V,
}

impl<V: Copy> Terms<V> {
    /// Local SSIM and UQI, as two numerators and their common factor: both quotients cost one
    /// division. The product of the denominators stays in float32's range, because non-zero means
    /// and spreads do.
    ///
    /// With t = (ma - mb)^2 the terms are 2 ma mb, 2 ma mb + t, va + vb - (squares - t) and va +
    /// vb: all of them are symmetric in a and b. `FLAT`: windows may be constant, for which UQI has
    /// rules of its own, or so nearly constant that the structure must be clamped against the
    /// rounding of the sums.
    #[inline(always)]
    fn window<S: Simd<f32s = V>, const FLAT: bool>(
        &self,
        simd: S,
        (mean_a, spread_a): (f32, f32),
        (mean_b, spread_b): (V, V),
        squares: V,
    ) -> (V, V, V) {
        let difference = simd.sub_f32s(mean_b, simd.splat_f32s(mean_a));
        let t = simd.mul_f32s(difference, difference);
        let product = simd.mul_f32s(mean_b, simd.splat_f32s(mean_a));
        let luminance = simd.add_f32s(product, product);
        let means = simd.add_f32s(luminance, t);
        let mut spreads = simd.add_f32s(spread_b, simd.splat_f32s(spread_a));
        let of_difference = simd.sub_f32s(squares, t);
        let mut contrast = simd.sub_f32s(spreads, of_difference);
        let spreads_c2 = simd.add_f32s(spreads, self.c2);
        let above_ssim =
            simd.mul_f32s(simd.add_f32s(luminance, self.c1), simd.sub_f32s(spreads_c2, of_difference));
        let below_ssim = simd.mul_f32s(simd.add_f32s(means, self.c1), spreads_c2);
        if FLAT {
            let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
            contrast = simd.max_f32s(simd.min_f32s(contrast, spreads), simd.neg_f32s(spreads));
            let flat_b = simd.equal_f32s(spread_b, zero);
            // The structure's quotient: 1 where both are constant, 0 where one is.
            (contrast, spreads) = if spread_a == 0.0 {
                (simd.select_f32s(flat_b, one, zero), one)
            } else {
                (simd.select_f32s(flat_b, zero, contrast), simd.select_f32s(flat_b, one, spreads))
            };
        }
        let below_uqi = simd.mul_f32s(means, spreads);
        let above_uqi = simd.mul_f32s(luminance, contrast);
        (
            simd.mul_f32s(above_ssim, below_uqi),
            simd.mul_f32s(above_uqi, below_ssim),
            simd.div_f32s(simd.splat_f32s(1.0), simd.mul_f32s(below_ssim, below_uqi)),
        )
    }
}
