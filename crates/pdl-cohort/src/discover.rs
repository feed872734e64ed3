//! Finds images and labels, whatever the cohort's layout.

pub(crate) mod dicom_folder;
pub mod pairing;
pub(crate) mod patient_names;
pub mod stack_hint;
pub(crate) mod unusual_files;
pub(crate) mod volume_names;
pub mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_io::{is_volume_name, split_frame, stack, stem};
use pdl_store::memory::{MemoryLimit, MemoryShare};
use pdl_store::plural::counted;
use pdl_store::{StoreError, fault};

use crate::CohortError;
use crate::attributes::{Modality, Split};
use crate::discover::stack_hint::StackHint;
use crate::identity::case_id::{self, CaseLabel};
use crate::labels::regions::DatasetRegions;
use description::{file_name, shown};

mod bids;
mod bids_entities;
mod case_folders;
mod datalist;
mod dataset_json;
mod description;
mod dicom_masks;
mod folders;
mod image_list;
mod maskable_finding;
mod named_channels;
mod named_columns;
mod numbered_files;
mod structure_folders;
mod subject_table;
mod table;
mod table_row;
mod table_text;
mod unused_files;
mod volume_files;

pub(crate) use folders::split_channel;

/// The column of a cohort's table that lists the labels annotated in a case.
pub(crate) const ANNOTATED_COLUMN: &str = "labels_annotated";

/// A case as the cohort's layout describes it, before any volume is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiscoveredCase {
    /// Unique; letters, digits, - and _ only.
    pub case_id: String,
    /// The facts from which its id is made.
    pub name: CaseLabel,
    /// The image, if there is one.
    pub image: Option<PathBuf>,
    /// The label map, if there is one; if each structure is a file of its own, their folder or the
    /// first of them.
    pub label: Option<PathBuf>,
    /// The masks of its structures by name, if each is a file of its own.
    pub structures: BTreeMap<String, PathBuf>,
    /// The patient, if the cohort states one.
    pub patient: Option<String>,
    /// The modality, if the cohort states one.
    pub modality: Option<Modality>,
    /// The split, if the cohort states one.
    pub split: Option<Split>,
    /// All channels of the case by number, where cases have several; one alone where it lacks the
    /// others.
    pub channels: BTreeMap<u32, PathBuf>,
    /// Spacing and axes that are stated for its stacks of slices.
    pub stacks: StackHint,
    /// Values in the requested columns; `None` for blank cells.
    pub carried: ExtraColumns,
    /// Cell in the column `labels_annotated`, as text.
    pub annotated: Option<String>,
    /// The labels that its structure sets or segmentations name, if it has any.
    pub named: Option<BTreeSet<u16>>,
    /// Values in the columns that state its origin, such as a site.
    pub origins: BTreeMap<String, String>,
    /// Findings from the import of its files.
    pub findings: Vec<Finding>,
    /// Set if nothing can be read; the findings state why.
    pub refused: bool,
}

/// Values by the names of their columns.
pub type ExtraColumns = BTreeMap<String, Option<String>>;

/// The cases of a cohort, and what its files state about it as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// The cases by case id.
    pub cases: Vec<DiscoveredCase>,
    /// Names of labels, from `dataset.json`.
    pub label_names: BTreeMap<u16, String>,
    /// The modality of all, from `dataset.json`.
    pub modality: Option<Modality>,
    /// Names of the channels by number, from `dataset.json`.
    pub channel_names: BTreeMap<u32, String>,
    /// The regions in `dataset.json`.
    pub regions: DatasetRegions,
    /// Every file of a tree of DICOM files; its cases are not known yet then.
    pub dicom_files: Vec<PathBuf>,
    /// Whether images are DICOM series that were found by the names of folders, which may be those
    /// of patients.
    pub dicom_images: bool,
    /// The name of the layout.
    pub kind: &'static str,
    /// Names of tables of subjects in its folder that were read, or hold what its folders state.
    pub tables: &'static [&'static str],
    /// Findings about the cohort as a whole.
    pub findings: Vec<Finding>,
    /// For the messages of these that hold names from the cohort, those without.
    pub(crate) nameless: BTreeMap<String, String>,
}

/// Discovers the cases of the cohort at `path` (a folder, a table or a datalist), with their values
/// in the columns `carry` of the table, within the free memory. Their ids are those of new cases.
///
/// # Errors
/// [`CohortError::NotACohort`] or [`CohortError::Table`] if there is nothing that pdl can read, or
/// no such column; [`CohortError::SameCaseId`] or [`CohortError::SharedId`] if two cases are
/// indistinguishable.
pub fn find(path: &Path, carry: &BTreeSet<String>) -> Result<Layout, CohortError> {
    find_within(path, carry, &MemoryLimit::free().alone())
}

/// Like [`find`], with memory out of a share.
///
/// # Errors
/// As [`find`], and [`StoreError::Memory`] when the table has more rows than there is memory for.
pub fn find_within(
    path: &Path,
    carry: &BTreeSet<String>,
    memory: &MemoryShare<'_>,
) -> Result<Layout, CohortError> {
    let mut layout = discover(path, carry, memory)?;
    let ids = case_id::of_new(layout.cases.iter().map(|found| &found.name).collect())?;
    layout.name_cases(ids);
    Ok(layout)
}

/// Like [`find_within`], but the cases have no ids yet.
pub(crate) fn discover(
    path: &Path,
    carry: &BTreeSet<String>,
    memory: &MemoryShare<'_>,
) -> Result<Layout, CohortError> {
    let mut layout = layout_of(path, carry, memory)?;
    let root = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let paths = layout.cases.iter().flat_map(|found| [&found.image, &found.label]).flatten();
    layout.findings.extend(unusual_files::of_cases(paths, root)?);
    Ok(layout)
}

fn layout_of(path: &Path, carry: &BTreeSet<String>, memory: &MemoryShare<'_>) -> Result<Layout, CohortError> {
    let not_here =
        |problem: &str| CohortError::NotACohort { path: path.to_owned(), problem: problem.to_owned() };
    let meta = fault::metadata(path).map_err(StoreError::io("look at the cohort", path))?;
    let meta = meta.ok_or_else(|| CohortError::Missing { path: path.to_owned() })?;
    if meta.is_dir() {
        let table = table_in(path)?;
        let has_table = table.is_some();
        let mut layout = match table {
            Some((table, kind)) => Layout { kind, ..from_table(&table, carry, memory)? },
            None => from_folder(path, carry, memory)?,
        };
        if !has_table {
            layout.findings.extend(dataset_json::splits_beside(path)?);
            let beside = unused_files::beside(path, layout.tables)?;
            layout.add_maskable(beside);
            layout.findings.extend(unused_files::pictures_beside(path)?);
            // Some layouts name the images that they leave out themselves.
            if !layout.findings.iter().any(|finding| finding.code == Code::ImagesUnused) {
                let folders = unused_files::folders_beside(path, &layout.cases)?;
                layout.add_maskable(folders);
            }
        }
        let has_column =
            |column: &&String| layout.cases.iter().any(|found| found.carried.contains_key(*column));
        if !layout.dicom_files.is_empty() {
            table::check_acquisition(carry)?;
        } else if let (false, Some(column)) = (has_table, carry.iter().find(|column| !has_column(column))) {
            return Err(table::no_column(path, column, &[]));
        }
        dataset_json::read_dataset_json(&path.join(dataset_json::FILE), &mut layout, memory)?;
        if !has_table {
            layout.take_names(path);
        }
        return Ok(layout);
    }
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    match ending.as_str() {
        "csv" | "tsv" | "parquet" => {
            from_table(path, carry, memory).map(|layout| Layout { kind: "a table", ..layout })
        }
        "json" => {
            let layout = datalist::from_datalist(path, carry, memory)?;
            let folder = path.parent().unwrap_or(Path::new(""));
            // nnU-Net v1 lists images without the numbers of their channels.
            if file_name(path) == dataset_json::FILE && !layout.has_an_image()? {
                return layout_of(folder, carry, memory);
            }
            let mut layout = layout;
            layout.take_patients();
            Ok(layout)
        }
        "xls" | "xlsx" | "ods" => Err(not_here("it is a workbook: save its sheet as CSV (UTF-8)")),
        "zip" | "tar" | "gz" | "tgz" | "7z" => {
            Err(not_here("it is an archive: unpack it, and give its folder"))
        }
        _ => Err(not_here("its name ends in none of .csv, .tsv, .parquet, .json")),
    }
}

/// Names of a cohort's table in its folder, in the order of preference, each with the name of that
/// layout.
const TABLES: [(&str, &str); 3] = [
    ("cohort.csv", "a folder with a cohort.csv"),
    ("cohort.tsv", "a folder with a cohort.tsv"),
    ("cohort.parquet", "a folder with a cohort.parquet"),
];

/// The table in the folder of a cohort, and the name of that layout.
fn table_in(folder: &Path) -> Result<Option<(PathBuf, &'static str)>, StoreError> {
    for (name, kind) in TABLES {
        let path = folder.join(name);
        if fault::is_file(&path).map_err(StoreError::io("look at the file", &path))? {
            return Ok(Some((path, kind)));
        }
    }
    Ok(None)
}

fn from_table(
    path: &Path,
    carry: &BTreeSet<String>,
    memory: &MemoryShare<'_>,
) -> Result<Layout, CohortError> {
    let is_parquet = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"));
    match is_parquet {
        true => table::from_parquet(path, carry, memory),
        false => table::from_csv(path, carry, memory),
    }
}

/// Folders of volumes that pair by name, a layout of a data set that is known by its names, else a
/// tree of DICOM files in any layout.
fn from_folder(
    root: &Path,
    carry: &BTreeSet<String>,
    memory: &MemoryShare<'_>,
) -> Result<Layout, CohortError> {
    if let Some(layout) = dataset_json::listed_cases(root, memory)? {
        return Ok(layout);
    }
    let found = folders::from_folders(root);
    if found.as_ref().is_ok_and(|layout| !layout.cases.is_empty()) {
        return found;
    }
    if found.as_ref().is_err_and(|error| fault::machine_error(error).is_some()) {
        return found;
    }
    let data_sets = dataset_json::data_sets_in(root)?;
    if !data_sets.is_empty() {
        return Err(CohortError::SeveralDataSets { path: root.to_owned(), folders: data_sets });
    }
    let tree = walk::tree_below(root)?;
    let files = volume_files::VolumeFiles::of(root, &tree.files);
    if let Some(layout) = of_data_set(&files, carry, memory)? {
        let findings = layout.findings.iter().cloned().chain(unusual_files::of_tree(&tree)).collect();
        return Ok(Layout { findings, ..layout });
    }
    for file in &tree.files {
        // A path that may name a patient is not shown.
        let failed =
            |source| StoreError::Machine { what: "a file of the cohort".to_owned(), path: None, source };
        if pdl_dicom::is_dicom(file).map_err(failed)? {
            let findings =
                beside_dicom(&tree.files).into_iter().chain(unusual_files::of_tree(&tree)).collect();
            let kind = "a folder of DICOM files";
            return Ok(Layout { dicom_files: tree.files, findings, kind, ..Layout::default() });
        }
    }
    match (found, unused_files::unread_formats(&tree.files)) {
        (
            Err(CohortError::NotACohort { path, .. } | CohortError::FoldersUnpaired { path, .. }),
            Some(problem),
        ) => Err(CohortError::NotACohort { path, problem }),
        (found, _) => found.map_err(|error| with_pictures(error, &tree.files)),
    }
}

/// An error of a folder's layout, which also names the pictures in it that are not read: images or
/// label maps may be among these.
fn with_pictures(error: CohortError, files: &[PathBuf]) -> CohortError {
    let told = |problem: String| match unused_files::unread_pictures(files) {
        Some(told) => format!("there are {told}. Besides, {problem}"),
        None => problem,
    };
    match error {
        CohortError::FoldersUnpaired { path, problem } => {
            CohortError::FoldersUnpaired { path, problem: told(problem) }
        }
        CohortError::NotACohort { path, problem } => CohortError::NotACohort { path, problem: told(problem) },
        other => other,
    }
}

/// The cases of a layout that the names of all files show; `None` if it is another one.
fn of_data_set(
    files: &volume_files::VolumeFiles,
    carry: &BTreeSet<String>,
    memory: &MemoryShare<'_>,
) -> Result<Option<Layout>, CohortError> {
    if let Some(layout) = dicom_masks::find(files)? {
        return Ok(Some(layout));
    }
    if files.volumes.is_empty() {
        return Ok(None);
    }
    if let Some(layout) = bids::find(files, carry, memory)? {
        return Ok(Some(layout));
    }
    if let Some(layout) = structure_folders::find(files, carry, memory)? {
        return Ok(Some(layout));
    }
    Ok(case_folders::find(files).or_else(|| numbered_files::find(files)))
}

/// Finding about volumes in a folder that is taken as one of DICOM files.
fn beside_dicom(files: &[PathBuf]) -> Option<Finding> {
    let names = files.iter().map(|file| file_name(file));
    let volumes = names.filter(|name| is_volume_name(name) && !name.starts_with('.')).count();
    let message = format!(
        "the folder has DICOM files and {} of other formats (NIfTI, NRRD, MetaImage): it is read as a folder of DICOM \
         files, and these are not used. To use them, pass their own folder or a table that names them (columns image, \
         label, patient) as a cohort of its own",
        counted(volumes, "volume")
    );
    (volumes > 0).then(|| Finding::new(Code::VolumesBesideDicom, message))
}

fn is_stack(path: &Path) -> Result<bool, StoreError> {
    stack::is_stack(path).map_err(StoreError::io("look at the file", path))
}

impl Layout {
    /// Selects one channel of every case that has several, by number or by its name in
    /// `dataset.json`. Returns its number.
    ///
    /// # Errors
    /// [`CohortError::NoChannel`] when no channel has that name.
    pub fn choose_channel(&mut self, channel: &str) -> Result<u32, CohortError> {
        let number = self.channel_number(channel)?;
        self.cases.iter_mut().for_each(|found| found.choose_channel(number));
        self.modality = self.modality_of_channel(number);
        Ok(number)
    }

    /// How the images of a channel were made, by its name, else as the cohort says; a channel
    /// beside CT is no CT by that.
    pub(crate) fn modality_of_channel(&self, number: u32) -> Option<Modality> {
        let stated = self.channel_names.get(&number).and_then(|name| name.parse().ok());
        let is_first = self.channel_names.keys().next().is_none_or(|first| *first == number);
        let of_cohort = self.modality.filter(|modality| is_first || *modality != Modality::CT);
        stated.filter(|modality| *modality != Modality::OT).or(of_cohort)
    }

    /// The number of a channel, which is given by that or by its name.
    ///
    /// # Errors
    /// [`CohortError::NoChannel`] when no channel has that name.
    pub(crate) fn channel_number(&self, channel: &str) -> Result<u32, CohortError> {
        let named = self.channel_names.iter().find(|(_, name)| name.eq_ignore_ascii_case(channel));
        channel.parse().ok().or(named.map(|(number, _)| *number)).ok_or_else(|| {
            let known: Vec<&str> = self.channel_names.values().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            CohortError::NoChannel { channel: channel.to_owned(), known }
        })
    }

    /// Refuses a cohort none of whose files is there, as when paths are relative to another folder.
    ///
    /// # Errors
    /// [`CohortError::NoFiles`], and [`StoreError::Io`] when the machine keeps a file from being
    /// looked at.
    pub(crate) fn check_any_file(&self, cohort: &Path) -> Result<(), CohortError> {
        let files = || self.cases.iter().flat_map(|found| found.image.iter().chain(&found.label));
        let Some(first) = files().next() else { return Ok(()) };
        for file in files() {
            let path = file.with_file_name(split_frame(&file_name(file)).0);
            if fault::exists(&path).map_err(StoreError::io("look at the file", &path))? {
                return Ok(());
            }
        }
        Err(CohortError::NoFiles { path: cohort.to_owned(), first: first.clone() })
    }

    /// Whether the image of a case is there.
    fn has_an_image(&self) -> Result<bool, StoreError> {
        for image in self.cases.iter().filter_map(|found| found.image.as_deref()) {
            if fault::exists(image).map_err(StoreError::io("look at the file", image))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Splits and patients that the names of folders and files state, where the layout has none.
    fn take_names(&mut self, root: &Path) {
        self.take_patients();
        if self.cases.iter().any(|found| found.split.is_some()) {
            return;
        }
        let images = self.cases.iter().filter_map(|found| found.image.as_deref().or(found.label.as_deref()));
        let below = images.map(|path| path.strip_prefix(root).unwrap_or(Path::new("")));
        if let Some(splits) = patient_names::splits(below) {
            self.cases.iter_mut().zip(splits).for_each(|(found, split)| found.split = split);
        }
    }

    /// Patients by the names of the images, where the cohort states none.
    fn take_patients(&mut self) {
        if self.dicom_images || self.cases.iter().any(|found| found.patient.is_some()) {
            return;
        }
        let name = |found: &DiscoveredCase| {
            let path = found.image.as_ref().or(found.label.as_ref());
            let name = path.map(|path| stem(split_frame(&file_name(path)).0).to_owned()).unwrap_or_default();
            split_channel(&name).map_or(name.as_str(), |(case, _)| case).to_owned()
        };
        let names: Vec<String> = self.cases.iter().map(name).collect();
        let Some(patients) = patient_names::of_names(&names) else { return };
        let count = patients.iter().collect::<BTreeSet<_>>().len();
        // Without an example: the names may be people's.
        let message = format!(
            "the names of the images state {} of {}; the cases of one are kept in one split. If the patients are others, use a \
             table with a column patient",
            counted(count, "patient"),
            counted(names.len(), "case")
        );
        self.findings.push(Finding::new(Code::PatientByName, message));
        let all = self.cases.iter_mut().zip(patients);
        all.for_each(|(found, patient)| found.patient = Some(shown(&patient)));
    }

    /// Whether it consists of DICOM files whose folders may name patients.
    pub(crate) fn is_of_dicom(&self) -> bool {
        !self.dicom_files.is_empty() || self.dicom_images
    }

    /// Gives the cases their ids, and sorts them by these.
    pub(crate) fn name_cases(&mut self, ids: Vec<String>) {
        for (found, id) in self.cases.iter_mut().zip(ids) {
            found.case_id = id;
        }
        self.cases.sort_by(|a, b| a.case_id.cmp(&b.case_id));
    }

    /// Whether every image is the frame `number` of its file.
    pub(crate) fn are_frames(&self, number: u32) -> bool {
        let mut images = self.cases.iter().filter_map(|found| found.image.as_deref()).peekable();
        let is_frame = |path: &Path| split_frame(&file_name(path)).1 == Some(number as usize);
        images.peek().is_some() && images.all(is_frame)
    }

    /// Takes one frame, counted from 0, of every image.
    ///
    /// # Errors
    /// [`StoreError::Io`] if an error of the machine prevents an image from being inspected.
    pub fn choose_frame(&mut self, frame: usize) -> Result<(), StoreError> {
        self.cases.iter_mut().try_for_each(|found| found.choose_frame(frame))
    }
}

impl DiscoveredCase {
    /// Refuses two files of one name: they may be two versions of a volume, and the user has to
    /// choose.
    fn refuse_twins(&mut self, paths: &[PathBuf]) {
        let message =
            format!("{} files have its name and differ only in their endings: keep one", paths.len());
        self.findings.push(Finding::new(Code::SeveralFiles, message));
        self.refused = true;
    }

    /// Selects one channel of several; a case with one channel stays as it is.
    fn choose_channel(&mut self, number: u32) {
        if self.channels.is_empty() {
            return;
        }
        match self.channels.get(&number) {
            Some(path) => self.image = Some(path.clone()),
            None => {
                self.findings.push(Finding::new(Code::NoSuchChannel, format!("it has no channel {number}")));
                self.refused = true;
            }
        }
        self.channels.clear();
    }

    /// Takes one frame of an image that may hold several, or one colour of a picture.
    fn choose_frame(&mut self, frame: usize) -> Result<(), StoreError> {
        for image in self.image.iter_mut().chain(self.channels.values_mut()) {
            let is_picture = stack::is_picture(image).map_err(StoreError::io("look at the file", image))?;
            if is_picture || !is_stack(image)? {
                let name = format!("{}#{frame}", file_name(image));
                image.set_file_name(name);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
