//! Evaluation on a labelled cohort that arrives after training: read as the training cohort was,
//! prepared as the run records it, and measured with the same figures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pdl_cohort::index::index;
use pdl_cohort::labels::annotation_rule::AnnotationRule;
use pdl_cohort::parameters::IndexParameters;
use pdl_cohort::split::same_patient::SamePatient;
use pdl_cohort::table::case_row::{CaseChannel, CaseRow};
use pdl_cohort::table::cases::{self, Cases};
use pdl_console::{MOST_LISTED, shorten};
use pdl_curriculum::manifest::Label;
use pdl_findings::{Code, Finding};
use pdl_metrics::scores::{SCHEMA_VERSION, facts, schema, summary};
use pdl_prepare::prepare_image::prepare_images;
use pdl_prepare::resample::checked_shape_at;
use pdl_store::memory::MemoryShare;
use pdl_store::progress::StageContext;
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, fault, json, printable, safe_name, table};
use pdl_volume::{Grid, LabelMap};
use serde::Deserialize;

use crate::data::case::{Case, IGNORED};
use crate::data::case_reader::on_stored_grid;
use crate::data::dataset::EvalCase;
use crate::error::{FitError, Result};
use crate::inference::domain_shift;
use crate::inference::ensemble::Ensemble;
use crate::inference::postprocessing::ComponentTrials;
use crate::metrics::evaluate::{Evaluation, EvaluationOptions, Scorer, prediction_facts};

/// Folder of the indexed cohorts inside that of the results.
pub const COHORTS_FOLDER: &str = "cohorts";

/// Names that a cohort cannot have, as the splits of the run's own cohort have them.
const SPLITS: [&str; 3] = ["train", "val", "test"];

/// Bytes a voxel that a case takes: copies of its image and labels on its own grid.
const BYTES_A_VOXEL: u64 = 16;

/// A cohort to evaluate on, and where the results go.
#[derive(Debug)]
pub struct CohortRequest<'a> {
    /// The cohort: a folder or a table, as `pdl curate` takes it.
    pub cohort: &'a Path,
    /// Name of the results.
    pub name: &'a str,
    /// Folder of the results, usually that of the run.
    pub folder: &'a Path,
    /// How the cohort of the training was indexed.
    pub parameters: IndexParameters,
    /// Curation folder of the run, with whose training cases the images are compared.
    pub curation: Option<&'a Path>,
}

/// Result of an evaluation on a later cohort.
#[derive(Debug)]
pub struct CohortEvaluation {
    /// Figures, table and label maps.
    pub evaluation: Evaluation,
    /// Cases that could not be used, each with the reason.
    pub rejected: Vec<(String, String)>,
    /// Notes about the cohort and its cases.
    pub notes: Vec<String>,
}

/// Reads a cohort as that of the training was read, predicts every labelled case, and writes
/// `FOLDER/evaluation-NAME.parquet`, the label maps `FOLDER/predictions/NAME/CASE.nii.gz`, and the
/// cases with their findings to `FOLDER/cohorts/NAME/cases.parquet`.
///
/// Labels are those of the run by their names; where the cohort names none, by their values.
///
/// # Errors
/// [`FitError`] if the cohort cannot be indexed, has no case or label that the run knows, or a file
/// cannot be written.
pub fn evaluate_cohort(
    ensemble: &Ensemble,
    request: &CohortRequest<'_>,
    options: &EvaluationOptions,
    stage: StageContext<'_>,
    watch: &mut dyn FnMut(&str),
) -> Result<CohortEvaluation> {
    let CohortRequest { cohort, name, folder, .. } = request;
    if !safe_name::is_safe(name) || SPLITS.contains(name) {
        let problem = "must consist of letters, digits, '-' and '_', and be no split (train, val, test)";
        return Err(FitError::option("name", problem));
    }
    let file = folder.join(format!("evaluation-{name}.parquet"));
    table::refuse_newer(&file, SCHEMA_VERSION)?;
    let indexed = SafePath::new(folder, Path::new(COHORTS_FOLDER).join(name))?.create()?;
    let mut parameters = later(&request.parameters);
    let table = nnunet_test_set(cohort, &indexed, &mut parameters)?;
    let cohort = table.as_deref().unwrap_or(cohort);
    let cases = index(cohort, &indexed, &parameters, &SamePatient::default(), stage)?.cases;
    let labels = &ensemble.first().record.labels;
    let names = LabelMatch::new(labels, &cases, cohort)?;
    let mut notes = names.notes.clone();
    notes.extend(of_training(request.curation, &cases)?);
    let channels = |case: &Case, whole: &Grid| ensemble.channels(case, whole);
    let scorer = Scorer { model: ensemble.first(), channels: &channels, options };
    let predictions = SafePath::new(folder, Path::new("predictions").join(name))?.create()?;
    let (mut rows, mut components) = (Vec::new(), ComponentTrials::default());
    let mut rejected = rejected(&cases);
    let reader =
        Reader { ensemble, indexed: &indexed, names: &names, ignored: cases.parameters.ignored_label() };
    let limit = stage.memory_limit();
    for row in cases.usable().filter(|row| row.label.is_some()) {
        match reader.read(row, &limit.alone())? {
            Ok((case, warnings)) => {
                notes.extend(warnings.into_iter().map(|warning| format!("{}: {warning}", row.case_id)));
                rows.extend(scorer.of_case(&case, &predictions, &mut components)?);
            }
            Err(reason) => rejected.push((row.case_id.clone(), reason)),
        }
        watch(&row.case_id);
    }
    if rows.is_empty() {
        return Err(FitError::NoLabelledCase { rejected: rejected.len(), path: request.cohort.to_owned() });
    }
    let mut metadata = facts(options.surfaces);
    metadata.extend(prediction_facts(ensemble, options));
    table::write_rows(&file, &schema(), &rows, metadata)?;
    let summary = summary(&ensemble.first().record.structures(), &rows);
    let evaluation = Evaluation { rows, summary, file, predictions, components };
    Ok(CohortEvaluation { evaluation, rejected, notes })
}

/// The options of the training cohort for reading images and labels. Splits, further columns and
/// the user's files apply to that cohort only.
fn later(parameters: &IndexParameters) -> IndexParameters {
    let of_column = |rule: &AnnotationRule| matches!(rule, AnnotationRule::By(_));
    IndexParameters {
        stratify: Vec::new(),
        carry: Vec::new(),
        mapping: None,
        ignore: parameters.ignore_stated.clone().or_else(|| parameters.ignore.clone()),
        annotated: parameters.annotated.clone().filter(|rule| !of_column(rule)),
        ..parameters.clone()
    }
}

/// The folder of nnU-Net's test images.
const TEST_IMAGES: &str = "imagesTs";
/// The folder of the labels of nnU-Net's test images.
const TEST_LABELS: &str = "labelsTs";

/// The part of nnU-Net's `dataset.json` that names labels.
#[derive(Debug, Deserialize)]
struct DatasetJson {
    labels: BTreeMap<String, serde_json::Value>,
}

/// A table of nnU-Net's test set, where `cohort` is its `imagesTs` with `labelsTs` beside it; the
/// labels are named by the `dataset.json` beside them.
fn nnunet_test_set(
    cohort: &Path,
    indexed: &Path,
    parameters: &mut IndexParameters,
) -> Result<Option<PathBuf>> {
    let is_test = cohort.file_name().is_some_and(|name| name == TEST_IMAGES);
    let labels = cohort.with_file_name(TEST_LABELS);
    if !is_test || !fault::is_dir(&labels).map_err(StoreError::io("look at the folder", &labels))? {
        return Ok(None);
    }
    let (images, labels) = (volumes(cohort)?, volumes(&labels)?);
    // Of images with several channels that of the training; the first where it had one alone.
    let ending = format!("_{:0>4}", parameters.channel.as_deref().unwrap_or("0"));
    let mut text = "case_id,image,label\n".to_owned();
    for (stem, image) in &images {
        let case = stem.strip_suffix(&ending).unwrap_or(stem);
        let Some(label) = labels.get(case) else { continue };
        let cell = |path: &Path| printable::path_cell(&path.to_string_lossy()).replace('"', "\"\"");
        text.push_str(&format!("{case},\"{}\",\"{}\"\n", cell(image), cell(label)));
    }
    parameters.channel = None;
    let table = indexed.join("cohort.csv");
    atomic::write_if_changed(&table, text.as_bytes())?;
    let dataset = cohort.with_file_name("dataset.json");
    if parameters.label_names.is_empty()
        && fault::is_file(&dataset).map_err(StoreError::io("look at the file", &dataset))?
    {
        let named: DatasetJson = json::read(&dataset)?;
        let value = |value: &serde_json::Value| value.as_u64().and_then(|value| u16::try_from(value).ok());
        let named = named.labels.iter().filter_map(|(name, of)| Some((value(of)?, name.clone())));
        parameters.label_names = named.filter(|(value, _)| *value > 0).collect();
    }
    Ok(Some(table))
}

/// The volumes of a folder, by their names without ending.
fn volumes(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let folder = folder.canonicalize().map_err(StoreError::io("look at the folder", folder))?;
    let entries = fault::list(&folder).map_err(StoreError::io("list the folder", &folder))?;
    let named = entries.iter().map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
    let volumes = named.filter(|(name, _)| !name.starts_with('.') && pdl_io::is_volume_name(name));
    Ok(volumes.map(|(name, path)| (pdl_io::stem(&name).to_owned(), path)).collect())
}

/// The cases that the index could not use, each with its findings.
fn rejected(cases: &Cases) -> Vec<(String, String)> {
    let unusable = cases.rows.iter().filter(|row| !row.is_usable() || row.label.is_none());
    let reason = |row: &CaseRow| {
        let findings: Vec<String> =
            row.findings.iter().map(|Finding { code, message }| format!("{code}: {message}")).collect();
        if findings.is_empty() { Code::NoLabel.to_string() } else { findings.join("; ") }
    };
    unusable.map(|row| (row.case_id.clone(), reason(row))).collect()
}

/// A note on images that the run was trained on: figures on these do not hold for new patients.
fn of_training(curation: Option<&Path>, later: &Cases) -> Result<Option<String>> {
    let Some(out) = curation else { return Ok(None) };
    let table = out.join(cases::FILE);
    if !fault::is_file(&table).map_err(StoreError::io("look at the file", &table))? {
        return Ok(None);
    }
    let known = Cases::read(out)?;
    let is_known = |row: &&CaseRow| known.usable().any(|other| other.image_blake3 == row.image_blake3);
    let same: Vec<&str> = later.usable().filter(is_known).map(|row| row.case_id.as_str()).collect();
    Ok((!same.is_empty()).then(|| {
        format!(
            "{} of the cohort's images are of the cohort that the run comes from, and may have been trained on: {}",
            same.len(),
            shorten(&same, MOST_LISTED).0.join(", ")
        )
    }))
}

/// The run's labels in the values of another cohort.
#[derive(Debug)]
struct LabelMatch {
    /// For each channel of the run, from 1, the value in the cohort; `None` if it has no such
    /// label.
    values: Vec<Option<u16>>,
    notes: Vec<String>,
}

impl LabelMatch {
    /// Matches labels by name, regardless of case; by value where the cohort names none.
    ///
    /// # Errors
    /// [`FitError::OtherLabels`] if no label is known to both.
    fn new(labels: &[Label], cases: &Cases, cohort: &Path) -> Result<Self> {
        let present: Vec<u16> = {
            let mut values: Vec<u16> =
                cases.usable().flat_map(|row| row.labels.iter().map(|label| label.value)).collect();
            values.sort_unstable();
            values.dedup();
            values
        };
        let named = &cases.label_names;
        let by_name = |label: &Label| {
            let same = named.iter().find(|(_, name)| name.eq_ignore_ascii_case(&label.name));
            same.map(|(value, _)| *value)
        };
        let unnamed = |label: &Label| label.name == format!("label {}", label.value);
        let by_value = named.is_empty() || labels.iter().all(unnamed);
        let values: Vec<Option<u16>> = match by_value {
            true => labels.iter().map(|label| Some(label.value)).collect(),
            false => labels.iter().map(by_name).collect(),
        };
        let known: Vec<u16> = values.iter().flatten().copied().collect();
        if !present.is_empty() && !present.iter().any(|value| known.contains(value)) && !by_value {
            return Err(FitError::OtherLabels {
                found: list(named.values()),
                expected: list(labels.iter().map(|label| &label.name)),
                path: cohort.to_owned(),
            });
        }
        let mut notes = Vec::new();
        if by_value {
            notes.push("the cohort's labels are matched with those of the run by their values".to_owned());
        }
        let missing = labels.iter().zip(&values).filter(|(_, value)| value.is_none());
        let missing: Vec<&String> = missing.map(|(label, _)| &label.name).collect();
        if !missing.is_empty() {
            notes.push(format!("the cohort has no label {}: not measured", list(missing)));
        }
        let further: Vec<String> = present
            .iter()
            .filter(|value| !known.contains(value))
            .map(|value| named.get(value).cloned().unwrap_or_else(|| format!("label {value}")))
            .collect();
        if !further.is_empty() {
            notes.push(format!("the run has no label {}: background in the measurement", list(&further)));
        }
        Ok(Self { values, notes })
    }

    /// The channel of each value of a label map; 0 for a value that the run does not know.
    fn channels(&self, labels: &LabelMap, annotated: &[bool], ignored: Option<u16>) -> Vec<u8> {
        let of_value: BTreeMap<u16, u8> = (1..)
            .zip(&self.values)
            .filter(|(channel, _)| annotated[usize::from(*channel)])
            .filter_map(|(channel, value)| Some(((*value)?, channel)))
            .collect();
        let channel = |value: &u16| match value {
            0 => 0,
            value if Some(*value) == ignored => IGNORED,
            value => of_value.get(value).copied().unwrap_or(0),
        };
        labels.voxels.iter().map(channel).collect()
    }

    /// For every channel of the run whether a case is annotated for it; background is.
    fn annotated(&self, row: &CaseRow) -> Vec<bool> {
        let is = |value: &Option<u16>| value.is_some_and(|value| row.labels_annotated.contains(&value));
        [true].into_iter().chain(self.values.iter().map(is)).collect()
    }
}

fn list<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| name.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}

/// Reads the cases of an indexed cohort and prepares their images.
struct Reader<'a> {
    ensemble: &'a Ensemble,
    indexed: &'a Path,
    names: &'a LabelMatch,
    ignored: Option<u16>,
}

/// A case with the differences from the training cases, or why it cannot be used.
type ReadCase = std::result::Result<(EvalCase, Vec<String>), String>;

impl Reader<'_> {
    /// # Errors
    /// [`FitError`] if the machine fails.
    fn read(&self, row: &CaseRow, memory: &MemoryShare<'_>) -> Result<ReadCase> {
        let label_path = self.indexed.join(row.label.as_deref().unwrap_or_default());
        let image_paths = match self.channel_paths(row) {
            Ok(paths) => paths,
            Err(problem) => return Ok(Err(problem)),
        };
        let mut images = Vec::with_capacity(image_paths.len());
        for path in &image_paths {
            match pdl_io::read_image_within(path, memory) {
                Ok(image) => images.push(image.volume),
                Err(error) => return unusable(row, &error),
            }
        }
        let labels = match pdl_io::read_labels_within(&label_path, memory) {
            Ok(labels) => labels.map,
            Err(error) => return unusable(row, &error),
        };
        let images = images.into_iter().map(|image| on_stored_grid(row, image)).collect::<Option<Vec<_>>>();
        let (Some(images), Some(labels)) = (images, on_stored_grid(row, labels)) else {
            return Ok(Err("its files have changed since they were indexed".to_owned()));
        };
        let stored = labels.grid;
        let plan = &self.ensemble.first().record.preparation;
        let shape = match checked_shape_at(&stored.to_ras(), plan.spacing_mm) {
            Ok(shape) => shape,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let prepared = shape.iter().fold(1, |all: u64, n| all.saturating_mul(*n as u64));
        let channels = self.names.values.len() as u64 + 1;
        let voxels = images.len() as u64 * (stored.len() as u64 + prepared);
        let bytes = voxels.saturating_add(prepared * channels).saturating_mul(BYTES_A_VOXEL);
        if let Err(error) = memory.take(bytes) {
            return match StoreError::no_memory(&format!("case {}", row.case_id), error) {
                Some(error) => Err(error.into()),
                None => Ok(Err(error.to_string())),
            };
        }
        let warnings = domain_shift::findings(&images[0], plan);
        let mut prepared = match prepare_images(images, plan) {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let first = prepared.remove(0);
        let annotated = self.names.annotated(row);
        let truth = self.names.channels(&labels.into_ras(), &annotated, self.ignored);
        let mut case = Case::unlabelled(&row.case_id, first, &prepared);
        case.annotated = annotated;
        Ok(Ok((EvalCase::new(case, truth, stored), warnings)))
    }
}

impl Reader<'_> {
    /// The images of a case in the order of the network's inputs.
    fn channel_paths(&self, row: &CaseRow) -> std::result::Result<Vec<PathBuf>, String> {
        let expected = &self.ensemble.first().record.channels;
        if row.channels.is_empty() && expected.len() == 1 {
            return Ok(vec![self.indexed.join(&row.image)]);
        }
        let by_name = |name: &String| row.channels.iter().find(|channel| channel.name == *name);
        let found: Option<Vec<_>> = expected.iter().map(by_name).collect();
        let paths = |channels: Vec<&CaseChannel>| {
            channels.into_iter().map(|channel| self.indexed.join(&channel.image)).collect()
        };
        found.map(paths).ok_or_else(|| {
            format!(
                "its images are {}; the network's channels are {}",
                if row.channels.is_empty() {
                    "one".to_owned()
                } else {
                    list(row.channels.iter().map(|c| &c.name))
                },
                list(expected)
            )
        })
    }
}

/// Why a file cannot be used, unless the machine keeps it from being read.
fn unusable(row: &CaseRow, error: &pdl_io::ReadError) -> Result<ReadCase> {
    match error.machine(&format!("case {}", row.case_id)) {
        Some(error) => Err(error.into()),
        None => Ok(Err(error.reason())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_to_ignore_is_that_of_the_files_and_not_its_value_after_the_rules() {
        let text = |value: &str| Some(value.to_owned());
        let ruled = IndexParameters { ignore: text("3"), ignore_stated: text("-1"), ..Default::default() };
        assert_eq!(later(&ruled).ignore, text("-1"));
        let before = IndexParameters { ignore: text("5"), ..Default::default() };
        assert_eq!(later(&before).ignore, text("5"), "a record without the stated one");
    }
}
