//! The contours of a structure on one plane as one region.
//!
//! Equal contours count once. A contour inside another is a hole, one inside that an island: they
//! combine by XOR. Pieces that overlap in part are joined, so that what is drawn twice is not taken
//! away; holes that overlap are one hole, and a hole of two joined pieces stays one when it lies in
//! both. Contours of the type CLOSEDPLANAR_XOR combine with all others by XOR.

use std::collections::{BTreeMap, BTreeSet};

use crate::labels::polygon::{
    Crossings, Polygon, Related, Relation, Rows, Spans, joined, length, spans, without,
};
use crate::labels::raster::Pixels;

/// Maximum nesting of contours; deeper ones combine by XOR, whether they overlap or not.
const DEEPEST: usize = 8;

/// Rows a pixel at which the area of a region is measured.
const ROWS_A_PIXEL: f64 = 2.0;

/// Slices of flags that are in memory at most while the pixels of one slice are found.
pub(crate) const SLICES_AT_WORK: usize = 2 * (DEEPEST + 2);

/// The contours of one plane, in pixels of a slice.
#[derive(Clone, Debug)]
pub(crate) struct ContourSet {
    polygons: Vec<Polygon>,
    region: Region,
    /// Contours that are equal to another and do not count.
    pub repeated: usize,
    /// Contours that run round more than once.
    pub rounds: usize,
    /// Contours that overlap another in part.
    pub overlapping: usize,
}

/// How polygons, by their numbers, make a region.
#[derive(Clone, Debug)]
enum Region {
    /// Pixels inside an odd number of them.
    EvenOdd(Vec<usize>),
    /// Pixels inside any of them.
    Join(Vec<Region>),
    /// The first without the second.
    Remove(Box<Region>, Box<Region>),
}

/// A contour, and whether it is of the type CLOSEDPLANAR_XOR.
pub(crate) type Contour = (Polygon, bool);

/// Relations of pairs of polygons, by the smaller number and the larger; disjoint pairs are
/// omitted.
type Relations = BTreeMap<(usize, usize), Related>;

impl ContourSet {
    pub(crate) fn new(contours: Vec<Contour>) -> Self {
        let before = contours.len();
        let mut kept: Vec<Contour> = Vec::with_capacity(before);
        let mut relations = Relations::new();
        for contour in contours {
            let of_its_type = kept.iter().enumerate().filter(|(_, other)| other.1 == contour.1);
            let found: Vec<(usize, Related)> =
                of_its_type.map(|(number, other)| (number, other.0.related(&contour.0))).collect();
            if found.iter().any(|(_, related)| related.relation == Relation::Equal) {
                continue;
            }
            let apart = Related { relation: Relation::Apart, exact: true };
            let near = found.into_iter().filter(|(_, related)| *related != apart);
            relations.extend(near.map(|(number, related)| ((number, kept.len()), related)));
            kept.push(contour);
        }
        let exclusive: Vec<bool> = kept.iter().map(|contour| contour.1).collect();
        let overlapping: BTreeSet<usize> = relations
            .iter()
            .filter(|((a, _), related)| !exclusive[*a] && related.relation == Relation::Overlapping)
            .flat_map(|((a, b), _)| [*a, *b])
            .collect();
        Self {
            region: region(&exclusive, &relations),
            repeated: before - kept.len(),
            rounds: kept.iter().filter(|(polygon, _)| polygon.is_repeated()).count(),
            overlapping: overlapping.len(),
            polygons: kept.into_iter().map(|contour| contour.0).collect(),
        }
    }

    /// A flag for every pixel of a slice of `size` (columns, rows), columns fastest.
    pub(crate) fn mask(&self, size: [usize; 2]) -> Vec<bool> {
        match &self.region {
            Region::EvenOdd(members) => Pixels::closed(self.members(members), size),
            region => self.pixels(region, size).closed,
        }
    }

    /// The area that it encloses, square pixels.
    pub(crate) fn area(&self) -> f64 {
        let low = self.polygons.iter().map(|polygon| polygon.low()[1]).fold(f64::INFINITY, f64::min);
        let high = self.polygons.iter().map(|polygon| polygon.high()[1]).fold(f64::NEG_INFINITY, f64::max);
        if low >= high {
            return 0.0;
        }
        let rows = Rows::between(low, high, ROWS_A_PIXEL);
        match &self.region {
            Region::EvenOdd(members) => {
                Crossings::new(self.members(members).flat_map(Polygon::edges), rows).area()
            }
            region => self.spans(region, rows).map(|spans| length(&spans)).sum::<f64>() * rows.step,
        }
    }

    /// Whether a part of it lies beyond a slice of `size` (columns, rows) by more than a pixel.
    pub(crate) fn is_beyond(&self, size: [usize; 2]) -> bool {
        let beyond = |polygon: &Polygon, axis: usize| {
            polygon.low()[axis] < -1.5 || polygon.high()[axis] > size[axis] as f64 + 0.5
        };
        self.polygons.iter().any(|polygon| beyond(polygon, 0) || beyond(polygon, 1))
    }

    fn members<'a>(&'a self, members: &'a [usize]) -> impl Iterator<Item = &'a Polygon> {
        members.iter().map(|member| &self.polygons[*member])
    }

    fn pixels(&self, region: &Region, size: [usize; 2]) -> Pixels {
        match region {
            Region::EvenOdd(members) => Pixels::of(self.members(members), size),
            Region::Join(parts) => {
                let mut all = Pixels::of(std::iter::empty(), size);
                parts.iter().for_each(|part| all.join(&self.pixels(part, size)));
                all
            }
            Region::Remove(whole, part) => {
                let mut left = self.pixels(whole, size);
                left.remove(&self.pixels(part, size));
                left
            }
        }
    }

    /// The spans of the region, row by row.
    fn spans<'a>(&'a self, region: &'a Region, rows: Rows) -> Box<dyn Iterator<Item = Spans> + 'a> {
        match region {
            Region::EvenOdd(members) => Box::new(spans(self.members(members).flat_map(Polygon::edges), rows)),
            Region::Join(parts) => {
                let mut parts: Vec<_> = parts.iter().map(|part| self.spans(part, rows)).collect();
                let of_row = move |_| {
                    let spans = parts.iter_mut().filter_map(Iterator::next);
                    spans.fold(Spans::new(), |all, part| joined(&all, &part))
                };
                Box::new((0..rows.count).map(of_row))
            }
            Region::Remove(whole, part) => {
                let rows = self.spans(whole, rows).zip(self.spans(part, rows));
                Box::new(rows.map(|(whole, part)| without(&whole, &part)))
            }
        }
    }
}

fn region(exclusive: &[bool], relations: &Relations) -> Region {
    let (exclusive, plain): (Vec<usize>, Vec<usize>) =
        (0..exclusive.len()).partition(|number| exclusive[*number]);
    match joined_pieces(&plain, relations, 0) {
        Region::EvenOdd(mut members) => {
            members.extend(exclusive);
            Region::EvenOdd(members)
        }
        region if exclusive.is_empty() => region,
        region => {
            let exclusive = Region::EvenOdd(exclusive);
            let without = |a: &Region, b: &Region| Region::Remove(Box::new(a.clone()), Box::new(b.clone()));
            Region::Join(vec![without(&region, &exclusive), without(&exclusive, &region)])
        }
    }
}

/// Contours that only touch, nest or lie apart combine by XOR. Of a group in which some overlap,
/// each outermost contour without what lies inside it is a piece.
fn joined_pieces(members: &[usize], relations: &Relations, depth: usize) -> Region {
    let mut exact = Vec::new();
    let mut parts = Vec::new();
    for group in groups(members, relations) {
        let is_exact = |(a, b): (usize, usize)| relations.get(&(a, b)).is_none_or(|related| related.exact);
        if depth == DEEPEST || pairs(&group).all(is_exact) {
            exact.extend(group);
            continue;
        }
        for outer in
            group.iter().filter(|outer| !group.iter().any(|other| lies_in(**outer, *other, relations)))
        {
            let inner: Vec<usize> =
                group.iter().copied().filter(|other| lies_in(*other, *outer, relations)).collect();
            let whole = Region::EvenOdd(vec![*outer]);
            parts.push(match inner.is_empty() {
                true => whole,
                false => {
                    Region::Remove(Box::new(whole), Box::new(joined_pieces(&inner, relations, depth + 1)))
                }
            });
        }
    }
    let exact = Region::EvenOdd(exact);
    if parts.is_empty() {
        return exact;
    }
    parts.push(exact);
    Region::Join(parts)
}

fn pairs(group: &[usize]) -> impl Iterator<Item = (usize, usize)> + '_ {
    group.iter().enumerate().flat_map(|(place, a)| group[place + 1..].iter().map(|b| (*a, *b)))
}

fn lies_in(inner: usize, outer: usize, relations: &Relations) -> bool {
    let relation = |a, b| relations.get(&(a, b)).map(|related: &Related| related.relation);
    match inner < outer {
        true => relation(inner, outer) == Some(Relation::Inside),
        false => relation(outer, inner) == Some(Relation::Around),
    }
}

/// Members that are related, directly or through others, in ascending order.
fn groups(members: &[usize], relations: &Relations) -> Vec<Vec<usize>> {
    let mut neighbours: BTreeMap<usize, Vec<usize>> =
        members.iter().map(|member| (*member, Vec::new())).collect();
    for (a, b) in relations.keys() {
        if neighbours.contains_key(a) && neighbours.contains_key(b) {
            neighbours.entry(*a).or_default().push(*b);
            neighbours.entry(*b).or_default().push(*a);
        }
    }
    let mut groups = Vec::new();
    while let Some((first, near)) = neighbours.pop_first() {
        let mut group = vec![first];
        let mut waiting = near;
        while let Some(next) = waiting.pop() {
            if let Some(near) = neighbours.remove(&next) {
                group.push(next);
                waiting.extend(near);
            }
        }
        group.sort_unstable();
        groups.push(group);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::polygon::Point;

    fn rectangle([x0, y0]: Point, [x1, y1]: Point) -> Contour {
        (Polygon::new(vec![[x0, y0], [x1, y0], [x1, y1], [x0, y1]]).unwrap(), false)
    }

    /// A square whose corners lie half a pixel outside of the pixels `low` to `high`.
    fn square(low: usize, high: usize) -> Contour {
        let [low, high] = [low as f64 - 0.5, high as f64 + 0.5];
        rectangle([low; 2], [high; 2])
    }

    fn drawn(set: &ContourSet) -> Vec<String> {
        let flags = set.mask([8, 8]);
        flags.chunks(8).map(|row| row.iter().map(|f| if *f { '#' } else { '.' }).collect()).collect()
    }

    #[test]
    fn equal_contours_count_once_wherever_they_begin_and_whichever_way_they_run() {
        let points = [[0.5, 0.5], [5.5, 0.5], [5.5, 4.5], [2.0, 3.5], [0.5, 4.5]];
        let contour = |points: Vec<Point>| (Polygon::new(points).unwrap(), false);
        let mut rotated = points.to_vec();
        rotated.rotate_left(2);
        let mut reversed = points.to_vec();
        reversed.reverse();
        let closed = [&points[..], &points[..1]].concat();
        let halved = [&points[..1], &[[3.0, 0.5]], &points[1..]].concat();
        let moved: Vec<Point> = points.iter().map(|[x, y]| [x + 0.004, y - 0.003]).collect();
        let once = ContourSet::new(vec![contour(points.to_vec())]);
        for other in [points.to_vec(), rotated, reversed, closed, halved, moved] {
            for times in 1..=3 {
                let mut contours = vec![contour(points.to_vec())];
                contours.extend((0..times).map(|_| contour(other.clone())));
                let set = ContourSet::new(contours);
                assert_eq!((set.repeated, drawn(&set)), (times, drawn(&once)));
            }
        }
    }

    #[test]
    fn pieces_that_overlap_are_joined_and_holes_stay() {
        let expected =
            ["########", "########", "##.#####", "########", "########", "....####", "....####", "........"];
        let wide = rectangle([-0.5, -0.5], [5.5, 4.5]);
        let high = rectangle([3.5, -0.5], [7.5, 6.5]);
        let set = ContourSet::new(vec![wide, rectangle([1.5, 1.5], [2.5, 2.5]), high]);
        assert_eq!(drawn(&set), expected);
        assert_eq!(set.overlapping, 2);
        assert!((set.area() - 47.0).abs() < 0.3, "{}", set.area());
    }

    #[test]
    fn a_hole_of_both_pieces_stays_and_holes_that_overlap_are_one() {
        let both = rectangle([3.5, 1.5], [4.5, 2.5]);
        let set = ContourSet::new(vec![
            rectangle([-0.5, -0.5], [5.5, 3.5]),
            both,
            rectangle([2.5, -0.5], [7.5, 3.5]),
        ]);
        assert_eq!(drawn(&set)[..4], ["########", "########", "####.###", "########"]);
        let holes = [rectangle([0.5, 0.5], [3.5, 2.5]), rectangle([2.5, 1.5], [5.5, 5.5])];
        let set = ContourSet::new([vec![square(0, 7)], holes.to_vec()].concat());
        let expected =
            ["########", "#...####", "#.....##", "###...##", "###...##", "###...##", "########", "########"];
        assert_eq!(drawn(&set), expected);
        assert!((set.area() - 47.0).abs() < 1e-9, "{}", set.area());
    }

    #[test]
    fn rings_nest_and_a_hole_that_reaches_over_the_edge_by_a_hair_stays_a_hole() {
        let rings = ContourSet::new(vec![square(2, 5), square(0, 7), square(3, 4), square(1, 6)]);
        let expected =
            ["########", "#......#", "#.####.#", "#.#..#.#", "#.#..#.#", "#.####.#", "#......#", "########"];
        assert_eq!((drawn(&rings), rings.overlapping), (expected.map(str::to_owned).to_vec(), 0));
        let set = ContourSet::new(vec![square(0, 5), rectangle([1.5, 0.5], [3.5, 5.53])]);
        assert_eq!(drawn(&set)[4..], ["##..##..", "##..##..", "........", "........"]);
    }

    #[test]
    fn contours_of_the_xor_type_combine_by_xor_with_all_others() {
        let exclusive = |(polygon, _): Contour| (polygon, true);
        let [a, b] = [rectangle([-0.5, -0.5], [4.5, 1.5]), rectangle([2.5, -0.5], [7.5, 1.5])];
        let both = ContourSet::new(vec![exclusive(a.clone()), exclusive(b.clone())]);
        assert_eq!(drawn(&both)[..2], ["###..###", "###..###"]);
        let taken = exclusive(rectangle([0.5, 0.5], [3.5, 5.5]));
        let mixed = ContourSet::new(vec![a, b, taken]);
        assert_eq!(drawn(&mixed)[..3], ["########", "#...####", ".###...."]);
    }

    #[test]
    fn a_hole_smaller_than_a_pixel_takes_nothing_away() {
        let tiny = rectangle([3.2, 3.3], [3.26, 3.36]);
        let set = ContourSet::new(vec![square(1, 6), rectangle([3.5, 1.5], [4.5, 2.5]), tiny]);
        let expected =
            ["........", ".######.", ".###.##.", ".######.", ".######.", ".######.", ".######.", "........"];
        assert_eq!(drawn(&set), expected);
    }
}
