//! Samples the patches of a step: planes or blocks of its cases, augmented, cropped or padded to
//! one size.

use tch::Tensor;

use crate::data::augment::intensity::Augmenter;
use crate::data::augment::spatial::Warp;
use crate::data::case::Case;
use crate::data::patch::{Patch, append_interleaved, copy_block};
use crate::data::random::{Purpose, Random};
use crate::error::Result;
use crate::model::device::ComputeDevice;
use crate::model::memory_format;
use crate::plan::curriculum_schedule::PatchSpec;

/// Input tensors of one step, on the device of the network.
#[derive(Debug)]
pub struct Batch {
    /// Images (N, inputs, y, x) or (N, inputs, z, y, x), float, channels-last.
    pub images: Tensor,
    /// Channel indices (N, y, x) or (N, z, y, x), int64.
    pub target: Tensor,
    /// (N, channels), float: 1 where the patch's case was annotated for the channel.
    pub annotated: Tensor,
}

/// Patches of one step in host memory, concatenated in C order.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchBatch {
    count: usize,
    sides: [usize; 3],
    /// (patch, z, y, x, input)
    images: Vec<f32>,
    target: Vec<i64>,
    annotated: Vec<f32>,
}

/// Cropping and augmentation of patches.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampler {
    /// 2 for planes, 3 for blocks.
    pub dims: usize,
    /// Largest batch size of the run; it separates the random streams of the steps' patches.
    pub batch: usize,
    /// Fraction of patches that are placed on a label (foreground oversampling).
    pub foreground: f64,
    /// Augmentation of every patch.
    pub augmenter: Augmenter,
    /// Seed of all patches.
    pub seed: u64,
}

impl Sampler {
    /// Draws the patches of a step, one from each of `cases`, of the size and resolution of `spec`.
    /// A patch depends on the seed, the step and its index in the batch only.
    ///
    /// # Errors
    /// As [`Case::part`].
    pub fn draw(&self, cases: &[&Case], step: u64, spec: PatchSpec) -> Result<PatchBatch> {
        let PatchSpec { patch: size, pool, .. } = spec;
        let count = cases.len();
        let voxels = size.iter().product::<usize>() * count;
        let inputs = cases.first().map_or(1, |case| case.inputs());
        let (mut images, mut target) = (Vec::with_capacity(voxels * inputs), Vec::with_capacity(voxels));
        let mut annotated = Vec::new();
        let mut sides = size;
        for (index, case) in cases.iter().enumerate() {
            let patch = pooled(self.patch(case, size, step, index)?, pool);
            append_interleaved(&patch.image, inputs, &mut images);
            target.extend(patch.target.iter().map(|&channel| i64::from(channel)));
            annotated.extend(case.annotated.iter().map(|&a| f32::from(u8::from(a))));
            sides = patch.sides;
        }
        Ok(PatchBatch { count, sides, images, target, annotated })
    }

    fn patch(&self, case: &Case, size: [usize; 3], step: u64, index: usize) -> Result<Patch> {
        let number = step * self.batch as u64 + index as u64;
        let mut random = Random::new(self.seed, Purpose::Patches, number);
        // Spreads foreground patches evenly: the first n patches contain n times the fraction,
        // rounded up.
        let due = |patches: usize| (patches as f64 * self.foreground).ceil();
        let on_label = due(index + 1) > due(index);
        let seed = if on_label { voxel_on_label(case, &mut random)? } else { None };
        let origin = origin(case, size, seed, &mut random);
        let mut random = Random::new(self.seed, Purpose::Augmentation, number);
        let warp = match self.augmenter.space {
            true => Warp::draw(self.dims, size, case.spacing_mm_zyx(), &mut random),
            false => None,
        };
        let patch = match warp {
            Some(warp) => warp.patch(case, origin, size)?,
            None => block(case, origin, size)?,
        };
        Ok(self.augmenter.change(patch, &mut random))
    }

    /// Tensors of a batch on `device`.
    ///
    /// # Errors
    /// [`crate::FitError::Torch`] if libtorch fails.
    pub fn batch(&self, patches: &PatchBatch, device: ComputeDevice) -> Result<Batch> {
        let sides: Vec<i64> = patches.sides[3 - self.dims..].iter().map(|&n| n as i64).collect();
        let batch = patches.count as i64;
        let inputs = (patches.images.len() / patches.target.len().max(1)) as i64;
        let image_shape: Vec<i64> = [batch, inputs].iter().chain(&sides).copied().collect();
        let target_shape: Vec<i64> = [batch].iter().chain(&sides).copied().collect();
        let images = device.upload(&Tensor::f_from_slice(&patches.images)?)?;
        let target = Tensor::f_from_slice(&patches.target)?.f_view(target_shape.as_slice())?;
        let annotated = Tensor::f_from_slice(&patches.annotated)?.f_view([batch, -1])?;
        Ok(Batch {
            images: memory_format::from_channels_last(&images, &image_shape)?,
            target: device.upload(&target)?,
            annotated: device.upload(&annotated)?,
        })
    }
}

/// A patch of `size` voxels (z, y, x) at `origin` (z, y, x), without spatial augmentation.
fn block(case: &Case, origin: [isize; 3], size: [usize; 3]) -> Result<Patch> {
    let voxels: usize = size.iter().product();
    let part = case.part(origin, size)?;
    let (shape, origin) = (part.place.shape, part.relative(origin));
    let (mut image, mut target) = (Vec::with_capacity(voxels * case.inputs()), Vec::with_capacity(voxels));
    for (values, padding) in part.images().zip(&case.padding) {
        copy_block(values, shape, origin, size, *padding, |v| image.push(v));
    }
    copy_block(&part.target, shape, origin, size, 0, |v| target.push(v));
    Ok(Patch { sides: size, image, target })
}

/// Random origin (z, y, x) of a patch within the case; the patch contains the voxel `seed` if
/// given.
fn origin(case: &Case, size: [usize; 3], seed: Option<[usize; 3]>, random: &mut Random) -> [isize; 3] {
    std::array::from_fn(|axis| random_start(case.shape[axis], size[axis], seed.map(|s| s[axis]), random))
}

/// Pools `pool` voxels (z, y, x) into one: the mean of the image, and the most frequent channel. A
/// tie goes to the higher channel, so that thin structures survive. Voxels at the end that do not
/// fill a pool are dropped.
fn pooled(patch: Patch, pool: [usize; 3]) -> Patch {
    if pool == [1; 3] {
        return patch;
    }
    let sides: [usize; 3] = std::array::from_fn(|axis| patch.sides[axis] / pool[axis]);
    let [_, height, width] = patch.sides;
    let count = pool.iter().product::<usize>() as f32;
    let highest = patch.target.iter().copied().max().unwrap_or(0);
    let mut votes = vec![0_u16; usize::from(highest) + 1];
    let voxels = patch.target.len().max(1);
    let mut image = Vec::new();
    for of_input in patch.image.chunks_exact(voxels) {
        image.extend(pools(sides, pool).map(|first| {
            let rows = rows_of(first, pool, [height, width]);
            rows.map(|row| of_input[row..row + pool[2]].iter().sum::<f32>()).sum::<f32>() / count
        }));
    }
    let target = pools(sides, pool).map(|first| {
        votes.fill(0);
        for row in rows_of(first, pool, [height, width]) {
            patch.target[row..row + pool[2]].iter().for_each(|&t| votes[usize::from(t)] += 1);
        }
        // `max_by_key` returns the last of several maxima.
        (0..=highest).max_by_key(|&t| votes[usize::from(t)]).unwrap_or(0)
    });
    let target = target.collect();
    Patch { sides, image, target }
}

/// First voxels (z, y, x) of the pools that `sides` voxels are made of, in C order.
fn pools(sides: [usize; 3], pool: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    let [depth, height, width] = sides;
    (0..depth * height * width)
        .map(move |at| [at / (height * width) * pool[0], at / width % height * pool[1], at % width * pool[2]])
}

/// Indices at which the rows of a pool begin in a patch whose planes have `height` x `width`
/// voxels.
fn rows_of(
    [z, y, x]: [usize; 3],
    pool: [usize; 3],
    [height, width]: [usize; 2],
) -> impl Iterator<Item = usize> {
    let rows = (0..pool[0]).flat_map(move |k| (0..pool[1]).map(move |j| (k, j)));
    rows.map(move |(k, j)| ((z + k) * height + y + j) * width + x)
}

/// Random start of a patch of `patch` voxels along an axis of `size`; negative if the axis is
/// padded.
fn random_start(size: usize, patch: usize, seed: Option<usize>, random: &mut Random) -> isize {
    if size <= patch {
        return -(random.below(patch - size + 1) as isize);
    }
    let (first, last) = match seed {
        Some(voxel) => ((voxel + 1).saturating_sub(patch), voxel.min(size - patch)),
        None => (0, size - patch),
    };
    (first + random.below(last - first + 1)) as isize
}

/// A random voxel (z, y, x) of a random label of the case: all labels that it has are equally
/// likely, and so are all voxels of a label. `None` if the case has no label.
fn voxel_on_label(case: &Case, random: &mut Random) -> Result<Option<[usize; 3]>> {
    let present: Vec<usize> = (0..case.planes.len()).filter(|&c| !case.planes[c].is_empty()).collect();
    if present.is_empty() {
        return Ok(None);
    }
    let label = present[random.below(present.len())];
    let voxels = case.planes[label].last().map_or(0, |last| last.before + last.voxels);
    case.voxel_of(label + 1, random.below(voxels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Grid, Orientation, Volume};
    use tch::Kind;

    /// Image values count up; one voxel of label 1 at (z, y, x) = (2, 5, 6).
    fn case() -> Case {
        let shape = [7, 6, 4];
        let affine = Affine::from_orientation(Orientation::RAS, [1.0; 3], shape);
        let voxels = (0..7 * 6 * 4).map(|v| v as f32).collect();
        let mut target = vec![0; 7 * 6 * 4];
        target[(2 * 6 + 5) * 7 + 6] = 1;
        let image = Volume::new(Grid::new(shape, affine), voxels).unwrap();
        Case::new("a", image, target, vec![true, true])
    }

    fn batch(dims: usize, patch: [usize; 3], batch: usize, step: u64) -> Batch {
        let sampler = Sampler { dims, batch, foreground: 1.0 / 3.0, augmenter: Augmenter::none(), seed: 1 };
        let spec = PatchSpec { patch, pool: [1; 3], batch };
        let case = case();
        sampler.batch(&sampler.draw(&vec![&case; batch], step, spec).unwrap(), ComputeDevice::CPU).unwrap()
    }

    #[test]
    fn crops_hold_the_label_when_placed_on_it() {
        for step in 0..50 {
            let batch = batch(2, [1, 4, 4], 1, step);
            assert_eq!(batch.images.size(), [1, 1, 4, 4]);
            assert_eq!(batch.target.sum(Kind::Int64).int64_value(&[]), 1);
            let on_label = batch.images.view([16]).masked_select(&batch.target.view([16]).eq(1));
            assert_eq!(on_label.double_value(&[0]), ((2 * 6 + 5) * 7 + 6) as f64);
        }
    }

    #[test]
    fn every_voxel_of_a_label_is_equally_likely() {
        // One voxel in the first plane, nine in the second.
        let shape = [3, 3, 2];
        let grid = Grid::new(shape, Affine::from_orientation(Orientation::RAS, [1.0; 3], shape));
        let target = (0..18).map(|at| u8::from(at == 4 || at >= 9)).collect();
        let case = Case::new("a", Volume::new(grid, vec![0.0; 18]).unwrap(), target, vec![true, true]);
        let mut random = Random::new(1, Purpose::Patches, 0);
        let first =
            (0..2000).filter(|_| voxel_on_label(&case, &mut random).unwrap().unwrap()[0] == 0).count();
        assert!((140..260).contains(&first), "a tenth of 2000, not half: {first}");
    }

    #[test]
    fn small_images_are_padded_with_their_minimum() {
        let batch = batch(3, [8, 8, 8], 2, 0);
        assert_eq!(batch.images.size(), [2, 1, 8, 8, 8]);
        let total: f64 = (0..7 * 6 * 4).map(f64::from).sum();
        assert_eq!(batch.images.sum(Kind::Double).double_value(&[]), 2.0 * total);
        assert_eq!(batch.annotated.size(), [2, 2]);
    }

    #[test]
    fn coarse_patches_have_means_and_the_most_frequent_label() {
        let image = vec![1.0, 3.0, 0.0, 0.0, 5.0, 7.0, 8.0, 0.0];
        let patch = Patch { sides: [1, 2, 4], image, target: vec![0, 1, 2, 0, 0, 1, 0, 0] };
        let coarse = pooled(patch, [1, 2, 2]);
        assert_eq!(coarse.sides, [1, 1, 2]);
        assert_eq!(coarse.image, [4.0, 2.0]);
        assert_eq!(coarse.target, [1, 0]);
    }

    #[test]
    fn all_inputs_of_a_patch_come_from_one_place_and_lie_channels_last() {
        let shape = [7, 6, 4];
        let grid = Grid::new(shape, Affine::from_orientation(Orientation::RAS, [1.0; 3], shape));
        let image = |from: f32| Volume::new(grid, (0..168).map(|v| v as f32 + from).collect()).unwrap();
        let case = Case::with_inputs("a", image(0.0), &[image(1000.0)], vec![0; 168], vec![true]);
        let sampler = Sampler { dims: 3, batch: 2, foreground: 0.0, augmenter: Augmenter::none(), seed: 1 };
        let spec = PatchSpec { patch: [4, 4, 6], pool: [1, 2, 2], batch: 2 };
        let batch =
            sampler.batch(&sampler.draw(&[&case, &case], 3, spec).unwrap(), ComputeDevice::CPU).unwrap();
        assert_eq!(batch.images.size(), [2, 2, 4, 2, 3]);
        assert_eq!(batch.images.stride()[1], 1);
        let apart = batch.images.select(1, 1) - batch.images.select(1, 0);
        assert!(apart.eq(1000.0).all().int64_value(&[]) == 1);
    }
}
