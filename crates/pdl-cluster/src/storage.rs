//! S3-compatible storage of proxies, as blocks of bytes, and of computed tiles.
//!
//! ```text
//! PREFIX/blocks/HASH                      voxels, the rest of the proxies, and their index
//! PREFIX/pairs/RUN/ROW-COL/HASH.parquet   a tile; RUN is the hash of parameters and proxies
//! ```
//!
//! An object's name is the BLAKE3 of its bytes: it is verified when read, and written only when
//! it is absent. Endpoint and credentials come from the environment of each machine alone
//! (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT`, `AWS_ALLOW_HTTP`,
//! ...).

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig,
};
use pdl_similarity::pairs::file_name;
use pdl_similarity::tile::Tile;
use pdl_store::hash;
use serde::{Deserialize, Serialize};

/// Concurrent requests.
pub const CONCURRENCY: usize = 16;

/// Time limit of one request, number of retries, and time limit of all of them together.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const RETRIES: usize = 8;
const RETRY_TIMEOUT: Duration = Duration::from_secs(150);

/// Bucket and prefix, as `s3://bucket/prefix`. Credentials cannot be part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StorageUrl(String);

impl TryFrom<String> for StorageUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<StorageUrl> for String {
    fn from(url: StorageUrl) -> Self {
        url.0
    }
}

impl FromStr for StorageUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected s3://BUCKET/PREFIX; credentials come from the environment";
        let rest = text.strip_prefix("s3://").ok_or(wrong)?;
        let (bucket, prefix) = rest.split_once('/').ok_or(wrong)?;
        let plain = !rest.contains(['@', '?', '#', ':']); // no place for a secret
        let prefix = prefix.trim_matches('/');
        let climbs = prefix.split('/').any(|part| matches!(part, "" | "." | ".."));
        if bucket.is_empty() || climbs || !plain {
            return Err(wrong);
        }
        Ok(Self(format!("s3://{bucket}/{prefix}")))
    }
}

impl StorageUrl {
    /// Whether it is `root` or lies below it.
    pub fn is_within(&self, root: &Self) -> bool {
        self.0.strip_prefix(&root.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl std::fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an operation of the storage failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It does not answer, or refuses the request.
    #[error("the request to the storage failed: {source}: {url}")]
    Refused {
        /// The storage.
        url: StorageUrl,
        /// The error of the request.
        source: object_store::Error,
    },
    /// The bytes of an object do not have the hash in its name.
    #[error("an object in the storage is corrupt: {url}/{name}")]
    Corrupt {
        /// The storage.
        url: StorageUrl,
        /// Path of the object.
        name: String,
    },
    /// Executors uploaded different files of one tile.
    #[error("the storage has {count} different files of tile ({}, {}): {url}", tile.row, tile.col)]
    Differing {
        /// The storage.
        url: StorageUrl,
        /// Row and column of the tile whose files differ.
        tile: Tile,
        /// Number of files.
        count: usize,
    },
}

/// One bucket below one prefix.
#[derive(Clone, Debug)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    url: StorageUrl,
    prefix: Path,
}

impl Storage {
    /// The storage at `url`, with the settings of the environment; sends nothing yet.
    ///
    /// # Errors
    /// [`StorageError::Refused`] when a setting is invalid.
    pub fn open(url: &StorageUrl) -> Result<Self, StorageError> {
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(10),
                base: 2.0,
            },
            max_retries: RETRIES,
            retry_timeout: RETRY_TIMEOUT,
        };
        let (_, prefix) = url.0.trim_start_matches("s3://").split_once('/').unwrap_or_default();
        let store = AmazonS3Builder::from_env()
            .with_url(&url.0)
            .with_retry(retry)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_client_options(client_options())
            .build()
            .map_err(|source| StorageError::Refused { url: url.clone(), source })?;
        Ok(Self { store: Arc::new(store), url: url.clone(), prefix: Path::from(prefix) })
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let store = Arc::new(object_store::memory::InMemory::new());
        Self { store, url: StorageUrl("s3://bucket/prefix".to_owned()), prefix: Path::from("prefix") }
    }

    fn refused(&self) -> impl FnOnce(object_store::Error) -> StorageError {
        let url = self.url.clone();
        move |source| StorageError::Refused { url, source }
    }

    fn block_path(&self, hash: &str) -> Path {
        self.prefix.clone().join("blocks").join(hash)
    }

    fn tile_folder(&self, run: &str, tile: Tile) -> Path {
        let name = file_name(tile);
        self.prefix.clone().join("pairs").join(run).join(name.trim_end_matches(".parquet"))
    }

    /// Writes an object unless it exists.
    async fn put(&self, path: &Path, bytes: Vec<u8>) -> Result<(), StorageError> {
        let new = PutOptions::from(PutMode::Create);
        match self.store.put_opts(path, PutPayload::from(bytes), new).await {
            // The name is the hash of the bytes, so those that exist are the same.
            Ok(_)
            | Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(())
            }
            Err(error) => Err(self.refused()(error)),
        }
    }

    /// The bytes of an object, verified against this hash.
    async fn get(&self, path: &Path, hash: &str) -> Result<Vec<u8>, StorageError> {
        let read = async { self.store.get(path).await?.bytes().await };
        let bytes = read.await.map_err(self.refused())?;
        if hash::of_bytes(&bytes) != hash {
            return Err(StorageError::Corrupt { url: self.url.clone(), name: path.to_string() });
        }
        Ok(bytes.into())
    }

    /// Paths of all objects below a folder, at any depth.
    async fn below(&self, folder: &Path) -> Result<Vec<Path>, StorageError> {
        let listed = self.store.list(Some(folder)).map_ok(|object| object.location);
        listed.try_collect().await.map_err(self.refused())
    }

    /// Hashes of all stored blocks.
    ///
    /// # Errors
    /// [`StorageError::Refused`].
    pub async fn blocks(&self) -> Result<HashSet<String>, StorageError> {
        let names = self.below(&self.prefix.clone().join("blocks")).await?;
        Ok(names.iter().filter_map(|path| path.filename().map(str::to_owned)).collect())
    }

    /// Stores a block and returns its hash.
    ///
    /// # Errors
    /// [`StorageError::Refused`].
    pub async fn put_block(&self, bytes: Vec<u8>) -> Result<String, StorageError> {
        let hash = hash::of_bytes(&bytes);
        self.put(&self.block_path(&hash), bytes).await?;
        Ok(hash)
    }

    /// The block with this hash.
    ///
    /// # Errors
    /// [`StorageError`] if it is missing or corrupt.
    pub async fn get_block(&self, hash: &str) -> Result<Vec<u8>, StorageError> {
        self.get(&self.block_path(hash), hash).await
    }

    /// Whether the tile of this run is stored.
    ///
    /// # Errors
    /// [`StorageError::Refused`].
    pub async fn has_tile(&self, run: &str, tile: Tile) -> Result<bool, StorageError> {
        Ok(!self.below(&self.tile_folder(run, tile)).await?.is_empty())
    }

    /// Stores the file of a tile.
    ///
    /// # Errors
    /// [`StorageError::Refused`].
    pub async fn put_tile(&self, run: &str, tile: Tile, bytes: Vec<u8>) -> Result<(), StorageError> {
        let name = format!("{}.parquet", hash::of_bytes(&bytes));
        self.put(&self.tile_folder(run, tile).join(name), bytes).await
    }

    /// Calls `keep` with the file of every stored tile among `tiles`, in any order.
    ///
    /// # Errors
    /// [`StorageError`] when a file is corrupt or a tile has two, and the errors of `keep`.
    pub async fn get_tiles<E: From<StorageError>>(
        &self,
        run: &str,
        tiles: &[Tile],
        mut keep: impl FnMut(Tile, Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let names = self.below(&self.prefix.clone().join("pairs").join(run)).await?;
        let mut by_tile: std::collections::HashMap<String, Vec<Path>> = std::collections::HashMap::new();
        for name in names {
            let folder = name.parts().rev().nth(1).map(|part| part.as_ref().to_owned());
            by_tile.entry(folder.unwrap_or_default()).or_default().push(name);
        }
        let mut found = Vec::new();
        for tile in tiles {
            match by_tile.get(file_name(*tile).trim_end_matches(".parquet")).map(Vec::as_slice) {
                None | Some([]) => (),
                Some([one]) => found.push((*tile, one.clone())),
                Some(more) => {
                    let (url, count) = (self.url.clone(), more.len());
                    return Err(StorageError::Differing { url, tile: *tile, count }.into());
                }
            }
        }
        let read = |(tile, path): (Tile, Path)| async move {
            let hash = path.filename().unwrap_or_default().trim_end_matches(".parquet").to_owned();
            Ok::<_, StorageError>((tile, self.get(&path, &hash).await?))
        };
        let mut files = futures::stream::iter(found).map(read).buffer_unordered(CONCURRENCY);
        while let Some(file) = files.next().await {
            let (tile, bytes) = file?;
            keep(tile, bytes)?;
        }
        Ok(())
    }
}

fn client_options() -> ClientOptions {
    // Only the environment can allow an endpoint without TLS.
    let plain = std::env::var("AWS_ALLOW_HTTP").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    ClientOptions::new()
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(Duration::from_secs(5))
        .with_allow_http(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_no_place_for_a_secret() {
        assert_eq!(
            "s3://bucket/a/b/".parse::<StorageUrl>().map(|url| url.to_string()),
            Ok("s3://bucket/a/b".to_owned())
        );
        for wrong in [
            "bucket/a",
            "s3://bucket",
            "s3://bucket/",
            "s3://key:secret@bucket/a",
            "s3://b/a?X-Amz-Signature=1",
            "s3://bucket/a/../b",
            "s3://bucket/a//b",
        ] {
            assert!(wrong.parse::<StorageUrl>().is_err(), "{wrong}");
            let sent = serde_json::json!(wrong);
            assert!(
                serde_json::from_value::<StorageUrl>(sent).is_err(),
                "{wrong}, as another machine sends it"
            );
        }
    }
}
