//! Compares every case with every other.
//!
//! In: the proxies of a curation folder. Out: `pairs/*.parquet` ([`pairs`]), every unordered pair
//! once with a column for each metric ([`metrics`]): MSE, PSNR, SSIM and UQI by default. [`ssim`]
//! works on arrays alone and gives the same bits on every instruction set ([`isa`]). A tile
//! ([`tile`]) is a pure function of two blocks of rows and the parameters, so any number of
//! machines can compute tiles in any order. [`matrix`] and [`neighbours`] read the result;
//! [`registration`] finds flipped or shifted duplicates; [`arrays`] compares what is in memory.
//!
//! ```
//! use pdl_similarity::{isa::Isa, ssim::{Kernel, SsimWindow}};
//!
//! let ramp: Vec<f32> = (0..4096).map(|i| i as f32 / 4096.0).collect(); // z, y, x
//! let kernel = Kernel::new(SsimWindow::Uniform, [16, 16, 16], 1.0, Isa::default())?;
//! let same = kernel.compare(&ramp, &ramp);
//! assert_eq!((same.ssim, same.mse, same.psnr), (1.0, 0.0, f64::INFINITY));
//! let shifted: Vec<f32> = ramp.iter().map(|v| v + 0.1).collect();
//! assert!((kernel.compare(&ramp, &shifted).mse - 0.01).abs() < 1e-6);
//! # Ok::<(), pdl_similarity::SimilarityError>(())
//! ```

pub mod arrays;
pub mod isa;
pub mod label_overlap;
pub mod metrics;
pub mod pairs;
pub mod parameters;
pub mod registration;
pub mod ssim;

pub use pairs::{compare, matrix, neighbours, tile};

use std::path::PathBuf;

use pdl_prepare::PrepareError;
use pdl_store::StoreError;

/// The text of `pdl help similarity`: metrics, windows, grids and tiles.
///
#[doc = include_str!("../help/similarity.md")]
pub const SIMILARITY_HELP: &str = include_str!("../help/similarity.md");

/// Why pairs could not be compared or read.
#[derive(Debug, thiserror::Error)]
pub enum SimilarityError {
    /// A side of the proxies is shorter than the window.
    #[error(
        "the proxies are too small for the {window} window: expected at least {side} voxels along each \
         axis, found {shape:?} (z, y, x); prepare with a larger proxy_size, or compare with another window"
    )]
    WindowTooLarge {
        /// The window that was asked for.
        window: ssim::SsimWindow,
        /// Length along each axis, in voxels.
        side: usize,
        /// Shape of the proxies (z, y, x), in voxels.
        shape: [usize; 3],
    },
    /// A metric needs label maps, but the proxies were made without them.
    #[error(
        "the proxies have no label maps, which {metrics} requires; run `pdl prepare` again with \
         proxy_labels and its other options unchanged, then this command: {}",
        out.display()
    )]
    NoLabels {
        /// Columns that need label maps, separated by commas.
        metrics: String,
        /// The curation folder.
        out: PathBuf,
    },
    /// Pairs are missing or were computed from other proxies.
    #[error("the pairs do not match the proxies: {problem}; run `pdl compare` again: {}", path.display())]
    Stale {
        /// The part file or folder that does not match.
        path: PathBuf,
        /// What does not match, as a clause.
        problem: String,
    },
    /// The proxies are not those of the [`compare::ComparePlan`].
    #[error("the proxies are not those of this comparison; do all machines share this folder?: {}", out.display())]
    OtherProxies {
        /// The curation folder as this machine sees it.
        out: PathBuf,
    },
    /// A tile beyond the pair matrix.
    #[error(
        "no tile of row {row} and column {col}: {cases} cases make {blocks} blocks, numbered from 0, and \
         the row of a tile is at most its column"
    )]
    NoSuchTile {
        /// Block of rows that was asked for.
        row: usize,
        /// Block of columns that was asked for.
        col: usize,
        /// Number of cases in the proxies.
        cases: usize,
        /// Number of blocks that they make.
        blocks: usize,
    },
    /// A parameter has an invalid value.
    #[error("invalid {name}: {problem}")]
    InvalidOption {
        /// Key of the parameter.
        name: &'static str,
        /// What was expected, and what was found.
        problem: String,
    },
    /// The proxies are missing or invalid.
    #[error(transparent)]
    Proxies(#[from] PrepareError),
    /// A file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
