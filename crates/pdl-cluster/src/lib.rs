//! Preparation and the pair matrix on several machines, with the files, the bytes and the guarantees of one.
//!
//! A scheduler ([`scheduler`]) hands partitions of tiles ([`plan`]) to executors ([`executor`]), which compute them
//! ([`tile_exec`], [`worker`]) with the function of `pdl compare` and write each into the curation folder that all
//! machines share, or into S3-compatible storage ([`storage`], [`mirror`], [`remote`]). The client ([`client`], [`errand`]) sends what is missing, and at the end checks that every pair is there once.
//! Cases are prepared in the same way ([`prepare`]), where all machines share a folder.
//! The engine is DataFusion Ballista; our node travels through it by a codec ([`codec`], [`job`]).

mod address;
mod cases;
pub mod client;
pub mod codec;
mod display;
pub mod errand;
pub mod executor;
pub mod job;
pub mod mirror;
pub mod plan;
pub mod prepare;
pub mod remote;
pub mod rest;
pub mod scheduler;
pub mod storage;
pub mod tile_exec;
pub mod worker;

pub use address::Address;
pub use display::{Bar, note, say};
