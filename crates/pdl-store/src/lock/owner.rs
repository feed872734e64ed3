//! A lock by a file that names its owner, for file systems without locks.
//!
//! The file is created by one run only, and rewritten with another number as long as that run
//! lives. A file whose number stays the same for half a minute, or whose process is gone from this
//! machine, belongs to a run that was killed, and is taken over: the run whose record is still
//! there a moment after it was written owns the folder.

use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::safe_path::SafePath;
use crate::{Result, StoreError, atomic, hash};

/// Interval of an owner's heartbeat, the time that others wait for it, and the time that a record
/// must last after a takeover.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub beat: Duration,
    pub patience: Duration,
    pub settling: Duration,
}

pub(super) const TIMES: Times = Times {
    beat: Duration::from_secs(5),
    patience: Duration::from_secs(30),
    settling: Duration::from_millis(500),
};

/// The run that works in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    host: String,
    pid: u32,
    /// Tells the locks of one process apart.
    nonce: String,
    beats: u64,
}

impl Owner {
    fn of_this_process() -> Self {
        let host = sysinfo::System::host_name().unwrap_or_default();
        let pid = std::process::id();
        let unique = format!("{host} {pid} {:?} {:?}", thread::current().id(), std::time::SystemTime::now());
        Self { host, pid, nonce: hash::of_bytes(unique.as_bytes()), beats: 0 }
    }

    fn bytes(&self) -> Vec<u8> {
        // Plain values into memory: serialising them cannot fail, and an empty record is one, too.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether its process was one of this machine, and is gone.
    fn is_dead(&self, here: &Self) -> bool {
        use sysinfo::{Pid, ProcessesToUpdate, System};
        if self.host != here.host {
            return false;
        }
        let pid = Pid::from_u32(self.pid);
        let mut system = System::new();
        system.refresh_processes(ProcessesToUpdate::Some(&[pid]), true);
        system.process(pid).is_none()
    }
}

/// The lock of a folder; released when dropped.
#[derive(Debug)]
pub(super) struct OwnedLock {
    path: SafePath,
    nonce: String,
    stop: Option<Sender<()>>,
    beating: Option<JoinHandle<()>>,
}

impl OwnedLock {
    /// Takes the lock; `None` if another run has it and lives.
    pub(super) fn take(path: &SafePath, times: Times) -> Result<Option<Self>> {
        let own = Owner::of_this_process();
        loop {
            let (folder, name) = path.made_parent()?;
            match folder.create(name).and_then(|mut file| file.write_all(&own.bytes())) {
                Ok(()) => return Ok(Some(Self::held(path, own, times.beat))),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
                Err(error) => return Err(StoreError::io("take the lock", &path.full())(error)),
            }
            match wait(path, &own, times.patience)? {
                Watched::Gone => (),
                Watched::Lives => return Ok(None),
                Watched::Dead => return Self::take_over(path, own, times),
            }
        }
    }

    fn take_over(path: &SafePath, own: Owner, times: Times) -> Result<Option<Self>> {
        atomic::write(path, &own.bytes())?;
        thread::sleep(times.settling);
        let stands = read(path)?.is_some_and(|owner| owner.nonce == own.nonce);
        Ok(stands.then(|| Self::held(path, own, times.beat)))
    }

    fn held(path: &SafePath, own: Owner, beat: Duration) -> Self {
        let (stop, stopped) = mpsc::channel();
        let (nonce, place, mut own) = (own.nonce.clone(), path.clone(), own);
        let beats = move || {
            while stopped.recv_timeout(beat) == Err(RecvTimeoutError::Timeout) {
                own.beats += 1;
                // One that is missed is made up for by the next.
                let _ = atomic::write(&place, &own.bytes());
            }
        };
        let beating = thread::Builder::new().name("lock".to_owned()).spawn(beats).ok();
        Self { path: path.clone(), nonce, stop: Some(stop), beating }
    }
}

impl Drop for OwnedLock {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(beating) = self.beating.take() {
            let _ = beating.join();
        }
        if read(&self.path).is_ok_and(|owner| owner.is_some_and(|owner| owner.nonce == self.nonce)) {
            let _ = atomic::remove(&self.path);
        }
    }
}

/// The state of a lock file of another run.
enum Watched {
    Gone,
    Lives,
    Dead,
}

fn wait(path: &SafePath, own: &Owner, patience: Duration) -> Result<Watched> {
    let begun = Instant::now();
    let first = path.read()?;
    if read(path)?.is_some_and(|owner| owner.is_dead(own)) {
        return Ok(Watched::Dead);
    }
    loop {
        let now = path.read()?;
        match now {
            None => return Ok(Watched::Gone),
            Some(_) if now != first => return Ok(Watched::Lives),
            Some(_) if begun.elapsed() >= patience => return Ok(Watched::Dead),
            Some(_) => thread::sleep(patience / 60),
        }
    }
}

/// The owner that a file names; `None` if it is missing or half written.
fn read(path: &SafePath) -> Result<Option<Owner>> {
    Ok(path.read()?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Times = Times {
        beat: Duration::from_millis(20),
        patience: Duration::from_millis(300),
        settling: Duration::from_millis(30),
    };

    fn path(folder: &tempfile::TempDir) -> SafePath {
        SafePath::new(folder.path(), ".pdl/owner.json").unwrap()
    }

    #[test]
    fn one_of_many_gets_the_lock_and_gives_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder);
        let taken: Vec<_> = thread::scope(|scope| {
            let takers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| OwnedLock::take(&path, SHORT).unwrap())).collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).collect()
        });
        assert_eq!(taken.iter().flatten().count(), 1);
        drop(taken);
        assert!(path.read().unwrap().is_none());
        assert!(OwnedLock::take(&path, SHORT).unwrap().is_some());
    }

    #[test]
    fn the_lock_of_a_run_that_was_killed_is_taken_over_by_one() {
        for (host, pid) in
            [(sysinfo::System::host_name().unwrap_or_default(), 4_000_000), ("another".to_owned(), 1)]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = path(&folder);
            let dead = Owner { host, pid, nonce: "x".to_owned(), beats: 3 };
            for content in [dead.bytes(), b"{\"host".to_vec()] {
                atomic::write(&path, &content).unwrap();
                let taken: Vec<_> = thread::scope(|scope| {
                    let takers: Vec<_> =
                        (0..4).map(|_| scope.spawn(|| OwnedLock::take(&path, SHORT).unwrap())).collect();
                    takers.into_iter().map(|taker| taker.join().unwrap()).collect()
                });
                assert!(taken.iter().flatten().count() <= 1);
                drop(taken);
                assert!(OwnedLock::take(&path, SHORT).unwrap().is_some());
            }
        }
    }
}
