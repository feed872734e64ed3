//! Alignment of a whole cohort to its own mean image.
//!
//! Every case is aligned to one template instead of to each of its neighbours: as many alignments
//! as cases, and a map between any two of them. The template is the mean of the cases as they are
//! aligned so far (Guimond, Meunier and Thirion 2000), first of whole images, then of the region
//! that matters, at twice the resolution.

use std::borrow::Cow;
use std::ops::Range;

use pdl_prepare::proxies::Proxies;
use rayon::prelude::*;

use crate::registration::gauss_newton::{Freedom, Sums, Target, moments, sample};
use crate::registration::shrink::shrunk;
use crate::registration::unit_affine::UnitAffine;

/// Most voxels along an axis while whole images are aligned.
const COARSE: usize = 16;

/// Most voxels along an axis while the region is aligned.
const FINE: usize = 32;

/// Most voxels along an axis at which shifts are searched for.
const SEARCHED: usize = 8;

/// The largest shift that is searched for, in voxels of that size.
const REACH: isize = 2;

/// How often all cases are aligned to their mean, whole and in the region.
const ROUNDS: usize = 2;

/// Most Gauss-Newton steps of a round.
const STEPS: usize = 6;

/// Fraction of the mean curvature that holds back whole images and the region.
const DAMPING: [f64; 2] = [1e-3, 3e-3];

/// The region that is aligned reaches this far beyond the labels, as a fraction of a side.
const MARGIN: f64 = 5.0 / 64.0;

/// Most points at which the region is compared.
const MOST_POINTS: usize = 4096;

/// Most cases whose small copies stay in memory from one pass to the next.
const MOST_KEPT: usize = 2048;

/// Cases that are in memory together.
const CASES_AT_A_TIME: usize = 32;

/// A box in unit coordinates, z, y, x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitBox {
    /// The corner with the smallest coordinates.
    pub low: [f64; 3],
    /// The corner with the largest.
    pub high: [f64; 3],
}

impl UnitBox {
    /// The box about the corners of this one under a map.
    #[must_use]
    pub fn mapped(&self, map: &UnitAffine) -> Self {
        let corner = |bits: usize| {
            std::array::from_fn(|axis| if bits >> axis & 1 == 0 { self.low[axis] } else { self.high[axis] })
        };
        let corners: Vec<[f64; 3]> = (0..8).map(|bits| map.apply(corner(bits))).collect();
        let most = |pick: fn(f64, f64) -> f64, start| {
            std::array::from_fn(|axis| corners.iter().map(|corner| corner[axis]).fold(start, pick))
        };
        Self { low: most(f64::min, f64::INFINITY), high: most(f64::max, f64::NEG_INFINITY) }
    }

    /// The medians of the sides of several boxes, wider by `margin` and within the whole; the whole
    /// where there is no box.
    fn median(boxes: &[Self], margin: f64) -> Self {
        let middle = |side: &dyn Fn(&Self) -> f64, none: f64| {
            let mut values: Vec<f64> = boxes.iter().map(side).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(none)
        };
        Self {
            low: std::array::from_fn(|axis| (middle(&|own| own.low[axis], -0.5) - margin).clamp(-0.5, 0.4)),
            high: std::array::from_fn(|axis| (middle(&|own| own.high[axis], 0.5) + margin).clamp(-0.4, 0.5)),
        }
    }

    /// The voxels of a grid that it covers; at least one along each axis.
    fn voxels(&self, shape: [usize; 3]) -> [Range<usize>; 3] {
        std::array::from_fn(|axis| {
            let side = shape[axis] as f64;
            let first = (((self.low[axis] + 0.5) * side).floor().max(0.0) as usize).min(shape[axis] - 1);
            let end = (((self.high[axis] + 0.5) * side).ceil().max(0.0) as usize).min(shape[axis]);
            first..end.max(first + 1)
        })
    }
}

/// The alignment of the cases of a cohort to a common template.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupAlignment {
    /// For each case the map from the template to its proxy.
    pub maps: Vec<UnitAffine>,
    /// The part of the template in which labels lie.
    pub region: UnitBox,
}

/// Aligns the proxies of `rows` to their mean, affinely. `boxes` are the boxes that hold the labels
/// of each, where it has some. The result depends on no number of threads.
///
/// # Panics
/// When there is no such row.
pub fn align_group(proxies: &Proxies, rows: &[usize], boxes: &[Option<UnitBox>]) -> GroupAlignment {
    let (coarse, fine) = (limited(proxies.shape_zyx, COARSE), limited(proxies.shape_zyx, FINE));
    let group = Group::new(proxies, rows, fine);
    let mut maps = vec![UnitAffine::IDENTITY; rows.len()];
    let mut mean = group.pass(&mut maps, coarse, Some(coarse), |_, _| None);
    for round in 0..ROUNDS {
        let target = Target::new(&mean, coarse, coarse.map(|side| 0..side), [1; 3]);
        let search = (round == 0).then(|| ShiftSearch::new(&mean, coarse));
        let next = if round + 1 < ROUNDS { coarse } else { fine };
        mean = group.pass(&mut maps, coarse, Some(next), |image, map| {
            let start = search.as_ref().map_or(map, |search| search.best(image));
            let start =
                if round == 0 { target.align(image, start, Freedom::Shift, STEPS / 2).0 } else { start };
            Some(target.align(image, start, Freedom::Affine { damping: DAMPING[0] }, STEPS).0)
        });
    }
    let region = labelled_region(&maps, boxes);
    for round in 0..ROUNDS {
        let part = region.voxels(fine);
        let target = Target::new(&mean, fine, part.clone(), steps(&part));
        let next = (round + 1 < ROUNDS).then_some(fine);
        mean = group.pass(&mut maps, fine, next, |image, map| {
            let start = target.align(image, map, Freedom::Shift, STEPS / 2).0;
            Some(target.align(image, start, Freedom::Affine { damping: DAMPING[1] }, STEPS).0)
        });
    }
    let region = labelled_region(&maps, boxes);
    GroupAlignment { maps, region }
}

/// Where the labels of most cases lie in the template.
fn labelled_region(maps: &[UnitAffine], boxes: &[Option<UnitBox>]) -> UnitBox {
    let placed = maps.iter().zip(boxes).filter_map(|(map, own)| Some((*own)?.mapped(&map.inverse()?)));
    UnitBox::median(&placed.collect::<Vec<_>>(), MARGIN)
}

/// Which voxels of a box are compared, such as every second along an axis: as many as may be,
/// spread evenly.
fn steps(part: &[Range<usize>; 3]) -> [usize; 3] {
    let mut steps = [1; 3];
    let points = |axis: usize, steps: &[usize; 3]| part[axis].len().div_ceil(steps[axis]);
    while (0..3).map(|axis| points(axis, &steps)).product::<usize>() > MOST_POINTS {
        let most = (0..3).max_by_key(|axis| (points(*axis, &steps), *axis)).unwrap_or(0);
        steps[most] += 1;
    }
    steps
}

fn limited(shape: [usize; 3], most: usize) -> [usize; 3] {
    shape.map(|side| side.min(most))
}

/// The cases that are aligned together.
struct Group<'a> {
    proxies: &'a Proxies,
    rows: &'a [usize],
    /// Shape of the small copies, z, y, x.
    small: [usize; 3],
    /// The small copies, unless there are too many.
    kept: Option<Vec<Vec<f32>>>,
}

impl<'a> Group<'a> {
    fn new(proxies: &'a Proxies, rows: &'a [usize], small: [usize; 3]) -> Self {
        let mut group = Self { proxies, rows, small, kept: None };
        if rows.len() <= MOST_KEPT {
            let kept = rows.par_iter().map(|row| group.shrunk_proxy(*row)).collect();
            rows.iter().for_each(|row| proxies.release(*row..*row + 1));
            group.kept = Some(kept);
        }
        group
    }

    fn shrunk_proxy(&self, row: usize) -> Vec<f32> {
        shrunk(self.proxies.voxels(row), self.proxies.shape_zyx, self.small)
    }

    /// Shows each case at `shape` with its map to `align`, which may give a better one. Returns the
    /// mean of all cases under their maps at the shape `next`, each less its own mean and in its
    /// own standard deviations; nothing where there is no next shape.
    fn pass(
        &self,
        maps: &mut [UnitAffine],
        shape: [usize; 3],
        next: Option<[usize; 3]>,
        align: impl Fn(&[f32], UnitAffine) -> Option<UnitAffine> + Sync,
    ) -> Vec<f32> {
        let one = |(case, map): (usize, &mut UnitAffine)| {
            let read = self.kept.is_none().then(|| self.shrunk_proxy(self.rows[case]));
            let small = match (&read, &self.kept) {
                (Some(read), _) => read,
                (None, Some(kept)) => &kept[case],
                (None, None) => return Vec::new(),
            };
            let at = |shape: [usize; 3]| match shape == self.small {
                true => Cow::Borrowed(small.as_slice()),
                false => Cow::Owned(shrunk(small, self.small, shape)),
            };
            *map = align(&at(shape), *map).unwrap_or(*map);
            next.map_or_else(Vec::new, |next| standardised(warped(&at(next), next, map)))
        };
        let mut mean = vec![0.0_f32; next.map_or(0, |next| next.iter().product())];
        let scale = 1.0 / self.rows.len().max(1) as f32;
        for (chunk, maps) in maps.chunks_mut(CASES_AT_A_TIME).enumerate() {
            let first = chunk * CASES_AT_A_TIME;
            let cases = maps.par_iter_mut().enumerate().map(|(place, map)| (first + place, map));
            let warped: Vec<Vec<f32>> = cases.map(one).collect();
            for image in &warped {
                mean.iter_mut().zip(image).for_each(|(sum, value)| *sum += scale * value);
            }
            if self.kept.is_none() {
                let rows = self.rows.iter().skip(first).take(CASES_AT_A_TIME);
                rows.for_each(|row| self.proxies.release(*row..*row + 1));
            }
        }
        mean
    }
}

/// A C array of `shape` seen through a map from another box; beyond its border as at its border.
fn warped(voxels: &[f32], shape: [usize; 3], map: &UnitAffine) -> Vec<f32> {
    if *map == UnitAffine::IDENTITY {
        return voxels.to_vec();
    }
    let sides = shape.map(|side| side as f64);
    let mut image = Vec::with_capacity(voxels.len());
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                let at = [z, y, x];
                let unit = std::array::from_fn(|axis| (at[axis] as f64 + 0.5) / sides[axis] - 0.5);
                let there = map.apply(unit);
                let voxel = std::array::from_fn(|axis| ((there[axis] + 0.5) * sides[axis] - 0.5) as f32);
                image.push(sample(voxels, shape, voxel));
            }
        }
    }
    image
}

fn standardised(mut voxels: Vec<f32>) -> Vec<f32> {
    let (mean, deviation) = moments(&voxels);
    let scale = 1.0 / deviation.max(1e-6);
    voxels.iter_mut().for_each(|value| *value = ((f64::from(*value) - mean) * scale) as f32);
    voxels
}

/// The value of a proxy at unit coordinates by linear interpolation; beyond its border as at its
/// border.
///
/// # Panics
/// When the voxels do not fill the shape (z, y, x).
pub fn value_at(voxels: &[f32], shape: [usize; 3], at: [f64; 3]) -> f32 {
    sample(voxels, shape, std::array::from_fn(|axis| ((at[axis] + 0.5) * shape[axis] as f64 - 0.5) as f32))
}

/// Search for the shift in whole voxels of a small copy that correlates best.
struct ShiftSearch {
    fixed: Vec<f32>,
    from: [usize; 3],
    shape: [usize; 3],
}

impl ShiftSearch {
    fn new(fixed: &[f32], from: [usize; 3]) -> Self {
        let shape = limited(from, SEARCHED);
        Self { fixed: shrunk(fixed, from, shape), from, shape }
    }

    /// The best shift of a C array; of equals the one that comes first, shorter ones being
    /// preferred by a hundredth of a correlation a voxel.
    fn best(&self, image: &[f32]) -> UnitAffine {
        let moving = shrunk(image, self.from, self.shape);
        let reach = self.shape.map(|side| REACH.min(side as isize / 4));
        let mut best = (f64::NEG_INFINITY, [0; 3]);
        for z in -reach[0]..=reach[0] {
            for y in -reach[1]..=reach[1] {
                for x in -reach[2]..=reach[2] {
                    let length = ((z * z + y * y + x * x) as f64).sqrt();
                    let value = self.correlation(&moving, [z, y, x]) - 0.01 * length;
                    if value > best.0 {
                        best = (value, [z, y, x]);
                    }
                }
            }
        }
        let mut rows = *UnitAffine::IDENTITY.rows();
        (0..3).for_each(|axis| rows[axis][3] = best.1[axis] as f64 / self.shape[axis] as f64);
        UnitAffine::from_rows(rows)
    }

    fn correlation(&self, moving: &[f32], shift: [isize; 3]) -> f64 {
        let places = |axis: usize| {
            let side = self.shape[axis] as isize;
            (0.max(-shift[axis])..side.min(side - shift[axis])).map(|at| at as usize)
        };
        let there = |axis: usize, at: usize| at.wrapping_add_signed(shift[axis]);
        let mut sums = Sums::default();
        for z in places(0) {
            for y in places(1) {
                let row = |z: usize, y: usize| (z * self.shape[1] + y) * self.shape[2];
                let (own, theirs) = (row(z, y), row(there(0, z), there(1, y)));
                for x in places(2) {
                    sums.add(f64::from(self.fixed[own + x]), f64::from(moving[theirs + there(2, x)]));
                }
            }
        }
        sums.overlap().map_or(0.0, |overlap| overlap.correlation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [28, 32, 24];

    /// Spots without symmetry, seen through a map.
    fn spots(map: &UnitAffine) -> Vec<f32> {
        let spot = |at: [f64; 3], centre: [f64; 3], width: f64| {
            let far: f64 = (0..3).map(|axis| (at[axis] - centre[axis]).powi(2)).sum();
            (-far / (width * width)).exp()
        };
        let mut voxels = Vec::new();
        for z in 0..SHAPE[0] {
            for y in 0..SHAPE[1] {
                for x in 0..SHAPE[2] {
                    let place = [z, y, x];
                    let unit =
                        std::array::from_fn(|axis| (place[axis] as f64 + 0.5) / SHAPE[axis] as f64 - 0.5);
                    let at = map.apply(unit);
                    let value = spot(at, [0.0, 0.0, 0.0], 0.3) + 0.8 * spot(at, [0.15, -0.1, 0.2], 0.2)
                        - 0.7 * spot(at, [-0.2, 0.2, -0.1], 0.25)
                        + 0.6 * spot(at, [-0.1, -0.2, -0.2], 0.2);
                    voxels.push(value as f32);
                }
            }
        }
        voxels
    }

    #[test]
    fn a_known_affine_map_is_found_again() {
        let known = UnitAffine::from_rows([
            [1.04, 0.05, 0.0, 0.03],
            [-0.04, 0.96, 0.03, -0.03],
            [0.02, -0.03, 1.03, 0.02],
        ]);
        let fixed = spots(&UnitAffine::IDENTITY);
        let moving = spots(&known);
        let target = Target::new(&fixed, SHAPE, SHAPE.map(|side| 0..side), [1; 3]);
        let search = ShiftSearch::new(&fixed, SHAPE);
        let start = target.align(&moving, search.best(&moving), Freedom::Shift, 5).0;
        let (found, correlation) = target.align(&moving, start, Freedom::Affine { damping: 1e-4 }, 30);
        // `moving` at p shows the pattern at known(p), so the pattern at q lies at known^-1(q).
        let expected = known.inverse().unwrap();
        for (row, expected) in found.rows().iter().zip(expected.rows()) {
            for (value, expected) in row.iter().zip(expected) {
                assert!((value - expected).abs() < 0.02, "{found:?} {expected:?}");
            }
        }
        assert!(correlation > 0.999, "{correlation}");
    }

    #[test]
    fn a_plane_and_a_constant_image_harm_nothing() {
        let shape = [1, 16, 16];
        let plane: Vec<f32> =
            (0..256).map(|i| ((i % 16) as f32 * 0.4).sin() + (i / 16) as f32 * 0.05).collect();
        let target = Target::new(&plane, shape, shape.map(|side| 0..side), [1; 3]);
        let (map, correlation) =
            target.align(&plane, UnitAffine::IDENTITY, Freedom::Affine { damping: 1e-3 }, 6);
        assert!(correlation > 0.9999 && (map.determinant() - 1.0).abs() < 1e-3, "{map:?} {correlation}");
        let flat = vec![0.5; 256];
        let (map, _) = target.align(&flat, UnitAffine::IDENTITY, Freedom::Affine { damping: 1e-3 }, 6);
        assert_eq!(map, UnitAffine::IDENTITY);
        let nothing = Target::new(&flat, shape, shape.map(|side| 0..side), [1; 3]);
        assert_eq!(nothing.align(&plane, UnitAffine::IDENTITY, Freedom::Shift, 3).0, UnitAffine::IDENTITY);
    }

    #[test]
    fn a_box_follows_the_map() {
        let half = UnitBox { low: [-0.25; 3], high: [0.25; 3] };
        let map = UnitAffine::from_rows([[2.0, 0.0, 0.0, 0.1], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
        let found = half.mapped(&map);
        assert_eq!((found.low, found.high), ([-0.4, -0.25, -0.25], [0.6, 0.25, 0.25]));
        assert_eq!(half.voxels([8, 4, 1]), [2..6, 1..3, 0..1]);
    }
}
