//! The vote of similar cases on a case's labels.
//!
//! Locally weighted voting (Artaechevarria, Munoz-Barrutia and Ortiz-de-Solorzano 2009): in every
//! cell a voter is weighted by the local similarity of the two images, with the inverse power of
//! their distance: 1 / (e + d)^3, where d is the mean squared difference over 3 x 3 x 3
//! cells of images in standard deviations.

use std::collections::BTreeMap;

use crate::label_audit::label_cells::{LabelCells, RegionGrid};

/// The difference of intensities, in variances, below which voters differ little in weight.
const NOISE: f32 = 0.1;

/// Levels of an image to a standard deviation.
const LEVELS: f64 = 32.0;

/// A case in the region of the template.
#[derive(Clone, Debug)]
pub(super) struct RegionCase {
    /// Intensities of the region's cells, 128 at their mean, [`LEVELS`] to a standard deviation.
    pub image: Vec<u8>,
    /// Each label that it has: cells of the region with the fraction that it fills.
    pub labels: BTreeMap<u16, Vec<(u32, f32)>>,
    /// The labels that were looked for in it, ascending.
    pub annotated: Vec<u16>,
}

/// The levels of intensities, by their own mean and standard deviation.
pub(super) fn levels(values: &[f32]) -> Vec<u8> {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let variance = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
    let scale = LEVELS / variance.sqrt().max(1e-6);
    values
        .iter()
        .map(|value| ((f64::from(*value) - mean) * scale + 128.0).round().clamp(0.0, 255.0) as u8)
        .collect()
}

/// Vote of the similar cases on one label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Consensus {
    /// Fraction of every cell that the label fills.
    pub shares: Vec<f32>,
    /// Voters in which it was looked for.
    pub voters: usize,
    /// Number of voters that have the label.
    pub with: usize,
}

impl Consensus {
    /// The fraction of the template that the label fills, and its centroid in unit coordinates.
    pub(super) fn moments(&self, grid: &RegionGrid) -> (f64, [f64; 3]) {
        let label = LabelCells {
            value: 0,
            cells: (0..).zip(self.shares.iter().copied()).filter(|(_, share)| *share > 0.0).collect(),
        };
        let (volume, centroid) = label.moments(grid.shape);
        let sides = grid.sides();
        let at = std::array::from_fn(|axis| grid.region.low[axis] + (centroid[axis] + 0.5) * sides[axis]);
        (volume * sides.iter().product::<f64>(), at)
    }

    /// The fraction of the template that the label of a case and this one have in common.
    pub(super) fn shared(&self, own: &[(u32, f32)], grid: &RegionGrid) -> f64 {
        let both = own.iter().map(|(cell, share)| f64::from(share.min(self.shares[*cell as usize])));
        both.sum::<f64>() * grid.cell_volume()
    }
}

/// The vote of `voters` on every label of `values` that one of them was searched for.
pub(super) fn vote(
    case: &RegionCase,
    voters: &[&RegionCase],
    values: &[u16],
    shape: [usize; 3],
) -> BTreeMap<u16, Consensus> {
    let sum = |voters: &[usize], weights: &[Vec<f32>]| {
        let mut whole = vec![0.0_f32; case.image.len()];
        for voter in voters {
            whole.iter_mut().zip(&weights[*voter]).for_each(|(sum, weight)| *sum += weight);
        }
        whole
    };
    let weights: Vec<Vec<f32>> =
        voters.iter().map(|voter| weights(&case.image, &voter.image, shape)).collect();
    let all: Vec<usize> = (0..voters.len()).collect();
    let of_all = sum(&all, &weights);
    let of_label = |value: u16| {
        let looked: Vec<usize> = (0..voters.len())
            .filter(|voter| voters[*voter].annotated.binary_search(&value).is_ok())
            .collect();
        let of_some = (looked.len() < voters.len()).then(|| sum(&looked, &weights));
        let whole = of_some.as_ref().unwrap_or(&of_all);
        let mut shares = vec![0.0_f32; case.image.len()];
        for voter in &looked {
            let own = voters[*voter].labels.get(&value).map_or(&[][..], Vec::as_slice);
            own.iter()
                .for_each(|(cell, share)| shares[*cell as usize] += share * weights[*voter][*cell as usize]);
        }
        shares
            .iter_mut()
            .zip(whole)
            .filter(|(share, _)| **share > 0.0)
            .for_each(|(share, whole)| *share /= whole);
        let with = looked.iter().filter(|voter| voters[**voter].labels.contains_key(&value)).count();
        Consensus { shares, voters: looked.len(), with }
    };
    let votes = values.iter().map(|value| (*value, of_label(*value)));
    votes.filter(|(_, consensus)| consensus.voters > 0).collect()
}

/// How much a voter counts in each cell.
fn weights(own: &[u8], other: &[u8], shape: [usize; 3]) -> Vec<f32> {
    let squares = own.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).collect();
    let scale = 1.0 / (27.0 * (LEVELS * LEVELS) as f32);
    let weight = |sum: u32| {
        let distance = NOISE + sum as f32 * scale;
        1.0 / (distance * distance * distance)
    };
    box_sums(squares, shape).into_iter().map(weight).collect()
}

/// The sum over the 3 x 3 x 3 cells about each; beyond the border as at the border.
fn box_sums(mut values: Vec<u32>, [nz, ny, nx]: [usize; 3]) -> Vec<u32> {
    let mut row = vec![0; nx];
    for line in values.chunks_exact_mut(nx) {
        row.copy_from_slice(line);
        for (x, sum) in line.iter_mut().enumerate() {
            *sum += row[x.saturating_sub(1)] + row[(x + 1).min(nx - 1)];
        }
    }
    let lines = across(&values, nz, ny, nx);
    across(&lines, 1, nz, ny * nx)
}

/// The sums of each of `rows` rows of `length` and the two beside it, in each of `slabs` slabs.
fn across(values: &[u32], slabs: usize, rows: usize, length: usize) -> Vec<u32> {
    let mut sums = values.to_vec();
    for slab in 0..slabs {
        let row = |row: usize| (slab * rows + row) * length;
        for at in 0..rows {
            for beside in [at.saturating_sub(1), (at + 1).min(rows - 1)] {
                let (to, from) = (row(at)..row(at) + length, row(beside)..row(beside) + length);
                sums[to].iter_mut().zip(&values[from]).for_each(|(sum, value)| *sum += value);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_similarity::registration::UnitBox;

    const SHAPE: [usize; 3] = [3, 3, 3];

    fn case(level: u8, cells: &[u32], annotated: &[u16]) -> RegionCase {
        let labels = [(1, cells.iter().map(|cell| (*cell, 1.0)).collect::<Vec<_>>())];
        let labels = labels.into_iter().filter(|(_, cells)| !cells.is_empty()).collect();
        RegionCase { image: vec![level; 27], labels, annotated: annotated.to_vec() }
    }

    #[test]
    fn sums_repeat_the_border() {
        assert_eq!(box_sums(vec![1; 27], SHAPE), [27; 27]);
        let mut one = vec![0; 27];
        one[0] = 1;
        let sums = box_sums(one, SHAPE);
        assert_eq!((sums[0], sums[1], sums[13], sums[26]), (8, 4, 1, 0));
    }

    #[test]
    fn voters_count_by_likeness() {
        // Two voters equal to the case, one at a distance of a standard deviation.
        let voters = [case(128, &[0, 1], &[1]), case(128, &[0], &[1]), case(160, &[5], &[1])];
        let voters: Vec<&RegionCase> = voters.iter().collect();
        let own = case(128, &[0], &[1]);
        let found = &vote(&own, &voters, &[1], SHAPE)[&1];
        let (near, far) = (1.0 / 0.1_f32.powi(3), 1.0 / 1.1_f32.powi(3));
        let all = 2.0 * near + far;
        for (cell, expected) in [(0, 2.0 * near / all), (1, near / all), (5, far / all), (6, 0.0)] {
            assert!((found.shares[cell] - expected).abs() < 1e-6, "{cell}: {}", found.shares[cell]);
        }
        let grid = RegionGrid { region: UnitBox { low: [-0.5; 3], high: [0.5; 3] }, shape: SHAPE };
        assert!((found.shared(&own.labels[&1], &grid) - f64::from(2.0 * near / all) / 27.0).abs() < 1e-8);
    }

    #[test]
    fn who_was_not_searched_for_a_label_has_no_vote_on_it() {
        let voters = [case(128, &[0], &[1]), case(128, &[], &[]), case(128, &[], &[1])];
        let voters: Vec<&RegionCase> = voters.iter().collect();
        let found = &vote(&case(128, &[0], &[1]), &voters, &[1], SHAPE)[&1];
        assert_eq!((found.voters, found.with, found.shares[0]), (2, 1, 0.5));
        assert!(vote(&case(128, &[], &[]), &voters[1..2], &[1], SHAPE).is_empty());
    }
}
