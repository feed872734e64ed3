//! Planning of a run before its first step: settings, network and patches, curriculum schedule.

pub(crate) mod curriculum_schedule;
pub(crate) mod growth;
pub(crate) mod network_topology;
pub(crate) mod planner;
mod plausible_plan;
pub(crate) mod run_plan;
pub(crate) mod settings;
pub(crate) mod speed;
