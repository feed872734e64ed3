//! Validation of a manifest: its schema, its rows, and the files that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_cohort::attributes::Split;
use pdl_cohort::table::cases;
use pdl_prepare::plan;
use pdl_store::progress::Progress;
use pdl_store::{StoreError, fault, hash, json, regular_file, safe_path, table};
use rayon::prelude::*;
use serde::Serialize;

use crate::CurriculumError;
use crate::manifest::{self, INFO_FILE, LINES_FILE, ManifestInfo, ManifestRow, SCHEMA_VERSION, TABLE_FILE};
use crate::pacing;

/// Scope of a validation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ValidateParameters {
    /// Allow and follow paths outside the manifest's folder (of a fold: outside the curation
    /// folder).
    #[arg(long)]
    pub allow_outside: bool,
    /// Validate the manifest alone, without the files that it names.
    #[arg(long)]
    pub manifest_only: bool,
}

/// A violation of the schema or a contradiction between the manifest and its files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ManifestDifference {
    /// Stable identifier, such as "file-changed".
    pub code: &'static str,
    /// Case id; null where it concerns the whole manifest.
    pub case_id: Option<String>,
    /// A sentence with the particulars.
    pub message: String,
}

impl ManifestDifference {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, case_id: None, message: message.into() }
    }

    fn of_case(code: &'static str, row: &ManifestRow, message: impl Into<String>) -> Self {
        Self { code, case_id: Some(row.case_id.clone()), message: message.into() }
    }
}

/// Result of the validation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Validated {
    /// Version that `manifest.json` states, if any.
    pub schema_version: Option<u64>,
    /// Number of rows.
    pub cases: usize,
    /// All violations.
    pub differences: Vec<ManifestDifference>,
}

/// The folder of the manifest at `path`: the folder itself, or that of one of the manifest's files.
///
/// # Errors
/// [`CurriculumError::NoManifest`] if there is none.
pub fn folder_of(path: &Path) -> Result<PathBuf, CurriculumError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let files = [INFO_FILE, TABLE_FILE, LINES_FILE];
    let folder = match path.parent() {
        _ if path.is_dir() => path,
        Some(folder) if path.is_file() && files.contains(&name.as_ref()) => folder,
        _ => return Err(CurriculumError::NoManifest { out: path.to_owned() }),
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if files.iter().any(|file| folder.join(file).is_file()) {
        return Ok(folder.to_owned());
    }
    Err(CurriculumError::NoManifest { out: path.to_owned() })
}

/// Validates the manifest at `path`: a folder, or one of the manifest's files.
///
/// # Errors
/// [`CurriculumError`] when there is no manifest, or the system refuses to read it. An invalid
/// manifest is not an error but a result with differences.
pub fn validate(
    path: &Path,
    parameters: ValidateParameters,
    progress: &dyn Progress,
) -> Result<Validated, CurriculumError> {
    let folder = folder_of(path)?;
    let mut differences = Vec::new();
    let (schema_version, info) = read_info(&folder, &mut differences)?;
    let rows = read_rows(&folder, info.as_ref(), &mut differences)?.unwrap_or_default();
    check_rows(&rows, &mut differences);
    if let Some(info) = &info {
        check_curriculum(&rows, info, &mut differences);
        if !info.lies_in(&folder)? {
            let message = "the manifest is that of a fold or an experiment, but is not in the folder of that";
            differences.push(ManifestDifference::new("outside", message));
        }
        let files = Files::new(&folder, info, parameters)?;
        if !parameters.manifest_only {
            files.check_stages_before(info, &mut differences)?;
            progress.begin("hashing files", rows.len() as u64);
        }
        let of_cases: Vec<Vec<ManifestDifference>> = rows
            .par_iter()
            .map(|row| {
                let found = files.check(row)?;
                progress.advance(1);
                Ok(found)
            })
            .collect::<Result<_, StoreError>>()?;
        differences.extend(of_cases.into_iter().flatten());
    }
    Ok(Validated { schema_version, cases: rows.len(), differences })
}

/// The version that `manifest.json` states, and its content when the version is known.
fn read_info(
    folder: &Path,
    differences: &mut Vec<ManifestDifference>,
) -> Result<(Option<u64>, Option<ManifestInfo>), CurriculumError> {
    let path = folder.join(INFO_FILE);
    let mut differs = |code, message: String| differences.push(ManifestDifference::new(code, message));
    if !is_file(&path)? {
        differs("missing-file", format!("{INFO_FILE} is missing"));
        return Ok((None, None));
    }
    let value: serde_json::Value = match json::read(&path) {
        Ok(value) => value,
        Err(StoreError::Json { source, .. }) => {
            differs("schema", format!("{INFO_FILE} is not valid JSON: {source}"));
            return Ok((None, None));
        }
        Err(error) => return Err(error.into()),
    };
    let version = value["schema_version"].as_u64();
    if version.is_none_or(|version| !(1..=u64::from(SCHEMA_VERSION)).contains(&version)) {
        let stated = value.get("schema_version").map_or("none".to_owned(), ToString::to_string);
        differs("schema", format!("{INFO_FILE}: expected version 1 to {SCHEMA_VERSION}, found {stated}"));
        return Ok((version, None));
    }
    match serde_json::from_value(value) {
        Ok(info) => Ok((version, Some(info))),
        Err(error) => {
            differs("schema", format!("{INFO_FILE} does not match the schema of its version: {error}"));
            Ok((version, None))
        }
    }
}

/// The rows of `manifest.parquet`; `None` when they cannot be read.
fn read_rows(
    folder: &Path,
    info: Option<&ManifestInfo>,
    differences: &mut Vec<ManifestDifference>,
) -> Result<Option<Vec<ManifestRow>>, CurriculumError> {
    let path = folder.join(TABLE_FILE);
    let mut differs = |code, message: String| differences.push(ManifestDifference::new(code, message));
    if !is_file(&path)? {
        differs("missing-file", format!("{TABLE_FILE} is missing"));
        return Ok(None);
    }
    if let Some(info) = info
        && hash::of_file(&path)? != info.hashes.manifest
    {
        differs("rows-changed", format!("{TABLE_FILE} does not match its hash in {INFO_FILE}"));
    }
    let unreadable =
        |error: &StoreError| format!("{TABLE_FILE} does not match the schema of a manifest: {error}");
    let schema = manifest::schema();
    match table::column_names(&path) {
        Err(error) if fault::machine_error(&error).is_some() => return Err(error.into()),
        Err(error) => {
            differs("schema", unreadable(&error));
            return Ok(None);
        }
        Ok(names) => {
            for name in names.iter().filter(|name| schema.field_with_name(name).is_err()) {
                differs("schema", format!("{TABLE_FILE} has an unexpected column {name}"));
            }
        }
    }
    let rows = match table::read_rows::<ManifestRow>(&path, SCHEMA_VERSION) {
        Ok((rows, _)) => rows,
        Err(error) if fault::machine_error(&error).is_some() => return Err(error.into()),
        Err(error) => {
            differs("schema", unreadable(&error));
            return Ok(None);
        }
    };
    let lines = folder.join(LINES_FILE);
    if is_file(&lines)? {
        let text =
            fault::retried(|| regular_file::read(&lines)).map_err(StoreError::io("read the file", &lines))?;
        let read = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let read: Result<Vec<ManifestRow>, _> = read.map(serde_json::from_slice).collect();
        if read.ok().as_ref() != Some(&rows) {
            differs("rows-changed", format!("{LINES_FILE} and {TABLE_FILE} have different rows"));
        }
    }
    Ok(Some(rows))
}

fn is_file(path: &Path) -> Result<bool, StoreError> {
    fault::is_file(path).map_err(StoreError::io("look at the file", path))
}

/// Checks the rows by themselves: ids, patients, held-out cases.
fn check_rows(rows: &[ManifestRow], differences: &mut Vec<ManifestDifference>) {
    let mut seen = BTreeSet::new();
    let mut splits: BTreeMap<&str, BTreeSet<Split>> = BTreeMap::new();
    for row in rows {
        splits.entry(&row.patient_id).or_default().insert(row.split);
        if !seen.insert(&row.case_id) {
            differences.push(ManifestDifference::of_case(
                "case-twice",
                row,
                "the case has more than one row",
            ));
        }
        let in_curriculum = row.rank.is_some()
            || row.stage.is_some()
            || row.tune
            || row.score.is_some()
            || row.left_out.is_some();
        if row.split != Split::Train && in_curriculum {
            let message = format!("a {} case must not be part of the curriculum", row.split);
            differences.push(ManifestDifference::of_case("held-out-ranked", row, message));
        } else if row.split == Split::Train && row.rank.is_some() == row.left_out.is_some() {
            let message = "a training case needs either a rank or the reason for its exclusion";
            differences.push(ManifestDifference::of_case("rank", row, message));
        } else if row.rank.is_some() != row.stage.is_some() || (row.tune && row.rank.is_none()) {
            let message = "rank, stage and tuning subset contradict each other";
            differences.push(ManifestDifference::of_case("rank", row, message));
        }
    }
    for (patient, splits) in splits.iter().filter(|(_, splits)| splits.len() > 1) {
        let names: Vec<String> = splits.iter().map(ToString::to_string).collect();
        let message = format!("patient {patient} is in {} splits: {}", splits.len(), names.join(", "));
        differences.push(ManifestDifference::new("patient-in-two-splits", message));
    }
}

/// Checks rows against `manifest.json`: ranks without gaps, stages that reach all, labels.
fn check_curriculum(rows: &[ManifestRow], info: &ManifestInfo, differences: &mut Vec<ManifestDifference>) {
    let mut ranks: Vec<u32> = rows.iter().filter_map(|row| row.rank).collect();
    ranks.sort_unstable();
    if !ranks.iter().copied().eq(1..=ranks.len() as u32) {
        let message = format!("expected the ranks 1 to {}, each once", ranks.len());
        differences.push(ManifestDifference::new("rank", message));
    }
    let stages = &info.stages;
    let numbered = stages.iter().zip(0..).all(|(stage, number)| stage.stage == number);
    let begins = stages.first().is_none_or(|stage| stage.first_epoch == 0);
    let grows = stages
        .windows(2)
        .all(|w| w[0].active_cases < w[1].active_cases && w[0].first_epoch < w[1].first_epoch);
    if !(numbered && begins && grows) {
        differences
            .push(ManifestDifference::new("stage", "the stages do not begin at epoch 0, or do not grow"));
    }
    let all = stages.last().map_or(0, |stage| stage.active_cases as usize);
    if all != ranks.len() {
        let message = format!("the last stage has {all} active cases, but {} cases have a rank", ranks.len());
        differences.push(ManifestDifference::new("stage", message));
    }
    if let Some(value) = info.label_twice() {
        let message = format!("two labels of {INFO_FILE} have the value {value}");
        differences.push(ManifestDifference::new("label", message));
    }
    let labels: BTreeSet<u16> = info.labels.iter().map(|label| label.value).collect();
    for row in rows {
        let expected = row.rank.map(|rank| pacing::stage_of(rank, stages));
        if row.rank.is_some() && row.stage != expected {
            differences.push(ManifestDifference::of_case("stage", row, "the stage does not match the rank"));
        }
        if let Some(label) = row.labels_annotated.iter().find(|label| !labels.contains(label)) {
            let message = format!("label {label} is not among the labels of {INFO_FILE}");
            differences.push(ManifestDifference::of_case("label", row, message));
        }
        let channels = info.channel_names.len().max(1);
        let counts = [row.images.len(), row.images_blake3.len()].map(|count| count.max(1));
        if counts != [channels; 2] || row.images.first().is_some_and(|first| *first != row.image) {
            let message =
                format!("expected {channels} images with their hashes, the first of them {}", row.image);
            differences.push(ManifestDifference::of_case("channel", row, message));
        }
        if row.modality != info.modality {
            let message = format!("the modality is {}, that of the manifest {}", row.modality, info.modality);
            differences.push(ManifestDifference::of_case("modality", row, message));
        }
    }
}

/// The folders of the files, and the allowed paths.
struct Files<'a> {
    folder: &'a Path,
    curation: PathBuf,
    /// The folder of the manifest inside the curation folder, where its paths begin.
    start: PathBuf,
    parameters: ValidateParameters,
}

impl<'a> Files<'a> {
    fn new(
        folder: &'a Path,
        info: &ManifestInfo,
        parameters: ValidateParameters,
    ) -> Result<Self, StoreError> {
        let curation = info.curation_folder(folder);
        let curation =
            curation.canonicalize().map_err(StoreError::io("resolve the curation folder", &curation))?;
        Ok(Self { folder, curation, start: info.folder_inside(), parameters })
    }

    /// Checks the files of earlier stages that lie beside the manifest.
    fn check_stages_before(
        &self,
        info: &ManifestInfo,
        differences: &mut Vec<ManifestDifference>,
    ) -> Result<(), StoreError> {
        for (name, expected) in [(cases::FILE, &info.hashes.cases), (plan::FILE, &info.hashes.plan)] {
            let path = self.curation.join(name);
            if is_file(&path)? && hash::of_file(&path)? != *expected {
                let message = format!("{name} has changed since the manifest was made; run `pdl rank` again");
                differences.push(ManifestDifference::new("stale", message));
            }
        }
        Ok(())
    }

    fn check(&self, row: &ManifestRow) -> Result<Vec<ManifestDifference>, StoreError> {
        let mut files =
            vec![("image", &row.image, &row.image_blake3), ("label", &row.label, &row.label_blake3)];
        let further = row.images.iter().zip(&row.images_blake3).skip(1);
        files.extend(further.map(|(path, blake3)| ("image", path, blake3)));
        let mut found = Vec::new();
        for (what, path, blake3) in files {
            if let Some((code, problem)) = self.problem(path, blake3)? {
                found.push(ManifestDifference::of_case(code, row, format!("the {what} {problem}: {path}")));
            }
        }
        Ok(found)
    }

    /// Code and text of what is wrong with a file. A path outside is followed only when that is
    /// allowed.
    fn problem(&self, text: &str, blake3: &str) -> Result<Option<(&'static str, &'static str)>, StoreError> {
        const OUTSIDE: (&str, &str) = ("outside", "is outside the folder (see allow_outside)");
        if !self.parameters.allow_outside && safe_path::leads_out(&self.start, text) {
            return Ok(Some(OUTSIDE));
        }
        if self.parameters.manifest_only {
            return Ok(None);
        }
        let path = pdl_store::paths::resolve(self.folder, text);
        let real = fault::canonical(&path).map_err(StoreError::io("look at the file", &path))?;
        let Some(real) = real else { return Ok(Some(("missing-file", "is missing"))) };
        if !self.parameters.allow_outside && !real.starts_with(&self.curation) {
            return Ok(Some(OUTSIDE)); //  by a symbolic link
        }
        match hash::of_file(&real) {
            Ok(found) if found == blake3 => Ok(None),
            Ok(_) => Ok(Some(("file-changed", "does not match its hash"))),
            Err(error) if fault::machine_error(&error).is_some() => Err(error),
            Err(_) => Ok(Some(("missing-file", "is unreadable"))),
        }
    }
}
