//! Spacing and axes of a stack of slices, from a table or the parameters.

use pdl_io::StackGeometry;
use pdl_volume::{Orientation, OrientationError};

use crate::invalid_option::InvalidOption;
use crate::parameters::IndexParameters;
/// The usual orientation of axial slices: columns to the patient's left, rows to the back, slices
/// to the head; ITK's default, too.
pub(crate) const ASSUMED: &str = "LPS";

/// Spacing and axes stated for the stacks of a case.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StackHint {
    /// Millimetres between columns, rows and slices.
    pub spacing_mm: Option<[f64; 3]>,
    /// Directions in which columns, rows and slices grow.
    pub axes: Option<Orientation>,
}

impl StackHint {
    /// From texts, as a table holds them: `0.7,0.7,2.5` (or with spaces between) and `LPS`.
    ///
    /// # Errors
    /// A sentence on what is wrong with one.
    pub(crate) fn of_texts(spacing: Option<&str>, axes: Option<&str>) -> Result<Self, String> {
        let lengths = |text: &str| {
            let parts = text.split([',', ';', ' ']).filter(|part| !part.is_empty());
            let lengths: Option<Vec<f64>> = parts.map(|part| part.parse().ok()).collect();
            checked(&lengths.unwrap_or_default())
                .map_err(|problem| format!("stack_spacing '{text}': {problem}"))
        };
        let axes = axes.map(|text| text.parse().map_err(|error| format!("stack_axes: {error}")));
        Ok(Self { spacing_mm: spacing.map(lengths).transpose()?, axes: axes.transpose()? })
    }

    /// From the parameters of the index stage.
    ///
    /// # Errors
    /// What is wrong with an option.
    pub(crate) fn of_parameters(parameters: &IndexParameters) -> Result<Self, InvalidOption> {
        let spacing = parameters.stack_spacing.as_deref().map(checked).transpose();
        let axes = parameters.stack_axes.as_deref().map(str::parse).transpose();
        Ok(Self {
            spacing_mm: spacing.map_err(|problem| InvalidOption::new("stack-spacing", problem))?,
            axes: axes
                .map_err(|error: OrientationError| InvalidOption::new("stack-axes", error.to_string()))?,
        })
    }

    /// This hint, completed by another one.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { spacing_mm: self.spacing_mm.or(other.spacing_mm), axes: self.axes.or(other.axes) }
    }

    /// The geometry to read a stack with; `None` without a spacing.
    pub(crate) fn geometry(self) -> Option<StackGeometry> {
        let axes = self.axes.or_else(|| ASSUMED.parse().ok())?;
        Some(StackGeometry { spacing_mm: self.spacing_mm?, axes })
    }
}

fn checked(lengths: &[f64]) -> Result<[f64; 3], String> {
    let lengths = <[f64; 3]>::try_from(lengths).ok();
    let lengths = lengths.filter(|lengths| lengths.iter().all(|mm| mm.is_finite() && *mm > 0.0));
    let problem = "expected three lengths in mm, of columns, rows and slices, as in 0.7,0.7,2.5";
    lengths.ok_or_else(|| problem.to_owned())
}
