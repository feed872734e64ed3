//! What a user can choose about the compare stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::window::Window;

/// Parameters of the compare stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct CompareParameters {
    /// Window of SSIM and UQI: a box of side 7, or a Gaussian of sigma 1.5.
    #[arg(long, value_enum, default_value_t = Window::Uniform)]
    pub window: Window,
    /// Cases along each side of a tile, the unit of work and of a part file.
    #[arg(long, default_value_t = 32, value_name = "CASES")]
    pub tile: usize,
}

impl Default for CompareParameters {
    fn default() -> Self {
        Self { window: Window::Uniform, tile: 32 }
    }
}
