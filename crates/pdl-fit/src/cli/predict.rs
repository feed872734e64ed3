//! `pdl-fit predict`: label maps of new images.

use std::path::PathBuf;

use anyhow::Result;
use pdl_console::{ExitStatus, counted, note, say};
use pdl_store::memory::MemoryLimit;

use crate::cli::inference::{InferenceArgs, PredictionArgs};
use crate::experiment::run_record::FILE as RUN_FILE;
use crate::inference::ensemble::Ensemble;
use crate::inference::image_search::find as find_images;
use crate::inference::postprocessing::ComponentFilter;
use crate::inference::predict::{PredictOptions, Prediction, PredictionStatus, predict};
use crate::inference::prediction_table::FILE as PREDICTIONS_FILE;
use crate::plan::settings::parse_memory;

/// Arguments of `pdl-fit predict`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a finished run, such as OUT/runs/pdl-seed1. It may be a copy elsewhere.
    run: PathBuf,
    /// Volumes, or folders with volumes and DICOM series at any depth. Files whose names begin with
    /// a dot, and files in --out, are skipped. For a network of several channels, CASE_0000.nii.gz,
    /// CASE_0001.nii.gz ... are the channels of CASE, and so are CASE_NAME.nii.gz, CASE-NAME.nii.gz
    /// and CASE/NAME.nii.gz with the channels' names; the frames of a 4-D file are its channels in
    /// their order. Folders of further runs may come first, as in OUT/folds/*/runs/NAME: the mean
    /// of the probabilities of all runs is then used.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// Folder of the label maps. FOLDER/site/scan.nii.gz gives site/scan.nii.gz; a DICOM series
    /// gets the name of its folder, numbered where that holds several. Two images of one name are
    /// refused.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    prediction: PredictionArgs,
    /// Write the probability of each label, on the image's own grid:
    /// OUT/probabilities/NAME/VALUE_LABEL.nii.gz, uint16 from 0 to 65535 with the slope 1/65535,
    /// which readers of NIfTI apply.
    #[arg(long)]
    probabilities: bool,
    /// Write the entropy of every voxel as a fraction of its maximum, from 0 (certain) to 1, in the
    /// form of --probabilities: OUT/uncertainty/NAME.nii.gz. predictions.parquet gets its mean over
    /// the voxels in which labels have a probability of 0.05 or more (column uncertainty), and over
    /// all voxels (entropy).
    #[arg(long)]
    uncertainty: bool,
    /// Memory limit for an image, such as 8GiB; half of the free memory when not given.
    #[arg(long, value_name = "SIZE", value_parser = parse_memory, help_heading = "Machine")]
    memory: Option<u64>,
    /// End with exit code 4 if an image cannot be used. Without it the exit code is 1, and only
    /// when no image can be used.
    #[arg(long, help_heading = "Result")]
    strict: bool,
    #[command(flatten)]
    inference: InferenceArgs,
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus> {
    let Args { run, inputs, out, probabilities, uncertainty, prediction, memory, strict, inference } = args;
    let limit = MemoryLimit::or_half_of_free(*memory);
    let further = inputs.iter().take_while(|input| input.join(RUN_FILE).is_file()).count();
    let (further, inputs) = inputs.split_at(further);
    anyhow::ensure!(!inputs.is_empty(), "no images are named after the runs");
    let runs: Vec<PathBuf> = [run.clone()].into_iter().chain(further.iter().cloned()).collect();
    let ensemble = Ensemble::load(&runs, prediction.mirror(), inference.device, inference.threads)?;
    let filter = prediction.filter(&ensemble, &runs)?;
    let reading = ensemble.first().record.reading.clone();
    if reading.is_none() {
        note(
            "note: the run does not record how its images were read (an earlier version): if its cohort was indexed with \
             --orientation, --channel, --frame, --stack-spacing or --mr-rescale, train it again",
        );
    }
    let channels = &ensemble.first().record.channels;
    let found = find_images(inputs, out, &reading.unwrap_or_default(), channels, &limit)?;
    let (images, other_channels) = (found.images, found.other_channels);
    if other_channels > 0 {
        let files = counted(other_channels, "file");
        note(&format!("note: {files} of other channels than the network was trained on are skipped"));
    }
    show_options(&ensemble, &filter);
    let options = PredictOptions { probabilities: *probabilities, uncertainty: *uncertainty, filter };
    let mut number = 0;
    let done = predict(&ensemble, &images, out, &options, &limit, &mut |prediction| {
        number += 1;
        show(prediction, number, images.len());
    })?;
    let failed = done.iter().filter(|prediction| prediction.status == PredictionStatus::Failed).count();
    let shifted = done.iter().filter(|prediction| !prediction.warnings.is_empty()).count();
    if shifted > 0 {
        let images = counted(shifted, "image");
        note(&format!("warning: {images} outside the domain of the training set: check the label maps"));
    }
    if inference.json {
        say(&serde_json::to_string_pretty(&done)?);
    } else {
        let maps = counted(done.len() - failed, "label map");
        say(&format!("{maps}; {} could not be used: {}", counted(failed, "image"), out.display()));
        if *uncertainty {
            say(&format!("uncertainty of each image: {}", out.join(PREDICTIONS_FILE).display()));
        }
    }
    anyhow::ensure!(failed < done.len(), "none of the images could be used");
    Ok(if *strict && failed > 0 { ExitStatus::Strict } else { ExitStatus::Done })
}

/// Writes what is averaged and removed.
fn show_options(ensemble: &Ensemble, filter: &ComponentFilter) {
    let (networks, copies) = (ensemble.models().len(), ensemble.copies().len());
    if networks > 1 || copies > 1 {
        note(&format!(
            "mean of the probabilities of {} and {} of each image",
            counted(networks, "network"),
            if copies == 1 { "one copy".to_owned() } else { format!("{copies} mirrored copies") }
        ));
    }
    let labels = &ensemble.first().record.labels;
    let mut names: Vec<&str> = filter
        .channels
        .iter()
        .filter_map(|channel| labels.get(usize::from(*channel) - 1))
        .map(|label| label.name.as_str())
        .collect();
    if filter.all_labels {
        names.insert(0, "all labels together");
    }
    if !names.is_empty() {
        note(&format!("only the largest component is kept of: {}", names.join(", ")));
    }
}

/// Writes a line for one image, and its warnings.
fn show(prediction: &Prediction, number: usize, of: usize) {
    let Prediction { name, status, problem, warnings, uncertainty, .. } = prediction;
    let status = match status {
        PredictionStatus::Made => "segmented",
        PredictionStatus::Kept => "segmented before",
        PredictionStatus::Failed => "failed",
    };
    let problem = problem.as_ref().map_or(String::new(), |problem| format!(": {problem}"));
    let unsure = uncertainty.map_or(String::new(), |u| format!(", uncertainty {:.3}", u.plausible));
    note(&format!("{number} of {of}: {name} {status}{unsure}{problem}"));
    for warning in warnings {
        note(&format!("  warning: {name}: {warning}"));
    }
}
