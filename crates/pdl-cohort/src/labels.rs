//! What the values of label maps mean: names, rules, regions, and which are annotated.

pub(crate) mod annotated;
pub mod annotation_rule;
pub(crate) mod label_choice;
pub(crate) mod label_rules;
pub mod regions;
pub(crate) mod segment_labels;
pub(crate) mod structure_files;
pub(crate) mod structures;
