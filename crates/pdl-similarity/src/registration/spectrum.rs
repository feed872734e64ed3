//! A descriptor of a volume that is invariant under flips and nearly so under small shifts.
//!
//! The volume is projected onto products of cosines and sines about its centre, with a Hann taper
//! that fades the borders. A flip changes the sign of the sines of its axis; a shift along an axis
//! rotates the cosine and the sine of a frequency into each other. The norm over the eight products
//! of one frequency triple,
//!
//! ```text
//! d(kx, ky, kz) = sqrt(sum over the cosines and sines along each axis of <volume, product>^2),
//! ```
//!
//! is unchanged by both, except for voxels that enter and leave at the borders. It is the power
//! spectrum (Oppenheim and Schafer, "Discrete-Time Signal Processing") without the signs of the
//! frequencies.

use std::f64::consts::TAU;

use pdl_prepare::proxies::Proxies;
use rayon::prelude::*;

/// Frequencies along each axis, from 0 periods per side on.
const FREQUENCIES: usize = 6;

/// Waves along an axis: a cosine and a sine of each frequency.
const WAVES: usize = 2 * FREQUENCIES;

/// Length of a descriptor.
const LENGTH: usize = FREQUENCIES * FREQUENCIES * FREQUENCIES;

/// Cases to describe before the memory of their proxies is released.
const CASES_AT_A_TIME: usize = 64;

/// The descriptors of all cases, each component with mean 0 and standard deviation 1 over the
/// cohort.
pub(super) struct Spectra {
    values: Vec<[f32; LENGTH]>,
}

impl Spectra {
    pub(super) fn of(proxies: &Proxies) -> Self {
        let waves = proxies.shape_zyx.map(waves);
        let mut values = Vec::with_capacity(proxies.len());
        for start in (0..proxies.len()).step_by(CASES_AT_A_TIME) {
            let rows = start..(start + CASES_AT_A_TIME).min(proxies.len());
            values.par_extend(rows.clone().into_par_iter().map(|row| describe(proxies.voxels(row), &waves)));
            proxies.release(rows);
        }
        standardise(&mut values);
        Self { values }
    }

    /// The `count` nearest neighbours of `case` among the `wanted` cases, nearest first; ties by
    /// row number.
    pub(super) fn nearest(&self, case: usize, count: usize, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut nearest: Vec<(f32, usize)> = Vec::with_capacity(count + 1);
        for other in (0..self.values.len()).filter(|other| *other != case && wanted(*other)) {
            let distance = squared_distance(&self.values[case], &self.values[other]);
            if nearest.len() < count || nearest.last().is_some_and(|(last, _)| distance < *last) {
                let place = nearest.partition_point(|(known, _)| *known <= distance);
                nearest.insert(place, (distance, other));
                nearest.truncate(count);
            }
        }
        nearest.into_iter().map(|(_, other)| other).collect()
    }
}

/// The waves at each position along an axis of `n` voxels: the cosines, then the sines.
fn waves(n: usize) -> Vec<[f32; WAVES]> {
    let side = n as f64;
    let at = |place: usize| {
        let from_middle = (place as f64 + 0.5 - side / 2.0) / side;
        let taper = (0.5 + 0.5 * (TAU * from_middle).cos()) / side;
        std::array::from_fn(|wave| {
            let (sin, cos) = (TAU * (wave % FREQUENCIES) as f64 * from_middle).sin_cos();
            (taper * if wave < FREQUENCIES { cos } else { sin }) as f32
        })
    };
    (0..n).map(at).collect()
}

/// The descriptor of a C array (z, y, x); `waves` are those of its axes, in the same order.
fn describe(voxels: &[f32], waves: &[Vec<[f32; WAVES]>; 3]) -> [f32; LENGTH] {
    let [along_z, along_y, along_x] = waves;
    // Along x, then y, then z: one plane's products at a time.
    let mut products = vec![0.0_f32; WAVES * WAVES * WAVES];
    for (plane, of_z) in voxels.chunks_exact(along_x.len() * along_y.len()).zip(along_z) {
        let mut of_plane = [[0.0_f32; WAVES]; WAVES];
        for (line, of_y) in plane.chunks_exact(along_x.len()).zip(along_y) {
            let mut of_line = [0.0_f32; WAVES];
            for (voxel, of_x) in line.iter().zip(along_x) {
                of_line.iter_mut().zip(of_x).for_each(|(sum, wave)| *sum += voxel * wave);
            }
            for (sums, wave) in of_plane.iter_mut().zip(of_y) {
                sums.iter_mut().zip(&of_line).for_each(|(sum, value)| *sum += wave * value);
            }
        }
        for (sums, wave) in products.chunks_exact_mut(WAVES * WAVES).zip(of_z) {
            sums.iter_mut().zip(of_plane.as_flattened()).for_each(|(sum, value)| *sum += wave * value);
        }
    }
    let mut squares = [0.0_f32; LENGTH];
    for (place, product) in products.iter().enumerate() {
        let [z, y, x] =
            [place / (WAVES * WAVES), place / WAVES % WAVES, place % WAVES].map(|w| w % FREQUENCIES);
        squares[(z * FREQUENCIES + y) * FREQUENCIES + x] += product * product;
    }
    squares.map(f32::sqrt)
}

fn standardise(values: &mut [[f32; LENGTH]]) {
    let count = values.len().max(1) as f64;
    for place in 0..LENGTH {
        let mean = values.iter().map(|own| f64::from(own[place])).sum::<f64>() / count;
        let square = values.iter().map(|own| (f64::from(own[place]) - mean).powi(2)).sum::<f64>() / count;
        let scale = if square > 0.0 { 1.0 / square.sqrt() } else { 0.0 };
        values.iter_mut().for_each(|own| own[place] = ((f64::from(own[place]) - mean) * scale) as f32);
    }
}

/// Summed in eight lanes, always in the same order.
fn squared_distance(a: &[f32; LENGTH], b: &[f32; LENGTH]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += (a - b) * (a - b);
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 32;

    /// Three Gaussian spots off the centre, shifted by `shift` along x and flipped along x and z
    /// with `flip`.
    fn spots(shift: f32, flip: bool) -> Vec<f32> {
        let spot = |z: usize, y: usize, x: usize| {
            let [z, x] = if flip { [SIDE - 1 - z, SIDE - 1 - x] } else { [z, x] };
            let near = |c: [f32; 3], width: f32| {
                let d =
                    (z as f32 - c[0]).powi(2) + (y as f32 - c[1]).powi(2) + (x as f32 - c[2] - shift).powi(2);
                (-d / width).exp()
            };
            near([10.0, 14.0, 20.0], 9.0)
                + 0.7 * near([18.0, 9.0, 12.0], 6.0)
                + 0.4 * near([20.0, 20.0, 22.0], 12.0)
        };
        let places = (0..SIDE).flat_map(|z| (0..SIDE).flat_map(move |y| (0..SIDE).map(move |x| (z, y, x))));
        places.map(|(z, y, x)| spot(z, y, x)).collect()
    }

    #[test]
    fn flips_change_nothing_and_shifts_little() {
        let waves = [SIDE; 3].map(waves);
        let far = |a: &[f32; LENGTH], b: &[f32; LENGTH]| {
            (squared_distance(a, b) / squared_distance(a, &[0.0; LENGTH])).sqrt()
        };
        let plain = describe(&spots(0.0, false), &waves);
        assert!(far(&plain, &describe(&spots(0.0, true), &waves)) < 1e-5);
        assert!(far(&plain, &describe(&spots(1.0, true), &waves)) < 0.1);
        let other: Vec<f32> =
            spots(0.0, false).iter().enumerate().map(|(i, v)| if i % SIDE > 16 { 0.0 } else { *v }).collect();
        assert!(far(&plain, &describe(&other, &waves)) > 0.2);
    }
}
