//! Joins series that each hold the images of one slice position to one series.
//!
//! Some scanners (Canon's classic export) give every slice position a SeriesInstanceUID of its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::series::header::Header;
use crate::series::slice_positions::{ParallelFrames, Spacing, are_on_a_line};
use pdl_findings::{Code, Finding};

/// Minimum number of series of one position that are joined.
const FEWEST_SERIES: usize = 3;
/// Maximum distance of the slices of a volume, as a multiple of their thickness.
const LARGEST_STEP: f64 = 2.0;

/// The files of one series, or of several that were joined.
pub(crate) struct SeriesHeaders {
    pub headers: Vec<Header>,
    pub finding: Option<Finding>,
}

/// Why series belong together, in the order in which it is tried.
#[derive(Clone, Copy)]
enum Tie {
    /// One frame of reference and one SeriesNumber.
    Numbered,
    FrameOfReference,
    /// One SeriesInstanceUID: an archive gave every slice a frame of reference of its own.
    Series,
}

impl Tie {
    fn holds(self, a: &Header, b: &Header) -> bool {
        let one_frame = !a.frame_of_reference.is_empty() && a.frame_of_reference == b.frame_of_reference;
        let planes = a.frames.first().zip(b.frames.first());
        let tied = match self {
            Self::Numbered => one_frame && a.series_number == b.series_number,
            Self::FrameOfReference => one_frame,
            Self::Series => a.series_uid == b.series_uid,
        };
        tied && planes.is_some_and(|(a, b)| a.plane.stacks_with(&b.plane))
    }

    fn message(self, series: usize, step: f64) -> String {
        match self {
            Self::Numbered | Self::FrameOfReference => format!(
                "{series} series of one slice position each, of one study, frame of reference and orientation, {step:.2} mm apart, were joined"
            ),
            Self::Series => format!(
                "{series} slice positions of one series, each with a frame of reference of its own, {step:.2} mm apart, were joined"
            ),
        }
    }
}

/// Joins series of one slice position if study, frame of reference, orientation, pixels and even
/// positions show that they are one. The order of the series has no influence.
pub(crate) fn join(series: Vec<Vec<Header>>) -> Vec<SeriesHeaders> {
    let mut result = Vec::new();
    let mut studies: BTreeMap<[String; 3], Vec<Vec<Header>>> = BTreeMap::new();
    for headers in series {
        match study(&headers) {
            Some(study) => studies.entry(study).or_default().push(headers),
            None => result.push(SeriesHeaders { headers, finding: None }),
        }
    }
    for mut left in studies.into_values() {
        for tie in [Tie::Numbered, Tie::FrameOfReference, Tie::Series] {
            let groups = alike(left, |a, b| tie.holds(a, b));
            left = Vec::new();
            for group in groups {
                match step_of(&group) {
                    Some(step) => {
                        let message = tie.message(group.len(), step);
                        let finding = Some(Finding::new(Code::JoinedSeries, message));
                        let headers = group.into_iter().flatten().collect();
                        result.push(SeriesHeaders { headers, finding });
                    }
                    None => left.extend(group),
                }
            }
        }
        result.extend(left.into_iter().map(|headers| SeriesHeaders { headers, finding: None }));
    }
    tell_frames_of_reference(&mut result);
    result
}

/// Says of the parts of a series whose images are in several frames of reference that they are
/// such.
fn tell_frames_of_reference(parts: &mut [SeriesHeaders]) {
    let series = |part: &SeriesHeaders| -> Option<[String; 3]> {
        let first = part.headers.first().filter(|first| !first.series_uid.is_empty())?;
        Some([&first.patient_id, &first.study_uid, &first.series_uid].map(Clone::clone))
    };
    let mut frames: BTreeMap<[String; 3], BTreeSet<String>> = BTreeMap::new();
    for part in &*parts {
        let Some(series) = series(part) else { continue };
        let of_part = part.headers.iter().map(|header| header.frame_of_reference.clone());
        frames.entry(series).or_default().extend(of_part);
    }
    for part in parts.iter_mut().filter(|part| part.finding.is_none()) {
        let count = series(part).and_then(|series| frames.get(&series)).map_or(1, BTreeSet::len);
        let message = format!(
            "its series holds images in {count} frames of reference, whose places cannot be compared: each is a volume of its own"
        );
        part.finding = (count > 1).then(|| Finding::new(Code::SplitSeries, message));
    }
}

/// Patient, study and modality of a series all of whose frames lie at one position; nothing for
/// others.
fn study(headers: &[Header]) -> Option<[String; 3]> {
    let first = headers.first()?;
    let plane = first.frames.first()?.plane;
    let is_slice = headers.iter().flat_map(|header| &header.frames).all(|frame| frame.plane == plane);
    let stated = !first.study_uid.is_empty() && !first.series_uid.is_empty();
    (is_slice && stated).then(|| [&first.patient_id, &first.study_uid, &first.modality].map(Clone::clone))
}

/// Groups series whose first files match.
fn alike(series: Vec<Vec<Header>>, alike: impl Fn(&Header, &Header) -> bool) -> Vec<Vec<Vec<Header>>> {
    let mut groups: Vec<Vec<Vec<Header>>> = Vec::new();
    for headers in series {
        match groups.iter_mut().find(|group| alike(&group[0][0], &headers[0])) {
            Some(group) => group.push(headers),
            None => groups.push(vec![headers]),
        }
    }
    groups
}

/// The step, in mm, of series that are the slices of one stack: each at a position of its own, with
/// as many images, even but for a few missing ones.
fn step_of(series: &[Vec<Header>]) -> Option<f64> {
    let images: BTreeSet<usize> = series.iter().map(|headers| images(headers)).collect();
    if series.len() < FEWEST_SERIES || images.len() > 1 {
        return None;
    }
    let frames = series.iter().map(|headers| headers[0].frames[0].clone()).collect();
    let group = ParallelFrames::new(frames);
    let all: Vec<usize> = (0..series.len()).collect();
    let positions = group.positions(&all);
    let planes: Vec<_> = positions.members.iter().flatten().map(|frame| group.frames[*frame].plane).collect();
    let step = match positions.spacing() {
        Spacing::Even(step) => step,
        Spacing::Gaps(step, missing) if 4 * missing <= series.len() => step,
        _ => return None,
    };
    let thickness = group.frames.iter().filter_map(|frame| frame.thickness).fold(f64::INFINITY, f64::min);
    let close = !thickness.is_finite() || step <= LARGEST_STEP * thickness;
    (positions.multiplicity() == Some(1) && close && are_on_a_line(&planes)).then_some(step)
}

fn images(headers: &[Header]) -> usize {
    headers.iter().map(|header| header.frames.len()).sum()
}
