//! Case ids: unique in a cohort, fit for file names, and the same in every run.
//!
//! A case is named by what its cohort states (a table's `case_id`, the stem of a file in
//! `images/`); else by the stem of its image; where stems coincide, by the parts of the path that
//! tell the cases apart, joined by `-`. A case that `cases.parquet` holds keeps its id, whatever
//! arrives later. If two cases would get one id, those that do not have it yet get a hash of their
//! files' paths appended. The id of a case that is gone is not given to another case in that run,
//! so that no case inherits its split or its prepared files.
//!
//! Ids are compared without regard to case, as some file systems compare names.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use pdl_io::stem;
use pdl_store::hash;
use pdl_store::safe_name::LONGEST;

use crate::CohortError;

/// Digits of the hash that is put after a name, one length after the other until the id is unique.
const DIGITS: [usize; 3] = [8, 16, 64];

/// How often a case is named before it is given up: by its name alone, then with hashes.
pub(crate) const ATTEMPTS: usize = 1 + DIGITS.len();

/// The facts from which the id of a case is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaseLabel {
    /// The name that the cohort states, if any.
    pub stated: Option<String>,
    /// The image, else the label map, relative to the cohort.
    pub path: PathBuf,
    /// The label map, relative to the cohort; it distinguishes two label maps of one image.
    pub label: PathBuf,
}

impl CaseLabel {
    /// Derives the id from the paths of its files, relative to the cohort.
    pub(crate) fn of_files(stated: Option<String>, image: Option<&Path>, label: Option<&Path>) -> Self {
        let label = label.unwrap_or(Path::new(""));
        Self { stated, path: image.unwrap_or(label).to_owned(), label: label.to_owned() }
    }

    fn stem(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        stem(&name).to_owned()
    }

    fn folders(&self) -> Vec<String> {
        let parts = self.path.parent().unwrap_or(Path::new("")).components();
        parts.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
    }

    /// The hash that identifies it among all cases.
    fn digest(&self) -> String {
        let [path, label] = [&self.path, &self.label].map(|path| path.to_string_lossy());
        hash::of_bytes(format!("{path}\0{label}\0{}", self.stated.as_deref().unwrap_or("")).as_bytes())
    }
}

/// Text in which everything but letters and digits of ASCII, - and _ is replaced by _.
fn safe(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    text.chars().map(safe).collect()
}

/// `text` as an id; one that is too long is cut and has a hash of the whole after it.
fn id_of(text: &str) -> String {
    let name = safe(text);
    match name.len() {
        0 => "case".to_owned(),
        1..=LONGEST => name,
        _ => with_hash(&name, &hash::of_bytes(text.as_bytes()), DIGITS[0]),
    }
}

/// `text` as an id, with a hash of `unique`.
pub(crate) fn hashed(text: &str, unique: &str) -> String {
    with_hash(&safe(text), &hash::of_bytes(unique.as_bytes()), DIGITS[0])
}

fn with_hash(name: &str, digest: &str, digits: usize) -> String {
    let most = LONGEST - 1 - digits;
    format!("{}-{}", &name[..name.len().min(most)], &digest[..digits])
}

/// The names of cases before collisions are resolved.
pub(crate) struct Names<'a> {
    labels: Vec<&'a CaseLabel>,
    names: Vec<String>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(labels: Vec<&'a CaseLabel>) -> Self {
        let stems: Vec<String> = labels.iter().map(|label| label.stem()).collect();
        let mut alike: HashMap<String, usize> = HashMap::new();
        for (label, stem) in labels.iter().zip(&stems) {
            if label.stated.is_none() {
                *alike.entry(folded(stem)).or_default() += 1;
            }
        }
        let folders: Vec<Vec<String>> = match alike.values().any(|count| *count > 1) {
            true => labels.iter().map(|label| label.folders()).collect(),
            false => Vec::new(),
        };
        let unstated = |number: &usize| labels[*number].stated.is_none();
        let telling = Telling::of(folders.iter().enumerate().filter(|(n, _)| unstated(n)).map(|(_, f)| f));
        let one_stem = alike.len() == 1;
        let name = |(number, label): (usize, &&CaseLabel)| match &label.stated {
            Some(stated) => id_of(stated),
            None if alike[&folded(&stems[number])] == 1 => id_of(&stems[number]),
            None => id_of(&telling.name(&folders[number], &stems[number], one_stem)),
        };
        let names = labels.iter().enumerate().map(name).collect();
        Self { labels, names }
    }

    /// Whether `id` is a case's name, with a hash or without.
    fn is_of(&self, case: usize, id: &str) -> bool {
        let rest = id.strip_prefix(self.names[case].as_str());
        rest.is_some_and(|rest| {
            let hash = rest.strip_prefix('-').unwrap_or(rest);
            rest.is_empty()
                || rest != hash && hash.len() >= DIGITS[0] && hash.chars().all(|c| c.is_ascii_hexdigit())
        }) || (1..ATTEMPTS).any(|attempt| self.name(case, attempt) == id)
    }
}

/// A stem as it is compared.
fn folded(stem: &str) -> String {
    safe(stem).to_lowercase()
}

/// Which folders of the paths differ between cases, counted from the cohort's folder.
struct Telling(Vec<bool>);

impl Telling {
    fn of<'a>(mut paths: impl Iterator<Item = &'a Vec<String>>) -> Self {
        let Some(first) = paths.next() else { return Self(Vec::new()) };
        let mut differs = vec![false; first.len()];
        for path in paths {
            differs.truncate(path.len());
            for (place, differs) in differs.iter_mut().enumerate() {
                *differs |= path[place] != first[place];
            }
        }
        Self(differs)
    }

    /// The folders of a case that differ between cases, and its stem unless all have the same.
    fn name(&self, folders: &[String], stem: &str, one_stem: bool) -> String {
        let own = folders.iter().enumerate();
        let own = own.filter(|(place, _)| self.0.get(*place).copied().unwrap_or(true));
        let mut parts: Vec<&str> = own.map(|(_, folder)| folder.as_str()).collect();
        if parts.is_empty() || !one_stem {
            parts.push(stem);
        }
        parts.join("-")
    }
}

/// The names that cases may get.
pub(crate) trait Claims: Sync {
    /// Number of cases.
    fn count(&self) -> usize;

    /// Precedence in claiming ids: lower ranks first; an id claimed by several cases of one rank
    /// goes to none of them. Names that the cohort states come before those made from paths, which
    /// have [`UNSTATED`].
    fn rank(&self, case: usize) -> u8;

    /// The name of a case at an attempt.
    fn name(&self, case: usize, attempt: usize) -> String;

    /// Whether a case may keep an id that an earlier run gave to its files.
    fn may_keep(&self, case: usize, id: &str) -> bool;
}

/// The rank of a case that is named by its path.
pub(crate) const UNSTATED: u8 = 2;

/// Assigns an id to every case: that of an earlier run (`kept`); else, by rank, the first of its
/// names that no other case has or claims. `reserved` ids are not assigned. The order of the cases
/// does not matter.
///
/// # Errors
/// [`CohortError::SharedId`] for two indistinguishable cases.
pub(crate) fn settle(
    claims: &dyn Claims,
    kept: &[Option<&str>],
    reserved: &[&str],
) -> Result<Vec<String>, CohortError> {
    let shared = |case_id: String| CohortError::SharedId { case_id };
    let mut taken: HashSet<String> = reserved.iter().map(|id| id.to_lowercase()).collect();
    let mut ids = vec![String::new(); claims.count()];
    for (id, kept) in ids.iter_mut().zip(kept) {
        let Some(kept) = kept else { continue };
        if !taken.insert(kept.to_lowercase()) {
            return Err(shared((*kept).to_owned()));
        }
        *id = (*kept).to_owned();
    }
    let new: Vec<usize> = (0..claims.count()).filter(|case| kept[*case].is_none()).collect();
    let ranks: BTreeSet<u8> = new.iter().map(|case| claims.rank(*case)).collect();
    for rank in ranks {
        let mut waiting: Vec<usize> = new.iter().copied().filter(|case| claims.rank(*case) == rank).collect();
        for attempt in 0..ATTEMPTS {
            let wanted: Vec<String> = waiting.iter().map(|case| claims.name(*case, attempt)).collect();
            let mut counts: HashMap<String, usize> = HashMap::new();
            for id in &wanted {
                *counts.entry(id.to_lowercase()).or_default() += 1;
            }
            let mut refused = Vec::new();
            for (case, id) in waiting.into_iter().zip(wanted) {
                let folded = id.to_lowercase();
                if counts[&folded] == 1 && taken.insert(folded) {
                    ids[case] = id;
                } else {
                    refused.push(case);
                }
            }
            waiting = refused;
        }
        if let Some(case) = waiting.first() {
            return Err(shared(claims.name(*case, 0)));
        }
    }
    Ok(ids)
}

impl Claims for Names<'_> {
    fn count(&self) -> usize {
        self.labels.len()
    }

    fn rank(&self, case: usize) -> u8 {
        match &self.labels[case].stated {
            Some(stated) if *stated == self.names[case] => 0,
            Some(_) => 1,
            None => UNSTATED,
        }
    }

    fn name(&self, case: usize, attempt: usize) -> String {
        let name = &self.names[case];
        match attempt.checked_sub(1) {
            None => name.clone(),
            Some(n) => with_hash(name, &self.labels[case].digest(), DIGITS[n.min(DIGITS.len() - 1)]),
        }
    }

    fn may_keep(&self, case: usize, id: &str) -> bool {
        self.labels[case].stated.is_none() || self.is_of(case, id)
    }
}

/// The ids of cases in a cohort that was not seen before.
///
/// # Errors
/// As [`settle`].
pub(crate) fn of_new(labels: Vec<&CaseLabel>) -> Result<Vec<String>, CohortError> {
    let names = Names::new(labels);
    settle(&names, &vec![None; names.labels.len()], &[])
}
