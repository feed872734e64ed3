//! Takes the frames of a series apart into stacks that each are one volume.

use std::collections::BTreeMap;

use crate::geometry::{dot, minus, norm};
use crate::header::Frame;
use pdl_findings::{Code, Finding};

/// Slices nearer to each other than this, in millimetres, are at one position.
pub(crate) const SAME_POSITION_MM: f64 = 0.01;

/// A stack of frames and what is to be said of it.
pub(crate) struct Stacked {
    /// Sorted along the normal.
    pub frames: Vec<Frame>,
    pub findings: Vec<Finding>,
    /// Set when nothing tells several images at one position apart.
    pub ambiguous: bool,
}

/// Splits by what always differs between volumes (geometry, image type, echo, stack, diffusion),
/// and where positions still repeat by the first of temporal position, acquisition and trigger that
/// parts them.
pub(crate) fn split(frames: Vec<Frame>) -> Vec<Stacked> {
    let mut result = Vec::new();
    for group in by_geometry(frames) {
        let phases = apart(group);
        let parts = phases.len();
        for mut frames in phases {
            sort_along_normal(&mut frames);
            let copies = drop_copies(&mut frames);
            let mut findings = Vec::new();
            if copies > 0 {
                findings
                    .push(Finding::new(Code::RepeatedFile, format!("{copies} of its files are there twice")));
            }
            if parts > 1 {
                let message =
                    format!("its series holds {parts} images at each position; this is one of them");
                findings.push(Finding::new(Code::SplitSeries, message));
            }
            let ambiguous = repeats(&frames);
            result.push(Stacked { frames, findings, ambiguous });
        }
    }
    result
}

fn by_geometry(frames: Vec<Frame>) -> Vec<Vec<Frame>> {
    let mut kinds: BTreeMap<String, Vec<Vec<Frame>>> = BTreeMap::new();
    for frame in frames {
        let groups = kinds.entry(frame.kind.clone()).or_default();
        match groups.iter_mut().find(|group| group[0].plane.stacks_with(&frame.plane)) {
            Some(group) => group.push(frame),
            None => groups.push(vec![frame]),
        }
    }
    kinds.into_values().flatten().collect()
}

/// The group as it is when no position repeats, else by the first phase that parts the repeats.
fn apart(mut frames: Vec<Frame>) -> Vec<Vec<Frame>> {
    sort_along_normal(&mut frames);
    drop_copies(&mut frames);
    if !repeats(&frames) {
        return vec![frames];
    }
    for number in 0..frames[0].phase.len() {
        let mut phases: BTreeMap<&str, Vec<&Frame>> = BTreeMap::new();
        for frame in &frames {
            phases.entry(&frame.phase[number]).or_default().push(frame);
        }
        let mut parts: Vec<Vec<Frame>> =
            phases.into_values().map(|part| part.into_iter().cloned().collect()).collect();
        if parts.len() > 1 && !parts.iter().any(|part| repeats(part)) {
            parts.sort_by(|a, b| earlier(&a[0].phase[number], &b[0].phase[number]));
            return parts;
        }
    }
    vec![frames]
}

/// By number where both are numbers.
fn earlier(a: &str, b: &str) -> std::cmp::Ordering {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.total_cmp(&b),
        _ => a.cmp(b),
    }
}

/// Sorts by position along the first frame's normal; the rest of the order only makes it the same
/// every time.
pub(crate) fn sort_along_normal(frames: &mut [Frame]) {
    let Some(first) = frames.first() else { return };
    let normal = first.plane.normal();
    frames.sort_by(|a, b| {
        let height = |f: &Frame| dot(f.plane.position, normal);
        height(a)
            .total_cmp(&height(b))
            .then_with(|| a.instance.cmp(&b.instance))
            .then_with(|| a.number.cmp(&b.number))
    });
}

/// Removes frames of the same object that lie in several files.
fn drop_copies(frames: &mut Vec<Frame>) -> usize {
    let before = frames.len();
    let mut seen = std::collections::HashSet::new();
    frames.retain(|frame| seen.insert((frame.instance.clone(), frame.number, frame.offset)));
    before - frames.len()
}

/// Whether two neighbours lie at one position. The frames must be sorted.
fn repeats(frames: &[Frame]) -> bool {
    frames.windows(2).any(|pair| {
        let between = minus(pair[1].plane.position, pair[0].plane.position);
        dot(between, pair[0].plane.normal()).abs() < SAME_POSITION_MM
            && norm(between) < SAME_POSITION_MM.max(0.5)
    })
}
