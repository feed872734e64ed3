//! An image on the grid of another.

use rayon::prelude::*;

use crate::{Grid, Volume};

/// An image on another grid by trilinear interpolation, and the fraction of the grid's voxels
/// beyond the image's own box, which take its smallest value. No smoothing precedes it, as in ITK's
/// resampling.
pub fn image_on(image: &Volume<f32>, grid: Grid) -> (Volume<f32>, f64) {
    let own = &image.grid;
    let [nx, ny, _] = own.shape;
    // Index in the image as a linear function of the index in `grid`.
    let origin = own.affine.index_at(grid.affine.origin_mm());
    let step: [[f64; 3]; 3] = std::array::from_fn(|axis| {
        let (from, to) = (grid.affine.origin_mm(), grid.affine.step_mm(axis));
        let next = own.affine.index_at(std::array::from_fn(|i| from[i] + to[i]));
        std::array::from_fn(|i| next[i] - origin[i])
    });
    let least = image.voxels.iter().copied().fold(f32::INFINITY, f32::min);
    let at = |index: [usize; 3]| f64::from(image.voxels[index[0] + nx * (index[1] + ny * index[2])]);
    let value = |x: usize, y: usize, z: usize| -> Option<f32> {
        let place: [f64; 3] = std::array::from_fn(|i| {
            origin[i] + x as f64 * step[0][i] + y as f64 * step[1][i] + z as f64 * step[2][i]
        });
        let inside = |axis: usize| (-0.5..=own.shape[axis] as f64 - 0.5).contains(&place[axis]);
        if !(0..3).all(inside) {
            return None;
        }
        let corner = |corner: usize| {
            let upper = |axis: usize| corner >> axis & 1 == 1;
            let low = |axis: usize| place[axis].floor();
            let index = std::array::from_fn(|axis| {
                let index = low(axis) + f64::from(u8::from(upper(axis)));
                index.clamp(0.0, own.shape[axis] as f64 - 1.0) as usize
            });
            let weight = |axis: usize| {
                let above = place[axis] - low(axis);
                if upper(axis) { above } else { 1.0 - above }
            };
            at(index) * (0..3).map(weight).product::<f64>()
        };
        Some((0..8).map(corner).sum::<f64>() as f32)
    };
    let [mx, my, _] = grid.shape;
    let mut voxels = vec![least; grid.len()];
    let outside: usize = voxels
        .par_chunks_mut((mx * my).max(1))
        .enumerate()
        .map(|(z, plane)| {
            let mut outside = 0;
            for (i, voxel) in plane.iter_mut().enumerate() {
                match value(i % mx, i / mx, z) {
                    Some(value) => *voxel = value,
                    None => outside += 1,
                }
            }
            outside
        })
        .sum();
    let share = outside as f64 / voxels.len().max(1) as f64;
    (Volume { grid, voxels }, share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affine, Orientation};

    fn grid(shape: [usize; 3], spacing: [f64; 3]) -> Grid {
        Grid::new(shape, Affine::from_orientation(Orientation::RAS, spacing, shape))
    }

    #[test]
    fn the_same_grid_gives_the_same_voxels() {
        let own = grid([4, 3, 2], [1.0, 2.0, 3.0]);
        let image = Volume::new(own, (0..24).map(|v| v as f32).collect()).unwrap();
        assert_eq!(image_on(&image, own), (image, 0.0));
    }

    #[test]
    fn a_ramp_stays_one_on_a_finer_grid_and_beyond_it_is_its_least() {
        // World x from the affine's origin; the finer grid is shifted and reaches beyond.
        let rows = |spacing: f64, origin: f64| {
            Affine::from_columns([[spacing, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [origin, 0.0, 0.0])
        };
        let image = Volume::new(Grid::new([4, 1, 1], rows(2.0, 0.0)), vec![0.0, 2.0, 4.0, 6.0]).unwrap();
        let (on, outside) = image_on(&image, Grid::new([8, 1, 1], rows(1.0, 1.0)));
        assert_eq!(on.voxels, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 6.0, 0.0]);
        assert_eq!(outside, 0.125);
    }
}
