//! Errors of cohorts whose patients have pseudonyms, without identifying texts.

use std::path::{Path, PathBuf};

use pdl_store::StoreError;

use crate::CohortError;

/// Replaces a name.
const HIDDEN: &str = "(hidden, as cases have pseudonyms)";

impl CohortError {
    /// The error without names that the cohort's tables and files hold. Paths stay that the user
    /// named: `cohort`, `out` with what lies in it, and the files `own` with their folders.
    pub(crate) fn without_patients(self, cohort: &Path, out: &Path, own: &[PathBuf]) -> Self {
        let hidden = || HIDDEN.to_owned();
        let is_own = |path: &Path| own.iter().any(|file| file.starts_with(path));
        let place = |path: PathBuf| match path == cohort || path.starts_with(out) || is_own(&path) {
            true => path,
            false => cohort.to_owned(),
        };
        match self {
            Self::TableValue { path, problem, quote: _ } => {
                let problem = if problem.is_empty() { "a value does not fit".to_owned() } else { problem };
                Self::TableValue { path, problem, quote: format!(" {HIDDEN}") }
            }
            Self::FoldersUnpaired { path, problem: _ } => Self::FoldersUnpaired { path, problem: hidden() },
            Self::NoFiles { path, first: _ } => Self::NoFiles { path, first: PathBuf::from(HIDDEN) },
            Self::SeveralDataSets { path, folders: _ } => {
                Self::SeveralDataSets { path, folders: vec![hidden()] }
            }
            Self::NoColumn { path, column, problem: _ } => Self::NoColumn { path, column, problem: hidden() },
            Self::SameCaseId { path, case_id: _, rows } => Self::SameCaseId { path, case_id: hidden(), rows },
            Self::SharedId { case_id: _ } => Self::SharedId { case_id: hidden() },
            Self::NoChannel { channel, known: _ } => Self::NoChannel { channel, known: hidden() },
            Self::Store(error) => Self::Store(match error {
                StoreError::Io { action, path, source } => {
                    StoreError::Io { action, path: place(path), source }
                }
                StoreError::Machine { what, path, source } => {
                    StoreError::Machine { what, path: path.map(place), source }
                }
                StoreError::Json { path, source } => StoreError::Json { path: place(path), source },
                StoreError::Table { path, problem } => StoreError::Table { path: place(path), problem },
                StoreError::Memory { path, source } => StoreError::Memory { path: place(path), source },
                StoreError::NewerFormat { path, found, supported } => {
                    StoreError::NewerFormat { path: place(path), found, supported }
                }
                StoreError::Outside { path } => StoreError::Outside { path: place(path) },
                StoreError::Link { path } => StoreError::Link { path: place(path) },
                StoreError::Locked { path } => StoreError::Locked { path },
            }),
            other => other,
        }
    }
}
