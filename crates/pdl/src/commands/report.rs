//! `pdl report`.

use std::path::PathBuf;

use anyhow::Result;
use pdl_console::ExitStatus;
use pdl_report::ReportParameters;

use crate::context::Context;
use crate::preconditions::{CASES, Requirements};
use crate::stages::Stages;

/// Arguments of `pdl report`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder.
    out: PathBuf,
    #[command(flatten)]
    parameters: ReportParameters,
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements::stages(&self.out, Some(&[CASES]))
    }
}

/// Writes report.html.
///
/// # Errors
/// Why it cannot be written.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let mut stages = Stages::new(&args.out, context);
    let ended = stages.report(&args.parameters);
    stages.finish(ended)
}
