//! Inputs and results of the passes over a pair.

use std::ops::Range;

use crate::label_overlap::LabelSets;
use crate::ssim::memory_layout::ChunkedView;

/// The metrics of a pair of volumes over all voxels, or inside both bodies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// Mean squared difference.
    pub mse: f64,
    /// 10 log10(R^2 / MSE) in dB, infinite for identical volumes.
    pub psnr: f64,
    /// Structural similarity (Wang et al. 2004); NaN without windows.
    pub ssim: f64,
    /// Universal quality index (Wang and Bovik 2002); NaN without windows.
    pub uqi: f64,
}

/// A volume, prepared for the passes that run.
#[derive(Clone, Copy, Debug, Default)]
pub struct VolumeView<'a> {
    /// A C array (z, y, x) of the kernel's shape.
    pub voxels: &'a [f32],
    /// Voxels and local statistics in the order in which they are read; empty when no pass has
    /// windows.
    pub chunked: ChunkedView<'a>,
    /// 1 inside the body and 0 outside it, in the order of the voxels; empty unless bodies are
    /// compared.
    pub body: &'a [f32],
    /// Label sets; `None` unless a metric requires them.
    pub labels: Option<&'a LabelSets>,
}

/// Sums over the voxels and the windows of one pair.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    /// Sum of squared differences.
    pub squares: f64,
    /// Number of voxels that count.
    pub voxels: f64,
    /// Sum of local SSIM.
    pub ssim: f64,
    /// Sum of local UQI.
    pub uqi: f64,
    /// Number of windows that count.
    pub windows: f64,
}

/// Volumes b that share the lanes of a vector, and the volumes a that are compared with at least
/// one of them.
pub(crate) struct LaneGroup {
    pub b: Range<usize>,
    pub a: Vec<usize>,
}
