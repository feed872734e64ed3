//! Options that the commands that apply a network share.

use std::path::PathBuf;

use pdl_console::say;
use pdl_metrics::SurfaceOptions;
use pdl_metrics::summary_table::summary_lines;

use crate::error::Result;
use crate::inference::ensemble::{Ensemble, MirrorTta};
use crate::inference::postprocessing::{ComponentFilter, LargestComponent, Postprocessing};
use crate::metrics::evaluate::Evaluation;
use crate::model::device::DeviceChoice;
use crate::plan::settings::parse_axes;

/// Where a trained network runs, and how its results are printed.
#[derive(Debug, clap::Args)]
pub(crate) struct InferenceArgs {
    /// Device that the network runs on.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto, help_heading = "Machine")]
    pub device: DeviceChoice,
    /// Threads of the network [default: all cores].
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub threads: Option<usize>,
    /// Print the result as JSON.
    #[arg(long, help_heading = "Result")]
    pub json: bool,
}

/// Test-time augmentation and postprocessing.
#[derive(Debug, clap::Args)]
pub(crate) struct PredictionArgs {
    /// Test-time augmentation: average over copies of the image mirrored along these axes (z, y, x;
    /// all combinations), which takes 2, 4 or 8 times as long. Without axes: those along which
    /// patches were mirrored in training. Never along x if labels are left and right. Off when not
    /// given.
    #[arg(
        long,
        value_name = "AXES",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "trained",
        value_parser = parse_mirror
    )]
    pub mirror_tta: Option<MirrorTta>,
    /// Keep only the largest connected component of these labels: names or values separated by
    /// commas, each label by itself; auto for the labels where that raised Dice on the validation
    /// set, as in nnU-Net (`pdl-fit evaluate RUN` writes the decision to RUN/postprocessing.json);
    /// none.
    #[arg(long, value_name = "none|auto|LABEL[,LABEL]", default_value = "none")]
    pub largest_component: LargestComponent,
}

fn parse_mirror(text: &str) -> std::result::Result<MirrorTta, String> {
    match text {
        "trained" => Ok(MirrorTta::Trained),
        "none" => Ok(MirrorTta::Off),
        axes => parse_axes(axes).map(MirrorTta::Along),
    }
}

impl PredictionArgs {
    /// Axes along which copies of an image are mirrored.
    pub(crate) fn mirror(&self) -> MirrorTta {
        self.mirror_tta.unwrap_or_default()
    }

    /// The components that are removed from predictions of the runs in these folders.
    ///
    /// # Errors
    /// As [`ComponentFilter::new`].
    pub(crate) fn filter(&self, ensemble: &Ensemble, runs: &[PathBuf]) -> Result<ComponentFilter> {
        let decided = |(run, weights): (&PathBuf, &str)| match self.largest_component {
            LargestComponent::Auto => Postprocessing::read(run, weights),
            LargestComponent::None | LargestComponent::Labels(_) => Ok(None),
        };
        let models = ensemble.models().iter();
        let weights = models.map(|model| model.record.results.weights_blake3.as_str());
        let decided = runs.iter().zip(weights).map(decided).collect::<Result<Vec<_>>>()?;
        ComponentFilter::new(&self.largest_component, &ensemble.first().record.labels, &decided)
    }
}

/// Prints rows of figures for each label, and the files that were written.
pub(crate) fn print_evaluation(evaluation: &Evaluation, surfaces: SurfaceOptions) {
    summary_lines(&evaluation.summary, surfaces).iter().for_each(|line| say(line));
    say(&format!("wrote {}", evaluation.file.display()));
    say(&format!("wrote {}", evaluation.predictions.display()));
}
