//! Reads a volume, whatever its format.

use std::path::{Path, PathBuf};

use pdl_volume::{Affine, Grid, Volume, labels_from_f32};

use crate::file::Files;
use crate::voxels::VoxelType;
use crate::{Image, Labels, ReadError, Remark, metaimage, nifti, nrrd};

/// What a reader finds.
pub(crate) struct Content {
    /// Voxels along x, y, z.
    pub shape: [usize; 3],
    /// RAS+ millimetres.
    pub affine: Affine,
    pub voxel_type: VoxelType,
    /// x fastest.
    pub voxels: Vec<f32>,
    pub remarks: Vec<Remark>,
}

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Nifti,
    Nrrd,
    MetaImage,
}

impl Format {
    const ALL: [Self; 3] = [Self::Nifti, Self::Nrrd, Self::MetaImage];

    fn name(self) -> &'static str {
        match self {
            Self::Nifti => "NIfTI",
            Self::Nrrd => "NRRD",
            Self::MetaImage => "MetaImage",
        }
    }

    /// Endings of the names of its files; of files that belong together, of the one that names them.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Nifti => &nifti::ENDINGS,
            Self::Nrrd => &nrrd::ENDINGS,
            Self::MetaImage => &metaimage::ENDINGS,
        }
    }

    fn of(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let named = |format: &Self| format.endings().iter().any(|ending| name.ends_with(ending));
        Self::ALL.into_iter().find(named).or_else(|| nifti::is_voxels_name(&name).then_some(Self::Nifti))
    }
}

/// Whether a file's name is that of a volume; of files that belong together, only one has such a name.
pub fn is_volume_name(name: &str) -> bool {
    let name = name.to_lowercase();
    Format::ALL.iter().flat_map(|format| format.endings()).any(|ending| name.ends_with(ending))
}

/// A file's name without the ending of its format.
pub fn stem(name: &str) -> &str {
    let (name, _) = split_frame(name);
    let lower = name.to_lowercase();
    let endings = Format::ALL.into_iter().flat_map(Format::endings);
    let longest = endings.filter(|ending| lower.ends_with(**ending)).map(|ending| ending.len()).max();
    &name[..name.len() - longest.unwrap_or(0)]
}

/// Reads a 3-D image, scaled as its header says. `FILE#3` is the frame 3 of a file of several, counted from 0.
///
/// # Errors
/// [`ReadError`] when the file is missing, damaged, cut short, or not one volume of real numbers.
pub fn read_image(path: &Path) -> Result<Image, ReadError> {
    let (path, frame) = file_and_frame(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let format = Format::of(&name).unwrap_or(Format::Nifti);
    let mut files = Files::new(&path, format.name());
    let content = match format {
        Format::Nifti => nifti::read(&mut files, frame),
        Format::Nrrd => nrrd::read(&mut files, frame),
        Format::MetaImage => metaimage::read(&mut files, frame),
    }?;
    let grid = Grid::new(content.shape, content.affine);
    let volume = Volume::new(grid, content.voxels).map_err(|error| files.invalid(error))?;
    Ok(Image {
        volume,
        voxel_type: content.voxel_type.name().to_owned(),
        blake3: files.blake3(),
        parts: files.parts,
        remarks: content.remarks,
    })
}

/// Reads a label map.
///
/// # Errors
/// [`ReadError`] as for [`read_image`], and when a voxel is not a whole number from 0 to 65535.
pub fn read_labels(path: &Path) -> Result<Labels, ReadError> {
    let image = read_image(path)?;
    let map = labels_from_f32(&image.volume)
        .map_err(|source| ReadError::Labels { path: path.to_owned(), source })?;
    Ok(Labels { map, parts: image.parts, blake3: image.blake3 })
}

/// The file of a path, and its frame when the path names one. A file whose own name ends so is itself.
fn file_and_frame(path: &Path) -> (PathBuf, Option<usize>) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (file, frame) = split_frame(&name);
    if frame.is_none() || path.exists() {
        return (path.to_owned(), None);
    }
    (path.with_file_name(file), frame)
}

/// The name of a file and the number of its frame, as `FILE#3` names both; nothing more than the name where there is no
/// number.
pub fn split_frame(name: &str) -> (&str, Option<usize>) {
    match name.rsplit_once('#') {
        Some((file, number)) => match number.parse() {
            Ok(frame) => (file, Some(frame)),
            Err(_) => (name, None),
        },
        None => (name, None),
    }
}
