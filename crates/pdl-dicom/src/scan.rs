//! Finds what a tree of files holds, from headers alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pdl_store::fault;
use pdl_store::file_state::FileState;
use pdl_store::memory::{MemoryError, MemoryLimit, MemoryShare, in_turns};

use crate::DicomError;
use crate::file::{Extent, open_in_state};
use crate::header::{Frame, Header, Role, role};
use crate::names::{Identifiers, MaskedName, NameMask, Source};
use crate::people::{People, Whose};
use crate::pixels::Shortfall;
use crate::references::{References, made_at, references};
use crate::volume_grouping::split;
use pdl_findings::Finding;

/// One volume's worth of frames.
#[derive(Clone, Debug)]
pub struct Series {
    /// PatientID as the files have it: never to be shown.
    pub patient_id: String,
    /// StudyInstanceUID: never to be shown.
    pub study_uid: String,
    /// SeriesInstanceUID: never to be shown.
    pub series_uid: String,
    /// Which part of its series, from 0, where that holds several volumes.
    pub part: usize,
    /// Modality (0008,0060): "CT", "MR" or "PT".
    pub modality: String,
    /// Its files: never to be shown.
    pub files: Vec<PathBuf>,
    /// The states of its files before their headers were read.
    pub states: Vec<FileState>,
    /// What the headers alone say.
    pub findings: Vec<Finding>,
    pub(crate) frame_of_reference: String,
    /// Sorted along the normal.
    pub(crate) frames: Vec<Frame>,
    pub(crate) ambiguous: bool,
    /// The first of its files that cannot hold its pixels.
    pub(crate) shortfall: Option<Shortfall>,
}

impl Series {
    /// What tells it from others of the same patient, study and series: its frame of reference, its
    /// modality and the first of its instances by UID. Never to be shown.
    pub fn distinction(&self) -> String {
        let instance = self.frames.iter().map(|frame| frame.instance.as_str()).min().unwrap_or_default();
        format!("{}\0{}\0{instance}", self.frame_of_reference, self.modality)
    }

    /// Voxels along column index, row index and slices, before any straightening.
    pub fn stored_shape(&self) -> [usize; 3] {
        let [columns, rows] = self.frames.first().map_or([0, 0], |frame| frame.plane.size);
        [columns, rows, self.frames.len()]
    }
}

/// What a label object is.
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
    /// Where it is: never to be shown.
    pub path: PathBuf,
    /// Its state before it was read.
    pub state: FileState,
    /// Whether it is a structure set or a segmentation.
    pub kind: LabelKind,
    /// Names of its structures or segments, trimmed, without what headers say of people, in the
    /// file's order.
    pub names: Vec<String>,
    /// The same as the file has them: never to be shown.
    pub originals: Vec<String>,
    mask: NameMask,
    whose: Whose,
    /// Date, time and UID, by which the latest is chosen.
    pub(crate) made_at: String,
    pub(crate) references: References,
}

impl LabelFile {
    /// A name of its structures or segments as it may be shown.
    pub fn shown(&self, original: &str) -> MaskedName {
        self.mask.without(original)
    }

    /// Its names as they may be shown, and as the file has them.
    pub fn structures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().map(String::as_str).zip(self.originals.iter().map(String::as_str))
    }
}

/// Files that hold nothing for a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Why.
    pub reason: String,
    /// How many.
    pub count: usize,
    /// Which: never to be shown.
    pub files: Vec<PathBuf>,
}

/// What a tree holds.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Volumes, by patient, study, series and part.
    pub series: Vec<Series>,
    /// Files of labels.
    pub labels: Vec<LabelFile>,
    /// All other files, by reason.
    pub set_aside: Vec<SetAside>,
    /// How many of these are secondary captures, such as photographs of screens.
    pub secondary_captures: usize,
    people: People,
}

enum Found {
    Image(Box<Header>),
    Label(Box<LabelFile>),
    SecondaryCapture,
    Aside(String),
}

/// Why a secondary capture is set aside.
const SECONDARY_CAPTURE: &str = "secondary capture";

/// Whether a file begins as DICOM files do.
///
/// # Errors
/// Those of the machine when it cannot be read.
pub fn is_dicom(path: &Path) -> io::Result<bool> {
    crate::file::is_dicom(path)
}

/// Reads the headers of all `files`, calling `progress` after each, with no more memory than is
/// free. A file that cannot be read is set aside.
///
/// # Errors
/// [`DicomError::Io`] when the machine keeps a file from being read: a series without it would be
/// another one.
pub fn scan(files: &[PathBuf], progress: &(dyn Fn() + Sync)) -> Result<Scan, DicomError> {
    scan_within(files, &MemoryLimit::free(), progress)
}

/// As [`scan`], within a limit. What a header needs of memory is given back when it is read, but
/// for what a [`Scan`] holds. A file that needs more than the limit is set aside, too.
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
            Err(error) => Found::Aside(error.reason()),
        };
        progress();
        Ok(Ok(found))
    };
    let refused = |_: &PathBuf, error: MemoryError| {
        progress();
        Ok(Found::Aside(error.to_string()))
    };
    let found = in_turns(files, limit, work, refused)?;
    let mut headers: BTreeMap<[String; 5], Vec<Header>> = BTreeMap::new();
    let mut scan = Scan::default();
    let mut aside: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (found, path) in found.into_iter().zip(files) {
        match found {
            Found::Image(header) => headers.entry(header.belongs_to()).or_default().push(*header),
            Found::Label(label) => scan.labels.push(*label),
            Found::SecondaryCapture => {
                scan.secondary_captures += 1;
                aside.entry(SECONDARY_CAPTURE.to_owned()).or_default().push(path.clone());
            }
            Found::Aside(reason) => aside.entry(reason).or_default().push(path.clone()),
        }
    }
    scan.people = people.into_inner().unwrap_or_else(PoisonError::into_inner);
    scan.series = headers.into_values().flat_map(volumes).collect();
    let aside = aside.into_iter().map(|(reason, files)| SetAside { reason, count: files.len(), files });
    scan.set_aside = aside.collect();
    scan.mask_names();
    Ok(scan)
}

fn look(path: &Path, memory: &MemoryShare<'_>, people: &Mutex<People>) -> Result<Found, DicomError> {
    if fault::is_dir(path).map_err(|source| DicomError::Io { path: path.to_owned(), source })? {
        return Ok(Found::Aside("folder that cannot be listed".to_owned()));
    }
    let (object, state) = open_in_state(path, Extent::Header, memory)?;
    let role = role(&object);
    let source = match role {
        Role::StructureSet | Role::Segmentation => Source::Labels,
        _ => Source::Other,
    };
    let (whose, found) = (Whose::of(path, &object), Identifiers::of(&object, source));
    people.lock().unwrap_or_else(PoisonError::into_inner).add(whose.clone(), found);
    let label = |kind| {
        let originals = match kind {
            LabelKind::StructureSet => crate::rtstruct::names(&object),
            LabelKind::Segmentation => crate::seg::names(&object),
        };
        Found::Label(Box::new(LabelFile {
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
        Role::Image => Found::Image(Box::new(Header::of_image(path, &object, state)?)),
        Role::StructureSet => label(LabelKind::StructureSet),
        Role::Segmentation => label(LabelKind::Segmentation),
        Role::SecondaryCapture => Found::SecondaryCapture,
        Role::Aside(reason) => Found::Aside(reason.to_owned()),
    })
}

/// The volumes of one series.
fn volumes(headers: Vec<Header>) -> Vec<Series> {
    let findings: BTreeSet<Finding> = headers.iter().flat_map(|header| header.findings.clone()).collect();
    let Some(first) = headers.first().cloned() else { return Vec::new() };
    let files: Vec<(PathBuf, FileState)> =
        headers.iter().map(|header| (header.path.clone(), header.state)).collect();
    let shortfalls: Vec<Option<Shortfall>> = headers.iter().map(|header| header.shortfall.clone()).collect();
    let mut frames = Vec::new();
    for (file, header) in headers.into_iter().enumerate() {
        frames.extend(header.frames.into_iter().map(|frame| Frame { file, ..frame }));
    }
    let parts = split(frames);
    parts
        .into_iter()
        .enumerate()
        .map(|(part, mut stacked)| {
            let shortfall = stacked.frames.iter().find_map(|frame| shortfalls[frame.file].clone());
            let (files, states) = own_files(&files, &mut stacked.frames);
            Series {
                patient_id: first.patient_id.clone(),
                study_uid: first.study_uid.clone(),
                series_uid: first.series_uid.clone(),
                part,
                modality: first.modality.clone(),
                files,
                states,
                findings: findings.iter().cloned().chain(stacked.findings).collect(),
                frame_of_reference: first.frame_of_reference.clone(),
                frames: stacked.frames,
                ambiguous: stacked.ambiguous,
                shortfall,
            }
        })
        .collect()
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
    fn whose(&self) -> Whose {
        let path = self.files.first().map_or(Path::new(""), PathBuf::as_path);
        Whose::new(path, self.study_uid.clone(), self.patient_id.clone())
    }
}

impl Scan {
    /// What hides the people of a series in texts.
    pub fn mask_of(&self, series: &Series) -> NameMask {
        NameMask::of(&self.people.of([&series.whose()]))
    }

    /// Gives all label files the names that may be shown: without the people of their own study, of
    /// the images that they refer to, and of other label files of these.
    fn mask_names(&mut self) {
        let (of_series, _) = self.labels_of_series();
        let own = self.labels.iter().map(|label| BTreeSet::from([label.whose.clone()]));
        let mut whose: Vec<BTreeSet<Whose>> = own.collect();
        for (series, labels) in self.series.iter().zip(&of_series).filter(|(_, labels)| !labels.is_empty()) {
            let of_case = labels.iter().map(|label| self.labels[*label].whose.clone());
            let of_case: BTreeSet<Whose> = of_case.chain([series.whose()]).collect();
            labels.iter().for_each(|label| whose[*label].extend(of_case.iter().cloned()));
        }
        for (label, whose) in self.labels.iter_mut().zip(&whose) {
            label.mask = NameMask::of(&self.people.of(whose));
            label.names = label.originals.iter().map(|name| label.mask.without(name).text).collect();
        }
    }

    /// For every series the label files that refer to it, latest last, and those that refer to none
    /// of them.
    ///
    /// A label belongs to the series that hold the images it names; where it names none, to those
    /// of the series it names; where it names neither, to the only series in its frame of
    /// reference.
    pub fn labels_of_series(&self) -> (Vec<Vec<usize>>, Vec<usize>) {
        let mut by_instance: HashMap<&str, BTreeSet<usize>> = HashMap::new();
        let mut by_series: HashMap<&str, BTreeSet<usize>> = HashMap::new();
        let mut by_frame: HashMap<&str, BTreeSet<usize>> = HashMap::new();
        for (number, series) in self.series.iter().enumerate() {
            let instances: HashSet<&str> =
                series.frames.iter().map(|frame| frame.instance.as_str()).collect();
            for instance in instances {
                by_instance.entry(instance).or_default().insert(number);
            }
            by_series.entry(&series.series_uid).or_default().insert(number);
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
            let mut series = all(&references.instances, &by_instance);
            if series.is_empty() {
                series = all(&references.series, &by_series);
            }
            if series.is_empty() && references.instances.is_empty() && references.series.is_empty() {
                series = all(&references.frames, &by_frame);
                if series.len() > 1 {
                    series.clear();
                }
            }
            if series.is_empty() {
                orphans.push(label);
            }
            for number in series {
                result[number].push(label);
            }
        }
        (result, orphans)
    }
}

impl Header {
    /// Patient, study, series, frame of reference and modality; files without a series UID go by
    /// their folder.
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
