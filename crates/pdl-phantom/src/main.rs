//! Writes the sample cohorts: `pdl-phantom --out sample-data`.

#![allow(clippy::print_stdout)] // a program reports on its standard output

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use pdl_phantom::{
    PhantomModality, SAMPLE_CASES, SAMPLE_SEED, generate, generate_pet_ct, pet_ct, write_cohort, write_dicom,
    write_pet_ct,
};

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
    /// Make a cohort of two channels instead, CT and PET, in the subfolder petct: the lungs are
    /// seen in the CT alone, a lesion in the PET alone
    #[arg(long)]
    pet_ct: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.pet_ct {
        let cases = generate_pet_ct(options.seed, options.cases)?;
        write_pet_ct(&options.out, &cases).context("the cohort of two channels was not written")?;
        println!("CT and PET: {} cases in {}", cases.len(), options.out.join(pet_ct::FOLDER).display());
        return Ok(());
    }
    for modality in PhantomModality::ALL {
        let cohort = generate(modality, options.seed, options.cases)?;
        let name = modality.code();
        write_cohort(&options.out, &cohort).with_context(|| format!("the {name} cohort was not written"))?;
        if modality == PhantomModality::Ct {
            write_dicom(&options.out, &cohort).context("the DICOM series were not written")?;
        }
        println!("{name}: {} cases in {}", cohort.cases.len(), options.out.join(modality.folder()).display());
    }
    Ok(())
}
