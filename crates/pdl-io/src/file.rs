//! The files of one volume: read once, from the start, hashed on the way, and inflated when they
//! are compressed.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use pdl_store::fault::{self, ReadFault, Watched};
use pdl_store::file_state::FileState;
use pdl_store::hash::{self, Hashing};
use pdl_store::memory::{MemoryError, MemoryShare};
use pdl_store::regular_file;

use crate::endings::split_frame;
use crate::gzip::{Followed, Members};
use crate::{Part, ReadError, Unread};

/// The file that a volume is named by, and those that it is read from.
pub(crate) struct Files<'a> {
    /// The name that was given.
    pub path: &'a Path,
    /// How its format is called.
    pub format: &'static str,
    /// The share from which memory is reserved.
    pub memory: &'a MemoryShare<'a>,
    /// Files read so far.
    pub parts: Vec<Part>,
    /// Files opened so far; `None` once a file of the volume is missing.
    opened: RefCell<Option<Vec<(PathBuf, FileState)>>>,
    fault: ReadFault,
}

impl<'a> Files<'a> {
    pub(crate) fn new(path: &'a Path, format: &'static str, memory: &'a MemoryShare<'a>) -> Self {
        let (opened, fault) = (RefCell::new(Some(Vec::new())), ReadFault::default());
        Self { path, format, memory, parts: Vec::new(), opened, fault }
    }

    /// Opens one of the files.
    pub(crate) fn open(&self, path: &Path) -> Result<Source, ReadError> {
        let (file, state) = self.open_file(path)?;
        // The buffer lies beneath: a file fills it as it is, any other reader clears it first.
        let buffered = BufReader::with_capacity(BUFFER, file);
        let bytes = Hashing::new(Watched::new(buffered, &self.fault));
        Ok(Source { path: path.to_owned(), bytes, state })
    }

    /// Like [`Self::open`], to be read in any order.
    pub(crate) fn open_plain(&self, path: &Path) -> Result<(Watched<File>, FileState), ReadError> {
        let (file, state) = self.open_file(path)?;
        Ok((Watched::new(file, &self.fault), state))
    }

    fn open_file(&self, path: &Path) -> Result<(File, FileState), ReadError> {
        let io = |source| ReadError::Io { path: path.to_owned(), source };
        let file = regular_file::open(path).map_err(io)?;
        let (state, meta) = FileState::before_reading(&file).map_err(io)?;
        if meta.is_dir() {
            return Err(io(io::ErrorKind::IsADirectory.into()));
        }
        if let Some(opened) = &mut *self.opened.borrow_mut() {
            opened.push((path.to_owned(), state));
        }
        Ok((file, state))
    }

    /// The result of reading the files; if a read of the system failed, that is the cause.
    pub(crate) fn outcome<T>(&self, read: Result<T, ReadError>) -> Result<T, Unread> {
        let refused = self.fault.take().map(|source| ReadError::Io { path: self.path.to_owned(), source });
        let error = match (refused, read) {
            (None, Ok(read)) => return Ok(read),
            (Some(error), _) | (None, Err(error)) => error,
        };
        let by_bytes = !matches!(error, ReadError::Io { .. });
        let files = self.opened.take().filter(|_| by_bytes).unwrap_or_default();
        Err(Unread { error, files })
    }

    /// Notes that a file was read, and its hash, for which the rest of it is read.
    pub(crate) fn close(&mut self, mut source: Source) -> Result<(), ReadError> {
        let rest = io::copy(&mut source.bytes, &mut io::sink());
        rest.map_err(|error| ReadError::Io { path: source.path.clone(), source: error })?;
        self.parts.push(Part { path: source.path, blake3: source.bytes.finish(), state: source.state });
        Ok(())
    }

    /// The content hash of all that was read: a single file's own, else the hash of the files'
    /// hashes.
    pub(crate) fn blake3(&self) -> String {
        match self.parts.as_slice() {
            [one] => one.blake3.clone(),
            parts => {
                let hashes: Vec<&str> = parts.iter().map(|part| part.blake3.as_str()).collect();
                hash::of_bytes(hashes.join("\n").as_bytes())
            }
        }
    }

    /// The file beside this one that has its stem and one of `endings`.
    pub(crate) fn companion(&self, endings: &[&str]) -> Result<PathBuf, ReadError> {
        self.companion_if_any(endings)?.ok_or_else(|| {
            self.opened.take();
            self.invalid(format!("the other file of the pair, .{}, is not beside it", endings[0]))
        })
    }

    /// As [`Self::companion`]; `None` if there is no such file.
    pub(crate) fn companion_if_any(&self, endings: &[&str]) -> Result<Option<PathBuf>, ReadError> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = name.strip_suffix(".gz").unwrap_or(&name);
        let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
        for path in endings.iter().map(|ending| self.path.with_file_name(format!("{stem}.{ending}"))) {
            match fault::is_file(&path) {
                Ok(true) => return Ok(Some(path)),
                Ok(false) => (),
                Err(source) => return Err(ReadError::Io { path, source }),
            }
        }
        Ok(None)
    }

    /// A file that a header names, beside the header (`name`, `./name` or, of Windows, `.\name`):
    /// no other path is allowed.
    pub(crate) fn beside(&self, name: &str) -> Result<PathBuf, ReadError> {
        let name = name.strip_prefix(".\\").unwrap_or(name);
        let here = |part: &Component<'_>| *part == Component::CurDir;
        let parts: Vec<Component<'_>> = Path::new(name).components().filter(|part| !here(part)).collect();
        match parts[..] {
            [Component::Normal(own)] if !name.contains('\\') => {
                let path = self.path.with_file_name(own);
                match fault::is_file(&path) {
                    Ok(true) => Ok(path),
                    Ok(false) => {
                        self.opened.take();
                        Err(self.invalid("the file of its voxels, which its header names, is not beside it"))
                    }
                    Err(source) => Err(ReadError::Io { path, source }),
                }
            }
            _ => Err(self.unsupported("its voxels are in another folder: put header and voxels into one")),
        }
    }

    pub(crate) fn damaged(&self, error: &io::Error) -> ReadError {
        if error.get_ref().is_some_and(|cause| cause.is::<Followed>()) {
            return self.invalid(error);
        }
        ReadError::Damaged { path: self.path.to_owned(), problem: error.to_string() }
    }

    pub(crate) fn invalid(&self, problem: impl std::fmt::Display) -> ReadError {
        ReadError::Invalid { format: self.format, path: self.path.to_owned(), problem: problem.to_string() }
    }

    pub(crate) fn no_memory(&self, source: MemoryError) -> ReadError {
        ReadError::Memory { path: self.path.to_owned(), source }
    }

    pub(crate) fn unsupported(&self, problem: impl std::fmt::Display) -> ReadError {
        ReadError::Unsupported { path: self.path.to_owned(), problem: problem.to_string() }
    }
}

/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;

/// A file that is being read.
pub(crate) struct Source {
    path: PathBuf,
    bytes: Hashing<Watched<BufReader<File>>>,
    state: FileState,
}

impl Source {
    /// Number of bytes not yet read.
    pub(crate) fn left(&self) -> u64 {
        self.state.size.saturating_sub(self.bytes.passed())
    }

    /// Whether a gzip stream begins here.
    pub(crate) fn is_gzip(&mut self) -> bool {
        self.bytes.fill_buf().is_ok_and(|bytes| bytes.starts_with(&[0x1f, 0x8b]))
    }

    /// The rest of the file, inflated if it is a gzip stream.
    pub(crate) fn plain(&mut self) -> Box<dyn Read + '_> {
        if self.is_gzip() { Box::new(Members::new(self)) } else { Box::new(self) }
    }
}

impl Read for Source {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(bytes)
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.bytes.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.bytes.consume(count);
    }
}

/// The file of a path, and its frame when the path names one. A file whose own name ends so is
/// itself.
pub(crate) fn file_and_frame(path: &Path) -> io::Result<(PathBuf, Option<usize>)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (file, frame) = split_frame(&name);
    if frame.is_none() || fault::exists(path)? {
        return Ok((path.to_owned(), None));
    }
    Ok((path.with_file_name(file), frame))
}
