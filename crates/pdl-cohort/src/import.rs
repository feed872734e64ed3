//! Volumes that are imported into the curation folder under the names of their cases: those of
//! DICOM cohorts, of cohorts whose cases have pseudonyms, of stacks of slices, and labels of files
//! that name their segments.
//!
//! `volumes/images/CASE.nii.gz` and `volumes/labels/CASE.nii.gz` hold voxels and a grid, and
//! nothing else from the headers of the sources. `sources.parquet` alone records where they came
//! from.

pub(crate) mod channel_choice;
pub(crate) mod cohort_channels;
pub(crate) mod colours;
pub(crate) mod dicom_channels;
pub(crate) mod dicom_source;
pub(crate) mod dicom_structures;
pub(crate) mod file_source;
pub(crate) mod mask_series;
pub(crate) mod pet_units;
pub(crate) mod series_image;
pub(crate) mod stacks;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use pdl_findings::Finding;
use pdl_io::{Part, nifti};
use pdl_store::file_state::FileState;
use pdl_store::hash::Key;
use pdl_store::journal::{HashCheck, Journal, Stamp};
use pdl_store::memory::{MemoryError, MemoryShare, in_turns};
use pdl_store::progress::{self, StageContext};
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, fault, paths};
use pdl_volume::{LabelMap, Volume};
use serde::{Deserialize, Serialize};

use crate::CohortError;
use crate::attributes::{Modality, PetUnits};
use crate::check::too_large;
use crate::discover::{DiscoveredCase, Layout};
use crate::identity::pseudonyms::Naming;
use crate::import::cohort_channels::CohortChannels;
use crate::table::sources::{self, Skipped, SourceRow};

const FOLDERS: [&str; 2] = ["volumes/images", "volumes/labels"];

/// Files of a case's image, and of its label.
pub(crate) type Files = [Vec<PathBuf>; 2];

/// The contents of a case's files.
#[derive(Default)]
pub(crate) struct Volumes {
    pub image: Option<Volume<f32>>,
    /// The channels after the first by number, each on its own grid.
    pub channels: BTreeMap<u32, Volume<f32>>,
    pub labels: Option<LabelMap>,
    /// All files that were read.
    pub files: Files,
    /// States of the files before they were read.
    pub states: HashMap<PathBuf, FileState>,
    /// The labels that its structure sets or segmentations name, if it has any.
    pub named: Option<BTreeSet<u16>>,
    pub findings: Vec<Finding>,
}

impl Volumes {
    /// Notes what its image (0) or its label (1) was read from.
    pub(crate) fn take_parts(&mut self, kind: usize, parts: Vec<Part>) {
        self.states.extend(parts.iter().map(|part| (part.path.clone(), part.state)));
        self.files[kind] = parts.into_iter().map(|part| part.path).collect();
    }

    /// Notes what one more channel was read from.
    pub(crate) fn take_channel(&mut self, number: u32, volume: Volume<f32>, parts: Vec<Part>) {
        for Part { path, state, .. } in parts {
            if self.states.insert(path.clone(), state).is_none() {
                self.files[0].push(path);
            }
        }
        self.channels.insert(number, volume);
    }

    /// Voxels of the image and of the label map together.
    fn voxels(&self) -> u64 {
        let image: usize =
            self.image.iter().chain(self.channels.values()).map(|image| image.voxels.len()).sum();
        (image + self.labels.as_ref().map_or(0, |labels| labels.voxels.len())) as u64
    }
}

/// Memory that a voxel takes as it is written: int16 at most, as a float32 image is written as it
/// is.
const WRITTEN_VOXEL_BYTES: u64 = 2;

/// Why a case has no volumes.
pub(crate) enum ImportFailure {
    /// The files are invalid.
    Case(Vec<Finding>),
    /// The files need more memory than allowed, which is no defect of the files.
    Memory(MemoryError),
    /// The machine failed: the state of the case is unknown.
    Machine(io::Error),
    /// The import failed before a file of the case was read.
    Store(StoreError),
}

impl From<Finding> for ImportFailure {
    fn from(finding: Finding) -> Self {
        Self::Case(vec![finding])
    }
}

impl From<StoreError> for ImportFailure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The names of a case before it had a pseudonym.
pub(crate) struct OriginalNames {
    pub case: String,
    /// `None` if the cohort names no patients.
    pub patient: Option<String>,
}

/// The source of the volumes of a cohort; cases have their numbers in the layout.
pub(crate) trait VolumeSource: Sync {
    /// How cases are named.
    fn naming(&self) -> &Naming;

    /// Whether the volumes of a case are imported; others are used in place.
    fn keeps(&self, _case: usize) -> bool {
        true
    }

    /// Whether only the label map of a case is imported, and its image is used in place.
    fn leaves_image(&self, _case: usize) -> bool {
        false
    }

    /// Whether a case that is not refused belongs to a cohort of this modality.
    fn wants(&self, found: &DiscoveredCase, modality: Option<Modality>) -> bool;

    /// The files of a case, as known without reading one.
    fn files(&self, case: usize) -> Files;

    /// Key of everything that the volumes depend on besides the files.
    fn key(&self, case: usize) -> Key;

    /// Reads a case, or returns why it cannot be used.
    fn read(&self, case: usize, memory: &MemoryShare<'_>) -> Result<Volumes, ImportFailure>;

    /// The original names of a case.
    fn original(&self, case: usize) -> OriginalNames;

    /// Files that belong to no case.
    fn skipped(&self) -> Vec<Skipped> {
        Vec::new()
    }

    /// The unit of its PET values; `None` if there are none.
    fn pet_units(&self) -> Option<PetUnits> {
        None
    }

    /// Findings about the cohort as a whole.
    fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }
}

/// The result of importing a case.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Outcome {
    findings: Vec<Finding>,
    /// Whether an image and a label were imported.
    kept: [bool; 2],
    /// The channels after the first that there are.
    #[serde(default)]
    channels: BTreeSet<u32>,
    #[serde(default)]
    named: Option<BTreeSet<u16>>,
}

impl Outcome {
    /// Nothing is imported; the findings state why.
    fn refused(findings: Vec<Finding>) -> Self {
        Self { findings, kept: [false; 2], channels: BTreeSet::new(), named: None }
    }
}

/// Imports the volumes of all cases that the source wants; these become the files of the layout's
/// cases, and cases without any are refused. Returns rows of `sources.parquet`: the files that they
/// come from, and the files that the source skipped.
pub(crate) fn keep(
    origin: &dyn VolumeSource,
    layout: &mut Layout,
    channels: &CohortChannels,
    modality: Option<Modality>,
    out: &Path,
    run: StageContext<'_>,
) -> Result<Vec<SourceRow>, CohortError> {
    for folder in FOLDERS {
        atomic::sweep(&SafePath::new(out, folder)?)?;
    }
    let folders = FOLDERS.map(|folder| out.join(folder));
    let keeper = Keeper {
        origin,
        out,
        channels,
        journal: Journal::open(out, "import", run.hash_check)?,
        hash_check: run.hash_check,
        earlier: sources::read_if_any(out)?.into_iter().map(|row| (row.case_id.clone(), row)).collect(),
    };
    let kept = (0..layout.cases.len()).filter(|case| origin.keeps(*case)).count();
    run.progress.begin("keeping volumes", kept as u64);
    let numbers: Vec<usize> = (0..layout.cases.len()).filter(|case| origin.keeps(*case)).collect();
    let work = |number: &usize, memory: &MemoryShare<'_>| {
        let found = &layout.cases[*number];
        let _item = progress::at_work(run.progress, &found.case_id);
        let wanted = !found.refused && origin.wants(found, modality);
        let kept = match wanted {
            true => keeper.keep_once(*number, found, memory)?,
            false => Ok((Outcome::refused(Vec::new()), origin.files(*number))),
        };
        if kept.is_ok() {
            run.progress.advance(1);
        }
        Ok::<_, StoreError>(kept)
    };
    let refused = |number: &usize, error: MemoryError| {
        run.progress.advance(1);
        if let Some(error) = StoreError::no_memory(&layout.cases[*number].what(), error) {
            return Err(error);
        }
        Ok((Outcome::refused(vec![too_large(error)]), origin.files(*number)))
    };
    let worked = in_turns(&numbers, &run.memory_limit(), work, refused)?;
    let mut sources = Vec::with_capacity(worked.len());
    for (number, (outcome, files)) in numbers.into_iter().zip(worked) {
        let found = &mut layout.cases[number];
        let Outcome { findings, kept, channels: of_channels, named } = outcome;
        found.named = named;
        found.structures.clear(); // which its label map holds now
        let leaves_image = origin.leaves_image(number);
        // A case without a label map then has nothing to import.
        found.refused |= kept == [false; 2] && !(leaves_image && found.label.is_none());
        found.findings.extend(findings);
        let path = |kind: usize| kept[kind].then(|| folders[kind].join(file_name(&found.case_id)));
        let label = path(1);
        found.image = if leaves_image { found.image.take() } else { path(0) };
        if !leaves_image && !found.channels.is_empty() {
            let first = found.channels.keys().next().copied().zip(found.image.clone());
            let name = |number: &u32| channel_file_name(&found.case_id, channels.name(*number));
            let further = of_channels.iter().map(|number| (*number, folders[0].join(name(number))));
            found.channels = first.into_iter().chain(further).collect();
        }
        found.label = label;
        sources.push(keeper.source(&found.case_id, &files)?);
    }
    for Skipped { file, reason, words } in origin.skipped() {
        let row = keeper.source("", &[vec![file], Vec::new()])?;
        sources.push(SourceRow { set_aside: Some(words), reason: Some(reason), ..row });
    }
    for (kind, folder) in folders.iter().enumerate() {
        let kept: HashSet<String> = layout
            .cases
            .iter()
            .flat_map(|found| match kind {
                0 => found.image.iter().chain(found.channels.values()).collect::<Vec<_>>(),
                _ => found.label.iter().collect(),
            })
            .filter(|path| path.starts_with(folder))
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        atomic::retain(&SafePath::new(out, FOLDERS[kind])?, |name| kept.contains(name))?;
    }
    // Findings of earlier runs may name what headers have told to be a person's name since.
    keeper.journal.compact()?;
    Ok(sources)
}

struct Keeper<'a> {
    origin: &'a dyn VolumeSource,
    out: &'a Path,
    channels: &'a CohortChannels,
    journal: Journal<Outcome>,
    hash_check: HashCheck,
    earlier: HashMap<String, SourceRow>,
}

impl Keeper<'_> {
    /// Imports a case unless that is done; the inner [`MemoryError`] if it needs more memory than
    /// allowed.
    fn keep_once(
        &self,
        number: usize,
        found: &DiscoveredCase,
        memory: &MemoryShare<'_>,
    ) -> Result<Result<(Outcome, Files), MemoryError>, StoreError> {
        let failed = |source| StoreError::Machine { what: found.what(), path: None, source };
        let files = self.known_files(number, &found.case_id).map_err(failed)?;
        // The key knows the sources' size and times only; who wants more has them read again.
        if self.hash_check == HashCheck::Stamps {
            let key = self.key(number, &seen(&files).map_err(failed)?);
            if let Some(known) = self.journal.find(&found.case_id, &key) {
                return Ok(Ok((known.clone(), files)));
            }
        }
        let name = file_name(&found.case_id);
        let paths = FOLDERS.map(|folder| format!("{folder}/{name}"));
        let volumes = match self.origin.read(number, memory) {
            Ok(volumes) => volumes,
            Err(ImportFailure::Case(findings)) => return Ok(Ok((Outcome::refused(findings), files))),
            Err(ImportFailure::Memory(error)) => return Ok(Err(error)),
            Err(ImportFailure::Machine(error)) => return Err(failed(error)),
            Err(ImportFailure::Store(error)) => return Err(error),
        };
        if let Err(error) = memory.take_each(volumes.voxels(), WRITTEN_VOXEL_BYTES) {
            return Ok(Err(error));
        }
        let [image_path, label_path] = paths.each_ref().map(|path| SafePath::new(self.out, path));
        let (image_path, label_path) = (image_path?, label_path?);
        let image = || volumes.image.as_ref().map_or(Ok(()), |image| write_image(&image_path, image));
        let mut further = Vec::with_capacity(volumes.channels.len());
        for (number, volume) in &volumes.channels {
            let name = channel_file_name(&found.case_id, self.channels.name(*number));
            let path = format!("{}/{name}", FOLDERS[0]);
            write_image(&SafePath::new(self.out, &path)?, volume)?;
            further.push(path);
        }
        let labels =
            || volumes.labels.as_ref().map_or(Ok(()), |labels| nifti::write_labels(&label_path, labels));
        let (image, labels) = rayon::join(image, labels);
        image.and(labels)?;
        let kept = [volumes.image.is_some(), volumes.labels.is_some()];
        let channels = volumes.channels.keys().copied().collect();
        let outcome = Outcome { findings: volumes.findings, kept, channels, named: volumes.named };
        let stamps = paths.iter().zip(kept).filter(|(_, kept)| *kept).map(|(path, _)| path).chain(&further);
        let stamps = stamps.map(|path| Stamp::hash(self.out, path)).collect::<Result<Vec<_>, _>>()?;
        let seen = seen(&volumes.files).map_err(failed)?;
        // A file that changed since its header was read is read again next time.
        let is_as_read = |seen: &Option<Seen>| {
            seen.as_ref().is_some_and(|seen| volumes.states.get(&seen.path) == Some(&seen.state))
        };
        if seen.iter().flatten().all(is_as_read) {
            self.journal.record(&found.case_id, &self.key(number, &seen), stamps, &outcome)?;
        }
        Ok(Ok((outcome, volumes.files)))
    }

    /// The files of a case. Some are found only by reading others, such as the voxels that a header
    /// names: an earlier run recorded those. Files that exist now count as well, such as a slice
    /// that was added since.
    fn known_files(&self, number: usize, case: &str) -> io::Result<Files> {
        let mut files = self.origin.files(number);
        if let Some(row) = self.earlier.get(case) {
            for (files, earlier) in files.iter_mut().zip([&row.image, &row.label]) {
                let earlier: Vec<PathBuf> = earlier.iter().map(|path| self.out.join(path)).collect();
                let real = |files: &[PathBuf]| -> io::Result<Vec<Option<PathBuf>>> {
                    files.iter().map(|path| fault::canonical(path)).collect()
                };
                let known: HashSet<PathBuf> = real(&earlier)?.into_iter().flatten().collect();
                let is_known = |file: Option<PathBuf>| file.is_some_and(|file| known.contains(&file));
                if !files.is_empty() && real(files)?.into_iter().all(is_known) {
                    *files = earlier;
                }
            }
        }
        Ok(files)
    }

    /// The hash of what the volumes of a case are made from: sizes and times of its files, under
    /// their real paths, and the options. Hashed again under the secret key, so that paths cannot
    /// be guessed from it.
    fn key(&self, number: usize, seen: &[Vec<Option<Seen>>; 2]) -> String {
        let stamp = |seen: &Seen| {
            let FileState { size, mtime_ns, ctime_ns, inode, device: _ } = seen.state;
            (seen.real.to_string_lossy().into_owned(), size, [mtime_ns, ctime_ns, inode])
        };
        let of_kind = |seen: &Vec<Option<Seen>>| seen.iter().map(|seen| seen.as_ref().map(stamp)).collect();
        let stamps: Vec<Vec<_>> = seen.iter().map(of_kind).collect();
        self.origin.naming().secret(self.origin.key(number).part("files", &stamps).finish())
    }

    fn source(&self, case: &str, files: &Files) -> Result<SourceRow, StoreError> {
        let text = |path: &PathBuf| -> io::Result<String> {
            let absolute = fault::canonical(path)?.unwrap_or_else(|| path.clone());
            Ok(paths::relative(self.out, &absolute))
        };
        let texts = |files: &Vec<PathBuf>| files.iter().map(text).collect::<io::Result<Vec<_>>>();
        let [image, label] = files.each_ref().map(texts);
        let failed = |source| {
            let what =
                if case.is_empty() { "a file of the cohort".to_owned() } else { format!("case {case}") };
            StoreError::Machine { what, path: None, source }
        };
        let (image, label) = (image.map_err(failed)?, label.map_err(failed)?);
        Ok(SourceRow { case_id: case.to_owned(), image, label, set_aside: None, reason: None })
    }
}

/// A file as it is now.
struct Seen {
    /// Path as the cohort names it.
    path: PathBuf,
    /// Without links.
    real: PathBuf,
    state: FileState,
}

/// The files of a case as they are now; `None` for one that is missing or forbidden.
fn seen(files: &Files) -> io::Result<[Vec<Option<Seen>>; 2]> {
    let one = |path: &PathBuf| match (FileState::of(path), fault::canonical(path)?) {
        (Err(error), _) if fault::is_machine_error(&error) => Err(error),
        (Ok(state), Some(real)) => Ok(Some(Seen { path: path.clone(), real, state })),
        _ => Ok(None),
    };
    let [image, label] = files;
    let all = |files: &[PathBuf]| files.iter().map(one).collect::<io::Result<Vec<_>>>();
    Ok([all(image)?, all(label)?])
}

fn file_name(case: &str) -> String {
    format!("{case}.nii.gz")
}

/// No case id holds a dot, so that no other case has this name.
fn channel_file_name(case: &str, channel: &str) -> String {
    format!("{case}.{channel}.nii.gz")
}

/// Writes int16 where that holds every voxel exactly, else as float32.
fn write_image(path: &SafePath, image: &Volume<f32>) -> Result<(), StoreError> {
    let fits = |v: &f32| f32::from(*v as i16) == *v; // the cast drops fractions, and clamps
    if image.voxels.iter().all(fits) {
        nifti::write_image_i16(path, image)
    } else {
        nifti::write_image(path, image)
    }
}
