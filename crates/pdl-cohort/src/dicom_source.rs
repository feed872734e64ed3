//! A tree of DICOM files: each series with labels becomes a case, kept as NIfTI inside the curation
//! folder.
//!
//! Names of cases and patients are pseudonyms unless ids are kept; no message holds a path or an
//! attribute's value other than the names of structures.

use pdl_findings::{Code, Finding};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_dicom::acquisition::acquisition;
use pdl_dicom::{
    DicomError, LabelFile, LabelKind, Mask, MaskedName, Overlap, ReadOptions, Scan, Segmentation, Series,
    SeriesImage, StructureSet,
};
use pdl_store::hash::Key;
use pdl_store::memory::{MemoryLimit, MemoryShare};
use pdl_store::plural::counted;
use pdl_store::progress::StageContext;
use pdl_store::{StoreError, fault};
use rayon::prelude::*;

use crate::CohortError;
use crate::attributes::Modality;
use crate::case_id::{ATTEMPTS, Claims, UNSTATED};
use crate::cases::Cases;
use crate::discover::{DiscoveredCase, Layout};
use crate::hidden_texts::hide_values;
use crate::import::{Files, Original, Refusal, VolumeSource, Volumes};
use crate::known_cases::{Earlier, FileNames, Recognised, identify};
use crate::parameters::IndexParameters;
use crate::place::Place;
use crate::pseudonyms::Naming;
use crate::structures::Structures;

/// Most names of structures in a message.
const MOST_NAMES: usize = 20;

/// Label files, and the labels that each gives.
type Chosen = BTreeMap<usize, BTreeSet<u16>>;

/// What a tree of DICOM files holds, under the names that its cases go by.
pub(crate) struct Archive {
    scan: Scan,
    naming: Naming,
    /// For every case of the layout its series, and the label files that it is made from.
    cases: Vec<(usize, Chosen)>,
    structures: Structures,
    options: ReadOptions,
}

impl Archive {
    /// Reads all headers and gives the layout its cases. Ids and label values of an earlier run
    /// stay.
    pub(crate) fn scan(
        layout: &mut Layout,
        naming: Naming,
        parameters: &IndexParameters,
        before: Option<&Cases>,
        known: Known<'_>,
        run: StageContext<'_>,
    ) -> Result<(Self, Recognised), CohortError> {
        run.progress.begin("reading headers", layout.dicom_files.len() as u64);
        let scan = headers(&layout.dicom_files, &run.memory_limit(), &|| run.progress.advance(1))?;
        let (labels, _) = scan.labels_of_series();
        let latest = labels.iter().filter_map(|labels| labels.last());
        let used = latest.flat_map(|label| &scan.labels[*label].names);
        let names = before.map_or_else(BTreeMap::new, |before| hidden_names(&before.label_names, &scan));
        let structures = match parameters.structures_only.as_slice() {
            [] => Structures::new(&parameters.structures, used.map(String::as_str), &names)?,
            only => Structures::only(only)?,
        };
        naming.check_patients(scan.series.iter().map(patient_of))?;
        let claims = Claimed { naming: &naming, series: &scan.series, root: known.cohort };
        let of_known = |earlier| Ok::<_, StoreError>((earlier, known.files(earlier, &scan.series)?));
        let earlier = known.earlier.map(of_known).transpose()?;
        let (ids, recognised) = identify(&claims, earlier)?;
        let mut order: Vec<(DiscoveredCase, usize, Chosen)> = scan
            .series
            .iter()
            .zip(&labels)
            .enumerate()
            .map(|(number, (series, labels))| {
                let chosen = choose(&structures, &scan, labels);
                let found = found(&naming, series, labels.len(), &chosen, &structures);
                (DiscoveredCase { case_id: ids[number].clone(), ..found }, number, chosen)
            })
            .collect();
        order.sort_by(|a, b| a.0.case_id.cmp(&b.0.case_id));
        layout.label_names.clone_from(&structures.names);
        keep_acquisition(&mut order, &scan, &parameters.carried()?)?;
        let cases = order.iter().map(|(_, series, chosen)| (*series, chosen.clone())).collect();
        layout.cases = order.into_iter().map(|(found, ..)| found).collect();
        let options = ReadOptions { mr_rescale: parameters.mr_rescale };
        Ok((Self { scan, naming, cases, structures, options }, recognised))
    }
}

impl VolumeSource for Archive {
    fn naming(&self) -> &Naming {
        &self.naming
    }

    fn wants(&self, found: &DiscoveredCase, modality: Option<Modality>) -> bool {
        found.modality == modality
    }

    fn files(&self, case: usize) -> Files {
        let (series, labels) = self.sources(case);
        [series.files.clone(), labels.map(|(label, _)| label.path.clone()).collect()]
    }

    fn key(&self, case: usize) -> Key {
        let (series, labels) = self.sources(case);
        let of_file = |(label, values): (&LabelFile, &BTreeSet<u16>)| -> Vec<_> {
            let value = |names| self.structures.label_of(names).filter(|value| values.contains(value));
            label.structures().map(|(shown, name)| (shown.to_owned(), value((shown, name)))).collect()
        };
        let values: Vec<_> = labels.flat_map(of_file).collect();
        Key::new("import 3")
            .part("part", &series.part)
            .part("values", &values)
            .part("mr_rescale", &self.options.mr_rescale)
    }

    fn read(&self, case: usize, memory: &MemoryShare<'_>) -> Result<Volumes, Refusal> {
        let (series, mut labels) = self.sources(case);
        if labels.next().is_none() {
            let message = "an image series that no structure set or segmentation refers to";
            return Err(Finding::new(Code::NoLabel, message).into());
        }
        self.volumes(case, series, memory).map_err(|error| {
            match (fault::machine_error(&error), error.memory()) {
                (Some(error), _) => Refusal::Machine(error),
                (None, Some(error)) => Refusal::Memory(error),
                (None, None) => Finding::new(Code::UnreadableDicom, error.reason()).into(),
            }
        })
    }

    fn original(&self, case: usize) -> Original {
        let (series, _) = self.sources(case);
        Original { case: series.series_uid.clone(), patient: Some(series.patient_id.clone()) }
    }

    fn set_aside(&self) -> Vec<(PathBuf, String)> {
        let files = self
            .scan
            .set_aside
            .iter()
            .flat_map(|aside| aside.files.iter().map(|file| (file.clone(), aside.reason.clone())));
        let label =
            |(label, reason): (usize, &str)| (self.scan.labels[label].path.clone(), reason.to_owned());
        files.chain(self.unused_labels().into_iter().map(label)).collect()
    }

    fn findings(&self) -> Vec<Finding> {
        let mut aside: Vec<String> =
            self.scan.set_aside.iter().map(|aside| format!("{} {}", aside.count, aside.reason)).collect();
        let of_labels = self.unused_labels();
        for reason in of_labels.iter().map(|(_, reason)| *reason).collect::<BTreeSet<_>>() {
            aside.push(format!("{} {reason}", of_labels.iter().filter(|(_, own)| *own == reason).count()));
        }
        let message = format!(
            "files set aside: {} ({} says which: the rows with set_aside)",
            aside.join("; "),
            crate::sources::FILE
        );
        let aside = (!aside.is_empty()).then(|| Finding::new(Code::FilesSetAside, message));
        aside.into_iter().chain(self.captures()).chain(self.unmatched()).collect()
    }
}

impl Archive {
    /// Label files from which nothing is taken, and why.
    fn unused_labels(&self) -> Vec<(usize, &'static str)> {
        let (_, orphans) = self.scan.labels_of_series();
        let used: BTreeSet<usize> =
            self.cases.iter().flat_map(|(_, chosen)| chosen.keys().copied()).collect();
        let unused = (0..self.scan.labels.len()).filter(|label| !used.contains(label));
        let reason = |label: &usize| match orphans.contains(label) {
            true => "label file of images that are not here",
            false => "label file beside a later one of the same images",
        };
        unused.map(|label| (label, reason(&label))).collect()
    }

    /// What is said of files that may show names in their pixels.
    fn captures(&self) -> Option<Finding> {
        let count = self.scan.secondary_captures;
        let message = format!(
            "{} in the tree (photographs of screens, scanned forms) may show names, and were not read",
            counted(count, "secondary capture")
        );
        (count > 0).then(|| Finding::new(Code::SecondaryCapture, message))
    }

    /// What is said of patterns that no structure has.
    fn unmatched(&self) -> Option<Finding> {
        let (of_series, _) = self.scan.labels_of_series();
        let labels: BTreeSet<usize> = of_series.into_iter().flatten().collect();
        let both = labels.iter().flat_map(|label| self.scan.labels[*label].structures());
        let unmatched = self.structures.unmatched(both.flat_map(|(shown, original)| [shown, original]));
        let labels = labels.iter().flat_map(|label| &self.scan.labels[*label].names);
        let names: BTreeSet<&str> = labels.map(String::as_str).collect();
        if self.structures.only && !unmatched.is_empty() {
            let message = format!("no structure is called '{}'", unmatched.join("', '"));
            return Some(Finding::new(Code::StructuresUnmatched, message));
        }
        (!unmatched.is_empty()).then(|| {
            let shown: Vec<&str> = names.iter().copied().take(MOST_NAMES).collect();
            let more = if names.len() > MOST_NAMES { " and others" } else { "" };
            let (patterns, names) = (unmatched.join("', '"), shown.join(", "));
            Finding::new(
                Code::StructuresUnmatched,
                format!("no structure is called '{patterns}'; there are {names}{more}"),
            )
        })
    }

    /// The series of a case, and its label files with the labels that each gives.
    fn sources(&self, case: usize) -> (&Series, impl Iterator<Item = (&LabelFile, &BTreeSet<u16>)>) {
        let (series, chosen) = &self.cases[case];
        let labels = chosen.iter().map(|(label, values)| (&self.scan.labels[*label], values));
        (&self.scan.series[*series], labels)
    }

    fn volumes(&self, case: usize, series: &Series, memory: &MemoryShare<'_>) -> Result<Volumes, DicomError> {
        let image = pdl_dicom::read_series_within(series, self.options, memory)?;
        let place = series.files.first().cloned().unwrap_or_default();
        let no_memory = |source| DicomError::Memory { path: place.clone(), source };
        // Labels as they are painted on the slices, and as they are placed on the volume's grid.
        let voxels = [image.stack.shape(), image.grid().shape].map(|shape| shape.iter().product::<usize>());
        let labels_there = (voxels[0] + voxels[1]) as u64;
        memory.take_each(labels_there, size_of::<u16>() as u64).map_err(no_memory)?;
        let mut findings: Vec<Finding> = image.findings.clone();
        let mut masks: Vec<(u16, Mask)> = Vec::new();
        for (label, values) in self.sources(case).1 {
            for (name, original, mask) in structures_of(label, &image, memory)? {
                let value = self.structures.label_of((&name, &original));
                let Some(value) = value.filter(|value| values.contains(value)) else {
                    continue;
                };
                match mask() {
                    Ok(mask) => {
                        findings.extend(mask.findings.iter().cloned());
                        masks.push((value, mask));
                    }
                    Err(error) if error.memory().is_some() => return Err(error),
                    Err(error) => {
                        let name = self.structures.names.get(&value).unwrap_or(&name);
                        let message = format!("{name}: {}", error.reason());
                        findings.push(Finding::new(Code::UnusableStructure, message));
                    }
                }
            }
        }
        masks.sort_by_key(|(value, _)| *value);
        let (painted, overlaps) =
            pdl_dicom::paint(&image.stack, masks.iter().map(|(value, mask)| (*value, mask)));
        findings.extend(self.overlapping(&overlaps));
        let labels = image.place_labels(painted)?;
        let of_series = series.files.iter().cloned().zip(series.states.iter().copied());
        let of_labels = self.sources(case).1.map(|(label, _)| (label.path.clone(), label.state));
        Ok(Volumes {
            image: Some(image.volume),
            labels: Some(labels),
            files: self.files(case),
            states: of_series.chain(of_labels).collect(),
            findings,
        })
    }

    /// Which structures overlap, which wins, and who says so.
    fn overlapping(&self, overlaps: &BTreeMap<Overlap, usize>) -> Option<Finding> {
        let name = |value: &u16| self.structures.names.get(value).map_or("", String::as_str);
        let told = overlaps.iter().map(|((loser, winner), voxels)| {
            format!("{} over {} ({})", name(winner), name(loser), counted(*voxels, "voxel"))
        });
        let order = match self.structures.are_chosen() {
            true => "the later one in --structures wins",
            false => "the later name in the alphabet wins, unless --structures states another order",
        };
        let told = told.collect::<Vec<_>>().join(", ");
        (!overlaps.is_empty()).then(|| {
            Finding::new(Code::OverlappingStructures, format!("structures overlap, and {order}: {told}"))
        })
    }
}

/// Which of its label files a case is made from.
fn choose(structures: &Structures, scan: &Scan, labels: &[usize]) -> Chosen {
    let values = |label: &usize| {
        scan.labels[*label].structures().filter_map(|names| structures.label_of(names)).collect()
    };
    let values: Vec<BTreeSet<u16>> = labels.iter().map(values).collect();
    structures.sources(&values).into_iter().map(|(file, values)| (labels[file], values)).collect()
}

/// Names of labels of an earlier run, without what the headers say of people, which that run may
/// not have known.
fn hidden_names(earlier: &BTreeMap<u16, String>, scan: &Scan) -> BTreeMap<u16, String> {
    let names = || scan.labels.iter().flat_map(LabelFile::structures);
    let shown: BTreeSet<String> = names().map(|(shown, _)| shown.to_lowercase()).collect();
    let hidden: BTreeMap<String, &str> =
        names().map(|(shown, original)| (original.trim().to_lowercase(), shown)).collect();
    let now = |name: &String| match hidden.get(&name.to_lowercase()) {
        Some(now) if !shown.contains(&name.to_lowercase()) => (*now).to_owned(),
        _ => name.clone(),
    };
    earlier.iter().map(|(value, name)| (*value, now(name))).collect()
}

/// What a tree of DICOM files holds; headers are read within a limit of memory.
///
/// # Errors
/// [`StoreError::Machine`], without a path: those of such trees name patients.
pub(crate) fn headers(
    files: &[PathBuf],
    limit: &MemoryLimit,
    progress: &(dyn Fn() + Sync),
) -> Result<Scan, StoreError> {
    let scan = pdl_dicom::scan_within(files, limit, progress);
    scan.map_err(|error| unreadable("a DICOM file of the cohort", &error))
}

/// The machine's error as such; there is no other where this is asked.
fn unreadable(what: &str, error: &DicomError) -> StoreError {
    StoreError::machine(what, None, error).unwrap_or_else(|| StoreError::Machine {
        what: what.to_owned(),
        path: None,
        source: std::io::Error::other(error.reason()),
    })
}

/// Keeps the attributes `carry` of every case's series. Of a file that cannot be read any more
/// there is nothing: why is told where the series is read.
///
/// # Errors
/// [`StoreError::Machine`].
fn keep_acquisition(
    order: &mut [(DiscoveredCase, usize, Chosen)],
    scan: &Scan,
    carry: &BTreeSet<String>,
) -> Result<(), StoreError> {
    if carry.is_empty() {
        return Ok(());
    }
    order.par_iter_mut().try_for_each(|(found, series, _)| {
        let keywords = carry.iter().map(String::as_str);
        found.carried = match acquisition(&scan.series[*series], keywords) {
            Ok(values) => values,
            Err(error) if fault::machine_error(&error).is_some() => {
                return Err(unreadable(&found.what(), &error));
            }
            Err(_) => carry.iter().map(|keyword| (keyword.clone(), None)).collect(),
        };
        hide_values(&mut found.carried, &scan.mask_of(&scan.series[*series]));
        Ok(())
    })
}

/// Whose a series is; where its files name no patient, its study's.
fn patient_of(series: &Series) -> &str {
    if series.patient_id.is_empty() { &series.study_uid } else { &series.patient_id }
}

/// Where the cohort is, and what an earlier run knew of it.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub earlier: Option<&'a Earlier>,
    pub place: &'a Place,
    pub cohort: &'a Path,
}

impl Known<'_> {
    fn files(self, earlier: &Earlier, series: &[Series]) -> Result<Vec<FileNames>, StoreError> {
        let files =
            |series: &Series| earlier.files(self.place, series.files.first().map(PathBuf::as_path), None);
        series.par_iter().map(files).collect()
    }
}

/// Series, which are named by their UIDs.
struct Claimed<'a> {
    naming: &'a Naming,
    series: &'a [Series],
    root: &'a Path,
}

impl Claims for Claimed<'_> {
    fn count(&self) -> usize {
        self.series.len()
    }

    /// A series without a UID has only its files to go by.
    fn rank(&self, case: usize) -> u8 {
        if self.series[case].series_uid.is_empty() { UNSTATED } else { 0 }
    }

    /// By the UIDs; where they are not enough, as in copies that were changed, by the first
    /// instance, then by its file.
    fn name(&self, case: usize, attempt: usize) -> String {
        let series = &self.series[case];
        let Series { patient_id, study_uid, series_uid, part, .. } = series;
        let mut unique = format!("{patient_id}\0{study_uid}\0{series_uid}\0{part}");
        if attempt > 0 {
            unique += &format!("\0{}", series.distinction());
        }
        if attempt > 1 {
            let file = series.files.first().map_or(Path::new(""), PathBuf::as_path);
            unique += &format!("\0{attempt}\0{}", file.strip_prefix(self.root).unwrap_or(file).display());
        }
        self.naming.case(patient_of(series), &unique)
    }

    fn may_keep(&self, case: usize, id: &str) -> bool {
        self.rank(case) == UNSTATED || (0..ATTEMPTS).any(|attempt| self.name(case, attempt) == id)
    }
}

/// What the headers say of a case.
fn found(
    naming: &Naming,
    series: &Series,
    labels: usize,
    chosen: &Chosen,
    structures: &Structures,
) -> DiscoveredCase {
    let mut findings = Vec::new();
    if series.patient_id.is_empty() {
        let message = "its files name no patient; its study is taken as a patient of its own";
        findings.push(Finding::new(Code::NoPatientId, message));
    }
    if labels > 1 {
        let which = match structures.are_chosen() {
            true => format!("each structure comes from the latest that has it; {} used", chosen.len()),
            false => {
                "only the latest is used (--structures takes each structure from the latest that has it)"
                    .to_owned()
            }
        };
        let message = format!("{labels} structure sets or segmentations refer to it: {which}");
        findings.push(Finding::new(Code::SeveralLabels, message));
    }
    DiscoveredCase {
        patient: Some(naming.patient(patient_of(series))),
        modality: series.modality.parse().ok(),
        findings,
        ..DiscoveredCase::default()
    }
}

/// A structure's name as it may be shown and as the file has it, and how to get its pixels.
type Drawn<'a> = (String, String, Box<dyn Fn() -> Result<Mask, DicomError> + 'a>);

fn structures_of<'a>(
    label: &'a LabelFile,
    image: &'a SeriesImage,
    memory: &'a MemoryShare<'a>,
) -> Result<Vec<Drawn<'a>>, DicomError> {
    let take = move |bytes| {
        let no_memory = |source| DicomError::Memory { path: label.path.clone(), source };
        memory.take(bytes).map_err(no_memory)
    };
    Ok(match label.kind {
        LabelKind::StructureSet => {
            let regions = StructureSet::read_within(&label.path, memory)?.regions;
            let drawn = |mut region: pdl_dicom::Region| -> Drawn<'a> {
                let MaskedName { text, masked } = label.shown(&region.original);
                (region.name, region.masked) = (text, masked);
                let (name, original) = (region.name.clone(), region.original.clone());
                let mask = move || {
                    take(region.mask_bytes(&image.stack))?;
                    region.mask(&image.stack)
                };
                (name, original, Box::new(mask))
            };
            regions.into_iter().map(drawn).collect()
        }
        LabelKind::Segmentation => {
            let mut object = Segmentation::read_within(&label.path, memory)?;
            for segment in &mut object.segments {
                let MaskedName { text, masked } = label.shown(&segment.original);
                (segment.name, segment.masked) = (text, masked);
            }
            let object = std::sync::Arc::new(object);
            let drawn = |segment: &pdl_dicom::Segment| -> Drawn<'a> {
                let (object, number) = (object.clone(), segment.number);
                let mask = move || {
                    take(object.mask_bytes(number, &image.stack))?;
                    object.mask(number, &image.stack)
                };
                (segment.name.clone(), segment.original.clone(), Box::new(mask))
            };
            object.segments.iter().map(drawn).collect()
        }
    })
}
