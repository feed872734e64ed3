//! What is shown: results on stdout, and on stderr how far the cluster is, a bar on a terminal and a line a minute
//! elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Without a terminal a line is written only this often.
const QUIET_FOR: Duration = Duration::from_secs(60);

/// Writes a line to stdout; a reader that has gone away is no error.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes a line to stderr.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Shows a share of a total.
#[derive(Debug)]
pub struct JobProgress {
    bar: ProgressBar,
    spoken: Option<Mutex<Instant>>,
}

impl JobProgress {
    /// Begins a step that has `total` units of work.
    pub fn new(step: &str, total: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_message(step.to_owned());
        let template = "{msg:22} [{bar:30}] {human_pos}/{human_len}  {per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, spoken: (!terminal).then(|| Mutex::new(Instant::now())) }
    }

    /// Says how many units are done.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
        if let Some(Ok(mut spoken)) = self.spoken.as_ref().map(Mutex::lock)
            && spoken.elapsed() >= QUIET_FOR
        {
            *spoken = Instant::now();
            note(&format!("{}: {done} of {}", self.bar.message(), self.bar.length().unwrap_or_default()));
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
