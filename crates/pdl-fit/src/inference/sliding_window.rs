//! Sliding-window inference: probabilities of whole cases from windows of the patch size, and their
//! Dice on the original grid.
//!
//! Instance norm uses the statistics of its input, so a network is accurate on the field of view of
//! its training and not on larger ones. Windows overlap by half along every axis that is longer
//! than they are, in planes as in volumes. Their average has Gaussian weights, as predictions are
//! less accurate near the faces of a window (nnU-Net).

use pdl_volume::{Grid, VoxelBox};
use tch::{Kind, Tensor};

use crate::data::case::{Case, CasePart};
use crate::data::dataset::EvalCase;
use crate::data::patch::{append_interleaved, copy_block};
use crate::data::regions::RegionOutput;
use crate::error::{FitError, Result};
use crate::inference::resample::{Decision, PlaneResampler};
use crate::inference::slab::Slab;
use crate::inference::tiling::Tiling;
use crate::model::device::ComputeDevice;
use crate::model::memory_format;
use crate::model::unet::UNet;
use crate::model::weights::Weights;
use pdl_metrics::dice::{self, CohortDice};

/// Largest number of voxels of a batch of windows; a larger window is its own batch.
const BATCH_VOXELS: usize = 131_072;
/// Bytes of float32 sums from which on they have half precision: a sum of eight windows is exact to
/// about 0.002, so that labels change only where two are almost equally probable.
const LARGE_SLAB: u64 = 2 << 30;

/// Sliding-window inference on whole cases.
#[derive(Debug)]
pub struct SlidingWindow<'a> {
    /// Architecture.
    pub net: &'a UNet,
    /// Weights, usually the EMA.
    pub weights: &'a Weights,
    /// The regions of the outputs; empty if the network learns labels.
    pub regions: &'a [RegionOutput],
    /// Window size (z, y, x) in voxels: the patch size of the network's last training step; z is 1
    /// for planes.
    pub window: [usize; 3],
    /// Device of the weights.
    pub device: ComputeDevice,
}

impl SlidingWindow<'_> {
    /// Dice of validation or test cases, on their original grids.
    ///
    /// # Errors
    /// [`crate::FitError::Torch`] if libtorch fails.
    pub fn dice(&self, cases: &[EvalCase]) -> Result<CohortDice> {
        let of_case = |held_out: &EvalCase| {
            let prediction = self.channels(&held_out.case, &held_out.stored.to_ras())?;
            let (truth, annotated) = (&held_out.truth()?, &held_out.case.annotated);
            Ok(match self.regions {
                [] => dice::per_label(&prediction, truth, annotated),
                regions => {
                    let unions: Vec<_> = regions.iter().map(RegionOutput::union).collect();
                    dice::per_region(&prediction, truth, annotated, &unions)
                }
            })
        };
        let all = cases.iter().map(of_case).collect::<Result<Vec<_>>>()?;
        let structures = match self.regions {
            [] => self.net.plan().classes as usize - 1,
            regions => regions.len(),
        };
        Ok(CohortDice::of(all, structures))
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
        let part = case.whole()?;
        let mut resampler = PlaneResampler::new(self.decision(), case.shape, shape);
        let mut planes = self.planes(case, &part)?;
        while let Some(plane) = planes.next_plane()? {
            resampler.push(plane);
        }
        Ok(resampler.finish())
    }

    /// How channels follow from the network's outputs.
    fn decision(&self) -> Decision<'_> {
        match self.regions {
            [] => Decision::MostProbable(self.net.plan().classes as usize),
            regions => Decision::LastRegion(regions),
        }
    }

    /// Probabilities (z, y, x, channel) of all voxels of a case in C order.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails, [`FitError::Store`] if the voxels cannot be read.
    pub fn mean_probabilities(&self, case: &Case) -> Result<Vec<f32>> {
        let whole = case.whole()?;
        let mut planes = self.planes(case, &whole)?;
        let mut p =
            Vec::with_capacity(case.shape.iter().product::<usize>() * self.net.plan().classes as usize);
        while let Some(plane) = planes.next_plane()? {
            p.extend(plane);
        }
        Ok(p)
    }

    /// Probabilities of a case, plane by plane; `whole` has all its voxels.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub fn planes<'b>(&'b self, case: &'b Case, whole: &'b CasePart<'_>) -> Result<ProbabilityPlanes<'b>> {
        self.planes_by(case, whole, self.batch(), self.sums_kind(case.shape))
    }

    /// Windows of a batch.
    fn batch(&self) -> usize {
        (BATCH_VOXELS / self.window.iter().product::<usize>()).max(1)
    }

    /// Like [`SlidingWindow::planes`], from `batch` windows at a time that are summed as `kind`.
    fn planes_by<'b>(
        &'b self,
        case: &'b Case,
        whole: &'b CasePart<'_>,
        batch: usize,
        kind: Kind,
    ) -> Result<ProbabilityPlanes<'b>> {
        let tiling = Tiling::new(case.shape, self.window);
        let weight = tiling.weight(self.device)?;
        let slab = Slab::new(self.net.plan().classes, kind, self.device);
        let of_padding = None;
        Ok(ProbabilityPlanes {
            windows: Windows { predictor: self, padding: &case.padding, whole },
            tiling,
            weight,
            slab,
            of_padding,
            batch,
            next: 0,
        })
    }

    /// Number format of the sums of probabilities for a case of `shape` (z, y, x).
    fn sums_kind(&self, shape: [usize; 3]) -> Kind {
        let tiling = Tiling::new(shape, self.window);
        let large =
            tiling.slab_voxels(self.batch()).saturating_mul(self.net.plan().classes as u64 * 4) > LARGE_SLAB;
        if large { Kind::Half } else { Kind::Float }
    }

    /// Estimated bytes that the prediction of a case of `shape` (z, y, x) takes beside its image,
    /// for a grid of `voxels` voxels.
    pub fn bytes(&self, shape: [usize; 3], voxels: u64) -> u64 {
        let (tiling, classes) = (Tiling::new(shape, self.window), self.net.plan().classes as u64);
        let of_sum = if self.sums_kind(shape) == Kind::Half { 2 } else { 4 };
        let plane = (shape[1] * shape[2]) as u64;
        let windows = (BATCH_VOXELS.max(self.window.iter().product()) as u64).saturating_mul(classes);
        let sums = tiling.slab_voxels(self.batch()).saturating_mul(classes * of_sum + 4);
        // Two planes of probabilities that are interpolated, one that is being made, and its parts;
        // logits and probabilities of a batch.
        let beside = plane.saturating_mul(classes * 4 * 4).saturating_add(windows.saturating_mul(4 * 3));
        sums.saturating_add(beside).saturating_add(voxels)
    }

    /// Probabilities (channel, z, y, x) of windows, whose voxels (z, y, x, input) are concatenated.
    fn forward(&self, voxels: &[f32]) -> Result<Vec<Tensor>> {
        if voxels.is_empty() {
            return Ok(Vec::new());
        }
        let _no_grad = tch::no_grad_guard();
        let (sides, inputs) = (self.window.map(|n| n as i64), self.net.plan().inputs);
        let count = voxels.len() as i64 / (inputs * sides.iter().product::<i64>());
        let shape: Vec<i64> =
            [count, inputs].into_iter().chain(sides[3 - self.net.plan().dims..].iter().copied()).collect();
        let voxels = self.device.upload(&Tensor::f_from_slice(voxels)?)?;
        let images = memory_format::from_channels_last(&voxels, &shape)?;
        let logits = self.net.forward(self.weights, &images)?;
        let p = match self.regions {
            [] => logits.f_softmax(1, Kind::Float)?,
            _ => logits.f_to_kind(Kind::Float)?.f_sigmoid()?,
        };
        let [z, y, x] = sides;
        Ok(p.f_reshape([count, -1, z, y, x])?.f_unbind(0)?)
    }
}

/// The windows of a case.
#[derive(Debug)]
struct Windows<'a> {
    predictor: &'a SlidingWindow<'a>,
    /// Value outside the image of each input.
    padding: &'a [f32],
    whole: &'a CasePart<'a>,
}

impl Windows<'_> {
    /// Probabilities (channel, z, y, x) of the windows at `starts`, in their order.
    ///
    /// Windows that contain the case's padding values only have equal probabilities, which are
    /// computed once per case and stored in `of_padding`.
    fn probabilities(
        &self,
        tiling: &Tiling,
        starts: &[[usize; 3]],
        of_padding: &mut Option<Tensor>,
    ) -> Result<Vec<Tensor>> {
        let (inputs, voxels_each) = (self.padding.len(), tiling.window.iter().product::<usize>());
        let mut voxels: Vec<f32> = Vec::with_capacity(starts.len() * voxels_each * inputs);
        let mut window: Vec<f32> = Vec::with_capacity(voxels_each * inputs);
        let mut is_padding = Vec::with_capacity(starts.len());
        for start in starts {
            window.clear();
            for (image, padding) in self.whole.images().zip(self.padding) {
                let (shape, origin) = (tiling.shape, tiling.origin(*start));
                copy_block(image, shape, origin, tiling.window, *padding, |v| window.push(v));
            }
            let of_inputs = || window.chunks_exact(voxels_each).zip(self.padding);
            let padding_alone = of_inputs().all(|(image, padding)| image.iter().all(|v| v == padding));
            if !padding_alone {
                append_interleaved(&window, inputs, &mut voxels);
            }
            is_padding.push(padding_alone);
        }
        if of_padding.is_none() && is_padding.contains(&true) {
            *of_padding = self.predictor.forward(&self.padding.repeat(voxels_each))?.pop();
        }
        let mut others = self.predictor.forward(&voxels)?.into_iter();
        let of_window = |&padding_alone: &bool| match padding_alone {
            true => of_padding.as_ref().map(Tensor::shallow_clone),
            false => others.next(),
        };
        Ok(is_padding.iter().filter_map(of_window).collect())
    }
}

/// Probabilities of a case, plane by plane along z. In memory are the planes that windows still
/// overlap.
#[derive(Debug)]
pub struct ProbabilityPlanes<'a> {
    windows: Windows<'a>,
    tiling: Tiling,
    /// Weight (z, y, x) of a window's voxels.
    weight: Tensor,
    slab: Slab,
    of_padding: Option<Tensor>,
    /// Windows at a time.
    batch: usize,
    /// Number of the next window.
    next: usize,
}

impl ProbabilityPlanes<'_> {
    /// Mean probabilities (y, x, channel) of the next plane in C order; `None` after the last.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub fn next_plane(&mut self) -> Result<Option<Vec<f32>>> {
        let _no_grad = tch::no_grad_guard();
        loop {
            let first = self.slab.first;
            // No window to come reaches a plane before the next window's first.
            let complete = self.tiling.starts.get(self.next).map_or(self.tiling.size[0], |start| start[0]);
            if first < complete {
                let Some(sums) = self.slab.pop() else { return Ok(None) };
                let inside = (self.tiling.pad[0]..self.tiling.pad[0] + self.tiling.shape[0]).contains(&first);
                let means = inside.then(|| sums.means(&self.tiling)).transpose()?;
                self.slab.take_back(sums);
                if means.is_some() {
                    return Ok(means);
                }
                continue;
            }
            if self.next == self.tiling.starts.len() {
                return Ok(None);
            }
            self.add_windows()?;
        }
    }

    /// Adds the next windows to the slab.
    fn add_windows(&mut self) -> Result<()> {
        let Self { windows, tiling, weight, slab, of_padding, batch, next } = self;
        let starts = &tiling.starts[*next..(*next + *batch).min(tiling.starts.len())];
        slab.reach(starts.last().map_or(0, |last| last[0] + tiling.window[0]), tiling)?;
        let of_windows = windows.probabilities(tiling, starts, of_padding)?;
        for (start, of_window) in starts.iter().zip(&of_windows) {
            slab.add(*start, tiling, of_window, weight)?;
        }
        *next += starts.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::inference::slab::part;
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
        let weights = Weights::new(net.parameters(), 3, ComputeDevice::CPU).unwrap();
        (net, weights)
    }

    /// Probabilities (z, y, x, channel) of a case, from `batch` windows at a time.
    fn probabilities(predictor: &SlidingWindow<'_>, case: &Case, batch: usize) -> Vec<f32> {
        of_kind(predictor, case, batch, Kind::Float)
    }

    fn of_kind(predictor: &SlidingWindow<'_>, case: &Case, batch: usize, kind: Kind) -> Vec<f32> {
        let whole = case.whole().unwrap();
        let mut planes = predictor.planes_by(case, &whole, batch, kind).unwrap();
        let mut p = Vec::new();
        while let Some(plane) = planes.next_plane().unwrap() {
            let most = predictor.window[0] + batch.max(predictor.window[0]);
            assert!(planes.slab.held() < most, "few planes are in memory at a time");
            p.extend(plane);
        }
        p
    }

    fn predictor((net, weights): &(UNet, Weights), window: [usize; 3]) -> SlidingWindow<'_> {
        SlidingWindow { net, weights, regions: &[], window, device: ComputeDevice::CPU }
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
        let image = Tensor::from_slice(&case.whole().unwrap().image).view(case.shape.map(|n| n as i64));
        (image.pad(around, "constant", f64::from(case.padding[0])), missing.map(|n| n / 2))
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
                let p = probabilities(&predictor(&network, window), &case, batch);
                assert!(farthest(&p, &expected) < 1e-5, "{window:?} {shape:?} {batch}");
            }
            let whole = case.shape.map(|side| side.next_multiple_of(2));
            let whole = predictor(&network, [window[0].min(whole[0]), whole[1], whole[2]]);
            let whole = probabilities(&whole, &case, 64);
            assert!(farthest(&whole, &expected) > 0.01, "other statistics, other probabilities");
        }
    }

    #[test]
    fn planes_no_larger_than_the_patch_are_one_forward_to_the_last_bit() {
        let (network, window) = (network(2), [1, 12, 16]);
        for shape in [[16, 12, 3], [13, 9, 4], [16, 2, 1]] {
            let case = case(shape);
            let (images, [_, top, left]) = padded(&case, window);
            // (z, channel, 1, y, x)
            let p = one_forward(&network, &images.unsqueeze(1).unsqueeze(1));
            let expected = row(&p.squeeze_dim(2).transpose(0, 1), [0, top, left], case.shape);
            let p = probabilities(&predictor(&network, window), &case, 64);
            assert!(p == expected, "{shape:?}: {}", farthest(&p, &expected));
        }
    }

    #[test]
    fn windows_of_padding_are_computed_once_and_nothing_changes() {
        for (dims, window) in [(2, [1, 8, 8]), (3, [4, 8, 8])] {
            let network = network(dims);
            let predictor = predictor(&network, window);
            let is_body = |v: usize| v % 24 < 10 && v / 480 > 5;
            let case = case([24, 20, 10]).with_image(vec![-3.0], |image| {
                let others = image.iter_mut().enumerate().filter(|(v, _)| !is_body(*v));
                others.for_each(|(_, voxel)| *voxel = -3.0);
            });
            let tiling = Tiling::new(case.shape, window);
            let mut of_padding = None;
            let whole = case.whole().unwrap();
            let windows = Windows { predictor: &predictor, padding: &case.padding, whole: &whole };
            let of_windows = windows.probabilities(&tiling, &tiling.starts, &mut of_padding).unwrap();
            let kept = of_padding.unwrap();
            let same = of_windows.iter().filter(|p| p.data_ptr() == kept.data_ptr()).count();
            assert_eq!(of_windows.len(), tiling.starts.len());
            assert!(same > tiling.starts.len() / 3 && same < tiling.starts.len(), "{same}");
            let skipping = probabilities(&predictor, &case, 64);
            // Disables the shortcut for windows of padding: no window has this value.
            let case = case.clone().with_image(vec![f32::MIN], |_| {});
            let all = probabilities(&predictor, &case, 64);
            // libtorch rounds differently if the batch size differs.
            assert!(farthest(&skipping, &all) < 1e-5, "{}", farthest(&skipping, &all));
            let of_padding = predictor.forward(&vec![-3.0; window.iter().product()]).unwrap();
            assert!(of_padding[0].equal(&kept));
        }
    }

    #[test]
    fn sums_of_half_precision_give_the_same_labels_but_where_two_are_almost_equal() {
        let (network, window) = (network(3), [4, 8, 8]);
        let (predictor, case) = (predictor(&network, window), case([21, 18, 11]));
        assert_eq!(predictor.sums_kind(case.shape), Kind::Float);
        let large = SlidingWindow { window: [64, 128, 128], ..predictor };
        assert_eq!(large.sums_kind([700, 2048, 2048]), Kind::Half);
        let exact = probabilities(&predictor, &case, 5);
        let half = of_kind(&predictor, &case, 5, Kind::Half);
        assert!(farthest(&exact, &half) < 2e-3, "{}", farthest(&exact, &half));
        for (exact, half) in exact.chunks(3).zip(half.chunks(3)) {
            let first = |p: &[f32]| (0..3).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap();
            let (best, other) = (first(exact), first(half));
            assert!(best == other || exact[best] - exact[other] < 4e-3);
        }
    }

    #[test]
    fn all_inputs_reach_the_network() {
        let net = UNet::new(NetworkPlan { inputs: 2, ..NetworkPlan::plain(3, 4, 2, CLASSES) });
        let network = (net, Weights::new(net.parameters(), 3, ComputeDevice::CPU).unwrap());
        let window = [4, 8, 8];
        let grid = case([8, 8, 4]).grid;
        let image = |scale: f32| {
            Volume::new(grid, (0..256).map(|v| (v % 11) as f32 * scale).collect::<Vec<f32>>()).unwrap()
        };
        let both = Case::unlabelled("a", image(1.0), &[image(-0.5)]);
        let images = Tensor::from_slice(&both.whole().unwrap().image).view([1, 2, 4, 8, 8]);
        let voxels = images.permute([0, 2, 3, 4, 1]).contiguous();
        let images = memory_format::from_channels_last(&voxels, &[1, 2, 4, 8, 8]).unwrap();
        let _no_grad = tch::no_grad_guard();
        let p = network.0.forward(&network.1, &images).unwrap().softmax(1, Kind::Float).squeeze_dim(0);
        let found = probabilities(&predictor(&network, window), &both, 64);
        assert!(farthest(&found, &row(&p, [0; 3], both.shape)) < 1e-5);
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
