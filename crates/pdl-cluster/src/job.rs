//! What travels with a plan: which folder, and what is to be made there.

use std::path::PathBuf;

use pdl_prepare::plan::Plan;
use pdl_similarity::parameters::CompareParameters;
use pdl_store::hash::Key;
use serde::{Deserialize, Serialize};

use crate::storage::StorageUrl;

/// The version of the program and of what it sends; both ends of a run must have the same.
pub const VERSION: &str = concat!("pdl-cluster ", env!("CARGO_PKG_VERSION"), ", plan 2");

/// A run as every executor gets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// [`VERSION`] of the client.
    pub version: String,
    /// What is made.
    pub kind: JobKind,
}

/// What a run makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Tiles of the pair matrix.
    Compare(CompareJob),
    /// Prepared cases.
    Prepare(Box<PrepareJob>),
}

/// A comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareJob {
    /// Where proxies are, and parts go.
    pub location: DataLocation,
    /// How to compare; the instruction set is a concrete one.
    pub parameters: CompareParameters,
    /// The hash of the proxies that the client sees.
    pub proxies: String,
}

/// A preparation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrepareJob {
    /// The curation folder, under the same path on every machine, as are the volumes that it names.
    pub out: PathBuf,
    /// What is done to every case.
    pub plan: Plan,
    /// The hash of the table of cases that the client sees.
    pub cases: String,
}

/// Where proxies are, and parts go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataLocation {
    /// A curation folder, under the same path on every machine.
    Folder(PathBuf),
    /// S3-compatible storage; each machine's environment says how to get in.
    Storage {
        /// Bucket and prefix.
        url: StorageUrl,
        /// Hash of the list of blocks that the proxies are cut into.
        index: String,
    },
}

/// Why a plan is refused.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The bytes are no plan of this program.
    #[error("this is no plan of pdl-cluster: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// Another version made it.
    #[error(
        "the plan was made by '{theirs}', and here runs '{VERSION}': install the same version on all machines"
    )]
    OtherVersion {
        /// The client's version.
        theirs: String,
    },
}

impl CompareJob {
    /// The hash of all that the parts depend on.
    pub fn run(&self) -> String {
        run(&self.parameters, &self.proxies)
    }
}

impl JobKind {
    /// What it makes, and where, for people and schedulers: the same for two that must not be at work at a time. In a
    /// folder those are any two; in storage every run has a place of its own.
    pub fn name(&self) -> String {
        let (what, location) = match self {
            Self::Compare(CompareJob { location: DataLocation::Folder(out), .. }) => {
                ("compare", Key::new("folder").part("out", out))
            }
            Self::Compare(job) => {
                ("compare", Key::new("storage").part("location", &job.location).part("run", &job.run()))
            }
            Self::Prepare(job) => ("prepare", Key::new("folder").part("out", &job.out)),
        };
        let location = location.finish();
        format!("pdl {what} {}", &location[..location.len().min(12)])
    }
}

impl Job {
    /// Of this version.
    pub fn new(kind: JobKind) -> Self {
        Self { version: VERSION.to_owned(), kind }
    }

    /// As bytes for the plan.
    ///
    /// # Errors
    /// [`JobError::Unreadable`] when the folder's path is no Unicode.
    pub fn encode(&self) -> Result<Vec<u8>, JobError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// From bytes of a plan.
    ///
    /// # Errors
    /// [`JobError`] for bytes of another program or of another version of this one.
    pub fn decode(bytes: &[u8]) -> Result<Self, JobError> {
        /// What every version has, whatever else it sends.
        #[derive(Deserialize)]
        struct Head {
            version: String,
        }
        let head: Head = serde_json::from_slice(bytes)?;
        if head.version != VERSION {
            return Err(JobError::OtherVersion { theirs: head.version });
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// The hash of all that the parts of a run depend on; `parameters` have a concrete instruction set.
pub fn run(parameters: &CompareParameters, proxies: &str) -> String {
    Key::new("cluster run 1").part("parameters", parameters).part("proxies", &proxies).finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn another_version_is_named() {
        let job = Job::new(JobKind::Compare(CompareJob {
            location: DataLocation::Folder("out".into()),
            parameters: CompareParameters::default(),
            proxies: "abc".to_owned(),
        }));
        assert_eq!(Job::decode(&job.encode().unwrap()).unwrap(), job);
        let text = br#"{"version": "pdl-cluster 9.9", "other": 1}"#;
        let error = Job::decode(text).unwrap_err().to_string();
        assert!(error.contains("pdl-cluster 9.9") && error.contains("same version"), "{error}");
        assert!(matches!(Job::decode(b"x"), Err(JobError::Unreadable(_))));
    }
}
