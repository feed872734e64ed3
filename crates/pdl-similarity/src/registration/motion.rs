//! Flips and shifts between two proxies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The flips and the shift that align one proxy to another; axes are x, y, z.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Motion {
    /// Axes along which the second proxy is flipped.
    pub flips: [bool; 3],
    /// Position of a structure in the flipped second proxy less that in the first, in proxy voxels.
    pub shift: [f64; 3],
}

impl Motion {
    /// Letters of the flipped axes, such as "xz"; empty without flips.
    pub fn flipped_axes(&self) -> String {
        "xyz".chars().zip(self.flips).filter(|(_, flipped)| *flipped).map(|(axis, _)| axis).collect()
    }
}
