//! What is shown while stages run, and how errors look.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pdl_store::progress::Progress;

use crate::cluster;

/// Without a terminal a line is written only this often, so that logs of long runs still show life.
const QUIET_FOR: Duration = Duration::from_secs(60);

/// Writes a line to stdout; a reader that has gone away is no error.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes a line to stderr.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
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

/// Exit code of a run that Ctrl-C (or a request to terminate) stopped: 128 and the number of the signal SIGINT.
pub(crate) const STOPPED: i32 = 130;

/// From now on Ctrl-C ends the program with a word on how to go on. Files are written under other names first, so
/// that a stop at any moment leaves whole files only.
pub(crate) fn say_how_to_go_on(display: &Display) {
    let bar = display.bar.clone();
    // A second handler, or a system without signals: then Ctrl-C ends the program without a word, as anywhere.
    let _ = ctrlc::set_handler(move || {
        if cluster::is_waiting() {
            return; // pdl-cluster asks what to do
        }
        bar.finish_and_clear();
        note("stopped. What was made so far is kept: the same command again goes on from here.");
        std::process::exit(STOPPED);
    });
}

/// A bar on a terminal, a line a minute elsewhere.
pub(crate) struct Display {
    bar: ProgressBar,
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
        let bar = ProgressBar::with_draw_target(None, target);
        let template = "{msg:22} [{bar:30}] {human_pos}/{human_len}  {per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        let plain = Plain { step: String::new(), done: 0, total: 0, spoken: Instant::now() };
        Self { bar, plain: (!terminal).then(|| Mutex::new(plain)) }
    }

    /// Takes the bar away, so that what follows stands on a clean line.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Display {
    fn begin(&self, step: &str, total: u64) {
        self.bar.reset();
        self.bar.set_length(total);
        self.bar.set_message(step.to_owned());
        if let Some(Ok(mut plain)) = self.plain.as_ref().map(Mutex::lock) {
            *plain = Plain { step: step.to_owned(), done: 0, total, spoken: plain.spoken };
        }
    }

    fn advance(&self, units: u64) {
        self.bar.inc(units);
        if let Some(Ok(mut plain)) = self.plain.as_ref().map(Mutex::lock) {
            plain.done += units;
            if plain.spoken.elapsed() >= QUIET_FOR {
                plain.spoken = Instant::now();
                note(&format!("{}: {} of {}", plain.step, plain.done, plain.total));
            }
        }
    }
}
