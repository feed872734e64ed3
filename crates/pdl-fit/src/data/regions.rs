//! Regions in terms of the channels of label maps: the outputs of a network that learns unions of
//! labels, which may overlap, instead of labels.

use std::collections::BTreeSet;

use pdl_cohort::labels::regions::LabelRegion;
use pdl_metrics::ChannelUnion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::case::Channels;

/// The region of an output of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegionOutput {
    /// Channels (from 1) of the region's labels, ascending.
    pub channels: Vec<u8>,
    /// Channel of a predicted voxel that is in this region and in no later one.
    pub written: u8,
    /// Channels that a case must be annotated for, to be annotated for the region: those of
    /// `channels` that any case is annotated for.
    pub annotated_by: Vec<u8>,
}

impl RegionOutput {
    /// The outputs for `regions`, in their order; `annotated` has every label that any case is
    /// annotated for. Labels without a channel are omitted.
    pub fn of(regions: &[LabelRegion], channels: &Channels, annotated: &BTreeSet<u16>) -> Vec<Self> {
        let channel = |value: &u16| {
            let index = channels.labels().binary_search(value).ok()?;
            u8::try_from(index + 1).ok()
        };
        let output = |region: &LabelRegion| {
            let known = region.labels.iter().filter(|value| annotated.contains(value));
            Self {
                channels: region.labels.iter().filter_map(channel).collect(),
                written: channel(&region.value).unwrap_or(0),
                annotated_by: known.filter_map(channel).collect(),
            }
        };
        regions.iter().map(output).collect()
    }

    /// The channels of the region.
    pub fn union(&self) -> ChannelUnion {
        ChannelUnion { channels: self.channels.clone(), annotated_by: self.annotated_by.clone() }
    }

    /// Whether voxels of this channel belong to the region.
    pub fn contains(&self, channel: u8) -> bool {
        self.channels.contains(&channel)
    }

    /// Whether its channels are among those of `labels` labels.
    pub(crate) fn fits(&self, labels: usize) -> bool {
        let known = |channel: &u8| (1..=labels).contains(&usize::from(*channel));
        self.channels.contains(&self.written) && self.channels.iter().chain(&self.annotated_by).all(known)
    }
}

/// The channel of a voxel by the probabilities of its regions: that of the last region with more
/// than one half, background (0) if there is none (`regions_class_order` of nnU-Net).
pub fn channel_of(p: &[f32], regions: &[RegionOutput]) -> u8 {
    let inside = |(p, _): &(&f32, &RegionOutput)| **p > 0.5;
    p.iter().zip(regions).rev().find(inside).map_or(0, |(_, region)| region.written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_annotated_where_all_of_its_labels_are() {
        let region =
            |labels: &[u16], value| LabelRegion { name: String::new(), labels: labels.to_vec(), value };
        let channels = Channels::new(vec![1, 2, 4]);
        let outputs = RegionOutput::of(
            &[region(&[1, 2, 4], 1), region(&[2, 4], 2), region(&[4], 4)],
            &channels,
            &BTreeSet::from([1, 4]),
        );
        assert_eq!(outputs[0].channels, [1, 2, 3]);
        assert_eq!([outputs[1].written, outputs[2].written], [2, 3]);
        let annotated = channels.annotated(&[4]);
        let is_annotated: Vec<bool> =
            outputs.iter().map(|output| output.union().is_annotated(&annotated)).collect();
        assert_eq!(is_annotated, [false, true, true], "nobody looked for the label 2 in any case");
        assert!(outputs.iter().all(|output| output.fits(3)) && !outputs[0].fits(2));
    }

    #[test]
    fn the_last_region_with_more_than_one_half_is_written() {
        let output = |channels: &[u8], written| RegionOutput {
            channels: channels.to_vec(),
            written,
            annotated_by: channels.to_vec(),
        };
        let regions = [output(&[1, 2], 1), output(&[2], 2)];
        for (p, channel) in [([0.5, 0.5], 0), ([0.9, 0.2], 1), ([0.9, 0.6], 2), ([0.1, 0.6], 2)] {
            assert_eq!(channel_of(&p, &regions), channel, "{p:?}");
        }
    }
}
