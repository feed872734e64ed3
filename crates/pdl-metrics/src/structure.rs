//! The structures that are measured: labels, and regions that unite several of them.

use pdl_curriculum::manifest::Label;

/// Channels of label maps that make up a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelUnion {
    /// Channels (from 1) of its labels.
    pub channels: Vec<u8>,
    /// Channels that a case must be annotated for, to be annotated for the structure.
    pub annotated_by: Vec<u8>,
}

impl ChannelUnion {
    /// A single label.
    pub fn of_label(channel: u8) -> Self {
        Self { channels: vec![channel], annotated_by: vec![channel] }
    }

    /// Whether voxels of this channel belong to the structure.
    pub fn contains(&self, channel: u8) -> bool {
        self.channels.contains(&channel)
    }

    /// Whether a case was annotated for the structure, by its annotation for each channel
    /// (background first). A region with a label that is not annotated may be larger than its
    /// labelled voxels.
    pub fn is_annotated(&self, annotated: &[bool]) -> bool {
        !self.annotated_by.is_empty()
            && self.annotated_by.iter().all(|&channel| annotated.get(usize::from(channel)) == Some(&true))
    }
}

/// A structure with its name, and its value in label maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasuredStructure {
    /// Name and value.
    pub label: Label,
    /// Channels.
    pub union: ChannelUnion,
}

impl MeasuredStructure {
    /// Labels in channel order, from channel 1; there are at most 254.
    pub fn of_labels(labels: &[Label]) -> Vec<Self> {
        let of_label = |(channel, label): (u8, &Label)| Self {
            label: label.clone(),
            union: ChannelUnion::of_label(channel),
        };
        (1..=u8::MAX).zip(labels).map(of_label).collect()
    }
}
