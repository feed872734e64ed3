//! Findings about a structure's contours and its mask.

use std::collections::BTreeMap;

use pdl_findings::{Code, Finding};
use pdl_store::plural::counted;

use crate::labels::contour_planes::ContourPlanes;
use crate::labels::contour_set::ContourSet;
use crate::labels::mask::Mask;
use crate::series::stack::Stack;

/// A contour plane further from its slice than this fraction of the step is reported.
const OFF_SLICE: f64 = 0.1;
/// Maximum relative difference of the volumes of contours and mask that is not reported.
const ALIKE: f64 = 0.05;
/// Maximum distance of planes of one piece, in steps.
const SEPARATE: f64 = 4.0;

/// The contours of a structure as they were placed and drawn.
pub(crate) struct Drawing<'a> {
    pub stack: &'a Stack,
    pub planes: &'a ContourPlanes,
    /// The contours of each plane, in pixels of the slice nearest to it.
    pub sets: &'a [ContourSet],
    /// For each slice that is drawn on its plane.
    pub drawn: &'a BTreeMap<usize, usize>,
    pub mask: &'a Mask,
}

impl Drawing<'_> {
    /// All findings, each beginning with the structure's name.
    pub(crate) fn findings(&self, name: &str) -> Vec<Finding> {
        let found = [
            self.oblique(),
            self.off_series(),
            self.off_slice(),
            self.finer(),
            self.repeated(),
            self.overlapping(),
            self.beyond(),
            self.missing(),
            self.volume(),
        ];
        let named = |(code, message)| Finding::new(code, format!("{name}: {message}"));
        found.into_iter().flatten().map(named).collect()
    }

    fn contours(&self) -> usize {
        self.planes.oblique.len() + self.planes.planes.iter().map(|plane| plane.contours.len()).sum::<usize>()
    }

    fn step(&self) -> f64 {
        self.stack.step().unwrap_or(f64::INFINITY)
    }

    fn oblique(&self) -> Option<(Code, String)> {
        let count = self.planes.oblique.len();
        let message = format!(
            "contours oblique to the slices are skipped: {count} of {}, whose points are up to {:.2} mm apart along \
             the normal",
            self.contours(),
            self.planes.spread
        );
        (count > 0).then_some((Code::ObliqueContours, message))
    }

    fn off_series(&self) -> Option<(Code, String)> {
        let top = self.stack.heights().last().copied().unwrap_or(0.0);
        let mut counts = [0; 3];
        for plane in self.planes.planes.iter().filter(|plane| plane.slice.is_none()) {
            let place = if plane.height < 0.0 {
                0
            } else if plane.height > top {
                2
            } else {
                1
            };
            counts[place] += plane.contours.len();
        }
        let all: usize = counts.iter().sum();
        let places = ["before the first", "between slices", "beyond the last"];
        let told: Vec<String> = counts
            .iter()
            .zip(places)
            .filter(|(count, _)| **count > 0)
            .map(|(count, place)| format!("{count} {place}"))
            .collect();
        let message = format!(
            "contours that belong to no slice of the series are skipped: {all} of {} ({})",
            self.contours(),
            told.join(", ")
        );
        (all > 0).then_some((Code::ContoursOffSeries, message))
    }

    fn off_slice(&self) -> Option<(Code, String)> {
        let off = |plane: &usize| self.planes.planes[*plane].slice.map_or(0.0, |(_, off)| off);
        let farthest = self.drawn.values().map(off).fold(0.0, f64::max);
        let message =
            format!("its contours are up to {farthest:.2} mm from the slices to which they were assigned");
        (farthest > OFF_SLICE * self.step()).then_some((Code::ContoursOffSlice, message))
    }

    fn finer(&self) -> Option<(Code, String)> {
        let placed = self.planes.planes.iter().filter(|plane| plane.slice.is_some()).count();
        let left_out = placed - self.drawn.len();
        let verb = if left_out == 1 { "does" } else { "do" };
        let message = format!(
            "it is drawn on {placed} planes of {}; the nearest to each slice counts, and {left_out} of them {verb} not",
            counted(self.drawn.len(), "slice")
        );
        (left_out > 0).then_some((Code::ContoursFinerThanSlices, message))
    }

    fn repeated(&self) -> Option<(Code, String)> {
        let sum = |of: fn(&ContourSet) -> usize| self.drawn_sets().map(of).sum::<usize>();
        let (equal, rounds) = (sum(|set| set.repeated), sum(|set| set.rounds));
        let both = [
            (equal, "equals another on its slice and does", "equal others on their slices and do"),
            (rounds, "runs round more than once, which does", "run round more than once, which does"),
        ];
        let told = both.into_iter().filter(|(count, ..)| *count > 0).map(|(count, one, several)| {
            format!("{} {} not count", counted(count, "contour"), if count == 1 { one } else { several })
        });
        let told: Vec<String> = told.collect();
        (!told.is_empty()).then(|| (Code::RepeatedContours, told.join("; ")))
    }

    fn overlapping(&self) -> Option<(Code, String)> {
        let counts: Vec<usize> =
            self.drawn_sets().map(|set| set.overlapping).filter(|count| *count > 0).collect();
        let message = format!(
            "{} contours on {} overlap others in part and are joined",
            counts.iter().sum::<usize>(),
            counted(counts.len(), "slice")
        );
        (!counts.is_empty()).then_some((Code::OverlappingContours, message))
    }

    fn drawn_sets(&self) -> impl Iterator<Item = &ContourSet> {
        self.drawn.values().map(|plane| &self.sets[*plane])
    }

    fn beyond(&self) -> Option<(Code, String)> {
        let size = self.stack.first().size;
        let slices = self.drawn_sets().filter(|set| set.is_beyond(size)).count();
        let message = format!(
            "its contours reach beyond the image on {} and are cut off there",
            counted(slices, "slice")
        );
        (slices > 0).then_some((Code::LabelBeyondImage, message))
    }

    fn missing(&self) -> Option<(Code, String)> {
        let (first, last) = (self.drawn.keys().next()?, self.drawn.keys().next_back()?);
        let missing: Vec<String> = (*first..*last)
            .filter(|slice| !self.drawn.contains_key(slice))
            .map(|slice| (slice + 1).to_string())
            .collect();
        let message = format!(
            "no contour on {} between its first and last ({})",
            counted(missing.len(), "slice"),
            missing.join(", ")
        );
        (!missing.is_empty()).then_some((Code::MissingContours, message))
    }

    /// Compares the volume that the contours enclose, the sum over their planes of area times
    /// spacing, with the mask's. A mask of a few voxels can be no better than its rim: the voxels
    /// at the edge of each slice, and those of the first and the last.
    fn volume(&self) -> Option<(Code, String)> {
        let step = self.stack.step()?;
        let [x, y] = self.stack.first().spacing;
        let thicknesses = self.planes.thicknesses(SEPARATE * step, step);
        let enclosed: f64 = self.sets.iter().zip(thicknesses).map(|(set, thick)| set.area() * thick).sum();
        let ml = |pixels: f64, thickness: f64| pixels * x * y * thickness / 1000.0;
        let (contours, mask) = (ml(enclosed, 1.0), ml(self.mask.count() as f64, step));
        if mask == 0.0 && !self.drawn.is_empty() {
            let message = format!(
                "its contours enclose {:.2} mm3 and the centre of no voxel, so that its mask is empty",
                1000.0 * contours
            );
            return Some((Code::ContourVolume, message));
        }
        let gap = (mask - contours).abs();
        if gap <= ALIKE * contours {
            return None; // the rim takes a look at every pixel
        }
        let rim = ml(rim(self.mask, self.stack.first().size) as f64, step);
        let message = format!(
            "its contours enclose {contours:.3} ml and its mask holds {mask:.3} ml ({:+.0}%)",
            100.0 * (mask / contours - 1.0)
        );
        (gap > rim).then_some((Code::ContourVolume, message))
    }
}

/// Pixels of the mask with a neighbour on their slice that is outside, and all of its first and its
/// last slice.
fn rim(mask: &Mask, [columns, rows]: [usize; 2]) -> usize {
    let ends = [mask.slices.keys().next(), mask.slices.keys().next_back()];
    let of_slice = |(slice, flags): (&usize, &Vec<bool>)| {
        let inside = |x: usize, y: usize| x < columns && y < rows && flags[x + columns * y];
        let at_edge = |x: usize, y: usize| {
            let neighbours = [(x.wrapping_sub(1), y), (x + 1, y), (x, y.wrapping_sub(1)), (x, y + 1)];
            !neighbours.into_iter().all(|(x, y)| inside(x, y))
        };
        let is_end = ends.contains(&Some(slice));
        let counts = |pixel: &usize| flags[*pixel] && (is_end || at_edge(pixel % columns, pixel / columns));
        (0..flags.len()).filter(counts).count()
    };
    mask.slices.iter().map(of_slice).sum()
}
