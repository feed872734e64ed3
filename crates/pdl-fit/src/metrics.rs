//! Metrics of predictions: Dice, surface distances, and the evaluation of a split.

pub(crate) mod detection;
pub(crate) mod dice;
pub(crate) mod evaluate;
pub(crate) mod lesions;
pub(crate) mod surface;
mod surface_elements;

pub use detection::Detection;
pub use evaluate::{
    Evaluation, EvaluationRow, EvaluationSummary, SurfaceOptions, evaluate, file_name as evaluation_file,
};
pub use lesions::LesionDetection;
pub use surface::SurfaceMeasure;
