//! The mapping from structures of a DICOM cohort, or named segments, to labels.

use std::collections::{BTreeMap, BTreeSet};

use pdl_findings::{Code, Finding};
use pdl_store::plural::counted;
use pdl_volume::LabelOverlap;
use wildmatch::WildMatchPattern;

use crate::CohortError;
use crate::invalid_option::InvalidOption;

/// `*` for anything, `?` for one character.
type Pattern = WildMatchPattern<'*', '?'>;

/// The name of background ([`key`]), whose label is 0.
pub(crate) const BACKGROUND: &str = "background";

/// Maximum number of structures in a message.
const MOST_NAMES: usize = 20;

/// The labels of structures, by name.
pub(crate) struct Structures {
    /// Names of labels by value.
    pub names: BTreeMap<u16, String>,
    rules: Option<Vec<(Pattern, u16)>>,
    /// Whether only the names in the rules may be shown.
    pub only: bool,
}

impl Structures {
    /// Assigns labels by rules such as `*lung*=lung`, or, without rules, one label for every name
    /// in `found`: names of `earlier` runs keep their values, new ones follow in alphabetical
    /// order. Names that are equal but for case and spaces are one ([`key`]).
    ///
    /// # Errors
    /// [`CohortError::InvalidOption`] if a rule is invalid.
    pub(crate) fn new<'a>(
        rules: &[String],
        found: impl Iterator<Item = &'a str>,
        earlier: &BTreeMap<u16, String>,
    ) -> Result<Self, CohortError> {
        if !rules.is_empty() {
            return Self::by_rules(rules);
        }
        let mut names = earlier.clone();
        let known: BTreeSet<String> = names.values().map(|name| key(name)).collect();
        let mut new: BTreeMap<String, &str> = BTreeMap::new();
        for name in found.filter(|name| !name.is_empty() && !is_background(name)) {
            // Of several spellings the last of the alphabet, whatever the files' order.
            let spelling = new.entry(key(name)).or_insert(name);
            *spelling = (*spelling).max(name);
        }
        let free = names.keys().next_back().map_or(1, |last| last.saturating_add(1));
        let new = new.into_iter().filter(|(key, _)| !known.contains(key));
        names.extend((free..).zip(new.map(|(_, name)| name.to_owned())));
        Ok(Self { names, rules: None, only: false })
    }

    /// The structures of these names, and no others.
    ///
    /// # Errors
    /// [`CohortError::InvalidOption`] when one is a pattern.
    pub(crate) fn only(names: &[String]) -> Result<Self, CohortError> {
        if let Some(name) = names.iter().find(|name| name.contains(['*', '?', '=']) || name.trim().is_empty())
        {
            let problem = "it is not a plain name; patterns are for --structures";
            return Err(InvalidOption::with_value("structures-only", &format!("'{name}'"), problem).into());
        }
        let rules: Vec<String> = names.iter().map(|name| format!("{name}={name}")).collect();
        Ok(Self { only: true, ..Self::by_rules(&rules)? })
    }

    fn by_rules(rules: &[String]) -> Result<Self, CohortError> {
        let mut names: BTreeMap<u16, String> = BTreeMap::new();
        let mut parsed = Vec::new();
        for rule in rules {
            let parts = rule.split_once('=').map(|(pattern, name)| (pattern.trim(), name.trim()));
            let Some((pattern, name)) =
                parts.filter(|(pattern, name)| !pattern.is_empty() && !name.is_empty())
            else {
                let problem = format!("'{rule}' is not PATTERN=NAME");
                return Err(InvalidOption::new("structures", problem).into());
            };
            let known = names.iter().find(|(_, other)| *other == name).map(|(value, _)| *value);
            let value = known.unwrap_or(names.len() as u16 + 1);
            names.insert(value, name.to_owned());
            parsed.push((Pattern::new(&pattern.to_lowercase()), value));
        }
        Ok(Self { names, rules: Some(parsed), only: false })
    }

    /// Whether rules select the structures.
    pub(crate) fn are_chosen(&self) -> bool {
        self.rules.is_some()
    }

    /// The labels to take from each of several files; `values` holds the labels of each, latest
    /// last. Each structure comes from the latest file that has it: a later file may revise an
    /// earlier one, and may hold other structures, as one segmentation per organ does.
    pub(crate) fn sources(values: &[BTreeSet<u16>]) -> BTreeMap<usize, BTreeSet<u16>> {
        let mut seen = BTreeSet::new();
        let mut sources = BTreeMap::new();
        for (file, values) in values.iter().enumerate().rev() {
            let new: BTreeSet<u16> = values.difference(&seen).copied().collect();
            seen.extend(&new);
            if sources.is_empty() || !new.is_empty() {
                sources.insert(file, new);
            }
        }
        if !seen.is_empty() {
            sources.retain(|_, values| !values.is_empty());
        }
        sources
    }

    /// The rules' patterns that no name in `found` has.
    pub(crate) fn unmatched<'a>(&self, found: impl Iterator<Item = &'a str>) -> Vec<String> {
        let found: Vec<String> = found.map(str::to_lowercase).collect();
        let rules = self.rules.iter().flatten().map(|(pattern, _)| pattern);
        let unmatched = rules.filter(|pattern| !found.iter().any(|name| pattern.matches(name)));
        unmatched.map(Pattern::pattern).collect()
    }

    /// Finding about patterns that no name in `all` has; only those in `shown` may be shown.
    pub(crate) fn unmatched_finding<'a>(
        &self,
        shown: &BTreeSet<&str>,
        all: impl Iterator<Item = &'a str>,
    ) -> Option<Finding> {
        let unmatched = self.unmatched(all);
        (!unmatched.is_empty()).then(|| {
            let mut message = format!("no structure is called '{}'", unmatched.join("', '"));
            if !self.only {
                let names: Vec<&str> = shown.iter().copied().take(MOST_NAMES).collect();
                let more = if shown.len() > MOST_NAMES { " and others" } else { "" };
                message += &format!("; there are {}{more}", names.join(", "));
            }
            Finding::new(Code::StructuresUnmatched, message)
        })
    }

    /// The label of a structure; `None` if it has no label. Rules match the name that may be shown
    /// or the one stored in the file.
    pub(crate) fn label_of(&self, (shown, original): (&str, &str)) -> Option<u16> {
        let original = self.rules.as_ref().and_then(|_| self.label(original.trim()));
        original.or_else(|| self.label(shown))
    }

    /// The label of a structure by one name; `None` if it has no label.
    pub(crate) fn label(&self, structure: &str) -> Option<u16> {
        let (lower, own) = (structure.to_lowercase(), key(structure));
        match &self.rules {
            Some(rules) => rules.iter().find(|(pattern, _)| pattern.matches(&lower)).map(|(_, value)| *value),
            None if is_background(structure) => None,
            None => self.names.iter().find(|(_, name)| key(name) == own).map(|(value, _)| *value),
        }
    }

    /// Findings about names that are one label in spite of different spellings, and about names
    /// that look the same and are different labels.
    pub(crate) fn spellings<'a>(&self, found: impl Iterator<Item = &'a str>) -> Vec<Finding> {
        if self.are_chosen() {
            return Vec::new(); // the rules say what is what
        }
        let found: BTreeSet<&str> = found.filter(|name| !name.is_empty()).collect();
        let quoted =
            |names: &BTreeSet<&str>| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>();
        let groups = |same: fn(&str) -> String| {
            let mut groups: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
            found.iter().for_each(|name| _ = groups.entry(same(name)).or_default().insert(*name));
            groups.into_values().filter(|group| group.len() > 1).collect::<Vec<_>>()
        };
        let joined: Vec<String> = groups(key).iter().map(|group| quoted(group).join(" and ")).collect();
        // One spelling of each label: those of one label are reported already.
        let is_of_several =
            |group: &BTreeSet<&str>| group.iter().map(|name| key(name)).collect::<BTreeSet<_>>().len() > 1;
        let similar = groups(letters).into_iter().filter(is_of_several);
        let similar: Vec<String> = similar.map(|group| quoted(&group).join(" and ")).collect();
        let told = [
            (Code::LabelNamesJoined, "are one label each", joined),
            (Code::LabelNamesSimilar, "look the same and are labels of their own", similar),
        ];
        let told = told.into_iter().filter(|(_, _, groups)| !groups.is_empty());
        told.map(|(code, what, groups)| {
            Finding::new(code, format!("names of structures that {what}: {}", groups.join("; ")))
        })
        .collect()
    }

    /// Finding if structures of one file become one label; `labels` has the names of the file's
    /// structures.
    pub(crate) fn joined<'a>(&self, labels: impl Iterator<Item = &'a str>) -> Option<Finding> {
        let mut groups: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        for name in labels {
            if let Some(value) = self.label(name) {
                groups.entry(value).or_default().push(name);
            }
        }
        let several = groups.values().filter(|names| names.len() > 1 && !self.are_chosen());
        let several: Vec<String> = several.map(|names| format!("'{}'", names.join("', '"))).collect();
        let message = format!(
            "structures of one file have one name, but for case and spaces, and are one label: {}",
            several.join("; ")
        );
        (!several.is_empty()).then(|| Finding::new(Code::LabelNamesJoined, message))
    }

    /// Finding about structures of a file that cannot become a label.
    pub(crate) fn left_out<'a>(&self, mut labels: impl Iterator<Item = &'a str>) -> Option<Finding> {
        let message = "structures without a name, or called background, were skipped";
        let is_none = |name: &str| name.is_empty() || is_background(name);
        (!self.are_chosen() && labels.any(is_none)).then(|| Finding::new(Code::UnusableStructure, message))
    }

    /// Finding about overlapping structures, with the one that wins and the reason; `None` without
    /// an overlap.
    pub(crate) fn overlapping(&self, overlaps: &BTreeMap<LabelOverlap, usize>) -> Option<Finding> {
        let name = |value: &u16| self.names.get(value).map_or("", String::as_str);
        let told = overlaps.iter().map(|((loser, winner), voxels)| {
            format!("{} over {} ({})", name(winner), name(loser), counted(*voxels, "voxel"))
        });
        let order = match self.are_chosen() {
            true => "the later one in --structures wins",
            false => "the label of the higher value wins, unless --structures states another order",
        };
        let told = told.collect::<Vec<_>>().join(", ");
        (!overlaps.is_empty()).then(|| {
            Finding::new(Code::OverlappingStructures, format!("structures overlap, and {order}: {told}"))
        })
    }
}

/// The part of a name that identifies a label: its words in lower case.
pub(crate) fn key(name: &str) -> String {
    name.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

/// Whether a name means background, whose label is 0.
fn is_background(name: &str) -> bool {
    key(name) == BACKGROUND
}

/// A name's letters and digits in lower case.
fn letters(name: &str) -> String {
    name.to_lowercase().chars().filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-' | '.')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_values_as_the_cohort_grows() {
        let first = Structures::new(&[], ["Heart", "LUNG", "lung"].into_iter(), &BTreeMap::new()).unwrap();
        assert_eq!(
            [first.label("heart"), first.label("Lung"), first.label("liver")],
            [Some(1), Some(2), None]
        );
        let grown = Structures::new(&[], ["Aorta", "heart", "Lung"].into_iter(), &first.names).unwrap();
        assert_eq!(["heart", "lung", "aorta"].map(|name| grown.label(name)), [Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn a_structure_comes_from_the_latest_file_that_has_it() {
        let sources = |files: &[&[u16]]| -> Vec<(usize, Vec<u16>)> {
            let values: Vec<BTreeSet<u16>> =
                files.iter().map(|file| file.iter().copied().collect()).collect();
            let of_file = |(file, values): (usize, BTreeSet<u16>)| (file, values.into_iter().collect());
            Structures::sources(&values).into_iter().map(of_file).collect()
        };
        assert_eq!(sources(&[&[1, 2], &[1], &[]]), [(0, vec![2]), (1, vec![1])]);
        assert_eq!(sources(&[&[1], &[2], &[3]]), [(0, vec![1]), (1, vec![2]), (2, vec![3])], "one per organ");
        assert_eq!(sources(&[&[1, 2], &[1, 2]]), [(1, vec![1, 2])], "a revision");
        assert_eq!(sources(&[&[], &[]]), [(1, vec![])], "the latest, where none has any");
    }

    #[test]
    fn a_rule_for_nothing_is_known() {
        let rules = ["*lung*=lung", "Livr=liver"].map(str::to_owned);
        let chosen = Structures::new(&rules, std::iter::empty(), &BTreeMap::new()).unwrap();
        assert_eq!(chosen.unmatched(["Left Lung", "Liver"].into_iter()), ["livr"]);
    }

    #[test]
    fn a_rule_finds_a_structure_by_the_name_that_is_hidden_too() {
        let chosen = Structures::new(&["heart=heart".to_owned()], [].into_iter(), &BTreeMap::new()).unwrap();
        assert_eq!(chosen.label_of(("PATIENT", "Heart ")), Some(1));
        let all = Structures::new(&[], ["PATIENT"].into_iter(), &BTreeMap::new()).unwrap();
        assert_eq!(all.label_of(("PATIENT", "Heart")), Some(1));
        let only = Structures::only(&["Heart".to_owned(), "left lung".to_owned()]).unwrap();
        assert_eq!(only.label_of(("LEFT LUNG", "LEFT LUNG")), Some(2));
        assert_eq!((only.label_of(("Heart 2", "Heart 2")), only.names[&1].as_str()), (None, "Heart"));
        assert!(Structures::only(&["*lung".to_owned()]).is_err());
    }

    #[test]
    fn rules_choose_and_join_structures() {
        let rules = ["*lung*=lung", "GTV?=tumour", "Lesion=tumour"].map(str::to_owned);
        let chosen = Structures::new(&rules, std::iter::empty(), &BTreeMap::new()).unwrap();
        assert_eq!(
            ["Left Lung", "gtv1", "lesion", "GTV", "spine"].map(|name| chosen.label(name)),
            [Some(1), Some(2), Some(2), None, None]
        );
        assert_eq!(chosen.names, BTreeMap::from([(1, "lung".to_owned()), (2, "tumour".to_owned())]));
        assert!(Structures::new(&["lung".to_owned()], std::iter::empty(), &BTreeMap::new()).is_err());
    }
}
