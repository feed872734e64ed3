//! What is shown on stderr while networks are trained.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pdl_fit::experiment::runner::RunEvent;
use pdl_fit::experiment::tuning::{Sides, Trial};
use pdl_fit::plan::curriculum_schedule::PatchSpec;
use pdl_fit::plan::run_plan::{Speed, TimedPart};
use pdl_fit::train::history::HistoryRow;
use pdl_fit::train::training::Event;

/// A line for every evaluation; on a terminal also a bar below them.
#[derive(Clone)]
pub(crate) struct Display {
    bar: ProgressBar,
}

impl Display {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let template = "[{bar:30}] {human_pos} of {human_len} steps  {per_sec}  {eta} left  {msg}";
        let styled = ProgressStyle::with_template(template);
        Self { bar: styled.map_or(bar.clone(), |style| bar.with_style(style.progress_chars("=> "))) }
    }

    /// Writes a line above the bar.
    pub(crate) fn tell(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Takes the bar away, so that what follows stands on a clean line.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Shows how a run goes.
    pub(crate) fn show(&self, event: &Event<'_>) {
        match event {
            Event::Begins { plan, training, validation, programs } => {
                let [z, y, x] = plan.patch;
                let size =
                    if plan.network.dims == 2 { format!("{y} x {x}") } else { format!("{z} x {y} x {x}") };
                self.tell(&format!(
                    "{training} training and {validation} validation cases; {} steps of {} samples of {size} \
                     voxels (y, x last), all cases in after {}; {}-D U-Net of {} levels; {} threads, {}",
                    plan.steps,
                    plan.batch,
                    plan.steps_until_all_joined,
                    plan.network.dims,
                    plan.network.depth,
                    programs.threads,
                    programs.device
                ));
                if plan.steps_until_all_joined > plan.steps {
                    self.tell(
                        "warning: so few steps end before all cases have joined: some are never trained on",
                    );
                }
                self.tell("    step  seconds  epoch  cases    loss   Dice  (by label)");
                self.bar.set_length(plan.steps);
                self.bar.reset();
            }
            Event::Resumes(step) => {
                self.tell(&format!("an interrupted run goes on after {step} steps"));
                self.bar.set_position(*step);
                self.bar.reset_eta();
            }
            Event::Stepped(step) => self.bar.set_position(*step),
            Event::Evaluated(row) => {
                self.tell(&line(row));
                self.bar.set_message(format!("Dice {:.3}", row.dice_mean));
            }
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
