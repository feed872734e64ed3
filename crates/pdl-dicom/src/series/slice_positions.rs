//! Positions of parallel frames along their common normal.

use crate::series::geometry::{Plane, Vector, dot, minus, norm, plus, scaled};
use crate::series::header::Frame;

/// Maximum distance of slices at one position, mm.
pub(crate) const SAME_POSITION_MM: f64 = 0.01;

/// Maximum distance of positions that may differ by rounding alone, mm.
const LARGEST_ROUNDING_MM: f64 = 0.1;
/// Rounding error of a sum of positions, mm.
const DIGITS_MM: f64 = 1e-6;
/// How many times further apart than by rounding slices of such a stack lie.
const BEYOND_ROUNDING: f64 = 10.0;
/// Maximum relative difference of gaps from their median that counts as even.
const EVEN: f64 = 0.05;
/// Positions that are rounded to 0.1 mm lie this far from a line through the first and the last at
/// most, which are rounded, too, mm.
const ROUNDED_MM: f64 = 0.1;

/// Parallel frames with the same pixels.
pub(crate) struct ParallelFrames {
    pub frames: Vec<Frame>,
    /// Position of every frame along the first one's normal, mm.
    heights: Vec<f64>,
    /// Maximum distance of frames at one position, mm.
    same: f64,
}

/// How far apart the slices of a stack are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Spacing {
    Single,
    /// Every gap is the same, mm.
    Even(f64),
    /// Every gap is a multiple of the smallest: that gap in mm, and the number of missing slices.
    Gaps(f64, usize),
    Uneven,
}

/// Frames by position, which ascend. Frames are numbered among the parallel frames.
pub(crate) struct Positions {
    /// Height of the first frame at each position, mm.
    pub heights: Vec<f64>,
    pub members: Vec<Vec<usize>>,
}

impl ParallelFrames {
    pub(crate) fn new(frames: Vec<Frame>) -> Self {
        let normal = frames.first().map_or([0.0, 0.0, 1.0], |frame| frame.plane.normal());
        let heights: Vec<f64> = frames.iter().map(|frame| dot(frame.plane.position, normal)).collect();
        let mut sorted = heights.clone();
        sorted.sort_by(f64::total_cmp);
        Self { frames, heights, same: same_position(&sorted, LARGEST_ROUNDING_MM) }
    }

    /// These frames grouped by position; those at one position keep their order.
    pub(crate) fn positions(&self, members: &[usize]) -> Positions {
        let mut sorted = members.to_vec();
        sorted.sort_by(|a, b| self.heights[*a].total_cmp(&self.heights[*b]).then(a.cmp(b)));
        let at_one = |a: &usize, b: &usize| self.heights[*b] - self.heights[*a] <= self.same;
        let mut members: Vec<Vec<usize>> = sorted.chunk_by(at_one).map(<[usize]>::to_vec).collect();
        let heights = members.iter().map(|at| self.heights[at[0]]).collect();
        members.iter_mut().for_each(|at| at.sort_unstable());
        Positions { heights, members }
    }

    pub(crate) fn height(&self, frame: usize) -> f64 {
        self.heights[frame]
    }

    /// Whether two frames show the same pixels of the patient.
    pub(crate) fn coincide(&self, a: usize, b: usize) -> bool {
        let between = minus(self.frames[a].plane.position, self.frames[b].plane.position);
        norm(between) <= self.same.max(SAME_POSITION_MM)
    }
}

/// The distance within which heights, which ascend, are those of one position, mm. More than
/// [`SAME_POSITION_MM`] only where all gaps are either rounding, `largest` at most, or far larger.
pub(crate) fn same_position(heights: &[f64], largest: f64) -> f64 {
    let largest = largest + DIGITS_MM;
    let gaps = || heights.windows(2).map(|pair| pair[1] - pair[0]);
    let rounding = gaps().filter(|gap| *gap <= largest).fold(0.0, f64::max);
    let step = gaps().filter(|gap| *gap > largest).fold(f64::INFINITY, f64::min);
    let apart = step.is_finite() && step >= BEYOND_ROUNDING * rounding;
    if apart { rounding.max(SAME_POSITION_MM) } else { SAME_POSITION_MM }
}

impl Positions {
    pub(crate) fn count(&self) -> usize {
        self.heights.len()
    }

    /// Number of frames at each position, if equal everywhere.
    pub(crate) fn multiplicity(&self) -> Option<usize> {
        let first = self.members.first()?.len();
        self.members.iter().all(|at| at.len() == first).then_some(first)
    }

    pub(crate) fn spacing(&self) -> Spacing {
        spacing(&self.heights)
    }

    /// The lowest and the highest position, mm.
    pub(crate) fn range(&self) -> [f64; 2] {
        let end = |height: Option<&f64>| height.copied().unwrap_or(0.0);
        [end(self.heights.first()), end(self.heights.last())]
    }
}

/// How far apart these heights are, which ascend.
pub(crate) fn spacing(heights: &[f64]) -> Spacing {
    let [first, .., last] = heights else { return Spacing::Single };
    let gaps: Vec<f64> = heights.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    let (smallest, median) = (sorted[0], sorted[sorted.len() / 2]);
    let mean = (last - first) / gaps.len() as f64;
    let rounded = |(slice, height): (usize, &f64)| {
        (height - first - slice as f64 * mean).abs() <= ROUNDED_MM.min(0.2 * mean) + DIGITS_MM
    };
    let near_median = gaps.iter().all(|gap| (gap - median).abs() <= EVEN * median);
    if near_median || heights.iter().enumerate().all(rounded) {
        return Spacing::Even(mean);
    }
    let whole = |gap: f64| (gap / smallest).round();
    let multiple =
        |gap: &f64| (gap - whole(*gap) * smallest).abs() <= (EVEN * whole(*gap)).min(0.2) * smallest;
    let missing: f64 = gaps.iter().map(|gap| whole(*gap) - 1.0).sum();
    if gaps.iter().all(multiple) && missing <= heights.len() as f64 / 2.0 {
        return Spacing::Gaps(smallest, missing as usize);
    }
    Spacing::Uneven
}

/// Whether planes, in the order of their normal, lie on one line within half a pixel.
pub(crate) fn are_on_a_line(planes: &[Plane]) -> bool {
    let (Some(first), Some(last)) = (planes.first(), planes.last()) else { return true };
    let height = |plane: &Plane| dot(minus(plane.position, first.position), first.normal());
    let along: Vector = minus(last.position, first.position);
    let total = height(last);
    total > 0.0
        && planes.iter().all(|plane| {
            let expected = plus(first.position, scaled(along, 1.0 / total), height(plane));
            norm(minus(plane.position, expected)) <= 0.5 * first.spacing[0].min(first.spacing[1])
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_positions_are_even_and_shifted_ones_are_not() {
        let even = |heights: &[f64]| matches!(spacing(heights), Spacing::Even(_));
        assert!(even(&[0.0, 3.0, 6.0]));
        assert!(even(&[0.0, 0.6, 1.2, 1.9, 2.5, 3.1, 3.8]), "0.625 mm, rounded to 0.1 mm");
        assert!(!even(&[0.0, 0.4, 3.0, 3.4, 6.0, 6.4]));
        assert_eq!(spacing(&[0.0, 3.0, 9.0, 12.0]), Spacing::Gaps(3.0, 1));
        assert_eq!(spacing(&[0.0, 1.0, 30.0]), Spacing::Uneven);
        assert_eq!(spacing(&[5.0]), Spacing::Single);
    }

    #[test]
    fn positions_that_differ_by_rounding_are_one() {
        let same = |heights: &[f64]| same_position(heights, LARGEST_ROUNDING_MM).to_bits();
        assert_eq!(same(&[0.0, 0.02, 3.0, 3.01]), 0.02_f64.to_bits());
        assert_eq!(same(&[3.0, 3.1, 6.0, 6.1]), (3.1_f64 - 3.0).max(6.1 - 6.0).to_bits());
        assert_eq!(same(&[0.0, 0.4, 3.0, 3.4]), SAME_POSITION_MM.to_bits());
        assert_eq!(same(&[0.0, 0.05, 0.1, 0.15]), SAME_POSITION_MM.to_bits());
    }
}
