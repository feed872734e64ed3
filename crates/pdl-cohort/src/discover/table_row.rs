//! A row of a cohort's table.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::table_text::is_missing;
use super::{ANNOTATED_COLUMN, image_list};

/// Columns of a cohort's table that state the origin of a case. They group cases; their values are
/// not stored.
pub(super) const ORIGIN_COLUMNS: [&str; 6] = ["site", "source", "center", "centre", "dataset", "vendor"];

/// One row of a cohort's table; other columns are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Row {
    /// A path, or a JSON list of paths, one for each channel.
    #[serde(deserialize_with = "image_list::one_or_list")]
    pub image: Option<String>,
    #[serde(deserialize_with = "blank_is_none")]
    pub label: Option<String>,
    #[serde(deserialize_with = "blank_is_none")]
    pub patient: Option<String>,
    #[serde(deserialize_with = "blank_is_none")]
    pub modality: Option<String>,
    #[serde(deserialize_with = "blank_is_none")]
    pub split: Option<String>,
    /// Id that the table states, if any.
    #[serde(deserialize_with = "blank_is_none")]
    pub case_id: Option<String>,
    #[serde(deserialize_with = "blank_is_none")]
    pub stack_spacing: Option<String>,
    #[serde(deserialize_with = "blank_is_none")]
    pub stack_axes: Option<String>,
    #[serde(skip)]
    pub annotated: Option<String>,
    #[serde(skip)]
    pub origins: BTreeMap<String, String>,
    /// Values in the columns that may name a channel or a structure.
    #[serde(skip)]
    pub named: BTreeMap<String, String>,
}

impl Row {
    pub const IMAGE: &str = "image";

    /// Columns of one value each, besides the image.
    pub const COLUMNS: [&str; 7] =
        ["label", "patient", "modality", "split", "case_id", "stack_spacing", "stack_axes"];

    /// Takes the text of one of [`Row::COLUMNS`].
    pub fn take_cell(&mut self, column: &str, value: Option<String>) {
        let cell = match column {
            "label" => &mut self.label,
            "patient" => &mut self.patient,
            "modality" => &mut self.modality,
            "split" => &mut self.split,
            "case_id" => &mut self.case_id,
            "stack_spacing" => &mut self.stack_spacing,
            "stack_axes" => &mut self.stack_axes,
            _ => return,
        };
        *cell = value.filter(|text| !is_missing(text));
    }

    /// Columns that are read as text, whatever their type, where the table has them.
    pub fn text_columns() -> impl Iterator<Item = &'static str> {
        [ANNOTATED_COLUMN].into_iter().chain(ORIGIN_COLUMNS)
    }

    /// Takes a value of one of the text columns.
    pub fn take_text(&mut self, column: &str, value: Option<String>) {
        let Some(value) = value.filter(|text| !text.is_empty()) else { return };
        if column == ANNOTATED_COLUMN {
            self.annotated = Some(value);
        } else {
            self.origins.insert(column.to_owned(), value);
        }
    }
}

fn blank_is_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.map(|text| text.trim().to_owned()).filter(|text| !is_missing(text)))
}
