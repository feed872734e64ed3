//! Which anatomical direction each stored axis points to.

use std::fmt;
use std::str::FromStr;

/// The anatomical direction in which an index grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AxisCode {
    /// To the patient's right (+x of RAS+).
    Right,
    /// To the patient's left.
    Left,
    /// To the front (+y of RAS+).
    Anterior,
    /// To the back.
    Posterior,
    /// To the head (+z of RAS+).
    Superior,
    /// To the feet.
    Inferior,
}

impl AxisCode {
    const ALL: [(char, AxisCode); 6] = [
        ('R', AxisCode::Right),
        ('L', AxisCode::Left),
        ('A', AxisCode::Anterior),
        ('P', AxisCode::Posterior),
        ('S', AxisCode::Superior),
        ('I', AxisCode::Inferior),
    ];

    /// The RAS+ world axis it lies on: 0 = right-left, 1 = anterior-posterior, 2 =
    /// superior-inferior.
    pub fn world_axis(self) -> usize {
        match self {
            AxisCode::Right | AxisCode::Left => 0,
            AxisCode::Anterior | AxisCode::Posterior => 1,
            AxisCode::Superior | AxisCode::Inferior => 2,
        }
    }

    /// +1 when it points along RAS+, -1 against it.
    pub fn sign(self) -> f64 {
        match self {
            AxisCode::Right | AxisCode::Anterior | AxisCode::Superior => 1.0,
            AxisCode::Left | AxisCode::Posterior | AxisCode::Inferior => -1.0,
        }
    }

    /// The code of a RAS+ world axis (0, 1, 2), along it or against it.
    pub(crate) fn from_world(axis: usize, positive: bool) -> Self {
        Self::ALL[2 * axis + usize::from(!positive)].1
    }
}

/// The directions of the stored x, y and z axes, as in "RAS" or "LPS".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Orientation([AxisCode; 3]);

/// An invalid orientation code.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "expected an orientation of one letter of each of the pairs R/L, A/P, S/I, such as RAS or LPS, found '{0}'"
)]
pub struct OrientationError(String);

impl Orientation {
    /// The canonical orientation: right, anterior, superior.
    pub const RAS: Orientation = Orientation([AxisCode::Right, AxisCode::Anterior, AxisCode::Superior]);

    /// From the directions of x, y and z; `None` unless each of the three world axes appears once.
    pub fn new(axes: [AxisCode; 3]) -> Option<Self> {
        let mut seen = [false; 3];
        axes.iter().for_each(|code| seen[code.world_axis()] = true);
        (seen == [true; 3]).then_some(Self(axes))
    }

    /// From directions that are known to lie on three different world axes.
    pub(crate) fn from_axes(axes: [AxisCode; 3]) -> Self {
        Self(axes)
    }

    /// The directions of the stored x, y and z axes.
    pub fn axes(&self) -> [AxisCode; 3] {
        self.0
    }

    /// For each RAS+ axis: the stored axis that lies on it, and whether it runs against it.
    pub fn to_ras(&self) -> [(usize, bool); 3] {
        let mut result = [(0, false); 3];
        for (axis, code) in self.0.into_iter().enumerate() {
            result[code.world_axis()] = (axis, code.sign() < 0.0);
        }
        result
    }
}

impl FromStr for Orientation {
    type Err = OrientationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let code = |c: char| {
            let c = c.to_ascii_uppercase();
            AxisCode::ALL.iter().find(|(letter, _)| *letter == c).map(|(_, code)| *code)
        };
        let codes: Option<Vec<AxisCode>> = text.chars().map(code).collect();
        codes
            .and_then(|codes| <[AxisCode; 3]>::try_from(codes).ok())
            .and_then(Self::new)
            .ok_or_else(|| OrientationError(text.to_owned()))
    }
}

impl fmt::Display for Orientation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for code in self.0 {
            let letter = AxisCode::ALL.iter().find(|(_, c)| *c == code).map_or('?', |(letter, _)| *letter);
            write!(f, "{letter}")?;
        }
        Ok(())
    }
}
