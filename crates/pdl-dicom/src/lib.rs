//! Reads what comes out of a hospital's archive.
//!
//! In: files of a tree in any layout. Out: series that each are one volume ([`scan()`]), their
//! [`pdl_volume::Volume`]s on a grid in RAS+ millimetres with [`pdl_findings::Finding`]s about the
//! geometry ([`read_series`]), and masks from structure sets ([`StructureSet`]) and segmentations
//! ([`Segmentation`]). It sorts by positions alone, never interleaves two phases, and refuses with
//! the cause what it cannot read. Names of structures lose what headers say of people
//! ([`NameMask`]). Findings and [`DicomError::reason`] hold no value that identifies
//! a patient.
//!
//! HU comes from RescaleSlope and RescaleIntercept of each slice (CT, PET); MR keeps its stored
//! values unless asked. DICOM's world is left, posterior, superior; everything that leaves this
//! crate is RAS+.

pub mod acquisition;
mod bounded;
mod codestream;
mod error;
mod file;
mod file_tree;
mod gantry_tilt;
mod geometry;
mod header;
mod iso2022;
mod mask;
mod mosaic;
mod names;
mod people;
mod pixels;
mod raster;
mod references;
mod rtstruct;
mod scan;
mod seg;
mod series;
mod stack;
mod stack_layout;
mod volume_grouping;

pub use error::DicomError;
pub use file_tree::{FileTree, files_below, files_below_except, tree_below};
pub use mask::{Mask, Overlap, paint};
pub use names::{Identifier, Identifiers, MaskedName, NameMask};
pub use rtstruct::{Region, StructureSet};
pub use scan::{LabelFile, LabelKind, Scan, Series, SetAside, is_dicom, scan, scan_within};
pub use seg::{Segment, Segmentation};
pub use series::{ReadOptions, SeriesImage, read_series, read_series_within};
pub use stack::Stack;
