//! Architecture of the network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::unet::Norm;

/// Architecture of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkSettings {
    /// Dimensions of the network: 2 for axial planes, 3 for volumes.
    #[arg(long, value_name = "2|3", default_value_t = 2, value_parser = parse_dims)]
    pub dims: usize,
    /// Channels of the network's finest level, doubled at each coarser level. More channels raise
    /// capacity and the time of a step.
    #[arg(long, value_name = "CHANNELS", default_value_t = 16, value_parser = clap::value_parser!(i64).range(1..=1024))]
    pub width: i64,
    /// Levels of the network; fewer if the patch is too small for them [default: 3].
    #[arg(long, value_name = "LEVELS", value_parser = parse_depth)]
    pub depth: Option<usize>,
    /// Normalisation layer of the network.
    #[arg(long, value_enum, default_value_t = Norm::Instance)]
    pub norm: Norm,
    /// Use residual blocks (each block's input is added to its output).
    #[arg(long)]
    pub residual: bool,
    /// Use deep supervision: coarser levels of the decoder contribute to the loss.
    #[arg(long)]
    pub deep_supervision: bool,
}

fn parse_dims(text: &str) -> Result<usize, String> {
    match text {
        "2" => Ok(2),
        "3" => Ok(3),
        _ => Err("write 2 or 3".to_owned()),
    }
}

fn parse_depth(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(depth) if (1..=8).contains(&depth) => Ok(depth),
        _ => Err("write a number from 1 to 8".to_owned()),
    }
}
