//! Cases of two patients whose images are duplicates up to flips and a small shift.

use std::collections::BTreeMap;
use std::path::Path;

use pdl_cohort::table::case_row::CaseRow;
use pdl_prepare::plan;
use pdl_prepare::prepared_row::{self, PreparedRow};
use pdl_prepare::proxies::Proxies;
use pdl_similarity::registration::{self, AlignedPair};
use pdl_similarity::ssim::SsimWindow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CurriculumError;
use crate::audit::nearest_other_patient::{CasePair, NearestOtherPatient};
use crate::audit::parameters::AuditParameters;
use crate::audit::same_image::SameImage;

/// The flips and the shift that align the second image of a pair to the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Moved")]
pub struct ImageTransform {
    /// Flipped axes of the RAS+ volume, such as "x" (left and right) or "xz"; empty without flips.
    pub flipped: String,
    /// Position of a structure in the flipped second image less that in the first, along x, y, z,
    /// in mm of the first.
    pub shift_mm: [f64; 3],
    /// SSIM of the overlap.
    pub ssim: f32,
}

/// Finds pairs among `rows`, ascending by id, whose SSIM after alignment reaches `duplicate_ssim`.
/// Standing out is not a criterion here: alignment to the nearest neighbours raises the SSIM of
/// unrelated cases.
///
/// # Errors
/// [`CurriculumError`] when an earlier stage is missing, or the proxies are smaller than the
/// window.
pub(crate) fn find(
    out: &Path,
    rows: &[&CaseRow],
    proxies: &Proxies,
    window: SsimWindow,
    parameters: &AuditParameters,
) -> Result<BTreeMap<CasePair, ImageTransform>, CurriculumError> {
    let number = |id: &String| rows.binary_search_by(|row| row.case_id.cmp(id)).ok();
    let numbers: Vec<Option<usize>> = proxies.case_ids.iter().map(number).collect();
    let strangers = |a: usize, b: usize| {
        numbers[a].zip(numbers[b]).is_some_and(|(a, b)| rows[a].patient_id != rows[b].patient_id)
    };
    let aligned = registration::aligned_neighbours(proxies, window, strangers)?;
    let mut nearest_others = NearestOtherPatient::new(rows.len());
    let two = |pair: &AlignedPair| numbers[pair.a].zip(numbers[pair.b]).map(|(a, b)| (a.min(b), a.max(b)));
    aligned
        .iter()
        .filter_map(|pair| Some((two(pair)?, pair.ssim)))
        .for_each(|((a, b), ssim)| nearest_others.see(a, b, ssim));
    let same_image = SameImage::new(parameters.duplicate_ssim, proxies.shape_zyx);
    let limit = same_image.limit.max(nearest_others.unusual(&[]));
    let voxels_mm = voxels_mm(out, proxies)?;
    let moved = |pair: &AlignedPair| {
        let AlignedPair { a, motion, ssim, .. } = pair;
        let voxel_mm = voxels_mm.get(&proxies.case_ids[*a])?;
        let shift_mm = std::array::from_fn(|axis| motion.shift[axis] * voxel_mm[axis]);
        Some((two(pair)?, ImageTransform { flipped: motion.flipped_axes(), shift_mm, ssim: *ssim }))
    };
    Ok(aligned.iter().filter(|pair| pair.ssim >= limit).filter_map(moved).collect())
}

/// Voxel size of each case's proxy along x, y, z, mm.
pub(super) fn voxels_mm(
    out: &Path,
    proxies: &Proxies,
) -> Result<BTreeMap<String, [f64; 3]>, CurriculumError> {
    let fov_mm = plan::read(out)?.proxies.fov_mm;
    let [nz, ny, nx] = proxies.shape_zyx;
    let sides = [nx, ny, nz];
    let size = |row: PreparedRow| {
        let mm = std::array::from_fn(|axis| {
            let own = || f64::from(row.shape[axis]) * row.spacing_mm[axis];
            fov_mm.map_or_else(own, |fov| fov[axis]) / sides[axis] as f64
        });
        (row.case_id, mm)
    };
    Ok(prepared_row::read(out)?.into_iter().map(size).collect())
}
