//! The tables of a cohort: `cases.parquet` and `sources.parquet`.

pub mod case_row;
pub(crate) mod case_rows;
pub mod cases;
pub(crate) mod cohort_files;
pub mod sources;
