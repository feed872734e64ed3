//! The manifest: `manifest.parquet`, the same rows as `manifest.jsonl`, and `manifest.json`.

pub mod diff;
pub mod validate;

use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, Schema};
use pdl_cohort::attributes::{Modality, Split};
use pdl_cohort::cases::Finding;
use pdl_cohort::folds::Fold;
use pdl_cohort::parameters::IndexParameters;
use pdl_prepare::fingerprint::Fingerprint;
use pdl_prepare::plan::Plan;
use pdl_similarity::parameters::CompareParameters;
use pdl_store::table::{self, column, list, nullable};
use pdl_store::{StoreError, json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CurriculumError;
use crate::pacing::CurriculumStage;
use crate::parameters::RankParameters;

/// The version of the manifest's form that is written; all up to it are read.
pub const SCHEMA_VERSION: u32 = 2;

/// The rows, as a table.
pub const TABLE_FILE: &str = "manifest.parquet";
/// The rows, one JSON object a line.
pub const LINES_FILE: &str = "manifest.jsonl";
/// What holds for all rows.
pub const INFO_FILE: &str = "manifest.json";
/// The folder of the folds' manifests inside a curation folder.
pub const FOLDS_FOLDER: &str = "folds";
/// From the folder of a fold's manifest to the curation folder.
pub(crate) const UP_FROM_FOLD: &str = "../..";

/// One case. Paths are relative to the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestRow {
    /// Which case.
    pub case_id: String,
    /// Whose image it is.
    pub patient_id: String,
    /// How it was made.
    pub modality: Modality,
    /// What it is for.
    pub split: Split,
    /// Place in the curriculum, 1 first; training cases only, and of them those that were not left out.
    pub rank: Option<u32>,
    /// How typical it is among the training cases, by the parameters in manifest.json: larger is more typical.
    pub score: Option<f64>,
    /// The stage (from 0) at which it joins the training; cases with a rank only.
    pub stage: Option<u32>,
    /// Whether it belongs to the coarse sample on which hyperparameters are tuned.
    pub tune: bool,
    /// The labels that somebody looked for in this case.
    pub labels_annotated: Vec<u16>,
    /// The prepared image.
    pub image: String,
    /// The prepared label map.
    pub label: String,
    /// BLAKE3 of the prepared image's file.
    pub image_blake3: String,
    /// BLAKE3 of the prepared label's file.
    pub label_blake3: String,
    /// The community or stratum that the order keeps in proportion; with such an order only.
    pub group: Option<String>,
    /// Why a training case was left out of the curriculum, and so has no rank.
    pub left_out: Option<String>,
}

/// The table's columns.
pub fn schema() -> Schema {
    use DataType::{Boolean, Float64, UInt16, UInt32, Utf8};
    Schema::new(vec![
        column("case_id", Utf8),
        column("patient_id", Utf8),
        column("modality", Utf8),
        column("split", Utf8),
        nullable("rank", UInt32),
        nullable("score", Float64),
        nullable("stage", UInt32),
        column("tune", Boolean),
        column("labels_annotated", list(UInt16)),
        column("image", Utf8),
        column("label", Utf8),
        column("image_blake3", Utf8),
        column("label_blake3", Utf8),
        nullable("group", Utf8),
        nullable("left_out", Utf8),
    ])
}

/// A label of the cohort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Label {
    /// Its value in the label maps.
    pub value: u16,
    /// Its name; "label N" where the cohort gives none.
    pub name: String,
}

/// What the manifest was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hashes {
    /// BLAKE3 of `cases.parquet`.
    pub cases: String,
    /// BLAKE3 of `plan.json`.
    pub plan: String,
    /// Hash of the inputs and parameters of all pairs.
    pub pairs: String,
    /// BLAKE3 of `manifest.parquet`.
    pub manifest: String,
}

/// A training case that lies far from its nearest neighbours; for review, it is not left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outlier {
    /// Which case.
    pub case_id: String,
    /// The likeness of identical cases (SSIM 1, UQI 1, MSE 0, PSNR 100 dB) less its mean likeness to its nearest
    /// neighbours.
    pub distance: f64,
}

/// The communities by which cases were ordered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Communities {
    /// How many there are.
    pub count: usize,
    /// The likeness from which on a pair is an edge.
    pub threshold: f32,
    /// How well they divide the graph (Newman and Girvan 2004).
    pub modularity: f64,
}

/// What the ranking found on its way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Ranking {
    /// Training cases with a rank.
    pub ranked: usize,
    /// Training cases left out as duplicates of another.
    pub duplicates: usize,
    /// Training cases left out because enough were kept.
    pub beyond_keep: usize,
    /// Cases of the coarse sample for tuning.
    pub tune: usize,
    /// The medoid, where the score is the likeness to it.
    pub medoid: Option<String>,
    /// The communities, where the order follows them.
    pub communities: Option<Communities>,
    /// The distance from which on a case is an outlier.
    pub outlier_limit: Option<f64>,
    /// Cases that lie apart, the furthest first; for review.
    pub outliers: Vec<Outlier>,
    /// What a user should know about the choices made.
    pub findings: Vec<Finding>,
}

/// What holds for all rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestInfo {
    /// Version of the manifest's form: 1, or 2 since cases may be left out.
    pub schema_version: u32,
    /// How the images were made.
    pub modality: Modality,
    /// The labels, background (0) left out, by value.
    pub labels: Vec<Label>,
    /// How the cohort was split; the seed included.
    pub index: IndexParameters,
    /// How the ranking was made.
    pub parameters: RankParameters,
    /// What the ranking found on its way; empty in version 1.
    #[serde(default)]
    pub ranking: Ranking,
    /// How the pairs were compared.
    pub compare: CompareParameters,
    /// The stages of the curriculum.
    pub stages: Vec<CurriculumStage>,
    /// What every case went through.
    pub plan: Plan,
    /// What the training cases are like now; the plan holds what they were like when it was made.
    pub fingerprint: Fingerprint,
    /// Which fold it is, where it is one: its validation cases are the fold's, all others outside the test split are
    /// training cases. Such a manifest lies in `folds/K/` of the curation folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
    /// What the manifest was made from.
    pub hashes: Hashes,
}

impl ManifestInfo {
    /// The curation folder of the manifest that lies in `folder`.
    pub fn curation_folder(&self, folder: &Path) -> PathBuf {
        if self.fold.is_some() { folder.join(UP_FROM_FOLD) } else { folder.to_owned() }
    }
}

/// The folder of a fold's manifest inside a curation folder; the curation folder itself without a fold.
pub fn folder(out: &Path, fold: Option<Fold>) -> PathBuf {
    fold.map_or_else(|| out.to_owned(), |Fold { fold, .. }| out.join(FOLDS_FOLDER).join(fold.to_string()))
}

/// A manifest that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Cases by rank, then training cases left out, validation and test cases by id.
    pub rows: Vec<ManifestRow>,
    /// What holds for all.
    pub info: ManifestInfo,
}

impl Manifest {
    /// Reads the manifest of a curation folder and checks that its two files belong together and that its
    /// stages can be followed.
    ///
    /// # Errors
    /// [`CurriculumError`] when there is none or it contradicts itself.
    pub fn open(out: &Path) -> Result<Self, CurriculumError> {
        let path = out.join(TABLE_FILE);
        if !path.exists() {
            return Err(CurriculumError::NoManifest { out: out.to_owned() });
        }
        let info: ManifestInfo = json::read(&out.join(INFO_FILE))?;
        if info.schema_version > SCHEMA_VERSION {
            return Err(CurriculumError::BadManifest {
                path: out.join(INFO_FILE),
                problem: format!(
                    "it is of version {}; this pdl reads up to {SCHEMA_VERSION}",
                    info.schema_version
                ),
            });
        }
        let bad =
            |problem: &str| CurriculumError::BadManifest { path: path.clone(), problem: problem.to_owned() };
        if pdl_store::hash::of_file(&path)? != info.hashes.manifest {
            return Err(bad("its rows are not those that manifest.json describes"));
        }
        let (rows, _) = table::read_rows::<ManifestRow>(&path)?;
        let grows = |w: &[CurriculumStage]| {
            w[0].active_cases < w[1].active_cases && w[0].first_epoch < w[1].first_epoch
        };
        if !info.stages.windows(2).all(grows) {
            return Err(bad("its stages shrink"));
        }
        let training = rows.iter().filter(|row| row.rank.is_some()).count();
        if rows.iter().any(|row| row.rank.is_some() && row.split != Split::Train) {
            return Err(bad("it ranks held-out cases"));
        }
        if info.stages.last().is_none_or(|stage| stage.active_cases as usize != training) {
            return Err(bad("its stages do not reach all training cases"));
        }
        Ok(Self { rows, info })
    }

    /// The cases of the curriculum by rank: the training cases that were not left out.
    pub fn training(&self) -> Vec<&ManifestRow> {
        let mut rows: Vec<&ManifestRow> = self.rows.iter().filter(|row| row.rank.is_some()).collect();
        rows.sort_by_key(|row| row.rank);
        rows
    }
}

/// Writes the three files; `manifest.json` comes last, with the hash of the rows. Says whether anything changed.
pub(crate) fn write(out: &Path, rows: &[ManifestRow], mut info: ManifestInfo) -> Result<bool, StoreError> {
    let table = out.join(TABLE_FILE);
    let mut changed = table::write_rows(&table, &schema(), rows, Vec::new())?;
    changed |= json::write_lines(&out.join(LINES_FILE), rows)?;
    info.hashes.manifest = pdl_store::hash::of_file(&table)?;
    changed |= json::write(&out.join(INFO_FILE), &info)?;
    Ok(changed)
}
