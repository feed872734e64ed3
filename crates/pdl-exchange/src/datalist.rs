//! MONAI's datalist, read: lists of `{"image", "label"}` under "training", "validation" and "testing" or "test".

use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_store::json;
use serde::Deserialize;
use serde_json::Value;

use crate::ExchangeError;
use crate::import::{Dataset, Head, ImportParameters, Taken};

#[derive(Deserialize)]
struct Datalist {
    #[serde(flatten)]
    head: Head,
    training: Vec<Item>,
    #[serde(default)]
    validation: Vec<Item>,
    #[serde(default, alias = "test")]
    testing: Vec<Value>,
}

#[derive(Deserialize)]
struct Item {
    image: OneOrMany,
    label: Option<String>,
    patient: Option<String>,
    case_id: Option<String>,
    fold: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn all(&self) -> &[String] {
        match self {
            OneOrMany::One(image) => std::slice::from_ref(image),
            OneOrMany::Many(images) => images,
        }
    }
}

/// Reads a datalist; its paths are relative to it.
pub(crate) fn read(path: &Path, parameters: &ImportParameters) -> Result<Dataset, ExchangeError> {
    let list: Datalist = json::read(path)?;
    let items = split(list.training, list.validation, list.testing, parameters.fold)?;
    let channels = items.iter().map(|(item, _)| item.image.all().len()).max().unwrap_or(0);
    let (channel, modality) = list.head.channel(parameters.channel.as_deref(), channels)?;
    let mut dataset = Dataset { modality, labels: list.head.labels, ..Dataset::default() };
    for (item, split) in items {
        let image = item.image.all().get(channel).map(|image| path.with_file_name("").join(image));
        let (Some(image), Some(label)) = (image, item.label) else {
            dataset.unlabelled += 1;
            continue;
        };
        dataset.cases.push(Taken {
            case_id: item.case_id,
            image,
            label: path.with_file_name("").join(label),
            patient: item.patient,
            split,
        });
    }
    Ok(dataset)
}

/// The items with the split that the list states. Without validation cases and without a chosen fold the split of
/// training cases is left open.
fn split(
    training: Vec<Item>,
    validation: Vec<Item>,
    testing: Vec<Value>,
    fold: Option<usize>,
) -> Result<Vec<(Item, Option<Split>)>, ExchangeError> {
    let folds = training.iter().filter_map(|item| item.fold).max().map_or(0, |last| last + 1);
    if fold.is_some_and(|fold| fold >= folds) || (folds > 1 && fold.is_none() && validation.is_empty()) {
        return Err(ExchangeError::Fold { folds });
    }
    let stated = fold.is_some() || !validation.is_empty();
    let of_training = |item: &Item| match fold {
        Some(_) if item.fold == fold => Split::Val,
        _ => Split::Train,
    };
    // Test items are often paths alone, without a label map.
    let testing = testing.into_iter().map(|item| serde_json::from_value(item).unwrap_or_else(|_| nothing()));
    let mut items: Vec<(Item, Option<Split>)> = Vec::new();
    for item in training {
        let split = stated.then(|| of_training(&item));
        items.push((item, split));
    }
    items.extend(validation.into_iter().map(|item| (item, Some(Split::Val))));
    items.extend(testing.map(|item| (item, Some(Split::Test))));
    Ok(items)
}

/// An item without image and label.
fn nothing() -> Item {
    Item { image: OneOrMany::Many(Vec::new()), label: None, patient: None, case_id: None, fold: None }
}
