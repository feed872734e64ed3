//! MONAI's datalist as a cohort.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_store::StoreError;
use pdl_store::memory::MemoryShare;
use pdl_store::plural::counted;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::dataset_json::read_dataset_json;
use super::description::{not_json, read_json, shown};
use super::table::{FOLD, from_rows, no_column};
use super::table_row::Row;
use super::table_text::with_slashes;
use super::{ExtraColumns, Layout};
use crate::CohortError;

#[derive(Deserialize)]
struct Item {
    image: OneOrMany,
    #[serde(default, deserialize_with = "one_label")]
    label: Option<String>,
    /// Text or a number.
    patient: Option<Value>,
    /// Text or a number.
    case_id: Option<Value>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// A label map, which a list may hold alone.
fn one_label<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    match Option::<OneOrMany>::deserialize(from)? {
        None => Ok(None),
        Some(OneOrMany::One(label)) => Ok(Some(label)),
        Some(OneOrMany::Many(labels)) if labels.len() < 2 => Ok(labels.into_iter().next()),
        Some(OneOrMany::Many(labels)) => Err(D::Error::custom(format!(
            "expected one label map, found a list of {}: a mask for each structure needs a table with columns such as \
             label_liver",
            labels.len()
        ))),
    }
}

#[derive(Deserialize)]
struct Datalist {
    #[serde(alias = "train")]
    training: Vec<Item>,
    #[serde(default, alias = "val")]
    validation: Vec<Item>,
    #[serde(default, alias = "test")]
    testing: Vec<Value>,
}

/// MONAI's datalist: lists of `{"image", "label"}` under "training", "validation" and "testing", or
/// a single list. Without validation cases the list leaves that split to pdl; cases under "testing"
/// are the test split where they have a label, and are not used where they have none.
pub(super) fn from_datalist(
    path: &Path,
    carry: &BTreeSet<String>,
    memory: &MemoryShare<'_>,
) -> Result<Layout, CohortError> {
    let bytes = read_json(path, memory)?;
    let is_list = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let list: Datalist = match is_list {
        true => {
            let training = serde_json::from_slice(&bytes).map_err(|error| not_json(path, &error))?;
            Datalist { training, validation: Vec::new(), testing: Vec::new() }
        }
        false => serde_json::from_slice(&bytes).map_err(|error| not_json(path, &error))?,
    };
    let split_given = !list.validation.is_empty();
    let all = list.testing.len();
    let testing: Vec<Item> =
        list.testing.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect();
    let testing: Vec<Item> = testing.into_iter().filter(|item| item.label.is_some()).collect();
    let mut findings: Vec<Finding> = unused(all - testing.len()).into_iter().collect();
    let items = || list.training.iter().chain(&list.validation).chain(&testing);
    findings.extend(folds(items()));
    let has_folds = items().any(|item| item.others.contains_key(FOLD));
    let carry: BTreeSet<String> = carry.iter().cloned().chain(has_folds.then(|| FOLD.to_owned())).collect();
    let train = split_given.then_some("train");
    let mut rows = Rows::default();
    for (items, split) in [(list.training, train), (list.validation, Some("val")), (testing, Some("test"))] {
        for item in items {
            rows.take(path, item, split, &carry)?;
        }
    }
    let Rows { rows, carried, mut channels } = rows;
    let unknown = |column: &&String| carried.iter().all(|values| values[*column].is_none());
    if let Some(column) = carry.iter().find(unknown) {
        return Err(no_column(path, column, &[]));
    }
    let mut layout = from_rows(path, rows, carried, &[])?;
    for found in &mut layout.cases {
        found.channels = found.image.as_ref().and_then(|image| channels.remove(image)).unwrap_or_default();
    }
    // a datalist may name modality and labels, too
    let _ = read_dataset_json(path, &mut layout, memory);
    layout.findings.extend(findings);
    Ok(Layout { kind: "a MONAI datalist", ..layout })
}

/// The items as rows of a table.
#[derive(Default)]
struct Rows {
    rows: Vec<Row>,
    carried: Vec<ExtraColumns>,
    /// The images of cases with several, by the first of them.
    channels: HashMap<PathBuf, BTreeMap<u32, PathBuf>>,
}

impl Rows {
    fn take(
        &mut self,
        path: &Path,
        item: Item,
        split: Option<&str>,
        carry: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let images = match item.image {
            OneOrMany::One(image) => vec![image],
            OneOrMany::Many(images) => images,
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let images = images.into_iter().map(|image| with_slashes(image, folder));
        let images: Vec<String> = images.collect::<Result<_, _>>()?;
        let image = images.first().cloned();
        if let (Some(image), true) = (&image, images.len() > 1) {
            let all = (0..).zip(images.iter().map(|image| path.with_file_name(image))).collect();
            self.channels.insert(path.with_file_name(image), all);
        }
        let split = split.map(str::to_owned);
        let text = |value: &Option<Value>| value.as_ref().and_then(plain_text);
        let (patient, case_id) = (text(&item.patient), text(&item.case_id));
        let mut row = Row { image, label: item.label, patient, case_id, split, ..Row::default() };
        let value = |column: &str| item.others.get(column).and_then(plain_text).map(|text| shown(&text));
        Row::text_columns().for_each(|column| row.take_text(column, value(column)));
        self.rows.push(row);
        self.carried.push(carry.iter().map(|column| (column.clone(), value(column))).collect());
        Ok(())
    }
}

/// Finding about test cases without a label.
fn unused(cases: usize) -> Option<Finding> {
    let message =
        format!("{} under \"testing\" of the list have no label and are not used", counted(cases, "case"));
    (cases > 0).then(|| Finding::new(Code::ImagesUnused, message))
}

/// Findings about the folds of a list, and of keys that may have been meant as such.
fn folds<'a>(items: impl Iterator<Item = &'a Item> + Clone) -> Vec<Finding> {
    let numbers: BTreeSet<String> =
        items.clone().filter_map(|item| plain_text(item.others.get(FOLD)?)).collect();
    let mut findings = Vec::new();
    if !numbers.is_empty() {
        let message = format!(
            "the list states {}, which are stored in the column {FOLD} of cases.parquet; pdl draws its own splits \
             unless the list has validation cases, and `pdl import --fold K` holds out one of these folds",
            counted(numbers.len(), "fold")
        );
        findings.push(Finding::new(Code::FoldsGiven, message));
    }
    let keys = items.flat_map(|item| item.others.keys());
    let odd: BTreeSet<&String> = keys
        .filter(|key| *key != FOLD && key.trim_matches([':', ' ', '_']).eq_ignore_ascii_case(FOLD))
        .collect();
    for key in odd {
        let message =
            format!("the list has the key \"{}\", which is not \"{FOLD}\" and is not used", shown(key));
        findings.push(Finding::new(Code::FoldsGiven, message));
    }
    findings
}

/// A value of a datalist as text, as a table would hold it.
fn plain_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}
