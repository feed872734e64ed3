//! Losses of labels in preparation: small structures lose some or all voxels at a coarser spacing.

use std::collections::BTreeMap;

use pdl_cohort::table::case_row::{CaseRow, LabelVoxels};
use pdl_findings::{Code, Finding};
use pdl_store::plural::counted;
use pdl_store::shorten::MOST_LISTED;
use pdl_volume::{LabelMap, count_labels};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A label that keeps less than this fraction of its volume is reported.
const LEAST_KEPT: f64 = 0.5;

/// A label of a case after preparation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PreparedLabel {
    /// The label's value.
    pub value: u16,
    /// Voxels in the prepared label map.
    pub voxels: u64,
    /// Volume in the prepared label map as a fraction of that in the original.
    pub kept: f64,
}

impl PreparedLabel {
    /// Every label of a case in its prepared label map.
    pub(crate) fn of(row: &CaseRow, prepared: &LabelMap) -> Vec<Self> {
        let after: BTreeMap<u16, u64> =
            count_labels(prepared).into_iter().map(|count| (count.value, count.voxels)).collect();
        let voxel_mm3 = |spacing: &[f64]| spacing.iter().product::<f64>();
        let [before_mm3, after_mm3] = [voxel_mm3(&row.spacing_mm), voxel_mm3(&prepared.grid.spacing_mm())];
        let of_label = |label: &LabelVoxels| {
            let voxels = after.get(&label.value).copied().unwrap_or(0);
            let kept = voxels as f64 * after_mm3 / (label.voxels.max(1) as f64 * before_mm3);
            Self { value: label.value, voxels, kept }
        };
        row.labels.iter().map(of_label).collect()
    }
}

/// The cases that lose one label, and of how many that have it.
#[derive(Default)]
struct Loss<'a> {
    vanished: Vec<&'a str>,
    shrunk: Vec<(&'a str, f64)>,
    cases: usize,
}

/// Findings about labels that have no voxel left, and about those with less than half of their
/// volume. `cases` has the labels of each prepared case by its id.
pub(crate) fn findings<'a>(
    cases: impl Iterator<Item = (&'a str, &'a [PreparedLabel])>,
    names: &BTreeMap<u16, String>,
) -> Vec<Finding> {
    let mut losses: BTreeMap<u16, Loss<'_>> = BTreeMap::new();
    for (case, label) in cases.flat_map(|(case, labels)| labels.iter().map(move |label| (case, label))) {
        let loss = losses.entry(label.value).or_default();
        loss.cases += 1;
        match label.voxels {
            0 => loss.vanished.push(case),
            _ if label.kept < LEAST_KEPT => loss.shrunk.push((case, label.kept)),
            _ => {}
        }
    }
    let name = |value: &u16| names.get(value).map_or(value.to_string(), |name| format!("{value} ({name})"));
    let vanished = losses.iter().filter(|(_, loss)| !loss.vanished.is_empty()).map(|(value, loss)| {
        let Loss { vanished, cases, .. } = loss;
        format!("{} in {} of {} ({})", name(value), vanished.len(), counted(*cases, "case"), vanished[0])
    });
    let shrunk = losses.iter().filter_map(|(value, loss)| {
        let (case, kept) = loss.shrunk.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
        let (few, cases) = (loss.shrunk.len(), counted(loss.cases, "case"));
        Some(format!("{} in {few} of {cases} (least {:.0}%, {case})", name(value), 100.0 * kept))
    });
    let finding = |code: Code, what: &str, labels: Vec<String>| {
        let more = labels.len().saturating_sub(MOST_LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let listed = labels.iter().take(MOST_LISTED).cloned().collect::<Vec<_>>().join(", ");
        (!labels.is_empty()).then(|| Finding::new(code, format!("{what}: {listed}{more}")))
    };
    let lost = finding(
        Code::LabelVanished,
        "labels without a voxel at the target spacing, which are not learnt there",
        vanished.collect(),
    );
    let mostly = finding(
        Code::LabelShrunk,
        "labels with less than half of their volume at the target spacing",
        shrunk.collect(),
    );
    lost.into_iter().chain(mostly).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Grid, Orientation};

    #[test]
    fn what_is_left_of_a_label_is_a_share_of_its_volume() {
        let row: CaseRow = serde_json::from_value(serde_json::json!({
            "case_id": "a", "patient_id": "a", "modality": "CT", "split": "train", "image": "", "label": "",
            "shape": [8, 8, 8], "spacing_mm": [1.0, 1.0, 2.0], "affine": [], "orientation": "", "voxel_type": "",
            "labels": [{"value": 1, "voxels": 4}, {"value": 3, "voxels": 40}], "labels_annotated": [1, 3],
            "intensity_min": 0.0, "intensity_max": 0.0, "intensity_mean": 0.0, "intensity_std": 0.0,
            "intensity_p00_5": 0.0, "intensity_p99_5": 0.0, "image_blake3": "", "label_blake3": null,
            "status": "ok", "findings": [],
        }))
        .unwrap();
        let shape = [4, 4, 4];
        let grid = Grid::new(shape, Affine::from_orientation(Orientation::RAS, [2.0; 3], shape));
        let map = LabelMap::new(grid, (0..64).map(|voxel| if voxel < 4 { 3 } else { 0 }).collect()).unwrap();
        let left = PreparedLabel::of(&row, &map);
        let label = |value, voxels, kept| PreparedLabel { value, voxels, kept };
        assert_eq!(left, [label(1, 0, 0.0), label(3, 4, 0.4)]);
        let names = BTreeMap::from([(1, "electrode".to_owned())]);
        let whole = [label(1, 9, 1.0), label(3, 9, 0.5)];
        let cases = [("a", left.as_slice()), ("b", whole.as_slice())];
        let findings = findings(cases.into_iter(), &names);
        let codes: Vec<Code> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [Code::LabelVanished, Code::LabelShrunk]);
        assert!(findings[0].message.contains("1 (electrode) in 1 of 2 cases (a)"), "{}", findings[0].message);
        assert!(findings[1].message.contains("3 in 1 of 2 cases (least 40%, a)"), "{}", findings[1].message);
    }
}
