//! Lines on stdout and stderr that progress bars never overwrite.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

use indicatif::MultiProgress;
use pdl_store::{fault, file_system};

use crate::exit_status::ExitStatus;

/// The bars on the terminal, once a [`Display`](crate::Display) exists.
pub(crate) static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// The first error of stdout.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Writes a line to stdout. A closed pipe (`| head`) is no error; any other is told by [`finish`].
pub fn say(line: &str) {
    above_bars(&|| keep(writeln!(io::stdout().lock(), "{line}")));
}

fn keep(written: io::Result<()>) {
    if let Some(error) = written.err().filter(|error| error.kind() != io::ErrorKind::BrokenPipe) {
        let _ = LOST.set(error); // a later error says no more than the first
    }
}

/// The exit code of a program that ended with `status`, once all that it said is out, and what the
/// file system lacks. What could not
/// be written to stdout is told, and makes a run that was done one that failed.
pub fn finish(status: ExitStatus) -> ExitCode {
    for lack in file_system::take_lacks() {
        note(&format!("note: {}", lack.sentence()));
    }
    keep(io::stdout().lock().flush());
    let Some(error) = LOST.get() else { return status.into() };
    note(&format!("error: cannot write to the standard output: {error}"));
    let failed = if fault::is_machine_error(error) { ExitStatus::Machine } else { ExitStatus::Failed };
    if status == ExitStatus::Done { failed.into() } else { status.into() }
}

/// Reads the words of the command line. Help and wrong usage end here: the exit code then says
/// whether their text was written.
///
/// # Errors
/// The exit code, when there is nothing to run.
pub fn parse(program: clap::Command) -> Result<clap::ArgMatches, ExitCode> {
    program.try_get_matches().map_err(|error| {
        let status = match error.exit_code() {
            0 => ExitStatus::Done,
            _ => ExitStatus::Usage,
        };
        keep(error.print());
        finish(status)
    })
}

/// Writes a line to stderr.
pub fn note(line: &str) {
    above_bars(&|| drop(writeln!(io::stderr().lock(), "{line}")));
}

/// Writes an error and its causes to stderr, a line each; a cause that the line above quotes is
/// skipped.
pub fn report(error: &(dyn Error + 'static)) {
    lines(error).iter().for_each(|line| note(line));
}

fn lines(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut last = error.to_string();
    let mut lines = vec![format!("error: {last}")];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !last.contains(&text) {
            lines.push(format!("  because: {text}"));
        }
        last = text;
        source = cause.source();
    }
    lines
}

/// Hides the bars while `write` runs: stdout and stderr may be one terminal or one file, in which
/// lines must stand in the order they were written.
fn above_bars(write: &dyn Fn()) {
    match BARS.get() {
        Some(bars) => bars.suspend(write),
        None => write(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn a_cause_is_told_unless_the_error_quotes_it() {
        let cause = || Some(Box::new(Layer { text: "disk full", source: None }));
        let written = lines(&Layer { text: "cannot write", source: cause() });
        assert_eq!(written, ["error: cannot write", "  because: disk full"]);
        assert_eq!(lines(&Layer { text: "cannot write: disk full", source: cause() }).len(), 1);
    }
}
