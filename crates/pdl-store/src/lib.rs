//! Storage of the stages' results.
//!
//! In: bytes, rows and JSON values. Out: files that are whole or absent ([`atomic`]), content
//! hashes ([`hash`]), tables ([`table`]), JSON files ([`json`]), a [`journal`] from which a killed
//! stage resumes, a [`lock`] against two runs in one folder, a limit for [`memory`], validation of
//! names and paths from files ([`safe_name`], [`safe_path`]), plurals ([`plural`]), escaping of
//! names for display ([`printable`]), opening of regular files only ([`regular_file`]), recovery
//! from panics of codecs ([`catch_panic`]), the distinction of errors of the machine from those
//! of a file ([`fault`]), and the refusal of files of a newer pdl ([`format_version`]). It handles
//! no cases, volumes or pairs.
//!
//! ```
//! use pdl_store::{atomic, hash};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("note.txt");
//! assert!(atomic::write_if_changed(&path, b"whole or absent")?);
//! // The same bytes: the file is not written.
//! assert!(!atomic::write_if_changed(&path, b"whole or absent")?);
//! assert_eq!(hash::of_file(&path)?, hash::of_bytes(b"whole or absent"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod atomic;
pub mod catch_panic;
pub mod fault;
pub mod file_state;
pub mod file_system;
pub mod format_version;
pub mod hash;
pub mod journal;
pub mod json;
pub mod lock;
pub mod magic;
pub mod memory;
pub mod paths;
pub mod plural;
pub mod printable;
pub mod progress;
pub mod regular_file;
pub mod safe_name;
pub mod safe_path;
pub mod shorten;
pub mod suggest;
pub mod table;

use std::path::{Path, PathBuf};

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system reported an error.
    #[error("cannot {action}: {source}: {}", path.display())]
    Io {
        /// The attempted action, such as "write the file".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The machine failed while something was read or written, which is no defect of the file: see
    /// [`fault`].
    #[error(
        "the machine failed at {what}, and nothing was rejected or removed for that ({source}): {}, and run the same command \
         again{}",
        fault::advice(source),
        ending(path)
    )]
    Machine {
        /// The item in progress, such as "case ct_05".
        what: String,
        /// The file, if it may be named.
        path: Option<PathBuf>,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A JSON file is not what it should be.
    #[error("not the expected JSON: {source}: {}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The defect.
        source: serde_json::Error,
    },
    /// A table is not what it should be.
    #[error("not the expected table: {problem}: {}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The defect.
        problem: String,
    },
    /// A newer pdl wrote the file.
    #[error(
        "expected format version {supported} or lower, found {found}: a newer pdl wrote this file, so install that \
         version, or use another folder: {}",
        path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The version that it states.
        found: u64,
        /// The newest version that this pdl reads.
        supported: u32,
    },
    /// A file holds more than the memory limit allows.
    #[error("{source}: {}", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// Memory required, and the limit.
        source: memory::MemoryError,
    },
    /// A path out of a file leads out of the folder that it belongs to.
    #[error("the path leads out of its folder, and nothing outside is touched for it: {}", path.display())]
    Outside {
        /// The path as the file holds it.
        path: PathBuf,
    },
    /// A symbolic link is in place of a file or folder that pdl writes.
    #[error(
        "a symbolic link is in the place of a file or folder of pdl's own, and is not followed, as it may lead anywhere: \
         move what it leads to here, or remove the link: {}", path.display()
    )]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// Another run works in the folder.
    #[error("another pdl run is working in this folder; wait for it or stop it: {}", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
}

impl StoreError {
    /// An [`StoreError::Io`] for `map_err`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// A [`StoreError::Machine`] where the machine lacks the memory that `what` needs.
    pub fn no_memory(what: &str, error: memory::MemoryError) -> Option<Self> {
        let source = error.machine()?;
        Some(Self::Machine { what: what.to_owned(), path: None, source })
    }

    /// A [`StoreError::Machine`] where the machine caused `error`.
    pub fn machine(
        what: &str,
        path: Option<&Path>,
        error: &(dyn std::error::Error + 'static),
    ) -> Option<Self> {
        let source = fault::machine_error(error)?;
        Some(Self::Machine { what: what.to_owned(), path: path.map(Path::to_owned), source })
    }
}

fn ending(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or(String::new(), |path| format!(": {}", path.display()))
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, StoreError>;
