//! What commands print: results on stdout, warnings on stderr, and the next step.

pub(crate) mod case_list;
pub(crate) mod hints;
pub(crate) mod leaks;
pub(crate) mod summary;
pub(crate) mod terminal_image;
