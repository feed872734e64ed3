//! Errors in a settings file, in terms of the file: line, section and key; expected, then found.

use pdl_console::suggest::nearest;

/// A key whose flag was renamed. The old name is refused, and the error states the new one.
#[derive(Clone, Copy, Debug)]
struct Renamed {
    old: &'static str,
    new: &'static str,
    /// The section of the new key; none for a flag of pdl-fit, which has no key in `pdl.toml`.
    section: Option<&'static str>,
}

/// Every renamed key.
const RENAMED: &[Renamed] = &[
    Renamed { old: "rate", new: "lr", section: None },
    Renamed { old: "rate_curve", new: "lr-schedule", section: None },
    Renamed { old: "restart_rate", new: "restart-lr", section: None },
    Renamed { old: "samples", new: "patch-count", section: None },
];

/// Explains why a settings file cannot be read.
pub(crate) fn explain(text: &str, error: &toml::de::Error) -> String {
    explain_with(RENAMED, text, error)
}

fn explain_with(renamed: &[Renamed], text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let place = place(text, line);
    let message = error.message();
    // Names stand between backticks: "unknown field `metrik`, expected one of `metric`, `score`".
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (first, known) = names.split_first().map_or(("", &[][..]), |(first, known)| (*first, known));
    if message.starts_with("unknown field") {
        let is_section = place.starts_with('[') && text.lines().nth(line - 1).is_some_and(is_heading);
        if let Some(key) = renamed.iter().find(|key| key.old == first && !is_section) {
            return format!("line {line}: {}", renamed_text(key));
        }
        let what = if is_section { "section" } else { "key" };
        return format!("line {line}: unknown {what} {first}{}", suggestion(first, known));
    }
    let problem = if message.starts_with("unknown variant") {
        format!("unknown value '{first}'{}", suggestion(first, known))
    } else if let Some((found, expected)) = found_and_expected(message) {
        format!("expected {}, found {}", describe_expected(expected), describe_found(found))
    } else {
        message.to_owned()
    };
    format!("line {line}, {place}: {problem}")
}

fn renamed_text(&Renamed { old, new, section }: &Renamed) -> String {
    match section {
        Some(section) => format!("the key {old} is now called {new}, in [{section}]"),
        None => {
            format!("{old} is now called {new} and is a flag of pdl-fit (--{new}), not a key of this file")
        }
    }
}

/// `; did you mean metric? (known: metric, score)`.
fn suggestion(found: &str, known: &[&str]) -> String {
    let near = nearest(found, known.iter().copied());
    let near = near.map_or(String::new(), |name| format!("; did you mean {name}?"));
    format!("{near} (known: {})", known.join(", "))
}

fn is_heading(line: &str) -> bool {
    line.trim_start().starts_with('[')
}

/// The key that a line belongs to, with its section: `stride in [compare]`.
fn place(text: &str, line: usize) -> String {
    let above: Vec<&str> = text.lines().take(line).collect();
    let section = above.iter().rev().find(|line| is_heading(line)).map_or("", |line| line.trim());
    let own = above.iter().rev().take_while(|line| !is_heading(line));
    let key = own.filter_map(|line| line.split_once('=')).map(|(key, _)| key.trim()).next();
    match key {
        Some(key) if section.is_empty() => key.to_owned(),
        Some(key) => format!("{key} in {section}"),
        None => section.to_owned(),
    }
}

/// The parts of `invalid type: string "two", expected usize` and the like.
fn found_and_expected(message: &str) -> Option<(&str, &str)> {
    let rest = ["invalid type: ", "invalid value: "].iter().find_map(|start| message.strip_prefix(start))?;
    rest.rsplit_once(", expected ")
}

fn describe_found(found: &str) -> String {
    match found.split_once(' ') {
        Some(("string", text)) => format!("the string {text}"),
        Some(("integer", number)) => format!("the number {}", number.trim_matches('`')),
        Some(("floating", point)) => {
            format!("the number {}", point.trim_start_matches("point ").trim_matches('`'))
        }
        Some(("boolean", value)) => value.trim_matches('`').to_owned(),
        _ if found == "sequence" => "a list".to_owned(),
        _ if found == "map" => "a section".to_owned(),
        _ => found.to_owned(),
    }
}

fn describe_expected(expected: &str) -> &str {
    match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a non-negative integer",
        "isize" | "i64" | "i32" | "i16" | "i8" => "an integer",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a string" | "string" => "a string in quotes",
        "path string" => "a path in quotes",
        "a sequence" => "a list, such as [\"a\", \"b\"]",
        "a map" => "a section",
        _ if expected.starts_with("struct ") => "a section, such as [rank]",
        _ => expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn error_of(text: &str) -> toml::de::Error {
        toml::from_str::<Settings>(text).unwrap_err()
    }

    fn explained(text: &str) -> String {
        explain(text, &error_of(text))
    }

    #[test]
    fn a_wrong_value_is_explained_by_line_key_and_expected_type() {
        assert_eq!(
            explained("[compare]\nstride = \"two\"\n"),
            "line 2, stride in [compare]: expected a non-negative integer, found the string \"two\""
        );
        assert_eq!(
            explained("[index]\n\nstratify = \"site\"\n"),
            "line 3, stratify in [index]: expected a list, such as [\"a\", \"b\"], found the string \"site\""
        );
        assert_eq!(
            explained("[run]\nstrict = 1\n"),
            "line 2, strict in [run]: expected true or false, found the number 1"
        );
        let value = explained("[rank]\nscore = \"meen\"\n");
        let start = "line 2, score in [rank]: unknown value 'meen'; did you mean mean? (known: mean, ";
        assert!(value.starts_with(start), "{value}");
        assert!(explained("[rank\n").starts_with("line 1, "), "invalid TOML");
    }

    #[test]
    fn an_unknown_key_or_section_is_named_with_the_nearest_known_one() {
        let key = explained("[prepare]\nproxysize = 3\n");
        assert!(
            key.starts_with("line 2: unknown key proxysize; did you mean proxy_size? (known: crop, "),
            "{key}"
        );
        let section = explained("[ranks]\n");
        assert!(
            section.starts_with("line 1: unknown section ranks; did you mean rank? (known: "),
            "{section}"
        );
    }

    #[test]
    fn a_renamed_key_is_refused_naming_the_new_one() {
        let renamed = [Renamed { old: "sorting", new: "order", section: Some("rank") }];
        let text = "[rank]\nsorting = \"typical\"\n";
        assert_eq!(
            explain_with(&renamed, text, &error_of(text)),
            "line 2: the key sorting is now called order, in [rank]"
        );
        for text in ["[rank]\nrate = 0.01\n", "rate = 0.01\n"] {
            assert!(explained(text).contains("is now called lr and is a flag of pdl-fit (--lr)"), "{text}");
        }
    }
}
