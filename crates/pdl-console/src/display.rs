//! Progress on stderr: bars on a terminal, a line a minute elsewhere.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pdl_store::printable::escaped;
use pdl_store::progress::Progress;

use crate::output::{BARS, note};

/// Time between two lines without a terminal, so that logs of long runs show life and stay short.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Maximum number of workers with a line of their own.
const MOST_WORKERS: usize = 8;

/// The progress of one command: its stages, a bar for the current step, and a line for each worker.
///
/// A program has one; [`say`](crate::say) and [`note`](crate::note) write above it.
pub struct Display {
    bars: MultiProgress,
    /// The stages of a command that has several, and for how long it has run.
    stages: ProgressBar,
    step: ProgressBar,
    /// The item of each thread.
    workers: Mutex<HashMap<ThreadId, ProgressBar>>,
    /// The step without a terminal.
    plain: Option<Mutex<Plain>>,
}

struct Plain {
    step: String,
    done: u64,
    total: u64,
    /// When the last line was written.
    written: Instant,
}

impl Display {
    /// Draws nothing until a step begins.
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bars = BARS.get_or_init(|| MultiProgress::with_draw_target(target)).clone();
        let step =
            bars.add(styled("{msg:22} [{bar:30}] {human_pos}/{human_len}  {per_sec}  {eta} left  {prefix}"));
        let stages = styled("{msg}  {elapsed}");
        // until `enter`: alone it would draw over the others
        stages.set_draw_target(ProgressDrawTarget::hidden());
        let plain = Plain { step: String::new(), done: 0, total: 0, written: Instant::now() };
        Self { bars, stages, step, workers: Mutex::default(), plain: (!terminal).then(|| Mutex::new(plain)) }
    }

    /// Shows that `current` of `all` stages begins.
    pub fn enter(&self, all: &[&str], current: &str) {
        let reached = all.iter().position(|stage| *stage == current).unwrap_or(0);
        let stages = all.iter().enumerate().map(|(place, stage)| match place.cmp(&reached) {
            Ordering::Less => format!("{stage} done"),
            Ordering::Equal => format!("> {}", stage.to_uppercase()),
            Ordering::Greater => (*stage).to_owned(),
        });
        if self.stages.length().is_none() {
            self.bars.insert_before(&self.step, self.stages.clone());
            self.stages.set_length(all.len() as u64);
        }
        self.stages.set_message(stages.collect::<Vec<_>>().join(" | "));
    }

    /// Shows that `done` units of the step are done, for a step whose progress is known as a total
    /// rather than by [`Progress::advance`].
    pub fn set(&self, done: u64) {
        self.step.set_position(done);
        self.update_plain(|plain| plain.done = done);
    }

    /// Like [`Display::set`], for units that an earlier run has done: they do not count as speed.
    pub fn resume(&self, done: u64) {
        self.set(done);
        self.step.reset_eta();
    }

    /// Shows a short text behind the bar, such as the latest score.
    pub fn remark(&self, text: &str) {
        self.step.set_prefix(escaped(text).into_owned());
    }

    /// Removes all bars, so that the next output starts on a clean line.
    pub fn clear(&self) {
        if let Ok(mut workers) = self.workers.lock() {
            workers.drain().for_each(|(_, worker)| worker.finish_and_clear());
        }
        self.step.finish_and_clear();
        self.stages.finish_and_clear();
    }

    /// Without a terminal: changes the step, and writes a line when it is time.
    fn update_plain(&self, change: impl FnOnce(&mut Plain)) {
        if let Some(Ok(mut plain)) = self.plain.as_ref().map(Mutex::lock) {
            change(&mut plain);
            if plain.written.elapsed() >= LINE_EVERY {
                plain.written = Instant::now();
                note(&format!("{}: {} of {}", plain.step, plain.done, plain.total));
            }
        }
    }
}

impl Default for Display {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Display {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Display").field("step", &self.step.message()).finish_non_exhaustive()
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
        self.step.set_prefix("");
        if let Some(Ok(mut plain)) = self.plain.as_ref().map(Mutex::lock) {
            *plain = Plain { step: step.to_owned(), done: 0, total, written: plain.written };
        }
    }

    fn advance(&self, units: u64) {
        self.step.inc(units);
        self.stages.tick();
        self.update_plain(|plain| plain.done += units);
    }

    fn begin_item(&self, item: &str) {
        let Ok(mut workers) = self.workers.lock() else { return };
        let own = std::thread::current().id();
        if self.plain.is_some() || (workers.len() >= MOST_WORKERS && !workers.contains_key(&own)) {
            return;
        }
        let worker = workers.entry(own).or_insert_with(|| self.bars.add(styled("  {elapsed:>4} {wide_msg}")));
        worker.reset_elapsed();
        worker.set_message(escaped(item).into_owned());
    }

    fn end_item(&self) {
        let Ok(workers) = self.workers.lock() else { return };
        if let Some(worker) = workers.get(&std::thread::current().id()) {
            worker.set_message("");
        }
    }
}
