//! Rows of `sources.parquet` for a cohort of files: the case that each file belongs to, or why it
//! belongs to none.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use pdl_findings::SkipReason;
use pdl_io::{Part, is_volume_name, split_frame, stem};
use pdl_store::{StoreError, fault};

use crate::cohort_paths::Place;
use crate::discover::walk;
use crate::discover::{DiscoveredCase, Layout};
use crate::table::case_row::CaseRow;
use crate::table::sources::SourceRow;

/// Tables and descriptions in a cohort's folder.
const DESCRIPTIONS: [&str; 2] = ["cohort.csv", "dataset.json"];

/// Endings of files that hold the voxels of a header beside them.
const VOXELS: [&str; 5] = [".img", ".img.gz", ".raw", ".raw.gz", ".zraw"];

/// Folder of the imported volumes in a curation folder.
const KEPT: &str = "volumes/";

/// The files of a cohort that its layout names, before a volume is read.
pub(crate) struct CohortFiles {
    cohort: PathBuf,
    named: HashSet<PathBuf>,
    /// Channels that belong to a case.
    channels: HashSet<PathBuf>,
}

impl CohortFiles {
    /// From the layout as the cohort has it; `channels` are those of [`channels`].
    pub(crate) fn new(cohort: &Path, layout: &Layout, channels: HashSet<PathBuf>) -> Self {
        let of_case = |found: &DiscoveredCase| {
            let own = [&found.image, &found.label].into_iter().flatten().chain(found.channels.values());
            own.chain(found.structures.values()).cloned().collect::<Vec<_>>()
        };
        let paths = layout.cases.iter().flat_map(of_case);
        let named = paths.map(|path| match path.file_name().and_then(|name| name.to_str()) {
            Some(name) => path.with_file_name(split_frame(name).0),
            None => path,
        });
        Self { cohort: cohort.to_owned(), named: named.collect(), channels }
    }

    /// Adds the rows of the cases whose files are used in place, and of the files that belong to no
    /// case, to those of the imported cases. `parts` are the files that were read for each of
    /// `rows`, `earlier` the rows of the run before.
    ///
    /// # Errors
    /// [`StoreError::Io`] if an error of the machine prevents a file from being inspected.
    pub(crate) fn complete(
        &self,
        sources: &mut Vec<SourceRow>,
        rows: &[CaseRow],
        parts: &[[Vec<Part>; 2]],
        earlier: &[SourceRow],
        place: &Place,
    ) -> Result<(), StoreError> {
        let are_kept = !sources.is_empty();
        let kept: HashSet<String> = sources.iter().map(|row| row.case_id.clone()).collect();
        let earlier = by_case(earlier);
        let by_id: HashMap<&str, &CaseRow> = rows.iter().map(|case| (case.case_id.as_str(), case)).collect();
        // If only the label map of a case is imported, its image is read in place.
        for row in sources.iter_mut().filter(|row| row.set_aside.is_none() && row.image.is_empty()) {
            let images = by_id.get(row.case_id.as_str()).map(|case| case.images()).unwrap_or_default();
            let in_place =
                images.into_iter().map(|(image, _)| image).filter(|image| !image.starts_with(KEPT));
            row.image.extend(in_place.filter(|image| !image.is_empty()).map(file_of));
        }
        for (case, parts) in rows.iter().zip(parts).filter(|(case, _)| !kept.contains(&case.case_id)) {
            sources.push(row_in_place(case, parts, earlier.get(case.case_id.as_str()).copied(), place)?);
        }
        let skipped = self.skipped(sources, are_kept, place)?;
        sources.extend(skipped);
        Ok(())
    }

    /// The files of the cohort's folder that no row of `rows` names, each with the reason; empty
    /// for a table or a list, whose files may lie anywhere. If some volumes are imported
    /// (`are_kept`), their files are named by their real paths. Voxels beside a header that a row
    /// names are added to that row.
    ///
    /// # Errors
    /// [`StoreError::Io`] if an error of the machine prevents the folder from being listed.
    pub(crate) fn skipped(
        &self,
        rows: &mut [SourceRow],
        are_kept: bool,
        place: &Place,
    ) -> Result<Vec<SourceRow>, StoreError> {
        let failed = StoreError::io("look at the cohort", &self.cohort);
        if !fault::is_dir(&self.cohort).map_err(failed)? {
            return Ok(Vec::new());
        }
        let used: HashSet<&str> = rows.iter().flat_map(files_of).map(String::as_str).collect();
        let tree = walk::tree_below(&self.cohort)?;
        let mut left = Vec::new();
        for file in tree.files.iter().chain(&tree.special) {
            if !are_kept && self.named.contains(file) {
                continue;
            }
            let text = if are_kept { place.real_text(file)? } else { place.text(file)? };
            let is_used =
                used.contains(text.as_str()) || are_kept && used.contains(place.text(file)?.as_str());
            if !is_used {
                left.push((file, text));
            }
        }
        let mut headers: HashMap<String, (usize, usize)> = HashMap::new();
        for (number, row) in rows.iter().enumerate() {
            for (kind, files) in [&row.image, &row.label].into_iter().enumerate() {
                headers.extend(files.iter().map(|file| (stem(file).to_owned(), (number, kind))));
            }
        }
        let mut skipped = Vec::new();
        for (file, text) in left {
            let header = VOXELS.iter().find_map(|ending| headers.get(text.strip_suffix(ending)?));
            if let Some((number, kind)) = header {
                let row = &mut rows[*number];
                [&mut row.image, &mut row.label][*kind].push(text);
            } else if tree.special.contains(file) {
                skipped.push(row_of(text, SkipReason::SpecialFile));
            } else {
                let reason = self.reason(file).map_err(StoreError::io("look at the file", file))?;
                skipped.push(row_of(text, reason));
            }
        }
        Ok(skipped)
    }

    /// Why a file of the folder belongs to no case.
    fn reason(&self, file: &Path) -> std::io::Result<SkipReason> {
        let below = file.strip_prefix(&self.cohort).unwrap_or(file);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let is_hidden = |part: std::path::Component<'_>| part.as_os_str().to_string_lossy().starts_with('.');
        Ok(if DESCRIPTIONS.iter().any(|description| below == Path::new(description)) {
            SkipReason::Description
        } else if self.channels.contains(file) {
            SkipReason::OtherChannel
        } else if below.components().any(is_hidden) {
            SkipReason::Hidden
        } else if fault::is_dir(file)? {
            SkipReason::Unreadable
        } else if is_volume_name(&name) {
            SkipReason::NotInCohort
        } else {
            SkipReason::NotAVolume
        })
    }
}

/// All channels of cases that have several.
pub(crate) fn channels(layout: &Layout) -> HashSet<PathBuf> {
    layout.cases.iter().flat_map(|found| found.channels.values().cloned()).collect()
}

/// The row of a case whose files are used where they lie. `parts` are the files that were read for
/// it; where it was known already, `earlier` is its row of the run that read them.
///
/// # Errors
/// [`StoreError::Io`] if an error of the machine prevents a file from being inspected.
pub(crate) fn row_in_place(
    case: &CaseRow,
    parts: &[Vec<Part>; 2],
    earlier: Option<&SourceRow>,
    place: &Place,
) -> Result<SourceRow, StoreError> {
    let files = |path: &str, parts: &[Part], earlier: Option<&Vec<String>>| {
        if path.is_empty() {
            return Ok(Vec::new());
        }
        let own = file_of(path);
        // The first part is the file itself; of most there is no other.
        let mut files = vec![own];
        match earlier.filter(|earlier| parts.is_empty() && earlier.first() == files.first()) {
            Some(earlier) => files.clone_from(earlier),
            None => {
                for part in parts.iter().skip(1) {
                    files.push(place.text(&part.path)?);
                }
            }
        }
        Ok::<_, StoreError>(files)
    };
    let mut image = files(&case.image, &parts[0], earlier.map(|row| &row.image))?;
    for (channel, _) in case.images().into_iter().skip(1) {
        let channel = file_of(channel);
        if !image.contains(&channel) {
            image.push(channel);
        }
    }
    Ok(SourceRow {
        case_id: case.case_id.clone(),
        image,
        label: files(case.label.as_deref().unwrap_or_default(), &parts[1], earlier.map(|row| &row.label))?,
        set_aside: None,
        reason: None,
    })
}

/// All files of a row.
fn files_of(row: &SourceRow) -> impl Iterator<Item = &String> {
    row.image.iter().chain(&row.label)
}

fn row_of(file: String, reason: SkipReason) -> SourceRow {
    SourceRow {
        case_id: String::new(),
        image: vec![file],
        label: Vec::new(),
        set_aside: Some(reason.words().to_owned()),
        reason: Some(reason),
    }
}

/// The file of a path that may name a frame of it.
fn file_of(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/{}", split_frame(name).0),
        None => split_frame(path).0.to_owned(),
    }
}

/// Whether the files of a row are those that `cases.parquet` names: none was imported into the
/// curation folder.
pub(crate) fn are_in_place(source: &SourceRow, image: &str, label: Option<&str>) -> bool {
    let is_of = |files: &[String], path: &str| files.contains(&file_of(path));
    (!image.is_empty() || label.is_some())
        && (image.is_empty() || is_of(&source.image, image))
        && label.is_none_or(|label| is_of(&source.label, label))
}

/// The rows of cases by their ids.
pub(crate) fn by_case(rows: &[SourceRow]) -> HashMap<&str, &SourceRow> {
    let of_cases = rows.iter().filter(|row| row.set_aside.is_none());
    of_cases.map(|row| (row.case_id.as_str(), row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::{self, DiscoveredCase};
    use std::collections::BTreeSet;
    use std::fs;

    #[test]
    fn every_file_of_the_folder_is_of_a_case_or_has_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "imagesTr/a_0000.nii.gz",
            "imagesTr/a_0001.nii.gz",
            "imagesTr/b_0000.mhd",
            "imagesTr/b_0000.raw",
            "imagesTr/._a_0000.nii.gz",
            "imagesTr/notes.txt",
            "labelsTr/a.nii.gz",
            "imagesTs/c_0000.nii.gz",
            "dataset.json",
            ".git/index",
        ];
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"{}").unwrap();
        }
        let mut layout = discover::find(folder.path(), &BTreeSet::new()).unwrap();
        let all_channels = channels(&layout);
        layout.choose_channel("0").unwrap();
        let out = folder.path().join(".out");
        fs::create_dir(&out).unwrap();
        let place = Place::new(folder.path(), &out, None).unwrap();
        let file = |path: &Option<PathBuf>| path.iter().map(|path| place.text(path).unwrap()).collect();
        let row = |found: &DiscoveredCase| SourceRow {
            case_id: found.case_id.clone(),
            image: file(&found.image),
            label: file(&found.label),
            set_aside: None,
            reason: None,
        };
        let mut rows: Vec<SourceRow> = layout.cases.iter().map(row).collect();
        let files = CohortFiles::new(folder.path(), &layout, all_channels);
        let skipped = files.skipped(&mut rows, false, &place).unwrap();
        let found: Vec<(&str, SkipReason)> = skipped
            .iter()
            .map(|row| (row.image[0].strip_prefix("../").unwrap(), row.reason.unwrap()))
            .collect();
        let expected = [
            (".git/index", SkipReason::Hidden),
            ("dataset.json", SkipReason::Description),
            ("imagesTr/._a_0000.nii.gz", SkipReason::Hidden),
            ("imagesTr/a_0001.nii.gz", SkipReason::OtherChannel),
            ("imagesTr/notes.txt", SkipReason::NotAVolume),
            ("imagesTs/c_0000.nii.gz", SkipReason::NotInCohort),
        ];
        assert_eq!(found, expected);
        // By their real paths they are the same.
        assert_eq!(files.skipped(&mut rows, true, &place).unwrap(), skipped);
        let b = rows.iter().find(|row| row.case_id == "b").unwrap();
        assert_eq!(b.image, ["../imagesTr/b_0000.mhd", "../imagesTr/b_0000.raw"]);
    }

    #[test]
    fn a_row_is_in_place_where_the_table_names_its_files() {
        let row = |image: &[&str], label: &[&str]| SourceRow {
            case_id: "a".to_owned(),
            image: image.iter().map(|name| (*name).to_owned()).collect(),
            label: label.iter().map(|name| (*name).to_owned()).collect(),
            set_aside: None,
            reason: None,
        };
        assert!(are_in_place(&row(&["../a.hdr", "../a.img"], &["../b.nii"]), "../a.hdr", Some("../b.nii")));
        assert!(are_in_place(&row(&["../a.nii"], &[]), "../a.nii#3", None));
        assert!(!are_in_place(
            &row(&["../a.nii"], &["../b.nrrd"]),
            "../a.nii",
            Some("volumes/labels/a.nii.gz")
        ));
        assert!(!are_in_place(&row(&["../x/1.dcm"], &[]), "", None));
    }
}
