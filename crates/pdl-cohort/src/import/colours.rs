//! Pictures in colour: red, green and blue are the channels of their cases.

use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_io::{split_frame, stack};
use pdl_store::memory::MemoryShare;
use pdl_store::plural::counted;
use pdl_store::{StoreError, fault};

use crate::discover::{DiscoveredCase, Layout};

/// Names of the channels where `dataset.json` states none.
const NAMES: [&str; 3] = ["red", "green", "blue"];
/// Maximum number of pictures that are decoded to find out whether a cohort is in colour.
const LOOKED_AT: usize = 32;

impl Layout {
    /// Takes pictures as cases of three channels if most of them are in colour, by up to 32 of them
    /// evenly over the cohort; a grey picture among these has three equal channels. Pictures in
    /// colour are refused where `dataset.json` names another number of channels. Returns whether
    /// colours are channels.
    ///
    /// # Errors
    /// [`StoreError::Machine`] if an error of the machine prevents a picture from being read.
    pub(crate) fn split_colours(&mut self, memory: &MemoryShare<'_>) -> Result<bool, StoreError> {
        if self.cases.iter().any(|found| found.channels.len() > 1) {
            return Ok(false);
        }
        let mut pictures = Vec::new();
        for (case, found) in self.cases.iter().enumerate() {
            let Some(image) = found.image.as_deref().filter(|image| !is_frame(image)) else { continue };
            let is_picture = stack::is_picture(image).map_err(|source| machine(found, source))?;
            pictures.extend(is_picture.then_some(case));
        }
        let step = pictures.len().div_ceil(LOOKED_AT).max(1);
        let (mut colour, mut grey) = (0, 0);
        for case in pictures.iter().step_by(step) {
            let is_coloured = self.cases[*case].is_in_colour(memory)?;
            *if is_coloured { &mut colour } else { &mut grey } += 1;
        }
        if colour <= grey {
            return Ok(false);
        }
        let named = self.channel_names.len();
        if ![0, NAMES.len()].contains(&named) {
            for case in pictures {
                self.refuse_colours(case, named);
            }
            return Ok(false);
        }
        if named == 0 {
            self.channel_names = (0..).zip(NAMES.map(str::to_owned)).collect();
        }
        let numbers: Vec<u32> = self.channel_names.keys().copied().collect();
        for case in pictures {
            let found = &mut self.cases[case];
            let Some(image) = found.image.take() else { continue };
            found.channels = (0..).zip(&numbers).map(|(n, key)| (*key, colour_of(&image, n))).collect();
            found.image = found.channels.values().next().cloned();
        }
        Ok(true)
    }

    fn refuse_colours(&mut self, case: usize, named: usize) {
        let names: Vec<&str> = self.channel_names.values().map(String::as_str).collect();
        let message = format!(
            "it is in colour, which is {} channels, and dataset.json names {} ({}): name red, green and blue there, or \
             take one colour of each image with --frame 0, 1 or 2",
            NAMES.len(),
            counted(named, "channel"),
            names.join(", ")
        );
        let found = &mut self.cases[case];
        found.findings.push(Finding::new(Code::MissingChannel, message));
        found.refused = true;
    }
}

impl DiscoveredCase {
    /// Whether its image is a picture in colour; not where it cannot be read, which is reported
    /// where it is.
    fn is_in_colour(&self, memory: &MemoryShare<'_>) -> Result<bool, StoreError> {
        let Some(image) = self.image.as_deref() else { return Ok(false) };
        match stack::is_in_colour(image, memory) {
            Ok(is_coloured) => Ok(is_coloured),
            Err(unread) => {
                fault::machine_error(&unread).map_or(Ok(false), |source| Err(machine(self, source)))
            }
        }
    }
}

fn machine(found: &DiscoveredCase, source: std::io::Error) -> StoreError {
    StoreError::Machine { what: found.what(), path: None, source }
}

fn is_frame(image: &Path) -> bool {
    split_frame(&image.file_name().unwrap_or_default().to_string_lossy()).1.is_some()
}

/// The path that names a colour of a picture.
fn colour_of(image: &Path, colour: usize) -> PathBuf {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    image.with_file_name(format!("{name}#{colour}"))
}
