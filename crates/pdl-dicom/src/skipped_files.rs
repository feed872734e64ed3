//! Files of a tree that are no part of a case, and why.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pdl_findings::SkipReason;

use crate::DicomError;

/// Why files are skipped.
#[derive(Clone, Debug)]
pub enum SkipCause {
    /// What they are.
    Kind(SkipReason),
    /// The error of the first of them.
    Error(Arc<DicomError>),
}

impl SkipCause {
    /// The reason, from a fixed list.
    pub fn reason(&self) -> SkipReason {
        match self {
            Self::Kind(reason) => *reason,
            Self::Error(error) => error.skip_reason(),
        }
    }

    /// The reason in words, with the defect.
    pub fn words(&self) -> String {
        match self {
            Self::Kind(reason) => reason.words().to_owned(),
            Self::Error(error) => error.reason(),
        }
    }
}

/// Files that were skipped for one reason.
#[derive(Clone, Debug)]
pub struct SkippedFiles {
    /// Why.
    pub cause: SkipCause,
    /// Which: never to be shown.
    pub files: Vec<PathBuf>,
}

/// Collects skipped files by what a message says of them.
#[derive(Default)]
pub(crate) struct SkippedByReason(BTreeMap<(String, SkipReason), SkippedFiles>);

impl SkippedByReason {
    pub(crate) fn add(&mut self, file: PathBuf, cause: SkipCause) {
        let key = (cause.words(), cause.reason());
        self.0.entry(key).or_insert(SkippedFiles { cause, files: Vec::new() }).files.push(file);
    }

    pub(crate) fn finish(self) -> Vec<SkippedFiles> {
        let sorted = |mut skipped: SkippedFiles| {
            skipped.files.sort();
            skipped
        };
        self.0.into_values().map(sorted).collect()
    }
}
