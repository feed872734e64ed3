//! What a reader of a format finds besides the voxels.

use pdl_findings::Finding;
use pdl_volume::Affine;

use crate::voxels::VoxelType;

/// The header of a volume, as every format gives it.
pub(crate) struct Content {
    /// Voxels along x, y, z.
    pub shape: [usize; 3],
    /// RAS+ millimetres.
    pub affine: Affine,
    pub voxel_type: VoxelType,
    pub findings: Vec<Finding>,
}
