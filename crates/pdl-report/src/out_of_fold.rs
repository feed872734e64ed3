//! Dice of single cases by networks that have not seen them: `out_of_fold.parquet` of
//! `pdl-fit train --folds all`.

use std::collections::BTreeMap;
use std::path::Path;

use pdl_store::{regular_file, table};
use serde::{Deserialize, Serialize};

use crate::run_history::TABLE_VERSION;
use crate::{Result, unless_unreadable};

/// Name of the table inside a curation folder.
const FILE: &str = "out_of_fold.parquet";

/// The part of a row that is shown.
#[derive(Clone, Debug, Deserialize)]
struct OutOfFoldLine {
    run: String,
    fold: u32,
    case_id: String,
    name: String,
    dice: Option<f64>,
}

/// Out-of-fold Dice of one series of runs, a run for each fold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutOfFold {
    /// Name of the runs.
    pub run: String,
    /// Number of folds.
    pub folds: usize,
    /// Lowest mean Dice first.
    pub cases: Vec<OutOfFoldCase>,
}

/// Dice of a case that was held out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutOfFoldCase {
    /// Case id.
    pub case: String,
    /// Fold in which it was held out, from 0.
    pub fold: u32,
    /// Mean Dice over the labels for which it is defined.
    pub dice_mean: f64,
    /// Name and Dice of each label; null if it is undefined.
    pub dice: Vec<(String, Option<f64>)>,
}

/// The cases of each series of runs, by name; empty without a cross-validation. Cases without any
/// defined Dice are omitted.
///
/// # Errors
/// Errors of the machine that prevent the table from being read.
pub fn out_of_fold(out: &Path) -> Result<Vec<OutOfFold>> {
    let path = out.join(FILE);
    if !regular_file::is_there(&path)? {
        return Ok(Vec::new());
    }
    let read = table::read_rows::<OutOfFoldLine>(&path, TABLE_VERSION);
    Ok(unless_unreadable(read)?.map_or_else(Vec::new, |(rows, _)| by_run(rows)))
}

/// Names and Dice of the labels of cases, by case and fold.
type LabelsOfCases = BTreeMap<(String, u32), Vec<(String, Option<f64>)>>;

fn by_run(rows: Vec<OutOfFoldLine>) -> Vec<OutOfFold> {
    let mut runs: BTreeMap<String, LabelsOfCases> = BTreeMap::new();
    for row in rows {
        let cases = runs.entry(row.run).or_default();
        cases.entry((row.case_id, row.fold)).or_default().push((row.name, row.dice));
    }
    let of_run = |(run, cases): (String, LabelsOfCases)| {
        let folds = cases.keys().map(|(_, fold)| fold).max().map_or(0, |last| *last as usize + 1);
        let shown = cases.into_iter().filter_map(|((case, fold), dice)| {
            let defined: Vec<f64> = dice.iter().filter_map(|(_, dice)| *dice).collect();
            let dice_mean = defined.iter().sum::<f64>() / defined.len() as f64;
            (!defined.is_empty()).then_some(OutOfFoldCase { case, fold, dice_mean, dice })
        });
        let mut cases: Vec<OutOfFoldCase> = shown.collect();
        cases.sort_by(|a, b| a.dice_mean.total_cmp(&b.dice_mean));
        OutOfFold { run, folds, cases }
    };
    runs.into_iter().map(of_run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_case_comes_first_and_undefined_ones_are_left_out() {
        let row = |case: &str, fold, name: &str, dice| OutOfFoldLine {
            run: "r".to_owned(),
            fold,
            case_id: case.to_owned(),
            name: name.to_owned(),
            dice,
        };
        let rows = vec![
            row("a", 0, "heart", Some(0.9)),
            row("b", 1, "heart", Some(0.5)),
            row("b", 1, "cord", Some(0.7)),
            row("c", 1, "heart", None),
        ];
        let found = by_run(rows);
        assert_eq!((found.len(), found[0].folds), (1, 2));
        let cases: Vec<(&str, f64)> =
            found[0].cases.iter().map(|case| (case.case.as_str(), case.dice_mean)).collect();
        assert_eq!(cases, [("b", 0.6), ("a", 0.9)]);
    }
}
