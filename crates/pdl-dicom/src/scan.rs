//! Finds what a tree of files holds, from headers alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use pdl_store::fault;
use pdl_store::file_state::FileState;
use pdl_store::memory::{MemoryError, MemoryLimit, MemoryShare, in_turns};
use rayon::prelude::*;

use crate::DicomError;
use crate::file::{Extent, open_in_state};
use crate::labels::references::{NamedFrames, References, VolumeImages, made_at, references};
use crate::names::people::{ObjectOwner, People};
use crate::names::{Identifiers, MaskedName, NameMask, Source};
use crate::pixels::TruncatedPixels;
use crate::series::concatenation;
use crate::series::frame_pixels::SeriesPixels;
use crate::series::header::{Frame, Header, Role, role};
use crate::series::slice_series::{SeriesHeaders, join};
use crate::series::volume_grouping::{Stacked, split};
use crate::skipped_files::{SkipCause, SkippedByReason, SkippedFiles};
use pdl_findings::{Finding, SkipReason};

/// One volume's worth of frames.
#[derive(Clone, Debug)]
pub struct Series {
    /// PatientID as the files have it: never to be shown.
    pub patient_id: String,
    /// StudyInstanceUID: never to be shown.
    pub study_uid: String,
    /// SeriesInstanceUID: never to be shown.
    pub series_uid: String,
    /// Number of the volume in its series, from 0.
    pub part: usize,
    /// Modality (0008,0060): "CT", "MR" or "PT".
    pub modality: String,
    /// Files; never shown.
    pub files: Vec<PathBuf>,
    /// The states of its files before their headers were read.
    pub states: Vec<FileState>,
    /// Findings from the headers alone.
    pub findings: Vec<Finding>,
    pub(crate) frame_of_reference: String,
    /// SeriesInstanceUIDs of all its files.
    series_uids: BTreeSet<String>,
    /// Sorted along the normal.
    pub(crate) frames: Vec<Frame>,
    /// Instances that are duplicates of one of the frames and were skipped.
    doubles: Vec<String>,
    /// Why the division into volumes is ambiguous.
    pub(crate) doubt: Option<String>,
    /// The first of its files that cannot hold its pixels.
    pub(crate) shortfall: Option<TruncatedPixels>,
}

impl Series {
    /// Key that distinguishes it within its patient, study and series: its frame of reference, its
    /// modality and the first of its instances by UID. Never shown.
    pub fn distinction(&self) -> String {
        let instance = self.frames.iter().map(|frame| frame.instance.as_str()).min().unwrap_or_default();
        format!("{}\0{}\0{instance}", self.frame_of_reference, self.modality)
    }

    /// Whether another series is of the same study and in the same frame of reference, so that one
    /// point of the patient has the same coordinates in both.
    pub fn shares_space_with(&self, other: &Self) -> bool {
        let same = |a: &str, b: &str| !a.is_empty() && a == b;
        self.patient_id == other.patient_id
            && same(&self.study_uid, &other.study_uid)
            && same(&self.frame_of_reference, &other.frame_of_reference)
    }

    /// Place among the series of a scan.
    fn place(&self) -> impl Ord + '_ {
        let folder = self.files.first().map(PathBuf::as_path).filter(|_| self.series_uid.is_empty());
        (
            [&self.patient_id, &self.study_uid, &self.series_uid],
            folder.and_then(Path::parent),
            [&self.frame_of_reference, &self.modality],
            self.part,
        )
    }

    /// The file of every stored slice, along the normal, as its place in `files`.
    pub fn files_of_slices(&self) -> Vec<usize> {
        self.frames.iter().map(|frame| frame.file).collect()
    }

    /// Voxels along column index, row index and slices, before any straightening.
    pub fn stored_shape(&self) -> [usize; 3] {
        let [columns, rows] = self.frames.first().map_or([0, 0], |frame| frame.plane.size);
        [columns, rows, self.frames.len()]
    }
}

/// The kind of a label object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LabelKind {
    /// Contours (RTSTRUCT).
    StructureSet,
    /// Frames of pixels (DICOM SEG).
    Segmentation,
}

/// A file of labels and what it refers to.
#[derive(Clone, Debug)]
pub struct LabelFile {
    /// Path; never shown.
    pub path: PathBuf,
    /// State before it was read.
    pub state: FileState,
    /// Whether it is a structure set or a segmentation.
    pub kind: LabelKind,
    /// Names of its structures or segments, trimmed, with people's names masked, in the file's
    /// order.
    pub names: Vec<String>,
    /// The same as the file has them: never to be shown.
    pub originals: Vec<String>,
    mask: NameMask,
    whose: ObjectOwner,
    /// Date, time and UID, by which the latest is chosen.
    pub(crate) made_at: String,
    pub(crate) references: References,
}

impl LabelFile {
    /// Whether its date and time are those of another label file.
    pub fn is_as_old_as(&self, other: &Self) -> bool {
        let stamp = |label: &Self| label.made_at.rsplit_once(' ').map(|(stamp, _)| stamp.to_owned());
        stamp(self) == stamp(other)
    }

    /// Images of a series to which it refers and that are not among the `instances` of the scan:
    /// their number, and that of all images to which it refers. `None` if there are none, or if it
    /// refers to several series, so that these images may be those of another one.
    pub fn missing_images(&self, series: &Series, instances: &HashSet<&str>) -> Option<[usize; 2]> {
        let References { drawn_on, listed, series: named, .. } = &self.references;
        if named.len() != 1 || !named.is_subset(&series.series_uids) {
            return None;
        }
        let all: BTreeSet<&str> = drawn_on.keys().chain(listed.keys()).map(String::as_str).collect();
        let missing = all.iter().filter(|instance| !instances.contains(*instance)).count();
        (missing > 0).then_some([missing, all.len()])
    }

    /// A name of its structures or segments, masked.
    pub fn shown(&self, original: &str) -> MaskedName {
        self.mask.without(original)
    }

    /// Names, masked and as stored.
    pub fn structures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().map(String::as_str).zip(self.originals.iter().map(String::as_str))
    }
}

/// The series and label files of a tree.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Volumes, by patient, study, series and part.
    pub series: Vec<Series>,
    /// Files of labels.
    pub labels: Vec<LabelFile>,
    /// All other files, by reason.
    pub skipped: Vec<SkippedFiles>,
    people: People,
}

enum ScannedFile {
    Image(Box<Header>),
    Label(Box<LabelFile>),
    Skipped(SkipCause),
}

/// Whether a file begins like a DICOM file.
///
/// # Errors
/// Errors of the machine if it cannot be read.
pub fn is_dicom(path: &Path) -> io::Result<bool> {
    crate::file::is_dicom(path)
}

/// Reads the headers of all `files`, calling `progress` after each, within the free memory. A file
/// that cannot be read is skipped.
///
/// # Errors
/// [`DicomError::Io`] if an error of the machine prevents a file from being read: a series without
/// it would be another one.
pub fn scan(files: &[PathBuf], progress: &(dyn Fn() + Sync)) -> Result<Scan, DicomError> {
    scan_within(files, &MemoryLimit::free(), progress)
}

/// Like [`scan`], within a limit. Memory for a header is released after reading, except for what
/// the [`Scan`] stores. A file that needs more than the limit is skipped, too.
///
/// # Errors
/// As [`scan`].
pub fn scan_within(
    files: &[PathBuf],
    limit: &MemoryLimit,
    progress: &(dyn Fn() + Sync),
) -> Result<Scan, DicomError> {
    let people = Mutex::new(People::default());
    let work = |path: &PathBuf, memory: &MemoryShare<'_>| {
        let found = match look(path, memory, &people) {
            Ok(found) => found,
            Err(DicomError::Memory { source, .. }) => return Ok(Err(source)),
            Err(error) if fault::machine_error(&error).is_some() => return Err(error),
            Err(error) => ScannedFile::Skipped(SkipCause::Error(Arc::new(error))),
        };
        progress();
        Ok(Ok(found))
    };
    let refused = |path: &PathBuf, error: MemoryError| {
        if let Some(source) = error.machine() {
            return Err(DicomError::Io { path: path.clone(), source });
        }
        progress();
        let error = DicomError::Memory { path: path.clone(), source: error };
        Ok(ScannedFile::Skipped(SkipCause::Error(Arc::new(error))))
    };
    let found = in_turns(files, limit, work, refused)?;
    let mut headers: BTreeMap<[String; 5], Vec<Header>> = BTreeMap::new();
    let mut scan = Scan::default();
    let mut skipped = SkippedByReason::default();
    for (found, path) in found.into_iter().zip(files) {
        match found {
            ScannedFile::Image(header) => headers.entry(header.belongs_to()).or_default().push(*header),
            ScannedFile::Label(label) => scan.labels.push(*label),
            ScannedFile::Skipped(cause) => skipped.add(path.clone(), cause),
        }
    }
    scan.people = people.into_inner().unwrap_or_else(PoisonError::into_inner);
    for series in headers.values_mut() {
        series.sort_by(|a, b| a.path.cmp(&b.path));
    }
    for series in join(headers.into_values().collect()) {
        let (volumes, left_out) = volumes(series, limit)?;
        scan.series.extend(volumes);
        left_out.into_iter().for_each(|(file, reason)| skipped.add(file, SkipCause::Kind(reason)));
    }
    scan.series.sort_by(|a, b| a.place().cmp(&b.place()));
    scan.skipped = skipped.finish();
    scan.mask_names();
    Ok(scan)
}

fn look(path: &Path, memory: &MemoryShare<'_>, people: &Mutex<People>) -> Result<ScannedFile, DicomError> {
    if fault::is_dir(path).map_err(|source| DicomError::Io { path: path.to_owned(), source })? {
        return Err(DicomError::UnlistedFolder { path: path.to_owned() });
    }
    let (object, state) = open_in_state(path, Extent::Header, memory)?;
    let role = role(&object);
    let source = match role {
        Role::StructureSet | Role::Segmentation => Source::Labels,
        _ => Source::Other,
    };
    let (whose, found) = (ObjectOwner::of(path, &object), Identifiers::of(&object, source));
    people.lock().unwrap_or_else(PoisonError::into_inner).add(whose.clone(), found);
    let label = |kind| {
        let originals = match kind {
            LabelKind::StructureSet => crate::labels::rtstruct::names(&object),
            LabelKind::Segmentation => crate::labels::seg::names(&object),
        };
        ScannedFile::Label(Box::new(LabelFile {
            path: path.to_owned(),
            state,
            kind,
            names: Vec::new(), // until all headers are read, which may name the same people
            originals,
            mask: NameMask::default(),
            whose: whose.clone(),
            made_at: made_at(&object),
            references: references(&object),
        }))
    };
    Ok(match role {
        Role::Image => ScannedFile::Image(Box::new(Header::of_image(path, &object, state)?)),
        Role::StructureSet => label(LabelKind::StructureSet),
        Role::Segmentation => label(LabelKind::Segmentation),
        Role::SecondaryCapture => ScannedFile::Skipped(SkipCause::Kind(SkipReason::SecondaryCapture)),
        Role::Skipped(reason) => ScannedFile::Skipped(SkipCause::Kind(reason)),
    })
}

/// Files of a series that are in none of its volumes, each with the reason.
type LeftOut = Vec<(PathBuf, SkipReason)>;

/// The volumes of one series.
fn volumes(series: SeriesHeaders, limit: &MemoryLimit) -> Result<(Vec<Series>, LeftOut), DicomError> {
    let SeriesHeaders { mut headers, finding } = series;
    headers.sort_by(|a, b| a.path.cmp(&b.path));
    let mut findings: BTreeSet<Finding> = headers.iter().flat_map(|header| header.findings.clone()).collect();
    findings.extend(finding);
    findings.extend(concatenation::incomplete(headers.iter().filter_map(|one| one.concatenation.as_ref())));
    let series_uids: BTreeSet<String> = headers.iter().map(|header| header.series_uid.clone()).collect();
    let Some(first) = headers.first().cloned() else { return Ok((Vec::new(), Vec::new())) };
    let files: Vec<(PathBuf, FileState)> =
        headers.iter().map(|header| (header.path.clone(), header.state)).collect();
    let paths: Vec<PathBuf> = files.iter().map(|(path, _)| path.clone()).collect();
    let shortfalls: Vec<Option<TruncatedPixels>> =
        headers.iter().map(|header| header.shortfall.clone()).collect();
    let mut frames = Vec::new();
    for (file, header) in headers.into_iter().enumerate() {
        frames.extend(header.frames.into_iter().map(|frame| Frame { file, ..frame }));
    }
    let grouped = split(frames, &SeriesPixels { files: &paths, limit })?;
    let used: BTreeSet<usize> =
        grouped.stacks.iter().flat_map(|stack| stack.frames.iter().map(|frame| frame.file)).collect();
    // Other frames of the file may be used.
    let left_out: BTreeMap<usize, SkipReason> =
        grouped.left_out.into_iter().filter(|(file, _)| !used.contains(file)).collect();
    let volume = |(part, stack): (usize, Stacked)| {
        let Stacked { mut frames, findings: of_stack, doubt, doubles } = stack;
        let doubt = doubt.or_else(|| unread_mosaic(&frames));
        let shortfall = frames.iter().find_map(|frame| shortfalls[frame.file].clone());
        let (files, states) = own_files(&files, &mut frames);
        Series {
            patient_id: first.patient_id.clone(),
            study_uid: first.study_uid.clone(),
            series_uid: series_uids.first().cloned().unwrap_or_default(),
            part,
            modality: first.modality.clone(),
            files,
            states,
            findings: findings.iter().cloned().chain(of_stack).collect(),
            frame_of_reference: first.frame_of_reference.clone(),
            series_uids: series_uids.clone(),
            frames,
            doubles,
            doubt,
            shortfall,
        }
    };
    let series = grouped.stacks.into_iter().enumerate().map(volume).collect();
    Ok((series, left_out.into_iter().map(|(file, reason)| (paths[file].clone(), reason)).collect()))
}

/// Why a single image is no slice: it is a mosaic, and its header does not say how many slices it
/// shows.
fn unread_mosaic(frames: &[Frame]) -> Option<String> {
    let [Frame { unread_mosaic: true, .. }] = frames else { return None };
    let problem = "its image is a mosaic of slices, and its header does not say how many and how far apart they are (the \
                   private elements of the scanner were removed)";
    Some(problem.to_owned())
}

/// The files that these frames come from; the frames are made to count in them.
fn own_files(all: &[(PathBuf, FileState)], frames: &mut [Frame]) -> (Vec<PathBuf>, Vec<FileState>) {
    let used: BTreeSet<usize> = frames.iter().map(|frame| frame.file).collect();
    let place: HashMap<usize, usize> = used.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    for frame in frames {
        frame.file = place[&frame.file];
    }
    used.into_iter().map(|file| all[file].clone()).unzip()
}

impl Series {
    fn whose(&self) -> ObjectOwner {
        let path = self.files.first().map_or(Path::new(""), PathBuf::as_path);
        ObjectOwner::new(path, self.study_uid.clone(), self.patient_id.clone())
    }
}

impl Scan {
    /// The mask of the people of a series.
    pub fn mask_of(&self, series: &Series) -> NameMask {
        NameMask::of(&self.people.of([&series.whose()]))
    }

    /// Masks the names of all label files: the people of their own study, of the images that they
    /// refer to, and of other label files of these.
    fn mask_names(&mut self) {
        let (of_series, _) = self.labels_of_series();
        let own = self.labels.iter().map(|label| BTreeSet::from([label.whose.clone()]));
        let mut whose: Vec<BTreeSet<ObjectOwner>> = own.collect();
        for (series, labels) in self.series.iter().zip(&of_series).filter(|(_, labels)| !labels.is_empty()) {
            let of_case = labels.iter().map(|label| self.labels[*label].whose.clone());
            let of_case: BTreeSet<ObjectOwner> = of_case.chain([series.whose()]).collect();
            labels.iter().for_each(|label| whose[*label].extend(of_case.iter().cloned()));
        }
        let people = &self.people;
        self.labels.par_iter_mut().zip(whose.par_iter()).for_each(|(label, whose)| {
            label.mask = NameMask::of(&people.of(whose));
            label.names = label.originals.iter().map(|name| label.mask.without(name).text).collect();
        });
    }

    /// For every series the label files that refer to it, latest last, and those that refer to none
    /// of them.
    ///
    /// A label belongs to the series that hold the images that its contours or frames refer to;
    /// without such references, to those with the images it lists; else to the series it names;
    /// without any, to the only series in its frame of reference.
    pub fn labels_of_series(&self) -> (Vec<Vec<usize>>, Vec<usize>) {
        let by_instance = self.series_by_instance();
        let mut by_series: HashMap<&str, BTreeSet<usize>> = HashMap::new();
        let mut by_frame: HashMap<&str, BTreeSet<usize>> = HashMap::new();
        for (number, series) in self.series.iter().enumerate() {
            for uid in &series.series_uids {
                by_series.entry(uid).or_default().insert(number);
            }
            by_frame.entry(&series.frame_of_reference).or_default().insert(number);
        }
        let all = |names: &BTreeSet<String>, map: &HashMap<&str, BTreeSet<usize>>| -> BTreeSet<usize> {
            names.iter().filter_map(|name| map.get(name.as_str())).flatten().copied().collect()
        };
        let mut result = vec![Vec::new(); self.series.len()];
        let mut orphans = Vec::new();
        let mut order: Vec<usize> = (0..self.labels.len()).collect();
        order.sort_by(|a, b| self.labels[*a].made_at.cmp(&self.labels[*b].made_at));
        for label in order {
            let references = &self.labels[label].references;
            let mut series = self.holding(&references.drawn_on, &by_instance);
            if series.is_empty() {
                series = self.holding(&references.listed, &by_instance);
            }
            if series.is_empty() {
                series = all(&references.series, &by_series);
            }
            if series.is_empty() && references.name_no_images() {
                series = all(&references.frames, &by_frame);
                if series.len() > 1 {
                    series.clear();
                }
            }
            if series.is_empty() {
                orphans.push(label);
            }
            self.keep_own_patient(label, &mut series);
            for number in series {
                result[number].push(label);
            }
        }
        (result, orphans)
    }

    /// Where series of several patients have the same UIDs, as after a faulty anonymisation, keeps
    /// those of the label file's own patient, if there are any.
    fn keep_own_patient(&self, label: usize, series: &mut BTreeSet<usize>) {
        let own = self.labels[label].whose.patient();
        let is_own = |number: &usize| self.series[*number].patient_id == own;
        if series.iter().any(is_own) {
            series.retain(is_own);
        }
    }

    /// SOPInstanceUIDs of the images of all series, for [`LabelFile::missing_images`].
    pub fn instances(&self) -> HashSet<&str> {
        let frames = self.series.iter().flat_map(|series| &series.frames);
        let doubles = self.series.iter().flat_map(|series| &series.doubles);
        frames.map(|frame| frame.instance.as_str()).chain(doubles.map(String::as_str)).collect()
    }

    /// Why a label file belongs to none of the series.
    pub fn orphan_reason(&self, label: usize) -> SkipReason {
        let Some(references) = self.labels.get(label).map(|label| &label.references) else {
            return SkipReason::LabelWithoutImages;
        };
        if !references.name_no_images() {
            return SkipReason::LabelWithoutImages;
        }
        match self.series.iter().any(|series| references.frames.contains(&series.frame_of_reference)) {
            true => SkipReason::LabelOfSeveralSeries,
            false => SkipReason::LabelOfNoSeries,
        }
    }

    /// For every series, the images by which contours and frames of its labels are assigned to it;
    /// `labels` has the label files of each.
    pub fn images_of_series(&self, labels: &[Vec<usize>]) -> Vec<VolumeImages> {
        let by_instance = self.series_by_instance();
        let mut series_of_label: HashMap<usize, Vec<usize>> = HashMap::new();
        for (number, labels) in labels.iter().enumerate() {
            labels.iter().for_each(|label| series_of_label.entry(*label).or_default().push(number));
        }
        let images = |(number, labels): (usize, &Vec<usize>)| {
            let mut images = VolumeImages::default();
            let Some(series) = self.series.get(number).filter(|_| !labels.is_empty()) else { return images };
            images.frame_of_reference.clone_from(&series.frame_of_reference);
            for frame in &series.frames {
                let own = images.own.entry(frame.instance.clone()).or_default();
                let plane = own.entry(frame.number + 1).or_insert(Some(frame.plane));
                *plane = plane.filter(|plane| *plane == frame.plane);
            }
            for label in labels {
                let References { drawn_on, listed, .. } = &self.labels[*label].references;
                let elsewhere = |instance: &&String| {
                    by_instance.get(instance.as_str()).is_some_and(|all| all.iter().any(|n| *n != number))
                };
                images.others.extend(drawn_on.keys().chain(listed.keys()).filter(elsewhere).cloned());
                let frames = series_of_label[label].iter().map(|n| &self.series[*n].frame_of_reference);
                images.other_frames_of_reference.extend(frames.cloned());
            }
            images.other_frames_of_reference.remove(&images.frame_of_reference);
            images
        };
        labels.iter().enumerate().map(images).collect()
    }

    fn series_by_instance(&self) -> HashMap<&str, BTreeSet<usize>> {
        let mut by_instance: HashMap<&str, BTreeSet<usize>> = HashMap::new();
        for (number, series) in self.series.iter().enumerate() {
            let of_frames = series.frames.iter().map(|frame| frame.instance.as_str());
            let instances: HashSet<&str> =
                of_frames.chain(series.doubles.iter().map(String::as_str)).collect();
            for instance in instances {
                by_instance.entry(instance).or_default().insert(number);
            }
        }
        by_instance
    }

    /// The series that hold one of these images; of an image whose frames are in several, those
    /// that hold one of the named frames.
    fn holding(&self, named: &NamedFrames, by_instance: &HashMap<&str, BTreeSet<usize>>) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        for (instance, frames) in named {
            let Some(all) = by_instance.get(instance.as_str()) else { continue };
            if all.len() == 1 || frames.is_empty() {
                found.extend(all);
                continue;
            }
            let names_frame = |number: &&usize| {
                let own = |frame: &Frame| frame.instance == *instance && frames.contains(&(frame.number + 1));
                self.series[**number].frames.iter().any(own)
            };
            let by_frame: Vec<usize> = all.iter().filter(names_frame).copied().collect();
            match by_frame.is_empty() {
                true => found.extend(all),
                false => found.extend(by_frame),
            }
        }
        found
    }
}

impl Header {
    /// Patient, study, series, frame of reference and modality; files without a series UID are
    /// grouped by folder.
    fn belongs_to(&self) -> [String; 5] {
        let series = if self.series_uid.is_empty() {
            self.path.parent().unwrap_or(Path::new("")).to_string_lossy().into_owned()
        } else {
            self.series_uid.clone()
        };
        let [patient, study, frame, modality] =
            [&self.patient_id, &self.study_uid, &self.frame_of_reference, &self.modality].map(Clone::clone);
        [patient, study, series, frame, modality]
    }
}
