//! Reads a volume, whatever its format.

use std::collections::BTreeMap;
use std::path::Path;

use pdl_findings::{Code, Finding};
use pdl_store::fault;
use pdl_store::file_state::FileState;
use pdl_store::magic;
use pdl_store::memory::{MemoryLimit, MemoryShare};
use pdl_store::plural::counted;
use pdl_store::shorten::MOST_LISTED;
use pdl_volume::{Grid, LabelReader, LabelReading, Volume};

use crate::content::Content;
use crate::endings::Format;
use crate::file::{Files, file_and_frame};
use crate::stack::{self, Meaning, StackGeometry};
use crate::voxels::{Sink, VoxelType, volumes_along};
use crate::{Image, LabelSegment, Labels, Part, ReadError, SegmentLabels, Unread, metaimage, nifti, nrrd};

/// Reads a 3-D image, scaled as its header states. `FILE#3` is frame 3 of a file of several,
/// counted from 0. Memory: four bytes per voxel, and one piece of the file, within the free memory.
///
/// # Errors
/// [`ReadError`] if the file is missing, damaged, truncated, or not one volume of real numbers.
pub fn read_image(path: &Path) -> Result<Image, ReadError> {
    read_image_within(path, &MemoryLimit::free().alone())
}

/// Like [`read_image`], with memory out of a share.
///
/// # Errors
/// [`ReadError`] as for [`read_image`].
pub fn read_image_within(path: &Path, memory: &MemoryShare<'_>) -> Result<Image, ReadError> {
    try_image(path, memory).map_err(|unread| unread.error)
}

/// Like [`read_image_within`]; the error lists the files that caused it.
///
/// # Errors
/// [`Unread`], as for [`read_image`].
pub fn try_image(path: &Path, memory: &MemoryShare<'_>) -> Result<Image, Unread> {
    image(memory, |memory, sink| read(path, memory, sink))
}

/// Reads a label map. Memory: two bytes a voxel, and one piece of the file; no more than is free.
///
/// # Errors
/// [`ReadError`] as for [`read_image`], and when a voxel is not a whole number from 0 to 65535.
pub fn read_labels(path: &Path) -> Result<Labels, ReadError> {
    read_labels_within(path, &MemoryLimit::free().alone())
}

/// Like [`read_labels`], with memory out of a share.
///
/// # Errors
/// [`ReadError`] as for [`read_labels`].
pub fn read_labels_within(path: &Path, memory: &MemoryShare<'_>) -> Result<Labels, ReadError> {
    try_labels(path, LabelReading::default(), memory).map_err(|unread| unread.error)
}

/// Like [`read_labels_within`], with the stated reading of numbers as labels; the error lists the
/// files that caused it.
///
/// # Errors
/// [`Unread`], as for [`read_labels`].
pub fn try_labels(path: &Path, reading: LabelReading, memory: &MemoryShare<'_>) -> Result<Labels, Unread> {
    labels(path, reading, memory, |memory, sink| read(path, memory, sink))
}

/// How many 3-D volumes a file holds, such as the channels of Decathlon's files; `FILE#0` is the
/// first of them. Only its header is read.
///
/// # Errors
/// [`Unread`] if the file is missing or of no format that is read, its header is no header, or its
/// voxels are not one number each.
pub fn volumes_in(path: &Path, memory: &MemoryShare<'_>) -> Result<usize, Unread> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(format) = Format::of(&name) else {
        let problem = "its name is not that of a volume".to_owned();
        let error = ReadError::Unsupported { path: path.to_owned(), problem };
        return Err(Unread { error, files: Vec::new() });
    };
    fault::retried(|| {
        let files = Files::new(path, format.name(), memory);
        let axes = match format {
            Format::Nifti => nifti::axes(&files),
            Format::Nrrd => nrrd::axes(&files),
            Format::MetaImage => metaimage::axes(&files),
        };
        let volumes = axes.and_then(|axes| {
            let several =
                || files.unsupported(format!("its axes are {axes:?}: expected one number per voxel"));
            volumes_along(&axes).ok_or_else(several)
        });
        files.outcome(volumes)
    })
}

/// The segments that a label file names (`.seg.nrrd` of 3-D Slicer); `None` for any other file.
/// Only the header is read.
///
/// # Errors
/// [`Unread`] if the file is missing or its header is no header, or contradicts itself.
pub fn segments_of(path: &Path, memory: &MemoryShare<'_>) -> Result<Option<Vec<LabelSegment>>, Unread> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if Format::of(&name) != Some(Format::Nrrd) {
        return Ok(None);
    }
    fault::retried(|| {
        let files = Files::new(path, Format::Nrrd.name(), memory);
        let segments = nrrd::segments::read_header(&files);
        files.outcome(segments)
    })
}

/// Reads the segments of a file as one label map, in which each has the label that `label` gives;
/// segments without one are ignored, and where two labels overlap, the higher one wins. Memory: two
/// bytes per voxel of one layer, and one piece of the file.
///
/// # Errors
/// [`Unread`], as for [`try_labels`], and when the file names no segments ([`segments_of`]).
pub fn read_segments(
    path: &Path,
    label: &dyn Fn(&LabelSegment) -> Option<u16>,
    memory: &MemoryShare<'_>,
) -> Result<SegmentLabels, Unread> {
    fault::retried(|| {
        let memory = memory.part();
        let mut files = Files::new(path, Format::Nrrd.name(), &memory);
        let read = nrrd::segments::read(&mut files, label);
        let (content, voxels) = files.outcome(read)?;
        let Content { shape, affine, mut findings, .. } = content;
        findings.extend(unnamed(&voxels.unnamed));
        let map = Volume { grid: Grid::new(shape, affine), voxels: voxels.labels };
        let (blake3, parts) = (files.blake3(), files.parts);
        memory.keep(); // what a try holds that failed is given back
        Ok(SegmentLabels { map, parts, blake3, overlaps: voxels.overlaps, findings })
    })
}

/// Finding about voxels whose value no segment has.
fn unnamed(voxels: &BTreeMap<u16, usize>) -> Option<Finding> {
    let told: Vec<String> = voxels
        .iter()
        .take(MOST_LISTED)
        .map(|(value, count)| format!("{value} ({})", counted(*count, "voxel")))
        .collect();
    let more = if voxels.len() > MOST_LISTED { " and others" } else { "" };
    let message = format!("values that no segment has became background: {}{more}", told.join(", "));
    (!voxels.is_empty()).then(|| Finding::new(Code::LabelVoxelsUnnamed, message))
}

/// Reads a stack of slices ([`stack`]), a folder or a TIFF file of pages, as an image. Its columns
/// are x, its rows y and its slices z; its centre is the world's origin. Memory: as [`read_image`],
/// and one slice.
///
/// # Errors
/// [`ReadError`] if slices are missing, damaged or different in kind, or do not have one real
/// number per pixel.
pub fn read_image_stack(path: &Path, geometry: &StackGeometry) -> Result<Image, ReadError> {
    read_image_stack_within(path, geometry, &MemoryLimit::free().alone())
}

/// Like [`read_image_stack`], with memory out of a share.
///
/// # Errors
/// [`ReadError`] as for [`read_image_stack`].
pub fn read_image_stack_within(
    path: &Path,
    geometry: &StackGeometry,
    memory: &MemoryShare<'_>,
) -> Result<Image, ReadError> {
    let read = image(memory, |memory, sink| read_stack(path, geometry, Meaning::Intensities, memory, sink));
    read.map_err(|unread| unread.error)
}

/// Reads a stack of slices as a label map. Memory: as [`read_labels`], and one slice.
///
/// # Errors
/// [`ReadError`] as for [`read_image_stack`] and [`read_labels`], and for JPEG slices, as JPEG does
/// not preserve values.
pub fn read_label_stack(path: &Path, geometry: &StackGeometry) -> Result<Labels, ReadError> {
    read_label_stack_within(path, geometry, LabelReading::default(), &MemoryLimit::free().alone())
}

/// Like [`read_label_stack`], with memory out of a share.
///
/// # Errors
/// [`ReadError`] as for [`read_label_stack`].
pub fn read_label_stack_within(
    path: &Path,
    geometry: &StackGeometry,
    reading: LabelReading,
    memory: &MemoryShare<'_>,
) -> Result<Labels, ReadError> {
    let read = |memory: &MemoryShare<'_>, sink: &mut LabelReader| {
        read_stack(path, geometry, Meaning::Labels, memory, sink)
    };
    let read = labels(path, reading, memory, read);
    read.map_err(|unread| unread.error)
}

fn image(
    memory: &MemoryShare<'_>,
    read: impl Fn(&MemoryShare<'_>, &mut Vec<f32>) -> Result<Read, Unread>,
) -> Result<Image, Unread> {
    let (read, voxels) = fault::retried(|| {
        let (memory, mut voxels) = (memory.part(), Vec::new());
        let read = read(&memory, &mut voxels)?;
        memory.keep(); // what a try holds that failed is given back
        Ok::<_, Unread>((read, voxels))
    })?;
    let Read { grid, voxel_type, blake3, parts, findings, .. } = read;
    let volume = Volume { grid, voxels };
    Ok(Image { volume, voxel_type: voxel_type.name().to_owned(), blake3, parts, findings })
}

fn labels(
    path: &Path,
    reading: LabelReading,
    memory: &MemoryShare<'_>,
    read: impl Fn(&MemoryShare<'_>, &mut LabelReader) -> Result<Read, Unread>,
) -> Result<Labels, Unread> {
    let (read, labels) = fault::retried(|| {
        let (memory, mut labels) = (memory.part(), LabelReader::new(reading));
        let read = read(&memory, &mut labels)?;
        memory.keep();
        Ok::<_, Unread>((read, labels))
    })?;
    let Read { grid, blake3, parts, scaling, findings, .. } = read;
    let path = path.to_owned();
    let rounded = labels.rounded();
    let voxels = labels.finish().map_err(|source| Unread {
        error: match scaling {
            Some([slope, intercept]) => ReadError::ScaledLabels { path, slope, intercept, source },
            None => ReadError::Labels { path, source },
        },
        files: parts.iter().map(|part| (part.path.clone(), part.state)).collect(),
    })?;
    Ok(Labels { map: Volume { grid, voxels }, parts, blake3, rounded, findings })
}

/// A volume without its voxels.
struct Read {
    grid: Grid,
    voxel_type: VoxelType,
    blake3: String,
    parts: Vec<Part>,
    scaling: Option<[f64; 2]>,
    findings: Vec<Finding>,
}

/// Reads a volume, its voxels into `sink`, which gets as many as the grid has.
fn read(path: &Path, memory: &MemoryShare<'_>, sink: &mut dyn Sink) -> Result<Read, Unread> {
    let io = |source| {
        let error = ReadError::Io { path: path.to_owned(), source };
        Unread { error, files: Vec::new() }
    };
    let (path, frame) = file_and_frame(path).map_err(io)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(format) = Format::of(&name) else {
        let problem = if stack::is_stack(&path).map_err(io)? {
            "it is a stack of slices, which has no voxel size: state it with --stack-spacing"
        } else {
            "by its name it is none of the formats that are read: NIfTI, NRRD, MetaImage, or a stack of slices (a \
             folder of PNG, TIFF or JPEG files, or a TIFF file of pages)"
        };
        let error = ReadError::Unsupported { path: path.clone(), problem: problem.to_owned() };
        let files = FileState::of(&path).map(|state| (path, state)).into_iter().collect();
        return Err(Unread { error, files });
    };
    let mut files = Files::new(&path, format.name(), memory);
    let content = match format {
        Format::Nifti => nifti::read(&mut files, frame, sink),
        Format::Nrrd => nrrd::read(&mut files, frame, sink),
        Format::MetaImage => metaimage::read(&mut files, frame, sink),
    };
    let content = files.outcome(content).map_err(|unread| named_wrongly(unread, &path, format))?;
    Ok(Read::of(content, files))
}

/// If a file is of another kind than its name says, that is reported as the cause.
fn named_wrongly(unread: Unread, path: &Path, format: Format) -> Unread {
    if !matches!(
        unread.error,
        ReadError::Invalid { .. } | ReadError::Damaged { .. } | ReadError::Truncated { .. }
    ) {
        return unread;
    }
    let Some(kind) = magic::kind_of_file(path).filter(|kind| !format.may_be(*kind)) else { return unread };
    let problem = format!("it is named as {} and is {kind}", format.name());
    Unread { error: ReadError::Unsupported { path: path.to_owned(), problem }, ..unread }
}

/// Reads a stack, its voxels into `sink`. `FILE#1` is the colour 1 of one.
fn read_stack(
    path: &Path,
    geometry: &StackGeometry,
    meaning: Meaning,
    memory: &MemoryShare<'_>,
    sink: &mut dyn Sink,
) -> Result<Read, Unread> {
    let io = |source| {
        let error = ReadError::Io { path: path.to_owned(), source };
        Unread { error, files: Vec::new() }
    };
    let (path, meaning) = match (meaning, file_and_frame(path).map_err(io)?) {
        (Meaning::Intensities, (file, Some(colour))) => (file, Meaning::Colour(colour)),
        (meaning, _) => (path.to_owned(), meaning),
    };
    let mut files = Files::new(&path, stack::NAME, memory);
    let content = stack::read(&mut files, geometry, meaning, sink);
    Ok(Read::of(files.outcome(content)?, files))
}

impl Read {
    fn of(content: Content, files: Files<'_>) -> Self {
        Self {
            grid: Grid::new(content.shape, content.affine),
            voxel_type: content.voxel_type,
            blake3: files.blake3(),
            parts: files.parts,
            scaling: content.scaling,
            findings: content.findings,
        }
    }
}
