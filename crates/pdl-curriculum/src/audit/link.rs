//! Pairs of cases that seem to be of one patient, or leak between splits.

use pdl_cohort::attributes::Split;
use pdl_cohort::split::same_patient::PatientPair;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::transformed_duplicates::ImageTransform;

/// Why two cases are linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The cohort gives one patient, and the cases are in two splits.
    SamePatient,
    /// The image files are identical, byte for byte.
    SameFile,
    /// The SSIM reaches the threshold.
    SameImage,
    /// The SSIM far exceeds that of either case to other patients.
    StandsOut,
    /// The SSIM reaches the threshold after the second image is flipped or shifted.
    MovedImage,
    /// After rigid alignment the images agree as only those of one person do in this cohort.
    OnePerson,
}

/// Two cases of different patients that seem to be of one, or of one patient in two splits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// Patient of `case_a`.
    pub patient_a: String,
    /// Patient of `case_b`.
    pub patient_b: String,
    /// Case id, smaller than `case_b`.
    pub case_a: String,
    /// Case id.
    pub case_b: String,
    /// Split of `case_a`.
    pub split_a: Split,
    /// Split of `case_b`.
    pub split_b: Split,
    /// The strongest reason that applies.
    pub reason: Reason,
    /// SSIM of the pair, where both have a proxy.
    pub ssim: Option<f32>,
    /// Flips and shift that make the second image a duplicate of the first, where the audit
    /// searched for them and found some.
    #[serde(default)]
    pub moved: Option<ImageTransform>,
    /// The user states that these are two patients: no leak, unless the images are identical.
    #[serde(default)]
    pub apart: bool,
}

/// SSIM from which on two images are identical, whatever the user states.
const ONE_IMAGE: f32 = 0.999;

impl Link {
    /// Whether the pair leaks from one split to another.
    pub fn is_leak(&self) -> bool {
        self.split_a != self.split_b && (!self.apart || self.is_one_image())
    }

    /// Whether the two images are identical.
    pub fn is_one_image(&self) -> bool {
        let moved = self.moved.as_ref().map(|moved| moved.ssim);
        self.reason == Reason::SameFile
            || [self.ssim, moved].into_iter().flatten().any(|ssim| ssim >= ONE_IMAGE)
    }

    /// The pair as a row of `same-patient.csv`.
    pub fn pair(&self) -> PatientPair {
        let reason = serde_json::to_value(self.reason).unwrap_or_default();
        let of_moved = |text: fn(&ImageTransform) -> String| self.moved.as_ref().map_or(String::new(), text);
        PatientPair {
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
            ..PatientPair::default()
        }
    }
}
