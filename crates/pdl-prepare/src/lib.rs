//! Prepares the cases of a cohort: cropped, resampled and normalised by one plan.
//!
//! In: `cases.parquet` and the volumes it names. Out: `fingerprint.json` (statistics of the
//! training cases), `plan.json` (the preparation of every case), prepared images and labels, and
//! `proxies/*.arrow` (every case on one small common grid, for comparison). No statistic includes a
//! test case, nor, unless requested ([`parameters::PlanFrom`]), a validation case; images are
//! resampled only as the plan states.
//!
//! ```
//! use pdl_prepare::resample::{resample_image, shape_at};
//! use pdl_volume::{Affine, Grid, Orientation, Volume};
//!
//! // 20 x 20 x 10 voxels of 1 x 1 x 2 mm, to 2 mm: the extent stays, and so does the centre.
//! let affine = Affine::from_orientation(Orientation::RAS, [1.0, 1.0, 2.0], [20, 20, 10]);
//! let grid = Grid::new([20, 20, 10], affine);
//! let image = Volume::new(grid, vec![42.0_f32; 4000])?;
//! let coarse = resample_image(image, shape_at(&grid, [2.0; 3]))?;
//! assert_eq!(coarse.grid.shape, [10, 10, 10]);
//! assert_eq!(coarse.grid.affine.apply([4.5; 3]), grid.affine.apply([9.5, 9.5, 4.5]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod channels;
pub mod crop;
pub mod failure;
pub mod fingerprint;
pub mod label_loss;
pub mod normalisation_choice;
pub mod normalise;
pub mod parameters;
mod pinned_plan;
pub mod plan;
pub mod prepare;
mod prepare_findings;
pub mod prepare_image;
pub mod prepared_row;
pub mod proxies;
mod remote_results;
pub mod remote_worker;
pub mod resample;
mod source;
pub mod spline;
mod training_fingerprint;

use pdl_cohort::invalid_option::InvalidOption;
use std::path::PathBuf;

use pdl_io::ReadError;
use pdl_store::StoreError;
use pdl_store::memory::MemoryError;

/// Voxels may become this many times as many when a case is resampled: eight times along each axis.
pub const MOST_GROWTH: u32 = 512;

/// A cohort or a case that could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// There is no training case to learn the plan from.
    #[error("no usable training case in this folder: `pdl index` lists what is wrong with each case: {}", out.display())]
    NoTrainingCases {
        /// The curation folder.
        out: PathBuf,
    },
    /// The plan was edited, and the options are not those that it was made with.
    #[error(
        "the plan was edited ({edited}), and the options are not those it was made with ({options}): use those to keep \
         the plan, edit the plan instead, or use --replan to make a new one: {}", path.display()
    )]
    EditedPlan {
        /// The parts that were edited.
        edited: String,
        /// The options that differ.
        options: String,
        /// The plan.
        path: PathBuf,
    },
    /// Every case failed.
    #[error("none of the {count} cases could be prepared; the first: {first}")]
    AllFailed {
        /// Number of the cases.
        count: usize,
        /// Why the first did.
        first: String,
    },
    /// A source file is not the one that was indexed.
    #[error("the file has changed since it was indexed; run `pdl index` again: {}", path.display())]
    SourceChanged {
        /// The file.
        path: PathBuf,
    },
    /// This machine sees another `cases.parquet` than the one that planned a remote preparation.
    #[error(
        "the cases seen here are not those of the run: all machines must share this folder: {}",
        out.display()
    )]
    NotShared {
        /// The curation folder.
        out: PathBuf,
    },
    /// A source file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The resampler refused.
    #[error("it cannot be resampled to {shape:?} (x, y, z): {problem}")]
    Resample {
        /// The requested shape.
        shape: [usize; 3],
        /// The resampler's message.
        problem: String,
    },
    /// A case needs more memory than there is.
    #[error("{0}: if its size is right, allow more memory or use a larger target spacing")]
    Memory(#[from] MemoryError),
    /// A proxy needs more memory than there is.
    #[error("the proxies are too large ({0}): use a smaller --proxy-size, or allow more memory")]
    ProxyMemory(MemoryError),
    /// A prepared image is constant.
    #[error(
        "every voxel of the prepared image{} is {value}: its normalisation leaves nothing of it. --normalise window with \
         --intensity-window, or --normalise percentile, shows more",
        channel.as_ref().map_or(String::new(), |name| format!(" of channel {name}"))
    )]
    Constant {
        /// The channel, unless it is the first.
        channel: Option<String>,
        /// The value of all voxels.
        value: f32,
    },
    /// The number of images differs from the number of channels of the plan.
    #[error("expected {expected} images, one for each channel of the plan, found {found}")]
    Channels {
        /// The value in the plan.
        expected: usize,
        /// Images given.
        found: usize,
    },
    /// A case would be far larger at the plan's spacing than it is.
    #[error(
        "at the plan's spacing its {before} voxels would become {after:.3e}, more than {} times as many: its spacing or \
         the plan's is wrong",
        MOST_GROWTH
    )]
    Growth {
        /// Voxels as it is stored.
        before: u64,
        /// Voxels that it would have.
        after: f64,
    },
    /// An invalid plan.
    #[error("the plan is invalid ({problem}): correct it, or use --replan to make a new one: {}", path.display())]
    Plan {
        /// The plan's file.
        path: PathBuf,
        /// The defect.
        problem: String,
    },
    /// An option has an invalid value, or contradicts another.
    #[error(transparent)]
    InvalidOption(#[from] InvalidOption),
    /// The common field of view of the proxies has hardly a voxel of a case.
    #[error(
        "it is shorter along {axis} than two voxels of the proxies' field of view: use a smaller --field-of-view, or \
         --grid box"
    )]
    OutsideFieldOfView {
        /// `x`, `y` or `z`.
        axis: &'static str,
    },
    /// A run on several machines asks for a case that is not there.
    #[error("a case number of the run is out of range")]
    CaseNumber,
    /// The proxies cannot be read.
    #[error("not the expected proxies ({problem}); run `pdl prepare` again: {}", path.display())]
    Proxies {
        /// The file.
        path: PathBuf,
        /// The defect.
        problem: String,
    },
    /// A file could not be written or read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
