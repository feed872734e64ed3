//! Spatial augmentation: rotation, scaling and elastic deformation of a patch.
//!
//! Voxel v of the patch shows position `centre + steps (v - middle) + displacement(v)` of the case.
//! Rotation is in millimetres, so that shapes are preserved in anisotropic voxels. Two axes whose
//! spacings differ by more than a factor of 3 are not rotated into each other, because thick slices
//! cannot supply the finer axis.

use crate::data::case::{Case, CasePart};
use crate::data::patch::Patch;
use crate::data::random::Random;
use crate::error::Result;

/// Probability of each of rotation, scaling and elastic deformation (nnU-Net).
const PROBABILITY: f64 = 0.2;
/// Largest rotation angle about each axis, degrees.
const ANGLE: f64 = 30.0;
/// Case voxels per patch voxel: magnifications from 0.7 to 1.4 (nnU-Net).
const SCALE: [f64; 2] = [1.0 / 1.4, 1.0 / 0.7];
/// Largest ratio of two axes' spacings at which they are rotated into each other (nnU-Net).
const ANISOTROPIC: f64 = 3.0;
/// Cells between control points along each axis of a patch.
const CELLS: usize = 4;
/// Largest standard deviation of a control point's displacement, in cells.
const DISPLACEMENT_SD: f64 = 0.2;
/// Largest displacement of a control point, in cells. Cubic B-splines do not fold if all
/// displacements are below 0.48 in 2D and below 0.40 in 3D (Choi and Lee 2000).
const MAX_DISPLACEMENT: f64 = 0.4;

/// Map from patch voxels to positions in the case, in voxels along z, y, x.
#[derive(Clone, Debug, PartialEq)]
pub struct Warp {
    /// `steps[i][j]`: change of position along axis i of the case per voxel along axis j of the
    /// patch.
    steps: [[f64; 3]; 3],
    /// For each axis the displacement of every patch voxel (z, y, x, C order); none without elastic
    /// deformation.
    displacement: [Option<Vec<f32>>; 3],
}

impl Warp {
    /// Draws a transform for patches of `sides` voxels (z, y, x) from cases with a spacing of
    /// `spacing_mm` (z, y, x). With `dims` 2, z is unchanged. `None` if no change is drawn.
    pub fn draw(dims: usize, sides: [usize; 3], spacing_mm: [f64; 3], random: &mut Random) -> Option<Self> {
        let [rotated, scaled, deformed] = [(); 3].map(|()| random.happens(PROBABILITY));
        if !(rotated || scaled || deformed) {
            return None;
        }
        let first = 3 - dims;
        let mut steps: [[f64; 3]; 3] = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(i == j)));
        if rotated {
            for [i, j] in [[1, 2], [0, 2], [0, 1]].into_iter().filter(|axes| axes[0] >= first) {
                let ratio = spacing_mm[i] / spacing_mm[j];
                if (1.0 / ANISOTROPIC..=ANISOTROPIC).contains(&ratio) {
                    rotate(&mut steps, [i, j], random.between(-ANGLE, ANGLE).to_radians());
                }
            }
            let in_voxels = |i: usize, j: usize, mm: f64| mm * spacing_mm[j] / spacing_mm[i];
            steps = std::array::from_fn(|i| std::array::from_fn(|j| in_voxels(i, j, steps[i][j])));
        }
        if scaled {
            let scale = random.between(SCALE[0], SCALE[1]);
            steps.iter_mut().skip(first).flatten().for_each(|step| *step *= scale);
        }
        let displacement = std::array::from_fn(|axis| {
            (deformed && axis >= first).then(|| elastic(dims, sides, axis, random))
        });
        Some(Self { steps, displacement })
    }

    /// The transformed patch whose identity transform starts at `origin` (z, y, x): the images of
    /// all inputs are interpolated linearly, and so is the indicator of each channel, of which the
    /// largest wins (nnU-Net). Background surrounds the case.
    ///
    /// # Errors
    /// As [`Case::part`].
    pub fn patch(&self, case: &Case, origin: [isize; 3], sides: [usize; 3]) -> Result<Patch> {
        let middle = sides.map(|side| (side - 1) as f64 / 2.0);
        let voxels: usize = sides.iter().product();
        let (first, size) = self.reach(origin, sides);
        let part = case.part(first, size)?;
        let images: Vec<(&[f32], f32)> = part.images().zip(case.padding.iter().copied()).collect();
        let mut image = vec![0.0; images.len() * voxels];
        let mut target = Vec::with_capacity(voxels);
        for index in 0..voxels {
            let at = [index / (sides[1] * sides[2]), index / sides[2] % sides[1], index % sides[2]];
            let offset: [f64; 3] = std::array::from_fn(|axis| at[axis] as f64 - middle[axis]);
            let place: [f64; 3] = std::array::from_fn(|axis| {
                let along = (0..3).map(|j| self.steps[axis][j] * offset[j]).sum::<f64>();
                let moved = self.displacement[axis].as_ref().map_or(0.0, |field| f64::from(field[index]));
                origin[axis] as f64 + middle[axis] + along + moved
            });
            let corners = Corners::new(&part, place);
            for (input, (values, padding)) in images.iter().enumerate() {
                image[input * voxels + index] = corners.mean(values, *padding);
            }
            target.push(corners.channel(&part.target));
        }
        Ok(Patch { sides, image, target })
    }

    /// Origin and size (z, y, x) of a box of the case that holds every voxel from which a patch is
    /// interpolated.
    fn reach(&self, origin: [isize; 3], sides: [usize; 3]) -> ([isize; 3], [usize; 3]) {
        let middle = sides.map(|side| (side - 1) as f64 / 2.0);
        let bounds: [[isize; 2]; 3] = std::array::from_fn(|axis| {
            let linear: f64 = (0..3).map(|j| self.steps[axis][j].abs() * middle[j]).sum();
            let largest = |field: &Vec<f32>| field.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
            let moved = self.displacement[axis].as_ref().map_or(0.0, |field| f64::from(largest(field)));
            let centre = origin[axis] as f64 + middle[axis];
            // One voxel more on either side, as sums of other order are rounded otherwise.
            let low = (centre - linear - moved).floor() as isize - 1;
            [low, (centre + linear + moved).floor() as isize + 3]
        });
        (bounds.map(|[low, _]| low), bounds.map(|[low, end]| (end - low) as usize))
    }
}

/// Rotates rows `axes` of a matrix by `angle` in radians.
fn rotate(steps: &mut [[f64; 3]; 3], axes: [usize; 2], angle: f64) {
    let (sin, cos) = angle.sin_cos();
    let [a, b] = axes.map(|axis| steps[axis]);
    steps[axes[0]] = std::array::from_fn(|j| cos * a[j] - sin * b[j]);
    steps[axes[1]] = std::array::from_fn(|j| sin * a[j] + cos * b[j]);
}

/// Displacements along `axis` of all patch voxels (z, y, x): a cubic B-spline over random control
/// points.
fn elastic(dims: usize, sides: [usize; 3], axis: usize, random: &mut Random) -> Vec<f32> {
    let cell = sides[axis] as f64 / CELLS as f64;
    let sd = random.between(0.0, DISPLACEMENT_SD);
    let points = CELLS + 3;
    let mut shape: [usize; 3] = std::array::from_fn(|i| if i + dims >= 3 { points } else { 1 });
    let moved = |_| (cell * (sd * random.normal()).clamp(-MAX_DISPLACEMENT, MAX_DISPLACEMENT)) as f32;
    let mut values: Vec<f32> = (0..shape.iter().product()).map(moved).collect();
    for along in 3 - dims..3 {
        values = spread(&values, shape, along, sides[along]);
        shape[along] = sides[along];
    }
    values
}

/// Evaluates the B-spline along one axis: replaces the control points of `axis` by `side` voxels.
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

/// Cubic B-spline weights of four control points at `t` from 0 to 1 between the second and third.
fn b_spline(t: f64) -> [f32; 4] {
    let s = 1.0 - t;
    let inner = |t: f64| (3.0 * t.powi(3) - 6.0 * t.powi(2) + 4.0) / 6.0;
    [s.powi(3) / 6.0, inner(t), inner(s), t.powi(3) / 6.0].map(|weight| weight as f32)
}

/// The eight voxels about a position, with the weights of linear interpolation.
struct Corners([(f64, Option<usize>); 8]);

impl Corners {
    /// About a position of the case (z, y, x), as indices of the part; voxels outside of it have
    /// none.
    fn new(part: &CasePart<'_>, place: [f64; 3]) -> Self {
        let (start, shape) = (part.place.start, part.place.shape);
        let low = place.map(f64::floor);
        Self(std::array::from_fn(|corner| {
            let (mut weight, mut at) = (1.0, Some(0));
            for axis in 0..3 {
                let upper = corner >> axis & 1;
                let above = place[axis] - low[axis];
                weight *= if upper == 1 { above } else { 1.0 - above };
                let index = low[axis] as isize + upper as isize - start[axis] as isize;
                let inside = (0..shape[axis] as isize).contains(&index);
                at = at.filter(|_| inside).map(|at| at * shape[axis] + index as usize);
            }
            (weight, at)
        }))
    }

    fn weighted(&self) -> impl Iterator<Item = (f64, Option<usize>)> + '_ {
        self.0.iter().copied().filter(|(weight, _)| *weight > 0.0)
    }

    fn mean(&self, voxels: &[f32], padding: f32) -> f32 {
        self.weighted()
            .map(|(weight, at)| weight * f64::from(at.map_or(padding, |at| voxels[at])))
            .sum::<f64>() as f32
    }

    /// The channel with the largest share; of equal shares the lowest.
    fn channel(&self, channels: &[u8]) -> u8 {
        let mut shares: [(u8, f64); 8] = [(0, 0.0); 8];
        let mut known = 0;
        for (weight, at) in self.weighted() {
            let channel = at.map_or(0, |at| channels[at]);
            let place = shares[..known].iter().position(|(other, _)| *other == channel).unwrap_or(known);
            known = known.max(place + 1);
            shares[place] = (channel, shares[place].1 + weight);
        }
        let largest = |a: &&(u8, f64), b: &&(u8, f64)| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0));
        shares[..known].iter().max_by(largest).map_or(0, |(channel, _)| *channel)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::data::patch::copy_block;
    use crate::data::random::Purpose;
    use crate::data::voxel_file::{BoxZyx, VoxelFile};
    use pdl_volume::{Affine, Grid, Orientation, Volume};

    const SHAPE: [usize; 3] = [6, 9, 12];

    /// Image values count up; channel 1 from the middle of x on.
    fn case() -> Case {
        let [nz, ny, nx] = SHAPE;
        let affine = Affine::from_orientation(Orientation::RAS, [1.0; 3], [nx, ny, nz]);
        let voxels = (0..nx * ny * nz).map(|i| i as f32).collect();
        let target = (0..nx * ny * nz).map(|i| u8::from(i % nx >= nx / 2)).collect();
        Case::new("a", Volume::new(Grid::new([nx, ny, nz], affine), voxels).unwrap(), target, vec![true; 2])
    }

    fn identity() -> Warp {
        Warp { steps: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], displacement: [None, None, None] }
    }

    fn drawn(dims: usize, sides: [usize; 3], spacing_mm: [f64; 3]) -> impl Iterator<Item = Warp> {
        (0..400).filter_map(move |number| {
            Warp::draw(dims, sides, spacing_mm, &mut Random::new(3, Purpose::Augmentation, number))
        })
    }

    #[test]
    fn without_a_change_the_patch_is_a_block_of_the_case() {
        let case = case();
        let patch = identity().patch(&case, [1, -1, 2], [3, 4, 5]).unwrap();
        let (mut image, mut target) = (Vec::new(), Vec::new());
        let (size, part) = ([3, 4, 5], case.whole().unwrap());
        copy_block(&part.image, SHAPE, [1, -1, 2], size, case.padding[0], |v| image.push(v));
        copy_block(&part.target, SHAPE, [1, -1, 2], size, 0, |v| target.push(v));
        assert_eq!(patch, Patch { sides: size, image, target });
    }

    #[test]
    fn a_rotation_by_90_degrees_puts_rows_in_the_place_of_columns() {
        let case = case();
        let mut warp = identity();
        rotate(&mut warp.steps, [1, 2], std::f64::consts::FRAC_PI_2);
        let [still, rotated] =
            [identity(), warp].map(|warp| warp.patch(&case, [0, 0, 0], [1, 9, 9]).unwrap().image);
        for (y, x) in (0..9).flat_map(|y| (0..9).map(move |x| (y, x))) {
            // Row y of the rotated patch runs along -y of the case, its column x along x.
            assert!((rotated[y * 9 + x] - still[(8 - x) * 9 + y]).abs() < 1e-3, "{y} {x}");
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
        // Voxels of plane 2; voxels outside the image have the value of one of them.
        let plane = 216.0..324.0;
        let case = case().with_image(vec![plane.start], |_| {});
        for warp in drawn(2, [1, 9, 12], [1.0; 3]) {
            assert_eq!((warp.steps[0], warp.displacement[0].is_some()), ([1.0, 0.0, 0.0], false));
            let patch = warp.patch(&case, [2, 0, 0], [1, 9, 12]).unwrap();
            assert!(patch.image.iter().all(|v| plane.contains(v)));
        }
    }

    #[test]
    fn a_case_in_a_file_gives_the_patches_that_it_gives_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.voxels");
        let case = case();
        let whole = case.whole().unwrap();
        VoxelFile::write(&path, &whole.image, &whole.target).unwrap();
        let stored = case.clone().in_file(VoxelFile::new(path, SHAPE, 1));
        let origins = [[1, 0, 1], [-3, -2, -1], [3, 5, 7]];
        for (number, warp) in drawn(3, [4, 8, 10], [1.0; 3]).enumerate() {
            let origin = origins[number % 3];
            let patch = warp.patch(&case, origin, [4, 8, 10]).unwrap();
            assert_eq!(warp.patch(&stored, origin, [4, 8, 10]).unwrap(), patch);
        }
    }

    #[test]
    fn nothing_folds() {
        let sides = [12, 16, 20];
        for warp in drawn(3, sides, [1.0; 3]).filter(|warp| warp.displacement[0].is_some()) {
            let at = |z: usize, y: usize, x: usize| (z * sides[1] + y) * sides[2] + x;
            for (z, y, x) in (0..11).flat_map(|z| (0..15).flat_map(move |y| (0..19).map(move |x| (z, y, x))))
            {
                let next = [at(z + 1, y, x), at(z, y + 1, x), at(z, y, x + 1)];
                for (displacement, next) in warp.displacement.iter().flatten().zip(next) {
                    assert!(1.0 + displacement[next] - displacement[at(z, y, x)] > 0.0);
                }
            }
        }
    }

    #[test]
    fn channels_go_with_the_image() {
        let target = case().whole().unwrap().target.into_owned();
        let case = case().with_image(vec![0.0], |image| *image = target.into_iter().map(f32::from).collect());
        let mut changed = 0;
        for warp in drawn(3, [4, 8, 10], [1.0; 3]) {
            let patch = warp.patch(&case, [1, 0, 1], [4, 8, 10]).unwrap();
            for (value, channel) in patch.image.iter().zip(&patch.target) {
                assert!(*value != 0.0 || *channel == 0, "where there is none of it nothing is labelled");
                assert!(*value < 0.999 || *channel == 1);
            }
            changed += 1;
        }
        // 1 - 0.8^3 = 49% of 400.
        assert!((160..230).contains(&changed), "{changed}");
    }

    #[test]
    fn the_channel_with_the_largest_share_wins() {
        // Voxels along x: channels 1, 2, 2 and background beyond them.
        let part =
            |shape| CasePart { place: BoxZyx::whole(shape), image: Cow::default(), target: Cow::default() };
        let channel = |x: f64| Corners::new(&part([1, 1, 3]), [0.0, 0.0, x]).channel(&[1, 2, 2]);
        let found = [0.0, 0.4, 0.5, 0.6, 1.5, 2.4, 2.5, 2.6].map(channel);
        assert_eq!(found, [1, 1, 1, 2, 2, 2, 0, 0]);
        // Where three meet, the largest wins even below one half.
        let corner = Corners::new(&part([1, 2, 2]), [0.0, 0.45, 0.4]).channel(&[1, 2, 3, 3]);
        assert_eq!(corner, 3);
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
