//! Random augmentation of a training patch.

pub mod intensity;
pub mod spatial;
