//! The pair matrix: computed tile by tile, stored in part files, and read.

mod block_cache;
pub mod compare;
pub mod matrix;
pub mod neighbours;
mod pair_table;
mod reuse;
pub mod tile;

pub use pair_table::{FOLDER, PairRow, Pairs, SCHEMA_VERSION, file_name, path, safe_path, schema};
