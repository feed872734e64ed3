//! Several images of a case on one grid: which channels a cohort has, and which of them a case
//! lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_io::{is_volume_name, split_frame, stem};
use pdl_store::memory::MemoryShare;
use pdl_store::{StoreError, fault};

use crate::CohortError;
use crate::attributes::Modality;
use crate::discover::{DiscoveredCase, Layout, split_channel};
use crate::import::channel_choice::ChannelChoice;
use crate::invalid_option::InvalidOption;

/// Maximum length of a channel's name in files and columns, in characters.
const LONGEST_NAME: usize = 40;

/// The channels of a cohort by number, under names that files and columns can bear.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CohortChannels {
    /// Empty where cases have one image.
    names: BTreeMap<u32, String>,
    /// Whether an image on another grid is resampled to that of the first channel.
    pub resample: bool,
}

impl CohortChannels {
    /// Collects the channels that any case of a layout has.
    pub(crate) fn of(layout: &Layout, resample: bool) -> Self {
        let numbers: BTreeSet<u32> =
            layout.cases.iter().flat_map(|found| found.channels.keys().copied()).collect();
        let mut taken = BTreeSet::new();
        let mut name = |number: &u32| {
            let stated = layout.channel_names.get(number).map(|name| plain(name)).unwrap_or_default();
            let name = if stated.is_empty() { format!("channel_{number}") } else { stated };
            let name = if taken.insert(name.to_lowercase()) { name } else { format!("{name}_{number}") };
            taken.insert(name.to_lowercase());
            (*number, name)
        };
        Self { names: numbers.iter().map(&mut name).collect(), resample }
    }

    /// The name of a channel.
    pub(crate) fn name(&self, number: u32) -> &str {
        self.names.get(&number).map_or("", String::as_str)
    }

    /// The modality of a channel by its name or the cohort; `None` if it has to be guessed from the
    /// intensities.
    pub(crate) fn modality(&self, number: u32, stated: Option<Modality>) -> Option<Modality> {
        let by_name = self.name(number).parse().ok().filter(|modality| *modality != Modality::OT);
        by_name.or(stated.filter(|modality| *modality != Modality::CT))
    }

    /// The names in the order of the channels.
    fn listed(&self, numbers: impl Iterator<Item = u32>) -> String {
        numbers.map(|number| self.name(number)).collect::<Vec<_>>().join(", ")
    }
}

/// A name of letters, digits, - and _ only.
fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = name.trim().chars().map(plain).take(LONGEST_NAME).collect();
    name.trim_matches('_').to_owned()
}

impl Layout {
    /// Takes files that hold as many volumes as `dataset.json` names channels (Decathlon) as cases
    /// of these channels. A file that holds another number of volumes, but several, is refused.
    ///
    /// # Errors
    /// [`StoreError::Machine`] if an error of the machine prevents a file from being read.
    pub(crate) fn split_channel_files(&mut self, memory: &MemoryShare<'_>) -> Result<(), StoreError> {
        let named = self.channel_names.len();
        if named < 2 || self.cases.iter().any(|found| found.channels.len() > 1) {
            return Ok(());
        }
        let names = self.channel_names.values().map(String::as_str).collect::<Vec<_>>().join(", ");
        for found in &mut self.cases {
            let Some(image) = found.image.clone() else { continue };
            let file = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !is_volume_name(&file) || split_frame(&file).1.is_some() {
                continue;
            }
            let volumes = match pdl_io::volumes_in(&image, &memory.part()) {
                Ok(volumes) => volumes,
                // The defect is reported where the file is read.
                Err(unread) => match fault::machine_error(&unread) {
                    None => continue,
                    Some(source) => {
                        let what = "an image of the cohort".to_owned();
                        return Err(StoreError::Machine { what, path: None, source });
                    }
                },
            };
            if volumes == named {
                let frame = |number: usize| image.with_file_name(format!("{file}#{number}"));
                found.channels =
                    self.channel_names.keys().enumerate().map(|(n, key)| (*key, frame(n))).collect();
                found.image = found.channels.values().next().cloned();
            } else if volumes > 1 {
                let message = format!(
                    "its file has {volumes} volumes, and dataset.json names {named} channels ({names}): correct one of \
                     them, or select one volume of each file with --frame"
                );
                found.findings.push(Finding::new(Code::MissingChannel, message));
                found.refused = true;
            }
        }
        Ok(())
    }

    /// Adds a finding if `dataset.json` names several channels and every case has one image.
    pub(crate) fn add_missing_channels_finding(&mut self) {
        let has_image = self.cases.iter().any(|found| found.image.is_some() && !found.refused);
        let has_several = self.cases.iter().any(|found| found.channels.len() > 1);
        if self.channel_names.len() < 2 || has_several || !has_image {
            return;
        }
        let names: Vec<&str> = self.channel_names.values().map(String::as_str).collect();
        let message = format!(
            "{} channels are named ({}), and every case has one image: the files of the others may be missing, or be \
             named otherwise than CASE_0000, CASE_0001",
            names.len(),
            names.join(", ")
        );
        self.findings.push(Finding::new(Code::ChannelsUnknown, message));
    }

    /// Takes these channels of every case that has several, by their names or numbers, in their
    /// order. Returns the numbers that they have in the names of files, or as frames; none where
    /// files bear their names.
    ///
    /// # Errors
    /// [`CohortError::NoChannel`] when there is no channel of a name, and
    /// [`CohortError::InvalidOption`] when one has a pattern, which is for DICOM.
    pub(crate) fn choose_channels(&mut self, choices: &[ChannelChoice]) -> Result<Vec<u32>, CohortError> {
        if let Some(choice) = choices.iter().find(|choice| choice.pattern.is_some()) {
            let problem = "patterns are for series of a DICOM cohort; channels of files go by their names";
            let value = format!("{}=...", choice.name);
            return Err(InvalidOption::with_value("channels", &value, problem).into());
        }
        let numbers: Vec<u32> =
            choices.iter().map(|choice| self.channel_number(&choice.name)).collect::<Result<_, _>>()?;
        let place =
            |number: &u32| (0..).zip(&numbers).find(|(_, known)| *known == number).map(|(new, _)| new);
        let is_numbered = |(number, path): (&u32, &PathBuf)| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            channel_of(path) == Some(*number) || split_frame(&name).1 == Some(*number as usize)
        };
        let numbered = self.cases.iter().flat_map(|found| &found.channels).any(is_numbered);
        for found in &mut self.cases {
            if let (true, Some(image)) = (found.channels.is_empty(), &found.image) {
                found.channels.extend(channel_of(image).map(|number| (number, image.clone())));
            }
            let channels = std::mem::take(&mut found.channels).into_iter();
            found.channels = channels.filter_map(|(number, path)| Some((place(&number)?, path))).collect();
            found.image = found.channels.values().next().cloned().or(found.image.take());
        }
        self.modality = numbers.first().and_then(|number| self.modality_of_channel(*number));
        let names = std::mem::take(&mut self.channel_names);
        let name = |(new, number): (u32, &u32)| {
            (new, names.get(number).cloned().unwrap_or_else(|| format!("channel_{number}")))
        };
        self.channel_names = (0..).zip(&numbers).map(name).collect();
        Ok(if numbered { numbers } else { Vec::new() })
    }

    /// Sees to it that every case has all channels that any case of the cohort has: one that lacks
    /// some is refused. A cohort whose cases have one image each has no channels afterwards.
    pub(crate) fn require_channels(&mut self) {
        if !self.cases.iter().any(|found| found.channels.len() > 1) {
            self.cases.iter_mut().for_each(|found| found.channels.clear());
            return;
        }
        let channels = CohortChannels::of(self, false);
        let first = channels.names.keys().next().copied().unwrap_or_default();
        for found in &mut self.cases {
            let Some(image) = found.image.clone().filter(|_| !found.refused) else { continue };
            if let (true, None) = (found.channels.is_empty(), channel_of(&image)) {
                found.refuse_single(&channels);
                continue;
            }
            if found.channels.is_empty() {
                found.channels.insert(channel_of(&image).unwrap_or(first), image);
            }
            found.require(&channels);
        }
        if self.modality.is_none() {
            self.modality = channels.name(first).parse().ok().filter(|modality| *modality != Modality::OT);
        }
    }
}

impl DiscoveredCase {
    /// Refuses a case with one image, of which nothing says which of the channels it is.
    fn refuse_single(&mut self, channels: &CohortChannels) {
        let message = format!(
            "it has one image, and others have {}: of which of these it is, nothing says. Add the others by their names, or \
             make it a cohort of its own",
            channels.listed(channels.names.keys().copied())
        );
        self.findings.push(Finding::new(Code::MissingChannel, message));
        self.refused = true;
    }

    fn require(&mut self, channels: &CohortChannels) {
        let missing = channels.names.keys().copied().filter(|number| !self.channels.contains_key(number));
        let missing = channels.listed(missing);
        if !missing.is_empty() {
            let message = format!(
                "it has no image of {missing}, which others have, only of {}: add it, or select one channel of all \
                 with --channel",
                channels.listed(self.channels.keys().copied())
            );
            self.findings.push(Finding::new(Code::MissingChannel, message));
            self.refused = true;
        }
    }
}

/// The channel number in an nnU-Net file name.
fn channel_of(image: &Path) -> Option<u32> {
    let name = image.file_name()?.to_string_lossy();
    split_channel(stem(&name)).map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(cases: &[&[u32]], names: &[&str]) -> Layout {
        let case = |numbers: &&[u32]| {
            let path = |number: u32| PathBuf::from(format!("p_{number:04}.nii"));
            let channels: BTreeMap<u32, PathBuf> = numbers.iter().map(|n| (*n, path(*n))).collect();
            DiscoveredCase { image: channels.values().next().cloned(), channels, ..DiscoveredCase::default() }
        };
        let channel_names = (0..).zip(names.iter().map(|name| (*name).to_owned())).collect();
        Layout { cases: cases.iter().map(case).collect(), channel_names, ..Layout::default() }
    }

    #[test]
    fn names_are_fit_for_files_and_columns_and_stay_apart() {
        let layout = layout(&[&[0, 1, 2, 3, 4]], &["T1 post/Gd", "t1_post gd", "  ", "ADC (x)"]);
        let channels = CohortChannels::of(&layout, false);
        let names: Vec<&str> = (0..5).map(|number| channels.name(number)).collect();
        assert_eq!(names, ["T1_post_Gd", "t1_post_gd_1", "channel_2", "ADC__x", "channel_4"]);
    }

    #[test]
    fn a_case_that_lacks_a_channel_is_refused_by_the_channels_name() {
        let mut several = layout(&[&[0, 1], &[1], &[0, 1]], &["CT", "PT"]);
        several.cases[1].channels.clear(); // as a table names one image, whose name says which
        several.require_channels();
        let refused: Vec<bool> = several.cases.iter().map(|found| found.refused).collect();
        assert_eq!(refused, [false, true, false]);
        let finding = &several.cases[1].findings[0];
        assert_eq!(finding.code, Code::MissingChannel);
        assert!(finding.message.starts_with("it has no image of CT, which others have, only of PT"));
        assert_eq!(several.modality, Some(Modality::CT));
    }

    #[test]
    fn chosen_channels_stand_in_the_order_in_which_they_are_asked_for() {
        let mut four = layout(&[&[0, 1, 2, 3], &[0, 2], &[]], &["CT", "CTres", "PET", "SUV"]);
        four.cases[2].image = Some(PathBuf::from("q_0001.nii"));
        let choices = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            ChannelChoice::all(&texts).unwrap()
        };
        assert_eq!(four.choose_channels(&choices(&["suv", "1"])).unwrap(), [3, 1]);
        assert_eq!(four.channel_names, BTreeMap::from([(0, "SUV".to_owned()), (1, "CTres".to_owned())]));
        let path = |number: u32| PathBuf::from(format!("p_{number:04}.nii"));
        assert_eq!(four.cases[0].channels, BTreeMap::from([(0, path(3)), (1, path(1))]));
        assert_eq!((four.cases[0].image.clone(), four.modality), (Some(path(3)), Some(Modality::PT)));
        four.require_channels();
        assert_eq!(four.cases.iter().map(|found| found.refused).collect::<Vec<_>>(), [false, true, true]);
        let mut two = layout(&[&[0, 1]], &["CT", "PET"]);
        assert!(two.choose_channels(&choices(&["CT", "MR"])).unwrap_err().to_string().contains("CT, PET"));
        assert!(two.choose_channels(&choices(&["CT", "PET=*p*"])).is_err());
    }

    #[test]
    fn single_images_are_no_channels() {
        let mut single = layout(&[&[1], &[1]], &["T1", "T2"]);
        single.require_channels();
        assert!(single.cases.iter().all(|found| found.channels.is_empty() && !found.refused));
    }

    #[test]
    fn a_channel_is_of_the_modality_that_its_name_says_else_of_the_cohorts() {
        let channels = CohortChannels::of(&layout(&[&[0, 1, 2]], &["CT", "PET", "other"]), false);
        let modality = |number| channels.modality(number, Some(Modality::CT));
        assert_eq!([0, 1, 2].map(modality), [Some(Modality::CT), Some(Modality::PT), None]);
        assert_eq!(channels.modality(2, Some(Modality::MR)), Some(Modality::MR));
    }
}
