//! Output of the program: results on stdout; notes and progress on stderr, the latter as a bar on a
//! terminal and as a line per minute elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two lines of progress without a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(60);

/// Writes a line to stdout. A closed pipe is no error.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes a line to stderr.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Progress of a job.
#[derive(Debug)]
pub struct JobProgress {
    bar: ProgressBar,
    /// Time of the last line; none on a terminal.
    last_line: Option<Mutex<Instant>>,
}

impl JobProgress {
    /// Starts at 0 of `total` units; `step` labels the bar.
    pub fn new(step: &str, total: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_message(step.to_owned());
        let template = "{msg:22} [{bar:30}] {human_pos}/{human_len}  {per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, last_line: (!terminal).then(|| Mutex::new(Instant::now())) }
    }

    /// Moves to `done` units.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
        if let Some(Ok(mut last)) = self.last_line.as_ref().map(Mutex::lock)
            && last.elapsed() >= LINE_INTERVAL
        {
            *last = Instant::now();
            note(&format!("{}: {done} of {}", self.bar.message(), self.bar.length().unwrap_or_default()));
        }
    }

    /// Removes the bar from the terminal.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
