//! Evaluation of a run on validation or test cases, on their original grids: Dice, surface Dice,
//! HD95, volumes and detection.

use std::path::{Path, PathBuf};

use pdl_cohort::attributes::Split;
use pdl_io::nifti;
use pdl_metrics::scores::{
    EvaluationRow, EvaluationSummary, SCHEMA_VERSION, ScoredCase, SurfaceOptions, facts, schema, summary,
};
use pdl_metrics::surface::VoxelGrid;
use pdl_store::json;
use pdl_store::safe_path::SafePath;
use pdl_store::table::{self, Metadata};
use pdl_volume::Grid;

use crate::data::case::Case;
use crate::data::dataset::{Dataset, EvalCase};
use crate::error::{FitError, Record, Result};
use crate::inference::ensemble::Ensemble;
use crate::inference::model::Model;
use crate::inference::postprocessing::{self, ComponentFilter, ComponentTrials, Postprocessing};

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
    /// Dice with and without the removal of components.
    pub components: ComponentTrials,
}

/// How predictions are made and measured.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationOptions {
    /// How surfaces are compared.
    pub surfaces: SurfaceOptions,
    /// Components that are removed from the predictions before they are measured.
    pub filter: ComponentFilter,
}

/// Name of the table in a run's folder.
pub fn file_name(split: Split) -> String {
    format!("evaluation-{split}.parquet")
}

/// Predicts every case of a split, and writes `RUN/evaluation-SPLIT.parquet` and the label maps
/// `RUN/predictions/SPLIT/CASE.nii.gz` on the original grids. On the validation set it also decides
/// for which labels smaller components are removed on request: `RUN/postprocessing.json`, unless
/// the folds of a cross-validation have decided that together.
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
    let options = EvaluationOptions { surfaces, filter: ComponentFilter::default() };
    let channels = |case: &Case, whole: &Grid| model.predictor().channels(case, whole);
    let scorer = Scorer { model, channels: &channels, options: &options };
    scorer.of_split(run, out, split, Vec::new(), watch)
}

/// Like [`evaluate`], with the copies of an ensemble of one network, and with options.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_with(
    ensemble: &Ensemble,
    run: &Path,
    out: &Path,
    split: Split,
    options: &EvaluationOptions,
    watch: &mut dyn FnMut(&str),
) -> Result<Evaluation> {
    let channels = |case: &Case, whole: &Grid| ensemble.channels(case, whole);
    let scorer = Scorer { model: ensemble.first(), channels: &channels, options };
    scorer.of_split(run, out, split, prediction_facts(ensemble, options), watch)
}

/// How predictions were made where that is not the default, for the metadata of a table.
pub(crate) fn prediction_facts(ensemble: &Ensemble, options: &EvaluationOptions) -> Metadata {
    let names = |axes: &[bool; 3]| {
        let mirrored = ["z", "y", "x"].into_iter().zip(axes).filter(|(_, mirrored)| **mirrored);
        mirrored.map(|(axis, _)| axis).collect::<Vec<_>>().join(",")
    };
    // The last copy is mirrored along all axes.
    let mirrored = ensemble.copies().last().map(names).filter(|axes| !axes.is_empty());
    let labels = &ensemble.first().record.labels;
    let filtered = options.filter.channels.iter().filter_map(|channel| labels.get(usize::from(*channel) - 1));
    let mut filtered: Vec<&str> = filtered.map(|label| label.name.as_str()).collect();
    if options.filter.all_labels {
        filtered.insert(0, "all labels");
    }
    let filtered = (!filtered.is_empty()).then(|| filtered.join(", "));
    let networks = (ensemble.models().len() > 1).then(|| ensemble.models().len().to_string());
    let facts =
        [("pdl.networks", networks), ("pdl.mirror_tta", mirrored), ("pdl.largest_component", filtered)];
    facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Predicts cases and measures the predictions.
pub(crate) struct Scorer<'a> {
    /// The network, or one of several with the same labels.
    pub model: &'a Model,
    /// Channel of every voxel (z, y, x) of the RAS+ grid of a case.
    pub channels: &'a dyn Fn(&Case, &Grid) -> Result<Vec<u8>>,
    pub options: &'a EvaluationOptions,
}

impl Scorer<'_> {
    fn of_split(
        &self,
        run: &Path,
        out: &Path,
        split: Split,
        mut further: Metadata,
        watch: &mut dyn FnMut(&str),
    ) -> Result<Evaluation> {
        let folder = Dataset::open(out)?;
        let record = &self.model.record;
        if folder.manifest.info.hashes.manifest != record.manifest_blake3 {
            return Err(FitError::OtherManifest { record: Record::Run, path: out.to_owned() });
        }
        let cases = folder.held_out(out, split, false)?;
        if cases.is_empty() {
            return Err(FitError::NoData { split, path: out.to_owned() });
        }
        let file = run.join(file_name(split));
        table::refuse_newer(&file, SCHEMA_VERSION)?;
        json::refuse_newer(&run.join(postprocessing::FILE), postprocessing::SCHEMA_VERSION)?;
        let predictions = SafePath::new(run, Path::new("predictions").join(split.to_string()))?.create()?;
        let (mut rows, mut components) = (Vec::new(), ComponentTrials::default());
        for case in &cases {
            rows.extend(self.of_case(case, &predictions, &mut components)?);
            watch(&case.case.case_id);
        }
        let mut metadata = facts(self.options.surfaces);
        metadata.append(&mut further);
        table::write_rows(&file, &schema(), &rows, metadata)?;
        let weights = &record.results.weights_blake3;
        let decided = Postprocessing::read(run, weights)?;
        // A decision over the cases of all folds rests on more than this one's.
        if split == Split::Val && !decided.is_some_and(|decision| decision.is_joint()) {
            let weights = vec![weights.clone()];
            decide(&components, self.model, run, weights)?;
        }
        let summary = summary(&record.structures(), &rows);
        Ok(Evaluation { rows, summary, file, predictions, components })
    }

    /// Predicts a case, writes its label map to the folder `predictions`, and measures it.
    pub(crate) fn of_case(
        &self,
        case: &EvalCase,
        predictions: &Path,
        components: &mut ComponentTrials,
    ) -> Result<Vec<EvaluationRow>> {
        let whole = case.stored.to_ras();
        let mut channels = (self.channels)(&case.case, &whole)?;
        let truth = case.truth()?;
        components.add(&channels, &truth, &case.case.annotated, case.shape);
        self.options.filter.apply(&mut channels, case.shape);
        let path = predictions.join(format!("{}.nii.gz", case.case.case_id));
        nifti::write_labels(&path, &self.model.to_labels(&channels, case.stored)?)?;
        let [x, y, z] = whole.spacing_mm();
        let scored = ScoredCase {
            case_id: &case.case.case_id,
            grid: VoxelGrid { shape: case.shape, spacing_mm: [z, y, x] },
            truth: &truth,
            prediction: &channels,
            annotated: &case.case.annotated,
        };
        Ok(scored.rows(&self.model.record.measured(), self.options.surfaces))
    }
}

/// Decides for which labels smaller components are removed, and writes that to a run's folder.
pub(crate) fn decide(
    components: &ComponentTrials,
    model: &Model,
    run: &Path,
    weights_blake3: Vec<String>,
) -> Result<Postprocessing> {
    let decision = components.decide(&model.record.labels, weights_blake3);
    decision.write(run)?;
    Ok(decision)
}
