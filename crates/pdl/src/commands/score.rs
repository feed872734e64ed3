//! `pdl score`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use pdl_cohort::attributes::Modality;
use pdl_console::{ExitStatus, MOST_LISTED, counted, note, say, shorten};
use pdl_metrics::folders::{self, FolderScores, LabelNames, Unscored};
use pdl_metrics::scores::{self, EvaluationSummary};
use pdl_metrics::summary_table::summary_lines;
use pdl_metrics::{SurfaceMeasure, SurfaceOptions};
use pdl_store::memory::MemoryLimit;
use pdl_store::table;
use serde_json::json;

use crate::context::{Context, say_json};
use crate::preconditions::Requirements;

/// Arguments of `pdl score`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of predicted label maps, such as that of `pdl-fit predict` or nnUNetv2_predict.
    predictions: PathBuf,
    /// Folder of reference label maps with the same file names, such as labelsTs.
    labels: PathBuf,
    /// The dataset.json that names the labels; when not given the one in LABELS, PREDICTIONS or
    /// beside them. Without one labels are named by their values.
    #[arg(long, value_name = "FILE")]
    dataset_json: Option<PathBuf>,
    /// Tolerance of surface Dice: distance up to which surfaces agree, mm [default: 3 if
    /// dataset.json states CT, else 1].
    #[arg(long, value_name = "MM")]
    tolerance: Option<f64>,
    /// How surface Dice and HD95 count surfaces.
    #[arg(long, value_enum, default_value_t = SurfaceMeasure::Area)]
    surface: SurfaceMeasure,
    /// Write a row for every case and label to this Parquet file, with the columns of
    /// evaluation-SPLIT.parquet of `pdl-fit evaluate`; none is written when not given.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements { threads: true, ..Requirements::default() }
    }
}

/// Compares two folders of label maps and prints the means for each label.
///
/// # Errors
/// When a folder holds no label maps, no names agree or no case could be compared;
/// `ExitStatus::Strict` with `--strict` when a
/// case could not be scored.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    if let Some(to) = &args.to {
        check_ending(to)?;
    }
    let (names, file) = label_names(args)?;
    let tolerance_mm = args.tolerance.unwrap_or_else(|| default_tolerance_mm(&names));
    anyhow::ensure!(
        tolerance_mm >= 0.0 && tolerance_mm.is_finite(),
        "--tolerance {tolerance_mm}: expected 0 mm or more"
    );
    let surfaces = SurfaceOptions { measure: args.surface, tolerance_mm };
    let run = context.stage();
    let limit: MemoryLimit = run.memory_limit();
    let found = folders::score(&args.predictions, &args.labels, &names, surfaces, &limit, run.progress)?;
    context.display.clear();
    if found.rows.is_empty() {
        told(&found, &names, file.as_deref());
        anyhow::bail!("none of the cases could be compared");
    }
    let summary = scores::summary(&found.labels, &found.rows);
    if let Some(to) = &args.to {
        table::write_rows(to, &scores::schema(), &found.rows, scores::facts(surfaces))?;
    }
    if context.json {
        say_json(&json!({
            "summary": summary,
            "unscored": found.unscored,
            "tolerance_mm": tolerance_mm,
            "surface": args.surface.name(),
        }))?;
    } else {
        print(args, &found, &summary, surfaces);
    }
    told(&found, &names, file.as_deref());
    match found.unscored.is_empty() || !context.settings.run.strict {
        true => Ok(ExitStatus::Done),
        false => Ok(ExitStatus::Strict),
    }
}

/// Refuses a name that promises another format than the file would have.
fn check_ending(to: &Path) -> Result<()> {
    let ending = to.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    if ending.as_deref() == Some("parquet") {
        return Ok(());
    }
    let problem = "--to: a Parquet file is written, so expected a name that ends in .parquet";
    Err(ExitStatus::Usage.error(format!("{problem}: {}", to.display())).into())
}

/// The names of the labels, and the file that gives them.
fn label_names(args: &Args) -> Result<(LabelNames, Option<PathBuf>)> {
    if let Some(file) = &args.dataset_json {
        return Ok((LabelNames::read(file)?, Some(file.clone())));
    }
    let found = LabelNames::find(&[&args.labels, &args.predictions])?;
    Ok(found.map_or_else(Default::default, |(names, file)| (names, Some(file))))
}

fn default_tolerance_mm(names: &LabelNames) -> f64 {
    let is_ct = names.channel.as_deref().is_some_and(|name| name.eq_ignore_ascii_case("CT"));
    SurfaceOptions::default_of(if is_ct { Modality::CT } else { Modality::MR }).tolerance_mm
}

fn print(args: &Args, found: &FolderScores, summary: &[EvaluationSummary], surfaces: SurfaceOptions) {
    summary_lines(summary, surfaces).iter().for_each(|line| say(line));
    let cases =
        found.rows.iter().filter(|row| Some(row.score.label) == found.labels.first().map(|l| l.value));
    say(&format!("{} compared", counted(cases.count(), "case")));
    if let Some(to) = &args.to {
        say(&format!("wrote {}", to.display()));
    }
}

/// Notes about the figures.
fn told(found: &FolderScores, names: &LabelNames, file: Option<&Path>) {
    if let (Some(file), Some(problem)) = (file, &names.invalid_regions) {
        note(&format!("note: single labels are scored instead of regions ({problem}): {}", file.display()));
    }
    if found.unscored.is_empty() {
        return;
    }
    note(&format!("warning: {} not in these figures:", counted(found.unscored.len(), "case")));
    let (listed, more) = shorten(&found.unscored, MOST_LISTED);
    listed.iter().for_each(|Unscored { case_id, problem }| note(&format!("  {case_id}: {problem}")));
    if more > 0 {
        note(&format!("  and {more} more (--json lists all)"));
    }
}
