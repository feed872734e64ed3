//! The cases most and least like one case, and groups of cases that are nearly the same.

use pdl_prepare::proxies::Proxies;
use pdl_store::StoreError;
use serde::Serialize;

use crate::metrics::Metric;
use crate::pairs::pair_table::Pairs;

/// Another case and its value of a metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Neighbour {
    /// The other case.
    pub case_id: String,
    /// The metric's value for the pair.
    pub value: f32,
}

/// All other cases, the most alike first; cases without a value come last, ties by case id.
///
/// # Errors
/// [`StoreError`] when the pairs cannot be read.
pub fn neighbours(
    proxies: &Proxies,
    pairs: &Pairs,
    case: usize,
    metric: Metric,
) -> Result<Vec<Neighbour>, StoreError> {
    let mut all = Vec::with_capacity(proxies.len());
    pairs.of_case(case, metric, |other, value| {
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

/// Cases that are joined by pairs at least as alike as a threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DuplicateGroup {
    /// The cases, by id.
    pub cases: Vec<String>,
    /// The pairs that join them: both cases and the metric's value.
    pub pairs: Vec<(String, String, f32)>,
}

/// Groups of cases whose pairs reach `threshold` (are at most that for metrics where small is alike), directly or
/// through others; by the first case's id.
///
/// # Errors
/// [`StoreError`] when the pairs cannot be read.
pub fn duplicates(
    proxies: &Proxies,
    pairs: &Pairs,
    metric: Metric,
    threshold: f32,
) -> Result<Vec<DuplicateGroup>, StoreError> {
    let mut joined = Vec::new();
    pairs.for_each(metric, |a, b, value| {
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

/// The first row of a row's group; shortens the way to it.
fn find(leader: &mut [usize], mut row: usize) -> usize {
    while leader[row] != row {
        leader[row] = leader[leader[row]];
        row = leader[row];
    }
    row
}
