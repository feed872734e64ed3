//! Hides what identifies people in a text.

use std::ops::Range;

use unicode_normalization::char::is_combining_mark;

use pdl_store::printable::one_line;

use crate::names::fold::{Folded, Script, composed, fold, script};
use crate::names::identifiers::Identifiers;
use crate::names::terms::{Place, Term, terms};
use crate::names::vocabulary;

/// Replaces masked text.
const MASK: &str = "PATIENT";

/// Numbers between dots from which on they are a UID.
const UID_PARTS: usize = 5;

/// A text that may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedName {
    /// The text, trimmed and in one line, without control characters.
    pub text: String,
    /// Whether something was masked.
    pub masked: bool,
}

/// Masks names, ids and dates of people in texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameMask(Vec<Term>);

impl NameMask {
    /// The mask for these identifiers.
    pub fn of(identifiers: &Identifiers) -> Self {
        Self(terms(identifiers))
    }

    /// The text with `PATIENT` in the place of each name, id and date, and of every UID.
    pub fn without(&self, text: &str) -> MaskedName {
        let text = one_line(text);
        let shown = composed(&text);
        let folded = fold(&shown);
        let mut found = Hidden { letters: vec![false; folded.len()], gaps: vec![false; folded.len()] };
        let words = words(&folded);
        // Masked text is a border for its neighbours.
        loop {
            let hidden = self.0.iter().filter(|term| found.hide(term, &folded, &words)).count();
            if hidden == 0 {
                break;
            }
        }
        let mut letters_hidden = vec![false; shown.len()];
        for place in uids(&shown) {
            letters_hidden[place].fill(true);
        }
        found.spread(&folded, &shown, &mut letters_hidden);
        if !letters_hidden.contains(&true) {
            return MaskedName { text, masked: false };
        }
        let mut masked = String::new();
        for (place, c) in shown.iter().enumerate() {
            if !letters_hidden[place] {
                masked.push(*c);
            } else if place == 0 || !letters_hidden[place - 1] {
                masked.push_str(MASK);
            }
        }
        MaskedName { text: masked, masked: true }
    }
}

/// The words of a folded text, with the words of anatomy in it.
struct Words {
    /// Where each word begins, and the end of the text.
    borders: Vec<usize>,
    /// Where each run of letters or digits begins, and the end of the text.
    runs: Vec<usize>,
    anatomy: Vec<Range<usize>>,
}

fn words(folded: &[Folded]) -> Words {
    let letters: Vec<char> = folded.iter().map(|folded| folded.letter).collect();
    let begins = |starts: fn(&Folded) -> bool| -> Vec<usize> {
        let begins = folded.iter().enumerate().filter(|(_, folded)| starts(folded)).map(|(place, _)| place);
        begins.chain([folded.len()]).collect()
    };
    let (borders, runs) = (begins(|folded| folded.starts_word), begins(|folded| folded.starts_run));
    let mut anatomy = Vec::new();
    for pair in borders.windows(2).chain(runs.windows(2)) {
        let word = &letters[pair[0]..pair[1]];
        match word.first().map(|c| script(*c)) {
            Some(Script::Alphabet) if vocabulary::is_word(word) => anatomy.push(pair[0]..pair[1]),
            Some(Script::Alphabet | Script::Digit) | None => {}
            Some(_) => {
                let found = vocabulary::occurrences(word).into_iter();
                anatomy.extend(found.map(|range| pair[0] + range.start..pair[0] + range.end));
            }
        }
    }
    Words { borders, runs, anatomy }
}

impl Words {
    fn is_border(&self, place: usize) -> bool {
        self.borders.binary_search(&place).is_ok()
    }

    /// Whether a range is a part of a word of anatomy, and not the whole of it.
    fn is_inside_anatomy(&self, range: &Range<usize>) -> bool {
        let holds = |word: &&Range<usize>| word.start <= range.start && range.end <= word.end;
        self.anatomy.iter().filter(holds).any(|word| word.len() > range.len())
    }

    /// Whether a word may begin or end at a place: at a border, beside masked text, or if the rest
    /// of its run or of a word in it, before (`back`) or after, is a word of anatomy.
    fn ends_at(&self, place: usize, back: bool, folded: &[Folded], hidden: &[bool]) -> bool {
        let beside = if back { place.checked_sub(1) } else { Some(place) };
        if self.is_border(place) || beside.is_some_and(|beside| hidden.get(beside) == Some(&true)) {
            return true;
        }
        let run = match back {
            true => self.runs.iter().rfind(|run| **run < place),
            false => self.runs.iter().find(|run| **run > place),
        };
        let Some(run) = run else { return false };
        let in_run = self.borders.iter().filter(|border| {
            if back { (*run..place).contains(*border) } else { (place + 1..=*run).contains(*border) }
        });
        let mut rests = in_run.map(|border| if back { *border..place } else { place..*border });
        rests.any(|rest| {
            let letters: Vec<char> = folded[rest].iter().map(|folded| folded.letter).collect();
            letters.len() > 1 && vocabulary::is_word(&letters)
        })
    }
}

/// The masked folded letters, and after which of them the text up to the next is masked, too.
struct Hidden {
    letters: Vec<bool>,
    gaps: Vec<bool>,
}

impl Hidden {
    /// Masks a term wherever it occurs; returns whether more is masked than before.
    fn hide(&mut self, term: &Term, folded: &[Folded], words: &Words) -> bool {
        let length = term.letters.len();
        let mut found = false;
        for begin in 0..(folded.len() + 1).saturating_sub(length) {
            let range = begin..begin + length;
            let here = folded[range.clone()].iter().map(|folded| folded.letter);
            if !here.eq(term.letters.iter().copied())
                || self.letters[range.clone()].iter().all(|hidden| *hidden)
                || words.is_inside_anatomy(&range)
            {
                continue;
            }
            let in_one_word = !(begin + 1..range.end).any(|place| words.is_border(place));
            let stands_alone = words.ends_at(begin, true, folded, &self.letters)
                && words.ends_at(range.end, false, folded, &self.letters);
            if stands_alone || term.place == Place::Anywhere && in_one_word {
                self.gaps[begin..range.end - 1].fill(true);
                self.letters[range].fill(true);
                found = true;
            }
        }
        found
    }

    /// From folded letters to the characters of the text, with the text inside a name, the accents
    /// of a letter, and the second letter that it stands for.
    fn spread(&self, folded: &[Folded], shown: &[char], letters_hidden: &mut [bool]) {
        for (place, letter) in folded.iter().enumerate().filter(|(place, _)| self.letters[*place]) {
            let next = folded.get(place + 1).map_or(shown.len(), |next| next.at).max(letter.at + 1);
            let behind = shown[letter.at + 1..next].iter();
            let own = match self.gaps[place] {
                true => behind.count(),
                false => behind.take_while(|c| is_combining_mark(**c) || c.is_alphanumeric()).count(),
            };
            letters_hidden[letter.at..=letter.at + own].fill(true);
        }
    }
}

/// The places of numbers with dots between that are UIDs.
fn uids(text: &[char]) -> Vec<Range<usize>> {
    let is_uid = |c: &char| c.is_ascii_digit() || *c == '.';
    let mut found = Vec::new();
    let mut begin = 0;
    for run in text.chunk_by(|a, b| is_uid(a) == is_uid(b)) {
        let numbers = run.split(|c| *c == '.').filter(|number| !number.is_empty()).count();
        if run.first().is_some_and(is_uid) && numbers >= UID_PARTS {
            found.push(begin..begin + run.len());
        }
        begin += run.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::identifiers::Identifier;

    fn mask(identifiers: &[Identifier]) -> NameMask {
        NameMask::of(&identifiers.iter().cloned().collect())
    }

    fn patient(name: &str) -> NameMask {
        mask(&[Identifier::Patient(name.to_owned())])
    }

    fn check(mask: &NameMask, cases: &[(&str, &str)]) {
        for (name, shown) in cases {
            let found = mask.without(name);
            assert_eq!((found.text.as_str(), found.masked), (*shown, shown.contains(MASK)), "{name}");
        }
    }

    #[test]
    fn parts_of_the_patients_name_and_ids_are_masked() {
        let name = Identifier::Patient("Muster^Eva^M=MUSTER".to_owned());
        let mask = mask(&[name, Identifier::Id("4711".to_owned())]);
        check(
            &mask,
            &[
                ("GTV muster", "GTV PATIENT"),
                ("GTVMuster2", "GTVPATIENT2"),
                ("gtvmuster", "gtvPATIENT"),
                ("GTVEVA", "GTVPATIENT"),
                ("GTVeva", "GTVPATIENT"),
                ("musters eva", "PATIENTs PATIENT"),
                ("musterE_Heart", "PATIENT_Heart"),
                ("emuster", "PATIENT"),
                ("Eva_lung", "PATIENT_lung"),
                ("evamuster", "PATIENT"),
                ("EVALUATION", "EVALUATION"),
                ("Lung M", "Lung M"),
                ("lung 4711", "lung PATIENT"),
                ("lung 47110", "lung 47110"),
                (" heart ", "heart"),
                ("", ""),
            ],
        );
    }

    #[test]
    fn a_name_is_found_in_every_spelling() {
        check(
            &patient("Müller^Jörg"),
            &[
                ("Mueller", "PATIENT"),
                ("GTV_MULLER", "GTV_PATIENT"),
                ("Joerg", "PATIENT"),
                ("Mu\u{308}ller", "PATIENT"),
                ("Müller2", "PATIENT2"),
            ],
        );
        check(&patient("Mueller^Anna"), &[("Müller GTV", "PATIENT GTV"), ("annas lunge", "annas lunge")]);
        check(
            &patient("O'Brien^Pat"),
            &[
                ("OBrien", "PATIENT"),
                ("O\u{2019}Brien", "PATIENT"),
                ("o brien heart", "PATIENT heart"),
                ("Brien", "PATIENT"),
            ],
        );
        check(
            &patient("Meyer-Landrut^Kim"),
            &[
                ("MeyerLandrut", "PATIENT"),
                ("Landrut", "PATIENT"),
                ("meyer landrut", "PATIENT"),
                ("meyer ptv landrut", "PATIENT ptv PATIENT"),
            ],
        );
        check(
            &patient("Núñez^José María"),
            &[("NUNEZ", "PATIENT"), ("Jose", "PATIENT"), ("josemaria", "PATIENT")],
        );
        check(&patient("Weiß^Uwe"), &[("Weiss", "PATIENT"), ("weiß_ptv", "PATIENT_ptv")]);
    }

    #[test]
    fn short_names_and_those_of_other_scripts_are_masked() {
        check(
            &patient("Li^Wu"),
            &[
                ("Li_lung", "PATIENT_lung"),
                ("GTV Wu", "GTV PATIENT"),
                ("liver", "liver"),
                ("liwu", "PATIENT"),
            ],
        );
        check(
            &patient("Wang^XiaoDong=王^小东"),
            &[
                ("王小东_GTV", "PATIENT_GTV"),
                ("肝王", "肝PATIENT"),
                ("小东肝", "PATIENT肝"),
                ("Xiao Dong", "PATIENT"),
                ("左肺", "左肺"),
            ],
        );
        check(&patient("Guan^Li=管^丽"), &[("气管", "气管"), ("食管", "食管"), ("管GTV", "PATIENTGTV")]);
        check(
            &patient("Yamada^Tarou=山田^太郎=やまだ^たろう"),
            &[
                ("山田 GTV", "PATIENT GTV"),
                ("ヤマダ", "PATIENT"),
                ("たろう右肺", "PATIENT右肺"),
                ("ﾔﾏﾀﾞ", "PATIENT"),
            ],
        );
        check(
            &patient("Kim^Cheolsu=김^철수"),
            &[("김철수 종양", "PATIENT 종양"), ("철수", "PATIENT"), ("기관", "기관")],
        );
        check(
            &patient("Иванов^Пётр"),
            &[("ГТВ ИВАНОВА", "ГТВ PATIENTА"), ("петр", "PATIENT"), ("печень", "печень")],
        );
        check(&patient("حسن^علي"), &[("ورم حسن", "ورم PATIENT"), ("القلب", "القلب")]);
        check(&patient("สมชาย^ใจดี"), &[("ปอดสมชาย", "ปอดPATIENT"), ("หัวใจ", "หัวใจ")]);
    }

    #[test]
    fn words_of_anatomy_are_masked_only_where_they_are_the_patients_name() {
        check(
            &patient("Stern^Leber"),
            &[("Sternum", "Sternum"), ("Lebervene", "Lebervene"), ("Leber", "PATIENT"), ("Stern", "PATIENT")],
        );
        check(&patient("Heart"), &[("Heart", "PATIENT"), ("left lung", "left lung")]);
        check(&patient("PHANTOM^Thorax"), &[("Thorax", "Thorax"), ("phantom", "phantom")]);
        check(&patient("PANCREAS_0001"), &[("Pancreas", "Pancreas"), ("PANCREAS_0001", "PATIENT")]);
        check(&patient("de la Cruz^Ana"), &[("LA", "LA"), ("De La Cruz", "PATIENT"), ("cruz", "PATIENT")]);
        check(
            &mask(&[Identifier::Person("Lung Clinic^Dr.".to_owned())]),
            &[("Lung", "Lung"), ("Clinic", "PATIENT")],
        );
    }

    #[test]
    fn numbers_dates_and_texts_are_masked_as_people_write_them() {
        let mask = mask(&[
            Identifier::Id("MRN-0007712345".to_owned()),
            Identifier::Id("LUNG1-001".to_owned()),
            Identifier::Id("7".to_owned()),
            Identifier::Date("19531204".to_owned()),
            Identifier::Text("phone 555".to_owned()),
            Identifier::AboutPatient("Seen by Zweistein, lives in Lung Street".to_owned()),
        ]);
        check(
            &mask,
            &[
                ("GTV 7712345", "GTV PATIENT"),
                ("mrn0007712345", "PATIENT"),
                ("MRN 0007712345 GTV", "PATIENT GTV"),
                ("Lung1", "Lung1"),
                ("lung1_001", "PATIENT"),
                ("Lesion 7", "Lesion 7"),
                ("PTV 4.12.1953", "PTV PATIENT"),
                ("1953-12-04", "PATIENT"),
                ("04DEC53", "PATIENT"),
                ("4. Dezember 1953", "PATIENT"),
                ("4. Dez. 1953", "PATIENT"),
                ("phone-555", "PATIENT"),
                ("PTV zweistein", "PTV PATIENT"),
                ("PTV 54.12", "PTV 54.12"),
                ("1.2.840.10008.5.1 lung", "PATIENT lung"),
            ],
        );
    }

    #[test]
    fn what_steers_a_terminal_is_removed_and_hides_no_name() {
        let mask = patient("Muster^Eva");
        check(
            &mask,
            &[("Mus\u{200b}ter", "PATIENT"), ("lung\u{1b}[2J", "lung[2J"), ("a\u{202e}Muster", "aPATIENT")],
        );
    }
}
