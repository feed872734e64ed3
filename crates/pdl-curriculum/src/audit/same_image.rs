//! The minimum SSIM at which images of two patients count as duplicates.

use pdl_cohort::table::case_row::CaseRow;
use pdl_findings::{Code, Finding};
use pdl_store::plural::counted;

use crate::audit::nearest_other_patient::CasePair;

/// Side of an SSIM window, voxels. Windows at a larger distance are independent.
const WINDOW: f64 = 7.0;

/// Side of the proxies for which `--duplicate-ssim` applies unchanged, voxels.
const FULL_SIDE: f64 = 64.0;

/// The minimum SSIM of duplicates, for proxies of one shape.
///
/// Downsampling removes noise, which distinguishes noisy duplicates, and details, which distinguish
/// patients: both kinds of pairs come closer to an SSIM of 1, duplicates at least with the square
/// of the side. A plane has fewer windows than a volume. Therefore 1 - limit is proportional to the
/// number of independent windows to the power of 2/3, and equals 1 - `--duplicate-ssim` for
/// 64 x 64 x 64 voxels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SameImage {
    /// `--duplicate-ssim`.
    stated: f32,
    /// Minimum SSIM of duplicates on these proxies.
    pub limit: f32,
    /// Voxels along z, y, x.
    shape_zyx: [usize; 3],
}

impl SameImage {
    /// `stated` is `--duplicate-ssim`.
    pub(crate) fn new(stated: f64, shape_zyx: [usize; 3]) -> Self {
        let windows = |side: usize| if side == 1 { 1.0 } else { side as f64 / WINDOW };
        let held = shape_zyx.map(windows).iter().product::<f64>();
        let share = (held / (FULL_SIDE / WINDOW).powi(3)).min(1.0).powf(2.0 / 3.0);
        let limit = 1.0 - (1.0 - stated) * share;
        Self { stated: stated as f32, limit: limit as f32, shape_zyx }
    }

    /// Whether a pair reaches `--duplicate-ssim`, but not the limit for these proxies.
    pub(crate) fn is_doubtful(&self, ssim: f32, unusual: f32) -> bool {
        ssim >= self.stated.max(unusual) && ssim < self.limit
    }

    /// The finding about doubtful pairs of `rows`, each with its SSIM.
    pub(crate) fn finding(&self, rows: &[&CaseRow], doubtful: &[(CasePair, f32)]) -> Option<Finding> {
        let ((a, b), ssim) = doubtful.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let [z, y, x] = self.shape_zyx;
        let message = format!(
            "{} of cases of two patients with an SSIM of {} or more, the largest {} and {} ({ssim:.3}), and not linked: \
             proxies of {x} x {y} x {z} voxels tell one image from two only from {:.4} on; larger ones (--proxy-size) tell \
             more",
            counted(doubtful.len(), "pair"),
            self.stated,
            rows[*a].case_id,
            rows[*b].case_id,
            self.limit
        );
        Some(Finding::new(Code::CoarseProxies, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_proxies_and_planes_need_more_to_be_one_image() {
        let limit = |shape| SameImage::new(0.95, shape).limit;
        assert_eq!([[64; 3], [128, 64, 64], [1, 512, 512]].map(limit), [0.95; 3]);
        // A half of the side, a quarter of what is left to 1.
        assert!((limit([32; 3]) - 0.9875).abs() < 1e-6 && (limit([16; 3]) - 0.996_875).abs() < 1e-6);
        assert!((limit([1, 64, 64]) - 0.988_56).abs() < 1e-5);
        assert_eq!(SameImage::new(1.0, [16; 3]).limit, 1.0);
    }
}
