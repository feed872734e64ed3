//! What is wrong in a settings file, in words of the file.

use pdl_console::suggest::nearest;

/// Says line, section and key of what cannot be read, what was found there and what is wanted.
pub(crate) fn told(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let place = place(text, line);
    let message = error.message();
    // Names stand between backticks: "unknown field `metrik`, expected one of `metric`, `score`".
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (first, others) = names.split_first().map_or(("", &[][..]), |(first, others)| (*first, others));
    let known = || {
        let meant = nearest(first, others.iter().copied());
        let meant = meant.map_or(String::new(), |name| format!("did you mean {name}? "));
        format!("{meant}There are {}", others.join(", "))
    };
    let problem = if message.starts_with("unknown field") {
        let what = if place.starts_with('[') && text.lines().nth(line - 1).is_some_and(is_heading) {
            "section"
        } else {
            "key"
        };
        return format!("line {line}: there is no {what} {first}: {}", known());
    } else if message.starts_with("unknown variant") {
        format!("'{first}' is none of its words: {}", known())
    } else if let Some((found, wanted)) = found_and_wanted(message) {
        format!("{} stands there; wanted is {}", in_words(found), wanted_in_words(wanted))
    } else {
        message.to_owned()
    };
    format!("line {line}, {place}: {problem}")
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

/// "invalid type: string \"two\", expected usize" and the like.
fn found_and_wanted(message: &str) -> Option<(&str, &str)> {
    let rest = ["invalid type: ", "invalid value: "].iter().find_map(|start| message.strip_prefix(start))?;
    rest.rsplit_once(", expected ")
}

fn in_words(found: &str) -> String {
    match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
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

fn wanted_in_words(wanted: &str) -> &str {
    match wanted {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number, 0 or more",
        "isize" | "i64" | "i32" | "i16" | "i8" => "a whole number",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a string" | "string" => "a text in quotes",
        "path string" => "a path in quotes",
        "a sequence" => "a list, such as [\"a\", \"b\"]",
        "a map" => "a section",
        _ if wanted.starts_with("struct ") => "a section, such as [rank]",
        _ => wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn a_wrong_value_is_told_by_line_key_and_what_is_wanted() {
        let told = |text: &str| told(text, &toml::from_str::<Settings>(text).unwrap_err());
        assert_eq!(
            told("[compare]\nstride = \"two\"\n"),
            "line 2, stride in [compare]: the text \"two\" stands there; wanted is a whole number, 0 or more"
        );
        assert_eq!(
            told("[index]\n\nstratify = \"site\"\n"),
            "line 3, stratify in [index]: the text \"site\" stands there; wanted is a list, such as [\"a\", \"b\"]"
        );
        assert_eq!(
            told("[run]\nstrict = 1\n"),
            "line 2, strict in [run]: the number 1 stands there; wanted is true or false"
        );
        let unknown = told("[prepare]\nproxysize = 3\n");
        assert!(
            unknown.starts_with("line 2: there is no key proxysize: did you mean proxy_size? There are "),
            "{unknown}"
        );
        assert!(
            told("[ranks]\n").starts_with("line 1: there is no section ranks: did you mean rank? There are ")
        );
        let word = told("[rank]\nscore = \"meen\"\n");
        assert!(
            word.starts_with("line 2, score in [rank]: 'meen' is none of its words: did you mean mean? "),
            "{word}"
        );
        assert!(told("[rank\n").starts_with("line 1, "), "what is no TOML");
    }
}
