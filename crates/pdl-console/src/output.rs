//! Output on stdout and stderr, above progress bars and with control characters escaped: all output
//! passes through here, as names of files and patients may be in it.

use std::borrow::Cow;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

use indicatif::MultiProgress;
use pdl_store::printable::escaped_lines;
use pdl_store::{fault, file_system};

use crate::exit_status::ExitStatus;

/// The bars on the terminal, once a [`Display`](crate::Display) exists.
pub(crate) static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// The first error of stdout.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Writes a line to stdout, or several; control characters in it are escaped. A closed pipe (`|
/// head`) is no error; any other is reported by [`finish`].
pub fn say(line: &str) {
    to_stdout(&escaped_lines(line));
}

/// Writes a control sequence of the terminal to stdout, such as one that shows an image. It must
/// not hold text from a file.
pub fn send_to_terminal(sequence: &str) {
    to_stdout(sequence);
}

fn to_stdout(line: &str) {
    above_bars(&|| keep(writeln!(io::stdout().lock(), "{line}")));
}

fn keep(written: io::Result<()>) {
    if let Some(error) = written.err().filter(|error| error.kind() != io::ErrorKind::BrokenPipe) {
        let _ = LOST.set(error); // a later error says no more than the first
    }
}

/// The exit code of a program that ended with `status`, after flushing its output and reporting
/// features that the file system lacks. A failure to write to stdout is reported, and turns success
/// into failure.
pub fn finish(status: ExitStatus) -> ExitCode {
    finished(status).into()
}

/// How a program ended, once all that it said is out, and what the file system lacks. What could
/// not be written to stdout is told, and makes a run that was done one that failed.
pub fn finished(status: ExitStatus) -> ExitStatus {
    for lack in file_system::take_lacks() {
        note(&format!("note: {}", lack.sentence()));
    }
    keep(io::stdout().lock().flush());
    let Some(error) = LOST.get() else { return status };
    note(&format!("error: cannot write to the standard output: {error}"));
    let failed = if fault::is_machine_error(error) { ExitStatus::Machine } else { ExitStatus::Failed };
    if status == ExitStatus::Done { failed } else { status }
}

/// Parses the command line. Help and wrong usage end here: the exit code then shows whether their
/// text was written.
///
/// # Errors
/// The exit code, if there is nothing to run.
pub fn parse(program: clap::Command) -> Result<clap::ArgMatches, ExitCode> {
    parse_from(program, std::env::args_os()).map_err(ExitCode::from)
}

/// Like [`parse`], of the words of another program's command line; the first is the program's name.
///
/// # Errors
/// How the program ended, when there is nothing to run.
pub fn parse_from(
    program: clap::Command,
    words: impl IntoIterator<Item = OsString>,
) -> Result<clap::ArgMatches, ExitStatus> {
    program.try_get_matches_from(words).map_err(|error| {
        let status = match error.exit_code() {
            0 => ExitStatus::Done,
            _ => ExitStatus::Usage,
        };
        // What was typed may hold names of files, and clap quotes it.
        match escaped_lines(&error.render().to_string()) {
            Cow::Borrowed(_) => keep(error.print()),
            Cow::Owned(shown) => above_bars(&|| drop(writeln!(io::stderr().lock(), "{}", shown.trim_end()))),
        }
        finished(status)
    })
}

/// Writes a line to stderr; control characters in it are escaped, and what follows a line break is
/// indented, so that no name in it begins a line that looks like one of the program's own.
pub fn note(line: &str) {
    let line = noted(line);
    above_bars(&|| drop(writeln!(io::stderr().lock(), "{line}")));
}

fn noted(line: &str) -> Cow<'_, str> {
    let shown = escaped_lines(line);
    if !shown.contains('\n') {
        return shown;
    }
    let indented = |line: &str| match line.starts_with([' ', '\t']) {
        true => line.to_owned(),
        false => format!("  {line}"),
    };
    let mut lines = shown.split('\n');
    let first = lines.next().unwrap_or_default().to_owned();
    Cow::Owned([first].into_iter().chain(lines.map(indented)).collect::<Vec<_>>().join("\n"))
}

/// Writes an error and its causes to stderr, a line each; a cause that the line above quotes is
/// skipped.
pub fn report(error: &(dyn Error + 'static)) {
    lines(error).iter().for_each(|line| note(line));
}

/// The text of an error and its causes as [`report`] writes it, a line each, for programs that
/// show errors in a way of their own. Control characters in it are escaped.
pub fn explanation(error: &(dyn Error + 'static)) -> String {
    let lines = causes(error).join("\n");
    escaped_lines(&lines).into_owned()
}

fn lines(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut lines = causes(error);
    lines[0].insert_str(0, "error: ");
    lines
}

/// The error, then each cause that the line above it does not quote; never empty.
fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut last = error.to_string();
    let mut lines = vec![last.clone()];
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

/// Hides the bars while `write` runs: stdout and stderr may be one terminal or one file, whose
/// lines must keep their order.
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
    fn a_name_in_a_message_neither_steers_the_terminal_nor_begins_a_line() {
        assert_eq!(noted("warning: a\u{1b}[2J"), "warning: a\\u001b[2J");
        assert_eq!(noted("error: no file: a\nerror: b"), "error: no file: a\n  error: b");
    }

    #[test]
    fn a_cause_is_told_unless_the_error_quotes_it() {
        let cause = || Some(Box::new(Layer { text: "disk full", source: None }));
        let written = lines(&Layer { text: "cannot write", source: cause() });
        assert_eq!(written, ["error: cannot write", "  because: disk full"]);
        assert_eq!(lines(&Layer { text: "cannot write: disk full", source: cause() }).len(), 1);
    }
}
