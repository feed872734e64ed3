//! Communities of similar cases: the Louvain method on the graph of the most similar pairs.

use std::collections::HashMap;

use pdl_similarity::metrics::Metric;
use pdl_store::StoreError;

use crate::metrics::unit;
use crate::pairwise::PairwiseSimilarity;

/// Minimum gain of modularity in a pass over the nodes; a smaller gain ends a level.
const LEAST_GAIN: f64 = 1e-9;

/// A move that gains less is rounding.
const LEAST_MOVE: f64 = 1e-12;

/// An undirected weighted graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// For each node its neighbours and the weights of the edges.
    neighbours: Vec<Vec<(u32, f64)>>,
    /// For each node the weight of its self-loop, counted once.
    loops: Vec<f64>,
}

impl Graph {
    /// The pairs with at least the similarity `threshold`, weighted by their similarity in [0, 1].
    ///
    /// # Errors
    /// [`StoreError`] when the pairs cannot be read.
    pub fn read(
        pairwise: &impl PairwiseSimilarity,
        metric: Metric,
        threshold: f32,
    ) -> Result<Self, StoreError> {
        let mut neighbours = vec![Vec::new(); pairwise.cases()];
        pairwise.for_each(metric, |a, b, value| {
            let weight = f64::from(unit(metric, value));
            if value >= threshold && weight > 0.0 {
                neighbours[a].push((b as u32, weight));
                neighbours[b].push((a as u32, weight));
            }
        })?;
        Ok(Self { loops: vec![0.0; neighbours.len()], neighbours })
    }

    /// Number of edges of a node.
    pub fn degree(&self, node: usize) -> usize {
        self.neighbours[node].len()
    }

    /// Sum of the weights of a node's edges, its self-loop counted twice.
    fn strength(&self, node: usize) -> f64 {
        self.neighbours[node].iter().map(|(_, weight)| weight).sum::<f64>() + 2.0 * self.loops[node]
    }

    /// Modularity of communities (Newman and Girvan 2004); 0 for a graph without edges.
    pub fn modularity(&self, community: &[usize]) -> f64 {
        let count = community.iter().max().map_or(0, |most| most + 1);
        let (mut inside, mut total) = (vec![0.0; count], vec![0.0; count]);
        for (node, neighbours) in self.neighbours.iter().enumerate() {
            let own = community[node];
            total[own] += self.strength(node);
            inside[own] += 2.0 * self.loops[node];
            let within = neighbours.iter().filter(|(other, _)| community[*other as usize] == own);
            inside[own] += within.map(|(_, weight)| weight).sum::<f64>();
        }
        let all: f64 = total.iter().sum();
        if all == 0.0 {
            return 0.0;
        }
        inside.iter().zip(&total).map(|(inside, total)| inside / all - (total / all).powi(2)).sum()
    }

    /// Moves single nodes between communities, numbered below the number of nodes, while that
    /// raises the modularity. Returns whether any moved.
    fn move_nodes(&self, community: &mut [usize], order: &[usize]) -> bool {
        let strengths: Vec<f64> = (0..self.neighbours.len()).map(|node| self.strength(node)).collect();
        let all: f64 = strengths.iter().sum();
        let mut totals = vec![0.0; strengths.len()];
        community.iter().zip(&strengths).for_each(|(own, strength)| totals[*own] += strength);
        let mut moved_ever = false;
        // Weight from the current node to each community, and the communities that it reaches.
        let mut weight_to = vec![0.0; self.neighbours.len()];
        let mut reached: Vec<usize> = Vec::new();
        loop {
            let mut gained = 0.0;
            for &node in order {
                let own = community[node];
                reached.push(own);
                for (other, weight) in &self.neighbours[node] {
                    let there = community[*other as usize];
                    if weight_to[there] == 0.0 && there != own {
                        reached.push(there);
                    }
                    weight_to[there] += weight;
                }
                totals[own] -= strengths[node];
                let gain = |there: usize| weight_to[there] - totals[there] * strengths[node] / all;
                let stay = gain(own);
                let mut best = (own, stay);
                for there in &reached {
                    let gain = gain(*there);
                    if gain > best.1 || (gain == best.1 && best.0 != own && *there < best.0) {
                        best = (*there, gain);
                    }
                }
                let gain = 2.0 * (best.1 - stay) / all;
                if gain > LEAST_MOVE {
                    community[node] = best.0;
                    gained += gain;
                    moved_ever = true;
                }
                totals[community[node]] += strengths[node];
                reached.drain(..).for_each(|there| weight_to[there] = 0.0);
            }
            if gained < LEAST_GAIN {
                return moved_ever;
            }
        }
    }

    /// The graph whose nodes are the communities, numbered from 0 without gaps.
    fn merged(&self, community: &[usize], count: usize) -> Self {
        let mut loops = vec![0.0; count];
        let mut weights: Vec<HashMap<u32, f64>> = vec![HashMap::new(); count];
        for (node, neighbours) in self.neighbours.iter().enumerate() {
            let own = community[node];
            loops[own] += self.loops[node];
            for (other, weight) in neighbours {
                match community[*other as usize] {
                    there if there == own => loops[own] += weight / 2.0, //  met from both ends
                    there => *weights[own].entry(there as u32).or_insert(0.0) += weight,
                }
            }
        }
        let neighbours = weights.into_iter().map(|weights| {
            let mut list: Vec<(u32, f64)> = weights.into_iter().collect();
            list.sort_by_key(|(other, _)| *other); //  sums must not depend on a hash map's order
            list
        });
        Self { neighbours: neighbours.collect(), loops }
    }
}

/// Maximum number of node orders to try.
const ROUNDS: usize = 8;

/// Maximum number of edges of all tried orders together: large graphs get fewer orders, to bound
/// the time.
const ROUNDS_EDGES: usize = 40_000_000;

/// The communities of a graph by the Louvain method (Blondel et al. 2008): of up to eight fixed
/// node orders the result with the largest modularity, the same in every run. Communities are
/// numbered from the largest, ties by their first node.
pub fn louvain(graph: &Graph) -> Vec<usize> {
    let mut best: Vec<usize> = (0..graph.neighbours.len()).collect();
    let mut most = graph.modularity(&best);
    let edges = graph.neighbours.iter().map(Vec::len).sum::<usize>() / 2;
    for round in 0..(ROUNDS_EDGES / edges.max(1)).clamp(1, ROUNDS) {
        let community = one_round(graph, round as u64);
        let modularity = graph.modularity(&community);
        if modularity > most + LEAST_GAIN {
            (best, most) = (community, modularity);
        }
    }
    by_size(&best)
}

/// Moves nodes and merges communities into nodes, level by level, and repeats that from the result
/// until no single node moves.
fn one_round(graph: &Graph, round: u64) -> Vec<usize> {
    let order = |nodes: usize| {
        let mut order: Vec<usize> = (0..nodes).collect();
        order.sort_by_cached_key(|node| if round == 0 { 0 } else { mixed(round << 32 | *node as u64) });
        order
    };
    let mut result: Vec<usize> = (0..graph.neighbours.len()).collect();
    let nodes = order(result.len());
    while graph.move_nodes(&mut result, &nodes) {
        let mut count = renumber(&mut result);
        let mut level = graph.merged(&result, count);
        let mut community: Vec<usize> = (0..count).collect();
        while level.move_nodes(&mut community, &order(count)) {
            count = renumber(&mut community);
            result.iter_mut().for_each(|own| *own = community[*own]);
            level = level.merged(&community, count);
            community = (0..count).collect();
        }
    }
    result
}

/// SplitMix64 (Steele et al. 2014).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Numbers communities from 0 in the order of their first node; returns their number.
fn renumber(community: &mut [usize]) -> usize {
    let mut numbers = HashMap::new();
    for own in community.iter_mut() {
        let next = numbers.len();
        *own = *numbers.entry(*own).or_insert(next);
    }
    numbers.len()
}

fn by_size(community: &[usize]) -> Vec<usize> {
    let mut numbered = community.to_vec();
    let count = renumber(&mut numbered);
    let mut sizes = vec![0_usize; count];
    numbered.iter().for_each(|own| sizes[*own] += 1);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|own| std::cmp::Reverse(sizes[*own])); //  stable: ties by their first node
    let mut place = vec![0; count];
    order.iter().enumerate().for_each(|(new, old)| place[*old] = new);
    numbered.into_iter().map(|own| place[own]).collect()
}

/// The similarity that the most similar fraction `share` (0 to 1) of the pairs reach, exactly: the
/// value of the pair at position ceil(share x pairs), most similar first. `None` without pairs.
///
/// Two passes over the pairs count by the upper, then the lower half of the values' bits, so memory
/// stays bounded.
///
/// # Errors
/// [`StoreError`] when the pairs cannot be read.
pub fn threshold(
    pairwise: &impl PairwiseSimilarity,
    metric: Metric,
    share: f64,
) -> Result<Option<f32>, StoreError> {
    let mut upper = vec![0_u64; 1 << 16];
    pairwise.for_each(metric, |_, _, value| upper[(ordered(value) >> 16) as usize] += 1)?;
    let pairs: u64 = upper.iter().sum();
    if pairs == 0 {
        return Ok(None);
    }
    let place = ((share * pairs as f64 - 1e-9).ceil() as u64).clamp(1, pairs);
    let (high, before) = bin_of(&upper, place);
    let mut lower = vec![0_u64; 1 << 16];
    pairwise.for_each(metric, |_, _, value| {
        let bits = ordered(value);
        if (bits >> 16) as usize == high {
            lower[(bits & 0xffff) as usize] += 1;
        }
    })?;
    let (low, _) = bin_of(&lower, place - before);
    Ok(Some(from_ordered(((high as u32) << 16) | low as u32)))
}

/// The bin, counted from the highest, with the `place`-th value (from 1), and the count above it.
fn bin_of(counts: &[u64], place: u64) -> (usize, u64) {
    let mut above = 0;
    for (bin, count) in counts.iter().enumerate().rev() {
        if above + count >= place {
            return (bin, above);
        }
        above += count;
    }
    (0, above)
}

/// Bits that order as the values do.
fn ordered(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn from_ordered(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits & !(1 << 31) } else { !bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairwise::tests::CasesOnALine;
    use proptest::prelude::*;

    #[test]
    fn two_clusters_are_two_communities_and_a_stranger_is_its_own() {
        let line = CasesOnALine(vec![9.0, 0.0, 5.0, 0.1, 5.1, 0.2]);
        let graph = Graph::read(&line, Metric::Ssim, 0.5).unwrap();
        assert_eq!(louvain(&graph), [2, 0, 1, 0, 1, 0]);
        assert_eq!(graph.degree(1), 2);
        assert_eq!(graph.degree(0), 0);
    }

    #[test]
    fn modularity_of_two_triangles_joined_by_an_edge() {
        let mut graph = Graph { neighbours: vec![Vec::new(); 6], loops: vec![0.0; 6] };
        for (a, b) in [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (2, 3)] {
            graph.neighbours[a].push((b as u32, 1.0));
            graph.neighbours[b].push((a as u32, 1.0));
        }
        // Of 7 edges 3 lie in each half, which has half of the degrees: 2 (3/7 - 1/4).
        assert!((graph.modularity(&[0, 0, 0, 1, 1, 1]) - 2.0 * (3.0 / 7.0 - 0.25)).abs() < 1e-12);
        assert_eq!(louvain(&graph), [0, 0, 0, 1, 1, 1]);
        let merged = graph.merged(&[0, 0, 0, 1, 1, 1], 2);
        assert!((merged.modularity(&[0, 1]) - graph.modularity(&[0, 0, 0, 1, 1, 1])).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn the_threshold_is_that_of_sorting(places in prop::collection::vec(-3.0_f32..3.0, 2..30), share in 0.0_f64..1.0) {
            let line = CasesOnALine(places);
            let mut values = Vec::new();
            line.for_each(Metric::Ssim, |_, _, value| values.push(value)).unwrap();
            values.sort_by(|a, b| b.total_cmp(a));
            let place = ((share * values.len() as f64 - 1e-9).ceil() as usize).max(1);
            let found = threshold(&line, Metric::Ssim, share).unwrap();
            prop_assert_eq!(found, Some(values[place - 1]));
        }
    }
}
