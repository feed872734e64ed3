//! Tar shards as the `webdataset` package reads them: the files of a sample are neighbours and share the name
//! before the first dot, which is the case id (it holds no dot).

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use pdl_cohort::attributes::{Modality, Split};
use pdl_curriculum::manifest::{Label, ManifestRow};
use pdl_store::{StoreError, atomic, json, paths};
use serde::Serialize;

use crate::ExchangeError;
use crate::export::context::{ExportContext, ExportedCase};

/// Digits of a shard's number, so that shards sort by name.
const DIGITS: usize = 6;
/// Bytes of the volumes of a shard, unless its user says otherwise.
const SHARD_BYTES: u64 = 1 << 30;

/// How large the shards of `webdataset` become. A shard ends where either limit would be passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Shards {
    /// Most volumes of a shard, in bytes, such as 512MiB (webdataset only); default: 1GiB
    #[arg(long, value_name = "SIZE")]
    pub shard_size: Option<ByteSize>,
    /// Most cases of a shard (webdataset only); default: as many as its size allows
    #[arg(long, value_name = "N")]
    pub shard_cases: Option<NonZeroU64>,
}

/// `KEY.json` of a sample.
#[derive(Serialize)]
struct ShardSample<'a> {
    case_id: &'a str,
    patient: &'a str,
    modality: Modality,
    split: Split,
    rank: Option<u32>,
    score: Option<f64>,
    stage: Option<u32>,
    tune: bool,
    labels: &'a [Label],
    labels_annotated: &'a [u16],
}

/// One shard, as `shards.json` lists it: with it a loader finds what a stage needs.
#[derive(Serialize)]
struct Shard {
    file: String,
    split: Split,
    cases: usize,
    first_stage: Option<u32>,
    last_stage: Option<u32>,
}

/// `train-000000.tar` and so on in the order of the ranks, `val-...` and `test-...`, and `shards.json`, which lists
/// them. Shards of an earlier export that are not of this one are removed.
pub(crate) fn write(export: &ExportContext<'_>, limits: Shards) -> Result<Vec<String>, ExchangeError> {
    let mut shards = Vec::new();
    for split in [Split::Train, Split::Val, Split::Test] {
        let cases: Vec<&ExportedCase<'_>> = export.of(split).collect();
        for (number, part) in parts(export, &cases, limits)?.into_iter().enumerate() {
            let file = format!("{split}-{number:0DIGITS$}.tar");
            write_shard(export, &export.dest.join(&file), part)?;
            let stages = || part.iter().filter_map(|case| case.row.stage);
            shards.push(Shard {
                file,
                split,
                cases: part.len(),
                first_stage: stages().min(),
                last_stage: stages().max(),
            });
        }
    }
    atomic::retain(export.dest, |name| !is_shard(name) || shards.iter().any(|shard| shard.file == name))?;
    json::write(&export.dest.join("shards.json"), &shards)?;
    Ok(shards.into_iter().map(|shard| shard.file).chain(["shards.json".to_owned()]).collect())
}

fn is_shard(name: &str) -> bool {
    let number = name.strip_suffix(".tar").and_then(|stem| stem.split_once('-'));
    number.is_some_and(|(split, number)| {
        split.parse::<Split>().is_ok() && number.len() == DIGITS && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Cuts the cases into runs of neighbours that stay within the limits; a case that is too large by itself has a
/// shard of its own.
fn parts<'a, 'b>(
    export: &ExportContext<'_>,
    cases: &'a [&'b ExportedCase<'b>],
    limits: Shards,
) -> Result<Vec<&'a [&'b ExportedCase<'b>]>, ExchangeError> {
    let most_bytes = limits.shard_size.map_or(SHARD_BYTES, |size| size.0);
    let most_cases = limits.shard_cases.map_or(u64::MAX, NonZeroU64::get);
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, case) in cases.iter().enumerate() {
        let mut size = 0;
        for (path, _) in volumes(export, case.row) {
            size += fs::metadata(&path).map_err(StoreError::io("look at the volume", &path))?.len();
        }
        let full = bytes + size > most_bytes || (at - start) as u64 >= most_cases;
        if at > start && full {
            parts.push(&cases[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < cases.len() {
        parts.push(&cases[start..]);
    }
    Ok(parts)
}

/// The prepared files of a case and the endings they have in a shard.
fn volumes(export: &ExportContext<'_>, row: &ManifestRow) -> [(PathBuf, &'static str); 2] {
    [(&row.image, "image.nii.gz"), (&row.label, "label.nii.gz")]
        .map(|(path, ending)| (paths::resolve(export.out, path), ending))
}

fn write_shard(
    export: &ExportContext<'_>,
    path: &Path,
    cases: &[&ExportedCase<'_>],
) -> Result<(), ExchangeError> {
    atomic::write_with(path, |temporary| {
        let io = StoreError::io("write the shard", path);
        let file = File::create(temporary).map_err(StoreError::io("make the shard", path))?;
        let mut tar = tar::Builder::new(BufWriter::new(file));
        for case in cases {
            let key = &case.row.case_id;
            for (source, ending) in volumes(export, case.row) {
                let volume = File::open(&source).map_err(StoreError::io("read the volume", &source))?;
                let size = volume.metadata().map_err(StoreError::io("look at the volume", &source))?.len();
                append(&mut tar, &format!("{key}.{ending}"), size, volume)
                    .map_err(StoreError::io("write the shard", path))?;
            }
            let sample = serde_json::to_vec(&sample(export, case.row))
                .map_err(|source| StoreError::Json { path: path.to_owned(), source })?;
            append(&mut tar, &format!("{key}.json"), sample.len() as u64, sample.as_slice())
                .map_err(StoreError::io("write the shard", path))?;
        }
        tar.into_inner().and_then(|mut file| file.flush()).map_err(io)?;
        Ok(())
    })
}

/// Appends a file that everybody may read, of nobody and no time: same cases, same bytes.
fn append(
    tar: &mut tar::Builder<impl Write>,
    name: &str,
    size: u64,
    data: impl Read,
) -> Result<(), std::io::Error> {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, name, data)
}

fn sample<'a>(export: &'a ExportContext<'_>, row: &'a ManifestRow) -> ShardSample<'a> {
    ShardSample {
        case_id: &row.case_id,
        patient: &row.patient_id,
        modality: row.modality,
        split: row.split,
        rank: row.rank,
        score: row.score,
        stage: row.stage,
        tune: row.tune,
        labels: &export.manifest.info.labels,
        labels_annotated: &row.labels_annotated,
    }
}
