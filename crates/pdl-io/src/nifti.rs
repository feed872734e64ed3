//! NIfTI-1, plain or gzipped.

use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use ndarray::{ArrayView3, ShapeBuilder};
use nifti::writer::WriterOptions;
use nifti::{DataElement, InMemNiftiVolume, IntoNdArray, NiftiError, NiftiHeader, NiftiType};
use pdl_store::{StoreError, atomic, hash};
use pdl_volume::{Affine, Grid, LabelMap, Volume, labels_from_f32};

use crate::{Image, Labels, ReadError, Remark};

/// Deflate cannot shrink data further than this, so a header that declares more is refused before any
/// memory is taken for it.
const LARGEST_DEFLATE_RATIO: u64 = 1032;

/// Corners further apart than this share of the smallest voxel side are a disagreement of sform and qform.
const TRANSFORM_TOLERANCE: f64 = 0.1;

/// Whether a file name is a NIfTI file's.
pub fn is_nifti_name(name: &str) -> bool {
    name.ends_with(".nii") || name.ends_with(".nii.gz")
}

/// Reads a 3-D image (a trailing fourth axis of length 1 is accepted), scaled by the header's slope.
///
/// # Errors
/// [`ReadError`] when the file is missing, damaged, cut short, or not one volume of real numbers.
pub fn read_image(path: &Path) -> Result<Image, ReadError> {
    let bytes = fs::read(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
    let blake3 = hash::of_bytes(&bytes);
    let file = File { path, bytes: &bytes };
    let (header, mut stream) = file.open()?;
    let shape = file.shape(&header)?;
    let (affine, remarks) = file.affine(&header, shape)?;
    let voxel_type = file.voxel_type(&header)?;
    let voxels = file.voxels(&header, &mut stream)?;
    let grid = Grid::new(shape, affine);
    let volume = Volume::new(grid, voxels).map_err(|error| file.invalid(error))?;
    Ok(Image { volume, voxel_type: voxel_type.to_owned(), blake3, remarks })
}

/// Reads a label map.
///
/// # Errors
/// [`ReadError`] as for [`read_image`], and when a voxel is not a whole number from 0 to 65535.
pub fn read_labels(path: &Path) -> Result<Labels, ReadError> {
    let image = read_image(path)?;
    let map = labels_from_f32(&image.volume)
        .map_err(|source| ReadError::Labels { path: path.to_owned(), source })?;
    Ok(Labels { map, blake3: image.blake3 })
}

/// Writes an image as float32 `.nii.gz`, with its affine as sform.
///
/// # Errors
/// [`StoreError`] when the file cannot be written.
pub fn write_image(path: &Path, image: &Volume<f32>) -> Result<(), StoreError> {
    write(path, &image.grid, &image.voxels)
}

/// Writes an image as int16 `.nii.gz`, as CT scanners store it; values are rounded and clamped.
///
/// # Errors
/// [`StoreError`] when the file cannot be written.
pub fn write_image_i16(path: &Path, image: &Volume<f32>) -> Result<(), StoreError> {
    let stored: Vec<i16> = image.voxels.iter().map(|v| v.round() as i16).collect();
    write(path, &image.grid, &stored)
}

/// Writes a label map as `.nii.gz`: uint8 when every label fits, else uint16.
///
/// # Errors
/// [`StoreError`] when the file cannot be written.
pub fn write_labels(path: &Path, labels: &LabelMap) -> Result<(), StoreError> {
    let bytes: Option<Vec<u8>> = labels.voxels.iter().map(|v| u8::try_from(*v).ok()).collect();
    match bytes {
        Some(bytes) => write(path, &labels.grid, &bytes),
        None => write(path, &labels.grid, &labels.voxels),
    }
}

fn write<T: DataElement + bytemuck::Pod>(path: &Path, grid: &Grid, voxels: &[T]) -> Result<(), StoreError> {
    let header = header_of(grid);
    let view = ArrayView3::from_shape(grid.shape.f(), voxels)
        .map_err(|error| refused(path, std::io::Error::other(error)))?;
    atomic::write_with(path, |temporary| {
        WriterOptions::new(temporary)
            .reference_header(&header)
            .compress(true)
            .compression_level(Compression::fast())
            .write_nifti(&view)
            .map_err(|error| match error {
                NiftiError::Io(source) => refused(path, source),
                other => refused(path, std::io::Error::other(other)),
            })
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

/// One file's bytes, with its path for messages.
struct File<'a> {
    path: &'a Path,
    bytes: &'a [u8],
}

impl<'a> File<'a> {
    fn is_gzip(&self) -> bool {
        self.bytes.starts_with(&[0x1f, 0x8b])
    }

    /// The header, and the stream standing at the first voxel.
    fn open(&self) -> Result<(NiftiHeader, Box<dyn Read + 'a>), ReadError> {
        let mut stream: Box<dyn Read + 'a> =
            if self.is_gzip() { Box::new(MultiGzDecoder::new(self.bytes)) } else { Box::new(self.bytes) };
        let mut raw = [0; 348];
        stream.read_exact(&mut raw).map_err(|error| self.header_missing(&error))?;
        let header = NiftiHeader::from_reader(Cursor::new(raw)).map_err(|error| self.invalid(error))?;
        if &header.magic != b"n+1\0" {
            return Err(self.unsupported("voxels in a separate .img file: convert it to one .nii.gz file"));
        }
        let skip = f64::from(header.vox_offset) - 348.0;
        if !(0.0..=1e9).contains(&skip) || skip.fract() != 0.0 {
            return Err(self.invalid(format!("its voxels begin at byte {}", header.vox_offset)));
        }
        let skipped = std::io::copy(&mut stream.by_ref().take(skip as u64), &mut std::io::sink());
        skipped.map_err(|error| self.damaged(&error))?;
        Ok((header, stream))
    }

    fn shape(&self, header: &NiftiHeader) -> Result<[usize; 3], ReadError> {
        let dim = header.dim().map_err(|error| self.invalid(error))?;
        if dim.iter().skip(3).any(|n| *n > 1) {
            return Err(self.unsupported(&format!(
                "{} axes ({dim:?}): pdl takes one 3-D volume a case, so choose one frame and save it by itself",
                dim.len()
            )));
        }
        Ok(std::array::from_fn(|axis| dim.get(axis).map_or(1, |n| usize::from(*n))))
    }

    fn voxel_type(&self, header: &NiftiHeader) -> Result<&'static str, ReadError> {
        let stored = header.data_type().map_err(|error| self.invalid(error))?;
        Ok(match stored {
            NiftiType::Uint8 => "uint8",
            NiftiType::Int8 => "int8",
            NiftiType::Uint16 => "uint16",
            NiftiType::Int16 => "int16",
            NiftiType::Uint32 => "uint32",
            NiftiType::Int32 => "int32",
            NiftiType::Uint64 => "uint64",
            NiftiType::Int64 => "int64",
            NiftiType::Float32 => "float32",
            NiftiType::Float64 => "float64",
            other => {
                return Err(
                    self.unsupported(&format!("voxels of type {other:?} are no intensities or labels"))
                );
            }
        })
    }

    /// NIfTI's method 3 (sform) before method 2 (qform) before method 1 (voxel sizes only).
    fn affine(&self, header: &NiftiHeader, shape: [usize; 3]) -> Result<(Affine, Vec<Remark>), ReadError> {
        let sform = (header.sform_code > 0).then(|| sform(header)).filter(Affine::is_usable);
        let qform = (header.qform_code > 0).then(|| qform(header)).filter(Affine::is_usable);
        let mut remarks = Vec::new();
        if let (Some(s), Some(q)) = (&sform, &qform) {
            let distance_mm = s.corner_distance_mm(q, shape);
            let side = s.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
            if distance_mm > TRANSFORM_TOLERANCE * side {
                remarks.push(Remark::TransformsDisagree { distance_mm });
            }
        }
        let affine = match sform.or(qform) {
            Some(affine) => affine,
            None => {
                remarks.push(Remark::NoTransform);
                sizes_only(header)
            }
        };
        if !affine.is_usable() {
            return Err(self.invalid("its header gives no usable voxel size"));
        }
        Ok((in_millimetres(affine, header.xyzt_units), remarks))
    }

    fn voxels(&self, header: &NiftiHeader, stream: &mut dyn Read) -> Result<Vec<f32>, ReadError> {
        let count: u64 = self.shape(header)?.iter().map(|n| *n as u64).product();
        let declared = count * u64::from(header.bitpix.unsigned_abs()) / 8;
        let stored = self.bytes.len() as u64;
        let most = if self.is_gzip() { stored.saturating_mul(LARGEST_DEFLATE_RATIO) } else { stored };
        if declared > most {
            return Err(ReadError::Truncated { path: self.path.to_owned(), declared, held: most });
        }
        let mut header = header.clone();
        if header.scl_slope == 0.0 || !header.scl_slope.is_finite() || !header.scl_inter.is_finite() {
            (header.scl_slope, header.scl_inter) = (1.0, 0.0); // as the standard has it: no scaling
        }
        let volume = InMemNiftiVolume::from_reader(&mut *stream, &header).map_err(|error| match error {
            NiftiError::IncompatibleLength(held, declared) => ReadError::Truncated {
                path: self.path.to_owned(),
                declared: declared as u64,
                held: held as u64,
            },
            NiftiError::Io(error) => self.damaged(&error),
            other => self.invalid(other),
        })?;
        // What follows the voxels is of no interest, but only reading it checks the stream's checksum.
        std::io::copy(stream, &mut std::io::sink()).map_err(|error| self.damaged(&error))?;
        let array = volume.into_ndarray::<f32>().map_err(|error| self.invalid(error))?;
        Ok(array.into_raw_vec_and_offset().0)
    }

    fn header_missing(&self, error: &std::io::Error) -> ReadError {
        if self.is_gzip() {
            self.damaged(error)
        } else {
            self.invalid(format!("{} bytes are too few for a header", self.bytes.len()))
        }
    }

    fn damaged(&self, error: &std::io::Error) -> ReadError {
        ReadError::Damaged { path: self.path.to_owned(), problem: error.to_string() }
    }

    fn invalid(&self, problem: impl std::fmt::Display) -> ReadError {
        ReadError::Invalid { path: self.path.to_owned(), problem: problem.to_string() }
    }

    fn unsupported(&self, problem: &str) -> ReadError {
        ReadError::Unsupported { path: self.path.to_owned(), problem: problem.to_owned() }
    }
}

fn sform(header: &NiftiHeader) -> Affine {
    Affine::from_upper_rows([header.srow_x, header.srow_y, header.srow_z].map(|row| row.map(f64::from)))
}

/// The rotation of a unit quaternion whose last three parts are stored (nifti1.h, "method 2").
fn qform(header: &NiftiHeader) -> Affine {
    let [b, c, d] = [header.quatern_b, header.quatern_c, header.quatern_d].map(f64::from);
    let rest = 1.0 - (b * b + c * c + d * d);
    let (a, [b, c, d]) = if rest > 1e-7 {
        (rest.sqrt(), [b, c, d])
    } else {
        let length = (b * b + c * c + d * d).sqrt(); // a half turn
        (0.0, [b, c, d].map(|v| v / length))
    };
    let sides = voxel_sides(header);
    let handedness = if header.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let scale = [sides[0], sides[1], sides[2] * handedness];
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    let offset = [header.quatern_x, header.quatern_y, header.quatern_z].map(f64::from);
    Affine::from_upper_rows(std::array::from_fn(|r| {
        let row = rotation[r];
        [row[0] * scale[0], row[1] * scale[1], row[2] * scale[2], offset[r]]
    }))
}

fn sizes_only(header: &NiftiHeader) -> Affine {
    let [x, y, z] = voxel_sides(header);
    Affine::from_columns([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, z]], [0.0; 3])
}

fn voxel_sides(header: &NiftiHeader) -> [f64; 3] {
    std::array::from_fn(|axis| f64::from(header.pixdim[axis + 1]).abs())
}

/// The header's unit of length: 1 = metre, 3 = micrometre, everything else is taken as millimetre.
fn in_millimetres(affine: Affine, xyzt_units: u8) -> Affine {
    let factor = match xyzt_units & 7 {
        1 => 1000.0,
        3 => 0.001,
        _ => return affine,
    };
    Affine::from_columns(
        std::array::from_fn(|axis| affine.step_mm(axis).map(|v| v * factor)),
        affine.origin_mm().map(|v| v * factor),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::Orientation;

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
        assert_eq!(image.remarks, []);
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
