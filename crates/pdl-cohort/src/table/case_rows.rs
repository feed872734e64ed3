//! Rows of cases, from their layout and their files.

use std::path::PathBuf;

use pdl_findings::{Code, Finding};
use pdl_store::StoreError;

use crate::attributes::{Modality, Split, Status};
use crate::check::{Checked, CheckedChannel};
use crate::cohort_paths::Place;
use crate::discover::DiscoveredCase;
use crate::import::cohort_channels::CohortChannels;
use crate::table::case_row::{CaseChannel, CaseRow, Intensities};

/// The row of a case. `modality` is the cohort's, with whether it was guessed.
///
/// # Errors
/// [`StoreError::Io`] if an error of the machine prevents a file from being inspected.
pub(crate) fn row(
    place: &Place,
    found: &DiscoveredCase,
    checked: Checked,
    modality: (Modality, bool),
    channels: &CohortChannels,
) -> Result<CaseRow, StoreError> {
    let (cohort_modality, guessed) = modality;
    let of_channels = channel_rows(place, found, &checked, cohort_modality, channels)?;
    let Checked { findings: of_files, mut rejected, .. } = checked;
    let mut findings = found.findings.clone();
    findings.extend(of_files);
    if guessed && found.modality.is_none() && !rejected {
        findings.push(Finding::new(
            Code::ModalityGuessed,
            format!(
                "its modality is not stated; by its intensities {cohort_modality} was assumed (--modality)"
            ),
        ));
    }
    if let Some(own) = found.modality
        && own != cohort_modality
    {
        findings.push(Finding::new(
            Code::OtherModality,
            format!(
                "it is {own}, and --modality {cohort_modality} selects another: omit that, or state {own}"
            ),
        ));
        rejected = true;
    }
    let status = match (rejected, findings.is_empty()) {
        (true, _) => Status::Rejected,
        (false, _) if found.label.is_none() => Status::Unlabelled,
        (false, true) => Status::Ok,
        (false, false) => Status::Warning,
    };
    let text = |path: &Option<PathBuf>| path.as_deref().map(|path| place.text(path)).transpose();
    Ok(CaseRow {
        case_id: found.case_id.clone(),
        patient_id: found.patient.clone().unwrap_or_else(|| found.case_id.clone()),
        modality: found.modality.unwrap_or(cohort_modality),
        split: Split::Train,
        image: text(&found.image)?.unwrap_or_default(),
        label: text(&found.label)?,
        shape: checked.shape,
        spacing_mm: checked.spacing_mm,
        affine: checked.affine,
        orientation: checked.orientation,
        voxel_type: checked.voxel_type,
        labels_annotated: checked.labels.iter().map(|label| label.value).collect(),
        labels: checked.labels,
        intensities: Intensities::new(checked.intensity.unwrap_or([f64::NAN; 6])),
        image_blake3: checked.image_blake3,
        label_blake3: checked.label_blake3,
        status,
        findings,
        channels: of_channels,
        carried: found.carried.clone(),
    })
}

/// The channels of a case; none if it has one image.
fn channel_rows(
    place: &Place,
    found: &DiscoveredCase,
    checked: &Checked,
    modality: Modality,
    channels: &CohortChannels,
) -> Result<Vec<CaseChannel>, StoreError> {
    let first = CheckedChannel {
        voxel_type: checked.voxel_type.clone(),
        image_blake3: checked.image_blake3.clone(),
        intensity: checked.intensity,
        looks_like_ct: checked.looks_like_ct,
        parts: Vec::new(),
    };
    let of_files = std::iter::once(&first).chain(&checked.channels).map(Some).chain(std::iter::repeat(None));
    let row = |(at, ((number, path), file)): (usize, ((&u32, &PathBuf), Option<&CheckedChannel>))| {
        let file = file.cloned().unwrap_or_default();
        let by_voxels = if file.looks_like_ct { Modality::CT } else { Modality::OT };
        let own = channels.modality(*number, Some(modality)).unwrap_or(by_voxels);
        Ok(CaseChannel {
            name: channels.name(*number).to_owned(),
            image: place.text(path)?,
            image_blake3: file.image_blake3,
            modality: if at == 0 { found.modality.unwrap_or(modality) } else { own },
            voxel_type: file.voxel_type,
            intensities: Intensities::new(file.intensity.unwrap_or([f64::NAN; 6])),
        })
    };
    found.channels.iter().zip(of_files).enumerate().map(row).collect()
}
