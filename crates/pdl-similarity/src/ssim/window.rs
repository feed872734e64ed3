//! The windows over which local means, variances and covariances are computed.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A separable window of SSIM and UQI (Wang et al. 2004), as in scikit-image 0.26.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Window")]
pub enum SsimWindow {
    /// Box of 7 voxels per axis, sample covariance N / (N - 1).
    Uniform,
    /// Gaussian with sigma 1.5, truncated at 3.5 sigma (11 voxels per axis), population covariance.
    Gaussian,
}

impl fmt::Display for SsimWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SsimWindow::Uniform => "uniform",
            SsimWindow::Gaussian => "gaussian",
        })
    }
}

impl SsimWindow {
    /// Weights along one axis; their sum is 1.
    pub fn weights(self) -> Vec<f64> {
        match self {
            SsimWindow::Uniform => vec![1.0 / 7.0; 7],
            SsimWindow::Gaussian => {
                let sigma = 1.5_f64;
                let radius = (3.5 * sigma + 0.5) as i32;
                let bell = |x: i32| (-0.5 * (f64::from(x) / sigma).powi(2)).exp();
                let sum: f64 = (-radius..=radius).map(bell).sum();
                (-radius..=radius).map(|x| bell(x) / sum).collect()
            }
        }
    }

    /// Length along each axis, in voxels.
    pub fn side(self) -> usize {
        match self {
            SsimWindow::Uniform => 7,
            SsimWindow::Gaussian => 11,
        }
    }

    /// Factor of the population (co)variance for a window of `voxels` voxels.
    pub fn covariance_factor(self, voxels: usize) -> f64 {
        match self {
            SsimWindow::Uniform => voxels as f64 / (voxels as f64 - 1.0),
            SsimWindow::Gaussian => 1.0,
        }
    }
}
