//! Why a file of a cohort's folder became no part of a case.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a file of a cohort's folder became no part of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SkipReason {
    /// Not a DICOM file, in a folder of DICOM files.
    NotDicom,
    /// The index of a medium (DICOMDIR).
    Dicomdir,
    /// A DICOM object without an image, such as a plan or a waveform.
    NoImage,
    /// An image of another modality than CT, MR or PT.
    OtherModality,
    /// A screenshot or another secondary capture.
    SecondaryCapture,
    /// An image of modality SEG that is no segmentation: a mask that was saved as an image.
    MaskImage,
    /// A structured report.
    Report,
    /// A scout (localizer).
    Scout,
    /// A single image of another size or spacing than the slices of its series.
    OtherSize,
    /// The same image or label file is there another time.
    Copy,
    /// The slice shows, voxel for voxel, what another one at its position shows.
    DuplicateSlice,
    /// A structure set or segmentation of images that are missing or were skipped.
    LabelWithoutImages,
    /// A structure set or segmentation that names no images, in a frame of reference of several
    /// series.
    LabelOfSeveralSeries,
    /// A structure set or segmentation that names no images, in a frame of reference of no series.
    LabelOfNoSeries,
    /// A structure set or segmentation beside a later one of the same images.
    OlderLabel,
    /// Cut short, or contradicts itself.
    Damaged,
    /// Valid, but not supported as a volume or a label map.
    Unsupported,
    /// The system refused to open or to list it.
    Unreadable,
    /// More memory is needed than is allowed.
    TooLarge,
    /// The cohort's table or a description of it.
    Description,
    /// An image of a case whose other channel was selected.
    OtherChannel,
    /// A volume that neither the cohort's table nor the layout of its folders makes a case of.
    NotInCohort,
    /// Not a volume by its name.
    NotAVolume,
    /// Name, or that of a folder of it, begins with a dot.
    Hidden,
    /// A FIFO, socket or device.
    SpecialFile,
}

impl SkipReason {
    /// All reasons, in the order in which they are declared.
    pub const ALL: [Self; 25] = [
        Self::NotDicom,
        Self::Dicomdir,
        Self::NoImage,
        Self::OtherModality,
        Self::SecondaryCapture,
        Self::MaskImage,
        Self::Report,
        Self::Scout,
        Self::OtherSize,
        Self::Copy,
        Self::DuplicateSlice,
        Self::LabelWithoutImages,
        Self::LabelOfSeveralSeries,
        Self::LabelOfNoSeries,
        Self::OlderLabel,
        Self::Damaged,
        Self::Unsupported,
        Self::Unreadable,
        Self::TooLarge,
        Self::Description,
        Self::OtherChannel,
        Self::NotInCohort,
        Self::NotAVolume,
        Self::Hidden,
        Self::SpecialFile,
    ];

    /// The text in tables and messages, such as "not-dicom".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotDicom => "not-dicom",
            Self::Dicomdir => "dicomdir",
            Self::NoImage => "no-image",
            Self::OtherModality => "other-modality",
            Self::SecondaryCapture => "secondary-capture",
            Self::MaskImage => "mask-image",
            Self::Report => "report",
            Self::Scout => "scout",
            Self::OtherSize => "other-size",
            Self::Copy => "copy",
            Self::DuplicateSlice => "duplicate-slice",
            Self::LabelWithoutImages => "label-without-images",
            Self::LabelOfSeveralSeries => "label-of-several-series",
            Self::LabelOfNoSeries => "label-of-no-series",
            Self::OlderLabel => "older-label",
            Self::Damaged => "damaged",
            Self::Unsupported => "unsupported",
            Self::Unreadable => "unreadable",
            Self::TooLarge => "too-large",
            Self::Description => "description",
            Self::OtherChannel => "other-channel",
            Self::NotInCohort => "not-in-cohort",
            Self::NotAVolume => "not-a-volume",
            Self::Hidden => "hidden",
            Self::SpecialFile => "special-file",
        }
    }

    /// Description, to follow a count.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotDicom => "not a DICOM file",
            Self::Dicomdir => "index of a medium (DICOMDIR)",
            Self::NoImage => "no image",
            Self::OtherModality => "other modality",
            Self::SecondaryCapture => "secondary capture",
            Self::MaskImage => "mask saved as an image of modality SEG, and not as a DICOM segmentation",
            Self::Report => "report",
            Self::Scout => "scout",
            Self::OtherSize => "single image of another size than the slices of its series",
            Self::Copy => "copy of a file that was read",
            Self::DuplicateSlice => "duplicate of another slice of its series, voxel for voxel",
            Self::LabelWithoutImages => "label file of images that are missing or were skipped",
            Self::LabelOfSeveralSeries => {
                "label file that names no images, in a frame of reference of several series"
            }
            Self::LabelOfNoSeries => {
                "label file that names no images, in a frame of reference of none that are here"
            }
            Self::OlderLabel => "label file beside a later one of the same images",
            Self::Damaged => "damaged",
            Self::Unsupported => "unsupported",
            Self::Unreadable => "cannot be read",
            Self::TooLarge => "too large for the memory that is allowed",
            Self::Description => "table or description of the cohort",
            Self::OtherChannel => "other channel of a case",
            Self::NotInCohort => "volume that is no case of the table or the folders' layout",
            Self::NotAVolume => "not a volume by its name",
            Self::Hidden => "hidden file",
            Self::SpecialFile => "FIFO, socket or device",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::SkipReason;

    #[test]
    fn reasons_travel_as_their_text() {
        for reason in SkipReason::ALL {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
        }
    }
}
