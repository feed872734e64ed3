//! Names of structures and segments, which people type, without what they say of a person.
//!
//! In: what the headers of a study say of people ([`Identifiers`]). Out: a [`NameMask`], which
//! replaces names, ids and dates in a text, however they are spelled there: upper or lower case,
//! with and without accents, `ue` for `ü`, in one word or several.

mod fold;
mod identifiers;
mod mask;
mod terms;
mod vocabulary;

pub use identifiers::{Identifier, Identifiers};
pub use mask::{MaskedName, NameMask};

pub(crate) use identifiers::Source;
