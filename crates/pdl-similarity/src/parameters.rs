//! What a user can choose about the compare stage.

use clap::Parser;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SimilarityError;
use crate::isa::Isa;
use crate::metrics::Metric;
use crate::ssim::window::SsimWindow;

/// Parameters of the compare stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct CompareParameters {
    /// Columns of the result, in this order.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Metric::USUAL, value_name = "METRICS")]
    pub metrics: Vec<Metric>,
    /// SsimWindow of SSIM and UQI: a box of side 7, or a Gaussian of sigma 1.5.
    #[arg(long, value_enum, default_value_t = SsimWindow::Uniform)]
    pub window: SsimWindow,
    /// SSIM and UQI from the windows on every STRIDE-th voxel along each axis only: a faster approximation. With 2,
    /// SSIM was off by 0.002 on average and 0.009 at most over all pairs of two cohorts of real CT and MR.
    #[arg(long, default_value_t = 1, value_name = "VOXELS")]
    pub stride: usize,
    /// Cases along each side of a tile, the unit of work and of a part file.
    #[arg(long, default_value_t = 128, value_name = "CASES")]
    pub tile: usize,
    /// Instructions to use; all of them give the same values.
    #[arg(long, value_enum, default_value_t = Isa::Auto)]
    pub isa: Isa,
}

impl Default for CompareParameters {
    /// What a command line without any flag gives.
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct NoFlags {
            #[command(flatten)]
            parameters: CompareParameters,
        }
        NoFlags::parse_from(["pdl"]).parameters
    }
}

impl CompareParameters {
    /// Whether a metric compares label maps, so that the proxies must hold them.
    pub fn needs_labels(&self) -> bool {
        self.metrics.iter().any(|metric| metric.measure().required_passes().labels)
    }

    /// The same with an instruction set in place of [`Isa::Auto`].
    ///
    /// # Errors
    /// [`SimilarityError::Option`] for values that cannot be.
    pub fn resolve(&self) -> Result<Self, SimilarityError> {
        let refused = |text: &str| Err(SimilarityError::Option(text.to_owned()));
        if self.tile == 0 {
            return refused("--tile takes a number above 0");
        }
        if self.stride == 0 {
            return refused("--stride takes a number above 0");
        }
        if self.metrics.is_empty() {
            return refused("--metrics takes one metric at least");
        }
        if (1..self.metrics.len()).any(|i| self.metrics[..i].contains(&self.metrics[i])) {
            return refused("--metrics names a metric twice");
        }
        Ok(Self { isa: self.isa.resolve()?, ..self.clone() })
    }
}
