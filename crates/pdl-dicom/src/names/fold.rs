//! Text as names are compared: letters and digits alone, in one spelling.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A letter or digit of a text in the common spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Folded {
    pub letter: char,
    /// Index of its character in the text (composed, NFC).
    pub at: usize,
    /// Whether a word may begin here: where a run begins, and where small letters end and capitals
    /// begin.
    pub starts_word: bool,
    /// Whether a run of letters or of digits begins here: after what is neither, between letters
    /// and digits, and between scripts.
    pub starts_run: bool,
}

/// Kinds of scripts, by how words are separated in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// Letters of an alphabet, in words with spaces between.
    Alphabet,
    /// Ideographs: a name may be one of them, and words are not separated.
    Han,
    /// Japanese syllables.
    Kana,
    /// Korean syllables.
    Hangul,
    /// Thai, Lao, Burmese, Khmer: letters without spaces between words.
    Unspaced,
    Digit,
}

pub(super) fn script(c: char) -> Script {
    match c {
        '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' => Script::Kana,
        '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}'
        | '々' => Script::Han,
        '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{ac00}'..='\u{d7af}' => Script::Hangul,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => Script::Unspaced,
        c if c.is_numeric() => Script::Digit,
        _ => Script::Alphabet,
    }
}

/// The text composed (NFC), character by character.
pub(super) fn composed(text: &str) -> Vec<char> {
    text.nfc().collect()
}

/// Letters and digits of a composed text.
pub(super) fn fold(text: &[char]) -> Vec<Folded> {
    let mut folded: Vec<Folded> = Vec::new();
    let mut before: Option<usize> = None; // the last letter or digit
    let mut letters = Vec::new();
    for (at, c) in text.iter().enumerate() {
        letters.clear();
        common_spelling(*c, &mut letters);
        if letters.is_empty() {
            continue;
        }
        let starts_run = before.is_none_or(|before| is_run_start(text, before, at));
        let starts_word = starts_run || before.is_some_and(|before| is_capital_start(text, before, at));
        for (number, letter) in letters.iter().copied().enumerate() {
            let [starts_word, starts_run] = [starts_word, starts_run].map(|starts| starts && number == 0);
            folded.push(Folded { letter, at, starts_word, starts_run });
        }
        before = Some(at);
    }
    joined_vowels(&folded)
}

/// The folded letters of a text, without places.
pub(super) fn letters(text: &str) -> Vec<char> {
    fold(&composed(text)).into_iter().map(|folded| folded.letter).collect()
}

fn is_run_start(text: &[char], before: usize, at: usize) -> bool {
    let between = &text[before + 1..at];
    between.iter().any(|c| !is_combining_mark(*c)) || script(text[before]) != script(text[at])
}

fn is_capital_start(text: &[char], before: usize, at: usize) -> bool {
    let (left, here) = (text[before], text[at]);
    let next_is_small = text.get(at + 1).is_some_and(|next| next.is_lowercase());
    here.is_uppercase() && (left.is_lowercase() || left.is_uppercase() && next_is_small)
}

/// Adds a character without case, accents and width; nothing for what is no letter or digit.
fn common_spelling(c: char, letters: &mut Vec<char>) {
    if c.is_ascii() {
        letters.extend(c.is_ascii_alphanumeric().then(|| c.to_ascii_lowercase()));
        return;
    }
    // A syllable of Hangul stays whole: taken apart, it would begin as others do.
    let parts: Vec<char> = match script(c) {
        Script::Hangul => vec![c],
        _ => [c].into_iter().nfkd().filter(|part| !is_combining_mark(*part)).collect(),
    };
    let small = parts.into_iter().flat_map(char::to_lowercase).filter(|part| !is_combining_mark(*part));
    letters.extend(small.filter(|part| part.is_alphanumeric() && *part != 'ـ').flat_map(plain));
}

/// Letters that no decomposition takes apart, in the spelling that people write instead, and digits
/// as ASCII.
fn plain(c: char) -> Vec<char> {
    let written = match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ı' => "i",
        'ħ' => "h",
        'ŋ' => "n",
        'ς' => "σ",
        'ى' | 'ی' => "ي",
        'ة' | 'ۀ' => "ه",
        'ک' => "ك",
        'ァ'..='ヶ' => return vec![char::from_u32(u32::from(c) - 0x60).unwrap_or(c)],
        _ => return vec![digit(c).unwrap_or(c)],
    };
    written.chars().collect()
}

/// A digit of another script as ASCII.
fn digit(c: char) -> Option<char> {
    const ZEROS: [u32; 12] =
        [0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xe50, 0xed0, 0x1040];
    let code = u32::from(c);
    let zero = ZEROS.into_iter().find(|zero| (*zero..zero + 10).contains(&code))?;
    char::from_digit(code - zero, 10)
}

/// Joins two vowels that are one letter in another spelling: `ä` is written ae and a, `å` aa,
/// `ß` ss and s. Both sides of a comparison are changed, so that all spellings are equal. Letters
/// of different words are not joined.
fn joined_vowels(folded: &[Folded]) -> Vec<Folded> {
    let mut joined: Vec<Folded> = Vec::with_capacity(folded.len());
    for here in folded {
        let second = joined.last().is_some_and(|first| {
            !here.starts_word
                && matches!((first.letter, here.letter), ('a' | 'o' | 'u', 'e') | ('a', 'a') | ('s', 's'))
        });
        if !second {
            joined.push(*here);
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_text(text: &str) -> String {
        letters(text).into_iter().collect()
    }

    #[test]
    fn spellings_of_one_name_are_one() {
        for names in [
            &["Müller", "MUELLER", "Muller", "Mu\u{308}ller", "mueller"][..],
            &["Weiß", "Weiss", "WEISS"],
            &["O'Brien", "O\u{2019}Brien", "OBrien", "o brien"],
            &["Ågård", "Aagaard"],
            &["Łukasz", "Lukasz"],
            &["Işık", "ISIK"],
            &["ヤマダ", "やまだ", "ﾔﾏﾀﾞ"],
            &["Ивано\u{308}в", "ИВАНОВ"],
            &["Παπαδόπουλος", "ΠΑΠΑΔΟΠΟΥΛΟΣ"],
            &["محمّد", "محـمد"],
            &["１２３", "123", "١٢٣"],
        ] {
            let first = plain_text(names[0]);
            assert!(names.iter().all(|name| plain_text(name) == first), "{names:?}");
        }
        assert_ne!(plain_text("김"), plain_text("기"));
    }

    #[test]
    fn words_begin_where_a_reader_sees_them_begin() {
        let words = |text: &str| {
            let folded = fold(&composed(text));
            folded
                .iter()
                .map(|f| if f.starts_word { format!("|{}", f.letter) } else { f.letter.to_string() })
                .collect::<String>()
        };
        assert_eq!(words("GTVMuster_2b"), "|gtv|muster|2|b");
        assert_eq!(words("leftLung"), "|left|lung");
        assert_eq!(words("王小GTV"), "|王小|gtv");
        assert_eq!(words("U\u{308}ber"), "|uber");
    }
}
