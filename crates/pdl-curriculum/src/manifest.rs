//! The manifest: `manifest.parquet`, the same rows as `manifest.jsonl`, and `manifest.json`.

pub mod diff;
pub mod validate;

use pdl_findings::Finding;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, Schema};
use pdl_cohort::attributes::{Modality, Split};
use pdl_cohort::labels::regions::LabelRegion;
use pdl_cohort::parameters::IndexParameters;
use pdl_cohort::split::folds::{Fold, HeldOutGroups};
use pdl_prepare::fingerprint::Fingerprint;
use pdl_prepare::plan::Plan;
use pdl_similarity::parameters::CompareParameters;
use pdl_store::safe_path::{self, SafePath};
use pdl_store::table::{self, column, list, nullable};
use pdl_store::{StoreError, fault, json, regular_file, safe_name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CurriculumError;
use crate::pacing::CurriculumStage;
use crate::parameters::RankParameters;

/// Version of the manifests that are written; this version and all before it are read.
pub const SCHEMA_VERSION: u32 = 3;

/// File name of the rows as a table.
pub const TABLE_FILE: &str = "manifest.parquet";
/// File name of the rows as JSON Lines.
pub const LINES_FILE: &str = "manifest.jsonl";
/// File name of the facts about the whole manifest.
pub const INFO_FILE: &str = "manifest.json";
/// Folder of the folds' manifests inside a curation folder.
pub const FOLDS_FOLDER: &str = "folds";
/// Folder of the manifests of experiments, such as comparisons, inside a curation folder.
pub const EXPERIMENTS_FOLDER: &str = "comparison";
/// From the folder of a fold's or an experiment's manifest to the curation folder.
pub(crate) const UP_FROM_FOLD: &str = "../..";

/// One case. Paths are relative to the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestRow {
    /// Unique id, made of letters, digits, `-` and `_`.
    #[serde(deserialize_with = "safe_name::deserialize")]
    pub case_id: String,
    /// Id of the patient; all cases of a patient are in one split.
    pub patient_id: String,
    /// Imaging modality.
    pub modality: Modality,
    /// Training, validation or test.
    pub split: Split,
    /// Rank in the curriculum, 1 first; training cases only, unless they are excluded.
    pub rank: Option<u32>,
    /// Score of the ranking; larger is more typical of the training cases.
    pub score: Option<f64>,
    /// Stage (from 0) at which the case joins; ranked cases only.
    pub stage: Option<u32>,
    /// Whether the case belongs to the tuning subset.
    pub tune: bool,
    /// Labels that were annotated in this case, present or not.
    pub labels_annotated: Vec<u16>,
    /// Path of the prepared image.
    pub image: String,
    /// Path of the prepared label map.
    pub label: String,
    /// BLAKE3 of the prepared image file.
    pub image_blake3: String,
    /// BLAKE3 of the prepared label file.
    pub label_blake3: String,
    /// Community or stratum that the order balances; null with other orders.
    pub group: Option<String>,
    /// Why a training case is excluded from the curriculum and so has no rank.
    pub left_out: Option<String>,
    /// Paths of the prepared images in the order of `channel_names` in manifest.json; the first is
    /// `image`. Manifests before version 3 list none: they have one.
    #[serde(default)]
    pub images: Vec<String>,
    /// BLAKE3 of each file of `images`.
    #[serde(default)]
    pub images_blake3: Vec<String>,
}

impl ManifestRow {
    /// With the images of all channels, which manifests before version 3 do not list.
    pub(crate) fn with_images(mut self) -> Self {
        if self.images.is_empty() {
            self.images = vec![self.image.clone()];
            self.images_blake3 = vec![self.image_blake3.clone()];
        }
        self
    }
}

/// Columns of `manifest.parquet`.
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
        column("images", list(Utf8)),
        column("images_blake3", list(Utf8)),
    ])
}

/// A label of the cohort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Label {
    /// Value in the label maps.
    pub value: u16,
    /// Name in the cohort; "label N" if it has none.
    pub name: String,
}

/// Hashes of the inputs of the manifest and of its rows.
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

/// A training case that is far from its nearest neighbours. It stays in the curriculum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outlier {
    /// The training case that is an outlier.
    pub case_id: String,
    /// Similarity of identical cases (SSIM 1, UQI 1, MSE 0, PSNR 100 dB) minus the mean similarity
    /// to the nearest neighbours.
    pub distance: f64,
}

/// The communities that the order interleaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Communities {
    /// Number of communities.
    pub count: usize,
    /// Smallest similarity of a pair that is an edge of the graph.
    pub threshold: f32,
    /// Modularity of the communities (Newman and Girvan 2004).
    pub modularity: f64,
}

/// Results of the ranking for the whole cohort.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Ranking {
    /// Training cases with a rank.
    pub ranked: usize,
    /// Training cases excluded as duplicates of another.
    pub duplicates: usize,
    /// Training cases excluded because they rank beyond `keep`.
    pub beyond_keep: usize,
    /// Cases of the tuning subset.
    pub tune: usize,
    /// The medoid, where the score is the similarity to it.
    pub medoid: Option<String>,
    /// The communities, where the order follows them.
    pub communities: Option<Communities>,
    /// Cases with a larger distance are outliers.
    pub outlier_limit: Option<f64>,
    /// Outliers, most distant first; they stay in the curriculum.
    pub outliers: Vec<Outlier>,
    /// Findings about the chosen parameters.
    pub findings: Vec<Finding>,
}

/// Facts about the whole manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestInfo {
    /// Version of the manifest: 1, 2 since cases may be excluded, 3 since they may have several
    /// images and regions may be learnt.
    pub schema_version: u32,
    /// Imaging modality of the prepared cases; of the first channel where they have several.
    pub modality: Modality,
    /// Names of the channels in the order of the rows' `images`; the modality's name where cases
    /// have one image. Manifests before version 3 name none.
    #[serde(default)]
    pub channel_names: Vec<String>,
    /// Labels without the background (0), ascending by value.
    pub labels: Vec<Label>,
    /// Regions that are learnt instead of the labels, in the order in which they are written to
    /// predicted label maps; absent where labels are learnt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<LabelRegion>,
    /// Parameters of the index stage, the seed of the splits included.
    pub index: IndexParameters,
    /// Parameters of the rank stage.
    pub parameters: RankParameters,
    /// Results of the ranking; empty in version 1.
    #[serde(default)]
    pub ranking: Ranking,
    /// Parameters of the compare stage.
    pub compare: CompareParameters,
    /// Stages of the curriculum, ascending.
    pub stages: Vec<CurriculumStage>,
    /// The plan by which every case was prepared.
    pub plan: Plan,
    /// Fingerprint of the present training cases; the plan holds that of the cases it was made
    /// from.
    pub fingerprint: Fingerprint,
    /// The fold, if any: its validation cases are held out, all others outside the test split are
    /// training cases. Such a manifest lies in `folds/K/` of the curation folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
    /// Name of the experiment whose manifest this is, if any: it lies in `comparison/NAME/` of the
    /// curation folder. With a fold the cohort was divided anew for it, test cases included.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "safe_name::deserialize_option"
    )]
    pub experiment: Option<String>,
    /// The groups that the fold holds out for validation, if folds keep groups whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_groups: Option<HeldOutGroups>,
    /// Hashes of the inputs and of the rows.
    pub hashes: Hashes,
}

impl ManifestInfo {
    /// The curation folder of the manifest that lies in `folder`.
    pub fn curation_folder(&self, folder: &Path) -> PathBuf {
        if self.is_below() { folder.join(UP_FROM_FOLD) } else { folder.to_owned() }
    }

    /// A value that several labels have.
    pub(crate) fn label_twice(&self) -> Option<u16> {
        let mut values = BTreeSet::new();
        self.labels.iter().map(|label| label.value).find(|value| !values.insert(*value))
    }

    /// Whether the manifest lies in a folder below the curation folder.
    fn is_below(&self) -> bool {
        self.fold.is_some() || self.experiment.is_some()
    }

    /// The folder of the manifest inside the curation folder: empty, `folds/K` or
    /// `comparison/NAME`.
    pub fn folder_inside(&self) -> PathBuf {
        match &self.experiment {
            Some(name) => Path::new(EXPERIMENTS_FOLDER).join(name),
            None => folder(Path::new(""), self.fold),
        }
    }

    /// Whether the manifest in `folder` lies where one of its fold does; if not, its paths do not
    /// begin in a curation folder.
    ///
    /// # Errors
    /// Errors of the machine if the folder cannot be inspected.
    pub(crate) fn lies_in(&self, folder: &Path) -> Result<bool, StoreError> {
        let real = fault::canonical(folder).map_err(StoreError::io("find the folder", folder))?;
        Ok(!self.is_below() || real.is_some_and(|real| real.ends_with(self.folder_inside())))
    }
}

/// Folder of a fold's manifest inside the curation folder `out`; `out` itself without a fold.
pub fn folder(out: &Path, fold: Option<Fold>) -> PathBuf {
    fold.map_or_else(|| out.to_owned(), |Fold { fold, .. }| out.join(FOLDS_FOLDER).join(fold.to_string()))
}

/// Like [`folder`], made if it is missing; a link in its place is refused.
pub(crate) fn made_folder(out: &Path, fold: Option<Fold>) -> Result<PathBuf, StoreError> {
    SafePath::new(out, folder(Path::new(""), fold))?.create()
}

/// Folder of the manifest `info` in the curation folder `out`, made if it is missing.
pub(crate) fn made_folder_of(out: &Path, info: &ManifestInfo) -> Result<PathBuf, StoreError> {
    SafePath::new(out, info.folder_inside())?.create()
}

/// A manifest as read from its files.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Cases by rank, then excluded training cases, validation and test cases by id.
    pub rows: Vec<ManifestRow>,
    /// Facts about the whole manifest.
    pub info: ManifestInfo,
}

impl Manifest {
    /// Reads the manifest of a curation folder and checks that its files belong together and that
    /// its stages grow to all ranked cases.
    ///
    /// # Errors
    /// [`CurriculumError`] if there is none or it contradicts itself.
    pub fn open(out: &Path) -> Result<Self, CurriculumError> {
        let path = out.join(TABLE_FILE);
        if !regular_file::is_there(&path)? {
            return Err(CurriculumError::NoManifest { out: out.to_owned() });
        }
        let mut info: ManifestInfo = json::read_versioned(&out.join(INFO_FILE), SCHEMA_VERSION)?;
        if info.channel_names.is_empty() {
            info.channel_names = vec![info.modality.to_string()];
        }
        if !(1..=SCHEMA_VERSION).contains(&info.schema_version) {
            return Err(CurriculumError::BadManifest {
                path: out.join(INFO_FILE),
                problem: format!("expected version 1 to {SCHEMA_VERSION}, found {}", info.schema_version),
            });
        }
        let bad =
            |problem: &str| CurriculumError::BadManifest { path: path.clone(), problem: problem.to_owned() };
        if pdl_store::hash::of_file(&path)? != info.hashes.manifest {
            return Err(bad("its rows do not match the hash in manifest.json"));
        }
        let (rows, _) = table::read_rows::<ManifestRow>(&path, SCHEMA_VERSION)?;
        let rows: Vec<ManifestRow> = rows.into_iter().map(ManifestRow::with_images).collect();
        let grows = |w: &[CurriculumStage]| {
            w[0].active_cases < w[1].active_cases && w[0].first_epoch < w[1].first_epoch
        };
        if !info.stages.windows(2).all(grows) {
            return Err(bad("its stages do not grow"));
        }
        if !info.lies_in(out)? {
            return Err(bad("it is that of a fold or an experiment, but is not in the folder of that"));
        }
        let start = info.folder_inside();
        let leads_out = |row: &&ManifestRow| {
            row.images.iter().chain([&row.image, &row.label]).any(|path| safe_path::leads_out(&start, path))
        };
        if let Some(row) = rows.iter().find(leads_out) {
            return Err(bad(&format!("files of case {} are outside the curation folder", row.case_id)));
        }
        let channels = info.channel_names.len();
        let wrong = |row: &&ManifestRow| {
            row.images.len() != channels
                || row.images_blake3.len() != channels
                || row.images.first() != Some(&row.image)
        };
        if let Some(row) = rows.iter().find(wrong) {
            return Err(bad(&format!(
                "case {} does not have the {channels} images it must have",
                row.case_id
            )));
        }
        if let Some(value) = info.label_twice() {
            return Err(bad(&format!("two of its labels have the value {value}")));
        }
        let unknown = |value: &u16| !info.labels.iter().any(|label| label.value == *value);
        let is_odd = |region: &&LabelRegion| {
            region.labels.iter().any(unknown) || !region.labels.contains(&region.value)
        };
        if let Some(region) = info.regions.iter().find(is_odd) {
            return Err(bad(&format!("its region '{}' has labels that it does not know", region.name)));
        }
        if let Some(problem) = info.plan.problem() {
            return Err(bad(&format!("its plan cannot be used: {problem}")));
        }
        let training = rows.iter().filter(|row| row.rank.is_some()).count();
        if rows.iter().any(|row| row.rank.is_some() && row.split != Split::Train) {
            return Err(bad("a validation or test case has a rank"));
        }
        if info.stages.last().is_none_or(|stage| stage.active_cases as usize != training) {
            return Err(bad("its last stage does not include all ranked cases"));
        }
        Ok(Self { rows, info })
    }

    /// The ranked training cases in the order of their ranks.
    pub fn training(&self) -> Vec<&ManifestRow> {
        let mut rows: Vec<&ManifestRow> = self.rows.iter().filter(|row| row.rank.is_some()).collect();
        rows.sort_by_key(|row| row.rank);
        rows
    }
}

/// Writes the three files; `manifest.json` comes last, with the hash of the rows. Returns whether
/// anything changed.
pub(crate) fn write(out: &Path, rows: &[ManifestRow], mut info: ManifestInfo) -> Result<bool, StoreError> {
    let table = out.join(TABLE_FILE);
    let mut changed = table::write_rows(&table, &schema(), rows, Vec::new())?;
    changed |= json::write_lines(&out.join(LINES_FILE), rows)?;
    info.hashes.manifest = pdl_store::hash::of_file(&table)?;
    changed |= json::write(&out.join(INFO_FILE), &info)?;
    Ok(changed)
}
