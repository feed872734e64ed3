//! Selects the unlabelled cases to annotate next, given the labelled ones, and on request how
//! unsure a network is of each.

mod uncertainty;

use std::collections::HashMap;
use std::path::Path;

use clap::ValueEnum;
use pdl_cohort::attributes::Split;
use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_prepare::proxies::Proxies;
use pdl_similarity::metrics::Metric;
use pdl_similarity::pairs::Pairs;
use pdl_store::memory::MemoryLimit;
use serde::Serialize;

use crate::CurriculumError;
use crate::metrics::{identical, unit};
use crate::order::{score, subset_selection};
use crate::pairwise::{SelectedPairs, SimilarityMatrix};

/// Bytes of a similarity in memory.
const SIMILARITY_BYTES: u64 = size_of::<f32>() as u64;

/// How cases are selected for annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SelectionOrder {
    /// Greedily selects the case farthest from its nearest labelled or selected case (k-centre
    /// greedy): the selection covers the whole cohort, outliers first.
    KCentre,
    /// Greedily selects the case that most raises the similarity of all cases to their nearest
    /// labelled or selected one (facility location): the selection represents the cohort.
    FacilityLocation,
}

/// Number of cases to select, and the criterion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::Args)]
pub struct SelectionParameters {
    /// Number of cases to select.
    #[arg(long, default_value_t = 20, value_name = "CASES")]
    pub count: usize,
    /// Order in which cases are selected.
    #[arg(long, value_enum, default_value_t = SelectionOrder::KCentre)]
    pub order: SelectionOrder,
    /// Metric by which cases are compared.
    #[arg(long, value_enum, default_value_t = Metric::Ssim, help_heading = "Similarity")]
    pub metric: Metric,
    /// Split to select from; cases of the other splits are then neither selected nor count as
    /// labelled. All splits when not given.
    #[arg(long, value_name = "train|val|test")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
}

/// Whether a selected case's nearest neighbour is labelled, or was selected before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NeighbourKind {
    /// The neighbour has a label.
    Labelled,
    /// The neighbour was selected before.
    Selected,
}

impl NeighbourKind {
    /// Name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Labelled => "labelled",
            Self::Selected => "selected",
        }
    }
}

/// A case to annotate. Distances are the similarity of identical cases minus that of the two: 1 -
/// SSIM, 1 - UQI, MSE, or 100 dB - PSNR.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CaseToAnnotate {
    /// Position in the selection, from 1.
    pub rank: u32,
    /// The case to annotate, by its id.
    pub case_id: String,
    /// Patient, as in `cases.parquet`.
    pub patient_id: String,
    /// The split that it keeps once it is labelled.
    pub split: Split,
    /// Path of its image, relative to the curation folder.
    pub image: String,
    /// Distance to the nearest case that is labelled or selected before it; `None` for the first
    /// case if none is labelled.
    pub distance: Option<f64>,
    /// The case at that distance, by its id.
    pub nearest_case: Option<String>,
    /// Whether that case is labelled or selected.
    pub nearest_is: Option<NeighbourKind>,
    /// How unsure the network is of it, from 0 to 1; `None` if that was not asked for.
    pub uncertainty: Option<f64>,
    /// Why it was selected, in words.
    pub reason: String,
}

/// The cases to annotate next.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnnotationSelection {
    /// How they were selected.
    pub parameters: SelectionParameters,
    /// Labelled cases that were compared.
    pub labelled: usize,
    /// Unlabelled cases that could be selected.
    pub candidates: usize,
    /// Unlabelled cases that could not, as they were not compared.
    pub not_compared: usize,
    /// Unlabelled cases that could not, as the table of predictions has no uncertainty of them.
    pub without_uncertainty: usize,
    /// The selected cases in their order.
    pub cases: Vec<CaseToAnnotate>,
}

/// Selects unlabelled cases of the curation folder `out`. The same cases and pairs give the same
/// selection, and a longer selection begins with the shorter one.
///
/// With a table of `predictions` (`predictions.parquet` of `pdl-fit predict --uncertainty`, or its
/// folder) the criterion of each case is multiplied by its uncertainty; cases without one are not
/// selected.
///
/// # Errors
/// [`CurriculumError`] if an earlier stage is missing or outdated, the similarities need more
/// memory than allowed, or the table of predictions holds nothing of the cases.
pub fn select(
    out: &Path,
    parameters: &SelectionParameters,
    predictions: Option<&Path>,
    limit: &MemoryLimit,
) -> Result<AnnotationSelection, CurriculumError> {
    let cases = Cases::read(out)?;
    let proxies = Proxies::open(out)?;
    let pairs = if proxies.len() < 2 { None } else { Some(Pairs::open(out, &proxies)?) };
    let wanted = |row: &&CaseRow| parameters.split.is_none_or(|split| row.split == split);
    let by_id: HashMap<&str, &CaseRow> =
        cases.usable().filter(wanted).map(|row| (row.case_id.as_str(), row)).collect();
    let mut rows: Vec<&CaseRow> =
        proxies.case_ids.iter().filter_map(|id| by_id.get(id.as_str()).copied()).collect();
    rows.sort_by(|a, b| a.case_id.cmp(&b.case_id));
    let (taken, mut candidates): (Vec<usize>, Vec<usize>) =
        (0..rows.len()).partition(|case| rows[*case].is_labelled());
    let not_compared = by_id.values().filter(|row| !row.is_labelled()).count() - candidates.len();
    let unsure = match predictions {
        Some(path) => Some(uncertainty::of_cases(path, &cases.rows, &rows, &candidates, limit)?),
        None => None,
    };
    let compared = candidates.len();
    candidates.retain(|case| unsure.as_ref().is_none_or(|unsure| unsure[*case].is_some()));
    let without_uncertainty = compared - candidates.len();
    let ids: Vec<&str> = rows.iter().map(|row| row.case_id.as_str()).collect();
    let held = (rows.len() as u64).saturating_mul(rows.len() as u64);
    let share = limit.alone();
    share
        .take_each(held, SIMILARITY_BYTES)
        .map_err(|source| CurriculumError::Memory { cases: rows.len(), source })?;
    let pairwise = SelectedPairs::new(pairs.as_ref(), &proxies.case_ids, &ids);
    let selection = Selector {
        matrix: SimilarityMatrix::read(&pairwise, parameters.metric)?,
        rows,
        taken,
        candidates,
        unsure,
        parameters: *parameters,
    };
    let typical = score::mean(&pairwise, parameters.metric)?;
    Ok(AnnotationSelection {
        parameters: *parameters,
        labelled: selection.taken.len(),
        candidates: selection.candidates.len(),
        not_compared,
        without_uncertainty,
        cases: selection.select(&typical),
    })
}

/// The cases to select from and those to keep away from, ascending by id.
struct Selector<'a> {
    matrix: SimilarityMatrix,
    rows: Vec<&'a CaseRow>,
    taken: Vec<usize>,
    candidates: Vec<usize>,
    /// Uncertainty of each case, of all candidates, if it counts.
    unsure: Option<Vec<Option<f64>>>,
    parameters: SelectionParameters,
}

/// 1 in the fixed-point numbers by which gains are weighted.
const WEIGHT_ONE: f64 = 65_536.0;

impl Selector<'_> {
    /// Selects; `typical` holds the mean similarity of each case to all others.
    fn select(self, typical: &[f64]) -> Vec<CaseToAnnotate> {
        let Self { taken, candidates, parameters, .. } = &self;
        let SelectionParameters { count, order, metric, .. } = *parameters;
        let selected = match order {
            SelectionOrder::KCentre if taken.is_empty() => {
                let most = |a: &&usize, b: &&usize| typical[**a].total_cmp(&typical[**b]);
                let first = candidates.iter().rev().max_by(most).copied().into_iter().take(count);
                let first: Vec<usize> = first.collect();
                let others: Vec<usize> =
                    candidates.iter().copied().filter(|case| !first.contains(case)).collect();
                let rest = count - first.len();
                let rest = self.k_centre_after(&first, &others, rest);
                first.into_iter().chain(rest).collect()
            }
            SelectionOrder::KCentre => self.k_centre_after(taken, candidates, count),
            SelectionOrder::FacilityLocation => {
                let similarity = self.matrix.clone().into_unit(metric);
                let weight =
                    |case: usize| self.uncertainty(case).map_or(1, |unsure| (unsure * WEIGHT_ONE) as i64);
                subset_selection::facility_location_after(&similarity, taken, candidates, count, weight)
            }
        };
        let mut known = taken.clone();
        let mut covered = self.covered();
        let mut cases = Vec::with_capacity(selected.len());
        for case in selected {
            let gain = self.take_in(&mut covered, case);
            cases.push(self.describe(cases.len(), case, &known, gain, typical[case]));
            known.push(case);
        }
        cases
    }

    /// Up to `count` of the candidates, always the farthest from the cases `taken` and selected;
    /// distances are multiplied by the uncertainty where it counts.
    fn k_centre_after(&self, taken: &[usize], candidates: &[usize], count: usize) -> Vec<usize> {
        let identical = identical(self.parameters.metric);
        let worth = |case: usize, nearest: f32| match self.uncertainty(case) {
            Some(unsure) => unsure * f64::from(identical - nearest),
            None => -f64::from(nearest),
        };
        subset_selection::k_centre_after(&self.matrix, taken, candidates, count, worth)
    }

    fn uncertainty(&self, case: usize) -> Option<f64> {
        self.unsure.as_ref().and_then(|unsure| unsure[case])
    }

    /// For each case its similarity, 0 to 1, to the nearest labelled case.
    fn covered(&self) -> Vec<f32> {
        let mut covered = vec![0.0; self.rows.len()];
        self.taken.iter().for_each(|case| {
            self.take_in(&mut covered, *case);
        });
        covered
    }

    /// Adds a case to the selection; returns the increase of the sum of similarities.
    fn take_in(&self, covered: &mut [f32], case: usize) -> f64 {
        let mut gain = 0.0;
        for (covered, value) in covered.iter_mut().zip(self.matrix.row(case)) {
            let value = unit(self.parameters.metric, *value).max(*covered);
            gain += f64::from(value - *covered);
            *covered = value;
        }
        gain
    }

    /// The selected case of this place, where the cases `known` are labelled or were selected
    /// before.
    fn describe(
        &self,
        place: usize,
        case: usize,
        known: &[usize],
        gain: f64,
        typical: f64,
    ) -> CaseToAnnotate {
        let row = self.rows[case];
        let similarity = |other: &usize| self.matrix.row(case)[*other];
        let nearer = |a: &usize, b: &usize| similarity(a).total_cmp(&similarity(b)).then(b.cmp(a));
        let nearest = known.iter().copied().max_by(nearer);
        let metric = self.parameters.metric;
        let distance = nearest.map(|other| f64::from(identical(metric) - similarity(&other)));
        let kind = nearest.map(|other| match self.rows[other].is_labelled() {
            true => NeighbourKind::Labelled,
            false => NeighbourKind::Selected,
        });
        let nearest_case = nearest.map(|other| self.rows[other].case_id.clone());
        let at = match (&nearest_case, kind, distance) {
            (Some(other), Some(kind), Some(distance)) => {
                format!(
                    "{distance:.4} ({}) from the nearest {} case, {other}",
                    metric.column(),
                    kind.as_str()
                )
            }
            _ => {
                format!("the most typical of all: its mean {} to the others is {typical:.4}", metric.column())
            }
        };
        let unsure = self.uncertainty(case);
        let reason = match (self.parameters.order, nearest.is_some(), unsure) {
            (SelectionOrder::KCentre, false, _) => format!("nothing is labelled yet, and it is {at}"),
            (SelectionOrder::KCentre, true, None) => {
                format!("farther from all labelled and selected cases than any other: {at}")
            }
            (SelectionOrder::KCentre, true, Some(unsure)) => {
                format!("its distance times its uncertainty ({unsure:.3}) is the largest of all: {at}")
            }
            (SelectionOrder::FacilityLocation, known, unsure) => {
                let near = if known { format!("; it is {at}") } else { String::new() };
                let most = match unsure {
                    Some(unsure) => {
                        format!("of all, weighted by its uncertainty ({unsure:.3}), it most raises")
                    }
                    None => "of all it most raises".to_owned(),
                };
                format!(
                    "{most} the similarity of the cohort to its labelled and selected cases, by {gain:.4} in sum{near}"
                )
            }
        };
        CaseToAnnotate {
            rank: place as u32 + 1,
            case_id: row.case_id.clone(),
            patient_id: row.patient_id.clone(),
            split: row.split,
            image: row.image.clone(),
            distance,
            nearest_case,
            nearest_is: kind,
            uncertainty: unsure,
            reason,
        }
    }
}
