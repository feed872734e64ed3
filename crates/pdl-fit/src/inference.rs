//! Application of trained networks to whole images.

pub(crate) mod case_probabilities;
pub(crate) mod channel_files;
pub(crate) mod domain_shift;
pub(crate) mod ensemble;
pub(crate) mod image_search;
pub(crate) mod model;
pub(crate) mod postprocessing;
pub(crate) mod predict;
pub(crate) mod prediction_table;
pub(crate) mod resample;
pub(crate) mod slab;
pub(crate) mod sliding_window;
pub(crate) mod tiling;
