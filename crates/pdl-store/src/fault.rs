//! Distinguishes errors of the machine from those of a file.
//!
//! A failing disk, an unreachable network file system, too many open files or too little memory are
//! no defects of the file that was read. Such an operation is retried for a moment ([`retried`])
//! and then ends the run: a case that it hits is not rejected, and nothing is recorded or removed
//! because of it. Libraries wrap errors or turn them into text; [`machine_error`] unwraps the
//! former, [`Watched`] records the errors that the latter lose.

use std::error::Error;
use std::fs::{self, Metadata};
use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

/// Waiting times before each retry, ms: 1.55 s in total.
const WAITS_MS: [u64; 4] = [50, 150, 450, 900];

/// Whether the operating system's error is the machine's: every one but those of a path or a file,
/// such as a missing file, a forbidden one, or an offset that no file has. Errors of decoders are
/// never the machine's.
pub fn is_machine_error(error: &io::Error) -> bool {
    use ErrorKind::{
        AlreadyExists, BrokenPipe, DirectoryNotEmpty, ExecutableFileBusy, FileTooLarge, InvalidFilename,
        InvalidInput, IsADirectory, NotADirectory, NotFound, NotSeekable, PermissionDenied, Unsupported,
    };
    let of_file = matches!(
        error.kind(),
        AlreadyExists
            | BrokenPipe
            | DirectoryNotEmpty
            | ExecutableFileBusy
            | FileTooLarge
            | InvalidFilename
            | InvalidInput
            | IsADirectory
            | NotADirectory
            | NotFound
            | NotSeekable
            | PermissionDenied
            | Unsupported
    );
    error.raw_os_error().is_some() && !of_file && !is_odd_file(error)
}

/// A circle of links, a socket, a device that is not there, or an offset beyond all files: without
/// an [`ErrorKind`].
#[cfg(unix)]
fn is_odd_file(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| [Errno::LOOP, Errno::NXIO, Errno::NODEV, Errno::OVERFLOW].contains(&errno))
}

#[cfg(not(unix))]
fn is_odd_file(_error: &io::Error) -> bool {
    false
}

/// The error of the machine that is an error's cause, whatever libraries wrapped around it.
pub fn machine_error(error: &(dyn Error + 'static)) -> Option<io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        let Some(io) = error.downcast_ref::<io::Error>() else { continue };
        if is_machine_error(io) {
            return io.raw_os_error().map(io::Error::from_raw_os_error);
        }
        // `io::Error::source` skips the wrapped error and returns the source of that.
        if let Some(wrapped) = io.get_ref() {
            next = Some(wrapped);
        }
    }
    None
}

/// Does `work` again, for 1.55 s at most, as long as the machine's errors may pass: not when a disk
/// is full.
///
/// # Errors
/// The error of the last try.
pub fn retried<T, E: Error + 'static>(mut work: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    for wait in WAITS_MS {
        match work() {
            Err(error) if machine_error(&error).is_some_and(|error| may_pass(&error)) => {
                sleep(Duration::from_millis(wait));
            }
            done => return done,
        }
    }
    work()
}

fn may_pass(error: &io::Error) -> bool {
    use ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    !matches!(error.kind(), QuotaExceeded | ReadOnlyFilesystem | StorageFull)
}

/// What to do about an error of the machine, as the end of a sentence.
pub fn advice(error: &io::Error) -> &'static str {
    use ErrorKind::{OutOfMemory, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded => "make room on the disk",
        ReadOnlyFilesystem => "make the file system writable",
        OutOfMemory => "free memory",
        _ if is_too_many_files(error) => "raise the limit of open files (ulimit -n)",
        _ => "look after the disk or the network file system",
    }
}

#[cfg(unix)]
fn is_too_many_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error).is_some_and(|errno| [Errno::MFILE, Errno::NFILE].contains(&errno))
}

#[cfg(not(unix))]
fn is_too_many_files(_error: &io::Error) -> bool {
    false
}

/// Metadata of `path`, links followed; `None` if it does not exist.
///
/// # Errors
/// Every error except that of a missing file: one that cannot be inspected does not count as
/// missing.
pub fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match retried(|| fs::metadata(path)) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether `path` is a folder.
///
/// # Errors
/// Errors of the machine; any other path that cannot be inspected is not a folder.
pub fn is_dir(path: &Path) -> io::Result<bool> {
    is(path, Metadata::is_dir)
}

/// Whether `path` is a file.
///
/// # Errors
/// As [`is_dir`].
pub fn is_file(path: &Path) -> io::Result<bool> {
    is(path, Metadata::is_file)
}

/// Whether `path` exists.
///
/// # Errors
/// As [`is_dir`].
pub fn exists(path: &Path) -> io::Result<bool> {
    is(path, |_| true)
}

fn is(path: &Path, kind: impl Fn(&Metadata) -> bool) -> io::Result<bool> {
    match metadata(path) {
        Ok(metadata) => Ok(metadata.is_some_and(|metadata| kind(&metadata))),
        Err(error) if is_machine_error(&error) => Err(error),
        Err(_) => Ok(false),
    }
}

/// `path` without links; `None` if it, or a folder on the way, is missing or forbidden.
///
/// # Errors
/// Errors of the machine.
pub fn canonical(path: &Path) -> io::Result<Option<PathBuf>> {
    match retried(|| path.canonicalize()) {
        Ok(path) => Ok(Some(path)),
        Err(error) if is_machine_error(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// The entries of `folder`, in no order.
///
/// # Errors
/// When it cannot be listed to its end.
pub fn list(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    retried(|| fs::read_dir(folder)?.collect())
}

/// A reader that remembers the error with which the system refused a read, whatever the decoders
/// above it make of that.
#[derive(Debug)]
pub struct Watched<R> {
    inner: R,
    fault: ReadFault,
}

/// Records the system's error of a [`Watched`] reader. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ReadFault(Arc<Mutex<Option<io::Error>>>);

impl ReadFault {
    /// The error, if there was one since the last call.
    pub fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Like [`ReadFault::note`], of a read, which is tried again where it was interrupted.
    fn note_read(&self, error: &io::Error) {
        if error.kind() != ErrorKind::Interrupted {
            self.note(error);
        }
    }

    /// Leaves an error, where it is the system's.
    pub(crate) fn note(&self, error: &io::Error) {
        if let Some(code) = error.raw_os_error() {
            let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *noted = Some(io::Error::from_raw_os_error(code));
        }
    }
}

impl<R> Watched<R> {
    /// Reads from `inner`, and notes refusals in `fault`.
    pub fn new(inner: R, fault: &ReadFault) -> Self {
        Self { inner, fault: fault.clone() }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner.read(bytes).inspect_err(|error| self.fault.note_read(error))
    }
}

impl<R: BufRead> BufRead for Watched<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let Self { inner, fault } = self;
        inner.fill_buf().inspect_err(|error| fault.note_read(error))
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
    }
}

impl<R: Seek> Seek for Watched<R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position).inspect_err(|error| {
            // A forged offset is the file's error.
            if is_machine_error(error) {
                self.fault.note(error);
            }
        })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[derive(Debug, thiserror::Error)]
    #[error("a decoder's error")]
    struct Wrapped(#[source] io::Error);

    #[test]
    fn what_is_wrong_with_a_path_or_a_file_is_not_the_machines() {
        for errno in [
            Errno::IO,
            Errno::STALE,
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::AGAIN,
            Errno::NOMEM,
            Errno::TIMEDOUT,
            Errno::INTR,
            Errno::HOSTDOWN,
            Errno::NOTCONN,
            Errno::ROFS,
        ] {
            assert!(is_machine_error(&errno.into()), "{errno}");
        }
        for errno in [
            Errno::NOENT,
            Errno::NOTDIR,
            Errno::ISDIR,
            Errno::ACCESS,
            Errno::PERM,
            Errno::INVAL,
            Errno::LOOP,
            Errno::NAMETOOLONG,
            Errno::NXIO,
            Errno::SPIPE,
            Errno::PIPE,
        ] {
            assert!(!is_machine_error(&errno.into()), "{errno}");
        }
        assert!(!is_machine_error(&ErrorKind::UnexpectedEof.into()));
        assert!(!is_machine_error(&io::Error::other("corrupt deflate stream")));
    }

    #[test]
    fn the_machines_error_is_found_beneath_those_of_libraries() {
        let code =
            |error: &(dyn Error + 'static)| machine_error(error).and_then(|error| error.raw_os_error());
        let eio = || io::Error::from(Errno::IO);
        let expected = Some(Errno::IO.raw_os_error());
        assert_eq!(code(&eio()), expected);
        assert_eq!(code(&Wrapped(eio())), expected);
        assert_eq!(code(&Wrapped(io::Error::other(Wrapped(eio())))), expected);
        assert_eq!(code(&io::Error::other(eio())), expected);
        assert_eq!(code(&Wrapped(Errno::NOENT.into())), None);
        assert_eq!(code(&Wrapped(io::Error::other("text"))), None);
    }

    #[test]
    fn a_short_failure_is_tried_again_and_a_full_disk_is_not() {
        let mut tries = 0;
        let done = retried(|| {
            tries += 1;
            if tries < 3 { Err(io::Error::from(Errno::MFILE)) } else { Ok(tries) }
        });
        assert_eq!(done.unwrap(), 3);
        let mut tries = 0;
        let full = retried(|| {
            tries += 1;
            Err::<(), _>(io::Error::from(Errno::NOSPC))
        });
        assert!(full.is_err() && tries == 1);
    }

    #[test]
    fn a_refused_read_is_remembered() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(Errno::IO.into())
            }
        }
        let fault = ReadFault::default();
        let lost = Watched::new(Failing, &fault).read(&mut [0]).is_err();
        assert!(lost && fault.take().is_some_and(|error| is_machine_error(&error)));
        assert!(fault.take().is_none());
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_missing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(is_file(&file).unwrap() && is_dir(folder.path()).unwrap());
        assert!(!exists(&folder.path().join("none")).unwrap() && !exists(&file.join("below")).unwrap());
        assert_eq!(list(folder.path()).unwrap().len(), 1);
        assert!(list(&file).is_err());
    }
}
