//! Regions: unions of labels, such as a whole tumour and its core. A network learns each by an
//! output of its own (region-based training of nnU-Net), and a predicted label map is composed from
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pdl_findings::{Code, Finding};
use schemars::JsonSchema;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::labels::label_rules::LabelRules;
use crate::table::case_row::CaseRow;

/// The value of `--regions` that drops the regions of `dataset.json`.
const NONE: &str = "none";
/// Names in `dataset.json` that are no regions.
const NO_REGIONS: [&str; 2] = ["background", "ignore"];

/// A union of labels that is learnt as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabelRegion {
    /// Name in the cohort.
    pub name: String,
    /// Values of the labels that belong to it, ascending.
    pub labels: Vec<u16>,
    /// Value in a predicted label map of the voxels that belong to it and to no later region (entry
    /// of nnU-Net's `regions_class_order`).
    pub value: u16,
}

/// Regions that contradict themselves or the cohort.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegionError {
    /// Regions without the values that they are written as.
    #[error(
        "dataset.json: its labels are regions (lists of values), but it has no list regions_class_order of integers, \
         which states the value of each; `--regions none` learns the labels instead"
    )]
    NoOrder,
    /// Another number of regions than of values.
    #[error(
        "dataset.json: expected {regions} entries in regions_class_order, one for each region, found {values}"
    )]
    OrderLength {
        /// Regions, without background and the label to ignore.
        regions: usize,
        /// Entries of `regions_class_order`.
        values: usize,
    },
    /// A region that is not a list of label values.
    #[error("region '{name}': expected values of labels from 1 to 65535")]
    NotValues {
        /// Name of the region.
        name: String,
    },
    /// An invalid rule.
    #[error("--regions: expected NAME=LABEL+LABEL or NAME=LABEL+LABEL:VALUE, found '{rule}'")]
    Syntax {
        /// The rule.
        rule: String,
    },
    /// A label that the cohort does not have.
    #[error("--regions {rule}: expected values or names of labels, found '{label}'")]
    UnknownLabel {
        /// The rule.
        rule: String,
        /// The label as given.
        label: String,
    },
    /// A region without a unique value in label maps.
    #[error(
        "--regions: '{name}' has the labels {labels:?} that no later region has, and a predicted voxel gets one of \
         them: state which, as in {name}=...:VALUE, or order the regions from the largest to the smallest"
    )]
    NoValue {
        /// Name of the region.
        name: String,
        /// The labels to choose from; none where later regions have them all.
        labels: Vec<u16>,
    },
    /// A region that would be written with a value outside of it.
    #[error("region '{name}' is written as {value}, which is not one of its labels {labels:?}")]
    OtherValue {
        /// Name of the region.
        name: String,
        /// The value that it is written as.
        value: u16,
        /// Values of the labels in it.
        labels: Vec<u16>,
    },
    /// Two regions with the same name or value.
    #[error(
        "two regions are called '{name}' or written as {value}: each needs a name and a value of its own"
    )]
    Repeated {
        /// The name of the second.
        name: String,
        /// The value of the second.
        value: u16,
    },
    /// A region that holds the label to ignore.
    #[error("region '{name}' contains the label {value}, whose voxels are ignored")]
    Ignored {
        /// Name of the region.
        name: String,
        /// The label to ignore.
        value: u16,
    },
}

/// The `labels` of a `dataset.json`, in the order of the file, which regions depend on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatasetLabels(pub Vec<(String, Value)>);

impl Serialize for DatasetLabels {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for DatasetLabels {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = DatasetLabels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels by name or value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DatasetLabels, A::Error> {
                let mut labels = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    labels.push(entry);
                }
                Ok(DatasetLabels(labels))
            }
        }
        from.deserialize_map(InOrder)
    }
}

/// The regions of a `dataset.json`, unparsed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatasetRegions {
    /// Labels and regions by name.
    pub labels: DatasetLabels,
    /// The values that regions are written as, in the order of the regions.
    pub order: Option<Value>,
}

impl DatasetRegions {
    /// The regions; none where every label is one value, as in nnU-Net.
    ///
    /// # Errors
    /// [`RegionError`] if they are not lists of values or `regions_class_order` does not fit them.
    pub fn regions(&self) -> Result<Vec<LabelRegion>, RegionError> {
        let is_union = |(_, value): &(String, Value)| value.as_array().is_some_and(|list| list.len() > 1);
        if !self.labels.0.iter().any(is_union) {
            return Ok(Vec::new());
        }
        let named = self.labels.0.iter().filter(|(name, _)| !NO_REGIONS.contains(&name.as_str()));
        let all: Vec<(&String, Vec<u16>)> =
            named.map(|(name, value)| Ok((name, label_values(name, value)?))).collect::<Result<_, _>>()?;
        let values: Option<Vec<u16>> =
            self.order.as_ref().and_then(Value::as_array).and_then(|order| order.iter().map(whole).collect());
        let values = values.ok_or(RegionError::NoOrder)?;
        if values.len() != all.len() {
            return Err(RegionError::OrderLength { regions: all.len(), values: values.len() });
        }
        let regions = all.into_iter().zip(values);
        let regions =
            regions.map(|((name, labels), value)| LabelRegion { name: name.clone(), labels, value });
        checked(regions.collect())
    }
}

fn whole(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|value| u16::try_from(value).ok())
}

/// The values of an entry of `dataset.json`, ascending.
fn label_values(name: &str, value: &Value) -> Result<Vec<u16>, RegionError> {
    let values: Option<BTreeSet<u16>> = match value {
        Value::Array(values) => values.iter().map(whole).collect(),
        value => whole(value).map(|value| BTreeSet::from([value])),
    };
    let values = values.filter(|values| !values.is_empty() && !values.contains(&0));
    values
        .map(|values| values.into_iter().collect())
        .ok_or_else(|| RegionError::NotValues { name: name.to_owned() })
}

fn checked(regions: Vec<LabelRegion>) -> Result<Vec<LabelRegion>, RegionError> {
    let (mut names, mut values) = (BTreeSet::new(), BTreeSet::new());
    for LabelRegion { name, labels, value } in &regions {
        if !labels.contains(value) {
            return Err(RegionError::OtherValue {
                name: name.clone(),
                value: *value,
                labels: labels.clone(),
            });
        }
        if !names.insert(name.to_lowercase()) | !values.insert(*value) {
            return Err(RegionError::Repeated { name: name.clone(), value: *value });
        }
    }
    Ok(regions)
}

/// The regions of `dataset.json` under the values that rules give its labels. Regions without a
/// remaining label are dropped, and so are all if `--regions` replaces them.
///
/// # Errors
/// [`RegionError`]; also for an invalid rule of `--regions`.
pub(crate) fn of_dataset(
    dataset: &DatasetRegions,
    stated: &[String],
    rules: Option<&LabelRules>,
) -> Result<Vec<LabelRegion>, RegionError> {
    if !stated.is_empty() {
        return if are_none(stated) { Ok(Vec::new()) } else { parse_all(stated).map(|_| Vec::new()) };
    }
    let Some(rules) = rules else { return dataset.regions() };
    let ruled = dataset.regions()?.into_iter().map(|region| {
        let labels: BTreeSet<u16> = region.labels.iter().map(|value| rules.label(*value)).collect();
        let labels = labels.into_iter().filter(|label| *label > 0).collect();
        LabelRegion { labels, value: rules.label(region.value), ..region }
    });
    checked(ruled.filter(|region| !region.labels.is_empty()).collect())
}

/// The regions of a cohort: those that `--regions` states, with labels by value or name, else
/// `of_dataset`.
///
/// # Errors
/// [`RegionError`] if a label is unknown, or two regions are equal.
pub(crate) fn of_cohort(
    of_dataset: Vec<LabelRegion>,
    stated: &[String],
    names: &BTreeMap<u16, String>,
    ignored: Option<u16>,
) -> Result<Vec<LabelRegion>, RegionError> {
    let regions = match stated.is_empty() || are_none(stated) {
        true => of_dataset,
        false => of_rules(stated, names)?,
    };
    let of_ignored = |region: &&LabelRegion| ignored.is_some_and(|value| region.labels.contains(&value));
    match (regions.iter().find(of_ignored), ignored) {
        (Some(LabelRegion { name, .. }), Some(value)) => {
            Err(RegionError::Ignored { name: name.clone(), value })
        }
        _ => Ok(regions),
    }
}

fn are_none(stated: &[String]) -> bool {
    matches!(stated, [one] if one == NONE)
}

/// A rule of `--regions`: name, labels, and the label that it is written as.
struct RegionRule<'a> {
    text: &'a str,
    name: &'a str,
    labels: Vec<&'a str>,
    value: Option<&'a str>,
}

fn parse_all(rules: &[String]) -> Result<Vec<RegionRule<'_>>, RegionError> {
    rules.iter().map(|rule| parse(rule).ok_or_else(|| RegionError::Syntax { rule: rule.clone() })).collect()
}

fn parse(text: &str) -> Option<RegionRule<'_>> {
    let (name, labels) = text.split_once('=')?;
    let (labels, value) = match labels.rsplit_once(':') {
        Some((labels, value)) => (labels, Some(value.trim())),
        None => (labels, None),
    };
    let labels: Vec<&str> = labels.split('+').map(str::trim).collect();
    let name = name.trim();
    let is_named = !name.is_empty() && !NO_REGIONS.contains(&name.to_lowercase().as_str());
    let is_whole = labels.iter().chain(&value).all(|label| !label.is_empty());
    (is_named && is_whole).then_some(RegionRule { text, name, labels, value })
}

fn of_rules(rules: &[String], names: &BTreeMap<u16, String>) -> Result<Vec<LabelRegion>, RegionError> {
    let rules = parse_all(rules)?;
    let value_of = |rule: &RegionRule<'_>, label: &str| {
        let named = names.iter().find(|(_, name)| name.eq_ignore_ascii_case(label)).map(|(value, _)| *value);
        let value = named.or_else(|| label.parse().ok()).filter(|value| *value > 0);
        value.ok_or_else(|| RegionError::UnknownLabel { rule: rule.text.to_owned(), label: label.to_owned() })
    };
    let labels_of = |rule: &RegionRule<'_>| {
        rule.labels.iter().map(|label| value_of(rule, label)).collect::<Result<BTreeSet<u16>, _>>()
    };
    let labels: Vec<BTreeSet<u16>> = rules.iter().map(labels_of).collect::<Result<_, _>>()?;
    let mut regions = Vec::with_capacity(rules.len());
    for (number, rule) in rules.iter().enumerate() {
        let later: BTreeSet<u16> = labels[number + 1..].iter().flatten().copied().collect();
        let own: Vec<u16> = labels[number].difference(&later).copied().collect();
        let value = match (rule.value, own.as_slice()) {
            (Some(label), _) => value_of(rule, label)?,
            (None, [value]) => *value,
            (None, _) => return Err(RegionError::NoValue { name: rule.name.to_owned(), labels: own }),
        };
        let labels = labels[number].iter().copied().collect();
        regions.push(LabelRegion { name: rule.name.to_owned(), labels, value });
    }
    checked(regions)
}

/// Names of labels, with the labels of regions, which are described by these.
pub(crate) fn with_names(names: &BTreeMap<u16, String>, regions: &[LabelRegion]) -> BTreeMap<u16, String> {
    let mut names = names.clone();
    for value in regions.iter().flat_map(|region| &region.labels) {
        names.entry(*value).or_insert_with(|| format!("label {value}"));
    }
    names
}

/// Findings about labels in no region, and about regions without a label in any case.
pub(crate) fn findings(regions: &[LabelRegion], rows: &[CaseRow]) -> Vec<Finding> {
    let usable = rows.iter().filter(|row| row.is_usable());
    let present: BTreeSet<u16> = usable.flat_map(|row| row.labels.iter().map(|label| label.value)).collect();
    let learnt: BTreeSet<u16> = regions.iter().flat_map(|region| region.labels.iter().copied()).collect();
    let outside: Vec<String> = present.difference(&learnt).map(u16::to_string).collect();
    let mut findings = Vec::new();
    if !regions.is_empty() && !outside.is_empty() {
        let message =
            format!("labels that belong to no region are background to a network: {}", outside.join(", "));
        findings.push(Finding::new(Code::LabelOutsideRegions, message));
    }
    let is_empty = |region: &&LabelRegion| !region.labels.iter().any(|label| present.contains(label));
    let empty: Vec<&str> = regions.iter().filter(is_empty).map(|region| region.name.as_str()).collect();
    if !empty.is_empty() {
        let message = format!("no case has a label of these regions: {}", empty.join(", "));
        findings.push(Finding::new(Code::LabelsUnknown, message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(text: &str) -> Result<Vec<LabelRegion>, RegionError> {
        #[derive(Deserialize)]
        struct Dataset {
            labels: DatasetLabels,
            regions_class_order: Option<Value>,
        }
        let Dataset { labels, regions_class_order: order } = serde_json::from_str(text).unwrap();
        DatasetRegions { labels, order }.regions()
    }

    fn region(name: &str, labels: &[u16], value: u16) -> LabelRegion {
        LabelRegion { name: name.to_owned(), labels: labels.to_vec(), value }
    }

    fn stated(rules: &[&str]) -> Result<Vec<LabelRegion>, RegionError> {
        let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
        let names = BTreeMap::from([(1, "oedema".to_owned()), (2, "necrosis".to_owned())]);
        of_cohort(of_dataset(&DatasetRegions::default(), &rules, None)?, &rules, &names, Some(9))
    }

    #[test]
    fn regions_of_a_dataset_keep_the_order_of_the_file() {
        let brats = r#"{"labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing": 3,
            "ignore": 4}, "regions_class_order": [1, 2, 3]}"#;
        let all = [
            region("whole tumor", &[1, 2, 3], 1),
            region("tumor core", &[2, 3], 2),
            region("enhancing", &[3], 3),
        ];
        assert_eq!(dataset(brats).unwrap(), all);
        assert_eq!(dataset(r#"{"labels": {"background": 0, "liver": 1, "tumour": [2]}}"#), Ok(Vec::new()));
        assert_eq!(dataset(r#"{"labels": {"0": "background", "1": "liver"}}"#), Ok(Vec::new()));
        let labels = r#"{"labels": {"background": 0, "b": [2, 1], "a": 1}"#;
        assert_eq!(dataset(&format!("{labels}}}")), Err(RegionError::NoOrder));
        let order = |order: &str| dataset(&format!("{labels}, \"regions_class_order\": {order}}}"));
        assert_eq!(order("[2, 1]").unwrap(), [region("b", &[1, 2], 2), region("a", &[1], 1)]);
        assert_eq!(order("[2]"), Err(RegionError::OrderLength { regions: 2, values: 1 }));
        assert_eq!(order("[2, \"x\"]"), Err(RegionError::NoOrder));
        assert!(matches!(order("[3, 1]"), Err(RegionError::OtherValue { value: 3, .. })));
        assert!(matches!(order("[1, 1]"), Err(RegionError::Repeated { value: 1, .. })));
    }

    #[test]
    fn regions_are_stated_by_values_or_names_and_written_as_what_is_left_of_them() {
        let nested = stated(&["tumour=1+2+3", "core=Necrosis+3", "enhancing=3"]).unwrap();
        let all = [region("tumour", &[1, 2, 3], 1), region("core", &[2, 3], 2), region("enhancing", &[3], 3)];
        assert_eq!(nested, all);
        assert_eq!(stated(&["tumour=1+2:2", "cyst=3"]).unwrap()[0].value, 2);
        let open = stated(&["tumour=1+2", "cyst=3"]).unwrap_err();
        assert_eq!(open, RegionError::NoValue { name: "tumour".to_owned(), labels: vec![1, 2] });
        for rule in ["tumour", "=1", "a=", "a=1+", "background=1", "a=1:"] {
            assert!(matches!(stated(&[rule]), Err(RegionError::Syntax { .. })), "{rule}");
        }
        assert!(matches!(stated(&["a=spleen"]), Err(RegionError::UnknownLabel { .. })));
        assert!(matches!(stated(&["a=9"]), Err(RegionError::Ignored { value: 9, .. })));
        assert_eq!(stated(&["none"]), Ok(Vec::new()));
    }

    #[test]
    fn rules_for_labels_change_regions_with_them() {
        let labels = r#"{"background": 0, "tumor": [1, 2, 4], "core": [1, 4], "enhancing": 4, "cyst": 7}"#;
        let labels = serde_json::from_str(labels).unwrap();
        let dataset = DatasetRegions { labels, order: Some(serde_json::json!([2, 1, 4, 7])) };
        let rules = ["4=enhancing", "1=necrosis", "2=oedema"].map(str::to_owned);
        let rules = LabelRules::new(&rules, &BTreeMap::new(), None).unwrap();
        let ruled = of_dataset(&dataset, &[], rules.as_ref()).unwrap();
        let all = [region("tumor", &[1, 2, 3], 3), region("core", &[1, 2], 2), region("enhancing", &[1], 1)];
        assert_eq!(ruled, all);
    }
}
