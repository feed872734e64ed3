//! Series of one study as the channels of a case, such as CT and PET.

use std::collections::{BTreeMap, BTreeSet};

use pdl_dicom::series::acquisition::descriptions;
use pdl_dicom::{DicomError, ReadOptions, Series};
use pdl_findings::{Code, Finding};
use pdl_store::memory::MemoryShare;
use pdl_store::{StoreError, fault};

use crate::CohortError;
use crate::discover::DiscoveredCase;
use crate::import::Volumes;
use crate::import::channel_choice::ChannelChoice;
use crate::invalid_option::InvalidOption;
use crate::parameters::IndexParameters;

/// For series, by their numbers, those of the further channels, in order.
pub(crate) type ChannelSeries = BTreeMap<usize, Vec<usize>>;

/// The modalities of the channels, that of the labelled series first; empty if each series is a
/// case of its own.
pub(crate) struct DicomChannels {
    choices: Vec<ChannelChoice>,
    series: Vec<BTreeSet<usize>>,
}

/// A case of the scan, the number of its series, and whether a label refers to it.
pub(crate) type SeriesCase<'a> = (&'a mut DiscoveredCase, usize, bool);

impl DicomChannels {
    /// From the parameters.
    ///
    /// # Errors
    /// [`CohortError::InvalidOption`] when they name no series, and [`StoreError::Machine`] when
    /// the machine keeps a header from being read.
    pub(crate) fn new(parameters: &IndexParameters, series: &[Series]) -> Result<Self, CohortError> {
        let choices = ChannelChoice::all(&parameters.channels)?;
        let described = choices.iter().any(|choice| choice.pattern.is_some());
        let texts: Vec<[String; 2]> =
            if described { series.iter().map(described_as).collect::<Result<_, _>>()? } else { Vec::new() };
        let of_choice = |choice: &ChannelChoice| {
            let is_of = |(number, one): &(usize, &Series)| match (&choice.pattern, choice.modality()) {
                (Some(pattern), _) => texts[*number].iter().any(|text| pattern.matches(text)),
                (None, modality) => modality.is_some() && one.modality.parse().ok() == modality,
            };
            series.iter().enumerate().filter(is_of).map(|(number, _)| number).collect()
        };
        if let Some(choice) =
            choices.iter().find(|choice| choice.pattern.is_none() && choice.modality().is_none())
        {
            let problem = format!(
                "of DICOM series a channel is a modality (CT, MR, PT), or NAME=PATTERN with what their \
                 SeriesDescription or ProtocolName holds, as in {0}=*{0}*",
                choice.name
            );
            return Err(InvalidOption::with_value("channels", &choice.name, problem).into());
        }
        let series = choices.iter().map(of_choice).collect();
        Ok(Self { choices, series })
    }

    /// The names of the channels by number.
    pub(crate) fn names(&self) -> BTreeMap<u32, String> {
        let name = |choice: &ChannelChoice| {
            choice.modality().map_or_else(|| choice.name.clone(), |modality| modality.to_string())
        };
        (0..).zip(self.choices.iter().map(name)).collect()
    }

    /// Assigns channels to each case of a labelled series of the first modality; a case whose
    /// channels are ambiguous or missing is refused. `cases` are these with the numbers of their
    /// series.
    pub(crate) fn join<'a>(
        &self,
        series: &[Series],
        cases: impl Iterator<Item = SeriesCase<'a>>,
    ) -> ChannelSeries {
        let mut joined = ChannelSeries::new();
        let Some(reference) = self.series.first() else { return joined };
        let mut cases: Vec<SeriesCase<'a>> = cases.collect();
        cases.sort_by_key(|(_, number, labelled)| (!labelled, *number));
        for (found, number, labelled) in cases {
            if !reference.contains(&number) {
                continue;
            }
            let taken = |partners: &Vec<usize>| joined.values().flatten().any(|one| partners.contains(one));
            match self.partners(series, number) {
                Ok(partners) if labelled || !taken(&partners) => {
                    // Until the volumes are kept a channel goes by the first of its files.
                    let all = std::iter::once(&number).chain(&partners);
                    let file = |number: &usize| series[*number].files.first().cloned().unwrap_or_default();
                    found.channels = (0..).zip(all.map(file)).collect();
                    joined.insert(number, partners);
                }
                Ok(_) => {
                    let message = "its further channels are those of a labelled series of its study";
                    found.refuse_channels(Finding::new(Code::MissingChannel, message));
                }
                Err(finding) => found.refuse_channels(finding),
            }
        }
        joined
    }

    /// Why a series that is in no case with channels cannot be one by itself, where channels are
    /// told by patterns; those of other modalities than the first are told as such.
    pub(crate) fn left_over(&self, number: usize, joined: &ChannelSeries) -> Option<Finding> {
        let by_pattern = self.choices.iter().any(|choice| choice.pattern.is_some());
        if !by_pattern || joined.contains_key(&number) {
            return None;
        }
        let is_channel = self.series.iter().any(|series| series.contains(&number));
        let message = match is_channel {
            true => format!("no {} series of its study goes with it", self.choices[0].name),
            false => "its series is none of the channels that --channels names".to_owned(),
        };
        Some(Finding::new(Code::MissingChannel, message))
    }

    /// The series of the further channels of a series: of its study, in its frame of reference.
    ///
    /// # Errors
    /// A finding if there is none of a modality, or several.
    fn partners(&self, series: &[Series], number: usize) -> Result<Vec<usize>, Finding> {
        let partner = |(choice, of_channel): (&ChannelChoice, &BTreeSet<usize>)| {
            let is_one =
                |other: &&usize| **other != number && series[number].shares_space_with(&series[**other]);
            let found: Vec<usize> = of_channel.iter().filter(is_one).copied().collect();
            let name = &choice.name;
            match found[..] {
                [one] => Ok(one),
                [] => {
                    let message = format!("its study has no {name} series in its frame of reference");
                    Err(Finding::new(Code::MissingChannel, message))
                }
                _ => {
                    let message = format!(
                        "{} {name} series of its study lie in its frame of reference, and which of them is its channel cannot \
                         be told: say it by SeriesDescription or ProtocolName, as in --channels {},{name}=*PART OF IT*",
                        found.len(),
                        self.choices[0].name
                    );
                    Err(Finding::new(Code::SeveralFiles, message))
                }
            }
        };
        self.choices.iter().zip(&self.series).skip(1).map(partner).collect()
    }
}

impl DiscoveredCase {
    fn refuse_channels(&mut self, finding: Finding) {
        self.findings.push(finding);
        self.refused = true;
    }
}

/// The description of a series; empty if it can no longer be read, which is reported where it is
/// read.
///
/// # Errors
/// [`StoreError::Machine`].
fn described_as(series: &Series) -> Result<[String; 2], StoreError> {
    descriptions(series).or_else(|error| match fault::machine_error(&error) {
        Some(source) => Err(StoreError::Machine { what: "a DICOM series".to_owned(), path: None, source }),
        None => Ok([String::new(), String::new()]),
    })
}

/// Reads the channels after the first, each on its own grid.
///
/// # Errors
/// [`DicomError`] when one of them cannot be read.
pub(crate) fn with_channels<'a>(
    mut volumes: Volumes,
    further: impl Iterator<Item = &'a Series>,
    options: ReadOptions,
    memory: &MemoryShare<'_>,
) -> Result<Volumes, DicomError> {
    for (number, series) in (1..).zip(further) {
        let image = pdl_dicom::read_series_within(series, options, memory)?;
        let named = |finding: &Finding| {
            Finding::new(finding.code, format!("channel {}: {}", series.modality, finding.message))
        };
        volumes.findings.extend(image.findings.iter().map(named));
        volumes.states.extend(series.files.iter().cloned().zip(series.states.iter().copied()));
        volumes.channels.insert(number, image.volume);
    }
    Ok(volumes)
}
