//! The validation cases with the lowest Dice: reference labels on top, predicted labels below.
//!
//! `pdl-fit` writes them with every run: figures in `evaluation-val.parquet`, label maps on the
//! images' own grids in `predictions/val`. Of several runs the one with the highest validation Dice
//! is shown.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_io::read_labels;
use pdl_store::table;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::canvas::{Canvas, LabelledImage, middle_mm, stored};
use crate::run_history::{FOLDER, ShownRun, TABLE_VERSION};
use crate::{Result, unless_unreadable};

/// Maximum number of cases to show.
const MOST: usize = 6;

/// Side of a plane in pixels.
const SIDE: usize = 168;

/// JPEG quality, of 100.
const QUALITY: u8 = 85;

/// The part of an evaluation's row that is shown.
#[derive(Clone, Debug, Deserialize)]
struct EvaluationLine {
    case_id: String,
    name: String,
    dice: Option<f64>,
    /// Tables of earlier versions lack the volumes of detection.
    #[serde(default)]
    drawn_ml: Option<f64>,
    #[serde(default)]
    false_positive_ml: Option<f64>,
    #[serde(default)]
    false_negative_ml: Option<f64>,
}

/// Detection of one structure: sensitivity and specificity. The definitions are those of `pdl-fit
/// evaluate`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LabelDetection {
    /// Name of the label.
    pub name: String,
    /// Cases that have it, of those that were annotated for it.
    pub with: usize,
    /// Cases that do not.
    pub without: usize,
    /// Cases with it in which the prediction overlaps it.
    pub found: usize,
    /// Cases without it in which none is predicted.
    pub clear: usize,
    /// Mean volume that is predicted in cases without it, ml.
    pub false_positive_ml: Option<f64>,
    /// Mean volume that is missed in cases with it, ml.
    pub false_negative_ml: Option<f64>,
}

/// The worst cases of a run.
#[derive(Clone, Debug, Serialize)]
pub struct WorstCases {
    /// Name of the run.
    pub run: String,
    /// Number of evaluated cases.
    pub of: usize,
    /// Dice of every case, by name of the label; cases with undefined Dice are omitted.
    pub dice: BTreeMap<String, Vec<f64>>,
    /// Detection of each label, in the order of the run; empty for evaluations of earlier versions.
    pub detection: Vec<LabelDetection>,
    /// Lowest mean Dice first.
    pub cases: Vec<WorstCase>,
}

/// A case with a low Dice.
#[derive(Clone, Debug, Serialize)]
pub struct WorstCase {
    /// Case id.
    pub case: String,
    /// Mean Dice over the labels for which it is defined.
    pub dice_mean: f64,
    /// Name and Dice of each label; null if it is undefined.
    pub dice: Vec<(String, Option<f64>)>,
    /// Base64 of a JPEG: axial, coronal and sagittal planes with the reference labels, and below
    /// them with the predicted ones.
    pub picture: String,
}

/// The worst validation cases of the best evaluated run. A case whose files are unreadable is
/// skipped. `values` are the cohort's label values, ascending.
///
/// # Errors
/// Errors of the machine that prevent a file from being read.
pub fn worst(out: &Path, cases: &Cases, runs: &[ShownRun], values: &[u16]) -> Result<Option<WorstCases>> {
    let evaluated =
        |run: &&ShownRun| out.join(FOLDER).join(&run.name).join("evaluation-val.parquet").is_file();
    let best = runs
        .iter()
        .filter(evaluated)
        .max_by(|a, b| a.dice_mean.unwrap_or(0.0).total_cmp(&b.dice_mean.unwrap_or(0.0)));
    let Some(best) = best else { return Ok(None) };
    let folder = out.join(FOLDER).join(&best.name);
    let file = folder.join("evaluation-val.parquet");
    let read = table::read_rows::<EvaluationLine>(&file, TABLE_VERSION);
    let Some((rows, _)) = unless_unreadable(read)? else { return Ok(None) };
    let mut by_case: BTreeMap<&str, Vec<&EvaluationLine>> = BTreeMap::new();
    for row in &rows {
        by_case.entry(&row.case_id).or_default().push(row);
    }
    let mut found: Vec<(f64, &str, &[&EvaluationLine])> =
        by_case.iter().filter_map(|(case, rows)| Some((mean(rows)?, *case, rows.as_slice()))).collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.truncate(MOST);
    let shown = |(dice_mean, case, rows): &(f64, &str, &[&EvaluationLine])| {
        let Some(row) = cases.rows.iter().find(|row| row.case_id == *case) else { return Ok(None) };
        let predicted = folder.join("predictions/val").join(format!("{case}.nii.gz"));
        let Some(picture) = picture(out, row, &predicted, values)? else { return Ok(None) };
        Ok(Some(WorstCase {
            case: (*case).to_owned(),
            dice_mean: *dice_mean,
            dice: rows.iter().map(|row| (row.name.clone(), row.dice)).collect(),
            picture,
        }))
    };
    let mut dice: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for row in &rows {
        dice.entry(row.name.clone()).or_default().extend(row.dice);
    }
    let shown: Vec<Option<WorstCase>> = found.par_iter().map(shown).collect::<Result<_>>()?;
    Ok(Some(WorstCases {
        run: best.name.clone(),
        of: by_case.len(),
        dice,
        detection: detection(&rows),
        cases: shown.into_iter().flatten().collect(),
    }))
}

/// Detection of every label, in the order of the rows.
fn detection(rows: &[EvaluationLine]) -> Vec<LabelDetection> {
    let mut labels: Vec<LabelDetection> = Vec::new();
    for row in rows {
        let (Some(drawn), Some(extra), Some(missed)) =
            (row.drawn_ml, row.false_positive_ml, row.false_negative_ml)
        else {
            continue;
        };
        let place = labels.iter().position(|label| label.name == row.name).unwrap_or_else(|| {
            labels.push(LabelDetection { name: row.name.clone(), ..LabelDetection::default() });
            labels.len() - 1
        });
        let label = &mut labels[place];
        if drawn > 0.0 {
            label.with += 1;
            label.found += usize::from(missed < drawn);
            *label.false_negative_ml.get_or_insert(0.0) += missed;
        } else {
            label.without += 1;
            label.clear += usize::from(extra == 0.0);
            *label.false_positive_ml.get_or_insert(0.0) += extra;
        }
    }
    for label in &mut labels {
        label.false_negative_ml = label.false_negative_ml.map(|sum| sum / label.with as f64);
        label.false_positive_ml = label.false_positive_ml.map(|sum| sum / label.without as f64);
    }
    labels
}

fn mean(rows: &[&EvaluationLine]) -> Option<f64> {
    let dice: Vec<f64> = rows.iter().filter_map(|row| row.dice).collect();
    (!dice.is_empty()).then(|| dice.iter().sum::<f64>() / dice.len() as f64)
}

fn picture(out: &Path, row: &CaseRow, predicted: &Path, values: &[u16]) -> Result<Option<String>> {
    let Some(drawn) = unless_unreadable(stored(out, row, 0))? else { return Ok(None) };
    let Some(labels) = drawn.labels.as_ref() else { return Ok(None) };
    let Some(predicted) = unless_unreadable(read_labels(predicted))? else { return Ok(None) };
    let predicted = predicted.map.to_ras();
    if predicted.grid.shape != drawn.image.grid.shape {
        return Ok(None); //  the image has changed since the evaluation
    }
    let middle = middle_mm(labels);
    let image = drawn.image.clone();
    let found = LabelledImage { image, labels: Some(predicted), window: drawn.window };
    let mut jpeg = Vec::new();
    let canvas = Canvas::draw(SIDE, &[&drawn, &found], middle, values);
    canvas.encode(JpegEncoder::new_with_quality(&mut jpeg, QUALITY))?;
    Ok(Some(STANDARD.encode(jpeg)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detection_counts_cases_with_and_without_a_structure() {
        let row = |drawn_ml, false_positive_ml, false_negative_ml| EvaluationLine {
            case_id: "a".to_owned(),
            name: "tumour".to_owned(),
            dice: None,
            drawn_ml: Some(drawn_ml),
            false_positive_ml,
            false_negative_ml,
        };
        let not_annotated = row(0.0, None, None);
        let rows = [row(4.0, Some(1.0), Some(4.0)), row(2.0, Some(0.0), Some(1.0)), not_annotated];
        let negatives = [row(0.0, Some(8.0), Some(0.0)), row(0.0, Some(0.0), Some(0.0))];
        let found = detection(&[&rows[..], &negatives[..]].concat());
        let expected = LabelDetection {
            name: "tumour".to_owned(),
            with: 2,
            without: 2,
            found: 1,
            clear: 1,
            false_positive_ml: Some(4.0),
            false_negative_ml: Some(2.5),
        };
        assert_eq!(found, [expected]);
    }
}
