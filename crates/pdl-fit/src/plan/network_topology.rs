//! The levels of a network that fit a patch, and the memory that its activations take.

use crate::model::unet::NetworkPlan;

/// The shortest side of the coarsest level of a planned network, in voxels.
pub(crate) const COARSEST_SIDE: usize = 4;
/// An axis is not halved while its voxels are more than this many times as long as the shortest
/// (nnU-Net).
const ANISOTROPIC: f64 = 2.0;
/// Activations per voxel and channel of the finest level that live until the backward pass: outputs
/// of four convolutions, their norms, the transposed convolution and the concatenation, and the
/// gradients of these.
const LIVE_ACTIVATIONS: usize = 22;

/// Levels of a network for patches of about `size` voxels (z, y, x); for each axis the first level
/// that is halved and the number of halvings. An axis is halved while its voxels are not much
/// longer than the shortest and its side is long enough.
pub(crate) fn topology(
    size: [usize; 3],
    spacing: [f64; 3],
    dims: usize,
    most: usize,
) -> (usize, [usize; 3], [usize; 3]) {
    let axes = 3 - dims..3;
    let (mut size, mut spacing) = (size, spacing);
    let (mut first, mut halvings) = ([0; 3], [0; 3]);
    let mut depth = 1;
    while depth < most {
        let long_enough = |axis: &usize| size[*axis].div_ceil(2) >= COARSEST_SIDE;
        let fine: Vec<usize> = axes.clone().filter(long_enough).collect();
        let shortest = fine.iter().map(|&axis| spacing[axis]).fold(f64::INFINITY, f64::min);
        let (now, later): (Vec<usize>, Vec<usize>) =
            fine.iter().partition(|&&axis| spacing[axis] < ANISOTROPIC * shortest || halvings[axis] > 0);
        if now.is_empty() {
            break;
        }
        for axis in now {
            size[axis] = size[axis].div_ceil(2);
            spacing[axis] *= 2.0;
            halvings[axis] += 1;
        }
        later.into_iter().for_each(|axis| first[axis] = depth);
        depth += 1;
    }
    (depth, first, halvings)
}

/// Estimated bytes of activations and gradients per voxel of the finest level; a coarser level has
/// twice the channels on a fraction of the voxels.
pub(crate) fn bytes_per_voxel(network: &NetworkPlan) -> u64 {
    let finest = (LIVE_ACTIVATIONS * size_of::<f32>()) as f64 * network.width as f64;
    let mut share = 1.0;
    let mut total = finest;
    for level in 0..network.depth - 1 {
        share *= 2.0 / network.strides(level).iter().product::<i64>() as f64;
        total += finest * share;
    }
    total.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isotropic_samples_are_halved_alike_and_short_sides_less_often() {
        let flat = [1.0; 3];
        assert_eq!(topology([35, 50, 34], flat, 3, 3), (3, [0; 3], [2; 3]));
        assert_eq!(topology([35, 50, 34], flat, 2, 3), (3, [0; 3], [0, 2, 2]));
        assert_eq!(topology([35, 9, 34], flat, 2, 3), (3, [0; 3], [0, 1, 2]));
        assert_eq!(topology([64, 64, 64], flat, 3, 8), (5, [0; 3], [4; 3]));
        assert_eq!(topology([3, 3, 3], flat, 3, 3), (1, [0; 3], [0; 3]));
    }

    /// As nnU-Net: 5 mm slices of 0.8 mm pixels get 1 x 3 x 3 kernels on the two finest levels.
    #[test]
    fn thick_slices_are_halved_once_pixels_have_caught_up() {
        let (depth, first, halvings) = topology([20, 256, 224], [5.0, 0.8, 0.8], 3, 5);
        assert_eq!((depth, first, halvings), (5, [2, 0, 0], [2, 4, 4]));
    }
}
