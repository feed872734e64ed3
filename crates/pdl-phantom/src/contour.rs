//! Outlines of a label in one slice, along the edges of its pixels.
//!
//! A pixel's centre is inside an outline exactly when the pixel bears the label, by any fill rule:
//! holes are joined to the outline around them by a channel of no width (a keyhole), as DICOM's
//! CLOSED_PLANAR contours want it.

use std::collections::BTreeSet;

/// A corner of pixels: (x, y) is the corner that pixel (x, y) shares with pixel (x - 1, y - 1).
pub type Corner = [usize; 2];

/// The directions +x, +y, -x, -y; adding one turns right where y points down.
const DIRECTIONS: [[isize; 2]; 4] = [[1, 0], [0, 1], [-1, 0], [0, -1]];

/// The closed outlines of the pixels for which `inside` holds, in a slice of this shape (x, y).
/// Each is a list of corners without the first one repeated. Pixels that touch by a corner only are
/// outlined apart.
pub fn outlines(shape: [usize; 2], inside: impl Fn(usize, usize) -> bool) -> Vec<Vec<Corner>> {
    let (mut outer, mut holes): (Vec<_>, Vec<_>) =
        loops(boundary(shape, inside)).into_iter().partition(|points| doubled_area(points) > 0);
    for hole in &mut holes {
        let leftmost = hole.iter().enumerate().min_by_key(|(_, corner)| **corner).map_or(0, |(at, _)| at);
        hole.rotate_left(leftmost);
    }
    // A hole's channel runs to the left, where only holes that begin further left can be met.
    holes.sort();
    for hole in holes {
        join(&mut outer, &hole);
    }
    outer.iter().map(|points| without_straight_corners(points)).collect()
}

/// The edges between pixels inside and outside, by the corner where each begins and its direction,
/// the inside on the right. Ordered by y, then x.
fn boundary(shape: [usize; 2], inside: impl Fn(usize, usize) -> bool) -> BTreeSet<(usize, usize, usize)> {
    let is_inside = |x: usize, y: usize| x < shape[0] && y < shape[1] && inside(x, y);
    let mut edges = BTreeSet::new();
    for y in 0..shape[1] {
        for x in (0..shape[0]).filter(|x| is_inside(*x, y)) {
            // An index below zero wraps to one beyond the slice, which counts as outside.
            let sides = [
                (is_inside(x, y.wrapping_sub(1)), (y, x, 0)),
                (is_inside(x + 1, y), (y, x + 1, 1)),
                (is_inside(x, y + 1), (y + 1, x + 1, 2)),
                (is_inside(x.wrapping_sub(1), y), (y + 1, x, 3)),
            ];
            edges.extend(sides.into_iter().filter(|(neighbour, _)| !neighbour).map(|(_, edge)| edge));
        }
    }
    edges
}

/// Follows the edges to closed loops of corners, one corner for every pixel side.
fn loops(mut edges: BTreeSet<(usize, usize, usize)>) -> Vec<Vec<Corner>> {
    let mut found = Vec::new();
    while let Some((start_y, start_x, mut direction)) = edges.pop_first() {
        let mut points = vec![[start_x, start_y]];
        let (mut x, mut y) = step(start_x, start_y, direction);
        while [x, y] != points[0] {
            points.push([x, y]);
            // Right first: where two pixels touch by a corner, each keeps to its own outline.
            let turns = [direction + 1, direction, direction + 3].map(|turn| turn % 4);
            let Some(next) = turns.into_iter().find(|turn| edges.remove(&(y, x, *turn))) else { break };
            direction = next;
            (x, y) = step(x, y, direction);
        }
        found.push(points);
    }
    found
}

fn step(x: usize, y: usize, direction: usize) -> (usize, usize) {
    let [dx, dy] = DIRECTIONS[direction];
    (x.wrapping_add_signed(dx), y.wrapping_add_signed(dy))
}

/// Twice the enclosed area: positive for the outline of pixels, negative for that of a hole.
fn doubled_area(points: &[Corner]) -> i64 {
    let next = points.iter().cycle().skip(1);
    points.iter().zip(next).map(|(a, b)| (a[0] * b[1]) as i64 - (b[0] * a[1]) as i64).sum()
}

/// Joins a hole, which begins at its leftmost corner, to the first loop that lies to its left.
fn join(outer: &mut [Vec<Corner>], hole: &[Corner]) {
    let Some(&[start_x, y]) = hole.first() else { return };
    for x in (0..=start_x).rev() {
        for points in outer.iter_mut() {
            if let Some(at) = points.iter().position(|corner| *corner == [x, y]) {
                let there_and_back = [hole, &[[start_x, y], [x, y]]].concat();
                points.splice(at + 1..at + 1, there_and_back);
                return;
            }
        }
    }
}

/// Only the corners where an outline turns.
fn without_straight_corners(points: &[Corner]) -> Vec<Corner> {
    let heading = |a: Corner, b: Corner| [0, 1].map(|axis| (b[axis] as i64 - a[axis] as i64).signum());
    let mut distinct = points.to_vec();
    distinct.dedup();
    let n = distinct.len();
    (0..n)
        .filter(|&i| {
            let (before, here, after) = (distinct[(i + n - 1) % n], distinct[i], distinct[(i + 1) % n]);
            heading(before, here) != heading(here, after)
        })
        .map(|i| distinct[i])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::RandomSource;

    /// Whether the centre of pixel (x, y) is inside, by the even-odd rule along a ray in +x.
    fn holds(outline: &[Corner], x: usize, y: usize) -> bool {
        let next = outline.iter().cycle().skip(1);
        let crosses = |(a, b): (&Corner, &Corner)| (a[1] <= y) != (b[1] <= y) && a[0] > x;
        outline.iter().zip(next).filter(|pair| crosses(*pair)).count() % 2 == 1
    }

    #[test]
    fn a_block_has_four_corners() {
        let found = outlines([5, 4], |x, y| (1..4).contains(&x) && (1..3).contains(&y));
        assert_eq!(found, [[[1, 1], [4, 1], [4, 3], [1, 3]]]);
    }

    #[test]
    fn a_ring_is_one_outline_with_a_keyhole() {
        let found = outlines([5, 5], |x, y| [x, y] != [2, 2]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].len(), 10); // two squares and the channel's two ends on the outer one
    }

    #[test]
    fn random_pixels_are_filled_again() {
        let mut source = RandomSource::new(5, 5);
        for _ in 0..300 {
            let share = source.uniform();
            let mask: Vec<bool> = (0..13 * 11).map(|_| source.uniform() < share).collect();
            let found = outlines([13, 11], |x, y| mask[x + 13 * y]);
            for (pixel, inside) in mask.iter().enumerate() {
                let (x, y) = (pixel % 13, pixel / 13);
                let times = found.iter().filter(|outline| holds(outline, x, y)).count();
                assert_eq!(times, usize::from(*inside), "pixel ({x}, {y})");
            }
        }
    }
}
