//! Derives the grid of a stack from the positions of its slices, with findings about gaps, uneven
//! spacing and gantry tilt.

use pdl_findings::{Code, Finding};
use pdl_store::plural::counted;
use pdl_volume::Grid;

use crate::DicomError;
use crate::series::gantry_tilt::Straightening;
use crate::series::geometry::{Vector, affine, minus, norm, plus, scaled};
use crate::series::slice_positions::{SAME_POSITION_MM, Spacing, spacing};
use crate::series::stack::Stack;

/// Maximum relative difference of gaps from their median that counts as even.
const EVEN: f64 = 0.05;
/// A smaller angle between the stack's direction and the slices' normal is rounding.
const LEAST_TILT_DEGREES: f64 = 0.1;

/// The grid of a stack.
pub(crate) struct Layout {
    /// The grid of the stored slices, or the one they have to be put on.
    pub grid: Grid,
    pub straightening: Option<Straightening>,
    pub findings: Vec<Finding>,
}

impl Stack {
    /// The grid of the slices.
    ///
    /// # Errors
    /// [`DicomError::Geometry`] when they are tilted or unevenly spaced, so that they lie on none.
    pub fn grid(&self) -> Result<Grid, DicomError> {
        let layout = self.layout(None)?;
        match layout.straightening {
            None => Ok(layout.grid),
            Some(_) => Err(DicomError::geometry("its slices are not on a regular grid")),
        }
    }

    /// Checks the positions. `thickness` is the step of a single slice, mm.
    pub(crate) fn layout(&self, thickness: Option<f64>) -> Result<Layout, DicomError> {
        let first = *self.first();
        let Some(median) = self.median_gap() else { return self.single(thickness) };
        let gaps = self.gaps();
        if let Some(slice) = gaps.iter().position(|gap| *gap < SAME_POSITION_MM) {
            let problem = format!(
                "several images at {:.2} mm from the first slice, and no attribute distinguishes them",
                self.heights()[slice]
            );
            return Err(DicomError::geometry(problem));
        }
        let last = self.planes().len() - 1;
        let along = minus(self.planes()[last].position, first.position);
        let aside = plus(along, first.normal(), -self.heights()[last]);
        self.check_line(along)?;
        let angle = norm(aside).atan2(self.heights()[last]).to_degrees();
        let mut findings = Vec::new();
        if angle > LEAST_TILT_DEGREES {
            let message =
                format!("its gantry is tilted by {angle:.1} degrees; it is resampled to a straight grid");
            findings.push(Finding::new(Code::GantryTilt, message));
        }
        let uneven = self.uneven(&gaps, median, &mut findings);
        let straightening = match uneven || angle > LEAST_TILT_DEGREES {
            false => None,
            true => Some(Straightening::of(self, &gaps, median).ok_or_else(|| {
                let gaps = runs(&gaps);
                DicomError::geometry(format!(
                    "a straight grid would be more than 4 times as large as its slices (tilt {angle:.1} degrees, gaps {gaps})"
                ))
            })?),
        };
        let grid = match &straightening {
            Some(straightening) => straightening.grid(self),
            None => Grid::new(self.shape(), affine(&first, scaled(along, 1.0 / last as f64))),
        };
        Ok(Layout { grid, straightening, findings })
    }

    fn single(&self, thickness: Option<f64>) -> Result<Layout, DicomError> {
        let thickness = thickness.filter(|t| t.is_finite() && *t > 0.0);
        let step = thickness.ok_or_else(|| DicomError::geometry("it is one slice of unknown thickness"))?;
        let first = self.first();
        let grid = Grid::new(self.shape(), affine(first, scaled(first.normal(), step)));
        let finding = Finding::new(Code::OneSlice, format!("it has one slice only, {step:.2} mm thick"));
        Ok(Layout { grid, straightening: None, findings: vec![finding] })
    }

    /// Every slice must lie on the line from the first to the last, within half a pixel.
    fn check_line(&self, along: Vector) -> Result<(), DicomError> {
        let first = self.first();
        let total = self.heights()[self.heights().len() - 1];
        let side = first.spacing[0].min(first.spacing[1]);
        for (number, (plane, height)) in self.planes().iter().zip(self.heights()).enumerate() {
            let expected = plus(first.position, along, height / total);
            let off = norm(minus(plane.position, expected));
            if off > 0.5 * side {
                let problem = format!("slice {} is {off:.2} mm off the line of the others", number + 1);
                return Err(DicomError::geometry(problem));
            }
        }
        Ok(())
    }

    /// Says which gaps are not like the others, and whether any is.
    fn uneven(&self, gaps: &[f64], median: f64, findings: &mut Vec<Finding>) -> bool {
        let even = |gap: f64, times: f64| (gap - times * median).abs() <= EVEN * median;
        // Positions that are rounded are even, too.
        if gaps.iter().all(|gap| even(*gap, 1.0)) || matches!(spacing(self.heights()), Spacing::Even(_)) {
            return false;
        }
        let whole = |gap: f64| (gap / median).round();
        if gaps.iter().all(|gap| even(*gap, whole(*gap)) && whole(*gap) >= 1.0) {
            for (slice, gap) in gaps.iter().enumerate().filter(|(_, gap)| whole(**gap) > 1.0) {
                let lacking = whole(*gap) as usize - 1;
                let verb = if lacking == 1 { "is" } else { "are" };
                let message = format!(
                    "{} {verb} missing after slice {} ({:.2} mm from the first): it is filled by interpolation",
                    counted(lacking, "slice"),
                    slice + 1,
                    self.heights()[slice]
                );
                findings.push(Finding::new(Code::MissingSlice, message));
            }
        } else {
            let message = format!(
                "its slices are unevenly spaced ({}); they are resampled to an even step",
                runs(gaps)
            );
            findings.push(Finding::new(Code::UnevenSpacing, message));
        }
        true
    }
}

/// Gaps in order as "12 x 4.00, 1 x 1.08 mm"; no more than six runs.
fn runs(gaps: &[f64]) -> String {
    let rounded: Vec<String> = gaps.iter().map(|gap| format!("{gap:.2}")).collect();
    let runs: Vec<String> =
        rounded.chunk_by(|a, b| a == b).map(|run| format!("{} x {}", run.len(), run[0])).collect();
    match runs.get(..6) {
        Some(first) if runs.len() > 6 => format!("{} ... mm", first.join(", ")),
        _ => format!("{} mm", runs.join(", ")),
    }
}
