//! What `pdl doctor` says of a curation folder: each stage is there, missing, or of something that has changed since.
//!
//! It reads tables and hashes of tables; voxels are `pdl validate`'s to look at.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use pdl_cohort::cases::{self, Cases};
use pdl_curriculum::manifest::{self, Manifest};
use pdl_curriculum::{audit, validate};
use pdl_prepare::prepare;
use pdl_prepare::proxies::{self, Proxies};
use pdl_similarity::pairs::{self, Pairs};
use pdl_store::text::counted;
use pdl_store::{hash, paths};

use crate::doctor::{Check, State};
use crate::places;

/// The record of a run that has ended.
const RUN: &str = "run.json";

/// Everything about one folder.
pub(crate) fn of(out: &Path) -> Vec<Check> {
    if !out.join(cases::FILE).is_file() {
        return vec![Check::new("index", State::Wrong, places::no_curation(out))];
    }
    let cases = match Cases::read(out) {
        Ok(cases) => cases,
        Err(error) => {
            let text = format!(
                "the table of cases cannot be read, so nothing else was looked at; delete it and run `pdl index COHORT \
                 --out {}`: {error}",
                out.display()
            );
            return vec![Check::new("index", State::Wrong, text)];
        }
    };
    let mut checks = vec![
        index(out, &cases),
        stage(out, "prepare", prepare::FILE, || prepared(out, &cases)),
        stage(out, "compare", pairs::FOLDER, || compared(out)),
        stage(out, "rank", manifest::TABLE_FILE, || ranked(out)),
        stage(out, "audit", audit::FILE, || audited(out)),
        stage(out, "report", pdl_report::FILE, || reported(out)),
    ];
    checks.extend(runs(out));
    checks
}

/// A stage that has run is looked into; one that has not is named.
fn stage(out: &Path, name: &'static str, made: &str, look: impl FnOnce() -> Result<Check>) -> Check {
    let again = again(out, name);
    if !out.join(made).exists() {
        return Check::new(name, State::Note, format!("not made yet: {again} does"));
    }
    look().unwrap_or_else(|error| {
        Check::new(name, State::Wrong, format!("cannot be used; {again} makes it anew: {error:#}"))
    })
}

/// The command that makes what a stage makes.
fn again(out: &Path, stage: &str) -> String {
    format!("`pdl {stage} {}`", out.display())
}

fn index(out: &Path, cases: &Cases) -> Check {
    let rejected = cases.rows.len() - cases.usable().count();
    let gone = |path: &str| !paths::resolve(out, path.split('#').next().unwrap_or(path)).is_file();
    let lost: Vec<&str> = cases
        .usable()
        .filter(|row| gone(&row.image) || row.label.as_deref().is_some_and(gone))
        .map(|row| row.case_id.as_str())
        .collect();
    let text = format!("{} cases can be used, {rejected} were rejected", cases.usable().count());
    if cases.usable().next().is_none() {
        let text = format!("{text}: `pdl summary {} --cases` says why", out.display());
        return Check::new("index", State::Wrong, text);
    }
    if lost.is_empty() {
        return Check::new("index", State::Ok, format!("{text}; all their files are there"));
    }
    let text = format!(
        "{text}; of {} the image or label file is gone: bring them back, or run `pdl index COHORT --out {}` again",
        named(&lost),
        out.display()
    );
    Check::new("index", State::Wrong, text)
}

/// How many cases, and the first of them.
fn named(cases: &[&str]) -> String {
    match cases {
        [only] => format!("1 case ({only})"),
        [first, ..] => format!("{} cases ({first} and others)", cases.len()),
        [] => "0 cases".to_owned(),
    }
}

fn prepared(out: &Path, cases: &Cases) -> Result<Check> {
    let rows = prepare::read(out)?;
    let failures = prepare::read_failures(out)?;
    let known: BTreeSet<&str> = rows.iter().map(|row| row.case_id.as_str()).collect();
    let failed: BTreeSet<&str> = failures.iter().map(|failure| failure.case_id.as_str()).collect();
    let usable: BTreeSet<&str> = cases.usable().map(|row| row.case_id.as_str()).collect();
    let waiting: Vec<&str> =
        usable.iter().copied().filter(|case| !known.contains(case) && !failed.contains(case)).collect();
    let strangers: Vec<&str> = known.difference(&usable).copied().collect();
    let lost: Vec<&str> = rows
        .iter()
        .filter(|row| [&row.image, &row.label].iter().any(|path| !out.join(path).is_file()))
        .map(|row| row.case_id.as_str())
        .collect();
    let problems: Vec<String> = [
        (&waiting, "not prepared yet"),
        (&strangers, "prepared, but no longer in the cohort"),
        (&lost, "without prepared files, which are gone"),
    ]
    .iter()
    .filter(|(cases, _)| !cases.is_empty())
    .map(|(cases, what)| format!("{} {what}", named(cases)))
    .collect();
    if !problems.is_empty() {
        let text = format!("{}: {} mends that", problems.join("; "), again(out, "prepare"));
        return Ok(Check::new("prepare", State::Wrong, text));
    }
    Ok(match failures.first() {
        None => {
            let text = format!(
                "the files of all {} cases are there (`pdl validate {}` looks into them)",
                rows.len(),
                out.display()
            );
            Check::new("prepare", State::Ok, text)
        }
        Some(first) => {
            let text = format!(
                "the files of {} cases are there; {} could not be prepared, such as {}: {} ({} has all)",
                rows.len(),
                failures.len(),
                first.case_id,
                first.message,
                prepare::FAILURES_FILE
            );
            Check::new("prepare", State::Note, text)
        }
    })
}

fn compared(out: &Path) -> Result<Check> {
    if !out.join(proxies::FOLDER).is_dir() {
        let text = format!(
            "the small volumes that were compared (proxies/) are gone: {} makes them",
            again(out, "prepare")
        );
        return Ok(Check::new("compare", State::Wrong, text));
    }
    let proxies = Proxies::open(out)?;
    let cases = proxies.len();
    if cases > 1 {
        Pairs::open(out, &proxies)?;
    }
    let text = format!("all {} pairs of {cases} cases are there", cases * cases.saturating_sub(1) / 2);
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
        changed.push("how they are prepared");
    }
    if !hashes.pairs.is_empty() && Pairs::open(out, &Proxies::open(out)?)?.hash()? != hashes.pairs {
        changed.push("the pairs");
    }
    if !changed.is_empty() {
        let text = format!(
            "the ranking is older than {}: {} makes it anew",
            changed.join(" and "),
            again(out, "rank")
        );
        return Ok(Check::new("rank", State::Wrong, text));
    }
    let parameters = validate::ValidateParameters { allow_outside: false, manifest_only: true };
    let differences = validate::validate(out, parameters, &pdl_store::progress::Silent)?.differences;
    if let Some(first) = differences.first() {
        let text = format!(
            "the manifest is not what it says in {} places, such as: {} (`pdl validate {}` lists all)",
            differences.len(),
            first.message,
            out.display()
        );
        return Ok(Check::new("rank", State::Wrong, text));
    }
    let text = format!(
        "{} in {}, of the cases and pairs that are here",
        counted(manifest.training().len(), "training case"),
        counted(manifest.info.stages.len(), "stage")
    );
    Ok(Check::new("rank", State::Ok, text))
}

fn audited(out: &Path) -> Result<Check> {
    let audit: audit::Audit = pdl_store::json::read(&out.join(audit::FILE))?;
    Ok(match audit.leaks {
        0 => Check::new("audit", State::Ok, "no patient or image was found in two splits"),
        leaks => {
            let text = format!(
                "{leaks} pairs of cases join two splits, as {} lists: training would know what it is tested on; `pdl \
                 curate COHORT --out {}` puts such patients on one side",
                audit::FILE,
                out.display()
            );
            Check::new("audit", State::Wrong, text)
        }
    })
}

/// The report is as old as it looks: a newer manifest or run is not in it.
fn reported(out: &Path) -> Result<Check> {
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let own = changed(&out.join(pdl_report::FILE));
    let runs =
        ended(out).into_iter().map(|name| out.join(pdl_report::run_history::FOLDER).join(name).join(RUN));
    let newer = runs.chain([out.join(manifest::TABLE_FILE)]).filter(|path| changed(path) > own).count();
    Ok(match newer {
        0 => Check::new("report", State::Ok, "the page is newer than all it shows"),
        _ => {
            let text =
                format!("the page is older than what it shows: {} makes it anew", again(out, "report"));
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
        [] => Check::new("runs", State::Ok, format!("{} ended", counted(ended.len(), "training"))),
        open => {
            let text = format!(
                "{} ended; running, or stopped and to be gone on with by the same command: {}",
                counted(ended.len(), "training"),
                open.join(", ")
            );
            Check::new("runs", State::Note, text)
        }
    })
}
