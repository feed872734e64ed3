//! The audit: does anything join a training case to a held-out one, and are the splits alike?

mod drift;
mod nearest_other_patient;
mod transformed_duplicates;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_cohort::cases::{CaseRow, Cases, Finding};
use pdl_cohort::folds::{self, Fold};
use pdl_cohort::same_patient::{Pair, SamePatient};
use pdl_prepare::proxies::Proxies;
use pdl_similarity::metrics::Metric;
use pdl_similarity::pairs::Pairs;
use pdl_store::text::counted;
use pdl_store::{StoreError, json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CurriculumError;
use crate::audit::drift::{Drift, NearestNeighbours};
use crate::audit::nearest_other_patient::{CasePair, NearestOtherPatient};
use crate::audit::transformed_duplicates;
use crate::manifest;
use crate::pairwise::{PairwiseSimilarity, SelectedPairs};

pub use pdl_cohort::same_patient::FILE as SAME_PATIENT_FILE;

pub use crate::audit::transformed_duplicates::ImageTransform;

/// The report's name inside a curation folder.
pub const FILE: &str = "audit.json";

/// Parameters of the audit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct AuditParameters {
    /// SSIM from which on cases of two patients count as the same image, unless the cohort's images are so alike
    /// that this says little: they must also be four times as close to 1 as most closest pairs are.
    #[arg(long, default_value_t = 0.95, value_name = "SSIM")]
    pub duplicate_ssim: f64,
    /// SSIM by which a pair of two patients must exceed what either has with any other patient to count as the
    /// same patient: noisy copies, or two images of one person. In cohorts of 20 patients and more. Of 180 hippocampi and the sample cohorts no two
    /// patients exceed by more than 0.065.
    #[arg(long, default_value_t = 0.07, value_name = "SSIM")]
    pub stand_out: f64,
    /// Cases below which a label is called rare in a split, and a split small.
    #[arg(long, default_value_t = 5, value_name = "CASES")]
    pub smallest_group: usize,
    /// Look also for images that are copies of others but for flips along any axes and a shift of up to an eighth of
    /// a side: every case is laid over the eight that are most like it, and judged by the same thresholds.
    #[arg(long)]
    pub invariant: bool,
}

impl Default for AuditParameters {
    fn default() -> Self {
        Self { duplicate_ssim: 0.95, stand_out: 0.07, smallest_group: 5, invariant: false }
    }
}

/// What joins two cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// They are of one patient by the cohort's own word, and in two splits.
    SamePatient,
    /// Their image files are the same, byte for byte.
    SameFile,
    /// Their SSIM reaches the threshold.
    SameImage,
    /// They are more alike than either is to any other patient's case, by far.
    StandsOut,
    /// Their SSIM reaches the threshold once the second is flipped or shifted.
    MovedImage,
}

/// Two cases that seem to be of one patient although the cohort gives two, or are of one in two splits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// Whose image the first is.
    pub patient_a: String,
    /// Whose image the second is.
    pub patient_b: String,
    /// The first case.
    pub case_a: String,
    /// The second case.
    pub case_b: String,
    /// What the first is for.
    pub split_a: Split,
    /// What the second is for.
    pub split_b: Split,
    /// What joins them.
    pub reason: Reason,
    /// Their SSIM, where both have a proxy.
    pub ssim: Option<f32>,
    /// How the second lies over the first, where the audit looked for flips and shifts and found these to be one.
    #[serde(default)]
    pub moved: Option<ImageTransform>,
    /// The user says that they are two patients: no leak, unless the two images are one.
    #[serde(default)]
    pub apart: bool,
}

/// SSIM from which on two images are one, whoever says that they are two patients'.
const ONE_IMAGE: f32 = 0.999;

impl Link {
    /// Whether it joins two splits, so that what is learnt from one is known of the other.
    pub fn is_leak(&self) -> bool {
        self.split_a != self.split_b && (!self.apart || self.is_one_image())
    }

    /// Whether the two images are the same.
    pub fn is_one_image(&self) -> bool {
        let moved = self.moved.as_ref().map(|moved| moved.ssim);
        self.reason == Reason::SameFile
            || [self.ssim, moved].into_iter().flatten().any(|ssim| ssim >= ONE_IMAGE)
    }

    /// As a row of the list of patients that seem to be one.
    pub fn pair(&self) -> Pair {
        let reason = serde_json::to_value(self.reason).unwrap_or_default();
        let of_moved = |text: fn(&ImageTransform) -> String| self.moved.as_ref().map_or(String::new(), text);
        Pair {
            patient_a: self.patient_a.clone(),
            patient_b: self.patient_b.clone(),
            case_a: self.case_a.clone(),
            case_b: self.case_b.clone(),
            split_a: self.split_a.to_string(),
            split_b: self.split_b.to_string(),
            reason: reason.as_str().unwrap_or_default().to_owned(),
            ssim: self.ssim.map_or(String::new(), |ssim| ssim.to_string()),
            flipped: of_moved(|moved| moved.flipped.clone()),
            shift_mm: of_moved(|ImageTransform { shift_mm: [x, y, z], .. }| format!("{x:.2} {y:.2} {z:.2}")),
            moved_ssim: of_moved(|moved| moved.ssim.to_string()),
            ..Pair::default()
        }
    }
}

/// How often a label is present in a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Balance {
    /// Which split.
    pub split: Split,
    /// Which label.
    pub label: u16,
    /// Cases of the split in which somebody looked for it, or it is present.
    pub annotated: usize,
    /// Cases of the split in which it is present.
    pub present: usize,
}

/// How many cases of a split have a value in a column by which the cohort was split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Group")]
pub struct ColumnValueCount {
    /// Which split.
    pub split: Split,
    /// Which column.
    pub column: String,
    /// Which value; "null" where it is blank.
    pub value: String,
    /// Cases of the split that have it.
    pub cases: usize,
    /// Their patients.
    pub patients: usize,
}

/// What the audit found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Audit {
    /// How it was done.
    pub parameters: AuditParameters,
    /// Links between two splits.
    pub leaks: usize,
    /// What joins two cases; leaks first.
    pub links: Vec<Link>,
    /// Labels by split.
    pub balance: Vec<Balance>,
    /// Groups by split; of the columns by which the cohort was split, `labels` apart.
    #[serde(default)]
    pub groups: Vec<ColumnValueCount>,
    /// Whether training and test cases are alike; nothing where one of them has no cases.
    pub drift: Option<Drift>,
    /// What a person should know: small splits, rare labels, drift.
    pub findings: Vec<Finding>,
}

/// Audits the curation folder `out`, and writes `audit.json` and, where two patients seem to be one,
/// `same-patient.csv`. Of a fold it audits the fold's splits, and writes `audit.json` beside the fold's manifest.
///
/// # Errors
/// [`CurriculumError`] when an earlier stage is missing or stale, or `out` cannot be written.
pub fn audit(out: &Path, parameters: &AuditParameters, fold: Option<Fold>) -> Result<Audit, CurriculumError> {
    let mut cases = Cases::read(out)?;
    if let Some(fold) = fold {
        folds::apply(&mut cases, fold)?;
    }
    let proxies = Proxies::open(out)?;
    let pairs = if proxies.len() < 2 { None } else { Some(Pairs::open(out, &proxies)?) };
    let mut rows: Vec<&CaseRow> = cases.usable().collect();
    rows.sort_by(|a, b| a.case_id.cmp(&b.case_id));
    let ids: Vec<&str> = rows.iter().map(|row| row.case_id.as_str()).collect();
    let pairwise = SelectedPairs::new(pairs.as_ref(), &proxies.case_ids, &ids);
    let moved = match &pairs {
        Some(pairs) if parameters.invariant => {
            transformed_duplicates::find(out, &rows, &proxies, pairs.parameters.window, parameters)?
        }
        _ => BTreeMap::new(),
    };
    let mut audit = of_cases(&rows, &pairwise, &moved, &cases.parameters.stratify, parameters)?;
    audit.keep_apart(&cases.same_patient);
    json::write(&manifest::folder(out, fold).join(FILE), &audit)?;
    if fold.is_none() {
        write_same_patient(out, &cases, &audit.links)?;
    }
    Ok(audit)
}

/// How many patients there are.
fn patients(rows: &[&CaseRow]) -> usize {
    rows.iter().map(|row| row.patient_id.as_str()).collect::<BTreeSet<_>>().len()
}

/// Audits cases, which are in the order of their ids, by their likeness and by what was found of moved images, and in
/// groups by `columns`.
fn of_cases(
    rows: &[&CaseRow],
    pairwise: &impl PairwiseSimilarity,
    moved: &BTreeMap<CasePair, ImageTransform>,
    columns: &[String],
    parameters: &AuditParameters,
) -> Result<Audit, CurriculumError> {
    let mut nearest_others = NearestOtherPatient::new(rows.len());
    let mut nearest = NearestNeighbours::new(rows);
    pairwise.for_each(Metric::Ssim, |a, b, value| {
        if rows[a].patient_id != rows[b].patient_id {
            nearest_others.see(a, b, value);
            nearest.see(a, b, value);
        }
    })?;
    let links = links(rows, pairwise, &nearest_others, moved, parameters)?;
    let balance = balance(rows);
    let drift = nearest.drift();
    let groups = groups(rows, columns);
    let mut findings = small_splits(rows, &balance, parameters.smallest_group);
    findings.extend(small_groups(&groups, parameters.smallest_group));
    findings.extend(drift.as_ref().and_then(Drift::finding));
    let mut audit = Audit { parameters: *parameters, leaks: 0, links, balance, groups, drift, findings };
    audit.keep_apart(&SamePatient::default());
    Ok(audit)
}

impl Audit {
    /// Marks what joins patients that the user keeps apart; then leaks come first and are counted.
    fn keep_apart(&mut self, decided: &SamePatient) {
        let apart = decided.apart();
        for link in &mut self.links {
            link.apart = apart.contains_key(&link.pair().names());
        }
        self.links.sort_by_key(|link| !link.is_leak()); // stable: each part stays in the order of the cases' ids
        self.leaks = self.links.iter().filter(|link| link.is_leak()).count();
    }
}

fn links(
    rows: &[&CaseRow],
    pairwise: &impl PairwiseSimilarity,
    nearest_others: &NearestOtherPatient,
    moved: &BTreeMap<CasePair, ImageTransform>,
    parameters: &AuditParameters,
) -> Result<Vec<Link>, StoreError> {
    let mut reasons: BTreeMap<CasePair, Reason> = BTreeMap::new();
    let mut note = |two: CasePair, reason: Reason| {
        let known = reasons.entry(two).or_insert(reason);
        *known = reason.min(*known);
    };
    same_patient_two_splits(rows).into_iter().for_each(|two| note(two, Reason::SamePatient));
    same_file(rows).into_iter().for_each(|two| note(two, Reason::SameFile));
    let standing_out = nearest_others.standing_out(patients(rows), parameters.stand_out);
    standing_out.into_iter().for_each(|two| note(two, Reason::StandsOut));
    moved.keys().for_each(|two| note(*two, Reason::MovedImage));
    let same_image = (parameters.duplicate_ssim as f32).max(nearest_others.unusual());
    let mut ssim: HashMap<CasePair, f32> = HashMap::new();
    pairwise.for_each(Metric::Ssim, |a, b, value| {
        let two = (a.min(b), a.max(b));
        let is_same = value >= same_image && rows[a].patient_id != rows[b].patient_id;
        if is_same {
            let known = reasons.entry(two).or_insert(Reason::SameImage);
            *known = Reason::SameImage.min(*known);
        }
        if is_same || reasons.contains_key(&two) {
            ssim.insert(two, value);
        }
    })?;
    let link = |(two, reason): (&CasePair, &Reason)| {
        let (a, b) = (rows[two.0], rows[two.1]);
        Link {
            patient_a: a.patient_id.clone(),
            patient_b: b.patient_id.clone(),
            case_a: a.case_id.clone(),
            case_b: b.case_id.clone(),
            split_a: a.split,
            split_b: b.split,
            reason: *reason,
            ssim: ssim.get(two).copied(),
            moved: moved.get(two).cloned(),
            apart: false,
        }
    };
    Ok(reasons.iter().map(link).collect())
}

/// Cases of one patient in different splits: no run of `pdl index` gives this, an edited table may.
fn same_patient_two_splits(rows: &[&CaseRow]) -> Vec<CasePair> {
    of_equal(rows, |row| row.patient_id.as_str())
        .into_iter()
        .filter(|(a, b)| rows[*a].split != rows[*b].split)
        .collect()
}

/// Cases of two patients with the same image file.
fn same_file(rows: &[&CaseRow]) -> Vec<CasePair> {
    of_equal(rows, |row| row.image_blake3.as_str())
        .into_iter()
        .filter(|(a, b)| rows[*a].patient_id != rows[*b].patient_id)
        .collect()
}

/// Every two cases with an equal key.
fn of_equal<'a>(rows: &[&'a CaseRow], key: impl Fn(&'a CaseRow) -> &'a str) -> Vec<CasePair> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, row) in rows.iter().enumerate() {
        groups.entry(key(row)).or_default().push(number);
    }
    let twos = |group: &Vec<usize>| -> Vec<CasePair> {
        group.iter().enumerate().flat_map(|(i, a)| group[i + 1..].iter().map(|b| (*a, *b))).collect()
    };
    groups.values().flat_map(twos).collect()
}

fn balance(rows: &[&CaseRow]) -> Vec<Balance> {
    let labels: BTreeSet<u16> =
        rows.iter().flat_map(|row| row.labels.iter().map(|label| label.value)).collect();
    let mut balance = Vec::new();
    for split in [Split::Train, Split::Val, Split::Test] {
        let of_split = || rows.iter().filter(move |row| row.split == split);
        for label in &labels {
            let present = |row: &&&CaseRow| row.labels.iter().any(|found| found.value == *label);
            let annotated =
                of_split().filter(|row| present(row) || row.labels_annotated.contains(label)).count();
            balance.push(Balance {
                split,
                label: *label,
                annotated,
                present: of_split().filter(present).count(),
            });
        }
    }
    balance
}

/// Splits of few cases, and in the other splits labels that are rare.
fn small_splits(rows: &[&CaseRow], balance: &[Balance], smallest: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    for split in [Split::Train, Split::Val, Split::Test] {
        let of_split = || rows.iter().filter(|row| row.split == split);
        let patients: BTreeSet<&str> = of_split().map(|row| row.patient_id.as_str()).collect();
        let cases = of_split().count();
        if cases < smallest {
            let message = format!(
                "the {split} split has {} of {} only",
                counted(cases, "case"),
                counted(patients.len(), "patient")
            );
            findings.push(Finding::new("small-split", message));
            continue;
        }
        for rare in balance.iter().filter(|entry| entry.split == split && entry.present < smallest) {
            let Balance { label, present, .. } = rare;
            let message =
                format!("label {label} is present in {present} of {cases} cases of the {split} split only");
            findings.push(Finding::new("rare-label", message));
        }
    }
    findings
}

fn groups(rows: &[&CaseRow], columns: &[String]) -> Vec<ColumnValueCount> {
    let mut groups = Vec::new();
    for column in columns.iter().filter(|column| *column != "labels") {
        let mut cases: BTreeMap<String, Vec<&CaseRow>> = BTreeMap::new();
        for row in rows {
            cases.entry(row.value(column).unwrap_or_default()).or_default().push(row);
        }
        for split in [Split::Train, Split::Val, Split::Test] {
            for (value, cases) in &cases {
                let own = || cases.iter().filter(|row| row.split == split);
                let patients: BTreeSet<&str> = own().map(|row| row.patient_id.as_str()).collect();
                let (column, value) = (column.clone(), value.clone());
                groups.push(ColumnValueCount {
                    split,
                    column,
                    value,
                    cases: own().count(),
                    patients: patients.len(),
                });
            }
        }
    }
    groups
}

/// For every column and split that has cases, the values that few of them have.
fn small_groups(groups: &[ColumnValueCount], smallest: usize) -> Vec<Finding> {
    const NAMED: usize = 10;
    let by_split = |a: &ColumnValueCount, b: &ColumnValueCount| (a.split, &a.column) == (b.split, &b.column);
    let small = |of_split: &[ColumnValueCount]| {
        let small: Vec<&ColumnValueCount> = of_split.iter().filter(|group| group.cases < smallest).collect();
        let ColumnValueCount { split, column, .. } = small.first()?;
        let all: usize = of_split.iter().map(|group| group.cases).sum();
        let named: Vec<String> =
            small.iter().take(NAMED).map(|group| format!("{} ({})", group.value, group.cases)).collect();
        let further = match small.len().saturating_sub(NAMED) {
            0 => String::new(),
            further => format!(" and {further} more"),
        };
        let message = format!(
            "of column {column} these values have few cases (in brackets) in the {split} split: {}{further}",
            named.join(", ")
        );
        (all >= smallest).then(|| Finding::new("small-group", message))
    };
    groups.chunk_by(by_split).filter_map(small).collect()
}

/// Writes the patients that seem to be one, and those of whom it was decided, for `--same-patient`.
fn write_same_patient(out: &Path, cases: &Cases, links: &[Link]) -> Result<(), StoreError> {
    let decided = &cases.same_patient;
    let (names, apart) = (decided.names(), decided.apart());
    let told = |link: &&Link| apart.get(&link.pair().names()).is_some_and(|pair| !pair.case_a.is_empty());
    let two_patients = links.iter().filter(|link| link.patient_a != link.patient_b && !told(link));
    let found = two_patients.map(|link| {
        let (same, done) = if link.apart { ("no", "kept apart") } else { ("", "not decided") };
        Pair { same: same.to_owned(), done: done.to_owned(), ..link.pair() }
    });
    let split = |patient: &str| cases.usable().find(|row| row.patient_id == patient).map(|row| row.split);
    let before = decided.pairs().map(|pair| {
        let done = match names.get(pair.patient_a.as_str()).and_then(|name| split(name)) {
            _ if pair.is_apart() => "kept apart".to_owned(),
            Some(split) => format!("taken as one, in {split}"),
            None => "taken as one".to_owned(),
        };
        let same = if pair.is_apart() { "no" } else { "yes" }.to_owned();
        Pair { same, done, ..pair.clone() }
    });
    let found: SamePatient = found.collect();
    before.collect::<SamePatient>().and(&found).write(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairwise::tests::CasesOnALine;
    use proptest::prelude::*;

    fn row(number: usize, patient: usize, split: Split, file: usize) -> CaseRow {
        serde_json::from_value(serde_json::json!({
            "case_id": format!("c{number:03}"), "patient_id": format!("p{patient:03}"), "modality": "MR",
            "split": split, "image": "", "label": null, "shape": [], "spacing_mm": [], "affine": [],
            "orientation": "", "voxel_type": "", "labels": [{"value": 1, "voxels": 9}], "labels_annotated": [1, 2],
            "intensity_min": 0.0, "intensity_max": 0.0, "intensity_mean": 0.0, "intensity_std": 0.0,
            "intensity_p00_5": 0.0, "intensity_p99_5": 0.0, "image_blake3": format!("f{file}"),
            "label_blake3": null, "status": "ok", "findings": [],
        }))
        .unwrap()
    }

    fn audited(rows: &[CaseRow], places: &[f32]) -> Audit {
        let rows: Vec<&CaseRow> = rows.iter().collect();
        let columns = ["modality".to_owned()];
        let line = CasesOnALine(places.to_vec());
        of_cases(&rows, &line, &BTreeMap::new(), &columns, &AuditParameters::default()).unwrap()
    }

    /// Forty patients far apart from each other on a line; cases 0 and 1 as the test says.
    fn forty(change: impl Fn(&mut Vec<CaseRow>, &mut Vec<f32>)) -> Audit {
        let split = |number| if number % 4 == 1 { Split::Test } else { Split::Train };
        let mut rows: Vec<CaseRow> = (0..40).map(|n| row(n, n, split(n), n)).collect();
        let mut places: Vec<f32> = (0..40).map(|n| 0.3 * n as f32).collect();
        change(&mut rows, &mut places);
        audited(&rows, &places)
    }

    #[test]
    fn each_kind_of_leak_is_found_by_its_name() {
        assert!(forty(|_, _| {}).links.is_empty());
        let only = |audit: Audit| {
            assert_eq!((audit.leaks, audit.links.len()), (1, 1), "{:?}", audit.links);
            (audit.links[0].case_a.clone(), audit.links[0].case_b.clone(), audit.links[0].reason)
        };
        let found = |reason| ("c000".to_owned(), "c001".to_owned(), reason);
        let same_patient = forty(|rows, _| rows[1].patient_id = rows[0].patient_id.clone());
        assert_eq!(only(same_patient), found(Reason::SamePatient));
        let same_file = forty(|rows, _| rows[1].image_blake3 = rows[0].image_blake3.clone());
        assert_eq!(only(same_file), found(Reason::SameFile));
        assert_eq!(only(forty(|_, places| places[1] = 0.02)), found(Reason::SameImage));
        assert_eq!(only(forty(|_, places| places[1] = 0.1)), found(Reason::StandsOut));
        let together = forty(|rows, places| {
            places[1] = 0.02;
            rows[1].split = Split::Train;
        });
        assert_eq!((together.leaks, together.links.len()), (0, 1), "both on one side: no leak");
    }

    #[test]
    fn patients_that_are_kept_apart_leak_only_by_one_image() {
        let apart: SamePatient = [Pair {
            patient_a: "p001".into(),
            patient_b: "p000".into(),
            same: "no".into(),
            ..Pair::default()
        }]
        .into_iter()
        .collect();
        let leaks = |change: fn(&mut Vec<CaseRow>, &mut Vec<f32>)| {
            let mut audit = forty(change);
            audit.keep_apart(&apart);
            assert!(audit.links.len() == 1 && audit.links[0].apart, "never unseen: {:?}", audit.links);
            audit.leaks
        };
        assert_eq!(leaks(|_, places| places[1] = 0.1), 0);
        assert_eq!(leaks(|_, places| places[1] = 0.02), 0);
        assert_eq!(leaks(|_, places| places[1] = 0.0), 1);
        assert_eq!(leaks(|rows, _| rows[1].image_blake3 = rows[0].image_blake3.clone()), 1);
    }

    #[test]
    fn drift_is_seen_where_test_cases_lie_apart_and_not_elsewhere() {
        let mixed = forty(|_, _| {}).drift.unwrap();
        assert!(mixed.p_value > 0.05, "{mixed:?}");
        let apart = forty(|rows, _| {
            rows.iter_mut()
                .enumerate()
                .for_each(|(n, row)| row.split = if n < 10 { Split::Test } else { Split::Train });
        });
        let drift = apart.drift.unwrap();
        assert!(drift.p_value < 0.01 && drift.own_split_share > 0.9, "{drift:?}");
        assert!(apart.findings.iter().any(|finding| finding.code == "drift"));
        assert!(apart.findings.iter().any(|finding| finding.code == "small-split"), "there is no val split");
        let test = apart.balance.iter().find(|entry| entry.split == Split::Test && entry.label == 1).unwrap();
        assert_eq!((test.present, test.annotated), (10, 10));
        let group =
            apart.groups.iter().find(|group| group.split == Split::Test && group.value == "MR").unwrap();
        assert_eq!((group.cases, group.patients), (10, 10));
    }

    proptest! {
        /// Links are of two patients, leaks are those of two splits, and leaks come first.
        #[test]
        fn links_are_sound(places in prop::collection::vec(0.0_f32..1.0, 20..30)) {
            let rows: Vec<CaseRow> =
                (0..places.len()).map(|n| row(n, n, if n % 3 == 0 { Split::Test } else { Split::Train }, n)).collect();
            let audit = audited(&rows, &places);
            for link in &audit.links {
                prop_assert!(link.case_a < link.case_b && link.patient_a != link.patient_b);
                prop_assert_eq!(link.is_leak(), link.split_a != link.split_b);
            }
            prop_assert!(audit.links.windows(2).all(|w| w[0].is_leak() || !w[1].is_leak()));
        }
    }
}
