//! Stacks of slices: a folder of PNG, TIFF or JPEG files of one plane each, or a TIFF file of several pages.
//!
//! Such files say nothing of millimetres and of where the patient's left is, so both are the caller's to state
//! ([`StackGeometry`]); what they say of dots an inch is not used. Values are taken as they are stored; a palette's
//! indices are labels. What stands for something else than one number a voxel is refused.

mod directory;
mod jpeg;
mod order;
mod plane;
mod png;
mod tiff;

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use image::metadata::Orientation as Turn;
use pdl_store::hash;
use pdl_store::memory::MemoryShare;
use pdl_store::quiet::quietly;
use pdl_volume::{Affine, Orientation};

use crate::file::Files;
use crate::read::{Content, is_volume_name};
use crate::voxels::Sink;
use crate::{Part, ReadError, Remark};
use plane::{Kind, Plane, SliceError};

/// What the errors call it.
pub(crate) const NAME: &str = "stack of slices";

/// Endings of the names of TIFF files, the only ones that can hold a stack alone.
pub(crate) const ENDINGS: [&str; 4] = [".ome.tif", ".ome.tiff", ".tif", ".tiff"];

/// What a stack does not say of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StackGeometry {
    /// Millimetres from column to column, from row to row and from slice to slice: x, y, z of the stored image.
    pub spacing_mm: [f64; 3],
    /// Where in the patient columns, rows and slices are counted to: LPS when columns run to the left, rows to the
    /// back and slices to the head.
    pub axes: Orientation,
}

/// What the values of a stack stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Intensities,
    Labels,
}

/// How a slice is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Png,
    Tiff,
    Jpeg,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_lowercase().as_str() {
            "png" => Some(Self::Png),
            "tif" | "tiff" => Some(Self::Tiff),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            _ => None,
        }
    }
}

/// Whether a path is that of a stack: a TIFF file, or a folder with PNG, TIFF or JPEG files in it.
pub fn is_stack(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if is_volume_name(&name) {
        return false; // without a look at the disk
    }
    if path.is_dir() { slices_in(path).next().is_some() } else { Format::of(path) == Some(Format::Tiff) }
}

/// Whether a file is, by its name, a slice or a stack of slices.
pub fn is_slice_name(name: &str) -> bool {
    Format::of(Path::new(name)).is_some() && !name.starts_with('.')
}

/// Whether a file is a stack alone: a TIFF file of several pages.
pub fn has_pages(path: &Path) -> bool {
    let pages = |(file, held): (File, u64)| directory::count(&mut BufReader::new(file), held).ok();
    Format::of(path) == Some(Format::Tiff) && open(path).ok().and_then(pages).is_some_and(|pages| pages > 1)
}

/// The files that a stack is read from, by name; none where there is no stack.
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    match path.is_dir() {
        false => is_stack(path).then(|| path.to_owned()).into_iter().collect(),
        true => {
            let mut slices: Vec<PathBuf> = slices_in(path).collect();
            slices.sort();
            slices
        }
    }
}

/// The slices in a folder, in no order.
fn slices_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_file = |entry: &fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_symlink() => entry.path().is_file(),
        kind => kind.is_ok_and(|kind| kind.is_file()),
    };
    let slices =
        entries.filter(move |entry| is_slice_name(&entry.file_name().to_string_lossy()) && is_file(entry));
    slices.map(|entry| entry.path())
}

/// Reads a stack, its voxels into `sink`.
pub(crate) fn read(
    files: &mut Files<'_>,
    geometry: &StackGeometry,
    meaning: Meaning,
    sink: &mut dyn Sink,
) -> Result<Content, ReadError> {
    let (kind, slices) = match files.path.is_dir() {
        true => read_folder(files, meaning, sink)?,
        false => read_pages(files, sink)?,
    };
    let shape = [kind.columns, kind.rows, slices];
    let affine = Affine::from_orientation(geometry.axes, geometry.spacing_mm, shape);
    if !affine.is_usable() {
        return Err(files.unsupported("its spacing is none: three lengths in mm are"));
    }
    let remarks = (slices == 1).then(|| Remark::odd("its stack holds a single slice")).into_iter().collect();
    Ok(Content { shape, affine, voxel_type: kind.voxel_type, remarks })
}

/// Reads the slices of a folder in the order of their numbers; gives what they have in common, and how many they are.
fn read_folder(
    files: &mut Files<'_>,
    meaning: Meaning,
    sink: &mut dyn Sink,
) -> Result<(Kind, usize), ReadError> {
    let slices = files_of(files.path);
    let format = format_of(files, &slices)?;
    if (format, meaning) == (Format::Jpeg, Meaning::Labels) {
        return Err(files
            .unsupported("its labels are stored as JPEG, which changes values: save them as PNG or TIFF"));
    }
    let stems: Vec<String> = slices
        .iter()
        .map(|slice| slice.file_stem().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    let order = order::in_order(&stems).map_err(|problem| files.unsupported(problem))?;
    let mut assembly = Assembly::new(order.len(), files.memory, sink);
    for slice in order {
        let path = &slices[slice];
        let io = |source| ReadError::Io { path: path.clone(), source };
        let memory = files.memory.part();
        memory.take(fs::metadata(path).map_err(io)?.len()).map_err(|error| files.no_memory(error))?;
        let bytes = fs::read(path).map_err(io)?;
        files.parts.push(Part { path: path.clone(), blake3: hash::of_bytes(&bytes) });
        let plane = |memory: &MemoryShare<'_>| match format {
            Format::Png => png::decode(&bytes, meaning, memory),
            Format::Jpeg => jpeg::decode(&bytes, memory),
            Format::Tiff => tiff::decode(&bytes, memory),
        };
        assembly.add(plane).map_err(|error| assembly.error(files, error))?;
    }
    assembly.finish(files)
}

/// The format of all slices.
fn format_of(files: &Files<'_>, slices: &[PathBuf]) -> Result<Format, ReadError> {
    let mut formats = slices.iter().filter_map(|slice| Format::of(slice));
    let Some(first) = formats.next() else {
        return Err(files.unsupported("it is a folder without slices (PNG, TIFF or JPEG)"));
    };
    if formats.any(|other| other != first) {
        return Err(files.unsupported("its slices are of several formats: give them in one"));
    }
    Ok(first)
}

/// Reads the pages of a TIFF file, each of which is a slice.
fn read_pages(files: &mut Files<'_>, sink: &mut dyn Sink) -> Result<(Kind, usize), ReadError> {
    let io = |source| ReadError::Io { path: files.path.to_owned(), source };
    let (file, held) = open(files.path).map_err(io)?;
    let pages = quietly(|| tiff::Pages::open(BufReader::new(file), held));
    let mut pages =
        pages.unwrap_or_else(|| Err(GIVEN_UP.to_owned())).map_err(|problem| files.unsupported(problem))?;
    let mut assembly = Assembly::new(pages.count, files.memory, sink);
    for page in 0..pages.count {
        let added = assembly.add(|memory| pages.plane(page, memory));
        added.map_err(|error| assembly.error(files, error))?;
    }
    let blake3 = hash::of_file(files.path).map_err(|error| io(io::Error::other(error)))?;
    files.parts.push(Part { path: files.path.to_owned(), blake3 });
    assembly.finish(files)
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::open(path)?;
    let held = file.metadata()?.len();
    Ok((file, held))
}

/// Planes of one kind on their way into a volume.
struct Assembly<'a> {
    slices: usize,
    memory: &'a MemoryShare<'a>,
    sink: &'a mut dyn Sink,
    /// Of the first slice, and so of all.
    kind: Option<Kind>,
    /// Slices that are there, and those that there is room for.
    taken: usize,
    room: usize,
}

impl<'a> Assembly<'a> {
    fn new(slices: usize, memory: &'a MemoryShare<'a>, sink: &'a mut dyn Sink) -> Self {
        Self { slices, memory, sink, kind: None, taken: 0, room: 0 }
    }

    /// Decodes the next plane and adds it.
    fn add(
        &mut self,
        plane: impl FnOnce(&MemoryShare<'_>) -> Result<Plane, SliceError>,
    ) -> Result<(), SliceError> {
        // Decoders of other people meet damaged data here: a panic of theirs is this slice's error, no more.
        let working = self.memory.part();
        let plane = quietly(|| plane(&working)).unwrap_or_else(|| Err(GIVEN_UP.into()))?;
        let kind = match self.kind {
            Some(kind) => kind,
            None => {
                let voxels = [plane.kind.columns, plane.kind.rows, self.slices];
                let voxels = voxels.iter().fold(1, |all: u64, n| all.saturating_mul(*n as u64));
                self.memory.take_each(voxels, self.sink.voxel_bytes())?;
                *self.kind.insert(plane.kind)
            }
        };
        if plane.kind != kind {
            let text = |kind: Kind| format!("{} x {} pixels of {} bits", kind.columns, kind.rows, kind.bits);
            let both = (plane.kind.voxel_type.name(), kind.voxel_type.name());
            return Err(format!(
                "has {} ({}), the first one {} ({})",
                text(plane.kind),
                both.0,
                text(kind),
                both.1
            )
            .into());
        }
        if self.taken == self.room {
            // That all slices are as the first is known only once they are there, so memory grows with them.
            let more = self.taken.max(1).min(self.slices - self.room);
            let voxels = more.checked_mul(kind.columns).and_then(|voxels| voxels.checked_mul(kind.rows));
            self.sink.reserve(voxels.ok_or("is too large")?)?;
            self.room += more;
        }
        self.sink.push(&plane.grey()?);
        self.taken += 1;
        Ok(())
    }

    fn finish(self, files: &Files<'_>) -> Result<(Kind, usize), ReadError> {
        let kind = self.kind.ok_or_else(|| files.unsupported("it holds no slices"))?;
        Ok((kind, self.slices))
    }

    /// The error of the slice that comes next.
    fn error(&self, files: &Files<'_>, error: SliceError) -> ReadError {
        let path = files.path.to_owned();
        match error {
            SliceError::Memory(source) => ReadError::Memory { path, source },
            SliceError::Problem(problem) => {
                ReadError::Slice { path, number: self.taken + 1, slices: self.slices, problem }
            }
        }
    }
}

/// What is said when a decoder panicked.
const GIVEN_UP: &str = "cannot be decoded (its decoder gave up)";

/// Refuses a picture whose EXIF data have viewers turn or mirror it.
fn check_upright(exif: Option<&[u8]>) -> Result<(), String> {
    match exif.and_then(Turn::from_exif_chunk) {
        None | Some(Turn::NoTransforms) => Ok(()),
        Some(_) => Err("is marked as turned or mirrored (its EXIF orientation): save it upright".to_owned()),
    }
}
