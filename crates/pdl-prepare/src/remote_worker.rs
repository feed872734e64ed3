//! Preparation on several machines that share the curation folder.
//!
//! One machine plans ([`plan_remote`]), any number prepare cases ([`submit_results`]), and
//! [`prepare`](crate::prepare::prepare) then takes the submitted results, prepares the cases that
//! have none, and removes what was submitted.

use std::path::Path;

use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::{self, Cases};
use pdl_store::journal::{Journal, Stamp};
use pdl_store::progress::StageContext;
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, hash};
use rayon::prelude::*;

use crate::PrepareError;
use crate::channels;
use crate::parameters::PrepareParameters;
use crate::pinned_plan;
use crate::plan::Plan;
use crate::prepare::{JOURNALS, Stage, batches_by_memory};
use crate::prepared_row::PreparedRow;
use crate::proxies::{self, ProxyWriter, ROWS_PER_FILE};
use crate::remote_results;

/// The cases that remain to be prepared, and how.
#[derive(Clone, Debug)]
pub struct RemotePlan {
    /// The preparation of every case.
    pub plan: Plan,
    /// BLAKE3 of `cases.parquet`: every machine has to see the same table.
    pub cases: String,
    /// Usable cases.
    pub usable: usize,
    /// Numbers, in the order of the table, of the cases that are neither prepared nor submitted.
    pub missing: Vec<usize>,
}

/// Computes the fingerprint, makes or keeps the plan, and lists the cases that are missing.
///
/// # Errors
/// As [`prepare`](crate::prepare::prepare).
pub fn plan_remote(
    out: &Path,
    parameters: &PrepareParameters,
    replan: bool,
    run: StageContext<'_>,
) -> Result<RemotePlan, PrepareError> {
    let cases = hash::of_file(&out.join(cases::FILE))?;
    let table = Cases::read(out)?;
    let rows: Vec<&CaseRow> = table.usable().collect();
    let (plan, _) = pinned_plan::make(out, &rows, parameters, replan, run)?;
    remote_results::create_folder(out)?;
    remote_results::collect(out)?;
    let stage = Stage::open(out, &plan, JOURNALS, channels::separator(&rows), run)?;
    let mut missing = Vec::new();
    for (number, chunk) in rows.chunks(ROWS_PER_FILE).enumerate() {
        let name = proxies::file_name(number);
        let whole_file = stage.proxy_journal.find(&name, &stage.proxy_file_key(chunk)).is_some();
        for (index, row) in chunk.iter().enumerate() {
            let volumes = stage.journal.find(&row.case_id, &stage.volume_key(row));
            let key = stage.proxy_key(row);
            let proxy = whole_file || remote_results::proxy(out, row, &key, run.hash_check)?.is_some();
            match volumes {
                Some(_) if proxy => continue,
                Some(volumes) => share_volumes(&stage, row, volumes)?,
                None => (),
            }
            missing.push(number * ROWS_PER_FILE + index);
        }
    }
    Ok(RemotePlan { cases, usable: rows.len(), missing, plan })
}

/// Tells the machine that makes a case's proxy that the case's prepared files are valid.
fn share_volumes(stage: &Stage<'_>, row: &CaseRow, volumes: &PreparedRow) -> Result<(), StoreError> {
    let volumes = volumes.clone().with_images();
    let images = volumes.images.iter().zip(&volumes.images_blake3);
    let stamps = images
        .chain(volumes.label.iter().zip(&volumes.label_blake3))
        .map(|(path, blake3)| Stamp::new(stage.out, path, blake3.clone()))
        .collect::<Result<Vec<_>, StoreError>>()?;
    let journal = Journal::open(stage.out, &remote_results::volumes_journal(row), stage.run.hash_check)?;
    journal.record(&row.case_id, &stage.volume_key(row), stamps, &volumes)
}

/// Prepares some of the cases by a plan and submits the results; the outcomes are in the order of
/// `wanted`. `cases` is [`RemotePlan::cases`].
///
/// # Errors
/// [`PrepareError::NotShared`] when this is not the folder that the plan was made in;
/// [`PrepareError::CaseNumber`] when a number in `wanted` is out of range; [`PrepareError::Store`]
/// when `cases.parquet` cannot be read.
pub fn submit_results(
    out: &Path,
    plan: &Plan,
    cases: &str,
    wanted: &[usize],
    run: StageContext<'_>,
) -> Result<Vec<Result<(), PrepareError>>, PrepareError> {
    if hash::of_file(&out.join(cases::FILE))? != cases || !remote_results::has_folder(out) {
        return Err(PrepareError::NotShared { out: out.to_owned() });
    }
    let table = Cases::read(out)?;
    let usable: Vec<&CaseRow> = table.usable().collect();
    let row = |index: &usize| usable.get(*index).copied();
    let rows: Option<Vec<&CaseRow>> = wanted.iter().map(row).collect();
    let rows = rows.ok_or(PrepareError::CaseNumber)?;
    let separator = channels::separator(&usable);
    let mut done = Vec::with_capacity(rows.len());
    for batch in batches_by_memory(&rows, plan, run.memory()) {
        let one = |row: &&CaseRow| {
            let result = submit_result(out, plan, row, &separator, run);
            run.progress.advance(1);
            result
        };
        done.extend(batch.par_iter().map(one).collect::<Vec<_>>());
    }
    Ok(done)
}

fn submit_result(
    out: &Path,
    plan: &Plan,
    row: &CaseRow,
    separator: &str,
    run: StageContext<'_>,
) -> Result<(), PrepareError> {
    let journals = [remote_results::volumes_journal(row), remote_results::proxy_journal(row)];
    let stage = Stage::open(out, plan, journals.each_ref().map(String::as_str), separator.to_owned(), run)?;
    let key = stage.proxy_key(row);
    let submitted = stage.proxy_journal.find(&row.case_id, &key).is_some()
        && stage.journal.find(&row.case_id, &stage.volume_key(row)).is_some();
    if submitted {
        return Ok(());
    }
    let (_, proxy) = stage.case_and_proxy(row)?;
    let padded = proxy.proxy.padded_share;
    let relative = remote_results::proxy_file(row);
    let path = out.join(&relative);
    atomic::write_with(SafePath::new(out, &relative)?, |temporary| {
        let mut writer = ProxyWriter::create(temporary, &path, plan, &[row])?;
        writer.write(vec![proxy])?;
        writer.finish()
    })?;
    Ok(stage.proxy_journal.record(&row.case_id, &key, vec![Stamp::hash(out, &relative)?], &vec![padded])?)
}
