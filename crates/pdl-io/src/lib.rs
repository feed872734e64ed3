//! Reads and writes volumes.
//!
//! In: paths of files (NIfTI, NRRD, MetaImage) or of stacks of slices (PNG, TIFF, JPEG). Out:
//! [`pdl_volume::Volume`]s on a grid in RAS+ millimetres, with the content hash and the stored
//! voxel type, or a [`ReadError`] that names the cause. It never resamples, never guesses a
//! geometry, and handles no cohorts.
//!
//! ```
//! use pdl_io::{nifti, read_labels};
//! use pdl_volume::{Affine, Grid, Orientation, Volume};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("labels.nii.gz");
//! let affine = Affine::from_orientation(Orientation::RAS, [1.5, 1.5, 3.0], [2, 3, 4]);
//! let grid = Grid::new([2, 3, 4], affine);
//! nifti::write_labels(&path, &Volume::new(grid, vec![7; 24])?)?;
//!
//! let read = read_labels(&path)?;
//! assert_eq!(read.map.grid.spacing_mm(), [1.5, 1.5, 3.0]);
//! assert!(read.map.voxels.iter().all(|label| *label == 7));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod content;
mod endings;
mod file;
mod geometry_findings;
mod gzip;
mod header_text;
mod metaimage;
pub mod nifti;
mod nrrd;
mod read;
pub mod stack;
mod voxels;

use pdl_findings::{Code, Finding};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use endings::{is_volume_name, split_frame, stem};
pub use read::{
    read_image, read_image_stack, read_image_stack_within, read_image_within, read_label_stack,
    read_label_stack_within, read_labels, read_labels_within, read_segments, segments_of, try_image,
    try_labels, volumes_in,
};
pub use stack::StackGeometry;

use pdl_store::StoreError;
use pdl_store::file_state::FileState;
use pdl_store::memory::MemoryError;
use pdl_store::plural::counted;
use pdl_volume::{LabelError, LabelMap, LabelOverlap, RoundedLabels, Volume};

/// A volume as it came out of a file.
#[derive(Clone, Debug)]
pub struct Image {
    /// Voxels after the file's own scaling, on the stored grid.
    pub volume: Volume<f32>,
    /// Stored data type of the voxels, such as "int16".
    pub voxel_type: String,
    /// The files that it was read from.
    pub parts: Vec<Part>,
    /// BLAKE3 of the file's bytes, hex; of a volume in several files, of their hashes.
    pub blake3: String,
    /// Findings about the file.
    pub findings: Vec<Finding>,
}

/// One of the files that a volume is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Path of the file, as it was opened.
    pub path: PathBuf,
    /// BLAKE3 of its bytes, hex.
    pub blake3: String,
    /// State before it was read.
    pub state: FileState,
}

/// Why there is no volume, and the files that show it.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unread {
    /// Why.
    #[source]
    pub error: ReadError,
    /// The files whose bytes say so, and their states before they were read; empty if the cause is
    /// not their contents alone, such as a missing file or an error of the system.
    pub files: Vec<(PathBuf, FileState)>,
}

/// The text of `pdl help formats`: the formats that are read and written.
///
#[doc = include_str!("../help/formats.md")]
pub const FORMATS_HELP: &str = include_str!("../help/formats.md");

/// A file that could not be read as a volume.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system reported an error.
    #[error("the file cannot be read ({source}): {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// Fewer voxels than the header declares.
    #[error("the file is truncated: expected {declared} bytes of voxels, found {held}: {}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes of voxels that the header declares.
        declared: u64,
        /// Bytes present (an upper bound for a compressed file).
        held: u64,
    },
    /// The compressed stream is damaged.
    #[error("the compressed data are damaged or truncated ({problem}): {}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The decoder's message.
        problem: String,
    },
    /// Not a file of this format, or a header that contradicts itself.
    #[error("not a valid {format} file ({problem}): {}", path.display())]
    Invalid {
        /// The format as which it was read.
        format: &'static str,
        /// The file.
        path: PathBuf,
        /// The defect.
        problem: String,
    },
    /// The file needs more memory than the limit.
    #[error("{source}: {}", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// Memory required, and the limit.
        source: MemoryError,
    },
    /// Valid, but not one 3-D volume of real numbers.
    #[error("{problem}: {}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do about it.
        problem: String,
    },
    /// Several 3-D volumes, of which none was selected.
    #[error(
        "it has {frames} frames ({axes:?}): expected one 3-D volume per case, so select one by its number from 0, as in \
         FILE#0, or with --frame: {}",
        path.display()
    )]
    Frames {
        /// The file.
        path: PathBuf,
        /// Number of volumes.
        frames: usize,
        /// Lengths of the axes that the header declares, the fastest first.
        axes: Vec<usize>,
    },
    /// An invalid slice of a stack.
    #[error("its slice {number} of {slices} {problem}: {}", path.display())]
    Slice {
        /// The stack's folder or file.
        path: PathBuf,
        /// Number of the slice, from 1 in the order of the stack.
        number: usize,
        /// Number of slices.
        slices: usize,
        /// The defect, as in "is in colour".
        problem: String,
    },
    /// The header's scaling makes fractions of the labels.
    #[error(
        "its header scales its labels (scl_slope {slope}, scl_inter {intercept}), which makes fractions of them ({source}): save \
         it as whole numbers without scaling: {}",
        path.display()
    )]
    ScaledLabels {
        /// The file.
        path: PathBuf,
        /// The factor of stored values.
        slope: f64,
        /// The offset that is added then.
        intercept: f64,
        /// The invalid voxels.
        source: LabelError,
    },
    /// The voxels are no labels.
    #[error("{source}: {}", path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// The invalid voxels.
        source: LabelError,
    },
}

impl ReadError {
    /// The file, or the folder of a stack.
    pub fn path(&self) -> &Path {
        let (Self::Io { path, .. }
        | Self::Truncated { path, .. }
        | Self::Damaged { path, .. }
        | Self::Invalid { path, .. }
        | Self::Memory { path, .. }
        | Self::Unsupported { path, .. }
        | Self::Frames { path, .. }
        | Self::Slice { path, .. }
        | Self::ScaledLabels { path, .. }
        | Self::Labels { path, .. }) = self;
        path
    }

    /// The message without the path, fit for any log.
    pub fn reason(&self) -> String {
        let text = self.to_string();
        let path = format!(": {}", self.path().display());
        text.strip_suffix(&path).unwrap_or("the file cannot be read").to_owned()
    }

    /// The machine's error that kept `what` from being read: it says nothing of the file.
    pub fn machine(&self, what: &str) -> Option<StoreError> {
        match self {
            Self::Memory { source, .. } => StoreError::no_memory(what, *source),
            _ => StoreError::machine(what, Some(self.path()), self),
        }
    }

    /// Why there was no memory for it, when that is the cause: with more, the same file may be
    /// read.
    pub fn memory(&self) -> Option<MemoryError> {
        match self {
            Self::Memory { source, .. } => Some(*source),
            _ => None,
        }
    }
}

/// A label map as it came out of a file.
#[derive(Clone, Debug)]
pub struct Labels {
    /// The labels, on the stored grid.
    pub map: LabelMap,
    /// The files that they were read from.
    pub parts: Vec<Part>,
    /// BLAKE3 of the file's bytes, hex; of a volume in several files, of their hashes.
    pub blake3: String,
    /// Voxels that were no whole numbers but nearly so, and were rounded.
    pub rounded: Option<RoundedLabels>,
    /// Findings about the file's header.
    pub findings: Vec<Finding>,
}

impl Labels {
    /// Finding about voxels that were rounded.
    pub fn rounding(&self) -> Option<Finding> {
        let RoundedLabels { count, farthest } = self.rounded?;
        let voxels = counted(count, "voxel");
        let message = format!(
            "{voxels} of its label map were no whole numbers and were rounded; the farthest was {farthest}"
        );
        Some(Finding::new(Code::LabelRounded, message))
    }
}

/// A segment that a label file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSegment {
    /// Name, on one line.
    pub name: String,
    /// The value of its voxels.
    pub value: u16,
    /// The layer in which they have it, from 0: segments of different layers may overlap.
    pub layer: usize,
}

/// The segments of a label file under the labels that a cohort gives them.
#[derive(Clone, Debug)]
pub struct SegmentLabels {
    /// The labels, on the stored grid.
    pub map: LabelMap,
    /// The files that they were read from.
    pub parts: Vec<Part>,
    /// BLAKE3 of the file's bytes, hex; of a volume in several files, of their hashes.
    pub blake3: String,
    /// Voxels that a label has lost to another.
    pub overlaps: BTreeMap<LabelOverlap, usize>,
    /// Findings about the file.
    pub findings: Vec<Finding>,
}
