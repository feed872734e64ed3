//! What a run does, decided before its first step.

pub mod curriculum_schedule;
pub mod run_plan;
pub mod settings;
