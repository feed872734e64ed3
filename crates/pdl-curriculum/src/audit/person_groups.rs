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

/// A node of the tree of single linkage: a patient, or what was joined of two nodes.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    children: Option<[usize; 2]>,
    patients: usize,
    /// The largest dissimilarity that holds it together.
    inside: f64,
    /// Minus the logarithm of the probability that different persons lie as far from all others as
    /// these patients do; none where it is no group of a few patients.
    evidence: Option<f64>,
}

/// The most similar pairs of cases of every two patients of an isolated group, ascending; empty
/// with few `patients`.
pub(crate) fn isolated(nearest: &NearestOtherPatient, patients: usize) -> Vec<CasePair> {
    if patients < FEWEST_TO_STAND_OUT {
        return Vec::new();
    }
    let neighbours = neighbours(nearest, patients);
    let Some(exponent) = exponent(&neighbours, patients) else { return Vec::new() };
    let tree = tree(&neighbours, exponent);
    let pairs = |group: &usize| -> Vec<CasePair> {
        let members = members(&tree, *group);
        let inside = |neighbour: &&Neighbour| members.contains(&neighbour.patient);
        let of_member = |member: &usize| neighbours[*member].iter().filter(inside).map(|other| other.cases);
        members.iter().flat_map(of_member).collect()
    };
    let pairs: BTreeSet<CasePair> = discoveries(&tree, patients).iter().flat_map(pairs).collect();
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

/// The tree of single linkage: first the patients, then what is joined, the nearest first.
fn tree(neighbours: &[Vec<Neighbour>], exponent: f64) -> Vec<Node> {
    let mut edges: Vec<(f64, usize, usize)> = Vec::new();
    for (patient, others) in neighbours.iter().enumerate() {
        let edge =
            |other: &Neighbour| (other.dissimilarity, patient.min(other.patient), patient.max(other.patient));
        edges.extend(others.iter().map(edge));
    }
    edges.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut nodes = vec![Node { patients: 1, ..Node::default() }; neighbours.len()];
    // Patients that are joined have one number, that of a patient among them; with the node that
    // they are now and all of them.
    let mut joined_as: Vec<usize> = (0..neighbours.len()).collect();
    let mut node_of: Vec<usize> = joined_as.clone();
    let mut patients_of: Vec<Vec<usize>> = (0..neighbours.len()).map(|patient| vec![patient]).collect();
    for (dissimilarity, a, b) in edges {
        let (a, b) = (joined_as[a], joined_as[b]);
        if a == b {
            continue;
        }
        let children = [node_of[a], node_of[b]];
        for child in children {
            nodes[child].evidence = evidence(&nodes[child], dissimilarity, exponent);
        }
        let (kept, gone) = if patients_of[a].len() < patients_of[b].len() { (b, a) } else { (a, b) };
        let moved = std::mem::take(&mut patients_of[gone]);
        moved.iter().for_each(|patient| joined_as[*patient] = kept);
        patients_of[kept].extend(moved);
        node_of[kept] = nodes.len();
        let patients = patients_of[kept].len();
        nodes.push(Node { children: Some(children), patients, inside: dissimilarity, evidence: None });
    }
    nodes
}

/// The evidence for a group whose nearest patient outside is as far away as `outside`.
fn evidence(group: &Node, outside: f64, exponent: f64) -> Option<f64> {
    let others = group.patients - 1;
    let is_group = (1..=MOST_OF_ONE_PERSON).contains(&others) && outside - group.inside >= LEAST_GAP;
    is_group.then(|| others as f64 * exponent * (outside / group.inside).ln())
}

/// The patients of a node.
fn members(tree: &[Node], node: usize) -> BTreeSet<usize> {
    match tree[node].children {
        None => BTreeSet::from([node]),
        Some(children) => children.iter().flat_map(|child| members(tree, *child)).collect(),
    }
}

/// The groups that are found at the false discovery rate; none overlaps another.
fn discoveries(tree: &[Node], patients: usize) -> Vec<usize> {
    let most = patients as f64 / 2.0; // groups that there can be
    let mut least = -FALSE_DISCOVERY_RATE.ln();
    loop {
        let groups = groups_by(tree, least);
        if groups.is_empty() {
            return groups;
        }
        let needed = (most / (FALSE_DISCOVERY_RATE * groups.len() as f64)).ln();
        if needed <= least {
            return groups;
        }
        least = needed; // fewer groups need more evidence each
    }
}

/// The groups with at least this evidence. Of groups inside each other the largest counts, unless
/// it joins two that are groups by themselves: two persons who resemble each other are two.
fn groups_by(tree: &[Node], least: f64) -> Vec<usize> {
    let mut holds_group = vec![false; tree.len()];
    let mut chosen = vec![false; tree.len()];
    for (number, node) in tree.iter().enumerate() {
        let Some(children) = node.children else { continue };
        let inner = children.map(|child| holds_group[child]);
        let is_group = node.evidence.is_some_and(|evidence| evidence >= least) && inner != [true; 2];
        if is_group {
            withdraw(tree, number, &mut chosen);
            chosen[number] = true;
        }
        holds_group[number] = is_group || inner.contains(&true);
    }
    (0..tree.len()).filter(|number| chosen[*number]).collect()
}

/// Withdraws the groups inside a node.
fn withdraw(tree: &[Node], node: usize, chosen: &mut [bool]) {
    for child in tree[node].children.into_iter().flatten() {
        chosen[child] = false;
        withdraw(tree, child, chosen);
    }
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
        let (mut all, mut wrong) = (0, 0);
        for seed in 0..10 {
            let points = visits(20, 3, 0.04, seed);
            let pairs = found(&points, (0..60).collect());
            let linked: BTreeSet<usize> = pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
            assert!(linked.len() >= 57, "{seed}: {} of 60", linked.len());
            all += pairs.len();
            wrong += pairs.iter().filter(|(a, b)| a / 3 != b / 3).count();
        }
        assert!(wrong * 20 <= all, "a rate of 0.05: {wrong} of {all}");
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
