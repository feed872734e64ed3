//! Which frames of a series become which volume: the ways in which scanners and archives mix them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

mod doubt;
#[path = "../objects/mod.rs"]
mod objects;
mod one_volume;
mod random_series;
mod several_volumes;
mod slice_files;
mod structure_sets;
