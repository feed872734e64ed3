//! `dataset.json` of the Medical Segmentation Decathlon and of nnU-Net.

use std::collections::BTreeMap;
use std::path::Path;

use pdl_store::memory::MemoryShare;
use pdl_store::{StoreError, fault};
use serde::Deserialize;

use super::Layout;
use super::description::{JSON_BYTES_A_BYTE, not_json, read, shown};
use crate::CohortError;

/// Decathlon's and nnU-Net's `dataset.json`: modality and names of labels. Missing is fine.
pub(super) fn read_dataset_json(
    path: &Path,
    layout: &mut Layout,
    memory: &MemoryShare<'_>,
) -> Result<(), CohortError> {
    #[derive(Deserialize)]
    struct Dataset {
        modality: Option<BTreeMap<String, String>>,
        channel_names: Option<BTreeMap<String, String>>,
        labels: Option<BTreeMap<String, serde_json::Value>>,
    }
    if !fault::is_file(path).map_err(StoreError::io("look at the file", path))? {
        return Ok(());
    }
    let part = memory.part();
    let bytes = read(path, JSON_BYTES_A_BYTE, &part)?;
    let dataset: Dataset = serde_json::from_slice(&bytes).map_err(|error| not_json(path, &error))?;
    let channels = dataset.modality.or(dataset.channel_names).unwrap_or_default();
    layout.modality = channels.get("0").and_then(|name| name.parse().ok());
    layout.channel_names =
        channels.iter().filter_map(|(number, name)| Some((number.parse().ok()?, shown(name)))).collect();
    for (key, value) in dataset.labels.unwrap_or_default() {
        // Decathlon writes {"1": "liver"}, nnU-Net {"liver": 1}; regions (lists) have no single
        // value.
        let label = match (key.parse::<u16>(), &value) {
            (Ok(number), serde_json::Value::String(name)) => Some((number, name.clone())),
            (_, serde_json::Value::Number(number)) => {
                number.as_u64().and_then(|n| u16::try_from(n).ok()).map(|n| (n, key))
            }
            _ => None,
        };
        let label = label.filter(|(number, _)| *number > 0);
        layout.label_names.extend(label.map(|(number, name)| (number, shown(&name))));
    }
    Ok(())
}
