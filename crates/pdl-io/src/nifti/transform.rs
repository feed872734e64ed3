//! Where a NIfTI volume lies in the world: RAS+ millimetres.

use pdl_volume::Affine;

use super::header::Header;
use crate::Remark;

/// Corners further apart than this share of the smallest voxel side are a disagreement of sform and qform.
const TOLERANCE: f64 = 0.1;

/// NIfTI's method 3 (sform) before method 2 (qform) before method 1 (voxel sizes only); not always a usable one.
pub(super) fn affine(header: &Header, shape: [usize; 3]) -> (Affine, Vec<Remark>) {
    let sform =
        (header.sform_code > 0).then(|| Affine::from_upper_rows(header.srow)).filter(Affine::is_usable);
    let qform = (header.qform_code > 0).then(|| qform(header)).filter(Affine::is_usable);
    let mut remarks = Vec::new();
    if let (Some(s), Some(q)) = (&sform, &qform) {
        let distance_mm = s.corner_distance_mm(q, shape);
        let side = s.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
        if distance_mm > TOLERANCE * side {
            remarks.push(Remark::TransformsDisagree { distance_mm });
        }
    }
    let affine = sform.or(qform).unwrap_or_else(|| {
        remarks.push(Remark::NoTransform);
        let [x, y, z] = voxel_sides(header);
        Affine::from_columns([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, z]], [0.0; 3])
    });
    (in_millimetres(affine, header.units), remarks)
}

/// The rotation of a unit quaternion whose last three parts are stored (nifti1.h, "method 2").
fn qform(header: &Header) -> Affine {
    let [b, c, d] = header.quaternion;
    let rest = 1.0 - (b * b + c * c + d * d);
    let (a, [b, c, d]) = if rest > 1e-7 {
        (rest.sqrt(), [b, c, d])
    } else {
        let length = (b * b + c * c + d * d).sqrt(); // a half turn
        (0.0, [b, c, d].map(|v| v / length))
    };
    let sides = voxel_sides(header);
    let handedness = if header.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let scale = [sides[0], sides[1], sides[2] * handedness];
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    Affine::from_upper_rows(std::array::from_fn(|r| {
        let row = rotation[r];
        [row[0] * scale[0], row[1] * scale[1], row[2] * scale[2], header.qoffset[r]]
    }))
}

fn voxel_sides(header: &Header) -> [f64; 3] {
    std::array::from_fn(|axis| header.pixdim[axis + 1].abs())
}

/// The header's unit of length: 1 = metre, 3 = micrometre, everything else is taken as millimetre.
fn in_millimetres(affine: Affine, units: u8) -> Affine {
    let factor = match units & 7 {
        1 => 1000.0,
        3 => 0.001,
        _ => return affine,
    };
    Affine::from_columns(
        std::array::from_fn(|axis| affine.step_mm(axis).map(|v| v * factor)),
        affine.origin_mm().map(|v| v * factor),
    )
}
