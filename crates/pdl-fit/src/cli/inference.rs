//! What the commands that apply a network share.

use pdl_console::say;
use pdl_fit::metrics::{
    Detection, Evaluation, EvaluationSummary, LesionDetection, SurfaceMeasure, SurfaceOptions,
};
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

/// Prints the lesion-wise detection of labels whose lesions differ in number between cases.
fn print_lesions(summary: &[EvaluationSummary], width: usize) {
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let lesions = |label: &'_ EvaluationSummary| label.lesions.clone().filter(|lesions| lesions.lesions_vary);
    let varying: Vec<_> = summary.iter().filter_map(|label| Some((&label.name, lesions(label)?))).collect();
    if varying.is_empty() {
        return;
    }
    say(&format!(
        "{:<width$}  {:>7}  {:>9}  {:>11}  {:>9}  {:>22}",
        "label", "lesions", "predicted", "sensitivity", "precision", "false positives a case"
    ));
    for (name, detection) in varying {
        let LesionDetection { lesions, predicted_lesions, .. } = detection;
        let (found, right) = (figure(detection.lesion_sensitivity), figure(detection.lesion_precision));
        let made_up = figure(detection.false_positive_lesions_per_case);
        say(&format!(
            "{name:<width$}  {lesions:>7}  {predicted_lesions:>9}  {found:>11}  {right:>9}  {made_up:>22}"
        ));
    }
}

/// A sentence for each label that is predicted in cases that do not have it, of which Dice says
/// nothing.
fn false_structures(summary: &[EvaluationSummary]) -> Vec<String> {
    let labels = summary.iter().filter(|label| label.lesions.is_some());
    let sentence = |label: &EvaluationSummary| {
        let Detection { cases_without, specificity, false_positive_ml, .. } = &label.detection;
        let made_up = cases_without - ((*specificity)? * *cases_without as f64).round() as usize;
        let ml = (*false_positive_ml)?;
        (made_up > 0).then(|| {
            format!(
                "{} is predicted in {made_up} of {cases_without} cases that do not have it, {ml:.2} ml in each on average",
                label.name
            )
        })
    };
    labels.filter_map(sentence).collect()
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
    print_lesions(&evaluation.summary, width);
    false_structures(&evaluation.summary).iter().for_each(|line| say(line));
    say(&format!("wrote {}", evaluation.file.display()));
    say(&format!("wrote {}", evaluation.predictions.display()));
}
