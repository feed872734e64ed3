//! Gives every case its patient and its split.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pdl_findings::{Code, Finding};
use pdl_store::plural::counted;

use crate::CohortError;
use crate::attributes::Split;
use crate::discover::Layout;
use crate::identity::exchanged_images;
use crate::parameters::IndexParameters;
use crate::split::patient_groups;
use crate::split::same_patient::SamePatient;
use crate::split::strata::{self, Strata};
use crate::split::{self, Shares};
use crate::table::case_row::CaseRow;
use crate::table::cases::Cases;

/// Findings about the splits.
#[derive(Debug, Default)]
pub(crate) struct SplitAssignment {
    /// Findings about the cohort.
    pub findings: Vec<Finding>,
    /// Patients whose cases changed their split since the last run, each with the reason.
    pub moved: Vec<Finding>,
}

/// Joins the patients of `same_patient` and assigns a split to every row. Splits of the cohort's
/// table take precedence, then those of `before`.
///
/// Unusable rows do not count towards the shares: their patients are in train until one of their
/// cases can be read.
pub(crate) fn divide(
    rows: &mut [CaseRow],
    layout: &Layout,
    before: Option<&Cases>,
    parameters: &IndexParameters,
    same_patient: &SamePatient,
) -> Result<SplitAssignment, CohortError> {
    let names = same_patient.names();
    let of_table = splits_of_table(layout, same_patient)?;
    join_patients(rows, &names);
    if layout.cases.iter().all(|found| found.patient.is_none()) {
        for row in rows.iter_mut().filter(|row| row.is_usable()) {
            let message = "the cohort states no patients; every case counts as a separate patient";
            row.add_finding(Finding::new(Code::PatientAssumed, message));
        }
    } else {
        let without = layout.cases.iter().filter(|found| found.patient.is_none());
        let without: BTreeSet<&str> = without.map(|found| found.case_id.as_str()).collect();
        let is_without = |row: &&mut CaseRow| row.is_usable() && without.contains(row.case_id.as_str());
        for row in rows.iter_mut().filter(is_without) {
            let message = "the cohort states no patient of it, as of others; it counts as a separate patient";
            row.add_finding(Finding::new(Code::PatientAssumed, message));
        }
    }
    let before = before.filter(|_| !parameters.redraw);
    let mut given = before.map_or_else(BTreeMap::new, |before| splits_before(before, &names));
    let renamed = before.and_then(|before| keep_of_renamed(rows, before, &mut given));
    given.extend(of_table.clone());
    let usable: Vec<&CaseRow> = rows.iter().filter(|row| row.is_usable()).collect();
    let (splits, mut findings) = splits(&usable, &given, before, parameters)?;
    findings.extend(renamed);
    for row in rows.iter_mut() {
        row.split = splits.get(&row.patient_id).copied().unwrap_or(Split::Train);
    }
    findings.extend(before.and_then(|before| exchanged_images::finding(rows, before)));
    let moved = before.map_or_else(Vec::new, |before| moved(rows, before, &of_table, &names));
    Ok(SplitAssignment { findings, moved })
}

/// Gives cases of patients that are one the same patient id.
fn join_patients(rows: &mut [CaseRow], names: &BTreeMap<&str, &str>) {
    for row in rows.iter_mut().filter(|row| row.is_usable()) {
        let Some(name) = names.get(row.patient_id.as_str()) else { continue };
        let others = others(&row.patient_id, name, names).join(", ");
        let message = format!("its patient {} is joined with {others}", row.patient_id);
        row.patient_id = (*name).to_owned();
        row.add_finding(Finding::new(Code::SamePatient, message));
    }
}

/// The other names of a patient that is called `name` after joining.
fn others<'a>(patient: &str, name: &str, names: &BTreeMap<&'a str, &str>) -> Vec<&'a str> {
    names.iter().filter(|(other, own)| **own == name && **other != patient).map(|(other, _)| *other).collect()
}

/// The name that a patient has after patients were joined.
fn one_name(names: &BTreeMap<&str, &str>, patient: &str) -> String {
    names.get(patient).map_or(patient, |name| name).to_owned()
}

/// The splits that an earlier run gave, by patient.
fn splits_before(before: &Cases, names: &BTreeMap<&str, &str>) -> BTreeMap<String, Split> {
    let were = before.same_patient.names();
    let mut given: BTreeMap<String, Split> = BTreeMap::new();
    for row in before.usable() {
        // Patients that are no longer joined keep the split that they had together.
        let once = others("", &row.patient_id, &were).into_iter().chain([row.patient_id.as_str()]);
        for patient in once.map(|patient| one_name(names, patient)) {
            // Joined patients may have had two splits: a case that was trained on is never held out
            // later.
            let split = given.get(&patient).map_or(row.split, |other| row.split.min(*other));
            given.insert(patient, split);
        }
    }
    given
}

/// Gives patients without a split that of the cases that are gone and had their images, as when
/// files were renamed: what was trained on is not to be tested on. Returns what to say about it.
fn keep_of_renamed(rows: &[CaseRow], before: &Cases, given: &mut BTreeMap<String, Split>) -> Option<Finding> {
    let here: BTreeSet<&str> = rows.iter().map(|row| row.case_id.as_str()).collect();
    let gone = before.usable().filter(|row| !here.contains(row.case_id.as_str()));
    let mut of_image: HashMap<&str, Split> = HashMap::new();
    for row in gone.filter(|row| !row.image_blake3.is_empty()) {
        let split = of_image.entry(&row.image_blake3).or_insert(row.split);
        *split = row.split.min(*split);
    }
    let mut renamed: BTreeMap<String, Split> = BTreeMap::new();
    let mut cases = 0;
    for row in rows.iter().filter(|row| row.is_usable() && !given.contains_key(&row.patient_id)) {
        let Some(split) = of_image.get(row.image_blake3.as_str()) else { continue };
        cases += 1;
        let kept = renamed.entry(row.patient_id.clone()).or_insert(*split);
        *kept = (*split).min(*kept);
    }
    given.extend(renamed);
    let message = format!(
        "{} the images of cases that are gone, under other names: their patients keep the splits of these",
        if cases == 1 { "1 new case has".to_owned() } else { format!("{cases} new cases have") }
    );
    (cases > 0).then(|| Finding::new(Code::SplitKept, message))
}

/// The splits that the cohort's own table gives, by patient.
///
/// # Errors
/// [`CohortError::SplitConflict`] where the table contradicts itself,
/// [`CohortError::NotOnePatient`] if patients to be joined are two according to the user.
fn splits_of_table(
    layout: &Layout,
    same_patient: &SamePatient,
) -> Result<BTreeMap<String, Split>, CohortError> {
    let names = same_patient.names();
    let mut given: BTreeMap<String, (Split, &str)> = BTreeMap::new();
    let mut problems: BTreeMap<String, String> = BTreeMap::new();
    for ((name, _), pair) in same_patient.apart().into_iter().filter(|((a, b), _)| a == b) {
        let (a, b) = pair.names();
        let problem = format!("{a} and {b} are two patients by the list, but are joined through others");
        problems.insert(name.to_owned(), problem);
    }
    for found in &layout.cases {
        let Some(split) = found.split else { continue };
        let patient = found.patient.as_deref().unwrap_or(&found.case_id);
        let name = one_name(&names, patient);
        let (first, other) = *given.entry(name.clone()).or_insert((split, patient));
        if first != split && other == patient {
            return Err(CohortError::SplitConflict { patient: patient.to_owned(), first, second: split });
        }
        if first != split {
            let problem = format!("{other} is in {first} and {patient} in {split} by the cohort's table");
            problems.entry(name).or_insert(problem);
        }
    }
    if problems.is_empty() {
        return Ok(given.into_iter().map(|(name, (split, _))| (name, split)).collect());
    }
    Err(CohortError::NotOnePatient { problems })
}

/// Patients whose cases changed their split, each with the reason.
fn moved(
    rows: &[CaseRow],
    before: &Cases,
    of_table: &BTreeMap<String, Split>,
    names: &BTreeMap<&str, &str>,
) -> Vec<Finding> {
    let now: HashMap<&str, &CaseRow> =
        rows.iter().filter(|row| row.is_usable()).map(|row| (row.case_id.as_str(), row)).collect();
    let mut groups: BTreeMap<[&str; 2], (usize, Split, Split)> = BTreeMap::new();
    for old in before.usable() {
        if let Some(new) = now.get(old.case_id.as_str()).filter(|new| new.split != old.split) {
            let group = groups.entry([&old.patient_id, &new.patient_id]);
            group.or_insert((0, old.split, new.split)).0 += 1;
        }
    }
    let finding = |([was, is], (cases, from, to)): ([&str; 2], (usize, Split, Split))| {
        let others = others(was, is, names);
        let joined = !others.is_empty();
        let why = match (joined, of_table.contains_key(is)) {
            (true, true) => {
                format!(
                    "its patient is joined with {}, and the cohort's table states {to}",
                    others.join(", ")
                )
            }
            (true, false) => format!(
                "its patient is joined with {}, and of two splits the one nearer to training wins",
                others.join(", ")
            ),
            (false, true) => format!("the cohort's table states {to}"),
            (false, false) => format!("its cases are now those of patient {is}"),
        };
        let cases = counted(cases, "case");
        Finding::new(Code::SplitMoved, format!("patient {was} ({cases}) moved from {from} to {to}: {why}"))
    };
    groups.into_iter().map(finding).collect()
}

/// The split of every patient of `rows`; patients with a labelled case are divided among themselves
/// first, as if there were no others, so that every split has its share of them.
fn assign(
    rows: &[&CaseRow],
    given: &BTreeMap<String, Split>,
    parameters: &IndexParameters,
) -> Result<BTreeMap<String, Split>, CohortError> {
    let labelled: Vec<&CaseRow> = rows.iter().copied().filter(|row| row.is_labelled()).collect();
    if labelled.len() == rows.len() {
        return assign_together(rows, given, parameters);
    }
    let mut all = given.clone();
    all.extend(assign_together(&labelled, given, parameters)?);
    assign_together(rows, &all, parameters)
}

/// The split of every patient of `rows`, in groups, strata, or neither.
fn assign_together(
    rows: &[&CaseRow],
    given: &BTreeMap<String, Split>,
    parameters: &IndexParameters,
) -> Result<BTreeMap<String, Split>, CohortError> {
    let shares = Shares { val: parameters.val_share, test: parameters.test_share };
    let seed = parameters.split_seed;
    if let Some(column) = &parameters.group_by {
        return patient_groups::assign(&patient_groups::groups(rows, column)?, given, shares, seed);
    }
    if parameters.stratify.is_empty() {
        let patients: BTreeSet<String> = rows.iter().map(|row| row.patient_id.clone()).collect();
        return split::assign(&patients, given, shares, seed);
    }
    split::assign_stratified(&strata::of_patients(rows, &parameters.stratify)?, given, shares, seed)
}

/// Findings about groups that are divided because their patients have had their splits before, or
/// that are too few.
fn group_findings(
    rows: &[&CaseRow],
    column: &str,
    splits: &BTreeMap<String, Split>,
) -> Result<Vec<Finding>, CohortError> {
    let groups = patient_groups::groups(rows, column)?;
    let mut findings = Vec::new();
    if groups.len() < patient_groups::FEWEST_GROUPS {
        let message = format!(
            "--group-by {column}: there are {}, and {} are needed to hold one out for validation and one for the test: \
             all patients without a split are for training",
            counted(groups.len(), "group"),
            patient_groups::FEWEST_GROUPS
        );
        findings.push(Finding::new(Code::FewGroups, message));
    }
    let divided: Vec<_> = groups.iter().filter(|group| group.splits(splits).len() > 1).collect();
    let patients: usize = divided.iter().map(|group| group.patients.len()).sum();
    if !divided.is_empty() {
        // The groups are not named: their names may identify somebody.
        let message = format!(
            "{} of {} by {column} ({}) are in several splits, as the cohort's table or an earlier run gives these",
            divided.len(),
            counted(groups.len(), "group"),
            counted(patients, "patient")
        );
        findings.push(Finding::new(Code::GroupDivided, message));
    }
    Ok(findings)
}

/// The split of every patient of `rows`, and findings about it.
fn splits(
    rows: &[&CaseRow],
    given: &BTreeMap<String, Split>,
    before: Option<&Cases>,
    parameters: &IndexParameters,
) -> Result<(BTreeMap<String, Split>, Vec<Finding>), CohortError> {
    let patients: BTreeSet<&str> = rows.iter().map(|row| row.patient_id.as_str()).collect();
    let mut findings = Vec::new();
    if patients.len() < split::FEWEST_PATIENTS {
        findings.push(Finding::new(
            Code::FewPatients,
            match patients.len() {
                0 => "no case can be used: the findings of those rejected, or of files skipped, state why".to_owned(),
                few => format!(
                    "only {} can be used, and {} at least are needed to hold any out: all cases are for training, but for \
                     those of patients that have a split already",
                    counted(few, "patient"),
                    split::FEWEST_PATIENTS
                ),
            },
        ));
    }
    let splits = assign(rows, given, parameters)?;
    let flag = match &parameters.group_by {
        Some(_) => "--group-by",
        None if parameters.stratify.is_empty() => return Ok((splits, findings)),
        None => "--stratify",
    };
    let differs = |before: &Cases| {
        before.parameters.stratify != parameters.stratify || before.parameters.group_by != parameters.group_by
    };
    if before.is_some_and(differs) {
        let kept = patients.iter().filter(|patient| given.contains_key(**patient)).count();
        findings.push(Finding::new(
            Code::SplitKept,
            format!(
                "{kept} of {} keep the split they had: {flag} places new ones only (delete \
                 cases.parquet to divide all anew)",
                counted(patients.len(), "patient")
            ),
        ));
    }
    if let Some(column) = &parameters.group_by {
        findings.extend(group_findings(rows, column, &splits)?);
        return Ok((splits, findings));
    }
    let strata = strata::of_patients(rows, &parameters.stratify)?;
    let placed: Vec<(usize, &Strata)> =
        strata.iter().filter_map(|(p, strata)| Some((*splits.get(*p)? as usize, strata))).collect();
    if let Some(text) = strata::missing(&placed, &["train", "val", "test"]) {
        let message = format!("too few patients for every split: {text}");
        findings.push(Finding::new(Code::SmallStratum, message));
    }
    Ok((splits, findings))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::discover::DiscoveredCase;
    use crate::split::folds::{self, Fold};

    /// A generated case: patient (`None` if the cohort states none), site, labels, split of the
    /// table, usable.
    type Made = (Option<u8>, u8, u8, Option<Split>, bool);

    /// Patient ids that are easily mixed up, some of them the ids of cases.
    const IDS: [&str; 8] = ["p1", "P1", "p1 ", "p10", "c0", "c3", "é,\"x\"", ""];

    fn made() -> impl Strategy<Value = Made> {
        let split = prop::sample::select(vec![None, Some(Split::Train), Some(Split::Val), Some(Split::Test)]);
        (prop::option::of(0_u8..12), 0_u8..3, 0_u8..8, split, prop::bool::weighted(0.9))
    }

    fn name(patient: u8) -> String {
        IDS.get(patient as usize).map_or_else(|| format!("q{patient}"), |id| (*id).to_owned())
    }

    /// The rows and the layout as the index stage has them before it divides; `splits` says whether
    /// the table gives splits: then each case gets that of its patient's first case, as a sound
    /// table has it.
    fn cohort(made: &[Made], splits: bool) -> (Vec<CaseRow>, Layout) {
        let mut of_patient: BTreeMap<String, Option<Split>> = BTreeMap::new();
        let (mut rows, mut found) = (Vec::new(), Vec::new());
        for (number, (patient, site, labels, split, usable)) in made.iter().enumerate() {
            let case_id = format!("c{number}");
            let patient = patient.map(name);
            let patient_id = patient.clone().unwrap_or_else(|| case_id.clone());
            let split = splits.then(|| *of_patient.entry(patient_id.clone()).or_insert(*split)).flatten();
            let labels: Vec<_> = (0..3).filter(|bit| labels >> bit & 1 == 1).collect();
            let labels: Vec<_> =
                labels.iter().map(|value| serde_json::json!({"value": value + 1, "voxels": 9})).collect();
            rows.push(row(&case_id, &patient_id, &labels, *usable, *site));
            found.push(DiscoveredCase { case_id, patient, split, ..DiscoveredCase::default() });
        }
        (rows, Layout { cases: found, ..Layout::default() })
    }

    fn row(case: &str, patient: &str, labels: &[serde_json::Value], usable: bool, site: u8) -> CaseRow {
        serde_json::from_value(serde_json::json!({
            "case_id": case, "patient_id": patient, "modality": "MR", "split": "train", "image": "", "label": null,
            "shape": [], "spacing_mm": [], "affine": [], "orientation": "", "voxel_type": "", "labels": labels,
            "labels_annotated": [], "intensity_min": 0.0, "intensity_max": 0.0, "intensity_mean": 0.0,
            "intensity_std": 0.0, "intensity_p00_5": 0.0, "intensity_p99_5": 0.0, "image_blake3": "",
            "label_blake3": null, "status": if usable { "ok" } else { "rejected" }, "findings": [],
            "site": format!("s{site}"),
        }))
        .unwrap()
    }

    fn divided(
        made: &[Made],
        splits: bool,
        before: Option<&Cases>,
        same: &SamePatient,
        stratify: &[&str],
    ) -> Result<Cases, CohortError> {
        let parameters = IndexParameters {
            stratify: stratify.iter().map(|column| (*column).to_owned()).collect(),
            ..IndexParameters::default()
        };
        let (mut rows, layout) = cohort(made, splits);
        let SplitAssignment { findings, .. } = divide(&mut rows, &layout, before, &parameters, same)?;
        Ok(Cases {
            rows,
            cohort: String::new(),
            label_names: BTreeMap::new(),
            regions: Vec::new(),
            findings,
            parameters,
            same_patient: same.clone(),
            pet_units: None,
        })
    }

    /// A name for everyone that the table's word and the joins make one, found by walking from name
    /// to name.
    fn persons(rows: &[CaseRow], pairs: &[(u8, u8)]) -> impl Fn(&str) -> String {
        let mut joined: Vec<BTreeSet<String>> =
            rows.iter().map(|row| BTreeSet::from([row.patient_id.clone()])).collect();
        joined.extend(pairs.iter().map(|(a, b)| BTreeSet::from([name(*a), name(*b)])));
        for start in 0..joined.len() {
            for other in (start + 1..joined.len()).chain((0..start).rev()) {
                if joined[start].intersection(&joined[other]).next().is_some() {
                    let more = joined[other].clone();
                    joined[start].extend(more);
                }
            }
        }
        move |id: &str| {
            let all: BTreeSet<&String> =
                joined.iter().filter(|set| set.contains(id)).flat_map(|set| set.iter()).collect();
            all.first().map_or_else(|| id.to_owned(), |first| (*first).clone())
        }
    }

    fn stratified() -> impl Strategy<Value = &'static [&'static str]> {
        prop::sample::select(vec![&[][..], &["site"], &["labels"], &["site", "labels", "modality"]])
    }

    proptest! {
        /// Whatever the ids, duplicates, joins, earlier runs and strata: nobody is in two splits or
        /// two folds.
        #[test]
        fn no_patient_is_in_two_splits(
            made in prop::collection::vec(made(), 1..40),
            more in prop::collection::vec(made(), 0..20),
            pairs in prop::collection::vec((0_u8..12, 0_u8..12), 0..6),
            (splits, stratify) in (prop::bool::ANY, stratified()),
        ) {
            // First the cohort without the joins, then grown, with them, over the earlier run's
            // splits.
            let before = divided(&made, splits, None, &SamePatient::default(), stratify).unwrap();
            let all: Vec<Made> = made.iter().chain(&more).copied().collect();
            let same: SamePatient = pairs.iter().map(|(a, b)| (name(*a), name(*b))).collect();
            let (original, _) = cohort(&all, splits);
            let person = persons(&original, &pairs);
            let check = |cases: &Cases| {
                let mut seen: BTreeMap<String, Split> = BTreeMap::new();
                for (row, original) in cases.rows.iter().zip(&original).filter(|(row, _)| row.is_usable()) {
                    let first = *seen.entry(person(&original.patient_id)).or_insert(row.split);
                    prop_assert_eq!(first, row.split, "{}", &row.case_id);
                }
                Ok(())
            };
            match divided(&all, splits, Some(&before), &same, stratify) {
                // Only a table that puts joined patients on two sides may be refused.
                Err(error) => {
                    let conflict = matches!(error, CohortError::NotOnePatient { .. });
                    prop_assert!(splits && !pairs.is_empty() && conflict, "{}", error);
                }
                Ok(mut cases) => {
                    check(&cases)?;
                    let test = |cases: &Cases| -> Vec<bool> {
                        cases.usable().map(|row| row.split == Split::Test).collect()
                    };
                    let held_out = test(&cases);
                    let mut validated: BTreeMap<String, u32> = BTreeMap::new();
                    for fold in 0..3 {
                        if folds::apply(&mut cases, Fold { fold, folds: 3 }).is_err() {
                            break; // fewer than three patients
                        }
                        check(&cases)?;
                        prop_assert_eq!(&test(&cases), &held_out);
                        for row in cases.usable().filter(|row| row.split == Split::Val) {
                            prop_assert_eq!(*validated.entry(row.case_id.clone()).or_insert(fold), fold);
                        }
                    }
                    let outside = held_out.iter().filter(|test| !**test).count();
                    prop_assert!(validated.is_empty() || validated.len() == outside);
                }
            }
        }

        /// A stratified split is as large as an unstratified one, and the same whatever the order
        /// of the rows.
        #[test]
        fn strata_change_who_is_held_out_and_not_how_many(
            made in prop::collection::vec(made(), 3..60),
            stratify in stratified(),
        ) {
            let none = SamePatient::default();
            let count = |cases: &Cases| {
                let of = |split| {
                    let own: BTreeSet<_> =
                        cases.usable().filter(|row| row.split == split).map(|row| row.patient_id.clone()).collect();
                    own.len()
                };
                [Split::Train, Split::Val, Split::Test].map(of)
            };
            let stratified = divided(&made, false, None, &none, stratify).unwrap();
            prop_assert_eq!(count(&stratified), count(&divided(&made, false, None, &none, &[]).unwrap()));
            let (mut rows, layout) = cohort(&made, false);
            rows.reverse();
            divide(&mut rows, &layout, None, &stratified.parameters, &none).unwrap();
            rows.reverse();
            prop_assert_eq!(rows, stratified.rows);
        }
    }

    #[test]
    fn a_table_that_puts_a_patient_on_two_sides_is_refused() {
        let (mut rows, mut layout) =
            cohort(&[(Some(8), 0, 1, None, true), (Some(8), 0, 1, None, true)], false);
        layout.cases[0].split = Some(Split::Train);
        layout.cases[1].split = Some(Split::Test);
        let none = SamePatient::default();
        let error = divide(&mut rows, &layout, None, &IndexParameters::default(), &none).unwrap_err();
        assert!(error.to_string().contains("patient q8 is in two splits"), "{error}");
    }

    #[test]
    fn strata_are_spread_over_the_splits_and_small_ones_are_reported() {
        // 20 patients of site s0, 20 of s1, 1 of s2.
        let made: Vec<Made> =
            (0..41).map(|n| (None, if n == 40 { 2 } else { n % 2 }, 1, None, true)).collect();
        let cases = divided(&made, false, None, &SamePatient::default(), &["site"]).unwrap();
        let count = |site: &str, split: Split| {
            cases
                .rows
                .iter()
                .filter(|row| row.carried["site"].as_deref() == Some(site) && row.split == split)
                .count()
        };
        for site in ["s0", "s1"] {
            assert_eq!([Split::Train, Split::Val, Split::Test].map(|split| count(site, split)), [14, 3, 3]);
        }
        assert_eq!(cases.findings.len(), 1);
        let Finding { code, message } = &cases.findings[0];
        assert_eq!(*code, Code::SmallStratum);
        assert!(message.contains("site s2 (1 patient): none in val, test"), "{message}");
        let again = divided(&made, false, Some(&cases), &SamePatient::default(), &["labels"]).unwrap();
        assert!(again.findings.iter().any(|finding| finding.code == Code::SplitKept));
        assert!(again.rows.iter().zip(&cases.rows).all(|(a, b)| a.split == b.split));
    }
}
