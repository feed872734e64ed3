//! Series of one study as the channels of a case, such as CT and PET.

use std::collections::{BTreeMap, BTreeSet};

use pdl_dicom::{DicomError, ReadOptions, Series};
use pdl_findings::{Code, Finding};
use pdl_store::memory::MemoryShare;

use crate::CohortError;
use crate::attributes::Modality;
use crate::discover::DiscoveredCase;
use crate::import::Volumes;
use crate::parameters::IndexParameters;

/// For series, by their numbers, those of the further channels, in order.
pub(crate) type ChannelSeries = BTreeMap<usize, Vec<usize>>;

/// The modalities of the channels, that of the labelled series first; empty if each series is a
/// case of its own.
pub(crate) struct DicomChannels {
    modalities: Vec<Modality>,
}

impl DicomChannels {
    /// From the parameters.
    ///
    /// # Errors
    /// [`CohortError::Option`] when they name one alone, or one twice.
    pub(crate) fn new(parameters: &IndexParameters) -> Result<Self, CohortError> {
        let modalities = parameters.channels.clone();
        let distinct: BTreeSet<&Modality> = modalities.iter().collect();
        if modalities.len() == 1 || distinct.len() < modalities.len() {
            let problem =
                "--channels: expected two modalities or more, each once, the labelled one first, as in CT,PT";
            return Err(CohortError::Option(problem.to_owned()));
        }
        Ok(Self { modalities })
    }

    /// The names of the channels by number.
    pub(crate) fn names(&self) -> BTreeMap<u32, String> {
        (0..).zip(self.modalities.iter().map(Modality::to_string)).collect()
    }

    /// Assigns channels to each case of a labelled series of the first modality; a case whose
    /// channels are ambiguous or missing is refused. `cases` are these with the numbers of their
    /// series.
    pub(crate) fn join<'a>(
        &self,
        series: &[Series],
        cases: impl Iterator<Item = (&'a mut DiscoveredCase, usize)>,
    ) -> ChannelSeries {
        let mut joined = ChannelSeries::new();
        let Some(reference) = self.modalities.first() else { return joined };
        for (found, number) in cases.filter(|(found, _)| found.modality == Some(*reference)) {
            match self.partners(series, number) {
                Ok(partners) => {
                    // Until the volumes are imported, a channel is named by the first of its files.
                    let all = std::iter::once(&number).chain(&partners);
                    let file = |number: &usize| series[*number].files.first().cloned().unwrap_or_default();
                    found.channels = (0..).zip(all.map(file)).collect();
                    joined.insert(number, partners);
                }
                Err(finding) => {
                    found.findings.push(finding);
                    found.refused = true;
                }
            }
        }
        joined
    }

    /// The series of the further channels of a series: of its study, in its frame of reference.
    ///
    /// # Errors
    /// A finding if there is none of a modality, or several.
    fn partners(&self, series: &[Series], number: usize) -> Result<Vec<usize>, Finding> {
        let partner = |modality: &Modality| {
            let is_one = |other: &&(usize, &Series)| {
                let (other_number, other) = **other;
                other_number != number
                    && other.modality.parse().ok() == Some(*modality)
                    && series[number].shares_space_with(other)
            };
            let all: Vec<(usize, &Series)> = series.iter().enumerate().collect();
            let found: Vec<usize> = all.iter().filter(is_one).map(|(number, _)| *number).collect();
            match found[..] {
                [one] => Ok(one),
                [] => {
                    let message = format!("its study has no {modality} series in its frame of reference");
                    Err(Finding::new(Code::MissingChannel, message))
                }
                _ => {
                    let message = format!(
                        "{} {modality} series of its study share its frame of reference, and which of them is its \
                         channel is ambiguous: convert the study to NIfTI, and name the files in a table (columns \
                         image_{}, image_{modality}, label)",
                        found.len(),
                        self.modalities[0]
                    );
                    Err(Finding::new(Code::SeveralFiles, message))
                }
            }
        };
        self.modalities.iter().skip(1).map(partner).collect()
    }
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
