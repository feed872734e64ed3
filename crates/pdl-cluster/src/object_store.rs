//! The object store of a run on an executor: proxies are cached on disk, computed tiles are
//! uploaded.

use std::path::Path;

use pdl_similarity::compare::TileDone;
use pdl_similarity::pairs;
use pdl_similarity::tile::Tile;
use pdl_store::StoreError;

use crate::job::{CompareJob, DataLocation};
use crate::limits::ExecutorLimits;
use crate::proxy_cache::{ProxyCache, ProxyCacheError};
use crate::storage::{Storage, StorageUrl};

/// The object store of one run, with a cache of its proxies.
#[derive(Debug)]
pub struct RunStore {
    /// The storage and the index of its proxies.
    pub location: DataLocation,
    storage: Storage,
    cache: ProxyCache,
}

impl RunStore {
    /// Opens the storage and an empty cache of the proxies whose index has this hash.
    ///
    /// # Errors
    /// [`ProxyCacheError`].
    pub async fn open(
        url: &StorageUrl,
        index: &str,
        limits: &ExecutorLimits,
    ) -> Result<Self, ProxyCacheError> {
        let storage = Storage::open(url)?;
        let cache = ProxyCache::new(&storage, index, &limits.cache, limits.cache_bytes).await?;
        let location = DataLocation::Storage { url: url.clone(), index: index.to_owned() };
        Ok(Self { location, storage, cache })
    }

    /// The cache, laid out as a curation folder.
    pub fn folder(&self) -> &Path {
        self.cache.folder()
    }

    /// Downloads the proxies of a tile; returns the tile as done when the storage already has it.
    ///
    /// # Errors
    /// [`ProxyCacheError`].
    pub async fn fetch(&mut self, job: &CompareJob, tile: Tile) -> Result<Option<TileDone>, ProxyCacheError> {
        let size = job.parameters.tile;
        let cases = self.cache.cases();
        if self.storage.has_tile(&job.run(), tile).await? {
            let [rows, cols] = tile.ranges(size, cases);
            let in_tile = if tile.row == tile.col { rows.len() } else { rows.len() + cols.len() };
            return Ok(Some(TileDone {
                tile,
                cases: in_tile,
                pairs: tile.len(size, cases) as u64,
                computed: 0,
            }));
        }
        self.cache.fetch(&tile.ranges(size, cases), &self.storage).await?;
        Ok(None)
    }

    /// Uploads the computed file of a tile and removes it from the cache.
    ///
    /// # Errors
    /// [`ProxyCacheError`].
    pub async fn upload(&self, job: &CompareJob, tile: Tile) -> Result<(), ProxyCacheError> {
        let path = pairs::path(self.folder(), tile);
        let bytes = std::fs::read(&path).map_err(StoreError::io("read the tile", &path))?;
        self.storage.put_tile(&job.run(), tile, bytes).await?;
        std::fs::remove_file(&path).map_err(StoreError::io("remove the tile", &path))?;
        Ok(())
    }
}
