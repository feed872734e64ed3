//! What a user can choose about the index stage.

use std::path::PathBuf;

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
    /// Structures of a DICOM cohort, in order, as PATTERN=NAME (* and ? stand for anything; several patterns may give
    /// one name): the first name becomes label 1, a later one wins where two overlap, all others are left out. When
    /// not given, every structure is a label, by name.
    #[arg(long, value_name = "PATTERN=NAME", value_delimiter = ',')]
    pub structures: Vec<String>,
    /// Apply RescaleSlope and RescaleIntercept of DICOM to MR, too.
    #[arg(long)]
    pub mr_rescale: bool,
    /// Name cases and patients of a DICOM cohort by their PatientID instead of by pseudonyms.
    #[arg(long)]
    pub keep_ids: bool,
    /// The secret key of the pseudonyms, made on first use; pdl/pseudonym.key in your configuration folder when not
    /// given. Who has it can tell whose a pseudonym is.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pseudonym_key: Option<PathBuf>,
}

impl Default for IndexParameters {
    fn default() -> Self {
        Self {
            modality: None,
            orientation: None,
            val_share: 0.15,
            test_share: 0.15,
            split_seed: 0,
            structures: Vec::new(),
            mr_rescale: false,
            keep_ids: false,
            pseudonym_key: None,
        }
    }
}
