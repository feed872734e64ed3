//! Texts out of files, as they may be shown and stored.

/// A text in one line, trimmed, without the characters that steer a terminal or turn the direction
/// of writing.
pub fn one_line(text: &str) -> String {
    let spaced = text.chars().map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c });
    spaced.filter(|c| !steers(*c)).collect::<String>().trim().to_owned()
}

fn steers(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

#[cfg(test)]
mod tests {
    use super::*;

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
