//! `prepared.parquet`: one row for each prepared case.

use std::path::Path;

use arrow::datatypes::{DataType, Schema};
use pdl_findings::Finding;
use pdl_store::table::{self, column, list, nullable, structure};
use pdl_store::{StoreError, regular_file, safe_name, safe_path};
use pdl_volume::{Grid, VoxelBox};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::label_loss::PreparedLabel;
use crate::plan;

/// The table's name inside a curation folder.
pub const FILE: &str = "prepared.parquet";
/// Version of the table's format.
pub const SCHEMA_VERSION: u32 = 1;

/// One prepared case. Paths are relative to the curation folder; arrays over axes are x, y, z of
/// the RAS+ volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PreparedRow {
    /// The prepared case, by its id.
    #[serde(deserialize_with = "safe_name::deserialize")]
    pub case_id: String,
    /// The prepared image, float32.
    #[serde(deserialize_with = "safe_path::deserialize")]
    pub image: String,
    /// The prepared label map; null for a case without a label.
    #[serde(default, deserialize_with = "safe_path::deserialize_option")]
    pub label: Option<String>,
    /// Voxels along x, y, z.
    pub shape: Vec<u32>,
    /// Voxel size along x, y, z, mm.
    pub spacing_mm: Vec<f64>,
    /// First voxel of the crop along x, y, z of the stored image in RAS+ order.
    #[serde(default)]
    pub crop_start_xyz: Vec<u32>,
    /// Shape of the crop along x, y, z of the stored image in RAS+ order.
    #[serde(default)]
    pub crop_shape_xyz: Vec<u32>,
    /// Number of labelled voxels outside the image's own box, which was extended to hold them.
    #[serde(default)]
    pub crop_labelled_outside: u64,
    /// The labels of the case after preparation.
    #[serde(default)]
    pub labels: Vec<PreparedLabel>,
    /// BLAKE3 of the image file.
    pub image_blake3: String,
    /// BLAKE3 of the label file; null for a case without a label.
    #[serde(default)]
    pub label_blake3: Option<String>,
    /// The prepared images in the order of the cohort's channels; the first is `image`.
    #[serde(default, deserialize_with = "safe_path::deserialize_list")]
    pub images: Vec<String>,
    /// BLAKE3 of each file of `images`.
    #[serde(default)]
    pub images_blake3: Vec<String>,
}

impl PreparedRow {
    /// Whether it states a plausible volume: three sides and three spacings.
    fn is_plausible(&self) -> bool {
        let spacing = <[f64; 3]>::try_from(self.spacing_mm.as_slice());
        self.shape.len() == 3
            && !self.shape.contains(&0)
            && spacing.is_ok_and(plan::is_plausible)
            && self.images.len() == self.images_blake3.len()
    }

    /// With the images of all channels, which tables of earlier versions do not list.
    pub(crate) fn with_images(mut self) -> Self {
        if self.images.is_empty() {
            self.images = vec![self.image.clone()];
            self.images_blake3 = vec![self.image_blake3.clone()];
        }
        self
    }

    /// The crop of the stored image's RAS+ grid; the whole grid if the table does not state it.
    pub fn cropped(&self, whole: &Grid) -> Grid {
        let three = |numbers: &[u32]| <[u32; 3]>::try_from(numbers).ok().map(|n| n.map(|n| n as usize));
        match (three(&self.crop_start_xyz), three(&self.crop_shape_xyz)) {
            (Some(start), Some(shape)) => VoxelBox { start, shape }.of_grid(whole),
            _ => *whole,
        }
    }
}

/// The table's columns.
pub fn schema() -> Schema {
    use DataType::{Float64, UInt16, UInt32, UInt64, Utf8};
    Schema::new(vec![
        column("case_id", Utf8),
        column("image", Utf8),
        nullable("label", Utf8),
        column("shape", list(UInt32)),
        column("spacing_mm", list(Float64)),
        column("crop_start_xyz", list(UInt32)),
        column("crop_shape_xyz", list(UInt32)),
        column("crop_labelled_outside", UInt64),
        column("labels", list(structure(&[("value", UInt16), ("voxels", UInt64), ("kept", Float64)]))),
        column("image_blake3", Utf8),
        nullable("label_blake3", Utf8),
        column("images", list(Utf8)),
        column("images_blake3", list(Utf8)),
    ])
}

/// Key of the findings about the cohort in the table's metadata.
const FINDINGS: &str = "pdl.findings";

/// Writes `prepared.parquet` with the findings of the stage about the cohort.
pub(crate) fn write(out: &Path, rows: &[PreparedRow], findings: &[Finding]) -> Result<(), StoreError> {
    let path = out.join(FILE);
    let mut metadata = table::versioned(SCHEMA_VERSION);
    let text = serde_json::to_string(findings);
    let text = text.map_err(|source| StoreError::Json { path: path.clone(), source })?;
    metadata.push((FINDINGS.to_owned(), text));
    table::write_rows(&path, &schema(), rows, metadata).map(|_| ())
}

/// Reads the findings of the stage about the cohort; there are none where the table is absent, or
/// from before they were stored.
///
/// # Errors
/// [`StoreError`] if it is not such a table.
pub fn read_findings(out: &Path) -> Result<Vec<Finding>, StoreError> {
    let path = out.join(FILE);
    if !regular_file::is_there(&path)? {
        return Ok(Vec::new());
    }
    let metadata = table::read_metadata(&path, SCHEMA_VERSION)?;
    let parsed = metadata.get(FINDINGS).map(|text| serde_json::from_str(text)).transpose();
    Ok(parsed.map_err(|source| StoreError::Json { path, source })?.unwrap_or_default())
}

/// Reads `prepared.parquet` of a curation folder.
///
/// # Errors
/// [`StoreError`] if it is missing or not such a table.
pub fn read(out: &Path) -> Result<Vec<PreparedRow>, StoreError> {
    let path = out.join(FILE);
    let rows: Vec<PreparedRow> = table::read_rows(&path, SCHEMA_VERSION)?.0;
    match rows.iter().find(|row| !row.is_plausible()) {
        Some(row) => {
            let problem =
                format!("the shape or spacing of case {} cannot be; run `pdl prepare` again", row.case_id);
            Err(StoreError::Table { path, problem })
        }
        None => Ok(rows.into_iter().map(PreparedRow::with_images).collect()),
    }
}
