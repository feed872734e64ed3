//! Reads MONAI's datalists: lists of `{"image", "label"}` under "training", "validation" and
//! "testing" or "test".

use std::path::{Path, PathBuf};

use pdl_cohort::attributes::Split;
use pdl_store::json;
use serde::Deserialize;
use serde_json::Value;

use crate::ExchangeError;
use crate::import::types::{Channels, DatasetHeader, ImportOptions, ImportedCase, ImportedDataset};

#[derive(Deserialize)]
struct ReadDatalist {
    #[serde(flatten)]
    head: DatasetHeader,
    training: Vec<ReadCase>,
    #[serde(default)]
    validation: Vec<ReadCase>,
    #[serde(default, alias = "test")]
    testing: Vec<Value>,
}

#[derive(Deserialize)]
struct ReadCase {
    image: Images,
    label: Option<String>,
    patient: Option<String>,
    case_id: Option<String>,
    fold: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Images {
    One(String),
    Many(Vec<String>),
}

impl Images {
    fn all(&self) -> &[String] {
        match self {
            Images::One(image) => std::slice::from_ref(image),
            Images::Many(images) => images,
        }
    }
}

/// Reads a datalist, whose paths are relative to it.
pub(crate) fn read(path: &Path, parameters: &ImportOptions) -> Result<ImportedDataset, ExchangeError> {
    let list: ReadDatalist = json::read(path)?;
    let items = split(list.training, list.validation, list.testing, parameters.fold)?;
    let channels = items.iter().map(|(item, _)| item.image.all().len()).max().unwrap_or(0);
    let Channels { names, modality } = list.head.channels(parameters.channel.as_deref(), channels)?;
    let (numbers, channels): (Vec<usize>, Vec<String>) = names.into_iter().unzip();
    let mut dataset =
        ImportedDataset { modality, channels, labels: list.head.labels, ..ImportedDataset::default() };
    for (item, split) in items {
        let image = |number: &usize| Some(path.with_file_name("").join(item.image.all().get(*number)?));
        let images: Vec<Option<PathBuf>> = numbers.iter().map(image).collect();
        let (true, Some(label)) = (images.iter().any(Option::is_some), item.label) else {
            dataset.unlabelled += 1;
            continue;
        };
        dataset.cases.push(ImportedCase {
            case_id: item.case_id,
            images,
            label: path.with_file_name("").join(label),
            patient: item.patient,
            split,
        });
    }
    Ok(dataset)
}

/// The cases with the split that the list states. Without validation cases and without a chosen
/// fold the split of training cases is undecided.
fn split(
    training: Vec<ReadCase>,
    validation: Vec<ReadCase>,
    testing: Vec<Value>,
    fold: Option<usize>,
) -> Result<Vec<(ReadCase, Option<Split>)>, ExchangeError> {
    let folds = training.iter().filter_map(|item| item.fold).max().map_or(0, |last| last + 1);
    if fold.is_some_and(|fold| fold >= folds) || (folds > 1 && fold.is_none() && validation.is_empty()) {
        return Err(ExchangeError::Fold { folds });
    }
    let stated = fold.is_some() || !validation.is_empty();
    let of_training = |item: &ReadCase| match fold {
        Some(_) if item.fold == fold => Split::Val,
        _ => Split::Train,
    };
    // Test cases are often bare paths, without a label map.
    let testing = testing.into_iter().map(|item| serde_json::from_value(item).unwrap_or_else(|_| nothing()));
    let mut items: Vec<(ReadCase, Option<Split>)> = Vec::new();
    for item in training {
        let split = stated.then(|| of_training(&item));
        items.push((item, split));
    }
    items.extend(validation.into_iter().map(|item| (item, Some(Split::Val))));
    items.extend(testing.map(|item| (item, Some(Split::Test))));
    Ok(items)
}

/// A case without image and label.
fn nothing() -> ReadCase {
    ReadCase { image: Images::Many(Vec::new()), label: None, patient: None, case_id: None, fold: None }
}
