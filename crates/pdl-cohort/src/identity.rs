//! Ids and pseudonyms of cases, and texts without identifying parts.

pub mod case_id;
pub(crate) mod earlier_cases;
pub(crate) mod exchanged_images;
pub(crate) mod masked_error;
pub(crate) mod masked_texts;
pub(crate) mod pseudonym_table;
pub(crate) mod pseudonyms;
pub(crate) mod relocated_cohort;
pub(crate) mod settings_names;
