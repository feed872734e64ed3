//! Patches: the part of a case that the network sees at once.

/// A patch of a case, in C order.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Voxels along z, y, x.
    pub sides: [usize; 3],
    /// Normalised intensities (input, z, y, x).
    pub image: Vec<f32>,
    /// Channel of every voxel.
    pub target: Vec<u8>,
}

/// Appends images (input, z, y, x) to `out` in the memory order (z, y, x, input).
pub fn append_interleaved(image: &[f32], inputs: usize, out: &mut Vec<f32>) {
    if inputs == 1 {
        out.extend_from_slice(image);
        return;
    }
    let voxels = image.len() / inputs;
    out.extend((0..image.len()).map(|at| image[at % inputs * voxels + at / inputs]));
}

/// Calls `put` with the voxels of a block in C order, with `padding` for those outside the volume.
/// `shape`, `origin` and `size` are along z, y, x.
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

    #[test]
    fn the_inputs_of_a_voxel_become_adjacent() {
        let mut out = vec![9.0];
        append_interleaved(&[1.0, 2.0, 3.0, -1.0, -2.0, -3.0], 2, &mut out);
        assert_eq!(out, [9.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0]);
    }

    #[test]
    fn blocks_reach_over_the_edge() {
        let mut out = Vec::new();
        copy_block(&[1, 2, 3, 4], [1, 2, 2], [0, -1, 1], [1, 3, 2], 0, |v| out.push(v));
        assert_eq!(out, [0, 0, 2, 0, 4, 0]);
    }
}
