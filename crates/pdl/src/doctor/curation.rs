//! What `pdl doctor` checks of a curation folder: the results of each stage are present, missing or
//! outdated.
//!
//! It reads tables and hashes of tables; `pdl validate` reads the volumes.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use pdl_cohort::table::cases::{self, Cases};
use pdl_console::counted;
use pdl_curriculum::manifest::{self, Manifest};
use pdl_curriculum::{audit, format_versions, validate};
use pdl_prepare::proxies::{self, Proxies};
use pdl_prepare::{failure, prepared_row};
use pdl_similarity::pairs::{self, Pairs};
use pdl_store::{StoreError, fault, hash, paths};

use crate::doctor::{Check, State};
use crate::preconditions;

/// The record of a finished training run.
const RUN: &str = "run.json";

/// Checks every stage of a folder, and its training runs.
///
/// # Errors
/// An error of the machine at a file: it says nothing about the folder.
pub(crate) fn checks(out: &Path) -> Result<Vec<Check>> {
    if !out.join(cases::FILE).is_file() {
        return Ok(vec![Check::new("index", State::Wrong, preconditions::no_curation(out))]);
    }
    if let Err(error) = format_versions::check(out) {
        let is_newer = matches!(error, StoreError::NewerFormat { .. });
        let text = format!("nothing else was checked: {error}");
        return if is_newer { Ok(vec![Check::new("index", State::Wrong, text)]) } else { Err(error.into()) };
    }
    let cases = match Cases::read(out) {
        Ok(cases) => cases,
        Err(error) if fault::machine_error(&error).is_some() => return Err(error.into()),
        Err(error) => {
            // An id that two cases share is repaired by the index stage, which needs the table for
            // their splits.
            let first = if Cases::has_shared_ids(out) { "" } else { "delete it and " };
            let text = format!(
                "cannot use the table of cases, so nothing else was checked; {first}run `pdl index COHORT --out {}`: \
                 {error}",
                out.display()
            );
            return Ok(vec![Check::new("index", State::Wrong, text)]);
        }
    };
    let mut checks = vec![
        index(out, &cases),
        stage(out, "prepare", prepared_row::FILE, || prepared(out, &cases))?,
        stage(out, "compare", pairs::FOLDER, || compared(out))?,
        stage(out, "rank", manifest::TABLE_FILE, || ranked(out))?,
        stage(out, "audit", audit::FILE, || audited(out))?,
        stage(out, "report", pdl_report::FILE, || reported(out))?,
    ];
    checks.extend(runs(out));
    Ok(checks)
}

/// Checks a stage that has run; names the command of one that has not.
fn stage(out: &Path, name: &'static str, made: &str, look: impl FnOnce() -> Result<Check>) -> Result<Check> {
    let again = again(out, name);
    if !out.join(made).exists() {
        return Ok(Check::new(name, State::Note, format!("not run yet: {again}")));
    }
    match look() {
        Err(error) if fault::machine_error(error.as_ref()).is_none() => {
            let text = format!("cannot be used; {again} makes it again: {error:#}");
            Ok(Check::new(name, State::Wrong, text))
        }
        looked => looked,
    }
}

/// The command that runs a stage.
fn again(out: &Path, stage: &str) -> String {
    format!("`pdl {stage} {}`", out.display())
}

fn index(out: &Path, cases: &Cases) -> Check {
    let rejected = cases.rows.len() - cases.usable().count();
    let gone = |path: &str| !paths::resolve(out, path.split('#').next().unwrap_or(path)).is_file();
    let lost: Vec<&str> = cases
        .usable()
        .filter(|row| {
            row.images().into_iter().any(|(image, _)| gone(image)) || row.label.as_deref().is_some_and(gone)
        })
        .map(|row| row.case_id.as_str())
        .collect();
    let unlabelled = cases.usable().count() - cases.labelled().count();
    let unlabelled = match unlabelled {
        0 => String::new(),
        n => format!(" ({n} of them without a label)"),
    };
    let text = format!("{} cases can be used{unlabelled}, {rejected} are rejected", cases.usable().count());
    if cases.usable().next().is_none() {
        let text = format!("{text}: `pdl summary {} --cases` says why", out.display());
        return Check::new("index", State::Wrong, text);
    }
    if lost.is_empty() {
        return Check::new("index", State::Ok, format!("{text}; all their files exist"));
    }
    let text = format!(
        "{text}; the image or label file of {} is missing: restore it, or run `pdl index COHORT --out {}` again",
        named(&lost),
        out.display()
    );
    Check::new("index", State::Wrong, text)
}

/// The number of cases and the first of them.
fn named(cases: &[&str]) -> String {
    match cases {
        [only] => format!("1 case ({only})"),
        [first, ..] => format!("{} cases ({first} and others)", cases.len()),
        [] => "0 cases".to_owned(),
    }
}

fn prepared(out: &Path, cases: &Cases) -> Result<Check> {
    let rows = prepared_row::read(out)?;
    let failures = failure::read(out)?;
    let known: BTreeSet<&str> = rows.iter().map(|row| row.case_id.as_str()).collect();
    let failed: BTreeSet<&str> = failures.iter().map(|failure| failure.case_id.as_str()).collect();
    let usable: BTreeSet<&str> = cases.usable().map(|row| row.case_id.as_str()).collect();
    let waiting: Vec<&str> =
        usable.iter().copied().filter(|case| !known.contains(case) && !failed.contains(case)).collect();
    let strangers: Vec<&str> = known.difference(&usable).copied().collect();
    let lost: Vec<&str> = rows
        .iter()
        .filter(|row| row.images.iter().chain(&row.label).any(|path| !out.join(path).is_file()))
        .map(|row| row.case_id.as_str())
        .collect();
    let problems: Vec<String> = [
        (&waiting, "not prepared yet"),
        (&strangers, "prepared, but no longer in the cohort"),
        (&lost, "with missing prepared files"),
    ]
    .iter()
    .filter(|(cases, _)| !cases.is_empty())
    .map(|(cases, what)| format!("{} {what}", named(cases)))
    .collect();
    if !problems.is_empty() {
        let text = format!("{}: {} resolves that", problems.join("; "), again(out, "prepare"));
        return Ok(Check::new("prepare", State::Wrong, text));
    }
    Ok(match failures.first() {
        None => {
            let text = format!(
                "the files of all {} cases exist (`pdl validate {}` reads them)",
                rows.len(),
                out.display()
            );
            Check::new("prepare", State::Ok, text)
        }
        Some(first) => {
            let text = format!(
                "the files of {} cases exist; {} could not be prepared, such as {}: {} ({} lists all)",
                rows.len(),
                failures.len(),
                first.case_id,
                first.message,
                failure::FILE
            );
            Check::new("prepare", State::Note, text)
        }
    })
}

fn compared(out: &Path) -> Result<Check> {
    if !out.join(proxies::FOLDER).is_dir() {
        let text = format!(
            "proxies/, the small volumes that are compared, is missing: {} makes it",
            again(out, "prepare")
        );
        return Ok(Check::new("compare", State::Wrong, text));
    }
    let proxies = Proxies::open(out)?;
    let cases = proxies.len();
    if cases > 1 {
        Pairs::open(out, &proxies)?;
    }
    let text = format!("all {} pairs of {cases} cases exist", cases * cases.saturating_sub(1) / 2);
    Ok(Check::new("compare", State::Ok, text))
}

fn ranked(out: &Path) -> Result<Check> {
    let manifest = Manifest::open(out)?;
    let hashes = &manifest.info.hashes;
    let mut changed = Vec::new();
    if hash::of_file(&out.join(cases::FILE))? != hashes.cases {
        changed.push("the cases");
    }
    if hash::of_file(&out.join(pdl_prepare::plan::FILE))? != hashes.plan {
        changed.push("the plan");
    }
    if !hashes.pairs.is_empty() && Pairs::open(out, &Proxies::open(out)?)?.hash()? != hashes.pairs {
        changed.push("the pairs");
    }
    if !changed.is_empty() {
        let text =
            format!("the ranking is older than {}: {} updates it", changed.join(" and "), again(out, "rank"));
        return Ok(Check::new("rank", State::Wrong, text));
    }
    let parameters = validate::ValidateParameters { allow_outside: false, manifest_only: true };
    let differences = validate::validate(out, parameters, &pdl_store::progress::Silent)?.differences;
    if let Some(first) = differences.first() {
        let text = format!(
            "the manifest is invalid in {} places, such as: {} (`pdl validate {}` lists all)",
            differences.len(),
            first.message,
            out.display()
        );
        return Ok(Check::new("rank", State::Wrong, text));
    }
    let text = format!(
        "{} in {}, of the present cases and pairs",
        counted(manifest.training().len(), "training case"),
        counted(manifest.info.stages.len(), "stage")
    );
    Ok(Check::new("rank", State::Ok, text))
}

fn audited(out: &Path) -> Result<Check> {
    let leaks = audit::read(out)?.map_or(0, |audit| audit.leaks);
    Ok(match leaks {
        0 => Check::new("audit", State::Ok, "no patient or image is in two splits"),
        leaks => {
            let text = format!(
                "{leaks} pairs of duplicates across splits ({} lists them), so test data leaks into training; `pdl curate \
                 COHORT --out {}` puts such patients in one split",
                audit::FILE,
                out.display()
            );
            Check::new("audit", State::Wrong, text)
        }
    })
}

/// A manifest or run newer than the report is not in it.
fn reported(out: &Path) -> Result<Check> {
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let own = changed(&out.join(pdl_report::FILE));
    let runs =
        ended(out).into_iter().map(|name| out.join(pdl_report::run_history::FOLDER).join(name).join(RUN));
    let newer = runs.chain([out.join(manifest::TABLE_FILE)]).filter(|path| changed(path) > own).count();
    Ok(match newer {
        0 => Check::new("report", State::Ok, "up to date"),
        _ => {
            let text = format!("older than the results it shows: {} updates it", again(out, "report"));
            Check::new("report", State::Note, text)
        }
    })
}

fn folders(out: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(out.join(pdl_report::run_history::FOLDER)) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> =
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

fn ended(out: &Path) -> Vec<String> {
    let mut names = folders(out);
    names.retain(|name| out.join(pdl_report::run_history::FOLDER).join(name).join(RUN).is_file());
    names
}

fn runs(out: &Path) -> Option<Check> {
    let (all, ended) = (folders(out), ended(out));
    if all.is_empty() {
        return None;
    }
    let open: Vec<&str> = all.iter().filter(|name| !ended.contains(name)).map(String::as_str).collect();
    Some(match open.as_slice() {
        [] => Check::new("runs", State::Ok, format!("{} finished", counted(ended.len(), "training run"))),
        open => {
            let text = format!(
                "{} finished; in progress or interrupted (run the same command to resume): {}",
                counted(ended.len(), "training run"),
                open.join(", ")
            );
            Check::new("runs", State::Note, text)
        }
    })
}
