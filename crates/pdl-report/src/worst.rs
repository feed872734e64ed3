//! The validation cases that a run does worst on: what was drawn above, what the network finds below.
//!
//! `pdl-fit` leaves them with every training: figures in `evaluation-val.parquet`, label maps on the images' own grids
//! in `predictions/val`. Of several runs the one with the highest validation Dice is shown.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use pdl_cohort::cases::{CaseRow, Cases};
use pdl_io::read_labels;
use pdl_store::table;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::canvas::{Canvas, LabelledImage, middle_mm, stored};
use crate::runs::{FOLDER, ShownRun};

/// Most cases that are shown.
const MOST: usize = 6;

/// Pixels of each side of a plane.
const SIDE: usize = 168;

/// Quality of the JPEG, of 100.
const QUALITY: u8 = 85;

/// One case and label of an evaluation, as far as it is shown.
#[derive(Clone, Debug, Deserialize)]
struct Measured {
    case_id: String,
    name: String,
    dice: Option<f64>,
}

/// The worst cases of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Worst {
    /// The run's name.
    pub run: String,
    /// Cases that were evaluated.
    pub of: usize,
    /// The Dice of every case by the label's name, where it counts.
    pub dice: BTreeMap<String, Vec<f64>>,
    /// The worst first.
    pub cases: Vec<WorstCase>,
}

/// A case that the network does badly on.
#[derive(Clone, Debug, Serialize)]
pub struct WorstCase {
    /// Which case.
    pub case: String,
    /// Its mean Dice over the labels that count.
    pub dice_mean: f64,
    /// Dice of each label by its name; nothing where it does not count.
    pub dice: Vec<(String, Option<f64>)>,
    /// Base64 of a JPEG: axial, coronal and sagittal with the labels as drawn, and below them as predicted.
    pub picture: String,
}

/// The worst validation cases of the best run that was evaluated. A case whose files cannot be read any more is left
/// out. `values` are the cohort's label values, ascending.
pub fn worst(out: &Path, cases: &Cases, runs: &[ShownRun], values: &[u16]) -> Option<Worst> {
    let evaluated =
        |run: &&ShownRun| out.join(FOLDER).join(&run.name).join("evaluation-val.parquet").is_file();
    let best = runs
        .iter()
        .filter(evaluated)
        .max_by(|a, b| a.dice_mean.unwrap_or(0.0).total_cmp(&b.dice_mean.unwrap_or(0.0)))?;
    let folder = out.join(FOLDER).join(&best.name);
    let (rows, _) = table::read_rows::<Measured>(&folder.join("evaluation-val.parquet")).ok()?;
    let mut by_case: BTreeMap<&str, Vec<&Measured>> = BTreeMap::new();
    for row in &rows {
        by_case.entry(&row.case_id).or_default().push(row);
    }
    let mut found: Vec<(f64, &str, &[&Measured])> =
        by_case.iter().filter_map(|(case, rows)| Some((mean(rows)?, *case, rows.as_slice()))).collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.truncate(MOST);
    let shown = |(dice_mean, case, rows): &(f64, &str, &[&Measured])| {
        let row = cases.rows.iter().find(|row| row.case_id == *case)?;
        let predicted = folder.join("predictions/val").join(format!("{case}.nii.gz"));
        Some(WorstCase {
            case: (*case).to_owned(),
            dice_mean: *dice_mean,
            dice: rows.iter().map(|row| (row.name.clone(), row.dice)).collect(),
            picture: picture(out, row, &predicted, values)?,
        })
    };
    let mut dice: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for row in &rows {
        dice.entry(row.name.clone()).or_default().extend(row.dice);
    }
    Some(Worst {
        run: best.name.clone(),
        of: by_case.len(),
        dice,
        cases: found.par_iter().filter_map(shown).collect(),
    })
}

fn mean(rows: &[&Measured]) -> Option<f64> {
    let dice: Vec<f64> = rows.iter().filter_map(|row| row.dice).collect();
    (!dice.is_empty()).then(|| dice.iter().sum::<f64>() / dice.len() as f64)
}

fn picture(out: &Path, row: &CaseRow, predicted: &Path, values: &[u16]) -> Option<String> {
    let drawn = stored(out, row).ok()?;
    let labels = drawn.labels.as_ref()?;
    let predicted = read_labels(predicted).ok()?.map.to_ras();
    if predicted.grid.shape != drawn.image.grid.shape {
        return None; // the image is another than when it was evaluated
    }
    let middle = middle_mm(labels);
    let image = drawn.image.clone();
    let found = LabelledImage { image, labels: Some(predicted), window: drawn.window };
    let mut jpeg = Vec::new();
    let canvas = Canvas::draw(SIDE, &[&drawn, &found], middle, values);
    canvas.encode(JpegEncoder::new_with_quality(&mut jpeg, QUALITY)).ok()?;
    Some(STANDARD.encode(jpeg))
}
