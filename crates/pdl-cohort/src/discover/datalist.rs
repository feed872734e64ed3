//! MONAI's datalist as a cohort.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use pdl_store::memory::MemoryShare;
use serde::Deserialize;

use super::dataset_json::read_dataset_json;
use super::description::{JSON_BYTES_A_BYTE, not_json, read, shown};
use super::table::{Row, from_rows, no_column};
use super::{Carried, Layout};
use crate::CohortError;

/// MONAI's datalist: lists of `{"image", "label"}` under "training", "validation" and "testing".
pub(super) fn from_datalist(
    path: &Path,
    carry: &BTreeSet<String>,
    memory: &MemoryShare<'_>,
) -> Result<Layout, CohortError> {
    #[derive(Deserialize)]
    struct Item {
        image: OneOrMany,
        label: Option<String>,
        patient: Option<String>,
        #[serde(flatten)]
        others: BTreeMap<String, serde_json::Value>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    #[derive(Deserialize)]
    struct Datalist {
        training: Vec<Item>,
        #[serde(default)]
        validation: Vec<Item>,
        #[serde(default)]
        testing: Vec<serde_json::Value>,
    }
    let bytes = read(path, JSON_BYTES_A_BYTE, memory)?;
    let list: Datalist = serde_json::from_slice(&bytes).map_err(|error| not_json(path, &error))?;
    // A list without validation cases leaves the split to pdl; "testing" entries carry no labels.
    let split_given = !list.validation.is_empty();
    drop(list.testing);
    let (mut rows, mut carried) = (Vec::new(), Vec::new());
    let mut channels = HashMap::new();
    for (items, split) in [(list.training, "train"), (list.validation, "val")] {
        for item in items {
            let images = match item.image {
                OneOrMany::One(image) => vec![image],
                OneOrMany::Many(images) => images,
            };
            let image = images.first().cloned();
            if let (Some(image), true) = (&image, images.len() > 1) {
                let all = (0..).zip(images.iter().map(|image| path.with_file_name(image))).collect();
                channels.insert(path.with_file_name(image), all);
            }
            let split = split_given.then(|| split.to_owned());
            let mut row = Row { image, label: item.label, patient: item.patient, split, ..Row::default() };
            let value = |column: &str| item.others.get(column).and_then(plain_text).map(|text| shown(&text));
            Row::text_columns().for_each(|column| row.take_text(column, value(column)));
            rows.push(row);
            carried.push(carry.iter().map(|column| (column.clone(), value(column))).collect::<Carried>());
        }
    }
    let unknown = |column: &&String| carried.iter().all(|values| values[*column].is_none());
    if let Some(column) = carry.iter().find(unknown) {
        return Err(no_column(path, column, &[]));
    }
    let mut layout = from_rows(path, rows, carried)?;
    for found in &mut layout.cases {
        found.channels = found.image.as_ref().and_then(|image| channels.remove(image)).unwrap_or_default();
    }
    let _ = read_dataset_json(path, &mut layout, memory); // a datalist may name modality and labels, too
    Ok(layout)
}

/// A value of a datalist as text, as a table would hold it.
fn plain_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}
