//! A survey of a cohort: its layout, and facts about a few of its cases. It writes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_store::StoreError;
use pdl_store::memory::{MemoryError, MemoryLimit, MemoryShare, in_turns};

use crate::CohortError;
use crate::attributes::Modality;
use crate::check::{self, Checked, StatedGrids};
use crate::discover::pairing::{self, Paired};
use crate::discover::{self, DiscoveredCase, Layout};
use crate::import::cohort_channels::CohortChannels;
use crate::import::dicom_source;
use crate::labels::segment_labels::{self, SegmentNames, SegmentsByFile};
use crate::parameters::IndexParameters;

/// Name of an unknown layout.
const PAIRED: &str = "volumes in no layout that pdl knows, paired by their names";

/// Maximum number of cases that are read, spread evenly over the cohort.
const MOST_READ: usize = 12;

/// The result of a survey.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Layout, in words.
    pub layout: &'static str,
    /// Cases with an image and a label.
    pub pairs: usize,
    /// Cases that lack one of both; of DICOM, series that no structure set or segmentation refers
    /// to.
    pub incomplete: usize,
    /// Incomplete cases with an image.
    pub unlabelled: usize,
    /// Label maps without an image, in a layout that pdl knows.
    pub alone: Vec<PathBuf>,
    /// Files below a folder of DICOM.
    pub dicom_files: usize,
    /// The structures of DICOM label files.
    pub structures: Structures,
    /// Notes about the cohort as a whole.
    pub notes: Vec<String>,
    /// Number of patients in its table or its DICOM headers; `None` if they name none.
    pub patients: Option<usize>,
    /// Number of cases, or of DICOM series, of each modality, if there are several.
    pub modalities: BTreeMap<Modality, usize>,
    /// Whether its table states splits.
    pub split_given: bool,
    /// How the images were made, and whether that was guessed from their voxels.
    pub modality: Option<(Modality, bool)>,
    /// Names of channels by number, where cases have several.
    pub channels: BTreeMap<u32, String>,
    /// Names of labels that `dataset.json` gives.
    pub label_names: BTreeMap<u16, String>,
    /// Without a known layout: pairs by name.
    pub proposed: Option<Paired>,
    /// Cases that were read for what follows.
    pub read: usize,
    /// Voxels along x, y, z: the least and the most.
    pub shapes: Option<[[u32; 3]; 2]>,
    /// Smallest and largest voxel size along each axis, mm.
    pub spacings_mm: Option<[[f64; 3]; 2]>,
    /// Directions of the stored axes.
    pub orientations: BTreeSet<String>,
    /// Label values.
    pub labels: BTreeSet<u16>,
    /// Findings of these cases: by code their number, and a sentence.
    pub findings: BTreeMap<String, (usize, String)>,
}

/// The structures of a DICOM cohort, by the names that may be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structures {
    /// Structure sets and segmentations that cases get their labels from.
    pub sets: usize,
    /// Every name, and how many of these hold it: the most frequent first. Upper and lower case are
    /// one.
    pub names: Vec<(String, usize)>,
}

/// Looks at the cohort at `cohort`: at the names of all its files, and, within a limit of memory,
/// into some of them.
///
/// # Errors
/// [`CohortError`] if there is nothing that could become a cohort.
pub fn survey(cohort: &Path, limit: &MemoryLimit) -> Result<Survey, CohortError> {
    let mut survey = Survey::default();
    let known = discover::find_within(cohort, &BTreeSet::new(), &limit.alone());
    let cases = match known {
        Ok(mut layout) => {
            layout.check_any_file(cohort)?;
            layout.split_channel_files(&limit.alone())?;
            layout.split_colours(&limit.alone())?;
            layout.add_missing_channels_finding();
            layout.require_channels();
            let stack_spacing = layout.assume_pixel_size(&IndexParameters::default())?;
            layout.state_stacks(&IndexParameters { stack_spacing, ..IndexParameters::default() })?;
            survey.dicom_files = layout.dicom_files.len();
            survey.layout = layout.kind;
            survey.notes = layout.findings.into_iter().map(|finding| finding.message).collect();
            survey.modality = layout.modality.map(|modality| (modality, false));
            survey.label_names = layout.label_names;
            survey.channels = channels(&layout.cases, &layout.channel_names);
            if survey.dicom_files > 0 {
                survey.look_into_headers(&layout.dicom_files, limit)?;
                let paired = match survey.pairs {
                    0 => pairing::pair(cohort)?,
                    _ => return Ok(survey),
                };
                if paired.pairs.is_empty() && survey.incomplete == 0 {
                    return Err(no_case(cohort, "none of its DICOM files is an image of a series"));
                }
                if paired.pairs.is_empty() {
                    return Ok(survey);
                }
                survey = Survey { layout: PAIRED, ..Survey::default() };
                let cases = of_pairs(cohort, &paired);
                survey.channels = (0..).zip(paired.channels()).collect();
                survey.proposed = Some(paired);
                cases
            } else {
                layout.cases
            }
        }
        Err(error @ (CohortError::NotACohort { .. } | CohortError::FoldersUnpaired { .. }))
            if cohort.is_dir() =>
        {
            let paired = pairing::pair(cohort)?.or_unlabelled();
            if paired.pairs.is_empty() {
                let volumes = paired.alone.len();
                let is_unknown = matches!(error, CohortError::NotACohort { .. }) && volumes > 0;
                let unpaired = match paired.label_alone() {
                    None => CohortError::Unpaired { volumes, path: cohort.to_owned() },
                    Some(label) => CohortError::SeveralPartners {
                        volumes,
                        label: label.clone(),
                        path: cohort.to_owned(),
                    },
                };
                return Err(if is_unknown { unpaired } else { error });
            }
            survey.layout = PAIRED;
            let channel_names = (0..).zip(paired.channels()).collect();
            let mut layout = Layout { cases: of_pairs(cohort, &paired), channel_names, ..Layout::default() };
            layout.split_colours(&limit.alone())?;
            let stack_spacing = layout.assume_pixel_size(&IndexParameters::default())?;
            layout.state_stacks(&IndexParameters { stack_spacing, ..IndexParameters::default() })?;
            survey.notes = layout.findings.into_iter().map(|finding| finding.message).collect();
            survey.channels = channels(&layout.cases, &layout.channel_names);
            survey.proposed = Some(paired);
            layout.cases
        }
        Err(error) => return Err(error),
    };
    if cases.is_empty() {
        return Err(no_case(cohort, "it has no image and no label map"));
    }
    survey.count(&cases);
    let mut layout = Layout {
        cases,
        label_names: survey.label_names.clone(),
        channel_names: survey.channels.clone(),
        ..Layout::default()
    };
    let segments = segment_labels::read_headers(&layout, limit)?;
    let set = CohortChannels::of(&layout, false);
    survey.look_into(&layout.cases, &segments, &set, limit)?;
    if !segments.is_empty() {
        let (masks, parameters) = (HashMap::new(), IndexParameters::default());
        SegmentNames::new(segments, masks, &mut layout, &parameters, &BTreeMap::new())?;
        survey.labels.extend(layout.label_names.keys());
        survey.label_names = layout.label_names;
    }
    Ok(survey)
}

/// The error for a cohort without a case.
fn no_case(cohort: &Path, problem: &str) -> CohortError {
    CohortError::NotACohort { path: cohort.to_owned(), problem: problem.to_owned() }
}

/// The channels of cases that have several; a number without a name is its own name.
fn channels(cases: &[DiscoveredCase], names: &BTreeMap<u32, String>) -> BTreeMap<u32, String> {
    let numbers: BTreeSet<u32> = cases.iter().flat_map(|case| case.channels.keys().copied()).collect();
    numbers.into_iter().map(|n| (n, names.get(&n).cloned().unwrap_or_else(|| n.to_string()))).collect()
}

fn of_pairs(root: &Path, paired: &Paired) -> Vec<DiscoveredCase> {
    let (patients, splits) = (paired.patients(), paired.splits());
    let names = paired.channels();
    let number = |name: &String| names.iter().position(|known| known == name).unwrap_or(0) as u32;
    let found = |(index, pair): (usize, &pairing::FilePair)| DiscoveredCase {
        image: Some(root.join(&pair.image)),
        label: pair.label.as_ref().map(|label| root.join(label)),
        patient: patients.as_ref().map(|patients| patients[index].clone()),
        split: splits.as_ref().and_then(|splits| splits[index]),
        channels: pair.channels.iter().map(|(name, path)| (number(name), root.join(path))).collect(),
        structures: pair.structures.iter().map(|(name, path)| (name.clone(), root.join(path))).collect(),
        ..DiscoveredCase::default()
    };
    paired.pairs.iter().enumerate().map(found).collect()
}

impl Survey {
    fn count(&mut self, cases: &[DiscoveredCase]) {
        self.pairs = cases.iter().filter(|case| case.image.is_some() && case.label.is_some()).count();
        self.incomplete = cases.len() - self.pairs;
        self.unlabelled = cases.iter().filter(|case| case.image.is_some() && case.label.is_none()).count();
        let without_image = cases.iter().filter(|case| case.image.is_none());
        self.alone = without_image.filter_map(|case| case.label.clone()).collect();
        let patients: BTreeSet<&str> = cases.iter().filter_map(|case| case.patient.as_deref()).collect();
        self.patients = (!patients.is_empty()).then_some(patients.len());
        self.split_given = cases.iter().any(|case| case.split.is_some());
        for modality in cases.iter().filter_map(|case| case.modality) {
            *self.modalities.entry(modality).or_default() += 1;
        }
        if let (1, Some(modality)) = (self.modalities.len(), self.modalities.keys().next()) {
            self.modality = Some((*modality, false));
            self.modalities.clear();
        } else if !self.modalities.is_empty() {
            self.modality = None;
        }
    }

    /// Reads all headers of a tree of DICOM files.
    fn look_into_headers(&mut self, files: &[PathBuf], limit: &MemoryLimit) -> Result<(), StoreError> {
        let scan = dicom_source::headers(files, limit, &|| ())?;
        let (labels, _) = scan.labels_of_series();
        self.pairs = labels.iter().filter(|labels| !labels.is_empty()).count();
        self.incomplete = labels.len() - self.pairs;
        self.unlabelled = self.incomplete;
        let patients: BTreeSet<&str> = scan.series.iter().map(|series| series.patient_id.as_str()).collect();
        self.patients = Some(patients.len()).filter(|_| !patients.contains(""));
        for modality in scan.series.iter().filter_map(|series| series.modality.parse().ok()) {
            *self.modalities.entry(modality).or_default() += 1;
        }
        if let (1, Some(modality)) = (self.modalities.len(), self.modalities.keys().next()) {
            self.modality = Some((*modality, false));
            self.modalities.clear();
        }
        let used: BTreeSet<usize> = labels.iter().flatten().copied().collect();
        self.structures = Structures::of(used.iter().map(|label| scan.labels[*label].names.as_slice()));
        Ok(())
    }

    /// Reads some of the cases with both files, or images alone if none has a label; named segments
    /// are identified by name, and are placed on their images' grids only when the cohort is
    /// indexed.
    fn look_into(
        &mut self,
        cases: &[DiscoveredCase],
        segments: &SegmentsByFile,
        channels: &CohortChannels,
        limit: &MemoryLimit,
    ) -> Result<(), StoreError> {
        let none_labelled = self.pairs == 0;
        let mut whole = Vec::new();
        for case in
            cases.iter().filter(|case| case.image.is_some() && (none_labelled || case.label.is_some()))
        {
            // DICOM series are read when the cohort is indexed.
            if !case.has_series()? {
                whole.push(case);
            }
        }
        let count = whole.len().min(MOST_READ);
        let chosen: Vec<&DiscoveredCase> = (0..count).map(|k| whole[k * whole.len() / count]).collect();
        let work = |found: &&DiscoveredCase, memory: &MemoryShare<'_>| {
            check::check(&without_masks(found), StatedGrids::default(), channels, memory)
        };
        let too_large = |found: &&DiscoveredCase, error: MemoryError| Checked::too_large(found, error);
        let checked: Vec<Checked> = in_turns(&chosen, limit, work, too_large)?;
        self.read = count;
        for (case, found) in checked.iter().zip(&chosen) {
            let names_segments = found.label.as_ref().is_some_and(|label| segments.contains_key(label));
            let is_of_labels = |finding: &&Finding| {
                matches!(finding.code, Code::ShapeMismatch | Code::GridMismatch | Code::NoLabel)
            };
            let findings = found.findings.iter().chain(&case.findings);
            for finding in findings.filter(|finding| !(names_segments && is_of_labels(finding))) {
                let entry =
                    self.findings.entry(finding.code.to_string()).or_insert((0, finding.message.clone()));
                entry.0 += 1;
            }
            if !names_segments {
                self.labels.extend(case.labels.iter().map(|label| label.value));
            }
            if !case.orientation.is_empty() {
                self.orientations.insert(case.orientation.clone());
            }
            widen(&mut self.shapes, &case.shape, u32::min, u32::max);
            widen(&mut self.spacings_mm, &case.spacing_mm, f64::min, f64::max);
        }
        let readable: Vec<&Checked> = checked.iter().filter(|case| case.intensity.is_some()).collect();
        if self.modality.is_none() && !readable.is_empty() {
            let ct = readable.iter().filter(|case| case.looks_like_ct).count();
            self.modality = Some((if 2 * ct > readable.len() { Modality::CT } else { Modality::MR }, true));
        }
        Ok(())
    }
}

/// A case without the masks of its structures, whose names are known without reading them.
fn without_masks(found: &DiscoveredCase) -> DiscoveredCase {
    let label = found.label.clone().filter(|_| found.structures.is_empty());
    DiscoveredCase { label, ..found.clone() }
}

impl Structures {
    fn of<'a>(sets: impl Iterator<Item = &'a [String]>) -> Self {
        let mut structures = Self::default();
        let mut found: BTreeMap<String, (String, usize)> = BTreeMap::new();
        for names in sets {
            structures.sets += 1;
            let own: BTreeMap<String, &String> = names
                .iter()
                .filter(|name| !name.is_empty())
                .map(|name| (name.to_lowercase(), name))
                .collect();
            for (lower, name) in own {
                found.entry(lower).or_insert((name.clone(), 0)).1 += 1;
            }
        }
        structures.names = found.into_values().collect();
        // stable: then by name
        structures.names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        structures
    }
}

/// Makes room for the values of one more case between the least and the most.
fn widen<T: Copy>(range: &mut Option<[[T; 3]; 2]>, values: &[T], least: fn(T, T) -> T, most: fn(T, T) -> T) {
    let Ok(values) = <[T; 3]>::try_from(values) else { return };
    let [low, high] = range.unwrap_or([values; 2]);
    let each =
        |pick: fn(T, T) -> T, so_far: [T; 3]| std::array::from_fn(|axis| pick(so_far[axis], values[axis]));
    *range = Some([each(least, low), each(most, high)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_counted_once_a_set_whatever_their_case() {
        let sets = [["Heart", "Lung L"].as_slice(), &["LUNG L", "heart", "Heart", ""], &["lung l", "GTV"]];
        let sets: Vec<Vec<String>> =
            sets.iter().map(|names| names.iter().map(|name| (*name).to_owned()).collect()).collect();
        let found = Structures::of(sets.iter().map(Vec::as_slice));
        let names: Vec<(&str, usize)> = found.names.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        assert_eq!((found.sets, names), (3, vec![("Lung L", 3), ("Heart", 2), ("GTV", 1)]));
    }
}
