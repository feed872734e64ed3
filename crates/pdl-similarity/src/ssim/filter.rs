//! Weighted sums over a window that moves along one axis, a vector of lanes at each position.

use pulp::Simd;

/// Weights of a symmetric window from its centre outwards; read by the Gaussian only.
pub(crate) type HalfWeights = [f32; 6];

/// A one-dimensional window.
pub(crate) trait Filter: Copy + Sync {
    /// Number of positions that it spans.
    const SIDE: usize;

    /// Passes the sums over windows 0 to `n - 1` to `output`, in order; `n` is at least 1 and at
    /// most `N`. Window `i` spans the positions `i` to `i + SIDE - 1`; each is read from `input`
    /// once, in order.
    fn run<S: Simd, const N: usize>(
        simd: S,
        weights: &HalfWeights,
        n: usize,
        input: impl FnMut(usize) -> S::f32s,
        output: impl FnMut(usize, S::f32s),
    );

    /// Advances the window by `SIDE` positions with the values `new`, and passes the sum of the
    /// window that ends at each of them to `output`. `state` holds what is needed of the previous
    /// `SIDE` positions, in `SIDE - 1` vectors with a meaning of the filter's own; it is updated
    /// for the next call.
    fn advance<S: Simd>(
        simd: S,
        weights: &HalfWeights,
        state: &mut [S::f32s],
        new: &[S::f32s],
        output: impl FnMut(usize, S::f32s),
    );
}

/// Repeats the body with each number as a constant: values in registers cannot be indexed.
macro_rules! unrolled {
    ($k:ident in [$($i:literal)*] $body:block) => {
        $({
            const $k: usize = $i;
            $body
        })*
    };
}

/// A single position: the third axis of a plane.
#[derive(Clone, Copy)]
pub(crate) struct Single;

impl Filter for Single {
    const SIDE: usize = 1;

    #[inline(always)]
    fn run<S: Simd, const N: usize>(
        _: S,
        _: &HalfWeights,
        n: usize,
        mut input: impl FnMut(usize) -> S::f32s,
        mut output: impl FnMut(usize, S::f32s),
    ) {
        for i in 0..n {
            output(i, input(i));
        }
    }

    #[inline(always)]
    fn advance<S: Simd>(
        _: S,
        _: &HalfWeights,
        _: &mut [S::f32s],
        new: &[S::f32s],
        mut output: impl FnMut(usize, S::f32s),
    ) {
        output(0, new[0]);
    }
}

/// Unweighted sums over seven positions.
///
/// Van Herk and Gil-Werman: a window that begins in one block of seven and ends in the next is the
/// suffix of the first and the prefix of the second, so a window costs 2.5 additions. Unlike in a
/// running sum, no window carries the rounding of voxels outside it.
#[derive(Clone, Copy)]
pub(crate) struct Box7;

impl Filter for Box7 {
    const SIDE: usize = 7;

    #[inline(always)]
    fn run<S: Simd, const N: usize>(
        simd: S,
        _: &HalfWeights,
        n: usize,
        mut input: impl FnMut(usize) -> S::f32s,
        mut output: impl FnMut(usize, S::f32s),
    ) {
        let mut block = [simd.splat_f32s(0.0); 7];
        for (i, place) in block.iter_mut().enumerate() {
            *place = input(i);
        }
        let mut start = 0;
        while start < N {
            let mut ends = block;
            for k in (0..6).rev() {
                ends[k] = simd.add_f32s(ends[k], ends[k + 1]);
            }
            output(start, ends[0]);
            let mut beginning = block[0];
            for k in 1..7 {
                if start + k >= N || start + k >= n {
                    return;
                }
                block[k - 1] = input(start + k + 6);
                beginning = if k == 1 { block[0] } else { simd.add_f32s(beginning, block[k - 1]) };
                output(start + k, simd.add_f32s(ends[k], beginning));
            }
            start += 7;
            if start >= N || start >= n {
                return;
            }
            block[6] = input(start + 6);
        }
    }

    /// The state: the suffix sums of the previous block, from its positions 1 to 6 on.
    #[inline(always)]
    fn advance<S: Simd>(
        simd: S,
        _: &HalfWeights,
        state: &mut [S::f32s],
        new: &[S::f32s],
        mut output: impl FnMut(usize, S::f32s),
    ) {
        let (Some(new), Some(state)) = (new.first_chunk::<7>(), state.first_chunk_mut::<6>()) else { return };
        let (new, ends) = (*new, *state);
        let mut beginning = new[0];
        output(0, simd.add_f32s(ends[0], beginning));
        unrolled!(K in [1 2 3 4 5] {
            beginning = simd.add_f32s(beginning, new[K]);
            output(K, simd.add_f32s(ends[K], beginning));
        });
        let mut end = new[6];
        unrolled!(K in [5 4 3 2 1 0] {
            state[K] = end;
            end = simd.add_f32s(end, new[K]);
        });
        output(6, end);
    }
}

/// Gaussian sums over eleven positions.
#[derive(Clone, Copy)]
pub(crate) struct Gaussian11;

impl Filter for Gaussian11 {
    const SIDE: usize = 11;

    #[inline(always)]
    fn run<S: Simd, const N: usize>(
        simd: S,
        weights: &HalfWeights,
        n: usize,
        mut input: impl FnMut(usize) -> S::f32s,
        mut output: impl FnMut(usize, S::f32s),
    ) {
        let mut ring = [simd.splat_f32s(0.0); 11];
        for (i, place) in ring.iter_mut().take(10).enumerate() {
            *place = input(i);
        }
        for i in 0..N {
            if i >= n {
                return;
            }
            ring[(i + 10) % 11] = input(i + 10);
            let mut sum = simd.mul_f32s(simd.splat_f32s(weights[0]), ring[(i + 5) % 11]);
            for k in 1..6 {
                let both = simd.add_f32s(ring[(i + 5 - k) % 11], ring[(i + 5 + k) % 11]);
                sum = simd.mul_add_f32s(simd.splat_f32s(weights[k]), both, sum);
            }
            output(i, sum);
        }
    }

    /// The state: the last ten positions.
    #[inline(always)]
    fn advance<S: Simd>(
        simd: S,
        weights: &HalfWeights,
        state: &mut [S::f32s],
        new: &[S::f32s],
        mut output: impl FnMut(usize, S::f32s),
    ) {
        let (Some(new), Some(state)) = (new.first_chunk::<11>(), state.first_chunk_mut::<10>()) else {
            return;
        };
        let mut all = [simd.splat_f32s(0.0); 21];
        unrolled!(K in [0 1 2 3 4 5 6 7 8 9] { all[K] = state[K]; });
        unrolled!(K in [0 1 2 3 4 5 6 7 8 9 10] { all[10 + K] = new[K]; });
        unrolled!(K in [0 1 2 3 4 5 6 7 8 9] { state[K] = new[K + 1]; });
        unrolled!(K in [0 1 2 3 4 5 6 7 8 9 10] {
            let mut sum = simd.mul_f32s(simd.splat_f32s(weights[0]), all[K + 5]);
            unrolled!(J in [1 2 3 4 5] {
                let both = simd.add_f32s(all[K + 5 - J], all[K + 5 + J]);
                sum = simd.mul_add_f32s(simd.splat_f32s(weights[J]), both, sum);
            });
            output(K, sum);
        });
    }
}
