//! Finds images and labels, whatever the cohort's layout.

use pdl_findings::{Code, Finding};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_io::{is_volume_name, stack};
use pdl_store::memory::{MemoryLimit, MemoryShare};
use pdl_store::plural::counted;
use pdl_store::{StoreError, fault};

use crate::CohortError;
use crate::attributes::{Modality, Split};
use crate::case_id::{self, CaseLabel};
use crate::odd_files;
use crate::stack_hint::StackHint;
use crate::walk;
use description::file_name;

mod datalist;
mod dataset_json;
mod description;
mod folders;
mod table;

pub(crate) use folders::split_channel;

/// The column of a cohort's table that lists the labels that were looked for in a case.
pub(crate) const ANNOTATED_COLUMN: &str = "labels_annotated";

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
    /// All channels of the case by number, where there are several; pdl takes one.
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
        let mut layout = if has_table { table::from_csv(&table, carry, memory)? } else { from_folder(path)? };
        if !layout.dicom_files.is_empty() {
            table::check_acquisition(carry)?;
        } else if let (false, Some(column)) = (has_table, carry.first()) {
            return Err(table::no_column(path, column, &[]));
        }
        dataset_json::read_dataset_json(&path.join("dataset.json"), &mut layout, memory)?;
        return Ok(layout);
    }
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("csv") => table::from_csv(path, carry, memory),
        Some("parquet") => table::from_parquet(path, carry, memory),
        Some("json") => datalist::from_datalist(path, carry, memory),
        _ => Err(not_here("its name ends in none of .csv, .parquet, .json")),
    }
}

/// Folders of volumes that pair by name, else a tree of DICOM files in any layout.
fn from_folder(root: &Path) -> Result<Layout, CohortError> {
    let found = folders::from_folders(root);
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

fn is_stack(path: &Path) -> Result<bool, StoreError> {
    stack::is_stack(path).map_err(StoreError::io("look at the file", path))
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
        if let Some(image) = &mut self.image
            && !is_stack(image)?
        {
            let name = format!("{}#{frame}", file_name(image));
            image.set_file_name(name);
        }
        Ok(())
    }
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
