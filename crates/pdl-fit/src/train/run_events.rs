//! Events of a run for TensorBoard: loss and learning rate of every step, Dice and pictures of
//! every evaluation.

use std::path::Path;

use crate::data::dataset::{EvalCase, Loaded};
use crate::error::Result;
use crate::train::history::HistoryRow;
use crate::train::tensorboard::EventWriter;
use crate::train::trainer::{Pause, Trainer};
use crate::train::validation_images;

/// Number of validation cases with pictures, the first of the manifest.
const PICTURES: usize = 3;

/// Writer of a run's events.
pub(crate) struct RunEvents<'a> {
    writer: EventWriter,
    cases: &'a [EvalCase],
    labels: &'a [String],
}

impl<'a> RunEvents<'a> {
    /// Starts an event file in the folder of a run that has done `step` steps. `labels` are the
    /// names in channel order, from channel 1.
    pub(crate) fn start(run: &Path, step: u64, loaded: &'a Loaded, labels: &'a [String]) -> Result<Self> {
        let cases = &loaded.validation[..PICTURES.min(loaded.validation.len())];
        Ok(Self { writer: EventWriter::start(run, step)?, cases, labels })
    }

    /// Appends the events of the step that has finished.
    pub(crate) fn append(&mut self, trainer: &Trainer<'_>, pause: Pause) -> Result<()> {
        let (step, (loss, lr)) = (trainer.progress().step, trainer.last_step());
        self.writer.scalars(step, &[("loss/step".to_owned(), loss), ("learning_rate".to_owned(), lr)])?;
        if let (Pause::Evaluated, Some(row)) = (pause, trainer.history().last()) {
            self.writer.scalars(step, &scalars(row, self.labels))?;
            for EvalCase { case, .. } in self.cases {
                let picture = validation_images::draw(case, &trainer.segment(case)?)?;
                self.writer.image(step, &format!("validation/{}", case.case_id), picture)?;
            }
        }
        if pause != Pause::No {
            self.writer.flush()?;
        }
        Ok(())
    }
}

/// Figures of an evaluation.
fn scalars(row: &HistoryRow, labels: &[String]) -> Vec<(String, f64)> {
    let figures = [
        ("loss/mean", row.loss),
        ("dice/mean", row.dice_mean),
        ("curriculum/active_cases", row.active.into()),
        ("curriculum/epoch", row.epoch.into()),
        ("time/seconds", row.seconds),
    ];
    let figures = figures.into_iter().map(|(tag, value)| (tag.to_owned(), value));
    let dice = labels.iter().zip(&row.dice).map(|(label, dice)| (format!("dice/label/{label}"), *dice));
    figures.chain(dice).collect()
}
