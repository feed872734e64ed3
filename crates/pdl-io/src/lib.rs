//! Reads and writes volumes.
//!
//! In: paths of files (NIfTI, NRRD, MetaImage) or of stacks of slices (PNG, TIFF, JPEG). Out:
//! [`pdl_volume::Volume`]s on a grid in RAS+ millimetres, with the content hash and the stored
//! voxel type, or a [`ReadError`] that names the cause. It never resamples, never guesses a
//! geometry, and knows no cohort.
//!
//! ```
//! use pdl_io::{nifti, read_labels};
//! use pdl_volume::{Affine, Grid, Orientation, Volume};
//!
//! let folder = tempfile::tempdir()?; let path = folder.path().join("labels.nii.gz"); let grid =
//! Grid::new([2, 3, 4], Affine::from_orientation(Orientation::RAS, [1.5, 1.5, 3.0], [2, 3, 4]));
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

use pdl_store::file_state::FileState;
use pdl_store::memory::MemoryError;
use pdl_store::plural::counted;
use pdl_volume::{LabelError, LabelMap, LabelOverlap, RoundedLabels, Volume};

/// A volume as it came out of a file.
#[derive(Clone, Debug)]
pub struct Image {
    /// Voxels after the file's own scaling, on the stored grid.
    pub volume: Volume<f32>,
    /// How the voxels are stored, such as "int16".
    pub voxel_type: String,
    /// What it was read from.
    pub parts: Vec<Part>,
    /// BLAKE3 of the file's bytes, hex; of a volume in several files, of their hashes.
    pub blake3: String,
    /// What a careful reader would want to know about the file.
    pub findings: Vec<Finding>,
}

/// One of the files that a volume is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Path of the file, as it was opened.
    pub path: PathBuf,
    /// BLAKE3 of its bytes, hex.
    pub blake3: String,
    /// Its state before it was read.
    pub state: FileState,
}

/// Why there is no volume, and what that rests on.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unread {
    /// Why.
    #[source]
    pub error: ReadError,
    /// The files whose bytes say so, and their states before they were read; none where it is not
    /// their bytes alone, such as where a file is missing or the system refused.
    pub files: Vec<(PathBuf, FileState)>,
}

/// What is read and written, as `pdl help formats` prints it.
///
#[doc = include_str!("../help/formats.md")]
pub const FORMATS_HELP: &str = include_str!("../help/formats.md");

/// A file that could not be read as a volume.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system refused.
    #[error("the file cannot be read ({source}): {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Fewer voxels than the header declares.
    #[error("the file is cut short: its header declares {declared} bytes of voxels, {held} are there: {}", path.display())]
    Truncated {
        /// Which file.
        path: PathBuf,
        /// Bytes of voxels that the header declares.
        declared: u64,
        /// Bytes that are there (at most, for a compressed file).
        held: u64,
    },
    /// The compressed stream is damaged.
    #[error("the compressed data are damaged or cut short ({problem}): {}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What the decoder said.
        problem: String,
    },
    /// Not a file of this format, or a header that contradicts itself.
    #[error("not a valid {format} file ({problem}): {}", path.display())]
    Invalid {
        /// What it was taken for.
        format: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// What the file holds needs more memory than there is.
    #[error("{source}: {}", path.display())]
    Memory {
        /// Which file.
        path: PathBuf,
        /// What it needs, and what is allowed.
        source: MemoryError,
    },
    /// Valid, but not one 3-D volume of real numbers.
    #[error("{problem}: {}", path.display())]
    Unsupported {
        /// Which file.
        path: PathBuf,
        /// What it is, and what to do.
        problem: String,
    },
    /// A slice of a stack that cannot be used.
    #[error("its slice {number} of {slices} {problem}: {}", path.display())]
    Slice {
        /// The stack's folder or file.
        path: PathBuf,
        /// Which slice, counted from 1 in the order of the stack.
        number: usize,
        /// How many there are.
        slices: usize,
        /// What is wrong with it, as in "is in colour".
        problem: String,
    },
    /// The header's scaling makes fractions of the labels.
    #[error(
        "its header scales its labels (scl_slope {slope}, scl_inter {intercept}), which makes fractions of them ({source}): save \
         it as whole numbers without scaling: {}",
        path.display()
    )]
    ScaledLabels {
        /// Which file.
        path: PathBuf,
        /// What stored values are multiplied by.
        slope: f64,
        /// What is added then.
        intercept: f64,
        /// Which voxels.
        source: LabelError,
    },
    /// The voxels are no labels.
    #[error("{source}: {}", path.display())]
    Labels {
        /// Which file.
        path: PathBuf,
        /// Which voxels.
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
        | Self::Slice { path, .. }
        | Self::ScaledLabels { path, .. }
        | Self::Labels { path, .. }) = self;
        path
    }

    /// What is wrong, without the path: fit for any log.
    pub fn reason(&self) -> String {
        let text = self.to_string();
        let path = format!(": {}", self.path().display());
        text.strip_suffix(&path).unwrap_or("the file cannot be read").to_owned()
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
    /// What they were read from.
    pub parts: Vec<Part>,
    /// BLAKE3 of the file's bytes, hex; of a volume in several files, of their hashes.
    pub blake3: String,
    /// Voxels that were no whole numbers but nearly so, and were rounded.
    pub rounded: Option<RoundedLabels>,
    /// What a careful reader would want to know of the file's header.
    pub findings: Vec<Finding>,
}

impl Labels {
    /// What is said of voxels that were rounded.
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
    /// Its name, in one line.
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
    /// What they were read from.
    pub parts: Vec<Part>,
    /// BLAKE3 of the file's bytes, hex; of a volume in several files, of their hashes.
    pub blake3: String,
    /// Voxels that a label has lost to another.
    pub overlaps: BTreeMap<LabelOverlap, usize>,
    /// What a person should know of the file.
    pub findings: Vec<Finding>,
}
