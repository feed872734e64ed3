//! Findings about where a header puts a volume, the same for every format.

use pdl_findings::{Code, Finding};

/// Message about a header whose origin holds NaN or infinity.
pub(crate) const NO_ORIGIN: &str = "its origin is not finite";

/// The header gives lengths in another unit than millimetres, such as "um"; where axes differ, all
/// of them are listed.
pub(crate) fn other_unit(unit: &str) -> Finding {
    Finding::new(Code::OtherUnit, format!("its header states lengths in {unit}; they are converted to mm"))
}

/// The file states no position in the world: its axes are taken as RAS+ with the origin at the
/// first voxel, as NIfTI's method 1 has it.
pub(crate) fn no_transform() -> Finding {
    let message = "its header has no orientation; RAS was assumed: check it, or state --orientation";
    Finding::new(Code::NoTransform, message)
}
