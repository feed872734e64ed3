//! What commands print.

pub(crate) mod hints;
pub(crate) mod summary;
pub(crate) mod terminal_image;
