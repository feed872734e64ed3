//! Proxies in the object store, and the part of them that an executor has on its disk.
//!
//! The client divides every file of proxies into blocks: the voxels of consecutive cases, their
//! label maps if any, and one block with the rest (ids, keys, footer). [`ProxyIndex`] lists them.
//! An executor makes files of the same length, with holes in place of the voxels. It fills the
//! holes that a tile needs and empties others when they exceed the limit of the cache.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use futures::{StreamExt, TryStreamExt};
use pdl_prepare::PrepareError;
use pdl_prepare::proxies::{self, Proxies};
use pdl_store::StoreError;
use serde::{Deserialize, Serialize};

use crate::storage::{CONCURRENCY, Storage, StorageError};

/// Limit of the voxels in a block, unless one case has more.
const BLOCK_BYTES: usize = 4 << 20;

/// Why proxies could not be uploaded or downloaded.
#[derive(Debug, thiserror::Error)]
pub enum ProxyCacheError {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The proxies on this machine are invalid.
    #[error(transparent)]
    Proxies(#[from] PrepareError),
    /// A file on this machine could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The block is no [`ProxyIndex`].
    #[error("the index of the proxies in the storage is invalid: {0}")]
    Index(#[from] serde_json::Error),
}

/// The blocks of all files of proxies of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProxyIndex {
    files: Vec<FileIndex>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct FileIndex {
    bytes: u64,
    /// Hash of the block of everything but voxels, in the order of the file.
    rest: String,
    voxels: Vec<VoxelBlock>,
}

/// The voxels or the label maps of consecutive cases; `rows` counts cases over all files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct VoxelBlock {
    rows: Range<usize>,
    bytes: Range<u64>,
    hash: String,
}

/// Uploads the blocks of the proxies of `out` that are not stored yet; returns the hash of their
/// [`ProxyIndex`].
///
/// # Errors
/// [`ProxyCacheError`].
pub async fn upload(out: &Path, storage: &Storage) -> Result<String, ProxyCacheError> {
    let there = storage.blocks().await?;
    let keep = |bytes: Vec<u8>| async {
        let hash = pdl_store::hash::of_bytes(&bytes);
        if there.contains(&hash) { Ok(hash) } else { storage.put_block(bytes).await }
    };
    let spans = spans(&Proxies::open(out)?);
    let mut files = Vec::new();
    for (number, spans) in spans.into_iter().enumerate() {
        let path = out.join(proxies::FOLDER).join(proxies::file_name(number));
        let read = |e| StoreError::io("read the proxies", &path)(e);
        let file = File::open(&path).map_err(read)?;
        let bytes = file.metadata().map_err(read)?.len();
        let holes = spans.iter().map(|(_, bytes)| bytes.clone());
        let rest: Vec<u8> = gaps(holes, bytes)
            .map(|gap| read_range(&file, &gap).map_err(read))
            .collect::<Result<Vec<_>, _>>()?
            .concat();
        let rest = keep(rest).await?;
        let voxels = spans.into_iter().map(|(rows, bytes)| {
            let voxels = read_range(&file, &bytes).map_err(read);
            async { Ok::<_, ProxyCacheError>(VoxelBlock { rows, bytes, hash: keep(voxels?).await? }) }
        });
        let voxels = futures::stream::iter(voxels).buffered(CONCURRENCY).try_collect().await?;
        files.push(FileIndex { bytes, rest, voxels });
    }
    Ok(keep(serde_json::to_vec(&ProxyIndex { files })?).await?)
}

fn read_range(file: &File, bytes: &Range<u64>) -> std::io::Result<Vec<u8>> {
    let mut buffer = vec![0; (bytes.end - bytes.start) as usize];
    file.read_exact_at(&mut buffer, bytes.start)?;
    Ok(buffer)
}

/// For each file its voxels and label maps, in the order of the file: rows and byte ranges of at
/// most one block.
fn spans(proxies: &Proxies) -> Vec<Vec<(Range<usize>, Range<u64>)>> {
    let mut files: Vec<Vec<(Range<usize>, Range<u64>)>> = Vec::new();
    for row in 0..proxies.len() {
        for (file, bytes) in proxies.places(row) {
            files.resize_with(files.len().max(file + 1), Vec::new);
            files[file].push((row..row + 1, bytes.start as u64..bytes.end as u64));
        }
    }
    files.into_iter().map(joined).collect()
}

/// Joins neighbouring spans up to the size of a block.
fn joined(mut spans: Vec<(Range<usize>, Range<u64>)>) -> Vec<(Range<usize>, Range<u64>)> {
    // A file alternates between the voxels and the label maps of some cases each.
    spans.sort_by_key(|(_, bytes)| bytes.start);
    let mut joined: Vec<(Range<usize>, Range<u64>)> = Vec::new();
    for (rows, bytes) in spans {
        match joined.last_mut() {
            Some((before, until))
                if before.end == rows.start
                    && until.end == bytes.start
                    && bytes.end - until.start <= BLOCK_BYTES as u64 =>
            {
                before.end = rows.end;
                until.end = bytes.end;
            }
            _ => joined.push((rows, bytes)),
        }
    }
    joined
}

/// The ranges before, between and after `holes`, which are sorted, up to `end`.
fn gaps(holes: impl Iterator<Item = Range<u64>>, end: u64) -> impl Iterator<Item = Range<u64>> {
    let mut from = 0;
    holes.chain(std::iter::once(end..end)).map(move |hole| {
        let gap = from..hole.start;
        from = hole.end;
        gap
    })
}

/// A temporary folder with the proxies of a run; voxels are present for some cases only.
#[derive(Debug)]
pub struct ProxyCache {
    folder: tempfile::TempDir,
    index: ProxyIndex,
    files: Vec<File>,
    /// Cached blocks as (file, block in the file), the least recently used first.
    cached: VecDeque<(usize, usize)>,
    bytes: u64,
    limit: u64,
}

impl ProxyCache {
    /// An empty cache below `parent` of the proxies whose [`ProxyIndex`] has this hash. Voxels
    /// take at most `limit` bytes, but always as much as one tile needs.
    ///
    /// # Errors
    /// [`ProxyCacheError`].
    pub async fn new(
        storage: &Storage,
        index: &str,
        parent: &Path,
        limit: u64,
    ) -> Result<Self, ProxyCacheError> {
        let index: ProxyIndex = serde_json::from_slice(&storage.get_block(index).await?)?;
        let folder = tempfile::Builder::new().prefix("pdl-cluster-").tempdir_in(parent);
        let folder = folder.map_err(StoreError::io("make a folder for the cache", parent))?;
        let proxies = folder.path().join(proxies::FOLDER);
        std::fs::create_dir(&proxies).map_err(StoreError::io("make the folder", &proxies))?;
        let mut files = Vec::new();
        for (number, listed) in index.files.iter().enumerate() {
            let rest = storage.get_block(&listed.rest).await?;
            let path = proxies.join(proxies::file_name(number));
            let file = with_holes(&path, listed, &rest).map_err(StoreError::io("write the cache", &path))?;
            files.push(file);
        }
        Ok(Self { folder, index, files, cached: VecDeque::new(), bytes: 0, limit })
    }

    /// The folder, which has `proxies/` as a curation folder has.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Number of cases in all files.
    pub fn cases(&self) -> usize {
        let rows = self.index.files.iter().flat_map(|file| &file.voxels).map(|block| block.rows.end);
        rows.max().unwrap_or_default()
    }

    /// Downloads the voxels of `rows` and evicts others above the limit.
    ///
    /// # Errors
    /// [`ProxyCacheError`].
    pub async fn fetch(&mut self, rows: &[Range<usize>], storage: &Storage) -> Result<(), ProxyCacheError> {
        let wanted: Vec<(usize, usize)> = self.blocks_of(rows);
        let missing: Vec<_> = wanted.iter().copied().filter(|block| !self.cached.contains(block)).collect();
        self.cached.retain(|block| !wanted.contains(block)); // appended again below
        let needed: u64 = missing.iter().map(|block| self.size(*block)).sum();
        while self.bytes + needed > self.limit
            && let Some(old) = self.cached.pop_front()
        {
            self.empty(old)?;
        }
        let kept: HashMap<_, ()> = missing.iter().map(|block| (*block, ())).collect();
        self.cached.extend(wanted.iter().filter(|block| !kept.contains_key(*block)));
        let index = &self.index;
        let get = |(file, number): (usize, usize)| async move {
            let hash = &index.files[file].voxels[number].hash;
            Ok::<_, ProxyCacheError>((file, number, storage.get_block(hash).await?))
        };
        let mut blocks = futures::stream::iter(missing).map(get).buffer_unordered(CONCURRENCY);
        while let Some(block) = blocks.next().await {
            let (file, number, bytes) = block?;
            let at = index.files[file].voxels[number].bytes.start;
            let path = self.folder.path();
            self.files[file].write_all_at(&bytes, at).map_err(StoreError::io("write the cache", path))?;
            self.cached.push_back((file, number));
            self.bytes += bytes.len() as u64;
        }
        Ok(())
    }

    fn blocks_of(&self, rows: &[Range<usize>]) -> Vec<(usize, usize)> {
        let overlap = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
        let mut found = Vec::new();
        for (file, listed) in self.index.files.iter().enumerate() {
            for (number, block) in listed.voxels.iter().enumerate() {
                if rows.iter().any(|rows| overlap(rows, &block.rows)) {
                    found.push((file, number));
                }
            }
        }
        found
    }

    fn size(&self, (file, number): (usize, usize)) -> u64 {
        let bytes = &self.index.files[file].voxels[number].bytes;
        bytes.end - bytes.start
    }

    /// Replaces a block on disk by a hole.
    fn empty(&mut self, block: (usize, usize)) -> Result<(), ProxyCacheError> {
        let (file, number) = block;
        let bytes = &self.index.files[file].voxels[number].bytes;
        punch(&self.files[file], bytes).map_err(StoreError::io("empty the cache", self.folder.path()))?;
        self.bytes -= self.size(block);
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn punch(file: &File, bytes: &Range<u64>) -> std::io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, hole, bytes.start, bytes.end - bytes.start)?)
}

/// Without holes the bytes stay on disk until the run ends.
#[cfg(not(target_os = "linux"))]
fn punch(_: &File, _: &Range<u64>) -> std::io::Result<()> {
    Ok(())
}

/// Writes a file of the listed length that has the bytes of `rest` and holes in place of voxels.
fn with_holes(path: &Path, listed: &FileIndex, mut rest: &[u8]) -> std::io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    file.set_len(listed.bytes)?;
    for gap in gaps(listed.voxels.iter().map(|block| block.bytes.clone()), listed.bytes) {
        let cut = || std::io::Error::other("the index does not fit the length of its file");
        let (piece, after) = rest.split_at_checked((gap.end - gap.start) as usize).ok_or_else(cut)?;
        file.write_all_at(piece, gap.start)?;
        rest = after;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    const BLOCK: u64 = 64 << 10;

    /// A file of 4 KiB and then the voxels of five cases, a block each; in storage.
    async fn stored(storage: &Storage) -> String {
        let mut voxels = Vec::new();
        for row in 0..5 {
            let start = 4096 + row as u64 * BLOCK;
            let hash = storage.put_block(vec![row as u8 + 1; BLOCK as usize]).await.unwrap();
            voxels.push(VoxelBlock { rows: row..row + 1, bytes: start..start + BLOCK, hash });
        }
        let rest = storage.put_block(vec![9; 4096]).await.unwrap();
        let index = ProxyIndex { files: vec![FileIndex { bytes: 4096 + 5 * BLOCK, rest, voxels }] };
        storage.put_block(serde_json::to_vec(&index).unwrap()).await.unwrap()
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_cache_keeps_to_its_limit_and_holds_what_a_tile_needs() {
        use std::os::unix::fs::MetadataExt;
        let storage = Storage::for_tests();
        let index = stored(&storage).await;
        let parent = tempfile::tempdir().unwrap();
        let mut cache = ProxyCache::new(&storage, &index, parent.path(), 2 * BLOCK).await.unwrap();
        let path = cache.folder().join(proxies::FOLDER).join(proxies::file_name(0));
        for tile in [[0..1, 1..2], [1..2, 2..3], [3..4, 4..5], [0..1, 4..5]] {
            cache.fetch(&tile, &storage).await.unwrap();
            let bytes = std::fs::read(&path).unwrap();
            for row in tile.iter().map(|rows| rows.start) {
                let start = 4096 + row * BLOCK as usize;
                assert!(bytes[start..start + BLOCK as usize].iter().all(|byte| *byte == row as u8 + 1));
            }
            assert!(bytes[..4096].iter().all(|byte| *byte == 9));
            let on_disk = path.metadata().unwrap().blocks() * 512;
            assert!(on_disk <= 4096 + 2 * BLOCK + 16384, "{on_disk} bytes are on the disk");
        }
        // A tile that needs more than the limit gets it all the same.
        cache.fetch(std::slice::from_ref(&(0..3)), &storage).await.unwrap();
        assert_eq!(cache.bytes, 3 * BLOCK);
    }

    #[test]
    fn voxels_and_label_maps_are_joined_each_with_their_like() {
        // Two cases with their label maps behind their voxels, then a third.
        let spans = vec![
            (0..1, 10..20),
            (0..1, 30..35),
            (1..2, 20..30),
            (1..2, 35..40),
            (2..3, 50..60),
            (2..3, 60..65),
        ];
        let expected = [(0..2, 10..30), (0..2, 30..40), (2..3, 50..60), (2..3, 60..65)];
        assert_eq!(joined(spans), expected);
    }

    #[test]
    fn gaps_and_holes_make_the_whole() {
        let holes = [3..5, 5..9];
        let gaps: Vec<_> = gaps(holes.into_iter(), 12).collect();
        assert_eq!(gaps, [0..3, 5..5, 9..12]);
    }
}
