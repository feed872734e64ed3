//! Metrics of cases with reference label maps, and their means over a cohort.

use arrow::datatypes::{DataType, Field, Schema};
use pdl_cohort::attributes::Modality;
use pdl_curriculum::manifest::Label;
use pdl_store::table::{self, Metadata, column, nullable};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::detection::{Detection, Volumes};
use crate::dice::{self, IGNORED, mean};
use crate::lesions::{LesionDetection, Lesions};
use crate::structure::MeasuredStructure;
use crate::surface::{self, SurfaceMeasure, VoxelGrid};

/// The principal metrics of one case and label. They are columns of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StructureScore {
    /// Identifier in the manifest.
    pub case_id: String,
    /// Value of the label; of a region the value that it is written as.
    pub label: u16,
    /// Name of the label or region.
    pub name: String,
    /// Dice `2 |A and B| / (|A| + |B|)`; null if the label is absent from both or not annotated.
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
}

/// Metrics of one case and label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvaluationRow {
    /// Overlap, surfaces and volumes.
    #[serde(flatten)]
    pub score: StructureScore,
    /// Volume of the prediction outside of the reference, ml; null if the label is not annotated.
    pub false_positive_ml: Option<f64>,
    /// Volume of the reference outside of the prediction, ml; null if the label is not annotated.
    pub false_negative_ml: Option<f64>,
    /// Connected components (26 neighbours) of the reference; null if the label is not annotated.
    #[serde(default)]
    pub lesions: Option<u32>,
    /// Lesions of the reference that the prediction overlaps; null if the label is not annotated.
    #[serde(default)]
    pub lesions_found: Option<u32>,
    /// Connected components of the prediction; null if the label is not annotated.
    #[serde(default)]
    pub predicted_lesions: Option<u32>,
    /// Predicted lesions that do not overlap the reference; null if the label is not annotated.
    #[serde(default)]
    pub false_positive_lesions: Option<u32>,
}

impl EvaluationRow {
    /// Lesions, if the case was annotated for the label.
    fn lesions(&self) -> Option<Lesions> {
        Some(Lesions {
            drawn: self.lesions?,
            found: self.lesions_found?,
            predicted: self.predicted_lesions?,
            false_positive: self.false_positive_lesions?,
        })
    }

    /// Volumes, if the case was annotated for the label.
    fn volumes(&self) -> Option<Volumes> {
        Some(Volumes {
            drawn_ml: self.score.drawn_ml,
            false_positive_ml: self.false_positive_ml?,
            false_negative_ml: self.false_negative_ml?,
        })
    }
}

/// Columns of a [`StructureScore`].
pub fn score_columns() -> [Field; 9] {
    use DataType::{Boolean, Float64, UInt16, Utf8};
    [
        column("case_id", Utf8),
        column("label", UInt16),
        column("name", Utf8),
        nullable("dice", Float64),
        nullable("surface_dice", Float64),
        nullable("hd95_mm", Float64),
        column("drawn_ml", Float64),
        column("predicted_ml", Float64),
        column("annotated", Boolean),
    ]
}

/// Columns of the table.
pub fn schema() -> Schema {
    use DataType::{Float64, UInt32};
    let further = [
        nullable("false_positive_ml", Float64),
        nullable("false_negative_ml", Float64),
        nullable("lesions", UInt32),
        nullable("lesions_found", UInt32),
        nullable("predicted_lesions", UInt32),
        nullable("false_positive_lesions", UInt32),
    ];
    Schema::new(score_columns().into_iter().chain(further).collect::<Vec<_>>())
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
    /// Detection of its lesions (connected components); null for the mean.
    #[serde(flatten)]
    pub lesions: Option<LesionDetection>,
}

/// How surfaces are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurfaceOptions {
    /// How surface elements are measured.
    pub measure: SurfaceMeasure,
    /// Largest distance at which two surfaces count as the same, mm.
    pub tolerance_mm: f64,
}

impl SurfaceOptions {
    /// Surfaces by area, with the modality's default tolerance.
    pub fn default_of(modality: Modality) -> Self {
        Self { measure: SurfaceMeasure::default(), tolerance_mm: default_tolerance_mm(modality) }
    }
}

/// Default tolerance of surface Dice, mm.
pub fn default_tolerance_mm(modality: Modality) -> f64 {
    if modality == Modality::CT { 3.0 } else { 1.0 }
}

/// Version of the format of tables of scores.
pub const SCHEMA_VERSION: u32 = 1;

/// The metadata of a table of scores: its version, and how the surfaces were compared.
pub fn facts(surfaces: SurfaceOptions) -> Metadata {
    let mut facts = table::versioned(SCHEMA_VERSION);
    facts.extend([
        ("pdl.tolerance_mm".to_owned(), surfaces.tolerance_mm.to_string()),
        ("pdl.surface".to_owned(), surfaces.measure.name().to_owned()),
    ]);
    facts
}

/// A predicted label map beside its reference. Both hold the channels of the same voxels: 0 is
/// background, and the labels follow in ascending order.
#[derive(Clone, Copy, Debug)]
pub struct ScoredCase<'a> {
    /// Identifier of the case.
    pub case_id: &'a str,
    /// Shape and spacing of the voxels, z, y, x.
    pub grid: VoxelGrid,
    /// Channel of every voxel (z, y, x) of the reference; [`IGNORED`] for voxels to ignore.
    pub truth: &'a [u8],
    /// Predicted channel of every voxel (z, y, x).
    pub prediction: &'a [u8],
    /// For every channel whether the case was annotated for it; background is true.
    pub annotated: &'a [bool],
}

impl ScoredCase<'_> {
    /// A row for each structure.
    pub fn rows(&self, structures: &[MeasuredStructure], surfaces: SurfaceOptions) -> Vec<EvaluationRow> {
        let [z, y, x] = self.grid.spacing_mm;
        let voxel_ml = x * y * z / 1000.0;
        let row = |MeasuredStructure { label, union }: &MeasuredStructure| {
            let is_label = |channel: u8| union.contains(channel);
            let drawn: Vec<bool> = self.truth.iter().map(|&channel| is_label(channel)).collect();
            // A prediction in voxels to ignore is neither right nor wrong.
            let predicted = self.prediction.iter().zip(self.truth);
            let predicted: Vec<bool> =
                predicted.map(|(&channel, &t)| is_label(channel) && t != IGNORED).collect();
            let ml = |mask: &[bool]| mask.iter().filter(|inside| **inside).count() as f64 * voxel_ml;
            let annotated = union.is_annotated(self.annotated);
            let SurfaceOptions { measure, tolerance_mm } = surfaces;
            let distances = annotated
                .then(|| surface::compare(measure, &drawn, &predicted, self.grid, tolerance_mm))
                .flatten();
            let volumes = annotated.then(|| Volumes::of(&drawn, &predicted, voxel_ml));
            let lesions = annotated.then(|| Lesions::of(&drawn, &predicted, self.grid.shape));
            let score = StructureScore {
                case_id: self.case_id.to_owned(),
                label: label.value,
                name: label.name.clone(),
                dice: annotated.then(|| dice::of_masks(&predicted, &drawn)).flatten(),
                surface_dice: distances.map(|found| found.surface_dice),
                hd95_mm: distances.map(|found| found.hd95_mm),
                drawn_ml: ml(&drawn),
                predicted_ml: ml(&predicted),
                annotated,
            };
            EvaluationRow {
                score,
                false_positive_ml: volumes.map(|volumes| volumes.false_positive_ml),
                false_negative_ml: volumes.map(|volumes| volumes.false_negative_ml),
                lesions: lesions.map(|lesions| lesions.drawn),
                lesions_found: lesions.map(|lesions| lesions.found),
                predicted_lesions: lesions.map(|lesions| lesions.predicted),
                false_positive_lesions: lesions.map(|lesions| lesions.false_positive),
            }
        };
        structures.par_iter().map(row).collect()
    }
}

/// Means over cases for each label, then over the labels; the last is called "mean".
pub fn summary(labels: &[Label], rows: &[EvaluationRow]) -> Vec<EvaluationSummary> {
    let of_label = |label: &Label| {
        let rows: Vec<&EvaluationRow> = rows.iter().filter(|row| row.score.label == label.value).collect();
        let over =
            |figure: fn(&EvaluationRow) -> Option<f64>| mean(rows.iter().filter_map(|row| figure(row)));
        EvaluationSummary {
            name: label.name.clone(),
            cases: rows.iter().filter(|row| row.score.dice.is_some()).count(),
            dice: over(|row| row.score.dice),
            surface_dice: over(|row| row.score.surface_dice),
            hd95_mm: over(|row| row.score.hd95_mm),
            detection: Detection::of(&rows.iter().filter_map(|row| row.volumes()).collect::<Vec<_>>()),
            lesions: Some(LesionDetection::of(
                &rows.iter().filter_map(|row| row.lesions()).collect::<Vec<_>>(),
            )),
        }
    };
    let mut all: Vec<EvaluationSummary> = labels.iter().map(of_label).collect();
    let over = |figure: fn(&EvaluationSummary) -> Option<f64>| mean(all.iter().filter_map(figure));
    let whole = EvaluationSummary {
        name: "mean".to_owned(),
        cases: all.iter().map(|label| label.cases).max().unwrap_or(0),
        dice: over(|label| label.dice),
        surface_dice: over(|label| label.surface_dice),
        hd95_mm: over(|label| label.hd95_mm),
        detection: Detection::mean_of(&all.iter().map(|label| &label.detection).collect::<Vec<_>>()),
        lesions: None,
    };
    all.push(whole);
    all
}
