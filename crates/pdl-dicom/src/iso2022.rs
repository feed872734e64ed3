//! Texts in which escape sequences change the character set, as headers from Japan, Korea and China
//! have them (PS3.5, 6.1.2.5): the parser takes the first set alone.

use dicom_encoding::text::{SpecificCharacterSet, TextCodec};

/// With what an escape sequence begins.
pub(crate) const ESCAPE: char = '\u{1b}';

/// What stands behind an escape sequence, by the sequence without its escape.
#[derive(Clone, Copy)]
enum Set {
    /// One byte a character; what the parser made of it stays.
    Single,
    /// JIS X 0208 or 0212: two bytes of seven bits.
    Japanese,
    /// KS X 1001: two bytes of eight bits, beside ASCII.
    Korean,
    /// GB 2312: as KS X 1001.
    Chinese,
}

const SEQUENCES: [(&str, Set); 10] = [
    ("$)C", Set::Korean),
    ("$)A", Set::Chinese),
    ("$(D", Set::Japanese),
    ("$B", Set::Japanese),
    ("$@", Set::Japanese),
    ("(B", Set::Single),
    ("(J", Set::Single),
    (")I", Set::Single),
    ("-A", Set::Single),
    ("-L", Set::Single),
];

/// The text with what the parser left undecoded. A set that is unknown, or bytes that are none of
/// it, stay as they are.
pub(crate) fn decoded(text: &str) -> String {
    let mut parts = text.split(ESCAPE);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    let mut upper = Set::Single; // of bytes of eight bits
    for part in parts {
        let Some((sequence, set)) = SEQUENCES.iter().find(|(sequence, _)| part.starts_with(sequence)) else {
            whole.push(ESCAPE);
            whole.push_str(part);
            continue;
        };
        let rest = &part[sequence.len()..];
        let shown = match (set, upper) {
            (Set::Japanese, _) => japanese(sequence, rest),
            (Set::Korean, _) | (Set::Single, Set::Korean) => eight_bits("ISO 2022 IR 149", rest),
            (Set::Chinese, _) | (Set::Single, Set::Chinese) => eight_bits("ISO 2022 IR 58", rest),
            (Set::Single, _) => None,
        };
        if matches!(set, Set::Korean | Set::Chinese) {
            upper = *set;
        }
        whole.push_str(&shown.unwrap_or_else(|| rest.to_owned()));
    }
    whole
}

fn japanese(sequence: &str, rest: &str) -> Option<String> {
    let mut bytes = format!("{ESCAPE}{sequence}").into_bytes();
    bytes.extend(of_parser(rest)?);
    bytes.extend(format!("{ESCAPE}(B").into_bytes());
    SpecificCharacterSet::from_code("ISO 2022 IR 87")?.decode(&bytes).ok()
}

fn eight_bits(set: &str, rest: &str) -> Option<String> {
    SpecificCharacterSet::from_code(set)?.decode(&of_parser(rest)?).ok()
}

/// The bytes that the parser took for Latin-1.
fn of_parser(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_are_read() {
        // PS3.5, annexes H.3.1 and I.2.
        let latin = |bytes: &[u8]| bytes.iter().map(|b| char::from(*b)).collect::<String>();
        let japanese =
            latin(b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B");
        assert_eq!(decoded(&japanese), "Yamada^Tarou=山田^太郎=やまだ^たろう");
        let korean = latin(
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        );
        assert_eq!(decoded(&korean), "Hong^Gildong=洪^吉洞=홍^길동");
        assert_eq!(decoded("a\u{1b}[2J"), "a\u{1b}[2J");
    }
}
