//! Words of anatomy and radiotherapy, which identify nobody.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::names::fold::{Script, letters, script};

/// Shorter words do not make up others.
const SHORTEST_PART: usize = 3;

/// The words, folded.
static WORDS: LazyLock<HashSet<Vec<char>>> =
    LazyLock::new(|| include_str!("vocabulary.txt").split_whitespace().map(letters).collect());

/// The most letters of a word.
static LONGEST: LazyLock<usize> = LazyLock::new(|| WORDS.iter().map(Vec::len).max().unwrap_or(0));

/// Placeholders for a patient's name.
const PLACEHOLDERS: [&str; 18] = [
    "anon",
    "anonym",
    "anonymised",
    "anonymized",
    "anonymous",
    "demo",
    "dummy",
    "nobody",
    "noname",
    "none",
    "null",
    "patient",
    "phantom",
    "pseudonym",
    "qa",
    "removed",
    "test",
    "unknown",
];

/// Parts of names that identify nobody: particles, titles, generations.
const PARTICLES: [&str; 48] = [
    "al", "and", "bin", "bint", "da", "das", "de", "del", "della", "den", "der", "di", "do", "don", "dos",
    "dr", "du", "el", "frau", "herr", "ibn", "ii", "iii", "iv", "jr", "la", "las", "le", "les", "los", "md",
    "miss", "mr", "mrs", "ms", "of", "phd", "prof", "sir", "sr", "st", "ten", "ter", "und", "van", "vom",
    "von", "zu",
];

/// Whether a folded word is anatomical: itself, in the plural, or a compound of such words.
pub(super) fn is_word(word: &[char]) -> bool {
    let is_digit = |c: &char| script(*c) == Script::Digit;
    WORDS.contains(word) || word.iter().all(is_digit) || is_plural(word) || is_compound(word)
}

fn is_plural(word: &[char]) -> bool {
    let without = |ending: &[char]| word.strip_suffix(ending).is_some_and(|word| WORDS.contains(word));
    without(&['s']) || without(&['e']) || without(&['e', 's']) || without(&['e', 'n']) || without(&['n'])
}

fn is_compound(word: &[char]) -> bool {
    // For every place whether words of the vocabulary reach it from the beginning.
    let mut reached = vec![false; word.len() + 1];
    reached[0] = true;
    for end in 1..=word.len() {
        let begins = end.saturating_sub(*LONGEST)..=end.saturating_sub(SHORTEST_PART);
        reached[end] = begins
            .into_iter()
            .any(|begin| end - begin >= SHORTEST_PART && reached[begin] && WORDS.contains(&word[begin..end]));
    }
    reached[word.len()]
}

/// The ranges of all words of anatomy in a text without spaces between words.
pub(super) fn occurrences(text: &[char]) -> Vec<std::ops::Range<usize>> {
    let from = |begin: usize| {
        let ends = begin + 1..=text.len().min(begin + *LONGEST);
        ends.filter(move |end| WORDS.contains(&text[begin..*end])).map(move |end| begin..end)
    };
    (0..text.len()).flat_map(from).collect()
}

pub(super) fn is_placeholder(word: &str) -> bool {
    PLACEHOLDERS.contains(&word.to_lowercase().as_str())
}

pub(super) fn is_particle(word: &str) -> bool {
    PARTICLES.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_anatomy_are_known_in_any_spelling_and_joined() {
        for word in [
            "Sternum",
            "KIDNEYS",
            "Rückenmark",
            "oesophagus",
            "GTV",
            "leftlung",
            "GTVnodal",
            "60",
            "Лёгкое",
            "Pfortadern",
        ] {
            assert!(is_word(&letters(word)), "{word}");
        }
        for word in ["Muster", "Eva", "Sternberg", "Li Wei", "Evalung"] {
            assert!(!is_word(&letters(word)), "{word}");
        }
        assert!(occurrences(&letters("气管旁")).contains(&(0..2)));
    }
}
