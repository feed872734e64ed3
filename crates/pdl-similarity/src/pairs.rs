//! `pairs/*.parquet`: every unordered pair of cases once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Float32Type, Schema, UInt32Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pdl_prepare::proxies::Proxies;
use pdl_store::table::{self, column};
use pdl_store::{StoreError, atomic};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SimilarityError;
use crate::kernel::Similarity;
use crate::parameters::CompareParameters;
use crate::tile::{Pair, Tile, tile_key, tiles};

/// The folder's name inside a curation folder.
pub const FOLDER: &str = "pairs";

/// One row of the table, for its schema; the files are written column by column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairRow {
    /// Row number of the first case in the proxies.
    pub a: u32,
    /// Row number of the second case in the proxies; larger than `a`.
    pub b: u32,
    /// The first case.
    pub case_a: String,
    /// The second case.
    pub case_b: String,
    /// Mean of squared differences.
    pub mse: f32,
    /// Peak signal-to-noise ratio in dB; infinite for identical cases.
    pub psnr: f32,
    /// Structural similarity.
    pub ssim: f32,
    /// Universal quality index.
    pub uqi: f32,
}

/// A column by which cases can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Mean of squared differences: small is alike.
    Mse,
    /// Peak signal-to-noise ratio; with one data range it orders pairs exactly as MSE does.
    Psnr,
    /// Structural similarity.
    Ssim,
    /// Universal quality index.
    Uqi,
}

impl Metric {
    /// The column's name.
    pub fn column(self) -> &'static str {
        match self {
            Metric::Mse => "mse",
            Metric::Psnr => "psnr",
            Metric::Ssim => "ssim",
            Metric::Uqi => "uqi",
        }
    }

    /// Whether larger values mean more alike.
    pub fn larger_is_alike(self) -> bool {
        self != Metric::Mse
    }
}

/// The table's columns, as a reader sees them.
pub fn schema() -> Schema {
    use DataType::{Float32, UInt32, Utf8};
    Schema::new(vec![
        column("a", UInt32),
        column("b", UInt32),
        column("case_a", Utf8),
        column("case_b", Utf8),
        column("mse", Float32),
        column("psnr", Float32),
        column("ssim", Float32),
        column("uqi", Float32),
    ])
}

/// The file of a tile inside a curation folder.
pub fn path(out: &Path, tile: Tile) -> PathBuf {
    out.join(FOLDER).join(file_name(tile))
}

/// The name of a tile's file.
pub fn file_name(tile: Tile) -> String {
    format!("{:05}-{:05}.parquet", tile.row, tile.col)
}

/// Writes the part file of a tile; `pairs` are in the order of [`Tile::pairs`].
pub(crate) fn write(
    out: &Path,
    proxies: &Proxies,
    tile: Tile,
    parameters: &CompareParameters,
    pairs: &[Pair],
) -> Result<(), SimilarityError> {
    let path = path(out, tile);
    let rows = |pick: fn(&(usize, usize)) -> usize| pairs.iter().map(move |(pair, _)| pick(pair));
    let values = |pick: fn(&Similarity) -> f64| -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(pairs.iter().map(|(_, similarity)| pick(similarity) as f32)))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_iter_values(rows(|pair| pair.0).map(|row| row as u32))),
        Arc::new(UInt32Array::from_iter_values(rows(|pair| pair.1).map(|row| row as u32))),
        case_ids(proxies, rows(|pair| pair.0)),
        case_ids(proxies, rows(|pair| pair.1)),
        values(|similarity| similarity.mse),
        values(|similarity| similarity.psnr),
        values(|similarity| similarity.ssim),
        values(|similarity| similarity.uqi),
    ];
    let problem =
        |e: &dyn std::fmt::Display| StoreError::Table { path: path.clone(), problem: e.to_string() };
    let batch = RecordBatch::try_new(Arc::new(schema()), columns).map_err(|e| problem(&e))?;
    let parameters_text = serde_json::to_string(parameters).map_err(|e| problem(&e))?;
    let metadata = vec![
        ("pdl.key".to_owned(), tile_key(proxies, tile, parameters)),
        ("pdl.parameters".to_owned(), parameters_text),
        ("pdl.window".to_owned(), parameters.window.to_string()),
        ("pdl.data_range".to_owned(), "1".to_owned()),
        ("pdl.grid".to_owned(), proxies.grid.clone()),
        ("pdl.shape_zyx".to_owned(), format!("{:?}", proxies.shape_zyx)),
    ];
    let bytes = table::encode(&path, &batch, table::properties(metadata).build())?;
    Ok(atomic::write(&path, &bytes)?)
}

fn case_ids(proxies: &Proxies, rows: impl Iterator<Item = usize>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows.map(|row| proxies.case_ids[row].as_str())))
}

/// Whether the part file of a tile is there, whole, and made from these proxies with these parameters.
pub(crate) fn is_valid(out: &Path, proxies: &Proxies, tile: Tile, parameters: &CompareParameters) -> bool {
    let open = || {
        let file = File::open(path(out, tile)).ok()?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).ok()?;
        let metadata = builder.metadata().file_metadata();
        let key = metadata.key_value_metadata()?.iter().find(|kv| kv.key == "pdl.key")?.value.clone()?;
        Some((metadata.num_rows(), key))
    };
    let expected =
        (tile.pairs(parameters.tile, proxies.len()).count() as i64, tile_key(proxies, tile, parameters));
    open() == Some(expected)
}

/// The pairs of a curation folder, known to belong to its proxies.
#[derive(Debug)]
pub struct Pairs {
    paths: Vec<PathBuf>,
    /// How they were compared.
    pub parameters: CompareParameters,
}

impl Pairs {
    /// Opens `OUT/pairs`, checking that every tile is there and of these proxies.
    ///
    /// # Errors
    /// [`SimilarityError::Stale`] when pairs are missing or belong to other proxies.
    pub fn open(out: &Path, proxies: &Proxies) -> Result<Self, SimilarityError> {
        let folder = out.join(FOLDER);
        let stale =
            |problem: &str| SimilarityError::Stale { path: folder.clone(), problem: problem.to_owned() };
        let first = path(out, Tile { row: 0, col: 0 });
        let metadata = table::read_metadata(&first).map_err(|_| stale("there are none"))?;
        let parameters: CompareParameters = metadata
            .get("pdl.parameters")
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| stale("the first file does not say how it was made"))?;
        let all: Vec<Tile> = tiles(parameters.tile, proxies.len()).collect();
        if let Some(tile) = all.iter().find(|tile| !is_valid(out, proxies, **tile, &parameters)) {
            return Err(stale(&format!("{} is missing or of other proxies", file_name(*tile))));
        }
        Ok(Self { paths: all.into_iter().map(|tile| path(out, tile)).collect(), parameters })
    }

    /// Hands over every pair's row numbers and its value of `metric`, part by part.
    ///
    /// # Errors
    /// [`StoreError`] when a file cannot be read.
    pub fn for_each(&self, metric: Metric, mut visit: impl FnMut(u32, u32, f32)) -> Result<(), StoreError> {
        for path in &self.paths {
            let problem =
                |e: &dyn std::fmt::Display| StoreError::Table { path: path.clone(), problem: e.to_string() };
            let file = File::open(path).map_err(StoreError::io("read the pairs", path))?;
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| problem(&e))?;
            let columns = ["a", "b", metric.column()];
            let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
            for batch in builder.with_projection(mask).build().map_err(|e| problem(&e))? {
                let batch = batch.map_err(|e| problem(&e))?;
                let rows = |i: usize| batch.column(i).as_primitive_opt::<UInt32Type>();
                let values = batch.column(2).as_primitive_opt::<Float32Type>();
                let (Some(a), Some(b), Some(values)) = (rows(0), rows(1), values) else {
                    return Err(problem(&"its columns have other types"));
                };
                for ((a, b), value) in a.values().iter().zip(b.values()).zip(values.values()) {
                    visit(*a, *b, *value);
                }
            }
        }
        Ok(())
    }

    /// The hash of the part files' keys: what the pairs were made from.
    ///
    /// # Errors
    /// [`StoreError`] when a file cannot be read.
    pub fn hash(&self) -> Result<String, StoreError> {
        let mut keys = pdl_store::hash::Key::new("pairs 1");
        for path in &self.paths {
            let metadata = table::read_metadata(path)?;
            keys = keys.part("part", &metadata.get("pdl.key"));
        }
        Ok(keys.finish())
    }
}

/// Removes part files that are no tile of this comparison.
pub(crate) fn remove_strangers(out: &Path, tiles: &[Tile]) -> Result<(), StoreError> {
    let names: std::collections::HashSet<String> = tiles.iter().map(|tile| file_name(*tile)).collect();
    let folder = out.join(FOLDER);
    fs::create_dir_all(&folder).map_err(StoreError::io("make the folder", &folder))?;
    atomic::retain(&folder, |name| names.contains(name))
}
