//! Names of files: which format they have, and what they are called without its ending.

use pdl_store::magic::FileKind;

/// Endings of NIfTI files; of a pair, of the header.
const NIFTI: [&str; 4] = [".nii", ".nii.gz", ".hdr", ".hdr.gz"];
/// Endings of NRRD files; where voxels lie in a file of their own, of the header.
const NRRD: [&str; 2] = [".nrrd", ".nhdr"];
/// Endings of MetaImage files; where voxels lie in a file of their own, of the header.
const META_IMAGE: [&str; 2] = [".mha", ".mhd"];
/// Endings of TIFF files that hold a stack of slices, and of files that hold one.
pub(crate) const STACK: [&str; 7] = [".ome.tif", ".ome.tiff", ".tif", ".tiff", ".png", ".jpg", ".jpeg"];
/// Endings of the voxel file of a pair; a path to it names the pair, too.
pub(crate) const NIFTI_VOXELS: [&str; 2] = ["img", "img.gz"];

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Nifti,
    Nrrd,
    MetaImage,
}

impl Format {
    const ALL: [Self; 3] = [Self::Nifti, Self::Nrrd, Self::MetaImage];

    /// Name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nifti => "NIfTI",
            Self::Nrrd => "NRRD",
            Self::MetaImage => "MetaImage",
        }
    }

    /// Endings of the names of its files; of files that belong together, of the one that names
    /// them.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Nifti => &NIFTI,
            Self::Nrrd => &NRRD,
            Self::MetaImage => &META_IMAGE,
        }
    }

    /// Whether a file of this format may have the first bytes of this kind.
    pub(crate) fn may_be(self, kind: FileKind) -> bool {
        match self {
            Self::Nifti => [FileKind::Gzip, FileKind::Nifti].contains(&kind),
            Self::Nrrd => kind == FileKind::Nrrd,
            Self::MetaImage => false,
        }
    }

    /// The format of a file by its name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let named = |format: &Self| format.endings().iter().any(|ending| name.ends_with(ending));
        Self::ALL.into_iter().find(named).or_else(|| is_voxels_name(&name).then_some(Self::Nifti))
    }
}

/// Whether a file's name is that of a volume; of files that belong together, only one has such a
/// name.
pub fn is_volume_name(name: &str) -> bool {
    let name = name.to_lowercase();
    Format::ALL.iter().flat_map(|format| format.endings()).any(|ending| name.ends_with(ending))
}

/// A file's name without the ending of its format.
pub fn stem(name: &str) -> &str {
    let (name, _) = split_frame(name);
    let lower = name.to_lowercase();
    let endings = Format::ALL.into_iter().flat_map(Format::endings).chain(&STACK);
    let longest = endings.filter(|ending| lower.ends_with(**ending)).map(|ending| ending.len()).max();
    &name[..name.len() - longest.unwrap_or(0)]
}

/// The name of a file and the number of its frame, as `FILE#3` names both; only the name if there
/// is no number.
pub fn split_frame(name: &str) -> (&str, Option<usize>) {
    match name.rsplit_once('#') {
        Some((file, number)) => match number.parse() {
            Ok(frame) => (file, Some(frame)),
            Err(_) => (name, None),
        },
        None => (name, None),
    }
}

/// Whether a name is that of the voxels of a pair.
pub(crate) fn is_voxels_name(name: &str) -> bool {
    NIFTI_VOXELS.iter().any(|ending| name.strip_suffix(ending).is_some_and(|stem| stem.ends_with('.')))
}
