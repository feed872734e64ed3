//! A folder for each case with its image, and one inside with a mask for each structure:
//! TotalSegmentator (`CASE/ct.nii.gz`, `CASE/segmentations/liver.nii.gz`), PDDCA
//! (`CASE/img.nrrd`, `CASE/structures/BrainStem.nrrd`) and the like.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_store::memory::MemoryShare;
use pdl_store::plural::counted;

use super::subject_table::SubjectTable;
use super::volume_files::{VolumeFile, VolumeFiles, last_name, unique};
use super::{DiscoveredCase, Layout};
use crate::CohortError;
use crate::attributes::Modality;
use crate::discover::patient_names;
use crate::discover::volume_names::{is_image_name, is_label_name, is_label_word, words};

/// TotalSegmentator's table of its cases, and the column that names them.
const CASES: (&str, &str) = ("meta.csv", "image_id");

/// The cases of such folders; `None` if a volume does not fit this layout.
///
/// # Errors
/// [`CohortError`] when the table of the cases cannot be read or lacks a column of `carry`.
pub(super) fn find(
    files: &VolumeFiles,
    carry: &BTreeSet<String>,
    memory: &MemoryShare<'_>,
) -> Result<Option<Layout>, CohortError> {
    let Some(found) = cases(files) else { return Ok(None) };
    let ids: Vec<String> = found.iter().map(|case| last_name(case.folder)).collect();
    let names = unique(ids.iter());
    let table = SubjectTable::read(&files.root.join(CASES.0), CASES.1, memory)?;
    let patients: Option<Vec<String>> =
        found.iter().map(|case| patient_names::of_folder(case.folder)).collect();
    let mut cases = Vec::with_capacity(found.len());
    for (number, (case, id)) in found.iter().zip(&ids).enumerate() {
        let stated = Some(id.clone()).filter(|id| names.contains(id));
        let mut discovered = case.discovered(files, stated);
        discovered.patient = patients.as_ref().map(|patients| patients[number].clone());
        if let Some(table) = &table {
            table.describe(&mut discovered, id, carry)?;
        }
        cases.push(discovered);
    }
    let findings = unused(&found).into_iter().collect();
    let kind = "a folder for each case, and a mask for each structure in a folder inside";
    Ok(Some(Layout { cases, kind, findings, tables: &[CASES.0], ..Layout::default() }))
}

/// The folder of a case.
struct StructureFolder<'a> {
    folder: &'a Path,
    image: &'a VolumeFile,
    masks: Vec<&'a VolumeFile>,
    /// Label maps beside the image, which are not used.
    whole: Vec<&'a VolumeFile>,
}

/// Every case; `None` if the layout is another one.
fn cases(files: &VolumeFiles) -> Option<Vec<StructureFolder<'_>>> {
    let folders = files.by_folder();
    let mut masks: BTreeMap<&Path, Vec<&VolumeFile>> = BTreeMap::new();
    let mut images = Vec::new();
    for (folder, volumes) in &folders {
        let parent = folder.parent().filter(|parent| folders.contains_key(parent));
        match parent {
            Some(parent) if is_label_name(&last_name(folder)) => {
                if masks.insert(parent, volumes.clone()).is_some() {
                    return None;
                }
            }
            _ => images.push((*folder, volumes.as_slice())),
        }
    }
    let mut cases = Vec::new();
    for (folder, volumes) in images {
        let masks = masks.remove(folder).unwrap_or_default();
        let is_whole = |file: &&&VolumeFile| words(&file.stem).iter().any(|word| is_label_word(word));
        // AbdomenAtlas has the label map of all structures beside the image, too.
        let whole: Vec<&VolumeFile> =
            volumes.iter().filter(is_whole).filter(|_| !masks.is_empty()).copied().collect();
        let mut images = volumes.iter().filter(|file| !whole.contains(*file));
        let (Some(image), None) = (images.next(), images.next()) else { return None };
        if folder == Path::new("") {
            return None;
        }
        cases.push(StructureFolder { folder, image, masks, whole });
    }
    // A mask alone under the name of a label map is one.
    let of_structures = |case: &StructureFolder<'_>| {
        case.masks.len() > 1 || case.masks.iter().any(|mask| !is_label_name(&mask.stem))
    };
    let is_image = |case: &StructureFolder<'_>| {
        is_image_name(&case.image.stem) || last_name(case.folder).eq_ignore_ascii_case(&case.image.stem)
    };
    (cases.iter().all(is_image) && cases.iter().any(of_structures)).then_some(cases)
}

/// Finding about label maps beside the folders of masks.
fn unused(cases: &[StructureFolder<'_>]) -> Option<Finding> {
    let count: usize = cases.iter().map(|case| case.whole.len()).sum();
    let message = format!(
        "{} beside the folders of masks are not used. To use them instead, name them in a table with the columns image and label",
        counted(count, "label map")
    );
    (count > 0).then(|| Finding::new(Code::FilesUnused, message))
}

impl StructureFolder<'_> {
    fn discovered(&self, files: &VolumeFiles, stated: Option<String>) -> DiscoveredCase {
        let folder = self.masks.first().map(|mask| mask.folder());
        let found = files.case(stated, Some(&self.image.path), folder);
        let path = |mask: &&VolumeFile| (mask.stem.clone(), files.root.join(&mask.path));
        let structures: BTreeMap<String, PathBuf> = self.masks.iter().map(path).collect();
        let modality = self.image.stem.parse().ok().filter(|modality| *modality != Modality::OT);
        DiscoveredCase { structures, modality, ..found }
    }
}
