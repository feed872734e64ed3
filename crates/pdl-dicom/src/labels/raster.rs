//! Rasterises closed contours to pixels of a slice.
//!
//! Inside is even-odd over the edges of all contours together: a contour inside another is a hole,
//! and a keyhole's bridge, walked there and back, cancels out. A pixel whose centre lies within
//! 0.05 pixels of an edge is inside, too, unless that edge is walked twice: such an edge bounds
//! nothing.

use crate::labels::polygon::{Crossings, Edge, ON_EDGE, Point, Polygon, Rows};

/// The pixels of a region, a flag for every pixel of the slice, columns fastest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pixels {
    /// Pixels whose centre lies inside or on the boundary.
    pub closed: Vec<bool>,
    /// Pixels whose centre lies inside and not on the boundary.
    pub open: Vec<bool>,
}

impl Pixels {
    /// The pixels inside polygons by the even-odd rule in a slice of `size` (columns, rows).
    pub(crate) fn of<'a>(polygons: impl Iterator<Item = &'a Polygon>, size: [usize; 2]) -> Self {
        let edges = boundary(polygons);
        let mut inside = inside(&edges, size);
        let mut on = vec![false; inside.len()];
        edges.iter().for_each(|edge| mark_near(*edge, size, &mut on));
        let open = inside.iter().zip(&on).map(|(inside, on)| *inside && !*on).collect();
        inside.iter_mut().zip(on).for_each(|(inside, on)| *inside |= on);
        Self { closed: inside, open }
    }

    /// [`Pixels::closed`] of [`Pixels::of`] alone.
    pub(crate) fn closed<'a>(polygons: impl Iterator<Item = &'a Polygon>, size: [usize; 2]) -> Vec<bool> {
        let edges = boundary(polygons);
        let mut closed = inside(&edges, size);
        edges.iter().for_each(|edge| mark_near(*edge, size, &mut closed));
        closed
    }

    /// Adds another region.
    pub(crate) fn join(&mut self, other: &Self) {
        self.closed.iter_mut().zip(&other.closed).for_each(|(own, other)| *own |= other);
        self.open.iter_mut().zip(&other.open).for_each(|(own, other)| *own |= other);
    }

    /// Takes another region away; the boundary between the two stays.
    pub(crate) fn remove(&mut self, other: &Self) {
        self.closed.iter_mut().zip(&other.open).for_each(|(own, other)| *own &= !other);
        self.open.iter_mut().zip(&other.closed).for_each(|(own, other)| *own &= !other);
    }
}

/// The edges that are walked an odd number of times. Vertices count as equal when they agree to
/// 1e-6 of a pixel.
fn boundary<'a>(polygons: impl Iterator<Item = &'a Polygon>) -> Vec<Edge> {
    let key = |p: Point| p.map(|v| (v * 1e6).round() as i64);
    let named = |edge: Edge| {
        let (from, to) = (key(edge.0), key(edge.1));
        (if from < to { (from, to) } else { (to, from) }, edge)
    };
    let mut walked: Vec<_> = polygons.flat_map(Polygon::edges).map(named).collect();
    walked.retain(|((from, to), _)| from != to);
    walked.sort_by_key(|(name, _)| *name);
    let alike = walked.chunk_by(|(name, _), (other, _)| name == other);
    alike.filter(|times| times.len() % 2 == 1).map(|times| times[0].1).collect()
}

/// A flag for every pixel whose centre lies inside, by the even-odd rule.
fn inside(edges: &[Edge], [columns, rows]: [usize; 2]) -> Vec<bool> {
    let mut inside = vec![false; columns * rows];
    let mut crossings = Crossings::new(edges.iter().copied(), Rows { first: 0.0, step: 1.0, count: rows });
    for flags in inside.chunks_exact_mut(columns.max(1)) {
        for pair in crossings.next_row().unwrap_or_default().chunks_exact(2) {
            let first = pair[0].ceil().max(0.0);
            let last = pair[1].floor().min(columns as f64 - 1.0);
            if first <= last {
                flags[first as usize..=last as usize].fill(true);
            }
        }
    }
    inside
}

/// Marks the pixels whose centres are on the edge.
fn mark_near((a, b): Edge, [columns, rows]: [usize; 2], inside: &mut [bool]) {
    let range = |low: f64, high: f64, n: usize| {
        let first = (low - ON_EDGE).ceil().max(0.0);
        let last = (high + ON_EDGE).floor().min(n as f64 - 1.0);
        if first <= last { first as usize..last as usize + 1 } else { 0..0 }
    };
    let (low, high) = if a[1] < b[1] { (a, b) } else { (b, a) };
    for row in range(low[1], high[1], rows) {
        // The part of the edge that can be near this row, and so the columns worth a look.
        let at = |y: f64| {
            let share =
                if high[1] > low[1] { ((y - low[1]) / (high[1] - low[1])).clamp(0.0, 1.0) } else { 0.0 };
            low[0] + share * (high[0] - low[0])
        };
        let (mut x0, mut x1) = (at(row as f64 - ON_EDGE), at(row as f64 + ON_EDGE));
        if high[1] - low[1] <= 2.0 * ON_EDGE {
            (x0, x1) = (a[0], b[0]);
        }
        for column in range(x0.min(x1), x0.max(x1), columns) {
            if distance([column as f64, row as f64], a, b) <= ON_EDGE {
                inside[row * columns + column] = true;
            }
        }
    }
}

fn distance(p: Point, a: Point, b: Point) -> f64 {
    let along = [b[0] - a[0], b[1] - a[1]];
    let from = [p[0] - a[0], p[1] - a[1]];
    let square = along[0] * along[0] + along[1] * along[1];
    let share =
        if square > 0.0 { ((from[0] * along[0] + from[1] * along[1]) / square).clamp(0.0, 1.0) } else { 0.0 };
    (from[0] - share * along[0]).hypot(from[1] - share * along[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(contours: &[Vec<Point>]) -> Vec<String> {
        let polygons: Vec<Polygon> = contours.iter().cloned().filter_map(Polygon::new).collect();
        let flags = Pixels::of(polygons.iter(), [7, 6]).closed;
        flags.chunks(7).map(|row| row.iter().map(|f| if *f { '#' } else { '.' }).collect()).collect()
    }

    fn square(low: f64, high: f64) -> Vec<Point> {
        vec![[low, low], [high, low], [high, high], [low, high]]
    }

    #[test]
    fn a_square_on_pixel_centres_holds_its_border() {
        let expected = [".......", ".####..", ".####..", ".####..", ".####..", "......."];
        assert_eq!(drawn(&[square(1.0, 4.0)]), expected);
        // 0.03 pixels inside of the centres is still on (0.042 at the corners), 0.06 is not.
        assert_eq!(drawn(&[square(1.03, 3.97)]), expected);
        let smaller = [".......", ".......", "..##...", "..##...", ".......", "......."];
        assert_eq!(drawn(&[square(1.06, 3.94)]), smaller);
    }

    #[test]
    fn a_contour_inside_another_is_a_hole_and_so_is_a_keyhole() {
        let expected = ["#####..", "#####..", "##.##..", "#####..", "#####..", "......."];
        let hole = square(1.5, 2.5);
        assert_eq!(drawn(&[square(0.0, 4.0), hole]), expected);
        // The same as one path: along a bridge to the hole, round it and back along the bridge,
        // which passes the centre of pixel (1, 1) and must not count as a boundary.
        let mut keyhole = vec![[0.0, 0.0], [1.5, 1.5], [1.5, 2.5], [2.5, 2.5], [2.5, 1.5], [1.5, 1.5]];
        keyhole.extend([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]]);
        assert_eq!(drawn(&[keyhole]), expected);
    }

    #[test]
    fn what_lies_outside_the_slice_is_cut_off() {
        let expected = ["#######"; 6];
        assert_eq!(drawn(&[square(-5.0, 40.0)]), expected);
    }
}
