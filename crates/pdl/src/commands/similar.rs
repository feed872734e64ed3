//! `pdl similar`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use pdl_console::{ExitStatus, say};
use pdl_similarity::metrics::{Metric, PairColumn};
use pdl_similarity::neighbours::{Neighbour, neighbours};
use serde_json::json;

use crate::commands::matrix;
use crate::context::{Context, say_json};
use crate::preconditions::{self, PAIRED, Requirements};

/// Arguments of `pdl similar`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder.
    out: PathBuf,
    /// The case id.
    case: String,
    /// The metric to compare by; of one channel as in ssim_CT.
    #[arg(long, default_value_t = Metric::Ssim.into())]
    metric: PairColumn,
    /// How many cases of each to list.
    #[arg(long, default_value_t = 5, value_name = "N")]
    count: usize,
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements::curated(&self.out, PAIRED)
    }
}

/// Lists the cases most and least similar to a case.
///
/// # Errors
/// If there is no such case, or it was not compared.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let Args { out, case, metric, count } = args;
    preconditions::check_case(out, case)?;
    let (proxies, pairs) = matrix::open(out)?;
    let row = proxies.case_ids.iter().position(|id| id == case).with_context(|| {
        format!(
            "case '{case}' was not compared, because it could not be prepared; failures.json says why: {}",
            out.display()
        )
    })?;
    let all = neighbours(&proxies, &pairs, row, metric)?;
    let nearest = &all[..(*count).min(all.len())];
    let farthest: Vec<&Neighbour> = all.iter().rev().take(*count).collect();
    if context.json {
        let result = json!({ "case": case, "metric": metric, "nearest": nearest, "farthest": farthest });
        say_json(&result)?;
        return Ok(ExitStatus::Done);
    }
    let print = |title: &str, list: &mut dyn Iterator<Item = &Neighbour>| {
        say(title);
        list.for_each(|other| say(&format!("  {:<24} {:.6}", other.case_id, other.value)));
    };
    print(&format!("most similar to {case} by {}", metric.name()), &mut nearest.iter());
    print("least similar", &mut farthest.into_iter());
    Ok(ExitStatus::Done)
}
