//! Random changes of a patch: of its intensities and of its space.

pub mod intensity;
pub mod spatial;
