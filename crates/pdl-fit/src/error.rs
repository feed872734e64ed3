//! Errors of training and inference.

use std::fmt;
use std::path::PathBuf;

use pdl_cohort::attributes::Split;
use pdl_store::plural::counted;

/// Why a command of pdl-fit failed.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// libtorch refused: mostly too little memory.
    #[error("libtorch: {}", first_line(.0))]
    Torch(tch::TchError),
    /// libtorch's binding has panicked, as it does where an operation with a scalar fails.
    #[error("libtorch: {0}")]
    TorchPanic(String),
    /// A file could not be read or written.
    #[error(transparent)]
    Store(#[from] pdl_store::StoreError),
    /// The manifest is missing or cannot be followed.
    #[error(transparent)]
    Curriculum(#[from] pdl_curriculum::CurriculumError),
    /// The weights of a run do not fit its network.
    #[error("the weights lack {name} or its shape is not {shape:?}")]
    Weights {
        /// The parameter.
        name: String,
        /// The shape that the network needs.
        shape: Vec<i64>,
    },
    /// Weights are of a network with another architecture.
    #[error("the weights are of another network ({problem}): {}", path.display())]
    OtherNetwork {
        /// The difference.
        problem: String,
        /// File of the weights.
        path: PathBuf,
    },
    /// An option has an invalid value. `name` is that of the setting (`grow_share`); a program
    /// shows the flag instead (`--grow-share`).
    #[error("{name} {problem}")]
    InvalidOption {
        /// The option's name in `run.json`, or in a protocol.
        name: &'static str,
        /// What is expected, and what was found; follows the name.
        problem: String,
    },
    /// No setting has this name.
    #[error("unknown setting {name}")]
    UnknownSetting {
        /// The unknown name.
        name: String,
    },
    /// A setting has a value of the wrong type.
    #[error("invalid settings: {0}")]
    InvalidSettings(#[source] serde_json::Error),
    /// The default settings cannot be parsed.
    #[error("invalid default settings: {0}")]
    DefaultSettings(#[source] clap::Error),
    /// An arm of a protocol has invalid settings.
    #[error("arm {name}: {error}")]
    Arm {
        /// The arm.
        name: String,
        /// Why they are invalid.
        #[source]
        error: Box<FitError>,
    },
    /// A file has invalid content.
    #[error("{problem}: {}", path.display())]
    InvalidFile {
        /// What is invalid.
        problem: String,
        /// The file.
        path: PathBuf,
    },
    /// The stages of the manifest, or those that the settings replace them by, are invalid.
    #[error("the stage table is invalid: {problem}")]
    InvalidStages {
        /// What is invalid.
        problem: String,
    },
    /// A folder holds no finished run.
    #[error("no finished run in the folder (it would have a run.json): {}", path.display())]
    NoSuchRun {
        /// The folder.
        path: PathBuf,
    },
    /// A cohort cannot be indexed.
    #[error(transparent)]
    Cohort(#[from] pdl_cohort::CohortError),
    /// A later cohort has no label of the run.
    #[error("the cohort's labels ({found}) do not occur in the run ({expected}): {}", path.display())]
    OtherLabels {
        /// Names of the cohort's labels.
        found: String,
        /// Names of the run's labels.
        expected: String,
        /// The cohort.
        path: PathBuf,
    },
    /// A later cohort has no case that can be measured.
    #[error(
        "no case of the cohort has an image and labels that can be used ({} rejected): {}",
        counted(*rejected, "case"), path.display()
    )]
    NoLabelledCase {
        /// Cases that could not be used.
        rejected: usize,
        /// The cohort.
        path: PathBuf,
    },
    /// A run cannot be applied together with others.
    #[error("the runs cannot be averaged: {problem}: {}", path.display())]
    Ensemble {
        /// How the run differs from the first.
        problem: String,
        /// The folder of the run that differs.
        path: PathBuf,
    },
    /// The folds of a curation folder cannot be trained in turn.
    #[error("the folds cannot be trained: {problem}: {}", path.display())]
    Folds {
        /// What is missing or differs.
        problem: String,
        /// The folder of the folds.
        path: PathBuf,
    },
    /// A curation folder holds no tuning.
    #[error("no tuning in the folder; run `pdl-fit tune` first: {}", path.display())]
    NoTuning {
        /// The curation folder.
        path: PathBuf,
    },
    /// A tuning has trials to run.
    #[error("the tuning is unfinished; run the same `pdl-fit tune` again to resume: {}", path.display())]
    UnfinishedTuning {
        /// File.
        path: PathBuf,
    },
    /// A record is damaged, or was written by another version of pdl-fit.
    #[error("the {record} is damaged or of another version of pdl-fit: {}", path.display())]
    UnreadableRecord {
        /// Kind of the record.
        record: Record,
        /// File.
        path: PathBuf,
    },
    /// A record has a format that this version of pdl-fit cannot read.
    #[error(
        "the {record} has format {found}, which this version of pdl-fit cannot read (its own is {supported}): {}",
        path.display()
    )]
    OtherFormat {
        /// Kind of the record.
        record: Record,
        /// Version of its format; 0 if it names none.
        found: u32,
        /// Version of the format that this pdl-fit writes.
        supported: u32,
        /// File.
        path: PathBuf,
    },
    /// A record is from another manifest than the one at hand.
    #[error("the {record} is from another manifest, whose splits may differ: {}", path.display())]
    OtherManifest {
        /// Kind of the record.
        record: Record,
        /// The record's file, or the curation folder whose manifest differs.
        path: PathBuf,
    },
    /// The output exists, and differs from the request.
    #[error("a {record} {difference} exists: {}", path.display())]
    Occupied {
        /// Kind of the existing record.
        record: Record,
        /// How it differs.
        difference: Difference,
        /// Path of the existing output.
        path: PathBuf,
    },
    /// A split has no cases.
    #[error(
        "no case is in the {split} split; set the splits in the cohort's table, or let `pdl curate` assign \
         them: {}", path.display()
    )]
    NoData {
        /// The empty split.
        split: Split,
        /// The curation folder.
        path: PathBuf,
    },
    /// The manifest's tuning subset has no training cases.
    #[error("no training case is in the tuning subset of the manifest")]
    NoTuningSubset,
    /// A cohort has too few patients to train on some and validate on others.
    #[error(
        "the cohort has {} of {}: at least {least} patients are needed to train on some and validate on \
         others; add patients to the cohort and run `pdl curate` again",
        counted(*cases, "case"), counted(*patients, "patient")
    )]
    TooFewPatients {
        /// Cases of the cohort.
        cases: usize,
        /// Patients that they are of.
        patients: usize,
        /// Patients that are needed.
        least: usize,
    },
    /// A cohort has no labels, or more than a network can have channels.
    #[error("the cohort has {}: 1 to {most} can be learnt", counted(*labels, "label"))]
    LabelCount {
        /// Labels of the cohort.
        labels: usize,
        /// Maximum number of labels of a network.
        most: usize,
    },
    /// The manifest and `cases.parquet` differ.
    #[error("case {case_id} is in the manifest, but not in cases.parquet; run `pdl curate` again")]
    UnknownCase {
        /// The case that is only in the manifest.
        case_id: String,
    },
    /// A prepared image is not a part of its original grid.
    #[error("case {case_id}: the prepared image is not on the grid of its original; run `pdl curate` again")]
    OffGrid {
        /// The case that cannot be used, by its id.
        case_id: String,
    },
    /// A label map does not fit its grid.
    #[error(transparent)]
    Volume(#[from] pdl_volume::VolumeError),
    /// A folder holds no image.
    #[error("neither a volume nor a DICOM series is in the folder or below it: {}", path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
    },
    /// Two images would have the same label map.
    #[error("two images are called {name}; predict them one after the other, into different folders")]
    DuplicateImage {
        /// The name that both images have.
        name: String,
    },
    /// DICOM files cannot be read.
    #[error("{}", .0.reason())]
    Dicom(#[source] pdl_dicom::DicomError),
    /// A search or a comparison has nothing to choose from.
    #[error("there are no candidates to choose from")]
    NoCandidates,
    /// Every trial of the last rung diverged.
    #[error("every trial diverged; try lower learning rates")]
    AllDiverged,
    /// No conventional run of an experiment reached a Dice above 0.
    #[error("no conventional run has learnt anything; try lower learning rates or longer runs")]
    NothingLearnt,
    /// A picture of a validation case cannot be encoded.
    #[error("a picture of a validation case cannot be encoded: {problem}")]
    Picture {
        /// The encoder's message.
        problem: String,
    },
    /// A worker of the data loader has ended before the last step.
    #[error("a worker of the data loader has stopped")]
    WorkerStopped,
    /// A case is invalid.
    #[error("case {case_id}: {problem}: {}", path.display())]
    Case {
        /// The case that cannot be used, by its id.
        case_id: String,
        /// What is wrong with it, with the name of the file.
        problem: String,
        /// File.
        path: PathBuf,
    },
    /// A checkpoint cannot be written or read.
    #[error("the checkpoint: {problem}; what was written before it is whole: {}", path.display())]
    Checkpoint {
        /// The operating system's error.
        problem: String,
        /// File.
        path: PathBuf,
    },
    /// The time for an experiment is up.
    #[error("the time is up with {} missing; run the same command again to resume", counted(*missing, "run"))]
    TimeUp {
        /// Runs of the present step that are missing.
        missing: usize,
    },
    /// The run was interrupted and has written a checkpoint.
    #[error("{}", pdl_store::progress::HOW_TO_RESUME)]
    Stopped,
    /// Loss or gradient is infinite or not a number.
    #[error("training diverged: the {what} is {value} at step {step}; lower the learning rate")]
    Diverged {
        /// The step after which training diverged.
        step: u64,
        /// Loss or gradient norm.
        what: &'static str,
        /// Infinite, or not a number.
        value: f64,
    },
}

/// The kind of result that a JSON record in a folder describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A finished run.
    Run,
    /// An interrupted run.
    Checkpoint,
    /// A tuning of settings.
    Tuning,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run => "run",
            Self::Checkpoint => "checkpoint",
            Self::Tuning => "tuning",
        })
    }
}

/// How a record differs from what was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Other settings.
    Settings,
    /// Another manifest.
    Manifest,
    /// Other initial weights.
    Initialisation,
    /// Another extension.
    Extension,
    /// A format that this version of pdl-fit, which writes `supported`, cannot read.
    Format {
        /// Version of the format.
        found: u32,
        /// Version of the format that this pdl-fit writes.
        supported: u32,
    },
    /// Damaged, or of another version.
    Unreadable,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Format { found, supported } = self {
            let own = format!("this version of pdl-fit cannot read (its own is {supported})");
            return write!(f, "with format {found}, which {own},");
        }
        f.write_str(match self {
            Self::Settings => "with other settings",
            Self::Manifest => "from another manifest",
            Self::Initialisation => "with other initial weights",
            Self::Extension => "with another extension",
            Self::Format { .. } | Self::Unreadable => "that is damaged or of another version of pdl-fit",
        })
    }
}

impl FitError {
    pub(crate) fn option(name: &'static str, problem: impl Into<String>) -> Self {
        Self::InvalidOption { name, problem: problem.into() }
    }
}

/// No source of the error: its text, stack trace and all, would follow the message.
impl From<tch::TchError> for FitError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error)
    }
}

/// libtorch's message, without its stack trace.
fn first_line(error: &tch::TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The result of a part of training.
pub type Result<T> = std::result::Result<T, FitError>;

/// Why a record cannot be read: it is damaged, or the error of the store.
pub(crate) fn record(record: Record, error: pdl_store::StoreError, path: &std::path::Path) -> FitError {
    match error {
        pdl_store::StoreError::Json { .. } => FitError::UnreadableRecord { record, path: path.to_owned() },
        other => other.into(),
    }
}
