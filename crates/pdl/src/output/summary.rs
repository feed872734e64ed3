//! The outcome of stages: warnings on stderr, figures and the next step on stdout.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use pdl_cohort::attributes::{Split, Status};
use pdl_cohort::index::Indexed;
use pdl_cohort::split::folds::Fold;
use pdl_cohort::table::case_row::CaseRow;
use pdl_console::{MOST_LISTED, counted, note, say};
use pdl_curriculum::manifest::{FOLDS_FOLDER, INFO_FILE, ManifestInfo, ManifestRow, Ranking};
use pdl_curriculum::pacing::CurriculumStage;
use pdl_curriculum::rank::Ranked;
use pdl_prepare::prepare::Prepared;
use pdl_store::json;
use serde_json::{Value, json};

use crate::context::say_json;
use crate::outcome::{Outcome, RankedFold};
use crate::output::case_list::reasons;
use crate::output::{hints, leaks};

/// Stages of a curriculum that are listed one by one; a longer table shows half of them and the
/// last.
const MOST_STAGES: usize = 8;

/// Writes findings to stderr, grouped by code and counted, and rejected and failed cases, grouped
/// by reason.
pub(crate) fn warnings(out: &Path, outcome: &Outcome) {
    if let Some(indexed) = &outcome.indexed {
        for finding in &indexed.cases.findings {
            note(&format!("warning: {}", finding.message));
        }
        let rows = &indexed.cases.rows;
        for finding in indexed.renamed.iter().chain(&indexed.moved) {
            note(&format!("warning: {} [{}]", finding.message, finding.code));
        }
        for (code, group) in grouped(rows) {
            let all = counted(rows.len(), "case");
            note(&format!(
                "warning: {} of {all}{}: {}{} [{code}]",
                group.count,
                group.such_as(),
                group.example,
                group.more()
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
        leaks::warnings(out, audited, outcome.indexed.is_some());
    }
    fold_warnings(out, &outcome.folds);
}

/// Writes cases grouped by message: each message once, those of the first cases first.
fn list<'a>(what: &str, cases: impl Iterator<Item = (&'a str, String)>) {
    let mut of_message: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    cases.for_each(|(case, message)| of_message.entry(message).or_default().push(case));
    let mut groups: Vec<(String, Vec<&str>)> = of_message.into_iter().collect();
    groups.sort_by(|a, b| a.1.cmp(&b.1));
    let (listed, others) = groups.split_at(groups.len().min(MOST_LISTED));
    for (message, cases) in listed {
        match cases[..] {
            [case] => note(&format!("{what}: {case}: {message}")),
            _ => note(&format!("{what}: {} cases, such as {}: {message}", cases.len(), cases[0])),
        }
    }
    let further: usize = others.iter().map(|(_, cases)| cases.len()).sum();
    if further > 0 {
        note(&format!("{what}: and {}", counted(further, "more case")));
    }
}

/// The findings of one code.
struct Grouped<'a> {
    /// Cases that have one.
    count: usize,
    /// The last of these.
    last: &'a str,
    /// Further ones of the case that the example is of.
    further: usize,
    case: &'a str,
    example: &'a str,
    /// Whether all cases have the same message.
    alike: bool,
}

impl Grouped<'_> {
    /// The number of further ones in the same case.
    fn more(&self) -> String {
        if self.further == 0 { String::new() } else { format!(" (and {} more of it)", self.further) }
    }

    /// The case of the example, if the messages of others differ.
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
            let case = row.case_id.as_str();
            let new =
                Grouped { count: 0, last: "", further: 0, case, example: &finding.message, alike: true };
            let group = groups.entry(finding.code.as_str()).or_insert(new);
            if group.last == case {
                group.further += usize::from(group.case == case);
            } else {
                (group.count, group.last) = (group.count + 1, case);
            }
            group.alike &= group.example == finding.message;
        }
    }
    groups
}

/// Prints the result and the next step.
///
/// # Errors
/// When it cannot be serialised.
pub(crate) fn print(out: &Path, outcome: &Outcome, as_json: bool) -> Result<()> {
    if as_json {
        return say_json(&result(out, outcome));
    }
    if outcome.nothing_new() {
        say(&format!("{}: nothing to do, everything is up to date", out.display()));
    } else {
        say(&format!("{}:", out.display()));
    }
    for (file, text) in lines(outcome) {
        say(&format!("  {file:<18} {text}"));
    }
    fold_lines(&outcome.folds).iter().for_each(|line| say(line));
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
        lines.push((pdl_curriculum::audit::FILE, leaks::line(audited)));
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
    let unlabelled = match usable.len() - indexed.cases.labelled().count() {
        0 => String::new(),
        n => format!("{n} unlabelled, "),
    };
    let modality = usable.first().map_or(String::new(), |row| format!("{} ", row.modality));
    format!(
        "{} of {}: {} train, {} val, {} test; {unlabelled}{} rejected",
        counted(usable.len(), &format!("{modality}case")),
        counted(patients.len(), "patient"),
        split(Split::Train),
        split(Split::Val),
        split(Split::Test),
        rows.len() - usable.len()
    )
}

fn rank_line(ranked: &Ranked) -> String {
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
            format!(" ({} and {} excluded)", counted(duplicates, "duplicate"), counted(beyond_keep, "other"))
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

/// Number of active cases in each stage, and the start of the stages.
fn stages_text(stages: &[CurriculumStage]) -> String {
    let active = |stages: &[CurriculumStage]| {
        stages.iter().map(|stage| stage.active_cases.to_string()).collect::<Vec<_>>().join(", ")
    };
    let even = stages
        .windows(2)
        .all(|w| Some(w[1].first_epoch - w[0].first_epoch) == stages.get(1).map(|s| s.first_epoch));
    let last = stages.last().map_or(0, |stage| stage.first_epoch);
    let cases = if stages.len() > MOST_STAGES {
        let (first, rest) = stages.split_at(MOST_STAGES / 2);
        format!(
            "active cases per stage: {}, ... {} in {} stages",
            active(first),
            active(&rest[rest.len() - 1..]),
            stages.len()
        )
    } else {
        format!("active cases per stage: {}", active(stages))
    };
    match stages.get(1) {
        None => cases,
        Some(second) if even => {
            format!("{cases}; a stage every {}", counted(second.first_epoch as usize, "epoch"))
        }
        Some(_) => format!("{cases}; all from epoch {last} on"),
    }
}

fn result(out: &Path, outcome: &Outcome) -> Value {
    let mut result = json!({ "out": out, "nothing_new": outcome.nothing_new() });
    if let Some(indexed) = &outcome.indexed {
        let with = |status: Status| indexed.cases.rows.iter().filter(|row| row.status == status).count();
        let split = |split: Split| indexed.cases.usable().filter(|row| row.split == split).count();
        result["index"] = json!({
            "cases": indexed.cases.rows.len(), "read": indexed.read,
            "ok": with(Status::Ok), "warning": with(Status::Warning), "unlabelled": with(Status::Unlabelled), "rejected": with(Status::Rejected),
            "train": split(Split::Train), "val": split(Split::Val), "test": split(Split::Test),
            "findings": indexed.cases.findings, "moved": indexed.moved,
            "renamed": indexed.renamed,
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
        result["folds"] = fold_result(&outcome.folds);
    }
    if let Some(audited) = &outcome.audited {
        result["audit"] = json!(audited);
    }
    if let Some(report) = outcome.reported {
        result["report"] = json!(report);
    }
    result
}

fn rank_result(ranked: &Ranked) -> Value {
    let cases = ranked.rows.iter().filter(|row| row.rank.is_some()).count();
    json!({ "ranked": cases, "stages": ranked.stages, "changed": ranked.changed, "ranking": ranked.ranking })
}

fn prepare_result(prepared: &Prepared) -> Value {
    json!({
        "cases": prepared.cases, "written": prepared.written, "spacing_mm": prepared.plan.spacing_mm,
        "failures": prepared.failures, "findings": prepared.findings,
    })
}

/// Two lines for every fold: its manifest and its audit.
fn fold_lines(folds: &[RankedFold]) -> Vec<String> {
    let of_fold = |ranked: &RankedFold| {
        let folder = ranked.folder(Path::new(""));
        let held_out = ranked.ranked.held_out.as_ref().map_or(String::new(), |groups| {
            let values = groups.values.iter().map(|value| if value.is_empty() { "(none)" } else { value });
            format!("{} {} held out; ", groups.column, values.collect::<Vec<_>>().join(", "))
        });
        [
            format!("  {}/ {held_out}{}", folder.display(), rank_line(&ranked.ranked)),
            format!("  {}/ {}", folder.display(), leaks::line(&ranked.audited)),
        ]
    };
    folds.iter().flat_map(of_fold).collect()
}

/// Writes findings about the folds to stderr, each once.
fn fold_warnings(out: &Path, folds: &[RankedFold]) {
    let mut seen = BTreeSet::new();
    for RankedFold { fold: Fold { fold, .. }, ranked, audited } in folds {
        for finding in ranked.ranking.findings.iter().chain(&audited.findings) {
            if seen.insert(&finding.message) {
                note(&format!("warning: fold {fold}: {} [{}]", finding.message, finding.code));
            }
        }
        if audited.leaks > 0 {
            note(&format!("leak: fold {fold}: {} between its splits", counted(audited.leaks, "pair")));
        }
    }
    if let Some(RankedFold { fold: Fold { folds, .. }, .. }) = folds.first() {
        for name in of_other_divisions(out, *folds) {
            note(&format!(
                "warning: {FOLDS_FOLDER}/{name} is not a fold of {folds}; rank it again or delete it"
            ));
        }
    }
}

/// The folders of folds of a division into another number.
fn of_other_divisions(out: &Path, folds: u32) -> BTreeSet<String> {
    let entries = std::fs::read_dir(out.join(FOLDS_FOLDER)).into_iter().flatten().flatten();
    let other = |entry: std::fs::DirEntry| {
        let info: ManifestInfo = json::read(&entry.path().join(INFO_FILE)).ok()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        info.fold.is_none_or(|fold| fold.folds != folds).then_some(name)
    };
    entries.filter_map(other).collect()
}

fn fold_result(folds: &[RankedFold]) -> Value {
    let of_fold = |ranked: &RankedFold| {
        json!({
            "fold": ranked.fold.fold, "folds": ranked.fold.folds, "held_out": ranked.ranked.held_out,
            "rank": rank_result(&ranked.ranked), "audit": ranked.audited,
        })
    };
    folds.iter().map(of_fold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_findings::{Code, Finding};

    fn row(case_id: &str, findings: &[(Code, &str)]) -> CaseRow {
        let findings: Vec<Finding> = findings.iter().map(|(code, text)| Finding::new(*code, *text)).collect();
        let row = json!({
            "case_id": case_id, "patient_id": case_id, "modality": "CT", "split": "train", "image": "", "label": null,
            "shape": [], "spacing_mm": [], "affine": [], "orientation": "", "voxel_type": "", "labels": [],
            "labels_annotated": [], "intensity_min": 0.0, "intensity_max": 0.0, "intensity_mean": 0.0,
            "intensity_std": 0.0, "intensity_p00_5": 0.0, "intensity_p99_5": 0.0, "image_blake3": "",
            "label_blake3": null, "status": "warning", "findings": findings,
        });
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn a_case_with_several_findings_of_a_code_counts_once() {
        let twice = [(Code::OpenContours, "one"), (Code::OpenContours, "two"), (Code::OneSlice, "thin")];
        let rows = [row("a", &twice), row("b", &[(Code::OneSlice, "thin")])];
        let groups = grouped(&rows);
        let open = &groups["open-contours"];
        assert_eq!(
            (open.count, open.such_as(), open.more()),
            (1, ", a".to_owned(), " (and 1 more of it)".to_owned())
        );
        let thin = &groups["one-slice"];
        assert_eq!((thin.count, thin.such_as(), thin.more()), (2, String::new(), String::new()));
    }
}
