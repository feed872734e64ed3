//! How samples are changed before they are learnt from, so that a network sees more than the cohort has.

use crate::random::Random;
use crate::sampling::Sample;

/// How often each change of intensity happens (nnU-Net).
const OFTEN: f64 = 0.15;
/// The largest deviation of added noise, in the deviations of a normalised image.
const NOISE: f64 = 0.1;
/// Factors of brightness and contrast.
const FACTOR: [f64; 2] = [0.75, 1.25];
/// Exponents of the gamma change.
const GAMMA: [f64; 2] = [0.7, 1.5];

/// Changes samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Augmenter {
    /// Whether intensities change.
    pub intensity: bool,
    /// Along z, y, x: whether samples are mirrored, every other time.
    pub mirror: [bool; 3],
    /// Channels that change places when a sample is mirrored along x: left and right.
    pub swapped: Vec<[u8; 2]>,
}

impl Augmenter {
    /// Changes nothing.
    pub fn none() -> Self {
        Self { intensity: false, mirror: [false; 3], swapped: Vec::new() }
    }

    /// A sample changed by these random numbers.
    pub fn change(&self, mut sample: Sample, random: &mut Random) -> Sample {
        for axis in 0..3 {
            if self.mirror[axis] && random.happens(0.5) {
                self.flip(&mut sample, axis);
            }
        }
        if self.intensity {
            change_intensity(&mut sample.image, random);
        }
        sample
    }

    /// Mirrors along an axis of (z, y, x); along x, left becomes right.
    fn flip(&self, sample: &mut Sample, axis: usize) {
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

fn range(image: &[f32]) -> (f32, f32) {
    let first = (f32::INFINITY, f32::NEG_INFINITY);
    image.iter().fold(first, |(low, high), &v| (low.min(v), high.max(v)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn sample() -> Sample {
        Sample { sides: [2, 1, 3], image: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0], target: vec![1, 0, 2, 1, 3, 2] }
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
