//! The finished work of a stage, so that a killed run resumes.
//!
//! A journal is a JSON Lines file under `.pdl/` of the curation folder, appended to as units of
//! work (a case, a chunk) finish. It is only a cache: without it the same files are written again.
//! A unit is done when its last line has the same key (a hash of parameters and inputs) and every
//! file of that line is unchanged.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::file_state::{self, FileState};
use crate::safe_path::SafePath;
use crate::{Result, StoreError, atomic, fault, hash};

/// The folder inside a curation folder that holds journals and the lock.
pub const FOLDER: &str = ".pdl";

/// A file as it was when its content was hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Path relative to the curation folder.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Time of the last change, nanoseconds since 1970.
    pub mtime_ns: u64,
    /// Time of the last change of content or inode, nanoseconds since 1970; 0 where the system has
    /// none.
    #[serde(default)]
    pub ctime_ns: u64,
    /// Inode number; 0 where the system has none.
    pub inode: u64,
    /// BLAKE3 of the content, hex.
    pub blake3: String,
}

impl Stamp {
    /// Stamps the file that `path` means inside `root`, whose content hash is known.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be inspected.
    pub fn new(root: &Path, path: &str, blake3: String) -> Result<Self> {
        let full = root.join(path);
        let state = FileState::of(&full).map_err(StoreError::io("look at the file", &full))?;
        Ok(Self::of(path, state, blake3))
    }

    /// Stamps a file that was in state `before` when it was opened to be read to its end and
    /// hashed; `None` if it is another one or in another state by now: then it is unknown which
    /// bytes were read.
    ///
    /// # Errors
    /// [`StoreError::Io`] if an error of the machine prevents it from being inspected.
    pub fn of_read(root: &Path, path: &str, before: FileState, blake3: String) -> Result<Option<Self>> {
        let full = root.join(path);
        match FileState::of(&full) {
            Ok(after) => Ok((after == before).then(|| Self::of(path, before, blake3))),
            Err(error) if fault::is_machine_error(&error) => {
                Err(StoreError::io("look at the file", &full)(error))
            }
            Err(_) => Ok(None),
        }
    }

    /// Stamps a file, hashing its content.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be read.
    pub fn hash(root: &Path, path: &str) -> Result<Self> {
        Self::new(root, path, hash::of_file(&root.join(path))?)
    }

    fn of(path: &str, state: FileState, blake3: String) -> Self {
        let FileState { size, mtime_ns, ctime_ns, inode, device: _ } = state;
        Self { path: path.to_owned(), size, mtime_ns, ctime_ns, inode, blake3 }
    }

    /// Whether the file is still the one that was hashed.
    pub fn holds(&self, root: &Path, hash_check: HashCheck) -> bool {
        let path = root.join(&self.path);
        let Ok(state) = FileState::of(&path) else { return false };
        let now = Self::of(&self.path, state, self.blake3.clone());
        if hash_check == HashCheck::Stamps {
            if now == *self {
                return true;
            }
            // A change of rights or a further hard link sets the inode's time, too: then the
            // content decides.
            if now != (Self { ctime_ns: now.ctime_ns, ..self.clone() }) {
                return false;
            }
        }
        now.size == self.size && hash::of_file(&path).is_ok_and(|hash| hash == self.blake3)
    }
}

/// The evidence that suffices for a file to count as unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashCheck {
    /// The same size, times of change and inode.
    Stamps,
    /// The same content, hashed again.
    Content,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry<V> {
    unit: String,
    key: String,
    files: Vec<Stamp>,
    value: V,
}

/// The journal of one stage, with a value of type `V` for every unit.
#[derive(Debug)]
pub struct Journal<V> {
    root: PathBuf,
    path: SafePath,
    hash_check: HashCheck,
    known: HashMap<String, Entry<V>>,
    file: Mutex<File>,
    /// Whether a later line of its unit has replaced one.
    has_replaced: AtomicBool,
}

impl<V: Serialize + DeserializeOwned + Clone> Journal<V> {
    /// Opens the journal of `stage` in the curation folder `root`. A torn last line is dropped.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be read or made.
    pub fn open(root: &Path, stage: &str, hash_check: HashCheck) -> Result<Self> {
        let path = SafePath::new(root, format!("{FOLDER}/{stage}.jsonl"))?;
        let text = path.read()?.unwrap_or_default();
        let (known, lines) = parse::<V>(&text);
        let torn = !text.is_empty() && !text.ends_with(b"\n");
        if torn || lines > 2 * known.len() {
            rewrite(&path, &known)?;
        }
        let file = Mutex::new(open(&path)?);
        let has_replaced = AtomicBool::new(lines > known.len());
        Ok(Self { root: root.to_owned(), path, hash_check, known, file, has_replaced })
    }

    /// Removes the lines that later ones have replaced, which may say what is not to be said any
    /// more.
    ///
    /// # Errors
    /// [`StoreError::Io`] when it cannot be read or written.
    pub fn compact(self) -> Result<()> {
        if !self.has_replaced.into_inner() {
            return Ok(());
        }
        let text = self.path.read()?.unwrap_or_default();
        rewrite(&self.path, &parse::<V>(&text).0)
    }

    /// The value recorded for `unit`, if its key is `key` and its files are unchanged.
    pub fn find(&self, unit: &str, key: &str) -> Option<&V> {
        let entry = self.known.get(unit)?;
        let holds =
            entry.key == key && entry.files.iter().all(|stamp| stamp.holds(&self.root, self.hash_check));
        holds.then_some(&entry.value)
    }

    /// Records a finished unit: its key, its input and output files, and its value.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the journal cannot be written.
    pub fn record(&self, unit: &str, key: &str, files: Vec<Stamp>, value: &V) -> Result<()> {
        let entry = Entry { unit: unit.to_owned(), key: key.to_owned(), files, value: value.clone() };
        let path = self.root.join(FOLDER);
        let mut line =
            serde_json::to_vec(&entry).map_err(|source| StoreError::Json { path: path.clone(), source })?;
        line.push(b'\n');
        self.has_replaced.fetch_or(self.known.contains_key(unit), Ordering::Relaxed);
        // A thread that died while it held the lock wrote a whole line or none: the file is sound.
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(&line).map_err(StoreError::io("write the journal", &path))
    }
}

/// The last line of every unit, and the number of all lines.
fn parse<V: DeserializeOwned>(text: &[u8]) -> (HashMap<String, Entry<V>>, usize) {
    let mut known = HashMap::new();
    let mut lines = 0;
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        lines += 1;
        if let Ok(entry) = serde_json::from_slice::<Entry<V>>(line) {
            known.insert(entry.unit.clone(), entry);
        }
    }
    (known, lines)
}

/// Appends whole lines, which others wrote into journals of their own, to the journal of `stage` in
/// the curation folder `root`.
///
/// # Errors
/// [`StoreError::Io`] if it cannot be written.
pub fn append(root: &Path, stage: &str, lines: &[u8]) -> Result<()> {
    let path = SafePath::new(root, format!("{FOLDER}/{stage}.jsonl"))?;
    open(&path)?.write_all(lines).map_err(StoreError::io("write the journal", &path.full()))
}

/// Opens a journal to append to it. Where its file has another name, as in a backup of hard links,
/// it gets a file of its own first: what is appended is not to stand there, too.
fn open(path: &SafePath) -> Result<File> {
    let file = path.append()?;
    let meta = file.metadata().map_err(StoreError::io("look at the file", &path.full()))?;
    if !file_state::has_other_names(&meta) {
        return Ok(file);
    }
    atomic::write(path, &path.read()?.unwrap_or_default())?;
    path.append()
}

fn rewrite<V: Serialize>(path: &SafePath, known: &HashMap<String, Entry<V>>) -> Result<()> {
    let mut entries: Vec<&Entry<V>> = known.values().collect();
    entries.sort_by(|a, b| a.unit.cmp(&b.unit));
    let mut bytes = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut bytes, entry)
            .map_err(|source| StoreError::Json { path: path.full(), source })?;
        bytes.push(b'\n');
    }
    atomic::write(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_unit_holds_until_its_key_or_a_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("a"), b"one").unwrap();
        let stamp = Stamp::hash(root, "a").unwrap();
        let journal = Journal::<u32>::open(root, "test", HashCheck::Stamps).unwrap();
        journal.record("unit", "key", vec![stamp], &7).unwrap();

        let find = |key: &str, hash_check| {
            Journal::<u32>::open(root, "test", hash_check).unwrap().find("unit", key).copied()
        };
        assert_eq!(find("key", HashCheck::Stamps), Some(7));
        assert_eq!(find("key", HashCheck::Content), Some(7));
        assert_eq!(find("other", HashCheck::Stamps), None);
        fs::write(root.join("a"), b"two").unwrap();
        assert_eq!(find("key", HashCheck::Content), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_stamp_notices_what_keeps_size_and_time_and_bears_a_hard_link() {
        let folder = tempfile::tempdir().unwrap();
        let (root, path) = (folder.path(), folder.path().join("a"));
        fs::write(&path, b"one").unwrap();
        let (before, meta) = FileState::before_reading(&File::open(&path).unwrap()).unwrap();
        let stamp = Stamp::of_read(root, "a", before, hash::of_bytes(b"one")).unwrap().unwrap();
        fs::hard_link(&path, root.join("b")).unwrap();
        assert!(stamp.holds(root, HashCheck::Stamps) && stamp.holds(root, HashCheck::Content));

        fs::write(&path, b"two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(meta.modified().unwrap()).unwrap();
        assert!(!stamp.holds(root, HashCheck::Stamps) && !stamp.holds(root, HashCheck::Content));
        assert_eq!(Stamp::of_read(root, "a", before, hash::of_bytes(b"one")).unwrap(), None);
        assert_eq!(Stamp::of_read(root, "gone", before, String::new()).unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_appended_stands_under_no_other_name_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (root, backup) = (folder.path(), folder.path().join("backup"));
        Journal::<u32>::open(root, "test", HashCheck::Stamps).unwrap().record("a", "k", vec![], &1).unwrap();
        fs::hard_link(root.join(FOLDER).join("test.jsonl"), &backup).unwrap();
        let before = fs::read(&backup).unwrap();
        Journal::<u32>::open(root, "test", HashCheck::Stamps).unwrap().record("b", "k", vec![], &2).unwrap();
        append(root, "test", b"\n").unwrap();
        assert_eq!(fs::read(&backup).unwrap(), before);
        let journal = Journal::<u32>::open(root, "test", HashCheck::Stamps).unwrap();
        assert_eq!((journal.find("a", "k"), journal.find("b", "k")), (Some(&1), Some(&2)));
    }

    #[test]
    fn what_later_lines_replaced_is_gone_after_compacting() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let open = || Journal::<String>::open(root, "test", HashCheck::Stamps).unwrap();
        let text = || fs::read_to_string(root.join(FOLDER).join("test.jsonl")).unwrap();
        let journal = open();
        journal.record("a", "k", vec![], &"old".to_owned()).unwrap();
        journal.record("b", "k", vec![], &"other".to_owned()).unwrap();
        journal.compact().unwrap();
        assert!(text().contains("old"));
        let journal = open();
        journal.record("a", "k", vec![], &"new".to_owned()).unwrap();
        assert!(text().contains("old"));
        journal.compact().unwrap();
        assert!(!text().contains("old") && text().lines().count() == 2);
        assert_eq!(open().find("a", "k"), Some(&"new".to_owned()));
    }

    #[test]
    fn a_torn_line_costs_that_unit_only() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let journal = Journal::<u32>::open(root, "test", HashCheck::Stamps).unwrap();
        journal.record("a", "k", vec![], &1).unwrap();
        journal.record("b", "k", vec![], &2).unwrap();
        let path = root.join(FOLDER).join("test.jsonl");
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 5]).unwrap();

        let journal = Journal::<u32>::open(root, "test", HashCheck::Stamps).unwrap();
        assert_eq!(journal.find("a", "k"), Some(&1));
        assert_eq!(journal.find("b", "k"), None);
        journal.record("b", "k", vec![], &3).unwrap();
        let journal = Journal::<u32>::open(root, "test", HashCheck::Stamps).unwrap();
        assert_eq!(journal.find("b", "k"), Some(&3));
    }
}
