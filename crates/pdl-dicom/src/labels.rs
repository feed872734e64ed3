//! Label objects: structure sets and segmentations, and their pixels on the slices of a series.

pub(crate) mod contour_findings;
pub(crate) mod contour_planes;
pub(crate) mod contour_set;
pub(crate) mod frame_placement;
pub(crate) mod mask;
pub(crate) mod polygon;
pub(crate) mod raster;
pub(crate) mod references;
pub(crate) mod rtstruct;
pub(crate) mod seg;
