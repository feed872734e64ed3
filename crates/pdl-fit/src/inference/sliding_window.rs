//! Sliding-window inference: probabilities of whole cases from windows of the patch size, and their
//! Dice on the original grid.
//!
//! Instance norm uses the statistics of its input, so a network is accurate on the field of view of
//! its training and not on larger ones. Windows overlap by half along every axis that is longer
//! than they are, in planes as in volumes. Their average has Gaussian weights, as predictions are
//! less accurate near the faces of a window (nnU-Net).

use std::ops::Range;

use pdl_volume::{Grid, VoxelBox};
use tch::{Device, Kind, Tensor};

use crate::data::case::Case;
use crate::data::dataset::EvalCase;
use crate::data::patch::copy_block;
use crate::error::{FitError, Result};
use crate::inference::resample;
use crate::model::memory_format;
use crate::model::unet::UNet;
use crate::model::weights::Weights;
use pdl_metrics::dice::{self, CohortDice};

/// Standard deviation of a window's weight along an axis, as a fraction of its side (nnU-Net).
const WINDOW_SIGMA: f64 = 0.125;
/// Minimum weight of a voxel; the centre of a window has weight 1.
const LEAST_WEIGHT: f64 = 1e-3;
/// Largest number of voxels of a batch of windows; a larger window is its own batch.
const BATCH_VOXELS: usize = 131_072;

/// Sliding-window inference on whole cases.
#[derive(Debug)]
pub struct Predictor<'a> {
    /// Architecture.
    pub net: &'a UNet,
    /// Weights, usually the EMA.
    pub weights: &'a Weights,
    /// Window size (z, y, x) in voxels: the patch size of the network's last training step; z is 1
    /// for planes.
    pub window: [usize; 3],
    /// Device of the weights.
    pub device: Device,
}

impl Predictor<'_> {
    /// Dice of validation or test cases, on their original grids.
    ///
    /// # Errors
    /// [`crate::FitError::Torch`] if libtorch fails.
    pub fn dice(&self, cases: &[EvalCase]) -> Result<CohortDice> {
        let of_case = |held_out: &EvalCase| {
            let prediction = self.channels(&held_out.case, &held_out.stored.to_ras())?;
            Ok(dice::per_label(&prediction, &held_out.truth, &held_out.case.annotated))
        };
        let all = cases.iter().map(of_case).collect::<Result<Vec<_>>>()?;
        Ok(CohortDice::of(all, self.net.plan().classes as usize - 1))
    }

    /// Most probable channel of every voxel (z, y, x) of the RAS+ grid `whole`, of which the case
    /// covers all or a box; background outside.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails; [`FitError::OffGrid`] if the case is not part of the
    /// grid.
    pub fn channels(&self, case: &Case, whole: &Grid) -> Result<Vec<u8>> {
        let part = VoxelBox::filled_by(whole, &case.grid)
            .ok_or_else(|| FitError::OffGrid { case_id: case.case_id.clone() })?;
        let [x, y, z] = part.shape;
        Ok(part.put_back(self.in_box(case, [z, y, x])?, whole.shape, 0))
    }

    /// Most probable channel of every voxel of a grid of `shape` (z, y, x) over the case's box.
    fn in_box(&self, case: &Case, shape: [usize; 3]) -> Result<Vec<u8>> {
        let p = self.mean_probabilities(case)?;
        Ok(resample::most_probable(&p, self.net.plan().classes as usize, case.shape, shape))
    }

    /// Probabilities (z, y, x, channel) of a case's voxels in C order: the weighted means over the
    /// windows.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub fn mean_probabilities(&self, case: &Case) -> Result<Vec<f32>> {
        self.probabilities(case, (BATCH_VOXELS / self.window.iter().product::<usize>()).max(1))
    }

    /// Probabilities (z, y, x, channel) of a case's voxels in C order, from `batch` windows at a
    /// time.
    fn probabilities(&self, case: &Case, batch: usize) -> Result<Vec<f32>> {
        let _no_grad = tch::no_grad_guard();
        let (tiling, classes) = (Tiling::new(case.shape, self.window), self.net.plan().classes);
        let weight = tiling.weight(self.device)?;
        let mut slab = Slab::new(&tiling, classes, self.device)?;
        let mut p = Vec::with_capacity(case.image.len() * classes as usize);
        let mut of_padding = None;
        for starts in tiling.starts.chunks(batch) {
            slab.move_to(tiling.planes(starts), &mut p)?;
            let of_windows = self.of_windows(case, &tiling, starts, &mut of_padding)?;
            for (start, of_window) in starts.iter().zip(&of_windows) {
                slab.add(*start, of_window, &weight)?;
            }
        }
        slab.move_to(tiling.size[0]..tiling.size[0], &mut p)?;
        Ok(p)
    }

    /// Probabilities (channel, z, y, x) of the windows at `starts`, in their order.
    ///
    /// Windows that contain the case's padding value only have equal probabilities, which are
    /// computed once per case and stored in `of_padding`.
    fn of_windows(
        &self,
        case: &Case,
        tiling: &Tiling,
        starts: &[[usize; 3]],
        of_padding: &mut Option<Tensor>,
    ) -> Result<Vec<Tensor>> {
        let voxels_each = self.window.iter().product();
        let mut voxels: Vec<f32> = Vec::with_capacity(starts.len() * voxels_each);
        let mut is_padding = Vec::with_capacity(starts.len());
        for start in starts {
            let (first, origin) = (voxels.len(), tiling.origin(*start));
            copy_block(&case.image, case.shape, origin, self.window, case.padding, |v| voxels.push(v));
            let padding_alone = voxels[first..].iter().all(|v| *v == case.padding);
            if padding_alone {
                voxels.truncate(first);
            }
            is_padding.push(padding_alone);
        }
        if of_padding.is_none() && is_padding.contains(&true) {
            *of_padding = self.forward(&vec![case.padding; voxels_each])?.pop();
        }
        let mut others = self.forward(&voxels)?.into_iter();
        let of_window = |&padding_alone: &bool| match padding_alone {
            true => of_padding.as_ref().map(Tensor::shallow_clone),
            false => others.next(),
        };
        Ok(is_padding.iter().filter_map(of_window).collect())
    }

    /// Probabilities (channel, z, y, x) of windows, whose voxels (z, y, x) are concatenated.
    fn forward(&self, voxels: &[f32]) -> Result<Vec<Tensor>> {
        if voxels.is_empty() {
            return Ok(Vec::new());
        }
        let sides = self.window.map(|n| n as i64);
        let count = voxels.len() as i64 / sides.iter().product::<i64>();
        let shape: Vec<i64> =
            [count, 1].into_iter().chain(sides[3 - self.net.plan().dims..].iter().copied()).collect();
        let voxels = Tensor::f_from_slice(voxels)?.f_to_device(self.device)?;
        let images = memory_format::from_channels_last(&voxels, &shape)?;
        let p = self.net.forward(self.weights, &images)?.f_softmax(1, Kind::Float)?;
        let [z, y, x] = sides;
        Ok(p.f_reshape([count, -1, z, y, x])?.f_unbind(0)?)
    }
}

/// Window positions in a volume that is padded on both sides to at least one window. All axes are
/// z, y, x.
#[derive(Debug)]
struct Tiling {
    window: [usize; 3],
    /// Shape of the volume.
    shape: [usize; 3],
    /// Shape of the padded volume.
    size: [usize; 3],
    /// Origin of the volume in the padded one.
    pad: [usize; 3],
    /// Origins of the windows in the padded volume, in C order.
    starts: Vec<[usize; 3]>,
}

impl Tiling {
    fn new(shape: [usize; 3], window: [usize; 3]) -> Self {
        let size: [usize; 3] = std::array::from_fn(|axis| shape[axis].max(window[axis]));
        let pad = std::array::from_fn(|axis| (size[axis] - shape[axis]) / 2);
        let [zs, ys, xs]: [Vec<usize>; 3] = std::array::from_fn(|axis| starts(size[axis], window[axis]));
        let mut starts = Vec::with_capacity(zs.len() * ys.len() * xs.len());
        for &z in &zs {
            for &y in &ys {
                starts.extend(xs.iter().map(|&x| [z, y, x]));
            }
        }
        Self { window, shape, size, pad, starts }
    }

    /// Origin of a window relative to the volume.
    fn origin(&self, start: [usize; 3]) -> [isize; 3] {
        std::array::from_fn(|axis| start[axis] as isize - self.pad[axis] as isize)
    }

    /// Planes of the padded volume from the start of the first of these windows, which are in C
    /// order, to the end of the last.
    fn planes(&self, starts: &[[usize; 3]]) -> Range<usize> {
        let (first, last) = (starts.first().copied().unwrap_or_default(), starts.last());
        first[0]..last.map_or(first[0], |last| last[0] + self.window[0])
    }

    /// Weight (z, y, x) of a window's voxels: a Gaussian around its centre; 1 if no windows
    /// overlap, so that a plane covered by one window has the network's probabilities to the last
    /// bit.
    fn weight(&self, device: Device) -> Result<Tensor> {
        let overlap = (0..3).any(|axis| self.window[axis] > 1 && self.window[axis] < self.size[axis]);
        let weight = if overlap { gaussian(self.window) } else { vec![1.0; self.window.iter().product()] };
        Ok(Tensor::f_from_slice(&weight)?.f_view(self.window.map(|n| n as i64))?.f_to_device(device)?)
    }
}

/// A Gaussian (z, y, x) around the centre of a window, in C order.
fn gaussian(window: [usize; 3]) -> Vec<f32> {
    let along = |side: usize| -> Vec<f64> {
        let (middle, sigma) = ((side as f64 - 1.0) / 2.0, WINDOW_SIGMA * side as f64);
        (0..side).map(|at| (-0.5 * ((at as f64 - middle) / sigma).powi(2)).exp()).collect()
    };
    let [z, y, x] = window.map(along);
    let mut weight = Vec::with_capacity(window.iter().product());
    for z in &z {
        for y in &y {
            weight.extend(x.iter().map(|x| (z * y * x).max(LEAST_WEIGHT) as f32));
        }
    }
    weight
}

/// Window origins along an axis that cover `size` voxels; neighbours overlap by at least half.
fn starts(size: usize, window: usize) -> Vec<usize> {
    let last = size - window;
    let mut starts: Vec<usize> = (0..last).step_by((window / 2).max(1)).collect();
    starts.push(last);
    starts
}

/// Sliding buffer of planes to which windows are added. It moves along z, so that memory is bounded
/// by a window's depth or a batch of planes.
#[derive(Debug)]
struct Slab<'a> {
    tiling: &'a Tiling,
    planes: Range<usize>,
    /// Weighted sums of probabilities (channel, z, y, x).
    sums: Tensor,
    /// Sums of weights (z, y, x).
    weights: Tensor,
}

impl<'a> Slab<'a> {
    /// An empty buffer.
    fn new(tiling: &'a Tiling, channels: i64, device: Device) -> Result<Self> {
        let [_, y, x] = tiling.size.map(|n| n as i64);
        let empty = |shape: &[i64]| Tensor::f_zeros(shape, (Kind::Float, device));
        Ok(Self { tiling, planes: 0..0, sums: empty(&[channels, 0, y, x])?, weights: empty(&[0, y, x])? })
    }

    /// Adds the probabilities (channel, z, y, x) of the window at `start`.
    fn add(&self, start: [usize; 3], p: &Tensor, weight: &Tensor) -> Result<()> {
        let start = [start[0] - self.planes.start, start[1], start[2]];
        let _ = part(&self.sums, 1, start, self.tiling.window)?.f_addcmul_(p, weight)?;
        let _ = part(&self.weights, 0, start, self.tiling.window)?.f_add_(weight)?;
        Ok(())
    }

    /// Moves to `planes`, which start within the current ones or directly after them. Planes that
    /// leave the buffer are complete: the mean probabilities (z, y, x, channel) of their voxels in
    /// the volume are appended to `p`.
    fn move_to(&mut self, planes: Range<usize>, p: &mut Vec<f32>) -> Result<()> {
        if planes == self.planes {
            return Ok(());
        }
        self.append_means(self.planes.start..planes.start, p)?;
        let left = (planes.start - self.planes.start) as i64;
        self.sums = moved(&self.sums, 1, left, planes.len())?;
        self.weights = moved(&self.weights, 0, left, planes.len())?;
        self.planes = planes;
        Ok(())
    }

    fn append_means(&self, planes: Range<usize>, p: &mut Vec<f32>) -> Result<()> {
        let Tiling { shape, pad, .. } = *self.tiling;
        let (from, to) = (planes.start.max(pad[0]), planes.end.min(pad[0] + shape[0]));
        if from >= to {
            return Ok(());
        }
        let (start, size) = ([from - self.planes.start, pad[1], pad[2]], [to - from, shape[1], shape[2]]);
        let means = part(&self.sums, 1, start, size)?.f_div(&part(&self.weights, 0, start, size)?)?;
        let means = means.f_permute([1, 2, 3, 0])?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let first = p.len();
        p.resize(first + means.numel(), 0.0);
        Ok(means.f_copy_data(&mut p[first..], means.numel())?)
    }
}

/// Drops the first `left` planes along `axis`, and pads with zeros to `planes`.
fn moved(sums: &Tensor, axis: i64, left: i64, planes: usize) -> Result<Tensor> {
    let mut shape = sums.size();
    let held = shape[axis as usize] - left;
    shape[axis as usize] = planes as i64 - held;
    let zeros = Tensor::f_zeros(shape, (Kind::Float, sums.device()))?;
    Ok(Tensor::f_cat(&[sums.f_narrow(axis, left, held)?, zeros], axis)?)
}

/// View of `size` voxels from `start` on, along three axes from `axis` on.
fn part(t: &Tensor, axis: i64, start: [usize; 3], size: [usize; 3]) -> Result<Tensor> {
    let mut view = t.shallow_clone();
    for (i, (start, size)) in start.into_iter().zip(size).enumerate() {
        view = view.f_narrow(axis + i as i64, start as i64, size as i64)?;
    }
    Ok(view)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::unet::NetworkPlan;
    use pdl_volume::{Affine, Orientation, Volume};

    const CLASSES: i64 = 3;
    const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// A case of `shape` (x, y, z), brighter from row to row and plane to plane, so that every
    /// window has its own statistics.
    fn case(shape: [usize; 3]) -> Case {
        let [nx, ny, _] = shape;
        let voxel = |v: usize| (v % 7) as f32 * 0.3 + (v / nx % ny + 2 * (v / (nx * ny))) as f32;
        let affine = Affine::from_orientation(Orientation::RAS, [1.0; 3], shape);
        let n: usize = shape.iter().product();
        let image = Volume::new(Grid::new(shape, affine), (0..n).map(voxel).collect()).unwrap();
        Case::new("a", image, vec![0; n], vec![true; CLASSES as usize])
    }

    fn network(dims: usize) -> (UNet, Weights) {
        let net = UNet::new(NetworkPlan::plain(dims, 4, 2, CLASSES));
        let weights = Weights::new(net.parameters(), 3, Device::Cpu).unwrap();
        (net, weights)
    }

    fn predictor((net, weights): &(UNet, Weights), window: [usize; 3]) -> Predictor<'_> {
        Predictor { net, weights, window, device: Device::Cpu }
    }

    /// Probabilities (N, channel, z, y, x) of images (N, 1, z, y, x) from one forward pass.
    fn one_forward((net, weights): &(UNet, Weights), images: &Tensor) -> Tensor {
        let _no_grad = tch::no_grad_guard();
        let mut shape = images.size();
        let voxels = images.contiguous();
        if net.plan().dims == 2 {
            shape.remove(2);
        }
        let images = memory_format::from_channels_last(&voxels, &shape).unwrap();
        let p = net.forward(weights, &images).unwrap().softmax(1, Kind::Float);
        if net.plan().dims == 2 { p.unsqueeze(2) } else { p }
    }

    /// A case's image (z, y, x), padded evenly with its minimum to at least a window, and its
    /// origin.
    fn padded(case: &Case, window: [usize; 3]) -> (Tensor, [usize; 3]) {
        let missing: [usize; 3] = std::array::from_fn(|axis| window[axis].saturating_sub(case.shape[axis]));
        let around: Vec<i64> =
            missing.iter().rev().flat_map(|n| [n / 2, n - n / 2]).map(|n| n as i64).collect();
        let image = Tensor::from_slice(&case.image).view(case.shape.map(|n| n as i64));
        (image.pad(around, "constant", f64::from(case.padding)), missing.map(|n| n / 2))
    }

    /// Probabilities (z, y, x, channel) in C order as a flat vector.
    fn row(p: &Tensor, start: [usize; 3], shape: [usize; 3]) -> Vec<f32> {
        let p = part(p, 1, start, shape).unwrap().permute([1, 2, 3, 0]).contiguous();
        Vec::try_from(p.view(-1)).unwrap()
    }

    /// Weighted mean of the network's probabilities for every single window.
    fn mean_of_windows(
        network: &(UNet, Weights),
        case: &Case,
        window: [usize; 3],
        starts: [&[usize]; 3],
    ) -> Vec<f32> {
        let (image, pad) = padded(case, window);
        let bell = |side: usize| {
            let from_middle = Tensor::arange(side as i64, FLOAT) - (side as f64 - 1.0) / 2.0;
            (from_middle / (side as f64 / 8.0)).square().neg().divide_scalar(2.0).exp()
        };
        let [z, y, x] = window.map(bell);
        let weight = (z.view([-1, 1, 1]) * y.view([-1, 1]) * x).clamp_min(1e-3);
        let size = image.size();
        let sums = Tensor::zeros([CLASSES, size[0], size[1], size[2]], FLOAT);
        let weights = Tensor::zeros(&size, FLOAT);
        let [zs, ys, xs] = starts;
        for start in zs.iter().flat_map(|&z| ys.iter().flat_map(move |&y| xs.iter().map(move |&x| [z, y, x])))
        {
            let patch = part(&image, 0, start, window).unwrap();
            let p = one_forward(network, &patch.unsqueeze(0).unsqueeze(0)).squeeze_dim(0);
            let _ = part(&sums, 1, start, window).unwrap().g_add_(&(p * &weight));
            let _ = part(&weights, 0, start, window).unwrap().g_add_(&weight);
        }
        row(&(sums / weights), pad, case.shape)
    }

    fn farthest(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn windows_overlap_by_half_or_more() {
        assert_eq!(starts(8, 8), [0]);
        assert_eq!(starts(10, 4), [0, 2, 4, 6]);
        assert_eq!(starts(9, 4), [0, 2, 4, 5]);
        assert_eq!(starts(3, 1), [0, 1, 2]);
    }

    #[test]
    fn windows_cover_every_voxel() {
        for (shape, window) in [
            ([3, 21, 18], [1, 8, 12]),
            ([3, 5, 40], [1, 8, 8]),
            ([9, 5, 17], [4, 8, 6]),
            ([1, 1, 1], [2, 2, 2]),
        ] {
            let tiling = Tiling::new(shape, window);
            let [_, ny, nx] = tiling.size;
            let mut covered = vec![false; tiling.size.iter().product()];
            for [z, y, x] in &tiling.starts {
                for (k, j) in (0..window[0]).flat_map(|k| (0..window[1]).map(move |j| (k, j))) {
                    let first = ((z + k) * ny + y + j) * nx + x;
                    covered[first..first + window[2]].fill(true);
                }
            }
            assert!(covered.iter().all(|covered| *covered), "{shape:?} {window:?}");
        }
    }

    #[test]
    fn planes_are_weighted_as_the_middle_of_volumes() {
        let (plane, volume) = (gaussian([1, 6, 11]), gaussian([5, 6, 11]));
        assert_eq!(plane, volume[2 * 66..3 * 66]);
        assert!(plane.iter().all(|weight| (1e-3..=1.0).contains(weight)));
        assert!(plane[0] < plane[5] && plane[5] < plane[2 * 11 + 5]);
    }

    #[test]
    fn cases_larger_than_the_patch_get_the_mean_of_its_windows() {
        let planes: &[usize] = &[0, 1, 2];
        let all: [(usize, _, _, [&[usize]; 3]); 4] = [
            (2, [1, 8, 12], [21, 18, 3], [planes, &[0, 4, 8, 10], &[0, 6, 9]]),
            (2, [1, 8, 12], [21, 6, 3], [planes, &[0], &[0, 6, 9]]),
            (3, [4, 8, 8], [12, 9, 7], [&[0, 2, 3], &[0, 1], &[0, 4]]),
            (3, [8, 8, 8], [9, 5, 10], [&[0, 2], &[0], &[0, 1]]),
        ];
        for (dims, window, shape, starts) in all {
            let (network, case) = (network(dims), case(shape));
            let expected = mean_of_windows(&network, &case, window, starts);
            for batch in [1, 5, 64] {
                let p = predictor(&network, window).probabilities(&case, batch).unwrap();
                assert!(farthest(&p, &expected) < 1e-5, "{window:?} {shape:?} {batch}");
            }
            let whole = case.shape.map(|side| side.next_multiple_of(2));
            let whole = predictor(&network, [window[0].min(whole[0]), whole[1], whole[2]]);
            let whole = whole.probabilities(&case, 64).unwrap();
            assert!(farthest(&whole, &expected) > 0.01, "other statistics, other probabilities");
        }
    }

    #[test]
    fn planes_no_larger_than_the_patch_are_one_forward_to_the_last_bit() {
        let (network, window) = (network(2), [1, 12, 16]);
        for shape in [[16, 12, 3], [13, 9, 4], [16, 2, 1]] {
            let case = case(shape);
            let (images, [_, top, left]) = padded(&case, window);
            let p = one_forward(&network, &images.unsqueeze(1).unsqueeze(1)); // (z, channel, 1, y, x)
            let expected = row(&p.squeeze_dim(2).transpose(0, 1), [0, top, left], case.shape);
            let p = predictor(&network, window).probabilities(&case, 64).unwrap();
            assert!(p == expected, "{shape:?}: {}", farthest(&p, &expected));
        }
    }

    #[test]
    fn windows_of_padding_are_computed_once_and_nothing_changes() {
        for (dims, window) in [(2, [1, 8, 8]), (3, [4, 8, 8])] {
            let network = network(dims);
            let predictor = predictor(&network, window);
            let mut case = case([24, 20, 10]);
            let is_body = |v: usize| v % 24 < 10 && v / 480 > 5;
            case.image
                .iter_mut()
                .enumerate()
                .filter(|(v, _)| !is_body(*v))
                .for_each(|(_, voxel)| *voxel = -3.0);
            case.padding = -3.0;
            let tiling = Tiling::new(case.shape, window);
            let mut of_padding = None;
            let of_windows = predictor.of_windows(&case, &tiling, &tiling.starts, &mut of_padding).unwrap();
            let kept = of_padding.unwrap();
            let same = of_windows.iter().filter(|p| p.data_ptr() == kept.data_ptr()).count();
            assert_eq!(of_windows.len(), tiling.starts.len());
            assert!(same > tiling.starts.len() / 3 && same < tiling.starts.len(), "{same}");
            let skipping = predictor.probabilities(&case, 64).unwrap();
            // Disables the shortcut for windows of padding: no window has this value.
            case.padding = f32::MIN;
            let all = predictor.probabilities(&case, 64).unwrap();
            // libtorch rounds differently if the batch size differs.
            assert!(farthest(&skipping, &all) < 1e-5, "{}", farthest(&skipping, &all));
            let of_padding = predictor.forward(&vec![-3.0; window.iter().product()]).unwrap();
            assert!(of_padding[0].equal(&kept));
        }
    }

    #[test]
    fn every_voxel_of_the_original_grid_gets_a_channel() {
        for (dims, window) in [(2, [1, 8, 8]), (3, [8, 8, 8])] {
            let network = network(dims);
            let predictor = predictor(&network, window);
            let case = case([9, 5, 10]); // x, y, z: longer and shorter than the windows
            let same = predictor.channels(&case, &case.grid).unwrap();
            assert_eq!(same.len(), 9 * 5 * 10);
            assert_eq!(predictor.channels(&case, &case.grid.resized([12, 6, 3])).unwrap().len(), 12 * 6 * 3);
            assert!(same.iter().all(|&channel| i64::from(channel) < CLASSES));
        }
    }

    #[test]
    fn a_part_of_the_grid_is_predicted_there_and_background_elsewhere() {
        let network = network(2);
        let predictor = predictor(&network, [1, 8, 8]);
        let shape = [12, 9, 14];
        let whole = Grid::new(shape, Affine::from_orientation(Orientation::RAS, [0.7, 1.1, 2.5], shape));
        let part = VoxelBox { start: [2, 3, 1], shape: [7, 5, 10] };
        let mut case = case([9, 5, 10]);
        case.grid = part.of_grid(&whole).resized([9, 5, 10]);
        let inside = predictor.in_box(&case, [10, 5, 7]).unwrap();
        assert!(inside.iter().any(|&channel| channel > 0), "the network says something");
        assert_eq!(predictor.channels(&case, &whole).unwrap(), part.put_back(inside, shape, 0));
        let elsewhere = Grid::new(shape, whole.affine.rescaled([1.0; 3], [0.4, 0.0, 0.0]));
        assert!(predictor.channels(&case, &elsewhere).is_err());
    }
}
