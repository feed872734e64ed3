//! Volumes: voxels, grids, affines and label maps.
//!
//! In: nothing but numbers. Out: [`Volume`]s on a [`Grid`] whose [`Affine`] maps voxel indices to
//! RAS+ millimetres, their [`Orientation`], and [`LabelMap`]s. It handles no files and no cohorts,
//! and does not interpret intensities.
//!
//! Two conventions hold everywhere in pdl:
//! - arrays over axes are in the order **x, y, z of the stored image**; voxels lie with x fastest,
//!   so the same memory read as a C array has the axes **(z, y, x)**;
//! - world is **RAS+ in millimetres** (x to the patient's right, y to anterior, z to superior).
//!
//! ```
//! use pdl_volume::{Affine, Grid, Orientation, Volume};
//!
//! // A 2 x 3 x 4 image stored left, posterior, superior with 1.5 x 1.5 x 3 mm voxels.
//! let orientation: Orientation = "LPS".parse()?;
//! let affine = Affine::from_orientation(orientation, [1.5, 1.5, 3.0], [2, 3, 4]);
//! let grid = Grid::new([2, 3, 4], affine);
//! let volume = Volume::new(grid, (0..24).collect::<Vec<i32>>())?;
//! let ras = volume.to_ras();
//! assert_eq!(ras.grid.orientation().to_string(), "RAS");
//! assert_eq!(ras.voxels[0], 5); // the far corner in x and y comes first
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod affine;
pub mod body;
mod components;
mod label;
mod orientation;
mod resample_image;
pub mod statistics;
mod volume;
mod voxel_box;

pub use affine::Affine;
pub use components::Components;
pub use label::{
    IGNORED, LabelCount, LabelError, LabelMap, LabelOverlap, LabelReader, LabelReading, RoundedLabels,
    count_labels, labels_on, labels_placed_on,
};
pub use orientation::{AxisCode, Orientation, OrientationError};
pub use resample_image::image_on;
pub use volume::{Grid, Volume, VolumeError};
pub use voxel_box::VoxelBox;

/// The text of `pdl help geometry`: axes, world coordinates and resampling.
///
#[doc = include_str!("../help/geometry.md")]
pub const GEOMETRY_HELP: &str = include_str!("../help/geometry.md");
