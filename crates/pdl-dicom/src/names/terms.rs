//! Search terms for a text, derived from identifiers of people.

use std::collections::BTreeSet;

use crate::names::fold::{Script, letters, script};
use crate::names::identifiers::{Identifier, Identifiers};
use crate::names::vocabulary;

/// Minimum number of letters of a part of a name that is matched inside a word, too.
const INSIDE_WORDS: usize = 5;
/// Minimum number of digits of an identifying part of an id.
const LONG_NUMBER: usize = 4;
/// Minimum number of letters and digits of an id.
const SHORTEST_ID: usize = 3;
/// Minimum number of letters and digits of an identifying text of one word.
const SHORTEST_TEXT: usize = 6;
/// Minimum number of letters of a word of free text that may be a name.
const SHORTEST_WORD: usize = 4;

/// Names of months, by which dates are written.
const MONTHS: [&[&str]; 12] = [
    &["jan", "january", "januar", "janvier", "ene", "enero", "gennaio", "янв"],
    &["feb", "february", "februar", "fevrier", "febrero", "febbraio", "фев"],
    &["mar", "march", "maerz", "mrz", "mars", "marzo", "мар"],
    &["apr", "april", "avril", "abr", "abril", "aprile", "апр"],
    &["may", "mai", "mayo", "maggio", "мая"],
    &["jun", "june", "juni", "juin", "junio", "giugno", "июн"],
    &["jul", "july", "juli", "juillet", "julio", "luglio", "июл"],
    &["aug", "august", "aout", "ago", "agosto", "авг"],
    &["sep", "sept", "september", "septembre", "septiembre", "settembre", "сен"],
    &["oct", "october", "okt", "oktober", "octobre", "octubre", "ottobre", "окт"],
    &["nov", "november", "novembre", "noviembre", "ноя"],
    &["dec", "december", "dez", "dezember", "decembre", "dic", "diciembre", "dicembre", "дек"],
];

/// Where in a text a term matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Between the borders of words.
    Word,
    /// Anywhere, except inside a word of anatomy.
    Anywhere,
}

/// Folded letters and digits that are hidden.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Term {
    pub letters: Vec<char>,
    pub place: Place,
}

/// All terms, the longest first.
pub(super) fn terms(identifiers: &Identifiers) -> Vec<Term> {
    let mut terms = Terms::default();
    for identifier in identifiers.iter() {
        match identifier {
            Identifier::Patient(name) => terms.add_name(name, true),
            Identifier::Person(name) => terms.add_name(name, false),
            Identifier::Id(id) => terms.add_id(id),
            Identifier::Date(date) => terms.add_date(date),
            Identifier::Text(text) => terms.add_text(text),
            Identifier::AboutPatient(text) => {
                terms.add_text(text);
                terms.add_words(text);
            }
        }
    }
    let mut terms: Vec<Term> = terms.0.into_iter().collect();
    terms.sort_by_key(|term| std::cmp::Reverse(term.letters.len()));
    terms
}

#[derive(Default)]
struct Terms(BTreeSet<Term>);

impl Terms {
    fn add(&mut self, letters: Vec<char>, place: Place) {
        if !letters.is_empty() {
            self.0.insert(Term { letters, place });
        }
    }

    /// A name of any number of spellings: family, given, middle name, prefix, suffix between `^`.
    fn add_name(&mut self, name: &str, is_patient: bool) {
        for spelling in name.split(['=', '\\']) {
            let components: Vec<&str> = spelling.split('^').map(str::trim).collect();
            let words = || components.iter().flat_map(|component| parts(component));
            // The name of a phantom may describe its anatomy.
            let spares = !is_patient || words().any(vocabulary::is_placeholder);
            for component in &components {
                self.add_component(component, spares);
            }
            if let [family, given, ..] = components.as_slice()
                && ![family, given].iter().any(|part| part.is_empty() || has_digit(part))
            {
                let initial: String = given.chars().take(1).collect();
                for joined in [format!("{family}{given}"), format!("{given}{family}")] {
                    self.add_joined(&joined, false);
                }
                for joined in [format!("{family}{initial}"), format!("{initial}{family}")] {
                    self.add_joined(&joined, true);
                }
            }
        }
    }

    /// Names in one word, such as `doejohn`; with an initial, such as `jdoe`, unless that is a word
    /// of anatomy.
    fn add_joined(&mut self, joined: &str, has_initial: bool) {
        let joined = letters(joined);
        let is_alphabet = is_alphabet(&joined);
        if is_alphabet && joined.len() < SHORTEST_WORD
            || has_initial && (!is_alphabet || vocabulary::is_word(&joined))
        {
            return;
        }
        let place = if has_initial { Some(Place::Word) } else { place_of(&joined) };
        place.into_iter().for_each(|place| self.add(joined.clone(), place));
    }

    fn add_component(&mut self, component: &str, spares_anatomy: bool) {
        if has_digit(component) {
            return self.add_id(component); // no person's name
        }
        let words: Vec<&str> = parts(component).collect();
        let alone = words.len() == 1;
        let whole = (words.len() > 1).then_some(component);
        for word in words.into_iter().chain(whole) {
            let folded = letters(word);
            let is_nobodys = vocabulary::is_placeholder(word) || !alone && vocabulary::is_particle(word);
            if is_nobodys || is_title(word) || spares_anatomy && vocabulary::is_word(&folded) {
                continue;
            }
            if let Some(place) = place_of(&folded) {
                self.add(folded, place);
            }
        }
    }

    fn add_id(&mut self, id: &str) {
        let folded = letters(id);
        if folded.len() >= SHORTEST_ID && !is_description(id) {
            self.add(folded, Place::Word);
        }
        self.add_numbers(id);
    }

    /// Long numbers in a text, also without the zeros before them.
    fn add_numbers(&mut self, text: &str) {
        for word in parts(text).chain([text]) {
            let folded = letters(word);
            for number in folded.split(|c| script(*c) != Script::Digit) {
                let zeros = number.iter().take_while(|digit| **digit == '0').count();
                for number in [number, &number[zeros..]].into_iter().filter(|n| n.len() >= LONG_NUMBER) {
                    self.add(number.to_vec(), Place::Word);
                }
            }
        }
    }

    /// A day in the ways in which it is written, by numbers and by the name of its month.
    fn add_date(&mut self, date: &str) {
        let digits: Vec<u32> = date.chars().filter_map(|c| c.to_digit(10)).take(8).collect();
        let number = |range: std::ops::Range<usize>| {
            digits.get(range).map(|digits| digits.iter().fold(0, |number, digit| number * 10 + digit))
        };
        let (Some(year), Some(month), Some(day)) = (number(0..4), number(4..6), number(6..8)) else { return };
        let Some(names) = MONTHS.get((month as usize).wrapping_sub(1)).filter(|_| (1..=31).contains(&day))
        else {
            return;
        };
        let short = year % 100;
        let mut written =
            vec![format!("{day}{month}{year}"), format!("{month}{day}{year}"), format!("{year}{month}{day}")];
        let (d, m) = (format!("{day:02}"), format!("{month:02}"));
        for year in [format!("{year:04}"), format!("{short:02}")] {
            written.extend([format!("{year}{m}{d}"), format!("{d}{m}{year}"), format!("{m}{d}{year}")]);
            for name in *names {
                written.extend([
                    format!("{d}{name}{year}"),
                    format!("{day}{name}{year}"),
                    format!("{name}{d}{year}"),
                    format!("{name}{day}{year}"),
                ]);
            }
        }
        written.iter().for_each(|written| self.add(letters(written), Place::Word));
    }

    fn add_text(&mut self, text: &str) {
        let folded = letters(text);
        let words = parts(text).count();
        if (folded.len() >= SHORTEST_TEXT || words > 1 && folded.len() >= SHORTEST_WORD)
            && !is_description(text)
        {
            self.add(folded, Place::Word);
        }
        self.add_numbers(text);
    }

    /// Words of free text that may be names: of letters that have no capitals, or with a leading
    /// one, without words of anatomy.
    fn add_words(&mut self, text: &str) {
        for word in parts(text) {
            let folded = letters(word);
            let first = word.chars().next().unwrap_or(' ');
            let may_be_name = first.is_uppercase() || first.is_alphabetic() && !first.is_lowercase();
            let is_long = folded.len() >= SHORTEST_WORD || !is_alphabet(&folded) && folded.len() > 1;
            if may_be_name && is_long && !vocabulary::is_word(&folded) && !vocabulary::is_placeholder(word) {
                self.add(folded, Place::Word);
            }
        }
    }
}

/// The words of a text, without separators.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let is_between = |c: char| {
        !(c.is_alphanumeric()
            || unicode_normalization::char::is_combining_mark(c)
            || c == '\u{200c}'
            || c == '\u{200d}')
    };
    text.split(is_between).filter(|part| !part.is_empty())
}

fn has_digit(text: &str) -> bool {
    text.chars().any(char::is_numeric)
}

/// Whether all words of a text are of anatomy, or placeholders.
fn is_description(text: &str) -> bool {
    let is_known = |word: &str| vocabulary::is_placeholder(word) || vocabulary::is_word(&letters(word));
    !has_digit(text) && parts(text).all(is_known)
}

fn is_title(word: &str) -> bool {
    const TITLES: [&str; 9] = ["dr", "herr", "frau", "prof", "phd", "mrs", "iii", "jr", "md"];
    TITLES.contains(&word.to_lowercase().as_str())
}

fn is_alphabet(letters: &[char]) -> bool {
    letters.first().is_some_and(|c| script(*c) == Script::Alphabet)
}

/// Where a folded part of a name matches; `None` for an initial.
fn place_of(letters: &[char]) -> Option<Place> {
    let (least, anywhere) = match script(*letters.first()?) {
        Script::Alphabet | Script::Digit => (2, INSIDE_WORDS),
        Script::Han => (1, 1),
        Script::Kana => (2, 2),
        Script::Hangul => (1, 2),
        Script::Unspaced => (2, 3),
    };
    let place = if letters.len() >= anywhere { Place::Anywhere } else { Place::Word };
    (letters.len() >= least).then_some(place)
}
