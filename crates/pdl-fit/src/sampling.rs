//! What a step sees: planes or blocks drawn from its cases, cropped or padded to one size.

use tch::{Device, Tensor};

use crate::case::Case;
use crate::error::Result;
use crate::layout;
use crate::random::Random;

/// Of so many samples, one is placed on a label.
const FOREGROUND_EVERY: usize = 3;

/// The samples of one step.
#[derive(Debug)]
pub struct Batch {
    /// (N, 1, y, x) or (N, 1, z, y, x), float, channels-last.
    pub images: Tensor,
    /// (N, y, x) or (N, z, y, x), int64 channel indices.
    pub target: Tensor,
    /// (N, channels), float: 1 where the sample's case was searched for the channel.
    pub annotated: Tensor,
}

/// How samples are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// 2 for planes, 3 for blocks.
    pub dims: usize,
    /// Size of a sample along z, y, x; z is 1 for planes.
    pub patch: [usize; 3],
    /// Samples of a step.
    pub batch: usize,
}

impl Sampler {
    /// Draws a step's samples, shared evenly among its cases; every third one is placed on a label.
    ///
    /// # Errors
    /// [`crate::FitError::Torch`] when libtorch refuses.
    pub fn draw(&self, cases: &[&Case], random: &mut Random, device: Device) -> Result<Batch> {
        let voxels: usize = self.patch.iter().product();
        let mut images = Vec::with_capacity(self.batch * voxels);
        let mut target = Vec::with_capacity(self.batch * voxels);
        let mut annotated = Vec::new();
        for sample in 0..self.batch {
            let case = cases[sample * cases.len() / self.batch];
            let on_label = sample % FOREGROUND_EVERY == 0;
            let seed = if on_label { voxel_on_label(case, random) } else { None };
            let origin = self.place(case, seed, random);
            copy_block(&case.image, case.shape, origin, self.patch, case.padding, |v| images.push(v));
            copy_block(&case.target, case.shape, origin, self.patch, 0, |v| target.push(i64::from(v)));
            annotated.extend(case.annotated.iter().map(|&a| f32::from(u8::from(a))));
        }
        self.tensors(&images, &target, &annotated, device)
    }

    fn tensors(&self, images: &[f32], target: &[i64], annotated: &[f32], device: Device) -> Result<Batch> {
        let sides: Vec<i64> = self.patch[3 - self.dims..].iter().map(|&n| n as i64).collect();
        let batch = self.batch as i64;
        let image_shape: Vec<i64> = [batch, 1].iter().chain(&sides).copied().collect();
        let target_shape: Vec<i64> = [batch].iter().chain(&sides).copied().collect();
        let images = Tensor::f_from_slice(images)?.f_to_device(device)?;
        Ok(Batch {
            images: layout::from_channels_last(&images, &image_shape)?,
            target: Tensor::f_from_slice(target)?.f_view(target_shape.as_slice())?.f_to_device(device)?,
            annotated: Tensor::f_from_slice(annotated)?.f_view([batch, -1])?.f_to_device(device)?,
        })
    }

    /// Where a sample begins along z, y, x: anywhere in the case, or so that it holds the voxel `seed`.
    fn place(&self, case: &Case, seed: Option<[usize; 3]>, random: &mut Random) -> [isize; 3] {
        std::array::from_fn(|axis| begin(case.shape[axis], self.patch[axis], seed.map(|s| s[axis]), random))
    }
}

/// A random start of `patch` voxels along an axis of `size`; negative when the axis must be padded.
fn begin(size: usize, patch: usize, seed: Option<usize>, random: &mut Random) -> isize {
    if size <= patch {
        return -(random.below(patch - size + 1) as isize);
    }
    let (first, last) = match seed {
        Some(voxel) => ((voxel + 1).saturating_sub(patch), voxel.min(size - patch)),
        None => (0, size - patch),
    };
    (first + random.below(last - first + 1)) as isize
}

/// A voxel (z, y, x) of a random label of the case, or nothing when it has none.
fn voxel_on_label(case: &Case, random: &mut Random) -> Option<[usize; 3]> {
    let present: Vec<usize> = (0..case.planes.len()).filter(|&c| !case.planes[c].is_empty()).collect();
    if present.is_empty() {
        return None;
    }
    let label = present[random.below(present.len())];
    let planes = &case.planes[label];
    let z = planes[random.below(planes.len())];
    let [_, ny, nx] = case.shape;
    let plane = &case.target[z * ny * nx..(z + 1) * ny * nx];
    let is_label = |&t: &u8| usize::from(t) == label + 1;
    let chosen = random.below(plane.iter().filter(|t| is_label(t)).count().max(1));
    let (at, _) = plane.iter().enumerate().filter(|(_, t)| is_label(t)).nth(chosen)?;
    Some([z, at / nx, at % nx])
}

/// Hands out the voxels of a block in C order, `padding` where it lies outside.
pub fn copy_block<T: Copy>(
    voxels: &[T],
    shape: [usize; 3],
    origin: [isize; 3],
    size: [usize; 3],
    padding: T,
    mut put: impl FnMut(T),
) {
    let inside = |axis: usize, offset: usize| {
        let at = origin[axis] + offset as isize;
        (0..shape[axis] as isize).contains(&at).then_some(at as usize)
    };
    for z in 0..size[0] {
        for y in 0..size[1] {
            let row = inside(0, z).zip(inside(1, y)).map(|(z, y)| (z * shape[1] + y) * shape[2]);
            for x in 0..size[2] {
                put(row.zip(inside(2, x)).map_or(padding, |(row, x)| voxels[row + x]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;
    use pdl_volume::{Affine, Grid, Orientation, Volume};
    use tch::Kind;

    /// A case whose voxels count up, with one voxel of label 1 at (z, y, x) = (2, 5, 6).
    fn case() -> Case {
        let shape = [7, 6, 4];
        let affine = Affine::from_orientation(Orientation::RAS, [1.0; 3], shape);
        let voxels = (0..7 * 6 * 4).map(|v| v as f32).collect();
        let mut target = vec![0; 7 * 6 * 4];
        target[(2 * 6 + 5) * 7 + 6] = 1;
        let image = Volume::new(Grid::new(shape, affine), voxels).unwrap();
        Case::new("a", image, target, vec![true, true])
    }

    #[test]
    fn crops_hold_the_label_when_placed_on_it() {
        let sampler = Sampler { dims: 2, patch: [1, 4, 4], batch: 1 };
        for step in 0..50 {
            let mut random = Random::new(1, Purpose::Samples, step);
            let batch = sampler.draw(&[&case()], &mut random, Device::Cpu).unwrap();
            assert_eq!(batch.images.size(), [1, 1, 4, 4]);
            assert_eq!(batch.target.sum(Kind::Int64).int64_value(&[]), 1);
            let on_label = batch.images.view([16]).masked_select(&batch.target.view([16]).eq(1));
            assert_eq!(on_label.double_value(&[0]), ((2 * 6 + 5) * 7 + 6) as f64);
        }
    }

    #[test]
    fn small_images_are_padded_with_their_minimum() {
        let sampler = Sampler { dims: 3, patch: [8, 8, 8], batch: 2 };
        let mut random = Random::new(1, Purpose::Samples, 0);
        let batch = sampler.draw(&[&case()], &mut random, Device::Cpu).unwrap();
        assert_eq!(batch.images.size(), [2, 1, 8, 8, 8]);
        let total: f64 = (0..7 * 6 * 4).map(f64::from).sum();
        assert_eq!(batch.images.sum(Kind::Double).double_value(&[]), 2.0 * total);
        assert_eq!(batch.annotated.size(), [2, 2]);
    }

    #[test]
    fn blocks_reach_over_the_edge() {
        let mut out = Vec::new();
        copy_block(&[1, 2, 3, 4], [1, 2, 2], [0, -1, 1], [1, 3, 2], 0, |v| out.push(v));
        assert_eq!(out, [0, 0, 2, 0, 4, 0]);
    }
}
