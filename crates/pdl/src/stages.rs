//! Runs the stages that a command asks for.

use std::path::Path;

use anyhow::{Context, Result};
use clap::ArgMatches;
use pdl_cohort::index::index;
use pdl_cohort::same_patient::SamePatient;
use pdl_cohort::{CohortError, key_file};
use pdl_cohort::{cases, sources};
use pdl_curriculum::audit::audit;
use pdl_curriculum::rank::rank;
use pdl_prepare::prepare::prepare;
use pdl_report::{ReportParameters, report};
use pdl_similarity::compare::compare;
use pdl_store::journal::Trust;
use pdl_store::lock::FolderLock;
use pdl_store::memory::MemoryLimit;
use pdl_store::progress::Run;

use crate::args::{Cli, Command};
use crate::audit;
use crate::cluster;
use crate::display::{self, Display};
use crate::doctor;
use crate::export;
use crate::folds::{FoldParameters, RankedFold};
use crate::help;
use crate::import;
use crate::init;
use crate::outcome::Outcome;
use crate::pairs;
use crate::places;
use crate::settings::Settings;
use crate::show;
use crate::summary;
use crate::validate;

/// A case cannot be used, and `--strict` makes that fatal.
#[derive(Debug)]
pub(crate) struct StrictError {
    count: usize,
    stage: &'static str,
}

impl std::fmt::Display for StrictError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} of the cases cannot be used ({}; they are listed above), and --strict makes that fatal",
            self.count, self.stage
        )
    }
}

impl std::error::Error for StrictError {}

/// Runs one command.
pub(crate) fn run(cli: &Cli, matches: &ArgMatches) -> Result<()> {
    if let Command::Import { parameters } = &cli.command {
        return import::run(parameters, cli.json);
    }
    if let Command::Help { word } = &cli.command {
        return help::run(word.as_deref());
    }
    if let Command::Init(args) = &cli.command {
        let limit = MemoryLimit::or_half_of_free(cli.run.memory.map(|memory| memory.0));
        return init::run(args, &limit, cli.json);
    }
    if let Command::Doctor(args) = &cli.command {
        return doctor::run(args, cli.json);
    }
    if let Command::Shell(words) = &cli.command {
        display::say(&words.run::<Cli>()?);
        return Ok(());
    }
    let mut settings = Settings::new(cli, matches)?;
    if matches!(cli.command, Command::Curate { .. }) {
        settings.prepare.proxy_labels |= settings.compare.needs_labels();
    }
    let out = cli.command.out().as_path();
    if let Command::Config { .. } = cli.command {
        return print_settings(cli, &settings);
    }
    set_threads(settings.run.threads)?;
    let display = Display::new();
    if let Some(result) = validate::run(&cli.command, &display, cli.json) {
        display.clear();
        return result;
    }
    match &cli.command {
        Command::Curate { cohort, .. } | Command::Index { cohort, .. } => places::check_cohort(cohort, out)?,
        command => places::check_curated(out, command)?,
    }
    if let Some(result) = show::run(out, &cli.command, cli.json) {
        return result;
    }
    let stages = Stages { out, settings: &settings, display: &display };
    if let Some(result) = pairs::run(out, &cli.command, &settings.compare, stages.how(), cli.json) {
        display.clear();
        return result;
    }
    display::say_how_to_go_on(&display);
    if let Command::Compare { cluster: Some(scheduler), .. } = &cli.command {
        display.clear();
        return cluster::compare(out, &settings.compare, scheduler, cli.json);
    }
    let mut written_by_cluster = None;
    if let Command::Prepare { cluster: Some(scheduler), replan, .. } = &cli.command {
        display.clear();
        // The stage below finds all done.
        written_by_cluster = Some(cluster::prepare(out, &settings.prepare, replan.replan, scheduler)?);
    }
    let _lock = FolderLock::take(out)?;
    if let Command::Export { parameters, .. } = &cli.command {
        return export::run(out, parameters, cli.json);
    }
    let mut outcome = Outcome::default();
    let result = stages.run(&cli.command, &mut outcome);
    if let (Some(written), Some(prepared)) = (written_by_cluster, &mut outcome.prepared) {
        prepared.written = written;
    }
    display.clear();
    summary::warnings(out, &outcome);
    result?;
    summary::print(out, &outcome, cli.json)?;
    audit::refuse_leaks(outcome.audited.iter().chain(outcome.folds.iter().map(|fold| &fold.audited)))
}

fn print_settings(cli: &Cli, settings: &Settings) -> Result<()> {
    let text = if cli.json { serde_json::to_string_pretty(settings)? } else { toml::to_string(settings)? };
    display::say(text.trim_end());
    Ok(())
}

fn set_threads(threads: usize) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.context("cannot start the threads")
}

/// The stages of `curate`, in their order.
const CURATE: [&str; 6] = ["index", "prepare", "compare", "rank", "audit", "report"];

struct Stages<'a> {
    out: &'a Path,
    settings: &'a Settings,
    display: &'a Display,
}

impl Stages<'_> {
    fn run(&self, command: &Command, outcome: &mut Outcome) -> Result<()> {
        match command {
            Command::Curate { cohort, stages, no_report, same_patient, .. } => {
                let replan = stages.replan.replan;
                let all = if *no_report { &CURATE[..5] } else { &CURATE[..] };
                let enter = |stage| self.display.enter(all, stage);
                enter("index");
                self.index(cohort, same_patient.as_deref(), outcome)?;
                enter("prepare");
                self.prepare(replan, outcome)?;
                enter("compare");
                self.compare(outcome)?;
                if self.join_patients(cohort, outcome)? {
                    enter("prepare");
                    self.prepare(replan, outcome)?;
                    enter("compare");
                    self.compare(outcome)?;
                }
                enter("rank");
                self.rank(outcome)?;
                enter("audit");
                self.audit(outcome)?;
                if !no_report {
                    enter("report");
                    if let Err(error) = self.report(&ReportParameters::default(), outcome) {
                        display::note(&format!("warning: the report was not written: {error}"));
                    }
                }
                Ok(())
            }
            Command::Index { cohort, same_patient, .. } => {
                self.index(cohort, same_patient.as_deref(), outcome)
            }
            Command::Prepare { replan, cluster, .. } => {
                self.prepare(replan.replan && cluster.is_none(), outcome) // the cluster's client has planned
            }
            Command::Compare { .. } => self.compare(outcome),
            Command::Rank { folds, .. } => {
                if folds.all().is_empty() {
                    self.rank(outcome)?;
                } else {
                    self.rank_folds(folds, outcome)?;
                }
                self.audit(outcome)
            }
            Command::Audit { .. } => self.audit(outcome),
            Command::Report { parameters, .. } => self.report(parameters, outcome),
            Command::Init(_)
            | Command::Doctor(_)
            | Command::Help { .. }
            | Command::Config { .. }
            | Command::Export { .. }
            | Command::View { .. }
            | Command::Summary { .. }
            | Command::Shell(_)
            | Command::Import { .. }
            | Command::Tile { .. }
            | Command::Matrix { .. }
            | Command::Similar { .. }
            | Command::Duplicates { .. }
            | Command::Validate(_)
            | Command::Diff(_) => Ok(()), // no stages
        }
    }

    fn how(&self) -> Run<'_> {
        let trust = if self.settings.run.verify { Trust::Content } else { Trust::Stamps };
        Run { trust, progress: self.display, memory: self.settings.run.memory.map(|memory| memory.0) }
    }

    fn index(&self, cohort: &Path, same_patient: Option<&Path>, outcome: &mut Outcome) -> Result<()> {
        let same_patient = same_patient.map(SamePatient::read).transpose()?.unwrap_or_default();
        let missing = key_file(self.settings.index.pseudonym_key.as_deref()).filter(|key| !key.exists());
        let first = !self.out.join(cases::FILE).exists();
        let indexed = index(cohort, self.out, &self.settings.index, &same_patient, self.how())?;
        if first && !self.out.join(sources::FILE).exists() {
            display::note(
                "note: cases.parquet holds the paths of the cohort's files and its patients' ids as they are; where these say \
                 whose the images are, --pseudonyms into a new OUT keeps them out (pdl help privacy)",
            );
        }
        if let Some(key) = missing.filter(|key| key.exists()) {
            display::note(&format!(
                "note: a key of the pseudonyms was made: keep it, since under another key every pseudonym is another: {}",
                key.display()
            ));
        }
        let rejected = indexed.cases.rows.iter().filter(|row| !row.is_usable()).count();
        outcome.indexed = Some(indexed);
        self.strict(rejected, "index")
    }

    fn prepare(&self, replan: bool, outcome: &mut Outcome) -> Result<()> {
        let prepared = prepare(self.out, &self.settings.prepare, replan, self.how())?;
        let failed = prepared.failures.len();
        outcome.prepared = Some(prepared);
        self.strict(failed, "prepare")
    }

    fn compare(&self, outcome: &mut Outcome) -> Result<()> {
        let mut compared = compare(self.out, &self.settings.compare, self.how())?;
        // Of a second pass, after patients were joined, too.
        compared.computed += outcome.compared.map_or(0, |earlier| earlier.computed);
        outcome.compared = Some(compared);
        Ok(())
    }

    fn rank(&self, outcome: &mut Outcome) -> Result<()> {
        outcome.ranked = Some(rank(self.out, &self.settings.rank, None)?);
        Ok(())
    }

    fn audit(&self, outcome: &mut Outcome) -> Result<()> {
        outcome.audited = Some(audit(self.out, &self.settings.audit, None)?);
        Ok(())
    }

    fn report(&self, parameters: &ReportParameters, outcome: &mut Outcome) -> Result<()> {
        outcome.reported = Some(report(self.out, parameters, self.display)?);
        Ok(())
    }

    fn rank_folds(&self, folds: &FoldParameters, outcome: &mut Outcome) -> Result<()> {
        for fold in folds.all() {
            let ranked = rank(self.out, &self.settings.rank, Some(fold))?;
            let audited = audit(self.out, &self.settings.audit, Some(fold))?;
            outcome.folds.push(RankedFold { fold, ranked, audited });
        }
        Ok(())
    }

    /// Takes patients as one whom the audit found to be one and in two splits, unless the cohort's own table puts
    /// them there; says whether it did.
    fn join_patients(&self, cohort: &Path, outcome: &mut Outcome) -> Result<bool> {
        let audited = audit(self.out, &self.settings.audit, None)?;
        let Some(found) = audit::to_join(&audited) else { return Ok(false) };
        let crowds = audit::crowds(&found);
        if !crowds.is_empty() {
            display::note(&audit::crowds_text(&crowds));
        }
        let found = found.without(&crowds);
        if found.is_empty() {
            return Ok(false);
        }
        let join = |pairs: &SamePatient| index(cohort, self.out, &self.settings.index, pairs, self.how());
        let (indexed, taken) = match join(&found) {
            Err(CohortError::NotOnePatient { problems }) => {
                for problem in problems.values() {
                    display::note(&format!(
                        "note: some patients in two splits seem to be one, but {problem}: that is left as it is"
                    ));
                }
                let rest = found.without(&problems.into_keys().collect());
                if rest.is_empty() {
                    return Ok(false);
                }
                (join(&rest)?, rest)
            }
            indexed => (indexed?, found),
        };
        audit::joined(self.out, &audited.links, &taken).iter().for_each(|line| display::note(line));
        outcome.indexed = Some(indexed);
        Ok(true)
    }

    fn strict(&self, count: usize, stage: &'static str) -> Result<()> {
        if self.settings.run.strict && count > 0 {
            return Err(StrictError { count, stage }.into());
        }
        Ok(())
    }
}
