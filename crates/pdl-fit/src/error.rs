//! What can go wrong in training.

use std::path::PathBuf;

/// A run that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// libtorch refused: mostly too little memory.
    #[error("libtorch: {}", first_line(.0))]
    Torch(#[from] tch::TchError),
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
    /// A setting that cannot work.
    #[error("{0}")]
    Setting(String),
    /// Another run, or one that cannot be read, is in a run's place: what it is, and what to do.
    #[error("{0}")]
    Occupied(String),
    /// A curation folder that cannot be trained on: what is wrong, and what to do.
    #[error("{0}")]
    Folder(String),
    /// A case that cannot be trained on.
    #[error("case {case_id}: {problem}: {}", path.display())]
    Case {
        /// Which case.
        case_id: String,
        /// What is wrong with it, with the name of the file.
        problem: String,
        /// Its file.
        path: PathBuf,
    },
    /// A checkpoint that cannot be written or read.
    #[error("the checkpoint: {problem}; what was written before it is whole: {}", path.display())]
    Checkpoint {
        /// What the system said.
        problem: String,
        /// Its file.
        path: PathBuf,
    },
    /// It was asked to stop, and left a checkpoint.
    #[error("{}", pdl_store::progress::HOW_TO_GO_ON)]
    Stopped,
    /// Training went astray.
    #[error("the {what} is {value} at step {step}: train with a lower --rate")]
    Diverged {
        /// The step.
        step: u64,
        /// What is no number.
        what: &'static str,
        /// What it is instead.
        value: f64,
    },
}

/// What libtorch says, without the stack of its own functions that follows.
fn first_line(error: &tch::TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The result of a part of training.
pub type Result<T> = std::result::Result<T, FitError>;
