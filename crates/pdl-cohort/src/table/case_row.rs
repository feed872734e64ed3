//! A row of `cases.parquet`.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema};
use pdl_findings::Finding;
use pdl_store::safe_name;
use pdl_store::table::{column, list, nullable, structure};
use pdl_volume::{Affine, Grid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attributes::{Modality, Split, Status};
/// Number of voxels of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabelVoxels {
    /// The label's value.
    pub value: u16,
    /// Voxels on the stored grid.
    pub voxels: u64,
}

/// Figures of the intensities of an image, of all its voxels; NaN where it could not be read. They
/// are columns of their own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Intensities {
    /// Smallest intensity.
    #[serde(rename = "intensity_min")]
    pub min: f64,
    /// Largest intensity.
    #[serde(rename = "intensity_max")]
    pub max: f64,
    /// Mean of the stored intensities; NaN where the image could not be read.
    #[serde(rename = "intensity_mean")]
    pub mean: f64,
    /// Standard deviation of the intensities.
    #[serde(rename = "intensity_std")]
    pub std: f64,
    /// Percentile 0.5 of the intensities.
    #[serde(rename = "intensity_p00_5")]
    pub p00_5: f64,
    /// Percentile 99.5 of the intensities.
    #[serde(rename = "intensity_p99_5")]
    pub p99_5: f64,
}

impl Intensities {
    /// From the figures in the order of the columns.
    pub(crate) fn new([min, max, mean, std, p00_5, p99_5]: [f64; 6]) -> Self {
        Self { min, max, mean, std, p00_5, p99_5 }
    }

    /// Percentiles 0.5 and 99.5.
    pub fn percentiles(&self) -> [f64; 2] {
        [self.p00_5, self.p99_5]
    }
}

/// One image of a case that has several on one grid. For an image that could not be read, texts are
/// empty and figures are NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaseChannel {
    /// Unique in the case; letters, digits, - and _ only, as files and columns bear it.
    #[serde(deserialize_with = "safe_name::deserialize")]
    pub name: String,
    /// The image file, relative to the curation folder.
    pub image: String,
    /// BLAKE3 of the image file.
    pub image_blake3: String,
    /// How it was made.
    pub modality: Modality,
    /// Stored data type of the voxels, such as "int16".
    pub voxel_type: String,
    /// Statistics of the intensities.
    #[serde(flatten)]
    pub intensities: Intensities,
}

/// One case. Arrays over axes are in the order x, y, z of the stored image; paths are relative to
/// the curation folder. For a case that could not be read, lists are empty and figures are NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaseRow {
    /// Unique in the cohort; holds letters, digits, - and _ only.
    #[serde(deserialize_with = "safe_name::deserialize")]
    pub case_id: String,
    /// Identifier of the patient; the case id if the cohort states none.
    pub patient_id: String,
    /// How it was made.
    pub modality: Modality,
    /// Split; the same for all cases of a patient.
    pub split: Split,
    /// The image file; empty when only a label was found.
    pub image: String,
    /// The label file.
    pub label: Option<String>,
    /// Voxels along x, y, z of the stored image.
    pub shape: Vec<u32>,
    /// Voxel size along x, y, z of the stored image, mm.
    pub spacing_mm: Vec<f64>,
    /// Row-major 4 x 4: stored voxel index to RAS+ mm.
    pub affine: Vec<f64>,
    /// The directions in which the stored axes grow, such as "RAS".
    pub orientation: String,
    /// Stored data type of the voxels, such as "int16".
    pub voxel_type: String,
    /// The labels present, without background, ascending.
    pub labels: Vec<LabelVoxels>,
    /// The labels annotated in this case; a label that is missing here is unknown, not absent.
    pub labels_annotated: Vec<u16>,
    /// Statistics of the intensities.
    #[serde(flatten)]
    pub intensities: Intensities,
    /// BLAKE3 of the image file; empty when there is none.
    pub image_blake3: String,
    /// BLAKE3 of the label file.
    pub label_blake3: Option<String>,
    /// Whether later stages use it.
    pub status: Status,
    /// Findings about the case.
    pub findings: Vec<Finding>,
    /// All its images in the order of the cohort's channels, where cases have several; the columns
    /// `image`, `voxel_type` and `intensity_...` are those of the first. Empty where cases have
    /// one.
    #[serde(default)]
    pub channels: Vec<CaseChannel>,
    /// Further columns of the cohort's table that the user selected, as text; null for a blank
    /// cell.
    #[serde(flatten)]
    pub carried: BTreeMap<String, Option<String>>,
}

impl CaseRow {
    /// The stored image's grid, or `None` if the image could not be read.
    pub fn grid(&self) -> Option<Grid> {
        let shape: [u32; 3] = self.shape.as_slice().try_into().ok()?;
        Some(Grid::new(shape.map(|n| n as usize), Affine::from_row_major(&self.affine)?))
    }

    /// Value in a column, extra columns included, as text by which cases can be grouped: for
    /// `labels` the values present, without their counts; "null" for a blank cell. `None` if there
    /// is no such column.
    pub fn value(&self, column: &str) -> Option<String> {
        if column == "labels" {
            let values: Vec<String> = self.labels.iter().map(|label| label.value.to_string()).collect();
            return Some(values.join(" "));
        }
        match serde_json::to_value(self).ok()?.get(column)? {
            serde_json::Value::String(text) => Some(text.clone()),
            value => Some(value.to_string()),
        }
    }

    /// Images with the hashes of their files, in the order of the channels.
    pub fn images(&self) -> Vec<(&str, &str)> {
        if self.channels.is_empty() {
            return vec![(&self.image, &self.image_blake3)];
        }
        self.channels.iter().map(|channel| (channel.image.as_str(), channel.image_blake3.as_str())).collect()
    }

    /// Adds what a person should know about it, which makes an unsuspicious case a warning.
    pub(crate) fn add_finding(&mut self, finding: Finding) {
        self.findings.push(finding);
        self.status = self.status.max(Status::Warning);
    }

    /// Adds why no later stage can use it.
    pub(crate) fn reject(&mut self, finding: Finding) {
        self.findings.push(finding);
        self.status = Status::Rejected;
    }

    /// Whether later stages use it; some of them only if it is labelled.
    pub fn is_usable(&self) -> bool {
        self.status != Status::Rejected
    }

    /// Whether it can be used and has a label, so that a network can be trained or tested on it.
    pub fn is_labelled(&self) -> bool {
        matches!(self.status, Status::Ok | Status::Warning)
    }
}

const CHANNEL_FIELDS: [(&str, DataType); 11] = [
    ("name", DataType::Utf8),
    ("image", DataType::Utf8),
    ("image_blake3", DataType::Utf8),
    ("modality", DataType::Utf8),
    ("voxel_type", DataType::Utf8),
    ("intensity_min", DataType::Float64),
    ("intensity_max", DataType::Float64),
    ("intensity_mean", DataType::Float64),
    ("intensity_std", DataType::Float64),
    ("intensity_p00_5", DataType::Float64),
    ("intensity_p99_5", DataType::Float64),
];

/// The columns of every such table; extra columns follow them as text.
pub fn schema() -> Schema {
    use DataType::{Float64, UInt16, UInt32, UInt64, Utf8};
    Schema::new(vec![
        column("case_id", Utf8),
        column("patient_id", Utf8),
        column("modality", Utf8),
        column("split", Utf8),
        column("image", Utf8),
        nullable("label", Utf8),
        column("shape", list(UInt32)),
        column("spacing_mm", list(Float64)),
        column("affine", list(Float64)),
        column("orientation", Utf8),
        column("voxel_type", Utf8),
        column("labels", list(structure(&[("value", UInt16), ("voxels", UInt64)]))),
        column("labels_annotated", list(UInt16)),
        column("intensity_min", Float64),
        column("intensity_max", Float64),
        column("intensity_mean", Float64),
        column("intensity_std", Float64),
        column("intensity_p00_5", Float64),
        column("intensity_p99_5", Float64),
        column("image_blake3", Utf8),
        nullable("label_blake3", Utf8),
        column("status", Utf8),
        column("findings", list(structure(&[("code", Utf8), ("message", Utf8)]))),
        column("channels", list(structure(&CHANNEL_FIELDS))),
    ])
}
