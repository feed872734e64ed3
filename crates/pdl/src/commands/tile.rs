//! `pdl tile`: one tile of the pair matrix. The folder is not locked, as tiles are computed side by
//! side and their files are renamed into place whole.

use std::path::PathBuf;

use anyhow::Result;
use pdl_console::{ExitStatus, counted, say};
use pdl_similarity::compare::compare_tile;
use pdl_similarity::parameters::CompareParameters;
use pdl_similarity::tile::Tile;
use serde_json::json;

use crate::context::Context;
use crate::preconditions::{PROXIES, Requirements};

/// Arguments of `pdl tile`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder.
    out: PathBuf,
    /// The block of rows, from 0.
    #[arg(long)]
    row: usize,
    /// The block of columns, from 0; at least the row.
    #[arg(long)]
    col: usize,
    #[command(flatten, next_help_heading = "Comparison")]
    parameters: CompareParameters,
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements::curated(&self.out, &[PROXIES])
    }
}

/// Computes the tile unless it exists.
///
/// # Errors
/// If there is no such tile, or it cannot be computed.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let &Args { row, col, .. } = args;
    let done = compare_tile(&args.out, Tile { row, col }, &context.settings.compare, context.stage())?;
    if context.json {
        let result = json!({
            "row": row, "col": col, "cases": done.cases, "pairs": done.pairs, "computed": done.computed,
        });
        say(&result.to_string());
    } else {
        let pairs = counted(done.pairs as usize, "pair");
        say(&format!("tile {row} {col}: {pairs}, {} computed now", done.computed));
    }
    Ok(ExitStatus::Done)
}
