//! Text of other people, made fit to be shown: on a terminal, in a log, in a report, in a table.
//!
//! A name out of a header or of a file may hold characters that move a terminal's cursor, turn the
//! direction of the text around, begin a line of their own or, in a spreadsheet, a formula.

use std::borrow::Cow;
use std::fmt::Write;

/// Characters that begin a formula in a spreadsheet, or are skipped before one.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Prefix that makes a spreadsheet read a cell as text.
const TEXT_MARK: char = '\'';

/// Whether a character controls the display of the text instead of being shown: the control
/// characters (C0, DEL, C1), separators of lines and paragraphs, and those that set the direction
/// of text or annotate it.
pub fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0001}'..='\u{e007f}'
        )
}

/// A text in one line, trimmed, without the characters that steer what shows it.
pub fn one_line(text: &str) -> String {
    let spaced = text.chars().map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c });
    spaced.filter(|c| !is_control(*c)).collect::<String>().trim().to_owned()
}

/// The text with every such character as JSON writes it, such as `\u001b` or `\n`. JSON keeps its
/// meaning, as these characters occur in its strings only.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, is_control)
}

/// Like [`escaped`], for text of several lines: line breaks and tabs stay.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_control(c) && c != '\n' && c != '\t')
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if !is_escaped(c) => shown.push(c),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(shown, "\\u{unit:04x}");
                }
            }
        }
    }
    Cow::Owned(shown)
}

/// The text of a cell that no spreadsheet reads as a formula: an apostrophe precedes what would
/// begin one. Numbers stay as they are; [`from_cell`] removes the apostrophe.
pub fn cell(text: &str) -> Cow<'_, str> {
    let plain = text.trim_start_matches(TEXT_MARK);
    if plain.starts_with(FORMULA) && text.parse::<f64>().is_err() {
        return Cow::Owned(format!("{TEXT_MARK}{text}"));
    }
    Cow::Borrowed(text)
}

/// The text that [`cell`] made a cell of.
pub fn from_cell(cell: &str) -> &str {
    match cell.strip_prefix(TEXT_MARK) {
        Some(text) if text.trim_start_matches(TEXT_MARK).starts_with(FORMULA) => text,
        _ => cell,
    }
}

/// Like [`cell`], for the relative path of a file, which stays a path to the same file.
pub fn path_cell(path: &str) -> Cow<'_, str> {
    if path.starts_with(FORMULA) { Cow::Owned(format!("./{path}")) } else { Cow::Borrowed(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        for (text, shown) in [
            ("left lung", "left lung"),
            ("Füße 左肺", "Füße 左肺"),
            ("\u{1b}[2Jx", "\\u001b[2Jx"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("a\u{7f}\u{9b}31m", "a\\u007f\\u009b31m"),
            ("a\u{202e}b\u{2066}\u{200f}", "a\\u202eb\\u2066\\u200f"),
            ("a\u{e0041}", "a\\udb40\\udc41"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
        ] {
            assert_eq!(escaped(text), shown);
        }
        assert_eq!(escaped_lines("a\n\tb\u{7}"), "a\n\tb\\u0007");
        let json = serde_json::to_string("\u{7f}\u{202e}\u{1b}\u{e0041}").unwrap();
        let read: String = serde_json::from_str(&escaped_lines(&json)).unwrap();
        assert_eq!(read, "\u{7f}\u{202e}\u{1b}\u{e0041}");
    }

    #[test]
    fn a_cell_is_no_formula_and_is_read_back() {
        for (text, expected) in [
            ("p01", "p01"),
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("+49 171", "'+49 171"),
            ("-cmd", "'-cmd"),
            ("\t=1", "'\t=1"),
            ("-5", "-5"),
            ("+1e3", "+1e3"),
            ("'=1", "''=1"),
            ("O'Brien", "O'Brien"),
            ("'quoted", "'quoted"),
            ("", ""),
        ] {
            assert_eq!(cell(text), expected);
            assert_eq!(from_cell(&cell(text)), text);
        }
        assert_eq!(path_cell("=x/a.nii"), "./=x/a.nii");
        assert_eq!(path_cell("../-x.nii"), "../-x.nii");
    }

    #[test]
    fn what_steers_a_terminal_is_removed() {
        for (text, shown) in [
            (" left lung ", "left lung"),
            ("left\r\nlung", "left  lung"),
            ("\u{1b}[31mliver\u{7}", "[31mliver"),
            ("a\u{202e}b\u{9b}c\u{0}", "abc"),
            ("肝脏 Hüfte", "肝脏 Hüfte"),
        ] {
            assert_eq!(one_line(text), shown);
        }
    }
}
