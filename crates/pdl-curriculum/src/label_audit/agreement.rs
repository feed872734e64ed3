//! How labels agree with the vote, as files tell it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a label is not what similar cases lead one to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LabelReason {
    /// The label lies where another label is expected, or its mirror image agrees better.
    Side,
    /// The label lies elsewhere or has another shape.
    Place,
    /// The label is larger or smaller.
    Size,
    /// The label is absent.
    Missing,
    /// The label is present, and no similar case has it.
    Extra,
}

impl LabelReason {
    /// The word in files: "side", "place", "size", "missing" or "extra".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Side => "side",
            Self::Place => "place",
            Self::Size => "size",
            Self::Missing => "missing",
            Self::Extra => "extra",
        }
    }
}

/// Decision of a reviewer about a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LabelDecision {
    /// The label is right, and is not flagged.
    Right,
    /// The label is wrong; it stays flagged and has no vote on other cases.
    Wrong,
}

impl LabelDecision {
    /// The answer in the column `right`: "yes" or "no".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Right => "yes",
            Self::Wrong => "no",
        }
    }
}

/// How one label of a case agrees with the vote of similar cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LabelAgreement {
    /// The case whose label was compared.
    pub case_id: String,
    /// The label's value.
    pub label: u16,
    /// Name, where the cohort gives one.
    pub name: Option<String>,
    /// Distance from the usual agreement of this label, in robust standard deviations of several
    /// figures together; null where too few cases have the label.
    pub score: Option<f64>,
    /// The largest contribution to the score.
    pub reason: Option<LabelReason>,
    /// Dice of the label and the vote on the region's grid, 0 to 1.
    pub dice: f64,
    /// Volume of the label, ml.
    pub volume_ml: f64,
    /// Volume of the vote, ml.
    pub expected_ml: f64,
    /// Centroid of the label less that of the vote, mm along x, y, z of the RAS+ image.
    pub shift_mm: [f64; 3],
    /// Fraction of the voters that have the label.
    pub voters_with: f64,
    /// Whether it should be looked at.
    pub flagged: bool,
    /// Decision of the reviewer.
    pub decision: Option<LabelDecision>,
}

/// Result of the audit of the labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LabelAudit {
    /// Hash of everything that it was made from.
    pub key: String,
    /// Labelled cases that were compared.
    pub cases: usize,
    /// Score from which on labels are flagged; null where there are too few cases.
    pub threshold: Option<f64>,
    /// Flagged labels.
    pub flagged: usize,
    /// Every label of every case, worst first.
    pub labels: Vec<LabelAgreement>,
}

impl LabelAudit {
    /// Flagged labels, worst first.
    pub fn worst(&self) -> impl Iterator<Item = &LabelAgreement> {
        self.labels.iter().filter(|own| own.flagged)
    }
}
