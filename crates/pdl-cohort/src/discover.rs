//! Finds images and labels, whatever the cohort's layout.

use pdl_findings::{Code, Finding};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use csv::StringRecord;
use pdl_dicom::acquisition::KEYWORDS;
use pdl_io::{is_volume_name, stack, stem};
use pdl_store::memory::{MemoryError, MemoryLimit, MemoryShare};
use pdl_store::plural::counted;
use pdl_store::printable::{escaped, from_cell};
use pdl_store::suggest::nearest;
use pdl_store::{StoreError, fault, regular_file, table};
use serde::{Deserialize, Deserializer};

use crate::CohortError;
use crate::attributes::{Modality, Split};
use crate::case_id::{self, CaseLabel};
use crate::case_row;
use crate::odd_files;
use crate::stack_hint::StackHint;
use crate::walk;
use image_columns::ImageColumns;

mod datalist;
mod image_columns;

/// The column of a cohort's table that lists the labels that were looked for in a case.
pub(crate) const ANNOTATED_COLUMN: &str = "labels_annotated";

/// Columns of a cohort's table that say where a case comes from. They show which cases belong
/// together; their values are not kept.
const ORIGIN_COLUMNS: [&str; 6] = ["site", "source", "center", "centre", "dataset", "vendor"];

/// What a cohort's layout says about one case, before any volume is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiscoveredCase {
    /// Unique; letters, digits, - and _ only.
    pub case_id: String,
    /// What it can be named by.
    pub name: CaseLabel,
    /// The image, when there is one.
    pub image: Option<PathBuf>,
    /// The label map, when there is one.
    pub label: Option<PathBuf>,
    /// Whose image it is, when the cohort says.
    pub patient: Option<String>,
    /// How it was made, when the cohort says.
    pub modality: Option<Modality>,
    /// What it is for, when the cohort says.
    pub split: Option<Split>,
    /// All channels of the case by number, where cases have several; one alone where it lacks the
    /// others.
    pub channels: BTreeMap<u32, PathBuf>,
    /// What is said of its stacks of slices, where it has such.
    pub stacks: StackHint,
    /// Its values in the columns that were asked for; nothing where they are blank.
    pub carried: Carried,
    /// What its table says of the labels that were looked for, as text.
    pub annotated: Option<String>,
    /// The labels that its structure sets or segmentations name, where it has such.
    pub named: Option<BTreeSet<u16>>,
    /// Its values in the columns that say where it comes from.
    pub origins: BTreeMap<String, String>,
    /// What was seen where the files were made from others.
    pub findings: Vec<Finding>,
    /// Set when nothing can be read; the findings say why.
    pub refused: bool,
}

/// Values by the names of their columns.
pub type Carried = BTreeMap<String, Option<String>>;

/// What a cohort's layout says.
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
    /// Every file of a tree of DICOM files; its cases are not known yet then.
    pub dicom_files: Vec<PathBuf>,
    /// What was seen of the cohort as a whole.
    pub findings: Vec<Finding>,
}

/// One row of a cohort's table; columns of other names are passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    #[serde(deserialize_with = "image_columns::one_or_list")]
    image: Option<String>,
    #[serde(deserialize_with = "blank_is_none")]
    label: Option<String>,
    #[serde(deserialize_with = "blank_is_none")]
    patient: Option<String>,
    #[serde(deserialize_with = "blank_is_none")]
    modality: Option<String>,
    #[serde(deserialize_with = "blank_is_none")]
    split: Option<String>,
    /// Where the image's name would not do.
    #[serde(deserialize_with = "blank_is_none")]
    case_id: Option<String>,
    #[serde(deserialize_with = "blank_is_none")]
    stack_spacing: Option<String>,
    #[serde(deserialize_with = "blank_is_none")]
    stack_axes: Option<String>,
    /// All images of a row that has several, by the numbers of their channels.
    #[serde(skip)]
    channels: BTreeMap<u32, String>,
    #[serde(skip)]
    annotated: Option<String>,
    #[serde(skip)]
    origins: BTreeMap<String, String>,
}

impl Row {
    const COLUMNS: [&str; 8] =
        ["image", "label", "patient", "modality", "split", "case_id", "stack_spacing", "stack_axes"];

    /// Columns that are read as text, whatever their type, where the table has them.
    fn text_columns() -> impl Iterator<Item = &'static str> {
        [ANNOTATED_COLUMN].into_iter().chain(ORIGIN_COLUMNS)
    }

    /// Takes a value of one of the text columns.
    fn take_text(&mut self, column: &str, value: Option<String>) {
        let Some(value) = value.filter(|text| !text.is_empty()) else { return };
        if column == ANNOTATED_COLUMN {
            self.annotated = Some(value);
        } else {
            self.origins.insert(column.to_owned(), value);
        }
    }
}

/// About what a row of a cohort's table takes in memory until it is a case, besides its text,
/// bytes.
const ROW_BYTES: u64 = 1536;

/// What a byte of JSON takes at most: short items in lists of many.
const JSON_BYTES_A_BYTE: u64 = 64;

/// What the names of 3-D Slicer's segmentations have before `.nrrd`.
const SEGMENTATION: &str = ".seg";

fn no_memory(path: &Path) -> impl Fn(MemoryError) -> StoreError {
    move |source| StoreError::Memory { path: path.to_owned(), source }
}

fn blank_is_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// Finds the cases of the cohort at `path`, a folder, a table or a datalist, with their values in
/// the columns `carry` of the table, and with no more memory than is free. They have the ids of
/// cases that were never seen before.
///
/// # Errors
/// [`CohortError::NotACohort`] or [`CohortError::Table`] when there is nothing that pdl can read,
/// or no such column; [`CohortError::SameCaseId`] or [`CohortError::SharedId`] when two cases
/// cannot be told apart.
pub fn find(path: &Path, carry: &BTreeSet<String>) -> Result<Layout, CohortError> {
    find_within(path, carry, &MemoryLimit::free().alone())
}

/// As [`find`], with memory out of a share.
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

/// As [`find_within`], but the cases have no ids yet.
pub(crate) fn discover(
    path: &Path,
    carry: &BTreeSet<String>,
    memory: &MemoryShare<'_>,
) -> Result<Layout, CohortError> {
    let mut layout = layout_of(path, carry, memory)?;
    let root = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let paths = layout.cases.iter().flat_map(|found| [&found.image, &found.label]).flatten();
    layout.findings.extend(odd_files::of_cases(paths, root)?);
    Ok(layout)
}

fn layout_of(path: &Path, carry: &BTreeSet<String>, memory: &MemoryShare<'_>) -> Result<Layout, CohortError> {
    let not_here =
        |problem: &str| CohortError::NotACohort { path: path.to_owned(), problem: problem.to_owned() };
    let meta = fault::metadata(path).map_err(StoreError::io("look at the cohort", path))?;
    let meta = meta.ok_or_else(|| CohortError::Missing { path: path.to_owned() })?;
    if meta.is_dir() {
        let table = path.join("cohort.csv");
        let has_table = fault::is_file(&table).map_err(StoreError::io("look at the file", &table))?;
        let mut layout = if has_table { from_csv(&table, carry, memory)? } else { from_folder(path)? };
        if !layout.dicom_files.is_empty() {
            check_acquisition(carry)?;
        } else if let (false, Some(column)) = (has_table, carry.first()) {
            return Err(no_column(path, column, &[]));
        }
        read_dataset_json(&path.join("dataset.json"), &mut layout, memory)?;
        return Ok(layout);
    }
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("csv") => from_csv(path, carry, memory),
        Some("parquet") => from_parquet(path, carry, memory),
        Some("json") => datalist::from_datalist(path, carry, memory),
        _ => Err(not_here("its name ends in none of .csv, .parquet, .json")),
    }
}

/// Folders of volumes that pair by name, else a tree of DICOM files in any layout.
fn from_folder(root: &Path) -> Result<Layout, CohortError> {
    let found = from_folders(root);
    if found.as_ref().is_ok_and(|layout| !layout.cases.is_empty()) {
        return found;
    }
    if found.as_ref().is_err_and(|error| fault::machine_error(error).is_some()) {
        return found;
    }
    let tree = walk::tree_below(root)?;
    for file in &tree.files {
        // Of a path that may name a patient nothing is said.
        let failed =
            |source| StoreError::Machine { what: "a file of the cohort".to_owned(), path: None, source };
        if pdl_dicom::is_dicom(file).map_err(failed)? {
            let findings = beside_dicom(&tree.files).into_iter().chain(odd_files::of_tree(&tree)).collect();
            return Ok(Layout { dicom_files: tree.files, findings, ..Layout::default() });
        }
    }
    found
}

/// What is said of volumes in a folder that is taken as one of DICOM files.
fn beside_dicom(files: &[PathBuf]) -> Option<Finding> {
    let names = files.iter().map(|file| file_name(file));
    let volumes = names.filter(|name| is_volume_name(name) && !name.starts_with('.')).count();
    let message = format!(
        "the folder holds DICOM files and {} of other formats (NIfTI, NRRD, MetaImage): it is taken as a folder of DICOM \
         files, and these are not used. To use them, give their own folder or a table that names them (columns image, \
         label, patient) as a cohort of its own",
        counted(volumes, "volume")
    );
    (volumes > 0).then(|| Finding::new(Code::VolumesBesideDicom, message))
}

/// `images/` and `labels/`, or `imagesTr/` and `labelsTr/` (Decathlon, nnU-Net), paired by name.
fn from_folders(root: &Path) -> Result<Layout, CohortError> {
    let mut pair = None;
    for (images, labels) in [("images", "labels"), ("imagesTr", "labelsTr")] {
        let folder = root.join(images);
        if fault::is_dir(&folder).map_err(StoreError::io("look at the folder", &folder))? {
            pair = Some((images, labels));
            break;
        }
    }
    let pair = pair.ok_or_else(|| CohortError::NotACohort {
        path: root.to_owned(),
        problem: "the folder has neither images/ nor imagesTr/ nor a cohort.csv, and no DICOM file in it"
            .to_owned(),
    })?;
    let images = volumes(&root.join(pair.0))?;
    if images.is_empty() && is_stack(&root.join(pair.0))? {
        let problem = format!(
            "single slices lie in {0}/: put those of each volume into a folder of its own, as in {0}/CASE/slice_001.png, and \
             its labels into {1}/CASE/",
            pair.0, pair.1
        );
        return Err(CohortError::NotACohort { path: root.to_owned(), problem });
    }
    let mut labels = volumes(&root.join(pair.1))?;
    let mut cases: BTreeMap<String, DiscoveredCase> = BTreeMap::new();
    for (stem, paths) in images {
        // nnU-Net's names: CASE_0000 is channel 0 of CASE, unless the label bears the whole name.
        let (case, channel) = match split_channel(&stem) {
            Some((case, channel)) if !labels.contains_key(&stem) => (case.to_owned(), channel),
            _ => (stem, 0),
        };
        let label = labels.get(&case);
        let found = cases.entry(case).or_insert_with(|| DiscoveredCase {
            label: label.map(|paths| one(paths)),
            ..DiscoveredCase::default()
        });
        for paths in [Some(&paths), label].into_iter().flatten().filter(|paths| paths.len() > 1) {
            found.refuse_twins(paths);
        }
        found.channels.insert(channel, one(&paths));
    }
    let several = cases.values().any(|found| found.channels.len() > 1);
    for found in cases.values_mut() {
        found.image = found.channels.values().next().cloned();
        if !several {
            found.channels.clear();
        }
    }
    labels.retain(|stem, _| !cases.contains_key(stem));
    let alone =
        |paths: Vec<PathBuf>| DiscoveredCase { label: Some(one(&paths)), ..DiscoveredCase::default() };
    cases.extend(labels.into_iter().map(|(stem, paths)| (stem, alone(paths))));
    let named = |(stem, mut found): (String, DiscoveredCase)| {
        let below = |path: &Option<PathBuf>| {
            path.as_deref().map(|path| path.strip_prefix(root).unwrap_or(path).to_owned())
        };
        let [image, label] = [&found.image, &found.label].map(below);
        found.name = CaseLabel::of_files(Some(stem), image.as_deref(), label.as_deref());
        found
    };
    Ok(Layout { cases: cases.into_iter().map(named).collect(), ..Layout::default() })
}

fn is_stack(path: &Path) -> Result<bool, StoreError> {
    stack::is_stack(path).map_err(StoreError::io("look at the file", path))
}

/// The first of the files that share a name.
fn one(paths: &[PathBuf]) -> PathBuf {
    paths.first().cloned().unwrap_or_default()
}

impl Layout {
    /// Takes one channel, by number or by the name that `dataset.json` gives it, of every case that
    /// has several. Returns its number.
    ///
    /// # Errors
    /// [`CohortError::NoChannel`] when no channel has that name.
    pub fn choose_channel(&mut self, channel: &str) -> Result<u32, CohortError> {
        let named = self.channel_names.iter().find(|(_, name)| name.eq_ignore_ascii_case(channel));
        let number = channel.parse().ok().or(named.map(|(number, _)| *number));
        let Some(number) = number else {
            let known: Vec<&str> = self.channel_names.values().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(CohortError::NoChannel { channel: channel.to_owned(), known });
        };
        self.cases.iter_mut().for_each(|found| found.choose_channel(number));
        let by_name = self.channel_names.get(&number).and_then(|name| name.parse().ok());
        self.modality = by_name.filter(|modality| *modality != Modality::OT).or(self.modality);
        Ok(number)
    }

    /// Gives the cases their ids, and sorts them by these.
    pub(crate) fn name_cases(&mut self, ids: Vec<String>) {
        for (found, id) in self.cases.iter_mut().zip(ids) {
            found.case_id = id;
        }
        self.cases.sort_by(|a, b| a.case_id.cmp(&b.case_id));
    }

    /// Takes one frame, counted from 0, of every image.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the machine keeps an image from being looked at.
    pub fn choose_frame(&mut self, frame: usize) -> Result<(), StoreError> {
        self.cases.iter_mut().try_for_each(|found| found.choose_frame(frame))
    }
}

impl DiscoveredCase {
    /// Two files of one name may be two versions of a volume: which one counts is the user's to
    /// say.
    fn refuse_twins(&mut self, paths: &[PathBuf]) {
        let message =
            format!("{} files have its name and differ in their endings only: keep one", paths.len());
        self.findings.push(Finding::new(Code::SeveralFiles, message));
        self.refused = true;
    }

    /// Takes one channel of several; nothing happens to a case that has one.
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

    /// Takes one frame of an image that may hold several.
    fn choose_frame(&mut self, frame: usize) -> Result<(), StoreError> {
        for image in self.image.iter_mut().chain(self.channels.values_mut()) {
            if !is_stack(image)? {
                let name = format!("{}#{frame}", file_name(image));
                image.set_file_name(name);
            }
        }
        Ok(())
    }
}

/// The volumes and stacks of a folder by the stem of their names; a missing folder has none. Hidden
/// files, such as the `._` twins that macOS leaves in archives, are passed over.
fn volumes(folder: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>, CohortError> {
    if !fault::is_dir(folder).map_err(StoreError::io("look at the folder", folder))? {
        return Ok(BTreeMap::new());
    }
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in fault::list(folder).map_err(StoreError::io("list the folder", folder))? {
        let path = entry.path();
        let name = file_name(&path);
        if !name.starts_with('.') && (is_volume_name(&name) || is_stack(&path)?) {
            found.entry(stem_of_pair(&name).to_owned()).or_default().push(path);
        }
    }
    found.values_mut().for_each(|paths| paths.sort());
    Ok(found)
}

/// A file's name without its ending; of a segmentation (`.seg.nrrd`) that of its image.
fn stem_of_pair(name: &str) -> &str {
    let stem = stem(name);
    let is_nrrd = name.len() > stem.len() && name[stem.len()..].eq_ignore_ascii_case(".nrrd");
    let image = stem.len().checked_sub(SEGMENTATION.len()).and_then(|end| stem.split_at_checked(end));
    match image {
        Some((image, end)) if is_nrrd && end.eq_ignore_ascii_case(SEGMENTATION) => image,
        _ => stem,
    }
}

/// A name of nnU-Net's such as `CASE_0001`: the image, and the number of its channel.
pub(crate) fn split_channel(stem: &str) -> Option<(&str, u32)> {
    let (case, channel) = stem.rsplit_once('_')?;
    (channel.len() == 4).then(|| Some((case, channel.parse().ok()?)))?
}

fn from_csv(path: &Path, carry: &BTreeSet<String>, memory: &MemoryShare<'_>) -> Result<Layout, CohortError> {
    let problem = |error: csv::Error| table_error(path, &error);
    let part = memory.part();
    let bytes = read(path, 1, &part)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes.as_slice());
    let headers = reader.headers().map_err(problem)?.clone();
    if !headers.iter().any(|name| name == "image" || image_columns::may_be_images(name)) {
        let names = headers.iter().collect::<Vec<_>>().join(", ");
        return Err(quoting(path, "it has no column named image", format!(", only: {names}")));
    }
    let names: Vec<&str> = headers.iter().collect();
    let places = carry.iter().map(|column| {
        let place = names.iter().position(|name| name == column);
        place.map(|place| (column, place)).ok_or_else(|| no_column(path, column, &names))
    });
    let places = places.collect::<Result<Vec<_>, _>>()?;
    let image = names.iter().position(|name| *name == "image");
    let texts: Vec<(&str, usize)> = Row::text_columns()
        .filter_map(|column| Some((column, names.iter().position(|name| *name == column)?)))
        .collect();
    let columns = names.iter().enumerate().filter(|(_, name)| image_columns::may_be_images(name));
    let mut columns: Vec<(usize, Vec<Option<String>>)> =
        columns.map(|(place, _)| (place, Vec::new())).collect();
    let (mut rows, mut carried) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record.map_err(problem)?;
        memory.take(ROW_BYTES + 2 * record.as_slice().len() as u64).map_err(no_memory(path))?;
        let record: StringRecord = record.iter().map(from_cell).collect();
        let mut row: Row = record.deserialize(Some(&headers)).map_err(problem)?;
        // As it is written: a folder may be called 001.
        row.image =
            image.and_then(|place| record.get(place)).filter(|text| !text.is_empty()).map(str::to_owned);
        let value = |place: usize| record.get(place).filter(|text| !text.is_empty()).map(shown);
        texts.iter().for_each(|(column, place)| row.take_text(column, value(*place)));
        rows.push(row);
        carried.push(places.iter().map(|(column, place)| ((*column).clone(), value(*place))).collect());
        for (place, values) in &mut columns {
            values.push(record.get(*place).filter(|text| !text.is_empty()).map(str::to_owned));
        }
    }
    let mut images = ImageColumns::default();
    columns.into_iter().for_each(|(place, values)| images.take(names[place], values));
    let channel_names = take_images(path, &mut rows, &images)?;
    Ok(Layout { channel_names, ..from_rows(path, rows, carried)? })
}

/// Gives rows the images of their channels, and the names of these.
fn take_images(
    path: &Path,
    rows: &mut [Row],
    columns: &ImageColumns,
) -> Result<BTreeMap<u32, String>, CohortError> {
    if columns.is_empty() {
        for row in rows {
            let Some(list) = row.image.as_deref().and_then(image_columns::listed) else { continue };
            row.image = list.first().cloned();
            row.channels = if list.len() > 1 { (0..).zip(list).collect() } else { BTreeMap::new() };
        }
        return Ok(BTreeMap::new());
    }
    let images: Vec<Option<String>> = rows.iter().map(|row| row.image.clone()).collect();
    let (channels, names) = columns.channels(&images);
    for (number, (row, channels)) in rows.iter_mut().zip(channels).enumerate() {
        if !image_columns::are_distinct(&channels) {
            let problem = format!("row {} names one file for two channels", number + 1);
            return Err(table_error(path, &problem));
        }
        row.image = channels.values().next().cloned();
        row.channels = if names.len() > 1 { channels } else { BTreeMap::new() };
    }
    Ok(names)
}

fn from_parquet(
    path: &Path,
    carry: &BTreeSet<String>,
    memory: &MemoryShare<'_>,
) -> Result<Layout, CohortError> {
    let mut rows = table::read_columns::<Row>(path, &Row::COLUMNS, ROW_BYTES, memory)?;
    let mut carried = vec![Carried::new(); rows.len()];
    let names = table::column_names(path)?;
    for column in Row::text_columns().filter(|column| names.iter().any(|name| name == column)) {
        for (row, value) in rows.iter_mut().zip(table::read_text(path, column, memory)?) {
            row.take_text(column, value);
        }
    }
    for column in carry {
        if !names.contains(column) {
            return Err(no_column(path, column, &names.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        for (row, value) in carried.iter_mut().zip(table::read_text(path, column, memory)?) {
            row.insert(column.clone(), value.filter(|text| !text.is_empty()).map(|text| shown(&text)));
        }
    }
    let mut images = ImageColumns::default();
    for column in names.iter().filter(|name| image_columns::may_be_images(name)) {
        let values = table::read_text(path, column, memory)?;
        images.take(column, values.into_iter().map(|value| value.filter(|text| !text.is_empty())).collect());
    }
    let channel_names = take_images(path, &mut rows, &images)?;
    Ok(Layout { channel_names, ..from_rows(path, rows, carried)? })
}

/// Of DICOM headers only what says how an image was acquired may be kept.
fn check_acquisition(carry: &BTreeSet<String>) -> Result<(), CohortError> {
    let known = |column: &&String| KEYWORDS.contains(&column.as_str());
    carry.iter().find(|column| !known(column)).map_or(Ok(()), |column| {
        let known = KEYWORDS.join(", ");
        Err(CohortError::Option(format!("--carry {column}: of DICOM headers these can be kept: {known}")))
    })
}

fn no_column(path: &Path, column: &str, names: &[&str]) -> CohortError {
    let schema = case_row::schema();
    let known = names.iter().copied().chain(schema.fields().iter().map(|field| field.name().as_str()));
    let meant = nearest(column, known).map_or(String::new(), |name| format!("; did you mean {name}?"));
    let has = match names {
        [] => "it has no table with further columns".to_owned(),
        _ => format!("its table has {}", names.join(", ")),
    };
    CohortError::NoColumn { path: path.to_owned(), column: column.to_owned(), problem: has + &meant }
}

/// `carried` holds the further values of every row.
fn from_rows(table: &Path, rows: Vec<Row>, carried: Vec<Carried>) -> Result<Layout, CohortError> {
    let folder = table.parent().unwrap_or(Path::new("."));
    let mut cases = Vec::new();
    let mut stated: HashMap<String, usize> = HashMap::new();
    for (number, (row, carried)) in rows.into_iter().zip(carried).enumerate() {
        if row.image.is_none() && row.label.is_none() {
            return Err(table_error(table, &format!("row {} has neither image nor label", number + 1)));
        }
        if let Some(case_id) = &row.case_id
            && let Some(first) = stated.insert(case_id.clone(), number + 1)
        {
            let (path, case_id) = (table.to_owned(), case_id.clone());
            return Err(CohortError::SameCaseId { path, case_id, rows: [first, number + 1] });
        }
        let in_row = |error: String| quoting(table, &format!("row {}", number + 1), format!(": {error}"));
        let stacks =
            StackHint::of_texts(row.stack_spacing.as_deref(), row.stack_axes.as_deref()).map_err(in_row)?;
        let below = |path: &Option<String>| {
            path.as_deref()
                .map(|path| Path::new(path).strip_prefix(folder).unwrap_or(Path::new(path)).to_owned())
        };
        let [image, label] = [&row.image, &row.label].map(below);
        cases.push(DiscoveredCase {
            name: CaseLabel::of_files(row.case_id, image.as_deref(), label.as_deref()),
            image: row.image.map(|path| folder.join(path)),
            label: row.label.map(|path| folder.join(path)),
            channels: image_columns::paths(folder, row.channels),
            patient: row.patient.as_deref().map(shown),
            modality: row.modality.map(|text| text.parse()).transpose().map_err(in_row)?,
            split: row.split.map(|text| text.parse()).transpose().map_err(in_row)?,
            stacks,
            carried,
            annotated: row.annotated,
            origins: row.origins,
            ..DiscoveredCase::default()
        });
    }
    Ok(Layout { cases, ..Layout::default() })
}

/// The bytes of a file, each of which takes `bytes_a_byte` of memory with what becomes of it.
fn read(path: &Path, bytes_a_byte: u64, memory: &MemoryShare<'_>) -> Result<Vec<u8>, StoreError> {
    let meta = fault::metadata(path).map_err(StoreError::io("read the file", path))?;
    let held = meta.map_or(0, |meta| meta.len());
    memory.take_each(held, bytes_a_byte).map_err(no_memory(path))?;
    fault::retried(|| regular_file::read(path)).map_err(StoreError::io("read the file", path))
}

/// Decathlon's and nnU-Net's `dataset.json`: modality and names of labels. Missing is fine.
fn read_dataset_json(path: &Path, layout: &mut Layout, memory: &MemoryShare<'_>) -> Result<(), CohortError> {
    #[derive(Deserialize)]
    struct Dataset {
        modality: Option<BTreeMap<String, String>>,
        channel_names: Option<BTreeMap<String, String>>,
        labels: Option<BTreeMap<String, serde_json::Value>>,
    }
    if !fault::is_file(path).map_err(StoreError::io("look at the file", path))? {
        return Ok(());
    }
    let part = memory.part();
    let bytes = read(path, JSON_BYTES_A_BYTE, &part)?;
    let dataset: Dataset = serde_json::from_slice(&bytes).map_err(|error| not_json(path, &error))?;
    let channels = dataset.modality.or(dataset.channel_names).unwrap_or_default();
    layout.modality = channels.get("0").and_then(|name| name.parse().ok());
    if layout.channel_names.is_empty() {
        let named = channels.iter().filter_map(|(number, name)| Some((number.parse().ok()?, shown(name))));
        layout.channel_names = named.collect();
    }
    for (key, value) in dataset.labels.unwrap_or_default() {
        // Decathlon writes {"1": "liver"}, nnU-Net {"liver": 1}; regions (lists) have no single
        // value.
        let label = match (key.parse::<u16>(), &value) {
            (Ok(number), serde_json::Value::String(name)) => Some((number, name.clone())),
            (_, serde_json::Value::Number(number)) => {
                number.as_u64().and_then(|n| u16::try_from(n).ok()).map(|n| (n, key))
            }
            _ => None,
        };
        let label = label.filter(|(number, _)| *number > 0);
        layout.label_names.extend(label.map(|(number, name)| (number, shown(&name))));
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A name as it is taken over: nothing in it steers what shows it.
fn shown(name: &str) -> String {
    escaped(name).into_owned()
}

/// An error that quotes the table.
fn quoting(path: &Path, problem: &str, quote: String) -> CohortError {
    CohortError::TableValue { path: path.to_owned(), problem: problem.to_owned(), quote }
}

fn not_json(path: &Path, error: &serde_json::Error) -> CohortError {
    quoting(path, "", error.to_string()) // which says where
}

fn table_error(path: &Path, problem: &dyn std::fmt::Display) -> CohortError {
    CohortError::Table { path: path.to_owned(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn touch(path: PathBuf) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
    }

    fn ids(layout: &Layout) -> Vec<&str> {
        layout.cases.iter().map(|found| found.case_id.as_str()).collect()
    }

    #[test]
    fn folders_pair_by_name_and_keep_what_has_no_partner() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["images/a.nii.gz", "images/b.nii", "images/._a.nii.gz", "labels/a.nii.gz", "labels/c.nii.gz"]
        {
            touch(folder.path().join(name));
        }
        let layout = find(folder.path(), &BTreeSet::new()).unwrap();
        assert_eq!(ids(&layout), ["a", "b", "c"]);
        let has = |f: &DiscoveredCase| (f.image.is_some(), f.label.is_some());
        assert_eq!(
            layout.cases.iter().map(has).collect::<Vec<_>>(),
            [(true, true), (true, false), (false, true)]
        );
    }

    #[test]
    fn nnunet_channels_belong_to_one_case() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["imagesTr/p_0000.nii.gz", "imagesTr/p_0001.nii.gz", "labelsTr/p.nii.gz"] {
            touch(folder.path().join(name));
        }
        fs::write(
            folder.path().join("dataset.json"),
            r#"{"channel_names": {"0": "T1"}, "labels": {"background": 0, "tumour": 1}}"#,
        )
        .unwrap();
        let layout = find(folder.path(), &BTreeSet::new()).unwrap();
        assert_eq!(ids(&layout), ["p"]);
        assert_eq!(layout.cases[0].channels.len(), 2);
        assert_eq!(layout.modality, Some(Modality::MR));
        assert_eq!(layout.label_names, BTreeMap::from([(1, "tumour".to_owned())]));
    }

    #[test]
    fn a_table_gives_patients_and_splits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cohort.csv");
        fs::write(
            &path,
            "image, label,patient,site,split\nx/a.1.nii.gz,y/a.nii.gz,p1,here,test\nx/b.nii.gz,,p2,,\n",
        )
        .unwrap();
        let layout = find(folder.path(), &BTreeSet::new()).unwrap();
        assert_eq!(ids(&layout), ["a_1", "b"]);
        assert_eq!(layout.cases[0].patient.as_deref(), Some("p1"));
        assert_eq!(layout.cases[0].split, Some(Split::Test));
        assert_eq!(layout.cases[1].label, None);
    }

    #[test]
    fn columns_that_are_asked_for_are_carried_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("cohort.csv");
        fs::write(&table, "image,label,site,born,dose\na.nii,b.nii, here ,1950-01-02,007\nc.nii,d.nii,,,\n")
            .unwrap();
        let list = folder.path().join("list.json");
        fs::write(&list, r#"{"training": [{"image": "a.nii", "site": "here", "dose": "007", "age": 7}, {"image": "c.nii"}]}"#)
            .unwrap();
        let carry = BTreeSet::from(["dose".to_owned(), "site".to_owned()]);
        for path in [&table, &list] {
            let layout = find(path, &carry).unwrap();
            let text = |case: usize, column: &str| layout.cases[case].carried[column].as_deref();
            assert_eq!(
                (text(0, "site"), text(0, "dose"), text(1, "site")),
                (Some("here"), Some("007"), None)
            );
            assert!(layout.cases.iter().all(|found| found.carried.len() == 2));
            let error = find(path, &BTreeSet::from(["hospital".to_owned()])).unwrap_err().to_string();
            assert!(error.contains("no column hospital") && !error.contains("007"), "{error}");
        }
    }

    #[test]
    fn equal_names_in_two_folders_stay_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.csv");
        fs::write(&path, "image,label\nx/a.nii.gz,l/x.nii.gz\ny/a.nii.gz,l/y.nii.gz\n").unwrap();
        let layout = find(&path, &BTreeSet::new()).unwrap();
        assert_eq!(ids(&layout), ["x", "y"]);
    }

    #[test]
    fn a_datalist_with_validation_keeps_its_split() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("datalist.json");
        let text = r#"{"training": [{"image": "./a.nii.gz", "label": "./la.nii.gz", "fold": 0}],
                       "validation": [{"image": ["./b.nii.gz"], "label": "./lb.nii.gz"}],
                       "testing": ["./c.nii.gz"]}"#;
        fs::write(&path, text).unwrap();
        let splits: Vec<_> =
            find(&path, &BTreeSet::new()).unwrap().cases.iter().map(|found| found.split).collect();
        assert_eq!(splits, [Some(Split::Train), Some(Split::Val)]);
    }
}
