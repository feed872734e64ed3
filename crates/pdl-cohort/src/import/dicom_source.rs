//! A tree of DICOM files: each volume of a series becomes a case, labelled or not, imported as
//! NIfTI into the curation folder.
//!
//! This is where a bad DICOM file becomes a finding: [`VolumeSource::read`] turns the error of a
//! series into `unreadable-dicom`; structures that cannot be read become `unusable-structure`;
//! files that belong to no case are listed by [`VolumeSource::skipped`] and counted by
//! [`VolumeSource::findings`]. Cases and patients have pseudonyms unless ids are kept; no message
//! holds a path or an attribute's value other than the names of structures.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use pdl_dicom::series::acquisition::acquisition;
use pdl_dicom::{DicomError, LabelFile, Mask, ReadOptions, Scan, Series, SeriesImage, VolumeImages};
use pdl_findings::{Code, Finding, SkipReason};
use pdl_store::hash::Key;
use pdl_store::memory::{MemoryLimit, MemoryShare};
use pdl_store::plural::counted;
use pdl_store::progress::StageContext;
use pdl_store::{StoreError, fault};
use rayon::prelude::*;

use crate::CohortError;
use crate::attributes::{Modality, PetUnits};
use crate::cohort_paths::Place;
use crate::discover::{DiscoveredCase, Layout};
use crate::identity::case_id::{ATTEMPTS, Claims, UNSTATED};
use crate::identity::earlier_cases::{EarlierCases, FileNames, RecognisedCases, identify};
use crate::identity::masked_texts::hide_values;
use crate::identity::pseudonyms::Naming;
use crate::identity::settings_names;
use crate::import::dicom_channels::{ChannelSeries, DicomChannels, with_channels};
use crate::import::dicom_structures::{StructureMask, structures_of};
use crate::import::mask_series;
use crate::import::pet_units::PetDecision;
use crate::import::{Files, ImportFailure, OriginalNames, VolumeSource, Volumes};
use crate::labels::label_choice::{self, Chosen};
use crate::labels::structures::Structures;
use crate::parameters::IndexParameters;
use crate::table::cases::Cases;
use crate::table::sources::Skipped;

/// The series and label files of a DICOM tree, with the names of their cases.
pub(crate) struct DicomSource {
    scan: Scan,
    naming: Naming,
    /// For every case of the layout its series, and the label files that it is made from.
    cases: Vec<(usize, Chosen)>,
    /// For the series of cases of several channels those of the further channels.
    partners: ChannelSeries,
    /// For every series, the images that its contours and frames refer to.
    images: Vec<VolumeImages>,
    structures: Structures,
    options: ReadOptions,
    pet: Option<PetDecision>,
    /// Files whose images are duplicates of those in other files.
    copies: Vec<PathBuf>,
    /// Whether a series may be a mask that was saved as an image.
    may_be_mask: Vec<bool>,
}

impl DicomSource {
    /// Reads all headers and fills the layout with cases. Ids and label values of an earlier run
    /// stay.
    pub(crate) fn scan(
        layout: &mut Layout,
        naming: Naming,
        parameters: &IndexParameters,
        before: Option<&Cases>,
        known: KnownCohort<'_>,
        run: StageContext<'_>,
    ) -> Result<(Self, RecognisedCases), CohortError> {
        run.progress.begin("reading headers", layout.dicom_files.len() as u64);
        let scan = headers(&layout.dicom_files, &run.memory_limit(), &|| run.progress.advance(1))?;
        layout.findings.extend(settings_names::finding(
            &known.place.out,
            scan.labels.iter().flat_map(LabelFile::structures),
        )?);
        let (labels, _) = scan.labels_of_series();
        let used: BTreeSet<usize> = labels.iter().flatten().copied().collect();
        let used = used.iter().flat_map(|label| &scan.labels[*label].names);
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
        let instances = scan.instances();
        let mut order: Vec<(DiscoveredCase, usize, Chosen)> = labels
            .iter()
            .enumerate()
            .map(|(number, labels)| {
                let chosen = label_choice::choose(&structures, &scan, labels);
                let found = found(&naming, (&scan, &instances), (number, labels), &chosen, &structures);
                (DiscoveredCase { case_id: ids[number].clone(), ..found }, number, chosen)
            })
            .collect();
        order.sort_by(|a, b| a.0.case_id.cmp(&b.0.case_id));
        let channels = DicomChannels::new(parameters, &scan.series)?;
        let all = order.iter_mut().map(|(found, series, chosen)| (found, *series, !chosen.is_empty()));
        let partners = channels.join(&scan.series, all);
        let joined: BTreeSet<usize> = partners.values().flatten().copied().collect();
        order.retain(|(_, series, _)| !joined.contains(series));
        for (found, series, _) in order.iter_mut().filter(|(found, ..)| !found.refused) {
            if let Some(finding) = channels.left_over(*series, &partners) {
                found.findings.push(finding);
                found.refused = true;
            }
        }
        layout.channel_names = channels.names();
        layout.label_names.clone_from(&structures.names);
        keep_acquisition(&mut order, &scan, &parameters.carried()?)?;
        let cases = order.iter().map(|(_, series, chosen)| (*series, chosen.clone())).collect();
        layout.cases = order.into_iter().map(|(found, ..)| found).collect();
        let wanted = parameters.modality.is_none_or(|modality| modality == Modality::PT);
        let unlabelled = labels.iter().all(Vec::is_empty);
        let counts = |labels: &[usize]| wanted && (unlabelled || !labels.is_empty());
        let labelled = scan.series.iter().zip(&labels).filter(|(_, labels)| counts(labels));
        let labelled =
            labelled.map(|(series, _)| series).chain(joined.iter().map(|number| &scan.series[*number]));
        let pet = PetDecision::new(parameters.pet_units, before, labelled);
        let scale = pet.as_ref().map(PetDecision::scale).unwrap_or_default();
        let options = ReadOptions { mr_rescale: parameters.mr_rescale, pet: scale };
        let images = scan.images_of_series(&labels);
        let copies = copies(&scan, &layout.dicom_files);
        let may_be_mask = mask_series::may_be_masks(&scan, &labels);
        let archive =
            Self { scan, naming, cases, partners, images, structures, options, pet, copies, may_be_mask };
        Ok((archive, recognised))
    }
}

impl VolumeSource for DicomSource {
    fn naming(&self) -> &Naming {
        &self.naming
    }

    fn wants(&self, found: &DiscoveredCase, modality: Option<Modality>) -> bool {
        found.modality == modality
    }

    fn files(&self, case: usize) -> Files {
        let (series, labels) = self.sources(case);
        let images = std::iter::once(series).chain(self.further(case)).flat_map(|series| &series.files);
        [images.cloned().collect(), labels.map(|(label, _)| label.path.clone()).collect()]
    }

    fn key(&self, case: usize) -> Key {
        let (series, labels) = self.sources(case);
        let of_file = |(label, values): (&LabelFile, &BTreeSet<u16>)| -> Vec<_> {
            let value = |names| self.structures.label_of(names).filter(|value| values.contains(value));
            label.structures().map(|(shown, name)| (shown.to_owned(), value((shown, name)))).collect()
        };
        let values: Vec<_> = labels.flat_map(of_file).collect();
        let key = Key::new("import 4")
            .part("part", &series.part)
            .part("values", &values)
            .part("mr_rescale", &self.options.mr_rescale);
        let parts: Vec<usize> = self.further(case).map(|series| series.part).collect();
        let key = if parts.is_empty() { key } else { key.part("channels", &parts) };
        let key = if self.may_be_mask(case) { key.part("beside", &true) } else { key };
        let has_pet =
            || std::iter::once(series).chain(self.further(case)).any(|one| one.pet_unit().is_some());
        match self.pet.as_ref().filter(|_| has_pet()) {
            Some(pet) => key.part("pet_units", &pet.units),
            None => key,
        }
    }

    fn pet_units(&self) -> Option<PetUnits> {
        self.pet.as_ref().map(|pet| pet.units)
    }

    fn read(&self, case: usize, memory: &MemoryShare<'_>) -> Result<Volumes, ImportFailure> {
        let (series, _) = self.sources(case);
        for series in std::iter::once(series).chain(self.further(case)) {
            if let Some(refusal) = self.pet.as_ref().and_then(|pet| pet.refusal(series)) {
                return Err(refusal.into());
            }
        }
        let volumes = self.volumes(case, series, memory);
        if let Ok(Volumes { image: Some(image), .. }) = &volumes
            && self.may_be_mask(case)
            && let Some(finding) = mask_series::finding(image)
        {
            return Err(finding.into());
        }
        volumes.and_then(|volumes| with_channels(volumes, self.further(case), self.options, memory)).map_err(
            |error| match (fault::machine_error(&error), error.memory()) {
                (Some(error), _) => ImportFailure::Machine(error),
                (None, Some(error)) => ImportFailure::Memory(error),
                (None, None) => Finding::new(Code::UnreadableDicom, error.reason()).into(),
            },
        )
    }

    fn original(&self, case: usize) -> OriginalNames {
        let (series, _) = self.sources(case);
        OriginalNames { case: series.series_uid.clone(), patient: Some(series.patient_id.clone()) }
    }

    fn skipped(&self) -> Vec<Skipped> {
        let of_scan = self.scan.skipped.iter().flat_map(|aside| {
            let skipped = |file: &PathBuf| Skipped {
                file: file.clone(),
                reason: aside.cause.reason(),
                words: aside.cause.words(),
            };
            aside.files.iter().map(skipped)
        });
        let in_words = |(file, reason): (PathBuf, SkipReason)| Skipped {
            file,
            reason,
            words: reason.words().to_owned(),
        };
        let copies = self.copies.iter().map(|file| (file.clone(), SkipReason::Copy));
        let labels = self.unused_labels().into_iter();
        let labels = labels.map(|(label, reason)| (self.scan.labels[label].path.clone(), reason));
        of_scan.chain(copies.chain(labels).map(in_words)).collect()
    }

    fn findings(&self) -> Vec<Finding> {
        let mut aside: Vec<String> = self
            .scan
            .skipped
            .iter()
            .map(|aside| format!("{} {}", aside.files.len(), aside.cause.words()))
            .collect();
        let mut further: BTreeMap<SkipReason, usize> = BTreeMap::new();
        if !self.copies.is_empty() {
            further.insert(SkipReason::Copy, self.copies.len());
        }
        self.unused_labels().iter().for_each(|(_, reason)| *further.entry(*reason).or_default() += 1);
        aside.extend(further.iter().map(|(reason, count)| format!("{count} {}", reason.words())));
        let message = format!(
            "files skipped: {} (rows with set_aside in {})",
            aside.join("; "),
            crate::table::sources::FILE
        );
        let aside = (!aside.is_empty()).then(|| Finding::new(Code::FilesSetAside, message));
        let pet = self.pet.as_ref().and_then(PetDecision::finding);
        let used = self.cases.iter().flat_map(|(_, chosen)| chosen.keys());
        let names = used.flat_map(|label| &self.scan.labels[*label].names).map(String::as_str);
        let spellings = self.structures.spellings(names);
        let captures = self.captures();
        aside.into_iter().chain(captures).chain(self.unmatched()).chain(pet).chain(spellings).collect()
    }
}

impl DicomSource {
    /// Label files that are not used, each with the reason.
    fn unused_labels(&self) -> Vec<(usize, SkipReason)> {
        let (_, orphans) = self.scan.labels_of_series();
        let used: BTreeSet<usize> =
            self.cases.iter().flat_map(|(_, chosen)| chosen.keys().copied()).collect();
        let unused = (0..self.scan.labels.len()).filter(|label| !used.contains(label));
        let reason = |label: &usize| match orphans.contains(label) {
            true => self.scan.orphan_reason(*label),
            false => SkipReason::OlderLabel,
        };
        unused.map(|label| (label, reason(&label))).collect()
    }

    /// Finding about files that may show names in their pixels.
    fn captures(&self) -> Option<Finding> {
        let captures =
            |skipped: &&pdl_dicom::SkippedFiles| skipped.cause.reason() == SkipReason::SecondaryCapture;
        let count: usize = self.scan.skipped.iter().filter(captures).map(|skipped| skipped.files.len()).sum();
        let message = format!(
            "{} in the tree (photographs of screens, scanned forms) may show names, and were not read",
            counted(count, "secondary capture")
        );
        (count > 0).then(|| Finding::new(Code::SecondaryCapture, message))
    }

    /// Finding about patterns that no structure has.
    fn unmatched(&self) -> Option<Finding> {
        let (of_series, _) = self.scan.labels_of_series();
        let labels: BTreeSet<usize> = of_series.into_iter().flatten().collect();
        let both = labels.iter().flat_map(|label| self.scan.labels[*label].structures());
        let shown = labels.iter().flat_map(|label| &self.scan.labels[*label].names);
        let shown: BTreeSet<&str> = shown.map(String::as_str).collect();
        self.structures.unmatched_finding(&shown, both.flat_map(|(shown, original)| [shown, original]))
    }

    /// The series of a case, and its label files, each with the labels taken from it.
    fn sources(&self, case: usize) -> (&Series, impl Iterator<Item = (&LabelFile, &BTreeSet<u16>)>) {
        let (series, chosen) = &self.cases[case];
        let labels = chosen.iter().map(|(label, values)| (&self.scan.labels[*label], values));
        (&self.scan.series[*series], labels)
    }

    /// Whether its series may be a mask that was saved as an image.
    fn may_be_mask(&self, case: usize) -> bool {
        let series = self.cases[case].0;
        self.may_be_mask[series] && !self.partners.contains_key(&series)
    }

    /// The series of a case's channels after the first.
    fn further(&self, case: usize) -> impl Iterator<Item = &Series> {
        let partners = self.partners.get(&self.cases[case].0);
        partners.into_iter().flatten().map(|number| &self.scan.series[*number])
    }

    /// The volumes of a series without a label file.
    fn unlabelled(&self, case: usize, series: &Series, image: SeriesImage) -> Volumes {
        let message = "an image series that no structure set or segmentation refers to: it is compared, and not \
                       trained on";
        let mut findings = image.findings;
        findings.push(Finding::new(Code::NoLabel, message));
        Volumes {
            image: Some(image.volume),
            files: self.files(case),
            states: series.files.iter().cloned().zip(series.states.iter().copied()).collect(),
            findings,
            ..Volumes::default()
        }
    }

    fn volumes(&self, case: usize, series: &Series, memory: &MemoryShare<'_>) -> Result<Volumes, DicomError> {
        let image = pdl_dicom::read_series_within(series, self.options, memory)?;
        if self.cases[case].1.is_empty() {
            return Ok(self.unlabelled(case, series, image));
        }
        let place = series.files.first().cloned().unwrap_or_default();
        let no_memory = |source| DicomError::Memory { path: place.clone(), source };
        // Labels as they are painted on the slices, and as they are placed on the volume's grid.
        let voxels = [image.stack.shape(), image.grid().shape].map(|shape| shape.iter().product::<usize>());
        let labels_there = (voxels[0] + voxels[1]) as u64;
        memory.take_each(labels_there, size_of::<u16>() as u64).map_err(no_memory)?;
        let mut findings: Vec<Finding> = image.findings.clone();
        let mut masks: Vec<(u16, Mask)> = Vec::new();
        let images = &self.images[self.cases[case].0];
        let (mut named, mut lost) = (BTreeSet::new(), BTreeSet::new());
        for (label, values) in self.sources(case).1 {
            let own = |name: &&str| self.structures.label(name).is_some_and(|value| values.contains(&value));
            findings.extend(self.structures.joined(label.names.iter().map(String::as_str).filter(own)));
            findings.extend(self.structures.left_out(label.names.iter().map(String::as_str)));
            let while_read = memory.part();
            for StructureMask { name, original, has_shape, mask } in
                structures_of(label, images, &image, (&while_read, memory), &mut findings)?
            {
                let value = self.structures.label_of((&name, &original));
                let Some(value) = value.filter(|value| values.contains(value)) else {
                    continue;
                };
                named.insert(value);
                match mask() {
                    Ok(mask) => {
                        // It is somewhere, and not on this series: it is not absent.
                        if has_shape && mask.count() == 0 {
                            lost.insert(value);
                        }
                        findings.extend(mask.findings.iter().cloned());
                        masks.push((value, mask));
                    }
                    Err(error) if error.memory().is_some() => return Err(error),
                    Err(error) => {
                        lost.insert(value);
                        let name = self.structures.names.get(&value).unwrap_or(&name);
                        let code = match error {
                            DicomError::OtherFrame => Code::OtherFrameOfReference,
                            _ => Code::UnusableStructure,
                        };
                        findings.push(Finding::new(code, format!("{name}: {}", error.reason())));
                    }
                }
            }
        }
        masks.sort_by_key(|(value, _)| *value);
        let (painted, overlaps) =
            pdl_dicom::paint(&image.stack, masks.iter().map(|(value, mask)| (*value, mask)));
        findings.extend(self.structures.overlapping(&overlaps));
        let labels = image.place_labels(painted)?;
        let of_series = series.files.iter().cloned().zip(series.states.iter().copied());
        let of_labels = self.sources(case).1.map(|(label, _)| (label.path.clone(), label.state));
        Ok(Volumes {
            image: Some(image.volume),
            channels: BTreeMap::new(),
            labels: Some(labels),
            files: self.files(case),
            states: of_series.chain(of_labels).collect(),
            named: Some(named.difference(&lost).copied().collect()),
            findings,
        })
    }
}

/// Files all of whose frames are in other files, too: those in no series that are not labels and
/// were not skipped.
fn copies(scan: &Scan, files: &[PathBuf]) -> Vec<PathBuf> {
    let of_series = scan.series.iter().flat_map(|series| &series.files);
    let labels = scan.labels.iter().map(|label| &label.path);
    let aside = scan.skipped.iter().flat_map(|aside| &aside.files);
    let used: HashSet<&PathBuf> = of_series.chain(labels).chain(aside).collect();
    files.iter().filter(|file| !used.contains(file)).cloned().collect()
}

/// Names of labels of an earlier run, with people's names masked that only the present headers
/// hold.
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

/// Reads the headers of a DICOM tree within a memory limit.
///
/// # Errors
/// [`StoreError::Machine`], without the path, which may name a patient.
pub(crate) fn headers(
    files: &[PathBuf],
    limit: &MemoryLimit,
    progress: &(dyn Fn() + Sync),
) -> Result<Scan, StoreError> {
    let scan = pdl_dicom::scan_within(files, limit, progress);
    scan.map_err(|error| unreadable("a DICOM file of the cohort", &error))
}

/// The machine's error; callers have excluded all others.
fn unreadable(what: &str, error: &DicomError) -> StoreError {
    StoreError::machine(what, None, error).unwrap_or_else(|| StoreError::Machine {
        what: what.to_owned(),
        path: None,
        source: std::io::Error::other(error.reason()),
    })
}

/// Stores the attributes `carry` of every case's series. A file that can no longer be read yields
/// none; the reason is reported where the series is read.
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

/// Patient of a series; its study if the files name no patient.
fn patient_of(series: &Series) -> &str {
    if series.patient_id.is_empty() { &series.study_uid } else { &series.patient_id }
}

/// The cohort's folder, and the cases of an earlier run.
#[derive(Clone, Copy)]
pub(crate) struct KnownCohort<'a> {
    pub earlier: Option<&'a EarlierCases>,
    pub place: &'a Place,
    pub cohort: &'a Path,
}

impl KnownCohort<'_> {
    fn files(self, earlier: &EarlierCases, series: &[Series]) -> Result<Vec<FileNames>, StoreError> {
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

    /// A series without a UID is identified by its files.
    fn rank(&self, case: usize) -> u8 {
        if self.series[case].series_uid.is_empty() { UNSTATED } else { 0 }
    }

    /// Names a case by the UIDs; where they are not enough, as in copies that were changed, by the
    /// first instance, then by its file.
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

/// The case of a series, from its headers.
fn found(
    naming: &Naming,
    (scan, instances): (&Scan, &HashSet<&str>),
    (number, labels): (usize, &Vec<usize>),
    chosen: &Chosen,
    structures: &Structures,
) -> DiscoveredCase {
    let series = &scan.series[number];
    let mut findings = Vec::new();
    if series.patient_id.is_empty() {
        let message = "its files have no PatientID; its study counts as a separate patient";
        findings.push(Finding::new(Code::NoPatientId, message));
    }
    findings.extend(label_choice::finding(structures, scan, labels, chosen));
    let missing = chosen.keys().filter_map(|label| scan.labels[*label].missing_images(series, instances));
    if let Some([missing, all]) = missing.max() {
        let likely = match missing == all {
            true => {
                "the series may have been made anew, as by lossy compression, after its labels were drawn"
            }
            false => "the volume may be incomplete",
        };
        let message = format!(
            "{missing} of {} of its series to which its structure set or segmentation refers are not there, or were skipped: \
             {likely}",
            counted(all, "image")
        );
        findings.push(Finding::new(Code::MissingImages, message));
    }
    DiscoveredCase {
        patient: Some(naming.patient(patient_of(series))),
        modality: series.modality.parse().ok(),
        findings,
        ..DiscoveredCase::default()
    }
}
