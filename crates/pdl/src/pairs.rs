//! Commands that compute one tile of the pair matrix or read what is there.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use pdl_console::say;
use pdl_prepare::proxies::Proxies;
use pdl_similarity::compare::compare_tile;
use pdl_similarity::invariant::{Aligned, Motion, aligned_neighbours};
use pdl_similarity::matrix::{Format, Matrix};
use pdl_similarity::metric::Metric;
use pdl_similarity::neighbours::{Neighbour, duplicates, neighbours};
use pdl_similarity::pairs::Pairs;
use pdl_similarity::parameters::CompareParameters;
use pdl_similarity::tile::Tile;
use pdl_store::progress::Run;
use serde_json::json;

use crate::case;
use crate::cli::Command;

/// Runs `command` if it is one of these. None of them takes the folder for itself: tiles may be computed side by
/// side, and files are renamed into place whole.
pub(crate) fn run(
    out: &Path,
    command: &Command,
    compare: &CompareParameters,
    how: Run<'_>,
    json: bool,
) -> Option<Result<()>> {
    Some(match command {
        Command::Tile { row, col, .. } => one_tile(out, Tile { row: *row, col: *col }, compare, how, json),
        Command::Matrix { metric, format, to, .. } => {
            write_matrix(out, *metric, *format, to.as_deref(), json)
        }
        Command::Similar { case, metric, count, .. } => similar(out, case, *metric, *count, json),
        Command::Duplicates { metric, threshold, invariant, .. } => {
            print_duplicates(out, *metric, *threshold, *invariant, json)
        }
        _ => return None,
    })
}

fn one_tile(out: &Path, tile: Tile, compare: &CompareParameters, how: Run<'_>, json: bool) -> Result<()> {
    let done = compare_tile(out, tile, compare, how)?;
    if json {
        let result = json!({
            "row": tile.row, "col": tile.col, "cases": done.cases, "pairs": done.pairs, "computed": done.computed,
        });
        say(&result.to_string());
    } else {
        say(&format!("tile {} {}: {} pairs, {} computed now", tile.row, tile.col, done.pairs, done.computed));
    }
    Ok(())
}

fn write_matrix(out: &Path, metric: Metric, format: Format, to: Option<&Path>, json: bool) -> Result<()> {
    let (proxies, pairs) = open(out)?;
    let default = out.join(format!("{}.{}", metric.column(), format.ending()));
    let path = to.unwrap_or(&default);
    let matrix = Matrix::read(&proxies, &pairs, metric)?;
    matrix.write(path, format)?;
    let n = matrix.case_ids.len();
    if json {
        say(&json!({ "metric": metric, "cases": n, "file": path }).to_string());
    } else {
        say(&format!("{} of {n} x {n} cases: {}", metric.column(), path.display()));
    }
    Ok(())
}

fn similar(out: &Path, case: &str, metric: Metric, count: usize, json: bool) -> Result<()> {
    case::check(out, case)?;
    let (proxies, pairs) = open(out)?;
    let row = proxies.case_ids.iter().position(|id| id == case).with_context(|| {
        format!(
            "case '{case}' could not be prepared, so it was compared with none; failures.json says why: {}",
            out.display()
        )
    })?;
    let all = neighbours(&proxies, &pairs, row, metric)?;
    let nearest = &all[..count.min(all.len())];
    let farthest: Vec<&Neighbour> = all.iter().rev().take(count).collect();
    if json {
        let result = json!({ "case": case, "metric": metric, "nearest": nearest, "farthest": farthest });
        say(&serde_json::to_string_pretty(&result)?);
        return Ok(());
    }
    let print = |title: &str, list: &mut dyn Iterator<Item = &Neighbour>| {
        say(title);
        list.for_each(|other| say(&format!("  {:<24} {:.6}", other.case_id, other.value)));
    };
    print(&format!("most like {case} by {}", metric.column()), &mut nearest.iter());
    print("least like it", &mut farthest.into_iter());
    Ok(())
}

fn print_duplicates(out: &Path, metric: Metric, threshold: f32, invariant: bool, json: bool) -> Result<()> {
    ensure!(!invariant || metric == Metric::Ssim, "--invariant goes with --metric ssim");
    let (proxies, pairs) = open(out)?;
    let groups = duplicates(&proxies, &pairs, metric, threshold)?;
    let mut moved = Vec::new();
    if invariant {
        moved = aligned_neighbours(&proxies, pairs.parameters.window, |_, _| true)?;
        moved.retain(|pair| pair.ssim >= threshold);
    }
    let id = |row: usize| proxies.case_ids[row].as_str();
    if json {
        let mut result = json!({ "metric": metric, "threshold": threshold, "groups": groups });
        if invariant {
            let pair = |pair: &Aligned| {
                let Motion { shift, .. } = pair.motion;
                json!({ "case_a": id(pair.a), "case_b": id(pair.b), "ssim": pair.ssim,
                    "flipped": pair.motion.flipped_axes(), "shift_voxels": shift })
            };
            result["moved"] = moved.iter().map(pair).collect();
        }
        say(&serde_json::to_string_pretty(&result)?);
        return Ok(());
    }
    let sign = if metric.larger_is_alike() { ">=" } else { "<=" };
    say(&format!("{} groups of cases with {} {sign} {threshold}", groups.len(), metric.column()));
    for group in groups {
        say(&format!("  {}", group.cases.join(" ")));
        for (a, b, value) in group.pairs {
            say(&format!("    {a} {b} {value:.6}"));
        }
    }
    if invariant {
        say(&format!("{} pairs of cases with ssim >= {threshold} once the second is moved", moved.len()));
    }
    for Aligned { a, b, motion, ssim } in moved {
        let [x, y, z] = motion.shift;
        let flip = match motion.flipped_axes() {
            axes if axes.is_empty() => String::new(),
            axes => format!("flipped along {axes}, "),
        };
        say(&format!(
            "  {} {} {ssim:.6}: {flip}shifted by {x:.2}, {y:.2}, {z:.2} proxy voxels",
            id(a),
            id(b)
        ));
    }
    Ok(())
}

fn open(out: &Path) -> Result<(Proxies, Pairs)> {
    let proxies = Proxies::open(out)?;
    let pairs = Pairs::open(out, &proxies)?;
    Ok((proxies, pairs))
}
