//! Groups of patients that are isolated from all others, as the visits of one person under several
//! names are.
//!
//! Cases are linked by single linkage of their dissimilarity 1 - SSIM, so that a visit belongs to a
//! group when it resembles one of its members. How far a group lies from the others is its ratio:
//! the least dissimilarity to a case outside, to the largest that holds it together. What is
//! unusual follows from pairs of different persons: where there are no groups, the ratio of a
//! case's (k + 1)-th nearest neighbour to its k-th has a Pareto distribution with the exponent k m
//! (Facco et al. 2017), and m is measured on neighbours that are too far down the list to be of the
//! same person. Groups are chosen at a false discovery rate (Benjamini and Hochberg 1995), so that
//! a cohort in which many groups are evident needs less evidence for the next.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::nearest_other_patient::{
    CasePair, FEWEST_TO_STAND_OUT, MOST_OF_ONE_PERSON, NEAREST, NearestOtherPatient,
};

/// Expected share of false groups among those that are found.
const FALSE_DISCOVERY_RATE: f64 = 0.05;

/// A group whose cases outside are at least so many times as dissimilar as its own contains the
/// smaller groups inside it.
const CLEAR_RATIO: f64 = 2.0;

/// A smaller difference of SSIM between inside and outside is noise.
const LEAST_GAP: f64 = 0.01;

/// Images are taken as at least so dissimilar, so that ratios stay finite.
const LEAST_DISSIMILARITY: f64 = 1e-6;

/// A patient's nearest other patient.
#[derive(Clone, Copy)]
struct Neighbour {
    patient: usize,
    dissimilarity: f64,
    cases: CasePair,
}

/// A group of patients in the tree of single linkage.
#[derive(Clone)]
struct Group {
    members: BTreeSet<usize>,
    /// Least dissimilarity to a patient outside, to the largest that holds the members together.
    ratio: f64,
    /// Minus the logarithm of the probability of such a ratio among different persons.
    evidence: f64,
}

/// The most similar pairs of cases of every two patients of an isolated group, ascending; empty
/// with few `patients`.
pub(crate) fn isolated(nearest: &NearestOtherPatient, patients: usize) -> Vec<CasePair> {
    if patients < FEWEST_TO_STAND_OUT {
        return Vec::new();
    }
    let neighbours = neighbours(nearest, patients);
    let Some(exponent) = exponent(&neighbours, patients) else { return Vec::new() };
    let groups = discoveries(groups(&neighbours, exponent), patients);
    let pairs = |group: &Group| -> Vec<CasePair> {
        let inside = |neighbour: &&Neighbour| group.members.contains(&neighbour.patient);
        let of_member = |member: &usize| neighbours[*member].iter().filter(inside).map(|other| other.cases);
        group.members.iter().flat_map(of_member).collect()
    };
    let pairs: BTreeSet<CasePair> = groups.iter().flat_map(pairs).collect();
    pairs.into_iter().collect()
}

/// The nearest other patients of each patient, the nearest first, each by its most similar case.
fn neighbours(nearest: &NearestOtherPatient, patients: usize) -> Vec<Vec<Neighbour>> {
    let mut of_patient: Vec<BTreeMap<usize, Neighbour>> = vec![BTreeMap::new(); patients];
    let patient_of = nearest.patient_of();
    for (case, others) in nearest.nearest().iter().enumerate() {
        for &(other, similarity) in others {
            let dissimilarity = (1.0 - f64::from(similarity)).max(LEAST_DISSIMILARITY);
            let cases = (case.min(other), case.max(other));
            let found = Neighbour { patient: patient_of[other], dissimilarity, cases };
            let known = of_patient[patient_of[case]].entry(found.patient).or_insert(found);
            if (found.dissimilarity, found.cases) < (known.dissimilarity, known.cases) {
                *known = found;
            }
        }
    }
    let sorted = |others: BTreeMap<usize, Neighbour>| {
        let mut others: Vec<Neighbour> = others.into_values().collect();
        others.sort_by(|a, b| a.dissimilarity.total_cmp(&b.dissimilarity)); // stable: ties by patient
        others.truncate(NEAREST);
        others
    };
    of_patient.into_iter().map(sorted).collect()
}

/// The exponent m of the distribution of ratios, from neighbours beyond those that may be of one
/// person: the reciprocal of the mean of k ln(d(k + 1) / d(k)). None where these are all equally
/// far.
fn exponent(neighbours: &[Vec<Neighbour>], patients: usize) -> Option<f64> {
    let last = NEAREST.min((patients - 1) / 2);
    let of_patient = |others: &Vec<Neighbour>| {
        let spacings = (MOST_OF_ONE_PERSON + 1..last.min(others.len()))
            .map(|k| k as f64 * (others[k].dissimilarity / others[k - 1].dissimilarity).ln());
        let spacings: Vec<f64> = spacings.collect();
        (!spacings.is_empty()).then(|| spacings.iter().sum::<f64>() / spacings.len() as f64)
    };
    let means: Vec<f64> = neighbours.iter().filter_map(of_patient).collect();
    let mean = means.iter().sum::<f64>() / means.len().max(1) as f64;
    (mean > 0.0).then(|| 1.0 / mean)
}

/// All groups of up to six patients in the tree of single linkage.
fn groups(neighbours: &[Vec<Neighbour>], exponent: f64) -> Vec<Group> {
    let mut edges: Vec<(f64, usize, usize)> = Vec::new();
    for (patient, others) in neighbours.iter().enumerate() {
        edges.extend(
            others
                .iter()
                .map(|other| (other.dissimilarity, patient.min(other.patient), patient.max(other.patient))),
        );
    }
    edges.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    // The component of each patient; the members of each and what holds them together.
    let mut component: Vec<usize> = (0..neighbours.len()).collect();
    let mut members: Vec<Vec<usize>> = (0..neighbours.len()).map(|patient| vec![patient]).collect();
    let mut inside: Vec<f64> = vec![0.0; neighbours.len()];
    let mut found = Vec::new();
    for (outside, a, b) in edges {
        let (a, b) = (component[a], component[b]);
        if a == b {
            continue;
        }
        for joined in [a, b] {
            let others = members[joined].len() - 1;
            if (1..=MOST_OF_ONE_PERSON).contains(&others) && outside - inside[joined] >= LEAST_GAP {
                let ratio = outside / inside[joined];
                let evidence = others as f64 * exponent * ratio.ln();
                found.push(Group { members: members[joined].iter().copied().collect(), ratio, evidence });
            }
        }
        let (kept, gone) = if members[a].len() < members[b].len() { (b, a) } else { (a, b) };
        let moved = std::mem::take(&mut members[gone]);
        moved.iter().for_each(|patient| component[*patient] = kept);
        members[kept].extend(moved);
        inside[kept] = outside;
    }
    found
}

/// The groups that are found at the false discovery rate; none overlaps another.
fn discoveries(mut groups: Vec<Group>, patients: usize) -> Vec<Group> {
    let most = patients as f64 / 2.0; // groups that there can be
    let alone = (most / FALSE_DISCOVERY_RATE).ln();
    let clear: Vec<BTreeSet<usize>> = groups
        .iter()
        .filter(|group| group.ratio >= CLEAR_RATIO && group.evidence >= alone)
        .map(|group| group.members.clone())
        .collect();
    let is_within = |group: &Group, other: &BTreeSet<usize>| {
        group.members.len() < other.len() && group.members.is_subset(other)
    };
    groups.retain(|group| !clear.iter().any(|other| is_within(group, other)));
    groups.sort_by(|a, b| b.evidence.total_cmp(&a.evidence).then_with(|| a.members.cmp(&b.members)));
    let mut chosen: Vec<Group> = Vec::new();
    let mut taken: BTreeSet<usize> = BTreeSet::new();
    for group in groups {
        if group.members.is_disjoint(&taken) {
            taken.extend(&group.members);
            chosen.push(group);
        }
    }
    let passes = |(place, group): (usize, &Group)| {
        let rank = place as f64 + 1.0;
        (group.evidence >= (most / (FALSE_DISCOVERY_RATE * rank)).ln()).then_some(place + 1)
    };
    let count = chosen.iter().enumerate().filter_map(passes).max().unwrap_or(0);
    chosen.truncate(count);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points in space: SSIM falls with the square of their distance. `points[case]` is of the
    /// patient `patient_of[case]`.
    fn found(points: &[[f64; 6]], patient_of: Vec<usize>) -> Vec<CasePair> {
        let patients = patient_of.iter().max().map_or(0, |last| last + 1);
        let mut nearest = NearestOtherPatient::new(patient_of.clone());
        for a in 0..points.len() {
            for b in a + 1..points.len() {
                let square: f64 = (0..6).map(|axis| (points[a][axis] - points[b][axis]).powi(2)).sum();
                if patient_of[a] != patient_of[b] {
                    nearest.see(a, b, (1.0 - square) as f32);
                }
            }
        }
        isolated(&nearest, patients)
    }

    /// Numbers between -1 and 1, the same every time.
    fn numbers(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        }
    }

    /// Visits of persons who lie at random places; `spread` is how far visits lie apart.
    fn visits(persons: usize, visits: usize, spread: f64, seed: u64) -> Vec<[f64; 6]> {
        let mut number = numbers(seed);
        let mut points = Vec::new();
        for _ in 0..persons {
            let place: [f64; 6] = std::array::from_fn(|_| 0.3 * number());
            points.extend((0..visits).map(|_| place.map(|at| at + spread * number())));
        }
        points
    }

    #[test]
    fn visits_of_one_person_are_linked_and_persons_are_not() {
        for seed in 0..10 {
            let points = visits(20, 3, 0.04, seed);
            let pairs = found(&points, (0..60).collect());
            assert!(pairs.iter().all(|(a, b)| a / 3 == b / 3), "{seed}: {pairs:?}");
            let linked: BTreeSet<usize> = pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
            assert!(linked.len() >= 57, "{seed}: {} of 60", linked.len());
        }
    }

    #[test]
    fn a_cohort_of_different_persons_has_no_groups() {
        let falsely = (0..50).filter(|seed| !found(&visits(60, 1, 0.0, *seed), (0..60).collect()).is_empty());
        assert!(falsely.count() <= 4, "a rate of 0.05");
        assert!(found(&visits(19, 1, 0.0, 1), (0..19).collect()).is_empty(), "too few to know");
        assert!(found(&[[0.0; 6]; 30], (0..30).collect()).is_empty(), "all are one image");
    }

    #[test]
    fn a_person_under_two_names_is_found_by_any_of_the_cases() {
        // Each patient has two cases; patients 0 and 1 are one person.
        let mut points = visits(30, 2, 0.05, 3);
        let mut number = numbers(99);
        for case in [2, 3] {
            points[case] = points[0].map(|at| at + 0.01 * number());
        }
        let pairs = found(&points, (0..60).map(|case| case / 2).collect());
        assert_eq!(pairs.len(), 1, "{pairs:?}");
        assert!(pairs[0].0 < 2 && (2..4).contains(&pairs[0].1));
    }

    #[test]
    fn two_persons_who_resemble_each_other_stay_two() {
        // Their duplicates are much more alike than they are.
        let mut points = visits(30, 1, 0.0, 5);
        let near = points[0].map(|at| at + 0.05);
        points.extend([points[0].map(|at| at + 0.001), near, near.map(|at| at + 0.001)]);
        let pairs = found(&points, (0..33).collect());
        assert_eq!(pairs, [(0, 30), (31, 32)]);
    }
}
