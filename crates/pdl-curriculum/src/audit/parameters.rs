//! What a user can choose about the audit.

use clap::Parser;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parameters of the audit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct AuditParameters {
    /// SSIM from which on cases of two patients count as the same image, unless the cohort's images are so alike
    /// that this says little: they must also be four times as close to 1 as most closest pairs are.
    #[arg(long, default_value_t = 0.95, value_name = "SSIM")]
    pub duplicate_ssim: f64,
    /// SSIM by which a pair of two patients must exceed what either has with any other patient to count as the
    /// same patient: noisy copies, or two images of one person. In cohorts of 20 patients and more. Of 180 hippocampi and the sample cohorts no two
    /// patients exceed by more than 0.065.
    #[arg(long, default_value_t = 0.07, value_name = "SSIM")]
    pub stand_out: f64,
    /// Cases below which a label is called rare in a split, and a split small.
    #[arg(long, default_value_t = 5, value_name = "CASES")]
    pub smallest_group: usize,
    /// Look also for images that are copies of others but for flips along any axes and a shift of up to an eighth of
    /// a side: every case is laid over the eight that are most like it, and judged by the same thresholds.
    #[arg(long)]
    pub invariant: bool,
}

impl Default for AuditParameters {
    /// What a command line without any flag gives.
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct NoFlags {
            #[command(flatten)]
            parameters: AuditParameters,
        }
        NoFlags::parse_from(["pdl"]).parameters
    }
}
