//! The shapes that solids are made of. Lengths in millimetres; only + - * / and square roots, so
//! that a point is inside on every machine or on none.

/// A point or direction: x to the patient's right, y to anterior, z to superior.
pub type Point = [f64; 3];

/// `a` squared.
pub fn square(a: f64) -> f64 {
    a * a
}

/// The inner product.
pub fn dot(a: Point, b: Point) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// `a - b`.
pub fn minus(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// `a` at length 1.
pub fn unit(a: Point) -> Point {
    let length = dot(a, a).sqrt();
    a.map(|v| v / length)
}

/// An ellipse with squarer shoulders: below 1 inside, 1 on the outline, given the coordinates in
/// half-widths.
pub fn squircle(u: f64, v: f64) -> f64 {
    let (u, v) = (u * u, v * v);
    u + v - 0.28 * (u * v).min(1.0)
}

/// Whether (x, y) lies in the ellipse of these half-widths around the centre.
pub fn in_ellipse(point: [f64; 2], centre: [f64; 2], half_widths: [f64; 2]) -> bool {
    square((point[0] - centre[0]) / half_widths[0]) + square((point[1] - centre[1]) / half_widths[1]) < 1.0
}

/// Whether a point lies within `radius` of the segment from `a` to `b`.
pub fn in_capsule(point: Point, a: Point, b: Point, radius: f64) -> bool {
    let (along, from) = (minus(b, a), minus(point, a));
    let place = (dot(from, along) / dot(along, along)).clamp(0.0, 1.0);
    let off = minus(from, along.map(|v| v * place));
    dot(off, off) < radius * radius
}

/// An ellipsoid that narrows along its long axis, as an egg does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Egg {
    centre: Point,
    /// Three directions at right angles; the first runs from the blunt to the narrow end.
    axes: [Point; 3],
    half_lengths: Point,
    taper: f64,
}

impl Egg {
    /// An egg whose narrow end points along `direction`; its second axis is level. `taper` from 0
    /// (an ellipsoid) to 0.5.
    pub fn new(centre: Point, direction: Point, half_lengths: Point, taper: f64) -> Self {
        let long = unit(direction);
        let level = unit([-long[1], long[0], 0.0]);
        let third = [
            long[1] * level[2] - long[2] * level[1],
            long[2] * level[0] - long[0] * level[2],
            long[0] * level[1] - long[1] * level[0],
        ];
        Self { centre, axes: [long, level, third], half_lengths, taper }
    }

    /// Whether it holds the point.
    pub fn contains(&self, point: Point) -> bool {
        let from = minus(point, self.centre);
        let along = dot(from, self.axes[0]) / self.half_lengths[0];
        if along * along >= 1.0 {
            return false;
        }
        let width = 1.0 - self.taper * along;
        let across = [1, 2].map(|axis| dot(from, self.axes[axis]) / (self.half_lengths[axis] * width));
        square(along) + square(across[0]) + square(across[1]) < 1.0
    }
}
