//! Flips and shifts between two proxies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How one proxy is laid over another; axes are x, y, z.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Motion {
    /// The axes along which the second is flipped.
    pub flips: [bool; 3],
    /// How much further along each axis the flipped second has what the first has, in proxy voxels.
    pub shift: [f64; 3],
}

impl Motion {
    /// The names of the flipped axes, such as "xz"; empty when there are none.
    pub fn flipped_axes(&self) -> String {
        "xyz".chars().zip(self.flips).filter(|(_, flipped)| *flipped).map(|(axis, _)| axis).collect()
    }
}
