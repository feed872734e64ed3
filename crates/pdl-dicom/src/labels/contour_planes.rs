//! On which slices of a series the contours of a structure lie.

use std::collections::BTreeMap;

use crate::series::geometry::{Vector, dot, minus};
use crate::series::slice_positions::same_position;
use crate::series::stack::Stack;

/// Points of a contour that lie further from their plane than this fraction of a slice's step make
/// it oblique.
const FLAT: f64 = 0.25;
/// Contours whose heights differ by less than this, in millimetres or as a fraction of the step,
/// are drawn on one plane.
const ONE_PLANE_MM: f64 = 0.05;
const ONE_PLANE: f64 = 0.05;
/// Heights of one plane may differ by rounding, up to this share of the step, where all others are
/// far away.
const ROUNDING: f64 = 0.1;
/// Heights that differ by less than this, mm, are equally far from a slice.
const ROUNDING_MM: f64 = 1e-3;

/// A plane on which contours are drawn.
#[derive(Clone, Debug)]
pub(crate) struct ContourPlane {
    /// Height above the first slice along the normal, mm.
    pub height: f64,
    /// Contours, by number.
    pub contours: Vec<usize>,
    /// The slice that it belongs to, and how far from it it lies, mm; `None` if it belongs to none.
    pub slice: Option<(usize, f64)>,
}

/// The planes of a structure, from the lowest up.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContourPlanes {
    pub planes: Vec<ContourPlane>,
    /// Contours that are oblique to the slices, by number.
    pub oblique: Vec<usize>,
    /// How far the points of one of those spread along the normal at most, mm.
    pub spread: f64,
}

impl ContourPlanes {
    pub(crate) fn new(contours: &[&[Vector]], stack: &Stack) -> Self {
        let step = stack.step().unwrap_or(ROUNDING_MM);
        let mut found = Self::default();
        let mut flat: Vec<(f64, usize)> = Vec::with_capacity(contours.len());
        for (number, contour) in contours.iter().enumerate() {
            let (height, spread) = height_of(contour, stack);
            if spread > (FLAT * step).max(ROUNDING_MM) {
                found.oblique.push(number);
                found.spread = found.spread.max(spread);
            } else {
                flat.push((height, number));
            }
        }
        flat.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let heights: Vec<f64> = flat.iter().map(|(height, _)| *height).collect();
        let (one_plane, rounding) =
            (ONE_PLANE_MM.min(ONE_PLANE * step), same_position(&heights, ROUNDING * step));
        let mut before = f64::NEG_INFINITY;
        for (height, number) in flat {
            let is_on =
                |plane: &&mut ContourPlane| height - plane.height <= one_plane || height - before <= rounding;
            match found.planes.last_mut().filter(is_on) {
                Some(plane) => plane.contours.push(number),
                None => {
                    let slice = slice_of(height, step, stack);
                    found.planes.push(ContourPlane { height, contours: vec![number], slice });
                }
            }
            before = height;
        }
        found
    }

    /// The nearest plane of each slice that has planes, by the number of the slice; the lower of
    /// two at equal distance.
    pub(crate) fn nearest(&self) -> BTreeMap<usize, usize> {
        let mut nearest: BTreeMap<usize, (usize, f64)> = BTreeMap::new();
        for (number, plane) in self.planes.iter().enumerate() {
            let Some((slice, off)) = plane.slice else { continue };
            let kept = nearest.entry(slice).or_insert((number, off));
            if off < kept.1 - ROUNDING_MM {
                *kept = (number, off);
            }
        }
        nearest.into_iter().map(|(slice, (plane, _))| (slice, plane)).collect()
    }

    /// How thick each plane's share of the structure is, mm: half the way to each of its
    /// neighbours. In place of a neighbour that is further than `widest`, or is not there, stands
    /// the median of the other gaps, or `step` where there are none.
    pub(crate) fn thicknesses(&self, widest: f64, step: f64) -> Vec<f64> {
        let gaps = self.planes.windows(2).map(|pair| pair[1].height - pair[0].height);
        let gaps: Vec<Option<f64>> = gaps.map(|gap| Some(gap).filter(|gap| *gap <= widest)).collect();
        let mut near: Vec<f64> = gaps.iter().flatten().copied().collect();
        near.sort_by(f64::total_cmp);
        let usual = near.get(near.len() / 2).copied().unwrap_or(step);
        let gap = |number: Option<usize>| number.and_then(|n| *gaps.get(n)?).unwrap_or(usual);
        (0..self.planes.len()).map(|plane| 0.5 * (gap(plane.checked_sub(1)) + gap(Some(plane)))).collect()
    }
}

/// The slice within half a step, and how far off it is, mm. In the middle between two slices, the
/// lower.
fn slice_of(height: f64, step: f64, stack: &Stack) -> Option<(usize, f64)> {
    let (slice, _) = stack.nearest(height - ROUNDING_MM);
    let off = (stack.heights()[slice] - height).abs();
    (off <= 0.5 * step + ROUNDING_MM).then_some((slice, off))
}

/// Mean height of a contour above the first slice, and how far its points spread, mm.
fn height_of(contour: &[Vector], stack: &Stack) -> (f64, f64) {
    let first = stack.first();
    let normal = first.normal();
    let (mut low, mut high, mut sum) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
    for height in contour.iter().map(|p| dot(minus(*p, first.position), normal)) {
        (low, high, sum) = (low.min(height), high.max(height), sum + height);
    }
    (sum / contour.len() as f64, high - low)
}
