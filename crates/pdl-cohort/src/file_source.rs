//! A cohort whose cases are named by their files or a table, under pseudonyms, with stacks of
//! slices, with label maps that are put on their images' grids, or with files that name their
//! segments.

use pdl_findings::{Code, Finding};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use pdl_io::{Unread, split_frame, stack};
use pdl_store::hash::Key;
use pdl_store::memory::MemoryShare;
use pdl_store::{StoreError, fault};
use pdl_volume::{Grid, LabelMap, labels_on, labels_placed_on};

use crate::attributes::Modality;
use crate::case_id::CaseLabel;
use crate::check;
use crate::discover::{DiscoveredCase, Layout};
use crate::import::{Files, Original, Refusal, VolumeSource, Volumes};
use crate::label_rules::LabelRules;
use crate::pseudonyms::Naming;
use crate::segment_labels::SegmentNames;
use crate::stacks;

/// The cases under the names that they came with.
pub(crate) struct Named {
    naming: Naming,
    cases: Vec<DiscoveredCase>,
    /// Of each case whether it has a stack, and its files as far as they are known without reading
    /// one.
    seen: Vec<(bool, Files)>,
    labels: FileLabels,
    /// Whether all cases are kept, or only those with stacks.
    all: bool,
    resample_labels: bool,
}

/// How the label maps of a cohort of files are read.
pub(crate) struct FileLabels {
    /// The labels of segments that files name, where some do.
    pub segments: Option<SegmentNames>,
    /// The labels of values in the other files, and the options that state them.
    pub rules: Option<(LabelRules, Vec<String>)>,
}

impl Named {
    /// From cases that have their ids. `names` are the names by which they go without pseudonyms,
    /// by their label. Patients get their pseudonyms.
    ///
    /// # Errors
    /// [`StoreError::Machine`] when the machine keeps a file from being looked at.
    pub(crate) fn new(
        layout: &mut Layout,
        names: &HashMap<CaseLabel, String>,
        naming: Naming,
        labels: FileLabels,
        all: bool,
        resample_labels: bool,
    ) -> Result<Self, StoreError> {
        let original = |found: &DiscoveredCase| {
            let case_id = names.get(&found.name).unwrap_or(&found.case_id).clone();
            DiscoveredCase { case_id, ..found.clone() }
        };
        let cases: Vec<DiscoveredCase> = layout.cases.iter().map(original).collect();
        for found in &mut layout.cases {
            found.patient = found.patient.take().map(|patient| naming.patient(&patient));
        }
        let see =
            |(found, renamed): (&DiscoveredCase, &DiscoveredCase)| -> Result<(bool, Files), StoreError> {
                let failed = |source| StoreError::Machine { what: renamed.what(), path: None, source };
                let files = |path: &Option<PathBuf>| path.as_deref().map_or(Ok(Vec::new()), files_of);
                let has_stack = found.has_stack().map_err(|error| match error {
                    StoreError::Machine { source, .. } => failed(source),
                    other => other,
                })?;
                let mut files = [files(&found.image).map_err(failed)?, files(&found.label).map_err(failed)?];
                for path in found.channels.values().skip(1) {
                    let new = files_of(path).map_err(failed)?;
                    let new: Vec<PathBuf> = new.into_iter().filter(|file| !files[0].contains(file)).collect();
                    files[0].extend(new);
                }
                Ok((has_stack, files))
            };
        let seen = cases.iter().zip(&layout.cases).map(see).collect::<Result<_, _>>()?;
        Ok(Self { naming, cases, seen, all, resample_labels, labels })
    }

    /// The names and labels of the segments that the label file of a case names.
    fn segments_of(&self, case: usize) -> Option<Vec<(String, Option<u16>)>> {
        let names = self.labels.segments.as_ref()?;
        names.of(self.cases[case].label.as_deref()?).map(|segments| names.values(segments))
    }
}

/// The files of a path that a layout names, as far as they are known without reading one.
fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    let slices = stack::files_of(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(match (slices.is_empty(), fault::exists(path)?) {
        (false, _) => slices,
        (true, true) => vec![path.to_owned()],
        (true, false) => vec![path.with_file_name(split_frame(&name).0)],
    })
}

impl VolumeSource for Named {
    fn naming(&self) -> &Naming {
        &self.naming
    }

    fn keeps(&self, case: usize) -> bool {
        self.all || self.seen[case].0 || self.labels.rules.is_some() || self.segments_of(case).is_some()
    }

    fn leaves_image(&self, case: usize) -> bool {
        !self.all && !self.seen[case].0
    }

    fn wants(&self, _found: &DiscoveredCase, _modality: Option<Modality>) -> bool {
        true
    }

    fn files(&self, case: usize) -> Files {
        let [image, label] = self.seen[case].1.clone();
        let is_read = !self.leaves_image(case) || self.segments_of(case).is_some();
        [if is_read { image } else { Vec::new() }, label]
    }

    fn key(&self, case: usize) -> Key {
        let found = &self.cases[case];
        let key = Key::new("keep 2").part("image", &found.image).part("label", &found.label);
        let key = if found.channels.is_empty() { key } else { key.part("channels", &found.channels) };
        let key = if self.resample_labels { key.part("resample_labels", &true) } else { key };
        let key = match (self.segments_of(case), &self.labels.rules) {
            (Some(segments), _) => key.part("segments", &segments),
            (None, Some((rules, options))) => key
                .part("structures", options)
                .part("names", &rules.values())
                .part("ignored", &rules.ignored()),
            (None, None) => key,
        };
        if !self.seen[case].0 {
            return key;
        }
        let axes = found.stacks.axes.map(|axes| axes.to_string());
        key.part("stack_spacing", &found.stacks.spacing_mm).part("stack_axes", &axes)
    }

    fn read(&self, case: usize, memory: &MemoryShare<'_>) -> Result<Volumes, Refusal> {
        let found = &self.cases[case];
        let DiscoveredCase { image, label, stacks: said, .. } = found;
        if let Some(refused) = found.refused_stack()? {
            return Err(refused.into());
        }
        let mut volumes = Volumes { files: self.files(case), ..Volumes::default() };
        let mut refused = Vec::new();
        let refusal =
            |code: Code, unread: Unread| match (fault::machine_error(&unread), unread.error.memory()) {
                (Some(error), _) => Err(Refusal::Machine(error)),
                (None, Some(error)) => Err(Refusal::Memory(error)),
                (None, None) => Ok(Finding::new(code, unread.error.reason())),
            };
        let segments = self.labels.segments.as_ref().filter(|_| self.segments_of(case).is_some());
        // Segments are placed on the image's grid, whether the image is kept or not.
        let image = image.as_deref().filter(|_| segments.is_some() || !self.leaves_image(case));
        match image.map(|path| stacks::read_image(path, *said, memory)) {
            Some(Ok(image)) => {
                volumes.findings.extend(found.assumed_axes()?);
                volumes.findings.extend(image.findings);
                volumes.take_parts(0, image.parts);
                volumes.image = Some(image.volume);
            }
            Some(Err(unread)) => refused.push(refusal(Code::UnreadableImage, unread)?),
            None => {}
        }
        let further = found.channels.iter().skip(1).filter(|_| !self.leaves_image(case));
        for (number, path) in further {
            match stacks::read_image(path, *said, memory) {
                Ok(image) => volumes.take_channel(*number, image.volume, image.parts),
                Err(unread) => refused.push(refusal(Code::UnreadableImage, unread)?),
            }
        }
        let read = label.as_deref().map(|path| match segments {
            Some(names) => names.read(path, memory).map(|read| (read.map, read.parts, read.findings)),
            None => stacks::read_labels(path, *said, memory).map(|read| {
                let rounding = read.rounding().into_iter().collect();
                (read.map, read.parts, rounding)
            }),
        });
        match read {
            Some(Ok((map, parts, findings))) => {
                volumes.take_parts(1, parts);
                volumes.labels = Some(map);
                volumes.findings.extend(findings);
            }
            Some(Err(unread)) => refused.push(refusal(Code::UnreadableLabel, unread)?),
            None => {}
        }
        if let (Some(_), Some(image), Some(labels)) = (segments, &volumes.image, &mut volumes.labels) {
            match place_on_grid(labels, image.grid, memory)? {
                Ok(finding) => volumes.findings.extend(finding),
                Err(finding) => refused.push(finding),
            }
        }
        // Where the slices of stacks belong in each other nobody knows when they are not as many.
        let resample = self.resample_labels && !self.seen[case].0;
        if let (true, Some(image), Some(labels)) = (resample, &volumes.image, &mut volumes.labels) {
            let taken = memory.take_each(image.voxels.len() as u64, size_of::<u16>() as u64);
            taken.map_err(Refusal::Memory)?;
            match put_on_grid(labels, image.grid) {
                Ok(finding) => volumes.findings.extend(finding),
                Err(finding) => refused.push(finding),
            }
        }
        volumes.named = segments.zip(label.as_deref()).and_then(|(names, path)| names.labels_of(path));
        if let (None, Some((rules, _)), Some(labels)) = (segments, &self.labels.rules, &mut volumes.labels) {
            rules.apply(labels);
        }
        if self.leaves_image(case) {
            volumes.image = None;
        }
        if refused.is_empty() { Ok(volumes) } else { Err(Refusal::Case(refused)) }
    }

    fn original(&self, case: usize) -> Original {
        let DiscoveredCase { case_id, patient, .. } = &self.cases[case];
        Original { case: case_id.clone(), patient: patient.clone() }
    }
}

/// Places labels whose voxels lie on voxels of the image, such as those of a part of it; others
/// stay as they are. Inside, a finding when none of them lies in the image.
///
/// # Errors
/// [`Refusal::Memory`].
fn place_on_grid(
    labels: &mut LabelMap,
    grid: Grid,
    memory: &MemoryShare<'_>,
) -> Result<Result<Option<Finding>, Finding>, Refusal> {
    if check::is_same_grid(&labels.grid, &grid) || !grid.affine.is_usable() {
        return Ok(Ok(None));
    }
    memory.take_each(grid.len() as u64, size_of::<u16>() as u64).map_err(Refusal::Memory)?;
    let Some((placed, outside)) = labels_placed_on(labels, grid) else { return Ok(Ok(None)) };
    if outside > 0 && placed.voxels.iter().all(|label| *label == 0) {
        let message = format!("all {outside} voxels of its labels lie outside its image");
        return Ok(Err(Finding::new(Code::LabelOutsideImage, message)));
    }
    *labels = placed;
    let message = format!("{outside} voxels of its labels lie beyond the image");
    Ok(Ok((outside > 0).then(|| Finding::new(Code::LabelBeyondImage, message))))
}

/// Resamples labels that lie on another grid, and says so.
///
/// # Errors
/// A finding when none of them lies in the image.
fn put_on_grid(labels: &mut LabelMap, grid: Grid) -> Result<Option<Finding>, Finding> {
    if check::is_same_grid(&labels.grid, &grid) || !labels.grid.affine.is_usable() {
        return Ok(None);
    }
    let ml = |map: &LabelMap| {
        let voxels = map.voxels.iter().filter(|label| **label != 0).count();
        voxels as f64 * map.grid.affine.determinant().abs() / 1000.0
    };
    let resampled = labels_on(labels, grid);
    let apart = check::corners_apart_mm(&labels.grid, &grid);
    let (before, after) = (ml(labels), ml(&resampled));
    if before > 0.0 && after == 0.0 {
        let message =
            format!("its {before:.2} ml of labels lie outside its image: corners are {apart:.3} mm apart");
        return Err(Finding::new(Code::LabelOutsideImage, message));
    }
    let [nx, ny, nz] = labels.grid.shape;
    let [x, y, z] = labels.grid.spacing_mm();
    let message = format!(
        "its label map lay on another grid, of {nx} x {ny} x {nz} voxels of {x:.2} x {y:.2} x {z:.2} mm with corners \
         {apart:.3} mm apart, and was resampled to its image's: {before:.2} ml of labels before, {after:.2} ml after",
    );
    *labels = resampled;
    Ok(Some(Finding::new(Code::LabelResampled, message)))
}
