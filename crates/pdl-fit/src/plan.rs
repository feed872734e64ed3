//! Planning of a run before its first step: settings, network and patches, curriculum schedule.

pub(crate) mod curriculum_schedule;
mod plausible_plan;
pub(crate) mod run_plan;
pub(crate) mod settings;

pub use crate::model::device::DeviceChoice;
pub use curriculum_schedule::PatchSpec;
pub use run_plan::{RunPlan, Speed, TimedPart};
pub use settings::{ScheduleKind, Settings, parse_axes, parse_memory};
