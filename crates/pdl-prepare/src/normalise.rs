//! Intensities on a common scale.

use pdl_volume::Volume;
use pdl_volume::statistics::{mean_and_std, percentiles};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lower bound of the standard deviation, or width of a range, to divide by: a constant image stays
/// finite.
const SMALLEST: f64 = 1e-8;

/// The percentiles whose intensities are landmarks of a histogram (Nyul and Udupa 1999; the ends
/// and steps that the `intensity-normalization` package has).
pub const LANDMARKS: [f64; 11] = [1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0];

/// How intensities of a proxy are mapped to [0, 1]; what lies outside is clipped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Mapping {
    /// The same two intensities for every case.
    Range {
        /// Becomes 0.
        low: f64,
        /// Becomes 1.
        high: f64,
    },
    /// Each image's own percentiles 0.5 and 99.5.
    ImagePercentiles,
}

/// How intensities are put on a common scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "scheme", rename_all = "snake_case")]
pub enum Normalisation {
    /// CT: clip to the cohort's foreground percentiles 0.5 and 99.5, subtract its foreground mean,
    /// divide by its standard deviation.
    CohortForeground {
        /// Lower clip, in the image's units.
        low: f64,
        /// Upper clip, in the image's units.
        high: f64,
        /// Mean of the cohort's foreground.
        mean: f64,
        /// Standard deviation of the cohort's foreground.
        std: f64,
    },
    /// MR, PET and others: each image by its own mean and standard deviation.
    ImageZScore {
        /// Whether only non-zero voxels count and change.
        nonzero_mask: bool,
    },
    /// Clip to two intensities, that become 0 and 1.
    Window {
        /// Becomes 0, in the image's units.
        low: f64,
        /// Becomes 1, in the image's units.
        high: f64,
    },
    /// Clip to two percentiles of each image, that become 0 and 1.
    ImagePercentiles {
        /// The percentile that becomes 0, from 0 to 100.
        lower: f64,
        /// The percentile that becomes 1, from 0 to 100.
        upper: f64,
    },
    /// Map each image's [`LANDMARKS`], taken of the voxels above its mean, to those of the standard
    /// scale; linear between them and beyond (Nyul and Udupa 1999).
    Nyul {
        /// The standard scale: the training images' landmarks when the first is 0 and the last 1,
        /// averaged.
        standard: [f64; LANDMARKS.len()],
    },
}

/// Whether numbers are finite as float32 and ascend, equal ones allowed.
fn ascends(numbers: &[f64]) -> bool {
    let finite = numbers.iter().all(|number| (*number as f32).is_finite());
    finite && numbers.windows(2).all(|pair| pair[0] <= pair[1])
}

impl Mapping {
    /// The first invalid value of a mapping read from a file.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let ok = match self {
            Self::Range { low, high } => ascends(&[*low, *high]),
            Self::ImagePercentiles => true,
        };
        (!ok).then_some("the mapping of its proxies is not a range of intensities")
    }
}

impl Normalisation {
    /// The first invalid value of a normalisation read from a file.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let ok = match self {
            Self::CohortForeground { low, high, mean, std } => {
                ascends(&[*low, *high]) && ascends(&[*mean]) && ascends(&[0.0, *std])
            }
            Self::ImageZScore { .. } => true,
            Self::Window { low, high } => ascends(&[*low, *high]),
            Self::ImagePercentiles { lower, upper } => ascends(&[0.0, *lower, *upper, 100.0]),
            Self::Nyul { standard } => ascends(standard),
        };
        (!ok).then_some("its normalisation has numbers that are not finite, or a range that does not ascend")
    }
}

/// Normalises an image in place by the planned scheme.
pub fn normalise(image: &mut Volume<f32>, scheme: &Normalisation) {
    let voxels = &mut image.voxels;
    match *scheme {
        Normalisation::CohortForeground { low, high, mean, std } => {
            let (low, high) = (low as f32, high as f32);
            let (mean, std) = (mean as f32, std.max(SMALLEST) as f32);
            voxels.iter_mut().for_each(|v| *v = (v.clamp(low, high) - mean) / std);
        }
        Normalisation::ImageZScore { nonzero_mask: false } => {
            let (mean, std) = mean_and_std(voxels);
            let (mean, std) = (mean as f32, std.max(SMALLEST) as f32);
            voxels.iter_mut().for_each(|v| *v = (*v - mean) / std);
        }
        Normalisation::ImageZScore { nonzero_mask: true } => {
            let inside: Vec<f32> = voxels.iter().copied().filter(|v| *v != 0.0).collect();
            let (mean, std) = mean_and_std(&inside);
            let (mean, std) = (mean as f32, std.max(SMALLEST) as f32);
            voxels.iter_mut().filter(|v| **v != 0.0).for_each(|v| *v = (*v - mean) / std);
        }
        Normalisation::Window { low, high } => to_unit(voxels, low, high),
        Normalisation::ImagePercentiles { lower, upper } => {
            let [low, high] = percentiles(voxels, [lower, upper]);
            to_unit(voxels, low, high);
        }
        Normalisation::Nyul { standard } => {
            let scale = Piecewise::new(&landmarks(voxels), &standard);
            voxels.iter_mut().for_each(|v| *v = scale.at(f64::from(*v)) as f32);
        }
    }
}

/// Clips to two intensities and maps them to 0 and 1; where they are one, all becomes 0.
fn to_unit(voxels: &mut [f32], low: f64, high: f64) {
    let (low, scale) = (low as f32, 1.0 / (high - low).max(SMALLEST) as f32);
    voxels.iter_mut().for_each(|v| *v = ((*v - low) * scale).clamp(0.0, 1.0));
}

/// The [`LANDMARKS`] of an image: percentiles of its voxels above their mean, or of all where none
/// is.
pub fn landmarks(voxels: &[f32]) -> [f64; LANDMARKS.len()] {
    let (mean, _) = mean_and_std(voxels);
    let above: Vec<f32> = voxels.iter().copied().filter(|v| f64::from(*v) > mean).collect();
    percentiles(if above.is_empty() { voxels } else { &above }, LANDMARKS)
}

/// Landmarks when the first is 0 and the last 1: an image's part of the standard scale. `None` for
/// a constant image.
pub fn on_unit_scale(landmarks: &[f64; LANDMARKS.len()]) -> Option<[f64; LANDMARKS.len()]> {
    let (first, last) = (landmarks[0], landmarks[LANDMARKS.len() - 1]);
    (last - first > SMALLEST).then(|| landmarks.map(|v| (v - first) / (last - first)))
}

/// A line through points, extended beyond its ends.
struct Piecewise {
    /// (x, y, slope to the next) where x grows.
    pieces: Vec<(f64, f64, f64)>,
}

impl Piecewise {
    fn new(x: &[f64], y: &[f64]) -> Self {
        let mut points: Vec<(f64, f64)> = x.iter().copied().zip(y.iter().copied()).collect();
        // Landmarks that fall together (few grey levels) are one.
        points.dedup_by(|b, a| b.0 - a.0 <= SMALLEST);
        let slopes = points.windows(2).map(|p| (p[0].0, p[0].1, (p[1].1 - p[0].1) / (p[1].0 - p[0].0)));
        let mut pieces: Vec<_> = slopes.collect();
        if pieces.is_empty() {
            pieces.extend(points.first().map(|p| (p.0, p.1, 0.0)));
        }
        Self { pieces }
    }

    fn at(&self, x: f64) -> f64 {
        let piece = self.pieces.partition_point(|piece| piece.0 <= x).saturating_sub(1);
        let (start, value, slope) = self.pieces[piece];
        value + slope * (x - start)
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

    #[test]
    fn flat_images_stay_finite() {
        let standard = LANDMARKS.map(|v| v / 100.0);
        for scheme in [
            Normalisation::ImageZScore { nonzero_mask: true },
            Normalisation::ImagePercentiles { lower: 0.5, upper: 99.5 },
            Normalisation::Nyul { standard },
        ] {
            let mut flat = image(vec![7.0; 9]);
            normalise(&mut flat, &scheme);
            assert!(flat.voxels.iter().all(|v| v.is_finite()), "{scheme:?}");
        }
    }
}
