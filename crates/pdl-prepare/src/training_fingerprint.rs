//! The fingerprint of the training cases, taken case by case.

use std::path::Path;

use pdl_cohort::table::case_row::CaseRow;
use pdl_store::StoreError;
use pdl_store::hash::Key;
use pdl_store::journal::Journal;
use pdl_store::memory::MemoryLimit;
use pdl_store::progress::{self, StageContext};
use rayon::prelude::*;

use crate::PrepareError;
use crate::channels::with_channels;
use crate::crop::Crop;
use crate::failure;
use crate::fingerprint::{CaseFingerprint, Fingerprint, nonzero_box_share};
use crate::source::{self, Source, batches};

/// Takes the fingerprint of `training`, of those of them whose files can be read.
///
/// # Errors
/// [`PrepareError::NoTrainingCases`] when there is none, [`PrepareError::AllFailed`] when none can
/// be read, [`PrepareError::Store`] when the machine fails.
pub(crate) fn take(
    out: &Path,
    training: &[&CaseRow],
    crop: Crop,
    run: StageContext<'_>,
) -> Result<Fingerprint, PrepareError> {
    let Some(modality) = training.first().map(|row| row.modality) else {
        return Err(PrepareError::NoTrainingCases { out: out.to_owned() });
    };
    let journal = Journal::<CaseFingerprint>::open(out, "fingerprint", run.hash_check)?;
    run.progress.begin("taking the fingerprint", training.len() as u64);
    let mut parts: Vec<Result<CaseFingerprint, PrepareError>> = Vec::with_capacity(training.len());
    let limit = run.memory_limit();
    for batch in batches(training, limit.bytes(), |grid| source::voxels(grid.shape)) {
        let one = |row: &&CaseRow| {
            let _item = progress::at_work(run.progress, &row.case_id);
            let part = fingerprint_once(out, &journal, row, crop, &limit);
            run.progress.advance(1);
            part
        };
        parts.extend(batch.par_iter().map(one).collect::<Result<Vec<_>, StoreError>>()?);
    }
    let first = parts.iter().find_map(|part| part.as_ref().err()).map(ToString::to_string);
    let (rows, parts): (Vec<&CaseRow>, Vec<CaseFingerprint>) =
        training.iter().zip(parts).filter_map(|(row, part)| Some((*row, part.ok()?))).unzip();
    if let (true, Some(first)) = (rows.is_empty(), first) {
        return Err(PrepareError::AllFailed { count: training.len(), first });
    }
    Ok(Fingerprint::of(modality, &rows, &parts))
}

/// The case's part of the fingerprint; the inner error if its files cannot be read: such a case is
/// reported where it is prepared.
fn fingerprint_once(
    out: &Path,
    journal: &Journal<CaseFingerprint>,
    row: &CaseRow,
    crop: Crop,
    limit: &MemoryLimit,
) -> Result<Result<CaseFingerprint, PrepareError>, StoreError> {
    let key = Key::new("fingerprint 4")
        .part("image", &row.image_blake3)
        .part("label", &row.label_blake3)
        .part("labels", &row.labels)
        .part("affine", &row.affine)
        .part("crop", &crop);
    let key = with_channels(key, row).finish();
    if let Some(known) = journal.find(&row.case_id, &key) {
        return Ok(Ok(known.clone()));
    }
    let source = match Source::read(out, row, &limit.share()) {
        Ok(source) => source,
        Err(error) => return failure::of_machine(row, &error).map_or(Ok(Err(error)), Err),
    };
    let nonzero = nonzero_box_share(&source.image, &source.channels);
    let source = source.crop(crop);
    let of = |image| CaseFingerprint::of(image, source.labels.as_ref(), &row.labels, nonzero);
    let part = of(&source.image).with_channels(source.channels.iter().map(of).collect());
    journal.record(&row.case_id, &key, Vec::new(), &part)?;
    Ok(Ok(part))
}
