//! One export: which target, and what was written.

use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::{Manifest, ManifestRow};
use pdl_store::atomic;
use serde::Serialize;

use crate::files::{CaseFiles, Holding, Volumes, plain_names};
use crate::{ExchangeError, hugging_face, lists, monai, nnunet};

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// datalist.json, and a datalist for every stage.
    Monai,
    /// A raw dataset of nnU-Net v2, with stage k as fold k of splits_final.json.
    Nnunet,
    /// subjects.jsonl: the keyword arguments of a TorchIO subject, one a line.
    Torchio,
    /// A dataset repository: a Parquet file for each split, and a README that says so.
    Huggingface,
    /// cohort.csv, which pdl reads as a cohort, too.
    Csv,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Training, validation and test cases.
    pub cases: [usize; 3],
    /// Training cases left out of the curriculum, and so of the export.
    pub left_out: usize,
    /// The lists, relative to the export.
    pub lists: Vec<String>,
}

/// A case of the export.
pub(crate) struct Exporting<'a> {
    pub row: &'a ManifestRow,
    pub files: CaseFiles,
}

/// Everything that a target writes its lists from.
pub(crate) struct Export<'a> {
    pub manifest: &'a Manifest,
    pub dest: &'a Path,
    pub holding: Holding,
    /// By rank, then validation and test cases by id; what was left out of the curriculum is not there.
    pub cases: Vec<Exporting<'a>>,
}

impl Export<'_> {
    /// The cases of a split, in order.
    pub fn of(&self, split: Split) -> impl Iterator<Item = &Exporting<'_>> {
        self.cases.iter().filter(move |case| case.row.split == split)
    }
}

/// Exports the manifest of the curation folder `out` to the folder `dest`.
///
/// # Errors
/// [`ExchangeError`] when there is no manifest, a prepared file is not what it says, the target cannot hold the
/// cohort, or `dest` cannot be written.
pub fn export(out: &Path, target: Target, dest: &Path, holding: Holding) -> Result<Exported, ExchangeError> {
    let manifest = Manifest::open(out)?;
    if target == Target::Nnunet {
        nnunet::check(&manifest)?;
    }
    let volumes = Volumes::new(out, dest, holding)?;
    atomic::sweep(volumes.dest())?;
    let names = if target == Target::Nnunet { nnunet::names } else { plain_names };
    let mut cases = Vec::new();
    for row in manifest.rows.iter().filter(|row| row.left_out.is_none()) {
        cases.push(Exporting { row, files: volumes.place(row, &names(row))? });
    }
    let export = Export { manifest: &manifest, dest: volumes.dest(), holding, cases };
    let lists = match target {
        Target::Monai => monai::write(&export)?,
        Target::Nnunet => nnunet::write(&export)?,
        Target::Torchio => lists::torchio(&export)?,
        Target::Huggingface => hugging_face::write(&export)?,
        Target::Csv => lists::csv(&export)?,
    };
    let count = |split| export.of(split).count();
    Ok(Exported {
        cases: [Split::Train, Split::Val, Split::Test].map(count),
        left_out: manifest.rows.len() - export.cases.len(),
        lists,
    })
}
