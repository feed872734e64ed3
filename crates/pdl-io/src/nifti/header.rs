//! The header of NIfTI-1 (348 bytes) and NIfTI-2 (540 bytes), in either byte order (nifti1.h,
//! nifti2.h).

use pdl_findings::{Code, Finding};
use std::io::Read;

use crate::ReadError;
use crate::file::Files;
use crate::voxels::VoxelType;

const SIZE_1: usize = 348;
const SIZE_2: usize = 540;

/// The fields of a header that pdl uses.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub big_endian: bool,
    /// The voxels lie in a file of their own.
    pub in_other_file: bool,
    /// Lengths of the axes that are in use.
    pub axes: Vec<usize>,
    pub voxel_type: VoxelType,
    /// Offset of the voxels in their file, in bytes.
    offset: u64,
    /// Bytes of the header itself.
    size: usize,
    pub slope: f64,
    pub intercept: f64,
    /// `pixdim[0..4]`: the handedness of the quaternion, then the sides of a voxel.
    pub pixdim: [f64; 4],
    pub qform_code: i32,
    pub sform_code: i32,
    pub quaternion: [f64; 3],
    pub qoffset: [f64; 3],
    pub srow: [[f64; 4]; 3],
    pub units: u8,
    /// Findings about it.
    pub findings: Vec<Finding>,
}

/// Numbers at places of a header.
struct Fields<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Fields<'_> {
    fn raw<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut raw = [0; N];
        raw.copy_from_slice(&self.bytes[at..at + N]);
        if self.big_endian {
            raw.reverse();
        }
        raw
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.raw(at))
    }

    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.raw(at))
    }

    fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.raw(at))
    }

    fn f32(&self, at: usize) -> f64 {
        f64::from(f32::from_le_bytes(self.raw(at)))
    }

    fn f64(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.raw(at))
    }
}

impl Header {
    /// Reads the header off the start of a stream.
    pub(super) fn read(
        files: &Files<'_>,
        stream: &mut dyn Read,
        compressed: bool,
    ) -> Result<Self, ReadError> {
        let mut bytes = Vec::with_capacity(SIZE_2);
        stream.take(SIZE_1 as u64).read_to_end(&mut bytes).map_err(|error| files.damaged(&error))?;
        if bytes.starts_with(&[0x1f, 0x8b]) && compressed {
            return Err(files.invalid("it is compressed twice"));
        }
        if bytes.len() < SIZE_1 && compressed {
            return Err(files.damaged(&std::io::ErrorKind::UnexpectedEof.into()));
        }
        if bytes.len() < SIZE_1 {
            return Err(files.invalid(format!("{} bytes are too few for a header", bytes.len())));
        }
        let size = [bytes[0], bytes[1], bytes[2], bytes[3]];
        let (size, big_endian) = match (i32::from_le_bytes(size), i32::from_be_bytes(size)) {
            (348, _) => (SIZE_1, false),
            (_, 348) => (SIZE_1, true),
            (540, _) => (SIZE_2, false),
            (_, 540) => (SIZE_2, true),
            (other, _) => return Err(files.invalid(format!("it begins with {other}, neither 348 nor 540"))),
        };
        let rest = (size - SIZE_1) as u64;
        stream.take(rest).read_to_end(&mut bytes).map_err(|error| files.damaged(&error))?;
        if bytes.len() < size {
            return Err(files.invalid(format!("{} bytes are too few for a header of NIfTI-2", bytes.len())));
        }
        let fields = Fields { bytes: &bytes, big_endian };
        if size == SIZE_1 { Self::version_1(files, &fields) } else { Self::version_2(files, &fields) }
    }

    fn version_1(files: &Files<'_>, f: &Fields<'_>) -> Result<Self, ReadError> {
        let in_other_file = match &f.bytes[344..348] {
            b"n+1\0" => false,
            b"ni1\0" => true,
            [0, 0, 0, 0] => {
                return Err(files.unsupported(
                    "it is in the older format Analyze 7.5, which has no orientation: convert it to NIfTI",
                ));
            }
            _ => return Err(files.invalid("it has no magic number of NIfTI-1")),
        };
        let dim: [i64; 8] = std::array::from_fn(|i| i64::from(f.i16(40 + 2 * i)));
        let offset = f.f32(108);
        if !(0.0..=1e9).contains(&offset) || offset.fract() != 0.0 {
            return Err(files.invalid(format!("its voxels begin at byte {offset}")));
        }
        let mut findings = Vec::new();
        let offset = first_voxel(files, offset as u64, in_other_file, SIZE_1, &mut findings)?;
        let voxel_type = voxel_type(files, f.i16(70))?;
        check_bits(f.i16(72), voxel_type, &mut findings);
        let (slope, intercept) = scaling(files, f.f32(112), f.f32(116))?;
        Ok(Self {
            big_endian: f.big_endian,
            in_other_file,
            axes: axes(files, dim)?,
            voxel_type,
            offset,
            size: SIZE_1,
            slope,
            intercept,
            pixdim: std::array::from_fn(|i| f.f32(76 + 4 * i)),
            qform_code: f.i16(252).into(),
            sform_code: f.i16(254).into(),
            quaternion: std::array::from_fn(|i| f.f32(256 + 4 * i)),
            qoffset: std::array::from_fn(|i| f.f32(268 + 4 * i)),
            srow: std::array::from_fn(|r| std::array::from_fn(|c| f.f32(280 + 16 * r + 4 * c))),
            units: f.bytes[123],
            findings,
        })
    }

    fn version_2(files: &Files<'_>, f: &Fields<'_>) -> Result<Self, ReadError> {
        let in_other_file = match &f.bytes[4..8] {
            b"n+2\0" => false,
            b"ni2\0" => true,
            _ => return Err(files.invalid("it has no magic number of NIfTI-2")),
        };
        let mut findings = Vec::new();
        match &f.bytes[8..12] {
            b"\r\n\x1a\n" => (),
            [0, 0, 0, 0] => {
                findings.push(Finding::new(Code::OddHeader, "the end of its magic number is missing"));
            }
            _ => return Err(files.invalid("the end of its magic number is changed: it was copied as text")),
        }
        let offset = f.i64(168);
        let offset =
            u64::try_from(offset).map_err(|_| files.invalid(format!("its voxels begin at byte {offset}")))?;
        let offset = first_voxel(files, offset, in_other_file, SIZE_2, &mut findings)?;
        let voxel_type = voxel_type(files, f.i16(12))?;
        check_bits(f.i16(14), voxel_type, &mut findings);
        let (slope, intercept) = scaling(files, f.f64(176), f.f64(184))?;
        Ok(Self {
            big_endian: f.big_endian,
            in_other_file,
            axes: axes(files, std::array::from_fn(|i| f.i64(16 + 8 * i)))?,
            voxel_type,
            offset,
            size: SIZE_2,
            slope,
            intercept,
            pixdim: std::array::from_fn(|i| f.f64(104 + 8 * i)),
            qform_code: f.i32(344),
            sform_code: f.i32(348),
            quaternion: std::array::from_fn(|i| f.f64(352 + 8 * i)),
            qoffset: std::array::from_fn(|i| f.f64(376 + 8 * i)),
            srow: std::array::from_fn(|r| std::array::from_fn(|c| f.f64(400 + 32 * r + 8 * c))),
            units: (f.i32(500) & 0xff) as u8,
            findings,
        })
    }

    /// Whether its voxels can follow it in its own file, although its magic number is that of a
    /// pair.
    pub(super) fn may_precede_voxels(&self) -> bool {
        self.offset >= self.size as u64
    }

    /// Skips to the voxels, from the end of the header or, in a file of their own, from its start.
    pub(super) fn skip_to_voxels(&self, files: &Files<'_>, stream: &mut dyn Read) -> Result<(), ReadError> {
        let read = if self.in_other_file { 0 } else { self.size as u64 };
        let skip = self.offset.checked_sub(read);
        let skip = skip.ok_or_else(|| files.invalid(format!("its voxels begin at byte {}", self.offset)))?;
        let skipped = std::io::copy(&mut stream.take(skip), &mut std::io::sink());
        skipped.map(|_| ()).map_err(|error| files.damaged(&error))
    }
}

/// Offset of the voxels: any in a file of their own; after a header at least 4 bytes after its end,
/// which is also the meaning of 0, as in other programs.
fn first_voxel(
    files: &Files<'_>,
    offset: u64,
    in_other_file: bool,
    size: usize,
    findings: &mut Vec<Finding>,
) -> Result<u64, ReadError> {
    let least = size as u64 + 4;
    if in_other_file || offset >= least {
        return Ok(offset);
    }
    if offset == 0 {
        let problem = format!("it does not state where its voxels begin; byte {least} was assumed");
        findings.push(Finding::new(Code::OddHeader, problem));
        return Ok(least);
    }
    Err(files.invalid(format!("its voxels begin at byte {offset}, before the end of the header at {least}")))
}

/// Checks `bitpix`, which repeats the data type.
fn check_bits(bits: i16, voxel_type: VoxelType, findings: &mut Vec<Finding>) {
    if usize::try_from(bits).ok() != Some(8 * voxel_type.bytes()) {
        let problem =
            format!("it states {bits} bits per voxel, in contradiction to its type {}", voxel_type.name());
        findings.push(Finding::new(Code::OddHeader, problem));
    }
}

/// A slope of 0 means no scaling, and so does NaN; a slope without an intercept is ignored.
fn scaling(files: &Files<'_>, slope: f64, intercept: f64) -> Result<(f64, f64), ReadError> {
    if slope == 0.0 || !slope.is_finite() {
        return Ok((1.0, 0.0));
    }
    if !intercept.is_finite() {
        return Err(
            files.invalid(format!("its voxels are scaled by {slope}, and the intercept is {intercept}"))
        );
    }
    Ok((slope, intercept))
}

/// `dim[0]` counts the axes in use.
fn axes(files: &Files<'_>, dim: [i64; 8]) -> Result<Vec<usize>, ReadError> {
    let wrong = || files.invalid(format!("its axes are {dim:?}"));
    let count = usize::try_from(dim[0]).ok().filter(|count| (1..=7).contains(count)).ok_or_else(wrong)?;
    dim[1..=count].iter().map(|n| usize::try_from(*n).map_err(|_| wrong())).collect()
}

fn voxel_type(files: &Files<'_>, code: i16) -> Result<VoxelType, ReadError> {
    let what = match code {
        2 => return Ok(VoxelType::Uint8),
        256 => return Ok(VoxelType::Int8),
        512 => return Ok(VoxelType::Uint16),
        4 => return Ok(VoxelType::Int16),
        768 => return Ok(VoxelType::Uint32),
        8 => return Ok(VoxelType::Int32),
        1280 => return Ok(VoxelType::Uint64),
        1024 => return Ok(VoxelType::Int64),
        16 => return Ok(VoxelType::Float32),
        64 => return Ok(VoxelType::Float64),
        1 => "single bits",
        32 | 1792 | 2048 => "complex numbers",
        128 | 2304 => "colours",
        1536 => "128-bit numbers",
        _ => return Err(files.invalid(format!("its voxels are of the unknown type {code}"))),
    };
    Err(files.unsupported(format!(
        "its voxels are {what}: expected intensities or labels, one real number per voxel"
    )))
}
