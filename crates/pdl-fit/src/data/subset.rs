//! Subsets of the training set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Subset of the training cases that a run is trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Subset {
    /// All training cases.
    #[default]
    All,
    /// The coarse subset that the manifest marks for tuning.
    Tuning,
}
