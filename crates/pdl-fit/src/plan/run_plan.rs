//! The plan of a run (network, patch, batch, schedule and length), and the cohort's properties that
//! it depends on.

use pdl_curriculum::manifest::ManifestInfo;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::laterality;
use crate::data::regions::RegionOutput;
use crate::model::unet::NetworkPlan;
use crate::optim::lr_schedule::LearningRates;
use crate::plan::curriculum_schedule::Schedule;
use crate::plan::settings::Augment;

/// Ratio of a pixel's longer side to the distance of the planes from which on these lie across the
/// slices of the scan.
const ACROSS_SLICES: f64 = 3.0;
/// Everything that determines a run beside its data; recorded in `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunPlan {
    /// Architecture of the U-Net.
    pub network: NetworkPlan,
    /// Patch size along z, y, x in voxels; z is 1 for planes.
    pub patch: [usize; 3],
    /// Patches per step (batch size).
    pub batch: usize,
    /// Estimated memory of the activations of a step, in bytes.
    pub activation_bytes: u64,
    /// Voxel spacing along z, y, x in mm.
    pub spacing_mm: [f64; 3],
    /// The region of each output of the network; empty if its outputs are background and the
    /// labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<RegionOutput>,
    /// Augmentation of training patches; null in plans of earlier versions, whose settings state
    /// it.
    #[serde(default)]
    pub augment: Option<Augment>,
    /// Along z, y, x: whether patches are mirrored at random.
    pub mirror: [bool; 3],
    /// Pairs of channels (left, right) that are exchanged when a patch is mirrored along x.
    pub swapped: Vec<[u8; 2]>,
    /// Pairs of channels (left, right) identified by their positions, as their names do not state a
    /// side.
    #[serde(default)]
    pub sides_by_position: Vec<[u8; 2]>,
    /// Whether settings of the run replace the stages of the manifest.
    pub stages_overridden: bool,
    /// Cases, patch size and resolution of every step.
    pub schedule: Schedule,
    /// Learning rate of every step.
    pub rates: LearningRates,
    /// Length of the run in steps.
    pub steps: u64,
    /// Steps until all training cases are active.
    pub steps_until_all_joined: u64,
    /// Steps between evaluations on the validation set.
    pub eval_every: u64,
}

impl RunPlan {
    /// Number of structures that are learnt: regions, or labels.
    pub fn structures(&self) -> usize {
        let labels = usize::try_from(self.network.classes).unwrap_or(0).saturating_sub(1);
        if self.regions.is_empty() { labels } else { self.regions.len() }
    }

    /// The in-plane axis (1: y, 2: x) and its spacing in mm, if the network sees axial planes and
    /// these lie across thick slices: a side of a pixel is more than three times the distance of
    /// the planes (nnU-Net's threshold of anisotropy).
    pub fn thick_in_plane(&self) -> Option<(usize, f64)> {
        let [z, y, x] = self.spacing_mm;
        let (axis, thick) = if y > x { (1, y) } else { (2, x) };
        (self.network.dims == 2 && thick > ACROSS_SLICES * z).then_some((axis, thick))
    }

    /// Channels (from 1) of labels whose names state a side and have no partner, where patches are
    /// mirrored along x.
    pub fn sides_without_partner(&self, labels: &[String]) -> Vec<u8> {
        if self.mirror[2] { laterality::without_partner(labels) } else { Vec::new() }
    }
}

/// Properties of a cohort that a plan depends on.
#[derive(Clone, Copy, Debug)]
pub struct Cohort<'a> {
    /// Modality, labels, stages and preparation, as in the manifest.
    pub info: &'a ManifestInfo,
    /// Shapes (z, y, x) of the prepared training images in voxels.
    pub shapes: &'a [[usize; 3]],
    /// Names of the labels in channel order, from channel 1.
    pub names: &'a [String],
    /// Regions to learn, in the order of the outputs; empty where labels are learnt.
    pub regions: &'a [RegionOutput],
    /// Images of a case, the inputs of the network.
    pub inputs: usize,
    /// Pairs of channels (left, right) of labels that mirror each other by their positions.
    pub mirrored: &'a [[u8; 2]],
}
