//! Which of several structure sets and segmentations of one series its labels come from.

use std::collections::{BTreeMap, BTreeSet};

use pdl_dicom::{LabelFile, Scan};
use pdl_findings::{Code, Finding};
use pdl_store::plural::counted;

use crate::labels::structures::Structures;

/// Label files, each with the labels taken from it.
pub(crate) type Chosen = BTreeMap<usize, BTreeSet<u16>>;

/// The label files that a case is made from; `labels` are those of its series, latest last.
pub(crate) fn choose(structures: &Structures, scan: &Scan, labels: &[usize]) -> Chosen {
    let values: Vec<BTreeSet<u16>> =
        labels.iter().map(|label| values_of(structures, &scan.labels[*label])).collect();
    Structures::sources(&values).into_iter().map(|(file, values)| (labels[file], values)).collect()
}

/// Finding about a series with several label files: whether they hold different structures, which
/// are joined, or the same ones, of which the latest is used.
pub(crate) fn finding(
    structures: &Structures,
    scan: &Scan,
    labels: &[usize],
    chosen: &Chosen,
) -> Option<Finding> {
    if labels.len() < 2 {
        return None;
    }
    let mut files: BTreeMap<u16, Vec<&LabelFile>> = BTreeMap::new();
    for label in labels.iter().map(|label| &scan.labels[*label]) {
        values_of(structures, label)
            .into_iter()
            .for_each(|value| files.entry(value).or_default().push(label));
    }
    let several: Vec<&[&LabelFile]> =
        files.values().map(Vec::as_slice).filter(|files| files.len() > 1).collect();
    let all = format!("{} structure sets or segmentations refer to it", labels.len());
    if several.is_empty() && chosen.len() > 1 {
        let used = if chosen.len() == labels.len() { String::new() } else { format!(" {}", chosen.len()) };
        let joined = counted(files.len(), "structure");
        let message = format!("{all}, and{used} hold different structures: they are joined, {joined} in all");
        return Some(Finding::new(Code::LabelsJoined, message));
    }
    if several.is_empty() {
        let message = format!("{all}, and 1 is used: the others hold no structure that is a label");
        return Some(Finding::new(Code::SeveralLabels, message));
    }
    let tied = several.iter().filter(|files| matches!(files, [.., a, b] if a.is_as_old_as(b))).count();
    let of_tied = match tied {
        0 => String::new(),
        _ => format!(
            "; the latest that have {} have the same date, and one of them is used, by its UID",
            counted(tied, "structure")
        ),
    };
    let message = format!(
        "{all}: each structure comes from the latest that has it ({} {} in several of them); {} used{of_tied}",
        counted(several.len(), "structure"),
        if several.len() == 1 { "is" } else { "are" },
        chosen.len()
    );
    Some(Finding::new(Code::SeveralLabels, message))
}

/// The labels that the structures of a file have.
fn values_of(structures: &Structures, label: &LabelFile) -> BTreeSet<u16> {
    label.structures().filter_map(|names| structures.label_of(names)).collect()
}
