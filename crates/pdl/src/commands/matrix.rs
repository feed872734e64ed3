//! `pdl matrix`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use pdl_console::{ExitStatus, say};
use pdl_prepare::proxies::Proxies;
use pdl_similarity::matrix::{MatrixFormat, PairMatrix};
use pdl_similarity::metrics::{Metric, PairColumn};
use pdl_similarity::pairs::Pairs;
use serde_json::json;

use crate::context::Context;
use crate::preconditions::{PAIRED, Requirements};

/// Arguments of `pdl matrix`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder.
    out: PathBuf,
    /// The metric to write; of one channel as in ssim_CT.
    #[arg(long, default_value_t = Metric::Ssim.into())]
    metric: PairColumn,
    /// The file format.
    #[arg(long, value_enum, default_value_t = MatrixFormat::Npy)]
    format: MatrixFormat,
    /// The file to write; OUT/METRIC.FORMAT when not given.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements::curated(&self.out, PAIRED)
    }
}

/// Writes the square matrix of one metric: a row and a column for each case.
///
/// # Errors
/// When pairs are missing or the file cannot be written.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let Args { out, metric, format, to } = args;
    let (proxies, pairs) = open(out)?;
    let default = out.join(format!("{}.{}", metric.name(), format.ending()));
    let path = to.as_ref().unwrap_or(&default);
    let matrix = PairMatrix::read(&proxies, &pairs, metric)?;
    matrix.write(path, *format)?;
    let n = matrix.case_ids.len();
    if context.json {
        say(&json!({ "metric": metric, "cases": n, "file": path }).to_string());
    } else {
        say(&format!("{} of {n} x {n} cases: {}", metric.name(), path.display()));
    }
    Ok(ExitStatus::Done)
}

/// The proxies and pairs of a curation folder.
///
/// # Errors
/// When either is missing, or the pairs are of other proxies.
pub(crate) fn open(out: &Path) -> Result<(Proxies, Pairs)> {
    let proxies = Proxies::open(out)?;
    let pairs = Pairs::open(out, &proxies)?;
    Ok((proxies, pairs))
}
