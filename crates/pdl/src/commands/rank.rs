//! `pdl rank`: one manifest, or a manifest for each fold of a cross-validation.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use pdl_cohort::split::folds::{Fold, FoldDivision, group_count};
use pdl_cohort::table::cases::Cases;
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
    /// Split all cases outside the test split into K folds, by patient and stratified like the
    /// splits, or by groups (--group-by). Writes folds/0/manifest.* to folds/K-1/manifest.*, each
    /// ranked on the training cases of its fold, instead of manifest.*. The plan must come from all
    /// these cases: `pdl prepare OUT --plan-from outside-test`.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(2..))]
    folds: Option<u32>,
    /// Write this fold only, from 0 to K-1, with --folds or --group-by; all of them when not given.
    #[arg(long, value_name = "FOLD")]
    fold: Option<u32>,
    /// Column of cases.parquet whose groups, such as the patients of a site, are each kept whole in
    /// one fold. Without --folds each group is a fold: leave one site out. When not given, groups
    /// are those of `pdl index --group-by`, if any.
    #[arg(long, value_name = "COLUMN")]
    group_by: Option<String>,
}

impl FoldParameters {
    /// The requested folds of the curation folder `out`; none for a single manifest.
    fn all(&self, out: &Path) -> Result<Vec<Fold>> {
        let folds = match (self.folds, &self.group_by) {
            (Some(folds), _) => folds,
            (None, Some(column)) => group_count(&Cases::read(out)?, column)?,
            (None, None) if self.fold.is_some() => {
                let message = "--fold needs --folds K, or --group-by COLUMN";
                return Err(ExitStatus::Usage.error(message.to_owned()).into());
            }
            (None, None) => return Ok(Vec::new()),
        };
        if folds < 2 {
            bail!("--group-by: there is one group outside the test split, and 2 folds at least are needed");
        }
        let which = self.fold.map_or(0..folds, |fold| fold..fold.saturating_add(1));
        Ok(which.map(|fold| Fold { fold, folds }).collect())
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
    let ended = run_stages(&args.folds.all(&args.out)?, args.folds.group_by.as_deref(), &mut stages);
    stages.finish(ended)
}

fn run_stages(folds: &[Fold], group_by: Option<&str>, stages: &mut Stages<'_>) -> Result<()> {
    if folds.is_empty() {
        stages.rank()?;
    }
    for &fold in folds {
        let division = FoldDivision { fold, group_by };
        let ranked = rank(stages.out, &stages.settings.rank, Some(division))?;
        let audited = audit(stages.out, &stages.settings.audit, Some(division))?;
        stages.outcome.folds.push(RankedFold { fold, ranked, audited });
    }
    stages.audit()
}
