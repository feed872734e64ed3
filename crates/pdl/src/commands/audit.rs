//! `pdl audit`.

use std::path::PathBuf;

use anyhow::Result;
use pdl_console::ExitStatus;
use pdl_curriculum::audit::AuditParameters;

use crate::context::Context;
use crate::preconditions::{PAIRED, Requirements};
use crate::stages::Stages;

/// Arguments of `pdl audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder.
    out: PathBuf,
    #[command(flatten)]
    parameters: AuditParameters,
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements::stages(&self.out, Some(PAIRED))
    }
}

/// Checks for leaks between the splits, rare labels, drift and wrong labels.
///
/// # Errors
/// Why the stage failed; `ExitStatus::Leak` when cases of two splits are joined.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let mut stages = Stages::new(&args.out, context);
    let ended = stages.audit();
    stages.finish(ended)
}
