//! Progress of training on stderr.

use pdl_console::{Display, note};
use pdl_store::progress::Progress;

use crate::experiment::run_record::Initialisation;
use crate::experiment::runner::RunEvent;
use crate::experiment::tuning::{Sides, Trial};
use crate::plan::curriculum_schedule::PatchSpec;
use crate::plan::run_plan::RunPlan;
use crate::plan::settings::Augment;
use crate::plan::speed::{Speed, TimedPart};
use crate::train::history::HistoryRow;
use crate::train::training::Event;

/// Shows the progress of one run: a line for every evaluation, and a bar on a terminal.
pub(crate) fn show_run(display: &Display, event: &Event<'_>) {
    match event {
        Event::Begins { plan, training, validation, labels, programs } => {
            let [z, y, x] = plan.patch;
            let size = if plan.network.dims == 2 { format!("{y} x {x}") } else { format!("{z} x {y} x {x}") };
            note(&format!(
                "{training} training and {validation} validation cases; {} steps of {} patches of {size} voxels \
                 (y, x last), all cases active after {}, augmentation {}; {}-D U-Net of {} levels; {} threads, {}",
                plan.steps,
                plan.batch,
                plan.steps_until_all_joined,
                plan.augment.unwrap_or(Augment::None).name(),
                plan.network.dims,
                plan.network.depth,
                programs.threads,
                programs.device
            ));
            if plan.steps_until_all_joined > plan.steps {
                note("warning: the run ends before all cases are active: some are never trained on");
            }
            if let Some((axis, thick)) = plan.thick_in_plane() {
                note(&format!(
                    "warning: the network sees axial planes (y, x), and the slices of these images are thick along {} \
                     ({thick:.3} mm; {:.3} mm along z): --dims 3 uses their fine axes together",
                    ["z", "y", "x"][axis],
                    plan.spacing_mm[0]
                ));
            }
            side_warnings(plan, labels).iter().for_each(|line| note(line));
            note("    step  seconds  epoch  cases    loss   Dice  (by label)");
            display.begin("training", plan.steps);
        }
        Event::ReadsFromFiles(folder) => {
            note(&format!(
                "patches are read from files, as not all cases fit into --memory: {}",
                folder.display()
            ));
        }
        Event::Initialised { taken, differences } => {
            initialisation_lines(taken, differences).iter().for_each(|line| note(line));
        }
        Event::Extends { from, to, lr } => {
            note(&format!(
                "extending the finished run from step {from} to {to}: the learning rate goes on at {lr:.2e}, as in \
                 a run of {to} steps, and falls to the end of its schedule; the optimiser starts with empty moments"
            ));
            display.resume(*from);
        }
        Event::Resumes(step) => {
            note(&format!("resuming the interrupted run after step {step}"));
            display.resume(*step);
        }
        Event::Stepped(step) => display.set(*step),
        Event::Evaluated(row) => {
            note(&line(row));
            display.remark(&format!("Dice {:.3}", row.dice_mean));
        }
    }
}

/// Message about the weights that a run starts from.
fn initialisation_lines(taken: &Initialisation, differences: &[String]) -> Vec<String> {
    let Initialisation { run, parameters, labels_taken, labels_new, .. } = taken;
    let source = run.as_ref().map_or("a file that names no labels".to_owned(), |run| format!("run {run}"));
    let list = |labels: &[String]| if labels.is_empty() { "no label".to_owned() } else { labels.join(", ") };
    let first = format!(
        "starting from the weights of {source}: {parameters} kernels, biases and norms; of the heads those of {}; \
         random: {}",
        list(labels_taken),
        list(labels_new)
    );
    let differences = differences.iter().map(|difference| {
        format!("warning: the run that the weights are of was prepared in another way: {difference}")
    });
    std::iter::once(first).chain(differences).collect()
}

/// Messages about labels that may be left and right, and about mirroring.
fn side_warnings(plan: &RunPlan, labels: &[String]) -> Vec<String> {
    let name = |channel: u8| labels.get(usize::from(channel) - 1).map_or("", String::as_str);
    let done = match plan.mirror[2] {
        true => "they are exchanged where patches are mirrored along x",
        false => "patches are not mirrored along x",
    };
    let by_position = plan.sides_by_position.iter().map(|[left, right]| {
        format!(
            "warning: {} and {} mirror each other in nearly all training cases and count as left and right, although \
             their names do not state it: {done}",
            name(*left),
            name(*right)
        )
    });
    let alone = plan.sides_without_partner(labels).into_iter().map(|channel| {
        format!(
            "warning: {} has a side and no partner among the labels: patches mirrored along x teach it on the wrong side",
            name(channel)
        )
    });
    by_position.chain(alone).collect()
}

fn line(row: &HistoryRow) -> String {
    let labels: Vec<String> = row.dice.iter().map(|dice| format!("{dice:.3}")).collect();
    let HistoryRow { step, seconds, epoch, active, loss, dice_mean, .. } = row;
    format!(
        "{step:>8} {seconds:>8.1} {epoch:>6} {active:>6} {loss:>7.3} {dice_mean:>6.3}  ({})",
        labels.join(" ")
    )
}

/// A table of the trials of a tuning, sorted by rung and then by descending Dice.
pub(crate) fn trials_table(trials: &[Trial]) -> String {
    let mut trials: Vec<&Trial> = trials.iter().collect();
    let dice = |trial: &Trial| trial.dice_mean.unwrap_or(f64::NEG_INFINITY);
    trials.sort_by(|a, b| a.rung.cmp(&b.rung).then(dice(b).total_cmp(&dice(a))));
    let mut text = "rung  candidate       lr  width  depth       patch  batch   steps      Dice\n".to_owned();
    for trial in trials {
        let Trial { rung, candidate, rate, width, depth, patch, batch, steps, dice_mean, .. } = trial;
        let patch = Sides(patch.iter().map(|&side| side as usize).collect()).to_string();
        let dice = dice_mean.map_or("diverged".to_owned(), |dice| format!("{dice:.4}"));
        text += &format!(
            "{rung:>4}  {candidate:>9}  {rate:>7}  {width:>5}  {depth:>5}  {patch:>10}  {batch:>5}  {steps:>6}  \
             {dice:>8}\n"
        );
    }
    text
}

/// Shows the progress of the runs of a tuning or an experiment.
pub(crate) fn show_runs(event: &RunEvent<'_>) {
    match event {
        RunEvent::Timed(Speed { parts }) => {
            let step = |timed: &TimedPart| {
                let PatchSpec { patch: [z, y, x], pool, batch } = timed.part.spec;
                let coarse = if pool == [1; 3] { "" } else { ", low resolution" };
                format!("{:.4} s ({batch} patches of {z} x {y} x {x}{coarse})", timed.seconds)
            };
            let steps: Vec<String> = parts.iter().map(step).collect();
            note(&format!("a step takes {}", steps.join(", ")));
        }
        RunEvent::SmallBudget(seconds) => note(&format!(
            "warning: --budget {seconds} leaves no time for training beside loading, timing and evaluation: \
             some trials have the fewest steps, and the tuning takes longer"
        )),
        RunEvent::Kinds(kinds) => note(&format!("{kinds} kinds of step; those without a time are timed now")),
        RunEvent::Plateaus(plateaus) => {
            let plateaus: Vec<String> = plateaus.iter().map(|dice| format!("{dice:.4}")).collect();
            note(&format!("plateaus of the folds: test Dice {}", plateaus.join(" ")));
        }
        RunEvent::Begins(name, number, of) => note(&format!("{number} of {of}: {name}")),
        RunEvent::Elsewhere => note("  another process works on it"),
        RunEvent::Ended(Some(dice)) => note(&format!("  Dice {dice:.4}")),
        RunEvent::Ended(None) => note("  diverged"),
    }
}
