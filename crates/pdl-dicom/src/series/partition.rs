//! Ways to part frames of a series, each by one property.

use std::collections::{BTreeMap, BTreeSet};

use crate::series::frame_attributes::{Attribute, Value};
use crate::series::geometry::dot;
use crate::series::slice_positions::{ParallelFrames, Positions};

/// Frames in parts, by their numbers.
pub(crate) type Parts = Vec<Vec<usize>>;

/// Divides by the values of an attribute, which ascend; `None` if all are the same.
pub(crate) fn by_attribute(group: &ParallelFrames, members: &[usize], attribute: Attribute) -> Option<Parts> {
    let written = |frame: &usize| group.frames[*frame].attributes.written(attribute);
    let first = written(members.first()?);
    if members.iter().all(|frame| written(frame) == first) {
        return None;
    }
    let mut parts: BTreeMap<Value, Vec<usize>> = BTreeMap::new();
    for frame in members {
        parts.entry(group.frames[*frame].attributes.value(attribute)).or_default().push(*frame);
    }
    (parts.len() > 1).then(|| parts.into_values().collect())
}

/// Divides by position in the plane, within half a pixel.
pub(crate) fn by_place_in_plane(group: &ParallelFrames, members: &[usize]) -> Option<Parts> {
    let place = |frame: usize| {
        let plane = &group.frames[frame].plane;
        let first = &group.frames[0].plane;
        [dot(plane.position, first.along_row), dot(plane.position, first.along_column)]
    };
    let mut parts: Vec<([f64; 2], Vec<usize>)> = Vec::new();
    for frame in members {
        let own = place(*frame);
        let spacing = group.frames[0].plane.spacing;
        let near =
            |other: &[f64; 2]| (0..2).all(|axis| (own[axis] - other[axis]).abs() <= 0.5 * spacing[axis]);
        match parts.iter_mut().find(|(other, _)| near(other)) {
            Some((_, part)) => part.push(*frame),
            None => parts.push((own, vec![*frame])),
        }
        if 2 * parts.len() > members.len() {
            return None;
        }
    }
    parts.sort_by(|(a, _), (b, _)| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    (parts.len() > 1).then(|| parts.into_iter().map(|(_, part)| part).collect())
}

/// Divides by the rank of an attribute among the frames at one position; `None` if a value is
/// missing or occurs twice at a position.
pub(crate) fn by_rank(group: &ParallelFrames, positions: &Positions, attribute: Attribute) -> Option<Parts> {
    let mut parts: Parts = vec![Vec::new(); positions.multiplicity()?];
    for at in &positions.members {
        let key = |frame: &usize| Some((group.frames[*frame].attributes.number(attribute)?, *frame));
        let mut keyed: Vec<(f64, usize)> = at.iter().map(key).collect::<Option<_>>()?;
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        if keyed.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return None;
        }
        for (part, (_, frame)) in parts.iter_mut().zip(keyed) {
            part.push(frame);
        }
    }
    Some(parts)
}

/// Divides by order in the series, if that runs through all positions repeatedly; `None` if two
/// frames have the same number.
pub(crate) fn by_passes(group: &ParallelFrames, positions: &Positions) -> Option<Parts> {
    let multiplicity = positions.multiplicity()?;
    let members: Vec<usize> = positions.members.iter().flatten().copied().collect();
    let sorted = in_order(group, &members)?;
    let mut place = BTreeMap::new();
    for (position, at) in positions.members.iter().enumerate() {
        place.extend(at.iter().map(|frame| (*frame, position)));
    }
    let passes: Parts = sorted.chunks(positions.count()).map(<[usize]>::to_vec).collect();
    let orders: Vec<Vec<usize>> =
        passes.iter().map(|pass| pass.iter().map(|frame| place[frame]).collect()).collect();
    let is_monotonic = |order: &Vec<usize>| {
        order.windows(2).all(|pair| pair[0] < pair[1]) || order.windows(2).all(|pair| pair[0] > pair[1])
    };
    let is_whole = |order: &Vec<usize>| order.iter().collect::<BTreeSet<_>>().len() == positions.count();
    let alike = orders.windows(2).all(|pair| pair[0] == pair[1]) || orders.iter().all(is_monotonic);
    let found = multiplicity > 1 && positions.count() > 1 && orders.iter().all(is_whole) && alike;
    found.then_some(passes)
}

/// Divides by order in the series, when that shows all images of one position, then all of the
/// next, and so on: the first of each, the second of each. Nothing where a time or phase runs
/// against it.
pub(crate) fn by_turns(group: &ParallelFrames, positions: &Positions) -> Option<Parts> {
    let multiplicity = positions.multiplicity().filter(|multiplicity| *multiplicity > 1)?;
    let members: Vec<usize> = positions.members.iter().flatten().copied().collect();
    let sorted = in_order(group, &members)?;
    let turns: Vec<&[usize]> = sorted.chunks(multiplicity).collect();
    let is_of = |(turn, at): (&&[usize], &Vec<usize>)| turn.iter().all(|frame| at.contains(frame));
    let in_turn = turns.iter().zip(&positions.members).all(is_of)
        || turns.iter().rev().zip(&positions.members).all(is_of);
    let runs_on = |attribute: &Attribute| {
        let number = |frame: usize| group.frames[frame].attributes.number(*attribute);
        let falls =
            |pair: &[usize]| matches!((number(pair[0]), number(pair[1])), (Some(a), Some(b)) if a > b);
        !turns.iter().any(|turn| turn.windows(2).any(falls))
    };
    let found = positions.count() > 1 && in_turn && Attribute::GROWING.iter().all(runs_on);
    let of_rank = |rank: usize| turns.iter().map(|turn| turn[rank]).collect();
    found.then(|| (0..multiplicity).map(of_rank).collect())
}

/// The frames in the order of their numbers; nothing where a number is missing or there twice.
pub(crate) fn in_order(group: &ParallelFrames, members: &[usize]) -> Option<Vec<usize>> {
    sorted_by(members, |frame| group.frames[frame].order)
}

/// The frames in the order of their acquisition; `None` if a time is missing or there twice.
pub(crate) fn in_time(group: &ParallelFrames, members: &[usize]) -> Option<Vec<usize>> {
    sorted_by(members, |frame| group.frames[frame].attributes.number(Attribute::AcquisitionTime))
}

fn sorted_by(members: &[usize], key: impl Fn(usize) -> Option<f64>) -> Option<Vec<usize>> {
    let keyed = members.iter().map(|frame| Some((key(*frame)?, *frame)));
    let mut keyed: Vec<(f64, usize)> = keyed.collect::<Option<_>>()?;
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
    let distinct = keyed.windows(2).all(|pair| pair[0].0 < pair[1].0);
    distinct.then(|| keyed.into_iter().map(|(_, frame)| frame).collect())
}

/// Cuts an order of frames wherever it turns back along the normal.
pub(crate) fn runs(group: &ParallelFrames, sorted: &[usize]) -> Parts {
    let mut runs: Parts = Vec::new();
    let mut upward = None;
    for frame in sorted {
        let up =
            runs.last().and_then(|run| run.last()).map(|last| group.height(*frame) > group.height(*last));
        match (runs.last_mut(), up) {
            (Some(run), Some(up)) if upward.is_none_or(|upward| upward == up) => {
                run.push(*frame);
                upward = Some(up);
            }
            _ => {
                runs.push(vec![*frame]);
                upward = None;
            }
        }
    }
    runs
}
