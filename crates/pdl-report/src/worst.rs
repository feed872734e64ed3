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
use pdl_cohort::case_row::CaseRow;
use pdl_cohort::cases::Cases;
use pdl_io::read_labels;
use pdl_store::table;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::canvas::{Canvas, LabelledImage, middle_mm, stored};
use crate::run_history::{FOLDER, ShownRun};
use crate::{Result, unless_unreadable};

/// Most cases to show.
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
}

/// The worst cases of a run.
#[derive(Clone, Debug, Serialize)]
pub struct WorstCases {
    /// Name of the run.
    pub run: String,
    /// Number of evaluated cases.
    pub of: usize,
    /// Dice of every case, by name of the label; cases where it is undefined are left out.
    pub dice: BTreeMap<String, Vec<f64>>,
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
    /// Name and Dice of each label; null where it is undefined.
    pub dice: Vec<(String, Option<f64>)>,
    /// Base64 of a JPEG: axial, coronal and sagittal planes with the reference labels, and below
    /// them with the predicted ones.
    pub picture: String,
}

/// The worst validation cases of the best evaluated run. A case whose files are unreadable is
/// skipped. `values` are the cohort's label values, ascending.
///
/// # Errors
/// That of the machine when it keeps a file from being read.
pub fn worst(out: &Path, cases: &Cases, runs: &[ShownRun], values: &[u16]) -> Result<Option<WorstCases>> {
    let evaluated =
        |run: &&ShownRun| out.join(FOLDER).join(&run.name).join("evaluation-val.parquet").is_file();
    let best = runs
        .iter()
        .filter(evaluated)
        .max_by(|a, b| a.dice_mean.unwrap_or(0.0).total_cmp(&b.dice_mean.unwrap_or(0.0)));
    let Some(best) = best else { return Ok(None) };
    let folder = out.join(FOLDER).join(&best.name);
    let read = table::read_rows::<EvaluationLine>(&folder.join("evaluation-val.parquet"));
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
        cases: shown.into_iter().flatten().collect(),
    }))
}

fn mean(rows: &[&EvaluationLine]) -> Option<f64> {
    let dice: Vec<f64> = rows.iter().filter_map(|row| row.dice).collect();
    (!dice.is_empty()).then(|| dice.iter().sum::<f64>() / dice.len() as f64)
}

fn picture(out: &Path, row: &CaseRow, predicted: &Path, values: &[u16]) -> Result<Option<String>> {
    let Some(drawn) = unless_unreadable(stored(out, row))? else { return Ok(None) };
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
