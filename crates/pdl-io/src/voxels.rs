//! From stored bytes to voxels.

use std::io::Read;

use pdl_store::memory::{self, MemoryError};
use pdl_volume::LabelReader;

use crate::ReadError;
use crate::file::Files;

/// Maximum compression ratio of deflate: a header that declares more is refused before memory is
/// allocated for it.
const LARGEST_DEFLATE_RATIO: u64 = 1032;

/// A number type in which voxels are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VoxelType {
    Uint8,
    Int8,
    Uint16,
    Int16,
    Uint32,
    Int32,
    Uint64,
    Int64,
    Float32,
    Float64,
}

impl VoxelType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uint8 => "uint8",
            Self::Int8 => "int8",
            Self::Uint16 => "uint16",
            Self::Int16 => "int16",
            Self::Uint32 => "uint32",
            Self::Int32 => "int32",
            Self::Uint64 => "uint64",
            Self::Int64 => "int64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Uint8 | Self::Int8 => 1,
            Self::Uint16 | Self::Int16 => 2,
            Self::Uint32 | Self::Int32 | Self::Float32 => 4,
            Self::Uint64 | Self::Int64 | Self::Float64 => 8,
        }
    }
}

/// How the voxels of one volume lie in a stream.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Voxels along x, y, z.
    pub shape: [usize; 3],
    /// Volumes before this one in the stream.
    pub frame: usize,
    pub voxel_type: VoxelType,
    pub big_endian: bool,
    /// Value = slope * stored + intercept.
    pub slope: f64,
    pub intercept: f64,
}

/// Receives voxels as they are read.
pub(crate) trait Sink {
    /// Bytes that a voxel takes here.
    fn voxel_bytes(&self) -> u64;
    /// Room for this many more voxels, exactly.
    fn reserve(&mut self, voxels: usize) -> Result<(), MemoryError>;
    /// The next voxels, x fastest.
    fn push(&mut self, voxels: &[f32]);
}

impl Sink for Vec<f32> {
    fn voxel_bytes(&self) -> u64 {
        size_of::<f32>() as u64
    }

    fn reserve(&mut self, voxels: usize) -> Result<(), MemoryError> {
        memory::reserve(self, voxels)
    }

    fn push(&mut self, voxels: &[f32]) {
        self.extend_from_slice(voxels);
    }
}

impl Sink for LabelReader {
    fn voxel_bytes(&self) -> u64 {
        size_of::<u16>() as u64
    }

    fn reserve(&mut self, voxels: usize) -> Result<(), MemoryError> {
        let needed = (voxels as u64).saturating_mul(self.voxel_bytes());
        self.reserve(voxels).map_err(|_| MemoryError::Refused { needed })
    }

    fn push(&mut self, voxels: &[f32]) {
        self.push(voxels);
    }
}

/// Takes one of the numbers that each voxel has side by side.
pub(crate) struct Component<'a> {
    sink: &'a mut dyn Sink,
    /// Numbers a voxel.
    count: usize,
    wanted: usize,
    /// Index of the next number within its voxel.
    next: usize,
}

impl<'a> Component<'a> {
    pub(crate) fn new(sink: &'a mut dyn Sink, count: usize, wanted: usize) -> Self {
        Self { sink, count, wanted, next: 0 }
    }
}

impl Sink for Component<'_> {
    fn voxel_bytes(&self) -> u64 {
        self.sink.voxel_bytes().div_ceil(self.count as u64)
    }

    fn reserve(&mut self, voxels: usize) -> Result<(), MemoryError> {
        self.sink.reserve(voxels.div_ceil(self.count))
    }

    fn push(&mut self, voxels: &[f32]) {
        let first = (self.wanted + self.count - self.next) % self.count;
        let own: Vec<f32> = voxels.iter().skip(first).step_by(self.count).copied().collect();
        self.next = (self.next + voxels.len()) % self.count;
        self.sink.push(&own);
    }
}

/// The shape of voxels that have `count` numbers each side by side, as if these lay along x; `None`
/// if it is beyond all memory.
pub(crate) fn with_components(shape: [usize; 3], count: usize) -> Option<[usize; 3]> {
    Some([shape[0].checked_mul(count)?, shape[1], shape[2]])
}

/// Bytes that are taken from a stream at once: whole voxels of any type.
const PIECE: usize = 1 << 16;

impl Stored {
    /// Reads the volume piece by piece from a stream positioned at the first voxel of the first
    /// frame. `held` is the size of the file on disk, in bytes.
    pub(crate) fn read(
        &self,
        files: &Files<'_>,
        stream: &mut dyn Read,
        held: u64,
        compressed: bool,
        sink: &mut dyn Sink,
    ) -> Result<(), ReadError> {
        let too_large = || files.invalid(format!("it declares {:?} voxels (x, y, z)", self.shape));
        let voxels =
            self.shape.iter().try_fold(1_u64, |all, n| all.checked_mul(*n as u64)).ok_or_else(too_large)?;
        let volume = voxels.checked_mul(self.voxel_type.bytes() as u64).ok_or_else(too_large)?;
        let before = volume.checked_mul(self.frame as u64).ok_or_else(too_large)?;
        let declared = before.checked_add(volume).ok_or_else(too_large)?;
        let truncated = |held| ReadError::Truncated { path: files.path.to_owned(), declared, held };
        let most = if compressed { held.saturating_mul(LARGEST_DEFLATE_RATIO) } else { held };
        if declared > most {
            return Err(truncated(most));
        }
        files.memory.take_each(voxels, sink.voxel_bytes()).map_err(|error| files.no_memory(error))?;
        let skipped = std::io::copy(&mut stream.take(before), &mut std::io::sink());
        let skipped = skipped.map_err(|error| files.damaged(&error))?;
        let mut bytes = vec![0; PIECE.min(volume as usize)];
        let mut piece = Vec::with_capacity(bytes.len() / self.voxel_type.bytes());
        let (mut taken, mut room) = (0, 0);
        while taken < volume {
            let wanted = bytes.len().min((volume - taken) as usize);
            let count = fill(stream, &mut bytes[..wanted]).map_err(|error| files.damaged(&error))?;
            if count < wanted {
                return Err(truncated(skipped + taken + count as u64));
            }
            if taken + wanted as u64 > room {
                // The length of a compressed stream is not known in advance, so memory grows with
                // it.
                let more = if compressed { held.max(taken).max(wanted as u64) } else { volume };
                let more = more.min(volume - room);
                let room_for = sink.reserve(more.div_ceil(self.voxel_type.bytes() as u64) as usize);
                room_for.map_err(|error| files.no_memory(error))?;
                room += more;
            }
            piece.clear();
            self.decode(&bytes[..wanted], &mut piece);
            sink.push(&piece);
            taken += wanted as u64;
        }
        // Reading the rest of the stream verifies its checksum.
        std::io::copy(stream, &mut std::io::sink()).map_err(|error| files.damaged(&error))?;
        Ok(())
    }

    fn decode(&self, bytes: &[u8], voxels: &mut Vec<f32>) {
        macro_rules! numbers {
            ($type:ty) => {{
                let chunks = bytes.chunks_exact(size_of::<$type>());
                let number = |chunk: &[u8]| {
                    let mut raw = [0; size_of::<$type>()];
                    raw.copy_from_slice(chunk);
                    if self.big_endian { <$type>::from_be_bytes(raw) } else { <$type>::from_le_bytes(raw) }
                };
                if self.slope == 1.0 && self.intercept == 0.0 {
                    voxels.extend(chunks.map(|chunk| number(chunk) as f32));
                } else {
                    let scaled = |chunk| (number(chunk) as f64 * self.slope + self.intercept) as f32;
                    voxels.extend(chunks.map(scaled));
                }
            }};
        }
        match self.voxel_type {
            VoxelType::Uint8 => numbers!(u8),
            VoxelType::Int8 => numbers!(i8),
            VoxelType::Uint16 => numbers!(u16),
            VoxelType::Int16 => numbers!(i16),
            VoxelType::Uint32 => numbers!(u32),
            VoxelType::Int32 => numbers!(i32),
            VoxelType::Uint64 => numbers!(u64),
            VoxelType::Int64 => numbers!(i64),
            VoxelType::Float32 => numbers!(f32),
            VoxelType::Float64 => numbers!(f64),
        }
    }
}

/// Reads until the bytes are full or the stream ends; returns the number read.
fn fill(stream: &mut dyn Read, bytes: &mut [u8]) -> std::io::Result<usize> {
    let mut count = 0;
    while count < bytes.len() {
        match stream.read(&mut bytes[count..]) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Number of consecutive 3-D volumes in voxels of these axes, the fastest first: along the fourth
/// axis, or along the fifth if the fourth has length 1, as for NIfTI's vectors; `None` if several
/// axes follow the third.
pub(crate) fn volumes_along(axes: &[usize]) -> Option<usize> {
    let mut further = axes.iter().skip(3).copied().filter(|n| *n != 1);
    let volumes = further.next().unwrap_or(1);
    further.next().is_none().then_some(volumes)
}

/// The three axes of a volume among the axes that a header declares, and which of the frames is
/// meant; the fourth axis counts frames, and others must be of length 1.
pub(crate) fn one_volume(
    files: &Files<'_>,
    axes: &[usize],
    frame: Option<usize>,
) -> Result<([usize; 3], usize), ReadError> {
    let shape = std::array::from_fn(|axis| axes.get(axis).copied().unwrap_or(1));
    if shape.contains(&0) {
        return Err(files.invalid(format!("one of its axes has no voxels: {axes:?}")));
    }
    let Some(frames) = volumes_along(axes) else {
        return Err(files.unsupported(format!(
            "its voxels have several values each ({axes:?}): expected one number per voxel"
        )));
    };
    if frame.is_none() && axes.iter().skip(4).any(|n| *n != 1) {
        return Err(files.unsupported(format!(
            "its voxels have several values each ({axes:?}): expected one number per voxel, so select one by its \
             number from 0, as in FILE#0, or with --frame"
        )));
    }
    match frame {
        None if frames > 1 => {
            Err(ReadError::Frames { path: files.path.to_owned(), frames, axes: axes.to_vec() })
        }
        Some(frame) if frame >= frames => {
            Err(files.unsupported(format!("it has no frame {frame}: found {frames}, numbered from 0")))
        }
        frame => Ok((shape, frame.unwrap_or(0))),
    }
}
