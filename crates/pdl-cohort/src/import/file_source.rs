//! A cohort whose cases are named by their files or a table, under pseudonyms, with stacks of
//! slices or DICOM series as images, with label maps that are put on their images' grids, or with
//! files that name their segments or hold one structure each.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use pdl_dicom::ReadOptions;
use pdl_findings::{Code, Finding};
use pdl_io::{Unread, split_frame, stack};
use pdl_store::hash::Key;
use pdl_store::memory::MemoryShare;
use pdl_store::{StoreError, fault};
use pdl_volume::{Grid, LabelMap, LabelReading, Volume, labels_on, labels_placed_on};

use crate::attributes::Modality;
use crate::check;
use crate::discover::dicom_folder;
use crate::discover::{DiscoveredCase, Layout};
use crate::identity::case_id::CaseLabel;
use crate::identity::pseudonyms::Naming;
use crate::import::series_image::{self, SeriesRead};
use crate::import::stacks;
use crate::import::{Files, ImportFailure, OriginalNames, VolumeSource, Volumes};
use crate::labels::label_rules::LabelRules;
use crate::labels::segment_labels::SegmentNames;
use crate::labels::structure_files::MaskGrid;
use crate::parameters::IndexParameters;

/// The cases under the names that they came with.
pub(crate) struct FileSource {
    naming: Naming,
    cases: Vec<DiscoveredCase>,
    seen: Vec<Seen>,
    labels: FileLabels,
    /// Whether all cases are imported, or only those with stacks or DICOM series.
    all: bool,
    resample_labels: bool,
    /// How DICOM series are read.
    dicom: ReadOptions,
}

/// A case's files, as known without reading one.
struct Seen {
    /// Whether its image is imported: a stack of slices, or a DICOM series.
    is_imported: bool,
    /// Whether its image is a DICOM series.
    is_series: bool,
    files: Files,
}

/// How the label maps of a cohort of files are read.
pub(crate) struct FileLabels {
    /// The labels of segments that files name, where some do.
    pub segments: Option<SegmentNames>,
    /// The labels of values in the other files, and the options that state them.
    pub rules: Option<(LabelRules, Vec<String>)>,
    /// How voxels become labels.
    pub reading: LabelReading,
}

impl FileSource {
    /// From cases that have their ids. `names` are the names by which they go without pseudonyms,
    /// by their label. Patients get their pseudonyms.
    ///
    /// # Errors
    /// [`StoreError::Machine`] if an error of the machine prevents a file from being inspected.
    pub(crate) fn new(
        layout: &mut Layout,
        names: &HashMap<CaseLabel, String>,
        naming: Naming,
        labels: FileLabels,
        all: bool,
        parameters: &IndexParameters,
    ) -> Result<Self, StoreError> {
        let original = |found: &DiscoveredCase| {
            let case_id = names.get(&found.name).unwrap_or(&found.case_id).clone();
            DiscoveredCase { case_id, ..found.clone() }
        };
        let cases: Vec<DiscoveredCase> = layout.cases.iter().map(original).collect();
        for found in &mut layout.cases {
            found.patient = found.patient.take().map(|patient| naming.patient(&patient));
        }
        let see = |(found, renamed): (&DiscoveredCase, &DiscoveredCase)| -> Result<Seen, StoreError> {
            let failed = |source| StoreError::Machine { what: renamed.what(), path: None, source };
            let files = |path: &Option<PathBuf>| path.as_deref().map_or(Ok(Vec::new()), files_of);
            let label_files = || match found.structures.is_empty() {
                true => files(&found.label),
                false => Ok(found.structures.values().cloned().collect()),
            };
            let has_stack = found.has_stack().map_err(|error| match error {
                StoreError::Machine { source, .. } => failed(source),
                other => other,
            })?;
            let is_series = found.has_series().map_err(|error| match error {
                StoreError::Machine { source, .. } => failed(source),
                other => other,
            })?;
            let mut files = [files(&found.image).map_err(failed)?, label_files().map_err(failed)?];
            for path in found.channels.values().skip(1) {
                let new = files_of(path).map_err(failed)?;
                let new: Vec<PathBuf> = new.into_iter().filter(|file| !files[0].contains(file)).collect();
                files[0].extend(new);
            }
            Ok(Seen { is_imported: has_stack || is_series, is_series, files })
        };
        let seen = cases.iter().zip(&layout.cases).map(see).collect::<Result<_, _>>()?;
        let resample_labels = parameters.resample_labels;
        let dicom = ReadOptions { mr_rescale: parameters.mr_rescale, ..ReadOptions::default() };
        Ok(Self { naming, cases, seen, all, resample_labels, dicom, labels })
    }

    /// The names and labels of the segments that the label file of a case names.
    fn segments_of(&self, case: usize) -> Option<Vec<(String, Option<u16>)>> {
        self.labels.segments.as_ref()?.values(self.cases[case].label.as_deref()?)
    }
}

/// The files of a path that a layout names, as known without reading one.
fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    if dicom_folder::is_series(path)? {
        return dicom_folder::files_of(path);
    }
    let slices = stack::files_of(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(match (slices.is_empty(), fault::exists(path)?) {
        (false, _) => slices,
        (true, true) => vec![path.to_owned()],
        (true, false) => vec![path.with_file_name(split_frame(&name).0)],
    })
}

impl VolumeSource for FileSource {
    fn naming(&self) -> &Naming {
        &self.naming
    }

    fn keeps(&self, case: usize) -> bool {
        let FileLabels { rules, reading, .. } = &self.labels;
        let remade =
            rules.is_some() || *reading != LabelReading::default() || self.segments_of(case).is_some();
        self.all || self.seen[case].is_imported || remade
    }

    fn leaves_image(&self, case: usize) -> bool {
        !self.all && !self.seen[case].is_imported
    }

    fn wants(&self, _found: &DiscoveredCase, _modality: Option<Modality>) -> bool {
        true
    }

    fn files(&self, case: usize) -> Files {
        let [image, mut label] = self.seen[case].files.clone();
        if let Some(names) = self.names_of(case).filter(|_| !self.cases[case].structures.is_empty()) {
            let structures = self.cases[case].structures.iter();
            let read = structures.filter(|(name, _)| names.label(name).is_some());
            label = read.map(|(_, path)| path.clone()).collect();
        }
        let is_read = !self.leaves_image(case) || self.segments_of(case).is_some();
        [if is_read { image } else { Vec::new() }, label]
    }

    fn key(&self, case: usize) -> Key {
        let found = &self.cases[case];
        let key = Key::new("keep 2").part("image", &found.image).part("label", &found.label);
        let key = if found.channels.is_empty() { key } else { key.part("channels", &found.channels) };
        let key = if self.resample_labels { key.part("resample_labels", &true) } else { key };
        let LabelReading { round_within, ignored } = self.labels.reading;
        let key = match round_within {
            Some(distance) => key.part("round_labels", &distance),
            None => key,
        };
        let key = match ignored {
            Some(value) => key.part("ignored_value", &value),
            None => key,
        };
        let key = match (self.segments_of(case), &self.labels.rules) {
            (Some(segments), _) => key.part("segments", &segments),
            (None, Some((rules, options))) => key
                .part("structures", options)
                .part("names", &rules.values())
                .part("ignored", &rules.ignored()),
            (None, None) => key,
        };
        let key = match found.structures.is_empty() {
            true => key,
            false => key.part("masks", &found.structures),
        };
        let key = match self.seen[case].is_series {
            true => key.part("mr_rescale", &self.dicom.mr_rescale),
            false => key,
        };
        if !self.seen[case].is_imported {
            return key;
        }
        let axes = found.stacks.axes.map(|axes| axes.to_string());
        key.part("stack_spacing", &found.stacks.spacing_mm).part("stack_axes", &axes)
    }

    fn read(&self, case: usize, memory: &MemoryShare<'_>) -> Result<Volumes, ImportFailure> {
        let found = &self.cases[case];
        if let Some(refused) = found.refused_stack()? {
            return Err(refused.into());
        }
        let mut volumes = Volumes { files: self.files(case), ..Volumes::default() };
        let mut refused = Vec::new();
        let series = match self.seen[case].is_series {
            true => self.read_series(case, &mut volumes, memory)?,
            false => {
                refused.extend(self.read_image(case, &mut volumes, memory)?);
                None
            }
        };
        refused.extend(self.read_channels(case, &mut volumes, memory)?);
        refused.extend(self.read_labels(case, series.as_ref(), &mut volumes, memory)?);
        let names = self.names_of(case);
        let places = names.is_some() || series.is_some();
        if let (true, Some(image), Some(labels)) = (places, &volumes.image, &mut volumes.labels) {
            match place_on_grid(labels, image.grid, memory)? {
                Ok(finding) => volumes.findings.extend(finding),
                Err(finding) => refused.push(finding),
            }
        }
        // Stacks with different numbers of slices cannot be matched slice by slice.
        let has_stack = self.seen[case].is_imported && series.is_none();
        let resample = self.resample_labels && !has_stack;
        if let (true, Some(image), Some(labels)) = (resample, &volumes.image, &mut volumes.labels) {
            let taken = memory.take_each(image.voxels.len() as u64, size_of::<u16>() as u64);
            taken.map_err(ImportFailure::Memory)?;
            match put_on_grid(labels, image.grid) {
                Ok(finding) => volumes.findings.extend(finding),
                Err(finding) => refused.push(finding),
            }
        }
        let label = found.label.as_deref();
        volumes.named = names.zip(label).and_then(|(names, path)| names.labels_of(path));
        if let (None, Some((rules, _)), Some(labels)) = (names, &self.labels.rules, &mut volumes.labels) {
            rules.apply(labels);
        }
        if self.leaves_image(case) {
            volumes.image = None;
        }
        if refused.is_empty() { Ok(volumes) } else { Err(ImportFailure::Case(refused)) }
    }

    fn original(&self, case: usize) -> OriginalNames {
        let DiscoveredCase { case_id, patient, .. } = &self.cases[case];
        OriginalNames { case: case_id.clone(), patient: patient.clone() }
    }
}

impl FileSource {
    /// The names of the segments of a case's label files, where these name some.
    fn names_of(&self, case: usize) -> Option<&SegmentNames> {
        self.labels.segments.as_ref().filter(|_| self.segments_of(case).is_some())
    }

    /// Finding about a file of a case that cannot be read, without the names of people.
    ///
    /// # Errors
    /// [`ImportFailure`] if that is no defect of the file.
    fn refusal(&self, case: usize, code: Code, unread: &Unread) -> Result<Finding, ImportFailure> {
        match (fault::machine_error(unread), unread.error.memory()) {
            (Some(error), _) => Err(ImportFailure::Machine(error)),
            (None, Some(error)) => Err(ImportFailure::Memory(error)),
            (None, None) => {
                let of_labels = code == Code::UnreadableLabel;
                let reason = if of_labels { check::reason_of_labels } else { check::reason }(&unread.error);
                let masks = self.labels.segments.as_ref().zip(self.cases[case].label.as_deref());
                let reason = match masks {
                    Some((names, label)) => names.without_people(label, &reason),
                    None => reason,
                };
                Ok(Finding::new(code, reason))
            }
        }
    }

    /// Reads the image of a case, unless it is not needed; the error states why it cannot be read.
    fn read_image(
        &self,
        case: usize,
        volumes: &mut Volumes,
        memory: &MemoryShare<'_>,
    ) -> Result<Option<Finding>, ImportFailure> {
        let found = &self.cases[case];
        // Segments are placed on the image's grid, whether the image is imported or not.
        let is_used = self.names_of(case).is_some() || !self.leaves_image(case);
        let Some(path) = found.image.as_deref().filter(|_| is_used) else { return Ok(None) };
        match stacks::read_image(path, found.stacks, memory) {
            Ok(image) => {
                volumes.findings.extend(found.assumed_axes()?);
                volumes.findings.extend(found.slice_numbers_differ()?);
                volumes.findings.extend(image.findings);
                volumes.take_parts(0, image.parts);
                volumes.image = Some(image.volume);
                Ok(None)
            }
            Err(unread) => self.refusal(case, Code::UnreadableImage, &unread).map(Some),
        }
    }

    /// Reads the images of a case after the first, if they are imported; the error states why they
    /// cannot be read.
    fn read_channels(
        &self,
        case: usize,
        volumes: &mut Volumes,
        memory: &MemoryShare<'_>,
    ) -> Result<Vec<Finding>, ImportFailure> {
        let found = &self.cases[case];
        let mut refused = Vec::new();
        for (number, path) in found.channels.iter().skip(1).filter(|_| !self.leaves_image(case)) {
            if dicom_folder::is_series(path).map_err(ImportFailure::Machine)? {
                let series = series_image::read(path, self.dicom, memory)?;
                volumes.findings.extend(series.findings);
                volumes.states.extend(series.states);
                volumes.take_channel(*number, series.image.volume, Vec::new());
                continue;
            }
            match stacks::read_image(path, found.stacks, memory) {
                Ok(image) => volumes.take_channel(*number, image.volume, image.parts),
                Err(unread) => refused.push(self.refusal(case, Code::UnreadableImage, &unread)?),
            }
        }
        Ok(refused)
    }

    /// Reads the DICOM series that is the image of a case.
    fn read_series(
        &self,
        case: usize,
        volumes: &mut Volumes,
        memory: &MemoryShare<'_>,
    ) -> Result<Option<SeriesRead>, ImportFailure> {
        let Some(path) = &self.cases[case].image else { return Ok(None) };
        let mut series = series_image::read(path, self.dicom, memory)?;
        volumes.findings.extend(series.findings.iter().cloned());
        volumes.states.extend(series.states.iter().cloned());
        let voxels = std::mem::take(&mut series.image.volume.voxels);
        volumes.image = Some(Volume { grid: series.image.volume.grid, voxels });
        Ok(Some(series))
    }

    /// Reads the labels of a case; the error states why they cannot be read.
    fn read_labels(
        &self,
        case: usize,
        series: Option<&SeriesRead>,
        volumes: &mut Volumes,
        memory: &MemoryShare<'_>,
    ) -> Result<Option<Finding>, ImportFailure> {
        let found = &self.cases[case];
        let Some(path) = found.label.as_deref() else { return Ok(None) };
        let names = self.names_of(case);
        if let Some(names) = names.filter(|_| !found.structures.is_empty()) {
            let image = volumes.image.as_ref().map(|image| image.grid);
            let reading = self.labels.reading;
            let grid = MaskGrid { image, resample: self.resample_labels, reading, stacks: found.stacks };
            let (merged, findings) = names.merge(&found.structures, grid, memory)?;
            volumes.take_parts(1, merged.parts);
            volumes.labels = Some(merged.map);
            volumes.findings.extend(findings);
            return Ok(None);
        }
        if let Some(series) = series
            && stack::is_stack(path).map_err(ImportFailure::Machine)?
        {
            let (labels, parts) = series.labels(path, memory)?;
            volumes.take_parts(1, parts);
            volumes.labels = Some(labels);
            return Ok(None);
        }
        let read = match names {
            Some(names) => names.read(path, memory).map(|read| (read.map, read.parts, read.findings)),
            None => stacks::read_labels(path, found.stacks, self.labels.reading, memory).map(|read| {
                let rounding = read.rounding().into_iter().collect();
                (read.map, read.parts, rounding)
            }),
        };
        match read {
            Ok((map, parts, findings)) => {
                volumes.take_parts(1, parts);
                volumes.labels = Some(map);
                volumes.findings.extend(findings);
                Ok(None)
            }
            Err(unread) => self.refusal(case, Code::UnreadableLabel, &unread).map(Some),
        }
    }
}

/// Places labels whose voxels lie on voxels of the image, such as those of a part of it; others
/// stay as they are. The inner finding is returned if none of them lies in the image.
///
/// # Errors
/// [`ImportFailure::Memory`].
fn place_on_grid(
    labels: &mut LabelMap,
    grid: Grid,
    memory: &MemoryShare<'_>,
) -> Result<Result<Option<Finding>, Finding>, ImportFailure> {
    if check::is_same_grid(&labels.grid, &grid) || !grid.affine.is_usable() {
        return Ok(Ok(None));
    }
    memory.take_each(grid.len() as u64, size_of::<u16>() as u64).map_err(ImportFailure::Memory)?;
    let Some((placed, outside)) = labels_placed_on(labels, grid) else { return Ok(Ok(None)) };
    if outside > 0 && placed.voxels.iter().all(|label| *label == 0) {
        let message = format!("all {outside} voxels of its labels are outside its image");
        return Ok(Err(Finding::new(Code::LabelOutsideImage, message)));
    }
    *labels = placed;
    let message = format!("{outside} voxels of its labels are outside the image");
    Ok(Ok((outside > 0).then(|| Finding::new(Code::LabelBeyondImage, message))))
}

/// Resamples labels that lie on another grid, and adds a finding.
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
            format!("its {before:.2} ml of labels are outside its image: corners are {apart:.3} mm apart");
        return Err(Finding::new(Code::LabelOutsideImage, message));
    }
    let [nx, ny, nz] = labels.grid.shape;
    let [x, y, z] = labels.grid.spacing_mm();
    let message = format!(
        "its label map was on another grid, of {nx} x {ny} x {nz} voxels of {x:.2} x {y:.2} x {z:.2} mm with corners \
         {apart:.3} mm apart, and was resampled to its image's: {before:.2} ml of labels before, {after:.2} ml after",
    );
    *labels = resampled;
    Ok(Some(Finding::new(Code::LabelResampled, message)))
}
