//! Wherever a volume lies and however it is cut, it keeps its place in the world.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use pdl_prepare::resample::{resample_image, resample_labels, shape_at};
use pdl_prepare::spline;
use pdl_volume::{Affine, Grid, LabelMap, Volume, VoxelBox};
use proptest::prelude::*;

/// A grid turned by three angles about the axes, anywhere within 2 m of the world's origin.
fn grids() -> impl Strategy<Value = Grid> {
    let angle = || -3.2..3.2_f64;
    let place = || -2000.0..2000.0_f64;
    let side = || 0.2..4.0_f64;
    let count = || 1..10_usize;
    (
        [angle(), angle(), angle()],
        [place(), place(), place()],
        [side(), side(), side()],
        [count(), count(), count()],
        any::<bool>(),
    )
        .prop_map(|([a, b, c], origin, sides, shape, mirrored)| {
            let (sa, ca, sb, cb, sc, cc) = (a.sin(), a.cos(), b.sin(), b.cos(), c.sin(), c.cos());
            let mut columns = [
                [ca * cb, sa * cb, -sb],
                [ca * sb * sc - sa * cc, sa * sb * sc + ca * cc, cb * sc],
                [ca * sb * cc + sa * sc, sa * sb * cc - ca * sc, cb * cc],
            ];
            if mirrored {
                columns[0] = columns[0].map(|v| -v);
            }
            let steps = std::array::from_fn(|axis| columns[axis].map(|v: f64| v * sides[axis]));
            Grid::new(shape, Affine::from_columns(steps, origin))
        })
}

/// The corners of a box, outer faces of its voxels, sorted: turning axes over moves none of them.
fn corners(grid: &Grid) -> Vec<[f64; 3]> {
    let corner = |i: usize| {
        grid.affine.apply(std::array::from_fn(|axis| {
            if i >> axis & 1 == 1 { grid.shape[axis] as f64 - 0.5 } else { -0.5 }
        }))
    };
    (0..8).map(corner).collect()
}

/// The largest distance from a corner of one box to the nearest of the other, mm.
fn distance(a: &Grid, b: &Grid) -> f64 {
    let between =
        |p: &[f64; 3], q: &[f64; 3]| p.iter().zip(q).map(|(p, q)| (p - q).powi(2)).sum::<f64>().sqrt();
    let others = corners(b);
    let nearest = |p: [f64; 3]| others.iter().map(|q| between(&p, q)).fold(f64::INFINITY, f64::min);
    corners(a).into_iter().map(nearest).fold(0.0, f64::max)
}

proptest! {
    #[test]
    fn what_was_cropped_and_resampled_is_found_again_where_it_was(
        grid in grids(),
        corners in [(0.0..1.0_f64, 0.0..1.0_f64), (0.0..1.0_f64, 0.0..1.0_f64), (0.0..1.0_f64, 0.0..1.0_f64)],
        sides in [0.8..8.0_f64, 0.8..8.0_f64, 0.8..8.0_f64],
    ) {
        let whole = grid.to_ras();
        let start: [usize; 3] = std::array::from_fn(|axis| (corners[axis].0 * whole.shape[axis] as f64) as usize);
        let shape: [usize; 3] = std::array::from_fn(|axis| {
            1 + (corners[axis].1 * (whole.shape[axis] - start[axis]) as f64) as usize
        });
        let part = VoxelBox { start, shape };
        let indices = Volume::new(whole, (0..whole.len()).map(|i| i as f32).collect()).unwrap();
        let cut = part.of_volume(indices);
        // Each voxel that was kept is in the world where the stored one of its number is.
        for (i, stored) in cut.voxels.iter().enumerate() {
            let at = |i: usize, [nx, ny, _]: [usize; 3]| [i % nx, i / nx % ny, i / (nx * ny)].map(|v| v as f64);
            let here = cut.grid.affine.apply(at(i, part.shape));
            let there = whole.affine.apply(at(*stored as usize, whole.shape));
            prop_assert!(here.iter().zip(there).all(|(a, b)| (a - b).abs() < 1e-9));
        }
        let prepared = resample_image(cut, shape_at(&part.of_grid(&whole), sides)).unwrap();
        prop_assert!(distance(&part.of_grid(&whole), &prepared.grid) < 1e-6);
        prop_assert_eq!(VoxelBox::filled_by(&whole, &prepared.grid), Some(part));
    }

    #[test]
    fn extent_and_centre_stay_within_a_millionth_of_a_millimetre(
        grid in grids(),
        sides in [0.8..8.0_f64, 0.8..8.0_f64, 0.8..8.0_f64],
    ) {
        let image = Volume::new(grid, vec![1.0_f32; grid.len()]).unwrap().into_ras();
        let labels = LabelMap::new(grid, vec![1; grid.len()]).unwrap().into_ras();
        let shape = shape_at(&image.grid, sides);
        let splined = spline::resample_image(&image, shape);
        let image = resample_image(image, shape).unwrap();
        let labels = resample_labels(labels, shape).unwrap();
        prop_assert_eq!(image.grid.shape, shape);
        for made in [image.grid, labels.grid, splined.grid] {
            prop_assert!(distance(&grid, &made) < 1e-6, "{} mm", distance(&grid, &made));
        }
        // What is the same everywhere stays so, faces included.
        prop_assert!(image.voxels.iter().all(|v| (v - 1.0).abs() < 1e-5));
        prop_assert!(splined.voxels.iter().all(|v| (v - 1.0).abs() < 1e-5));
        prop_assert!(labels.voxels.iter().all(|v| *v == 1));
    }
}
