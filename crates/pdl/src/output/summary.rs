//! What was made, the figures that matter, and what to type next.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use pdl_cohort::attributes::{Split, Status};
use pdl_cohort::cases::CaseRow;
use pdl_cohort::index::Indexed;
use pdl_console::{counted, note, say};
use pdl_curriculum::manifest::{ManifestRow, Ranking};
use pdl_curriculum::pace::Stage;
use pdl_curriculum::rank::Ranked;
use pdl_prepare::prepare::Prepared;
use serde_json::{Value, json};

use crate::audit;
use crate::case::reasons;
use crate::folds;
use crate::outcome::Outcome;
use crate::output::hints;

/// Rejected cases that are named one by one; the rest is counted.
const NAMED: usize = 10;

/// Findings on stderr: grouped by code and counted; rejected cases by name.
pub(crate) fn warnings(out: &Path, outcome: &Outcome) {
    if let Some(indexed) = &outcome.indexed {
        for finding in &indexed.cases.findings {
            note(&format!("warning: {}", finding.message));
        }
        let rows = &indexed.cases.rows;
        for finding in &indexed.moved {
            note(&format!("warning: {} [{}]", finding.message, finding.code));
        }
        for (code, group) in grouped(rows) {
            let all = counted(rows.len(), "case");
            note(&format!(
                "warning: {} of {all}{}: {} [{code}]",
                group.count,
                group.such_as(),
                group.example
            ));
        }
        let rejected: Vec<&CaseRow> = rows.iter().filter(|row| !row.is_usable()).collect();
        list("rejected", rejected.iter().map(|row| (row.case_id.as_str(), reasons(row))));
    }
    if let Some(prepared) = &outcome.prepared {
        for finding in &prepared.findings {
            note(&format!("warning: {} [{}]", finding.message, finding.code));
        }
        list(
            "failed",
            prepared.failures.iter().map(|failure| (failure.case_id.as_str(), failure.message.clone())),
        );
    }
    if let Some(ranked) = &outcome.ranked {
        for finding in &ranked.ranking.findings {
            note(&format!("warning: {} [{}]", finding.message, finding.code));
        }
    }
    if let Some(audited) = &outcome.audited {
        audit::warnings(out, audited, outcome.indexed.is_some());
    }
    folds::warnings(out, &outcome.folds);
}

/// Cases by what is told of them: each message once.
fn list<'a>(what: &str, cases: impl Iterator<Item = (&'a str, String)>) {
    let mut of_message: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    cases.for_each(|(case, message)| of_message.entry(message).or_default().push(case));
    let mut groups: Vec<(String, Vec<&str>)> = of_message.into_iter().collect();
    groups.sort_by(|a, b| a.1.cmp(&b.1));
    for (message, cases) in groups.iter().take(NAMED) {
        match cases[..] {
            [case] => note(&format!("{what}: {case}: {message}")),
            _ => note(&format!("{what}: {} cases, such as {}: {message}", cases.len(), cases[0])),
        }
    }
    let further: usize = groups.iter().skip(NAMED).map(|(_, cases)| cases.len()).sum();
    if further > 0 {
        note(&format!("{what}: and {}", counted(further, "more case")));
    }
}

/// The findings of one code.
struct Grouped<'a> {
    count: usize,
    case: &'a str,
    example: &'a str,
    /// Whether all cases have the same message.
    alike: bool,
}

impl Grouped<'_> {
    /// Which case the example is of, where others are told other things.
    fn such_as(&self) -> String {
        if self.alike && self.count > 1 {
            String::new()
        } else {
            format!(", {}{}", if self.count > 1 { "such as " } else { "" }, self.case)
        }
    }
}

/// Findings of usable cases, by code.
fn grouped(rows: &[CaseRow]) -> BTreeMap<&str, Grouped<'_>> {
    let mut groups: BTreeMap<&str, Grouped<'_>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.is_usable()) {
        for finding in &row.findings {
            let new = Grouped { count: 0, case: &row.case_id, example: &finding.message, alike: true };
            let group = groups.entry(&finding.code).or_insert(new);
            group.count += 1;
            group.alike &= group.example == finding.message;
        }
    }
    groups
}

/// The result on stdout.
pub(crate) fn print(out: &Path, outcome: &Outcome, as_json: bool) -> Result<()> {
    if as_json {
        say(&serde_json::to_string_pretty(&result(out, outcome))?);
        return Ok(());
    }
    if outcome.nothing_new() {
        say(&format!("{}: nothing to do, everything is made and valid.", out.display()));
    } else {
        say(&format!("{}:", out.display()));
    }
    for (file, text) in lines(outcome) {
        say(&format!("  {file:<18} {text}"));
    }
    folds::lines(&outcome.folds).iter().for_each(|line| say(line));
    say(&format!("Next: {}", hints::next(out, outcome)));
    Ok(())
}

fn lines(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(indexed) = &outcome.indexed {
        lines.push(("cases.parquet", index_line(indexed)));
    }
    if let Some(prepared) = &outcome.prepared {
        let [x, y, z] = prepared.plan.spacing_mm;
        let [px, py, pz] = prepared.plan.proxies.shape;
        let cases = counted(prepared.cases, "case");
        lines.push(("prepared/", format!("{cases} at {x:.2} x {y:.2} x {z:.2} mm (RAS+)")));
        lines.push(("proxies/", format!("{cases} of {px} x {py} x {pz} voxels")));
    }
    if let Some(compared) = outcome.compared {
        let text =
            format!("{}, {} computed now", counted(compared.pairs as usize, "pair"), compared.computed);
        lines.push(("pairs/", text));
    }
    if let Some(ranked) = &outcome.ranked {
        lines.push(("manifest.parquet", rank_line(ranked)));
    }
    if let Some(audited) = &outcome.audited {
        lines.push((pdl_curriculum::audit::FILE, audit::line(audited)));
    }
    if let Some(report) = outcome.reported {
        let size = bytesize::ByteSize(report.bytes as u64).display().iec();
        lines.push((
            pdl_report::FILE,
            format!("{} of {} shown, {size}", report.shown, counted(report.cases, "case")),
        ));
    }
    lines
}

fn index_line(indexed: &Indexed) -> String {
    let rows = &indexed.cases.rows;
    let usable: Vec<&CaseRow> = indexed.cases.usable().collect();
    let patients: BTreeSet<&str> = usable.iter().map(|row| row.patient_id.as_str()).collect();
    let split = |split: Split| usable.iter().filter(|row| row.split == split).count();
    let modality = usable.first().map_or(String::new(), |row| format!("{} ", row.modality));
    format!(
        "{} of {}: {} train, {} val, {} test; {} rejected",
        counted(usable.len(), &format!("{modality}case")),
        counted(patients.len(), "patient"),
        split(Split::Train),
        split(Split::Val),
        split(Split::Test),
        rows.len() - usable.len()
    )
}

pub(crate) fn rank_line(ranked: &Ranked) -> String {
    let training: Vec<_> = ranked.rows.iter().filter(|row| row.rank.is_some()).collect();
    let end = |row: Option<&&ManifestRow>| {
        row.map_or(String::new(), |row| {
            let score = row.score.map_or(String::new(), |score| format!(" ({score:.4})"));
            format!("{}{score}", row.case_id)
        })
    };
    let Ranking { duplicates, beyond_keep, .. } = ranked.ranking;
    let left_out = match duplicates + beyond_keep {
        0 => String::new(),
        _ => {
            format!(" ({} and {} left out)", counted(duplicates, "duplicate"), counted(beyond_keep, "other"))
        }
    };
    format!(
        "{} ranked{left_out}, {} first, {} last; {}",
        training.len(),
        end(training.first()),
        end(training.last()),
        stages_text(&ranked.stages)
    )
}

/// How many cases train and when; a long table by its ends.
fn stages_text(stages: &[Stage]) -> String {
    const SHOWN: usize = 8;
    let active = |stages: &[Stage]| {
        stages.iter().map(|stage| stage.active_cases.to_string()).collect::<Vec<_>>().join(", ")
    };
    let even = stages
        .windows(2)
        .all(|w| Some(w[1].first_epoch - w[0].first_epoch) == stages.get(1).map(|s| s.first_epoch));
    let last = stages.last().map_or(0, |stage| stage.first_epoch);
    let cases = if stages.len() > SHOWN {
        let (first, rest) = stages.split_at(SHOWN / 2);
        format!(
            "{}, ... {} cases train in {} stages",
            active(first),
            active(&rest[rest.len() - 1..]),
            stages.len()
        )
    } else {
        let one = stages.iter().all(|stage| stage.active_cases == 1);
        format!("{} {}", active(stages), if one { "case trains" } else { "cases train" })
    };
    match stages.get(1) {
        None => cases,
        Some(second) if even => {
            format!("{cases}, a stage every {}", counted(second.first_epoch as usize, "epoch"))
        }
        Some(_) => format!("{cases}, all from epoch {last} on"),
    }
}

fn result(out: &Path, outcome: &Outcome) -> Value {
    let mut result = json!({ "out": out, "nothing_new": outcome.nothing_new() });
    if let Some(indexed) = &outcome.indexed {
        let with = |status: Status| indexed.cases.rows.iter().filter(|row| row.status == status).count();
        let split = |split: Split| indexed.cases.usable().filter(|row| row.split == split).count();
        result["index"] = json!({
            "cases": indexed.cases.rows.len(), "read": indexed.read,
            "ok": with(Status::Ok), "warning": with(Status::Warning), "rejected": with(Status::Rejected),
            "train": split(Split::Train), "val": split(Split::Val), "test": split(Split::Test),
            "findings": indexed.cases.findings, "moved": indexed.moved,
        });
    }
    if let Some(prepared) = &outcome.prepared {
        result["prepare"] = prepare_result(prepared);
    }
    if let Some(compared) = outcome.compared {
        result["compare"] =
            json!({ "cases": compared.cases, "pairs": compared.pairs, "computed": compared.computed });
    }
    if let Some(ranked) = &outcome.ranked {
        result["rank"] = rank_result(ranked);
    }
    if !outcome.folds.is_empty() {
        result["folds"] = folds::result(&outcome.folds);
    }
    if let Some(audited) = &outcome.audited {
        result["audit"] = json!(audited);
    }
    if let Some(report) = outcome.reported {
        result["report"] = json!(report);
    }
    result
}

pub(crate) fn rank_result(ranked: &Ranked) -> Value {
    let cases = ranked.rows.iter().filter(|row| row.rank.is_some()).count();
    json!({ "ranked": cases, "stages": ranked.stages, "changed": ranked.changed, "ranking": ranked.ranking })
}

fn prepare_result(prepared: &Prepared) -> Value {
    json!({
        "cases": prepared.cases, "written": prepared.written, "spacing_mm": prepared.plan.spacing_mm,
        "failures": prepared.failures, "findings": prepared.findings,
    })
}
