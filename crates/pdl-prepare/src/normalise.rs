//! Intensities on a common scale.

use pdl_volume::Volume;
use pdl_volume::statistics::mean_and_std;

use crate::plan::Normalisation;

/// Smallest deviation to divide by, so that a flat image stays finite.
const SMALLEST_STD: f64 = 1e-8;

/// Normalises an image in place as the plan says.
pub(crate) fn normalise(image: &mut Volume<f32>, scheme: &Normalisation) {
    match *scheme {
        Normalisation::CohortForeground { low, high, mean, std } => {
            let (low, high) = (low as f32, high as f32);
            let (mean, std) = (mean as f32, std.max(SMALLEST_STD) as f32);
            image.voxels.iter_mut().for_each(|v| *v = (v.clamp(low, high) - mean) / std);
        }
        Normalisation::ImageZScore { nonzero_mask: false } => {
            let (mean, std) = mean_and_std(&image.voxels);
            let (mean, std) = (mean as f32, std.max(SMALLEST_STD) as f32);
            image.voxels.iter_mut().for_each(|v| *v = (*v - mean) / std);
        }
        Normalisation::ImageZScore { nonzero_mask: true } => {
            let inside: Vec<f32> = image.voxels.iter().copied().filter(|v| *v != 0.0).collect();
            let (mean, std) = mean_and_std(&inside);
            let (mean, std) = (mean as f32, std.max(SMALLEST_STD) as f32);
            image.voxels.iter_mut().filter(|v| **v != 0.0).for_each(|v| *v = (*v - mean) / std);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Grid, Orientation};

    fn image(voxels: Vec<f32>) -> Volume<f32> {
        let shape = [voxels.len(), 1, 1];
        Volume::new(Grid::new(shape, Affine::from_orientation(Orientation::RAS, [1.0; 3], shape)), voxels)
            .unwrap()
    }

    #[test]
    fn ct_is_clipped_then_scaled_by_the_cohort() {
        let mut ct = image(vec![-1000.0, 0.0, 50.0, 3000.0]);
        normalise(
            &mut ct,
            &Normalisation::CohortForeground { low: -100.0, high: 300.0, mean: 50.0, std: 25.0 },
        );
        assert_eq!(ct.voxels, [-6.0, -2.0, 0.0, 10.0]);
    }

    #[test]
    fn the_mask_leaves_zeros_alone() {
        let mut mr = image(vec![0.0, 0.0, 10.0, 20.0]);
        normalise(&mut mr, &Normalisation::ImageZScore { nonzero_mask: true });
        assert_eq!(mr.voxels, [0.0, 0.0, -1.0, 1.0]);
        let mut mr = image(vec![10.0, 20.0]);
        normalise(&mut mr, &Normalisation::ImageZScore { nonzero_mask: false });
        assert_eq!(mr.voxels, [-1.0, 1.0]);
    }
}
