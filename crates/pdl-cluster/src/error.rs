//! Errors of the cluster, and how those of executors and the scheduler reach the client.
//!
//! The engine forwards the text of an error and drops its type. An error that occurs beyond it is
//! therefore encoded in a token inside that text ([`ClusterError::to_engine_text`]), and the client
//! reads the token alone ([`ClusterError::from_engine`]): no decision depends on the wording of a
//! message, neither ours nor the engine's.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datafusion::error::DataFusionError;
use pdl_prepare::PrepareError;
use pdl_similarity::SimilarityError;
use pdl_similarity::isa::Isa;
use pdl_similarity::tile::Tile;
use pdl_store::StoreError;
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::proxy_cache::ProxyCacheError;
use crate::security_error::SecurityError;
use crate::storage::StorageError;

/// Precedes the encoded error, which is URL-safe base64, which no layer of the engine quotes or
/// escapes.
const TOKEN: &str = "pdl-cluster-error:";

/// Why a run, a task or a program of the cluster failed.
///
/// The variants up to [`LacksInstructionSet`](Self::LacksInstructionSet) arise on executors and the
/// scheduler and travel to the client; the others stay where they arise.
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ClusterError {
    /// The client and another machine run different versions.
    #[error(
        "the client runs '{client}', another machine runs '{machine}': install the same version on \
         all machines"
    )]
    VersionMismatch {
        /// Version of the client.
        client: String,
        /// Version of the machine that refused the plan.
        machine: String,
    },
    /// An executor sees other proxies or another table of cases than the client.
    #[error(
        "the files that an executor sees are not those of the run: all machines must share this \
         folder: {}",
        path.display()
    )]
    NotShared {
        /// The curation folder.
        path: PathBuf,
    },
    /// A tile could not be computed, or its file could not be stored.
    #[error("tile ({}, {}) could not be computed: {reason}", tile.row, tile.col)]
    TileFailed {
        /// Row and column of the tile that failed.
        tile: Tile,
        /// The error on the executor.
        reason: String,
    },
    /// A task of cases failed as a whole.
    #[error("an executor could not prepare its cases: {reason}")]
    PreparationFailed {
        /// The error on the executor.
        reason: String,
    },
    /// A task was run by a program that is not an executor.
    #[error("the task was run by a program that is no `pdl-cluster executor`")]
    NotAnExecutor,
    /// The plan was not made by this program, or cannot be built.
    #[error("the plan is invalid: {problem}: run the same pdl-cluster on all machines")]
    InvalidPlan {
        /// The defect.
        problem: String,
    },
    /// The job names a folder, a volume or a storage that the executor was not started for.
    #[error(
        "the executor {executor} may only use the folders and prefixes that it was started with: start it with another \
         --root: {place}"
    )]
    OutsideRoot {
        /// Name of the executor.
        executor: String,
        /// The folder, file or URL.
        place: String,
    },
    /// No executor has the instruction set of the run, which all executors share so that all tiles
    /// are computed in the same way.
    #[error(
        "this run computes with {isa}, which no executor has; all executors of a run use the same \
         instruction set: choose a narrower one (--isa avx2 or --isa scalar), or start an executor \
         that has it: {executors}"
    )]
    LacksInstructionSet {
        /// The instruction set of the run.
        isa: Isa,
        /// Names of the executors that lack it.
        executors: String,
    },

    /// The scheduler cannot be reached or has stopped answering.
    #[error("the scheduler at {scheduler} does not answer: {reason}")]
    #[serde(skip)]
    SchedulerGone {
        /// Address.
        scheduler: Address,
        /// What happened instead of an answer.
        reason: String,
    },
    /// Something else than a scheduler answers at the address.
    #[error("{scheduler} is not a scheduler of pdl-cluster: {source}")]
    #[serde(skip)]
    NotAScheduler {
        /// The address.
        scheduler: Address,
        /// Why its answer is invalid.
        source: serde_json::Error,
    },
    /// The engine reported a failure that carries no error of ours, such as lost executors.
    #[error("the run on the scheduler at {scheduler} failed: {message}")]
    #[serde(skip)]
    RunFailed {
        /// Address.
        scheduler: Address,
        /// The engine's text.
        message: String,
    },
    /// The engine reported success, but results are missing.
    #[error("the cluster reported success, but {missing} tiles are missing")]
    #[serde(skip)]
    ResultsMissing {
        /// Number of missing tiles.
        missing: usize,
    },
    /// A run ended early; completed results are kept.
    #[error("{source}; {done} of {total} {units} are done: run the same command again to resume")]
    #[serde(skip)]
    Unfinished {
        /// Units that this run completed.
        done: usize,
        /// Units that were missing at its start.
        total: usize,
        /// The unit of the counts.
        units: UnitKind,
        /// Why it ended.
        source: Box<Self>,
    },
    /// Ctrl-C.
    #[error("interrupted; {0}")]
    #[serde(skip)]
    Interrupted(RemainingJob),
    /// The scheduler could not start, or ended by itself.
    #[error("the scheduler cannot run: {reason}")]
    #[serde(skip)]
    SchedulerFailed {
        /// What failed.
        reason: String,
    },
    /// An executor could not start, or ended by itself.
    #[error("the executor cannot run: {reason}")]
    #[serde(skip)]
    ExecutorFailed {
        /// What failed.
        reason: String,
    },
    /// Certificates are missing or cannot be used.
    #[error(transparent)]
    #[serde(skip)]
    Security(#[from] SecurityError),
    /// There is no curation folder.
    #[error("cannot open the curation folder: {source}: {}", path.display())]
    #[serde(skip)]
    NoFolder {
        /// The path as given.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The parameters that another program passed on cannot be read.
    #[error("the parameters are invalid: {0}")]
    #[serde(skip)]
    InvalidParameters(serde_json::Error),
    /// The prepare stage on this machine.
    #[error(transparent)]
    #[serde(skip)]
    Prepare(#[from] PrepareError),
    /// The compare stage on this machine.
    #[error(transparent)]
    #[serde(skip)]
    Similarity(#[from] SimilarityError),
    /// A file on this machine.
    #[error(transparent)]
    #[serde(skip)]
    Store(#[from] StoreError),
    /// The object store, as the client uses it.
    #[error(transparent)]
    #[serde(skip)]
    Storage(#[from] StorageError),
    /// The transfer of proxies into the object store.
    #[error(transparent)]
    #[serde(skip)]
    ProxyCache(#[from] ProxyCacheError),
}

/// The units of work of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// Tiles of the pair matrix.
    Tiles,
    /// Cases to prepare.
    Cases,
}

impl fmt::Display for UnitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tiles => "tiles",
            Self::Cases => "cases",
        })
    }
}

/// State of the job that an interrupted client leaves in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemainingJob {
    /// It continues without the client.
    Continues,
    /// The client has cancelled it.
    Cancelled,
    /// It had ended before it could be cancelled.
    Ended,
    /// The scheduler did not answer the request to cancel it.
    Unknown,
}

impl fmt::Display for RemainingJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Continues => "the job continues in the cluster: run the same command again to complete it",
            Self::Cancelled => "the job is cancelled: run the same command again to resume",
            Self::Ended => "the job had already ended: run the same command again to check its results",
            Self::Unknown => "the job could not be cancelled: the scheduler does not answer",
        })
    }
}

impl ClusterError {
    /// Whether the client should submit the missing units again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::TileFailed { .. }
            | Self::PreparationFailed { .. }
            | Self::NotAnExecutor
            | Self::RunFailed { .. }
            | Self::ResultsMissing { .. } => true,
            Self::VersionMismatch { .. }
            | Self::NotShared { .. }
            | Self::InvalidPlan { .. }
            | Self::OutsideRoot { .. }
            | Self::LacksInstructionSet { .. }
            | Self::SchedulerGone { .. }
            | Self::NotAScheduler { .. }
            | Self::Unfinished { .. }
            | Self::Interrupted(_)
            | Self::Security(_)
            | Self::SchedulerFailed { .. }
            | Self::ExecutorFailed { .. }
            | Self::NoFolder { .. }
            | Self::InvalidParameters(_)
            | Self::Prepare(_)
            | Self::Similarity(_)
            | Self::Store(_)
            | Self::Storage(_)
            | Self::ProxyCache(_) => false,
        }
    }

    /// The message followed by the token that [`from_engine`](Self::from_engine) decodes; the
    /// message alone for an error that does not travel.
    pub fn to_engine_text(&self) -> String {
        match serde_json::to_vec(self) {
            Ok(json) => format!("{self} [{TOKEN}{}]", URL_SAFE_NO_PAD.encode(json)),
            Err(_) => self.to_string(),
        }
    }

    /// The error that the engine's error carries in a token; [`RunFailed`](Self::RunFailed)
    /// without one.
    pub fn from_engine(scheduler: &Address, error: &dyn Error) -> Self {
        let message = with_sources(error);
        decode(&message).unwrap_or_else(|| Self::RunFailed { scheduler: scheduler.clone(), message })
    }
}

fn decode(text: &str) -> Option<ClusterError> {
    text.split(TOKEN).skip(1).find_map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
        let json = URL_SAFE_NO_PAD.decode(&rest[..end.unwrap_or(rest.len())]).ok()?;
        serde_json::from_slice(&json).ok()
    })
}

impl From<ClusterError> for DataFusionError {
    fn from(error: ClusterError) -> Self {
        Self::Execution(error.to_engine_text())
    }
}

/// The message of an error and of its sources, without those that the one before already contains.
pub(crate) fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut last = text.clone();
    let mut source = error.source();
    while let Some(error) = source {
        let message = error.to_string();
        if !last.contains(&message) {
            text = format!("{text}: {message}");
        }
        last = message;
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    /// What the engine's errors look like to the client: a text.
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct EngineError(String);

    fn received(text: &str) -> ClusterError {
        let scheduler = "localhost:50050".parse().unwrap();
        ClusterError::from_engine(&scheduler, &EngineError(text.to_owned()))
    }

    /// One of each variant that travels.
    fn travelling() -> Vec<ClusterError> {
        vec![
            ClusterError::VersionMismatch { client: "pdl 'a'".to_owned(), machine: "pdl \"b\"".to_owned() },
            ClusterError::NotShared { path: "/shared/ein Ordner/\u{fc}".into() },
            ClusterError::TileFailed { tile: Tile { row: 3, col: 7 }, reason: "[no space] }".to_owned() },
            ClusterError::PreparationFailed { reason: "line one\nline two".to_owned() },
            ClusterError::NotAnExecutor,
            ClusterError::InvalidPlan { problem: String::new() },
            ClusterError::OutsideRoot {
                executor: "10.0.0.2:4711".to_owned(),
                place: "/etc/\u{fc}".to_owned(),
            },
            ClusterError::LacksInstructionSet { isa: Isa::Avx512, executors: "10.0.0.2:4711".to_owned() },
        ]
    }

    #[test]
    fn every_error_of_an_executor_reaches_the_client_with_its_type() {
        for error in travelling() {
            let text = error.to_engine_text();
            // The engine wraps a text, quotes it, and may repeat it.
            let wrapped = format!("Job 5 failed: Execution error: {text:?}, caused by: {text}.");
            let arrived = received(&wrapped);
            assert_eq!(
                serde_json::to_string(&arrived).unwrap(),
                serde_json::to_string(&error).unwrap(),
                "{wrapped}"
            );
            assert_eq!(arrived.is_retryable(), error.is_retryable(), "{wrapped}");
        }
    }

    #[test]
    fn the_wording_of_messages_decides_nothing() {
        for error in travelling() {
            let message = error.to_string();
            let reworded = error.to_engine_text().replace(&message, "quite another sentence");
            assert!(!reworded.contains(&message));
            assert_eq!(received(&reworded).to_string(), message);
            // Nor do the words of such a message make an error of that kind.
            let alone = received(&message);
            assert!(matches!(alone, ClusterError::RunFailed { .. }), "{alone}");
            assert!(alone.is_retryable());
        }
    }

    #[test]
    fn a_damaged_token_is_no_error_of_ours() {
        let text = ClusterError::NotAnExecutor.to_engine_text();
        for damaged in [format!("{TOKEN}AAAA"), text.replace(TOKEN, "token:"), format!("{TOKEN}%")] {
            assert!(matches!(received(&damaged), ClusterError::RunFailed { .. }), "{damaged}");
        }
    }

    #[test]
    fn an_error_that_does_not_travel_is_only_a_message() {
        let error = ClusterError::ResultsMissing { missing: 2 };
        assert_eq!(error.to_engine_text(), error.to_string());
    }
}
