//! The channels of a cohort whose files name them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::attributes::Modality;
use crate::discover::volume_names::channel_order;

/// The names of a cohort's channels in their order; none where no case has several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NamedChannels(Vec<String>);

impl NamedChannels {
    /// Collects the channel names of all cases.
    pub fn of_cohort(cases: impl Iterator<Item = BTreeSet<String>>) -> Self {
        let mut all = BTreeSet::new();
        let mut several = false;
        for names in cases {
            several |= names.len() > 1;
            all.extend(names);
        }
        let mut all: Vec<String> = all.into_iter().filter(|_| several).collect();
        all.sort_by_key(|name| channel_order(name));
        Self(all)
    }

    /// The key by which the images of a case are sorted.
    pub fn place(&self, name: &str) -> (usize, String) {
        channel_order(name)
    }

    /// The names by number.
    pub fn names(&self) -> BTreeMap<u32, String> {
        (0..).zip(self.0.iter().cloned()).collect()
    }

    /// The images of a case by the numbers of their channels; none where the cohort has one.
    pub fn of_case<'a>(&self, images: impl Iterator<Item = (&'a String, PathBuf)>) -> BTreeMap<u32, PathBuf> {
        let number = |name: &String| self.0.iter().position(|known| known == name);
        images.filter_map(|(name, path)| Some((number(name)? as u32, path))).collect()
    }

    /// The modality of the first channel, if its name states one.
    pub fn modality(&self) -> Option<Modality> {
        self.0.first()?.parse().ok().filter(|modality| *modality != Modality::OT)
    }
}
