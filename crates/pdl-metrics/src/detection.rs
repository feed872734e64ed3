//! Detection of structures that some cases lack, which Dice does not show: sensitivity,
//! specificity, and false positive and false negative volumes.

use serde::Serialize;

use crate::dice::mean;

/// Volumes of one structure in one case that was annotated for it, ml.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Volumes {
    /// Volume of the reference.
    pub drawn_ml: f64,
    /// Predicted outside of the reference.
    pub false_positive_ml: f64,
    /// Volume of the reference that is not predicted.
    pub false_negative_ml: f64,
}

impl Volumes {
    /// Volumes of two masks of the same voxels, each of `voxel_ml`.
    pub fn of(drawn: &[bool], predicted: &[bool], voxel_ml: f64) -> Self {
        let ml = |inside: fn(bool, bool) -> bool| {
            drawn.iter().zip(predicted).filter(|(drawn, predicted)| inside(**drawn, **predicted)).count()
                as f64
                * voxel_ml
        };
        Self {
            drawn_ml: ml(|drawn, _| drawn),
            false_positive_ml: ml(|drawn, predicted| predicted && !drawn),
            false_negative_ml: ml(|drawn, predicted| drawn && !predicted),
        }
    }

    fn is_present(&self) -> bool {
        self.drawn_ml > 0.0
    }
}

/// Detection of one structure over the cases that were annotated for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Detection {
    /// Cases that have the structure.
    pub cases_with: usize,
    /// Cases that do not.
    pub cases_without: usize,
    /// Fraction of the cases with the structure in which the prediction overlaps it; null without
    /// such cases.
    pub sensitivity: Option<f64>,
    /// Fraction of the cases without the structure in which none is predicted; null without such
    /// cases.
    pub specificity: Option<f64>,
    /// Mean volume that is predicted in the cases without the structure, ml.
    pub false_positive_ml: Option<f64>,
    /// Mean volume of the structure that is missed in the cases with it, ml.
    pub false_negative_ml: Option<f64>,
}

impl Detection {
    /// Computes the detection from the volumes of all annotated cases.
    pub fn of(cases: &[Volumes]) -> Self {
        let with = || cases.iter().filter(|case| case.is_present());
        let without = || cases.iter().filter(|case| !case.is_present());
        let share = |is: bool| f64::from(u8::from(is));
        Self {
            cases_with: with().count(),
            cases_without: without().count(),
            sensitivity: mean(with().map(|case| share(case.false_negative_ml < case.drawn_ml))),
            specificity: mean(without().map(|case| share(case.false_positive_ml == 0.0))),
            false_positive_ml: mean(without().map(|case| case.false_positive_ml)),
            false_negative_ml: mean(with().map(|case| case.false_negative_ml)),
        }
    }

    /// Counts of all labels, and the means of their figures.
    pub fn mean_of(labels: &[&Self]) -> Self {
        let over = |figure: fn(&Self) -> Option<f64>| mean(labels.iter().filter_map(|label| figure(label)));
        Self {
            cases_with: labels.iter().map(|label| label.cases_with).sum(),
            cases_without: labels.iter().map(|label| label.cases_without).sum(),
            sensitivity: over(|label| label.sensitivity),
            specificity: over(|label| label.specificity),
            false_positive_ml: over(|label| label.false_positive_ml),
            false_negative_ml: over(|label| label.false_negative_ml),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_found_missed_and_made_up() {
        let volumes = |drawn: [u8; 4], predicted: [u8; 4]| {
            let mask = |of: [u8; 4]| of.map(|voxel| voxel == 1);
            Volumes::of(&mask(drawn), &mask(predicted), 0.5)
        };
        let found = volumes([1, 1, 0, 0], [0, 1, 1, 0]);
        assert_eq!(found, Volumes { drawn_ml: 1.0, false_positive_ml: 0.5, false_negative_ml: 0.5 });
        let beside = volumes([1, 1, 0, 0], [0, 0, 1, 1]);
        let (clear, made_up) = (volumes([0; 4], [0; 4]), volumes([0; 4], [1, 1, 1, 0]));
        let detection = Detection::of(&[found, beside, clear, made_up]);
        assert_eq!((detection.cases_with, detection.cases_without), (2, 2));
        assert_eq!((detection.sensitivity, detection.specificity), (Some(0.5), Some(0.5)));
        assert_eq!(detection.false_positive_ml, Some(0.75));
        assert_eq!(detection.false_negative_ml, Some(0.75));
        let none = Detection::of(&[found]);
        assert_eq!((none.specificity, none.false_positive_ml), (None, None));
        assert_eq!(Detection::mean_of(&[&detection, &none]).sensitivity, Some(0.75));
    }
}
