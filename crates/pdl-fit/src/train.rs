//! Training loop, with checkpoints, history, early stopping and interruption.

pub(crate) mod checkpoint;
pub(crate) mod early_stop;
pub(crate) mod extension;
pub(crate) mod history;
pub(crate) mod initialisation;
pub(crate) mod interrupt;
pub(crate) mod run_events;
pub(crate) mod tensorboard;
pub(crate) mod time_budget;
pub(crate) mod trainer;
pub(crate) mod training;
pub(crate) mod validation_images;

#[cfg(test)]
mod tests;
