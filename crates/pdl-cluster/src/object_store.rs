//! A run's storage as an executor works with it: its proxies on the disk, its parts on their way out.

use std::path::Path;

use pdl_similarity::compare::TileDone;
use pdl_similarity::pairs;
use pdl_similarity::tile::Tile;
use pdl_store::StoreError;

use crate::job::{CompareJob, DataLocation};
use crate::proxy_cache::{ProxyCache, ProxyCacheError};
use crate::storage::{Storage, StorageUrl};
use crate::worker::ExecutorLimits;

/// Storage and what is here of it.
#[derive(Debug)]
pub struct RunStore {
    /// Which storage, and which proxies there.
    pub location: DataLocation,
    storage: Storage,
    cache: ProxyCache,
}

impl RunStore {
    /// Opens the storage and makes room for the proxies whose list has the hash `index`.
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

    /// A folder like a curation folder.
    pub fn folder(&self) -> &Path {
        self.cache.folder()
    }

    /// Brings what a tile needs, unless its part is in storage already: then it is done.
    ///
    /// # Errors
    /// [`ProxyCacheError`].
    pub async fn ready(&mut self, job: &CompareJob, tile: Tile) -> Result<Option<TileDone>, ProxyCacheError> {
        let size = job.parameters.tile;
        let cases = self.cache.cases();
        if self.storage.has_part(&job.run(), tile).await? {
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

    /// Brings the part of a tile into storage; it is not kept here.
    ///
    /// # Errors
    /// [`ProxyCacheError`].
    pub async fn keep(&self, job: &CompareJob, tile: Tile) -> Result<(), ProxyCacheError> {
        let path = pairs::path(self.folder(), tile);
        let bytes = std::fs::read(&path).map_err(StoreError::io("read the part", &path))?;
        self.storage.put_part(&job.run(), tile, bytes).await?;
        std::fs::remove_file(&path).map_err(StoreError::io("remove the part", &path))?;
        Ok(())
    }
}
