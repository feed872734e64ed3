//! `pdl index`.

use std::path::PathBuf;

use anyhow::Result;
use pdl_cohort::parameters::IndexParameters;
use pdl_console::ExitStatus;

use crate::context::Context;
use crate::preconditions::Requirements;
use crate::stages::Stages;

/// Arguments of `pdl index`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    cohort: Cohort,
    #[command(flatten)]
    parameters: IndexParameters,
}

/// The cohort that is read and the curation folder that is written.
#[derive(Debug, clap::Args)]
pub(crate) struct Cohort {
    /// The cohort: a folder of volumes or DICOM files, a CSV or Parquet table, or a MONAI datalist.
    pub cohort: PathBuf,
    /// The curation folder; created if missing.
    #[arg(long, value_name = "OUT")]
    pub out: PathBuf,
    /// A CSV table of patient ids that belong to one person (columns patient_a and patient_b), such
    /// as OUT/same-patient.csv. "no" in its column `same` keeps a pair apart, whatever the
    /// similarity of the images. The table is stored and need not be given again.
    #[arg(long, value_name = "FILE", help_heading = "Splits")]
    pub same_patient: Option<PathBuf>,
}

impl Cohort {
    /// The cohort must exist, and OUT must not be one of its own folders.
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements { cohort: Some(&self.cohort), ..Requirements::stages(&self.out, None) }
    }
}

impl Args {
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        self.cohort.requirements()
    }
}

/// Discovers, checks and splits the cases.
///
/// # Errors
/// Why the cohort cannot be indexed.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let Cohort { cohort, out, same_patient } = &args.cohort;
    let mut stages = Stages::new(out, context);
    let ended = stages.index(cohort, same_patient.as_deref());
    stages.finish(ended)
}
