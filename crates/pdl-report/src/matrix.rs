//! The similarity matrix of the shown cases, small enough for a page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pdl_curriculum::community::{self, Graph};
use pdl_curriculum::pairwise::{PairwiseSimilarity, SimilarityMatrix};
use pdl_similarity::metrics::Metric;
use pdl_store::StoreError;
use serde::Serialize;

use crate::embed::{self, Embedding};

/// Fraction of the pairs, the most similar ones, that are edges of the graph of communities.
const EDGE_SHARE: f64 = 0.1;

/// Largest quantised value.
const STEPS: f32 = 255.0;

/// Number of pairs in each list.
const LISTED: usize = 12;

/// The numbers of two shown cases, and the exact value of the pair.
pub type ShownPair = (usize, usize, f32);

/// The matrix in the page's data. Cases are numbered in the order of their ids.
#[derive(Clone, Debug, Serialize)]
pub struct ShownMatrix {
    /// Column of the pairs.
    pub metric: &'static str,
    /// Whether a larger value means more similar.
    pub larger_is_alike: bool,
    /// Smallest value of a pair of two cases.
    pub low: f32,
    /// Largest value of a pair.
    pub high: f32,
    /// Base64 of a byte for each pair (a, b), a < b, row by row: `low + byte / 255 * (high - low)`,
    /// exact to half of 1/255 of the range.
    pub values: String,
    /// The most similar pairs, most similar first, with exact values.
    pub nearest: Vec<ShownPair>,
    /// The least similar pairs, least similar first.
    pub farthest: Vec<ShownPair>,
    /// Community of each case (Louvain on the most similar tenth of the pairs), from 0, the largest
    /// first.
    pub communities: Vec<usize>,
    /// Mean value of each case against the others.
    pub means: Vec<f32>,
    /// Coordinates (x, y) of each case on a plane.
    pub points: Vec<[f32; 2]>,
    /// Fraction of the variance that each axis of the plane explains.
    pub kept: [f64; 2],
}

/// The matrix of `pairwise`; `None` without pairs.
///
/// # Errors
/// [`StoreError`] when the pairs cannot be read.
pub fn shown_matrix(
    pairwise: &impl PairwiseSimilarity,
    metric: Metric,
) -> Result<Option<ShownMatrix>, StoreError> {
    let n = pairwise.cases();
    if n < 2 {
        return Ok(None);
    }
    let matrix = SimilarityMatrix::read(pairwise, metric)?;
    let Embedding { points, explained } = embed::plane(&squared_distances(&matrix, metric), n);
    let value = |alike: f32| if metric.larger_is_alike() { alike } else { -alike };
    let pairs: Vec<ShownPair> =
        (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b))).map(|(a, b)| (a, b, matrix.row(a)[b])).collect();
    let (low, high) = pairs.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), pair| {
        (low.min(value(pair.2)), high.max(value(pair.2)))
    });
    let bytes: Vec<u8> = pairs.iter().map(|pair| quantised(value(pair.2), low, high)).collect();
    let means = (0..n).map(|a| {
        let row = matrix.row(a);
        value((row.iter().sum::<f32>() - row[a]) / (n - 1) as f32)
    });
    let (nearest, farthest) = extremes(pairs);
    let plain = |pairs: Vec<ShownPair>| pairs.into_iter().map(|(a, b, v)| (a, b, value(v))).collect();
    Ok(Some(ShownMatrix {
        metric: metric.column(),
        larger_is_alike: metric.larger_is_alike(),
        low,
        high,
        values: STANDARD.encode(bytes),
        nearest: plain(nearest),
        farthest: plain(farthest),
        communities: communities(&InMemory(&matrix), metric)?,
        means: means.collect(),
        points: points.into_iter().map(|[x, y]| [x as f32, y as f32]).collect(),
        kept: explained,
    }))
}

fn quantised(value: f32, low: f32, high: f32) -> u8 {
    if high > low { ((value - low) / (high - low) * STEPS).round() as u8 } else { 0 }
}

/// Squared distances of the embedding: MSE itself, and for SSIM, UQI and PSNR (at most 100 dB) the
/// difference to identical cases. The root of 1 - SSIM behaves as a distance (Brunet, Vrscay and
/// Wang 2012).
fn squared_distances(matrix: &SimilarityMatrix, metric: Metric) -> Vec<f64> {
    let n = matrix.cases();
    let identical = pdl_curriculum::metrics::identical(metric);
    let of_row = |a: usize| matrix.row(a).iter().map(move |alike| f64::from((identical - alike).max(0.0)));
    (0..n).flat_map(of_row).collect()
}

/// The pairs of a matrix in memory.
struct InMemory<'a>(&'a SimilarityMatrix);

impl PairwiseSimilarity for InMemory<'_> {
    fn cases(&self) -> usize {
        self.0.cases()
    }

    fn for_each(&self, _: Metric, mut visit: impl FnMut(usize, usize, f32)) -> Result<(), StoreError> {
        for a in 0..self.0.cases() {
            self.0.row(a).iter().enumerate().skip(a + 1).for_each(|(b, value)| visit(a, b, *value));
        }
        Ok(())
    }
}

/// The most and the least similar pairs; of equals the first.
fn extremes(mut pairs: Vec<ShownPair>) -> (Vec<ShownPair>, Vec<ShownPair>) {
    let count = LISTED.min(pairs.len());
    let place = |pair: &ShownPair| (pair.0, pair.1);
    let mut first = |order: &dyn Fn(&ShownPair, &ShownPair) -> std::cmp::Ordering| {
        if count < pairs.len() {
            pairs.select_nth_unstable_by(count, |p, q| order(p, q).then(place(p).cmp(&place(q))));
        }
        let mut found = pairs[..count].to_vec();
        found.sort_by(|p, q| order(p, q).then(place(p).cmp(&place(q))));
        found
    };
    let nearest = first(&|p, q| q.2.total_cmp(&p.2));
    let farthest = first(&|p, q| p.2.total_cmp(&q.2));
    (nearest, farthest)
}

fn communities(pairwise: &impl PairwiseSimilarity, metric: Metric) -> Result<Vec<usize>, StoreError> {
    let Some(threshold) = community::threshold(pairwise, metric, EDGE_SHARE)? else {
        return Ok(vec![0; pairwise.cases()]);
    };
    let of = community::louvain(&Graph::read(pairwise, metric, threshold)?);
    let mut sizes = vec![0_usize; of.iter().max().map_or(0, |most| most + 1)];
    of.iter().for_each(|own| sizes[*own] += 1);
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|own| std::cmp::Reverse(sizes[*own])); //  stable
    let mut place = vec![0; sizes.len()];
    order.iter().enumerate().for_each(|(new, old)| place[*old] = new);
    Ok(of.into_iter().map(|own| place[own]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases on a line: MSE is the square of their distance.
    struct CasesOnALine(Vec<f32>);

    impl PairwiseSimilarity for CasesOnALine {
        fn cases(&self) -> usize {
            self.0.len()
        }

        fn for_each(&self, _: Metric, mut visit: impl FnMut(usize, usize, f32)) -> Result<(), StoreError> {
            for a in 0..self.0.len() {
                for b in a + 1..self.0.len() {
                    visit(a, b, -(self.0[a] - self.0[b]).powi(2));
                }
            }
            Ok(())
        }
    }

    #[test]
    fn values_come_back_within_half_a_step_and_extremes_are_exact() {
        let places = vec![0.0, 0.1, 0.5, 0.53, 1.0];
        let shown = shown_matrix(&CasesOnALine(places.clone()), Metric::Mse).unwrap().unwrap();
        assert_eq!((shown.nearest[0].0, shown.nearest[0].1), (2, 3));
        assert_eq!(shown.farthest[0], (0, 4, 1.0));
        let bytes = STANDARD.decode(&shown.values).unwrap();
        let pairs = (0..5).flat_map(|a| (a + 1..5).map(move |b| (a, b)));
        for ((a, b), byte) in pairs.zip(bytes) {
            let value = shown.low + f32::from(byte) / 255.0 * (shown.high - shown.low);
            let exact = (places[a] - places[b]).powi(2);
            assert!((value - exact).abs() <= (shown.high - shown.low) / 510.0 + 1e-6, "{a} {b}");
        }
        let along: Vec<f32> = shown.points.iter().map(|point| point[0]).collect();
        assert!(shown.kept[0] > 0.999 && ((along[4] - along[0]).abs() - 1.0).abs() < 1e-4, "{along:?}");
    }

    #[test]
    fn one_case_has_no_matrix() {
        assert!(shown_matrix(&CasesOnALine(vec![0.0]), Metric::Mse).unwrap().is_none());
    }
}
