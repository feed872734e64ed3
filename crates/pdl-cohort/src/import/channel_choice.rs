//! The channels that a user asks for, in their order.

use std::collections::BTreeSet;

use clap::ValueEnum;
use wildmatch::WildMatchPattern;

use crate::CohortError;
use crate::attributes::Modality;
use crate::invalid_option::InvalidOption;

/// `*` for anything, `?` for one character; upper and lower case are one.
type Pattern = WildMatchPattern<'*', '?'>;

/// A channel by its name; of DICOM its series are those of the modality of that name, or those
/// whose description or protocol a pattern matches.
#[derive(Clone, Debug)]
pub(crate) struct ChannelChoice {
    pub name: String,
    pub pattern: Option<Pattern>,
}

impl ChannelChoice {
    /// Parses the channels that `texts` ask for, as NAME or NAME=PATTERN; none where these are
    /// empty.
    ///
    /// # Errors
    /// [`CohortError::InvalidOption`] when there is one alone, one twice, or one that is none.
    pub(crate) fn all(texts: &[String]) -> Result<Vec<Self>, CohortError> {
        let choices: Vec<Self> = texts.iter().map(|text| Self::of(text)).collect::<Result<_, _>>()?;
        let distinct: BTreeSet<String> = choices.iter().map(|choice| choice.name.to_lowercase()).collect();
        if choices.len() == 1 || distinct.len() < choices.len() {
            let problem = "expected two or more, each once, the labelled one first, as in CT,PT; --channel takes one \
                           alone";
            return Err(InvalidOption::new("channels", problem).into());
        }
        Ok(choices)
    }

    fn of(text: &str) -> Result<Self, CohortError> {
        let (name, pattern) = match text.split_once('=') {
            Some((name, pattern)) => (name.trim(), Some(pattern.trim())),
            None => (text.trim(), None),
        };
        if name.is_empty() || pattern.is_some_and(str::is_empty) {
            let problem = format!("expected NAME or NAME=PATTERN, found {text:?}");
            return Err(InvalidOption::new("channels", problem).into());
        }
        let pattern = pattern.map(WildMatchPattern::new_case_insensitive);
        Ok(Self { name: name.to_owned(), pattern })
    }

    /// The modality that its name is, where no pattern says which series it is.
    pub(crate) fn modality(&self) -> Option<Modality> {
        Modality::from_str(&self.name, true).ok().filter(|_| self.pattern.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Result<Vec<String>, String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let choices = ChannelChoice::all(&texts).map_err(|error| error.to_string())?;
        Ok(choices.into_iter().map(|choice| choice.name).collect())
    }

    #[test]
    fn channels_are_names_with_or_without_a_pattern() {
        assert_eq!(names(&["T1=*t1*", "FLAIR = *dark fluid*"]).unwrap(), ["T1", "FLAIR"]);
        assert_eq!(names(&[]).unwrap(), [""; 0]);
        for wrong in [&["CT"][..], &["CT", "ct"], &["CT", "=x"], &["CT", "PT="]] {
            assert!(names(wrong).unwrap_err().contains("--channels"), "{wrong:?}");
        }
        let choice = |text: &str| ChannelChoice::of(text).unwrap();
        assert_eq!(choice("pt").modality(), Some(Modality::PT));
        assert_eq!((choice("T1").modality(), choice("CT=*lung*").modality()), (None, None));
        assert!(choice("T2=*T2*tse*").pattern.unwrap().matches("Ax t2_TSE fs"));
    }
}
