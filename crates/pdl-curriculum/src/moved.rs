//! Cases of two patients that are one image once it is flipped or moved a little.

use std::collections::BTreeMap;
use std::path::Path;

use pdl_cohort::cases::CaseRow;
use pdl_prepare::prepare;
use pdl_prepare::proxies::Proxies;
use pdl_similarity::invariant::{self, Aligned};
use pdl_similarity::window::Window;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CurriculumError;
use crate::audit::{AuditParameters, Reason};
use crate::closest::{Closest, Two};

/// How the second image of a pair lies over the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moved {
    /// The axes of the RAS+ volume along which it is flipped, such as "x" (left and right) or "xz"; may be empty.
    pub flipped: String,
    /// How much further along x, y, z the flipped second has what the first has, mm (as large as the first is).
    pub shift_mm: [f64; 3],
    /// SSIM of the two where they overlap then.
    pub ssim: f32,
}

/// A pair that is one image, by its case numbers, and why it is taken for one.
pub(crate) struct Found {
    pub two: Two,
    pub reason: Reason,
    pub moved: Moved,
}

/// Finds pairs among `rows`, which are in the order of their ids, by the rules for images that were not moved: an
/// SSIM above the threshold, or far above what either reaches with anybody else.
///
/// # Errors
/// [`CurriculumError`] when an earlier stage is missing, or the proxies are smaller than the window.
pub(crate) fn find(
    out: &Path,
    rows: &[&CaseRow],
    proxies: &Proxies,
    window: Window,
    patients: usize,
    parameters: &AuditParameters,
) -> Result<Vec<Found>, CurriculumError> {
    let number = |id: &String| rows.binary_search_by(|row| row.case_id.cmp(id)).ok();
    let numbers: Vec<Option<usize>> = proxies.case_ids.iter().map(number).collect();
    let strangers = |a: usize, b: usize| {
        numbers[a].zip(numbers[b]).is_some_and(|(a, b)| rows[a].patient_id != rows[b].patient_id)
    };
    let aligned = invariant::aligned_neighbours(proxies, window, strangers)?;
    let mut closest = Closest::new(rows.len());
    let mut by_two: BTreeMap<Two, &Aligned> = BTreeMap::new();
    for pair in &aligned {
        if let (Some(a), Some(b)) = (numbers[pair.a], numbers[pair.b]) {
            closest.see(a, b, pair.ssim);
            by_two.insert((a.min(b), a.max(b)), pair);
        }
    }
    let mut reasons: BTreeMap<Two, Reason> =
        closest.standing_out(patients, parameters.stand_out).into_iter().map(|two| (two, Reason::MovedStandsOut)).collect();
    let limit = (parameters.duplicate_ssim as f32).max(closest.unusual());
    reasons.extend(by_two.iter().filter(|(_, pair)| pair.ssim >= limit).map(|(two, _)| (*two, Reason::MovedImage)));
    let voxels_mm = voxels_mm(out, proxies)?;
    let found = |(two, reason): (Two, Reason)| {
        let Aligned { a, motion, ssim, .. } = by_two.get(&two)?;
        let voxel_mm = voxels_mm.get(proxies.case_ids[*a].as_str())?;
        let shift_mm = std::array::from_fn(|axis| motion.shift[axis] * voxel_mm[axis]);
        Some(Found { two, reason, moved: Moved { flipped: motion.flipped_axes(), shift_mm, ssim: *ssim } })
    };
    Ok(reasons.into_iter().filter_map(found).collect())
}

/// For each case the size of its proxy's voxels along x, y, z, mm.
fn voxels_mm(out: &Path, proxies: &Proxies) -> Result<BTreeMap<String, [f64; 3]>, CurriculumError> {
    let fov_mm = prepare::read_plan(out)?.proxies.fov_mm;
    let [nz, ny, nx] = proxies.shape_zyx;
    let sides = [nx, ny, nz];
    let size = |row: prepare::PreparedRow| {
        let mm = std::array::from_fn(|axis| {
            let own = || f64::from(row.shape[axis]) * row.spacing_mm[axis];
            fov_mm.map_or_else(own, |fov| fov[axis]) / sides[axis] as f64
        });
        (row.case_id, mm)
    };
    Ok(prepare::read(out)?.into_iter().map(size).collect())
}
