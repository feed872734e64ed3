//! Compares every case with every other.
//!
//! In: the proxies of a curation folder. Out: `pairs/*.parquet` ([`pairs`]), every unordered pair once with a
//! column for each metric ([`metrics`]): MSE, PSNR, SSIM and UQI unless others are asked for. The kernels
//! ([`ssim`]) know arrays only, and give the same bits on every instruction set ([`isa`]); tiles
//! ([`tile`]) are pure functions of two blocks of rows and the parameters, so that any number of machines may
//! compute them in any order. [`matrix`] and [`neighbours`] read the result;
//! [`registration`] finds copies that were flipped or shifted.
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

/// How cases are compared, as `pdl help similarity` prints it.
///
#[doc = include_str!("../help/similarity.md")]
pub const SIMILARITY_HELP: &str = include_str!("../help/similarity.md");

/// A comparison that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SimilarityError {
    /// A side of the proxies is shorter than the window.
    #[error(
        "the {window} window is {side} voxels wide, but the proxies are only {shape:?} (z, y, x): prepare with \
         --proxy-size of at least {side}, or choose another --window"
    )]
    WindowTooLarge {
        /// Which window.
        window: ssim::SsimWindow,
        /// Its side.
        side: usize,
        /// The proxies' shape (z, y, x).
        shape: [usize; 3],
    },
    /// A metric compares label maps, and the proxies hold none.
    #[error(
        "the proxies hold no label maps, which {metrics} compares: run `pdl prepare` with --proxy-labels and the options \
         it had before, and then this again: {}", out.display()
    )]
    NoLabels {
        /// The columns.
        metrics: String,
        /// The curation folder.
        out: PathBuf,
    },
    /// Pairs are missing or of other proxies.
    #[error("the pairs do not belong to the proxies ({problem}); run `pdl compare` again: {}", path.display())]
    Stale {
        /// Which file or folder.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// An option's value that cannot be.
    #[error("{0}")]
    Option(String),
    /// The proxies cannot be read.
    #[error(transparent)]
    Proxies(#[from] PrepareError),
    /// A file could not be kept or read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
