//! Options with which the images of a cohort were read, so that new images are read the same way.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use pdl_dicom::ReadOptions;
use pdl_io::{ReadError, is_volume_name, stack, stem};
use pdl_store::fault;
use pdl_store::memory::MemoryShare;
use pdl_volume::{Affine, Grid, Orientation, Volume};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attributes::PetUnits;
use crate::discover::split_channel;
use crate::discover::stack_hint::StackHint;
use crate::import::stacks;
use crate::parameters::IndexParameters;
use crate::table::cases::Cases;

/// The options of the index stage that decide what the voxels of an image are and where they lie.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ImageReading {
    /// Directions in which the stored axes grow, instead of those that the files state.
    pub orientation: Option<String>,
    /// The channel that was taken of images with several, by its number from 0.
    pub channel: Option<String>,
    /// The channels that were asked for, in their order; empty where all were taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// The numbers that the channels have in the names of files, or as frames of one, in the order
    /// of the network's; empty where that is 0, 1, 2 ..., or files bear the channels' names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channel_numbers: Vec<u32>,
    /// Whether channels on other grids were resampled to that of the first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resample_channels: bool,
    /// The frame that was taken of images with several, from 0.
    pub frame: Option<usize>,
    /// Millimetres between columns, rows and slices of stacks of slices.
    pub stack_spacing: Option<Vec<f64>>,
    /// Directions of columns, rows and slices of stacks of slices, such as LPS.
    pub stack_axes: Option<String>,
    /// Whether images are 2-D: each of the PNG, TIFF or JPEG files of a folder is an image, not a
    /// slice.
    pub pictures: bool,
    /// Whether the channels are the colours of pictures: red, green and blue.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub colours: bool,
    /// Whether RescaleSlope and RescaleIntercept of DICOM were applied to MR.
    pub mr_rescale: bool,
    /// The unit of PET values, if the cohort has any.
    pub pet_units: Option<PetUnits>,
}

impl From<&IndexParameters> for ImageReading {
    fn from(parameters: &IndexParameters) -> Self {
        Self {
            orientation: parameters.orientation.clone(),
            channel: parameters.channel.clone(),
            channels: parameters.channels.clone(),
            channel_numbers: parameters.channel_numbers.clone(),
            resample_channels: parameters.resample_channels,
            frame: parameters.frame,
            stack_spacing: parameters.stack_spacing.clone(),
            stack_axes: parameters.stack_axes.clone(),
            pictures: false,
            colours: parameters.colours,
            mr_rescale: parameters.mr_rescale,
            pet_units: parameters.pet_units,
        }
    }
}

impl ImageReading {
    /// The options with which an indexed cohort was read: those given, and those that its first
    /// index decided.
    pub fn of(cases: &Cases) -> Self {
        let pet_units = cases.pet_units.or(cases.parameters.pet_units);
        let read = Self::from(&cases.parameters);
        let is_flat = |shape: &[u32]| shape.last() == Some(&1);
        let pictures = read.stack_spacing.is_some() && cases.usable().all(|row| is_flat(&row.shape));
        Self { pet_units, pictures, ..read }
    }

    /// The options of the DICOM reader.
    pub fn dicom_options(&self) -> ReadOptions {
        let pet = self.pet_units.map(PetUnits::scale).unwrap_or_default();
        ReadOptions { mr_rescale: self.mr_rescale, pet }
    }

    /// The image of a file or a stack of slices, and the grid that its file states, on which its
    /// labels are to be written.
    ///
    /// # Errors
    /// [`ReadError`] if it cannot be read.
    pub fn read(&self, path: &Path, memory: &MemoryShare<'_>) -> Result<(Volume<f32>, Grid), ReadError> {
        let path = self.with_frame(path)?;
        let image = stacks::read_image(&path, self.stacks(), memory).map_err(|unread| unread.error)?;
        let grid = image.volume.grid;
        Ok((self.oriented(image.volume), grid))
    }

    /// The volume with the stated orientation instead of its own.
    pub fn oriented(&self, mut volume: Volume<f32>) -> Volume<f32> {
        let stated = self.orientation.as_deref().and_then(|code| code.parse::<Orientation>().ok());
        if let Some(orientation) = stated {
            let grid = &mut volume.grid;
            grid.affine = Affine::from_orientation(orientation, grid.spacing_mm(), grid.shape);
        }
        volume
    }

    /// Whether a path is that of a stack of slices that can be read.
    ///
    /// # Errors
    /// Errors of the machine.
    pub fn is_stack(&self, path: &Path) -> io::Result<bool> {
        Ok(self.stack_spacing.is_some() && stack::is_stack(path)? && !(self.pictures && fault::is_dir(path)?))
    }

    /// Selects the `paths` of the channel that was taken, each with the name of its image, and how
    /// many hold other channels of these images. Names are as in nnU-Net: `CASE_0001` is channel 1
    /// of CASE.
    pub fn of_channel(&self, paths: Vec<PathBuf>) -> (Vec<(PathBuf, String)>, usize) {
        let name = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            stem(&name).to_owned()
        };
        let Some(taken) = self.channel.as_deref().and_then(|channel| channel.parse::<u32>().ok()) else {
            return (paths.into_iter().map(|path| (path.clone(), name(&path))).collect(), 0);
        };
        let image = |path: &Path| {
            let name = name(path);
            split_channel(&name)
                .map(|(image, channel)| (path.with_file_name(image), image.to_owned(), channel))
        };
        let with_channel: BTreeSet<PathBuf> = paths
            .iter()
            .filter_map(|path| image(path))
            .filter(|(.., n)| *n == taken)
            .map(|(at, ..)| at)
            .collect();
        let mut others = 0;
        let mut chosen = Vec::with_capacity(paths.len());
        for path in paths {
            match image(&path).filter(|(at, ..)| with_channel.contains(at)) {
                Some((_, image, channel)) if channel == taken => chosen.push((path, image)),
                Some(_) => others += 1,
                None => {
                    let name = name(&path);
                    chosen.push((path, name));
                }
            }
        }
        (chosen, others)
    }

    fn stacks(&self) -> StackHint {
        let spacing_mm = self.stack_spacing.as_deref().and_then(|lengths| lengths.try_into().ok());
        StackHint { spacing_mm, axes: self.stack_axes.as_deref().and_then(|axes| axes.parse().ok()) }
    }

    /// The path with the number of the frame that was taken, unless it names one itself.
    fn with_frame(&self, path: &Path) -> Result<PathBuf, ReadError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let has_frames = is_volume_name(&name) || self.pictures && stack::is_slice_name(&name);
        let Some(frame) = self.frame.filter(|_| has_frames) else { return Ok(path.to_owned()) };
        Ok(path.with_file_name(format!("{name}#{frame}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(channel: Option<&str>, names: &[&str]) -> (Vec<String>, usize) {
        let reading = ImageReading { channel: channel.map(str::to_owned), ..ImageReading::default() };
        let (chosen, others) = reading.of_channel(names.iter().map(PathBuf::from).collect());
        let text = |(path, name): (PathBuf, String)| format!("{} {name}", path.display());
        (chosen.into_iter().map(text).collect(), others)
    }

    #[test]
    fn the_channel_that_was_trained_on_is_taken_of_images_with_several() {
        let names = ["a/p_0000.nii.gz", "a/p_0001.nii.gz", "b/p_0000.nii.gz", "scan.nii"];
        let one = ["a/p_0001.nii.gz p", "b/p_0000.nii.gz p_0000", "scan.nii scan"].map(str::to_owned);
        assert_eq!(chosen(Some("1"), &names), (one.to_vec(), 1));
        assert_eq!(chosen(None, &names).0.len(), 4);
    }

    #[test]
    fn an_orientation_that_was_stated_replaces_the_files() {
        let affine = Affine::from_orientation("LPS".parse().unwrap(), [1.0, 2.0, 3.0], [2, 2, 2]);
        let volume = Volume::new(Grid::new([2, 2, 2], affine), vec![0.0; 8]).unwrap();
        let reading = ImageReading { orientation: Some("PIR".to_owned()), ..ImageReading::default() };
        let turned = reading.oriented(volume.clone());
        assert_eq!(turned.grid.orientation().to_string(), "PIR");
        assert_eq!(turned.grid.spacing_mm(), volume.grid.spacing_mm());
        assert_eq!(ImageReading::default().oriented(volume.clone()), volume);
    }
}
