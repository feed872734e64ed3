//! The affine of a NIfTI volume, RAS+ millimetres.

use pdl_findings::{Code, Finding};
use pdl_volume::Affine;

use super::header::Header;
use crate::ReadError;
use crate::file::Files;
use crate::geometry_findings::no_transform;
use crate::geometry_findings::other_unit;

/// Corners further apart than this fraction of the smallest voxel side are a disagreement of sform
/// and qform.
const TOLERANCE: f64 = 0.1;

/// The square of a quaternion may be longer than 1 by this, which is rounding, as nibabel has it.
const LONGER: f64 = 3.0 * f32::EPSILON as f64;
/// Longer by this it still says the rotation, and is told.
const MUCH_LONGER: f64 = 0.02;

/// Message about a degenerate transform.
const DEGENERATE: &str = "it is singular or not finite";
const NOT_GIVEN: &str = "none is given";

/// NIfTI's method 3 (sform) before method 2 (qform) before method 1 (voxel sizes only); not always
/// a usable one.
///
/// # Errors
/// [`ReadError::Invalid`] if the header has transforms, but none is usable.
pub(super) fn affine(
    files: &Files<'_>,
    header: &Header,
    shape: [usize; 3],
) -> Result<(Affine, Vec<Finding>), ReadError> {
    let mut findings = Vec::new();
    let mut usable = |given: bool, affine: Affine, name: &str, defect: &str| {
        let affine = given.then_some(affine).filter(Affine::is_usable);
        if given && affine.is_none() {
            findings.push(Finding::new(Code::OddHeader, format!("its {name} cannot be used: {defect}")));
        }
        affine
    };
    let sform = usable(header.sform_code > 0, Affine::from_upper_rows(header.srow), "sform", DEGENERATE);
    let given = header.qform_code > 0;
    let length = squared_length(header);
    let rotated = qform(header).unwrap_or(Affine::from_upper_rows([[f64::NAN; 4]; 3]));
    let qform = usable(given, rotated, "qform", &qform_defect(header));
    if let (Some(s), Some(q)) = (&sform, &qform) {
        let distance_mm = s.corner_distance_mm(q, shape);
        let side = s.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
        if distance_mm > TOLERANCE * side {
            findings.push(Finding::new(
                Code::TransformsDisagree,
                format!("its sform and qform put a corner {distance_mm:.2} mm apart; the sform is used"),
            ));
        }
    }
    if qform.is_some() && length > 1.0 + LONGER {
        let message = format!(
            "the quaternion of its qform has the squared length {length:.7}, at most 1 is possible; it was scaled to 1, as \
             in ITK"
        );
        findings.push(Finding::new(Code::OddHeader, message));
    }
    let affine = match sform.or(qform) {
        Some(affine) => affine,
        None if header.sform_code > 0 || given => {
            return Err(
                files.invalid(format!("neither its sform nor its qform can be used ({})", unusable(header)))
            );
        }
        None => {
            findings.push(no_transform());
            let [x, y, z] = voxel_sides(header);
            Affine::from_columns([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, z]], [0.0; 3])
        }
    };
    // Every unit except metre and micrometre counts as millimetre.
    let (unit, factor) = match header.units & 7 {
        1 => ("m", 1000.0),
        3 => ("um", 0.001),
        _ => return Ok((affine, findings)),
    };
    findings.push(other_unit(unit));
    let in_mm = |lengths: [f64; 3]| lengths.map(|v| v * factor);
    let steps = std::array::from_fn(|axis| in_mm(affine.step_mm(axis)));
    Ok((Affine::from_columns(steps, in_mm(affine.origin_mm())), findings))
}

/// Why a header has no usable transform, although it has one.
fn unusable(header: &Header) -> String {
    let sform = if header.sform_code > 0 { DEGENERATE } else { NOT_GIVEN };
    let qform = if header.qform_code > 0 { qform_defect(header) } else { NOT_GIVEN.to_owned() };
    format!("sform: {sform}; qform: {qform}")
}

/// Why a qform cannot be used.
fn qform_defect(header: &Header) -> String {
    match squared_length(header) {
        length if length > 1.0 + MUCH_LONGER => {
            format!("its quaternion has the squared length {length:.3}, at most 1 is possible")
        }
        _ => DEGENERATE.to_owned(),
    }
}

/// The square of the length of the three stored parts of the quaternion.
fn squared_length(header: &Header) -> f64 {
    header.quaternion.iter().map(|v| v * v).sum()
}

/// The rotation of a unit quaternion whose last three parts are stored (nifti1.h, "method 2");
/// `None` if these alone are much longer than 1.
fn qform(header: &Header) -> Option<Affine> {
    let [b, c, d] = header.quaternion;
    let rest = 1.0 - squared_length(header);
    let (a, [b, c, d]) = if rest > 1e-7 {
        (rest.sqrt(), [b, c, d])
    } else if rest >= -MUCH_LONGER {
        let length = (b * b + c * c + d * d).sqrt(); // a half turn
        (0.0, [b, c, d].map(|v| v / length))
    } else {
        return None;
    };
    let sides = voxel_sides(header);
    let handedness = if header.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let scale = [sides[0], sides[1], sides[2] * handedness];
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    // Quarter turns come out of the quaternion's roots as nearly, not quite, 0 and 1.
    let snapped =
        |v: f64| if (v - v.round()).abs() < 4.0 * f64::from(f32::EPSILON) { v.round() + 0.0 } else { v };
    Some(Affine::from_upper_rows(std::array::from_fn(|r| {
        let row = rotation[r].map(snapped);
        [row[0] * scale[0] + 0.0, row[1] * scale[1] + 0.0, row[2] * scale[2] + 0.0, header.qoffset[r]]
    })))
}

fn voxel_sides(header: &Header) -> [f64; 3] {
    std::array::from_fn(|axis| header.pixdim[axis + 1].abs())
}
