//! Augmentation of intensities and sharpness, and mirroring, of a training patch.

use crate::data::patch::Patch;
use crate::data::random::Random;

/// Probability of each change of intensity or sharpness (nnU-Net).
const PROBABILITY: f64 = 0.15;
/// Largest standard sd of added noise, in standard deviations of a normalised image.
const NOISE_SD: f64 = 0.1;
/// Range of the factors of brightness and contrast.
const FACTOR: [f64; 2] = [0.75, 1.25];
/// Range of the exponents of the gamma transform.
const GAMMA: [f64; 2] = [0.7, 1.5];
/// Range of the standard sd of the Gaussian blur, in voxels.
const BLUR_SD: [f64; 2] = [0.5, 1.0];
/// Range of the resolution factor of the low-resolution change, along each axis.
const LOW_RESOLUTION: [f64; 2] = [0.5, 1.0];

/// Random changes of a training patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Augmenter {
    /// Whether noise, brightness, contrast and gamma change.
    pub intensity: bool,
    /// Whether patches get rotation, scaling and elastic deformation
    /// ([`crate::data::augment::spatial`]), blur and low resolution.
    pub space: bool,
    /// Along z, y, x: whether patches are mirrored with a probability of one half.
    pub mirror: [bool; 3],
    /// Pairs of channels (left, right) that mirroring along x exchanges.
    pub swapped: Vec<[u8; 2]>,
}

impl Augmenter {
    /// Mirrors the patch, then changes the intensities of each input by a draw of its own, then its
    /// sharpness.
    pub fn change(&self, mut patch: Patch, random: &mut Random) -> Patch {
        for axis in 0..3 {
            if self.mirror[axis] && random.happens(0.5) {
                self.flip(&mut patch, axis);
            }
        }
        let (sides, voxels) = (patch.sides, patch.target.len().max(1));
        if self.intensity {
            patch.image.chunks_exact_mut(voxels).for_each(|image| change_intensity(image, random));
        }
        if self.space {
            patch.image.chunks_exact_mut(voxels).for_each(|image| change_sharpness(image, sides, random));
        }
        patch
    }

    /// Mirrors along axis 0 (z), 1 (y) or 2 (x); along x the paired channels are exchanged.
    fn flip(&self, patch: &mut Patch, axis: usize) {
        mirror(&mut patch.image, patch.sides, axis);
        mirror(&mut patch.target, patch.sides, axis);
        if axis != 2 || self.swapped.is_empty() {
            return;
        }
        for channel in &mut patch.target {
            let pair = self.swapped.iter().find(|pair| pair.contains(channel));
            *channel = pair.map_or(*channel, |&[left, right]| if *channel == left { right } else { left });
        }
    }
}

fn mirror<T>(voxels: &mut [T], sides: [usize; 3], axis: usize) {
    let inner: usize = sides[axis + 1..].iter().product();
    for block in voxels.chunks_mut(sides[axis] * inner) {
        for place in 0..sides[axis] / 2 {
            let (front, back) = block.split_at_mut((sides[axis] - 1 - place) * inner);
            front[place * inner..(place + 1) * inner].swap_with_slice(&mut back[..inner]);
        }
    }
}

/// Noise, brightness, contrast and gamma, each with probability [`PROBABILITY`].
fn change_intensity(image: &mut [f32], random: &mut Random) {
    if random.happens(PROBABILITY) {
        let sd = random.between(0.0, NOISE_SD);
        image.iter_mut().for_each(|v| *v += (sd * random.normal()) as f32);
    }
    if random.happens(PROBABILITY) {
        let factor = random.between(FACTOR[0], FACTOR[1]) as f32;
        image.iter_mut().for_each(|v| *v *= factor);
    }
    if random.happens(PROBABILITY) {
        let (low, high) = range(image);
        let mean = image.iter().sum::<f32>() / image.len() as f32;
        let factor = random.between(FACTOR[0], FACTOR[1]) as f32;
        image.iter_mut().for_each(|v| *v = ((*v - mean) * factor + mean).clamp(low, high));
    }
    if random.happens(PROBABILITY) {
        let (low, high) = range(image);
        let (width, gamma) = ((high - low).max(f32::EPSILON), random.between(GAMMA[0], GAMMA[1]) as f32);
        image.iter_mut().for_each(|v| *v = ((*v - low) / width).max(0.0).powf(gamma) * width + low);
    }
}

/// Blur and low resolution, each with probability [`PROBABILITY`]; axes of one voxel are skipped.
fn change_sharpness(image: &mut [f32], sides: [usize; 3], random: &mut Random) {
    let axes = (0..3).filter(|axis| sides[*axis] > 1);
    if random.happens(PROBABILITY) {
        let kernel = gaussian(random.between(BLUR_SD[0], BLUR_SD[1]));
        axes.clone().for_each(|axis| along(image, sides, axis, |line| blurred(line, &kernel)));
    }
    if random.happens(PROBABILITY) {
        let share = random.between(LOW_RESOLUTION[0], LOW_RESOLUTION[1]);
        axes.for_each(|axis| along(image, sides, axis, |line| coarsened(line, share)));
    }
}

/// Replaces every line of voxels along axis 0 (z), 1 (y) or 2 (x) by `change` of it.
fn along(image: &mut [f32], sides: [usize; 3], axis: usize, change: impl Fn(&[f32]) -> Vec<f32>) {
    let inner: usize = sides[axis + 1..].iter().product();
    for block in image.chunks_exact_mut(sides[axis] * inner) {
        for first in 0..inner {
            let line: Vec<f32> = block[first..].iter().step_by(inner).copied().collect();
            let places = block[first..].iter_mut().step_by(inner);
            places.zip(change(&line)).for_each(|(voxel, value)| *voxel = value);
        }
    }
}

/// Half of a symmetric Gaussian kernel, from the centre to 4 standard deviations; the full kernel
/// sums to 1.
fn gaussian(sd: f64) -> Vec<f32> {
    let reach = (4.0 * sd).ceil() as i32;
    let raw: Vec<f64> = (0..=reach).map(|i| (-0.5 * (f64::from(i) / sd).powi(2)).exp()).collect();
    let sum = 2.0 * raw.iter().sum::<f64>() - raw[0];
    raw.iter().map(|weight| (weight / sum) as f32).collect()
}

/// Convolves a line with a symmetric kernel; the edge values are repeated beyond its ends.
fn blurred(line: &[f32], kernel: &[f32]) -> Vec<f32> {
    let last = line.len() - 1;
    let at = |i: usize, distance: usize| line[i.saturating_sub(distance)] + line[(i + distance).min(last)];
    let outer =
        |i: usize| kernel.iter().enumerate().skip(1).map(|(d, weight)| weight * at(i, d)).sum::<f32>();
    (0..line.len()).map(|i| kernel[0] * line[i] + outer(i)).collect()
}

/// Low resolution: takes a fraction of a line's voxels at even distances and interpolates linearly
/// between them.
fn coarsened(line: &[f32], share: f64) -> Vec<f32> {
    let known = ((line.len() as f64 * share).round() as usize).max(1);
    let step = line.len() as f64 / known as f64;
    let value = |k: usize| line[((k as f64 + 0.5) * step) as usize];
    let interpolated = |i: usize| {
        let place = ((i as f64 + 0.5) / step - 0.5).clamp(0.0, (known - 1) as f64);
        let (low, above) = (place as usize, place.fract() as f32);
        let (a, b) = (value(low), value((low + 1).min(known - 1)));
        a + (b - a) * above
    };
    (0..line.len()).map(interpolated).collect()
}

fn range(image: &[f32]) -> (f32, f32) {
    let first = (f32::INFINITY, f32::NEG_INFINITY);
    image.iter().fold(first, |(low, high), &v| (low.min(v), high.max(v)))
}

#[cfg(test)]
impl Augmenter {
    /// No augmentation.
    pub fn none() -> Self {
        Self { intensity: false, space: false, mirror: [false; 3], swapped: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::random::Purpose;

    fn patch() -> Patch {
        Patch { sides: [2, 1, 3], image: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0], target: vec![1, 0, 2, 1, 3, 2] }
    }

    #[test]
    fn along_x_left_and_right_change_places() {
        let augmenter =
            Augmenter { mirror: [false, false, true], swapped: vec![[1, 2]], ..Augmenter::none() };
        let mut mirrored = patch();
        augmenter.flip(&mut mirrored, 2);
        assert_eq!(mirrored.image, [2.0, 1.0, 0.0, 5.0, 4.0, 3.0]);
        assert_eq!(mirrored.target, [1, 0, 2, 1, 3, 2], "left stays on the same side of the patch");
        augmenter.flip(&mut mirrored, 0);
        assert_eq!(mirrored.image, [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]);
        assert_eq!(mirrored.target, [1, 3, 2, 1, 0, 2], "along z nothing changes sides");
    }

    #[test]
    fn only_the_axes_asked_for_are_mirrored() {
        let augmenter = Augmenter { mirror: [true, false, false], ..Augmenter::none() };
        let mut seen = Vec::new();
        for number in 0..50 {
            let mut random = Random::new(1, Purpose::Augmentation, number);
            let changed = augmenter.change(patch(), &mut random);
            if !seen.contains(&changed) {
                seen.push(changed);
            }
        }
        assert_eq!(seen.len(), 2, "as it is, and mirrored along z");
    }

    #[test]
    fn sharpness_is_lost_along_every_axis_and_the_mean_is_kept() {
        let sides = [8, 9, 10];
        let wave = |i: usize| (i as f32 * 0.7).sin() + i as f32 / 720.0;
        let image: Vec<f32> = (0..720).map(wave).collect();
        let roughness = |image: &[f32]| image.windows(2).map(|pair| (pair[0] - pair[1]).powi(2)).sum::<f32>();
        let kernel = gaussian(0.8);
        let check = |change: &dyn Fn(&[f32]) -> Vec<f32>| {
            let (mut other, mut flat) = (image.clone(), vec![3.0; 720]);
            for axis in 0..3 {
                along(&mut other, sides, axis, change);
                along(&mut flat, sides, axis, change);
            }
            assert!(roughness(&other) < 0.8 * roughness(&image));
            assert!(flat.iter().all(|v| (v - 3.0).abs() < 1e-5));
        };
        check(&|line| blurred(line, &kernel));
        check(&|line| coarsened(line, 0.5));
        assert_eq!(coarsened(&[1.0, 2.0, 5.0], 1.0), [1.0, 2.0, 5.0]);
        assert_eq!(coarsened(&[1.0, 2.0, 5.0, 7.0], 0.5), [2.0, 3.25, 5.75, 7.0]);
    }

    #[test]
    fn inputs_are_mirrored_alike_and_change_their_intensities_one_by_one() {
        let two = || Patch { image: [patch().image, patch().image].concat(), ..patch() };
        let augmenter = Augmenter { mirror: [false, false, true], ..Augmenter::none() };
        let mut mirrored = two();
        augmenter.flip(&mut mirrored, 2);
        assert_eq!(mirrored.image, [[2.0, 1.0, 0.0, 5.0, 4.0, 3.0]; 2].concat());
        let augmenter = Augmenter { intensity: true, space: true, ..Augmenter::none() };
        let (mut differ, mut first_alone) = (0, 0);
        for number in 0..200 {
            let mut random = Random::new(1, Purpose::Augmentation, number);
            let image = augmenter.change(two(), &mut random).image;
            differ += usize::from(image[..6] != image[6..]);
            first_alone += usize::from(image[..6] != patch().image[..] && image[6..] == patch().image[..]);
        }
        assert!(differ > 80 && first_alone > 20, "{differ} {first_alone}");
    }

    #[test]
    fn intensities_change_and_stay_numbers() {
        let augmenter = Augmenter { intensity: true, ..Augmenter::none() };
        let mut changed = 0;
        for number in 0..200 {
            let mut random = Random::new(1, Purpose::Augmentation, number);
            let other = augmenter.change(patch(), &mut random);
            assert!(other.image.iter().all(|v| v.is_finite()));
            assert_eq!(other.target, patch().target);
            changed += usize::from(other != patch());
        }
        // 1 - 0.85^4 = 48% of 200.
        assert!((70..125).contains(&changed), "{changed}");
    }
}
