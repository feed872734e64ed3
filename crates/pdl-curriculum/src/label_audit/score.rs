//! Distance of a label from the vote of similar cases.
//!
//! Four figures of every label (overlap, volume, place, and the means of these over a case) are
//! compared with those of the same label in the other cases, in robust standard deviations: 1.4826
//! times the median absolute deviation. A label's score is the root of the sum of their squares.

use std::collections::BTreeMap;

use crate::label_audit::agreement::LabelReason;

/// Minimum number of cases with a label for it to be scored.
const FEWEST: usize = 10;

/// Factor from the median absolute deviation to the standard deviation of a normal distribution.
const NORMAL: f64 = 1.4826;

/// Lower bounds of the robust standard deviations of log(1 - Dice), of the logarithm of the volume
/// ratio, and of the shift in mm, so that cohorts whose labels agree closely flag no small
/// differences.
const LEAST: [f64; 3] = [0.1, 0.03, 0.3];

/// Lower bound of the robust standard deviation of the logarithm of scores.
const LEAST_OF_SCORES: f64 = 0.15;

/// Minimum distance of the logarithm of a case's score from the median, in robust standard
/// deviations, at which it is flagged.
const FLAGGED: f64 = 2.5;

/// Minimum score that is flagged, whatever the scores of the other cases.
const LEAST_FLAGGED: f64 = 10.0;

/// Weight of the squared shift in the score; overlap and volume have weight 1.
const PLACE: f64 = 0.1;

/// Minimum fraction of the voters with a label at which an absent label counts as missing.
const EXPECTED: f64 = 0.9;

/// Maximum fraction of the cases with a label at which it is rare, and counts as extra where no
/// voter has it.
const RARE: f64 = 0.02;

/// How one label of a case agrees with the vote.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Agreement {
    /// Number of the case.
    pub case: usize,
    pub value: u16,
    /// Volume of the label and of the vote, as fractions of the template.
    pub volumes: [f64; 2],
    pub dice: f64,
    /// Centroid of the label less that of the vote, mm along x, y, z.
    pub shift_mm: [f64; 3],
    /// Fraction of the voters that have the label.
    pub expected: f64,
    /// Whether it lies where the vote sees another label, or its own mirror image.
    pub other_side: bool,
}

impl Agreement {
    fn is_there(&self) -> bool {
        self.volumes[0] > 0.0
    }
}

/// The score of an agreement, where it has one, and the reason that weighs most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scored {
    pub score: f64,
    pub reason: LabelReason,
}

/// The median and the robust standard deviation, at least `least`.
#[derive(Clone, Copy, Debug)]
struct Spread {
    median: f64,
    deviation: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>, least: f64) -> Self {
        let values: Vec<f64> = values.collect();
        let median = median(values.clone());
        let far = median_of(values.iter().map(|value| (value - median).abs()));
        Self { median, deviation: (NORMAL * far).max(least) }
    }

    fn deviations(self, value: f64) -> f64 {
        (value - self.median) / self.deviation
    }
}

fn median_of(values: impl Iterator<Item = f64>) -> f64 {
    median(values.collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Overlap, volume and shift of one label of one case, in deviations.
#[derive(Clone, Copy, Debug, Default)]
struct Deviations {
    overlap: f64,
    volume: f64,
    shift: [f64; 3],
    /// The shift less its median, mm, and the weight that its precision gives it.
    centred_mm: [f64; 3],
    precision: [f64; 3],
}

/// The scores of `agreements`, in their order; nothing of labels that too few cases have.
pub(super) fn scores(agreements: &[Agreement]) -> Vec<Option<Scored>> {
    let mut of_label: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (place, agreement) in agreements.iter().enumerate() {
        of_label.entry(agreement.value).or_default().push(place);
    }
    let mut deviations: Vec<Option<Deviations>> = vec![None; agreements.len()];
    for places in of_label.values() {
        of_one_label(agreements, places, &mut deviations);
    }
    let means = case_means(agreements, &deviations);
    let scored = |(agreement, own): (&Agreement, &Option<Deviations>)| {
        let case = means.get(&agreement.case).copied().unwrap_or_default();
        own.as_ref().map(|own| scored(agreement, own, &case))
    };
    agreements.iter().zip(&deviations).map(scored).collect()
}

/// The deviations of the cases that have one label, and of those that lack it though it is
/// expected or have it though it is not.
fn of_one_label(agreements: &[Agreement], places: &[usize], deviations: &mut [Option<Deviations>]) {
    let present: Vec<&Agreement> =
        places.iter().map(|p| &agreements[*p]).filter(|own| own.is_there()).collect();
    let usual = median_of(present.iter().map(|own| own.volumes[0]));
    let is_rare = present.len() as f64 <= RARE * places.len() as f64;
    let enough = present.len() >= FEWEST;
    if !(enough || is_rare && places.len() >= FEWEST) {
        return;
    }
    let least_volume = 1e-3 * usual;
    let overlap = |own: &Agreement| (1.0 - own.dice).max(1e-3).ln();
    let volume = |own: &Agreement| ((own.volumes[0] + least_volume) / (own.volumes[1] + least_volume)).ln();
    // Of a rare label there is no usual agreement: it should be absent, and the vote says so.
    let spread = |figure: &dyn Fn(&Agreement) -> f64, least: f64| match enough {
        true => Spread::of(present.iter().map(|own| figure(own)), least),
        false => Spread { median: 0.0, deviation: least },
    };
    let (overlaps, volumes) = (spread(&overlap, LEAST[0]), spread(&volume, LEAST[1]));
    let shifts: [Spread; 3] = std::array::from_fn(|axis| spread(&|own| own.shift_mm[axis], LEAST[2]));
    for place in places {
        let own = &agreements[*place];
        let counts = match (own.is_there(), enough) {
            (true, true) => true,
            (true, false) => own.expected == 0.0,
            (false, _) => enough && own.expected >= EXPECTED,
        };
        if !counts {
            continue;
        }
        let placed = own.is_there() && enough;
        let of_axis =
            |value: &dyn Fn(usize) -> f64| std::array::from_fn(|axis| if placed { value(axis) } else { 0.0 });
        deviations[*place] = Some(Deviations {
            overlap: overlaps.deviations(overlap(own)),
            volume: volumes.deviations(volume(own)),
            shift: of_axis(&|axis| shifts[axis].deviations(own.shift_mm[axis])),
            centred_mm: of_axis(&|axis| own.shift_mm[axis] - shifts[axis].median),
            precision: of_axis(&|axis| shifts[axis].deviation.powi(-2)),
        });
    }
}

/// Means over the labels of a case, in deviations from those of the other cases.
#[derive(Clone, Copy, Debug, Default)]
struct CaseMeans {
    overlap: f64,
    volume: f64,
    shift: [f64; 3],
}

fn case_means(agreements: &[Agreement], deviations: &[Option<Deviations>]) -> BTreeMap<usize, CaseMeans> {
    let mut of_case: BTreeMap<usize, Vec<&Deviations>> = BTreeMap::new();
    for (agreement, own) in agreements.iter().zip(deviations) {
        if let Some(own) = own {
            of_case.entry(agreement.case).or_default().push(own);
        }
    }
    let mean = |labels: &[&Deviations]| {
        let count = labels.len() as f64;
        let shift = |axis: usize| {
            let weights: f64 = labels.iter().map(|own| own.precision[axis]).sum();
            let sum: f64 = labels.iter().map(|own| own.precision[axis] * own.centred_mm[axis]).sum();
            if weights > 0.0 { sum / weights } else { 0.0 }
        };
        CaseMeans {
            overlap: labels.iter().map(|own| own.overlap.min(6.0)).sum::<f64>() / count,
            volume: labels.iter().map(|own| own.volume).sum::<f64>() / count,
            shift: std::array::from_fn(shift),
        }
    };
    let means: BTreeMap<usize, CaseMeans> =
        of_case.iter().map(|(case, labels)| (*case, mean(labels))).collect();
    let spread = |figure: &dyn Fn(&CaseMeans) -> f64| Spread::of(means.values().map(figure), LEAST[2]);
    let (overlap, volume) = (spread(&|own| own.overlap), spread(&|own| own.volume));
    let shifts: [Spread; 3] = std::array::from_fn(|axis| spread(&|own| own.shift[axis]));
    let relative = |own: &CaseMeans| CaseMeans {
        overlap: overlap.deviations(own.overlap),
        volume: volume.deviations(own.volume),
        shift: std::array::from_fn(|axis| shifts[axis].deviations(own.shift[axis])),
    };
    means.iter().map(|(case, own)| (*case, relative(own))).collect()
}

fn scored(agreement: &Agreement, own: &Deviations, case: &CaseMeans) -> Scored {
    let squares = |values: [f64; 3]| values.iter().map(|value| value * value).sum::<f64>();
    let overlap = own.overlap.max(0.0).powi(2) + case.overlap.max(0.0).powi(2);
    let size = own.volume.powi(2) + case.volume.powi(2);
    let place = PLACE * squares(own.shift) + squares(case.shift) / 3.0;
    let reason = match agreement {
        own if !own.is_there() => LabelReason::Missing,
        own if own.expected == 0.0 => LabelReason::Extra,
        own if own.other_side => LabelReason::Side,
        _ if size > place && size > overlap => LabelReason::Size,
        _ => LabelReason::Place,
    };
    Scored { score: (overlap + size + place).sqrt(), reason }
}

/// The score from which on a label is flagged, by the scores of all cases; nothing where there are
/// too few. A case's score is the largest of its labels'.
pub(super) fn threshold(agreements: &[Agreement], scores: &[Option<Scored>]) -> Option<f64> {
    let mut of_case: BTreeMap<usize, f64> = BTreeMap::new();
    for (agreement, scored) in agreements.iter().zip(scores) {
        if let Some(scored) = scored {
            let largest = of_case.entry(agreement.case).or_default();
            *largest = largest.max(scored.score);
        }
    }
    let spread = Spread::of(of_case.values().map(|score| score.max(1e-3).ln()), LEAST_OF_SCORES);
    (of_case.len() >= FEWEST).then(|| (spread.median + FLAGGED * spread.deviation).exp().max(LEAST_FLAGGED))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forty cases with two labels each that differ a little; `change` edits some.
    fn forty(change: impl Fn(&mut Vec<Agreement>)) -> (Vec<Agreement>, Vec<Option<Scored>>, f64) {
        let own = |case: usize, value: u16| {
            let wave = |by: f64| ((case * 7 + usize::from(value)) as f64 * by).sin();
            Agreement {
                case,
                value,
                volumes: [0.01 * (0.1 * wave(1.7)).exp(), 0.01],
                dice: 0.8 + 0.05 * wave(2.3),
                shift_mm: [wave(0.9), wave(1.3), wave(3.1)],
                expected: 1.0,
                other_side: false,
            }
        };
        let mut agreements: Vec<Agreement> = (0..40).flat_map(|case| [own(case, 1), own(case, 2)]).collect();
        change(&mut agreements);
        let scores = scores(&agreements);
        let threshold = threshold(&agreements, &scores).unwrap();
        (agreements, scores, threshold)
    }

    /// The flagged labels with their reasons.
    fn flagged(change: impl Fn(&mut Vec<Agreement>)) -> Vec<(usize, u16, LabelReason)> {
        let (agreements, scores, threshold) = forty(change);
        let found = agreements.iter().zip(scores).filter_map(|(own, scored)| Some((own, scored?)));
        found
            .filter(|(_, scored)| scored.score >= threshold)
            .map(|(own, s)| (own.case, own.value, s.reason))
            .collect()
    }

    #[test]
    fn each_kind_is_flagged_by_its_name_and_nothing_else() {
        assert_eq!(flagged(|_| {}), []);
        let size = flagged(|all| all[4].volumes[0] *= 4.0);
        assert!(
            size.contains(&(2, 1, LabelReason::Size)) && size.iter().all(|(case, ..)| *case == 2),
            "{size:?}"
        );
        let place = flagged(|all| {
            all[4].shift_mm = [12.0, 0.0, 0.0];
            all[4].dice = 0.2;
        });
        assert!(place.contains(&(2, 1, LabelReason::Place)), "{place:?}");
        let side = flagged(|all| {
            all[4].dice = 0.0;
            all[4].shift_mm[0] = 30.0;
            all[4].other_side = true;
        });
        assert!(side.contains(&(2, 1, LabelReason::Side)), "{side:?}");
        let missing = flagged(|all| {
            all[4].volumes[0] = 0.0;
            all[4].dice = 0.0;
        });
        assert!(missing.contains(&(2, 1, LabelReason::Missing)), "{missing:?}");
    }

    #[test]
    fn a_label_of_one_case_is_extra_and_one_of_some_cases_is_not_judged() {
        let lesion = |case: usize| Agreement {
            case,
            value: 9,
            volumes: [if case == 5 { 0.002 } else { 0.0 }, 0.0],
            dice: 0.0,
            shift_mm: [0.0; 3],
            expected: 0.0,
            other_side: false,
        };
        // One of fifty cases.
        let rare = |all: &mut Vec<Agreement>| all.extend((0..50).map(lesion));
        assert!(flagged(rare).contains(&(5, 9, LabelReason::Extra)));
        // Five of fifty: too few to know what is usual, too many to be a mistake.
        let some = |all: &mut Vec<Agreement>| {
            all.extend((0..50).map(|case| Agreement {
                volumes: [if case < 5 { 0.002 } else { 0.0 }, 0.0],
                ..lesion(case)
            }));
        };
        let (agreements, scores, _) = forty(some);
        assert!(agreements.iter().zip(&scores).all(|(own, scored)| own.value != 9 || scored.is_none()));
    }

    #[test]
    fn few_cases_are_not_judged() {
        let (agreements, ..) = forty(|_| {});
        let few: Vec<Agreement> = agreements.into_iter().filter(|own| own.case < 9).collect();
        let scores = scores(&few);
        assert!(scores.iter().all(Option::is_none) && threshold(&few, &scores).is_none());
    }
}
