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
use pdl_metrics::scores::{self, EvaluationRow, EvaluationSummary, StructureScore, SurfaceOptions};
use pdl_store::table::{self, column};
use pdl_store::{StoreError, fault, regular_file};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{FitError, Result};
use crate::inference::model::Model;
use crate::inference::postprocessing::{ComponentTrials, Postprocessing};
use crate::metrics::evaluate::evaluate;
use crate::train::initialisation::InitialWeights;
use crate::train::training::{Event, Outcome, TrainRequest, train};

/// Name of the table in the curation folder.
pub const FILE: &str = "out_of_fold.parquet";
/// Version of the table's format.
const SCHEMA_VERSION: u32 = 1;
/// Column of `results.parquet` with the mean out-of-fold Dice of each case.
pub const RESULTS_COLUMN: &str = "out_of_fold_dice";

/// Metrics of one case and label, by the network of the fold in which the case was held out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutOfFoldRow {
    /// Name of the folds' runs.
    pub run: String,
    /// Number of the fold, from 0.
    pub fold: u32,
    /// Overlap, surfaces and volumes.
    #[serde(flatten)]
    pub score: StructureScore,
}

impl OutOfFoldRow {
    /// Sort key of a row.
    fn place(&self) -> (&str, &str, u16) {
        (&self.run, &self.score.case_id, self.score.label)
    }
}

/// Columns of the table.
pub fn schema() -> Schema {
    let of_run = [column("run", DataType::Utf8), column("fold", DataType::UInt32)];
    Schema::new(of_run.into_iter().chain(scores::score_columns()).collect::<Vec<_>>())
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
/// [`FitError::Folds`] if the folds are missing or incomplete; [`FitError::InvalidOption`] if the
/// initial weights are those of a run on the same cohort; as [`train`].
pub fn cross_validate(
    request: &TrainRequest,
    watch: &mut dyn FnMut(&FoldEvent<'_>),
) -> Result<CrossValidation> {
    table::refuse_newer(&request.out.join(FILE), SCHEMA_VERSION)?;
    let folds = folds_of(&request.out)?;
    if let Some(init) = &request.init {
        check_unseen(init, &request.out, &folds)?;
    }
    let count = folds.len() as u32;
    let (mut runs, mut rows) = (Vec::new(), Vec::new());
    let (mut components, mut weights) = (ComponentTrials::default(), Vec::new());
    let mut measured = None;
    for (fold, folder) in (0..count).zip(folds) {
        watch(&FoldEvent::Begins(fold, count));
        let of_fold = TrainRequest { out: folder, ..request.clone() };
        let outcome = train(&of_fold, &mut |event| watch(&FoldEvent::Training(event)))?;
        let model =
            Model::load(&outcome.folder, request.settings.machine.device, request.settings.machine.threads)?;
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

/// Refuses initial weights that a run on the cohort learnt: they have seen cases that a fold holds
/// out.
fn check_unseen(init: &Path, out: &Path, folds: &[PathBuf]) -> Result<()> {
    let real = |path: &Path| fault::canonical(path).map_err(StoreError::io("find the path", path));
    let is_inside = real(init)?.zip(real(out)?).is_some_and(|(init, out)| init.starts_with(out));
    let weights = InitialWeights::open(init)?;
    let learnt_from = |folder: &PathBuf| {
        let own = Manifest::open(folder)?.info.hashes.manifest;
        Ok::<bool, FitError>(weights.manifest_blake3() == Some(own.as_str()))
    };
    let whole = out.join(INFO_FILE).is_file().then(|| out.to_owned());
    let same = whole.iter().chain(folds).map(learnt_from).collect::<Result<Vec<_>>>()?;
    if is_inside || same.contains(&true) {
        let problem = "is a run on this cohort, whose weights have seen cases that the folds hold out: take one on \
                       another cohort";
        return Err(FitError::option("init", problem));
    }
    Ok(())
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
    let mut all: Vec<OutOfFoldRow> =
        if is_there { table::read_rows(&file, SCHEMA_VERSION)?.0 } else { Vec::new() };
    all.retain(|row| row.run != run);
    all.extend(rows.iter().map(|(fold, row)| OutOfFoldRow {
        run: run.to_owned(),
        fold: *fold,
        score: row.score.clone(),
    }));
    all.sort_by(|a, b| a.place().cmp(&b.place()));
    table::write_rows(&file, &schema(), &all, table::versioned(SCHEMA_VERSION))?;
    let mut by_case: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (_, row) in rows {
        by_case.entry(&row.score.case_id).or_default().extend(row.score.dice);
    }
    let figure = |(case, dice): (&str, Vec<f64>)| {
        let value = mean(dice.into_iter())?;
        Some(ResultRow { case_id: case.to_owned(), column: RESULTS_COLUMN.to_owned(), value })
    };
    results::add(out, by_case.into_iter().filter_map(figure).collect())?;
    Ok(file)
}
