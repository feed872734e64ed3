//! The channels of a case that has several: the names of their prepared files, and what their
//! hashes are made from.

use std::collections::HashSet;

use pdl_cohort::table::case_row::CaseRow;
use pdl_io::split_frame;
use pdl_store::hash::Key;

/// The separator between a case's id and the name of a channel in a prepared file's name: enough
/// `_` that all these names, and those of the first channels, are distinct, without regard to case
/// as on some file systems.
pub(crate) fn separator(rows: &[&CaseRow]) -> String {
    let mut separator = "_".to_owned();
    while !are_distinct(rows, &separator) {
        separator.push('_');
    }
    separator
}

fn are_distinct(rows: &[&CaseRow], separator: &str) -> bool {
    let mut names: HashSet<String> = rows.iter().map(|row| row.case_id.to_lowercase()).collect();
    let stems = |row: &&CaseRow| {
        let further = row.channels.iter().skip(1);
        further.map(|channel| file_stem(row, &channel.name, separator).to_lowercase()).collect::<Vec<_>>()
    };
    rows.iter().flat_map(stems).all(|name| names.insert(name))
}

/// The name of a channel's prepared file, without its ending.
pub(crate) fn file_stem(row: &CaseRow, channel: &str, separator: &str) -> String {
    format!("{}{separator}{channel}", row.case_id)
}

/// A key with the images of a case that has several, or is one frame of a file of several.
pub(crate) fn with_channels(key: Key, row: &CaseRow) -> Key {
    match identities(row).as_slice() {
        [(_, None)] => key,
        several => key.part("channels", &several),
    }
}

/// Identity of each image of a case: the hashes of their files, and the frames of these.
fn identities(row: &CaseRow) -> Vec<(&str, Option<usize>)> {
    row.images().into_iter().map(|(path, blake3)| (blake3, split_frame(path).1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(case_id: &str, channels: &[&str]) -> CaseRow {
        let figures =
            ["min", "max", "mean", "std", "p00_5", "p99_5"].map(|name| (format!("intensity_{name}"), 0.0));
        let channel = |name: &&str| {
            let mut channel = serde_json::json!({
                "name": name, "image": "", "image_blake3": "", "modality": "MR", "voxel_type": "",
            });
            figures.iter().for_each(|(key, value)| channel[key] = (*value).into());
            channel
        };
        let mut row = serde_json::json!({
            "case_id": case_id, "patient_id": case_id, "modality": "MR", "split": "train", "image": "", "label": null,
            "shape": [], "spacing_mm": [], "affine": [], "orientation": "", "voxel_type": "", "labels": [],
            "labels_annotated": [], "image_blake3": "", "label_blake3": null, "status": "ok", "findings": [],
            "channels": channels.iter().map(channel).collect::<Vec<_>>(),
        });
        figures.iter().for_each(|(key, value)| row[key] = (*value).into());
        serde_json::from_value(row).unwrap()
    }

    fn separator_of(cases: &[&str], channels: &[&str]) -> String {
        let rows: Vec<CaseRow> = cases.iter().map(|case| row(case, channels)).collect();
        separator(&rows.iter().collect::<Vec<_>>())
    }

    #[test]
    fn no_two_prepared_files_have_one_name() {
        assert_eq!(separator_of(&["a", "b"], &["CT", "PT"]), "_");
        assert_eq!(separator_of(&["a", "a_pt"], &["CT", "PT"]), "__");
        assert_eq!(separator_of(&["a", "a_b"], &["x", "c", "b_c"]), "__");
        assert_eq!(separator_of(&["a", "a_PT", "a__PT"], &["CT", "PT"]), "___");
    }
}
