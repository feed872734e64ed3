//! Data: from the curation folder to batches of augmented patches.

pub(crate) mod augment;
pub(crate) mod case;
pub(crate) mod case_cache;
pub(crate) mod case_reader;
pub(crate) mod dataloader;
pub(crate) mod dataset;
pub(crate) mod laterality;
pub(crate) mod patch;
pub(crate) mod patch_sampler;
pub(crate) mod random;
pub(crate) mod regions;
pub(crate) mod subset;
pub(crate) mod voxel_file;
