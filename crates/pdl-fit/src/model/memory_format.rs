//! Channels-last memory format of images and kernels: the axis order stays (N, C, spatial ...), but
//! the channels of a voxel are adjacent in memory. Convolutions on the CPU are slow if formats mix.

use tch::Tensor;

use crate::error::Result;

/// Permutation that moves the last axis to position 1: (N, spatial ..., C) to (N, C, spatial ...).
fn channels_second(rank: usize) -> Vec<i64> {
    let rank = rank as i64;
    [0, rank - 1].into_iter().chain(1..rank - 1).collect()
}

/// Permutation that moves axis 1 to the end: (N, C, spatial ...) to (N, spatial ..., C).
fn channels_end(rank: usize) -> Vec<i64> {
    let rank = rank as i64;
    [0].into_iter().chain(2..rank).chain([1]).collect()
}

/// View (N, C, spatial ...) of values in the memory order (N, spatial ..., C); nothing is copied.
///
/// # Errors
/// If the number of values is not the product of `shape` (N, C, spatial ...).
pub fn from_channels_last(values: &Tensor, shape: &[i64]) -> Result<Tensor> {
    let stored: Vec<i64> = channels_end(shape.len()).iter().map(|&axis| shape[axis as usize]).collect();
    Ok(values.f_view(stored.as_slice())?.f_permute(channels_second(shape.len()))?)
}

/// Flat values in the memory order (N, spatial ..., C); copied only if the memory has another
/// order.
///
/// # Errors
/// If libtorch fails.
pub fn to_channels_last(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_permute(channels_end(x.dim()))?.f_reshape([-1])?)
}

/// View of a parameter of `shape` on its flat values: kernels are channels-last, other parameters
/// contiguous.
///
/// # Errors
/// If the number of values is not the product of `shape`.
pub fn kernel_from_flat(values: &Tensor, shape: &[i64]) -> Result<Tensor> {
    if shape.len() > 2 { from_channels_last(values, shape) } else { Ok(values.f_view(shape)?) }
}

/// Flat values of a parameter in the memory order of [`kernel_from_flat`].
///
/// # Errors
/// If libtorch fails.
pub fn kernel_to_flat(value: &Tensor) -> Result<Tensor> {
    let rank = value.dim();
    if rank > 2 { to_channels_last(value) } else { Ok(value.f_reshape([-1])?) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_go_to_the_flat_buffer_and_back() {
        let flat = Tensor::arange(2 * 3 * 4 * 5, (tch::Kind::Float, tch::Device::Cpu));
        let kernel = kernel_from_flat(&flat, &[2, 3, 4, 5]).unwrap();
        assert_eq!(kernel.size(), [2, 3, 4, 5]);
        assert_eq!(kernel.stride(), [60, 1, 15, 3]);
        assert!(kernel_to_flat(&kernel).unwrap().equal(&flat));
        assert!(kernel_to_flat(&kernel.contiguous()).unwrap().equal(&flat));
    }
}
