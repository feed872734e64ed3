//! The prepare and compare stages on several machines: the same files, bytes and guarantees as on
//! one.
//!
//! In: a curation folder, or its copy in an object store. Out: what `pdl prepare` and `pdl compare`
//! write there.
//!
//! A scheduler ([`scheduler`]) assigns partitions of work units ([`plan`], [`work_unit`]) to
//! executors ([`executor`]), which compute tiles ([`tile_exec`], [`worker`]) with the function of
//! `pdl compare` and write each of them into the curation folder that all machines share, or into
//! S3-compatible storage ([`storage`], [`proxy_cache`], [`object_store`]). A client ([`compare`],
//! [`prepare`]) submits what is missing ([`submission`]) and then checks that every pair exists
//! once. Cases are prepared in the same way, where all machines share a folder.
//!
//! The engine is DataFusion Ballista; our node travels through it by a codec ([`codec`],
//! [`job`]), and our errors by a token in its messages ([`error`]).
//!
//! Only members are admitted ([`security`], [`membership`], [`certificates`]), they run plans of
//! pdl and no others ([`own_plan`]), and an executor accesses nothing outside its folders and
//! prefixes ([`roots`]).
//!
//! # When a machine fails
//!
//! - An executor dies: it sends a heartbeat every second, and after 6 s of silence the
//!   [`scheduler`] assigns its unfinished partitions to other executors. Finished tiles and cases
//!   are complete files and are not computed again; no results are held in its memory ([`plan`]).
//! - No executor is left: the job fails after the scheduler's `--patience`. The client
//!   ([`compare`], [`prepare`]) prints a warning and submits what is missing again, as long as
//!   [`error::ClusterError::is_retryable`] and submissions complete anything; then it ends with
//!   [`error::ClusterError::Unfinished`], and the same command resumes.
//! - Files or the object store are out of reach: the executor repeats the task with growing pauses
//!   (`retry`) before it reports the failure.
//! - The scheduler dies: the client ends after 15 s without an answer ([`submission`]). Start the
//!   scheduler and the command again.
//!
//! # Cost of a large run
//!
//! ```text
//! seconds = (pairs * t_pair + blocks * cases per block * t_load + tiles * t_tile) / cores
//!         + tiles * t_check
//! ```
//!
//! `blocks` counts the blocks that executors load: fewer with more memory and with fewer, larger
//! partitions. `just bench-cluster OUT --many 141` measures the constants, `benches/model.py`
//! computes runs from them, and `pdl help measured` lists both. The storage is the first limit:
//! many small executors read every proxy many times.

pub mod address;
pub mod certificates;
pub mod codec;
pub mod compare;
pub mod error;
pub mod executor;
pub mod executor_id;
mod executor_service;
pub mod job;
mod limits;
pub mod membership;
pub mod object_store;
pub mod own_plan;
pub mod plan;
pub mod prepare;
mod prepare_task;
mod private_file;
pub mod proxy_cache;
mod retry;
pub mod roots;
pub mod scheduler;
pub mod scheduler_api;
mod scheduler_service;
pub mod security;
pub mod security_error;
mod stage_check;
pub mod storage;
pub mod submission;
pub mod tile_exec;
pub mod work_unit;
pub mod worker;
