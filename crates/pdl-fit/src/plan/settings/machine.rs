//! Random numbers, device and threads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checks::require;
use crate::error::Result;
use crate::model::device::DeviceChoice;

/// More are a mistake: to start them alone would take the machine.
pub(crate) const MOST_THREADS: usize = 1024;

/// Random numbers, device and threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(next_help_heading = "Machine")]
pub struct MachineSettings {
    /// Seed of all random numbers. Runs with one seed on one machine give identical results.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Device on which the network runs.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// CPU threads of the network [default: all cores].
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Data-loader threads; their number does not change the patches.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub workers: usize,
}

impl MachineSettings {
    /// Validates everything that does not depend on the cohort.
    pub(super) fn check(&self) -> Result<()> {
        require(
            &[("threads", self.threads != Some(0)), ("workers", self.workers != 0)],
            "must be at least 1",
        )?;
        require(&[("workers", self.workers <= MOST_THREADS)], "is more than a machine has use for")
    }
}
