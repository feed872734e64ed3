//! Cases that other machines have prepared in the shared curation folder and the stage has yet to
//! take into its tables.
//!
//! ```text
//! .pdl/remote-results/CASE.volumes.jsonl   journal of the prepared files (in prepared/)
//! .pdl/remote-results/CASE.arrow           its proxy, a file of one row
//! .pdl/remote-results/CASE.proxy.jsonl     journal of the proxy
//! ```
//!
//! Every result is keyed by content hashes, so a case that is submitted twice, late or incompletely
//! costs only time.

use std::fs;
use std::path::Path;

use pdl_cohort::table::case_row::CaseRow;
use pdl_store::journal::{self, HashCheck, Journal};
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, regular_file};

use crate::PrepareError;
use crate::proxies::labels::ProxyLabels;
use crate::proxies::{Proxies, Proxy};

/// Inside `.pdl/`.
const FOLDER: &str = "remote-results";
const VOLUMES: &str = "volumes";
const PROXY: &str = "proxy";

/// The proxy of a case that another machine submitted under this key; none when it is absent or
/// damaged.
pub(crate) fn proxy(
    out: &Path,
    row: &CaseRow,
    key: &str,
    hash_check: HashCheck,
) -> Result<Option<Proxy>, PrepareError> {
    let name = proxy_journal(row);
    if !regular_file::is_there(&out.join(journal::FOLDER).join(format!("{name}.jsonl")))? {
        return Ok(None);
    }
    let journal = Journal::<Vec<f64>>::open(out, &name, hash_check)?;
    let Some(&[padded_share]) = journal.find(&row.case_id, key).map(Vec::as_slice) else { return Ok(None) };
    let path = out.join(proxy_file(row));
    let file = Proxies::open_file(&path)?;
    let whole = file.len() == 1 && file.row_keys == [key];
    let proxy = || Proxy {
        voxels: file.voxels(0).to_vec(),
        channels: (1..file.channels()).map(|channel| file.channel(0, channel).to_vec()).collect(),
        labels: file.labels(0).map(ProxyLabels::from),
        padded_share,
    };
    Ok(whole.then(proxy))
}

/// Appends the submitted journals of prepared volumes to the journal of the stage.
pub(crate) fn collect(out: &Path) -> Result<(), StoreError> {
    let submitted = folder(out)?;
    let mut lines = b"\n".to_vec(); // ends a line that a killed run left torn
    let ending = format!(".{VOLUMES}.jsonl");
    for name in atomic::file_names(&submitted)?.iter().filter(|name| name.ends_with(&ending)) {
        let path = submitted.join(name)?.file()?;
        let text = fs::read(&path).map_err(StoreError::io("read the journal", &path))?;
        if text.ends_with(b"\n") {
            lines.extend(text);
        }
    }
    if lines.len() == 1 {
        return Ok(());
    }
    journal::append(out, "prepare", &lines)
}

/// Makes the folder that results are submitted into. A machine that does not see it does not share
/// the curation folder.
pub(crate) fn create_folder(out: &Path) -> Result<(), StoreError> {
    folder(out)?.create().map(drop)
}

/// Whether results can be submitted here.
pub(crate) fn has_folder(out: &Path) -> bool {
    folder(out).is_ok_and(|folder| folder.full().is_dir())
}

/// Removes every submitted result.
pub(crate) fn remove(out: &Path) -> Result<(), StoreError> {
    atomic::remove_folder(&folder(out)?)
}

fn folder(out: &Path) -> Result<SafePath, StoreError> {
    SafePath::new(out, Path::new(journal::FOLDER).join(FOLDER))
}

/// The file of a case's proxy, relative to the curation folder.
pub(crate) fn proxy_file(row: &CaseRow) -> String {
    format!("{}/{FOLDER}/{}.arrow", journal::FOLDER, row.case_id)
}

/// The journal of a case's prepared volumes, below `.pdl/` and without its ending.
pub(crate) fn volumes_journal(row: &CaseRow) -> String {
    format!("{FOLDER}/{}.{VOLUMES}", row.case_id)
}

/// The journal of a case's proxy, below `.pdl/` and without its ending.
pub(crate) fn proxy_journal(row: &CaseRow) -> String {
    format!("{FOLDER}/{}.{PROXY}", row.case_id)
}
