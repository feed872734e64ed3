//! Training patches: size, number, position and augmentation.

use bytesize::ByteSize;
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checks::{require, share};
use crate::error::Result;

/// Augmentation of training patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Augment {
    /// No augmentation.
    None,
    /// Mirroring, noise, brightness, contrast and gamma.
    Light,
    /// The changes of `light` and rotation, scaling, elastic deformation, blur and low resolution.
    Full,
}

impl Augment {
    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Light => "light",
            Self::Full => "full",
        }
    }
}

/// Axes in the order z, y, x: true for those that are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Axes(pub [bool; 3]);

/// Training patches: size, number, position and augmentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(next_help_heading = "Patches")]
pub struct PatchSettings {
    /// Patch size in voxels: Y,X for planes or Z,Y,X for volumes [default: the median image size,
    /// at most 128 per side for planes and 64 for volumes, less if memory requires].
    #[arg(long, value_name = "SIDES", value_delimiter = ',')]
    pub patch: Option<Vec<usize>>,
    /// Patches per step (batch size) [default: about 65,000 voxels per step, fewer if memory
    /// requires].
    #[arg(long, value_name = "PATCHES")]
    pub batch: Option<usize>,
    /// Estimated memory that the activations of one step may use; the patch and batch size are
    /// planned to fit.
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = parse_memory)]
    #[serde(alias = "memory")]
    pub activation_memory: u64,
    /// Cases from which the patches of a step are drawn; fewer if the step has fewer patches. An
    /// epoch draws equally many patches, within one, from every active case.
    #[arg(long, value_name = "CASES", default_value_t = 4)]
    pub cases_per_step: usize,
    /// Fraction of patches that are placed on a label (foreground oversampling), such as 0.5 or
    /// 1/3.
    #[arg(long, value_name = "SHARE", default_value = "1/3", value_parser = parse_fraction)]
    pub foreground: f64,
    /// Augmentation of training patches [default: light for a run whose patches cover the training
    /// images 100 times or more, none for a shorter one].
    #[arg(long, value_enum)]
    #[serde(default)]
    pub augment: Option<Augment>,
    /// Axes of mirror augmentation: z, y, x, several separated by commas, or none [default: all
    /// axes, x only if no label has a laterality].
    #[arg(long, value_name = "AXES", value_parser = parse_axes)]
    pub mirror: Option<Axes>,
}

impl PatchSettings {
    /// Validates everything that does not depend on the cohort.
    pub(super) fn check(&self) -> Result<()> {
        let at_least_1 = [("batch", self.batch != Some(0)), ("cases_per_step", self.cases_per_step != 0)];
        require(&at_least_1, "must be at least 1")?;
        require(&[("foreground", share(self.foreground))], "must be from 0 to 1")
    }
}

/// Axes such as `z,y`, or `none`.
///
/// # Errors
/// A sentence on what is wrong with the text.
pub fn parse_axes(text: &str) -> std::result::Result<Axes, String> {
    let mut axes = [false; 3];
    for name in text.split(',').filter(|name| *name != "none") {
        let axis = ["z", "y", "x"].iter().position(|axis| *axis == name);
        axes[axis.ok_or("write z, y, x, several of them with commas, or none")?] = true;
    }
    Ok(Axes(axes))
}

/// A number, such as `0.5`, or a fraction of two numbers, such as `1/3`.
///
/// # Errors
/// A sentence on what is wrong with the text.
pub fn parse_fraction(text: &str) -> std::result::Result<f64, String> {
    let number = |text: &str| text.trim().parse::<f64>().map_err(|error| error.to_string());
    match text.split_once('/') {
        Some((above, below)) => Ok(number(above)? / number(below)?),
        None => number(text),
    }
}

/// A number of bytes, such as `8GiB`.
///
/// # Errors
/// A sentence on what is wrong with the text.
pub fn parse_memory(text: &str) -> std::result::Result<u64, String> {
    text.parse::<ByteSize>().map(|size| size.as_u64())
}
