//! Compares every two of some arrays in memory with the kernel of [`crate::compare`]; reads no
//! files.

use std::ops::{ControlFlow, Range};

use pdl_store::memory::{MemoryError, MemoryLimit};
use rayon::prelude::*;

use crate::SimilarityError;
use crate::isa::Isa;
use crate::metrics::Metric;
use crate::ssim::driver::{self, Pass};
use crate::ssim::memory_layout::Chunked;
use crate::ssim::setup::Kernel;
use crate::ssim::views::{Similarity, VolumeView};
use crate::ssim::window::SsimWindow;

/// Maximum magnitude of values, in data ranges. The squares of larger ones leave no digits of
/// float32 for the constants of SSIM, and the data range is most likely wrong.
const MOST_RANGES: f32 = 1000.0;

/// Voxels of the pairs of a tile: few enough that a caller can stop within a second.
const VOXELS_A_TILE: usize = 1 << 30;

/// Fewest volumes along each side of a tile: the lanes of the widest vector.
const LEAST_SIDE: usize = 16;

/// Why arrays cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum ArrayError {
    /// Two arrays differ in shape.
    #[error("expected volumes of one shape, found {first:?} and {other:?} (z, y, x; volume {index})")]
    Shape {
        /// The shape of the first one (z, y, x), in voxels.
        first: [usize; 3],
        /// Shape of the array at `index`.
        other: [usize; 3],
        /// Place among the volumes, from 0.
        index: usize,
    },
    /// A side of the volumes is shorter than the window.
    #[error(
        "the volumes are too small for the {window} window: expected at least {side} voxels along each \
         axis, found {shape:?} (z, y, x)"
    )]
    WindowTooLarge {
        /// The window that was asked for.
        window: SsimWindow,
        /// Length along each axis, in voxels.
        side: usize,
        /// Shape of the volumes (z, y, x), in voxels.
        shape: [usize; 3],
    },
    /// The data range is no positive number.
    #[error("invalid data_range: expected a positive number, found {0}")]
    DataRange(f64),
    /// A volume holds NaN or infinity.
    #[error("volume {0} holds values that are not finite")]
    NotFinite(usize),
    /// A volume's values are far larger than the data range.
    #[error(
        "volume {index} holds {value}, more than {MOST_RANGES} times data_range ({data_range}); give the \
         range that the data can span, such as 4000 for CT in HU"
    )]
    BeyondRange {
        /// Place among the volumes, from 0.
        index: usize,
        /// Value of the largest magnitude.
        value: f32,
        /// The data range that was given.
        data_range: f64,
    },
    /// A metric needs more than intensities.
    #[error("invalid metrics: expected mse, psnr, ssim or uqi, found {0}")]
    Metric(&'static str),
    /// The statistics of two volumes need more memory than there is.
    #[error("the local statistics of two volumes: {0}")]
    Memory(#[from] MemoryError),
    /// Another reason of the kernel's.
    #[error(transparent)]
    Kernel(SimilarityError),
}

/// Volumes of one shape that can be compared.
#[derive(Debug)]
pub struct ArrayPairs<'a> {
    kernel: Kernel,
    volumes: Vec<&'a [f32]>,
    pass: Pass,
}

impl<'a> ArrayPairs<'a> {
    /// Takes C arrays (z, y, x), each with its shape; a plane (z = 1) takes the two-dimensional
    /// window. No side is shorter than the window, whatever the metrics.
    ///
    /// # Errors
    /// [`ArrayError`] when they cannot be compared.
    pub fn new(
        volumes: &[([usize; 3], &'a [f32])],
        metrics: &[Metric],
        window: SsimWindow,
        data_range: f64,
    ) -> Result<Self, ArrayError> {
        if !(data_range.is_finite() && data_range > 0.0) {
            return Err(ArrayError::DataRange(data_range));
        }
        if let Some(metric) = metrics.iter().find(|metric| !is_of_intensities(**metric)) {
            return Err(ArrayError::Metric(metric.column()));
        }
        let first = volumes.first().map_or([0; 3], |(shape, _)| *shape);
        if let Some(index) = volumes.iter().position(|(shape, _)| *shape != first) {
            return Err(ArrayError::Shape { first, other: volumes[index].0, index });
        }
        let kernel = Kernel::new(window, first, data_range, Isa::Auto).map_err(|error| match error {
            SimilarityError::WindowTooLarge { window, side, shape } => {
                ArrayError::WindowTooLarge { window, side, shape }
            }
            other => ArrayError::Kernel(other),
        })?;
        let volumes: Vec<&[f32]> = volumes.iter().map(|(_, voxels)| *voxels).collect();
        check_values(&volumes, data_range)?;
        let windows = metrics.iter().any(|metric| metric.measure().required_passes().windows);
        Ok(Self { kernel, volumes, pass: if windows { Pass::Windows } else { Pass::Squares } })
    }

    /// Calls `visit` with every pair (a, b), a < b, numbered from 0, a tile of pairs at a time,
    /// until it breaks. Local statistics are kept within `memory` bytes; values depend neither on
    /// that nor on the number of threads.
    ///
    /// # Errors
    /// [`ArrayError::Memory`] when the statistics of two volumes exceed `memory`.
    pub fn for_each_tile(
        &self,
        memory: u64,
        mut visit: impl FnMut(&[(usize, usize, Similarity)]) -> ControlFlow<()>,
    ) -> Result<(), ArrayError> {
        let count = self.volumes.len();
        let block = self.block(memory)?;
        for rows in ranges(0..count, block) {
            let of_rows = self.statistics(rows.clone());
            for cols in ranges(rows.start..count, block) {
                let of_cols = if cols == rows { None } else { Some(self.statistics(cols.clone())) };
                let a = self.views(&of_rows, rows.clone());
                let b = self.views(of_cols.as_ref().unwrap_or(&of_rows), cols.clone());
                for tile in self.tiles(&rows, &cols) {
                    if visit(&self.tile(&a, &b, [rows.start, cols.start], tile)).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Most volumes of a block: all, or so many that two blocks fit.
    fn block(&self, memory: u64) -> Result<usize, ArrayError> {
        let count = self.volumes.len().max(1);
        if self.pass == Pass::Squares {
            return Ok(count);
        }
        let bytes = Chunked::bytes(&self.kernel, false);
        MemoryLimit::new(memory).alone().take_each(2.min(count as u64), bytes)?;
        let fit = usize::try_from(memory / bytes).unwrap_or(usize::MAX);
        Ok(if fit >= count { count } else { (fit / 2).max(1) })
    }

    fn statistics(&self, volumes: Range<usize>) -> Chunked {
        match self.pass {
            Pass::Squares => Chunked::default(),
            _ => Chunked::new(&self.kernel, volumes.len(), false, |i| (self.volumes[volumes.start + i], &[])),
        }
    }

    fn views<'b>(&'b self, statistics: &'b Chunked, volumes: Range<usize>) -> Vec<VolumeView<'b>> {
        let view = |(i, volume): (usize, usize)| VolumeView {
            voxels: self.volumes[volume],
            chunked: statistics.view(&self.kernel, i),
            ..VolumeView::default()
        };
        volumes.enumerate().map(view).collect()
    }

    /// The tiles of two blocks that hold pairs, as ranges of volumes.
    fn tiles(&self, rows: &Range<usize>, cols: &Range<usize>) -> Vec<[Range<usize>; 2]> {
        let voxels = self.kernel.shape.iter().product::<usize>().max(1);
        let side = (VOXELS_A_TILE / voxels).isqrt().max(LEAST_SIDE);
        let of_rows = ranges(rows.clone(), side).into_iter();
        let all = of_rows.flat_map(|a| ranges(cols.clone(), side).into_iter().map(move |b| [a.clone(), b]));
        all.filter(|[a, b]| a.start + 1 < b.end).collect()
    }

    /// The pairs of a tile; `first` are the volumes with which the views `a` and `b` begin.
    fn tile(
        &self,
        a: &[VolumeView<'_>],
        b: &[VolumeView<'_>],
        first: [usize; 2],
        [rows, cols]: [Range<usize>; 2],
    ) -> Vec<(usize, usize, Similarity)> {
        let a = &a[rows.start - first[0]..rows.end - first[0]];
        let b = &b[cols.start - first[1]..cols.end - first[1]];
        let is_pair = |i: usize, j: usize| rows.start + i < cols.start + j;
        let sums = driver::sums(&self.kernel, self.pass, a, b, is_pair);
        let places = (0..a.len()).flat_map(|i| (0..b.len()).map(move |j| (i, j)));
        let pairs = places.zip(&sums).filter(|((i, j), _)| is_pair(*i, *j));
        pairs.map(|((i, j), sums)| (rows.start + i, cols.start + j, self.kernel.similarity(sums))).collect()
    }
}

/// Whether a metric compares the intensities of whole volumes.
fn is_of_intensities(metric: Metric) -> bool {
    let passes = metric.measure().required_passes();
    !passes.bodies && !passes.labels
}

fn check_values(volumes: &[&[f32]], data_range: f64) -> Result<(), ArrayError> {
    let largest = |voxels: &&[f32]| {
        voxels.iter().fold(0.0_f32, |most, v| if v.abs() > most.abs() || v.is_nan() { *v } else { most })
    };
    let all: Vec<f32> = volumes.par_iter().map(largest).collect();
    for (index, value) in all.into_iter().enumerate() {
        if !value.is_finite() {
            return Err(ArrayError::NotFinite(index));
        }
        if f64::from(value.abs()) > f64::from(MOST_RANGES) * data_range {
            return Err(ArrayError::BeyondRange { index, value, data_range });
        }
    }
    Ok(())
}

/// A range in pieces of at most `most`.
fn ranges(all: Range<usize>, most: usize) -> Vec<Range<usize>> {
    all.clone().step_by(most).map(|first| first..(first + most).min(all.end)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [8, 9, 10];

    fn volumes(count: usize) -> Vec<Vec<f32>> {
        let voxel = |i: usize, volume: usize| ((i * 7 + volume * 13) % 97 + i % (volume + 2)) as f32 / 120.0;
        (0..count).map(|volume| (0..720).map(|i| voxel(i, volume)).collect()).collect()
    }

    fn pairs<'a>(volumes: &'a [Vec<f32>], metrics: &[Metric]) -> Result<ArrayPairs<'a>, ArrayError> {
        let shaped: Vec<_> = volumes.iter().map(|voxels| (SHAPE, voxels.as_slice())).collect();
        ArrayPairs::new(&shaped, metrics, SsimWindow::Uniform, 1.0)
    }

    fn all(pairs: &ArrayPairs<'_>, memory: u64) -> Vec<(usize, usize, Similarity)> {
        let mut all = Vec::new();
        let visit = |some: &[(usize, usize, Similarity)]| {
            all.extend_from_slice(some);
            ControlFlow::Continue(())
        };
        pairs.for_each_tile(memory, visit).unwrap();
        all.sort_by_key(|(a, b, _)| (*a, *b));
        all
    }

    #[test]
    fn every_pair_comes_once_with_the_values_of_the_kernel_whatever_memory_there_is() {
        let volumes = volumes(40);
        let pairs = pairs(&volumes, &Metric::USUAL).unwrap();
        let bytes = Chunked::bytes(&pairs.kernel, false);
        let whole = all(&pairs, u64::MAX);
        assert_eq!(whole.len(), 40 * 39 / 2);
        for (a, b, similarity) in &whole {
            assert_eq!(*similarity, pairs.kernel.compare(&volumes[*a], &volumes[*b]), "{a} {b}");
        }
        for blocks in [2, 13, 39] {
            assert_eq!(all(&pairs, blocks * bytes), whole, "{blocks}");
        }
        let refused = pairs.for_each_tile(bytes, |_| ControlFlow::Continue(()));
        assert!(matches!(refused, Err(ArrayError::Memory(_))));
    }

    #[test]
    fn a_visit_that_breaks_is_the_last() {
        let volumes = volumes(40);
        let (mut visits, pairs) = (0, pairs(&volumes, &[Metric::Mse]).unwrap());
        let visit = |some: &[(usize, usize, Similarity)]| {
            assert!(some.iter().all(|(_, _, similarity)| similarity.ssim.is_nan() && similarity.mse > 0.0));
            visits += 1;
            ControlFlow::Break(())
        };
        pairs.for_each_tile(u64::MAX, visit).unwrap();
        assert_eq!(visits, 1);
    }

    #[test]
    fn arrays_that_cannot_be_compared_are_refused_with_the_cause() {
        let refused = |voxels: f32, shape: [usize; 3], metric: Metric, range: f64| {
            let (one, other) = (vec![0.5; 720], vec![voxels; shape.iter().product()]);
            let volumes = [(SHAPE, one.as_slice()), (shape, other.as_slice())];
            ArrayPairs::new(&volumes, &[metric], SsimWindow::Uniform, range).unwrap_err().to_string()
        };
        let cases = [
            (refused(0.5, [8, 9, 11], Metric::Ssim, 1.0), "[8, 9, 10] and [8, 9, 11]"),
            (refused(f32::NAN, SHAPE, Metric::Ssim, 1.0), "volume 1 holds values that are not finite"),
            (refused(f32::NEG_INFINITY, SHAPE, Metric::Mse, 1.0), "not finite"),
            (refused(-1024.0, SHAPE, Metric::Ssim, 1.0), "volume 1 holds -1024, more than 1000 times"),
            (refused(0.5, SHAPE, Metric::LabelDice, 1.0), "found label_dice"),
            (refused(0.5, SHAPE, Metric::BodySsim, 1.0), "found body_ssim"),
            (refused(0.5, SHAPE, Metric::Ssim, 0.0), "found 0"),
            (refused(0.5, SHAPE, Metric::Ssim, f64::NAN), "found NaN"),
        ];
        for (message, expected) in cases {
            assert!(message.contains(expected), "{message}");
        }
        let small = ArrayPairs::new(&[([8, 6, 10], &[0.0; 480])], &[], SsimWindow::Uniform, 1.0);
        assert!(
            small.unwrap_err().to_string().contains("at least 7 voxels along each axis, found [8, 6, 10]")
        );
    }
}
