//! Cases that other machines prepare, which share the curation folder, and hand in.
//!
//! ```text
//! .pdl/handed/CASE.volumes.jsonl   the journal of the case's prepared files, which lie where they belong
//! .pdl/handed/CASE.arrow           its proxy, a file of one row
//! .pdl/handed/CASE.proxy.jsonl     the journal of that
//! ```
//!
//! One machine plans ([`begin`]), any number prepare cases ([`hand_in`]), and [`prepare`](crate::prepare::prepare) then
//! takes what has been handed in, makes what has not, and removes the folder. Everything goes by content hashes, so a
//! case that is handed in twice, late or by halves costs time and nothing else.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use pdl_cohort::cases::{self, CaseRow, Cases};
use pdl_store::journal::{self, Journal, Stamp, Trust};
use pdl_store::progress::Run;
use pdl_store::{StoreError, atomic, hash};
use rayon::prelude::*;

use crate::PrepareError;
use crate::plan::{Plan, PrepareParameters};
use crate::prepare::{PreparedRow, Stage, batches_by_memory, make_plan};
use crate::proxies::labels::ProxyLabels;
use crate::proxies::{self, Proxies, Proxy, ProxyWriter, ROWS_PER_FILE};

/// Inside `.pdl/`.
const FOLDER: &str = "handed";
const VOLUMES: &str = ".volumes.jsonl";

/// What there is to prepare.
#[derive(Clone, Debug)]
pub struct Todo {
    /// What is done to every case.
    pub plan: Plan,
    /// BLAKE3 of `cases.parquet`: whoever prepares has to see the same.
    pub cases: String,
    /// Usable cases.
    pub usable: usize,
    /// Those of them that are neither prepared nor handed in, numbered in the order of the table.
    pub missing: Vec<usize>,
}

/// Takes the fingerprint, makes or keeps the plan, and looks for what is missing.
///
/// # Errors
/// As [`prepare`](crate::prepare::prepare).
pub fn begin(
    out: &Path,
    parameters: &PrepareParameters,
    replan: bool,
    run: Run<'_>,
) -> Result<Todo, PrepareError> {
    let cases = hash::of_file(&out.join(cases::FILE))?;
    let table = Cases::read(out)?;
    let rows: Vec<&CaseRow> = table.usable().collect();
    let (plan, _) = make_plan(out, &rows, parameters, replan, run)?;
    let handed = folder(out);
    fs::create_dir_all(&handed).map_err(StoreError::io("make the folder", &handed))?;
    collect(out)?;
    let stage = Stage {
        out,
        plan: &plan,
        journal: Journal::open(out, "prepare", run.trust)?,
        proxy_journal: Journal::open(out, "proxies", run.trust)?,
        run,
        memory: run.memory(),
    };
    let mut missing = Vec::new();
    for (number, chunk) in rows.chunks(ROWS_PER_FILE).enumerate() {
        let name = proxies::file_name(number);
        let whole_file = stage.proxy_journal.find(&name, &stage.proxy_file_key(chunk)).is_some();
        for (index, row) in chunk.iter().enumerate() {
            let volumes = stage.journal.find(&row.case_id, &stage.volume_key(row));
            let proxy = whole_file || proxy(out, row, &stage.proxy_key(row), run.trust)?.is_some();
            match volumes {
                Some(_) if proxy => continue,
                Some(volumes) => pass_on(&stage, row, volumes)?,
                None => (),
            }
            missing.push(number * ROWS_PER_FILE + index);
        }
    }
    Ok(Todo { cases, usable: rows.len(), missing, plan })
}

/// Lets whoever makes a case's proxy know that its prepared files are there.
fn pass_on(stage: &Stage<'_>, row: &CaseRow, volumes: &PreparedRow) -> Result<(), StoreError> {
    let stamps = vec![
        Stamp::new(stage.out, &volumes.image, volumes.image_blake3.clone())?,
        Stamp::new(stage.out, &volumes.label, volumes.label_blake3.clone())?,
    ];
    let journal = Journal::open(stage.out, &unit(row, "volumes"), stage.run.trust)?;
    journal.record(&row.case_id, &stage.volume_key(row), stamps, volumes)
}

/// Prepares some of the cases by a plan and hands them in; says of each how that went, in the order asked for.
/// `cases` is [`Todo::cases`].
///
/// # Errors
/// [`PrepareError::Option`] when this is not the folder that the plan was made in, or there is no such case;
/// [`PrepareError::Store`] when `cases.parquet` cannot be read.
pub fn hand_in(
    out: &Path,
    plan: &Plan,
    cases: &str,
    wanted: &[usize],
    run: Run<'_>,
) -> Result<Vec<Result<(), PrepareError>>, PrepareError> {
    if hash::of_file(&out.join(cases::FILE))? != cases || !folder(out).is_dir() {
        let message = format!(
            "the cases seen here are not those of the run; do all machines share this folder?: {}",
            out.display()
        );
        return Err(PrepareError::Option(message));
    }
    let table = Cases::read(out)?;
    let usable: Vec<&CaseRow> = table.usable().collect();
    let row = |index: &usize| usable.get(*index).copied();
    let rows: Option<Vec<&CaseRow>> = wanted.iter().map(row).collect();
    let rows = rows.ok_or_else(|| PrepareError::Option("there is no such case".to_owned()))?;
    let mut done = Vec::with_capacity(rows.len());
    for batch in batches_by_memory(&rows, plan, run.memory()) {
        let one = |row: &&CaseRow| {
            let result = hand_in_one(out, plan, row, run);
            run.progress.advance(1);
            result
        };
        done.extend(batch.par_iter().map(one).collect::<Vec<_>>());
    }
    Ok(done)
}

fn hand_in_one(out: &Path, plan: &Plan, row: &CaseRow, run: Run<'_>) -> Result<(), PrepareError> {
    let stage = Stage {
        out,
        plan,
        journal: Journal::open(out, &unit(row, "volumes"), run.trust)?,
        proxy_journal: Journal::open(out, &unit(row, "proxy"), run.trust)?,
        run,
        memory: run.memory(),
    };
    let key = stage.proxy_key(row);
    let there = stage.proxy_journal.find(&row.case_id, &key).is_some()
        && stage.journal.find(&row.case_id, &stage.volume_key(row)).is_some();
    if there {
        return Ok(());
    }
    let (_, proxy) = stage.case_and_proxy(row)?;
    let padded = proxy.proxy.padded_share;
    let path = arrow(out, row);
    atomic::write_with(&path, |temporary| {
        let mut writer = ProxyWriter::create(temporary, &path, &plan.proxies, &[row])?;
        writer.write(vec![proxy])?;
        writer.finish()
    })?;
    let relative = format!("{}/{FOLDER}/{}.arrow", journal::FOLDER, row.case_id);
    Ok(stage.proxy_journal.record(&row.case_id, &key, vec![Stamp::hash(out, &relative)?], &vec![padded])?)
}

/// The proxy of a case that was handed in under this key.
pub(crate) fn proxy(
    out: &Path,
    row: &CaseRow,
    key: &str,
    trust: Trust,
) -> Result<Option<Proxy>, PrepareError> {
    let name = unit(row, "proxy");
    if !out.join(journal::FOLDER).join(format!("{name}.jsonl")).is_file() {
        return Ok(None);
    }
    let journal = Journal::<Vec<f64>>::open(out, &name, trust)?;
    let Some(&[padded_share]) = journal.find(&row.case_id, key).map(Vec::as_slice) else { return Ok(None) };
    let path = arrow(out, row);
    let file = Proxies::open_file(&path);
    let file = file.map_err(|problem| PrepareError::Proxies { path: path.clone(), problem })?;
    let whole = file.len() == 1 && file.row_keys == [key];
    let proxy = || Proxy {
        voxels: file.voxels(0).to_vec(),
        labels: file.labels(0).map(ProxyLabels::from),
        padded_share,
    };
    Ok(whole.then(proxy))
}

/// Adds what the journals that were handed in say to the stage's own.
pub(crate) fn collect(out: &Path) -> Result<(), StoreError> {
    let handed = folder(out);
    let Ok(entries) = fs::read_dir(&handed) else { return Ok(()) };
    let mut lines = b"\n".to_vec(); // ends a line that a killed run left torn
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().ends_with(VOLUMES)) {
        let path = entry.path();
        let text = fs::read(&path).map_err(StoreError::io("read the journal", &path))?;
        if text.ends_with(b"\n") {
            lines.extend(text);
        }
    }
    let path = out.join(journal::FOLDER).join("prepare.jsonl");
    let append = |mut file: File| file.write_all(&lines);
    let opened = File::options().create(true).append(true).open(&path);
    opened.and_then(append).map_err(StoreError::io("write the journal", &path))
}

/// Removes all that was handed in.
pub(crate) fn remove(out: &Path) -> Result<(), StoreError> {
    let handed = folder(out);
    match fs::remove_dir_all(&handed) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io("remove the folder", &handed)(error))
        }
        _ => Ok(()),
    }
}

fn folder(out: &Path) -> PathBuf {
    out.join(journal::FOLDER).join(FOLDER)
}

fn arrow(out: &Path, row: &CaseRow) -> PathBuf {
    folder(out).join(format!("{}.arrow", row.case_id))
}

/// The name of a case's journal.
fn unit(row: &CaseRow, what: &str) -> String {
    format!("{FOLDER}/{}.{what}", row.case_id)
}
