//! Tiles of the upper triangle of the pair matrix.

use std::ops::Range;

use pdl_prepare::proxies::Proxies;
use pdl_store::hash::Key;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::label_overlap;
use crate::metrics::{Measure, PairFacts};
use crate::pairs::block_cache::{Block, BlockCache};
use crate::parameters::CompareParameters;
use crate::ssim::driver::{self, Pass};
use crate::ssim::views::{Similarity, VolumeView};

/// A block of rows against a block of columns, counted in blocks; `row <= col`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tile {
    /// Index of the block of rows.
    pub row: usize,
    /// Index of the block of columns.
    pub col: usize,
}

/// All tiles of `cases` cases in blocks of `size`, row by row.
pub fn tiles(size: usize, cases: usize) -> impl Iterator<Item = Tile> {
    let blocks = if cases > 1 { cases.div_ceil(size) } else { 0 };
    (0..blocks).flat_map(move |row| (row..blocks).map(move |col| Tile { row, col }))
}

impl Tile {
    /// Pairs (a, b) with a < b, sorted.
    pub fn pairs(self, size: usize, cases: usize) -> impl Iterator<Item = (usize, usize)> {
        let [rows, cols] = self.ranges(size, cases);
        rows.flat_map(move |a| (cols.start.max(a + 1)..cols.end).map(move |b| (a, b)))
    }

    /// Number of its pairs.
    pub fn len(self, size: usize, cases: usize) -> usize {
        let [rows, cols] = self.ranges(size, cases);
        if self.row == self.col {
            rows.len() * rows.len().saturating_sub(1) / 2
        } else {
            rows.len() * cols.len()
        }
    }

    /// Rows and its columns as row numbers of the proxies.
    pub fn ranges(self, size: usize, cases: usize) -> [Range<usize>; 2] {
        [self.row, self.col].map(|index| (index * size).min(cases)..((index + 1) * size).min(cases))
    }

    /// Index of a pair in [`Tile::pairs`].
    fn place(self, [rows, cols]: &[Range<usize>; 2], a: usize, b: usize) -> usize {
        let row = a - rows.start;
        if self.row == self.col {
            // The rows before this one hold n - 1, n - 2, ... pairs.
            row * (2 * rows.len() - row - 1) / 2 + (b - a - 1)
        } else {
            row * cols.len() + (b - cols.start)
        }
    }
}

/// Hash of all inputs of a tile; `parameters` are resolved.
pub(crate) fn tile_key(
    proxies: &Proxies,
    tile: Tile,
    parameters: &CompareParameters,
    own: &[&str],
) -> String {
    let [rows, cols] = tile.ranges(parameters.tile, proxies.len());
    let inputs: Vec<(&str, &str)> = rows
        .chain(cols)
        .map(|row| (proxies.case_ids[row].as_str(), proxies.row_keys[row].as_str()))
        .collect();
    Key::new("tile 4")
        .part("tile", &(tile.row, tile.col))
        .part("parameters", parameters)
        .part("own", &own)
        .part("rows", &inputs)
        .finish()
}

/// Computes the pairs of a tile that are not in `known`: a column per measure in the order of
/// [`Tile::pairs`]. The result depends neither on the number of threads nor on the memory limit.
pub(crate) fn compute(
    blocks: &mut BlockCache<'_>,
    tile: Tile,
    size: usize,
    measures: &[&dyn Measure],
    known: &KnownPairs,
) -> Vec<Vec<f32>> {
    let cases = blocks.proxies.len();
    let ranges = tile.ranges(size, cases);
    let mut values = vec![vec![0.0; tile.len(size, cases)]; measures.len()];
    for (a, b) in tile.pairs(size, cases) {
        if let Some(row) = known.get(a, b) {
            let place = tile.place(&ranges, a, b);
            values.iter_mut().zip(row).for_each(|(column, value)| column[place] = *value);
        }
    }
    for rows in blocks.within(ranges[0].clone()) {
        for cols in blocks.within(ranges[1].clone()) {
            let wanted = |a: usize, b: usize| a < b && known.get(a, b).is_none();
            if !rows.clone().any(|a| cols.clone().any(|b| wanted(a, b))) {
                continue;
            }
            let (a, b) = (blocks.get(rows.clone()), blocks.get(cols));
            for (pair, row) in compare_blocks(blocks, &a, &b, measures, wanted) {
                let place = tile.place(&ranges, pair.0, pair.1);
                values.iter_mut().zip(row).for_each(|(column, value)| column[place] = value);
            }
        }
    }
    values
}

/// The wanted pairs of two blocks with a value per measure.
fn compare_blocks(
    blocks: &BlockCache<'_>,
    a: &Block,
    b: &Block,
    measures: &[&dyn Measure],
    wanted: impl Fn(usize, usize) -> bool + Sync,
) -> Vec<((usize, usize), Vec<f32>)> {
    let (kernel, passes) = (blocks.kernel, blocks.passes);
    let channels = blocks.proxies.channels();
    let views = |block| {
        let of_channel = |channel| Block::views(block, blocks.proxies, kernel, channel);
        (0..channels).map(of_channel).collect::<Vec<_>>()
    };
    let (of_a, of_b): (Vec<Vec<VolumeView<'_>>>, Vec<Vec<VolumeView<'_>>>) = (views(a), views(b));
    let is_wanted = |i: usize, j: usize| wanted(a.rows.start + i, b.rows.start + j);
    // For each pair its similarity in each channel.
    let pass = |pass: Pass| {
        let mut all = vec![Vec::with_capacity(channels); of_a[0].len() * of_b[0].len()];
        for (of_a, of_b) in of_a.iter().zip(&of_b) {
            let sums = driver::sums(kernel, pass, of_a, of_b, is_wanted);
            all.iter_mut().zip(&sums).for_each(|(pair, sums)| pair.push(kernel.similarity(sums)));
        }
        all
    };
    let whole = match (passes.windows, passes.squares) {
        (true, _) => Some(pass(Pass::Windows)),
        (false, true) => Some(pass(Pass::Squares)),
        (false, false) => None,
    };
    let bodies = passes.bodies.then(|| pass(Pass::Bodies));
    let (of_a, of_b) = (&of_a[0], &of_b[0]);
    let places = (0..of_a.len()).flat_map(|i| (0..of_b.len()).map(move |j| (i, j)));
    let places: Vec<(usize, usize)> = places.filter(|(i, j)| is_wanted(*i, *j)).collect();
    let values = |(i, j): (usize, usize)| {
        let at = i * of_b.len() + j;
        let labels = match (of_a[i].labels, of_b[j].labels) {
            (Some(a), Some(b)) => label_overlap::common(kernel.isa, a, b),
            _ => Vec::new(),
        };
        let of_pair = |all: &'_ Option<Vec<Vec<Similarity>>>| all.as_ref().map(|all| all[at].clone());
        let (whole, bodies) = (of_pair(&whole), of_pair(&bodies));
        let facts = PairFacts {
            a: of_a[i],
            b: of_b[j],
            whole: whole.as_ref().map(|channels| kernel.mean(channels)),
            bodies: bodies.as_ref().map(|channels| kernel.mean(channels)),
            whole_channels: whole.as_deref().unwrap_or_default(),
            bodies_channels: bodies.as_deref().unwrap_or_default(),
            labels: &labels,
        };
        let row = measures.iter().map(|measure| measure.value(&facts) as f32).collect();
        ((a.rows.start + i, b.rows.start + j), row)
    };
    places.into_par_iter().map(values).collect()
}

/// Values from earlier part files, by pair of row numbers.
#[derive(Debug, Default)]
pub(crate) struct KnownPairs {
    values: std::collections::HashMap<(usize, usize), Vec<f32>>,
}

impl KnownPairs {
    pub(crate) fn get(&self, a: usize, b: usize) -> Option<&[f32]> {
        if self.values.is_empty() {
            return None;
        }
        self.values.get(&(a, b)).map(Vec::as_slice)
    }

    pub(crate) fn insert(&mut self, a: usize, b: usize, values: Vec<f32>) {
        self.values.insert((a.min(b), a.max(b)), values);
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tiles_hold_every_pair_once(cases in 0_usize..60, size in 1_usize..20) {
            let mut pairs: Vec<_> = Vec::new();
            for tile in tiles(size, cases) {
                let ranges = tile.ranges(size, cases);
                for (i, (a, b)) in tile.pairs(size, cases).enumerate() {
                    prop_assert!(a < b);
                    prop_assert_eq!(tile.place(&ranges, a, b), i);
                    pairs.push((a, b));
                }
                prop_assert_eq!(tile.len(size, cases), tile.pairs(size, cases).count());
            }
            let all = cases * cases.saturating_sub(1) / 2;
            prop_assert_eq!(pairs.len(), all);
            pairs.sort_unstable();
            pairs.dedup();
            prop_assert_eq!(pairs.len(), all);
        }
    }
}
