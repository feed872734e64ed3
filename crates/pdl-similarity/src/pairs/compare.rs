//! The compare stage: every tile of the pair matrix.

use std::path::Path;

use pdl_prepare::PrepareError;
use pdl_prepare::proxies::{self, Proxies};
use pdl_store::hash::Key;
use pdl_store::progress::StageContext;
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic};

use crate::SimilarityError;
use crate::metrics::{ChannelMetric, Measure, RequiredPasses};
use crate::pairs::block_cache::BlockCache;
use crate::pairs::pair_table::{self, Pairs};
use crate::pairs::reuse::ReusablePairs;
use crate::pairs::tile::{self, KnownPairs, Tile};
use crate::parameters::CompareParameters;
use crate::ssim::setup::Kernel;

/// Result of the compare stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Number of cases that were compared with each other.
    pub cases: usize,
    /// Number of pairs in the result.
    pub pairs: u64,
    /// Number of pairs that were computed; the others were up to date.
    pub computed: u64,
}

/// Compares every pair of proxies of the curation folder `out`, tile by tile. Valid tiles are
/// skipped, and in other tiles the pairs of unchanged cases are reused.
///
/// # Errors
/// [`SimilarityError`] when the proxies are missing or too small for the window, or `out` cannot be
/// written.
pub fn compare(
    out: &Path,
    parameters: &CompareParameters,
    run: StageContext<'_>,
) -> Result<Compared, SimilarityError> {
    compare_with(out, parameters, &[], run)
}

/// Like [`compare`], with further metrics as columns after the built-in ones.
///
/// # Errors
/// As [`compare`].
pub fn compare_with(
    out: &Path,
    parameters: &CompareParameters,
    own: &[&dyn Measure],
    run: StageContext<'_>,
) -> Result<Compared, SimilarityError> {
    let parameters = &parameters.resolve()?;
    let proxies = Proxies::open(out)?;
    let comparison = TileComparison::new(out, &proxies, parameters, own)?;
    atomic::sweep(&SafePath::new(out, pair_table::FOLDER)?)?;
    let tiles: Vec<Tile> = tile::tiles(parameters.tile, proxies.len()).collect();
    let (mut valid, mut missing) = (Vec::new(), Vec::new());
    for tile in &tiles {
        let place = if comparison.is_valid(*tile)? { &mut valid } else { &mut missing };
        place.push(*tile);
    }
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

/// The remaining work of a comparison whose tiles are computed elsewhere: by [`compare_tiles`], on
/// any number of machines that share the folder.
#[derive(Clone, Debug)]
pub struct ComparePlan {
    /// With the instruction set of this machine in place of `auto`: all machines use this one.
    pub parameters: CompareParameters,
    /// Number of cases.
    pub cases: usize,
    /// Tiles that are missing or outdated, row by row.
    pub missing: Vec<Tile>,
    /// Hash of the proxies. Every machine must see the same.
    pub proxies: String,
}

impl ComparePlan {
    /// Reads the proxies and the tiles of the curation folder `out`.
    ///
    /// # Errors
    /// As [`compare`].
    pub fn new(out: &Path, parameters: &CompareParameters) -> Result<Self, SimilarityError> {
        let parameters = parameters.resolve()?;
        let proxies = Proxies::open(out)?;
        let comparison = TileComparison::new(out, &proxies, &parameters, &[])?;
        let mut missing = Vec::new();
        for tile in tile::tiles(parameters.tile, proxies.len()) {
            if !comparison.is_valid(tile)? {
                missing.push(tile);
            }
        }
        let hash = hash_of(&proxies);
        Ok(Self { cases: proxies.len(), missing, proxies: hash, parameters })
    }

    /// Number of pairs of a tile.
    pub fn pairs(&self, tile: Tile) -> u64 {
        tile.len(self.parameters.tile, self.cases) as u64
    }

    /// Checks that every tile is complete and belongs to these proxies, and removes other files.
    ///
    /// # Errors
    /// [`SimilarityError::Stale`] when a tile is missing.
    pub fn finish(&self, out: &Path) -> Result<Compared, SimilarityError> {
        let proxies = Proxies::open(out)?;
        let tiles: Vec<Tile> = tile::tiles(self.parameters.tile, proxies.len()).collect();
        finish(out, &proxies, &tiles)?;
        // Only now: until here other machines may be writing to the folder.
        atomic::sweep(&SafePath::new(out, pair_table::FOLDER)?)?;
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
        Pairs::open(out, proxies)?; //  every tile is complete and belongs to these proxies
    }
    Ok(ReusablePairs::remove(out)?)
}

/// Computes one tile of the curation folder `out`, unless it is valid. Any number of machines that
/// share the folder may compute tiles at once; [`compare`] then skips them.
///
/// # Errors
/// [`SimilarityError::NoSuchTile`]; else as [`compare`].
pub fn compare_tile(
    out: &Path,
    tile: Tile,
    parameters: &CompareParameters,
    run: StageContext<'_>,
) -> Result<Compared, SimilarityError> {
    let mut result = Compared { cases: 0, pairs: 0, computed: 0 };
    let tell = |done: TileDone| {
        result = Compared { cases: done.cases, pairs: done.pairs, computed: done.computed };
    };
    compare_tiles(out, None, [tile], parameters, run, tell)?;
    Ok(result)
}

/// A tile that [`compare_tiles`] has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileDone {
    /// Position in the pair matrix.
    pub tile: Tile,
    /// Number of cases that it compares.
    pub cases: usize,
    /// Number of its pairs.
    pub pairs: u64,
    /// Number of pairs that were computed: all or none.
    pub computed: u64,
}

/// Computes those of `tiles` that are not valid, in the given order, and calls `done` after each
/// tile. Cases stay in memory from one tile to the next, so neighbouring tiles should follow each
/// other. `proxies` is the expected hash, [`ComparePlan::proxies`].
///
/// # Errors
/// [`SimilarityError::NoSuchTile`], [`SimilarityError::OtherProxies`]; else as [`compare`].
pub fn compare_tiles(
    out: &Path,
    proxies: Option<&str>,
    tiles: impl IntoIterator<Item = Tile>,
    parameters: &CompareParameters,
    run: StageContext<'_>,
    mut done: impl FnMut(TileDone),
) -> Result<(), SimilarityError> {
    let parameters = &parameters.resolve()?;
    let expected = proxies;
    let proxies = Proxies::open(out)?;
    if expected.is_some_and(|expected| expected != hash_of(&proxies)) {
        return Err(SimilarityError::OtherProxies { out: out.to_owned() });
    }
    let count = proxies.len().div_ceil(parameters.tile);
    let comparison = TileComparison::new(out, &proxies, parameters, &[])?;
    let mut blocks = comparison.blocks(run.memory());
    for tile in tiles {
        if tile.row > tile.col || tile.col >= count {
            let Tile { row, col } = tile;
            return Err(SimilarityError::NoSuchTile { row, col, cases: proxies.len(), blocks: count });
        }
        let [rows, cols] = tile.ranges(parameters.tile, proxies.len());
        let cases = if tile.row == tile.col { rows.len() } else { rows.len() + cols.len() };
        let pairs = tile.len(parameters.tile, proxies.len()) as u64;
        let mut computed = 0;
        if !comparison.is_valid(tile)? {
            run.progress.begin("comparing pairs", pairs);
            comparison.write_tile(&mut blocks, tile, &KnownPairs::default())?;
            run.progress.advance(pairs);
            computed = pairs;
        }
        done(TileDone { tile, cases, pairs, computed });
    }
    Ok(())
}

/// Orders tiles so that each panel of rows loads a block of columns once. `capacity` blocks fit in
/// memory: those of the panel, the column, and the previous column, which is evicted only after the
/// panel is done.
fn in_panels(tiles: &mut [Tile], capacity: usize) {
    let rows = capacity.saturating_sub(2).max(1);
    tiles.sort_by_key(|tile| {
        let panel = tile.row / rows;
        // Every other panel backwards: it begins with the blocks that the previous one ended with.
        let col = if panel.is_multiple_of(2) { tile.col as isize } else { -(tile.col as isize) };
        (panel, col, tile.row)
    });
}

/// Proxies, parameters and metrics of a comparison.
struct TileComparison<'a> {
    out: &'a Path,
    proxies: &'a Proxies,
    parameters: &'a CompareParameters,
    kernel: Kernel,
    own: &'a [&'a dyn Measure],
    /// The metrics of single channels, whose columns follow those of `own`.
    of_channels: Vec<ChannelMetric>,
}

impl<'a> TileComparison<'a> {
    fn new(
        out: &'a Path,
        proxies: &'a Proxies,
        parameters: &'a CompareParameters,
        own: &'a [&'a dyn Measure],
    ) -> Result<Self, SimilarityError> {
        let kernel = Kernel::new(parameters.window, proxies.shape_zyx, 1.0, parameters.isa)?;
        let of_channels = ChannelMetric::of_channels(&parameters.metrics, &proxies.channel_names);
        let kernel = kernel.with_stride(parameters.stride);
        let comparison = Self { out, proxies, parameters, kernel, own, of_channels };
        let of_labels = comparison.label_columns().join(", ");
        if !of_labels.is_empty() && !proxies.has_labels() {
            return Err(SimilarityError::NoLabels { metrics: of_labels, out: out.to_owned() });
        }
        Ok(comparison)
    }

    /// The columns of metrics that compare label maps.
    fn label_columns(&self) -> Vec<&str> {
        let measures = self.measures();
        let of_labels = measures.iter().filter(|measure| measure.required_passes().labels);
        of_labels.map(|measure| measure.column()).collect()
    }

    /// All metrics, in the order of their columns.
    fn measures(&self) -> Vec<&dyn Measure> {
        let built_in = self.parameters.metrics.iter().map(|metric| metric.measure() as &dyn Measure);
        let of_channels = self.of_channels.iter().map(|metric| metric as &dyn Measure);
        built_in.chain(self.own.iter().copied()).chain(of_channels).collect()
    }

    /// The columns after those of the built-in metrics.
    fn own_names(&self) -> Vec<&str> {
        let of_channels = self.of_channels.iter().map(|metric| metric.column());
        self.own.iter().map(|measure| measure.column()).chain(of_channels).collect()
    }

    fn is_valid(&self, tile: Tile) -> Result<bool, StoreError> {
        pair_table::is_valid(self.out, self.proxies, tile, self.parameters, &self.own_names())
    }

    fn blocks(&self, memory: u64) -> BlockCache<'_> {
        let passes = self
            .measures()
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
        let values = tile::compute(blocks, tile, self.parameters.tile, &self.measures(), known);
        if let Some(rows) = &blocks.damaged {
            let [first, last] = [rows.start, rows.end - 1].map(|row| &self.proxies.case_ids[row]);
            let problem = format!("voxels of cases {first} to {last} are not in [0, 1]");
            return Err(PrepareError::Proxies { path: self.out.join(proxies::FOLDER), problem }.into());
        }
        pair_table::write(self.out, self.proxies, tile, self.parameters, &self.own_names(), values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of loads of a least-recently-used cache, as in [`BlockCache`].
    fn loads(tiles: &[Tile], capacity: usize) -> usize {
        let (mut cached, mut loads) = (Vec::new(), 0);
        for block in tiles.iter().flat_map(|tile| [tile.row, tile.col]) {
            match cached.iter().position(|other| *other == block) {
                Some(place) => drop(cached.remove(place)),
                None => {
                    loads += 1;
                    if cached.len() == capacity {
                        cached.remove(0);
                    }
                }
            }
            cached.push(block);
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
