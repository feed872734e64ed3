//! Lines on stdout and stderr that progress bars never overwrite.

use std::error::Error;
use std::io::Write;
use std::sync::OnceLock;

use indicatif::MultiProgress;

/// The bars on the terminal, once a [`Display`](crate::Display) exists.
pub(crate) static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// Writes a line to stdout. A closed pipe (`| head`) is no error.
pub fn say(line: &str) {
    above_bars(&|| drop(writeln!(std::io::stdout().lock(), "{line}")));
}

/// Writes a line to stderr.
pub fn note(line: &str) {
    above_bars(&|| drop(writeln!(std::io::stderr().lock(), "{line}")));
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
