//! Reuse of pairs from an earlier run whose cases are unchanged.
//!
//! Part files that no longer match their tile (cases were added, removed or changed) are moved to
//! `.pdl/pairs` of the curation folder. Each stores the keys of its rows, so the pairs of unchanged
//! cases are found there whatever their row numbers are now.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use pdl_prepare::proxies::Proxies;
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, journal, table};

use crate::pairs::pair_table::{self, TileOrigin};
use crate::pairs::tile::{KnownPairs, Tile};
use crate::parameters::CompareParameters;

/// Part files of earlier runs.
#[derive(Debug, Default)]
pub(crate) struct ReusablePairs {
    parts: Vec<PartFile>,
    /// Row key to the indices of the parts that have it as a row or as a column.
    by_key: HashMap<String, Vec<usize>>,
    columns: Vec<String>,
}

#[derive(Debug)]
struct PartFile {
    path: PathBuf,
    first: [usize; 2],
    origin: TileOrigin,
}

fn folder(out: &Path) -> Result<SafePath, StoreError> {
    SafePath::new(out, Path::new(journal::FOLDER).join(pair_table::FOLDER))
}

impl ReusablePairs {
    /// Moves the part files of `OUT/pairs` other than those of `valid` aside, and indexes all part
    /// files there.
    pub(crate) fn gather(
        out: &Path,
        proxies: &Proxies,
        valid: &[Tile],
        parameters: &CompareParameters,
        own: &[&str],
    ) -> Result<Self, StoreError> {
        let (from, to) = (SafePath::new(out, pair_table::FOLDER)?, folder(out)?);
        let keep: BTreeSet<String> = valid.iter().map(|tile| pair_table::file_name(*tile)).collect();
        for name in atomic::file_names(&from)? {
            if name.ends_with(".parquet") && !keep.contains(&name) {
                atomic::rename(&from.join(&name)?, &to.join(&name)?)?;
            }
        }
        let names = parameters.metrics.iter().map(|m| m.column()).chain(own.iter().copied());
        let mut all = Self { columns: names.map(str::to_owned).collect(), ..Self::default() };
        let nothing = Tile { row: 0, col: 0 };
        let how =
            TileOrigin::of(proxies, nothing, parameters, own).map(|origin| origin.how).unwrap_or_default();
        for name in atomic::file_names(&to)? {
            let path = to.full().join(name);
            // One that is unreadable or was compared with other parameters is ignored.
            let Some(part) = PartFile::read(&path).filter(|part| part.origin.how == how) else { continue };
            for key in part.origin.rows.iter().chain(&part.origin.cols).collect::<BTreeSet<_>>() {
                all.by_key.entry(key.clone()).or_default().push(all.parts.len());
            }
            all.parts.push(part);
        }
        Ok(all)
    }

    /// The values of a tile's pairs that the part files hold.
    pub(crate) fn known(&self, proxies: &Proxies, tile: Tile, parameters: &CompareParameters) -> KnownPairs {
        let mut known = KnownPairs::default();
        if self.parts.is_empty() {
            return known;
        }
        let Ok(wanted) = TileOrigin::of(proxies, tile, parameters, &[]) else { return known };
        let [rows, cols] = tile.ranges(parameters.tile, proxies.len());
        let now = |keys: &[String], first: usize| -> HashMap<String, usize> {
            keys.iter().cloned().zip(first..).collect()
        };
        let (rows, cols) = (now(&wanted.rows, rows.start), now(&wanted.cols, cols.start));
        let with = |keys: &[String]| -> BTreeSet<usize> {
            keys.iter().filter_map(|key| self.by_key.get(key)).flatten().copied().collect()
        };
        for part in with(&wanted.rows).intersection(&with(&wanted.cols)) {
            self.take(&self.parts[*part], &rows, &cols, &mut known);
        }
        known
    }

    fn take(
        &self,
        part: &PartFile,
        rows: &HashMap<String, usize>,
        cols: &HashMap<String, usize>,
        known: &mut KnownPairs,
    ) {
        let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        let mut found = Vec::new();
        let read = pair_table::read_part(&part.path, &columns, &mut |a, b, values| {
            let key = |keys: &[String], number: u32, first: usize| -> Option<String> {
                keys.get((number as usize).checked_sub(first)?).cloned()
            };
            let a = key(&part.origin.rows, a, part.first[0]);
            let b = key(&part.origin.cols, b, part.first[1]);
            let (Some(a), Some(b)) = (a, b) else { return };
            let either = |a: &str, b: &str| Some((*rows.get(a)?, *cols.get(b)?));
            if let Some((a, b)) = either(&a, &b).or_else(|| either(&b, &a)).filter(|(a, b)| a != b) {
                found.push((a, b, values.to_vec()));
            }
        });
        if read.is_ok() {
            found.into_iter().for_each(|(a, b, values)| known.insert(a, b, values));
        }
    }

    /// Removes the part files that were moved aside.
    pub(crate) fn remove(out: &Path) -> Result<(), StoreError> {
        atomic::remove_folder(&folder(out)?)
    }
}

impl PartFile {
    fn read(path: &Path) -> Option<Self> {
        let metadata = table::read_metadata(path, pair_table::SCHEMA_VERSION).ok()?;
        let parameters: CompareParameters = serde_json::from_str(metadata.get("pdl.parameters")?).ok()?;
        let origin: TileOrigin = serde_json::from_str(metadata.get("pdl.origin")?).ok()?;
        let stem = path.file_stem()?.to_str()?;
        let (row, col) = stem.split_once('-')?;
        let first = |number: &str| number.parse::<usize>().ok()?.checked_mul(parameters.tile);
        let first = [first(row)?, first(col)?];
        Some(Self { path: path.to_owned(), first, origin })
    }
}
