//! Training loop, with checkpoints, history, early stopping and interruption.

pub mod checkpoint;
pub mod early_stop;
pub mod history;
pub mod interrupt;
pub mod time_budget;
pub mod trainer;
pub mod training;
