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

pub mod acquisition;
mod bounded;
mod charset;
mod codestream;
mod concatenation;
mod contour_findings;
mod contour_planes;
mod contour_set;
mod date_time;
mod error;
mod file;
mod file_tree;
mod fragments;
mod frame_attributes;
mod frame_pixels;
mod frame_placement;
mod functional_groups;
mod gantry_tilt;
mod geometry;
mod header;
mod interleaving;
mod jpeg_12;
mod mask;
mod mosaic;
mod names;
mod partition;
mod people;
mod pet;
mod pet_mapping;
mod pet_unit;
mod pixels;
mod polygon;
mod private_attributes;
mod raster;
mod references;
mod rtstruct;
mod scan;
mod seg;
mod series;
mod shared_grid;
mod slice_positions;
mod slice_series;
mod stack;
mod stack_layout;
mod volume_grouping;

pub use error::DicomError;
pub use file_tree::{FileTree, files_below, files_below_except, tree_below};
pub use mask::{Mask, paint};
pub use names::{Identifier, Identifiers, MaskedName, NameMask};
pub use pet::{PetError, PetScale};
pub use pet_unit::PetUnit;
pub use references::VolumeImages;
pub use rtstruct::{Contour, Region, Skipped, StructureSet};
pub use scan::{LabelFile, LabelKind, Scan, Series, SetAside, is_dicom, scan, scan_within};
pub use seg::{Segment, Segmentation};
pub use series::{ReadOptions, SeriesImage, read_series, read_series_within};
pub use stack::Stack;
