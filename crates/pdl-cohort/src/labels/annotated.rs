//! Which labels are annotated in each case, and the findings about them.
//!
//! A label that is annotated (somebody looked for it) but has no voxel is absent, and background;
//! whether a label that is not annotated is present is unknown. The cohort's table (column
//! `labels_annotated`) takes precedence over the rule ([`AnnotationRule`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use pdl_findings::{Code, Finding};
use pdl_store::plural::counted;
use pdl_store::{StoreError, fault, table};

use crate::CohortError;
use crate::attributes::Status;
use crate::discover::{ANNOTATED_COLUMN as COLUMN, DiscoveredCase, Layout};
use crate::labels::annotation_rule::AnnotationRule;
use crate::parameters::IndexParameters;
use crate::table::case_row::CaseRow;
use crate::table::cases::{self, Cases};

/// Minimum number of cases of a group that is reported.
const FEWEST_OF_GROUP: usize = 3;

/// Maximum number of folders of images that count as groups; more are assumed to be folders of
/// single cases.
const MOST_FOLDERS: usize = 10;

/// Labels that a finding lists.
const MOST_LABELS: usize = 8;

/// The rule to be used, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChosenRule {
    /// None: the default.
    pub rule: Option<AnnotationRule>,
    /// Whether the rule comes from an earlier run of the curation folder and not from the user.
    pub of_folder: bool,
}

impl ChosenRule {
    /// The rule that the user gives; else that of the curation folder `out`, unless a new plan is
    /// requested.
    ///
    /// # Errors
    /// [`StoreError`] when the folder's table cannot be read.
    pub(crate) fn new(out: &Path, parameters: &IndexParameters) -> Result<Self, StoreError> {
        if parameters.annotated.is_some() || parameters.replan {
            return Ok(Self { rule: parameters.annotated.clone(), of_folder: false });
        }
        let rule = of_folder(out)?;
        Ok(Self { of_folder: rule.is_some(), rule })
    }
}

/// The rule of an earlier run; `None` if there was none. Tables without a rule are from versions in
/// which a label counted as annotated only where it is present.
fn of_folder(out: &Path) -> Result<Option<AnnotationRule>, StoreError> {
    let path = out.join(cases::FILE);
    if !fault::is_file(&path).map_err(StoreError::io("look at the file", &path))? {
        return Ok(None);
    }
    let metadata = table::read_metadata(&path, cases::SCHEMA_VERSION)?;
    let recorded: IndexParameters = cases::fact(&path, &metadata, "pdl.parameters")?;
    let rule = recorded.annotated.unwrap_or(AnnotationRule::Present);
    // While no case had a label, a default decided nothing.
    let is_default = matches!(rule, AnnotationRule::All | AnnotationRule::Named);
    if is_default && Cases::read_unchecked(out)?.labelled().next().is_none() {
        return Ok(None);
    }
    Ok(Some(rule))
}

/// The cell `labels_annotated` of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stated {
    All,
    These(BTreeSet<u16>),
}

impl Stated {
    /// From a text such as `1;2`, `liver, left lung`, `[1, 2]`, `all` or `none`.
    fn parse(text: &str, names: &BTreeMap<u16, String>) -> Result<Self, String> {
        let text = text.trim().trim_start_matches('[').trim_end_matches(']').trim();
        match text.to_lowercase().as_str() {
            "all" => return Ok(Self::All),
            "none" | "" => return Ok(Self::These(BTreeSet::new())),
            _ => {}
        }
        let one = |word: &str| {
            let word = word.trim().trim_matches(['"', '\'']).trim();
            let named =
                || names.iter().find(|(_, name)| name.eq_ignore_ascii_case(word)).map(|(value, _)| *value);
            word.parse::<u16>().ok().or_else(named)
        };
        let mut labels = BTreeSet::new();
        for part in text.split([';', ',', '|']).filter(|part| !part.trim().is_empty()) {
            let words = || part.split_whitespace().map(one).collect::<Option<Vec<u16>>>();
            let found = one(part).map(|label| vec![label]).or_else(words).ok_or_else(|| {
                format!(
                    "{COLUMN}: expected label values or names with ; between them, all, or none, found \"{}\"",
                    part.trim()
                )
            })?;
            labels.extend(found);
        }
        labels.remove(&0);
        Ok(Self::These(labels))
    }
}

/// Sets the annotated labels of every labelled row: `rows` are those of the layout's cases, in
/// their order. A case without any label is a negative if a label is annotated, and is rejected
/// otherwise. Returns the rule that was used, and the cohort's findings.
///
/// # Errors
/// [`CohortError::Annotated`] when the table names an unknown label.
pub(crate) fn annotate(
    rows: &mut [CaseRow],
    layout: &Layout,
    chosen: &ChosenRule,
) -> Result<(AnnotationRule, Vec<Finding>), CohortError> {
    let stated = stated(layout)?;
    let names = |found: &DiscoveredCase| found.named.is_some();
    let default = AnnotationRule::default_of(layout.cases.iter().any(names));
    let looked_for = LookedFor { rows, found: &layout.cases, stated: &stated };
    let by_default = looked_for.by(&default);
    let (rule, mut annotated) = match &chosen.rule {
        Some(rule) => (rule.clone(), looked_for.by(rule)),
        None => (default.clone(), by_default.clone()),
    };
    let mut findings = Vec::new();
    let mut used = rule.clone();
    if chosen.of_folder && rule != default {
        match annotated == by_default {
            // It makes no difference: the default applies to new cases.
            true => used = default,
            false => findings.push(kept(&rule, &default, &annotated, &by_default)),
        }
    }
    for (row, labels) in rows.iter_mut().zip(&mut annotated).filter(|(row, _)| row.is_labelled()) {
        if row.labels.is_empty() {
            take_negative(row, labels);
        }
        let present = row.labels.iter().map(|label| label.value);
        let unlisted: Vec<String> =
            present.filter(|label| !labels.contains(label)).map(|label| label.to_string()).collect();
        if !unlisted.is_empty() {
            let message = format!(
                "its label map has {}, which {COLUMN} of its table does not list: they count as not annotated",
                unlisted.join(", ")
            );
            row.add_finding(Finding::new(Code::LabelNotAnnotated, message));
        }
        row.labels_annotated = labels.iter().copied().collect();
    }
    findings.extend(unknown(rows, &stated));
    findings.extend(Absent::new(rows, layout).findings(&used));
    Ok((used, findings))
}

/// Marks a case without any label as a negative if a label is annotated; else rejects it.
fn take_negative(row: &mut CaseRow, looked_for: &BTreeSet<u16>) {
    if looked_for.is_empty() {
        let message = "its label map has background only (--structures makes values without a rule background), and no \
                       label is annotated in it (--annotated)";
        row.add_finding(Finding::new(Code::EmptyLabel, message));
        row.status = Status::Rejected;
    } else {
        let message =
            "its label map has background only: it counts as annotated for every label and without any";
        row.add_finding(Finding::new(Code::NegativeCase, message));
    }
}

/// The cells `labels_annotated` of all cases.
fn stated(layout: &Layout) -> Result<Vec<Option<Stated>>, CohortError> {
    let of_case = |found: &DiscoveredCase| {
        let parsed = found.annotated.as_deref().map(|text| Stated::parse(text, &layout.label_names));
        let wrong = |problem| CohortError::Annotated { case: found.case_id.clone(), problem };
        parsed.transpose().map_err(wrong)
    };
    layout.cases.iter().map(of_case).collect()
}

/// Labels of a cohort that are present and annotated, by case.
struct LookedFor<'a> {
    rows: &'a [CaseRow],
    found: &'a [DiscoveredCase],
    stated: &'a [Option<Stated>],
}

impl LookedFor<'_> {
    /// The annotated labels of every case by a rule; of a case that is not used, the labels that
    /// are present.
    fn by(&self, rule: &AnnotationRule) -> Vec<BTreeSet<u16>> {
        let cohort: BTreeSet<u16> =
            self.rows.iter().filter(|row| row.is_labelled()).flat_map(present).collect();
        let known = |labels: &BTreeSet<u16>| labels.intersection(&cohort).copied().collect::<BTreeSet<u16>>();
        let named = |case: usize| match &self.found[case].named {
            Some(named) => known(named).into_iter().chain(present(&self.rows[case])).collect(),
            None => cohort.clone(),
        };
        let own = |case: usize| match &self.stated[case] {
            Some(Stated::All) => Some(cohort.clone()),
            Some(Stated::These(labels)) => Some(known(labels)),
            None => None,
        };
        let mut of_group: HashMap<String, BTreeSet<u16>> = HashMap::new();
        let group = |case: usize| rule.column().and_then(|column| group_value(&self.rows[case], column));
        for case in 0..self.rows.len() {
            if let Some(value) = group(case).filter(|_| self.rows[case].is_labelled()) {
                let labels = own(case).unwrap_or_else(|| present(&self.rows[case]).collect());
                of_group.entry(value).or_default().extend(labels);
            }
        }
        let by_rule = |case: usize| -> BTreeSet<u16> {
            match rule {
                AnnotationRule::Present => present(&self.rows[case]).collect(),
                AnnotationRule::All => cohort.clone(),
                AnnotationRule::Named => named(case),
                AnnotationRule::By(_) => match group(case).and_then(|value| of_group.get(&value)) {
                    Some(labels) => labels.clone(),
                    None => present(&self.rows[case]).collect(),
                },
            }
        };
        let of_case = |case: usize| match self.rows[case].is_labelled() {
            true => own(case).unwrap_or_else(|| by_rule(case)),
            false => present(&self.rows[case]).collect(),
        };
        (0..self.rows.len()).map(of_case).collect()
    }
}

fn present(row: &CaseRow) -> impl Iterator<Item = u16> + '_ {
    row.labels.iter().map(|label| label.value)
}

/// A case's value in a column; `None` if it is blank, so that blank cells are not a group.
fn group_value(row: &CaseRow, column: &str) -> Option<String> {
    match row.carried.get(column) {
        Some(value) => value.clone(),
        None => row.value(column),
    }
}

/// Finding about a folder that keeps its rule.
fn kept(
    rule: &AnnotationRule,
    default: &AnnotationRule,
    annotated: &[BTreeSet<u16>],
    by_default: &[BTreeSet<u16>],
) -> Finding {
    let differ = annotated.iter().zip(by_default).filter(|(own, other)| own != other).count();
    let message = format!(
        "this folder keeps its rule `--annotated {rule}`: by the default, {default}, {} would have other annotated \
         labels. `--annotated {default}` or `--replan` uses the default",
        counted(differ, "case")
    );
    Finding::new(Code::AnnotationKept, message)
}

/// Finding about labels that the table lists and no case has.
fn unknown(rows: &[CaseRow], stated: &[Option<Stated>]) -> Option<Finding> {
    let cohort: BTreeSet<u16> = rows.iter().filter(|row| row.is_usable()).flat_map(present).collect();
    let listed = stated.iter().flatten().flat_map(|stated| match stated {
        Stated::All => BTreeSet::new(),
        Stated::These(labels) => labels.clone(),
    });
    let unknown: BTreeSet<u16> = listed.filter(|label| !cohort.contains(label)).collect();
    let text: Vec<String> = unknown.iter().map(u16::to_string).collect();
    (!text.is_empty()).then(|| {
        let message = format!("{COLUMN} lists {}, which no case has", text.join(", "));
        Finding::new(Code::LabelsUnknown, message)
    })
}

/// The labelled cases of a cohort with the groups that they belong to.
struct Absent<'a> {
    rows: Vec<&'a CaseRow>,
    names: &'a BTreeMap<u16, String>,
    /// Each grouping with the group of every case; `None` for a case without a group.
    groupings: Vec<(String, Vec<Option<String>>)>,
}

impl<'a> Absent<'a> {
    fn new(rows: &'a [CaseRow], layout: &'a Layout) -> Self {
        let labelled: Vec<(&CaseRow, &DiscoveredCase)> =
            rows.iter().zip(&layout.cases).filter(|(row, _)| row.is_labelled()).collect();
        let mut columns: BTreeSet<&str> = BTreeSet::new();
        for (row, found) in &labelled {
            columns.extend(found.origins.keys().map(String::as_str));
            columns.extend(row.carried.keys().map(String::as_str));
        }
        let mut groupings: Vec<(String, Vec<Option<String>>)> = columns
            .into_iter()
            .map(|column| {
                let value = |(row, found): &(&CaseRow, &DiscoveredCase)| {
                    let kept = row.carried.get(column).cloned().flatten();
                    kept.or_else(|| found.origins.get(column).cloned())
                };
                (format!("value of the column {column}"), labelled.iter().map(value).collect())
            })
            .collect();
        let folders: Vec<Option<String>> = labelled.iter().map(|(row, _)| folder_of(&row.image)).collect();
        if folders.iter().collect::<BTreeSet<_>>().len() <= MOST_FOLDERS {
            groupings.push(("folder of images".to_owned(), folders));
        }
        Self {
            rows: labelled.into_iter().map(|(row, _)| row).collect(),
            names: &layout.label_names,
            groupings,
        }
    }

    /// Labels that some cases lack, in the order of their values: with counts, and with the groups
    /// that never have them.
    fn findings(&self, rule: &AnnotationRule) -> Vec<Finding> {
        let cohort: BTreeSet<u16> = self.rows.iter().copied().flat_map(present).collect();
        let (mut background, mut unknown, mut of_groups) = (Vec::new(), Vec::new(), Vec::new());
        for label in cohort {
            let has = |row: &&&CaseRow| present(row).any(|own| own == label);
            let lacks = self.rows.iter().filter(|row| !has(row));
            let searched = lacks.clone().filter(|row| row.labels_annotated.contains(&label)).count();
            let missing = lacks.count() - searched;
            let name = self.name(label);
            if searched > 0 {
                background.push(format!("{name} from {searched}"));
                of_groups.extend(self.group_without(label).map(|group| format!("{name} from {group}")));
            }
            if missing > 0 {
                unknown.push(format!("{name} from {missing}"));
            }
        }
        let all = counted(self.rows.len(), "case");
        let absent = |labels: &[String], meaning: &str| {
            let message = format!(
                "labels absent from some of {all}: {}; {meaning} (--annotated {rule}). `--annotated present`, `all` or \
                 `by-COLUMN`, or a column {COLUMN}, states another rule",
                listed(labels)
            );
            (!labels.is_empty()).then(|| Finding::new(Code::LabelAbsent, message))
        };
        let meaning =
            "these cases count as annotated for them and without them, so they are background in training";
        let mut findings: Vec<Finding> = absent(&background, meaning).into_iter().collect();
        findings.extend(absent(&unknown, "these cases count as not annotated for them"));
        findings.extend((!of_groups.is_empty()).then(|| {
            let message = format!(
                "whole groups never have a label and count as annotated for it: {}. If nobody looked for it there, a \
                 network learns that it is background: state `--annotated by-COLUMN` or `present`, or a column \
                 {COLUMN}",
                listed(&of_groups)
            );
            Finding::new(Code::LabelAbsentInGroup, message)
        }));
        findings
    }

    /// The first group of cases without a label that other groups have, although it counts as
    /// annotated there.
    fn group_without(&self, label: u16) -> Option<String> {
        self.groupings.iter().find_map(|(what, values)| {
            let mut groups: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
            for (row, value) in self.rows.iter().zip(values) {
                let Some(value) = value else { continue };
                let (cases, known) = groups.entry(value).or_default();
                *cases += 1;
                // Where it is present or not annotated, training learns nothing wrong.
                *known |= present(row).any(|own| own == label) || !row.labels_annotated.contains(&label);
            }
            let without = |(cases, known): &&(usize, bool)| *cases >= FEWEST_OF_GROUP && !known;
            let group = groups.values().filter(without).max_by_key(|(cases, _)| *cases);
            let several = groups.len() > 1;
            group.filter(|_| several).map(|(cases, _)| format!("all {cases} cases with one {what}"))
        })
    }

    fn name(&self, label: u16) -> String {
        self.names.get(&label).map_or_else(|| label.to_string(), |name| format!("{label} ({name})"))
    }
}

/// The folder of a path of a table; none if it has none.
fn folder_of(path: &str) -> Option<String> {
    path.rsplit_once('/').map(|(folder, _)| folder.to_owned())
}

fn listed(parts: &[String]) -> String {
    let shown = parts.iter().take(MOST_LABELS).cloned().collect::<Vec<_>>().join(", ");
    match parts.len().saturating_sub(MOST_LABELS) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
