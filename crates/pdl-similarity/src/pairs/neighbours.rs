//! Nearest neighbours of a case, and groups of near-duplicates.

use pdl_prepare::proxies::Proxies;
use pdl_store::StoreError;
use serde::Serialize;

use crate::metrics::PairColumn;
use crate::pairs::pair_table::Pairs;

/// A neighbour of a case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Neighbour {
    /// Case id of the neighbour.
    pub case_id: String,
    /// The metric of the pair.
    pub value: f32,
}

/// All other cases, most similar first; cases without a value come last, ties by case id.
///
/// # Errors
/// [`StoreError`] when the pairs cannot be read.
pub fn neighbours(
    proxies: &Proxies,
    pairs: &Pairs,
    case: usize,
    column: impl Into<PairColumn>,
) -> Result<Vec<Neighbour>, StoreError> {
    let mut all = Vec::with_capacity(proxies.len());
    let column = column.into();
    let metric = column.metric;
    pairs.of_case(case, &column, |other, value| {
        all.push(Neighbour { case_id: proxies.case_ids[other as usize].clone(), value });
    })?;
    let far = |value: f32| match (value.is_nan(), metric.larger_is_alike()) {
        (true, _) => f32::INFINITY,
        (false, true) => -value,
        (false, false) => value,
    };
    all.sort_by(|a, b| {
        let missing = a.value.is_nan().cmp(&b.value.is_nan());
        missing.then(far(a.value).total_cmp(&far(b.value))).then_with(|| a.case_id.cmp(&b.case_id))
    });
    Ok(all)
}

/// Cases connected by pairs that reach a similarity threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DuplicateGroup {
    /// Case ids, ascending.
    pub cases: Vec<String>,
    /// The connecting pairs: both case ids and the metric's value.
    pub pairs: Vec<(String, String, f32)>,
}

/// The connected components of the pairs whose value in a column reaches `threshold` (is at most
/// `threshold` for metrics where smaller is more similar), ordered by their first case id.
///
/// # Errors
/// [`StoreError`] when the pairs cannot be read.
pub fn duplicates(
    proxies: &Proxies,
    pairs: &Pairs,
    column: impl Into<PairColumn>,
    threshold: f32,
) -> Result<Vec<DuplicateGroup>, StoreError> {
    let mut joined = Vec::new();
    let column = column.into();
    let metric = column.metric;
    pairs.for_each(&column, |a, b, value| {
        let alike = if metric.larger_is_alike() { value >= threshold } else { value <= threshold };
        if alike {
            joined.push((a as usize, b as usize, value));
        }
    })?;
    let mut leader: Vec<usize> = (0..proxies.len()).collect();
    for (a, b, _) in &joined {
        let (a, b) = (find(&mut leader, *a), find(&mut leader, *b));
        leader[a.max(b)] = a.min(b);
    }
    let id = |row: usize| proxies.case_ids[row].clone();
    let mut groups: std::collections::BTreeMap<usize, DuplicateGroup> = std::collections::BTreeMap::new();
    for (a, b, value) in joined {
        let group = groups.entry(find(&mut leader, a));
        let group = group.or_insert_with(|| DuplicateGroup { cases: Vec::new(), pairs: Vec::new() });
        group.cases.extend([id(a), id(b)]);
        group.pairs.push((id(a), id(b), value));
    }
    let mut groups: Vec<DuplicateGroup> = groups.into_values().collect();
    for group in &mut groups {
        group.cases.sort();
        group.cases.dedup();
    }
    groups.sort_by(|a, b| a.cases.cmp(&b.cases));
    Ok(groups)
}

/// The representative of a row's group, with path compression.
fn find(leader: &mut [usize], mut row: usize) -> usize {
    while leader[row] != row {
        leader[row] = leader[leader[row]];
        row = leader[row];
    }
    row
}
