//! `pdl-fit train --folds all`: the folds of a cross-validation in turn.

use anyhow::Result;
use pdl_console::{Display, ExitStatus, note, say};
use pdl_metrics::summary_table::summary_lines;

use crate::cli::display::show_run;
use crate::experiment::cross_validation::{CrossValidation, FoldEvent, RESULTS_COLUMN, cross_validate};
use crate::experiment::difficulty::{ScoreCorrelation, correlations};
use crate::train::training::TrainRequest;

/// Folds to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FoldChoice {
    /// All folds of OUT/folds, one after the other.
    All,
}

/// Trains all folds, and prints the metrics of the cases outside of each fold's training set.
pub(crate) fn run(request: &TrainRequest, json: bool) -> Result<ExitStatus> {
    let display = Display::new();
    let found = cross_validate(request, &mut |event| match event {
        FoldEvent::Begins(fold, folds) => {
            display.clear();
            note(&format!("fold {fold} of {folds} (0 to {})", folds - 1));
        }
        FoldEvent::Training(event) => show_run(&display, event),
        FoldEvent::Evaluated(fold, dice) => {
            display.clear();
            let dice = dice.map_or_else(|| "no case".to_owned(), |dice| format!("{dice:.4}"));
            note(&format!("fold {fold}: Dice {dice}"));
        }
    });
    display.clear();
    let CrossValidation { runs, summary, postprocessing, surfaces, file } = found?;
    if json {
        let folders: Vec<_> = runs.iter().map(|run| &run.folder).collect();
        let all =
            serde_json::json!({ "runs": folders, "summary": summary, "postprocessing": postprocessing });
        say(&serde_json::to_string_pretty(&all)?);
        return Ok(ExitStatus::Done);
    }
    say("out of fold, over the validation cases of all folds:");
    summary_lines(&summary, surfaces).iter().for_each(|line| say(line));
    for trial in postprocessing.trials.iter().filter(|trial| trial.applies) {
        say(&format!("--largest-component auto will keep only the largest component of: {}", trial.name));
    }
    say(&format!("wrote {}", file.display()));
    for correlation in correlations(&request.out, RESULTS_COLUMN)? {
        say(&correlation_line(&correlation));
    }
    let name = runs.first().map_or("NAME", |run| run.record.name.as_str());
    let out = request.out.display();
    say(&format!("next: pdl-fit predict {out}/folds/*/runs/{name} IMAGES --out FOLDER"));
    Ok(ExitStatus::Done)
}

/// Whether typical cases are easier: the correlation of a score with held-out Dice.
fn correlation_line(correlation: &ScoreCorrelation) -> String {
    let ScoreCorrelation { metric, score, cases, rho, interval: [low, high] } = correlation;
    format!(
        "rank correlation of {} to {score} with held-out Dice: {rho:+.2} [{low:+.2}, {high:+.2}] ({cases} cases)",
        metric.column()
    )
}
