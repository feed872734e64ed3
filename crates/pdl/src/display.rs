//! What is shown while stages run, and how errors look.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, OnceLock};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pdl_store::progress::{HOW_TO_GO_ON, Progress, STOPPED};

use crate::cluster;

/// Without a terminal a line is written only this often, so that logs of long runs still show life.
const QUIET_FOR: Duration = Duration::from_secs(60);

/// The lines that are drawn on the terminal, while there are any.
static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// Writes a line to stdout; a reader that has gone away is no error.
pub(crate) fn say(line: &str) {
    above_bars(&|| drop(writeln!(std::io::stdout().lock(), "{line}")));
}

/// Writes a line to stderr.
pub(crate) fn note(line: &str) {
    above_bars(&|| drop(writeln!(std::io::stderr().lock(), "{line}")));
}

/// Both streams may be one terminal or one file: bars are taken away before a line is written, so that none is drawn
/// over it, and lines stand in the order in which they were written.
fn above_bars(write: &dyn Fn()) {
    match BARS.get() {
        Some(bars) => bars.suspend(write),
        None => write(),
    }
}

/// One readable report of an error: what, then why.
pub(crate) fn error(error: &anyhow::Error) {
    note(&format!("error: {error}"));
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        if !last.contains(&text) {
            note(&format!("  because: {text}"));
        }
        last = text;
    }
}

/// From now on Ctrl-C ends the program with a word on how to go on.
pub(crate) fn say_how_to_go_on(display: &Display) {
    let bars = display.bars.clone();
    // A second handler, or a system without signals: then Ctrl-C ends the program without a word, as anywhere.
    let _ = ctrlc::set_handler(move || {
        if cluster::is_waiting() {
            return; // pdl-cluster asks what to do
        }
        let _ = bars.clear();
        note(HOW_TO_GO_ON);
        std::process::exit(STOPPED);
    });
}

/// Most workers that have a line of their own.
const MOST_WORKERS: usize = 8;

/// On a terminal the stages, a bar for the current step and a line for each worker; elsewhere a line a minute.
pub(crate) struct Display {
    bars: MultiProgress,
    /// The stages of a command that has several, and for how long it has run.
    stages: ProgressBar,
    step: ProgressBar,
    /// What each thread works on.
    workers: Mutex<HashMap<ThreadId, ProgressBar>>,
    plain: Option<Mutex<Plain>>,
}

struct Plain {
    step: String,
    done: u64,
    total: u64,
    spoken: Instant,
}

impl Display {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bars = BARS.get_or_init(|| MultiProgress::with_draw_target(target)).clone();
        let step = bars.add(styled("{msg:22} [{bar:30}] {human_pos}/{human_len}  {per_sec}  {eta} left"));
        let stages = styled("{msg}  {elapsed}");
        stages.set_draw_target(ProgressDrawTarget::hidden()); // until `enter`: alone it would draw over the others
        let plain = Plain { step: String::new(), done: 0, total: 0, spoken: Instant::now() };
        Self { bars, stages, step, workers: Mutex::default(), plain: (!terminal).then(|| Mutex::new(plain)) }
    }

    /// `current` of `all` stages begins.
    pub(crate) fn enter(&self, all: &[&str], current: &str) {
        let reached = all.iter().position(|stage| *stage == current).unwrap_or(0);
        let told = all.iter().enumerate().map(|(place, stage)| match place.cmp(&reached) {
            Ordering::Less => format!("{stage} done"),
            Ordering::Equal => format!("> {}", stage.to_uppercase()),
            Ordering::Greater => (*stage).to_owned(),
        });
        if self.stages.length().is_none() {
            self.bars.insert_before(&self.step, self.stages.clone());
            self.stages.set_length(all.len() as u64);
        }
        self.stages.set_message(told.collect::<Vec<_>>().join(" | "));
    }

    /// Takes all lines away, so that what follows stands on a clean one.
    pub(crate) fn clear(&self) {
        if let Ok(mut workers) = self.workers.lock() {
            workers.drain().for_each(|(_, worker)| worker.finish_and_clear());
        }
        self.step.finish_and_clear();
        self.stages.finish_and_clear();
    }
}

fn styled(template: &str) -> ProgressBar {
    let bar = ProgressBar::no_length();
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

impl Progress for Display {
    fn begin(&self, step: &str, total: u64) {
        self.step.reset();
        self.step.set_length(total);
        self.step.set_message(step.to_owned());
        if let Some(Ok(mut plain)) = self.plain.as_ref().map(Mutex::lock) {
            *plain = Plain { step: step.to_owned(), done: 0, total, spoken: plain.spoken };
        }
    }

    fn advance(&self, units: u64) {
        self.step.inc(units);
        self.stages.tick();
        if let Some(Ok(mut plain)) = self.plain.as_ref().map(Mutex::lock) {
            plain.done += units;
            if plain.spoken.elapsed() >= QUIET_FOR {
                plain.spoken = Instant::now();
                note(&format!("{}: {} of {}", plain.step, plain.done, plain.total));
            }
        }
    }

    fn begin_item(&self, item: &str) {
        let Ok(mut workers) = self.workers.lock() else { return };
        let own = std::thread::current().id();
        if self.plain.is_some() || (workers.len() >= MOST_WORKERS && !workers.contains_key(&own)) {
            return;
        }
        let worker = workers.entry(own).or_insert_with(|| self.bars.add(styled("  {elapsed:>4} {wide_msg}")));
        worker.reset_elapsed();
        worker.set_message(item.to_owned());
    }

    fn end_item(&self) {
        let Ok(workers) = self.workers.lock() else { return };
        if let Some(worker) = workers.get(&std::thread::current().id()) {
            worker.set_message("");
        }
    }
}
