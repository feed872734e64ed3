//! NIfTI-1 and NIfTI-2, plain or gzipped, in one file or as a pair of `.hdr` and `.img`. Written is
//! NIfTI-1, `.nii.gz`.

mod fractions;
mod header;
mod transform;

use std::path::Path;

use flate2::Compression;
use ndarray::{ArrayView3, ShapeBuilder};
use nifti::writer::WriterOptions;
use nifti::{DataElement, NiftiError, NiftiHeader};
use pdl_findings::{Code, Finding};
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, catch_panic};
use pdl_volume::{Grid, LabelMap, Volume};

use crate::ReadError;
use crate::content::Content;
use crate::endings::{NIFTI_VOXELS, is_voxels_name};
use crate::file::Files;
use crate::voxels::{Sink, Stored, one_volume};
use header::Header;

pub use fractions::write_fractions;

/// Reads a volume, its voxels into `sink`.
pub(crate) fn read(
    files: &mut Files<'_>,
    frame: Option<usize>,
    sink: &mut dyn Sink,
) -> Result<Content, ReadError> {
    let name = files.path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let header_path =
        if is_voxels_name(&name) { files.companion(&["hdr", "hdr.gz"])? } else { files.path.to_owned() };
    let mut source = files.open(&header_path)?;
    let (held, compressed) = (source.left(), source.is_gzip());
    let mut stream = source.plain();
    let mut header = Header::read(files, &mut *stream, compressed)?;
    check_magic(files, &header_path, &mut header)?;
    if !header.in_other_file {
        let content = content(files, &header, &mut *stream, held, compressed, frame, sink)?;
        drop(stream);
        files.close(source)?;
        return Ok(content);
    }
    drop(stream);
    files.close(source)?;
    let voxels_path =
        if header_path == files.path { files.companion(&NIFTI_VOXELS)? } else { files.path.to_owned() };
    let mut source = files.open(&voxels_path)?;
    let (held, compressed) = (source.left(), source.is_gzip());
    let content = content(files, &header, &mut *source.plain(), held, compressed, frame, sink)?;
    files.close(source)?;
    Ok(content)
}

/// Compares the magic number, which states whether the voxels are in another file, with the name.
///
/// # Errors
/// [`ReadError::Invalid`] if neither tells where the voxels are.
fn check_magic(files: &Files<'_>, path: &Path, header: &mut Header) -> Result<(), ReadError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let is_of_pair = name.ends_with(".hdr") || name.ends_with(".hdr.gz");
    if is_of_pair == header.in_other_file {
        return Ok(());
    }
    let voxels = files.companion_if_any(&NIFTI_VOXELS)?;
    match (is_of_pair, voxels) {
        (true, Some(_)) => Err(files.invalid(
            "its magic number (n+1) is that of a single file, and it is the header of a pair: save it again",
        )),
        (false, None) if header.may_precede_voxels() => {
            let problem = "its magic number (ni1) is that of a pair; its voxels were read from its own file";
            header.findings.push(Finding::new(Code::OddHeader, problem));
            header.in_other_file = false;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The axes of the voxels, of which only the header is read.
pub(crate) fn axes(files: &Files<'_>) -> Result<Vec<usize>, ReadError> {
    let name = files.path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let path =
        if is_voxels_name(&name) { files.companion(&["hdr", "hdr.gz"])? } else { files.path.to_owned() };
    let mut source = files.open(&path)?;
    let compressed = source.is_gzip();
    let header = Header::read(files, &mut *source.plain(), compressed)?;
    Ok(header.axes)
}

/// `stream` is positioned after the header, or at the start of the voxels' own file, which holds
/// `held` bytes.
fn content(
    files: &Files<'_>,
    header: &Header,
    stream: &mut dyn std::io::Read,
    held: u64,
    compressed: bool,
    frame: Option<usize>,
    sink: &mut dyn Sink,
) -> Result<Content, ReadError> {
    let (shape, frame) = one_volume(files, &header.axes, frame)?;
    let (affine, mut findings) = transform::affine(files, header, shape)?;
    findings.extend(header.findings.iter().cloned());
    if !affine.is_usable() {
        return Err(files.invalid("its header has no usable voxel size"));
    }
    header.skip_to_voxels(files, stream)?;
    let stored = Stored {
        shape,
        frame,
        voxel_type: header.voxel_type,
        big_endian: header.big_endian,
        slope: header.slope,
        intercept: header.intercept,
    };
    stored.read(files, stream, held, compressed, sink)?;
    let scaling = [header.slope, header.intercept];
    let scaling = (scaling != [1.0, 0.0]).then_some(scaling);
    Ok(Content { shape, affine, voxel_type: header.voxel_type, scaling, findings })
}

/// Writes an image as float32 `.nii.gz`, with its affine as sform.
///
/// # Errors
/// [`StoreError`] if the file cannot be written.
pub fn write_image(path: impl Into<SafePath>, image: &Volume<f32>) -> Result<(), StoreError> {
    write(&path.into(), &image.grid, &image.voxels)
}

/// Writes an image as int16 `.nii.gz`, as CT scanners store it; values are rounded and clamped.
///
/// # Errors
/// [`StoreError`] if the file cannot be written.
pub fn write_image_i16(path: impl Into<SafePath>, image: &Volume<f32>) -> Result<(), StoreError> {
    let is_whole = |voxel: f32| f32::from(voxel as i16) == voxel;
    // Most images are whole, and the cast alone is several times as fast as rounding.
    let stored: Vec<i16> = if image.voxels.iter().fold(true, |all, voxel| all & is_whole(*voxel)) {
        image.voxels.iter().map(|voxel| *voxel as i16).collect()
    } else {
        image.voxels.iter().map(|voxel| voxel.round() as i16).collect()
    };
    write(&path.into(), &image.grid, &stored)
}

/// Writes a label map as `.nii.gz`: uint8 when every label fits, else uint16.
///
/// # Errors
/// [`StoreError`] if the file cannot be written.
pub fn write_labels(path: impl Into<SafePath>, labels: &LabelMap) -> Result<(), StoreError> {
    let path = path.into();
    let bytes: Option<Vec<u8>> = labels.voxels.iter().map(|v| u8::try_from(*v).ok()).collect();
    match bytes {
        Some(bytes) => write(&path, &labels.grid, &bytes),
        None => write(&path, &labels.grid, &labels.voxels),
    }
}

fn write<T: DataElement + bytemuck::Pod>(
    path: &SafePath,
    grid: &Grid,
    voxels: &[T],
) -> Result<(), StoreError> {
    let full = path.full();
    let header = header_of(grid);
    let view = ArrayView3::from_shape(grid.shape.f(), voxels)
        .map_err(|error| refused(&full, std::io::Error::other(error)))?;
    atomic::write_with(path, |temporary| {
        let options = WriterOptions::new(temporary)
            .reference_header(&header)
            .compress(true)
            .compression_level(Compression::fast());
        let written = catch_panic::or_out_of_memory(|| {
            options.write_nifti(&view).map_err(|error| match error {
                NiftiError::Io(source) => source,
                other => std::io::Error::other(other),
            })
        });
        written.map_err(|source| refused(&full, source))
    })
}

fn refused(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io { action: "write the volume", path: path.to_owned(), source }
}

fn header_of(grid: &Grid) -> NiftiHeader {
    let row = |r: usize| grid.affine.rows()[r].map(|v| v as f32);
    let mut pixdim = [1.0; 8];
    for (slot, side) in pixdim[1..].iter_mut().zip(grid.spacing_mm()) {
        *slot = side as f32;
    }
    NiftiHeader {
        pixdim,
        xyzt_units: 2, // millimetres
        qform_code: 0,
        sform_code: 1,
        srow_x: row(0),
        srow_y: row(1),
        srow_z: row(2),
        ..NiftiHeader::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{read_image, read_labels};
    use flate2::bufread::MultiGzDecoder;
    use pdl_volume::{Affine, Orientation};
    use std::fs;
    use std::io::Read;

    fn sample() -> Volume<f32> {
        let shape = [3, 4, 5];
        let orientation: Orientation = "PLI".parse().unwrap();
        let grid = Grid::new(shape, Affine::from_orientation(orientation, [2.7, 3.1, 1.5], shape));
        Volume::new(grid, (0..60).map(|v| v as f32 - 7.5).collect()).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.b.nii.gz");
        let volume = sample();
        write_image(&path, &volume).unwrap();
        let image = read_image(&path).unwrap();
        assert_eq!(image.volume.voxels, volume.voxels);
        assert_eq!(image.volume.grid.shape, volume.grid.shape);
        assert!(image.volume.grid.affine.corner_distance_mm(&volume.grid.affine, [3, 4, 5]) < 1e-5);
        assert_eq!(image.voxel_type, "float32");
        assert_eq!(image.findings, []);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn every_cut_of_a_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nii.gz");
        write_image(&path, &sample()).unwrap();
        let bytes = fs::read(&path).unwrap();
        let cut = folder.path().join("cut.nii.gz");
        for length in 0..bytes.len() {
            fs::write(&cut, &bytes[..length]).unwrap();
            assert!(read_image(&cut).is_err(), "cut at {length} of {}", bytes.len());
        }
    }

    #[test]
    fn a_header_that_declares_too_much_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nii.gz");
        write_image(&path, &sample()).unwrap();
        let mut plain = Vec::new();
        MultiGzDecoder::new(&fs::read(&path).unwrap()[..]).read_to_end(&mut plain).unwrap();
        plain[42..48].copy_from_slice(&[0xff, 0x7f, 0xff, 0x7f, 0xff, 0x7f]);
        let path = folder.path().join("huge.nii");
        fs::write(&path, plain).unwrap();
        assert!(matches!(read_image(&path), Err(ReadError::Truncated { .. })));
    }

    #[test]
    fn fractions_are_no_labels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nii.gz");
        write_image(&path, &sample()).unwrap();
        assert!(matches!(read_labels(&path), Err(ReadError::Labels { .. })));
    }
}
