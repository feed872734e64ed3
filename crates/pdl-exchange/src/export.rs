//! Export of a manifest to another framework.

mod context;
mod croissant;
pub mod files;
mod hugging_face;
mod lists;
mod monai;
mod nnunet;
mod webdataset;

use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::{Manifest, ManifestRow};
use pdl_store::atomic;
use pdl_store::safe_path::SafePath;
use serde::Serialize;

use crate::ExchangeError;
use crate::export::context::{ExportContext, ExportedCase};
use crate::export::files::{ExportVolumes, TransferMode, manifest_names, plain_names};
pub use crate::export::webdataset::Shards;

/// The framework or format to export to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// datalist.json, and a datalist per stage.
    Monai,
    /// A raw dataset of nnU-Net v2, with stage k as fold k of splits_final.json.
    Nnunet,
    /// subjects.jsonl: the keyword arguments of a TorchIO subject per line.
    Torchio,
    /// A Hugging Face dataset repository: a Parquet file per split, and a README.
    Huggingface,
    /// Tar shards for the webdataset package, training cases in rank order; they contain the
    /// volumes.
    Webdataset,
    /// croissant.json: the manifest and the volumes in MLCommons' Croissant.
    Croissant,
    /// cohort.csv, which pdl also reads as a cohort.
    Csv,
}

/// Result of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Number of training, validation and test cases.
    pub cases: [usize; 3],
    /// Training cases that are excluded from the curriculum, and so from the export.
    pub left_out: usize,
    /// Exported cases that were not searched for every label of the cohort: other programs take
    /// what they lack for background.
    pub partly_annotated: usize,
    /// Paths of the written lists, relative to the export.
    pub lists: Vec<String>,
}

/// Exports the manifest of the curation folder `out` to the folder `dest`. By default volumes are
/// referenced; shards of WebDataset always contain them.
///
/// # Errors
/// [`ExchangeError`] when there is no manifest, a prepared file does not match it, the target
/// cannot represent the cohort or lacks an option, or `dest` cannot be written.
pub fn export(
    out: &Path,
    target: Target,
    dest: &Path,
    transfer: Option<TransferMode>,
    shards: Shards,
) -> Result<Exported, ExchangeError> {
    if target == Target::Webdataset && transfer.is_some() {
        let problem = "not supported by webdataset, whose shards contain the volumes";
        return Err(ExchangeError::InvalidOption { name: "by", problem });
    }
    if target != Target::Webdataset && shards != Shards::default() {
        let name = if shards.shard_size.is_some() { "shard_size" } else { "shard_cases" };
        return Err(ExchangeError::InvalidOption { name, problem: "supported by webdataset only" });
    }
    let manifest = Manifest::open(out)?;
    if target == Target::Nnunet {
        nnunet::check(&manifest)?;
    }
    let transfer = transfer.unwrap_or(TransferMode::Reference);
    if target == Target::Croissant && transfer != TransferMode::Reference && manifest.info.fold.is_some() {
        let problem =
            "not supported for a fold, whose manifest names volumes outside its folder; use reference";
        return Err(ExchangeError::InvalidOption { name: "by", problem });
    }
    let volumes = ExportVolumes::new(out, &manifest.info, dest, transfer)?;
    atomic::sweep(&SafePath::root(volumes.dest()))?;
    let names = match target {
        Target::Nnunet => nnunet::names,
        Target::Croissant => manifest_names,
        _ => plain_names,
    };
    let exported = |row: &&ManifestRow| row.left_out.is_none() || target == Target::Croissant;
    let mut cases = Vec::new();
    for row in manifest.rows.iter().filter(exported) {
        cases.push(ExportedCase { row, files: volumes.place(row, &names(row))? });
    }
    let export =
        ExportContext { manifest: &manifest, out: volumes.out(), dest: volumes.dest(), transfer, cases };
    let lists = match target {
        Target::Monai => monai::write(&export)?,
        Target::Nnunet => nnunet::write(&export)?,
        Target::Torchio => lists::torchio(&export)?,
        Target::Huggingface => hugging_face::write(&export)?,
        Target::Webdataset => webdataset::write(&export, shards)?,
        Target::Croissant => croissant::write(&export)?,
        Target::Csv => lists::csv(&export)?,
    };
    let count = |split| export.of(split).count();
    Ok(Exported {
        cases: [Split::Train, Split::Val, Split::Test].map(count),
        left_out: manifest.rows.len() - export.cases.len(),
        partly_annotated: export.partly_annotated(),
        lists,
    })
}
