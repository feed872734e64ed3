//! Finds the cases of a cohort, checks them, and splits them by patient.
//!
//! In: a folder in the layout of a known data set, a table, a MONAI datalist, or a tree of DICOM
//! files ([`discover`]). Out: `cases.parquet` ([`cases`]), one row for everything found, with what
//! is wrong with it. It never changes a source file, never drops a case silently, and never lets a
//! patient into two splits ([`split`], [`strata`], [`folds`], [`same_patient`]). [`survey`] takes a
//! first look at a cohort and writes nothing.
//!
//! ```
//! use pdl_cohort::index::index;
//! use pdl_cohort::parameters::IndexParameters;
//! use pdl_cohort::same_patient::SamePatient;
//! use pdl_store::journal::HashCheck;
//! use pdl_store::progress::{StageContext, Silent};
//!
//! let cohort = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sample-data/ct");
//! let out = tempfile::tempdir()?;
//! let run = StageContext { trust: HashCheck::Stamps, progress: &Silent, memory: None };
//! let indexed = index(&cohort, out.path(), &IndexParameters::default(), &SamePatient::default(), run)?;
//! assert_eq!(indexed.cases.usable().count(), 24);
//! assert!(out.path().join("cases.parquet").is_file());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod annotated;
pub mod annotation_rule;
mod assign_splits;
pub mod attributes;
pub mod case_id;
pub mod case_row;
mod case_rows;
pub mod cases;
mod check;
mod cohort_channels;
mod cohort_files;
mod cross_case_checks;
mod dicom_channels;
mod dicom_folder;
mod dicom_source;
mod dicom_structures;
pub mod discover;
mod extra_columns;
mod file_source;
pub mod folds;
mod hidden_error;
mod hidden_texts;
mod import;
pub mod index;
mod known_cases;
mod label_rules;
mod odd_files;
pub mod pairing;
pub mod parameters;
mod patient_groups;
mod pet_units;
mod place;
pub mod plausible;
mod pseudonym_table;
mod pseudonyms;
pub mod reading;
pub mod regions;
pub mod same_patient;
mod segment_labels;
mod series_image;
pub mod sources;
pub mod split;
pub mod stack_hint;
pub mod stacks;
pub mod strata;
mod structure_files;
mod structures;
pub mod survey;
mod volume_names;
pub mod walk;

use std::collections::BTreeMap;
use std::path::PathBuf;

use pdl_store::StoreError;

/// What is kept of a patient, and where, as `pdl help privacy` prints it.
///
#[doc = include_str!("../help/privacy.md")]
pub const PRIVACY_HELP: &str = include_str!("../help/privacy.md");

/// What becomes of DICOM files, as `pdl help dicom` prints it.
///
#[doc = include_str!("../help/dicom.md")]
pub const DICOM_HELP: &str = include_str!("../help/dicom.md");

/// The layouts of a cohort, as `pdl help layouts` prints them.
///
#[doc = include_str!("../help/layouts.md")]
pub const LAYOUTS_HELP: &str = include_str!("../help/layouts.md");

/// What labels mean and which were looked for, as `pdl help labels` prints it.
///
#[doc = include_str!("../help/labels.md")]
pub const LABELS_HELP: &str = include_str!("../help/labels.md");

pub use known_cases::ids_of_pairs;
pub use pseudonyms::key_file;

/// A cohort that could not be indexed.
#[derive(Debug, thiserror::Error)]
pub enum CohortError {
    /// Nothing to read at the place given.
    #[error(
        "no cohort here: {problem}. A cohort is a folder with images/ and labels/ (or imagesTr/ and \
         labelsTr/), a folder with a cohort.csv, a folder in the layout of a known data set (`pdl help layouts`), a folder of DICOM files, \
         a CSV or Parquet table with the columns image and label, or a MONAI datalist (.json). Of volumes in another layout \
         `pdl init COHORT --out OUT` makes a table: {}", path.display()
    )]
    NotACohort {
        /// What was looked at.
        path: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// Nothing at the place given.
    #[error("there is no such file or folder: {}", path.display())]
    Missing {
        /// Where the cohort should be.
        path: PathBuf,
    },
    /// A folder of volumes whose names say nothing.
    #[error(
        "no name of the {volumes} volumes says which label map goes with which image (words such as seg, mask or label \
         do): write a table with the columns case_id, image, label (blank where there is none) and patient, paths relative \
         to it, and give that as the cohort: {}", path.display()
    )]
    Unpaired {
        /// How many there are.
        volumes: usize,
        /// What was looked at.
        path: PathBuf,
    },
    /// A table that cannot be read.
    #[error("the cohort's table cannot be read ({problem}): {}", path.display())]
    Table {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A table that holds what it should not, with what stands there.
    #[error("the cohort's table cannot be read ({problem}{quote}): {}", path.display())]
    TableValue {
        /// Which file.
        path: PathBuf,
        /// Where in it, or what it lacks.
        problem: String,
        /// What stands there: nothing where that may tell whose it is.
        quote: String,
    },
    /// A channel that no case has.
    #[error(
        "--channel {channel}: there is no such channel; dataset.json names: {known}. A number from 0 will do"
    )]
    NoChannel {
        /// What was asked for.
        channel: String,
        /// What there is.
        known: String,
    },
    /// A file that tells whose the pseudonyms are, inside the folder that is given away.
    #[error(
        "{what} would lie inside the curation folder, which it must not be given away with: name a file elsewhere: {}",
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
        "others can read or write the key of the pseudonyms (mode {mode:04o}), and who has it can tell whose a pseudonym is: \
         make it yours alone (chmod 600), or give another with --pseudonym-key: {}", path.display()
    )]
    OpenKey {
        /// The key.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A column that somebody asked for and nobody has.
    #[error("there is no column {column}, which --carry, --stratify or --annotated asks for: {problem}: {}", path.display())]
    NoColumn {
        /// The cohort.
        path: PathBuf,
        /// The column that the table lacks.
        column: String,
        /// Which there are.
        problem: String,
    },
    /// Several modalities, and none chosen.
    #[error(
        "the cohort mixes modalities ({counts}); a curation folder holds one: choose with --modality, or \
         read series of one study as channels of a case (--channels CT,PT)"
    )]
    MixedModalities {
        /// How many cases of each.
        counts: String,
    },
    /// A patient whom the cohort's own table puts into two splits.
    #[error(
        "patient {patient} is in two splits of the cohort's table ({first} and {second}): mend the table"
    )]
    SplitConflict {
        /// Who.
        patient: String,
        /// One split.
        first: attributes::Split,
        /// The other.
        second: attributes::Split,
    },
    /// Rows of a cohort's table with one name.
    #[error(
        "rows {} and {} of the cohort's table have the same case_id, {case_id}: give every case one of its own: {}",
        rows[0], rows[1], path.display()
    )]
    SameCaseId {
        /// The table.
        path: PathBuf,
        /// Which name.
        case_id: String,
        /// The rows, counted from 1 after the header.
        rows: [usize; 2],
    },
    /// Cases that nothing tells apart.
    #[error(
        "two cases are made from the same files, and both would be called {case_id}: leave one of them out, or give each a \
         name of its own in a column case_id of the cohort's table"
    )]
    SharedId {
        /// What both would be called.
        case_id: String,
    },
    /// Patients whose pseudonyms are the same.
    #[error(
        "two patients would have the pseudonym {pseudonym}: make the pseudonyms under another key, in another folder"
    )]
    SharedPseudonym {
        /// The pseudonym that two patients would share.
        pseudonym: String,
    },
    /// Patients that cannot be taken as one.
    #[error(
        "patients cannot be taken as one: {}. Where they are one, give them one split in the table's column split; where \
         they are two, write no under same in the list of --same-patient",
        problems.values().map(String::as_str).collect::<Vec<_>>().join("; ")
    )]
    NotOnePatient {
        /// Why, by the name that they would have.
        problems: BTreeMap<String, String>,
    },
    /// The folder was made from another cohort.
    #[error(
        "this folder was made from another cohort ({was}), or under another key of the pseudonyms: give \
         that key, choose another --out, or delete cases.parquet to begin anew: {}", out.display()
    )]
    OtherCohort {
        /// The curation folder.
        out: PathBuf,
        /// The cohort it was made from, relative to it.
        was: String,
    },
    /// Regions that contradict themselves or the cohort.
    #[error(transparent)]
    Regions(#[from] regions::RegionError),
    /// An option's value that cannot be.
    #[error("{0}")]
    Option(String),
    /// A file could not be kept or read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
