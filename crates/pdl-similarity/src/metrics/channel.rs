//! Metrics of single channels.

use crate::metrics::Metric;
use crate::metrics::measure::{Measure, PairFacts, RequiredPasses};

/// A metric of intensities, of one channel instead of the mean over all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelMetric {
    metric: Metric,
    /// Number of the channel, from 0.
    channel: usize,
    column: String,
}

impl ChannelMetric {
    /// For each of `metrics` that compares intensities a metric of each channel; none where cases
    /// have one image.
    pub fn of_channels(metrics: &[Metric], names: &[String]) -> Vec<Self> {
        if names.len() < 2 {
            return Vec::new();
        }
        let of_metric = |metric: &Metric| {
            let metric = *metric;
            names.iter().enumerate().map(move |(channel, name)| {
                let column = format!("{}_{name}", metric.column());
                Self { metric, channel, column }
            })
        };
        metrics
            .iter()
            .filter(|metric| !metric.measure().required_passes().labels)
            .flat_map(of_metric)
            .collect()
    }
}

impl Measure for ChannelMetric {
    fn column(&self) -> &str {
        &self.column
    }

    fn larger_is_alike(&self) -> bool {
        self.metric.larger_is_alike()
    }

    fn required_passes(&self) -> RequiredPasses {
        self.metric.measure().required_passes()
    }

    fn value(&self, pair: &PairFacts<'_>) -> f64 {
        let own = PairFacts {
            whole: pair.whole_channels.get(self.channel).copied(),
            bodies: pair.bodies_channels.get(self.channel).copied(),
            ..*pair
        };
        self.metric.measure().value(&own)
    }
}
