//! The header facts that every format's reader returns.

use pdl_findings::Finding;
use pdl_volume::Affine;

use crate::voxels::VoxelType;

/// The header of a volume, independent of the format.
pub(crate) struct Content {
    /// Voxels along x, y, z.
    pub shape: [usize; 3],
    /// RAS+ millimetres.
    pub affine: Affine,
    pub voxel_type: VoxelType,
    /// Slope and intercept that were applied, if the header states others than 1 and 0.
    pub scaling: Option<[f64; 2]>,
    pub findings: Vec<Finding>,
}
