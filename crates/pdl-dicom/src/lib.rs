//! Reads DICOM series, structure sets and segmentations as a hospital's archive exports them.
//!
//! In: files of a tree in any layout. Out: series that each are one volume ([`scan()`]), their
//! [`pdl_volume::Volume`]s on a grid in RAS+ millimetres with [`pdl_findings::Finding`]s about the
//! geometry ([`read_series`]), and masks from structure sets ([`StructureSet`]) and segmentations
//! ([`Segmentation`]). Slices are sorted by positions alone, two phases are never mixed, and
//! unsupported files are refused with the cause. Names, ids and dates of people are masked in the
//! names of structures ([`NameMask`]). Findings and [`DicomError::reason`] hold no value that
//! identifies a patient.
//!
//! HU comes from RescaleSlope and RescaleIntercept of each slice (CT, PET); MR keeps its stored
//! values if slope and intercept are constant within the volume, unless [`ReadOptions::mr_rescale`]
//! is set. PET values stay in the file's unit or become SUVbw or Bq/ml ([`PetScale`]). DICOM's
//! world is left, posterior, superior; everything that leaves this crate is RAS+.

mod error;
mod file;
mod labels;
mod names;
mod pixels;
mod scan;
pub mod series;
mod skipped_files;

pub use error::DicomError;
pub use file::file_tree::{FileTree, files_below, files_below_except, tree_below};
pub use labels::mask::{Mask, paint};
pub use labels::references::VolumeImages;
pub use labels::rtstruct::{Contour, Region, Skipped, StructureSet};
pub use labels::seg::{Segment, Segmentation};
pub use names::{Identifier, Identifiers, MaskedName, NameMask};
pub use pixels::pet::{PetError, PetScale};
pub use pixels::pet_unit::PetUnit;
pub use scan::{LabelFile, LabelKind, Scan, Series, is_dicom, scan, scan_within};
pub use series::stack::Stack;
pub use series::{ReadOptions, SeriesImage, read_series, read_series_within};
pub use skipped_files::{SkipCause, SkippedFiles};
