//! The compare stage: every tile of the pair matrix.

use std::path::Path;

use pdl_prepare::proxies::Proxies;
use pdl_store::atomic;
use pdl_store::hash::Key;
use pdl_store::progress::Run;

use crate::SimilarityError;
use crate::metrics::{Measure, RequiredPasses};
use crate::pairs::block_cache::BlockCache;
use crate::pairs::pair_table::{self, Pairs};
use crate::pairs::reuse::ReusablePairs;
use crate::pairs::tile::{self, KnownPairs, Tile};
use crate::parameters::CompareParameters;
use crate::ssim::setup::Kernel;

/// What the compare stage did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Cases compared with each other.
    pub cases: usize,
    /// Pairs in the result.
    pub pairs: u64,
    /// Pairs computed now; the others were valid.
    pub computed: u64,
}

/// Compares every pair of proxies of the curation folder `out`, tile by tile; valid tiles are skipped, and so are
/// the pairs of unchanged cases in the others.
///
/// # Errors
/// [`SimilarityError`] when the proxies are missing or too small for the window, or `out` cannot be written.
pub fn compare(
    out: &Path,
    parameters: &CompareParameters,
    run: Run<'_>,
) -> Result<Compared, SimilarityError> {
    compare_with(out, parameters, &[], run)
}

/// The same with metrics of the caller's own as further columns.
///
/// # Errors
/// As [`compare`].
pub fn compare_with(
    out: &Path,
    parameters: &CompareParameters,
    own: &[&dyn Measure],
    run: Run<'_>,
) -> Result<Compared, SimilarityError> {
    let parameters = &parameters.resolve()?;
    let proxies = Proxies::open(out)?;
    let comparison = TileComparison::new(out, &proxies, parameters, own)?;
    atomic::sweep(&out.join(pair_table::FOLDER))?;
    let tiles: Vec<Tile> = tile::tiles(parameters.tile, proxies.len()).collect();
    let (valid, mut missing): (Vec<Tile>, Vec<Tile>) =
        tiles.iter().partition(|tile| comparison.is_valid(**tile));
    let mut computed = 0;
    if !missing.is_empty() {
        let names = comparison.own_names();
        let reusable = ReusablePairs::gather(out, &proxies, &valid, parameters, &names)?;
        let mut blocks = comparison.blocks(run.memory());
        in_panels(&mut missing, blocks.capacity * blocks.size / parameters.tile);
        let size = |tile: Tile| tile.len(parameters.tile, proxies.len()) as u64;
        run.progress.begin("comparing pairs", missing.iter().map(|tile| size(*tile)).sum());
        for tile in missing {
            let known = reusable.known(&proxies, tile, parameters);
            comparison.write_tile(&mut blocks, tile, &known)?;
            computed += size(tile) - known.len() as u64;
            run.progress.advance(size(tile));
        }
    }
    finish(out, &proxies, &tiles)?;
    Ok(Compared { cases: proxies.len(), pairs: all_pairs(proxies.len()), computed })
}

/// What is left to do of a comparison, for those who have the tiles computed elsewhere: by [`compare_tiles`], on any
/// number of machines that share the folder.
#[derive(Clone, Debug)]
pub struct ComparePlan {
    /// The parameters, with an instruction set in place of `auto`: all machines take this one.
    pub parameters: CompareParameters,
    /// Cases to compare with each other.
    pub cases: usize,
    /// The tiles that are not there yet, row by row.
    pub missing: Vec<Tile>,
    /// The hash of the proxies: whoever computes a tile has to find the same.
    pub proxies: String,
}

impl ComparePlan {
    /// Looks at what is there.
    ///
    /// # Errors
    /// As [`compare`].
    pub fn new(out: &Path, parameters: &CompareParameters) -> Result<Self, SimilarityError> {
        let parameters = parameters.resolve()?;
        let proxies = Proxies::open(out)?;
        let comparison = TileComparison::new(out, &proxies, &parameters, &[])?;
        let missing = tile::tiles(parameters.tile, proxies.len());
        let missing = missing.filter(|tile| !comparison.is_valid(*tile)).collect();
        let hash = hash_of(&proxies);
        Ok(Self { cases: proxies.len(), missing, proxies: hash, parameters })
    }

    /// How many pairs a tile has.
    pub fn pairs(&self, tile: Tile) -> u64 {
        tile.len(self.parameters.tile, self.cases) as u64
    }

    /// Checks that every tile is there, whole and of these proxies, and removes what is no part of the result.
    ///
    /// # Errors
    /// [`SimilarityError::Stale`] when a tile is missing.
    pub fn finish(&self, out: &Path) -> Result<Compared, SimilarityError> {
        let proxies = Proxies::open(out)?;
        let tiles: Vec<Tile> = tile::tiles(self.parameters.tile, proxies.len()).collect();
        finish(out, &proxies, &tiles)?;
        // Not before: other machines may still have been at work in the folder.
        atomic::sweep(&out.join(pair_table::FOLDER))?;
        let computed = self.missing.iter().map(|tile| self.pairs(*tile)).sum();
        Ok(Compared { cases: self.cases, pairs: all_pairs(self.cases), computed })
    }
}

fn all_pairs(cases: usize) -> u64 {
    let cases = cases as u64;
    cases * cases.saturating_sub(1) / 2
}

fn hash_of(proxies: &Proxies) -> String {
    Key::new("proxies 1").part("ids", &proxies.case_ids).part("keys", &proxies.row_keys).finish()
}

fn finish(out: &Path, proxies: &Proxies, tiles: &[Tile]) -> Result<(), SimilarityError> {
    pair_table::remove_strangers(out, tiles)?;
    if proxies.len() > 1 {
        Pairs::open(out, proxies)?; // every tile is there, whole, and of these proxies
    }
    Ok(ReusablePairs::remove(out)?)
}

/// Computes one tile of the curation folder `out`, unless it is there; several may be computed at once, by any
/// number of machines that share the folder. [`compare`] then finds them done.
///
/// # Errors
/// [`SimilarityError::Option`] when there is no such tile; else as [`compare`].
pub fn compare_tile(
    out: &Path,
    tile: Tile,
    parameters: &CompareParameters,
    run: Run<'_>,
) -> Result<Compared, SimilarityError> {
    let mut result = Compared { cases: 0, pairs: 0, computed: 0 };
    let tell = |done: TileDone| {
        result = Compared { cases: done.cases, pairs: done.pairs, computed: done.computed };
    };
    compare_tiles(out, None, [tile], parameters, run, tell)?;
    Ok(result)
}

/// A tile that is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileDone {
    /// Which.
    pub tile: Tile,
    /// Cases it compares.
    pub cases: usize,
    /// Pairs it has.
    pub pairs: u64,
    /// Pairs computed now: all or none.
    pub computed: u64,
}

/// Computes tiles of the curation folder `out` as they come, those that are not there, and says of each that it is done.
/// Cases stay in memory from one tile to the next, so neighbours should follow each other. `proxies`, when given, is the
/// hash that [`ComparePlan::proxies`] says.
///
/// # Errors
/// [`SimilarityError::Option`] when there is no such tile, or the folder holds other proxies; else as [`compare`].
pub fn compare_tiles(
    out: &Path,
    proxies: Option<&str>,
    tiles: impl IntoIterator<Item = Tile>,
    parameters: &CompareParameters,
    run: Run<'_>,
    mut done: impl FnMut(TileDone),
) -> Result<(), SimilarityError> {
    let parameters = &parameters.resolve()?;
    let expected = proxies;
    let proxies = Proxies::open(out)?;
    if expected.is_some_and(|expected| expected != hash_of(&proxies)) {
        return Err(SimilarityError::Option(format!(
            "the proxies seen here are not those of the run; do all machines share this folder?: {}",
            out.display()
        )));
    }
    let count = proxies.len().div_ceil(parameters.tile);
    let comparison = TileComparison::new(out, &proxies, parameters, &[])?;
    let mut blocks = comparison.blocks(run.memory());
    for tile in tiles {
        if tile.row > tile.col || tile.col >= count {
            return Err(SimilarityError::Option(format!(
                "there is no tile --row {} --col {}: {} cases make {count} blocks, numbered from 0, and a row is not \
                 beyond its column",
                tile.row,
                tile.col,
                proxies.len(),
            )));
        }
        let [rows, cols] = tile.ranges(parameters.tile, proxies.len());
        let cases = if tile.row == tile.col { rows.len() } else { rows.len() + cols.len() };
        let pairs = tile.len(parameters.tile, proxies.len()) as u64;
        let mut computed = 0;
        if !comparison.is_valid(tile) {
            run.progress.begin("comparing pairs", pairs);
            comparison.write_tile(&mut blocks, tile, &KnownPairs::default())?;
            run.progress.advance(pairs);
            computed = pairs;
        }
        done(TileDone { tile, cases, pairs, computed });
    }
    Ok(())
}

/// Orders tiles so that a panel of rows sees each block of columns once, when `capacity` blocks are in memory: those of
/// the panel, of a column, and of the column before it, which is older than all of the panel only once it is done with.
fn in_panels(tiles: &mut [Tile], capacity: usize) {
    let rows = capacity.saturating_sub(2).max(1);
    tiles.sort_by_key(|tile| {
        let panel = tile.row / rows;
        // Every other panel backwards: it begins with the blocks that the one before it ended with.
        let col = if panel.is_multiple_of(2) { tile.col as isize } else { -(tile.col as isize) };
        (panel, col, tile.row)
    });
}

/// Proxies and the way they are compared.
struct TileComparison<'a> {
    out: &'a Path,
    proxies: &'a Proxies,
    parameters: &'a CompareParameters,
    kernel: Kernel,
    own: &'a [&'a dyn Measure],
    measures: Vec<&'a dyn Measure>,
}

impl<'a> TileComparison<'a> {
    fn new(
        out: &'a Path,
        proxies: &'a Proxies,
        parameters: &'a CompareParameters,
        own: &'a [&'a dyn Measure],
    ) -> Result<Self, SimilarityError> {
        let kernel = Kernel::new(parameters.window, proxies.shape_zyx, 1.0, parameters.isa)?;
        let built_in = parameters.metrics.iter().map(|metric| metric.measure() as &dyn Measure);
        let measures: Vec<&dyn Measure> = built_in.chain(own.iter().copied()).collect();
        let of_labels: Vec<&str> = measures
            .iter()
            .filter(|measure| measure.required_passes().labels)
            .map(|measure| measure.column())
            .collect();
        if !of_labels.is_empty() && !proxies.has_labels() {
            return Err(SimilarityError::NoLabels { metrics: of_labels.join(", "), out: out.to_owned() });
        }
        Ok(Self { out, proxies, parameters, kernel: kernel.with_stride(parameters.stride), own, measures })
    }

    fn own_names(&self) -> Vec<&str> {
        self.own.iter().map(|measure| measure.column()).collect()
    }

    fn is_valid(&self, tile: Tile) -> bool {
        pair_table::is_valid(self.out, self.proxies, tile, self.parameters, &self.own_names())
    }

    fn blocks(&self, memory: u64) -> BlockCache<'_> {
        let passes = self
            .measures
            .iter()
            .map(|measure| measure.required_passes())
            .fold(RequiredPasses::default(), RequiredPasses::and);
        BlockCache::new(self.proxies, &self.kernel, passes, self.parameters.tile, memory)
    }

    fn write_tile(
        &self,
        blocks: &mut BlockCache<'_>,
        tile: Tile,
        known: &KnownPairs,
    ) -> Result<(), SimilarityError> {
        let values = tile::compute(blocks, tile, self.parameters.tile, &self.measures, known);
        pair_table::write(self.out, self.proxies, tile, self.parameters, &self.own_names(), values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a block is loaded when those used last are kept, as [`BlockCache`] keeps them.
    fn loads(tiles: &[Tile], capacity: usize) -> usize {
        let (mut kept, mut loads) = (Vec::new(), 0);
        for block in tiles.iter().flat_map(|tile| [tile.row, tile.col]) {
            match kept.iter().position(|other| *other == block) {
                Some(place) => drop(kept.remove(place)),
                None => {
                    loads += 1;
                    if kept.len() == capacity {
                        kept.remove(0);
                    }
                }
            }
            kept.push(block);
        }
        loads
    }

    #[test]
    fn a_panel_stays_in_memory_while_columns_pass() {
        for (blocks, capacity) in [(20, 6), (40, 12), (40, 100)] {
            let mut tiles: Vec<Tile> = tile::tiles(1, blocks).collect();
            in_panels(&mut tiles, capacity);
            // Each panel loads its own rows and the columns beyond them, once.
            let most: usize = (0..blocks).step_by(capacity - 2).map(|row| blocks - row).sum();
            assert!(loads(&tiles, capacity) <= most, "{} of {most}", loads(&tiles, capacity));
        }
    }
}
