//! Closed polygons in a slice, and what two of them have in common.

/// A place in a slice: column and row, pixel centres at integers.
pub(crate) type Point = [f64; 2];

pub(crate) type Edge = (Point, Point);

/// Intervals of a row from left to right, each from its first column to its last.
pub(crate) type Spans = Vec<[f64; 2]>;

/// Distance in pixels within which a point is on an edge. The last digits make room for what
/// rounding adds to a distance of exactly 0.05.
pub(crate) const ON_EDGE: f64 = 0.05 + 1e-9;
/// Overlaps and differences of two polygons up to this fraction of the smaller one count as noise.
const NOISE: f64 = 0.25;
/// Pixels, or square pixels, that are rounding.
const ROUNDING: f64 = 1e-6;
/// Rows a pixel at which it is measured what two polygons share.
const ROWS_A_PIXEL: f64 = 16.0;
/// The least and the most rows at which areas are measured.
const ROWS: [f64; 2] = [64.0, 8192.0];

/// Parallel lines, evenly spaced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    pub first: f64,
    pub step: f64,
    pub count: usize,
}

/// A closed contour that encloses an area.
#[derive(Clone, Debug)]
pub(crate) struct Polygon {
    points: Vec<Point>,
    is_repeated: bool,
    low: Point,
    high: Point,
}

/// How a polygon lies to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Apart,
    /// The polygon lies inside the other.
    Inside,
    /// The polygon contains the other.
    Around,
    Equal,
    /// Each has a part of its own, and they share one.
    Overlapping,
}

/// How a polygon lies to another, and whether it does so to the last digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Related {
    pub relation: Relation,
    /// Whether no edge of the one crosses into where it should not.
    pub exact: bool,
}

impl Rows {
    /// Rows from which the area of what lies between two heights is measured, each in the middle of
    /// its strip.
    pub(crate) fn between(low: f64, high: f64, a_pixel: f64) -> Self {
        let count = ((high - low) * a_pixel).ceil().clamp(ROWS[0], ROWS[1]);
        let step = (high - low) / count;
        Self { first: low + 0.5 * step, step, count: count as usize }
    }

    fn at(&self, row: usize) -> f64 {
        self.first + row as f64 * self.step
    }
}

impl Polygon {
    /// `None` if the points enclose no area: fewer than three different ones, or all on a line.
    pub(crate) fn new(mut points: Vec<Point>) -> Option<Self> {
        points.dedup();
        while points.len() > 1 && points.first() == points.last() {
            points.pop();
        }
        let round = round_of(&points);
        let is_repeated = round < points.len();
        points.truncate(round);
        let start = *points.first()?;
        let from_start = |p: &Point| [p[0] - start[0], p[1] - start[1]];
        let length = |v: Point| v[0].hypot(v[1]);
        let with_length = |p: &Point| (length(from_start(p)), from_start(p));
        let (most, far) = points.iter().map(with_length).max_by(|a, b| a.0.total_cmp(&b.0))?;
        let aside = |v: Point| (v[0] * far[1] - v[1] * far[0]).abs() / most.max(f64::MIN_POSITIVE);
        if !points.iter().map(from_start).any(|v| aside(v) > ROUNDING) {
            return None;
        }
        let fold =
            |axis: usize, of: fn(f64, f64) -> f64| points.iter().map(|p| p[axis]).fold(start[axis], of);
        let (low, high) = ([fold(0, f64::min), fold(1, f64::min)], [fold(0, f64::max), fold(1, f64::max)]);
        Some(Self { points, is_repeated, low, high })
    }

    /// Whether its points ran round more than once.
    pub(crate) fn is_repeated(&self) -> bool {
        self.is_repeated
    }

    pub(crate) fn low(&self) -> Point {
        self.low
    }

    pub(crate) fn high(&self) -> Point {
        self.high
    }

    /// Edges, the closing one included.
    pub(crate) fn edges(&self) -> impl Iterator<Item = Edge> + '_ {
        let next = self.points.iter().cycle().skip(1);
        self.points.iter().zip(next).map(|(a, b)| (*a, *b))
    }

    /// Relation to another polygon. An overlap within the tolerance of an edge does not count.
    pub(crate) fn related(&self, other: &Self) -> Related {
        let exactly = |relation| Related { relation, exact: true };
        if (0..2).any(|axis| self.high[axis] < other.low[axis] || other.high[axis] < self.low[axis]) {
            return exactly(Relation::Apart);
        }
        if !self.edges().any(|edge| other.may_meet(edge)) {
            return exactly(if self.holds(other) { Relation::Around } else { Relation::Apart });
        }
        if !other.edges().any(|edge| self.may_meet(edge)) {
            return exactly(if other.holds(self) { Relation::Inside } else { Relation::Apart });
        }
        let ([own, shared], [others, shared_too]) = (self.parts(other), other.parts(self));
        let height = |polygon: &Self| polygon.high[1] - polygon.low[1];
        let shared = if height(self) <= height(other) { shared } else { shared_too };
        let noise = [self.noise(own + shared), other.noise(others + shared)];
        let (relation, wrong) = match (own <= noise[0], others <= noise[1]) {
            (true, true) => (Relation::Equal, own.max(others)),
            (true, false) => (Relation::Inside, own),
            (false, true) => (Relation::Around, others),
            (false, false) if shared <= noise[0].min(noise[1]) => (Relation::Apart, shared),
            (false, false) => (Relation::Overlapping, shared),
        };
        Related { relation, exact: relation != Relation::Overlapping && wrong <= ROUNDING }
    }

    /// Whether an edge may come near: its box meets the polygon's.
    fn may_meet(&self, (a, b): Edge) -> bool {
        (0..2).all(|axis| {
            a[axis].max(b[axis]) >= self.low[axis] - ON_EDGE
                && a[axis].min(b[axis]) <= self.high[axis] + ON_EDGE
        })
    }

    /// Whether the first point of another, which no edge comes near to, lies inside.
    fn holds(&self, other: &Self) -> bool {
        let [x, y] = other.points[0];
        let row = Rows { first: y, step: 1.0, count: 1 };
        let crossing = self.edges().filter(|(a, b)| (a[1] <= y) != (b[1] <= y));
        let mut crossings = Crossings::new(crossing, row);
        crossings
            .next_row()
            .is_some_and(|found| found.iter().filter(|crossing| **crossing < x).count() % 2 == 1)
    }

    /// Area outside of another and inside, square pixels.
    fn parts(&self, other: &Self) -> [f64; 2] {
        let rows = Rows::between(self.low[1], self.high[1], ROWS_A_PIXEL);
        let mut areas = [0.0; 2];
        for (own, others) in spans(self.edges(), rows).zip(spans(other.edges(), rows)) {
            let outside = length(&without(&own, &others));
            areas[0] += outside * rows.step;
            areas[1] += (length(&own) - outside) * rows.step;
        }
        areas
    }

    fn noise(&self, area: f64) -> f64 {
        let perimeter: f64 = self.edges().map(|(a, b)| (b[0] - a[0]).hypot(b[1] - a[1])).sum();
        (ON_EDGE * perimeter).min(NOISE * area)
    }
}

/// How many of the points make one round, where all others repeat them within what counts as on an
/// edge; else all. Points that all lie at one place make no round.
fn round_of(points: &[Point]) -> usize {
    let all = points.len();
    let near = |(a, b): (&Point, &Point)| (a[0] - b[0]).hypot(a[1] - b[1]) <= ON_EDGE;
    let repeats = |round: &usize| {
        let once = points.get(..*round).unwrap_or_default();
        all.is_multiple_of(*round) && points.iter().zip(once.iter().cycle()).all(near)
    };
    let is_speck = points.first().is_none_or(|first| points.iter().all(|point| near((first, point))));
    if is_speck { all } else { (3..=all / 2).find(repeats).unwrap_or(all) }
}

/// Where edges cross one row after the other, each from left to right. Half open: a row that meets
/// a vertex crosses one of its two edges only. Takes memory for the edges and one row.
pub(crate) struct Crossings {
    /// From the lower end up, the lowest last.
    waiting: Vec<Edge>,
    active: Vec<Edge>,
    /// Crossings of the row that was requested last.
    found: Vec<f64>,
    rows: Rows,
    row: usize,
}

impl Crossings {
    pub(crate) fn new(edges: impl Iterator<Item = Edge>, rows: Rows) -> Self {
        let upwards = |(a, b): Edge| if a[1] < b[1] { (a, b) } else { (b, a) };
        let mut waiting: Vec<Edge> = edges.map(upwards).filter(|(low, high)| low[1] < high[1]).collect();
        waiting.sort_by(|a, b| b.0[1].total_cmp(&a.0[1]));
        Self { waiting, active: Vec::new(), found: Vec::new(), rows, row: 0 }
    }

    /// The crossings of the next row; `None` after the last.
    pub(crate) fn next_row(&mut self) -> Option<&[f64]> {
        if self.row == self.rows.count {
            return None;
        }
        let y = self.rows.at(self.row);
        self.row += 1;
        while let Some(edge) = self.waiting.pop_if(|(low, _)| low[1] <= y) {
            self.active.push(edge);
        }
        self.active.retain(|(_, high)| y < high[1]);
        let crossing = |(low, high): &Edge| low[0] + (y - low[1]) / (high[1] - low[1]) * (high[0] - low[0]);
        self.found.clear();
        self.found.extend(self.active.iter().map(crossing));
        self.found.sort_unstable_by(f64::total_cmp);
        Some(&self.found)
    }

    /// The area between them by the even-odd rule, square pixels.
    pub(crate) fn area(mut self) -> f64 {
        let mut lengths = 0.0;
        while let Some(found) = self.next_row() {
            lengths += found.chunks_exact(2).map(|pair| pair[1] - pair[0]).sum::<f64>();
        }
        lengths * self.rows.step
    }
}

/// Interior spans of edges, row by row, by the even-odd rule.
pub(crate) fn spans(edges: impl Iterator<Item = Edge>, rows: Rows) -> impl Iterator<Item = Spans> {
    let mut crossings = Crossings::new(edges, rows);
    let pairs = |found: &[f64]| found.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
    std::iter::from_fn(move || crossings.next_row().map(pairs))
}

/// The length of all spans.
pub(crate) fn length(spans: &[[f64; 2]]) -> f64 {
    spans.iter().map(|[from, to]| to - from).sum()
}

/// The difference: parts of the first that are not in the second.
pub(crate) fn without(spans: &[[f64; 2]], others: &[[f64; 2]]) -> Spans {
    let mut left = Vec::new();
    let mut others = others.iter().peekable();
    for [from, to] in spans {
        let mut from = *from;
        while let Some([start, end]) = others.peek().filter(|[start, _]| start < to) {
            if *start > from {
                left.push([from, *start]);
            }
            from = from.max(*end);
            if end > to {
                break;
            }
            others.next();
        }
        if from < *to {
            left.push([from, *to]);
        }
    }
    left
}

/// The union.
pub(crate) fn joined(spans: &[[f64; 2]], others: &[[f64; 2]]) -> Spans {
    let mut all = [spans, others].concat();
    all.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let mut result: Spans = Vec::with_capacity(all.len());
    for [from, to] in all {
        match result.last_mut() {
            Some(last) if from <= last[1] => last[1] = last[1].max(to),
            _ => result.push([from, to]),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rectangle([x0, y0]: Point, [x1, y1]: Point) -> Polygon {
        Polygon::new(vec![[x0, y0], [x1, y0], [x1, y1], [x0, y1]]).unwrap()
    }

    #[test]
    fn points_that_enclose_nothing_are_no_polygon() {
        for points in [
            vec![],
            vec![[1.0, 1.0]],
            vec![[1.0, 1.0], [4.0, 1.0], [1.0, 1.0]],
            vec![[0.0, 0.0], [1.0, 1.0], [5.0, 5.0], [2.0, 2.0]],
        ] {
            assert!(Polygon::new(points.clone()).is_none(), "{points:?}");
        }
        let closed = vec![[0.0, 0.0], [0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 0.0]];
        assert_eq!(Polygon::new(closed).unwrap().edges().count(), 3);
    }

    #[test]
    fn polygons_lie_apart_inside_or_across() {
        let block = rectangle([0.0, 0.0], [10.0, 8.0]);
        let cases = [
            (rectangle([11.0, 0.0], [14.0, 4.0]), Relation::Apart, true),
            (rectangle([10.0, 2.0], [14.0, 4.0]), Relation::Apart, true),
            (rectangle([9.98, 2.0], [14.0, 4.0]), Relation::Apart, false),
            (rectangle([2.0, 2.0], [4.0, 4.0]), Relation::Around, true),
            (rectangle([2.0, 0.0], [4.0, 4.0]), Relation::Around, true),
            (rectangle([2.0, -0.04], [4.0, 4.0]), Relation::Around, false),
            (rectangle([3.97, 3.97], [4.03, 4.03]), Relation::Around, true),
            (rectangle([-9.0, -9.0], [19.0, 19.0]), Relation::Inside, true),
            (rectangle([0.02, 0.0], [10.01, 8.0]), Relation::Equal, false),
            (rectangle([5.0, 0.0], [15.0, 8.0]), Relation::Overlapping, false),
            (rectangle([-2.0, 3.0], [12.0, 5.0]), Relation::Overlapping, false),
        ];
        for (other, relation, exact) in cases {
            assert_eq!(block.related(&other), Related { relation, exact }, "{other:?}");
            let mirrored = match relation {
                Relation::Inside => Relation::Around,
                Relation::Around => Relation::Inside,
                same => same,
            };
            assert_eq!(other.related(&block), Related { relation: mirrored, exact }, "{other:?}");
        }
    }

    #[test]
    fn a_polygon_in_anothers_notch_is_apart() {
        let notched = vec![
            [0.0, 0.0],
            [9.0, 0.0],
            [9.0, 9.0],
            [6.0, 9.0],
            [6.0, 3.0],
            [3.0, 3.0],
            [3.0, 9.0],
            [0.0, 9.0],
        ];
        let notched = Polygon::new(notched).unwrap();
        let plug = rectangle([4.0, 4.0], [5.0, 8.0]);
        assert_eq!(notched.related(&plug), Related { relation: Relation::Apart, exact: true });
    }

    #[test]
    fn spans_are_taken_away_and_joined() {
        let spans = [[0.0, 4.0], [5.0, 9.0]];
        assert_eq!(
            without(&spans, &[[1.0, 2.0], [3.0, 6.0], [7.0, 8.0]]),
            [[0.0, 1.0], [2.0, 3.0], [6.0, 7.0], [8.0, 9.0]]
        );
        assert_eq!(without(&spans, &[[-1.0, 10.0]]), Spans::new());
        assert_eq!(without(&spans, &[]), spans);
        assert_eq!(joined(&spans, &[[3.0, 5.5], [11.0, 12.0]]), [[0.0, 9.0], [11.0, 12.0]]);
    }
}
