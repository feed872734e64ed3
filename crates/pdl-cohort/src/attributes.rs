//! Attributes of a case: modality, split, status.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names of channels by which an nnU-Net dataset states a normalisation of intensities that is not
/// followed.
pub const OTHER_NORMALISATIONS: [&str; 3] = ["noNorm", "rescale_to_0_1", "rgb_to_0_1"];

/// How the images were made.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
pub enum Modality {
    /// Computed tomography, in Hounsfield units.
    #[value(name = "CT", alias = "ct")]
    CT,
    /// Magnetic resonance, in arbitrary units.
    #[value(name = "MR", alias = "mr")]
    MR,
    /// Positron emission tomography.
    #[value(name = "PT", alias = "pt")]
    PT,
    /// Anything else.
    #[value(name = "OT", alias = "ot")]
    OT,
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Modality {
    type Err = String;

    /// The names that datasets use: "CT", "MRI", "T1", "FLAIR", "PET" and so on; all others are OT.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const MR_NAMES: [&str; 6] = ["MR", "T1", "T2", "FLAIR", "PD", "ADC"];
        let text = text.trim().to_ascii_uppercase();
        Ok(match text.as_str() {
            "" => return Err("an empty modality".to_owned()),
            "CT" | "CBCT" | "CTRES" => Modality::CT, // CTres of autoPET lies on the grid of the PET
            "PT" | "PET" | "SUV" => Modality::PT,
            _ if MR_NAMES.iter().any(|name| text.starts_with(name)) => Modality::MR,
            _ => Modality::OT,
        })
    }
}

/// The unit of a cohort's PET values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PetUnits {
    /// SUV by body weight, g/ml.
    Suv,
    /// Activity concentration, Bq/ml.
    Bqml,
    /// The unit of each file.
    Stored,
}

/// The split of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Learnt from, and the only cases that any statistic of the cohort sees.
    Train,
    /// Held out for tuning, targets and curves.
    Val,
    /// Held out for final figures.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Test => "test",
        })
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.trim().to_ascii_lowercase().as_str() {
            "train" | "training" => Split::Train,
            "val" | "valid" | "validation" => Split::Val,
            "test" | "testing" => Split::Test,
            other => return Err(format!("expected train, val or test, found '{other}'")),
        })
    }
}

/// Whether a case is used; ordered from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// No warnings.
    Ok,
    /// Used, with findings that a person should see.
    Warning,
    /// An image without a label: it is prepared and compared, and no network is trained on it.
    Unlabelled,
    /// Not used by any later stage; the findings say why.
    Rejected,
}
