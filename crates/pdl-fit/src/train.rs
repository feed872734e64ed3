//! Training loop, with checkpoints, history, early stopping and interruption.

pub(crate) mod checkpoint;
pub(crate) mod early_stop;
pub(crate) mod history;
pub(crate) mod interrupt;
pub(crate) mod time_budget;
pub(crate) mod trainer;
pub(crate) mod training;

pub use checkpoint::read as read_checkpoint;
pub use history::{HistoryRow, read as read_history, schema as history_schema};
pub use interrupt::ask as request_interrupt;
pub use training::{Event, Outcome, TrainRequest, train};

#[cfg(test)]
mod tests;
