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

/// The record of a run that has ended.
const RUN: &str = "run.json";

/// Everything about one folder.
pub(crate) fn of(out: &Path) -> Vec<Check> {
    if !out.join(cases::FILE).is_file() {
        let text =
            format!("no curation folder; make one with `pdl curate COHORT --out {0}`: {0}", out.display());
        return vec![Check::new("index", State::Wrong, text)];
    }
    let cases = match Cases::read(out) {
        Ok(cases) => cases,
        Err(error) => return vec![Check::new("index", State::Wrong, error.to_string())],
    };
    let mut checks = vec![
        index(out, &cases),
        stage("prepare", out.join(prepare::FILE).is_file(), || prepared(out, &cases)),
        stage("compare", out.join(pairs::FOLDER).is_dir(), || compared(out)),
        stage("rank", out.join(manifest::TABLE_FILE).is_file(), || ranked(out)),
        stage("audit", out.join(audit::FILE).is_file(), || audited(out)),
        stage("report", out.join(pdl_report::FILE).is_file(), || reported(out)),
    ];
    checks.extend(runs(out));
    checks
}

/// A stage that has run is looked into; one that has not is named.
fn stage(name: &'static str, there: bool, look: impl FnOnce() -> Result<Check>) -> Check {
    if !there {
        return Check::new(name, State::Note, format!("not made yet: pdl {name}"));
    }
    look().unwrap_or_else(|error| Check::new(name, State::Wrong, format!("{error:#}")))
}

fn index(out: &Path, cases: &Cases) -> Check {
    let usable = cases.usable().count();
    let rejected = cases.rows.len() - usable;
    let gone = |path: &str| !paths::resolve(out, path.split('#').next().unwrap_or(path)).is_file();
    let lost =
        cases.usable().filter(|row| gone(&row.image) || row.label.as_deref().is_some_and(gone)).count();
    let text = format!("{usable} usable cases, {rejected} rejected");
    match lost {
        0 if usable == 0 => Check::new("index", State::Wrong, text),
        0 => Check::new("index", State::Ok, text),
        n => {
            let text =
                format!("{text}; the volumes of {n} are gone: bring them back, or run `pdl index` again");
            Check::new("index", State::Wrong, text)
        }
    }
}

fn prepared(out: &Path, cases: &Cases) -> Result<Check> {
    let rows = prepare::read(out)?;
    let failures = prepare::read_failures(out)?;
    let known: BTreeSet<&str> = rows.iter().map(|row| row.case_id.as_str()).collect();
    let failed: BTreeSet<&str> = failures.iter().map(|failure| failure.case_id.as_str()).collect();
    let usable: BTreeSet<&str> = cases.usable().map(|row| row.case_id.as_str()).collect();
    let waiting = usable.iter().filter(|case| !known.contains(*case) && !failed.contains(*case)).count();
    let strangers = known.difference(&usable).count();
    let lost = rows
        .iter()
        .filter(|row| [&row.image, &row.label].iter().any(|path| !out.join(path).is_file()))
        .count();
    if waiting + strangers + lost > 0 {
        let text = format!(
            "out of date: {} not prepared yet, {strangers} no longer there, {lost} without their files: pdl prepare",
            counted(waiting, "case")
        );
        return Ok(Check::new("prepare", State::Wrong, text));
    }
    let text = format!("{}, {} failed", counted(rows.len(), "case"), failures.len());
    Ok(match failures.first() {
        None => Check::new("prepare", State::Ok, text),
        Some(first) => {
            let text =
                format!("{text}, such as {}: {} (failures.json has all)", first.case_id, first.message);
            Check::new("prepare", State::Note, text)
        }
    })
}

fn compared(out: &Path) -> Result<Check> {
    anyhow::ensure!(out.join(proxies::FOLDER).is_dir(), "there are pairs, but no proxies: pdl prepare");
    let proxies = Proxies::open(out)?;
    let cases = proxies.len();
    if cases > 1 {
        Pairs::open(out, &proxies)?;
    }
    let text = format!("{} pairs of {cases} cases", cases * cases.saturating_sub(1) / 2);
    Ok(Check::new("compare", State::Ok, text))
}

fn ranked(out: &Path) -> Result<Check> {
    let manifest = Manifest::open(out)?;
    let hashes = &manifest.info.hashes;
    let mut changed = Vec::new();
    if hash::of_file(&out.join(cases::FILE))? != hashes.cases {
        changed.push("cases.parquet");
    }
    if hash::of_file(&out.join(pdl_prepare::plan::FILE))? != hashes.plan {
        changed.push("plan.json");
    }
    if !hashes.pairs.is_empty() && Pairs::open(out, &Proxies::open(out)?)?.hash()? != hashes.pairs {
        changed.push("pairs/");
    }
    if !changed.is_empty() {
        let text = format!("out of date: {} changed since: pdl rank", changed.join(", "));
        return Ok(Check::new("rank", State::Wrong, text));
    }
    let parameters = validate::ValidateParameters { allow_outside: false, manifest_only: true };
    let differences = validate::validate(out, parameters, &pdl_store::progress::Silent)?.differences;
    if let Some(first) = differences.first() {
        let count = counted(differences.len(), "difference");
        let text = format!("{count}, such as: {} (pdl validate)", first.message);
        return Ok(Check::new("rank", State::Wrong, text));
    }
    let text = format!(
        "{} in {}",
        counted(manifest.training().len(), "training case"),
        counted(manifest.info.stages.len(), "stage")
    );
    Ok(Check::new("rank", State::Ok, text))
}

fn audited(out: &Path) -> Result<Check> {
    let audit: audit::Audit = pdl_store::json::read(&out.join(audit::FILE))?;
    let state = if audit.leaks == 0 { State::Ok } else { State::Wrong };
    Ok(Check::new("audit", state, format!("{} between two splits", counted(audit.leaks, "pair"))))
}

/// The report is as old as it looks: a newer manifest or run is not in it.
fn reported(out: &Path) -> Result<Check> {
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let own = changed(&out.join(pdl_report::FILE));
    let runs = ended(out).into_iter().map(|name| out.join(pdl_report::runs::FOLDER).join(name).join(RUN));
    let newer = runs.chain([out.join(manifest::TABLE_FILE)]).filter(|path| changed(path) > own).count();
    Ok(match newer {
        0 => Check::new("report", State::Ok, "as new as what it shows"),
        n => Check::new("report", State::Note, format!("older than {n} of the files it shows: pdl report")),
    })
}

fn folders(out: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(out.join(pdl_report::runs::FOLDER)) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> =
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

fn ended(out: &Path) -> Vec<String> {
    let mut names = folders(out);
    names.retain(|name| out.join(pdl_report::runs::FOLDER).join(name).join(RUN).is_file());
    names
}

fn runs(out: &Path) -> Option<Check> {
    let (all, ended) = (folders(out), ended(out));
    if all.is_empty() {
        return None;
    }
    let open: Vec<&str> = all.iter().filter(|name| !ended.contains(name)).map(String::as_str).collect();
    Some(match open.as_slice() {
        [] => Check::new("runs", State::Ok, format!("{} ended", ended.len())),
        open => {
            let text =
                format!("{} ended; not ended, so running or stopped: {}", ended.len(), open.join(", "));
            Check::new("runs", State::Note, text)
        }
    })
}
