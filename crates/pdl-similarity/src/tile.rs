//! Tiles of the upper triangle of the pair matrix.

use pdl_prepare::proxies::Proxies;
use pdl_store::hash::Key;
use rayon::prelude::*;

use crate::SimilarityError;
use crate::kernel::{Kernel, LocalStatistics, Similarity};
use crate::parameters::CompareParameters;

/// A block of rows against a block of columns, counted in blocks; `row <= col`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Which block of rows.
    pub row: usize,
    /// Which block of columns.
    pub col: usize,
}

/// Two row numbers, the smaller first, and how alike their cases are.
pub type Pair = ((usize, usize), Similarity);

/// All tiles of `cases` cases in blocks of `size`, row by row.
pub fn tiles(size: usize, cases: usize) -> impl Iterator<Item = Tile> {
    let blocks = if cases > 1 { cases.div_ceil(size) } else { 0 };
    (0..blocks).flat_map(move |row| (row..blocks).map(move |col| Tile { row, col }))
}

impl Tile {
    /// Its pairs a < b, sorted by (a, b).
    pub fn pairs(self, size: usize, cases: usize) -> impl Iterator<Item = (usize, usize)> {
        let block = move |index: usize| index * size..((index + 1) * size).min(cases);
        block(self.row).flat_map(move |a| {
            let cols = block(self.col);
            (cols.start.max(a + 1)..cols.end).map(move |b| (a, b))
        })
    }

    /// The rows it needs, in order.
    fn rows(self, size: usize, cases: usize) -> Vec<usize> {
        let block = |index: usize| index * size..((index + 1) * size).min(cases);
        let mut rows: Vec<usize> = block(self.row).collect();
        if self.col != self.row {
            rows.extend(block(self.col));
        }
        rows
    }
}

/// The hash of everything a tile is made from.
pub fn tile_key(proxies: &Proxies, tile: Tile, parameters: &CompareParameters) -> String {
    let rows = tile.rows(parameters.tile, proxies.len());
    let inputs: Vec<(&str, &str)> =
        rows.iter().map(|row| (proxies.case_ids[*row].as_str(), proxies.row_keys[*row].as_str())).collect();
    Key::new("tile 1")
        .part("tile", &(tile.row, tile.col))
        .part("parameters", parameters)
        .part("rows", &inputs)
        .finish()
}

/// Compares the pairs of a tile, in the order of [`Tile::pairs`]; the result does not depend on the number of
/// threads.
///
/// # Errors
/// [`SimilarityError::WindowTooLarge`] when the proxies are too small for the window.
pub fn compute(
    proxies: &Proxies,
    tile: Tile,
    parameters: &CompareParameters,
) -> Result<Vec<Pair>, SimilarityError> {
    let kernel = Kernel::new(parameters.window, proxies.shape_zyx, 1.0)?;
    let rows = tile.rows(parameters.tile, proxies.len());
    let statistics: Vec<LocalStatistics> =
        rows.par_iter().map(|row| kernel.statistics(proxies.voxels(*row))).collect();
    // Rows of a tile are two runs of consecutive numbers, so a row's place follows from its number.
    let second = tile.col * parameters.tile;
    let first = tile.row * parameters.tile;
    let in_first = rows.len().min(parameters.tile);
    let place = |row: usize| {
        if tile.row != tile.col && row >= second { in_first + row - second } else { row - first }
    };
    let pairs: Vec<(usize, usize)> = tile.pairs(parameters.tile, proxies.len()).collect();
    let compared = pairs.into_par_iter().map(|(a, b)| {
        let side = |row: usize| (proxies.voxels(row), &statistics[place(row)]);
        ((a, b), kernel.compare(side(a), side(b)))
    });
    Ok(compared.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tiles_hold_every_pair_once(cases in 0_usize..60, size in 1_usize..20) {
            let mut pairs: Vec<_> = tiles(size, cases).flat_map(|tile| tile.pairs(size, cases)).collect();
            prop_assert_eq!(pairs.len(), cases * cases.saturating_sub(1) / 2);
            prop_assert!(pairs.iter().all(|(a, b)| a < b));
            pairs.sort_unstable();
            pairs.dedup();
            prop_assert_eq!(pairs.len(), cases * cases.saturating_sub(1) / 2);
        }
    }
}
