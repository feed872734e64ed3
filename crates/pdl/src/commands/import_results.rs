//! `pdl import-results`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Result, ensure};
use pdl_cohort::table::cases::Cases;
use pdl_console::{ExitStatus, MOST_LISTED, counted, note, say, shorten};
use pdl_curriculum::results::{self, ResultRow};
use pdl_exchange::import::results::{CaseResult, read_summary};
use pdl_store::safe_name;
use serde_json::json;

use crate::context::{Context, say_json};
use crate::preconditions::{CASES, Requirements};

/// Arguments of `pdl import-results`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder.
    out: PathBuf,
    /// nnU-Net's summary.json with the metrics of every case, such as that of a fold's validation;
    /// several (one for each fold) are joined.
    #[arg(required = true)]
    summary: Vec<PathBuf>,
    /// The metric to import: Dice, IoU or another of the file.
    #[arg(long, value_name = "METRIC", default_value = "Dice")]
    metric: String,
    /// Name of the column with the mean over the labels; NAME_LABEL is that of one label. nnunet_
    /// and the metric in lower case when not given.
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements { lock: true, ..Requirements::curated(&self.out, &[CASES]) }
    }
}

/// Writes the results of single cases to `OUT/results.parquet`.
///
/// # Errors
/// When a file is no summary, two results are of one case, or none is of a case of the cohort;
/// `ExitStatus::Strict` with `--strict` when one is of no case of the cohort.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let Args { out, summary, metric, column } = args;
    let column = column.clone().unwrap_or_else(|| format!("nnunet_{}", metric.to_lowercase()));
    ensure!(safe_name::is_safe(&column), "--column {column}: expected a name of letters, digits, - and _");
    let cases = Cases::read(out)?;
    let known: BTreeSet<&str> = cases.rows.iter().map(|row| row.case_id.as_str()).collect();
    let (mut found, mut unknown) = (BTreeMap::<String, CaseResult>::new(), Vec::new());
    for path in summary {
        for result in read_summary(path, metric)? {
            if !known.contains(result.name.as_str()) {
                unknown.push(result.name);
                continue;
            }
            if let Some(twice) = found.insert(result.name.clone(), result) {
                anyhow::bail!("case {}: its results are in the files twice: {}", twice.name, path.display());
            }
        }
    }
    ensure!(
        !found.is_empty(),
        "none of the {} in the files is of a case of the cohort: the first is named {:?}, the cohort's cases {}",
        counted(unknown.len(), "result"),
        unknown.first().map_or("", String::as_str),
        shorten(&known.iter().copied().collect::<Vec<_>>(), 3).0.join(", ")
    );
    results::add(out, rows(&found, &column))?;
    let missing: Vec<&str> =
        cases.usable().map(|row| row.case_id.as_str()).filter(|case| !found.contains_key(*case)).collect();
    if context.json {
        let cases = found.len();
        say_json(&json!({ "column": column, "cases": cases, "unknown": unknown, "missing": missing }))?;
    } else {
        say(&format!(
            "{}: {metric} of {} as the column {column}; `pdl rank {} --by {column}` ranks by it",
            out.join(results::FILE).display(),
            counted(found.len(), "case"),
            out.display()
        ));
    }
    told("of no case of the cohort", &unknown);
    told("missing for usable cases", &missing);
    match unknown.is_empty() || !context.settings.run.strict {
        true => Ok(ExitStatus::Done),
        false => Ok(ExitStatus::Strict),
    }
}

/// The rows of all cases: the mean over the labels, and each label. A case without any label that
/// counts has none.
fn rows(found: &BTreeMap<String, CaseResult>, column: &str) -> Vec<ResultRow> {
    let row = |case: &str, column: String, value: f64| ResultRow { case_id: case.to_owned(), column, value };
    let of_case = |(case, result): (&String, &CaseResult)| {
        let mean = result.mean().map(|mean| row(case, column.to_owned(), mean));
        let labels = result.labels.iter().map(|(label, value)| {
            let label: String =
                label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            row(case, format!("{column}_{}", label.trim_matches('_')), *value)
        });
        mean.into_iter().chain(labels).collect::<Vec<_>>()
    };
    found.iter().flat_map(of_case).collect()
}

fn told<T: AsRef<str>>(what: &str, names: &[T]) {
    if names.is_empty() {
        return;
    }
    let (listed, more) = shorten(names, MOST_LISTED);
    let listed: Vec<&str> = listed.iter().map(AsRef::as_ref).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    note(&format!("warning: {} {what}: {}{more}", counted(names.len(), "result"), listed.join(", ")));
}
