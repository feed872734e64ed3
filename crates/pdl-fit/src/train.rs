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

pub use checkpoint::read as read_checkpoint;
pub use extension::settings_of as extended_settings;
pub use history::{HistoryRow, read as read_history, schema as history_schema};
pub use initialisation::InitialWeights;
pub use interrupt::ask as request_interrupt;
pub use tensorboard::FOLDER as TENSORBOARD_FOLDER;
pub use training::{Event, Outcome, TrainRequest, train};

#[cfg(test)]
mod tests;
