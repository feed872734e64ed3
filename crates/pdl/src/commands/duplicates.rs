//! `pdl duplicates`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use pdl_console::{ExitStatus, counted, say};
use pdl_prepare::proxies::Proxies;
use pdl_similarity::metrics::{Metric, PairColumn};
use pdl_similarity::neighbours::duplicates;
use pdl_similarity::registration::{AlignedPair, Motion, aligned_neighbours};
use serde_json::json;

use crate::commands::matrix;
use crate::context::{Context, say_json};
use crate::preconditions::{PAIRED, Requirements};

/// Arguments of `pdl duplicates`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder.
    out: PathBuf,
    /// The metric to compare by; of one channel as in ssim_CT.
    #[arg(long, default_value_t = Metric::Ssim.into())]
    metric: PairColumn,
    /// Minimum value of the metric at which two cases are near-duplicates; for MSE the maximum.
    #[arg(long, default_value_t = 0.98, value_name = "VALUE")]
    threshold: f32,
    /// Also list pairs that reach the threshold once one image is flipped along any axes and
    /// shifted by up to an eighth of a side (SSIM only).
    #[arg(long)]
    invariant: bool,
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements::curated(&self.out, PAIRED)
    }
}

/// Lists groups of near-duplicates.
///
/// # Errors
/// When pairs are missing, or `--invariant` is given with another metric than SSIM.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let &Args { ref out, ref metric, threshold, invariant } = args;
    ensure!(!invariant || *metric == Metric::Ssim.into(), "--invariant needs --metric ssim");
    let (proxies, pairs) = matrix::open(out)?;
    let groups = duplicates(&proxies, &pairs, metric, threshold)?;
    let mut moved = Vec::new();
    if invariant {
        moved = aligned_neighbours(&proxies, pairs.parameters.window, |_, _| true)?;
        moved.retain(|pair| pair.ssim >= threshold);
    }
    if context.json {
        let mut result = json!({ "metric": metric, "threshold": threshold, "groups": groups });
        if invariant {
            result["moved"] = moved.iter().map(|pair| moved_json(pair, &proxies)).collect();
        }
        say_json(&result)?;
        return Ok(ExitStatus::Done);
    }
    let sign = if metric.metric.larger_is_alike() { ">=" } else { "<=" };
    say(&format!("{} of cases with {} {sign} {threshold}", counted(groups.len(), "group"), metric.name()));
    for group in groups {
        say(&format!("  {}", group.cases.join(" ")));
        for (a, b, value) in group.pairs {
            say(&format!("    {a} {b} {value:.6}"));
        }
    }
    if invariant {
        say(&format!(
            "{} of cases with ssim >= {threshold} once the second is flipped or shifted",
            counted(moved.len(), "pair")
        ));
        moved.iter().for_each(|pair| say(&moved_line(pair, &proxies)));
    }
    Ok(ExitStatus::Done)
}

fn moved_json(pair: &AlignedPair, proxies: &Proxies) -> serde_json::Value {
    let Motion { shift, .. } = pair.motion;
    json!({ "case_a": proxies.case_ids[pair.a], "case_b": proxies.case_ids[pair.b], "ssim": pair.ssim,
        "flipped": pair.motion.flipped_axes(), "shift_voxels": shift })
}

fn moved_line(pair: &AlignedPair, proxies: &Proxies) -> String {
    let [x, y, z] = pair.motion.shift;
    let flip = match pair.motion.flipped_axes() {
        axes if axes.is_empty() => String::new(),
        axes => format!("flipped along {axes}, "),
    };
    format!(
        "  {} {} {:.6}: {flip}shifted by {x:.2}, {y:.2}, {z:.2} proxy voxels",
        proxies.case_ids[pair.a], proxies.case_ids[pair.b], pair.ssim
    )
}
