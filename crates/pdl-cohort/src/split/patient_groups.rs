//! Groups of patients, such as those of one site, that splits and folds do not divide.

use std::collections::{BTreeMap, BTreeSet};

use crate::CohortError;
use crate::attributes::Split;
use crate::invalid_option::InvalidOption;
use crate::split::strata;
use crate::split::{self, Shares};
use crate::table::case_row::CaseRow;

/// The text of a blank cell in [`CaseRow::value`].
const BLANK: &str = "null";

/// Minimum number of groups of which one can be held out for validation and another for the test.
pub(crate) const FEWEST_GROUPS: usize = 3;

/// Patients that are kept together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PatientGroup {
    /// The value of the column that they share; several with + between them where a patient has
    /// cases of several values; empty for a patient without a value.
    pub name: String,
    /// Ids of the patients.
    pub patients: BTreeSet<String>,
}

impl PatientGroup {
    /// A name that no other group has.
    fn key(&self) -> &str {
        self.patients.first().map_or("", String::as_str)
    }

    /// The splits of its patients among those that have one.
    pub(crate) fn splits(&self, of_patient: &BTreeMap<String, Split>) -> BTreeSet<Split> {
        self.patients.iter().filter_map(|patient| of_patient.get(patient).copied()).collect()
    }
}

/// The groups of the patients of `rows` by a column, ascending by name: patients with a value in
/// common are in one group, and so are all patients that are linked by others. A patient without a
/// value is a group of its own.
///
/// # Errors
/// [`CohortError::InvalidOption`] if there is no such column.
pub(crate) fn groups(rows: &[&CaseRow], column: &str) -> Result<Vec<PatientGroup>, CohortError> {
    let mut values: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        let value = row.value(column).ok_or_else(|| {
            let problem = format!(
                "neither the cohort's table nor cases.parquet has it (`pdl index --carry {column}` stores a column of \
                 the cohort's table)"
            );
            InvalidOption::with_value("group-by", column, problem)
        })?;
        let own = values.entry(&row.patient_id).or_default();
        own.extend((value != BLANK && !value.is_empty()).then_some(value));
    }
    let mut groups: Vec<(BTreeSet<String>, BTreeSet<String>)> = Vec::new(); // values, patients
    for (patient, mut own) in values {
        let mut patients = BTreeSet::from([patient.to_owned()]);
        let (linked, rest): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|(values, _)| !values.is_disjoint(&own));
        for (values, others) in linked {
            own.extend(values);
            patients.extend(others);
        }
        groups = rest;
        groups.push((own, patients));
    }
    let named = |(values, patients): (BTreeSet<String>, BTreeSet<String>)| {
        let values: Vec<String> = values.into_iter().collect();
        PatientGroup { name: values.join("+"), patients }
    };
    let mut groups: Vec<PatientGroup> = groups.into_iter().map(named).collect();
    groups.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.patients.cmp(&b.patients)));
    Ok(groups)
}

/// Gives each patient a split so that no group is divided by it. Patients in `given` keep theirs,
/// and the others of their group get the one that is nearest to training. The other groups are
/// taken in the order of the BLAKE3 hash of seed and patient ids: val and then test get those that
/// bring them closer to their shares of the patients, and at least one group each where there are
/// three.
///
/// # Errors
/// [`CohortError::InvalidOption`] when the shares leave no training patients.
pub(crate) fn assign(
    groups: &[PatientGroup],
    given: &BTreeMap<String, Split>,
    shares: Shares,
    seed: u64,
) -> Result<BTreeMap<String, Split>, CohortError> {
    shares.check()?;
    let mut splits: BTreeMap<String, Split> = BTreeMap::new();
    let mut waiting: BTreeMap<&str, &PatientGroup> = BTreeMap::new();
    for group in groups {
        let Some(split) = group.splits(given).first().copied() else {
            waiting.insert(group.key(), group);
            continue;
        };
        let own = |patient: &String| (patient.clone(), given.get(patient).copied().unwrap_or(split));
        splits.extend(group.patients.iter().map(own));
    }
    let patients = groups.iter().map(|group| group.patients.len()).sum();
    let (val, test) = if groups.len() < FEWEST_GROUPS { (0, 0) } else { split::targets(patients, shares) };
    let mut order = strata::in_turn("split 1", seed, waiting.keys().copied());
    for (split, target) in [(Split::Val, val), (Split::Test, test)] {
        let mut count = splits.values().filter(|own| **own == split).count();
        // One group is left to train on.
        while let Some(place) = nearest_to(target, count, &order, &waiting).filter(|_| order.len() > 1) {
            let group = waiting[order.remove(place)];
            count += group.patients.len();
            splits.extend(group.patients.iter().map(|patient| (patient.clone(), split)));
        }
    }
    let rest = order.into_iter().flat_map(|key| &waiting[key].patients);
    splits.extend(rest.map(|patient| (patient.clone(), Split::Train)));
    Ok(splits)
}

/// The place of the first group that brings `count` closer to `target`; of a split without any
/// patient the smallest group where none does.
fn nearest_to(
    target: usize,
    count: usize,
    order: &[&str],
    groups: &BTreeMap<&str, &PatientGroup>,
) -> Option<usize> {
    let size = |key: &&str| groups[*key].patients.len();
    let closer = |key: &&str| (count + size(key)).abs_diff(target) < count.abs_diff(target);
    if count >= target {
        return None;
    }
    let found = order.iter().position(closer);
    let smallest = || (0..order.len()).min_by_key(|place| size(&order[*place])).filter(|_| count == 0);
    found.or_else(smallest)
}

/// Deals groups to folds, as evenly by patients as whole groups allow: the largest first, to the
/// fold with the fewest patients. With as many folds as groups each is one, in the order of their
/// names. Gives the groups of each fold.
pub(crate) fn deal(groups: &[PatientGroup], folds: usize, seed: u64) -> Vec<Vec<&PatientGroup>> {
    if folds == groups.len() {
        return groups.iter().map(|group| vec![group]).collect();
    }
    let of_key: BTreeMap<&str, &PatientGroup> = groups.iter().map(|group| (group.key(), group)).collect();
    let mut order = strata::in_turn("fold 1", seed, of_key.keys().copied());
    order.sort_by_key(|key| std::cmp::Reverse(of_key[key].patients.len())); // stable: then by hash
    let mut dealt: Vec<Vec<&PatientGroup>> = vec![Vec::new(); folds];
    let size = |fold: &Vec<&PatientGroup>| fold.iter().map(|group| group.patients.len()).sum::<usize>();
    for key in order {
        if let Some(fold) = dealt.iter_mut().min_by_key(|fold| size(fold)) {
            fold.push(of_key[key]);
        }
    }
    dealt.iter_mut().for_each(|fold| fold.sort_by(|a, b| a.name.cmp(&b.name)));
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: Shares = Shares { val: 0.15, test: 0.15 };

    fn of_sizes(sizes: &[usize]) -> Vec<PatientGroup> {
        let group = |(number, size): (usize, &usize)| PatientGroup {
            name: format!("s{number}"),
            patients: (0..*size).map(|patient| format!("s{number}p{patient}")).collect(),
        };
        sizes.iter().enumerate().map(group).collect()
    }

    fn row(patient: &str, site: Option<&str>) -> CaseRow {
        serde_json::from_value(serde_json::json!({
            "case_id": patient, "patient_id": patient, "modality": "MR", "split": "train", "image": "", "label": null,
            "shape": [], "spacing_mm": [], "affine": [], "orientation": "", "voxel_type": "", "labels": [],
            "labels_annotated": [], "intensity_min": 0.0, "intensity_max": 0.0, "intensity_mean": 0.0,
            "intensity_std": 0.0, "intensity_p00_5": 0.0, "intensity_p99_5": 0.0, "image_blake3": "",
            "label_blake3": null, "status": "ok", "findings": [], "site": site,
        }))
        .unwrap()
    }

    #[test]
    fn patients_of_several_values_link_groups_and_blank_ones_stand_alone() {
        let rows = [
            row("a", Some("x")),
            row("b", Some("y")),
            row("c", Some("x")),
            row("b", Some("z")),
            row("d", Some("z")),
            row("e", None),
            row("f", None),
        ];
        let rows: Vec<&CaseRow> = rows.iter().collect();
        let found = groups(&rows, "site").unwrap();
        let texts: Vec<(String, Vec<String>)> =
            found.into_iter().map(|group| (group.name, group.patients.into_iter().collect())).collect();
        let expected = [("", vec!["e"]), ("", vec!["f"]), ("x", vec!["a", "c"]), ("y+z", vec!["b", "d"])];
        let expected = expected.map(|(name, patients)| {
            (name.to_owned(), patients.into_iter().map(str::to_owned).collect::<Vec<_>>())
        });
        assert_eq!(texts, expected);
        assert!(groups(&rows, "vendor").unwrap_err().to_string().contains("--group-by vendor"));
    }

    #[test]
    fn no_group_is_divided_and_held_out_splits_keep_about_their_share() {
        for (sizes, seed) in [(vec![3; 7], 0), (vec![40, 5, 5, 5, 5, 20, 20], 1), (vec![1; 100], 2)] {
            let groups = of_sizes(&sizes);
            let splits = assign(&groups, &BTreeMap::new(), SHARES, seed).unwrap();
            assert!(groups.iter().all(|group| group.splits(&splits).len() == 1), "{sizes:?}");
            let count = |split| splits.values().filter(|own| **own == split).count();
            let (all, largest) = (splits.len(), sizes.iter().max().unwrap());
            for split in [Split::Val, Split::Test] {
                let missed = (count(split) as f64 - 0.15 * all as f64).abs();
                assert!(count(split) > 0 && missed <= (*largest as f64).max(1.0), "{sizes:?}: {splits:?}");
            }
            assert!(count(Split::Train) > 0);
        }
        let two = assign(&of_sizes(&[5, 5]), &BTreeMap::new(), SHARES, 0).unwrap();
        assert!(two.values().all(|split| *split == Split::Train), "nothing can be held out");
    }

    #[test]
    fn splits_that_are_given_stay_and_the_rest_of_a_group_follows() {
        let groups = of_sizes(&[3, 3, 3, 3]);
        let given = BTreeMap::from([
            ("s0p0".to_owned(), Split::Test),
            ("s1p0".to_owned(), Split::Test),
            ("s1p1".to_owned(), Split::Val),
        ]);
        let splits = assign(&groups, &given, SHARES, 0).unwrap();
        assert!(given.iter().all(|(patient, split)| splits[patient] == *split));
        assert_eq!((splits["s0p2"], splits["s1p2"]), (Split::Test, Split::Val));
        assert!(groups[2..].iter().all(|group| group.splits(&splits).len() == 1));
    }

    #[test]
    fn folds_hold_whole_groups() {
        let groups = of_sizes(&[6, 1, 1, 2, 2]);
        let names = |dealt: &[Vec<&PatientGroup>]| -> Vec<Vec<String>> {
            dealt.iter().map(|fold| fold.iter().map(|group| group.name.clone()).collect()).collect()
        };
        let one_each = names(&deal(&groups, 5, 0));
        assert_eq!(one_each, [["s0"], ["s1"], ["s2"], ["s3"], ["s4"]], "leave one group out");
        let two = names(&deal(&groups, 2, 0));
        assert_eq!(two, [vec!["s0"], vec!["s1", "s2", "s3", "s4"]]);
    }
}
