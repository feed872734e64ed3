//! BLAKE3 hashes, always as lower-case hex.

use std::io::{self, BufRead, Read};
use std::path::Path;

use serde::Serialize;

use crate::{Result, StoreError, fault, regular_file};

/// The hash of a file's bytes.
///
/// # Errors
/// [`StoreError::Io`] if it cannot be read.
pub fn of_file(path: &Path) -> Result<String> {
    let hashed = fault::retried(|| {
        let mut hasher = blake3::Hasher::new();
        // Read, not mapped: if the disk fails, a page fault of the map would end the process.
        hasher.update_reader(regular_file::open(path)?)?;
        Ok::<_, io::Error>(hasher.finalize().to_hex().to_string())
    });
    hashed.map_err(StoreError::io("read the file", path))
}

/// The hash of bytes.
pub fn of_bytes(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// The hash of a volume's values, first axis fastest, and of its shape along x, y, z.
pub fn of_voxels(shape: [usize; 3], voxels: &[f32]) -> String {
    let mut hasher = blake3::Hasher::new();
    shape.iter().for_each(|side| {
        hasher.update(&(*side as u64).to_le_bytes());
    });
    let mut bytes = Vec::new();
    for part in voxels.chunks(1 << 14) {
        bytes.clear();
        bytes.extend(part.iter().flat_map(|voxel| voxel.to_le_bytes()));
        hasher.update(&bytes);
    }
    hasher.finalize().to_hex().to_string()
}

/// The hash of bytes under a secret key: without the key the bytes cannot be guessed from it, even
/// if only few are possible.
pub fn of_bytes_keyed(key: &[u8; 32], bytes: &[u8]) -> String {
    blake3::keyed_hash(key, bytes).to_hex().to_string()
}

/// Hashes what is read through it.
#[derive(Debug)]
pub struct Hashing<R> {
    inner: R,
    hasher: blake3::Hasher,
    passed: u64,
}

impl<R> Hashing<R> {
    /// Reads from `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: blake3::Hasher::new(), passed: 0 }
    }

    /// Bytes that were read.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// The hash of the bytes that were read.
    pub fn finish(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.passed += count as u64;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Hashing<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        // `fill_buf` returns the bytes that it has buffered already; nothing is read, so no error
        // is possible.
        if let Ok(bytes) = self.inner.fill_buf() {
            self.hasher.update(&bytes[..count]);
        }
        self.passed += count as u64;
        self.inner.consume(count);
    }
}

/// A key built from named parts: equal only when every part is equal, in order.
///
/// ```
/// use pdl_store::hash::Key;
/// let key = |size: u32| Key::new("proxies 1").part("size", &size).finish();
/// assert_eq!(key(64), key(64));
/// assert_ne!(key(64), key(32));
/// ```
#[derive(Clone, Debug)]
pub struct Key(blake3::Hasher);

impl Key {
    /// Begins a key; `purpose` names the purpose and the version of the code.
    pub fn new(purpose: &str) -> Self {
        let mut key = Self(blake3::Hasher::new());
        key.add(purpose.as_bytes());
        key
    }

    /// Adds a named part, by its JSON form.
    #[must_use]
    pub fn part(mut self, name: &str, value: &impl Serialize) -> Self {
        self.add(name.as_bytes());
        // Serialising plain parameters into memory cannot fail; were it to, the error text still
        // makes a key that no earlier result has.
        self.add(&serde_json::to_vec(value).unwrap_or_else(|error| error.to_string().into_bytes()));
        self
    }

    /// The key as hex.
    pub fn finish(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }

    fn add(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}
