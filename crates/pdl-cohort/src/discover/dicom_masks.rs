//! DICOM series whose labels are files of another format near them: `CASE/dicom/` with
//! `CASE/mask.nii.gz`, or CHAOS (`CASE/DICOM_anon/`, `CASE/Ground/*.png`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pdl_store::StoreError;

use super::named_channels::NamedChannels;
use super::volume_files::{VolumeFile, VolumeFiles, last_name};
use super::{DiscoveredCase, Layout};
use crate::CohortError;
use crate::attributes::Modality;
use crate::discover::dicom_folder;
use crate::discover::volume_names::{is_image_name, is_label_name};
use crate::identity::case_id::CaseLabel;

/// The folders of CHAOS for the masks and for the images.
const CHAOS: [&str; 2] = ["Ground", "DICOM_anon"];

/// The values of CHAOS's masks on MR, and on CT.
const CHAOS_MR: [(u16, &str); 4] =
    [(63, "liver"), (126, "right kidney"), (189, "left kidney"), (252, "spleen")];
const CHAOS_CT: [(u16, &str); 1] = [(255, "liver")];

/// The label files of a case.
enum Masks<'a> {
    /// Volumes: one label map, or a mask for each structure.
    Volumes(Vec<&'a VolumeFile>),
    /// A folder of slices.
    Slices(PathBuf),
}

/// The cases of such series; `None` if most series have no label file near them.
///
/// # Errors
/// [`StoreError`] if an error of the machine prevents a file from being read.
pub(super) fn find(files: &VolumeFiles) -> Result<Option<Layout>, CohortError> {
    if files.volumes.is_empty() && files.slices.is_empty() {
        return Ok(None);
    }
    // Of a path that may name a patient nothing is said.
    let failed = |source| StoreError::Machine { what: "a file of the cohort".to_owned(), path: None, source };
    let mut series = Vec::new();
    for (folder, file) in &files.others {
        if pdl_dicom::is_dicom(&files.root.join(file)).map_err(failed)? {
            series.push(folder.as_path());
        }
    }
    let mut groups: BTreeMap<&Path, (Vec<&Path>, Masks<'_>)> = BTreeMap::new();
    let mut paired = 0;
    for &folder in &series {
        let Some((place, masks)) = masks_near(folder, files) else { continue };
        paired += 1;
        groups.entry(place).or_insert((Vec::new(), masks)).0.push(folder);
    }
    // Several series near one label map are its channels where each is named by its folder.
    let is_told = |(folders, _): &(Vec<&Path>, Masks<'_>)| {
        folders.len() == 1 || folders.iter().all(|folder| is_image_name(&last_name(folder)))
    };
    if paired == 0 || 2 * paired < series.len() || !groups.values().all(is_told) {
        return Ok(None);
    }
    let names = |folders: &[&Path]| folders.iter().map(|folder| last_name(folder)).collect();
    let of_several = groups.values().filter(|(folders, _)| folders.len() > 1);
    let channels = NamedChannels::of_cohort(of_several.map(|(folders, _)| names(folders)));
    let mut cases = Vec::with_capacity(groups.len());
    for (place, (folders, masks)) in &groups {
        let mut found = case(files, place, folders, masks, &channels);
        if let Some(image) = &found.image {
            found.modality = dicom_folder::modality(image).map_err(failed)?;
        }
        cases.push(found);
    }
    let label_names = chaos_names(&series, &groups, &cases);
    Ok(Some(Layout {
        cases,
        channel_names: channels.names(),
        label_names,
        dicom_images: true,
        kind: "DICOM series with label maps in other files",
        ..Layout::default()
    }))
}

/// The nearest folder above a series, or its own, that has label files, and these. The cohort's own
/// folder does not count.
fn masks_near<'a, 'p>(series: &'p Path, files: &'a VolumeFiles) -> Option<(&'p Path, Masks<'a>)> {
    series.ancestors().filter(|place| *place != Path::new("")).find_map(|place| {
        let inside = |file: &&VolumeFile| {
            let folder = file.folder();
            let is_label_folder = folder.parent() == Some(place) && is_label_name(&last_name(folder));
            is_label_folder || folder == place && !is_image_name(&file.stem)
        };
        let volumes: Vec<&VolumeFile> = files.volumes.iter().filter(inside).collect();
        if !volumes.is_empty() {
            return Some((place, Masks::Volumes(volumes)));
        }
        let is_label_folder =
            |folder: &&PathBuf| folder.parent() == Some(place) && is_label_name(&last_name(folder));
        let mut slices = files.slices.iter().filter(is_label_folder);
        match (slices.next(), slices.next()) {
            (Some(folder), None) => Some((place, Masks::Slices(folder.clone()))),
            _ => None,
        }
    })
}

fn case(
    files: &VolumeFiles,
    place: &Path,
    folders: &[&Path],
    masks: &Masks<'_>,
    channels: &NamedChannels,
) -> DiscoveredCase {
    let mut named: Vec<(String, &Path)> = folders.iter().map(|folder| (last_name(folder), *folder)).collect();
    named.sort_by_key(|(name, _)| channels.place(name));
    let image = named.first().map(|(_, folder)| *folder);
    let path = |file: &&VolumeFile| files.root.join(&file.path);
    let (label, structures) = match masks {
        Masks::Slices(folder) => (Some(folder.as_path()), BTreeMap::new()),
        Masks::Volumes(volumes) => match volumes.as_slice() {
            [one] => (Some(one.path.as_path()), BTreeMap::new()),
            several => {
                let structures = several.iter().map(|file| (file.stem.clone(), path(file))).collect();
                (several.first().map(|file| file.path.as_path()), structures)
            }
        },
    };
    let found = files.case(None, image, label);
    let of_several = named.iter().filter(|_| named.len() > 1);
    DiscoveredCase {
        name: CaseLabel::of_files(None, Some(place), label),
        channels: channels.of_case(of_several.map(|(name, folder)| (name, files.root.join(folder)))),
        structures,
        patient: Some(patient(place)),
        ..found
    }
}

/// The patient of a folder: its path, without a last part that names a sequence, as in
/// `MR/1/T1DUAL`.
fn patient(place: &Path) -> String {
    const SEQUENCES: [&str; 4] = ["T1", "T2", "PD", "FLAIR"];
    let name = last_name(place).to_uppercase();
    let is_sequence = is_image_name(&name) || SEQUENCES.iter().any(|known| name.starts_with(known));
    let has_number = |path: &&Path| last_name(path).contains(|c: char| c.is_ascii_digit());
    let parent = place.parent().filter(|_| is_sequence).filter(has_number);
    let parts = parent.unwrap_or(place).components();
    parts.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect::<Vec<_>>().join("-")
}

/// Names of labels where the folders are those of CHAOS, of one modality.
fn chaos_names(
    series: &[&Path],
    groups: &BTreeMap<&Path, (Vec<&Path>, Masks<'_>)>,
    cases: &[DiscoveredCase],
) -> BTreeMap<u16, String> {
    let is_ground =
        |masks: &Masks<'_>| matches!(masks, Masks::Slices(folder) if last_name(folder) == CHAOS[0]);
    let is_anon = |folder: &&Path| folder.components().any(|part| part.as_os_str() == CHAOS[1]);
    if !groups.values().all(|(_, masks)| is_ground(masks)) || !series.iter().all(is_anon) {
        return BTreeMap::new();
    }
    let all = |modality| cases.iter().all(|found| found.modality == Some(modality));
    let names: &[(u16, &str)] = match (all(Modality::MR), all(Modality::CT)) {
        (true, _) => &CHAOS_MR,
        (_, true) => &CHAOS_CT,
        _ => &[],
    };
    names.iter().map(|(value, name)| (*value, (*name).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_of_a_folder_are_of_one_patient() {
        assert_eq!(patient(Path::new("MR/1/T1DUAL")), "MR-1");
        assert_eq!(patient(Path::new("MR/1/T2SPIR")), "MR-1");
        assert_eq!(patient(Path::new("CT/1")), "CT-1");
        assert_eq!(patient(Path::new("ct_01")), "ct_01");
    }
}
