//! The figures of an evaluation as lines of text, which the programs print.

use crate::detection::Detection;
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
        "{:<width$}  {:>5}  {:>7}  {:>11}  {:>11}  {:>18}  {:>18}",
        "label", "with", "without", "sensitivity", "specificity", "false positive, ml", "false negative, ml"
    ));
    for EvaluationSummary { name, detection, .. } in summary {
        let Detection { cases_with, cases_without, .. } = detection;
        let (found, clear) = (figure(detection.sensitivity, 3), figure(detection.specificity, 3));
        let [made_up, missed] =
            [detection.false_positive_ml, detection.false_negative_ml].map(|ml| figure(ml, 2));
        lines.push(format!(
            "{name:<width$}  {cases_with:>5}  {cases_without:>7}  {found:>11}  {clear:>11}  {made_up:>18}  {missed:>18}"
        ));
    }
    lines
}
