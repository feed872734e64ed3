//! Lesion-wise detection: connected components of a structure that are detected, missed or false
//! positive.
//!
//! Components are of voxels that share a face, an edge or a corner (26 neighbours; 8 in a plane),
//! as `scipy.ndimage.label` finds them with a structure of ones. A lesion of the reference is found
//! if the prediction has a voxel in it; a predicted one is a false positive if no voxel of it is in
//! the reference.

use serde::Serialize;

/// Components of one structure in one case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lesions {
    /// Components of the reference.
    pub drawn: u32,
    /// Lesions of the reference that the prediction overlaps.
    pub found: u32,
    /// Components of the prediction.
    pub predicted: u32,
    /// Predicted lesions that do not overlap the reference.
    pub false_positive: u32,
}

impl Lesions {
    /// Compares two masks of the same voxels, `shape` along z, y, x.
    pub fn of(drawn: &[bool], predicted: &[bool], shape: [usize; 3]) -> Self {
        let of_drawn = Components::of(drawn, shape);
        let of_predicted = Components::of(predicted, shape);
        let found = of_drawn.overlapped_by(|voxel| predicted[voxel]);
        let right = of_predicted.overlapped_by(|voxel| drawn[voxel]);
        Self {
            drawn: of_drawn.count,
            found,
            predicted: of_predicted.count,
            false_positive: of_predicted.count - right,
        }
    }
}

/// Lesion-wise detection of one structure over the cases that were annotated for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LesionDetection {
    /// Connected components of the references.
    pub lesions: u64,
    /// Connected components of the predictions.
    pub predicted_lesions: u64,
    /// Fraction of the reference's lesions that are found; null without lesions.
    pub lesion_sensitivity: Option<f64>,
    /// Fraction of the predicted lesions that overlap the reference; null without predicted ones.
    pub lesion_precision: Option<f64>,
    /// Mean number of predicted lesions of a case that do not overlap the reference; null without
    /// cases.
    pub false_positive_lesions_per_case: Option<f64>,
    /// Whether the number of lesions differs between the cases, as for tumours and not for organs.
    pub lesions_vary: bool,
}

impl LesionDetection {
    /// Counts the lesions of all annotated cases together.
    pub fn of(cases: &[Lesions]) -> Self {
        let sum = |figure: fn(&Lesions) -> u32| cases.iter().map(|case| u64::from(figure(case))).sum::<u64>();
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let (lesions, predicted_lesions) = (sum(|case| case.drawn), sum(|case| case.predicted));
        let false_positive = sum(|case| case.false_positive);
        Self {
            lesions,
            predicted_lesions,
            lesion_sensitivity: share(sum(|case| case.found), lesions),
            lesion_precision: share(predicted_lesions - false_positive, predicted_lesions),
            false_positive_lesions_per_case: share(false_positive, cases.len() as u64),
            lesions_vary: cases.windows(2).any(|pair| pair[0].drawn != pair[1].drawn),
        }
    }
}

/// The connected components of a mask.
struct Components {
    /// Voxels of the mask, each with its component from 0.
    voxels: Vec<(usize, u32)>,
    count: u32,
}

impl Components {
    /// Labels the connected components in two passes with disjoint sets; `shape` is along z, y, x.
    fn of(mask: &[bool], shape: [usize; 3]) -> Self {
        let inside: Vec<usize> = (0..mask.len()).filter(|voxel| mask[*voxel]).collect();
        let mut sets = DisjointSets { parents: (0..inside.len() as u32).collect() };
        let [_, ny, nx] = shape;
        // Places in `inside` of the voxels of the present plane and of the one before it.
        let mut places = vec![0_u32; 2 * ny * nx];
        let in_planes = |[z, y, x]: [usize; 3]| (z % 2 * ny + y) * nx + x;
        for (place, &voxel) in inside.iter().enumerate() {
            let at = [voxel / (nx * ny), voxel / nx % ny, voxel % nx];
            places[in_planes(at)] = place as u32;
            for neighbour in earlier_neighbours(at, shape) {
                let [z, y, x] = neighbour;
                if mask[(z * ny + y) * nx + x] {
                    sets.join(place as u32, places[in_planes(neighbour)]);
                }
            }
        }
        let mut numbers = vec![u32::MAX; inside.len()];
        let mut count = 0;
        let mut voxels = Vec::with_capacity(inside.len());
        for (place, voxel) in inside.into_iter().enumerate() {
            let number = &mut numbers[sets.root(place as u32) as usize];
            if *number == u32::MAX {
                *number = count;
                count += 1;
            }
            voxels.push((voxel, *number));
        }
        Self { voxels, count }
    }

    /// Number of components with a voxel for which `is_in` is true.
    fn overlapped_by(&self, is_in: impl Fn(usize) -> bool) -> u32 {
        let mut overlapped = vec![false; self.count as usize];
        self.voxels
            .iter()
            .filter(|(voxel, _)| is_in(*voxel))
            .for_each(|(_, component)| overlapped[*component as usize] = true);
        overlapped.into_iter().map(u32::from).sum()
    }
}

/// The ones of the 13 neighbours (z, y, x) before a voxel in C order that are in a volume.
fn earlier_neighbours(at: [usize; 3], shape: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    let steps = (0..13_usize).map(|n| [n / 9, n / 3 % 3, n % 3]);
    steps.filter_map(move |step| {
        let mut neighbour = [0; 3];
        for (axis, neighbour) in neighbour.iter_mut().enumerate() {
            // A step of 0, 1, 2 is one voxel back, none, or one voxel on.
            *neighbour = (at[axis] + step[axis]).checked_sub(1).filter(|at| *at < shape[axis])?;
        }
        Some(neighbour)
    })
}

/// Sets of numbers, each named by its smallest.
struct DisjointSets {
    parents: Vec<u32>,
}

impl DisjointSets {
    fn root(&mut self, mut of: u32) -> u32 {
        while self.parents[of as usize] != of {
            let next = self.parents[self.parents[of as usize] as usize];
            self.parents[of as usize] = next;
            of = next;
        }
        of
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b) as usize] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Golden {
        shape: [usize; 3],
        drawn: Vec<u8>,
        predicted: Vec<u8>,
        lesions: [u32; 4],
    }

    fn mask(voxels: &[u8]) -> Vec<bool> {
        voxels.iter().map(|voxel| *voxel == 1).collect()
    }

    /// Counts by scipy.ndimage.label (tests/golden/scripts/lesions.py).
    #[test]
    fn components_are_those_that_scipy_finds() {
        let golden = include_str!("../../../tests/golden/data/lesions.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        let cases: Vec<Golden> = serde_json::from_value(golden["cases"].clone()).unwrap();
        assert!(cases.len() > 4);
        let mut all = Vec::new();
        for case in cases {
            let lesions = Lesions::of(&mask(&case.drawn), &mask(&case.predicted), case.shape);
            let Lesions { drawn, found, predicted, false_positive } = lesions;
            assert_eq!([drawn, found, predicted, false_positive], case.lesions);
            all.push(lesions);
        }
        let detection = LesionDetection::of(&all);
        let expected = |name: &str| golden["cohort"][name].as_f64().unwrap();
        let close = |figure: Option<f64>, name: &str| (figure.unwrap() - expected(name)).abs() < 1e-12;
        assert!(close(detection.lesion_sensitivity, "sensitivity"));
        assert!(close(detection.lesion_precision, "precision"));
        assert!(close(detection.false_positive_lesions_per_case, "false_positives_per_case"));
    }

    #[test]
    fn what_is_absent_from_everything_has_no_share() {
        let empty = Lesions::of(&[false; 8], &[false; 8], [2, 2, 2]);
        assert_eq!(empty, Lesions::default());
        let detection = LesionDetection::of(&[empty]);
        assert_eq!((detection.lesion_sensitivity, detection.lesion_precision), (None, None));
        assert_eq!(detection.false_positive_lesions_per_case, Some(0.0));
        let one = Lesions::of(&[true; 8], &[false; 8], [2, 2, 2]);
        assert!(LesionDetection::of(&[empty, one]).lesions_vary && !detection.lesions_vary);
    }
}
