//! Predictions for whole cases, and their Dice on the original grid.

use pdl_volume::{Grid, VoxelBox};
use tch::{Device, Kind, Tensor};

use crate::data::case::Case;
use crate::data::dataset::EvalCase;
use crate::data::patch::copy_block;
use crate::error::{FitError, Result};
use crate::inference::resample;
use crate::metrics::dice::{self, CohortDice};
use crate::model::memory_format;
use crate::model::unet::UNet;
use crate::model::weights::Weights;

/// The deviation of a block's weight, as a share of its side (nnU-Net).
const WINDOW_SIGMA: f64 = 0.125;
/// Voxels that go through the network at once.
const CHUNK_VOXELS: usize = 131_072;

/// Applies a network to whole cases.
#[derive(Debug)]
pub struct Predictor<'a> {
    /// The network.
    pub net: &'a UNet,
    /// Its values.
    pub weights: &'a Weights,
    /// Sides (z, y, x) of the samples that it was trained on; z is 1 for planes.
    pub patch: [usize; 3],
    /// Where it runs.
    pub device: Device,
}

impl Predictor<'_> {
    /// Dice over held-out cases, on their original grids.
    ///
    /// # Errors
    /// [`crate::FitError::Torch`] when libtorch refuses.
    pub fn dice(&self, cases: &[EvalCase]) -> Result<CohortDice> {
        let of_case = |held_out: &EvalCase| {
            let prediction = self.channels(&held_out.case, &held_out.stored.to_ras())?;
            Ok(dice::per_label(&prediction, &held_out.truth, &held_out.case.annotated))
        };
        let all = cases.iter().map(of_case).collect::<Result<Vec<_>>>()?;
        Ok(CohortDice::of(all, self.net.plan().classes as usize - 1))
    }

    /// The most probable channel of every voxel of the RAS+ grid `whole`, of which the case holds all or a box;
    /// background beyond that.
    ///
    /// # Errors
    /// [`FitError::Torch`] when libtorch refuses; [`FitError::Folder`] when the case is no part of the grid.
    pub fn channels(&self, case: &Case, whole: &Grid) -> Result<Vec<u8>> {
        let part = VoxelBox::filled_by(whole, &case.grid).ok_or_else(|| {
            let what =
                "the prepared image does not lie on the voxels of the stored one: run `pdl curate` again";
            FitError::Folder(format!("case {}: {what}", case.case_id))
        })?;
        let [x, y, z] = part.shape;
        Ok(part.put_back(self.in_box(case, [z, y, x])?, whole.shape, 0))
    }

    /// The most probable channel of every voxel of a grid of `shape` (z, y, x) that fills the case's box.
    fn in_box(&self, case: &Case, shape: [usize; 3]) -> Result<Vec<u8>> {
        let _no_grad = tch::no_grad_guard();
        let p = if self.net.plan().dims == 2 { self.planes(case)? } else { self.blocks(case)? };
        let p = p.f_to_device(Device::Cpu)?.f_contiguous()?;
        let mut values = vec![0.0; p.numel()];
        p.f_copy_data(&mut values, p.numel())?;
        Ok(resample::most_probable(&values, self.net.plan().classes as usize, case.shape, shape))
    }

    /// The sides to which a case is padded: no less than a sample, and multiples of the network's stride.
    fn padded(&self, case: &Case) -> [usize; 3] {
        let stride = self.net.plan().stride();
        std::array::from_fn(|axis| case.shape[axis].max(self.patch[axis]).next_multiple_of(stride))
    }

    /// Probabilities (z, y, x, channel) from whole planes.
    fn planes(&self, case: &Case) -> Result<Tensor> {
        let [nz, ny, nx] = case.shape;
        let [_, height, width] = self.padded(case);
        let (above, left) = ((height - ny) / 2, (width - nx) / 2);
        let chunk = (CHUNK_VOXELS / (height * width)).max(1);
        let mut parts = Vec::new();
        for first in (0..nz).step_by(chunk) {
            let planes = chunk.min(nz - first);
            let origin = [first as isize, -(above as isize), -(left as isize)];
            let block = self.block(case, origin, [planes, height, width])?;
            let images =
                memory_format::from_channels_last(&block, &[planes as i64, 1, height as i64, width as i64])?;
            let p = self.net.forward(self.weights, &images)?.f_softmax(1, Kind::Float)?;
            let p = p.f_narrow(2, above as i64, ny as i64)?.f_narrow(3, left as i64, nx as i64)?;
            parts.push(p.f_permute([0, 2, 3, 1])?);
        }
        Ok(Tensor::f_cat(&parts, 0)?)
    }

    /// Probabilities (z, y, x, channel) from blocks that overlap by half. Where they do, they are averaged by a
    /// Gaussian weight, as what a block says near its faces is worth less.
    fn blocks(&self, case: &Case) -> Result<Tensor> {
        let size = self.padded(case);
        let pad: [usize; 3] = std::array::from_fn(|axis| (size[axis] - case.shape[axis]) / 2);
        let shape = [1, self.net.plan().classes].into_iter().chain(size.iter().map(|&n| n as i64));
        let total = Tensor::f_zeros(shape.collect::<Vec<_>>(), (Kind::Float, self.device))?;
        let count = Tensor::f_zeros(size.map(|n| n as i64), (Kind::Float, self.device))?;
        let weight = block_weight(self.patch, self.device)?;
        for start in block_starts(size, self.patch) {
            let origin = std::array::from_fn(|axis| start[axis] as isize - pad[axis] as isize);
            let [z, y, x] = self.patch.map(|n| n as i64);
            let images =
                memory_format::from_channels_last(&self.block(case, origin, self.patch)?, &[1, 1, z, y, x])?;
            let p = self.net.forward(self.weights, &images)?.f_softmax(1, Kind::Float)?;
            let _ = window(&total, 2, start, self.patch)?.f_add_(&p.f_mul(&weight)?)?;
            let _ = window(&count, 0, start, self.patch)?.f_add_(&weight)?;
        }
        let p = window(&total.f_div(&count)?, 2, pad, case.shape)?;
        Ok(p.f_squeeze_dim(0)?.f_permute([1, 2, 3, 0])?)
    }

    fn block(&self, case: &Case, origin: [isize; 3], size: [usize; 3]) -> Result<Tensor> {
        let mut voxels = Vec::with_capacity(size.iter().product());
        copy_block(&case.image, case.shape, origin, size, case.padding, |v| voxels.push(v));
        Ok(Tensor::f_from_slice(&voxels)?.f_to_device(self.device)?)
    }
}

/// The weight (z, y, x) of a block's voxels: a Gaussian around its middle, at least a thousandth.
fn block_weight(patch: [usize; 3], device: Device) -> Result<Tensor> {
    let along = |side: usize| -> Vec<f64> {
        let (middle, sigma) = ((side as f64 - 1.0) / 2.0, WINDOW_SIGMA * side as f64);
        (0..side).map(|at| (-0.5 * ((at as f64 - middle) / sigma).powi(2)).exp()).collect()
    };
    let [z, y, x] = patch.map(along);
    let mut weights = Vec::with_capacity(patch.iter().product());
    for z in &z {
        for y in &y {
            weights.extend(x.iter().map(|x| (z * y * x).max(1e-3) as f32));
        }
    }
    let shape: Vec<i64> = patch.iter().map(|&side| side as i64).collect();
    Ok(Tensor::f_from_slice(&weights)?.f_view(shape.as_slice())?.f_to_device(device)?)
}

/// The view of `size` voxels from `start` on, along three axes from `axis` on.
fn window(t: &Tensor, axis: i64, start: [usize; 3], size: [usize; 3]) -> Result<Tensor> {
    let mut view = t.shallow_clone();
    for (i, (start, size)) in start.into_iter().zip(size).enumerate() {
        view = view.f_narrow(axis + i as i64, start as i64, size as i64)?;
    }
    Ok(view)
}

/// Where the blocks of a volume begin (z, y, x).
fn block_starts(size: [usize; 3], patch: [usize; 3]) -> Vec<[usize; 3]> {
    let [zs, ys, xs]: [Vec<usize>; 3] = std::array::from_fn(|axis| starts(size[axis], patch[axis]));
    let mut all = Vec::new();
    for &z in &zs {
        for &y in &ys {
            all.extend(xs.iter().map(|&x| [z, y, x]));
        }
    }
    all
}

/// Where blocks of `patch` voxels begin so that they cover `size`, each overlapping the next by half or more.
fn starts(size: usize, patch: usize) -> Vec<usize> {
    let last = size - patch;
    let mut starts: Vec<usize> = (0..last).step_by((patch / 2).max(1)).collect();
    starts.push(last);
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::unet::NetworkPlan;
    use pdl_volume::{Affine, Grid, Orientation, Volume};

    fn case(shape: [usize; 3]) -> Case {
        let affine = Affine::from_orientation(Orientation::RAS, [1.0; 3], shape);
        let n: usize = shape.iter().product();
        let image = Volume::new(Grid::new(shape, affine), (0..n).map(|v| (v % 7) as f32).collect()).unwrap();
        Case::new("a", image, vec![0; n], vec![true; 2])
    }

    #[test]
    fn blocks_cover_the_volume() {
        assert_eq!(starts(8, 8), [0]);
        assert_eq!(starts(10, 4), [0, 2, 4, 6]);
        assert_eq!(starts(9, 4), [0, 2, 4, 5]);
    }

    #[test]
    fn every_voxel_of_the_original_grid_gets_a_channel() {
        for (dims, patch) in [(2, [1, 8, 8]), (3, [8, 8, 8])] {
            let net = UNet::new(NetworkPlan::plain(dims, 2, 2, 2));
            let weights = Weights::new(net.parameters(), 3, Device::Cpu).unwrap();
            let predictor = Predictor { net: &net, weights: &weights, patch, device: Device::Cpu };
            let case = case([9, 5, 10]); // x, y, z: longer and shorter than the samples
            let same = predictor.channels(&case, &case.grid).unwrap();
            assert_eq!(same.len(), 9 * 5 * 10);
            assert_eq!(predictor.channels(&case, &case.grid.resized([12, 6, 3])).unwrap().len(), 12 * 6 * 3);
            assert!(same.iter().all(|&channel| channel < 2));
        }
    }

    #[test]
    fn a_part_of_the_grid_is_predicted_there_and_background_elsewhere() {
        let net = UNet::new(NetworkPlan::plain(2, 2, 2, 2));
        let weights = Weights::new(net.parameters(), 3, Device::Cpu).unwrap();
        let predictor = Predictor { net: &net, weights: &weights, patch: [1, 8, 8], device: Device::Cpu };
        let shape = [12, 9, 14];
        let whole = Grid::new(shape, Affine::from_orientation(Orientation::RAS, [0.7, 1.1, 2.5], shape));
        let part = VoxelBox { start: [2, 3, 1], shape: [7, 5, 10] };
        let mut case = case([9, 5, 10]);
        case.grid = part.of_grid(&whole).resized([9, 5, 10]);
        let inside = predictor.in_box(&case, [10, 5, 7]).unwrap();
        assert!(inside.contains(&1), "the network says something");
        assert_eq!(predictor.channels(&case, &whole).unwrap(), part.put_back(inside, shape, 0));
        let elsewhere = Grid::new(shape, whole.affine.rescaled([1.0; 3], [0.4, 0.0, 0.0]));
        assert!(predictor.channels(&case, &elsewhere).is_err());
    }
}
