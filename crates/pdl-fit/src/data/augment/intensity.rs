//! How samples are changed before they are learnt from, so that a network sees more than the cohort has.

use crate::data::patch::Patch;
use crate::data::random::Random;

/// How often each change of intensity happens (nnU-Net).
const OFTEN: f64 = 0.15;
/// The largest deviation of added noise, in the deviations of a normalised image.
const NOISE: f64 = 0.1;
/// Factors of brightness and contrast.
const FACTOR: [f64; 2] = [0.75, 1.25];
/// Exponents of the gamma change.
const GAMMA: [f64; 2] = [0.7, 1.5];
/// Deviations of the blur, in voxels.
const BLUR: [f64; 2] = [0.5, 1.0];
/// Shares of the voxels along an axis that a lower resolution keeps.
const KEPT: [f64; 2] = [0.5, 1.0];

/// Changes samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Augmenter {
    /// Whether intensities change.
    pub intensity: bool,
    /// Whether samples are turned, scaled and bent ([`crate::data::augment::spatial`]), blurred and taken at a lower resolution.
    pub space: bool,
    /// Along z, y, x: whether samples are mirrored, every other time.
    pub mirror: [bool; 3],
    /// Channels that change places when a sample is mirrored along x: left and right.
    pub swapped: Vec<[u8; 2]>,
}

impl Augmenter {
    /// Changes nothing.
    pub fn none() -> Self {
        Self { intensity: false, space: false, mirror: [false; 3], swapped: Vec::new() }
    }

    /// A sample changed by these random numbers.
    pub fn change(&self, mut sample: Patch, random: &mut Random) -> Patch {
        for axis in 0..3 {
            if self.mirror[axis] && random.happens(0.5) {
                self.flip(&mut sample, axis);
            }
        }
        if self.intensity {
            change_intensity(&mut sample.image, random);
        }
        if self.space {
            change_sharpness(&mut sample, random);
        }
        sample
    }

    /// Mirrors along an axis of (z, y, x); along x, left becomes right.
    fn flip(&self, sample: &mut Patch, axis: usize) {
        mirror(&mut sample.image, sample.sides, axis);
        mirror(&mut sample.target, sample.sides, axis);
        if axis != 2 || self.swapped.is_empty() {
            return;
        }
        for channel in &mut sample.target {
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

/// Noise, brightness, contrast and gamma, each now and then.
fn change_intensity(image: &mut [f32], random: &mut Random) {
    if random.happens(OFTEN) {
        let deviation = random.between(0.0, NOISE);
        image.iter_mut().for_each(|v| *v += (deviation * random.normal()) as f32);
    }
    if random.happens(OFTEN) {
        let factor = random.between(FACTOR[0], FACTOR[1]) as f32;
        image.iter_mut().for_each(|v| *v *= factor);
    }
    if random.happens(OFTEN) {
        let (low, high) = range(image);
        let mean = image.iter().sum::<f32>() / image.len() as f32;
        let factor = random.between(FACTOR[0], FACTOR[1]) as f32;
        image.iter_mut().for_each(|v| *v = ((*v - mean) * factor + mean).clamp(low, high));
    }
    if random.happens(OFTEN) {
        let (low, high) = range(image);
        let (width, gamma) = ((high - low).max(f32::EPSILON), random.between(GAMMA[0], GAMMA[1]) as f32);
        image.iter_mut().for_each(|v| *v = ((*v - low) / width).max(0.0).powf(gamma) * width + low);
    }
}

/// Blur and lower resolution, each now and then; a plane has nothing to blur it with along z.
fn change_sharpness(sample: &mut Patch, random: &mut Random) {
    let Patch { sides, image, .. } = sample;
    let axes = (0..3).filter(|axis| sides[*axis] > 1);
    if random.happens(OFTEN) {
        let kernel = gaussian(random.between(BLUR[0], BLUR[1]));
        axes.clone().for_each(|axis| along(image, *sides, axis, |line| blurred(line, &kernel)));
    }
    if random.happens(OFTEN) {
        let share = random.between(KEPT[0], KEPT[1]);
        axes.for_each(|axis| along(image, *sides, axis, |line| coarsened(line, share)));
    }
}

/// Changes every line of voxels along an axis of (z, y, x).
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

/// Weights from the middle outwards, to 4 deviations, that sum to 1 when all but the first count twice.
fn gaussian(deviation: f64) -> Vec<f32> {
    let reach = (4.0 * deviation).ceil() as i32;
    let raw: Vec<f64> = (0..=reach).map(|i| (-0.5 * (f64::from(i) / deviation).powi(2)).exp()).collect();
    let sum = 2.0 * raw.iter().sum::<f64>() - raw[0];
    raw.iter().map(|weight| (weight / sum) as f32).collect()
}

/// A line, blurred; beyond its ends it goes on as it ends.
fn blurred(line: &[f32], kernel: &[f32]) -> Vec<f32> {
    let last = line.len() - 1;
    let at = |i: usize, distance: usize| line[i.saturating_sub(distance)] + line[(i + distance).min(last)];
    let outer =
        |i: usize| kernel.iter().enumerate().skip(1).map(|(d, weight)| weight * at(i, d)).sum::<f32>();
    (0..line.len()).map(|i| kernel[0] * line[i] + outer(i)).collect()
}

/// A line of which only a share of the voxels is known, the others interpolated between them linearly.
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
mod tests {
    use super::*;
    use crate::data::random::Purpose;

    fn sample() -> Patch {
        Patch { sides: [2, 1, 3], image: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0], target: vec![1, 0, 2, 1, 3, 2] }
    }

    #[test]
    fn along_x_left_and_right_change_places() {
        let augmenter =
            Augmenter { mirror: [false, false, true], swapped: vec![[1, 2]], ..Augmenter::none() };
        let mut mirrored = sample();
        augmenter.flip(&mut mirrored, 2);
        assert_eq!(mirrored.image, [2.0, 1.0, 0.0, 5.0, 4.0, 3.0]);
        assert_eq!(mirrored.target, [1, 0, 2, 1, 3, 2], "left stays on the same side of the sample");
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
            let changed = augmenter.change(sample(), &mut random);
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
    fn intensities_change_and_stay_numbers() {
        let augmenter = Augmenter { intensity: true, ..Augmenter::none() };
        let mut changed = 0;
        for number in 0..200 {
            let mut random = Random::new(1, Purpose::Augmentation, number);
            let other = augmenter.change(sample(), &mut random);
            assert!(other.image.iter().all(|v| v.is_finite()));
            assert_eq!(other.target, sample().target);
            changed += usize::from(other != sample());
        }
        // 1 - 0.85^4 = 48% of 200.
        assert!((70..125).contains(&changed), "{changed}");
    }
}
