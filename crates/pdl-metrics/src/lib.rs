//! Compares predicted label maps with reference label maps: Dice, surface distances, volumes and
//! detection, per case and label and over a cohort. Metrics of pairs of cases (SSIM, MSE) are in
//! `pdl_similarity::metrics`; `pdl-fit` calls this crate in its module `metrics`.
//!
//! - **In:** predictions and references of the same voxels, from `pdl-fit evaluate`, or from two
//!   folders of label maps from any program ([`folders`]).
//! - **Out:** rows of `evaluation-*.parquet` ([`EvaluationRow`]) and their means
//!   ([`EvaluationSummary`]).
//! - **Never:** a figure for a label that is absent from both, or not annotated in the case.

pub mod detection;
pub mod dice;
pub mod folders;
pub mod lesions;
pub mod scores;
pub mod structure;
pub mod summary_table;
pub mod surface;
mod surface_elements;

pub use detection::Detection;
pub use dice::IGNORED;
pub use lesions::LesionDetection;
pub use scores::{EvaluationRow, EvaluationSummary, ScoredCase, StructureScore, SurfaceOptions};
pub use structure::{ChannelUnion, MeasuredStructure};
pub use surface::SurfaceMeasure;
