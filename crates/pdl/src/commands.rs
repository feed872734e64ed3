//! The commands, a module each: its arguments, what it requires, and `run`.

pub(crate) mod audit;
pub(crate) mod compare;
pub(crate) mod config;
pub(crate) mod curate;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod duplicates;
pub(crate) mod export;
pub(crate) mod help;
pub(crate) mod import;
pub(crate) mod import_results;
pub(crate) mod index;
pub(crate) mod init;
pub(crate) mod matrix;
pub(crate) mod prepare;
pub(crate) mod rank;
pub(crate) mod report;
pub(crate) mod score;
pub(crate) mod select;
pub(crate) mod similar;
pub(crate) mod summary;
pub(crate) mod tile;
pub(crate) mod validate;
pub(crate) mod view;
