//! Which of the training cases a run uses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which of the training cases a run learns from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Subset {
    /// All of them.
    #[default]
    All,
    /// The manifest's coarse sample.
    Tuning,
}
