//! Files of raw voxels from which parts of a case are read while training.
//!
//! A file holds the images of all inputs (input, z, y, x) as float32, then the channels (z, y, x)
//! as bytes, in C order and the machine's byte order. It is read by position and not mapped into
//! memory: a disk error in a map ends the process, while a failed read is an error; and pages of
//! the file that the system caches do not count as the process's memory.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytemuck::Pod;
use pdl_store::{StoreError, atomic, fault, memory};

use crate::error::{FitError, Result};

/// A box of voxels along z, y, x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxZyx {
    /// First voxel.
    pub start: [usize; 3],
    /// Voxels along each axis.
    pub shape: [usize; 3],
}

impl BoxZyx {
    /// All voxels of a volume of `shape`.
    pub fn whole(shape: [usize; 3]) -> Self {
        Self { start: [0; 3], shape }
    }

    /// The part of a box from `origin` on that lies within a volume of `shape`; it may be empty.
    pub fn within(shape: [usize; 3], origin: [isize; 3], size: [usize; 3]) -> Self {
        let clamp = |axis: usize, at: isize| at.clamp(0, shape[axis] as isize) as usize;
        let start: [usize; 3] = std::array::from_fn(|axis| clamp(axis, origin[axis]));
        let end = |axis: usize| clamp(axis, origin[axis] + size[axis] as isize);
        Self { start, shape: std::array::from_fn(|axis| end(axis) - start[axis]) }
    }

    /// Number of voxels.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Images and channels of a case in a file that is read by boxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoxelFile {
    path: PathBuf,
    /// Voxels along z, y, x.
    shape: [usize; 3],
    inputs: usize,
}

impl VoxelFile {
    /// The file at `path` with images of `inputs` channels, each of `shape` (z, y, x).
    pub fn new(path: PathBuf, shape: [usize; 3], inputs: usize) -> Self {
        Self { path, shape, inputs }
    }

    /// Size of such a file in bytes.
    pub fn bytes(shape: [usize; 3], inputs: usize) -> u64 {
        let voxels = shape.iter().fold(1, |all: u64, n| all.saturating_mul(*n as u64));
        voxels.saturating_mul((size_of::<f32>() * inputs + 1) as u64)
    }

    /// Writes the file atomically: images (input, z, y, x), then the channels (z, y, x).
    ///
    /// # Errors
    /// [`FitError::Store`] if it cannot be written.
    pub fn write(path: &Path, images: &[f32], channels: &[u8]) -> Result<()> {
        atomic::write_with(path, |temporary| {
            let written = File::create(temporary).and_then(|mut file| {
                file.write_all(bytemuck::cast_slice(images))?;
                file.write_all(channels)
            });
            written.map_err(StoreError::io("write the voxels", path))
        })
        .map_err(|error: StoreError| FitError::from(error))
    }

    /// Images (input, z, y, x) in a box.
    ///
    /// # Errors
    /// [`FitError::Store`] if the file cannot be read or memory is exhausted.
    pub fn images(&self, part: BoxZyx) -> Result<Vec<f32>> {
        let file = self.open()?;
        let mut voxels = self.zeros(part.len() * self.inputs)?;
        let volume = BoxZyx::whole(self.shape).len() as u64;
        for input in 0..self.inputs {
            let into = &mut voxels[input * part.len()..(input + 1) * part.len()];
            self.read(&file, input as u64 * volume * size_of::<f32>() as u64, part, into)?;
        }
        Ok(voxels)
    }

    /// Channels (z, y, x) in a box.
    ///
    /// # Errors
    /// As [`VoxelFile::images`].
    pub fn channels(&self, part: BoxZyx) -> Result<Vec<u8>> {
        let mut voxels = self.zeros(part.len())?;
        let first = BoxZyx::whole(self.shape).len() * self.inputs * size_of::<f32>();
        self.read(&self.open()?, first as u64, part, &mut voxels)?;
        Ok(voxels)
    }

    fn open(&self) -> Result<File> {
        let opened = fault::retried(|| File::open(&self.path));
        Ok(opened.map_err(StoreError::io("open the voxels of a case", &self.path))?)
    }

    fn zeros<T: Pod>(&self, count: usize) -> Result<Vec<T>> {
        let refused = |source| StoreError::Memory { path: self.path.clone(), source };
        Ok(memory::zeros(count).map_err(refused)?)
    }

    fn read<T: Pod>(&self, file: &File, first: u64, part: BoxZyx, into: &mut [T]) -> Result<()> {
        let read = fault::retried(|| read_box(file, first, self.shape, part, into));
        Ok(read.map_err(StoreError::io("read the voxels of a case", &self.path))?)
    }
}

/// Reads a box of a volume of `shape` (z, y, x) whose voxels begin at byte `first`. Each read spans
/// all rows of a plane, or all planes where these are whole: a disk reads a few voxels beside them
/// sooner than it is asked again.
fn read_box<T: Pod>(
    file: &File,
    first: u64,
    shape: [usize; 3],
    part: BoxZyx,
    into: &mut [T],
) -> io::Result<()> {
    let BoxZyx { start: [z0, y0, x0], shape: [depth, height, width] } = part;
    if part.len() == 0 {
        return Ok(());
    }
    let [_, rows, columns] = shape;
    let byte = |z: usize, y: usize, x: usize| {
        first + (((z * rows + y) * columns + x) as u64) * size_of::<T>() as u64
    };
    if [height, width] == [rows, columns] {
        return read_at(file, bytemuck::cast_slice_mut(into), byte(z0, 0, 0));
    }
    let mut span = vec![T::zeroed(); (height - 1) * columns + width];
    for z in 0..depth {
        read_at(file, bytemuck::cast_slice_mut(&mut span), byte(z0 + z, y0, x0))?;
        let plane = &mut into[z * height * width..(z + 1) * height * width];
        for (to, from) in plane.chunks_exact_mut(width).zip(span.chunks(columns)) {
            to.copy_from_slice(&from[..width]);
        }
    }
    Ok(())
}

#[cfg(unix)]
fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, into, at)
}

#[cfg(not(unix))]
fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = file;
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_box_of_any_input_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.voxels");
        let shape = [3, 4, 5];
        let images: Vec<f32> = (0..120).map(|v| v as f32).collect();
        let channels: Vec<u8> = (0..60).collect();
        VoxelFile::write(&path, &images, &channels).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), VoxelFile::bytes(shape, 2));
        let file = VoxelFile::new(path, shape, 2);
        for (origin, size) in [([0; 3], shape), ([1, 0, 0], [2, 4, 5]), ([1, 2, 3], [1, 2, 1])] {
            let part = BoxZyx::within(shape, origin, size);
            let inside = |z: usize, y: usize, x: usize| {
                [z, y, x]
                    .iter()
                    .zip(origin)
                    .zip(size)
                    .all(|((v, o), s)| (o..o + s as isize).contains(&(*v as isize)))
            };
            let expected: Vec<u8> = channels
                .iter()
                .copied()
                .filter(|v| inside(*v as usize / 20, *v as usize / 5 % 4, *v as usize % 5))
                .collect();
            let of_input = |input: u8| expected.iter().map(move |v| f32::from(*v + 60 * input));
            assert_eq!(file.channels(part).unwrap(), expected);
            assert_eq!(file.images(part).unwrap(), of_input(0).chain(of_input(1)).collect::<Vec<_>>());
        }
        assert_eq!(
            BoxZyx::within(shape, [-2, 3, 4], [3, 9, 9]),
            BoxZyx { start: [0, 3, 4], shape: [1, 1, 1] }
        );
        assert_eq!(file.channels(BoxZyx::within(shape, [-9, 0, 0], [3, 4, 5])).unwrap(), [0; 0]);
    }

    #[test]
    fn a_file_that_is_cut_short_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.voxels");
        VoxelFile::write(&path, &[1.0; 60], &[0; 30]).unwrap();
        let file = VoxelFile::new(path, [3, 4, 5], 1);
        assert!(file.images(BoxZyx::whole([3, 4, 5])).is_ok());
        assert!(
            file.channels(BoxZyx::whole([3, 4, 5]))
                .unwrap_err()
                .to_string()
                .contains("cannot read the voxels")
        );
        let gone = VoxelFile::new(folder.path().join("b.voxels"), [3, 4, 5], 1);
        assert!(gone.images(BoxZyx::whole([3, 4, 5])).is_err());
    }
}
