//! Volumes that are kept in the curation folder under the names of their cases: those of a DICOM cohort, those of any
//! cohort whose cases go by pseudonyms, and those of stacks of slices.
//!
//! `volumes/images/CASE.nii.gz` and `volumes/labels/CASE.nii.gz` hold voxels and a grid, and nothing else of what the
//! sources' headers say. `sources.parquet` alone tells where they came from.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use pdl_io::nifti;
use pdl_store::hash::Key;
use pdl_store::journal::{Journal, Stamp, Trust};
use pdl_store::memory::{MemoryError, MemoryShare, in_turns};
use pdl_store::progress::{self, Run};
use pdl_store::{StoreError, atomic, paths};
use pdl_volume::{LabelMap, Volume};
use serde::{Deserialize, Serialize};

use crate::CohortError;
use crate::attributes::Modality;
use crate::cases::Finding;
use crate::check::too_large;
use crate::layout::{Found, Layout};
use crate::pseudonyms::Naming;
use crate::sources::{self, SourceRow};

const FOLDERS: [&str; 2] = ["volumes/images", "volumes/labels"];

/// Files of a case's image, and of its label.
pub(crate) type Files = [Vec<PathBuf>; 2];

/// What a case's files hold.
#[derive(Default)]
pub(crate) struct Volumes {
    pub image: Option<Volume<f32>>,
    pub labels: Option<LabelMap>,
    /// All files that were read.
    pub files: Files,
    pub findings: Vec<Finding>,
}

impl Volumes {
    /// Voxels of the image and of the label map together.
    fn voxels(&self) -> u64 {
        let image = self.image.as_ref().map_or(0, |image| image.voxels.len());
        (image + self.labels.as_ref().map_or(0, |labels| labels.voxels.len())) as u64
    }
}

/// Memory that a voxel takes as it is written: int16 at most, as a float32 image is written as it
/// is.
const WRITTEN_VOXEL_BYTES: u64 = 2;

/// Why a case has no volumes.
pub(crate) enum Refusal {
    /// What is wrong with its files.
    Findings(Vec<Finding>),
    /// There is no memory for them, which says nothing of the files.
    Memory(MemoryError),
}

impl From<Finding> for Refusal {
    fn from(finding: Finding) -> Self {
        Self::Findings(vec![finding])
    }
}

/// What a case was called before it had a pseudonym.
pub(crate) struct Original {
    pub case: String,
    /// Nothing where the cohort names no patients.
    pub patient: Option<String>,
}

/// What the volumes of a cohort are made from; cases have the numbers that they have in the layout.
pub(crate) trait Origin: Sync {
    /// How cases are named.
    fn naming(&self) -> &Naming;

    /// Whether the volumes of a case are kept; others stay where they are.
    fn keeps(&self, _case: usize) -> bool {
        true
    }

    /// Whether a case that is not refused belongs to a cohort of this modality.
    fn wants(&self, found: &Found, modality: Option<Modality>) -> bool;

    /// The files of a case, as far as they are known without reading one.
    fn files(&self, case: usize) -> Files;

    /// What the volumes depend on besides the files.
    fn key(&self, case: usize) -> Key;

    /// Reads a case, or says why it cannot be used.
    fn read(&self, case: usize, memory: &MemoryShare<'_>) -> Result<Volumes, Refusal>;

    /// What a case was called.
    fn original(&self, case: usize) -> Original;

    /// Files that belong to no case, and why.
    fn set_aside(&self) -> Vec<(PathBuf, String)> {
        Vec::new()
    }

    /// Findings about the cohort as a whole.
    fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }
}

/// What came of a case's files.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Outcome {
    findings: Vec<Finding>,
    /// Whether there is an image, and a label.
    kept: [bool; 2],
}

/// Writes the volumes of all cases that the origin wants, and `sources.parquet`; the layout's cases then have these
/// volumes as their files, and those without any are refused.
pub(crate) fn keep(
    origin: &dyn Origin,
    layout: &mut Layout,
    modality: Option<Modality>,
    out: &Path,
    run: Run<'_>,
) -> Result<(), CohortError> {
    let folders = FOLDERS.map(|folder| out.join(folder));
    folders.iter().try_for_each(|folder| atomic::sweep(folder))?;
    let keeper = Keeper {
        origin,
        out,
        journal: Journal::open(out, "import", run.trust)?,
        trust: run.trust,
        earlier: earlier_sources(out),
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
            false => Ok((Outcome { findings: Vec::new(), kept: [false; 2] }, origin.files(*number))),
        };
        if kept.is_ok() {
            run.progress.advance(1);
        }
        Ok::<_, StoreError>(kept)
    };
    let refused = |number: &usize, error: MemoryError| {
        run.progress.advance(1);
        (Outcome { findings: vec![too_large(error)], kept: [false; 2] }, origin.files(*number))
    };
    let worked = in_turns(&numbers, &run.memory_limit(), work, refused)?;
    let mut sources = Vec::with_capacity(worked.len());
    for (number, (outcome, files)) in numbers.into_iter().zip(worked) {
        let found = &mut layout.cases[number];
        let Outcome { findings, kept } = outcome;
        found.findings.extend(findings);
        found.refused |= kept == [false; 2];
        let path = |kind: usize| kept[kind].then(|| folders[kind].join(file_name(&found.case_id)));
        (found.image, found.label) = (path(0), path(1));
        sources.push(keeper.source(&found.case_id, &files));
    }
    let aside = |(file, why): (PathBuf, String)| SourceRow {
        set_aside: Some(why),
        ..keeper.source("", &[vec![file], Vec::new()])
    };
    sources.extend(origin.set_aside().into_iter().map(aside));
    for (kind, folder) in folders.iter().enumerate() {
        let kept: HashSet<String> = layout
            .cases
            .iter()
            .filter(|found| {
                [&found.image, &found.label][kind].as_ref().is_some_and(|path| path.starts_with(folder))
            })
            .map(|found| file_name(&found.case_id))
            .collect();
        atomic::retain(folder, |name| kept.contains(name))?;
    }
    sources::write(out, &sources)?;
    Ok(())
}

struct Keeper<'a> {
    origin: &'a dyn Origin,
    out: &'a Path,
    journal: Journal<Outcome>,
    trust: Trust,
    earlier: HashMap<String, SourceRow>,
}

impl Keeper<'_> {
    /// What came of a case and its files; inside [`MemoryError`] when there was no memory for it.
    fn keep_once(
        &self,
        number: usize,
        found: &Found,
        memory: &MemoryShare<'_>,
    ) -> Result<Result<(Outcome, Files), MemoryError>, StoreError> {
        let files = self.known_files(number, &found.case_id);
        // The key knows the sources' size and time only; who wants more has them read again.
        if self.trust == Trust::Stamps
            && let Some(known) = self.journal.find(&found.case_id, &self.key(number, &files))
        {
            return Ok(Ok((known.clone(), files)));
        }
        let name = file_name(&found.case_id);
        let paths = FOLDERS.map(|folder| format!("{folder}/{name}"));
        let volumes = match self.origin.read(number, memory) {
            Ok(volumes) => volumes,
            Err(Refusal::Findings(findings)) => {
                return Ok(Ok((Outcome { findings, kept: [false; 2] }, files)));
            }
            Err(Refusal::Memory(error)) => return Ok(Err(error)),
        };
        if let Err(error) = memory.take_each(volumes.voxels(), WRITTEN_VOXEL_BYTES) {
            return Ok(Err(error));
        }
        let [image_path, label_path] = paths.each_ref().map(|path| self.out.join(path));
        let image = || volumes.image.as_ref().map_or(Ok(()), |image| write_image(&image_path, image));
        let labels =
            || volumes.labels.as_ref().map_or(Ok(()), |labels| nifti::write_labels(&label_path, labels));
        let (image, labels) = rayon::join(image, labels);
        image.and(labels)?;
        let kept = [volumes.image.is_some(), volumes.labels.is_some()];
        let outcome = Outcome { findings: volumes.findings, kept };
        let stamps = paths.iter().zip(kept).filter(|(_, kept)| *kept);
        let stamps = stamps.map(|(path, _)| Stamp::hash(self.out, path)).collect::<Result<Vec<_>, _>>()?;
        self.journal.record(&found.case_id, &self.key(number, &volumes.files), stamps, &outcome)?;
        Ok(Ok((outcome, volumes.files)))
    }

    /// The files of a case. Some are found only by reading others, such as the voxels that a header names: an earlier
    /// run has written those down. What is there now counts all the same, such as a slice that was added since.
    fn known_files(&self, number: usize, case: &str) -> Files {
        let mut files = self.origin.files(number);
        if let Some(row) = self.earlier.get(case) {
            for (files, earlier) in files.iter_mut().zip([&row.image, &row.label]) {
                let earlier: Vec<PathBuf> = earlier.iter().map(|path| self.out.join(path)).collect();
                let real = |path: &PathBuf| path.canonicalize().ok();
                let known: HashSet<PathBuf> = earlier.iter().filter_map(real).collect();
                if !files.is_empty()
                    && files.iter().all(|file| real(file).is_some_and(|file| known.contains(&file)))
                {
                    *files = earlier;
                }
            }
        }
        files
    }

    /// The hash of what the volumes of a case are made from: sizes and times of its files, under their real paths, and
    /// the options. Hashed again under the secret key, so that nobody can try paths out.
    fn key(&self, number: usize, files: &Files) -> String {
        let stamp = |path: &PathBuf| {
            let meta = path.metadata().ok()?;
            let time = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            let path = path.canonicalize().ok()?;
            Some((path.to_string_lossy().into_owned(), meta.len(), time.as_nanos() as u64))
        };
        let stamps: Vec<Vec<_>> = files.iter().map(|files| files.iter().map(stamp).collect()).collect();
        self.origin.naming().secret(self.origin.key(number).part("files", &stamps).finish())
    }

    fn source(&self, case: &str, files: &Files) -> SourceRow {
        let text = |path: &PathBuf| {
            let absolute = path.canonicalize().unwrap_or_else(|_| path.clone());
            paths::relative(self.out, &absolute)
        };
        let [image, label] = files.each_ref().map(|files| files.iter().map(text).collect());
        SourceRow { case_id: case.to_owned(), image, label, set_aside: None }
    }
}

/// The sources that an earlier run wrote down; none where there was none, or its table is of another form.
fn earlier_sources(out: &Path) -> HashMap<String, SourceRow> {
    let rows =
        if out.join(sources::FILE).exists() { sources::read(out).unwrap_or_default() } else { Vec::new() };
    rows.into_iter().map(|row| (row.case_id.clone(), row)).collect()
}

fn file_name(case: &str) -> String {
    format!("{case}.nii.gz")
}

/// As int16 where that holds every voxel exactly, else as float32.
fn write_image(path: &Path, image: &Volume<f32>) -> Result<(), StoreError> {
    let fits = |v: &f32| f32::from(*v as i16) == *v; // the cast drops fractions, and clamps
    if image.voxels.iter().all(fits) {
        nifti::write_image_i16(path, image)
    } else {
        nifti::write_image(path, image)
    }
}
