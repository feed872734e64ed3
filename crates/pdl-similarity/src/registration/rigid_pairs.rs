//! Rigid alignment of every case to those that may show the same person.
//!
//! From coarse to fine: a comparison of small blurred copies leaves [`SCREENED`] cases for each,
//! a coarse alignment of those [`ALIGNED`], and these are aligned and compared finely. Blurring
//! takes away noise, and what interpolation between other voxels changes, both of which differ
//! between two images of one person.

use std::collections::BTreeSet;

use pdl_prepare::proxies::Proxies;
use rayon::prelude::*;

use crate::registration::agreement::agreement;
use crate::registration::rigid_motion::RigidMotion;
use crate::registration::rigid_target::{RigidFreedom, RigidTarget};
use crate::registration::shrink::{blurred, shrunk};

/// Cases that are aligned coarsely to each.
const SCREENED: usize = 100;

/// Cases that are aligned finely to each.
pub const ALIGNED: usize = 16;

/// Most voxels along an axis of the copies that are screened, aligned coarsely, and finely.
const SIDES: [usize; 3] = [8, 16, 32];

/// Stride along each axis of the voxels of the fine and of the coarse copies that are compared
/// during alignment.
const STEP: usize = 2;

/// How often the finest copies are blurred by (1 2 1) / 4 along each axis.
const BLURS: usize = 6;

/// Most Gauss-Newton steps for the coarse shift, the coarse motion and the fine one.
const STEPS: [usize; 3] = [4, 6, 6];

/// Most cases whose fine copies stay in memory.
const MOST_KEPT: usize = 2048;

/// Cases that are in memory together.
const CASES_AT_A_TIME: usize = 64;

/// Two cases after rigid alignment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RigidPair {
    /// Row number in the proxies.
    pub a: usize,
    /// Row number in the proxies, larger than `a`.
    pub b: usize,
    /// From the first case to the second.
    pub motion: RigidMotion,
    /// How much the images agree in their overlap: the mean of -ln(1 - NCC) and of the same of the
    /// pooled structure term of SSIM. From 0 on; each unit is 2.7 times closer to perfect.
    pub agreement: f64,
}

/// Aligns cases to those that resemble them most, for which `wanted` is true (called with row
/// numbers, the smaller first). `boxes_mm` are the sides of the boxes that the proxies show, z, y,
/// x. Every case has at least [`ALIGNED`] pairs, where there are so many. Pairs come in ascending
/// order of row numbers; the result depends on no number of threads.
pub fn rigid_neighbours(
    proxies: &Proxies,
    boxes_mm: &[[f64; 3]],
    wanted: impl Fn(usize, usize) -> bool + Sync,
) -> Vec<RigidPair> {
    let copies = Copies::new(proxies);
    let wanted = |a: usize, b: usize| wanted(a.min(b), a.max(b));
    let coarse = coarse_motions(&copies, boxes_mm, &copies.screened(wanted));
    let chosen = nearest_pairs(&coarse, proxies.len());
    chosen
        .par_chunk_by(|one, other| one.a == other.a)
        .flat_map_iter(|of_one| refined(&copies, boxes_mm, of_one))
        .collect()
}

/// Small copies of all proxies.
struct Copies<'a> {
    proxies: &'a Proxies,
    /// Shapes (z, y, x) of the copies that are screened, aligned coarsely, and finely.
    shapes: [[usize; 3]; 3],
    /// Copies that are screened, each with mean 0 and length 1.
    screened: Vec<Vec<f32>>,
    coarse: Vec<Vec<f32>>,
    /// None where there are too many.
    fine: Option<Vec<Vec<f32>>>,
}

impl<'a> Copies<'a> {
    fn new(proxies: &'a Proxies) -> Self {
        let shapes = SIDES.map(|most| proxies.shape_zyx.map(|side| side.min(most)));
        let mut copies = Self { proxies, shapes, screened: vec![], coarse: vec![], fine: None };
        let keep = proxies.len() <= MOST_KEPT;
        let mut kept = Vec::new();
        for first in (0..proxies.len()).step_by(CASES_AT_A_TIME) {
            let rows = first..(first + CASES_AT_A_TIME).min(proxies.len());
            let one = |row: usize| {
                let fine = copies.made_fine(row);
                let coarse = shrunk(&fine, shapes[2], shapes[1]);
                let screened = directed(shrunk(&coarse, shapes[1], shapes[0]));
                (screened, coarse, keep.then_some(fine))
            };
            let made: Vec<_> = rows.clone().into_par_iter().map(one).collect();
            proxies.release(rows);
            for (screened, coarse, fine) in made {
                copies.screened.push(screened);
                copies.coarse.push(coarse);
                kept.extend(fine);
            }
        }
        copies.fine = keep.then_some(kept);
        copies
    }

    fn made_fine(&self, row: usize) -> Vec<f32> {
        let fine = shrunk(self.proxies.voxels(row), self.proxies.shape_zyx, self.shapes[2]);
        blurred(fine, self.shapes[2], BLURS)
    }

    /// Calls `with` with the fine copy of a case.
    fn with_fine<T>(&self, row: usize, with: impl FnOnce(&[f32]) -> T) -> T {
        match &self.fine {
            Some(fine) => with(&fine[row]),
            None => with(&self.made_fine(row)),
        }
    }

    /// Pairs that are among the [`SCREENED`] most correlated of either case.
    fn screened(&self, wanted: impl Fn(usize, usize) -> bool + Sync) -> Vec<(usize, usize)> {
        let near = |case: usize| {
            let own = &self.screened[case];
            let product =
                |other: usize| -> f32 { own.iter().zip(&self.screened[other]).map(|(a, b)| a * b).sum() };
            let others = (0..self.screened.len()).filter(|other| *other != case && wanted(case, *other));
            let mut others: Vec<(f32, usize)> = others.map(|other| (product(other), other)).collect();
            others.sort_by(|(a, i), (b, j)| b.total_cmp(a).then(i.cmp(j)));
            others.truncate(SCREENED);
            others.into_iter().map(move |(_, other)| (case.min(other), case.max(other)))
        };
        let pairs: BTreeSet<(usize, usize)> =
            (0..self.screened.len()).into_par_iter().flat_map_iter(near).collect();
        pairs.into_iter().collect()
    }
}

/// Less its mean and of length 1; 0 where it is of one intensity.
fn directed(mut voxels: Vec<f32>) -> Vec<f32> {
    let mean = voxels.iter().sum::<f32>() / voxels.len().max(1) as f32;
    voxels.iter_mut().for_each(|value| *value -= mean);
    let length = voxels.iter().map(|value| value * value).sum::<f32>().sqrt();
    let scale = if length > 1e-6 { 1.0 / length } else { 0.0 };
    voxels.iter_mut().for_each(|value| *value *= scale);
    voxels
}

/// A pair after coarse alignment.
#[derive(Clone, Copy)]
struct CoarsePair {
    a: usize,
    b: usize,
    motion: RigidMotion,
    correlation: f64,
}

/// Aligns pairs, ascending, by their coarse copies.
fn coarse_motions(copies: &Copies<'_>, boxes_mm: &[[f64; 3]], pairs: &[(usize, usize)]) -> Vec<CoarsePair> {
    let of_one = |pairs: &[(usize, usize)]| {
        let case = pairs[0].0;
        let target = RigidTarget::new(&copies.coarse[case], copies.shapes[1], boxes_mm[case], STEP);
        let align = |&(a, b): &(usize, usize)| {
            let moving = &copies.coarse[b];
            let start = RigidMotion::IDENTITY;
            let start = target.align(moving, boxes_mm[b], start, RigidFreedom::Shift, STEPS[0]).0;
            let (motion, correlation) =
                target.align(moving, boxes_mm[b], start, RigidFreedom::Rigid, STEPS[1]);
            CoarsePair { a, b, motion, correlation }
        };
        pairs.iter().map(align).collect::<Vec<_>>()
    };
    pairs.par_chunk_by(|one, other| one.0 == other.0).flat_map_iter(of_one).collect()
}

/// The pairs that are among the [`ALIGNED`] most correlated of either case; ties by row numbers.
fn nearest_pairs(pairs: &[CoarsePair], cases: usize) -> Vec<CoarsePair> {
    let mut of_case: Vec<Vec<usize>> = vec![Vec::new(); cases];
    for (number, pair) in pairs.iter().enumerate() {
        of_case[pair.a].push(number);
        of_case[pair.b].push(number);
    }
    let mut chosen = BTreeSet::new();
    for mut numbers in of_case {
        numbers.sort_by(|i, j| pairs[*j].correlation.total_cmp(&pairs[*i].correlation).then(i.cmp(j)));
        chosen.extend(numbers.into_iter().take(ALIGNED));
    }
    chosen.into_iter().map(|number| pairs[number]).collect()
}

/// The fine alignment of pairs with one first case.
fn refined(copies: &Copies<'_>, boxes_mm: &[[f64; 3]], pairs: &[CoarsePair]) -> Vec<RigidPair> {
    let case = pairs[0].a;
    let shape = copies.shapes[2];
    copies.with_fine(case, |fixed| {
        let target = RigidTarget::new(fixed, shape, boxes_mm[case], STEP);
        let refine = |&CoarsePair { a, b, motion, .. }: &CoarsePair| {
            copies.with_fine(b, |moving| {
                let motion = target.align(moving, boxes_mm[b], motion, RigidFreedom::Rigid, STEPS[2]).0;
                let map = motion.in_unit_coordinates(boxes_mm[a], boxes_mm[b]);
                let agreement = agreement(fixed, moving, shape, &map)?;
                Some(RigidPair { a, b, motion, agreement })
            })
        };
        pairs.iter().filter_map(refine).collect()
    })
}
