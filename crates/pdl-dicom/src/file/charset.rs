//! Characters of texts: the Specific Character Set (0008,0005) of a data set and the escape
//! sequences of ISO 2022 inside its texts (PS3.3, C.12.1.1.2; PS3.5, 6.1.2).
//!
//! No escape character leaves this module: a sequence that designates a character set is applied,
//! any other becomes U+FFFD.

use std::borrow::Cow;

use encoding_rs::{
    EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6,
    ISO_8859_7, ISO_8859_8, ISO_8859_15, SHIFT_JIS, UTF_8, WINDOWS_874, WINDOWS_1252, WINDOWS_1254,
};

const ESCAPE: u8 = 0x1b;

/// The character sets that a data set declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CharacterSet {
    /// The set of bytes from 128 on before any escape sequence; `None` if none is declared, or none
    /// that is known.
    first: Option<&'static Encoding>,
    /// The first of the further ones, which escape sequences designate.
    further: Option<&'static Encoding>,
}

/// The meaning of bytes below 128.
#[derive(Clone, Copy)]
enum Lower {
    Ascii,
    /// Pairs of bytes of a two-byte set, stored with their high bits set.
    Pairs {
        prefix: Option<u8>,
        encoding: &'static Encoding,
    },
}

/// The character set that an escape sequence designates.
enum Designation {
    Lower(Lower),
    Upper(&'static Encoding),
}

impl CharacterSet {
    /// From the value of (0008,0005), as files have it: misspelt, too.
    pub(crate) fn declared(value: &str) -> Self {
        let mut terms = value.split('\\').map(encoding_of);
        let first = terms.next().flatten();
        Self { first, further: terms.flatten().next() }
    }

    /// Whether characters beyond ASCII are defined.
    pub(crate) fn is_known(self) -> bool {
        self.first.or(self.further).is_some()
    }

    /// The text of a value; invalid characters become U+FFFD.
    pub(crate) fn decode(self, bytes: Vec<u8>) -> String {
        if bytes.is_ascii() && !bytes.contains(&ESCAPE) {
            return String::from_utf8(bytes).unwrap_or_default();
        }
        let mut text = String::with_capacity(bytes.len());
        let (mut lower, mut upper) = (Lower::Ascii, None);
        let mut rest = bytes.as_slice();
        loop {
            let end = rest.iter().position(|byte| *byte == ESCAPE);
            let (run, after) = rest.split_at(end.unwrap_or(rest.len()));
            match lower {
                Lower::Ascii => text.push_str(&self.run(run, upper)),
                Lower::Pairs { prefix, encoding } => pairs(run, prefix, encoding, &mut text),
            }
            let Some(after) = after.get(1..) else { return text };
            let (designation, length) = designation(after);
            match designation {
                Some(Designation::Lower(set)) => lower = set,
                Some(Designation::Upper(set)) => upper = Some(set),
                None => text.push(char::REPLACEMENT_CHARACTER),
            }
            rest = after.get(length..).unwrap_or_default();
        }
    }

    /// Characters of one byte below 128 and those of the designated set from 128 on. Without a
    /// designated set they are UTF-8 if valid as such, which other texts hardly are by chance.
    fn run<'a>(self, bytes: &'a [u8], upper: Option<&'static Encoding>) -> Cow<'a, str> {
        let guessed = || match std::str::from_utf8(bytes) {
            Ok(_) => UTF_8,
            Err(_) => self.further.unwrap_or(WINDOWS_1252),
        };
        let encoding = upper.or(self.first).unwrap_or_else(guessed);
        match bytes.is_ascii() {
            true => String::from_utf8_lossy(bytes),
            false => encoding.decode_without_bom_handling(bytes).0,
        }
    }
}

/// Adds characters of two bytes below 128.
fn pairs(bytes: &[u8], prefix: Option<u8>, encoding: &'static Encoding, text: &mut String) {
    let is_half = |byte: &u8| (0x21..=0x7e).contains(byte);
    for run in bytes.chunk_by(|a, b| is_half(a) == is_half(b)) {
        if !run.first().is_some_and(is_half) {
            text.push_str(&String::from_utf8_lossy(run)); // spaces and ends of lines
            continue;
        }
        let high = |pair: &[u8]| prefix.into_iter().chain(pair.iter().map(|b| b | 0x80)).collect::<Vec<u8>>();
        let high: Vec<u8> = run.chunks(2).flat_map(high).collect();
        text.push_str(&encoding.decode_without_bom_handling(&high).0);
    }
}

/// The character set that the bytes after an escape character designate, and their number; `None`
/// for a sequence that DICOM does not define.
fn designation(bytes: &[u8]) -> (Option<Designation>, usize) {
    use Designation::{Lower as L, Upper as U};
    let pairs = |encoding| L(Lower::Pairs { prefix: None, encoding });
    let intermediate = bytes.iter().take_while(|byte| (0x20..=0x2f).contains(*byte)).count();
    let ends = bytes.get(intermediate).is_some_and(|byte| (0x30..=0x7e).contains(byte));
    let length = if ends { intermediate + 1 } else { intermediate };
    let found = match &bytes[..length] {
        b"(B" | b"(J" => L(Lower::Ascii),
        b"$@" | b"$B" | b"$(B" => pairs(EUC_JP),
        // JIS X 0212, which EUC has behind a byte of its own.
        b"$(D" => L(Lower::Pairs { prefix: Some(0x8f), encoding: EUC_JP }),
        b"$A" | b"$(A" => pairs(GBK),
        b"$(C" => pairs(EUC_KR),
        b"$)A" => U(GBK),
        b"$)C" => U(EUC_KR),
        b")I" => U(SHIFT_JIS),
        b"-A" => U(WINDOWS_1252),
        b"-B" => U(ISO_8859_2),
        b"-C" => U(ISO_8859_3),
        b"-D" => U(ISO_8859_4),
        b"-F" => U(ISO_8859_7),
        b"-G" => U(ISO_8859_6),
        b"-H" => U(ISO_8859_8),
        b"-L" => U(ISO_8859_5),
        b"-M" => U(WINDOWS_1254),
        b"-T" => U(WINDOWS_874),
        b"-b" => U(ISO_8859_15),
        _ => return (None, length),
    };
    (Some(found), length)
}

/// The set of a defined term; spaces, punctuation and case are ignored, as files misspell them. Of
/// sets that leave the bytes from 128 to 159 undefined, a superset that defines them is used.
fn encoding_of(term: &str) -> Option<&'static Encoding> {
    let term: String = term.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_uppercase();
    let number =
        ["ISO2022IR", "ISOIR", "ISO2022", "ISO", "IR"].iter().find_map(|start| term.strip_prefix(start));
    Some(match number.unwrap_or(&term) {
        "13" => SHIFT_JIS,
        "87" | "159" => EUC_JP,
        "100" | "88591" | "LATIN1" | "1252" | "WINDOWS1252" => WINDOWS_1252,
        "101" | "88592" | "LATIN2" => ISO_8859_2,
        "109" | "88593" => ISO_8859_3,
        "110" | "88594" => ISO_8859_4,
        "126" | "88597" => ISO_8859_7,
        "127" | "88596" => ISO_8859_6,
        "138" | "88598" => ISO_8859_8,
        "144" | "88595" => ISO_8859_5,
        "148" | "88599" | "LATIN5" => WINDOWS_1254,
        "149" | "EUCKR" | "KSC5601" => EUC_KR,
        "166" => WINDOWS_874,
        "192" | "UTF8" | "106461" | "UNICODE" => UTF_8,
        "203" | "885915" | "LATIN9" => ISO_8859_15,
        "58" | "GBK" | "GB2312" => GBK,
        "GB18030" => GB18030,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(declared: &str, bytes: &[u8]) -> String {
        CharacterSet::declared(declared).decode(bytes.to_vec())
    }

    #[test]
    fn texts_are_read_by_their_character_sets() {
        // The examples of PS3.5, annexes H, I, J and K, and names of organs.
        for (declared, bytes, text) in [
            ("", &b"liver"[..], "liver"),
            ("ISO_IR 100", b"H\xfcftkopf", "Hüftkopf"),
            ("ISO IR 100", b"H\xfcftkopf", "Hüftkopf"),
            ("ISO_IR 101", b"\xb6ledziona", "śledziona"),
            ("ISO_IR 144", b"\xbf\xd5\xe7\xd5\xdd\xec", "Печень"),
            ("ISO_IR 148", b"karaci\xf0er", "karaciğer"),
            ("ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
            ("ISO_IR 192", "Fígado-肝".as_bytes(), "Fígado-肝"),
            ("UTF-8", "Hüftkopf".as_bytes(), "Hüftkopf"),
            ("GB18030", b"\xb8\xce\xd4\xe0", "肝脏"),
            ("GBK", b"\xb8\xce\xd4\xe0", "肝脏"),
            ("\\ISO 2022 IR 58", b"\x1b$)A\xb8\xce\xd4\xe0", "肝脏"),
            ("\\ISO 2022 IR 58", b"\xb8\xce\xd4\xe0", "肝脏"),
            ("\\ISO 2022 IR 87", b"Yamada^\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^山田^太郎"),
            ("ISO 2022 IR 13\\ISO 2022 IR 87", b"\xd4\xcf=\x1b$B;3ED\x1b(J", "ﾔﾏ=山田"),
            ("\\ISO 2022 IR 159", b"\x1b$(D0!\x1b(B", "丂"),
            ("\\ISO 2022 IR 149", b"Hong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "Hong=洪^吉洞"),
            ("\\ISO 2022 IR 100\\ISO 2022 IR 144", b"\x1b-A\xe9\x1b-L\xbf", "éП"),
        ] {
            assert_eq!(decoded(declared, bytes), text, "{declared}");
        }
    }

    #[test]
    fn undeclared_characters_are_utf_8_if_they_can_be() {
        assert_eq!(decoded("", "Fígado-肝".as_bytes()), "Fígado-肝");
        assert_eq!(decoded("", b"H\xfcftkopf"), "Hüftkopf");
        assert_eq!(decoded("nonsense", b"H\xfcftkopf"), "Hüftkopf");
        assert!(!CharacterSet::declared("nonsense\\").is_known());
        assert!(CharacterSet::declared("\\ISO 2022 IR 87").is_known());
    }

    #[test]
    fn no_escape_character_is_left() {
        for bytes in
            [&b"\x1b"[..], b"a\x1b", b"\x1b[31mred", b"\x1b$", b"\x1b$B1", b"\x1b$(Q!!", b"\x1b\x1b(B\xff"]
        {
            for declared in ["", "ISO_IR 192", "GB18030", "\\ISO 2022 IR 87"] {
                let text = decoded(declared, bytes);
                assert!(!text.contains('\u{1b}'), "{declared}: {text:?}");
            }
        }
        assert_eq!(decoded("", b"a\x1b[31mb"), "a\u{fffd}31mb");
    }
}
