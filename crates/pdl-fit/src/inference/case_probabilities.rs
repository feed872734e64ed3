//! Probabilities of one case, and what is read from them on the original grid: the most probable
//! label, maps of single labels, and the entropy.

use pdl_volume::{Grid, VoxelBox};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::regions::RegionOutput;
use crate::inference::resample::{self, Decision, PlaneResampler};

/// Smallest probability of any label at which a voxel counts for the uncertainty of a case.
pub const PLAUSIBLE: f32 = 0.05;

/// Probabilities of one case on its prepared grid.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseProbabilities {
    /// Probabilities (z, y, x, output) in C order.
    pub p: Vec<f32>,
    /// Number of outputs of the network: labels, background included, or regions.
    pub outputs: usize,
    /// The regions of the outputs; empty if the network learns labels.
    pub regions: Vec<RegionOutput>,
    /// Voxels of the prepared grid along z, y, x.
    pub shape: [usize; 3],
    /// The part of the original grid that was prepared; beyond it everything is background.
    pub part: VoxelBox,
    /// The original grid in RAS+ orientation.
    pub whole: Grid,
}

/// How unsure the networks are of a case.
///
/// The entropy of a voxel is `-sum p ln p / ln C` over the `C` channels, background included: 0
/// where one channel is certain, 1 where all are equally probable. Of regions, which may overlap,
/// it is the mean of the entropies of being inside or outside of each.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Uncertainty {
    /// Mean entropy of the voxels in which some label has a probability of 0.05 or more together; 0
    /// without such voxels. Use this to compare cases: certain background does not dilute it.
    pub plausible: f64,
    /// Mean entropy of all voxels of the image.
    pub whole: f64,
}

impl CaseProbabilities {
    /// Most probable channel of every voxel (z, y, x) of the original RAS+ grid; for regions the
    /// channel of the last one with a probability above one half.
    pub fn most_probable(&self) -> Vec<u8> {
        let decision = match self.regions.as_slice() {
            [] => Decision::MostProbable(self.outputs),
            regions => Decision::LastRegion(regions),
        };
        let mut resampler = PlaneResampler::new(decision, self.shape, self.part_zyx());
        let [_, ny, nx] = self.shape;
        self.p.chunks(ny * nx * self.outputs).for_each(|plane| resampler.push(plane.to_vec()));
        self.part.put_back(resampler.finish(), self.whole.shape, 0)
    }

    /// Probability of a label or region, by its place from 0, in every voxel (z, y, x) of the
    /// original RAS+ grid.
    pub fn of_structure(&self, structure: usize) -> Vec<f32> {
        let output = if self.regions.is_empty() { structure + 1 } else { structure };
        let one: Vec<f32> = self.p.chunks_exact(self.outputs).map(|voxel| voxel[output]).collect();
        let found = resample::interpolated(&one, 1, self.shape, self.part_zyx(), |p| p[0]);
        self.part.put_back(found, self.whole.shape, 0.0)
    }

    /// Entropy of every voxel (z, y, x) of the original RAS+ grid, and its means over the case.
    pub fn entropy(&self) -> (Vec<f32>, Uncertainty) {
        let of_voxel = |p: &[f32]| match self.regions.is_empty() {
            true => (entropy(p), 1.0 - p[0] >= PLAUSIBLE),
            false => (entropy_of_regions(p), p.iter().any(|p| *p >= PLAUSIBLE)),
        };
        let found = resample::interpolated(&self.p, self.outputs, self.shape, self.part_zyx(), of_voxel);
        let (mut sum, mut plausible, mut count) = (0.0, 0.0, 0_u64);
        for (entropy, is_plausible) in &found {
            sum += f64::from(*entropy);
            plausible += if *is_plausible { f64::from(*entropy) } else { 0.0 };
            count += u64::from(*is_plausible);
        }
        let uncertainty = Uncertainty {
            plausible: if count > 0 { plausible / count as f64 } else { 0.0 },
            whole: sum / self.whole.len().max(1) as f64,
        };
        let values = found.into_iter().map(|(entropy, _)| entropy).collect();
        (self.part.put_back(values, self.whole.shape, 0.0), uncertainty)
    }

    /// Voxels of the prepared part of the original grid along z, y, x.
    fn part_zyx(&self) -> [usize; 3] {
        let [x, y, z] = self.part.shape;
        [z, y, x]
    }
}

/// Shannon entropy of the probabilities of one voxel as a fraction of its maximum, from 0 to 1.
fn entropy(p: &[f32]) -> f32 {
    let sum: f32 = p.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum();
    (-sum / (p.len().max(2) as f32).ln()).clamp(0.0, 1.0)
}

/// Mean entropy of being inside or outside of each region, from 0 to 1.
fn entropy_of_regions(p: &[f32]) -> f32 {
    p.iter().map(|p| entropy(&[*p, 1.0 - p])).sum::<f32>() / p.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Orientation};

    #[test]
    fn entropy_is_none_for_what_is_certain_and_one_for_what_is_open() {
        assert_eq!(entropy(&[1.0, 0.0, 0.0]), 0.0);
        assert!((entropy(&[1.0 / 3.0; 3]) - 1.0).abs() < 1e-6);
        // scipy.stats.entropy([0.7, 0.2, 0.1]) / numpy.log(3)
        assert!((entropy(&[0.7, 0.2, 0.1]) - 0.729_846_7).abs() < 1e-6);
    }

    #[test]
    fn maps_lie_where_the_prepared_part_does() {
        let shape = [4, 3, 2];
        let whole = Grid::new(shape, Affine::from_orientation(Orientation::RAS, [1.0, 2.0, 3.0], shape));
        let part = VoxelBox { start: [1, 1, 0], shape: [2, 1, 2] };
        // Four voxels (z, x) of two channels.
        let p = vec![1.0, 0.0, 0.25, 0.75, 0.5, 0.5, 0.98, 0.02];
        let case = CaseProbabilities { p, outputs: 2, regions: Vec::new(), shape: [2, 1, 2], part, whole };
        let expected = |values: [f32; 4], beyond: f32| {
            let mut all = vec![beyond; 24];
            for (at, value) in [5, 6, 17, 18].into_iter().zip(values) {
                all[at] = value;
            }
            all
        };
        assert_eq!(case.of_structure(0), expected([0.0, 0.75, 0.5, 0.02], 0.0));
        let labels: Vec<f32> = case.most_probable().into_iter().map(f32::from).collect();
        assert_eq!(labels, expected([0.0, 1.0, 0.0, 0.0], 0.0));
        let (map, uncertainty) = case.entropy();
        // -(0.25 log2 0.25 + 0.75 log2 0.75), and of 0.98 and 0.02.
        let (unsure, sure) = (0.811_278_1, 0.141_440_5);
        let near = expected([0.0, unsure, 1.0, sure], 0.0);
        assert!(map.iter().zip(near).all(|(a, b)| (a - b).abs() < 1e-5), "{map:?}");
        assert!((uncertainty.plausible - f64::from(unsure + 1.0) / 2.0).abs() < 1e-6);
        assert!((uncertainty.whole - f64::from(unsure + 1.0 + sure) / 24.0).abs() < 1e-6);
    }

    #[test]
    fn regions_are_each_inside_or_outside() {
        let shape = [2, 1, 1];
        let whole = Grid::new(shape, Affine::from_orientation(Orientation::RAS, [1.0; 3], shape));
        let region = |channels: &[u8]| RegionOutput {
            channels: channels.to_vec(),
            written: channels[0],
            annotated_by: channels.to_vec(),
        };
        let case = CaseProbabilities {
            p: vec![0.5, 0.0, 1.0, 0.75],
            outputs: 2,
            regions: vec![region(&[1, 2]), region(&[2])],
            shape: [1, 1, 2],
            part: VoxelBox::whole(shape),
            whole,
        };
        assert_eq!(case.most_probable(), [0, 2]);
        assert_eq!(case.of_structure(1), [0.0, 0.75]);
        let (map, _) = case.entropy();
        assert!((map[0] - 0.5).abs() < 1e-6 && (map[1] - 0.405_639).abs() < 1e-5, "{map:?}");
    }
}
