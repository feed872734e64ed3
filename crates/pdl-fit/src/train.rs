//! The loop over steps, with checkpoints, history and the ends that it can have.

pub mod checkpoint;
pub mod early_stop;
pub mod history;
pub mod interrupt;
pub mod trainer;
pub mod training;
