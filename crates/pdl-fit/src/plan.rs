//! Planning of a run before its first step: settings, network and patches, curriculum schedule.

pub mod curriculum_schedule;
mod plausible_plan;
pub mod run_plan;
pub mod settings;
