//! `dataset.json` of the Medical Segmentation Decathlon and of nnU-Net.

use std::collections::BTreeMap;
use std::path::Path;

use pdl_store::memory::MemoryShare;
use pdl_store::{StoreError, fault};
use serde::Deserialize;

use super::description::{JSON_BYTES_A_BYTE, not_json, read, shown};
use super::{DiscoveredCase, Layout};
use crate::CohortError;
use crate::attributes::Modality;
use crate::regions::{DatasetLabels, DatasetRegions};

/// The last number of AMOS's CT; above it are those of MR (amos22.grand-challenge.org).
const LAST_CT_OF_AMOS: u32 = 500;

#[derive(Deserialize)]
struct Dataset {
    name: Option<String>,
    modality: Option<BTreeMap<String, String>>,
    channel_names: Option<BTreeMap<String, String>>,
    labels: Option<DatasetLabels>,
    regions_class_order: Option<serde_json::Value>,
}

/// Decathlon's and nnU-Net's `dataset.json`: modality, channels and names of labels. Missing is
/// fine.
pub(super) fn read_dataset_json(
    path: &Path,
    layout: &mut Layout,
    memory: &MemoryShare<'_>,
) -> Result<(), CohortError> {
    if !fault::is_file(path).map_err(StoreError::io("look at the file", path))? {
        return Ok(());
    }
    let part = memory.part();
    let bytes = read(path, JSON_BYTES_A_BYTE, &part)?;
    let dataset: Dataset = serde_json::from_slice(&bytes).map_err(|error| not_json(path, &error))?;
    let channels = dataset.modality.or(dataset.channel_names).unwrap_or_default();
    if let Some(name) = channels.get("0") {
        layout.modality = name.parse().ok();
    }
    if layout.channel_names.is_empty() {
        let named = channels.iter().filter_map(|(number, name)| Some((number.parse().ok()?, shown(name))));
        layout.channel_names = named.collect();
    }
    let labels = dataset.labels.unwrap_or_default();
    layout.regions = DatasetRegions { labels: labels.clone(), order: dataset.regions_class_order };
    for (key, value) in labels.0 {
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
    if dataset.name.is_some_and(|name| name.to_uppercase().starts_with("AMOS")) {
        layout.cases.iter_mut().for_each(|found| found.modality = found.modality.or_else(|| of_amos(found)));
    }
    Ok(())
}

/// CT or MR by the number in the names of AMOS, whose `dataset.json` states CT for all.
fn of_amos(found: &DiscoveredCase) -> Option<Modality> {
    let number: u32 = found.name.stated.as_deref()?.strip_prefix("amos_")?.parse().ok()?;
    Some(if number > LAST_CT_OF_AMOS { Modality::MR } else { Modality::CT })
}
