//! `pdl export`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use pdl_console::{ExitStatus, counted, note, say};
use pdl_exchange::export::{Exported, Shards, Target, export};
use pdl_exchange::files::TransferMode;

use crate::context::{Context, say_json};
use crate::preconditions::{MANIFEST, Requirements};

/// Arguments of `pdl export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The curation folder, or the folder of a fold in it: OUT/folds/K.
    out: PathBuf,
    /// The framework to export to.
    #[arg(long, value_enum)]
    to: Target,
    /// The folder to write; created if missing. nnU-Net needs a name of the form DatasetNNN_NAME,
    /// such as nnUNet_raw/Dataset001_lung.
    #[arg(long, value_name = "PATH")]
    dest: PathBuf,
    /// Whether the export refers to the prepared volumes, or holds copies of or hard links to them;
    /// webdataset's shards always hold copies; default: reference
    #[arg(long, value_enum)]
    by: Option<TransferMode>,
    #[command(flatten, next_help_heading = "Shards of webdataset")]
    shards: Shards,
}

impl Args {
    /// The folder of a fold holds a manifest and no cases.
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements::stages(&self.out, Some(&[MANIFEST]))
    }
}

/// Exports the manifest and prints how the framework loads it.
///
/// # Errors
/// When a file has changed since the manifest was written, or cannot be written.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let Args { out, to, dest, by, shards } = args;
    let exported = export(out, *to, dest, *by, *shards)?;
    if context.json {
        say_json(&exported)?;
        return Ok(ExitStatus::Done);
    }
    let Exported { cases: [train, val, test], left_out, partly_annotated, lists } = exported;
    if partly_annotated > 0 {
        let cases = counted(partly_annotated, "case");
        note(&format!(
            "warning: {cases} were not searched for every label (labels_annotated); programs that do not know of that take \
             what they lack for background"
        ));
    }
    let without =
        if left_out > 0 { format!("; {left_out} excluded by the curriculum") } else { String::new() };
    say(&format!("{}: {train} train, {val} val, {test} test cases{without}", dest.display()));
    for list in &lists {
        say(&format!("  {list}"));
    }
    say(&format!("Next{}", next(*to, dest)));
    Ok(ExitStatus::Done)
}

/// How the framework loads the export.
fn next(to: Target, dest: &Path) -> String {
    let place = dest.display();
    match to {
        Target::Nnunet => next_of_nnunet(dest),
        Target::Monai => format!(
            ", in Python:
  from monai.data import load_decathlon_datalist
  cases = load_decathlon_datalist(\"{place}/datalist.json\", True, \"training\")"
        ),
        Target::Torchio => format!(
            ", in Python:
  import json, torchio
  rows = [json.loads(line) for line in open(\"{place}/subjects.jsonl\")]
  load = lambda image, label, **row: torchio.Subject(
      image=torchio.ScalarImage(f\"{place}/{{image}}\"), label=torchio.LabelMap(f\"{place}/{{label}}\"), **row)
  subjects = torchio.SubjectsDataset([load(**row) for row in rows if row[\"split\"] == \"train\"])"
        ),
        Target::Huggingface => {
            format!(", in Python:\n  import datasets\n  cases = datasets.load_dataset(\"{place}\")")
        }
        Target::Webdataset => format!(
            ", in Python:
  import glob, webdataset
  samples = webdataset.WebDataset(sorted(glob.glob(\"{place}/train-*.tar\")), shardshuffle=False)"
        ),
        Target::Croissant => format!(": mlcroissant validate --jsonld {place}/croissant.json"),
        Target::Csv => format!(": pdl curate {place} --out FOLDER"),
    }
}

/// Preprocessing makes the folder to which the folds are copied.
fn next_of_nnunet(dest: &Path) -> String {
    let dest = std::path::absolute(dest).unwrap_or_else(|_| dest.to_owned());
    let raw = dest.parent().unwrap_or(Path::new("/")).display();
    let name = dest.file_name().unwrap_or_default().to_string_lossy();
    let place = dest.display();
    let Some(number) = dataset_number(&name) else {
        return format!(
            ": nnU-Net only accepts folders named DatasetNNN_NAME; rename this one: mv {place} {raw}/Dataset001_{name}"
        );
    };
    format!(
        ":
  export nnUNet_raw={raw} nnUNet_preprocessed=FOLDER nnUNet_results=FOLDER
  nnUNetv2_plan_and_preprocess -d {number} --verify_dataset_integrity
  cp {place}/splits_final.json $nnUNet_preprocessed/{name}/
  nnUNetv2_train {number} 3d_fullres 0    # fold K trains on the cases of stage K; the last one on all"
    )
}

/// The number NNN of `DatasetNNN_NAME`.
fn dataset_number(name: &str) -> Option<u32> {
    let (digits, _) = name.strip_prefix("Dataset")?.split_once('_')?;
    let is_number = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nnunet_s_next_step_is_to_rename_or_to_preprocess() {
        let text = next(Target::Nnunet, Path::new("/raw/Dataset012_lung"));
        assert!(text.contains("export nnUNet_raw=/raw ") && text.contains("preprocess -d 12 "), "{text}");
        assert!(
            text.contains("cp /raw/Dataset012_lung/splits_final.json $nnUNet_preprocessed/Dataset012_lung/")
        );
        for name in ["lung", "Dataset1_lung", "Dataset0001_lung", "Dataset001"] {
            let text = next(Target::Nnunet, &Path::new("/raw").join(name));
            assert!(text.contains(&format!("mv /raw/{name} /raw/Dataset001_{name}")), "{text}");
        }
    }
}
