//! `pdl rank`: one manifest, or a manifest for each fold of a cross-validation.

use std::path::PathBuf;

use anyhow::Result;
use pdl_cohort::folds::Fold;
use pdl_console::ExitStatus;
use pdl_curriculum::audit::audit;
use pdl_curriculum::parameters::RankParameters;
use pdl_curriculum::rank::rank;

use crate::context::Context;
use crate::outcome::RankedFold;
use crate::preconditions::{PAIRED, Requirements};
use crate::stages::Stages;

/// Arguments of `pdl rank`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder.
    out: PathBuf,
    #[command(flatten)]
    parameters: RankParameters,
    #[command(flatten, next_help_heading = "Cross-validation")]
    folds: FoldParameters,
}

/// Which folds to rank.
#[derive(Debug, clap::Args)]
struct FoldParameters {
    /// Divide all cases outside the test split into K folds, by patient and stratified like the
    /// split. Writes folds/0/manifest.* to folds/K-1/manifest.*, each ranked on the training cases
    /// of its fold, instead of manifest.*. The plan must come from all these cases: `pdl prepare
    /// OUT --plan-from outside-test`.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(2..))]
    folds: Option<u32>,
    /// Write this fold only, from 0 to K-1; all of them when not given.
    #[arg(long, value_name = "FOLD", requires = "folds")]
    fold: Option<u32>,
}

impl FoldParameters {
    /// The requested folds; none for a single manifest.
    fn all(&self) -> Vec<Fold> {
        let Some(folds) = self.folds else { return Vec::new() };
        let which = self.fold.map_or(0..folds, |fold| fold..fold.saturating_add(1));
        which.map(|fold| Fold { fold, folds }).collect()
    }
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements::stages(&self.out, Some(PAIRED))
    }
}

/// Ranks and audits the training cases, of the cohort or of each fold.
///
/// # Errors
/// Why the stage failed; `ExitStatus::Leak` when cases of two splits are joined.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let mut stages = Stages::new(&args.out, context);
    let ended = run_stages(&args.folds.all(), &mut stages);
    stages.finish(ended)
}

fn run_stages(folds: &[Fold], stages: &mut Stages<'_>) -> Result<()> {
    if folds.is_empty() {
        stages.rank()?;
    }
    for &fold in folds {
        let ranked = rank(stages.out, &stages.settings.rank, Some(fold))?;
        let audited = audit(stages.out, &stages.settings.audit, Some(fold))?;
        stages.outcome.folds.push(RankedFold { fold, ranked, audited });
    }
    stages.audit()
}
