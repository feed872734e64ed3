//! The stages that commands run, and how a command that runs stages ends.

use std::path::Path;

use anyhow::Result;
use pdl_cohort::index::index;
use pdl_cohort::key_file;
use pdl_cohort::split::same_patient::SamePatient;
use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases;
use pdl_console::{ExitStatus, counted, note};
use pdl_curriculum::audit;
use pdl_curriculum::rank::rank;
use pdl_prepare::prepare::prepare;
use pdl_report::{ReportParameters, report};
use pdl_similarity::compare::compare;

use crate::context::Context;
use crate::outcome::Outcome;
use crate::output::summary;
use crate::settings::Settings;

/// The stages of one command on one curation folder, and what they did.
pub(crate) struct Stages<'a> {
    pub out: &'a Path,
    pub settings: &'a Settings,
    pub context: &'a Context,
    pub outcome: Outcome,
}

impl<'a> Stages<'a> {
    /// Stages with the settings of the command line; none has run yet.
    pub(crate) fn new(out: &'a Path, context: &'a Context) -> Self {
        Self { out, settings: &context.settings, context, outcome: Outcome::default() }
    }

    /// Discovers, checks and splits the cases of a cohort.
    pub(crate) fn index(&mut self, cohort: &Path, same_patient: Option<&Path>) -> Result<()> {
        let same_patient = same_patient.map(SamePatient::read).transpose()?.unwrap_or_default();
        let key = key_file(self.settings.index.pseudonym_key.as_deref()).filter(|key| !key.exists());
        let first = !self.out.join(cases::FILE).exists();
        let indexed = index(cohort, self.out, &self.settings.index, &same_patient, self.context.stage())?;
        // Of volumes that OUT keeps, their places in OUT stand there.
        let names_files =
            |row: &CaseRow| !row.image.is_empty() && !Path::new(&row.image).starts_with("volumes");
        if first && indexed.cases.rows.iter().any(names_files) {
            note(
                "note: cases.parquet holds the cohort's file paths and patient ids as they are; if these \
                 identify patients, use --pseudonyms with a new OUT (pdl help privacy)",
            );
        }
        if let Some(key) = key.filter(|key| key.exists()) {
            note(&format!(
                "note: created a pseudonym key; keep it, as another key gives other pseudonyms: {}",
                key.display()
            ));
        }
        let rejected = indexed.cases.rows.iter().filter(|row| !row.is_usable()).count();
        self.outcome.indexed = Some(indexed);
        self.strict(rejected, "index")
    }

    /// Normalises and resamples every case.
    pub(crate) fn prepare(&mut self, replan: bool) -> Result<()> {
        let prepared = prepare(self.out, &self.settings.prepare, replan, self.context.stage())?;
        let failed = prepared.failures.len();
        self.outcome.prepared = Some(prepared);
        self.strict(failed, "prepare")
    }

    /// Compares every pair of cases. A second pass, after patients were merged, adds to the first
    /// one's count.
    pub(crate) fn compare(&mut self) -> Result<()> {
        let mut compared = compare(self.out, &self.settings.compare, self.context.stage())?;
        compared.computed += self.outcome.compared.map_or(0, |earlier| earlier.computed);
        self.outcome.compared = Some(compared);
        Ok(())
    }

    /// Ranks the training cases into one manifest.
    pub(crate) fn rank(&mut self) -> Result<()> {
        self.outcome.ranked = Some(rank(self.out, &self.settings.rank, None)?);
        Ok(())
    }

    /// Checks for leaks between the splits.
    pub(crate) fn audit(&mut self) -> Result<()> {
        self.outcome.audited = Some(audit::audit(self.out, &self.settings.audit, None)?);
        Ok(())
    }

    /// Writes report.html.
    pub(crate) fn report(&mut self, parameters: &ReportParameters) -> Result<()> {
        self.outcome.reported = Some(report(self.out, parameters, &self.context.display)?);
        Ok(())
    }

    fn strict(&self, count: usize, stage: &str) -> Result<()> {
        if self.settings.run.strict && count > 0 {
            let cases = counted(count, "case");
            let message =
                format!("{cases} cannot be used ({stage}; listed above), and --strict makes that an error");
            return Err(ExitStatus::Strict.error(message).into());
        }
        Ok(())
    }

    /// Prints warnings, then the outcome unless a stage failed.
    ///
    /// # Errors
    /// The failed stage's; [`ExitStatus::Leak`] when cases of two splits are joined.
    pub(crate) fn finish(self, ended: Result<()>) -> Result<ExitStatus> {
        self.context.display.clear();
        summary::warnings(self.out, &self.outcome);
        ended?;
        summary::print(self.out, &self.outcome, self.context.json)?;
        match self.outcome.audits().map(|audit| audit.leaks).max() {
            Some(leaks) if leaks > 0 => {
                let (pairs, verb) = (counted(leaks, "pair"), if leaks == 1 { "joins" } else { "join" });
                let message = format!("{pairs} of cases {verb} two splits; {} lists all", audit::FILE);
                Err(ExitStatus::Leak.error(message).into())
            }
            _ => Ok(ExitStatus::Done),
        }
    }
}
