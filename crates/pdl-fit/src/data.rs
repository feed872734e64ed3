//! Data: from the curation folder to batches of augmented patches.

pub mod augment;
pub mod case;
pub mod dataloader;
pub mod dataset;
pub mod laterality;
pub mod patch;
pub mod patch_sampler;
pub mod random;
pub mod subset;
