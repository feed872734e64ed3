//! Writes the sample cohorts: `pdl-phantom --out sample-data`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser};
use pdl_console::{ExitStatus, finish, report, say};
use pdl_phantom::{PhantomModality, SAMPLE_CASES, SAMPLE_SEED, generate, write_cohort, write_dicom};

/// Makes synthetic thorax cohorts (CT and MR) with exact labels, two CT scans also as DICOM.
#[derive(Parser)]
#[command(version, about)]
struct Options {
    /// Folder for the cohorts; its subfolders ct, mr and dicom are filled
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// The same seed gives the same cohorts, on every machine
    #[arg(long, default_value_t = SAMPLE_SEED)]
    seed: u64,
    /// Cases of each modality
    #[arg(long, default_value_t = SAMPLE_CASES)]
    cases: usize,
}

fn main() -> ExitCode {
    let matches = match pdl_console::parse(Options::command()) {
        Ok(matches) => matches,
        Err(ended) => return ended,
    };
    let written = Options::from_arg_matches(&matches).map_err(Into::into).and_then(|options| write(&options));
    finish(match written {
        Ok(()) => ExitStatus::Done,
        Err(error) => {
            report(error.as_ref());
            ExitStatus::Failed
        }
    })
}

fn write(options: &Options) -> anyhow::Result<()> {
    for modality in PhantomModality::ALL {
        let cohort = generate(modality, options.seed, options.cases)?;
        let name = modality.code();
        write_cohort(&options.out, &cohort).with_context(|| format!("the {name} cohort was not written"))?;
        if modality == PhantomModality::Ct {
            write_dicom(&options.out, &cohort).context("the DICOM series were not written")?;
        }
        let folder = options.out.join(modality.folder());
        say(&format!("{name}: {} cases in {}", cohort.cases.len(), folder.display()));
    }
    Ok(())
}
