//! Resampling of probabilities: the channel of every voxel of another grid in the same box.
//!
//! Probabilities are interpolated linearly between voxel centres (half-voxel shifts), constant
//! beyond the outermost, as PyTorch's `interpolate(mode="trilinear", align_corners=False)`, and
//! then compared. If all eight neighbours give one channel more than one half, so does their mean:
//! there the interpolation is skipped.

use std::collections::VecDeque;

use rayon::prelude::*;

use crate::data::regions::{RegionOutput, channel_of};

/// Marks a voxel whose highest probability is at most one half. A channel with this number is
/// interpolated everywhere.
const UNSURE: u8 = u8::MAX;

/// Position of a voxel on another axis: two neighbours, and the weight of the second.
#[derive(Debug)]
struct Place {
    below: usize,
    above: usize,
    share: f32,
}

/// How the channel of a voxel follows from the probabilities of its outputs.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'a> {
    /// The most probable label of this number, background included; the first in a tie.
    MostProbable(usize),
    /// The last region with a probability of more than one half, background if there is none.
    LastRegion(&'a [RegionOutput]),
}

impl Decision<'_> {
    /// Number of outputs of the network.
    fn outputs(self) -> usize {
        match self {
            Self::MostProbable(labels) => labels,
            Self::LastRegion(regions) => regions.len(),
        }
    }

    /// Channel of a voxel by the probability of each output.
    pub fn channel(self, p: &[f32]) -> u8 {
        match self {
            Self::MostProbable(_) => highest(p),
            Self::LastRegion(regions) => channel_of(p, regions),
        }
    }

    /// The channel of a voxel, if the mean of voxels that all have it has it as well: with more
    /// than one half for a label. Where all are in the same last region, their mean is above one
    /// half for that region, and not for any later one.
    fn sure_channel(self, p: &[f32]) -> u8 {
        match self {
            Self::MostProbable(_) => sure_channel(p),
            Self::LastRegion(regions) => channel_of(p, regions),
        }
    }
}

/// Decides on the channel of every voxel of another grid while the planes of probabilities arrive
/// one after another, of which it holds the few that it needs.
#[derive(Debug)]
pub struct PlaneResampler<'a> {
    decision: Decision<'a>,
    /// Voxels along z, y, x of the grid of the probabilities, and of the other.
    from: [usize; 3],
    to: [usize; 3],
    /// Places of the other grid's voxels along z, y, x.
    places: [Vec<Place>; 3],
    /// The last planes, with the number of the first.
    held: VecDeque<Plane>,
    first: usize,
    found: Vec<u8>,
}

/// Probabilities (y, x, output) of a plane, and the channel of each voxel (y, x) that neighbours
/// with the same one do not change.
#[derive(Debug)]
struct Plane {
    p: Vec<f32>,
    sure: Vec<u8>,
}

impl<'a> PlaneResampler<'a> {
    /// For planes of a grid of shape `from` (z, y, x), with at most 256 outputs, to a grid of shape
    /// `to` (z, y, x) in the same box.
    pub fn new(decision: Decision<'a>, from: [usize; 3], to: [usize; 3]) -> Self {
        let places = std::array::from_fn(|axis| places(from[axis], to[axis]));
        let found = Vec::with_capacity(to.iter().product());
        Self { decision, from, to, places, held: VecDeque::new(), first: 0, found }
    }

    /// Takes the probabilities (y, x, output) of the next plane in C order.
    pub fn push(&mut self, p: Vec<f32>) {
        let decision = self.decision;
        let sure = p.par_chunks(decision.outputs()).map(|p| decision.sure_channel(p)).collect();
        self.held.push_back(Plane { p, sure });
        while let Some(z) = self.next_place()
            && let Some(above) = z.above.checked_sub(self.first).and_then(|at| self.held.get(at))
            && let Some(below) = z.below.checked_sub(self.first).and_then(|at| self.held.get(at))
        {
            let plane = self.plane(z, [below, above]);
            self.found.extend(plane);
        }
        let needed = self.next_place().map_or(self.from[0], |z| z.below);
        while self.first < needed && self.held.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// Channel of every voxel (z, y, x) in C order, once all planes are there.
    pub fn finish(self) -> Vec<u8> {
        self.found
    }

    /// Place of the next plane of the other grid; `None` after the last.
    fn next_place(&self) -> Option<&Place> {
        self.places[0].get(self.found.len() / (self.to[1] * self.to[2]).max(1))
    }

    /// Channels (y, x) of a plane of the other grid between two planes.
    fn plane(&self, z: &Place, planes: [&Plane; 2]) -> Vec<u8> {
        let (width, [_, ys, xs]) = (self.from[2], &self.places);
        let outputs = self.decision.outputs();
        let mut plane = vec![0; self.to[1] * self.to[2]];
        plane.par_chunks_mut(self.to[2].max(1)).zip(ys).for_each(|(line, y)| {
            let mut sums = vec![0.0; outputs];
            let [below, above] = [y.below * width, y.above * width];
            let rows = [(planes[0], below), (planes[0], above), (planes[1], below), (planes[1], above)];
            for (channel, x) in line.iter_mut().zip(xs) {
                let first = rows[0].0.sure[rows[0].1 + x.below];
                let agree = |(plane, row): &(&Plane, usize)| {
                    plane.sure[row + x.below] == first && plane.sure[row + x.above] == first
                };
                *channel = if first != UNSURE && rows.iter().all(agree) {
                    first
                } else {
                    let rows = rows.map(|(plane, row)| &plane.p[row * outputs..]);
                    interpolate(rows, [z, y, x], &mut sums);
                    self.decision.channel(&sums)
                };
            }
        });
        plane
    }
}

/// `of_voxel` of the probabilities of every voxel of a grid of shape `to` (z, y, x), in C order,
/// from the probabilities `p` (z, y, x, channel) in C order of a grid of shape `from` (z, y, x) in
/// the same box.
pub fn interpolated<T: Copy + Default + Send>(
    p: &[f32],
    channels: usize,
    from: [usize; 3],
    to: [usize; 3],
    of_voxel: impl Fn(&[f32]) -> T + Sync,
) -> Vec<T> {
    let [zs, ys, xs]: [Vec<Place>; 3] = std::array::from_fn(|axis| places(from[axis], to[axis]));
    let row = |y: usize, z: usize| &p[(z * from[1] + y) * from[2] * channels..];
    let mut found = vec![T::default(); to.iter().product()];
    found.par_chunks_mut((to[1] * to[2]).max(1)).zip(&zs).for_each(|(plane, z)| {
        let mut sums = vec![0.0; channels];
        for (line, y) in plane.chunks_mut(to[2]).zip(&ys) {
            let rows =
                [row(y.below, z.below), row(y.above, z.below), row(y.below, z.above), row(y.above, z.above)];
            for (value, x) in line.iter_mut().zip(&xs) {
                interpolate(rows, [z, y, x], &mut sums);
                *value = of_voxel(&sums);
            }
        }
    });
    found
}

/// Adds the weighted probabilities of the eight neighbours of a position to `sums` (channel).
///
/// `rows` are the rows (x, channel) below and above the position along y, below and then above it
/// along z.
fn interpolate(rows: [&[f32]; 4], [z, y, x]: [&Place; 3], sums: &mut [f32]) {
    sums.fill(0.0);
    let weights = |place: &Place| [1.0 - place.share, place.share];
    let ([z0, z1], [y0, y1]) = (weights(z), weights(y));
    for (row, of_row) in rows.into_iter().zip([z0 * y0, z0 * y1, z1 * y0, z1 * y1]) {
        for (at, weight) in [x.below, x.above].into_iter().zip(weights(x)) {
            let voxel = &row[at * sums.len()..];
            sums.iter_mut().zip(voxel).for_each(|(sum, p)| *sum += of_row * weight * p);
        }
    }
}

fn sure_channel(p: &[f32]) -> u8 {
    let channel = highest(p);
    if p[usize::from(channel)] > 0.5 { channel } else { UNSURE }
}

/// Index of the first maximum.
fn highest(p: &[f32]) -> u8 {
    let better = |best: usize, at: usize| if p[at] > p[best] { at } else { best };
    (1..p.len()).fold(0, better) as u8
}

fn places(from: usize, to: usize) -> Vec<Place> {
    let last = from - 1;
    let place = |at: usize| {
        let at = ((at as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, last as f64);
        let below = at.floor() as usize;
        let share = at.fract() as f32;
        Place { below, above: if share > 0.0 { (below + 1).min(last) } else { below }, share }
    };
    (0..to).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    /// PyTorch's interpolation and the most probable channel; `None` for a near tie.
    fn by_libtorch(p: &Tensor, to: [usize; 3]) -> Vec<Option<u8>> {
        let whole = p.permute([3, 0, 1, 2]).unsqueeze(0).upsample_trilinear3d(
            to.map(|n| n as i64),
            false,
            None,
            None,
            None,
        );
        let (values, channels) = whole.topk(2, 1, true, true);
        let clear = (values.narrow(1, 0, 1) - values.narrow(1, 1, 1)).gt(1e-5).flatten(0, -1);
        let channels = channels.narrow(1, 0, 1).flatten(0, -1);
        let (clear, channels): (Vec<bool>, Vec<i64>) =
            (Vec::try_from(clear).unwrap(), Vec::try_from(channels).unwrap());
        clear.into_iter().zip(channels).map(|(clear, channel)| clear.then_some(channel as u8)).collect()
    }

    #[test]
    fn interpolated_probabilities_are_those_of_libtorch() {
        tch::manual_seed(2);
        let p = Tensor::rand([4, 6, 5, 3], (Kind::Float, Device::Cpu));
        let values: Vec<f32> = Vec::try_from(p.flatten(0, -1)).unwrap();
        for to in [[4, 6, 5], [9, 13, 8], [2, 3, 5], [1, 1, 1]] {
            let whole = p.permute([3, 0, 1, 2]).unsqueeze(0);
            let whole = whole.upsample_trilinear3d(to.map(|n| n as i64), false, None, None, None);
            let expected: Vec<f32> = Vec::try_from(whole.permute([0, 2, 3, 4, 1]).flatten(0, -1)).unwrap();
            let found = interpolated(&values, 3, [4, 6, 5], to, |p| [p[0], p[1], p[2]]);
            let found = found.iter().flatten();
            assert!(found.zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{to:?}");
        }
    }

    #[test]
    fn is_what_libtorch_finds() {
        tch::manual_seed(1);
        let from = [4, 6, 5];
        for sharpness in [0.3, 3.0, 30.0] {
            let logits = Tensor::randn([4, 6, 5, 3], (Kind::Float, Device::Cpu)) * sharpness;
            let p = logits.softmax(-1, Kind::Float);
            let values: Vec<f32> = Vec::try_from(p.flatten(0, -1)).unwrap();
            for to in [[4, 6, 5], [9, 13, 8], [2, 3, 5], [4, 11, 2], [1, 1, 1]] {
                let expected = by_libtorch(&p, to);
                let mut resampler = PlaneResampler::new(Decision::MostProbable(3), from, to);
                for plane in values.chunks_exact(6 * 5 * 3) {
                    resampler.push(plane.to_vec());
                    assert!(resampler.held.len() <= 2, "only what is needed is held");
                }
                let found = resampler.finish();
                assert_eq!(found.len(), expected.len());
                assert!(expected.iter().flatten().count() > expected.len() / 2, "most voxels are clear");
                let same = |(found, expected): (&u8, &Option<u8>)| expected.is_none_or(|e| e == *found);
                assert!(found.iter().zip(&expected).all(same), "{sharpness} {to:?}");
            }
        }
    }
}
