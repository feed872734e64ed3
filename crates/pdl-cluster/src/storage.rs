//! S3-compatible storage: blocks of bytes under their hashes, and parts of the matrix under their tiles.
//!
//! ```text
//! PREFIX/blocks/HASH                         voxels and the rest of the proxies, and the list of them
//! PREFIX/pairs/RUN/ROW-COL/HASH.parquet      a part file of the run whose parameters and proxies have the hash RUN
//! ```
//!
//! Every object carries the BLAKE3 of its bytes as its name: whoever reads it checks it, and whoever writes it writes it
//! only when it is not there. Where the storage is and who may use it comes from the usual variables of the environment
//! (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT`, `AWS_ALLOW_HTTP`, ...) of each machine,
//! and from nowhere else.

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

/// Requests at a time.
pub const AT_A_TIME: usize = 16;

/// How long one request may take, how often it is tried, and how long all tries together.
const PATIENCE: Duration = Duration::from_secs(30);
const TRIES: usize = 8;
const PATIENCE_IN_ALL: Duration = Duration::from_secs(150);

/// A bucket and a prefix: `s3://bucket/prefix`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StorageUrl(String);

impl FromStr for StorageUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "give it as s3://BUCKET/PREFIX; credentials come from the environment";
        let rest = text.strip_prefix("s3://").ok_or(wrong)?;
        let (bucket, prefix) = rest.split_once('/').ok_or(wrong)?;
        let plain = !rest.contains(['@', '?', '#', ':']); // no place for a secret
        if bucket.is_empty() || prefix.trim_matches('/').is_empty() || !plain {
            return Err(wrong);
        }
        Ok(Self(format!("s3://{bucket}/{}", prefix.trim_matches('/'))))
    }
}

impl std::fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the storage would not do.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It does not answer, or refuses.
    #[error("the storage {url} refuses: {source}")]
    Refused {
        /// Which.
        url: StorageUrl,
        /// What it says.
        source: object_store::Error,
    },
    /// Bytes are not those that were written.
    #[error("an object of the storage is damaged: {url}/{name}")]
    Damaged {
        /// Which storage.
        url: StorageUrl,
        /// Which object.
        name: String,
    },
    /// Two executors made different parts of one tile.
    #[error("the storage {url} holds {count} different parts of tile {} {}", tile.row, tile.col)]
    Differing {
        /// Which storage.
        url: StorageUrl,
        /// Which tile.
        tile: Tile,
        /// How many.
        count: usize,
    },
}

/// Reads and writes one bucket below one prefix.
#[derive(Clone, Debug)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    url: StorageUrl,
    prefix: Path,
}

impl Storage {
    /// The storage at `url`, with what the environment says of it.
    ///
    /// # Errors
    /// [`StorageError::Refused`] when the environment's settings cannot be.
    pub fn open(url: &StorageUrl) -> Result<Self, StorageError> {
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(10),
                base: 2.0,
            },
            max_retries: TRIES,
            retry_timeout: PATIENCE_IN_ALL,
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

    /// Storage in memory.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let store = Arc::new(object_store::memory::InMemory::new());
        Self { store, url: StorageUrl("s3://bucket/prefix".to_owned()), prefix: Path::from("prefix") }
    }

    fn refused(&self) -> impl FnOnce(object_store::Error) -> StorageError {
        let url = self.url.clone();
        move |source| StorageError::Refused { url, source }
    }

    fn block(&self, hash: &str) -> Path {
        self.prefix.clone().join("blocks").join(hash)
    }

    fn tile(&self, run: &str, tile: Tile) -> Path {
        let name = file_name(tile);
        self.prefix.clone().join("pairs").join(run).join(name.trim_end_matches(".parquet"))
    }

    /// Writes bytes unless they are there: whole or not at all.
    async fn put(&self, path: &Path, bytes: Vec<u8>) -> Result<(), StorageError> {
        let new = PutOptions::from(PutMode::Create);
        match self.store.put_opts(path, PutPayload::from(bytes), new).await {
            // The name says what the bytes are, so those that are there are the same.
            Ok(_)
            | Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(())
            }
            Err(error) => Err(self.refused()(error)),
        }
    }

    /// The bytes of an object, which have to have this hash.
    async fn get(&self, path: &Path, hash: &str) -> Result<Vec<u8>, StorageError> {
        let read = async { self.store.get(path).await?.bytes().await };
        let bytes = read.await.map_err(self.refused())?;
        if hash::of_bytes(&bytes) != hash {
            return Err(StorageError::Damaged { url: self.url.clone(), name: path.to_string() });
        }
        Ok(bytes.into())
    }

    /// Names of the objects right or deeper below a folder.
    async fn below(&self, folder: &Path) -> Result<Vec<Path>, StorageError> {
        let listed = self.store.list(Some(folder)).map_ok(|object| object.location);
        listed.try_collect().await.map_err(self.refused())
    }

    /// The hashes of all blocks that are there.
    ///
    /// # Errors
    /// [`StorageError::Refused`].
    pub async fn blocks(&self) -> Result<HashSet<String>, StorageError> {
        let names = self.below(&self.prefix.clone().join("blocks")).await?;
        Ok(names.iter().filter_map(|path| path.filename().map(str::to_owned)).collect())
    }

    /// Keeps a block and says its hash.
    ///
    /// # Errors
    /// [`StorageError::Refused`].
    pub async fn put_block(&self, bytes: Vec<u8>) -> Result<String, StorageError> {
        let hash = hash::of_bytes(&bytes);
        self.put(&self.block(&hash), bytes).await?;
        Ok(hash)
    }

    /// The block of a hash.
    ///
    /// # Errors
    /// [`StorageError`] when it is missing or damaged.
    pub async fn get_block(&self, hash: &str) -> Result<Vec<u8>, StorageError> {
        self.get(&self.block(hash), hash).await
    }

    /// Whether a part of this tile is there.
    ///
    /// # Errors
    /// [`StorageError::Refused`].
    pub async fn has_part(&self, run: &str, tile: Tile) -> Result<bool, StorageError> {
        Ok(!self.below(&self.tile(run, tile)).await?.is_empty())
    }

    /// Keeps the part of a tile.
    ///
    /// # Errors
    /// [`StorageError::Refused`].
    pub async fn put_part(&self, run: &str, tile: Tile, bytes: Vec<u8>) -> Result<(), StorageError> {
        let name = format!("{}.parquet", hash::of_bytes(&bytes));
        self.put(&self.tile(run, tile).join(name), bytes).await
    }

    /// Hands over the parts of those of `tiles` that are there.
    ///
    /// # Errors
    /// [`StorageError`] when one is damaged or a tile has two, and what `keep` returns.
    pub async fn get_parts<E: From<StorageError>>(
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
        let mut parts = futures::stream::iter(found).map(read).buffer_unordered(AT_A_TIME);
        while let Some(part) = parts.next().await {
            let (tile, bytes) = part?;
            keep(tile, bytes)?;
        }
        Ok(())
    }
}

fn client_options() -> ClientOptions {
    // An endpoint without TLS is allowed by the environment alone.
    let plain = std::env::var("AWS_ALLOW_HTTP").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    ClientOptions::new()
        .with_timeout(PATIENCE)
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
        ] {
            assert!(wrong.parse::<StorageUrl>().is_err(), "{wrong}");
        }
    }
}
