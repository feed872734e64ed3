//! By what a change of a file is noticed without reading it.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::fault;

/// Clocks of file systems tick every 10 ms or oftener where they count parts of a second. A fuzzer
/// writes every input anew, and would do little but wait.
const FINE_TICK: Duration = if cfg!(fuzzing) { Duration::ZERO } else { Duration::from_millis(20) };
/// Resolution of the times of FAT.
const COARSE_TICK: Duration = Duration::from_secs(2);
/// How often a file that is being written is waited for.
const MOST_WAITS: usize = 3;

/// Size, times and place of a file. Copies that keep the time of the last change (`cp -p`, `rsync
/// -t`) still differ in the time of the last change of the inode, which cannot be set, or in the
/// inode itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Bytes.
    pub size: u64,
    /// Time of the last change of its content as it is stated, nanoseconds since 1970.
    pub mtime_ns: u64,
    /// Time of the last change of content or inode, nanoseconds since 1970; 0 where the system has
    /// none.
    pub ctime_ns: u64,
    /// Inode number; 0 where the system has none.
    pub inode: u64,
    /// Number of the file system; 0 where the system has none. It may change when the file system
    /// is mounted again.
    pub device: u64,
}

impl FileState {
    /// The state of the file at `path`, links followed.
    ///
    /// # Errors
    /// If it cannot be inspected.
    pub fn of(path: &Path) -> io::Result<Self> {
        fault::retried(|| path.metadata()).map(|meta| Self::from(&meta))
    }

    /// The state of a file that is about to be read. If it changed within the last tick of its file
    /// system's clock, this waits for the end of the tick, so that a later change has another time.
    ///
    /// # Errors
    /// If it cannot be inspected.
    pub fn before_reading(file: &File) -> io::Result<(Self, Metadata)> {
        let mut meta = file.metadata()?;
        for _ in 0..MOST_WAITS {
            let Some(wait) = Self::from(&meta).until_next_tick(SystemTime::now()) else { break };
            sleep(wait);
            meta = file.metadata()?;
        }
        Ok((Self::from(&meta), meta))
    }

    /// How long a change may still bear the time of the last one; `None` if it is over, or the
    /// clock of the file system is not that of this machine.
    fn until_next_tick(&self, now: SystemTime) -> Option<Duration> {
        let changed = self.mtime_ns.max(self.ctime_ns);
        let second = 1_000_000_000;
        let is_coarse = self.mtime_ns.is_multiple_of(second) && self.ctime_ns.is_multiple_of(second);
        let tick = if is_coarse { COARSE_TICK } else { FINE_TICK };
        let now = nanoseconds(now);
        let end = changed.saturating_add(tick.as_nanos() as u64);
        let is_near = now.abs_diff(changed) < tick.as_nanos() as u64;
        (is_near && end > now).then(|| Duration::from_nanos(end - now))
    }
}

impl From<&Metadata> for FileState {
    fn from(meta: &Metadata) -> Self {
        let mtime_ns = meta.modified().map_or(0, nanoseconds);
        let [ctime_ns, inode, device] = inode(meta);
        Self { size: meta.len(), mtime_ns, ctime_ns, inode, device }
    }
}

/// Whether a file has a second name, a hard link.
#[cfg(unix)]
pub(crate) fn has_other_names(meta: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(meta) > 1
}

#[cfg(not(unix))]
pub(crate) fn has_other_names(_meta: &Metadata) -> bool {
    false
}

fn nanoseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos() as u64)
}

/// Time of the last change of the inode in nanoseconds, number of the inode, number of the file
/// system.
#[cfg(unix)]
fn inode(meta: &Metadata) -> [u64; 3] {
    use std::os::unix::fs::MetadataExt;
    let seconds = u64::try_from(meta.ctime()).unwrap_or(0);
    let parts = u64::try_from(meta.ctime_nsec()).unwrap_or(0);
    [seconds.saturating_mul(1_000_000_000).saturating_add(parts), meta.ino(), meta.dev()]
}

#[cfg(not(unix))]
fn inode(_meta: &Metadata) -> [u64; 3] {
    [0; 3]
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_change_that_keeps_size_and_time_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, b"one").unwrap();
        let (before, meta) = FileState::before_reading(&File::open(&path).unwrap()).unwrap();
        assert_eq!(FileState::of(&path).unwrap(), before);
        fs::write(&path, b"two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(meta.modified().unwrap()).unwrap();
        let after = FileState::of(&path).unwrap();
        assert_eq!((after.size, after.mtime_ns), (before.size, before.mtime_ns));
        assert_ne!(after, before);
    }

    #[test]
    fn a_tick_is_waited_for_where_the_clocks_agree() {
        let at = |ns: u64| UNIX_EPOCH + Duration::from_nanos(ns);
        let state = |ns: u64| FileState { size: 0, mtime_ns: ns, ctime_ns: ns, inode: 1, device: 1 };
        let ms = 1_000_000;
        let (fine, coarse) = (state(10_000_000_001), state(10_000_000_000));
        assert_eq!(fine.until_next_tick(at(10_000_000_001 + 5 * ms)), Some(Duration::from_millis(15)));
        assert_eq!(fine.until_next_tick(at(10_000_000_001 + 20 * ms)), None);
        assert_eq!(coarse.until_next_tick(at(11_000_000_000)), Some(Duration::from_secs(1)));
        assert_eq!(fine.until_next_tick(at(0)), None);
    }
}
