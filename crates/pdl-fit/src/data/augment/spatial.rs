//! Patches that are turned, scaled and bent as they are taken out of their case.
//!
//! A voxel of the sample shows the place `centre + steps (voxel - middle) + bend(voxel)` of the case. Turning happens in
//! millimetres, so that it keeps shapes where voxels are longer along one axis; an axis much coarser than another is not
//! turned into it, since its planes hold nothing to fill the other with.

use crate::data::case::Case;
use crate::data::patch::Patch;
use crate::data::random::Random;

/// How often each of the three happens (nnU-Net).
const OFTEN: f64 = 0.2;
/// The largest angle, degrees: what patients lie at, and a little more.
const ANGLE: f64 = 30.0;
/// Voxels of the case for one of the sample (nnU-Net: sizes from 0.7 to 1.4).
const SCALE: [f64; 2] = [1.0 / 1.4, 1.0 / 0.7];
/// Axes whose voxels differ more than this many times in length are not turned into each other (nnU-Net).
const ANISOTROPIC: f64 = 3.0;
/// Cells of the control points along an axis of a sample.
const CELLS: usize = 4;
/// The largest deviation of a control point, in cells.
const BEND: f64 = 0.2;
/// The farthest that a control point moves, in cells: cubic B-splines do not fold where all stay below 0.48 in a plane and
/// below 0.40 in space (Choi and Lee 2000).
const FARTHEST: f64 = 0.4;

/// Where the voxels of a sample lie in its case; all in voxels along z, y, x.
#[derive(Clone, Debug, PartialEq)]
pub struct Warp {
    /// `steps[i][j]`: how far one voxel along axis j of the sample goes along axis i of the case.
    steps: [[f64; 3]; 3],
    /// Along each axis, how far every voxel of the sample (z, y, x) is moved; none where nothing is bent.
    bend: [Option<Vec<f32>>; 3],
}

impl Warp {
    /// Draws a change for samples of `sides` voxels (z, y, x) out of cases with voxels of `spacing_mm` (z, y, x); planes
    /// (`dims` 2) stay planes. Nothing when chance wants none.
    pub fn draw(dims: usize, sides: [usize; 3], spacing_mm: [f64; 3], random: &mut Random) -> Option<Self> {
        let [turned, scaled, bent] = [(); 3].map(|()| random.happens(OFTEN));
        if !(turned || scaled || bent) {
            return None;
        }
        let first = 3 - dims;
        let mut steps: [[f64; 3]; 3] = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(i == j)));
        if turned {
            for [i, j] in [[1, 2], [0, 2], [0, 1]].into_iter().filter(|axes| axes[0] >= first) {
                let ratio = spacing_mm[i] / spacing_mm[j];
                if (1.0 / ANISOTROPIC..=ANISOTROPIC).contains(&ratio) {
                    turn(&mut steps, [i, j], random.between(-ANGLE, ANGLE).to_radians());
                }
            }
            let in_voxels = |i: usize, j: usize, mm: f64| mm * spacing_mm[j] / spacing_mm[i];
            steps = std::array::from_fn(|i| std::array::from_fn(|j| in_voxels(i, j, steps[i][j])));
        }
        if scaled {
            let scale = random.between(SCALE[0], SCALE[1]);
            steps.iter_mut().skip(first).flatten().for_each(|step| *step *= scale);
        }
        let bend =
            std::array::from_fn(|axis| (bent && axis >= first).then(|| bend(dims, sides, axis, random)));
        Some(Self { steps, bend })
    }

    /// The sample that would begin at `origin` (z, y, x) if nothing changed: its image interpolated linearly, its channels
    /// those of the nearest voxels.
    pub fn sample(&self, case: &Case, origin: [isize; 3], sides: [usize; 3]) -> Patch {
        let middle = sides.map(|side| (side - 1) as f64 / 2.0);
        let voxels = sides.iter().product();
        let (mut image, mut target) = (Vec::with_capacity(voxels), Vec::with_capacity(voxels));
        for index in 0..voxels {
            let at = [index / (sides[1] * sides[2]), index / sides[2] % sides[1], index % sides[2]];
            let offset: [f64; 3] = std::array::from_fn(|axis| at[axis] as f64 - middle[axis]);
            let place: [f64; 3] = std::array::from_fn(|axis| {
                let along = (0..3).map(|j| self.steps[axis][j] * offset[j]).sum::<f64>();
                let bend = self.bend[axis].as_ref().map_or(0.0, |bend| f64::from(bend[index]));
                origin[axis] as f64 + middle[axis] + along + bend
            });
            image.push(linear(&case.image, case.shape, place, case.padding));
            target.push(nearest(&case.target, case.shape, place));
        }
        Patch { sides, image, target }
    }
}

/// Turns the rows `axes` of a matrix into each other.
fn turn(steps: &mut [[f64; 3]; 3], axes: [usize; 2], angle: f64) {
    let (sin, cos) = angle.sin_cos();
    let [a, b] = axes.map(|axis| steps[axis]);
    steps[axes[0]] = std::array::from_fn(|j| cos * a[j] - sin * b[j]);
    steps[axes[1]] = std::array::from_fn(|j| sin * a[j] + cos * b[j]);
}

/// How far along `axis` the voxels of a sample are moved: a cubic B-spline over random control points.
fn bend(dims: usize, sides: [usize; 3], axis: usize, random: &mut Random) -> Vec<f32> {
    let cell = sides[axis] as f64 / CELLS as f64;
    let deviation = random.between(0.0, BEND);
    let points = CELLS + 3;
    let mut shape: [usize; 3] = std::array::from_fn(|i| if i + dims >= 3 { points } else { 1 });
    let moved = |_| (cell * (deviation * random.normal()).clamp(-FARTHEST, FARTHEST)) as f32;
    let mut values: Vec<f32> = (0..shape.iter().product()).map(moved).collect();
    for along in 3 - dims..3 {
        values = spread(&values, shape, along, sides[along]);
        shape[along] = sides[along];
    }
    values
}

/// Puts `side` voxels in place of the control points along an axis of `shape`.
fn spread(values: &[f32], shape: [usize; 3], axis: usize, side: usize) -> Vec<f32> {
    let inner: usize = shape[axis + 1..].iter().product();
    let mut out = Vec::with_capacity(values.len() / shape[axis] * side);
    for block in values.chunks_exact(shape[axis] * inner) {
        for voxel in 0..side {
            let place = (voxel as f64 + 0.5) / side as f64 * CELLS as f64;
            let first = (place as usize).min(CELLS - 1);
            let weights = b_spline(place - first as f64);
            out.extend((0..inner).map(|i| {
                let of = |(point, weight): (usize, &f32)| weight * block[(first + point) * inner + i];
                weights.iter().enumerate().map(of).sum::<f32>()
            }));
        }
    }
    out
}

/// The weights of four control points at `t` between the second and the third, from 0 to 1.
fn b_spline(t: f64) -> [f32; 4] {
    let s = 1.0 - t;
    let inner = |t: f64| (3.0 * t.powi(3) - 6.0 * t.powi(2) + 4.0) / 6.0;
    [s.powi(3) / 6.0, inner(t), inner(s), t.powi(3) / 6.0].map(|weight| weight as f32)
}

fn linear(voxels: &[f32], shape: [usize; 3], place: [f64; 3], padding: f32) -> f32 {
    let low = place.map(f64::floor);
    let mut sum = 0.0;
    for corner in 0..8_usize {
        let (mut weight, mut at) = (1.0, Some(0));
        for axis in 0..3 {
            let upper = corner >> axis & 1;
            let above = place[axis] - low[axis];
            weight *= if upper == 1 { above } else { 1.0 - above };
            let index = low[axis] as isize + upper as isize;
            let inside = (0..shape[axis] as isize).contains(&index);
            at = at.filter(|_| inside).map(|at| at * shape[axis] + index as usize);
        }
        if weight > 0.0 {
            sum += weight * f64::from(at.map_or(padding, |at| voxels[at]));
        }
    }
    sum as f32
}

fn nearest(channels: &[u8], shape: [usize; 3], place: [f64; 3]) -> u8 {
    let place = place.map(|along| along.round() as isize);
    let inside = (0..3).all(|axis| (0..shape[axis] as isize).contains(&place[axis]));
    let at = (0..3).fold(0, |at, axis| at * shape[axis] as isize + place[axis]);
    if inside { channels[at as usize] } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::random::Purpose;
    use pdl_volume::{Affine, Grid, Orientation, Volume};

    const SHAPE: [usize; 3] = [6, 9, 12];

    /// Voxels that count up; channel 1 from the middle of x on.
    fn case() -> Case {
        let [nz, ny, nx] = SHAPE;
        let affine = Affine::from_orientation(Orientation::RAS, [1.0; 3], [nx, ny, nz]);
        let voxels = (0..nx * ny * nz).map(|i| i as f32).collect();
        let target = (0..nx * ny * nz).map(|i| u8::from(i % nx >= nx / 2)).collect();
        Case::new("a", Volume::new(Grid::new([nx, ny, nz], affine), voxels).unwrap(), target, vec![true; 2])
    }

    fn identity() -> Warp {
        Warp { steps: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], bend: [None, None, None] }
    }

    fn drawn(dims: usize, sides: [usize; 3], spacing_mm: [f64; 3]) -> impl Iterator<Item = Warp> {
        (0..400).filter_map(move |number| {
            Warp::draw(dims, sides, spacing_mm, &mut Random::new(3, Purpose::Augmentation, number))
        })
    }

    #[test]
    fn without_a_change_the_sample_is_a_block_of_the_case() {
        let case = case();
        let sample = identity().sample(&case, [1, -1, 2], [3, 4, 5]);
        let (mut image, mut target) = (Vec::new(), Vec::new());
        let size = [3, 4, 5];
        crate::data::patch::copy_block(&case.image, SHAPE, [1, -1, 2], size, case.padding, |v| image.push(v));
        crate::data::patch::copy_block(&case.target, SHAPE, [1, -1, 2], size, 0, |v| target.push(v));
        assert_eq!(sample, Patch { sides: size, image, target });
    }

    #[test]
    fn a_quarter_turn_puts_rows_in_the_place_of_columns() {
        let case = case();
        let mut warp = identity();
        turn(&mut warp.steps, [1, 2], std::f64::consts::FRAC_PI_2);
        let [still, turned] = [identity(), warp].map(|warp| warp.sample(&case, [0, 0, 0], [1, 9, 9]).image);
        for (y, x) in (0..9).flat_map(|y| (0..9).map(move |x| (y, x))) {
            // Row y of the turned sample runs along -y of the case, its column x along x.
            assert!((turned[y * 9 + x] - still[(8 - x) * 9 + y]).abs() < 1e-3, "{y} {x}");
        }
    }

    #[test]
    fn turning_keeps_lengths_in_millimetres_and_coarse_axes_apart() {
        let spacing = [5.0, 1.0, 0.5];
        for warp in drawn(3, [8, 16, 16], spacing) {
            let mm = |j: usize| {
                (0..3).map(|i| (warp.steps[i][j] * spacing[i]).powi(2)).sum::<f64>().sqrt() / spacing[j]
            };
            let lengths = [0, 1, 2].map(mm);
            assert!(lengths.iter().all(|length| (length - lengths[0]).abs() < 1e-9), "{lengths:?}");
            assert!((SCALE[0] - 1e-9..=SCALE[1] + 1e-9).contains(&lengths[0]), "{lengths:?}");
            assert_eq!([warp.steps[0][1], warp.steps[0][2], warp.steps[1][0], warp.steps[2][0]], [0.0; 4]);
        }
    }

    #[test]
    fn a_plane_stays_in_its_plane() {
        let mut case = case();
        // Voxels of plane 2; what lies beyond the image counts as one of them.
        let plane = 216.0..324.0;
        case.padding = plane.start;
        for warp in drawn(2, [1, 9, 12], [1.0; 3]) {
            assert_eq!((warp.steps[0], warp.bend[0].is_some()), ([1.0, 0.0, 0.0], false));
            let sample = warp.sample(&case, [2, 0, 0], [1, 9, 12]);
            assert!(sample.image.iter().all(|v| plane.contains(v)));
        }
    }

    #[test]
    fn nothing_folds() {
        let sides = [12, 16, 20];
        for warp in drawn(3, sides, [1.0; 3]).filter(|warp| warp.bend[0].is_some()) {
            let at = |z: usize, y: usize, x: usize| (z * sides[1] + y) * sides[2] + x;
            for (z, y, x) in (0..11).flat_map(|z| (0..15).flat_map(move |y| (0..19).map(move |x| (z, y, x))))
            {
                let next = [at(z + 1, y, x), at(z, y + 1, x), at(z, y, x + 1)];
                for (bend, next) in warp.bend.iter().flatten().zip(next) {
                    assert!(1.0 + bend[next] - bend[at(z, y, x)] > 0.0);
                }
            }
        }
    }

    #[test]
    fn channels_go_with_the_image() {
        let mut case = case();
        case.image = case.target.iter().map(|&channel| f32::from(channel)).collect();
        case.padding = 0.0;
        let mut changed = 0;
        for warp in drawn(3, [4, 8, 10], [1.0; 3]) {
            let sample = warp.sample(&case, [1, 0, 1], [4, 8, 10]);
            for (value, channel) in sample.image.iter().zip(&sample.target) {
                assert!(*value != 0.0 || *channel == 0, "where there is none of it nothing is labelled");
                assert!(*value < 0.999 || *channel == 1);
            }
            changed += 1;
        }
        // 1 - 0.8^3 = 49% of 400.
        assert!((160..230).contains(&changed), "{changed}");
    }

    #[test]
    fn control_points_that_agree_move_all_alike() {
        for t in [0.0, 0.3, 0.9, 1.0] {
            assert!((b_spline(t).iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        let moved = spread(&[2.0; 49], [1, 7, 7], 1, 30);
        assert!(moved.len() == 210 && moved.iter().all(|v| (v - 2.0).abs() < 1e-5));
    }
}
