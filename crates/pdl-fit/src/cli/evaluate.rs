//! `pdl-fit evaluate`: a trained network on the validation or test set, or on a later cohort.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use pdl_cohort::attributes::Split;
use pdl_cohort::parameters::IndexParameters;
use pdl_console::{Display, ExitStatus, MOST_LISTED, counted, note, say, shorten};
use pdl_curriculum::format_versions;
use pdl_curriculum::manifest::{self, Manifest};
use pdl_metrics::{SurfaceMeasure, SurfaceOptions};
use pdl_store::journal::HashCheck;
use pdl_store::progress::StageContext;

use crate::cli::inference::{InferenceArgs, PredictionArgs, print_evaluation};
use crate::inference::ensemble::Ensemble;
use crate::inference::postprocessing::{FILE as POSTPROCESSING_FILE, Postprocessing};
use crate::metrics::evaluate::{Evaluation, EvaluationOptions, evaluate_with};
use crate::metrics::evaluate_cohort::{CohortEvaluation, CohortRequest, evaluate_cohort};
use crate::plan::settings::parse_memory;

/// Arguments of `pdl-fit evaluate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a finished run inside its curation folder, such as OUT/runs/pdl-seed1. With
    /// --cohort several runs may be given; their mean probabilities are evaluated.
    #[arg(required = true)]
    run: Vec<PathBuf>,
    /// Cases to measure on. The test set is for final figures: choose settings on the validation
    /// set.
    #[arg(long, value_enum, default_value_t = EvaluatedSplit::Val)]
    split: EvaluatedSplit,
    #[command(flatten)]
    prediction: PredictionArgs,
    /// Largest distance at which two surfaces count as the same, mm [default: 3 for CT, 1 for
    /// others].
    #[arg(long, value_name = "MM")]
    tolerance: Option<f64>,
    /// How surface Dice and HD95 count surfaces.
    #[arg(long, value_enum, default_value_t = SurfaceMeasure::Area)]
    surface: SurfaceMeasure,
    /// Another labelled cohort: a folder or a table as for `pdl curate`, or imagesTs of an nnU-Net
    /// dataset with labelsTs beside it. Its images and labels are read with the options of the
    /// training cohort; labels are matched by name, or by value if the cohort names none.
    #[arg(long, value_name = "COHORT", conflicts_with = "split", help_heading = "Another cohort")]
    cohort: Option<PathBuf>,
    /// Name of the results on that cohort [default: the name of its folder or table].
    #[arg(long, value_name = "NAME", requires = "cohort", help_heading = "Another cohort")]
    name: Option<String>,
    /// Folder of evaluation-NAME.parquet, predictions/NAME and cohorts/NAME; the first run's when
    /// not given.
    #[arg(long, value_name = "FOLDER", requires = "cohort", help_heading = "Another cohort")]
    out: Option<PathBuf>,
    /// Memory limit for a case of that cohort, such as 8GiB; half of the free memory when not
    /// given.
    #[arg(
        long,
        value_name = "SIZE",
        value_parser = parse_memory,
        requires = "cohort",
        help_heading = "Another cohort"
    )]
    memory: Option<u64>,
    #[command(flatten)]
    inference: InferenceArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum EvaluatedSplit {
    /// Validation cases.
    Val,
    /// Test cases.
    Test,
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus> {
    let Args { run: runs, tolerance, surface, prediction, inference, .. } = args;
    let several = "several runs are evaluated together with --cohort alone: validation cases of one may be training cases \
                   of another";
    ensure!(runs.len() == 1 || args.cohort.is_some(), "{several}");
    let ensemble = Ensemble::load(runs, prediction.mirror(), inference.device, inference.threads)?;
    let defaults = SurfaceOptions::default_of(ensemble.first().record.preparation.modality);
    let surfaces =
        SurfaceOptions { measure: *surface, tolerance_mm: tolerance.unwrap_or(defaults.tolerance_mm) };
    let filter = prediction.filter(&ensemble, runs)?;
    let options = EvaluationOptions { surfaces, filter };
    match &args.cohort {
        Some(cohort) => of_cohort(args, &ensemble, cohort, &options),
        None => of_split(args, &ensemble, &options),
    }
}

/// The curation folder of a run: OUT of OUT/runs/NAME, OUT/folds/K/runs/NAME or
/// OUT/comparison/runs/NAME.
fn curation_folder(run: &Path) -> Result<Option<PathBuf>> {
    let path = run.canonicalize()?;
    let out = path.ancestors().find(|folder| folder.join(manifest::INFO_FILE).exists());
    Ok(out.map(Path::to_owned))
}

fn of_split(args: &Args, ensemble: &Ensemble, options: &EvaluationOptions) -> Result<ExitStatus> {
    let run = &args.run[0];
    let out = curation_folder(run)?;
    let out = out.with_context(|| format!("the run is not in a curation folder: {}", run.display()))?;
    format_versions::check(&out)?;
    let split = match args.split {
        EvaluatedSplit::Val => Split::Val,
        EvaluatedSplit::Test => Split::Test,
    };
    let evaluation = evaluate_with(ensemble, run, &out, split, options, &mut |case| note(case))?;
    print(args, &evaluation, options)?;
    if split == Split::Val && !args.inference.json {
        let decided = Postprocessing::read(run, &ensemble.first().record.results.weights_blake3)?;
        let file = run.join(POSTPROCESSING_FILE);
        say(&match decided.is_some_and(|decision| decision.is_joint()) {
            true => format!("unchanged, decided over all folds: {}", file.display()),
            false => format!("wrote {}", file.display()),
        });
    }
    Ok(ExitStatus::Done)
}

fn of_cohort(
    args: &Args,
    ensemble: &Ensemble,
    cohort: &Path,
    options: &EvaluationOptions,
) -> Result<ExitStatus> {
    let run = &args.run[0];
    let curation = curation_folder(run)?;
    let parameters = match &curation {
        Some(out) => Manifest::open(out)?.info.index,
        None => {
            note(
                "note: the run is not in its curation folder, so options of reading labels are unknown: they are read \
                 unchanged",
            );
            of_reading(ensemble)
        }
    };
    let of_path = || cohort.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = args.name.clone().unwrap_or_else(of_path);
    let folder = args.out.as_ref().unwrap_or(run);
    let request = CohortRequest { cohort, name: &name, folder, parameters, curation: curation.as_deref() };
    let display = Display::new();
    let stage = StageContext { hash_check: HashCheck::Stamps, progress: &display, memory: args.memory };
    let found = evaluate_cohort(ensemble, &request, options, stage, &mut |case| {
        display.clear();
        note(case);
    });
    display.clear();
    let CohortEvaluation { evaluation, rejected, notes } = found?;
    notes.iter().for_each(|text| note(&format!("note: {text}")));
    if !rejected.is_empty() {
        note(&format!("warning: {} could not be used:", counted(rejected.len(), "case")));
        let (listed, more) = shorten(&rejected, MOST_LISTED);
        listed.iter().for_each(|(case, reason)| note(&format!("  {case}: {reason}")));
        if more > 0 {
            note(&format!("  and {more} more: {}", folder.join("cohorts").join(&name).display()));
        }
    }
    print(args, &evaluation, options)?;
    Ok(ExitStatus::Done)
}

/// How images are read, as the run records it.
fn of_reading(ensemble: &Ensemble) -> IndexParameters {
    let reading = ensemble.first().record.reading.clone().unwrap_or_default();
    IndexParameters {
        orientation: reading.orientation,
        channel: reading.channel,
        channels: reading.channels,
        resample_channels: reading.resample_channels,
        frame: reading.frame,
        stack_spacing: reading.stack_spacing,
        stack_axes: reading.stack_axes,
        mr_rescale: reading.mr_rescale,
        pet_units: reading.pet_units,
        ..IndexParameters::default()
    }
}

fn print(args: &Args, evaluation: &Evaluation, options: &EvaluationOptions) -> Result<()> {
    if args.inference.json {
        say(&serde_json::to_string_pretty(&evaluation.summary)?);
    } else {
        print_evaluation(evaluation, options.surfaces);
    }
    Ok(())
}
