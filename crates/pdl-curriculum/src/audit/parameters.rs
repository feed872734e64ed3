//! Parameters of the audit.

use clap::Parser;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Thresholds of the audit, and whether it searches for transformed duplicates and wrong labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct AuditParameters {
    /// Minimum SSIM at which cases of two patients count as duplicates. In cohorts of very similar
    /// images the pair must also be four times as close to 1 as most nearest neighbours are. The
    /// value applies to proxies of 64 voxels a side; smaller ones, and planes, must be closer to 1:
    /// at 32 voxels a side four times as close.
    #[arg(long, default_value_t = 0.95, value_name = "SSIM")]
    pub duplicate_ssim: f64,
    /// Minimum margin in SSIM by which two cases must be more similar to each other than to any
    /// other case to count as images of one person. Finds noisy duplicates, and up to six images of
    /// one person, in cohorts of 20 patients and more.
    #[arg(long, default_value_t = 0.07, value_name = "SSIM")]
    pub stand_out: f64,
    /// Number of cases below which a split is small, and a label or value rare in it.
    #[arg(long, default_value_t = 5, value_name = "CASES", help_heading = "Small splits")]
    pub smallest_group: usize,
    /// Also search for flipped and shifted duplicates: every case is aligned to its eight nearest
    /// neighbours, with flips along any axes and shifts of up to an eighth of a side, and compared
    /// by --duplicate-ssim.
    #[arg(long)]
    pub invariant: bool,
    /// When to align every case rigidly to similar cases, and to link cases whose aligned images
    /// match closely enough to show one person. Applies to cohorts of 20 patients and more.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub align: AlignWhen,
    /// Also compare every label with the vote of similar cases, and list those that differ most.
    /// An earlier comparison is kept if nothing has changed.
    #[arg(long)]
    pub labels: bool,
}

/// When cases are aligned to find images of one person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum AlignWhen {
    /// If the cohort states no patients. Two images alone are linked only if most cases of the
    /// cohort have a second one.
    #[default]
    Auto,
    /// In every cohort. Two images alone are linked, too; they can be of two persons who resemble
    /// each other closely.
    Always,
    /// In no cohort.
    Never,
}

impl Default for AuditParameters {
    /// The defaults of the flags.
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct NoFlags {
            #[command(flatten)]
            parameters: AuditParameters,
        }
        NoFlags::parse_from(["pdl"]).parameters
    }
}
