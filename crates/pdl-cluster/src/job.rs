//! The job that travels with a plan: which folder, and what is made there.

use std::path::PathBuf;

use pdl_prepare::plan::Plan;
use pdl_similarity::parameters::CompareParameters;
use pdl_store::hash::Key;
use serde::{Deserialize, Serialize};

use crate::error::ClusterError;
use crate::storage::StorageUrl;

/// Version of the program and of the format in which it sends plans. All machines of a run must
/// have the same.
pub const VERSION: &str = concat!("pdl-cluster ", env!("CARGO_PKG_VERSION"), ", plan 3");

/// A run as every executor receives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// [`VERSION`] of the client.
    pub version: String,
    /// The output of the run.
    pub kind: JobKind,
}

/// The output of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Tiles of the pair matrix.
    Compare(CompareJob),
    /// Prepared cases.
    Prepare(Box<PrepareJob>),
}

/// A comparison of all cases of a folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareJob {
    /// Where proxies are read and tiles are written.
    pub location: DataLocation,
    /// Resolved parameters: the instruction set is not `auto`.
    pub parameters: CompareParameters,
    /// Hash of the proxies that the client sees.
    pub proxies: String,
}

/// A preparation of cases of a folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrepareJob {
    /// The curation folder. It and the volumes that it names have the same paths on every machine.
    pub out: PathBuf,
    /// The preparation of every case.
    pub plan: Plan,
    /// Hash of the table of cases that the client sees.
    pub cases: String,
}

/// Where proxies are read and tiles are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataLocation {
    /// A curation folder, under the same path on every machine.
    Folder(PathBuf),
    /// S3-compatible storage. Each machine takes its credentials from its own environment.
    Storage {
        /// Bucket and prefix.
        url: StorageUrl,
        /// Hash of the index of the proxies' blocks.
        index: String,
    },
}

impl CompareJob {
    /// Hash of all inputs of the tiles.
    pub fn run(&self) -> String {
        run(&self.parameters, &self.proxies)
    }
}

impl JobKind {
    /// Name under which the scheduler lists the job. Two jobs that must not run at the same time
    /// have the same name: any two of one kind in a folder, and in storage those of the same
    /// tiles.
    pub fn name(&self) -> String {
        let (what, location) = match self {
            Self::Compare(CompareJob { location: DataLocation::Folder(out), .. }) => {
                ("compare", Key::new("folder").part("out", out))
            }
            Self::Compare(job) => {
                let key = Key::new("storage").part("location", &job.location);
                ("compare", key.part("run", &job.run()))
            }
            Self::Prepare(job) => ("prepare", Key::new("folder").part("out", &job.out)),
        };
        let location = location.finish();
        format!("pdl {what} {}", &location[..location.len().min(12)])
    }
}

impl Job {
    /// A job of this version.
    pub fn new(kind: JobKind) -> Self {
        Self { version: VERSION.to_owned(), kind }
    }

    /// The bytes for the plan: JSON.
    ///
    /// # Errors
    /// [`ClusterError::InvalidPlan`] when the folder's path is not Unicode.
    pub fn encode(&self) -> Result<Vec<u8>, ClusterError> {
        serde_json::to_vec(self).map_err(invalid)
    }

    /// The job in the bytes of a plan.
    ///
    /// # Errors
    /// [`ClusterError::VersionMismatch`] for another version, whatever else it sends;
    /// [`ClusterError::InvalidPlan`] for bytes of another program.
    pub fn decode(bytes: &[u8]) -> Result<Self, ClusterError> {
        /// The part that every version sends.
        #[derive(Deserialize)]
        struct Head {
            version: String,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(invalid)?;
        if head.version != VERSION {
            let machine = VERSION.to_owned();
            return Err(ClusterError::VersionMismatch { client: head.version, machine });
        }
        serde_json::from_slice(bytes).map_err(invalid)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn invalid(error: serde_json::Error) -> ClusterError {
    ClusterError::InvalidPlan { problem: error.to_string() }
}

/// Hash of all inputs of the tiles of a run; `parameters` are resolved.
pub fn run(parameters: &CompareParameters, proxies: &str) -> String {
    Key::new("cluster run 1").part("parameters", parameters).part("proxies", &proxies).finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]
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
        let Err(ClusterError::VersionMismatch { client, machine }) = Job::decode(text) else {
            panic!("not refused as another version");
        };
        assert_eq!((client.as_str(), machine.as_str()), ("pdl-cluster 9.9", VERSION));
        assert!(matches!(Job::decode(b"x"), Err(ClusterError::InvalidPlan { .. })));
    }
}
