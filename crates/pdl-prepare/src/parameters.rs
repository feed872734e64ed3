//! Parameters of the prepare stage.

use clap::Parser;
use pdl_cohort::attributes::Split;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crop::Crop;

/// Parameters of the prepare stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct PrepareParameters {
    /// Crop images before normalisation and resampling, to a box of stored voxels; labels outside
    /// the box extend it. Proxies are made of cropped images: `--crop body --grid box` compares
    /// bodies without the air around them.
    #[arg(long, value_enum, default_value_t = Crop::None)]
    pub crop: Crop,
    /// Target voxel size along x, y, z of the RAS+ image in mm, such as 1,1,2.5; planned from the
    /// training cases when not given.
    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "MM")]
    pub spacing: Option<Vec<f64>>,
    /// Voxels along each axis of a proxy: one number, or three for x, y, z.
    #[arg(long, value_delimiter = ',', num_args = 1..=3, default_values_t = [64], value_name = "N")]
    pub proxy_size: Vec<usize>,
    /// The region that a proxy covers: the (cropped) image's own box stretched to the size, or a
    /// common field of view in mm.
    #[arg(long, value_enum, default_value_t = GridKind::Box, help_heading = "Proxies")]
    pub grid: GridKind,
    /// The field of view of `--grid fov` along x, y, z of the RAS+ image in mm, such as
    /// 200,200,150. It is centred on the (cropped) image and cuts off longer ones; the longest
    /// training extents when not given.
    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "MM", help_heading = "Proxies")]
    pub field_of_view: Option<Vec<f64>>,
    /// Keep the label maps on the proxies' grid, too: `pdl compare --metrics
    /// label-dice,label-volume` needs them. `pdl curate` does so by itself when its metrics include
    /// one of the two.
    #[arg(long, help_heading = "Proxies")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub proxy_labels: bool,
    /// The cases that the plan comes from; folds (`pdl rank --folds`) need outside-test.
    #[arg(long, value_enum, default_value_t = PlanFrom::Train, help_heading = "Plan")]
    pub plan_from: PlanFrom,
    /// How volumes are resampled: as pdl does, or as nnU-Net v2 does.
    #[arg(long, value_enum, default_value_t = Resampling::Box)]
    pub resample: Resampling,
    /// How intensities are put on a common scale.
    #[arg(long, value_enum, default_value_t = NormalisationMethod::Auto)]
    pub normalise: NormalisationMethod,
    /// The intensities that `--normalise window` maps to 0 and 1, such as -160,240; must be given
    /// with it, and only with it.
    #[arg(
        long,
        value_delimiter = ',',
        num_args = 1,
        allow_hyphen_values = true,
        value_name = "LOW,HIGH",
        help_heading = "Intensities"
    )]
    pub intensity_window: Option<Vec<f64>>,
    /// The percentiles of each image that `--normalise percentile` takes to 0 and 1.
    #[arg(
        long,
        value_delimiter = ',',
        num_args = 1,
        default_values_t = [0.5, 99.5],
        value_name = "P,P",
        help_heading = "Intensities"
    )]
    pub intensity_percentiles: Vec<f64>,
}

impl Default for PrepareParameters {
    /// The defaults of the flags.
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct NoFlags {
            #[command(flatten)]
            parameters: PrepareParameters,
        }
        NoFlags::parse_from(["pdl"]).parameters
    }
}

/// Resampling to the target spacing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Resampling {
    /// Catmull-Rom cubic, anti-aliased when shrinking; labels linear, one half decides.
    #[default]
    Box,
    /// nnU-Net v2's prefiltered cubic B-spline, not anti-aliased; labels linear, the largest wins.
    Nnunet,
}

/// The cases that the plan comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PlanFrom {
    /// The training cases.
    Train,
    /// All cases outside the test split, as in nnU-Net, where each of them trains in some fold.
    OutsideTest,
}

impl PlanFrom {
    /// Whether cases of this split are included.
    pub fn includes(self, split: Split) -> bool {
        match self {
            PlanFrom::Train => split == Split::Train,
            PlanFrom::OutsideTest => split != Split::Test,
        }
    }
}

/// The region that a proxy covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum GridKind {
    /// The box of the (cropped) image, stretched.
    Box,
    /// A common field of view in mm around the (cropped) image's centre, padded with 0.
    Fov,
}

/// The normalisation that the user requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum NormalisationMethod {
    /// Chosen by modality: ct for CT, zscore for all others.
    #[default]
    Auto,
    /// Clip to the training cases' foreground percentiles 0.5 and 99.5, subtract their foreground
    /// mean, divide by its standard deviation.
    Ct,
    /// Each image by its own mean and standard deviation; inside its non-zero voxels if cropping to
    /// them keeps less than three quarters of the median training image.
    Zscore,
    /// Clip to --intensity-window, and scale that to [0, 1].
    Window,
    /// Clip each image to its own --intensity-percentiles, and scale these to [0, 1].
    Percentile,
    /// Match each image's histogram to the training images' standard scale (Nyul and Udupa), for
    /// MR.
    Nyul,
}
