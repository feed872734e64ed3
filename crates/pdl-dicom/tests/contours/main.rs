//! Structure sets that are made here: which contours land on which slices, and what is said of
//! those that do not.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

mod exact;
mod golden;
#[path = "../objects/mod.rs"]
mod objects;
mod reading;
mod series;
mod slices;
