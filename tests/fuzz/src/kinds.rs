//! The kinds of files of the targets that read several. The first byte of an input is the place of
//! its kind in the list.

/// Volumes, and slices that are stacks alone in their folder.
pub const VOLUMES: [&str; 8] =
    ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.hdr", "a.tif", "png/a.png", "jpeg/a.jpg"];

/// Tables and lists of a cohort.
pub const TABLES: [&str; 4] = ["table/a.csv", "table/a.parquet", "table/a.json", "table/same.csv"];

/// Datasets of other frameworks, which are imported.
pub const DATASETS: [&str; 3] = ["monai/list.json", "nnunet/dataset.json", "nnunet/splits_final.json"];

/// Files of a curation folder.
pub const CURATION: [&str; 15] = [
    "cases.parquet",
    "sources.parquet",
    "prepared.parquet",
    "fingerprint.json",
    "manifest.parquet",
    "manifest.json",
    "manifest.jsonl",
    "plan.json",
    "failures.json",
    "audit.json",
    "proxies/00000.arrow",
    "pairs/00000-00000.parquet",
    "runs/a/run.json",
    "runs/a/history.parquet",
    ".pdl/index.jsonl",
];

/// Files of a run of pdl-fit, and of a comparison.
pub const RUN: [&str; 4] = ["run.json", "checkpoint.safetensors", "history.parquet", "protocol.toml"];
