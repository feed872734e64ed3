//! The audit: patients and images in two splits, balance, domain shift, and labels.

mod balance;
mod drift;
mod link;
mod nearest_other_patient;
mod one_person;
mod parameters;
mod person_match;
mod same_image;
mod transformed_duplicates;

use pdl_findings::Finding;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use pdl_cohort::split::folds::{self, FoldDivision};
use pdl_cohort::split::same_patient::{PatientPair, SamePatient};
use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_prepare::proxies::Proxies;
use pdl_similarity::metrics::Metric;
use pdl_similarity::pairs::Pairs;
use pdl_store::{StoreError, json, regular_file};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CurriculumError;
use crate::audit::drift::{Drift, NearestNeighbours};
use crate::audit::nearest_other_patient::{CasePair, FEWEST_TO_STAND_OUT, NearestOtherPatient};
use crate::audit::same_image::SameImage;
use crate::label_audit::{self, LabelAudit};
use crate::manifest;
use crate::pairwise::{PairwiseSimilarity, SelectedPairs};

pub use pdl_cohort::split::same_patient::FILE as SAME_PATIENT_FILE;

pub use crate::audit::balance::{Balance, ColumnValueCount};
use crate::audit::balance::{balance, groups, small_groups, small_splits};
pub use crate::audit::link::{Link, Reason};
pub use crate::audit::parameters::{AlignWhen, AuditParameters};
pub use crate::audit::transformed_duplicates::ImageTransform;

/// Name of the report inside a curation folder.
pub const FILE: &str = "audit.json";
/// Version of the file's format.
pub const SCHEMA_VERSION: u32 = 1;

fn first_version() -> u32 {
    1
}

/// Result of the audit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Audit {
    /// Version of the file's format; files before the field was written have 1.
    #[serde(default = "first_version")]
    pub schema_version: u32,
    /// Thresholds and options of the audit.
    pub parameters: AuditParameters,
    /// Number of links between two splits.
    pub leaks: usize,
    /// Pairs of cases that seem to be of one patient; leaks first.
    pub links: Vec<Link>,
    /// Presence of each label in each split.
    pub balance: Vec<Balance>,
    /// Counts of each value in each split, for the columns of stratification except `labels`.
    #[serde(default)]
    pub groups: Vec<ColumnValueCount>,
    /// Domain shift between training and test cases; null where a split is empty.
    pub drift: Option<Drift>,
    /// Small splits, rare labels and values, domain shift, labels that differ from the vote.
    pub findings: Vec<Finding>,
    /// Agreement of the labels with the vote of similar cases, where they were compared.
    #[serde(default)]
    pub labels: Option<LabelAudit>,
}

/// Audits the curation folder `out`. Writes `audit.json` and, where two patients seem to be one,
/// `same-patient.csv`. With `fold` it audits the splits of the fold and writes `audit.json` beside
/// the fold's manifest.
///
/// # Errors
/// [`CurriculumError`] when an earlier stage is missing or outdated, or `out` cannot be written.
pub fn audit(
    out: &Path,
    parameters: &AuditParameters,
    division: Option<FoldDivision<'_>>,
) -> Result<Audit, CurriculumError> {
    let mut cases = Cases::read(out)?;
    let fold = division.map(|division| division.fold);
    if let Some(division) = division {
        folds::apply(&mut cases, division)?;
    }
    let proxies = Proxies::open(out)?;
    let pairs = if proxies.len() < 2 { None } else { Some(Pairs::open(out, &proxies)?) };
    // A fold's manifest holds labelled cases only; the splits apply to all.
    let mut rows: Vec<&CaseRow> = cases.usable().filter(|row| fold.is_none() || row.is_labelled()).collect();
    rows.sort_by(|a, b| a.case_id.cmp(&b.case_id));
    let ids: Vec<&str> = rows.iter().map(|row| row.case_id.as_str()).collect();
    let pairwise = SelectedPairs::new(pairs.as_ref(), &proxies.case_ids, &ids);
    let moved = match &pairs {
        Some(pairs) if parameters.invariant => {
            transformed_duplicates::find(out, &rows, &proxies, pairs.parameters.window, parameters)?
        }
        _ => BTreeMap::new(),
    };
    let one_person = match pairs {
        Some(_) => one_person::find(out, &rows, &proxies, parameters.align)?,
        None => BTreeSet::new(),
    };
    let alike = Alike { moved, one_person };
    let columns = group_columns(&cases, division);
    let same_image = SameImage::new(parameters.duplicate_ssim, proxies.shape_zyx);
    let mut audit = of_cases(&rows, &pairwise, &alike, &columns, same_image, parameters)?;
    audit.keep_apart(&cases.same_patient);
    if fold.is_none() {
        audit.labels = labels(out, &cases, &proxies, pairs.as_ref(), parameters)?;
        audit.findings.extend(audit.labels.as_ref().and_then(LabelAudit::finding));
    }
    json::write(&manifest::made_folder(out, fold)?.join(FILE), &audit)?;
    if fold.is_none() {
        write_same_patient(out, &cases, &audit.links)?;
    }
    Ok(audit)
}

/// Reads `audit.json` of a curation folder; `None` if there is none.
///
/// # Errors
/// [`StoreError`] if it is damaged, or a newer pdl wrote it.
pub fn read(out: &Path) -> Result<Option<Audit>, StoreError> {
    let path = out.join(FILE);
    match regular_file::is_there(&path)? {
        true => json::read_versioned(&path, SCHEMA_VERSION).map(Some),
        false => Ok(None),
    }
}

/// The comparison of the labels, where it is asked for or was made before of the same cases.
fn labels(
    out: &Path,
    cases: &Cases,
    proxies: &Proxies,
    pairs: Option<&Pairs>,
    parameters: &AuditParameters,
) -> Result<Option<LabelAudit>, CurriculumError> {
    let earlier = match read(out) {
        Err(StoreError::Json { .. }) => None, // it is made anew
        earlier => earlier?.and_then(|audit| audit.labels),
    };
    match parameters.labels {
        true => Ok(Some(label_audit::audit_labels(out, cases, proxies, pairs, earlier)?)),
        false => Ok(label_audit::unchanged(out, cases, proxies, pairs, earlier)?),
    }
}

/// The columns whose values are counted in each split: those of strata and of groups.
fn group_columns(cases: &Cases, division: Option<FoldDivision<'_>>) -> Vec<String> {
    let mut columns = cases.parameters.stratify.clone();
    let of_folds = division.and_then(|division| division.group_by).map(str::to_owned);
    for column in cases.parameters.group_by.iter().chain(&of_folds) {
        if !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    columns
}

/// The labelled cases; all where none has a label.
fn trained_on<'a>(rows: &[&'a CaseRow]) -> Vec<&'a CaseRow> {
    let labelled: Vec<&CaseRow> = rows.iter().copied().filter(|row| row.is_labelled()).collect();
    if labelled.is_empty() { rows.to_vec() } else { labelled }
}

/// The number of patients.
fn patients(rows: &[&CaseRow]) -> usize {
    rows.iter().map(|row| row.patient_id.as_str()).collect::<BTreeSet<_>>().len()
}

/// Pairs of cases that agree after alignment.
#[derive(Default)]
struct Alike {
    /// Transformed duplicates.
    moved: BTreeMap<CasePair, ImageTransform>,
    /// Images of one person.
    one_person: BTreeSet<CasePair>,
}

/// Audits `rows`, ascending by case id, with the pairs that are `alike`, and counts the values of
/// `columns`.
fn of_cases(
    rows: &[&CaseRow],
    pairwise: &impl PairwiseSimilarity,
    alike: &Alike,
    columns: &[String],
    same_image: SameImage,
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
    let Links { links, doubtful } = links(rows, pairwise, &nearest_others, alike, same_image, parameters)?;
    let balance = balance(rows);
    let drift = nearest.drift();
    let groups = groups(rows, columns);
    let mut findings = small_splits(&trained_on(rows), &balance, parameters.smallest_group);
    findings.extend(small_groups(&groups, parameters.smallest_group));
    findings.extend(drift.as_ref().and_then(Drift::finding));
    findings.extend(same_image.finding(rows, &doubtful));
    let schema_version = SCHEMA_VERSION;
    let parameters = *parameters;
    let mut audit =
        Audit { schema_version, parameters, leaks: 0, links, balance, groups, drift, findings, labels: None };
    audit.keep_apart(&SamePatient::default());
    Ok(audit)
}

impl Audit {
    /// Marks links between patients that the user keeps apart, moves leaks to the front and counts
    /// them.
    fn keep_apart(&mut self, decided: &SamePatient) {
        let apart = decided.apart();
        for link in &mut self.links {
            link.apart = apart.contains_key(&link.pair().names());
        }
        // stable: each part stays ascending by case id
        self.links.sort_by_key(|link| !link.is_leak());
        self.leaks = self.links.iter().filter(|link| link.is_leak()).count();
    }
}

/// The links of cases, and pairs that larger proxies of the same SSIM would link, with that.
struct Links {
    links: Vec<Link>,
    doubtful: Vec<(CasePair, f32)>,
}

fn links(
    rows: &[&CaseRow],
    pairwise: &impl PairwiseSimilarity,
    nearest_others: &NearestOtherPatient,
    alike: &Alike,
    same_image: SameImage,
    parameters: &AuditParameters,
) -> Result<Links, StoreError> {
    let mut reasons: BTreeMap<CasePair, Reason> = BTreeMap::new();
    let mut note = |two: CasePair, reason: Reason| {
        let known = reasons.entry(two).or_insert(reason);
        *known = reason.min(*known);
    };
    same_patient_two_splits(rows).into_iter().for_each(|two| note(two, Reason::SamePatient));
    same_file(rows).into_iter().for_each(|two| note(two, Reason::SameFile));
    let standing_out = nearest_others.standing_out(parameters.stand_out);
    if patients(rows) >= FEWEST_TO_STAND_OUT {
        standing_out.iter().for_each(|two| note(*two, Reason::StandsOut));
    }
    alike.moved.keys().for_each(|two| note(*two, Reason::MovedImage));
    alike.one_person.iter().for_each(|two| note(*two, Reason::OnePerson));
    // Where most cases have a second image, what is usual shows in the pairs of other persons
    // alone, with few patients, too.
    let unusual = nearest_others.unusual(&standing_out);
    let mut ssim: HashMap<CasePair, f32> = HashMap::new();
    let mut doubtful = Vec::new();
    pairwise.for_each(Metric::Ssim, |a, b, value| {
        let two = (a.min(b), a.max(b));
        let two_patients = rows[a].patient_id != rows[b].patient_id;
        let is_same = value >= same_image.limit.max(unusual) && two_patients;
        if two_patients && same_image.is_doubtful(value, unusual) && !reasons.contains_key(&two) {
            doubtful.push((two, value));
        }
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
            moved: alike.moved.get(two).cloned(),
            apart: false,
        }
    };
    Ok(Links { links: reasons.iter().map(link).collect(), doubtful })
}

/// Cases of one patient in different splits. `pdl index` never produces these, an edited table may.
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

/// Writes `same-patient.csv`: patients that seem to be one, and those already decided.
fn write_same_patient(out: &Path, cases: &Cases, links: &[Link]) -> Result<(), StoreError> {
    let decided = &cases.same_patient;
    let (names, apart) = (decided.names(), decided.apart());
    let told = |link: &&Link| apart.get(&link.pair().names()).is_some_and(|pair| !pair.case_a.is_empty());
    let two_patients = links.iter().filter(|link| link.patient_a != link.patient_b && !told(link));
    let found = two_patients.map(|link| {
        let (same, done) = if link.apart { ("no", "kept apart") } else { ("", "not decided") };
        PatientPair { same: same.to_owned(), done: done.to_owned(), ..link.pair() }
    });
    let split = |patient: &str| cases.usable().find(|row| row.patient_id == patient).map(|row| row.split);
    let before = decided.pairs().map(|pair| {
        let done = match names.get(pair.patient_a.as_str()).and_then(|name| split(name)) {
            _ if pair.is_apart() => "kept apart".to_owned(),
            Some(split) => format!("taken as one, in {split}"),
            None => "taken as one".to_owned(),
        };
        let same = if pair.is_apart() { "no" } else { "yes" }.to_owned();
        PatientPair { same, done, ..pair.clone() }
    });
    let found: SamePatient = found.collect();
    before.collect::<SamePatient>().and(&found).write(out)
}

#[cfg(test)]
mod tests {
    use pdl_findings::Code;

    use super::*;
    use crate::pairwise::tests::CasesOnALine;
    use pdl_cohort::attributes::{Modality, Split};
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
        audited_by(rows, places, 64)
    }

    /// By proxies of this side.
    fn audited_by(rows: &[CaseRow], places: &[f32], side: usize) -> Audit {
        let rows: Vec<&CaseRow> = rows.iter().collect();
        let (columns, parameters) = (["modality".to_owned()], AuditParameters::default());
        let line = CasesOnALine(places.to_vec());
        let same_image = SameImage::new(parameters.duplicate_ssim, [side; 3]);
        of_cases(&rows, &line, &Alike::default(), &columns, same_image, &parameters).unwrap()
    }

    /// Forty patients far apart from each other on a line; `change` edits the cases.
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
    fn small_proxies_link_only_what_is_nearly_identical() {
        // Few patients, of whom none stands out.
        let rows: Vec<CaseRow> = (0..12).map(|n| row(n, n, Split::Train, n)).collect();
        let audited = |apart: f32, side| {
            let mut places: Vec<f32> = (0..12).map(|n| 0.3 * n as f32).collect();
            places[1] = apart;
            let audit = audited_by(&rows, &places, side);
            let coarse = audit.findings.iter().find(|finding| finding.code == Code::CoarseProxies);
            (audit.links.len(), coarse.map(|finding| finding.message.clone()))
        };
        assert_eq!(audited(0.02, 64), (1, None));
        assert_eq!(audited(0.01, 32), (1, None));
        let (links, told) = audited(0.02, 32);
        let expected =
            "1 pair of cases of two patients with an SSIM of 0.95 or more, the largest c000 and c001 (0.980)";
        assert!(links == 0 && told.as_ref().is_some_and(|told| told.starts_with(expected)), "{told:?}");
    }

    #[test]
    fn patients_that_are_kept_apart_leak_only_by_one_image() {
        let apart: SamePatient = [PatientPair {
            patient_a: "p001".into(),
            patient_b: "p000".into(),
            same: "no".into(),
            ..PatientPair::default()
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
    fn labels_and_values_of_few_cases_of_a_split_are_told() {
        let audit = forty(|rows, _| {
            let mut rare = rows[2].labels[0];
            rare.value = 2;
            rows[2].labels.push(rare);
            rows[2].modality = Modality::PT;
        });
        let codes: BTreeSet<Code> = audit.findings.iter().map(|finding| finding.code).collect();
        assert!(codes.contains(&Code::RareLabel) && codes.contains(&Code::SmallGroup), "{codes:?}");
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
        assert!(apart.findings.iter().any(|finding| finding.code == Code::Drift));
        assert!(
            apart.findings.iter().any(|finding| finding.code == Code::SmallSplit),
            "there is no val split"
        );
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
