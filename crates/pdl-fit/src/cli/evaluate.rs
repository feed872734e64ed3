//! `pdl-fit evaluate`: a trained network on the validation or test set.

use std::path::PathBuf;

use anyhow::{Context, Result};
use pdl_cohort::attributes::Split;
use pdl_console::{ExitStatus, note, say};
use pdl_curriculum::manifest;
use pdl_fit::inference::Model;
use pdl_fit::metrics::{SurfaceMeasure, SurfaceOptions, evaluate};

use crate::cli::inference::{InferenceArgs, print_evaluation};

/// Arguments of `pdl-fit evaluate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a finished run inside its curation folder, such as OUT/runs/pdl-seed1.
    run: PathBuf,
    /// Cases to measure on. The test set is for final figures: choose settings on the validation
    /// set.
    #[arg(long, value_enum, default_value_t = EvaluatedSplit::Val)]
    split: EvaluatedSplit,
    /// Largest distance at which two surfaces count as the same, mm [default: 3 for CT, 1 for
    /// others].
    #[arg(long, value_name = "MM")]
    tolerance: Option<f64>,
    /// What surface Dice and HD95 are measured by.
    #[arg(long, value_enum, default_value_t = SurfaceMeasure::Area)]
    surface: SurfaceMeasure,
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
    let Args { run, split, tolerance, surface, inference } = args;
    let model = Model::load(run, inference.device, inference.threads)?;
    // OUT/runs/NAME, OUT/folds/K/runs/NAME or OUT/comparison/runs/NAME
    let path = run.canonicalize()?;
    let out = path.ancestors().find(|folder| folder.join(manifest::INFO_FILE).exists());
    let out = out.with_context(|| format!("the run is not in a curation folder: {}", run.display()))?;
    let modality = model.record.preparation.modality;
    let defaults = SurfaceOptions::default_of(modality);
    let surfaces =
        SurfaceOptions { measure: *surface, tolerance_mm: tolerance.unwrap_or(defaults.tolerance_mm) };
    let split = match split {
        EvaluatedSplit::Val => Split::Val,
        EvaluatedSplit::Test => Split::Test,
    };
    let evaluation = evaluate(&model, run, out, split, surfaces, &mut |case| note(case))?;
    if inference.json {
        say(&serde_json::to_string_pretty(&evaluation.summary)?);
    } else {
        print_evaluation(&evaluation, surfaces);
    }
    Ok(ExitStatus::Done)
}
