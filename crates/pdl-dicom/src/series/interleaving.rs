//! Tells one fine stack of slices from several coarser ones that lie between each other.
//!
//! Two phases of which one is shifted by half a step, and one stack that was acquired in two passes
//! (every second slice first), have the same positions. The evidence for each reading is weighed;
//! if it does not suffice, the series is in doubt.

use crate::DicomError;
use crate::series::frame_attributes::Attribute;
use crate::series::frame_pixels::FramePixels;
use crate::series::partition::{Parts, by_attribute, in_order, in_time, runs};
use crate::series::slice_positions::{ParallelFrames, Spacing, spacing};

/// Maximum number of interleaved stacks that are tried if no attribute names them.
const MOST_STACKS: usize = 4;
/// Minimum number of slices of an even stack.
const FEWEST_SLICES: usize = 3;
/// How far the evidence for either reading has to exceed the other's.
const CLEAR: i32 = 2;
/// Ratio of the change of the mean intensity between neighbours to that within each stack, from
/// which on it alternates.
const ALTERNATES: f64 = 3.0;

/// The reading of a stack without repeated positions.
pub(crate) enum Reading {
    OneStack,
    /// Several, with the attribute that distinguishes them.
    Stacks(Parts, &'static str),
    /// Either, and how both read.
    Doubt(String),
}

/// Evidence for each reading of an even stack.
#[derive(Default)]
struct Evidence {
    one: i32,
    several: i32,
    /// The attribute that distinguishes the stacks, with its weight.
    by: Option<(i32, &'static str)>,
}

impl Evidence {
    fn several(&mut self, weight: i32, by: &'static str) {
        self.several += weight;
        if self.by.is_none_or(|(most, _)| weight > most) {
            self.by = Some((weight, by));
        }
    }
}

/// Reads an even stack; `sorted` ascends along the normal, `step` is in mm.
///
/// # Errors
/// Errors of the machine while pixels are read.
pub(crate) fn of_even_stack(
    group: &ParallelFrames,
    sorted: &[usize],
    step: f64,
    pixels: &dyn FramePixels,
) -> Result<Reading, DicomError> {
    let in_order = in_order(group, sorted);
    let in_time = in_time(group, sorted);
    for stacks in 2..=MOST_STACKS.min(sorted.len() / 2) {
        let classes = every(sorted, stacks);
        let mut evidence = Evidence::default();
        for attribute in Attribute::ALL {
            let enough = attribute.weight() >= 6 || sorted.len() >= FEWEST_SLICES * stacks;
            if enough && by_attribute(group, sorted, *attribute).is_some_and(|parts| same(&parts, &classes)) {
                evidence.several(attribute.weight(), attribute.name());
            }
        }
        if sorted.len() >= FEWEST_SLICES * stacks {
            let is_in_passes =
                |order: &Option<Vec<usize>>| order.as_ref().is_some_and(|o| same(&runs(group, o), &classes));
            if is_in_passes(&in_order) {
                evidence.several(1, "instance number");
            }
            if is_in_passes(&in_time) {
                evidence.several(1, Attribute::AcquisitionTime.name());
            }
        }
        let Some((_, by)) = evidence.by.filter(|(weight, _)| *weight > 0) else { continue };
        weigh_geometry(group, sorted, step, stacks, &mut evidence);
        let is_straight =
            |order: &Option<Vec<usize>>| order.as_ref().is_some_and(|o| runs(group, o).len() == 1);
        evidence.one += if is_straight(&in_order) { 2 } else { 0 };
        evidence.one += if is_straight(&in_time) { 1 } else { 0 };
        let mut margin = evidence.several - evidence.one;
        if margin.abs() < CLEAR {
            margin += if alternates(group, sorted, stacks, pixels)? { 1 } else { -2 };
        }
        if margin >= CLEAR {
            return Ok(Reading::Stacks(classes, by));
        }
        if margin > -CLEAR {
            return Ok(Reading::Doubt(both_readings(sorted.len(), step, stacks, by)));
        }
    }
    if sorted.len() >= 2 * FEWEST_SLICES && says_nothing(group, sorted, step, &in_order) {
        // Only the pixels differ, which alone is not enough to split a series.
        if alternates(group, sorted, 2, pixels)? {
            return Ok(Reading::Doubt(both_readings(sorted.len(), step, 2, "mean intensity")));
        }
    }
    Ok(Reading::OneStack)
}

/// Whether neither the order of the series nor the slices' thickness shows that a stack is one.
fn says_nothing(group: &ParallelFrames, sorted: &[usize], step: f64, in_order: &Option<Vec<usize>>) -> bool {
    let ordered = in_order.as_ref().is_some_and(|order| runs(group, order).len() == 1);
    let thick = thickness(group, sorted).is_some_and(|thickness| thickness > 1.5 * step);
    !ordered && thick && stated_step(group, sorted).is_none_or(|stated| stated > 1.5 * step)
}

/// Adds what thickness and stated distance of the slices speak for.
fn weigh_geometry(
    group: &ParallelFrames,
    sorted: &[usize],
    step: f64,
    stacks: usize,
    evidence: &mut Evidence,
) {
    let near = |value: f64, wanted: f64| (value - wanted).abs() <= 0.1 * wanted;
    let coarse = stacks as f64 * step;
    match (stated_step(group, sorted), thickness(group, sorted)) {
        (Some(stated), _) if near(stated, step) => evidence.one += 3,
        (Some(stated), _) if near(stated, coarse) => evidence.several += 3,
        (_, Some(thickness)) if thickness <= 1.1 * step => evidence.one += 3,
        (_, Some(thickness)) if near(thickness, coarse) => evidence.several += 1,
        _ => (),
    }
}

/// The thickness of the slices, mm, if all state the same.
fn thickness(group: &ParallelFrames, sorted: &[usize]) -> Option<f64> {
    common(sorted, |frame| group.frames[frame].thickness)
}

/// The distance between slices, mm, if all state the same.
fn stated_step(group: &ParallelFrames, sorted: &[usize]) -> Option<f64> {
    common(sorted, |frame| group.frames[frame].stated_step)
}

fn common(sorted: &[usize], value: impl Fn(usize) -> Option<f64>) -> Option<f64> {
    let first = value(*sorted.first()?)?;
    let is_same = |frame: &usize| value(*frame).is_some_and(|own| (own - first).abs() <= 1e-3 * first.abs());
    (first > 0.0 && sorted.iter().all(is_same)).then_some(first)
}

/// Reads a stack whose slices are not even; `sorted` ascends along the normal. `step`, in mm, is
/// given where all gaps are multiples of it: slices of that thickness are one stack with missing
/// slices, unless an attribute distinguishes them.
pub(crate) fn of_uneven_stack(group: &ParallelFrames, sorted: &[usize], step: Option<f64>) -> Reading {
    let touching = step.zip(thickness(group, sorted)).is_some_and(|(step, thick)| thick <= 1.1 * step);
    let mut best: Option<(Parts, &'static str)> = None;
    let mut consider = |parts: Option<Parts>, by: &'static str| {
        let Some(parts) = parts else { return };
        let fewer = best.as_ref().is_none_or(|(best, _)| parts.len() < best.len());
        if fewer && are_stacks(group, &parts, true) {
            best = Some((parts, by));
        }
    };
    let telling = |attribute: &&Attribute| !touching || attribute.weight() > 1;
    for attribute in Attribute::ALL.iter().filter(telling) {
        consider(by_attribute(group, sorted, *attribute), attribute.name());
    }
    let passes = |order: Option<Vec<usize>>| order.filter(|_| !touching).map(|order| runs(group, &order));
    consider(passes(in_order(group, sorted)), "instance number");
    consider(passes(in_time(group, sorted)), Attribute::AcquisitionTime.name());
    if let Some((parts, by)) = best {
        return Reading::Stacks(parts, by);
    }
    // Slices of two origins, one behind the other, each with its own step.
    if !touching
        && let Some(parts) = by_attribute(group, sorted, Attribute::ImageType)
        && are_stacks(group, &parts, false)
    {
        return Reading::Stacks(parts, Attribute::ImageType.name());
    }
    let looked_for = if touching { 0 } else { MOST_STACKS.min(sorted.len() / FEWEST_SLICES) };
    for stacks in 2..=looked_for {
        let classes = every(sorted, stacks);
        if are_stacks(group, &classes, true) {
            let heights: Vec<f64> = sorted.iter().map(|frame| group.height(*frame)).collect();
            let [first, second, .., last] = heights[..] else { continue };
            return Reading::Doubt(format!(
                "its {} slices are either one stack with alternating gaps (the first is {:.2} mm, the mean {:.2} mm) \
                 or {stacks} interleaved even stacks, and no attribute tells which",
                sorted.len(),
                second - first,
                (last - first) / (sorted.len() - 1) as f64
            ));
        }
    }
    Reading::OneStack
}

/// Whether each part is an even stack, and, if `between_each_other`, each overlaps another.
fn are_stacks(group: &ParallelFrames, parts: &[Vec<usize>], between_each_other: bool) -> bool {
    if parts.len() < 2 || parts.iter().any(|part| part.len() < FEWEST_SLICES) {
        return false;
    }
    let heights: Vec<Vec<f64>> = parts
        .iter()
        .map(|part| {
            let mut heights: Vec<f64> = part.iter().map(|frame| group.height(*frame)).collect();
            heights.sort_by(f64::total_cmp);
            heights
        })
        .collect();
    let ends = |heights: &[f64]| [heights[0], heights[heights.len() - 1]];
    let overlap = |a: [f64; 2], b: [f64; 2]| a[0] < b[1] && b[0] < a[1];
    let meets_another = |number: usize| {
        let mut others = heights.iter().enumerate().filter(|(other, _)| *other != number);
        others.any(|(_, other)| overlap(ends(&heights[number]), ends(other)))
    };
    heights.iter().all(|heights| matches!(spacing(heights), Spacing::Even(_)))
        && (!between_each_other || (0..parts.len()).all(meets_another))
}

/// Every `stacks`-th slice, beginning with each of the first ones.
fn every(sorted: &[usize], stacks: usize) -> Parts {
    (0..stacks).map(|first| sorted.iter().skip(first).step_by(stacks).copied().collect()).collect()
}

/// Whether two partitions of the same frames are equal, in any order of their parts.
fn same(a: &[Vec<usize>], b: &[Vec<usize>]) -> bool {
    let sorted = |parts: &[Vec<usize>]| {
        let mut parts = parts.to_vec();
        parts.iter_mut().for_each(|part| part.sort_unstable());
        parts.sort();
        parts
    };
    a.len() == b.len() && sorted(a) == sorted(b)
}

/// Whether the mean intensity goes up and down from slice to slice, while it changes little within
/// each of the stacks.
fn alternates(
    group: &ParallelFrames,
    sorted: &[usize],
    stacks: usize,
    pixels: &dyn FramePixels,
) -> Result<bool, DicomError> {
    let frames: Vec<_> = sorted.iter().map(|frame| &group.frames[*frame]).collect();
    let means = pixels.summaries(&frames)?.into_iter().map(|summary| summary.map(|summary| summary.mean));
    let Some(means) = means.collect::<Option<Vec<f64>>>() else { return Ok(false) };
    // The median of half the distances of values from the mean of their neighbours.
    let bend = |stride: usize| {
        let bends = means.windows(2 * stride + 1);
        let mut bends: Vec<f64> = bends.map(|w| (w[stride] - (w[0] + w[2 * stride]) / 2.0).abs()).collect();
        bends.sort_by(f64::total_cmp);
        bends.get(bends.len() / 2).copied()
    };
    let (Some(between), Some(within)) = (bend(1), bend(stacks)) else { return Ok(false) };
    let largest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = largest - means.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(between > ALTERNATES * within && between > 0.01 * range)
}

fn both_readings(slices: usize, step: f64, stacks: usize, by: &str) -> String {
    let coarse = stacks as f64 * step;
    let each = slices.div_ceil(stacks);
    format!(
        "its {slices} slices are either one stack with a slice every {step:.2} mm or {stacks} stacks of up to {each} \
         slices, one every {coarse:.2} mm, distinguished by {by}; thickness and order of the slices do not decide it"
    )
}
