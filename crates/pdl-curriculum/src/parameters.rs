//! What a user can choose about the rank stage.

use pdl_cohort::attributes::Modality;
use pdl_similarity::pairs::Metric;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pace::Share;

/// Parameters of the rank stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct RankParameters {
    /// The column by which cases are compared. PSNR repeats MSE: it orders pairs exactly alike.
    #[arg(long, value_enum, default_value_t = Metric::Ssim)]
    pub metric: Metric,
    /// Training cases that begin: a number, or a share such as 20%.
    #[arg(long, default_value = "20%", value_name = "CASES|SHARE")]
    pub start: Share,
    /// Training cases that join at each further stage: a number, or a share such as 20%.
    #[arg(long, default_value = "20%", value_name = "CASES|SHARE")]
    pub add: Share,
    /// Epochs between stages; 10 for CT and 20 for the others when not given, as published.
    #[arg(long, value_name = "EPOCHS")]
    pub every: Option<u32>,
    /// The most similar training cases from which the coarse sample for tuning is taken: a number, or a share.
    #[arg(long, default_value = "40%", value_name = "CASES|SHARE")]
    pub tune_from: Share,
    /// Every how many of them belong to the coarse sample.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub tune_step: u32,
}

impl Default for RankParameters {
    fn default() -> Self {
        Self {
            metric: Metric::Ssim,
            start: Share::Percent(20.0),
            add: Share::Percent(20.0),
            every: None,
            tune_from: Share::Percent(40.0),
            tune_step: 2,
        }
    }
}

impl RankParameters {
    /// Epochs between stages, as published: 10 for CT, 20 for MR (and for what the publication does not cover).
    pub fn every(&self, modality: Modality) -> u32 {
        self.every.unwrap_or(if modality == Modality::CT { 10 } else { 20 })
    }
}
