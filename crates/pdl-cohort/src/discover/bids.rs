//! The Brain Imaging Data Structure: names of entities (`sub-01_ses-02_T1w.nii.gz`), label maps
//! beside the images or in derivatives.
//!
//! After the specification 1.10 (bids-specification.readthedocs.io), "Imaging data type
//! derivatives": a mask lies in the space that its entity `space` names, which is that of an image
//! (`space-T1w`) or a template; `label` names what a mask is of, `desc` tells versions apart.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_store::memory::MemoryShare;
use pdl_store::{StoreError, fault};

use super::bids_entities::Entities;
use super::description::file_name;
use super::named_channels::NamedChannels;
use super::subject_table::SubjectTable;
use super::volume_files::{VolumeFile, VolumeFiles};
use super::{DiscoveredCase, Layout};
use crate::CohortError;
use crate::attributes::Modality;

/// The table of the participants, and the column that names them.
const PARTICIPANTS: (&str, &str) = ("participants.tsv", "participant_id");

/// Folders that may hold that table: the data set's own, or that of its raw data.
const RAW_FOLDERS: [&str; 3] = ["", "rawdata", "raw"];

/// Folders that are skipped.
const PASSED_OVER: [&str; 3] = ["sourcedata", "code", "stimuli"];

/// The space of a label map that lies on the image that it was drawn on.
const OWN_SPACE: &str = "orig";

/// Most versions of a label map, or kinds of images, that a message names.
const MOST_NAMES: usize = 8;

/// A volume and the entities of its name.
struct BidsFile<'a> {
    file: &'a VolumeFile,
    entities: Entities,
}

/// The label maps of one image space of a session.
struct Session<'a> {
    masks: Vec<&'a BidsFile<'a>>,
    /// The images of that space, by suffix and distinguishing entities.
    images: BTreeMap<String, &'a BidsFile<'a>>,
}

/// The cases of a BIDS data set; `None` if no label map has a name of that kind.
///
/// # Errors
/// [`CohortError`] when `participants.tsv` cannot be read or lacks a column of `carry`.
pub(super) fn find(
    files: &VolumeFiles,
    carry: &BTreeSet<String>,
    memory: &MemoryShare<'_>,
) -> Result<Option<Layout>, CohortError> {
    let named: Vec<BidsFile<'_>> = files.volumes.iter().filter_map(BidsFile::of).collect();
    if 2 * named.len() <= files.volumes.len() {
        return Ok(None);
    }
    let mut sessions = sessions(&named);
    if !sessions.values().any(|session| !session.images.is_empty() && !session.masks.is_empty()) {
        return Ok(None);
    }
    let used: BTreeSet<String> =
        sessions.values().flat_map(|session| session.images.keys().cloned()).collect();
    add_unlabelled(&named, &used, &mut sessions);
    let channels =
        NamedChannels::of_cohort(sessions.values().map(|session| session.images.keys().cloned().collect()));
    let participants = participants(files, memory)?;
    let mut cases = Vec::with_capacity(sessions.len());
    for (key, session) in &sessions {
        let mut found = session.discovered(files, key, &channels, is_alone(key, &sessions));
        let subject = format!("sub-{}", key.subject);
        if let Some(table) = &participants {
            table.describe(&mut found, &subject, carry)?;
        }
        found.patient = Some(subject);
        cases.push(found);
    }
    Ok(Some(Layout {
        cases,
        modality: modality(&used),
        channel_names: channels.names(),
        label_names: label_names(files, &named, memory)?,
        findings: unused(&named, &sessions).into_iter().collect(),
        kind: "BIDS",
        tables: &[PARTICIPANTS.0],
        ..Layout::default()
    }))
}

impl<'a> BidsFile<'a> {
    fn of(file: &'a VolumeFile) -> Option<Self> {
        let mut parts = file.path.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
        if parts.any(|part| PASSED_OVER.contains(&part.as_str())) {
            return None;
        }
        Some(Self { file, entities: Entities::of(&file.stem)? })
    }
}

/// The images that a group of label maps belongs to: a subject's session, and in it the space and
/// the other entities that an image has, too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SessionKey {
    subject: String,
    session: Option<String>,
    others: BTreeMap<String, String>,
}

impl SessionKey {
    fn of(entities: &Entities) -> Self {
        let others = entities.others.iter().filter(|(key, _)| !["label", "desc"].contains(&key.as_str()));
        Self {
            subject: entities.subject.clone(),
            session: entities.session.clone(),
            others: others.map(|(key, value)| (key.clone(), value.clone())).collect(),
        }
    }

    fn is_of_session(&self, other: &Entities) -> bool {
        self.subject == other.subject && self.session == other.session
    }

    /// The name of the case; with further entities if its session has several.
    fn name(&self, is_alone: bool) -> String {
        let mut name = format!("sub-{}", self.subject);
        if let Some(session) = &self.session {
            name += &format!("_ses-{session}");
        }
        let others = self.others.iter().filter(|_| !is_alone);
        others.for_each(|(key, value)| name += &format!("_{key}-{value}"));
        name
    }
}

/// Whether a session has no further group of label maps.
fn is_alone(key: &SessionKey, sessions: &BTreeMap<SessionKey, Session<'_>>) -> bool {
    let same = |other: &&SessionKey| other.subject == key.subject && other.session == key.session;
    sessions.keys().filter(same).count() == 1
}

/// The label maps of each session and space, with the images on which they lie.
fn sessions<'a>(named: &'a [BidsFile<'a>]) -> BTreeMap<SessionKey, Session<'a>> {
    let mut groups: BTreeMap<SessionKey, Vec<&BidsFile<'_>>> = BTreeMap::new();
    for mask in named.iter().filter(|file| file.entities.is_label_map()) {
        groups.entry(SessionKey::of(&mask.entities)).or_default().push(mask);
    }
    let with_images = |(key, mut masks): (SessionKey, Vec<&'a BidsFile<'a>>)| {
        // A brain mask is not a label map of structures, unless it is the only one.
        if masks.iter().any(|mask| !mask.entities.is_brain_mask()) {
            masks.retain(|mask| !mask.entities.is_brain_mask());
        }
        let images = images_of(&key, named);
        (key, Session { masks, images })
    };
    groups.into_iter().map(with_images).collect()
}

/// The images in the space of a group of label maps, by suffix and distinguishing entities.
fn images_of<'a>(key: &SessionKey, named: &'a [BidsFile<'a>]) -> BTreeMap<String, &'a BidsFile<'a>> {
    let of_session =
        || named.iter().filter(|file| file.entities.is_image() && key.is_of_session(&file.entities));
    let native = |file: &&BidsFile<'_>| !file.entities.others.contains_key("space");
    let space = key.others.get("space").filter(|space| *space != OWN_SPACE);
    let mut images: Vec<&BidsFile<'_>> = match space {
        None => of_session().filter(native).collect(),
        Some(space) => {
            let is_reference = |file: &&BidsFile<'_>| file.entities.suffix.eq_ignore_ascii_case(space);
            let reference: Vec<&BidsFile<'_>> = of_session().filter(native).filter(is_reference).collect();
            let in_space = || of_session().filter(|file| file.entities.others.get("space") == Some(space));
            if reference.is_empty() { in_space().collect() } else { reference }
        }
    };
    // Of several runs or acquisitions the one that the label map names, too.
    for (entity, value) in key.others.iter().filter(|(entity, _)| *entity != "space") {
        if images.iter().any(|file| file.entities.others.get(entity) == Some(value)) {
            images.retain(|file| file.entities.others.get(entity) == Some(value));
        }
    }
    by_kind(&images)
}

/// Images by their suffixes, with the other entities where several have one.
fn by_kind<'a>(images: &[&'a BidsFile<'a>]) -> BTreeMap<String, &'a BidsFile<'a>> {
    let count = |suffix: &str| images.iter().filter(|file| file.entities.suffix == suffix).count();
    let name = |file: &BidsFile<'_>| match count(&file.entities.suffix) {
        1 => file.entities.suffix.clone(),
        _ => file.entities.kind(),
    };
    images.iter().map(|file| (name(file), *file)).collect()
}

/// Sessions with images of the kinds `used`, and without a label map.
fn add_unlabelled<'a>(
    named: &'a [BidsFile<'a>],
    used: &BTreeSet<String>,
    sessions: &mut BTreeMap<SessionKey, Session<'a>>,
) {
    let mut further: BTreeMap<SessionKey, Vec<&BidsFile<'_>>> = BTreeMap::new();
    for file in named.iter().filter(|file| file.entities.is_image()) {
        let is_known = sessions.keys().any(|key| key.is_of_session(&file.entities));
        let Entities { subject, session, .. } = &file.entities;
        let key = SessionKey { subject: subject.clone(), session: session.clone(), others: BTreeMap::new() };
        if !is_known {
            further.entry(key).or_default().push(file);
        }
    }
    for (key, files) in further {
        let mut images = by_kind(&files);
        images.retain(|kind, _| used.contains(kind));
        if !images.is_empty() {
            sessions.insert(key, Session { masks: Vec::new(), images });
        }
    }
}

impl Session<'_> {
    fn discovered(
        &self,
        files: &VolumeFiles,
        key: &SessionKey,
        channels: &NamedChannels,
        is_alone: bool,
    ) -> DiscoveredCase {
        let image = self.images.keys().min_by_key(|name| channels.place(name));
        let image = image.map(|name| self.images[name].file.path.as_path());
        let mask = self.masks.first().map(|mask| mask.file.path.as_path());
        let mut found = files.case(Some(key.name(is_alone)), image, mask);
        let path = |path: &Path| files.root.join(path);
        found.channels =
            channels.of_case(self.images.iter().map(|(name, file)| (name, path(&file.file.path))));
        let labels: BTreeSet<&String> = self.masks.iter().filter_map(|mask| mask.entities.label()).collect();
        let is_of_structures = !labels.is_empty() && labels.len() == self.masks.len();
        if is_of_structures {
            let structure =
                |mask: &&BidsFile<'_>| Some((mask.entities.label()?.clone(), path(&mask.file.path)));
            found.structures = self.masks.iter().filter_map(structure).collect();
        } else if self.masks.len() > 1 {
            found.findings.push(self.several());
            found.refused = true;
        }
        found
    }

    /// Finding if several label maps compete.
    fn several(&self) -> Finding {
        let kinds: Vec<String> =
            self.masks.iter().take(MOST_NAMES).map(|mask| mask.entities.kind()).collect();
        let message = format!(
            "{} label maps are for its image ({}): name one of them in a table with the columns case_id, image, label and \
             patient",
            self.masks.len(),
            kinds.join(", ")
        );
        Finding::new(Code::SeveralFiles, message)
    }
}

/// Finding about images that no case has.
fn unused(named: &[BidsFile<'_>], sessions: &BTreeMap<SessionKey, Session<'_>>) -> Option<Finding> {
    let used: BTreeSet<&Path> = sessions
        .values()
        .flat_map(|session| session.images.values().map(|file| file.file.path.as_path()))
        .collect();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for file in named.iter().filter(|file| file.entities.is_image()) {
        if !used.contains(file.file.path.as_path()) {
            *kinds.entry(&file.entities.suffix).or_default() += 1;
        }
    }
    let listed: Vec<String> =
        kinds.iter().take(MOST_NAMES).map(|(kind, count)| format!("{kind} ({count})")).collect();
    let message = format!(
        "images without a label map in their space are not used: {}. To use them as channels, name them in a table, in \
         columns such as image_FLAIR",
        listed.join(", ")
    );
    (!kinds.is_empty()).then(|| Finding::new(Code::ImagesUnused, message))
}

fn participants(files: &VolumeFiles, memory: &MemoryShare<'_>) -> Result<Option<SubjectTable>, CohortError> {
    for folder in RAW_FOLDERS {
        let path = files.root.join(folder).join(PARTICIPANTS.0);
        if let Some(table) = SubjectTable::read(&path, PARTICIPANTS.1, memory)? {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

/// MR where all images are of suffixes of MR, CT or PET where they are of that.
fn modality(kinds: &BTreeSet<String>) -> Option<Modality> {
    const MR: [&str; 9] = ["T1w", "T2w", "FLAIR", "PDw", "T2star", "dwi", "adc", "swi", "inplaneT2"];
    let one = |kind: &String| {
        let suffix = kind.split('_').next_back().unwrap_or(kind);
        let is_mr = MR.iter().any(|known| known.eq_ignore_ascii_case(suffix));
        if is_mr { Some(Modality::MR) } else { suffix.parse().ok().filter(|found| *found != Modality::OT) }
    };
    let found: BTreeSet<Option<Modality>> = kinds.iter().map(one).collect();
    found.first().copied().flatten().filter(|_| found.len() == 1)
}

/// The table of the names of label values, of all segmentations or of those with the entities
/// before this name.
const DSEG: &str = "dseg.tsv";

/// Names of label values, from the tables `dseg.tsv` and `desc-manual_dseg.tsv` and the like of a
/// data set with segmentations.
fn label_names(
    files: &VolumeFiles,
    named: &[BidsFile<'_>],
    memory: &MemoryShare<'_>,
) -> Result<BTreeMap<u16, String>, CohortError> {
    let masks = named.iter().filter(|file| file.entities.is_label_map());
    let data_sets: BTreeSet<&Path> = masks
        .filter_map(|mask| {
            let is_subject = |path: &&Path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("sub-"))
            };
            mask.file.folder().ancestors().filter(is_subject).last()?.parent()
        })
        .collect();
    let mut names = BTreeMap::new();
    for data_set in data_sets {
        let folder = files.root.join(data_set);
        let listed = fault::list(&folder).map_err(StoreError::io("list the folder", &folder))?;
        let mut tables: Vec<PathBuf> = listed.iter().map(fs::DirEntry::path).collect();
        tables.retain(|path| file_name(path) == DSEG || file_name(path).ends_with(&format!("_{DSEG}")));
        tables.sort();
        for path in tables {
            if let Some(table) = SubjectTable::read(&path, "index", memory)? {
                names.extend(table.names_of_values("name"));
            }
        }
    }
    names.remove(&0);
    Ok(names)
}
