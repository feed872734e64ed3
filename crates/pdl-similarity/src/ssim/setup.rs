//! The state that all comparisons of one cohort share.

use crate::SimilarityError;
use crate::isa::Isa;
use crate::ssim::filter::HalfWeights;
use crate::ssim::tiling::{self, Chunk};
use crate::ssim::window::SsimWindow;

/// K1 of SSIM (Wang et al. 2004).
pub const K1: f64 = 0.01;
/// K2 of SSIM (Wang et al. 2004).
pub const K2: f64 = 0.03;

/// Window, grid, data range and instruction set, shared by all volumes of a comparison.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The window of SSIM and UQI.
    pub window: SsimWindow,
    /// Voxels along z, y, x; those of a plane across another axis as of one across z.
    pub shape: [usize; 3],
    pub(crate) isa: Isa,
    /// Only windows at multiples of `stride` along each axis count.
    pub(crate) stride: usize,
    /// Windows along z, y, x.
    pub(crate) inner: [usize; 3],
    /// Window weights along z, y, x; the single weight 1 along z for a plane.
    pub(crate) weights: [Vec<f64>; 3],
    /// The in-plane weights from the centre outwards.
    pub(crate) half_weights: HalfWeights,
    /// Divisor that turns a windowed sum of the pair kernel into a mean: the voxels of a box, whose
    /// sums are unweighted, else 1.
    pub(crate) mass: f64,
    /// Factor of the voxels: the power of two that takes the data range to 256, so that products of
    /// means and spreads stay in float32's range.
    pub(crate) scale: f32,
    /// (K1 R)^2 in units of the squared means.
    pub(crate) c1: f32,
    /// (K2 R)^2 in units of the spreads.
    pub(crate) c2: f32,
    /// The columns of windows, each divided into chunks.
    pub(crate) columns: Vec<Vec<Chunk>>,
    pub(crate) range: f64,
}

/// The shape (z, y, x) of a plane across y or x as one across z, which has the same voxels in the
/// same order; any other shape as it is.
fn along_z(shape: [usize; 3]) -> [usize; 3] {
    match shape {
        [1, _, _] => shape,
        [z, 1, x] => [1, z, x],
        [z, y, 1] => [1, z, y],
        _ => shape,
    }
}

impl Kernel {
    /// For arrays of `shape` (z, y, x) with data range `range`. A single plane, one voxel thick
    /// along any axis, takes the two-dimensional window.
    ///
    /// # Errors
    /// [`SimilarityError::WindowTooLarge`] when a side is shorter than the window;
    /// [`SimilarityError::InvalidOption`] when this machine does not support the instruction set.
    pub fn new(window: SsimWindow, shape: [usize; 3], range: f64, isa: Isa) -> Result<Self, SimilarityError> {
        let given = shape;
        let shape = along_z(given);
        let weights = window.weights();
        let mut half_weights = [0.0; 6];
        half_weights.iter_mut().zip(&weights[weights.len() / 2..]).for_each(|(half, w)| *half = *w as f32);
        let through = if shape[0] == 1 { vec![1.0] } else { weights.clone() };
        let weights = [through, weights.clone(), weights];
        let sides = [0, 1, 2].map(|axis| weights[axis].len());
        if (0..3).any(|axis| shape[axis] < sides[axis]) {
            return Err(SimilarityError::WindowTooLarge { window, side: window.side(), shape: given });
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

    /// Uses only every `stride`-th window along each axis: an approximation.
    #[must_use]
    pub fn with_stride(self, stride: usize) -> Self {
        Self { stride: stride.max(1), ..self }
    }

    /// Distance from window `start` along an axis to the next window that counts.
    pub(crate) fn first_taken(&self, start: usize) -> usize {
        start.next_multiple_of(self.stride) - start
    }

    /// Number of windows that count.
    pub(crate) fn windows(&self) -> usize {
        self.inner.iter().map(|windows| windows.div_ceil(self.stride)).product()
    }

    /// Whether the volumes are single planes.
    pub(crate) fn is_plane(&self) -> bool {
        self.shape[0] == 1
    }

    /// Whether a window ends in plane `k` of a chunk and counts.
    #[inline(always)]
    pub(crate) fn takes(&self, chunk: &Chunk, k: usize) -> bool {
        let ends = (chunk.first_end..chunk.voxels[0]).contains(&k);
        ends && (chunk.first[0] + k + 1 - self.depth()).is_multiple_of(self.stride)
    }

    /// Planes that a window spans.
    pub(crate) fn depth(&self) -> usize {
        self.weights[0].len()
    }

    /// Number of chunks of a volume.
    pub(crate) fn chunk_count(&self) -> usize {
        self.last_chunk().map_or(0, |last| last.index + 1)
    }

    /// Number of values that the chunks hold of a volume.
    pub(crate) fn values_len(&self) -> usize {
        self.last_chunk().map_or(0, |last| last.at + last.len(self.depth()))
    }

    /// Number of values that the chunks hold of a body.
    pub(crate) fn bodies_len(&self) -> usize {
        self.last_chunk().map_or(0, |last| last.bodies_at + last.bodies_len(self.depth()))
    }

    fn last_chunk(&self) -> Option<&Chunk> {
        self.columns.last().and_then(|column| column.last())
    }
}
