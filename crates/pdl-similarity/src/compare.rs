//! The compare stage: every tile of the pair matrix.

use std::path::Path;

use pdl_prepare::proxies::Proxies;
use pdl_store::atomic;
use pdl_store::progress::Run;

use crate::SimilarityError;
use crate::kernel::Kernel;
use crate::pairs::{self, Pairs};
use crate::parameters::CompareParameters;
use crate::tile::{self, Tile};

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

/// Compares every pair of proxies of the curation folder `out`, tile by tile; valid tiles are skipped.
///
/// # Errors
/// [`SimilarityError`] when the proxies are missing or too small for the window, or `out` cannot be written.
pub fn compare(
    out: &Path,
    parameters: &CompareParameters,
    run: Run<'_>,
) -> Result<Compared, SimilarityError> {
    if parameters.tile == 0 {
        return Err(SimilarityError::Option("--tile takes a number above 0".to_owned()));
    }
    let proxies = Proxies::open(out)?;
    Kernel::new(parameters.window, proxies.shape_zyx, 1.0)?;
    atomic::sweep(&out.join(pairs::FOLDER))?;
    let tiles: Vec<Tile> = tile::tiles(parameters.tile, proxies.len()).collect();
    let size = |tile: Tile| tile.pairs(parameters.tile, proxies.len()).count() as u64;
    let missing: Vec<Tile> =
        tiles.iter().copied().filter(|tile| !pairs::is_valid(out, &proxies, *tile, parameters)).collect();
    run.progress.begin("comparing pairs", missing.iter().map(|tile| size(*tile)).sum());
    let mut computed = 0;
    for tile in missing {
        let compared = tile::compute(&proxies, tile, parameters)?;
        pairs::write(out, &proxies, tile, parameters, &compared)?;
        computed += compared.len() as u64;
        run.progress.advance(compared.len() as u64);
    }
    pairs::remove_strangers(out, &tiles)?;
    if proxies.len() > 1 {
        Pairs::open(out, &proxies)?; // every tile is there, whole, and of these proxies
    }
    let cases = proxies.len() as u64;
    Ok(Compared { cases: proxies.len(), pairs: cases * cases.saturating_sub(1) / 2, computed })
}
