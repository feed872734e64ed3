//! Stacks of slices: a folder of PNG, TIFF or JPEG files of one plane each, or a TIFF file of
//! several pages. A single such file is a 2-D image, a stack of one slice.
//!
//! Such files state neither spacing nor orientation, so the caller has to ([`StackGeometry`]);
//! their resolution in dots per inch is not used. Values are used as stored; indices of a palette
//! are labels. A colour of them is a volume of its own: `FILE#0` is red, `FILE#1` green and
//! `FILE#2` blue; without such a number, pixels whose colours differ are refused.

mod directory;
mod jpeg;
mod order;
mod plane;
mod png;
mod tiff;

use pdl_findings::{Code, Finding};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use image::metadata::Orientation as Turn;
use pdl_store::catch_panic::quietly;
use pdl_store::fault::{self, Watched};
use pdl_store::file_state::FileState;
use pdl_store::hash;
use pdl_store::memory::{self, MemoryLimit, MemoryShare};
use pdl_volume::{Affine, Orientation};

use crate::content::Content;
use crate::endings::{is_volume_name, split_frame};
use crate::file::{Files, file_and_frame};
use crate::voxels::Sink;
use crate::{Part, ReadError, Unread};
pub(crate) use plane::Meaning;
use plane::{Kind, Plane, SliceError};

/// Name in errors.
pub(crate) const NAME: &str = "stack of slices";

/// Spacing and orientation of a stack, which its files do not state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StackGeometry {
    /// Millimetres from column to column, from row to row and from slice to slice: x, y, z of the
    /// stored image.
    pub spacing_mm: [f64; 3],
    /// Directions in which columns, rows and slices grow: LPS if columns run to the left, rows to
    /// the back and slices to the head.
    pub axes: Orientation,
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

/// Whether a path is that of a stack: a PNG, TIFF or JPEG file, or a folder with such in it.
///
/// # Errors
/// Errors of the machine if it cannot be inspected; a folder that may not be listed is not a stack.
pub fn is_stack(path: &Path) -> io::Result<bool> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if is_volume_name(split_frame(&name).0) {
        return Ok(false); // without a look at the disk
    }
    let (path, _) = file_and_frame(path)?;
    Ok(if fault::is_dir(&path)? { !slices_in(&path)?.is_empty() } else { Format::of(&path).is_some() })
}

/// Whether a file is, by its name, a slice or a stack of slices.
pub fn is_slice_name(name: &str) -> bool {
    Format::of(Path::new(name)).is_some() && !name.starts_with('.')
}

/// Whether a file is a stack alone: a TIFF file of several pages.
///
/// # Errors
/// Errors of the machine if it cannot be read.
pub fn has_pages(path: &Path) -> io::Result<bool> {
    if Format::of(path) != Some(Format::Tiff) {
        return Ok(false);
    }
    let none = MemoryLimit::new(0);
    let none = none.alone(); // counting pages takes no memory to speak of
    let files = Files::new(path, NAME, &none);
    let count = |(file, state): (Watched<File>, FileState)| {
        let pages = directory::count(&mut BufReader::new(file), state.size);
        pages.map_err(|problem| files.unsupported(problem))
    };
    match files.outcome(files.open_plain(path).and_then(count)) {
        Ok(pages) => Ok(pages > 1),
        Err(unread) => fault::machine_error(&unread).map_or(Ok(false), Err),
    }
}

/// Whether a file is a 2-D image alone: a PNG or JPEG file, or a TIFF file of one page.
///
/// # Errors
/// As [`has_pages`].
pub fn is_picture(path: &Path) -> io::Result<bool> {
    let (path, _) = file_and_frame(path)?;
    Ok(Format::of(&path).is_some() && fault::is_file(&path)? && !has_pages(&path)?)
}

/// Whether a 2-D image is in colour: whether its red, green and blue differ anywhere. Memory: the
/// file, and its pixels as float32.
///
/// # Errors
/// [`Unread`] if it cannot be decoded.
pub fn is_in_colour(path: &Path, memory: &MemoryShare<'_>) -> Result<bool, Unread> {
    fault::retried(|| {
        let memory = memory.part();
        let mut files = Files::new(path, NAME, &memory);
        let slice = Slice::read(&mut files, path).and_then(|slice| {
            let format = Format::of(path).unwrap_or(Format::Png);
            let plane = quietly(|| slice.decode(format, Meaning::Intensities, &memory));
            plane.unwrap_or_else(|| Err(GIVEN_UP.into())).map_err(|error| slice_error(&files, error, 1, 1))
        });
        Ok(files.outcome(slice)?.is_in_colour())
    })
}

/// The files of a stack, by name; empty if there is none.
///
/// # Errors
/// As [`is_stack`].
pub fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (path, _) = file_and_frame(path)?;
    if !fault::is_dir(&path)? {
        return Ok(is_stack(&path)?.then_some(path).into_iter().collect());
    }
    let mut slices = slices_in(&path)?;
    slices.sort();
    Ok(slices)
}

/// The slices in a folder, in no order; none where it may not be listed.
fn slices_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fault::list(folder) {
        Err(error) if !fault::is_machine_error(&error) => Vec::new(),
        listed => listed?,
    };
    let mut slices = Vec::new();
    for entry in entries.iter().filter(|entry| is_slice_name(&entry.file_name().to_string_lossy())) {
        let path = entry.path();
        // Most file systems return the type of an entry with its name.
        let known = entry.file_type().ok().filter(|kind| !kind.is_symlink());
        let is_file = known.map_or_else(|| fault::is_file(&path), |kind| Ok(kind.is_file()))?;
        slices.extend(is_file.then_some(path));
    }
    Ok(slices)
}

/// Reads a stack, its voxels into `sink`.
pub(crate) fn read(
    files: &mut Files<'_>,
    geometry: &StackGeometry,
    meaning: Meaning,
    sink: &mut dyn Sink,
) -> Result<Content, ReadError> {
    let io = |source| ReadError::Io { path: files.path.to_owned(), source };
    let is_picture = matches!(Format::of(files.path), Some(Format::Png | Format::Jpeg));
    let (kind, slices) = match fault::is_dir(files.path).map_err(io)? || is_picture {
        true => read_folder(files, meaning, sink)?,
        false => read_pages(files, meaning, sink)?,
    };
    let shape = [kind.columns, kind.rows, slices];
    let affine = Affine::from_orientation(geometry.axes, geometry.spacing_mm, shape);
    if !affine.is_usable() {
        return Err(files.unsupported("its spacing is invalid: expected three lengths in mm"));
    }
    let findings = (slices == 1 && !is_picture)
        .then(|| Finding::new(Code::OddHeader, "its stack has a single slice"))
        .into_iter()
        .collect();
    Ok(Content { shape, affine, voxel_type: kind.voxel_type, scaling: None, findings })
}

/// Numbers of the first and the last slice of a folder, by their names; `None` of other stacks, and
/// where names give no order.
///
/// # Errors
/// Errors of the machine if it cannot be listed.
pub fn slice_numbers(path: &Path) -> io::Result<Option<[u64; 2]>> {
    if !fault::is_dir(path)? {
        return Ok(None);
    }
    let numbers = order::numbers(&stems(&files_of(path)?)).ok().flatten().unwrap_or_default();
    Ok(numbers.iter().min().zip(numbers.iter().max()).map(|(first, last)| [*first, *last]))
}

/// The names of files without their endings.
fn stems(files: &[PathBuf]) -> Vec<String> {
    files.iter().map(|file| file.file_stem().unwrap_or_default().to_string_lossy().into_owned()).collect()
}

/// Reads the slices of a folder in the order of their numbers; returns their common properties and
/// their number.
fn read_folder(
    files: &mut Files<'_>,
    meaning: Meaning,
    sink: &mut dyn Sink,
) -> Result<(Kind, usize), ReadError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        |source| ReadError::Io { path, source }
    };
    let slices = files_of(files.path).map_err(io(files.path))?;
    let format = format_of(files, &slices)?;
    if (format, meaning) == (Format::Jpeg, Meaning::Labels) {
        return Err(files
            .unsupported("its labels are stored as JPEG, which changes values: save them as PNG or TIFF"));
    }
    let order = order::in_order(&stems(&slices)).map_err(|problem| files.unsupported(problem))?;
    let mut assembly = Assembly::new(order.len(), meaning, files.memory, sink);
    for number in order {
        let slice = Slice::read(files, &slices[number])?;
        let plane = |memory: &MemoryShare<'_>| slice.decode(format, meaning, memory);
        assembly.add(plane).map_err(|error| assembly.error(files, error))?;
    }
    assembly.finish(files)
}

/// The bytes of a file of one slice, and the memory that they take.
struct Slice<'a> {
    bytes: Vec<u8>,
    _memory: MemoryShare<'a>,
}

impl<'a> Slice<'a> {
    /// Reads the file and adds it to the parts of `files`.
    fn read(files: &mut Files<'a>, path: &Path) -> Result<Self, ReadError> {
        let (mut file, state) = files.open_plain(path)?;
        let memory = files.memory.part();
        memory.take(state.size).map_err(|error| files.no_memory(error))?;
        let mut bytes = Vec::new();
        memory::reserve(&mut bytes, state.size as usize).map_err(|error| files.no_memory(error))?;
        let read = file.read_to_end(&mut bytes);
        read.map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        files.parts.push(Part { path: path.to_owned(), blake3: hash::of_bytes(&bytes), state });
        Ok(Self { bytes, _memory: memory })
    }

    fn decode(
        &self,
        format: Format,
        meaning: Meaning,
        memory: &MemoryShare<'_>,
    ) -> Result<Plane, SliceError> {
        match format {
            Format::Png => png::decode(&self.bytes, meaning, memory),
            Format::Jpeg => jpeg::decode(&self.bytes, memory),
            Format::Tiff => tiff::decode(&self.bytes, memory),
        }
    }
}

fn slice_error(files: &Files<'_>, error: SliceError, number: usize, slices: usize) -> ReadError {
    let path = files.path.to_owned();
    match error {
        SliceError::Memory(source) => ReadError::Memory { path, source },
        SliceError::Problem(problem) => ReadError::Slice { path, number, slices, problem },
    }
}

/// The format of all slices.
fn format_of(files: &Files<'_>, slices: &[PathBuf]) -> Result<Format, ReadError> {
    let mut formats = slices.iter().filter_map(|slice| Format::of(slice));
    let Some(first) = formats.next() else {
        return Err(files.unsupported("it is a folder without slices (PNG, TIFF or JPEG)"));
    };
    if formats.any(|other| other != first) {
        return Err(files.unsupported("its slices are of several formats: use one"));
    }
    Ok(first)
}

/// Reads the pages of a TIFF file, each of which is a slice.
fn read_pages(
    files: &mut Files<'_>,
    meaning: Meaning,
    sink: &mut dyn Sink,
) -> Result<(Kind, usize), ReadError> {
    let (file, state) = files.open_plain(files.path)?;
    let pages = quietly(|| tiff::Pages::open(BufReader::new(file), state.size));
    let mut pages =
        pages.unwrap_or_else(|| Err(GIVEN_UP.to_owned())).map_err(|problem| files.unsupported(problem))?;
    let mut assembly = Assembly::new(pages.count, meaning, files.memory, sink);
    for page in 0..pages.count {
        let added = assembly.add(|memory| pages.plane(page, memory));
        added.map_err(|error| assembly.error(files, error))?;
    }
    let blake3 = hash::of_file(files.path).map_err(|error| ReadError::Io {
        path: files.path.to_owned(),
        source: fault::machine_error(&error).unwrap_or_else(|| io::Error::other(error)),
    })?;
    files.parts.push(Part { path: files.path.to_owned(), blake3, state });
    assembly.finish(files)
}

/// Planes of one kind on their way into a volume.
struct Assembly<'a> {
    slices: usize,
    meaning: Meaning,
    memory: &'a MemoryShare<'a>,
    sink: &'a mut dyn Sink,
    /// Kind of the first slice, and so of all.
    kind: Option<Kind>,
    /// Slices that are there, and those that there is room for.
    taken: usize,
    room: usize,
}

impl<'a> Assembly<'a> {
    fn new(slices: usize, meaning: Meaning, memory: &'a MemoryShare<'a>, sink: &'a mut dyn Sink) -> Self {
        Self { slices, meaning, memory, sink, kind: None, taken: 0, room: 0 }
    }

    /// Decodes the next plane and adds it.
    fn add(
        &mut self,
        plane: impl FnOnce(&MemoryShare<'_>) -> Result<Plane, SliceError>,
    ) -> Result<(), SliceError> {
        // Decoders of other people meet damaged data here: a panic of theirs is this slice's error,
        // no more.
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
            // Memory grows with the slices, as a header cannot be trusted for all of them.
            let more = self.taken.max(1).min(self.slices - self.room);
            let voxels = more.checked_mul(kind.columns).and_then(|voxels| voxels.checked_mul(kind.rows));
            self.sink.reserve(voxels.ok_or("is too large")?)?;
            self.room += more;
        }
        self.sink.push(&plane.values(self.meaning)?);
        self.taken += 1;
        Ok(())
    }

    fn finish(self, files: &Files<'_>) -> Result<(Kind, usize), ReadError> {
        let kind = self.kind.ok_or_else(|| files.unsupported("it has no slices"))?;
        Ok((kind, self.slices))
    }

    /// The error of the slice that comes next.
    fn error(&self, files: &Files<'_>, error: SliceError) -> ReadError {
        slice_error(files, error, self.taken + 1, self.slices)
    }
}

/// The message after a panic of a decoder.
const GIVEN_UP: &str = "cannot be decoded (its decoder gave up)";

/// Refuses a picture whose EXIF data have viewers turn or mirror it.
fn check_upright(exif: Option<&[u8]>) -> Result<(), String> {
    match exif.and_then(Turn::from_exif_chunk) {
        None | Some(Turn::NoTransforms) => Ok(()),
        Some(_) => Err("is marked as turned or mirrored (its EXIF orientation): save it upright".to_owned()),
    }
}
