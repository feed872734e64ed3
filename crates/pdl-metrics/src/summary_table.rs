//! The figures of an evaluation as lines of text, which the programs print.

use crate::detection::Detection;
use crate::lesions::LesionDetection;
use crate::scores::{EvaluationSummary, SurfaceOptions};
use crate::surface::SurfaceMeasure;

/// A line of figures for each label and for their mean, and another table of its detection.
pub fn summary_lines(summary: &[EvaluationSummary], surfaces: SurfaceOptions) -> Vec<String> {
    let width = summary.iter().map(|label| label.name.chars().count()).max().unwrap_or(0).max(5);
    let figure = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    let within = format!("within {} mm", surfaces.tolerance_mm);
    let mut lines =
        vec![format!("{:<width$}  {:>5}  {:>6}  {within:>12}  {:>8}", "label", "cases", "Dice", "HD95, mm")];
    for EvaluationSummary { name, cases, dice, surface_dice, hd95_mm, .. } in summary {
        let (dice, surface, hd95) = (figure(*dice, 4), figure(*surface_dice, 4), figure(*hd95_mm, 2));
        lines.push(format!("{name:<width$}  {cases:>5}  {dice:>6}  {surface:>12}  {hd95:>8}"));
    }
    if surfaces.measure == SurfaceMeasure::Voxel {
        lines.push("surface Dice and HD95 count surface voxels (--surface voxel)".to_owned());
    }
    lines.push(format!(
        "{:<width$}  {:>7}  {:>6}  {:>11}  {:>11}  {:>18}  {:>18}",
        "label",
        "present",
        "absent",
        "sensitivity",
        "specificity",
        "false positive, ml",
        "false negative, ml"
    ));
    for EvaluationSummary { name, detection, .. } in summary {
        let Detection { cases_with, cases_without, .. } = detection;
        let (found, clear) = (figure(detection.sensitivity, 3), figure(detection.specificity, 3));
        let [made_up, missed] =
            [detection.false_positive_ml, detection.false_negative_ml].map(|ml| figure(ml, 2));
        lines.push(format!(
            "{name:<width$}  {cases_with:>7}  {cases_without:>6}  {found:>11}  {clear:>11}  {made_up:>18}  {missed:>18}"
        ));
    }
    lines.extend(lesion_lines(summary, width));
    lines.extend(false_structures(summary));
    lines
}

/// The lesion-wise detection of labels whose lesions differ in number between cases.
fn lesion_lines(summary: &[EvaluationSummary], width: usize) -> Vec<String> {
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let lesions = |label: &'_ EvaluationSummary| label.lesions.clone().filter(|lesions| lesions.lesions_vary);
    let varying: Vec<_> = summary.iter().filter_map(|label| Some((&label.name, lesions(label)?))).collect();
    if varying.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!(
        "{:<width$}  {:>7}  {:>9}  {:>11}  {:>9}  {:>22}",
        "label", "lesions", "predicted", "sensitivity", "precision", "false positives a case"
    )];
    for (name, detection) in varying {
        let LesionDetection { lesions, predicted_lesions, .. } = detection;
        let (found, right) = (figure(detection.lesion_sensitivity), figure(detection.lesion_precision));
        let made_up = figure(detection.false_positive_lesions_per_case);
        lines.push(format!(
            "{name:<width$}  {lesions:>7}  {predicted_lesions:>9}  {found:>11}  {right:>9}  {made_up:>22}"
        ));
    }
    lines
}

/// A sentence for each label that is predicted in cases without it, which Dice does not show.
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
