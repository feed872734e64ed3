//! What the commands that apply a network share.

use pdl_console::say;
use pdl_fit::metrics::{Detection, Evaluation, EvaluationSummary, SurfaceMeasure, SurfaceOptions};
use pdl_fit::plan::DeviceChoice;

/// Where a trained network runs, and how its results are printed.
#[derive(Debug, clap::Args)]
pub(crate) struct InferenceArgs {
    /// Device that the network runs on.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Threads of the network [default: all cores].
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Prints rows of figures for each label, and the files that were written.
pub(crate) fn print_evaluation(evaluation: &Evaluation, surfaces: SurfaceOptions) {
    let width = evaluation.summary.iter().map(|label| label.name.chars().count()).max().unwrap_or(0).max(5);
    let figure = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    let within = format!("within {} mm", surfaces.tolerance_mm);
    say(&format!("{:<width$}  {:>5}  {:>6}  {within:>12}  {:>8}", "label", "cases", "Dice", "HD95, mm"));
    for EvaluationSummary { name, cases, dice, surface_dice, hd95_mm, .. } in &evaluation.summary {
        let (dice, surface, hd95) = (figure(*dice, 4), figure(*surface_dice, 4), figure(*hd95_mm, 2));
        say(&format!("{name:<width$}  {cases:>5}  {dice:>6}  {surface:>12}  {hd95:>8}"));
    }
    if surfaces.measure == SurfaceMeasure::Voxel {
        say("surface Dice and HD95 count surface voxels (--surface voxel)");
    }
    say(&format!(
        "{:<width$}  {:>5}  {:>7}  {:>11}  {:>11}  {:>18}  {:>18}",
        "label", "with", "without", "sensitivity", "specificity", "false positive, ml", "false negative, ml"
    ));
    for EvaluationSummary { name, detection, .. } in &evaluation.summary {
        let Detection { cases_with, cases_without, .. } = detection;
        let (found, clear) = (figure(detection.sensitivity, 3), figure(detection.specificity, 3));
        let [made_up, missed] =
            [detection.false_positive_ml, detection.false_negative_ml].map(|ml| figure(ml, 2));
        say(&format!(
            "{name:<width$}  {cases_with:>5}  {cases_without:>7}  {found:>11}  {clear:>11}  {made_up:>18}  {missed:>18}"
        ));
    }
    say(&format!("wrote {}", evaluation.file.display()));
    say(&format!("wrote {}", evaluation.predictions.display()));
}
