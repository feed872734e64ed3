//! Metrics of label maps.

use crate::label_overlap::CommonLabel;
use crate::metrics::measure::{Measure, PairFacts, RequiredPasses};

/// The mean of a value over the labels that both cases have annotated; labels without a value are
/// ignored.
pub(super) struct LabelMetric {
    pub(super) column: &'static str,
    pub(super) larger_is_alike: bool,
    /// `None` where the label is absent from both cases.
    pub(super) value: fn(&CommonLabel) -> Option<f64>,
}

impl Measure for LabelMetric {
    fn column(&self) -> &str {
        self.column
    }

    fn larger_is_alike(&self) -> bool {
        self.larger_is_alike
    }

    fn required_passes(&self) -> RequiredPasses {
        RequiredPasses { labels: true, ..RequiredPasses::default() }
    }

    fn value(&self, pair: &PairFacts<'_>) -> f64 {
        let values: Vec<f64> = pair.labels.iter().filter_map(self.value).collect();
        if values.is_empty() { f64::NAN } else { values.iter().sum::<f64>() / values.len() as f64 }
    }
}

/// 2 |A and B| / (|A| + |B|) (Dice 1945).
pub(super) fn dice(label: &CommonLabel) -> Option<f64> {
    let all = label.voxels.iter().sum::<u64>();
    (all > 0).then(|| (2 * label.shared) as f64 / all as f64)
}

/// |Va - Vb| / (Va + Vb).
pub(super) fn volume_difference(label: &CommonLabel) -> Option<f64> {
    let [a, b] = label.volumes_mm3;
    (a + b > 0.0).then(|| (a - b).abs() / (a + b))
}

#[cfg(test)]
mod tests {
    use crate::isa::Isa;
    use crate::label_overlap::{LabelSets, common};
    use crate::metrics::{Metric, PairFacts};
    use crate::ssim::views::VolumeView;
    use pdl_prepare::proxies::labels::{LabelView, ProxyLabelVoxels};
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
            LabelSets::new(&LabelView { voxels: ProxyLabelVoxels::U16(voxels), annotated, volumes_mm3 })
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
            whole_channels: &[],
            bodies_channels: &[],
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
