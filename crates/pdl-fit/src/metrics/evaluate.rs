//! Evaluation of a run on validation or test cases, on their original grids: Dice, surface Dice,
//! HD95, volumes and detection.

use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, Schema};
use pdl_cohort::attributes::{Modality, Split};
use pdl_curriculum::manifest::Label;
use pdl_io::nifti;
use pdl_store::safe_path::SafePath;
use pdl_store::table::{self, column, nullable};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::case::IGNORED;
use crate::data::dataset::{Dataset, EvalCase};
use crate::error::{FitError, Record, Result};
use crate::inference::model::Model;
use crate::metrics::detection::{Detection, Volumes};
use crate::metrics::dice::{self, mean};
use crate::metrics::surface::{self, SurfaceMeasure, VoxelGrid};

/// Metrics of one case and label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvaluationRow {
    /// Identifier in the manifest.
    pub case_id: String,
    /// Value of the label.
    pub label: u16,
    /// Name of the label.
    pub name: String,
    /// Dice 2
    /// A and B
    ///  / (
    /// A
    ///  +
    /// B
    /// ); null if the label is absent from both or not annotated.
    pub dice: Option<f64>,
    /// Fraction of both surfaces within the tolerance of the other.
    pub surface_dice: Option<f64>,
    /// Larger of the two directed 95th percentiles of surface distances, mm; the image diagonal if
    /// one surface is empty.
    pub hd95_mm: Option<f64>,
    /// Volume of the reference segmentation, ml.
    pub drawn_ml: f64,
    /// Volume of the prediction, ml.
    pub predicted_ml: f64,
    /// Whether the case was annotated for the label.
    pub annotated: bool,
    /// Volume of the prediction outside of the reference, ml; null if the label is not annotated.
    pub false_positive_ml: Option<f64>,
    /// Volume of the reference outside of the prediction, ml; null if the label is not annotated.
    pub false_negative_ml: Option<f64>,
}

impl EvaluationRow {
    /// Its volumes, if the case was annotated for the label.
    fn volumes(&self) -> Option<Volumes> {
        Some(Volumes {
            drawn_ml: self.drawn_ml,
            false_positive_ml: self.false_positive_ml?,
            false_negative_ml: self.false_negative_ml?,
        })
    }
}

/// Columns of the table.
pub fn schema() -> Schema {
    use DataType::{Boolean, Float64, UInt16, Utf8};
    Schema::new(vec![
        column("case_id", Utf8),
        column("label", UInt16),
        column("name", Utf8),
        nullable("dice", Float64),
        nullable("surface_dice", Float64),
        nullable("hd95_mm", Float64),
        column("drawn_ml", Float64),
        column("predicted_ml", Float64),
        column("annotated", Boolean),
        nullable("false_positive_ml", Float64),
        nullable("false_negative_ml", Float64),
    ])
}

/// Mean metrics over the cases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvaluationSummary {
    /// Name of the label; "mean" for the mean over the labels.
    pub name: String,
    /// Number of cases that count for Dice.
    pub cases: usize,
    /// Mean Dice.
    pub dice: Option<f64>,
    /// Mean surface Dice.
    pub surface_dice: Option<f64>,
    /// Mean HD95, mm.
    pub hd95_mm: Option<f64>,
    /// Detection of the structure, with the cases that lack it.
    #[serde(flatten)]
    pub detection: Detection,
}

/// How surfaces are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurfaceOptions {
    /// What a surface is made of.
    pub measure: SurfaceMeasure,
    /// Largest distance at which two surfaces count as the same, mm.
    pub tolerance_mm: f64,
}

impl SurfaceOptions {
    /// By area, with the modality's default tolerance.
    pub fn default_of(modality: Modality) -> Self {
        Self { measure: SurfaceMeasure::default(), tolerance_mm: default_tolerance_mm(modality) }
    }
}

/// Result of an evaluation.
#[derive(Debug)]
pub struct Evaluation {
    /// One row per case and label.
    pub rows: Vec<EvaluationRow>,
    /// Means for each label, then over the labels.
    pub summary: Vec<EvaluationSummary>,
    /// File of the table.
    pub file: PathBuf,
    /// Folder of the predicted label maps.
    pub predictions: PathBuf,
}

/// Default tolerance of surface Dice, mm.
pub fn default_tolerance_mm(modality: Modality) -> f64 {
    if modality == Modality::CT { 3.0 } else { 1.0 }
}

/// Name of the table in a run's folder.
pub fn file_name(split: Split) -> String {
    format!("evaluation-{split}.parquet")
}

/// Predicts every case of a split, and writes `RUN/evaluation-SPLIT.parquet` and the label maps
/// `RUN/predictions/SPLIT/CASE.nii.gz` on the original grids.
///
/// `out` is the curation folder (or fold) of the run.
///
/// # Errors
/// [`FitError`] if the folder has changed since training, a case cannot be read, or a file cannot
/// be written.
pub fn evaluate(
    model: &Model,
    run: &Path,
    out: &Path,
    split: Split,
    surfaces: SurfaceOptions,
    watch: &mut dyn FnMut(&str),
) -> Result<Evaluation> {
    let folder = Dataset::open(out)?;
    if folder.manifest.info.hashes.manifest != model.record.manifest_blake3 {
        return Err(FitError::OtherManifest { record: Record::Run, path: out.to_owned() });
    }
    let cases = folder.held_out(out, split, false)?;
    if cases.is_empty() {
        return Err(FitError::NoData { split, path: out.to_owned() });
    }
    let predictions = SafePath::new(run, Path::new("predictions").join(split.to_string()))?.create()?;
    let mut rows = Vec::new();
    for case in &cases {
        let channels = model.predictor().channels(&case.case, &case.stored.to_ras())?;
        let path = predictions.join(format!("{}.nii.gz", case.case.case_id));
        nifti::write_labels(&path, &model.to_labels(&channels, case.stored)?)?;
        rows.extend(of_case(model, case, &channels, &case.truth()?, surfaces));
        watch(&case.case.case_id);
    }
    let file = run.join(file_name(split));
    let facts = vec![
        ("pdl.tolerance_mm".to_owned(), surfaces.tolerance_mm.to_string()),
        ("pdl.surface".to_owned(), surfaces.measure.name().to_owned()),
    ];
    table::write_rows(&file, &schema(), &rows, facts)?;
    let summary = summary(model, &rows);
    Ok(Evaluation { rows, summary, file, predictions })
}

fn of_case(
    model: &Model,
    case: &EvalCase,
    channels: &[u8],
    truth: &[u8],
    surfaces: SurfaceOptions,
) -> Vec<EvaluationRow> {
    let dice = dice::per_label(channels, truth, &case.case.annotated);
    let [x, y, z] = case.stored.to_ras().spacing_mm();
    let voxel_ml = x * y * z / 1000.0;
    let labels: Vec<_> = model.record.labels.iter().enumerate().collect();
    let row = |(index, label): &(usize, &Label)| {
        let is_label = |channel: u8| usize::from(channel) == index + 1;
        let drawn: Vec<bool> = truth.iter().map(|&channel| is_label(channel)).collect();
        // What is predicted where the reference says nothing is neither right nor wrong.
        let predicted = channels.iter().zip(truth).map(|(&channel, &t)| is_label(channel) && t != IGNORED);
        let predicted: Vec<bool> = predicted.collect();
        let ml = |mask: &[bool]| mask.iter().filter(|inside| **inside).count() as f64 * voxel_ml;
        let annotated = case.case.annotated[index + 1];
        let SurfaceOptions { measure, tolerance_mm } = surfaces;
        let grid = VoxelGrid { shape: case.shape, spacing_mm: [z, y, x] };
        let distances =
            annotated.then(|| surface::compare(measure, &drawn, &predicted, grid, tolerance_mm)).flatten();
        let volumes = annotated.then(|| Volumes::of(&drawn, &predicted, voxel_ml));
        EvaluationRow {
            case_id: case.case.case_id.clone(),
            label: label.value,
            name: label.name.clone(),
            dice: dice[*index],
            surface_dice: distances.map(|found| found.surface_dice),
            hd95_mm: distances.map(|found| found.hd95_mm),
            drawn_ml: ml(&drawn),
            predicted_ml: ml(&predicted),
            annotated,
            false_positive_ml: volumes.map(|volumes| volumes.false_positive_ml),
            false_negative_ml: volumes.map(|volumes| volumes.false_negative_ml),
        }
    };
    labels.par_iter().map(row).collect()
}

/// Means over cases for each label, then over labels (definitions: cohort Dice).
fn summary(model: &Model, rows: &[EvaluationRow]) -> Vec<EvaluationSummary> {
    let of_label = |label: &Label| {
        let rows: Vec<&EvaluationRow> = rows.iter().filter(|row| row.label == label.value).collect();
        let over =
            |figure: fn(&EvaluationRow) -> Option<f64>| mean(rows.iter().filter_map(|row| figure(row)));
        EvaluationSummary {
            name: label.name.clone(),
            cases: rows.iter().filter(|row| row.dice.is_some()).count(),
            dice: over(|row| row.dice),
            surface_dice: over(|row| row.surface_dice),
            hd95_mm: over(|row| row.hd95_mm),
            detection: Detection::of(&rows.iter().filter_map(|row| row.volumes()).collect::<Vec<_>>()),
        }
    };
    let mut all: Vec<EvaluationSummary> = model.record.labels.iter().map(of_label).collect();
    let over = |figure: fn(&EvaluationSummary) -> Option<f64>| mean(all.iter().filter_map(figure));
    let whole = EvaluationSummary {
        name: "mean".to_owned(),
        cases: all.iter().map(|label| label.cases).max().unwrap_or(0),
        dice: over(|label| label.dice),
        surface_dice: over(|label| label.surface_dice),
        hd95_mm: over(|label| label.hd95_mm),
        detection: Detection::mean_of(&all.iter().map(|label| &label.detection).collect::<Vec<_>>()),
    };
    all.push(whole);
    all
}
