//! What all comparisons of one cohort share, and what comes out of one.
//!
//! A pair costs one fused pass (`column`) over what it does not share with other pairs: with d = a - b,
//!
//! ```text
//! 2 cov(a, b) = var(a) + var(b) - var(d),    2 mean(a) mean(b) = mean(a)^2 + mean(b)^2 - mean(d)^2,
//! ```
//!
//! so that only the windowed sum of d^2 belongs to the pair. Written so, rounding is relative to how much two
//! volumes differ: near-duplicates keep their true distance in float32, and identical volumes give 1.

use crate::SimilarityError;
use crate::isa::Isa;
use crate::ssim::filter::HalfWeights;
use crate::ssim::tiling::{self, Chunk};
use crate::ssim::window::SsimWindow;

/// K1 of SSIM (Wang et al. 2004).
pub const K1: f64 = 0.01;
/// K2 of SSIM (Wang et al. 2004).
pub const K2: f64 = 0.03;

/// SsimWindow, grid, data range and instruction set that all volumes of a comparison share.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Which window.
    pub window: SsimWindow,
    /// Voxels along z, y, x.
    pub shape: [usize; 3],
    pub(crate) isa: Isa,
    /// SSIM and UQI take the windows on every `stride`-th voxel along each axis.
    pub(crate) stride: usize,
    /// Windows along z, y, x.
    pub(crate) inner: [usize; 3],
    /// HalfWeights along z, y, x; the single weight 1 along z for a plane.
    pub(crate) weights: [Vec<f64>; 3],
    /// The same weights from the middle outwards.
    pub(crate) half_weights: HalfWeights,
    /// What a windowed sum of the pair kernel is divided by to give a mean: the voxels of a box, which are not
    /// weighted, or 1.
    pub(crate) mass: f64,
    /// What voxels are multiplied by: the power of two that takes the data range to 256, so that products of means
    /// and spreads stay in float32's range.
    pub(crate) scale: f32,
    /// (K1 R)^2 in units of the squared means.
    pub(crate) c1: f32,
    /// (K2 R)^2 in units of the spreads.
    pub(crate) c2: f32,
    /// The columns of windows, each cut into chunks.
    pub(crate) columns: Vec<Vec<Chunk>>,
    pub(crate) range: f64,
}

impl Kernel {
    /// For arrays of `shape` (z, y, x) with data range `range`; a single plane (z = 1) has the two-dimensional
    /// window.
    ///
    /// # Errors
    /// [`SimilarityError::WindowTooLarge`] when a side is shorter than the window;
    /// [`SimilarityError::Option`] when this machine lacks the instruction set.
    pub fn new(window: SsimWindow, shape: [usize; 3], range: f64, isa: Isa) -> Result<Self, SimilarityError> {
        let weights = window.weights();
        let mut half_weights = [0.0; 6];
        half_weights.iter_mut().zip(&weights[weights.len() / 2..]).for_each(|(half, w)| *half = *w as f32);
        let along_z = if shape[0] == 1 { vec![1.0] } else { weights.clone() };
        let weights = [along_z, weights.clone(), weights];
        let sides = [0, 1, 2].map(|axis| weights[axis].len());
        if (0..3).any(|axis| shape[axis] < sides[axis]) {
            return Err(SimilarityError::WindowTooLarge { window, side: window.side(), shape });
        }
        let voxels = sides.iter().product();
        let mass = if window == SsimWindow::Uniform { voxels as f64 } else { 1.0 };
        let scale = 256.0 / range.log2().ceil().exp2();
        let unit = mass * scale * scale;
        Ok(Self {
            window,
            shape,
            isa: isa.resolve()?,
            stride: 1,
            inner: [0, 1, 2].map(|axis| shape[axis] + 1 - sides[axis]),
            weights,
            half_weights,
            mass,
            scale: scale as f32,
            c1: ((K1 * range).powi(2) * unit) as f32,
            c2: ((K2 * range).powi(2) * unit / window.covariance_factor(voxels)) as f32,
            columns: tiling::columns(window, shape, sides),
            range,
        })
    }

    /// The same with windows on every `stride`-th voxel along each axis only: an approximation.
    #[must_use]
    pub fn with_stride(self, stride: usize) -> Self {
        Self { stride: stride.max(1), ..self }
    }

    /// How far after window `start` along an axis the first one lies that the stride takes.
    pub(crate) fn first_taken(&self, start: usize) -> usize {
        start.next_multiple_of(self.stride) - start
    }

    /// How many windows the stride takes.
    pub(crate) fn windows(&self) -> usize {
        self.inner.iter().map(|windows| windows.div_ceil(self.stride)).product()
    }

    /// Whether there is but one plane.
    pub(crate) fn is_plane(&self) -> bool {
        self.shape[0] == 1
    }

    /// Whether the stride takes the window that ends in plane number `k` of a chunk, if one ends there.
    #[inline(always)]
    pub(crate) fn takes(&self, chunk: &Chunk, k: usize) -> bool {
        let ends = (chunk.first_end..chunk.voxels[0]).contains(&k);
        ends && (chunk.first[0] + k + 1 - self.depth()).is_multiple_of(self.stride)
    }

    /// Planes that a window spans.
    pub(crate) fn depth(&self) -> usize {
        self.weights[0].len()
    }

    /// How many chunks there are.
    pub(crate) fn chunk_count(&self) -> usize {
        self.last_chunk().map_or(0, |last| last.index + 1)
    }

    /// How many values of a volume its chunks hold.
    pub(crate) fn values_len(&self) -> usize {
        self.last_chunk().map_or(0, |last| last.at + last.len(self.depth()))
    }

    /// How many values of a body they hold.
    pub(crate) fn bodies_len(&self) -> usize {
        self.last_chunk().map_or(0, |last| last.bodies_at + last.bodies_len(self.depth()))
    }

    fn last_chunk(&self) -> Option<&Chunk> {
        self.columns.last().and_then(|column| column.last())
    }
}
