//! Cross-validation: the folds that `pdl rank --folds` wrote are trained in turn, and each network
//! is evaluated on the validation cases of its fold, so that every case outside the test split is
//! measured once by a network that has not seen it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, Schema};
use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::{FOLDS_FOLDER, INFO_FILE, Manifest};
use pdl_curriculum::results::{self, ResultRow};
use pdl_metrics::dice::mean;
use pdl_metrics::scores::{self, EvaluationRow, EvaluationSummary, SurfaceOptions};
use pdl_store::table::{self, column, nullable};
use pdl_store::{StoreError, fault, regular_file};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{FitError, Result};
use crate::inference::model::Model;
use crate::inference::postprocessing::{ComponentTrials, Postprocessing};
use crate::metrics::evaluate::evaluate;
use crate::train::training::{Event, Outcome, TrainRequest, train};

/// Name of the table in the curation folder.
pub const FILE: &str = "out_of_fold.parquet";
/// Column of `results.parquet` with the mean out-of-fold Dice of each case.
pub const RESULTS_COLUMN: &str = "out_of_fold_dice";

/// Metrics of one case and label, by the network of the fold in which the case was held out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutOfFoldRow {
    /// Name of the folds' runs.
    pub run: String,
    /// Number of the fold, from 0.
    pub fold: u32,
    /// Identifier in the manifest.
    pub case_id: String,
    /// Value of the label.
    pub label: u16,
    /// Name of the label.
    pub name: String,
    /// Dice; null if the label is absent from both or not annotated.
    pub dice: Option<f64>,
    /// Fraction of both surfaces within the tolerance of the other.
    pub surface_dice: Option<f64>,
    /// Larger of the two directed 95th percentiles of surface distances, mm.
    pub hd95_mm: Option<f64>,
    /// Volume of the reference segmentation, ml.
    pub drawn_ml: f64,
    /// Volume of the prediction, ml.
    pub predicted_ml: f64,
    /// Whether the case was annotated for the label.
    pub annotated: bool,
}

/// Columns of the table.
pub fn schema() -> Schema {
    use DataType::{Boolean, Float64, UInt16, UInt32, Utf8};
    Schema::new(vec![
        column("run", Utf8),
        column("fold", UInt32),
        column("case_id", Utf8),
        column("label", UInt16),
        column("name", Utf8),
        nullable("dice", Float64),
        nullable("surface_dice", Float64),
        nullable("hd95_mm", Float64),
        column("drawn_ml", Float64),
        column("predicted_ml", Float64),
        column("annotated", Boolean),
    ])
}

/// Progress of a cross-validation, for a display.
#[derive(Debug)]
pub enum FoldEvent<'a> {
    /// A fold starts: its number from 0, and the number of folds.
    Begins(u32, u32),
    /// Progress of its training.
    Training(&'a Event<'a>),
    /// The mean validation Dice of a fold; `None` if no case counts.
    Evaluated(u32, Option<f64>),
}

/// Result of a cross-validation.
#[derive(Debug)]
pub struct CrossValidation {
    /// The folds' runs, by fold.
    pub runs: Vec<Outcome>,
    /// Means over the cases of all folds for each label, then over the labels.
    pub summary: Vec<EvaluationSummary>,
    /// The labels whose smaller components are removed on request, decided on the cases of all
    /// folds.
    pub postprocessing: Postprocessing,
    /// How surfaces were compared.
    pub surfaces: SurfaceOptions,
    /// File of the table.
    pub file: PathBuf,
}

/// Trains the folds of the curation folder `request.out` in turn, or resumes them, evaluates each
/// on its validation cases, and writes `out_of_fold.parquet` and the column `out_of_fold_dice` of
/// `results.parquet`. Finished runs are kept.
///
/// # Errors
/// [`FitError::Folds`] if the folds are missing or incomplete; as [`train`].
pub fn cross_validate(
    request: &TrainRequest,
    watch: &mut dyn FnMut(&FoldEvent<'_>),
) -> Result<CrossValidation> {
    let folds = folds_of(&request.out)?;
    let count = folds.len() as u32;
    let (mut runs, mut rows) = (Vec::new(), Vec::new());
    let (mut components, mut weights) = (ComponentTrials::default(), Vec::new());
    let mut measured = None;
    for (fold, folder) in (0..count).zip(folds) {
        watch(&FoldEvent::Begins(fold, count));
        let of_fold = TrainRequest { out: folder, ..request.clone() };
        let outcome = train(&of_fold, &mut |event| watch(&FoldEvent::Training(event)))?;
        let model = Model::load(&outcome.folder, request.settings.device, request.settings.threads)?;
        let surfaces = SurfaceOptions::default_of(model.record.preparation.modality);
        let evaluation = evaluate(&model, &outcome.folder, &of_fold.out, Split::Val, surfaces, &mut |_| {})?;
        watch(&FoldEvent::Evaluated(fold, evaluation.summary.last().and_then(|mean| mean.dice)));
        rows.extend(evaluation.rows.into_iter().map(|row| (fold, row)));
        components.append(evaluation.components);
        weights.push(model.record.results.weights_blake3.clone());
        runs.push(outcome);
        measured = Some((surfaces, model.record.labels));
    }
    let Some((surfaces, labels)) = measured else {
        return Err(FitError::Folds { problem: "there is none".to_owned(), path: request.out.clone() });
    };
    let postprocessing = components.decide(&labels, weights);
    for run in &runs {
        postprocessing.write(&run.folder)?;
    }
    let name = runs.first().map(|run| run.record.name.clone()).unwrap_or_default();
    let file = write(&request.out, &name, &rows)?;
    let rows: Vec<EvaluationRow> = rows.into_iter().map(|(_, row)| row).collect();
    Ok(CrossValidation { runs, summary: scores::summary(&labels, &rows), postprocessing, surfaces, file })
}

/// The folders of all folds of a curation folder, by their numbers.
fn folds_of(out: &Path) -> Result<Vec<PathBuf>> {
    let folder = out.join(FOLDS_FOLDER);
    let refused = |problem: String| FitError::Folds { problem, path: folder.clone() };
    let first = folder.join("0");
    if !fault::is_file(&first.join(INFO_FILE)).map_err(StoreError::io("look at the file", &first))? {
        return Err(refused("there is none; `pdl rank OUT --folds 5` writes them".to_owned()));
    }
    let own = Manifest::open(&first)?.info;
    let folds = own.fold.map_or(0, |fold| fold.folds);
    let mut found = Vec::new();
    for number in 0..folds {
        let of_fold = folder.join(number.to_string());
        let missing =
            format!("fold {number} of {folds} is missing; `pdl rank OUT --folds {folds}` writes all");
        if !regular_file::is_there(&of_fold.join(INFO_FILE))? {
            return Err(refused(missing));
        }
        let info = Manifest::open(&of_fold)?.info;
        let same = info.fold.is_some_and(|fold| (fold.fold, fold.folds) == (number, folds));
        if !same || info.hashes.cases != own.hashes.cases || info.hashes.plan != own.hashes.plan {
            return Err(refused(format!(
                "fold {number} is of another division or cohort than fold 0; `pdl rank OUT --folds {folds}` writes all \
                 again"
            )));
        }
        found.push(of_fold);
    }
    Ok(found)
}

/// Writes the rows of a run's folds, beside those of other runs, and the mean Dice of every case.
fn write(out: &Path, run: &str, rows: &[(u32, EvaluationRow)]) -> Result<PathBuf> {
    let file = out.join(FILE);
    let is_there = fault::is_file(&file).map_err(StoreError::io("look at the file", &file))?;
    let mut all: Vec<OutOfFoldRow> = if is_there { table::read_rows(&file)?.0 } else { Vec::new() };
    all.retain(|row| row.run != run);
    all.extend(rows.iter().map(|(fold, row)| OutOfFoldRow {
        run: run.to_owned(),
        fold: *fold,
        case_id: row.case_id.clone(),
        label: row.label,
        name: row.name.clone(),
        dice: row.dice,
        surface_dice: row.surface_dice,
        hd95_mm: row.hd95_mm,
        drawn_ml: row.drawn_ml,
        predicted_ml: row.predicted_ml,
        annotated: row.annotated,
    }));
    all.sort_by(|a, b| (&a.run, &a.case_id, a.label).cmp(&(&b.run, &b.case_id, b.label)));
    table::write_rows(&file, &schema(), &all, Vec::new())?;
    let mut by_case: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (_, row) in rows {
        by_case.entry(&row.case_id).or_default().extend(row.dice);
    }
    let figure = |(case, dice): (&str, Vec<f64>)| {
        let value = mean(dice.into_iter())?;
        Some(ResultRow { case_id: case.to_owned(), column: RESULTS_COLUMN.to_owned(), value })
    };
    results::add(out, by_case.into_iter().filter_map(figure).collect())?;
    Ok(file)
}
