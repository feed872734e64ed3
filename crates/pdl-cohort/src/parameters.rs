//! What a user can choose about the index stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attributes::Modality;

/// Parameters of the index stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct IndexParameters {
    /// Modality of the cohort, where its table does not say; chooses one of a mixed cohort.
    #[arg(long, value_enum)]
    pub modality: Option<Modality>,
    /// Directions in which the stored axes grow, such as LPS, for files whose own affine is wrong.
    #[arg(long, value_name = "CODE")]
    pub orientation: Option<String>,
    /// Share of the patients in the validation split.
    #[arg(long, default_value_t = 0.15, value_name = "SHARE")]
    pub val_share: f64,
    /// Share of the patients in the test split.
    #[arg(long, default_value_t = 0.15, value_name = "SHARE")]
    pub test_share: f64,
    /// Seed of the split.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub split_seed: u64,
}

impl Default for IndexParameters {
    fn default() -> Self {
        Self { modality: None, orientation: None, val_share: 0.15, test_share: 0.15, split_seed: 0 }
    }
}
