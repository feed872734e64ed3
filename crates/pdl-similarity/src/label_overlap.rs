//! Label maps as sets of voxels, and what two cases have of a label.

use std::ops::Range;

use pdl_prepare::proxies::Proxies;
use pdl_prepare::proxies::labels::{LabelView, LabelVoxels};
use pulp::{Simd, WithSimd};

use crate::isa::Isa;

/// A label that two cases have both annotated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CommonLabel {
    /// The label.
    pub label: u16,
    /// Voxels of the proxies that carry it in each case.
    pub voxels: [u64; 2],
    /// Voxels that carry it in both.
    pub shared: u64,
    /// Its volume on each case's stored label map, mm3.
    pub volumes_mm3: [f64; 2],
}

/// The labels of a case, each as a set of the proxy's voxels.
#[derive(Clone, Debug)]
pub struct LabelSets {
    /// One for each label that the case has annotated, ascending.
    sets: Vec<LabelSet>,
    /// A bit for each voxel, from the first to the last word of a set that is not 0; one set behind the other.
    words: Vec<u64>,
}

#[derive(Clone, Debug)]
struct LabelSet {
    label: u16,
    volume_mm3: f64,
    voxels: u64,
    /// Which words of the whole grid there are.
    span: Range<usize>,
    /// Where they begin among the words of all sets.
    start: usize,
}

const BITS: usize = u64::BITS as usize;

impl LabelSets {
    /// Those of a case of the proxies.
    pub(crate) fn new(labels: &LabelView<'_>) -> Self {
        match labels.voxels {
            LabelVoxels::U8(voxels) => Self::of_voxels(voxels, labels),
            LabelVoxels::U16(voxels) => Self::of_voxels(voxels, labels),
        }
    }

    fn of_voxels<T: Copy + Into<usize>>(voxels: &[T], labels: &LabelView<'_>) -> Self {
        let largest = labels.annotated.iter().max().map_or(0, |label| usize::from(*label));
        let mut place_of: Vec<Option<usize>> = vec![None; largest + 1];
        for (place, label) in labels.annotated.iter().enumerate() {
            place_of[usize::from(*label)] = Some(place);
        }
        // The sets' places of the voxels that are in one.
        let placed = || {
            let place =
                |(i, voxel): (usize, &T)| Some((i, place_of.get((*voxel).into()).copied().flatten()?));
            voxels.iter().enumerate().filter_map(place)
        };
        let empty = |(label, volume): (&u16, &f64)| LabelSet {
            label: *label,
            volume_mm3: *volume,
            voxels: 0,
            span: 0..0,
            start: 0,
        };
        let mut sets: Vec<LabelSet> = labels.annotated.iter().zip(labels.volumes_mm3).map(empty).collect();
        for (i, place) in placed() {
            let LabelSet { voxels, span, .. } = &mut sets[place];
            *span = if *voxels == 0 { i / BITS } else { span.start }..i / BITS + 1;
            *voxels += 1;
        }
        let mut all = 0;
        for set in &mut sets {
            set.start = all;
            all += set.span.len();
        }
        let mut words = vec![0; all];
        for (i, place) in placed() {
            let set = &sets[place];
            words[set.start + i / BITS - set.span.start] |= 1 << (i % BITS);
        }
        Self { sets, words }
    }

    /// The words of a set that lie in `span`, a part of its own.
    fn words(&self, set: &LabelSet, span: &Range<usize>) -> &[u64] {
        let from = set.start + span.start - set.span.start;
        &self.words[from..from + span.len()]
    }

    /// Most bytes that a case of `proxies` takes, with its label map.
    pub(crate) fn bytes(proxies: &Proxies) -> u64 {
        let voxels = proxies.shape_zyx.iter().product::<usize>();
        let most = (0..proxies.len()).filter_map(|row| proxies.labels(row)).map(|l| l.annotated.len()).max();
        let set = size_of::<LabelSet>() + voxels.div_ceil(BITS) * size_of::<u64>();
        (voxels * size_of::<u16>() + most.unwrap_or(0) * set) as u64
    }
}

/// What two cases have of each label that both have annotated, by label.
pub(crate) fn common(isa: Isa, a: &LabelSets, b: &LabelSets) -> Vec<CommonLabel> {
    let in_both = |of_a: &LabelSet| {
        let of_b = &b.sets[b.sets.binary_search_by_key(&of_a.label, |set| set.label).ok()?];
        let start = of_a.span.start.max(of_b.span.start);
        let span = start..of_a.span.end.min(of_b.span.end).max(start);
        let shared = match span.is_empty() {
            true => 0,
            false => isa.run(Shared { a: a.words(of_a, &span), b: b.words(of_b, &span) }),
        };
        Some(CommonLabel {
            label: of_a.label,
            voxels: [of_a.voxels, of_b.voxels],
            shared,
            volumes_mm3: [of_a.volume_mm3, of_b.volume_mm3],
        })
    };
    a.sets.iter().filter_map(in_both).collect()
}

/// Counts the bits that are set in both; the count is the same with any instructions.
struct Shared<'a> {
    a: &'a [u64],
    b: &'a [u64],
}

impl WithSimd for Shared<'_> {
    type Output = u64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> u64 {
        self.a.iter().zip(self.b).map(|(a, b)| u64::from((a & b).count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metric, PairFacts};
    use crate::ssim::setup::VolumeView;
    use proptest::prelude::*;

    /// Voxels, annotated labels and volumes in mm3.
    #[derive(Clone, Debug)]
    struct Case {
        voxels: Vec<u16>,
        annotated: Vec<u16>,
        volumes_mm3: Vec<f64>,
    }

    impl Case {
        fn new(voxels: Vec<u16>, annotated: &[u16], volumes_mm3: &[f64]) -> Self {
            Self { voxels, annotated: annotated.to_vec(), volumes_mm3: volumes_mm3.to_vec() }
        }

        fn sets(&self) -> LabelSets {
            let Self { voxels, annotated, volumes_mm3 } = self;
            LabelSets::new(&LabelView { voxels: LabelVoxels::U16(voxels), annotated, volumes_mm3 })
        }

        fn volume(&self, label: u16) -> Option<f64> {
            let place = self.annotated.iter().position(|known| *known == label)?;
            Some(self.volumes_mm3[place])
        }
    }

    fn value(metric: Metric, isa: Isa, a: &Case, b: &Case) -> f64 {
        let labels = common(isa, &a.sets(), &b.sets());
        let pair = PairFacts {
            a: VolumeView::default(),
            b: VolumeView::default(),
            whole: None,
            bodies: None,
            labels: &labels,
        };
        metric.measure().value(&pair)
    }

    fn both(a: &Case, b: &Case) -> [f64; 2] {
        [Metric::LabelDice, Metric::LabelVolume].map(|metric| value(metric, Isa::Scalar, a, b))
    }

    /// The definitions, voxel by voxel and label by label.
    fn by_definition(a: &Case, b: &Case) -> [f64; 2] {
        let (mut dice, mut volume) = (Vec::new(), Vec::new());
        for label in 1..=u16::MAX {
            let (Some(volume_a), Some(volume_b)) = (a.volume(label), b.volume(label)) else { continue };
            let count = |inside: &dyn Fn(usize) -> bool| (0..a.voxels.len()).filter(|i| inside(*i)).count();
            let in_a = count(&|i| a.voxels[i] == label);
            let in_b = count(&|i| b.voxels[i] == label);
            if in_a + in_b > 0 {
                let shared = count(&|i| a.voxels[i] == label && b.voxels[i] == label);
                dice.push(2.0 * shared as f64 / (in_a + in_b) as f64);
            }
            if volume_a + volume_b > 0.0 {
                volume.push((volume_a - volume_b).abs() / (volume_a + volume_b));
            }
        }
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        [mean(dice), mean(volume)]
    }

    #[test]
    fn absent_from_one_is_as_unlike_as_can_be_and_absent_from_both_says_nothing() {
        let a = Case::new(vec![1, 1, 0, 0], &[1, 2], &[5.0, 0.0]);
        let b = Case::new(vec![0, 1, 0, 0], &[1, 2], &[15.0, 0.0]);
        assert_eq!(both(&a, &b), [2.0 / 3.0, 0.5]);
        let c = Case::new(vec![2, 2, 0, 0], &[1, 2], &[0.0, 3.0]);
        assert_eq!(both(&a, &c), [0.0, 1.0]);
        assert_eq!(both(&a, &a), [1.0, 0.0]);
    }

    #[test]
    fn a_label_that_one_has_not_annotated_is_left_out() {
        let a = Case::new(vec![1, 1, 2, 2], &[1, 2], &[2.0, 2.0]);
        let partial = Case::new(vec![1, 1, 2, 0], &[1], &[2.0]);
        assert_eq!(both(&a, &partial), [1.0, 0.0]);
        let other = Case::new(vec![3; 4], &[3], &[4.0]);
        assert!(both(&a, &other).iter().all(|value| value.is_nan()));
        let nothing = Case::new(vec![0; 4], &[], &[]);
        assert!(both(&nothing, &nothing).iter().all(|value| value.is_nan()));
    }

    fn cases() -> impl Strategy<Value = (Case, Case)> {
        let labels = prop_oneof![Just(vec![1_u16, 2, 3]), Just(vec![2, 255, 256, 65535])];
        (labels, 1_usize..400, any::<u64>()).prop_map(|(labels, voxels, seed)| {
            let mut state = seed;
            let mut next = move || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as usize
            };
            let mut case = || {
                // Runs, so that sets begin and end anywhere.
                let mut map = Vec::new();
                while map.len() < voxels {
                    let label = if next() % 2 == 0 { 0 } else { labels[next() % labels.len()] };
                    map.extend(std::iter::repeat_n(label, next() % 90 + 1));
                }
                map.truncate(voxels);
                let annotated: Vec<u16> = labels.iter().copied().filter(|_| next() % 4 > 0).collect();
                let volumes: Vec<f64> = annotated.iter().map(|_| (next() % 5) as f64 * 0.7).collect();
                Case::new(map, &annotated, &volumes)
            };
            (case(), case())
        })
    }

    proptest! {
        #[test]
        fn as_defined_and_symmetric_with_any_instructions((a, b) in cases()) {
            let expected = by_definition(&a, &b);
            for isa in Isa::available() {
                for (metric, expected) in [Metric::LabelDice, Metric::LabelVolume].into_iter().zip(expected) {
                    let found = value(metric, isa, &a, &b);
                    prop_assert_eq!(found.to_bits(), value(metric, isa, &b, &a).to_bits());
                    prop_assert!(found == expected || found.is_nan() && expected.is_nan(), "{} {}", found, expected);
                }
            }
        }
    }
}
