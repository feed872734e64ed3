//! Parameters of the compare stage.

use clap::Parser;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SimilarityError;
use crate::isa::Isa;
use crate::metrics::Metric;
use crate::ssim::window::SsimWindow;

/// Which metrics are computed, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct CompareParameters {
    /// Metrics to compute, one column each, in this order.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Metric::USUAL, value_name = "METRICS")]
    pub metrics: Vec<Metric>,
    /// Window of SSIM and UQI: a box of 7 voxels, or a Gaussian with sigma 1.5 (11 voxels).
    #[arg(long, value_enum, default_value_t = SsimWindow::Uniform)]
    pub window: SsimWindow,
    /// Use every N-th window of SSIM and UQI along each axis: faster, approximate.
    #[arg(long, default_value_t = 1, value_name = "VOXELS")]
    pub stride: usize,
    /// Cases along each side of a tile, the unit of work and of a part file.
    #[arg(long, default_value_t = 128, value_name = "CASES")]
    pub tile: usize,
    /// SIMD instruction set; all of them give the same values.
    #[arg(long, value_enum, default_value_t = Isa::Auto)]
    pub isa: Isa,
}

impl Default for CompareParameters {
    /// The defaults of the flags.
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
    /// Whether a metric requires label maps in the proxies.
    pub fn needs_labels(&self) -> bool {
        self.metrics.iter().any(|metric| metric.measure().required_passes().labels)
    }

    /// Checks the values and replaces [`Isa::Auto`] with the instruction set that runs.
    ///
    /// # Errors
    /// [`SimilarityError::InvalidOption`] for an invalid value.
    pub fn resolve(&self) -> Result<Self, SimilarityError> {
        let invalid =
            |name, problem: &str| Err(SimilarityError::InvalidOption { name, problem: problem.to_owned() });
        if self.tile == 0 {
            return invalid("tile", "expected a positive integer, found 0");
        }
        if self.stride == 0 {
            return invalid("stride", "expected a positive integer, found 0");
        }
        if self.metrics.is_empty() {
            return invalid("metrics", "expected at least one metric, found none");
        }
        let repeated = |i: &usize| self.metrics[..*i].contains(&self.metrics[*i]);
        if let Some(i) = (1..self.metrics.len()).find(repeated) {
            let name = self.metrics[i].column();
            return invalid("metrics", &format!("{name} is named more than once"));
        }
        Ok(Self { isa: self.isa.resolve()?, ..self.clone() })
    }
}
