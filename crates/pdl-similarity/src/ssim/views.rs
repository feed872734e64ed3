//! What the passes over a pair read and what they give.

use std::ops::Range;

use crate::label_overlap::LabelSets;
use crate::ssim::memory_layout::ChunkedView;

/// How alike two volumes are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// Mean of squared differences.
    pub mse: f64,
    /// 10 log10(R^2 / MSE) in dB, infinite for identical volumes.
    pub psnr: f64,
    /// Structural similarity (Wang et al. 2004); NaN where no window was looked at.
    pub ssim: f64,
    /// Universal quality index (Wang and Bovik 2002); NaN where no window was looked at.
    pub uqi: f64,
}

/// A volume with what the pair kernel needs to know of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct VolumeView<'a> {
    /// A C array (z, y, x) of the kernel's shape.
    pub voxels: &'a [f32],
    /// The same as the pair kernel reads it, with its local statistics; empty when windows are not asked for.
    pub chunked: ChunkedView<'a>,
    /// 1 inside the body and 0 outside it, in the order of the voxels; empty unless only bodies are compared.
    pub body: &'a [f32],
    /// Its labels, when they are asked for.
    pub labels: Option<&'a LabelSets>,
}

/// Sums over the voxels and the windows of one pair.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    /// Of squared differences.
    pub squares: f64,
    /// Voxels that were looked at.
    pub voxels: f64,
    /// Of local SSIM.
    pub ssim: f64,
    /// Of local UQI.
    pub uqi: f64,
    /// Windows that were looked at.
    pub windows: f64,
}

/// Volumes b that fill the lanes, and the volumes a that are compared with one of them at least.
pub(crate) struct LaneGroup {
    pub b: Range<usize>,
    pub a: Vec<usize>,
}
