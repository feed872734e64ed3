//! What is shown on stderr while networks are trained.

use pdl_console::{Display, note};
use pdl_fit::experiment::runner::RunEvent;
use pdl_fit::experiment::tuning::{Sides, Trial};
use pdl_fit::plan::curriculum_schedule::PatchSpec;
use pdl_fit::plan::run_plan::{Speed, TimedPart};
use pdl_fit::train::history::HistoryRow;
use pdl_fit::train::training::Event;
use pdl_store::progress::Progress;

/// Shows how a run goes: a line for every evaluation, on a terminal also a bar below them.
pub(crate) fn show_run(display: &Display, event: &Event<'_>) {
    match event {
        Event::Begins { plan, training, validation, programs } => {
            let [z, y, x] = plan.patch;
            let size = if plan.network.dims == 2 { format!("{y} x {x}") } else { format!("{z} x {y} x {x}") };
            note(&format!(
                "{training} training and {validation} validation cases; {} steps of {} samples of {size} voxels \
                 (y, x last), all cases in after {}; {}-D U-Net of {} levels; {} threads, {}",
                plan.steps,
                plan.batch,
                plan.steps_until_all_joined,
                plan.network.dims,
                plan.network.depth,
                programs.threads,
                programs.device
            ));
            if plan.steps_until_all_joined > plan.steps {
                note("warning: so few steps end before all cases have joined: some are never trained on");
            }
            note("    step  seconds  epoch  cases    loss   Dice  (by label)");
            display.begin("training", plan.steps);
        }
        Event::Resumes(step) => {
            note(&format!("an interrupted run goes on after {step} steps"));
            display.resume(*step);
        }
        Event::Stepped(step) => display.set(*step),
        Event::Evaluated(row) => {
            note(&line(row));
            display.remark(format!("Dice {:.3}", row.dice_mean));
        }
    }
}

fn line(row: &HistoryRow) -> String {
    let labels: Vec<String> = row.dice.iter().map(|dice| format!("{dice:.3}")).collect();
    let HistoryRow { step, seconds, epoch, active, loss, dice_mean, .. } = row;
    format!(
        "{step:>8} {seconds:>8.1} {epoch:>6} {active:>6} {loss:>7.3} {dice_mean:>6.3}  ({})",
        labels.join(" ")
    )
}

/// The trials of a tuning, by rung and then the best first.
pub(crate) fn trials_table(trials: &[Trial]) -> String {
    let mut trials: Vec<&Trial> = trials.iter().collect();
    let dice = |trial: &Trial| trial.dice_mean.unwrap_or(f64::NEG_INFINITY);
    trials.sort_by(|a, b| a.rung.cmp(&b.rung).then(dice(b).total_cmp(&dice(a))));
    let mut text = "rung  candidate     rate  width  depth      sample  batch   steps    Dice\n".to_owned();
    for trial in trials {
        let Trial { rung, candidate, rate, width, depth, patch, batch, steps, dice_mean, .. } = trial;
        let patch = Sides(patch.iter().map(|&side| side as usize).collect()).to_string();
        let dice = dice_mean.map_or("astray".to_owned(), |dice| format!("{dice:.4}"));
        text += &format!(
            "{rung:>4}  {candidate:>9}  {rate:>7}  {width:>5}  {depth:>5}  {patch:>10}  {batch:>5}  {steps:>6}  \
             {dice:>6}\n"
        );
    }
    text
}

/// Shows how many runs go.
pub(crate) fn show_runs(told: &RunEvent<'_>) {
    match told {
        RunEvent::Timed(Speed { parts }) => {
            let step = |timed: &TimedPart| {
                let PatchSpec { patch: [z, y, x], pool, batch } = timed.part.grain;
                let coarse = if pool == [1; 3] { "" } else { ", coarse" };
                format!("{:.4} s ({batch} samples of {z} x {y} x {x}{coarse})", timed.seconds)
            };
            eprintln!("a step takes {}", parts.iter().map(step).collect::<Vec<_>>().join(", "));
        }
        RunEvent::SmallBudget(seconds) => eprintln!(
            "warning: --budget {seconds} leaves no time for training beside loading, timing and evaluation: \
             some trials have the fewest steps, and the tuning takes longer"
        ),
        RunEvent::Target(dice) => eprintln!("target: mean validation Dice {dice:.4}"),
        RunEvent::Begins(name, number, of) => eprint!("{number} of {of}: {name} ... "),
        RunEvent::Elsewhere => eprintln!("another process is at it"),
        RunEvent::Ended(Some(dice)) => eprintln!("Dice {dice:.4}"),
        RunEvent::Ended(None) => eprintln!("went astray"),
    }
}
