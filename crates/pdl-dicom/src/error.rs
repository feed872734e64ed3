//! Errors of reading DICOM.

use std::path::{Path, PathBuf};

use pdl_findings::SkipReason;
use pdl_store::magic::FileKind;
use pdl_store::memory::MemoryError;

/// A DICOM object that could not be read. The path comes last; no message holds an attribute's
/// text.
#[derive(Debug, thiserror::Error)]
pub enum DicomError {
    /// The operating system reported an error.
    #[error("the file cannot be read ({source}): {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A folder whose files are not known.
    #[error("folder that cannot be listed: {}", path.display())]
    UnlistedFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Not a DICOM file.
    #[error("{}: {}", not_dicom(*kind), path.display())]
    NotDicom {
        /// The file.
        path: PathBuf,
        /// The kind of file, if its first bytes identify it.
        kind: Option<FileKind>,
    },
    /// A DICOM file that breaks off or contradicts itself.
    #[error("damaged DICOM ({problem}): {}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The defect.
        problem: String,
    },
    /// Fewer pixels than the header declares.
    #[error(
        "the file is truncated: expected {declared} bytes of pixels, found {held}: {}",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes of pixels that rows, columns, frames and bits call for.
        declared: u64,
        /// Bytes present (an upper bound for compressed pixels).
        held: u64,
    },
    /// The file needs more memory than the limit.
    #[error("{source}: {}", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// Memory required, and the limit.
        source: MemoryError,
    },
    /// Valid, but not supported as a volume or a label map.
    #[error("{problem}: {}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do about it.
        problem: String,
    },
    /// A series whose slices do not make one volume.
    #[error("the slices do not make one volume: {problem}")]
    Geometry {
        /// The defect, with figures.
        problem: String,
    },
    /// Contours whose coordinates are not those of the image.
    #[error(
        "its contours are in another frame of reference than the image, so that their places in it are unknown; \
         use the structure set that was drawn on this series"
    )]
    OtherFrame,
    /// The file of an image's labels cannot be read.
    #[error("its {kind} cannot be read: {cause}")]
    Labels {
        /// "structure set" or "segmentation".
        kind: &'static str,
        /// What is wrong with the file.
        cause: Box<DicomError>,
    },
    /// Labels that lie on no voxel grid of the image.
    #[error("the labels do not fit the image: {problem}")]
    LabelGrid {
        /// The defect, with figures.
        problem: String,
    },
}

impl DicomError {
    /// The message without the path, fit for any log.
    pub fn reason(&self) -> String {
        match self {
            Self::Io { source, .. } => format!("a file cannot be read ({source})"),
            Self::UnlistedFolder { .. } => "folder that cannot be listed".to_owned(),
            Self::NotDicom { kind, .. } => not_dicom(*kind),
            Self::Damaged { problem, .. } => format!("damaged DICOM ({problem})"),
            Self::Truncated { declared, held, .. } => {
                format!("a file is truncated: expected {declared} bytes of pixels, found {held}")
            }
            Self::Memory { source, .. } => source.to_string(),
            Self::Unsupported { problem, .. } => problem.clone(),
            Self::Labels { kind, cause } => format!("its {kind} cannot be read: {}", cause.reason()),
            Self::Geometry { .. } | Self::LabelGrid { .. } | Self::OtherFrame => self.to_string(),
        }
    }

    /// The error of the file of an image's labels, which says so; that of the machine and of memory
    /// as it is.
    #[must_use]
    pub fn of_labels(self, kind: &'static str) -> Self {
        match &self {
            Self::Io { .. } | Self::Memory { .. } => self,
            Self::UnlistedFolder { .. }
            | Self::NotDicom { .. }
            | Self::Damaged { .. }
            | Self::Truncated { .. }
            | Self::Unsupported { .. } => Self::Labels { kind, cause: Box::new(self) },
            Self::Geometry { .. } | Self::OtherFrame | Self::LabelGrid { .. } | Self::Labels { .. } => self,
        }
    }

    /// The memory error, if that is the cause: with more memory the same file may be readable.
    pub fn memory(&self) -> Option<MemoryError> {
        match self {
            Self::Memory { source, .. } => Some(*source),
            Self::Labels { cause, .. } => cause.memory(),
            _ => None,
        }
    }

    /// Why a file with this error becomes no part of a case.
    pub fn skip_reason(&self) -> SkipReason {
        match self {
            Self::Io { .. } | Self::UnlistedFolder { .. } => SkipReason::Unreadable,
            Self::NotDicom { .. } => SkipReason::NotDicom,
            Self::Damaged { .. } | Self::Truncated { .. } => SkipReason::Damaged,
            Self::Memory { .. } => SkipReason::TooLarge,
            Self::Labels { cause, .. } => cause.skip_reason(),
            Self::Unsupported { .. } | Self::Geometry { .. } | Self::LabelGrid { .. } | Self::OtherFrame => {
                SkipReason::Unsupported
            }
        }
    }

    /// For `map_err`.
    pub(crate) fn no_memory(path: &Path) -> impl Fn(MemoryError) -> Self {
        move |source| Self::Memory { path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn unsupported(path: &Path, problem: impl Into<String>) -> Self {
        Self::Unsupported { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn label_grid(problem: impl Into<String>) -> Self {
        Self::LabelGrid { problem: problem.into() }
    }

    pub(crate) fn geometry(problem: impl Into<String>) -> Self {
        Self::Geometry { problem: problem.into() }
    }
}

fn not_dicom(kind: Option<FileKind>) -> String {
    match kind {
        Some(kind) => format!("not a DICOM file but {kind}"),
        None => "not a DICOM file".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_label_file_keeps_its_kind() {
        let path = Path::new("seg.dcm");
        let damaged = DicomError::damaged(path, "it ends early").of_labels("segmentation");
        assert_eq!(damaged.skip_reason(), SkipReason::Damaged);
        assert_eq!(damaged.reason(), "its segmentation cannot be read: damaged DICOM (it ends early)");
        assert!(damaged.to_string().ends_with("seg.dcm"));
        let of_another = DicomError::unsupported(path, "it is a volume").of_labels("segmentation");
        assert_eq!(of_another.skip_reason(), SkipReason::Unsupported);
    }
}
