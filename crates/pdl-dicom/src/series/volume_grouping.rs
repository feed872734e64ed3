//! Groups the frames of a series into stacks, each of which is one volume.
//!
//! A division of frames is judged by its result: even stacks of one geometry. Positions, numbers of
//! slices and pixels decide; an attribute alone does not, as many differ from slice to slice of one
//! volume. If two readings remain, the stack is in doubt, and the message describes both.

use std::collections::{BTreeMap, BTreeSet};

use crate::DicomError;
use crate::series::frame_attributes::Attribute;
use crate::series::frame_pixels::{FramePixels, PixelSummary};
use crate::series::geometry::{Plane, Vector, dot};
use crate::series::header::Frame;
use crate::series::interleaving::{Reading, of_even_stack, of_uneven_stack};
use crate::series::partition::{
    Parts, by_attribute, by_passes, by_place_in_plane, by_rank, by_turns, in_order, runs,
};
use crate::series::slice_positions::{ParallelFrames, Positions, Spacing, are_on_a_line};
use pdl_findings::{Code, Finding, SkipReason};
use pdl_store::plural::counted;

/// Minimum number of slices of an even stack.
const FEWEST_SLICES: usize = 3;
/// With more images at a position it is not looked whether all slices are there twice.
const MOST_COMPARED: usize = 8;
/// Name of the attribute that distinguishes stacks side by side.
const PLACE_IN_PLANE: &str = "place in the plane";
/// Minimum fraction of the positions that the stack must cover after other images of a series are
/// removed.
const MAIN_SHARE: f64 = 0.6;
/// Maximum gap that is filled, as a multiple of the median gap, and in mm.
const WIDEST_GAP: f64 = 4.5;
const WIDEST_GAP_MM: f64 = 15.0;
/// Minimum cosine of the angle between the normals of parallel slices.
const PARALLEL: f64 = 0.999;

/// A stack of frames, with findings about it.
#[derive(Debug)]
pub(crate) struct Stacked {
    /// Sorted along the normal.
    pub frames: Vec<Frame>,
    pub findings: Vec<Finding>,
    /// Why the division into volumes is ambiguous, with both readings.
    pub doubt: Option<String>,
    /// Instances (SOPInstanceUID) that were skipped since they equal one of the frames, voxel for
    /// voxel.
    pub doubles: Vec<String>,
}

/// The stacks of a series.
#[derive(Debug)]
pub(crate) struct GroupedFrames {
    pub stacks: Vec<Stacked>,
    /// Files of frames that are in no stack, each with the reason.
    pub left_out: Vec<(usize, SkipReason)>,
}

/// The stacks of a series. The order of the frames has no influence, that of their files only on
/// which of two copies of a file is taken.
///
/// # Errors
/// Errors of the machine while pixels are compared.
pub(crate) fn split(mut frames: Vec<Frame>, pixels: &dyn FramePixels) -> Result<GroupedFrames, DicomError> {
    frames.sort_by(|a, b| identity(a).cmp(&identity(b)).then(a.file.cmp(&b.file)));
    let mut left_out = Vec::new();
    let copies = drop_copies(&mut frames, pixels, &mut left_out)?;
    let mut geometries = by_geometry(frames);
    set_scouts_aside(&mut geometries, &mut left_out);
    let by = if geometries.len() > 1 { vec!["geometry"] } else { Vec::new() };
    let mut stacks = Vec::new();
    for frames in geometries {
        let group = ParallelFrames::new(frames);
        let mut resolver = Resolver { group: &group, pixels, doubles: Vec::new() };
        let parts = resolver.resolve(&(0..group.frames.len()).collect::<Vec<_>>(), by.clone())?;
        let of_double =
            |(double, _): &(usize, usize)| (group.frames[*double].file, SkipReason::DuplicateSlice);
        left_out.extend(resolver.doubles.iter().map(of_double));
        stacks.extend(parts.into_iter().map(|part| (stacked(&group, &part, &resolver.doubles), part.by)));
    }
    let parts = stacks.len();
    let told = |(number, (mut stack, by)): (usize, (Stacked, Vec<&'static str>))| {
        stack.findings.extend(repeated_files(&stack.frames, &copies));
        if parts > 1 {
            let (by, slices) = (by.join(" and "), stack.frames.len());
            let message = format!(
                "its series has {parts} volumes, distinguished by {by}; this is number {}, of {}",
                number + 1,
                counted(slices, "slice")
            );
            stack.findings.push(Finding::new(Code::SplitSeries, message));
        }
        stack
    };
    Ok(GroupedFrames { stacks: stacks.into_iter().enumerate().map(told).collect(), left_out })
}

/// Key that identifies a frame.
fn identity(frame: &Frame) -> (&str, u32, [usize; 2]) {
    (&frame.instance, frame.number, frame.offset)
}

/// Removes frames of an object that lies in several files with the same pixels. Gives the files of
/// copies by instance. Frames of one instance whose pixels differ stay: they are no copies,
/// whatever their headers say.
///
/// # Errors
/// Those of the machine.
fn drop_copies(
    frames: &mut Vec<Frame>,
    pixels: &dyn FramePixels,
    left_out: &mut Vec<(usize, SkipReason)>,
) -> Result<BTreeMap<String, BTreeSet<usize>>, DicomError> {
    let twins: Vec<&Frame> =
        frames.chunk_by(has_same_header).filter(|group| group.len() > 1).flatten().collect();
    let places = twins.iter().map(|frame| (frame.file, frame.number, frame.offset));
    let hashes: BTreeMap<(usize, u32, [usize; 2]), String> = places
        .zip(pixels.summaries(&twins)?)
        .filter_map(|(place, summary)| Some((place, summary?.hash)))
        .collect();
    let hash = |frame: &Frame| hashes.get(&(frame.file, frame.number, frame.offset));
    let mut copies: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    frames.dedup_by(|copy, kept| {
        // What cannot be read differs from nothing.
        let differs = || hash(copy).zip(hash(kept)).is_some_and(|(own, other)| own != other);
        let is_copy = has_same_header(copy, kept) && !differs();
        if is_copy {
            copies.entry(copy.instance.clone()).or_default().insert(copy.file);
        }
        is_copy
    });
    left_out.extend(copies.values().flatten().map(|file| (*file, SkipReason::Copy)));
    Ok(copies)
}

/// Whether two frames of different files are the same one by all that headers say.
fn has_same_header(a: &Frame, b: &Frame) -> bool {
    identity(a) == identity(b) && a.plane == b.plane && a.attributes == b.attributes && a.file != b.file
}

fn repeated_files(frames: &[Frame], copies: &BTreeMap<String, BTreeSet<usize>>) -> Option<Finding> {
    let instances: BTreeSet<&String> = frames.iter().map(|frame| &frame.instance).collect();
    let count: usize = instances.into_iter().filter_map(|own| copies.get(own)).map(BTreeSet::len).sum();
    let verb = if count == 1 { "is" } else { "are" };
    let message = || format!("{} of the series {verb} there twice", counted(count, "file"));
    (count > 0).then(|| Finding::new(Code::RepeatedFile, message()))
}

/// Frames that are parallel and have the same pixels.
fn by_geometry(frames: Vec<Frame>) -> Vec<Vec<Frame>> {
    let mut groups: Vec<Vec<Frame>> = Vec::new();
    for frame in frames {
        match groups.iter_mut().find(|group| group[0].plane.stacks_with(&frame.plane)) {
            Some(group) => group.push(frame),
            None => groups.push(vec![frame]),
        }
    }
    groups
}

/// Takes single slices out of a series that holds a stack of another geometry: scouts, and slices
/// of another size.
fn set_scouts_aside(groups: &mut Vec<Vec<Frame>>, left_out: &mut Vec<(usize, SkipReason)>) {
    let mut frames_of_file: BTreeMap<usize, usize> = BTreeMap::new();
    for frame in groups.iter().flatten() {
        *frames_of_file.entry(frame.file).or_default() += 1;
    }
    let stacks = groups.iter().filter(|group| group.len() >= FEWEST_SLICES);
    let normals: Vec<Vector> = stacks.map(|stack| stack[0].plane.normal()).collect();
    if normals.is_empty() {
        return;
    }
    groups.retain(|group| match &group[..] {
        [single] if frames_of_file.get(&single.file) == Some(&1) => {
            let normal = single.plane.normal();
            let is_parallel = normals.iter().any(|own| dot(*own, normal).abs() > PARALLEL);
            let reason = if is_parallel { SkipReason::OtherSize } else { SkipReason::Scout };
            left_out.push((single.file, reason));
            false
        }
        _ => true,
    });
}

/// Frames that are one volume, or in doubt.
struct Part {
    members: Vec<usize>,
    /// The attributes that distinguish it.
    by: Vec<&'static str>,
    doubt: Option<String>,
}

struct Resolver<'a> {
    group: &'a ParallelFrames,
    pixels: &'a dyn FramePixels,
    /// Skipped frames, each with the one that it duplicates.
    doubles: Vec<(usize, usize)>,
}

impl Resolver<'_> {
    fn resolve(&mut self, members: &[usize], by: Vec<&'static str>) -> Result<Vec<Part>, DicomError> {
        for attribute in Attribute::NEVER_MIXED {
            let is_stated =
                |frame: &usize| self.group.frames[*frame].attributes.written(*attribute).is_some();
            if let Some(parts) = by_attribute(self.group, members, *attribute)
                && members.iter().all(is_stated)
            {
                return self.split(parts, attribute.name(), &by);
            }
        }
        let positions = self.group.positions(members);
        match positions.multiplicity() {
            Some(1) => self.without_repeats(&positions, by),
            _ => self.with_repeats(members, &positions, by),
        }
    }

    fn split(
        &mut self,
        parts: Parts,
        name: &'static str,
        by: &[&'static str],
    ) -> Result<Vec<Part>, DicomError> {
        let mut by = by.to_vec();
        if !by.contains(&name) {
            by.push(name);
        }
        let mut result = Vec::new();
        for part in parts {
            result.extend(self.resolve(&part, by.clone())?);
        }
        Ok(result)
    }

    /// Groups frames at distinct positions.
    fn without_repeats(
        &mut self,
        positions: &Positions,
        by: Vec<&'static str>,
    ) -> Result<Vec<Part>, DicomError> {
        let sorted: Vec<usize> = positions.members.iter().flatten().copied().collect();
        let spacing = positions.spacing();
        for attribute in Attribute::OF_CONTENT {
            let Some(parts) = by_attribute(self.group, &sorted, *attribute) else { continue };
            let even = |part: &Vec<usize>| self.is_even(part);
            let apart = match spacing {
                Spacing::Even(_) => parts.iter().all(even),
                _ => parts.iter().max_by_key(|part| part.len()).is_some_and(even),
            };
            if apart {
                return self.split(parts, attribute.name(), &by);
            }
        }
        if let Some(parts) = self.stations(&sorted) {
            return self.split(parts, PLACE_IN_PLANE, &by);
        }
        let reading = match spacing {
            Spacing::Single => Reading::OneStack,
            Spacing::Even(step) => of_even_stack(self.group, &sorted, step, self.pixels)?,
            Spacing::Gaps(step, _) => of_uneven_stack(self.group, &sorted, Some(step)),
            Spacing::Uneven => of_uneven_stack(self.group, &sorted, None),
        };
        match reading {
            Reading::OneStack => self.without_wide_gaps(sorted, positions, by),
            Reading::Stacks(parts, name) => self.split(parts, name, &by),
            Reading::Doubt(doubt) => Ok(vec![Part { members: sorted, by, doubt: Some(doubt) }]),
        }
    }

    /// One stack, without gaps that are too wide to be filled by interpolation: slices on either
    /// side of one are volumes of their own if an attribute says so, else in doubt.
    fn without_wide_gaps(
        &mut self,
        sorted: Vec<usize>,
        positions: &Positions,
        by: Vec<&'static str>,
    ) -> Result<Vec<Part>, DicomError> {
        let Some(slabs) = slabs(positions) else {
            return Ok(vec![Part { members: sorted, by, doubt: None }]);
        };
        let parts = |attribute: &Attribute| by_attribute(self.group, &sorted, *attribute);
        let is_told = |attribute: &&Attribute| parts(attribute).is_some_and(|parts| are_same(&parts, &slabs));
        let are_long = slabs.iter().all(|slab| slab.len() >= FEWEST_SLICES);
        match Attribute::ALL.iter().filter(|_| are_long).find(is_told) {
            Some(attribute) => self.split(slabs, attribute.name(), &by),
            None => Ok(vec![Part { doubt: Some(slab_doubt(positions, &slabs)), members: sorted, by }]),
        }
    }

    /// Even stacks that are shifted against each other in their plane, such as the stations of a
    /// table that moved; `sorted` ascends along the normal.
    fn stations(&self, sorted: &[usize]) -> Option<Parts> {
        let planes: Vec<Plane> = sorted.iter().map(|frame| self.group.frames[*frame].plane).collect();
        let parts = by_place_in_plane(self.group, sorted).filter(|_| !are_on_a_line(&planes))?;
        parts.iter().all(|part| self.is_even(part)).then_some(parts)
    }

    /// Groups frames of which several are at one position.
    fn with_repeats(
        &mut self,
        members: &[usize],
        positions: &Positions,
        by: Vec<&'static str>,
    ) -> Result<Vec<Part>, DicomError> {
        if self.may_be_doubled(positions)?
            && let Some(kept) = self.drop_doubles(positions, true)?
        {
            return self.resolve(&kept, by);
        }
        if let Some((parts, name)) =
            self.whole_volumes(members, positions).or_else(|| self.overlapping_stacks(members))
        {
            return self.split(parts, name, &by);
        }
        if let Some(kept) = self.drop_doubles(positions, false)? {
            return self.resolve(&kept, by);
        }
        if let Some((parts, name)) =
            self.main_stack(members, positions).or_else(|| self.beside_tracking(members, positions))
        {
            return self.split(parts, name, &by);
        }
        let doubt = Some(self.doubt(positions));
        Ok(vec![Part { members: positions.members.iter().flatten().copied().collect(), by, doubt }])
    }

    /// Parts that each have as many frames at every one of the positions.
    fn whole_volumes(&self, members: &[usize], positions: &Positions) -> Option<(Parts, &'static str)> {
        let multiplicity = positions.multiplicity()?;
        let is_whole = |part: &Vec<usize>| {
            let own = self.group.positions(part);
            own.count() == positions.count() && own.multiplicity().is_some()
        };
        let whole = |parts: &Parts| parts.len() <= multiplicity && parts.iter().all(is_whole);
        let by_value = |attribute: &Attribute| {
            by_attribute(self.group, members, *attribute).filter(whole).map(|parts| (parts, attribute.name()))
        };
        // At a single position, what counts slices is no evidence of volumes.
        let is_alone = positions.count() == 1 && multiplicity >= FEWEST_SLICES;
        let tells = |attribute: &&Attribute| !(is_alone && attribute.may_count_slices());
        let ranks = |attribute: &Attribute| {
            by_rank(self.group, positions, *attribute).map(|parts| (parts, attribute.name()))
        };
        by_place_in_plane(self.group, members)
            .filter(whole)
            .map(|parts| (parts, PLACE_IN_PLANE))
            .or_else(|| Attribute::ALL.iter().filter(tells).find_map(by_value))
            .or_else(|| Attribute::GROWING.iter().filter(tells).find_map(ranks))
            .or_else(|| by_passes(self.group, positions).map(|parts| (parts, "instance number")))
            .or_else(|| by_turns(self.group, positions).map(|parts| (parts, "instance number")))
    }

    /// Parts that each are a stack of their own, such as phases that reach over different regions.
    /// Stacks one behind the other do not count: attributes that change along a scan would divide
    /// it. Those without repeated positions and without gaps are preferred, then the fewest.
    fn overlapping_stacks(&self, members: &[usize]) -> Option<(Parts, &'static str)> {
        let by_value = |attribute: &Attribute| {
            let parts = by_attribute(self.group, members, *attribute)?;
            let repeats = |part: &Vec<usize>| self.group.positions(part).multiplicity() != Some(1);
            let has_ties = Attribute::GROWING.contains(attribute) && parts.iter().any(repeats);
            (!has_ties).then_some((parts, attribute.name()))
        };
        let in_plane = by_place_in_plane(self.group, members).map(|parts| (parts, PLACE_IN_PLANE));
        let passes = in_order(self.group, members).map(|order| (runs(self.group, &order), "instance number"));
        let candidates = in_plane.into_iter().chain(Attribute::ALL.iter().filter_map(by_value)).chain(passes);
        let scored = candidates.filter_map(|(parts, name)| Some((self.score(&parts)?, parts, name)));
        scored.min_by_key(|(score, ..)| *score).map(|(_, parts, name)| (parts, name))
    }

    /// Whether positions repeat within a part, whether one has gaps, and the number of parts;
    /// `None` if they are not overlapping stacks.
    fn score(&self, parts: &[Vec<usize>]) -> Option<(bool, bool, usize)> {
        if parts.len() < 2 || parts.iter().any(|part| part.len() < FEWEST_SLICES) {
            return None;
        }
        let positions: Vec<Positions> = parts.iter().map(|part| self.group.positions(part)).collect();
        let spacings: Vec<Spacing> = positions.iter().map(Positions::spacing).collect();
        let is_stack = |(own, spacing): (&Positions, &Spacing)| {
            own.count() >= FEWEST_SLICES && matches!(spacing, Spacing::Even(_) | Spacing::Gaps(..))
        };
        let meets_another = |number: usize| {
            let [low, high] = positions[number].range();
            let others = positions.iter().enumerate().filter(|(other, _)| *other != number);
            others.map(|(_, other)| other.range()).any(|[from, to]| low <= to && from <= high)
        };
        let stacks = positions.iter().zip(&spacings).all(is_stack) && (0..parts.len()).all(meets_another);
        let repeats = positions.iter().any(|own| own.multiplicity() != Some(1));
        let gaps = !spacings.iter().all(|spacing| matches!(spacing, Spacing::Even(_)));
        stacks.then_some((repeats, gaps, parts.len()))
    }

    /// The even stack that remains of a series when a few images of another type or content are
    /// removed.
    fn main_stack(&self, members: &[usize], positions: &Positions) -> Option<(Parts, &'static str)> {
        let mut attributes = Attribute::OF_CONTENT.iter().chain(&[Attribute::ImageType]);
        attributes.find_map(|attribute| {
            let parts = by_attribute(self.group, members, *attribute)?;
            let largest = parts.iter().max_by_key(|part| part.len())?;
            let reaches = largest.len() as f64 >= MAIN_SHARE * positions.count() as f64;
            (reaches && self.is_even(largest)).then_some((parts, attribute.name()))
        })
    }

    /// The even stack of a scan in whose series the images are, too, by which its contrast agent
    /// was awaited: several at one position, told apart by what counts acquisitions.
    fn beside_tracking(&self, members: &[usize], positions: &Positions) -> Option<(Parts, &'static str)> {
        let attributes = [Attribute::AcquisitionNumber, Attribute::SeriesDescription, Attribute::ImageType];
        attributes.into_iter().find_map(|attribute| {
            let parts = by_attribute(self.group, members, attribute)?;
            let is_tracking =
                |part: &Vec<usize>| part.len() >= FEWEST_SLICES && self.group.positions(part).count() == 1;
            let (tracking, scans): (Parts, Parts) = parts.iter().cloned().partition(is_tracking);
            let [scan] = &scans[..] else { return None };
            let reaches = scan.len() as f64 >= MAIN_SHARE * positions.count() as f64;
            (!tracking.is_empty() && reaches && self.is_even(scan)).then_some((parts, attribute.name()))
        })
    }

    /// Whether frames are an even stack that is long enough to show it, without repeated positions.
    fn is_even(&self, members: &[usize]) -> bool {
        let positions = self.group.positions(members);
        positions.multiplicity() == Some(1)
            && positions.count() >= FEWEST_SLICES
            && matches!(positions.spacing(), Spacing::Even(_))
    }

    /// Whether two images at the middle one of the repeated positions are equal.
    fn may_be_doubled(&self, positions: &Positions) -> Result<bool, DicomError> {
        let repeated: Vec<&Vec<usize>> = positions.members.iter().filter(|at| at.len() > 1).collect();
        let Some(middle) = repeated.get(repeated.len() / 2).filter(|at| at.len() <= MOST_COMPARED) else {
            return Ok(false);
        };
        let summaries = self.summaries(middle)?;
        Ok(middle.iter().any(|frame| self.double_of(*frame, middle, &summaries).is_some()))
    }

    /// The frames without those that equal, voxel for voxel, another one at the same position.
    /// `None` if there are none, or if all positions must have the same number of frames and do
    /// not.
    fn drop_doubles(
        &mut self,
        positions: &Positions,
        to_whole_volumes: bool,
    ) -> Result<Option<Vec<usize>>, DicomError> {
        let repeated = positions.members.iter().filter(|at| at.len() > 1);
        let frames: Vec<usize> = repeated.flatten().copied().collect();
        let summaries = self.summaries(&frames)?;
        let mut doubles = Vec::new();
        let mut kept = Vec::new();
        for at in &positions.members {
            for frame in at {
                match self.double_of(*frame, at, &summaries) {
                    Some(original) => doubles.push((*frame, original)),
                    None => kept.push(*frame),
                }
            }
        }
        let whole = || self.group.positions(&kept).multiplicity().is_some();
        if doubles.is_empty() || (to_whole_volumes && !whole()) {
            return Ok(None);
        }
        self.doubles.extend(doubles);
        Ok(Some(kept))
    }

    /// The first of the frames at its position that shows the same, when that is another one.
    fn double_of(
        &self,
        frame: usize,
        at: &[usize],
        summaries: &BTreeMap<usize, PixelSummary>,
    ) -> Option<usize> {
        let own = summaries.get(&frame)?;
        let is_same =
            |other: &&usize| summaries.get(*other) == Some(own) && self.group.coincide(frame, **other);
        let first = at.iter().filter(is_same).min_by(|a, b| {
            let order = |frame: usize| self.group.frames[frame].order.unwrap_or(f64::INFINITY);
            order(**a).total_cmp(&order(**b)).then(a.cmp(b))
        });
        first.copied().filter(|first| *first != frame)
    }

    fn summaries(&self, frames: &[usize]) -> Result<BTreeMap<usize, PixelSummary>, DicomError> {
        let of_frames: Vec<&Frame> = frames.iter().map(|frame| &self.group.frames[*frame]).collect();
        let summaries = self.pixels.summaries(&of_frames)?;
        let known = |(frame, summary): (&usize, Option<PixelSummary>)| Some((*frame, summary?));
        Ok(frames.iter().zip(summaries).filter_map(known).collect())
    }

    /// A message about frames that no attribute distinguishes.
    fn doubt(&self, positions: &Positions) -> String {
        let (slices, most) =
            (positions.count(), positions.members.iter().map(Vec::len).max().unwrap_or_default());
        let others = "no attribute (temporal position, acquisition, trigger time, instance number) divides them into even stacks";
        if slices == 1 {
            return format!(
                "its {most} images all lie at one position, and no phase or contrast distinguishes them: they are either {most} \
                 volumes of one slice, or slices whose positions are wrong"
            );
        }
        if positions.multiplicity().is_some() {
            return format!(
                "several images lie at one position, {most} at each of {slices}, and {others}: they are either {most} volumes of \
                 {slices} slices, or one whose slices were exported {most} times with other pixels"
            );
        }
        let repeated = || positions.members.iter().enumerate().filter(|(_, at)| at.len() > 1);
        let at = repeated().next().map_or(0, |(position, _)| position);
        format!(
            "several images lie at one position, up to {most} at {} of {slices}, first {:.2} mm from the first slice, their pixels \
             differ, and {others}: they are either one volume of {slices} slices with slices that were repeated, or volumes that are \
             incomplete",
            repeated().count(),
            positions.heights[at] - positions.range()[0]
        )
    }
}

/// Runs of slices, along the normal, with a gap between them that is too wide to be filled by
/// interpolation; `None` if there is no such gap. There is one frame at each position.
fn slabs(positions: &Positions) -> Option<Parts> {
    let mut gaps: Vec<f64> = positions.heights.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let all = gaps.clone();
    gaps.sort_by(f64::total_cmp);
    let widest = (WIDEST_GAP * *gaps.get(gaps.len() / 2)?).max(WIDEST_GAP_MM);
    let mut slabs: Parts = Vec::new();
    for (position, at) in positions.members.iter().enumerate() {
        match slabs.last_mut().filter(|_| position.checked_sub(1).is_some_and(|gap| all[gap] <= widest)) {
            Some(slab) => slab.extend(at),
            None => slabs.push(at.clone()),
        }
    }
    (slabs.len() > 1).then_some(slabs)
}

/// A message about slices with a wide gap between them.
fn slab_doubt(positions: &Positions, slabs: &[Vec<usize>]) -> String {
    let gaps = positions.heights.windows(2).map(|pair| pair[1] - pair[0]);
    let widest = gaps.fold(0.0, f64::max);
    let slices: Vec<String> = slabs.iter().map(|slab| slab.len().to_string()).collect();
    format!(
        "a gap of {widest:.2} mm parts its slices (runs of {} slices), and no attribute distinguishes these: they are either \
         separate volumes, or one of which slices are missing",
        slices.join(", ")
    )
}

/// Whether two divisions have the same parts, in any order.
fn are_same(a: &Parts, b: &Parts) -> bool {
    let sets = |parts: &Parts| -> BTreeSet<BTreeSet<usize>> {
        parts.iter().map(|part| part.iter().copied().collect()).collect()
    };
    sets(a) == sets(b)
}

/// The frames of a part along their normal, and what its doubles are.
fn stacked(group: &ParallelFrames, part: &Part, doubles: &[(usize, usize)]) -> Stacked {
    let positions = group.positions(&part.members);
    let own: Vec<&(usize, usize)> =
        doubles.iter().filter(|(_, original)| part.members.contains(original)).collect();
    let frame = |frame: &usize| group.frames[*frame].clone();
    let frames: Vec<Frame> = positions.members.iter().flatten().map(frame).collect();
    let lowest = own.iter().map(|(_, original)| group.height(*original)).min_by(f64::total_cmp);
    let finding = lowest.map(|lowest| {
        let at: BTreeSet<usize> = own.iter().map(|(_, original)| *original).collect();
        let message = format!(
            "{} of its {} slices are there more than once under different UIDs, voxel for voxel (the first {:.2} mm from the first \
             slice): one of each is read",
            at.len(),
            frames.len(),
            lowest - positions.range()[0]
        );
        Finding::new(Code::RepeatedSlice, message)
    });
    let doubles = own.iter().map(|(double, _)| group.frames[*double].instance.clone()).collect();
    Stacked { frames, findings: finding.into_iter().collect(), doubt: part.doubt.clone(), doubles }
}
