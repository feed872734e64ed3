//! From the training cases and their pairs to the rank of each.

use std::collections::BTreeMap;

use pdl_findings::{Code, Finding};
use pdl_similarity::metrics::{Metric, PairColumn};
use pdl_similarity::pairs::Pairs;
use pdl_store::plural::counted;
use pdl_store::shorten::MOST_LISTED;

use crate::CurriculumError;
use crate::manifest::{Communities, Outlier, Ranking};
use crate::metrics::unit;
use crate::order::community::{self, Graph};
use crate::order::prune::{self, DuplicateCandidate};
use crate::order::{self, score, subset_selection};
use crate::pairwise::{SelectedPairs, SimilarityMatrix};
use crate::parameters::{Order, RankParameters, ScoreBy};

/// A training case before it is ranked.
pub(crate) struct TrainingCase<'a> {
    pub case_id: &'a str,
    pub patient_id: &'a str,
    pub candidate: DuplicateCandidate<'a>,
    /// Value in the column by which the order is stratified.
    pub stratum: Option<String>,
    /// Value in the column by which cases are ranked instead of similarities.
    pub value: Option<f64>,
}

/// The part of a manifest row that the ranking decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CaseRank {
    pub rank: Option<u32>,
    pub score: Option<f64>,
    pub tune: bool,
    pub group: Option<String>,
    pub left_out: Option<String>,
}

/// Ranks `training`, ascending by case id, by the pairs of the proxies with the case ids
/// `proxy_ids`.
pub(crate) fn rank_cases<'a>(
    training: &'a [TrainingCase<'_>],
    pairs: Option<&Pairs>,
    proxy_ids: &[String],
    parameters: &RankParameters,
) -> Result<(BTreeMap<&'a str, CaseRank>, Ranking), CurriculumError> {
    let mut ranking = Ranking::default();
    let mut places = leave_out_duplicates(training, pairs, proxy_ids, parameters)?;
    ranking.duplicates = places.len();
    let rest: Vec<&TrainingCase<'_>> =
        training.iter().filter(|case| !places.contains_key(case.case_id)).collect();
    let ids: Vec<&str> = rest.iter().map(|case| case.case_id).collect();
    let pairwise = SelectedPairs::new(pairs, proxy_ids, &ids);
    let ranker = Ranker { pairwise: &pairwise, ids: &ids, parameters };

    let scores = match &parameters.by {
        Some(column) => values(&rest, column, parameters.order, &mut ranking)?,
        None => ranker.scores(&mut ranking)?,
    };
    let (order, groups) = ranker.order(&rest, &scores, &mut ranking)?;
    let keep = parameters.keep.map_or(ids.len(), |keep| keep.of(training.len()).min(ids.len()));
    let mut of_rest = vec![CaseRank::default(); ids.len()];
    for (number, place) in of_rest.iter_mut().enumerate() {
        place.score = (ids.len() > 1 && scores[number].is_finite()).then_some(scores[number]);
        place.group.clone_from(&groups[number]);
        place.left_out = Some(format!("beyond the {keep} cases kept"));
    }
    for (rank, case) in order.iter().take(keep).enumerate() {
        of_rest[*case].rank = Some(rank as u32 + 1);
        of_rest[*case].left_out = None;
    }
    for case in tuning_sample(&scores, &of_rest, parameters) {
        of_rest[case].tune = true;
        ranking.tune += 1;
    }
    ranking.ranked = keep;
    ranking.beyond_keep = ids.len() - keep;
    ranker.outliers(&mut ranking)?;
    note_choices(parameters, &mut ranking);
    places.extend(ids.into_iter().zip(of_rest));
    Ok((places, ranking))
}

/// The values of the cases in the column by which they are ranked. Those without one come last.
fn values(
    training: &[&TrainingCase<'_>],
    column: &str,
    order: Order,
    ranking: &mut Ranking,
) -> Result<Vec<f64>, CurriculumError> {
    let missing: Vec<&str> =
        training.iter().filter(|case| case.value.is_none()).map(|case| case.case_id).collect();
    if missing.len() == training.len() {
        let problem = format!("no training case has a value in the column {column}");
        return Err(CurriculumError::InvalidOption { name: "by", problem });
    }
    if !missing.is_empty() {
        let listed = &missing[..missing.len().min(MOST_LISTED)];
        let more = if listed.len() < missing.len() { " and others" } else { "" };
        let message = format!(
            "{} of {} have no value in the column {column} and are ranked last: {}{more}",
            missing.len(),
            counted(training.len(), "training case"),
            listed.join(", ")
        );
        ranking.findings.push(Finding::new(Code::RankedWithoutValue, message));
    }
    let last = if order == Order::Atypical { f64::INFINITY } else { f64::NEG_INFINITY };
    Ok(training.iter().map(|case| case.value.unwrap_or(last)).collect())
}

fn leave_out_duplicates<'a>(
    training: &'a [TrainingCase<'_>],
    pairs: Option<&Pairs>,
    proxy_ids: &[String],
    parameters: &RankParameters,
) -> Result<BTreeMap<&'a str, CaseRank>, CurriculumError> {
    if parameters.keep.is_none() && parameters.near_duplicate.is_none() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<&str> = training.iter().map(|case| case.case_id).collect();
    let candidates: Vec<DuplicateCandidate<'_>> =
        training.iter().map(|case| case.candidate.clone()).collect();
    let threshold = parameters.near_duplicate.map(|ssim| ssim as f32);
    let stands_for = prune::duplicates(&SelectedPairs::new(pairs, proxy_ids, &ids), &candidates, threshold)?;
    let left_out = |(case, other): (usize, Option<usize>)| {
        let left_out = Some(format!("a duplicate of {}", ids[other?]));
        Some((ids[case], CaseRank { left_out, ..CaseRank::default() }))
    };
    Ok(stands_for.into_iter().enumerate().filter_map(left_out).collect())
}

/// Case numbers of the tuning subset, evenly spaced over the most typical ranked cases.
fn tuning_sample(scores: &[f64], places: &[CaseRank], parameters: &RankParameters) -> Vec<usize> {
    let mut typical = order::typical_first(scores);
    typical.retain(|case| places[*case].rank.is_some());
    let ranked = typical.len();
    typical.truncate(parameters.tune_from.of(ranked));
    match parameters.tune_size {
        None => typical.into_iter().step_by(parameters.tune_step.max(1) as usize).collect(),
        Some(size) => {
            let size = size.of(ranked).min(typical.len());
            (0..size).map(|place| typical[place * typical.len() / size]).collect()
        }
    }
}

fn note_choices(parameters: &RankParameters, ranking: &mut Ranking) {
    if parameters.metric.repeat_each_other() {
        ranking.findings.push(Finding::new(
            Code::PsnrRepeatsMse,
            "PSNR orders pairs exactly as MSE does and adds nothing to it",
        ));
    }
    if !ranking.outliers.is_empty() {
        let message = format!(
            "outliers: {} far from the nearest neighbours; review them (`outliers` in manifest.json), they stay \
             in the curriculum",
            counted(ranking.outliers.len(), "training case")
        );
        ranking.findings.push(Finding::new(Code::Outliers, message));
    }
}

/// The inputs of scores and orders.
struct Ranker<'a> {
    pairwise: &'a SelectedPairs<'a>,
    ids: &'a [&'a str],
    parameters: &'a RankParameters,
}

impl Ranker<'_> {
    fn scores(&self, ranking: &mut Ranking) -> Result<Vec<f64>, CurriculumError> {
        if self.ids.len() < 2 {
            return Ok(vec![0.0; self.ids.len()]);
        }
        let metrics = self.parameters.metric.all();
        let mut scores = Vec::with_capacity(metrics.len());
        for metric in metrics {
            scores.push(self.scores_by(metric, ranking)?);
        }
        Ok(if metrics.len() == 1 { scores.swap_remove(0) } else { score::mean_rank(&scores) })
    }

    fn scores_by(&self, column: &PairColumn, ranking: &mut Ranking) -> Result<Vec<f64>, CurriculumError> {
        let metric = column.metric;
        let pairwise = &self.pairwise.of_channel(column.channel.as_deref());
        Ok(match self.parameters.score {
            ScoreBy::Mean => score::mean(pairwise, metric)?,
            ScoreBy::Median => score::median(pairwise, metric)?,
            ScoreBy::Medoid => {
                let medoid = score::medoid(pairwise, metric)?;
                ranking.medoid.get_or_insert_with(|| self.ids[medoid].to_owned());
                score::reference(pairwise, metric, &[medoid])?
            }
            ScoreBy::Reference => score::reference(pairwise, metric, &self.references()?)?,
            ScoreBy::Knn => score::nearest(pairwise, metric, self.parameters.neighbours)?,
        })
    }

    fn references(&self) -> Result<Vec<usize>, CurriculumError> {
        let number = |id: &String| {
            self.ids.binary_search(&id.as_str()).map_err(|_| CurriculumError::InvalidOption {
                name: "reference",
                problem: format!(
                    "expected a training case of the curriculum, found {id} (validation and test \
                         cases do not influence the ranking)"
                ),
            })
        };
        self.parameters.reference.iter().map(number).collect()
    }

    /// The order of the cases, and the group of each where the order balances groups.
    fn order(
        &self,
        training: &[&TrainingCase<'_>],
        scores: &[f64],
        ranking: &mut Ranking,
    ) -> Result<(Vec<usize>, Vec<Option<String>>), CurriculumError> {
        let mut groups = vec![None; self.ids.len()];
        let PairColumn { metric, channel } = self.parameters.metric.first();
        let pairwise = &self.pairwise.of_channel(channel.as_deref());
        let matrix = || SimilarityMatrix::read(pairwise, metric);
        let order = match self.parameters.order {
            Order::Typical => order::typical_first(scores),
            Order::Atypical => order::atypical_first(scores),
            Order::Random => order::random(self.ids, self.parameters.order_seed),
            Order::KCentre => {
                let first = order::typical_first(scores).first().copied().unwrap_or(0);
                subset_selection::k_centre(&matrix()?, first)
            }
            Order::FacilityLocation => subset_selection::facility_location(&matrix()?.into_unit(metric)),
            Order::Mmr => {
                let relevance: Vec<f64> =
                    scores.iter().map(|score| f64::from(unit(metric, *score as f32))).collect();
                let similarity = matrix()?.into_unit(metric);
                subset_selection::maximal_marginal_relevance(
                    &similarity,
                    &relevance,
                    self.parameters.mmr_weight,
                )
            }
            Order::Community => {
                let community = self.communities(pairwise, metric, ranking)?;
                groups = community.of.iter().map(|own| Some((own + 1).to_string())).collect();
                order::interleave(&community.by_degree, |case| community.of[case])
            }
            Order::Stratified => {
                groups = training.iter().map(|case| case.stratum.clone()).collect();
                order::interleave(&order::typical_first(scores), |case| groups[case].as_deref())
            }
            Order::RandomStratified => {
                groups = training.iter().map(|case| case.stratum.clone()).collect();
                let random = order::random(self.ids, self.parameters.order_seed);
                let in_turn = order::in_turn(&random, |case| training[case].patient_id);
                order::interleave(&in_turn, |case| groups[case].as_deref())
            }
        };
        Ok((order, groups))
    }

    fn communities(
        &self,
        pairwise: &SelectedPairs<'_>,
        metric: Metric,
        ranking: &mut Ranking,
    ) -> Result<CommunityOrder, CurriculumError> {
        let threshold = community::threshold(pairwise, metric, self.parameters.edge_share)?;
        let threshold = threshold.unwrap_or_default();
        let graph = Graph::read(pairwise, metric, threshold)?;
        let of = community::louvain(&graph);
        let count = of.iter().max().map_or(0, |most| most + 1);
        ranking.communities = Some(Communities { count, threshold, modularity: graph.modularity(&of) });
        let mut by_degree: Vec<usize> = (0..self.ids.len()).collect();
        by_degree.sort_by_key(|case| std::cmp::Reverse(graph.degree(*case)));
        Ok(CommunityOrder { of, by_degree })
    }

    fn outliers(&self, ranking: &mut Ranking) -> Result<(), CurriculumError> {
        let RankParameters { neighbours, outlier_fence, .. } = *self.parameters;
        let PairColumn { metric, channel } = self.parameters.metric.first();
        let pairwise = &self.pairwise.of_channel(channel.as_deref());
        let Some(found) = prune::distances(pairwise, metric, neighbours, outlier_fence)? else {
            return Ok(());
        };
        let outlier =
            |(case, distance): (usize, f64)| Outlier { case_id: self.ids[case].to_owned(), distance };
        let distances = found.of_cases.into_iter().enumerate();
        ranking.outlier_limit = Some(found.limit);
        ranking.outliers = distances.filter(|(_, distance)| *distance > found.limit).map(outlier).collect();
        // stable: ties by case id
        ranking.outliers.sort_by(|a, b| b.distance.total_cmp(&a.distance));
        Ok(())
    }
}

/// Communities, and the order within them.
struct CommunityOrder {
    /// The community of each case.
    of: Vec<usize>,
    /// All cases, those with the most edges first.
    by_degree: Vec<usize>,
}
