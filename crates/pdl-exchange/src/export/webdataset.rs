//! Tar shards for the `webdataset` package: the files of a sample are adjacent and share the name
//! before the first dot, which is the case id (it contains no dot).

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use pdl_cohort::attributes::{Modality, Split};
use pdl_curriculum::manifest::{Label, ManifestRow};
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, json, paths};
use serde::Serialize;

use crate::ExchangeError;
use crate::export::context::{ExportContext, ExportedCase};

/// Digits of a shard's number, so that shards sort by name.
const DIGITS: usize = 6;
/// Default size of a shard's volumes in bytes.
const SHARD_BYTES: u64 = 1 << 30;

/// Size limits of the shards of `webdataset`. A shard ends before either limit is exceeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Shards {
    /// Maximum size of a shard's volumes, such as 512MiB (webdataset only). Default: 1GiB
    #[arg(long, value_name = "SIZE")]
    pub shard_size: Option<ByteSize>,
    /// Maximum number of cases per shard (webdataset only). Default: limited by size only
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
    /// Names of the channels, where there are several; the files of all but the first bear them.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_names: Option<&'a [String]>,
    labels_annotated: &'a [u16],
}

/// A row of `shards.json`, by which a loader finds the shards of a stage.
#[derive(Serialize)]
struct Shard {
    file: String,
    split: Split,
    cases: usize,
    first_stage: Option<u32>,
    last_stage: Option<u32>,
}

/// Writes `train-000000.tar` and so on in rank order, `val-...` and `test-...`, and `shards.json`,
/// which lists them. Shards of an earlier export that are not part of this one are removed.
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
    let dest = SafePath::root(export.dest);
    atomic::retain(&dest, |name| !is_shard(name) || shards.iter().any(|shard| shard.file == name))?;
    json::write(&export.dest.join("shards.json"), &shards)?;
    Ok(shards.into_iter().map(|shard| shard.file).chain(["shards.json".to_owned()]).collect())
}

fn is_shard(name: &str) -> bool {
    let number = name.strip_suffix(".tar").and_then(|stem| stem.split_once('-'));
    number.is_some_and(|(split, number)| {
        split.parse::<Split>().is_ok() && number.len() == DIGITS && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Divides the cases into consecutive runs within the limits; a case that exceeds them by itself
/// gets its own shard.
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
            size += fs::metadata(&path).map_err(StoreError::io("read the size of the volume", &path))?.len();
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

/// The prepared files of a case and their extensions in a shard: `image.nii.gz`, for channels after
/// the first `image_NAME.nii.gz` in lower case, which is what `webdataset` reads, and
/// `label.nii.gz`.
fn volumes(export: &ExportContext<'_>, row: &ManifestRow) -> Vec<(PathBuf, String)> {
    let names = export.manifest.info.channel_names.iter().skip(1);
    let further = names.map(|name| format!("image_{}.nii.gz", name.to_lowercase()));
    let images = row.images.iter().zip(std::iter::once("image.nii.gz".to_owned()).chain(further));
    images
        .chain([(&row.label, "label.nii.gz".to_owned())])
        .map(|(path, ending)| (paths::resolve(export.out, path), ending))
        .collect()
}

fn write_shard(
    export: &ExportContext<'_>,
    path: &Path,
    cases: &[&ExportedCase<'_>],
) -> Result<(), ExchangeError> {
    atomic::write_with(path, |temporary| {
        let io = StoreError::io("write the shard", path);
        let file = File::create(temporary).map_err(StoreError::io("create the shard", path))?;
        let mut tar = tar::Builder::new(BufWriter::new(file));
        for case in cases {
            let key = &case.row.case_id;
            for (source, ending) in volumes(export, case.row) {
                let volume = File::open(&source).map_err(StoreError::io("read the volume", &source))?;
                let size =
                    volume.metadata().map_err(StoreError::io("read the size of the volume", &source))?.len();
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

/// Appends a world-readable file without owner or time: same cases, same bytes.
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
        channel_names: export.has_channels().then_some(export.manifest.info.channel_names.as_slice()),
        labels_annotated: &row.labels_annotated,
    }
}
