//! Recognises the cases of an earlier run, so that they keep their ids and with them their splits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_io::{split_frame, stem};
use pdl_store::plural::counted;
use pdl_store::{StoreError, fault, hash, paths};
use rayon::prelude::*;

use crate::CohortError;
use crate::cohort_paths::Place;
use crate::discover::pairing::FilePair;
use crate::discover::{DiscoveredCase, Layout};
use crate::identity::case_id::{self, ATTEMPTS, CaseLabel, Claims, Names, UNSTATED};
use crate::identity::pseudonyms::Naming;
use crate::table::case_row::CaseRow;
use crate::table::cases::{self, Cases};
use crate::table::cohort_files::are_in_place;
use crate::table::sources::{self, SourceRow};

/// Ids that a message names.
const NAMED: usize = 3;

/// A case of an earlier run.
#[derive(Debug, Default)]
struct KnownCase {
    id: String,
    /// Whether another row has the same id; then no case keeps it.
    is_shared: bool,
    /// The paths of its image and its label map, relative to the curation folder.
    image: Vec<String>,
    label: Vec<String>,
    /// BLAKE3 of its image's file; empty where the image is of several files.
    image_blake3: String,
}

/// The cases of an earlier run, in the order of its table.
#[derive(Debug, Default)]
pub(crate) struct EarlierCases {
    known: Vec<KnownCase>,
    /// Whether some of its volumes were made from other files.
    has_sources: bool,
}

/// The paths of a case's files, relative to the curation folder.
#[derive(Debug, Default)]
pub(crate) struct FileNames {
    image: Vec<String>,
    label: Vec<String>,
    /// The image itself.
    path: PathBuf,
}

impl EarlierCases {
    /// From the table of the earlier run and what its volumes were made from.
    pub(crate) fn new(before: &Cases, sources: Vec<SourceRow>) -> Self {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for row in &before.rows {
            *counts.entry(row.case_id.to_lowercase()).or_default() += 1;
        }
        let mut of_case: HashMap<String, Vec<SourceRow>> = HashMap::new();
        for row in sources.into_iter().rev().filter(|row| row.set_aside.is_none()) {
            of_case.entry(row.case_id.clone()).or_default().push(row);
        }
        let mut has_sources = false;
        let mut known = |row: &CaseRow| {
            let known = KnownCase {
                id: row.case_id.clone(),
                is_shared: counts[&row.case_id.to_lowercase()] > 1,
                ..KnownCase::default()
            };
            let paths =
                |path: &str| Some(path.to_owned()).filter(|path| !path.is_empty()).into_iter().collect();
            let source = of_case.get_mut(&row.case_id).and_then(Vec::pop);
            match source.filter(|source| !are_in_place(source, &row.image, row.label.as_deref())) {
                Some(source) => {
                    has_sources = true;
                    KnownCase { image: with_folder(source.image), label: with_folder(source.label), ..known }
                }
                None => KnownCase {
                    image: paths(&row.image),
                    label: paths(row.label.as_deref().unwrap_or_default()),
                    image_blake3: row.image_blake3.clone(),
                    ..known
                },
            }
        };
        let known = before.rows.iter().map(&mut known).collect();
        Self { known, has_sources }
    }

    /// The cases in `cases.parquet` of a curation folder; `None` if there is none.
    ///
    /// # Errors
    /// [`CohortError::Store`] if it is not such a table.
    pub(crate) fn read(out: &Path) -> Result<Option<Self>, CohortError> {
        let path = out.join(cases::FILE);
        if !fault::exists(&path).map_err(StoreError::io("look at the file", &path))? {
            return Ok(None);
        }
        Ok(Some(Self::new(&Cases::read_unchecked(out)?, sources::read_if_any(out)?)))
    }

    /// The paths of a case's files in the table. Files from which volumes were imported have their
    /// real paths.
    ///
    /// # Errors
    /// [`StoreError::Io`] if an error of the machine prevents a file from being inspected.
    pub(crate) fn files(
        &self,
        place: &Place,
        image: Option<&Path>,
        label: Option<&Path>,
    ) -> Result<FileNames, StoreError> {
        let names = |path: &Path| {
            let mut names = vec![place.text(path)?];
            if self.has_sources {
                names.extend(real(path)?.map(|path| paths::relative(&place.out, &path)));
                names.dedup();
            }
            Ok::<_, StoreError>(names)
        };
        let all = |path: Option<&Path>| path.map_or_else(|| Ok(Vec::new()), names);
        let path = image.unwrap_or(Path::new("")).to_owned();
        Ok(FileNames { image: all(image)?, label: all(label)?, path })
    }
}

/// The paths, and the folder that holds all of them: a stack of slices is named by its folder.
fn with_folder(mut paths: Vec<String>) -> Vec<String> {
    let folder = |path: &String| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let folders: BTreeSet<Option<String>> = paths.iter().map(folder).collect();
    if let (1, Some(Some(folder))) = (folders.len(), folders.into_iter().next()) {
        paths.push(folder);
    }
    paths
}

/// The path without links; of a frame that of its file.
fn real(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let canonical = |path: &Path| fault::canonical(path).map_err(StoreError::io("find the file", path));
    match (canonical(path)?, path.file_name()) {
        (None, Some(name)) => canonical(&path.with_file_name(split_frame(&name.to_string_lossy()).0)),
        (real, _) => Ok(real),
    }
}

/// Whether a new case could get this id.
fn bears(claims: &dyn Claims, case: usize, id: &str) -> bool {
    (0..ATTEMPTS).any(|attempt| claims.name(case, attempt) == id)
}

/// Matches the cases with those of an earlier run.
struct Matching<'a> {
    known: &'a [KnownCase],
    claims: &'a dyn Claims,
    is_free: Vec<bool>,
    of_case: Vec<Option<usize>>,
}

impl Matching<'_> {
    fn free_cases(&self) -> impl Iterator<Item = usize> {
        (0..self.of_case.len()).filter(|case| self.of_case[*case].is_none())
    }

    fn free_known(&self) -> impl Iterator<Item = usize> {
        (0..self.known.len()).filter(|known| self.is_free[*known])
    }

    /// Pairs the cases with those of the earlier run that share a key with them and with no other;
    /// of several, with the one whose id they could have.
    fn pair<K: Hash + Eq>(
        &mut self,
        of_case: impl Fn(usize) -> Vec<K>,
        of_known: impl Fn(&KnownCase) -> Vec<K>,
        may: impl Fn(usize, &KnownCase) -> bool,
    ) {
        let mut by_key: HashMap<K, Vec<usize>> = HashMap::new();
        for known in self.free_known() {
            for key in of_known(&self.known[known]) {
                by_key.entry(key).or_default().push(known);
            }
        }
        if by_key.is_empty() {
            return;
        }
        let own = |case: usize| {
            let keys = of_case(case);
            let known = keys.iter().filter_map(|key| by_key.get(key)).flatten().copied();
            (case, known.filter(|known| may(case, &self.known[*known])).collect::<BTreeSet<usize>>())
        };
        let mut wanted: Vec<(usize, BTreeSet<usize>)> =
            self.free_cases().map(own).filter(|(_, known)| !known.is_empty()).collect();
        self.take_unique(&wanted);
        wanted.retain(|(case, _)| self.of_case[*case].is_none());
        for (case, known) in &mut wanted {
            known.retain(|known| self.is_free[*known] && bears(self.claims, *case, &self.known[*known].id));
        }
        self.take_unique(&wanted);
    }

    fn take_unique(&mut self, wanted: &[(usize, BTreeSet<usize>)]) {
        let mut counts: HashMap<usize, usize> = HashMap::new();
        for known in wanted.iter().flat_map(|(_, known)| known) {
            *counts.entry(*known).or_default() += 1;
        }
        for (case, known) in wanted {
            if let (1, Some(known)) = (known.len(), known.first())
                && counts[known] == 1
            {
                self.of_case[*case] = Some(*known);
                self.is_free[*known] = false;
            }
        }
    }

    /// Recognises cases by the paths of image and label map, of the image, of the image in another
    /// format; by that of the label map where there is no image to compare, or the name says the
    /// same.
    fn by_files(&mut self, files: &[FileNames], may: impl Fn(usize, &KnownCase) -> bool) {
        let both = |image: &[String], label: &[String]| -> Vec<(String, String)> {
            image.iter().flat_map(|i| label.iter().map(|l| (i.clone(), l.clone()))).collect()
        };
        self.pair(|n| both(&files[n].image, &files[n].label), |known| both(&known.image, &known.label), &may);
        self.pair(|n| files[n].image.clone(), |known| known.image.clone(), &may);
        let stems =
            |paths: &[String]| -> Vec<String> { paths.iter().map(|path| stem(path).to_owned()).collect() };
        self.pair(|n| stems(&files[n].image), |known| stems(&known.image), &may);
        let claims = self.claims;
        let alone = |n: usize, known: &KnownCase| known.image.is_empty() || files[n].image.is_empty();
        let may =
            |n: usize, known: &KnownCase| may(n, known) && (alone(n, known) || bears(claims, n, &known.id));
        self.pair(|n| files[n].label.clone(), |known| known.label.clone(), may);
    }

    /// Recognises cases by the bytes of the image, where a file of the same name was somewhere
    /// else.
    fn by_content(&mut self, files: &[FileNames]) {
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let gone: BTreeSet<String> = self
            .free_known()
            .map(|known| &self.known[known])
            .filter(|known| !known.image_blake3.is_empty())
            .flat_map(|known| known.image.iter().map(|path| name(path)))
            .collect();
        let may_be = |case: &usize| {
            self.claims.rank(*case) == UNSTATED
                && files[*case].path.file_name().is_some_and(|name| gone.contains(&*name.to_string_lossy()))
        };
        let moved: Vec<usize> = self.free_cases().filter(may_be).collect();
        let hashes =
            moved.into_par_iter().filter_map(|case| Some((case, hash::of_file(&files[case].path).ok()?)));
        let hashes: HashMap<usize, String> = hashes.collect();
        let of_known = |known: &KnownCase| vec![known.image_blake3.clone()];
        self.pair(
            |case| hashes.get(&case).cloned().into_iter().collect(),
            of_known,
            |_, known| !known.image_blake3.is_empty(),
        );
    }
}

/// The cases recognised from an earlier run.
#[derive(Debug, Default)]
pub(crate) struct RecognisedCases {
    /// Rows of the earlier run's table, and the ids that their cases have now.
    renamed: BTreeMap<usize, String>,
    /// Findings about the recognition.
    pub findings: Vec<Finding>,
}

/// Assigns an id to every case: those known from the earlier run keep theirs, and no case gets the
/// id of one that is gone. An id that two of its cases shared is dropped.
///
/// # Errors
/// As [`case_id::settle`].
pub(crate) fn identify(
    claims: &dyn Claims,
    earlier: Option<(&EarlierCases, Vec<FileNames>)>,
) -> Result<(Vec<String>, RecognisedCases), CohortError> {
    let Some((EarlierCases { known, .. }, files)) = earlier else {
        return Ok((case_id::settle(claims, &vec![None; claims.count()], &[])?, RecognisedCases::default()));
    };
    let mut matching =
        Matching { known, claims, is_free: vec![true; known.len()], of_case: vec![None; claims.count()] };
    let is_stated = |case: usize| claims.rank(case) < UNSTATED;
    matching.by_files(&files, |case, known| known.is_shared || claims.may_keep(case, &known.id));
    matching.by_content(&files);
    let names = |case: usize| (0..ATTEMPTS).map(|attempt| claims.name(case, attempt)).collect();
    // A name that the cohort states means the same case wherever its files are.
    let nameless = |known: &KnownCase| known.image.is_empty() && known.label.is_empty();
    matching.pair(
        names,
        |known| vec![known.id.clone()],
        |case, known| !known.is_shared && (is_stated(case) || nameless(known)),
    );
    // The same files under a name that the cohort states now: another id, and the split as it was.
    matching.by_files(&files, |_, _| true);
    let kept = |(case, row): (usize, &Option<usize>)| {
        let known = &known[(*row)?];
        (!known.is_shared && claims.may_keep(case, &known.id)).then_some(known.id.as_str())
    };
    let of_case = &matching.of_case;
    let kept: Vec<Option<&str>> = of_case.iter().enumerate().map(kept).collect();
    let rows = of_case.iter().zip(&kept);
    let held: BTreeSet<usize> = rows.filter(|(_, kept)| kept.is_some()).filter_map(|(row, _)| *row).collect();
    let reserved: Vec<&str> =
        (0..known.len()).filter(|row| !held.contains(row)).map(|row| known[row].id.as_str()).collect();
    let ids = case_id::settle(claims, &kept, &reserved)?;
    let renamed = of_case.iter().zip(&ids).filter_map(|(row, id)| Some(((*row)?, id.clone())));
    let renamed: BTreeMap<usize, String> = renamed.filter(|(row, id)| known[*row].id != *id).collect();
    let findings = findings(known, &renamed);
    Ok((ids, RecognisedCases { renamed, findings }))
}

fn findings(known: &[KnownCase], renamed: &BTreeMap<usize, String>) -> Vec<Finding> {
    let (of_two, stated): (Vec<_>, Vec<_>) = renamed.iter().partition(|(row, _)| known[**row].is_shared);
    let mut findings = Vec::new();
    if !of_two.is_empty() {
        let ids: BTreeSet<&str> = of_two.iter().map(|(row, _)| known[**row].id.as_str()).collect();
        let new: Vec<&str> = of_two.iter().take(NAMED).map(|(_, id)| id.as_str()).collect();
        let message = format!(
            "{} shared {} in {}, so that what was made of one replaced what was made of another: each has an id of its \
             own now (such as {}), and all that was made of them is made again",
            counted(of_two.len(), "case"),
            counted(ids.len(), "id"),
            cases::FILE,
            new.join(", ")
        );
        findings.push(Finding::new(Code::CaseIdShared, message));
    }
    if let Some((row, id)) = stated.first() {
        let message = format!(
            "{} of known files changed, as the cohort now names the cases differently (such as {id}, which was {}); \
             their splits are kept",
            counted(stated.len(), "id"),
            known[**row].id
        );
        findings.push(Finding::new(Code::CaseIdChanged, message));
    }
    findings
}

impl RecognisedCases {
    /// Names the cases of the earlier run's table as they are named now; cases without a stated
    /// patient are patients under their new names, too.
    pub(crate) fn rename(&self, before: &mut Cases, cases: &[DiscoveredCase]) {
        let nobody: BTreeSet<&str> = cases
            .iter()
            .filter(|found| found.patient.is_none())
            .map(|found| found.case_id.as_str())
            .collect();
        for (row, id) in &self.renamed {
            let row = &mut before.rows[*row];
            row.case_id.clone_from(id);
            if nobody.contains(id.as_str()) {
                row.patient_id.clone_from(id);
            }
        }
    }
}

/// Cases of a layout; under pseudonyms where a key is given.
struct Named<'a> {
    names: Names<'a>,
    cases: &'a [DiscoveredCase],
    hidden: Option<&'a Naming>,
}

impl Claims for Named<'_> {
    fn count(&self) -> usize {
        self.cases.len()
    }

    fn rank(&self, case: usize) -> u8 {
        self.names.rank(case)
    }

    fn name(&self, case: usize, attempt: usize) -> String {
        let name = self.names.name(case, attempt);
        let patient = self.cases[case].patient.as_deref().unwrap_or_default();
        match self.hidden {
            Some(naming) => naming.case(patient, &name),
            None => name,
        }
    }

    /// A pseudonym does not show the name that it was made from.
    fn may_keep(&self, case: usize, id: &str) -> bool {
        self.hidden.is_some() || self.names.may_keep(case, id)
    }
}

/// Gives the cases of a layout their ids, and sorts by them.
///
/// # Errors
/// [`CohortError::SharedId`] when two cases have the same files and no names of their own.
pub(crate) fn assign(
    layout: &mut Layout,
    naming: Option<&Naming>,
    earlier: Option<&EarlierCases>,
    place: &Place,
) -> Result<RecognisedCases, CohortError> {
    let cases = &layout.cases;
    let hidden = naming.filter(|naming| naming.hides());
    let names = Names::new(cases.iter().map(|found| &found.name).collect());
    let known = earlier.map(|earlier| {
        let files =
            |found: &DiscoveredCase| earlier.files(place, found.image.as_deref(), found.label.as_deref());
        Ok::<_, StoreError>((earlier, cases.par_iter().map(files).collect::<Result<_, _>>()?))
    });
    let known = known.transpose()?;
    let (ids, recognised) = identify(&Named { names, cases, hidden }, known)?;
    layout.name_cases(ids);
    Ok(recognised)
}

/// The ids of pairs of files below `cohort` as a table in `out` may state them: what
/// `cases.parquet` of `out` holds of these files, else what [`crate::index::index`] would call
/// them.
///
/// # Errors
/// [`CohortError`] when the table in `out` cannot be read, or a pair is there twice.
pub fn ids_of_pairs(cohort: &Path, out: &Path, pairs: &[FilePair]) -> Result<Vec<String>, CohortError> {
    let labels: Vec<CaseLabel> = pairs
        .iter()
        .map(|pair| CaseLabel::of_files(None, Some(&pair.image), pair.label.as_deref()))
        .collect();
    let names = Names::new(labels.iter().collect());
    let place = Place::new(cohort, out, None)?;
    let earlier = EarlierCases::read(out)?;
    let known = earlier.as_ref().map(|earlier| {
        let files = |pair: &FilePair| {
            let label = pair.label.as_ref().map(|label| cohort.join(label));
            earlier.files(&place, Some(&cohort.join(&pair.image)), label.as_deref())
        };
        Ok::<_, StoreError>((earlier, pairs.par_iter().map(files).collect::<Result<_, _>>()?))
    });
    let known = known.transpose()?;
    Ok(identify(&names, known)?.0)
}

#[cfg(test)]
mod tests;
