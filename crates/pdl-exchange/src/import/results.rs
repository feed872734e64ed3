//! Per-case results of nnU-Net: `summary.json` of a validation, of `nnUNetv2_evaluate_folder` or of
//! nnU-Net v1.

use std::collections::BTreeMap;
use std::path::Path;

use pdl_io::stem;
use pdl_store::{StoreError, regular_file};
use serde::Deserialize;
use serde_json::Value;

use crate::ExchangeError;

/// One metric of one case.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseResult {
    /// Name of the case's files, without folder and ending.
    pub name: String,
    /// The metric of each label or region, by nnU-Net's key for it, such as `1` or `(1, 2)`;
    /// without those that are absent from both label maps.
    pub labels: BTreeMap<String, f64>,
}

impl CaseResult {
    /// Mean over the labels; `None` if none counts.
    pub fn mean(&self) -> Option<f64> {
        let count = self.labels.len() as f64;
        (count > 0.0).then(|| self.labels.values().sum::<f64>() / count)
    }
}

/// nnU-Net v2.
#[derive(Debug, Deserialize)]
struct Summary {
    metric_per_case: Vec<SummaryCase>,
}

#[derive(Debug, Deserialize)]
struct SummaryCase {
    metrics: BTreeMap<String, BTreeMap<String, Value>>,
    #[serde(default)]
    reference_file: Option<String>,
    prediction_file: String,
}

/// nnU-Net v1.
#[derive(Debug, Deserialize)]
struct EarlierSummary {
    results: EarlierResults,
}

#[derive(Debug, Deserialize)]
struct EarlierResults {
    all: Vec<BTreeMap<String, Value>>,
}

/// Reads `metric` (such as `Dice`) of every case of a `summary.json`.
///
/// # Errors
/// [`ExchangeError`] if the file cannot be read, is no such summary, or lacks the metric.
pub fn read_summary(path: &Path, metric: &str) -> Result<Vec<CaseResult>, ExchangeError> {
    let text = regular_file::read(path).map_err(StoreError::io("read the file", path))?;
    let invalid = |problem: String| ExchangeError::Summary { problem, path: path.to_owned() };
    let text = without_nan(&String::from_utf8_lossy(&text));
    let value: Value = serde_json::from_str(&text).map_err(|error| {
        invalid(format!("expected a summary.json of nnU-Net, found other content ({error})"))
    })?;
    let cases = if value.get("metric_per_case").is_some() {
        let summary: Summary = serde_json::from_value(value)
            .map_err(|error| invalid(format!("metric_per_case cannot be read ({error})")))?;
        let cases = summary.metric_per_case.into_iter().map(|case| of_case(case, metric));
        cases.collect::<Result<Vec<_>, _>>().map_err(invalid)?
    } else if value.get("results").is_some() {
        let summary: EarlierSummary = serde_json::from_value(value)
            .map_err(|error| invalid(format!("results.all cannot be read ({error})")))?;
        let cases = summary.results.all.iter().map(|case| of_earlier(case, metric));
        cases.collect::<Result<Vec<_>, _>>().map_err(invalid)?
    } else {
        return Err(invalid(
            "expected metric_per_case (nnU-Net v2) or results (v1), found neither".to_owned(),
        ));
    };
    match cases.iter().any(|case| !case.labels.is_empty()) {
        true => Ok(cases),
        false => Err(invalid(format!("no case has the metric {metric}"))),
    }
}

fn of_case(case: SummaryCase, metric: &str) -> Result<CaseResult, String> {
    let file = case.reference_file.filter(|file| !file.is_empty()).unwrap_or(case.prediction_file);
    let name = name(&file);
    let labels = case.metrics.iter().map(|(label, of)| (label.as_str(), of));
    Ok(CaseResult { labels: values(&name, labels, metric)?, name })
}

fn of_earlier(case: &BTreeMap<String, Value>, metric: &str) -> Result<CaseResult, String> {
    let file = |key: &str| case.get(key).and_then(Value::as_str).map(name);
    let name = file("reference").or_else(|| file("test")).unwrap_or_default();
    let of_labels: Vec<(&str, BTreeMap<String, Value>)> = case
        .iter()
        .filter(|(label, _)| *label != "0")
        .filter_map(|(label, of)| Some((label.as_str(), of.as_object()?.clone().into_iter().collect())))
        .collect();
    Ok(CaseResult { labels: values(&name, of_labels.iter().map(|(label, of)| (*label, of)), metric)?, name })
}

/// The metric of each label that has a value.
fn values<'a>(
    case: &str,
    labels: impl Iterator<Item = (&'a str, &'a BTreeMap<String, Value>)>,
    metric: &str,
) -> Result<BTreeMap<String, f64>, String> {
    let mut values = BTreeMap::new();
    for (label, of) in labels {
        let value = match of.get(metric) {
            None | Some(Value::Null) => continue,
            Some(value) => value,
        };
        let number = value.as_f64().filter(|number| !is_share(metric) || (0.0..=1.0).contains(number));
        let number = number.ok_or_else(|| {
            let expected = if is_share(metric) { "a number from 0 to 1" } else { "a number" };
            format!("case {case}, label {label}, {metric}: expected {expected}, found {value}")
        })?;
        values.insert(label.to_owned(), number);
    }
    Ok(values)
}

/// Whether a metric of nnU-Net is a share, and so lies from 0 to 1.
fn is_share(metric: &str) -> bool {
    ["dice", "iou", "jaccard", "precision", "recall", "accuracy"].contains(&metric.to_lowercase().as_str())
}

/// The name of a file without its folder, of Windows or others, and without its ending.
fn name(file: &str) -> String {
    stem(file.rsplit(['/', '\\']).next().unwrap_or(file)).to_owned()
}

/// Replaces what Python writes for numbers that JSON does not have (NaN, Infinity) by null.
fn without_nan(text: &str) -> String {
    let mut found = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word =
            ["NaN", "-Infinity", "Infinity"].into_iter().find(|word| !in_string && rest.starts_with(word));
        let length = word.map_or(c.len_utf8(), str::len);
        match word {
            Some(_) => found.push_str("null"),
            None => found.push(c),
        }
        in_string ^= c == '"' && !escaped;
        escaped = in_string && c == '\\' && !escaped;
        rest = &rest[length..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, metric: &str) -> Result<Vec<CaseResult>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        std::fs::write(&path, text).unwrap();
        read_summary(&path, metric).map_err(|error| error.to_string())
    }

    #[test]
    fn summaries_of_both_versions_are_read() {
        let second = r#"{"foreground_mean": {"Dice": NaN}, "mean": {}, "metric_per_case": [
            {"metrics": {"1": {"Dice": 0.5, "IoU": 0.25}, "(1, 2)": {"Dice": NaN, "IoU": Infinity}},
             "prediction_file": "C:\\pred\\NaN_1.nii.gz", "reference_file": "/ref/case \"NaN\".nii.gz"}]}"#;
        let found = read(second, "Dice").unwrap();
        assert_eq!(found[0].name, "case \"NaN\"");
        assert_eq!(found[0].labels, BTreeMap::from([("1".to_owned(), 0.5)]));
        let first = r#"{"results": {"all": [{"0": {"Dice": 1.0}, "1": {"Dice": 0.5}, "2": {"Dice": 0.75},
            "reference": "x/p_1.nii.gz", "test": "y/p_1.nii.gz"}], "mean": {}}}"#;
        let found = read(first, "Dice").unwrap();
        assert_eq!((found[0].name.as_str(), found[0].mean()), ("p_1", Some(0.625)));
    }

    #[test]
    fn other_files_are_refused_with_the_cause() {
        assert!(read("{}", "Dice").unwrap_err().contains("found neither"));
        assert!(read("not json", "Dice").unwrap_err().contains("other content"));
        let text =
            r#"{"metric_per_case": [{"metrics": {"1": {"Dice": 0.5}}, "prediction_file": "a.nii.gz"}]}"#;
        assert!(read(text, "HD95").unwrap_err().contains("no case has the metric HD95"));
    }

    #[test]
    fn a_share_lies_between_0_and_1_and_a_metric_is_a_number() {
        for value in ["1e300", "-0.5", "1.0000001", "\"0.5\"", "true", "[0.5]"] {
            let second = format!(
                r#"{{"metric_per_case": [{{"metrics": {{"1": {{"Dice": {value}}}}}, "prediction_file": "a.nii.gz"}}]}}"#
            );
            let first =
                format!(r#"{{"results": {{"all": [{{"1": {{"Dice": {value}}}, "test": "a.nii.gz"}}]}}}}"#);
            for text in [second, first] {
                let told = read(&text, "Dice").unwrap_err();
                assert!(told.contains("case a, label 1, Dice: expected a number from 0 to 1"), "{told}");
            }
        }
        let counts =
            r#"{"metric_per_case": [{"metrics": {"1": {"TP": 1e9}}, "prediction_file": "a.nii.gz"}]}"#;
        assert_eq!(read(counts, "TP").unwrap()[0].mean(), Some(1e9));
    }
}
