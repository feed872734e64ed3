//! Preparation and the pair matrix on several machines, with the files, the bytes and the guarantees of one.
//!
//! A scheduler ([`scheduler`]) hands partitions of tiles ([`plan`]) to executors ([`executor`]), which compute them
//! ([`tile_exec`], [`worker`]) with the function of `pdl compare` and write each into the curation folder that all
//! machines share, or into S3-compatible storage ([`storage`], [`mirror`], [`remote`]). The client ([`client`],
//! [`errand`]) sends what is missing, and at the end checks that every pair is there once.
//! Cases are prepared in the same way ([`prepare`]), where all machines share a folder.
//! The engine is DataFusion Ballista; our node travels through it by a codec ([`codec`], [`job`]).
//!
//! # What a large run costs
//!
//! Seconds of a run are about
//!
//! ```text
//! (pairs * a pair + blocks loaded * cases of a block * a case + tiles * a tile) / cores + tiles * a check
//! ```
//!
//! Measured with `just bench-cluster out/bench-cluster --many 141` on two cores with AVX-512 (AMD Zen 5; proxies of 64^3,
//! uniform window, four metrics): a pair takes 89.6 us of a core, a case 2.65 ms when it is loaded, a tile 4 ms to be
//! written and synced, a check of the client 0.038 ms. With 10,011 tiles, which are 106 pieces of a plan for two
//! executors, the scheduler works for 0.74 s, 7 ms a piece, and holds 73 MiB. A pair takes 13.9 bytes in a file, a case
//! 4.65 MB in memory. Two executors of a core each made 0.93 times as many pairs a second as one process with two threads
//! (1,536 cases, tiles of 128, median of three).
//!
//! With these constants `benches/model.py` goes through the tiles of 100,000 cases as they are handed out: 5 * 10^9 pairs
//! in 306,153 tiles of 128 x 128 (1.5 s each on one core), 69 GB of part files.
//!
//! | machines | time | core-hours, share of pairs | read from storage | pieces |
//! |---|---|---|---|---|
//! | 16 x 4 cores, 16 GiB | 2 h 1 min | 129, 97% | 5.9 TB, 0.81 GB/s | 638 |
//! | 16 x 4 cores, 64 GiB | 1 h 59 min | 127, 98% | 3.3 TB, 0.46 GB/s | 638 |
//! | 128 x 8 cores, 32 GiB | 7 min 42 s | 131, 95% | 9.0 TB, 19.6 GB/s | 3,993 |
//!
//! What breaks first is the storage: on 1,024 cores it has to give 20 GB a second, 150 MB to each machine, and one that
//! gives 5 makes it a run of half an hour. More memory for an executor helps where its pieces hold more blocks than fit;
//! where all fit, as in the last line, larger tiles change little (8.8 TB with 256), for it is how many pieces there are
//! that counts. The client's checks take 12 s, and the scheduler works for 28 s of the run on 1,024 cores. This is
//! computed, not tried: no run had more than four executors.

mod address;
mod cases;
pub mod client;
pub mod codec;
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
pub use pdl_console::{note, say};
