//! Discovers the cases of a cohort, checks them, and splits them by patient.
//!
//! In: a folder in a known layout, a table, a MONAI datalist, or a tree of DICOM files
//! ([`discover`]). Out: `cases.parquet` ([`table::cases`]), one row per case with its findings. It
//! never changes a source file, never drops a case silently, and never puts a patient into two
//! splits ([`split`], [`split::strata`], [`split::folds`], [`split::same_patient`]). [`survey`]
//! inspects a cohort and writes nothing.
//!
//! ```
//! use pdl_cohort::index::index;
//! use pdl_cohort::parameters::IndexParameters;
//! use pdl_cohort::split::same_patient::SamePatient;
//! use pdl_store::journal::HashCheck;
//! use pdl_store::progress::{StageContext, Silent};
//!
//! let cohort = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sample-data/ct");
//! let out = tempfile::tempdir()?;
//! let run = StageContext { hash_check: HashCheck::Stamps, progress: &Silent, memory: None };
//! let parameters = IndexParameters::default();
//! let indexed = index(&cohort, out.path(), &parameters, &SamePatient::default(), run)?;
//! assert_eq!(indexed.cases.usable().count(), 24);
//! assert!(out.path().join("cases.parquet").is_file());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod attributes;
mod check;
mod cohort_paths;
pub mod discover;
pub mod identity;
mod import;
pub mod index;
pub mod invalid_option;
pub mod labels;
pub mod parameters;
pub mod read_options;
pub mod split;
pub mod survey;
pub mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;

use pdl_store::StoreError;

use crate::invalid_option::InvalidOption;

/// The text of `pdl help privacy`: which data of a patient is stored, and where.
///
#[doc = include_str!("../help/privacy.md")]
pub const PRIVACY_HELP: &str = include_str!("../help/privacy.md");

/// The text of `pdl help dicom`: how DICOM files become cases.
///
#[doc = include_str!("../help/dicom.md")]
pub const DICOM_HELP: &str = include_str!("../help/dicom.md");

/// The text of `pdl help layouts`: the layouts of cohorts.
///
#[doc = include_str!("../help/layouts.md")]
pub const LAYOUTS_HELP: &str = include_str!("../help/layouts.md");

/// The text of `pdl help labels`: what labels mean, and which are annotated.
///
#[doc = include_str!("../help/labels.md")]
pub const LABELS_HELP: &str = include_str!("../help/labels.md");

pub use check::size_check;
pub use identity::earlier_cases::ids_of_pairs;
pub use identity::pseudonyms::key_file;

/// A cohort that could not be indexed.
#[derive(Debug, thiserror::Error)]
pub enum CohortError {
    /// The path is not a cohort.
    #[error(
        "no cohort here: {problem}. A cohort is a folder with images/ and labels/ (or imagesTr/ and \
         labelsTr/), a folder with a cohort.csv, a folder in the layout of a known data set (`pdl help layouts`), a folder of DICOM files, \
         a CSV or Parquet table with the columns image and label, or a MONAI datalist (.json). For volumes in another layout \
         `pdl init COHORT --out OUT` makes a table: {}", path.display()
    )]
    NotACohort {
        /// The path that was inspected.
        path: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// Folders of images and label maps that do not go together.
    #[error("images and label maps cannot be paired: {problem}: {}", path.display())]
    FoldersUnpaired {
        /// What was looked at.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A table or list of files that are elsewhere.
    #[error(
        "none of the files that the cohort names is there; the first is {}. Paths are relative to the folder of the table: {}",
        first.display(), path.display()
    )]
    NoFiles {
        /// The table or list.
        path: PathBuf,
        /// The first of its files.
        first: PathBuf,
    },
    /// A folder of whole data sets.
    #[error(
        "the folder holds data sets of their own ({}): give one of them, or a table of the images of several: {}",
        folders.join(", "), path.display()
    )]
    SeveralDataSets {
        /// What was looked at.
        path: PathBuf,
        /// The names of their folders.
        folders: Vec<String>,
    },
    /// Nothing at the place given.
    #[error("there is no such file or folder: {}", path.display())]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// A folder of volumes that cannot be paired by their names.
    #[error(
        "no name of the {volumes} volumes shows which label map belongs to which image (as the words seg, mask or \
         label do): write a table with the columns case_id, image, label (blank where there is none) and patient, \
         paths relative to it, and pass it as the cohort. A MONAI datalist in it is a cohort by itself; folders of \
         pictures count as slices of one volume, unless they are called images and masks: {}", path.display()
    )]
    Unpaired {
        /// Number of volumes.
        volumes: usize,
        /// The path that was inspected.
        path: PathBuf,
    },
    /// A folder of volumes with several label maps for one image, or several images for one label
    /// map, by their names.
    #[error(
        "{volumes} volumes, of which some are label maps by their names, and none goes with one image alone: several label \
         maps (of annotators, versions or structures) are there for one image, or several images for one label map, or \
         none; {} is one of them. Choose in a table with the columns case_id, image, label (or label_NAME for each \
         structure) and patient, paths relative to it, and pass it as the cohort: {}", label.display(), path.display()
    )]
    SeveralPartners {
        /// Number of volumes.
        volumes: usize,
        /// A label map without a partner, relative to the path.
        label: PathBuf,
        /// The path that was inspected.
        path: PathBuf,
    },
    /// A table that cannot be read.
    #[error("the cohort's table cannot be read ({problem}): {}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The defect.
        problem: String,
    },
    /// A table with an invalid cell.
    #[error("the cohort's table cannot be read ({problem}{quote}): {}", path.display())]
    TableValue {
        /// The file.
        path: PathBuf,
        /// The row and column, or what is missing.
        problem: String,
        /// The cell's text; empty if it may identify a patient.
        quote: String,
    },
    /// A channel that no case has.
    #[error("there is no channel {channel}; the cohort has: {known}. A number from 0 will do")]
    NoChannel {
        /// The channel as given.
        channel: String,
        /// The channels of the cohort.
        known: String,
    },
    /// A file that resolves the pseudonyms would lie inside the curation folder.
    #[error(
        "{what} must not be inside the curation folder, which may be shared: choose a file elsewhere: {}",
        path.display()
    )]
    InsideOut {
        /// The file's purpose.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A key that others can read.
    #[error(
        "others can read or write the key of the pseudonyms (mode {mode:04o}), and whoever has it can resolve them: \
         restrict it to yourself (chmod 600), or use another with --pseudonym-key: {}", path.display()
    )]
    OpenKey {
        /// The key.
        path: PathBuf,
        /// Permissions.
        mode: u32,
    },
    /// A requested column does not exist.
    #[error("there is no column {column}, which --carry, --stratify or --annotated requires: {problem}: {}", path.display())]
    NoColumn {
        /// The cohort.
        path: PathBuf,
        /// The column that the table lacks.
        column: String,
        /// The columns that exist.
        problem: String,
    },
    /// Several modalities, and none chosen.
    #[error(
        "the cohort mixes modalities ({counts}); a curation folder has one: select it with --modality, or read series \
         of one study as channels of a case (--channels CT,PT)"
    )]
    MixedModalities {
        /// Number of cases of each modality.
        counts: String,
    },
    /// The cohort's table puts a patient into two splits.
    #[error(
        "patient {patient} is in two splits of the cohort's table ({first} and {second}): correct the table"
    )]
    SplitConflict {
        /// Who.
        patient: String,
        /// One split.
        first: attributes::Split,
        /// The other.
        second: attributes::Split,
    },
    /// Two rows of a cohort's table have the same case id.
    #[error(
        "rows {} and {} of the cohort's table have the same case_id, {case_id}: make them unique: {}",
        rows[0], rows[1], path.display()
    )]
    SameCaseId {
        /// The table.
        path: PathBuf,
        /// The id that occurs twice.
        case_id: String,
        /// The rows, counted from 1 after the header.
        rows: [usize; 2],
    },
    /// Two cases are indistinguishable.
    #[error(
        "two cases are made from the same files, and both would be called {case_id}: remove one of them, or name them \
         in a column case_id of the cohort's table"
    )]
    SharedId {
        /// The id that both would get.
        case_id: String,
    },
    /// Two patients would get the same pseudonym.
    #[error(
        "two patients would have the pseudonym {pseudonym}: make the pseudonyms under another key, in another folder"
    )]
    SharedPseudonym {
        /// The pseudonym that two patients would share.
        pseudonym: String,
    },
    /// Patients that cannot be joined.
    #[error(
        "patients cannot be joined: {}. If they are one, state one split for them in the table's column split; if they \
         are two, write no under same in the list of --same-patient",
        problems.values().map(String::as_str).collect::<Vec<_>>().join("; ")
    )]
    NotOnePatient {
        /// The reasons, by the name that they would have.
        problems: BTreeMap<String, String>,
    },
    /// The folder was made from another cohort.
    #[error(
        "this folder was made from another cohort ({was}), or under another key of the pseudonyms: use that key, \
         choose another --out, or delete cases.parquet to start again: {}", out.display()
    )]
    OtherCohort {
        /// The curation folder.
        out: PathBuf,
        /// The cohort it was made from, relative to it.
        was: String,
    },
    /// Regions that contradict themselves or the cohort.
    #[error(transparent)]
    Regions(#[from] labels::regions::RegionError),
    /// An option has an invalid value, or contradicts another.
    #[error(transparent)]
    InvalidOption(#[from] InvalidOption),
    /// Names of labels that contradict each other, or what they name.
    #[error("[labels]{}{value}: {problem}", if value.is_empty() { "" } else { " " })]
    LabelNames {
        /// The entry as in `pdl.toml`; empty if the problem says it.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A cell `labels_annotated` that names no label.
    #[error("case {case}: {problem}")]
    Annotated {
        /// Id of the case with the cell.
        case: String,
        /// What is wrong with the cell.
        problem: String,
    },
    /// There is no folder for the key of the pseudonyms.
    #[error("no configuration folder is known for the key of the pseudonyms: use --pseudonym-key")]
    NoKeyFolder,
    /// The file of the key of the pseudonyms holds something else.
    #[error("the key of the pseudonyms is not 64 hexadecimal digits: {}", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// No key for pseudonyms can be drawn.
    #[error("the system returns no random numbers ({0})")]
    NoRandomNumbers(getrandom::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
