//! Writes the sample cohorts: `pdl-phantom --out sample-data`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser};
use pdl_console::{ExitStatus, finish, report, say};
use pdl_phantom::{
    PhantomModality, SAMPLE_CASES, SAMPLE_SEED, VisitSettings, generate, generate_pet_ct, longitudinal,
    pet_ct, write_cohort, write_dicom, write_longitudinal, write_pet_ct,
};
use pdl_store::fault;

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
    /// Cases of each modality; with --visits the number of patients
    #[arg(long, default_value_t = SAMPLE_CASES)]
    cases: usize,
    /// Make a cohort of two channels instead, CT and PET, in the subfolder petct: the lungs are
    /// seen in the CT alone, a lesion in the PET alone
    #[arg(long)]
    pet_ct: bool,
    /// Instead of the sample cohorts: a longitudinal CT cohort with this many visits per patient,
    /// unnamed, in FOLDER itself
    #[arg(long, value_name = "VISITS")]
    visits: Option<usize>,
    /// With --visits: how much patients differ (root mean square of their traits)
    #[arg(long, value_name = "DISTANCE", default_value_t = VisitSettings::default().distance)]
    distance: f64,
    /// With --visits: largest rotation about the long axis, degrees
    #[arg(long, value_name = "DEGREES", default_value_t = VisitSettings::default().rotation_degrees)]
    rotation: f64,
    /// With --visits: largest noise of a visit, HU; the least is 0.4 of it
    #[arg(long, value_name = "HU", default_value_t = VisitSettings::default().noise_hu[1])]
    noise: f64,
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
            match fault::machine_error(error.as_ref()) {
                Some(_) => ExitStatus::Machine,
                None => ExitStatus::Failed,
            }
        }
    })
}

fn write(options: &Options) -> anyhow::Result<()> {
    if options.pet_ct {
        let cases = generate_pet_ct(options.seed, options.cases)?;
        write_pet_ct(&options.out, &cases).context("the cohort of two channels was not written")?;
        say(&format!("CT and PET: {} cases in {}", cases.len(), options.out.join(pet_ct::FOLDER).display()));
        return Ok(());
    }
    if let Some(visits) = options.visits {
        let settings = VisitSettings {
            distance: options.distance,
            rotation_degrees: options.rotation,
            noise_hu: [0.4 * options.noise, options.noise],
            ..VisitSettings::default()
        };
        let cases = longitudinal(options.seed, options.cases, visits, &settings)?;
        write_longitudinal(&options.out, &cases).context("the longitudinal cohort was not written")?;
        cases.iter().for_each(|case| say(&format!("{} {}", case.name, case.patient)));
        return Ok(());
    }
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
