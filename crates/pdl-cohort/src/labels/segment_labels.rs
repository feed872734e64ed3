//! Label maps whose files name their segments (`.seg.nrrd`), or that are a file for each structure:
//! over a cohort a label is a name, not the value that each file has for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use pdl_dicom::{MaskedName, NameMask};
use pdl_findings::{Code, Finding};
use pdl_io::{LabelSegment, ReadError, SegmentLabels, Unread};
use pdl_store::memory::{MemoryError, MemoryLimit, MemoryShare, in_turns};
use pdl_store::shorten::MOST_LISTED;
use pdl_store::{StoreError, fault};

use crate::CohortError;
use crate::discover::{DiscoveredCase, Layout};
use crate::import::ImportFailure;
use crate::labels::structure_files::{self, MaskGrid, MergedMasks};
use crate::labels::structures::{BACKGROUND, Structures, key};
use crate::parameters::IndexParameters;

/// The value of a segment whose file states none.
const UNSTATED: u16 = 0;

/// The segments of the label files that name some.
pub(crate) type SegmentsByFile = BTreeMap<PathBuf, Vec<LabelSegment>>;

/// Reads the headers of all label files. A file with contradictory segments yields none; the reason
/// is reported where the file is read.
///
/// # Errors
/// [`StoreError::Machine`] if an error of the machine prevents a file from being read.
pub(crate) fn read_headers(layout: &Layout, limit: &MemoryLimit) -> Result<SegmentsByFile, StoreError> {
    let of_one_file = layout.cases.iter().filter(|found| found.structures.is_empty());
    let labelled: Vec<(String, &PathBuf)> =
        of_one_file.filter_map(|found| Some((found.what(), found.label.as_ref()?))).collect();
    let work =
        |(what, path): &(String, &PathBuf), memory: &MemoryShare<'_>| match pdl_io::segments_of(path, memory)
        {
            Ok(segments) => Ok(Ok(segments)),
            Err(Unread { error, .. }) => match (fault::machine_error(&error), error.memory()) {
                (Some(source), _) => Err(StoreError::Machine { what: what.clone(), path: None, source }),
                (None, Some(error)) => Ok(Err(error)),
                (None, None) if matches!(error, ReadError::Io { .. }) => Ok(Ok(None)),
                (None, None) => Ok(Ok(Some(Vec::new()))),
            },
        };
    let refused = |(what, _): &(String, &PathBuf), error: MemoryError| {
        StoreError::no_memory(what, error).map_or(Ok(None), Err)
    };
    let read = in_turns(&labelled, limit, work, refused)?;
    let named = labelled.iter().zip(read);
    let named = named.filter_map(|((_, path), segments)| Some(((*path).clone(), segments?)));
    Ok(named.chain(layout.cases.iter().filter_map(of_structure_files)).collect())
}

/// The segments of a case whose structures are files: their values are those of the cohort.
fn of_structure_files(found: &DiscoveredCase) -> Option<(PathBuf, Vec<LabelSegment>)> {
    let label = found.label.clone().filter(|_| !found.structures.is_empty())?;
    let segment =
        |(layer, name): (usize, &String)| LabelSegment { name: name.clone(), value: UNSTATED, layer };
    Some((label, found.structures.keys().enumerate().map(segment).collect()))
}

/// A segment with the name under which it may be shown.
#[derive(Clone, Debug)]
struct ShownSegment {
    segment: LabelSegment,
    name: String,
    is_masked: bool,
}

impl ShownSegment {
    fn new(segment: LabelSegment, mask: Option<&NameMask>) -> Self {
        match mask.map(|mask| mask.without(&segment.name)) {
            Some(MaskedName { text, masked }) => Self { segment, name: text, is_masked: masked },
            None => Self { name: segment.name.clone(), segment, is_masked: false },
        }
    }

    /// Finding about a name that is partly masked.
    fn masked(&self) -> Option<Finding> {
        let message = format!(
            "{}: its name contained a name, an id or a date of its patient or files, which is masked",
            self.name
        );
        self.is_masked.then(|| Finding::new(Code::NameMasked, message))
    }

    /// The name that may be shown, and the one stored in the file.
    fn names(&self) -> (&str, &str) {
        (&self.name, &self.segment.name)
    }
}

/// The mapping from segments of a cohort to labels.
pub(crate) struct SegmentNames {
    files: BTreeMap<PathBuf, Vec<ShownSegment>>,
    /// Masks of people's names for messages about each file.
    masks: HashMap<PathBuf, NameMask>,
    structures: Structures,
}

impl SegmentNames {
    /// The names of all segments that may be shown, each with the one that its file stores.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.values().flatten().map(ShownSegment::names)
    }

    /// Assigns a label to every name, and names the labels of the layout. Labels of the layout
    /// (`dataset.json` or `[labels]`) and of an `earlier` run stay; new names keep the values of
    /// the files if these agree on all of them, else they follow in alphabetical order. `masks`
    /// hide people's names in the names of a file's segments.
    ///
    /// # Errors
    /// [`CohortError::InvalidOption`] if a rule of `--structures` is invalid, or a name of
    /// `--structures-only` is a pattern.
    pub(crate) fn new(
        files: SegmentsByFile,
        masks: HashMap<PathBuf, NameMask>,
        layout: &mut Layout,
        parameters: &IndexParameters,
        earlier: &BTreeMap<u16, String>,
    ) -> Result<Self, CohortError> {
        let shown = |(path, segments): (PathBuf, Vec<LabelSegment>)| {
            let mask = masks.get(&path);
            (path, segments.into_iter().map(|segment| ShownSegment::new(segment, mask)).collect())
        };
        let files: BTreeMap<PathBuf, Vec<ShownSegment>> = files.into_iter().map(shown).collect();
        let mut names = layout.label_names.clone();
        let stated: BTreeSet<String> = names.values().map(|name| key(name)).collect();
        let hidden = hidden_names(earlier, files.values().flatten());
        for (value, name) in hidden.into_iter().filter(|(_, name)| !stated.contains(&key(name))) {
            names.entry(value).or_insert(name);
        }
        names.extend(agreed(&files, &names));
        let found = || files.values().flatten().map(|segment| segment.name.as_str());
        let structures = match parameters.structures_only.as_slice() {
            [] => Structures::new(&parameters.structures, found(), &names)?,
            only => Structures::only(only)?,
        };
        layout.label_names.clone_from(&structures.names);
        Ok(Self { files, masks, structures })
    }

    fn of(&self, label: &Path) -> Option<&[ShownSegment]> {
        self.files.get(label).map(Vec::as_slice)
    }

    /// The labels that a file names; `None` if it names none.
    pub(crate) fn labels_of(&self, label: &Path) -> Option<BTreeSet<u16>> {
        let segments = self.of(label)?.iter();
        Some(segments.filter_map(|segment| self.structures.label_of(segment.names())).collect())
    }

    /// The names of a label file that may be shown, with their labels: everything that its labels
    /// depend on besides the file. `None` if it names none.
    pub(crate) fn values(&self, label: &Path) -> Option<Vec<(String, Option<u16>)>> {
        let value =
            |segment: &ShownSegment| (segment.name.clone(), self.structures.label_of(segment.names()));
        Some(self.of(label)?.iter().map(value).collect())
    }

    /// A message about a label file, with people's names masked.
    pub(crate) fn without_people(&self, label: &Path, message: &str) -> String {
        self.masks.get(label).map_or_else(|| message.to_owned(), |mask| mask.without(message).text)
    }

    /// Reads a label file as a map of the cohort's labels.
    ///
    /// # Errors
    /// [`Unread`].
    pub(crate) fn read(&self, path: &Path, memory: &MemoryShare<'_>) -> Result<SegmentLabels, Unread> {
        let segments = self.of(path).unwrap_or_default();
        let label = |segment: &LabelSegment| {
            let shown = segments.iter().find(|shown| shown.segment == *segment);
            let own = segment.name.as_str();
            self.structures.label_of(shown.map_or((own, own), ShownSegment::names))
        };
        let mut labels = pdl_io::read_segments(path, &label, memory)?;
        for finding in &mut labels.findings {
            finding.message = self.without_people(path, &finding.message);
        }
        let names = || segments.iter().map(|segment| segment.name.as_str());
        labels.findings.extend(segments.iter().filter_map(ShownSegment::masked));
        labels.findings.extend(self.structures.left_out(names()));
        labels.findings.extend(self.structures.joined(names()));
        labels.findings.extend(self.structures.overlapping(&labels.overlaps));
        Ok(labels)
    }

    /// Reads the masks of a case whose structures are files of their own as a map of the cohort's
    /// labels.
    ///
    /// # Errors
    /// As [`structure_files::merge`].
    pub(crate) fn merge(
        &self,
        structures: &BTreeMap<String, PathBuf>,
        grid: MaskGrid,
        memory: &MemoryShare<'_>,
    ) -> Result<(MergedMasks, Vec<Finding>), ImportFailure> {
        let merged = structure_files::merge(structures, &|name| self.structures.label(name), grid, memory)?;
        let names = || structures.keys().map(String::as_str);
        let joined = self.structures.joined(names());
        let overlapping = self.structures.overlapping(&merged.overlaps);
        let findings = self.structures.left_out(names()).into_iter().chain(joined).chain(overlapping);
        Ok((merged, findings.collect()))
    }

    /// The label of a structure by its name; `None` if it has no label.
    pub(crate) fn label(&self, structure: &str) -> Option<u16> {
        self.structures.label(structure)
    }

    /// Findings about the names of the cohort; `labelled` is how many of its cases have a label
    /// file.
    pub(crate) fn findings(&self, labelled: usize) -> Vec<Finding> {
        let names: BTreeSet<&str> = self.files.values().flatten().map(|s| s.name.as_str()).collect();
        let originals = self.files.values().flatten().map(|segment| segment.segment.name.as_str());
        let unmatched = self.structures.unmatched_finding(&names, names.iter().copied().chain(originals));
        let spellings = self.structures.spellings(names.into_iter());
        let found = self.renumbered().into_iter().chain(self.unnamed(labelled));
        found.chain(spellings).chain(unmatched).collect()
    }

    /// Finding if files have several values for one name.
    fn renumbered(&self) -> Option<Finding> {
        let mut values: BTreeMap<u16, BTreeMap<u16, usize>> = BTreeMap::new();
        let stated = |segment: &&ShownSegment| segment.segment.value != UNSTATED;
        for segment in self.files.values().flatten().filter(stated) {
            if let Some(label) = self.structures.label_of(segment.names()) {
                *values.entry(label).or_default().entry(segment.segment.value).or_default() += 1;
            }
        }
        let told = values.iter().filter(|(_, values)| values.len() > 1).map(|(label, values)| {
            let name = self.structures.names.get(label).map_or("", String::as_str);
            let each = values.iter().map(|(value, files)| format!("{value} in {files}"));
            format!("{name} (here {label}) is {}", each.collect::<Vec<_>>().join(" and "))
        });
        let told: Vec<String> = told.collect();
        let more = if told.len() > MOST_LISTED { "; and others" } else { "" };
        let message = format!(
            "label files have different values for one name, and labels are identified by name: {}{more}",
            told.iter().take(MOST_LISTED).cloned().collect::<Vec<_>>().join("; ")
        );
        (!told.is_empty()).then(|| Finding::new(Code::LabelValuesByName, message))
    }

    /// Finding if some label files name no segments.
    fn unnamed(&self, labelled: usize) -> Option<Finding> {
        let (named, unnamed) = (self.files.len(), labelled.saturating_sub(self.files.len()));
        let message = format!(
            "{} their labels and {} not: values of the latter count as the cohort's labels, which `[labels]` can name",
            if named == 1 { "1 label file names".to_owned() } else { format!("{named} label files name") },
            if unnamed == 1 { "1 does".to_owned() } else { format!("{unnamed} do") },
        );
        (unnamed > 0).then(|| Finding::new(Code::LabelNamesMissing, message))
    }
}

/// Names of labels of an earlier run, without people whom that run may have let through.
fn hidden_names<'a>(
    earlier: &BTreeMap<u16, String>,
    segments: impl Iterator<Item = &'a ShownSegment>,
) -> BTreeMap<u16, String> {
    let masked = segments.filter(|segment| segment.is_masked);
    let hidden: BTreeMap<String, &str> =
        masked.map(|segment| (key(&segment.segment.name), segment.name.as_str())).collect();
    let now = |name: &String| hidden.get(&key(name)).map_or_else(|| name.clone(), |now| (*now).to_owned());
    earlier.iter().map(|(value, name)| (*value, now(name))).collect()
}

/// All new names under the values that the files give them, if these agree and are free; else
/// `None`.
fn agreed(
    files: &BTreeMap<PathBuf, Vec<ShownSegment>>,
    names: &BTreeMap<u16, String>,
) -> BTreeMap<u16, String> {
    let known: BTreeSet<String> = names.values().map(|name| key(name)).collect();
    let mut values: BTreeMap<String, u16> = BTreeMap::new();
    let mut agreed: BTreeMap<u16, &str> = BTreeMap::new();
    let known = |name: &str| known.contains(&key(name)) || key(name) == BACKGROUND;
    for segment in files.values().flatten().filter(|segment| !known(&segment.name)) {
        if segment.segment.value == UNSTATED {
            return BTreeMap::new();
        }
        let name = segment.name.as_str();
        let value = *values.entry(key(name)).or_insert(segment.segment.value);
        let holder = agreed.entry(segment.segment.value).or_insert(name);
        if value != segment.segment.value || key(holder) != key(name) || names.contains_key(&value) {
            return BTreeMap::new();
        }
        *holder = (*holder).max(name); // of several spellings, whatever the files' order
    }
    agreed.into_iter().map(|(value, name)| (value, name.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of segments with a name and a value each, and the names of the layout's labels.
    fn names(
        files: &[&[(&str, u16)]],
        stated: &[(u16, &str)],
        earlier: &BTreeMap<u16, String>,
    ) -> SegmentNames {
        let segment =
            |(name, value): &(&str, u16)| LabelSegment { name: (*name).to_owned(), value: *value, layer: 0 };
        let files = files.iter().enumerate().map(|(number, segments)| {
            (PathBuf::from(number.to_string()), segments.iter().map(segment).collect())
        });
        let stated = stated.iter().map(|(value, name)| (*value, (*name).to_owned())).collect();
        let mut layout = Layout { label_names: stated, ..Layout::default() };
        let masks = HashMap::new();
        SegmentNames::new(files.collect(), masks, &mut layout, &IndexParameters::default(), earlier).unwrap()
    }

    fn labels(names: &SegmentNames) -> Vec<(u16, &str)> {
        names.structures.names.iter().map(|(value, name)| (*value, name.as_str())).collect()
    }

    fn codes(names: &SegmentNames, labelled: usize) -> Vec<&'static str> {
        names.findings(labelled).iter().map(|finding| finding.code.as_str()).collect()
    }

    #[test]
    fn values_that_all_files_agree_on_are_kept() {
        let none = BTreeMap::new();
        let agreed = names(&[&[("tumour", 1), ("liver", 3)], &[("Liver ", 3)]], &[], &none);
        assert_eq!(labels(&agreed), [(1, "tumour"), (3, "liver")]);
        assert_eq!(codes(&agreed, 2), ["label-names-joined"]);
        let swapped = names(&[&[("tumour", 1), ("liver", 2)], &[("tumour", 2), ("liver", 1)]], &[], &none);
        assert_eq!(labels(&swapped), [(1, "liver"), (2, "tumour")]);
        assert_eq!(codes(&swapped, 3), ["label-values-by-name", "label-names-missing"]);
        let layers = names(&[&[("tumour", 1), ("liver", 1), ("spleen", 2)]], &[], &none);
        assert_eq!(labels(&layers), [(1, "liver"), (2, "spleen"), (3, "tumour")]);
        assert_eq!(codes(&layers, 1), [""; 0]);
    }

    #[test]
    fn names_keep_their_labels_as_cases_arrive_and_what_is_stated_comes_first() {
        let first = names(&[&[("liver", 2)]], &[], &BTreeMap::new());
        let grown = names(&[&[("liver", 1), ("aorta", 2)]], &[], &first.structures.names);
        assert_eq!(labels(&grown), [(2, "liver"), (3, "aorta")]);
        let stated = names(&[&[("liver", 2)]], &[(1, "LIVER")], &first.structures.names);
        assert_eq!(labels(&stated), [(1, "LIVER")]);
    }

    #[test]
    fn names_that_look_the_same_are_told_and_stay_apart() {
        let names = names(&[&[("left lung", 1)], &[("left_lung", 2)]], &[], &BTreeMap::new());
        assert_eq!(labels(&names), [(1, "left lung"), (2, "left_lung")]);
        assert_eq!(codes(&names, 2), ["label-names-similar"]);
    }
}
