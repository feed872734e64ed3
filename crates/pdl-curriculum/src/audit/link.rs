//! Pairs of cases that are joined across patients or splits.

use pdl_cohort::attributes::Split;
use pdl_cohort::same_patient::Pair;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::transformed_duplicates::ImageTransform;

/// What joins two cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// They are of one patient by the cohort's own word, and in two splits.
    SamePatient,
    /// Their image files are the same, byte for byte.
    SameFile,
    /// Their SSIM reaches the threshold.
    SameImage,
    /// They are more alike than either is to any other patient's case, by far.
    StandsOut,
    /// Their SSIM reaches the threshold once the second is flipped or shifted.
    MovedImage,
}

/// Two cases that seem to be of one patient although the cohort gives two, or are of one in two splits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// Whose image the first is.
    pub patient_a: String,
    /// Whose image the second is.
    pub patient_b: String,
    /// The first case.
    pub case_a: String,
    /// The second case.
    pub case_b: String,
    /// What the first is for.
    pub split_a: Split,
    /// What the second is for.
    pub split_b: Split,
    /// What joins them.
    pub reason: Reason,
    /// Their SSIM, where both have a proxy.
    pub ssim: Option<f32>,
    /// How the second lies over the first, where the audit looked for flips and shifts and found these to be one.
    #[serde(default)]
    pub moved: Option<ImageTransform>,
    /// The user says that they are two patients: no leak, unless the two images are one.
    #[serde(default)]
    pub apart: bool,
}

/// SSIM from which on two images are one, whoever says that they are two patients'.
const ONE_IMAGE: f32 = 0.999;

impl Link {
    /// Whether it joins two splits, so that what is learnt from one is known of the other.
    pub fn is_leak(&self) -> bool {
        self.split_a != self.split_b && (!self.apart || self.is_one_image())
    }

    /// Whether the two images are the same.
    pub fn is_one_image(&self) -> bool {
        let moved = self.moved.as_ref().map(|moved| moved.ssim);
        self.reason == Reason::SameFile
            || [self.ssim, moved].into_iter().flatten().any(|ssim| ssim >= ONE_IMAGE)
    }

    /// As a row of the list of patients that seem to be one.
    pub fn pair(&self) -> Pair {
        let reason = serde_json::to_value(self.reason).unwrap_or_default();
        let of_moved = |text: fn(&ImageTransform) -> String| self.moved.as_ref().map_or(String::new(), text);
        Pair {
            patient_a: self.patient_a.clone(),
            patient_b: self.patient_b.clone(),
            case_a: self.case_a.clone(),
            case_b: self.case_b.clone(),
            split_a: self.split_a.to_string(),
            split_b: self.split_b.to_string(),
            reason: reason.as_str().unwrap_or_default().to_owned(),
            ssim: self.ssim.map_or(String::new(), |ssim| ssim.to_string()),
            flipped: of_moved(|moved| moved.flipped.clone()),
            shift_mm: of_moved(|ImageTransform { shift_mm: [x, y, z], .. }| format!("{x:.2} {y:.2} {z:.2}")),
            moved_ssim: of_moved(|moved| moved.ssim.to_string()),
            ..Pair::default()
        }
    }
}
