//! `pairs/*.parquet`: every unordered pair of cases once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Float32Type, Schema, SchemaRef, UInt32Type};
use parquet::basic::Encoding;
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::schema::types::ColumnPath;
use pdl_prepare::proxies::Proxies;
use pdl_store::memory::MemoryLimit;
use pdl_store::safe_path::SafePath;
use pdl_store::table::{self, column};
use pdl_store::{StoreError, atomic, fault};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SimilarityError;
use crate::metrics::PairColumn;
use crate::pairs::tile::{Tile, tile_key, tiles};
use crate::parameters::CompareParameters;

/// Name of the pairs' folder inside a curation folder.
pub const FOLDER: &str = "pairs";
/// Version of the files' format, which states none: a later one does, in the metadata.
pub const SCHEMA_VERSION: u32 = 1;

/// Rows of a Parquet row group.
const ROWS_PER_GROUP: usize = 65_536;

/// Hexadecimal digits of a row's key that a part file stores: 128 bits.
const KEY_CHARACTERS: usize = 32;

/// A row of the table with the default metrics, for its schema; the files are written by column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairRow {
    /// Row number of the first case in the proxies.
    pub a: u32,
    /// Row number of the second case in the proxies; larger than `a`.
    pub b: u32,
    /// Case id of the first case.
    pub case_a: String,
    /// Case id of the second case.
    pub case_b: String,
    /// Mean squared difference.
    pub mse: f32,
    /// Peak signal-to-noise ratio in dB; infinite for identical cases.
    pub psnr: f32,
    /// Structural similarity.
    pub ssim: f32,
    /// Universal quality index.
    pub uqi: f32,
}

/// Columns of the table: `metrics` after the four that identify the pair.
pub fn schema<'a>(metrics: impl IntoIterator<Item = &'a str>) -> Schema {
    use DataType::{Float32, UInt32, Utf8};
    let mut columns =
        vec![column("a", UInt32), column("b", UInt32), column("case_a", Utf8), column("case_b", Utf8)];
    columns.extend(metrics.into_iter().map(|metric| column(metric, Float32)));
    Schema::new(columns)
}

/// Path of a tile's part file inside the curation folder `out`.
pub fn path(out: &Path, tile: Tile) -> PathBuf {
    out.join(FOLDER).join(file_name(tile))
}

/// A tile's part file inside the curation folder `out`, to be written.
///
/// # Errors
/// Never: such a path stays inside.
pub fn safe_path(out: &Path, tile: Tile) -> Result<SafePath, StoreError> {
    SafePath::new(out, Path::new(FOLDER).join(file_name(tile)))
}

/// Name of a tile's part file.
pub fn file_name(tile: Tile) -> String {
    format!("{:05}-{:05}.parquet", tile.row, tile.col)
}

/// The cases of a part file and how they were compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TileOrigin {
    /// Keys of the tile's rows, shortened.
    pub rows: Vec<String>,
    /// Keys of the tile's columns, shortened.
    pub cols: Vec<String>,
    /// Parameters and metrics, independent of the tile.
    pub how: String,
}

impl TileOrigin {
    pub(crate) fn of(
        proxies: &Proxies,
        tile: Tile,
        parameters: &CompareParameters,
        own: &[&str],
    ) -> Result<Self, serde_json::Error> {
        let keys = tile.ranges(parameters.tile, proxies.len()).map(|range| {
            range.map(|row| proxies.row_keys[row].chars().take(KEY_CHARACTERS).collect()).collect()
        });
        let [rows, cols] = keys;
        // The size of tiles groups pairs, but does not change their values.
        let how = serde_json::to_string(&(CompareParameters { tile: 0, ..parameters.clone() }, own))?;
        Ok(Self { rows, cols, how })
    }
}

/// Writes the part file of a tile; the columns of `values` are in the order of [`Tile::pairs`].
pub(crate) fn write(
    out: &Path,
    proxies: &Proxies,
    tile: Tile,
    parameters: &CompareParameters,
    own: &[&str],
    values: Vec<Vec<f32>>,
) -> Result<(), SimilarityError> {
    let path = path(out, tile);
    let problem =
        |e: &dyn std::fmt::Display| StoreError::Table { path: path.clone(), problem: e.to_string() };
    let numbers = |pick: fn(&(usize, usize)) -> usize| -> UInt32Array {
        tile.pairs(parameters.tile, proxies.len()).map(|pair| pick(&pair) as u32).collect()
    };
    let (a, b) = (numbers(|pair| pair.0), numbers(|pair| pair.1));
    let cases = |numbers: &UInt32Array| -> ArrayRef {
        let names = numbers.values().iter().map(|row| proxies.case_ids[*row as usize].as_str());
        Arc::new(StringArray::from_iter_values(names))
    };
    let (case_a, case_b) = (cases(&a), cases(&b));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(a), Arc::new(b), case_a, case_b];
    columns.extend(values.into_iter().map(|values| Arc::new(Float32Array::from(values)) as ArrayRef));
    let names: Vec<&str> = parameters.metrics.iter().map(|m| m.column()).chain(own.iter().copied()).collect();
    let schema = Arc::new(schema(names.iter().copied()));
    let batch = RecordBatch::try_new(schema, columns).map_err(|e| problem(&e))?;
    let text = |value: serde_json::Result<String>| value.map_err(|e| problem(&e));
    let origin = TileOrigin::of(proxies, tile, parameters, own).map_err(|e| problem(&e))?;
    let metadata = vec![
        ("pdl.key".to_owned(), tile_key(proxies, tile, parameters, own)),
        ("pdl.parameters".to_owned(), text(serde_json::to_string(parameters))?),
        ("pdl.own_metrics".to_owned(), text(serde_json::to_string(own))?),
        ("pdl.window".to_owned(), parameters.window.to_string()),
        ("pdl.data_range".to_owned(), "1".to_owned()),
        ("pdl.grid".to_owned(), proxies.grid.clone()),
        ("pdl.shape_zyx".to_owned(), format!("{:?}", proxies.shape_zyx)),
        ("pdl.origin".to_owned(), text(serde_json::to_string(&origin))?),
    ];
    let properties = encodings(table::properties(metadata), &names).build();
    let bytes = table::encode(&path, &batch, properties)?;
    Ok(atomic::write(safe_path(out, tile)?, &bytes)?)
}

/// Delta encoding for row numbers, byte stream split for metrics: zstd compresses these best.
fn encodings(properties: WriterPropertiesBuilder, metrics: &[&str]) -> WriterPropertiesBuilder {
    let plain = |properties: WriterPropertiesBuilder, name: &str, encoding| {
        let path = ColumnPath::from(name);
        properties.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding)
    };
    let properties = properties.set_max_row_group_row_count(Some(ROWS_PER_GROUP));
    let properties =
        ["a", "b"].into_iter().fold(properties, |p, name| plain(p, name, Encoding::DELTA_BINARY_PACKED));
    metrics.iter().fold(properties, |p, name| plain(p, name, Encoding::BYTE_STREAM_SPLIT))
}

/// Whether the part file of a tile is complete and made from these proxies with these parameters.
///
/// # Errors
/// Errors of the machine that prevent the file from being read; [`StoreError::NewerFormat`] if a
/// newer pdl wrote it.
pub(crate) fn is_valid(
    out: &Path,
    proxies: &Proxies,
    tile: Tile,
    parameters: &CompareParameters,
    own: &[&str],
) -> Result<bool, StoreError> {
    let (rows, metadata) = match table::read_facts(&path(out, tile), SCHEMA_VERSION) {
        Ok(facts) => facts,
        Err(error @ StoreError::NewerFormat { .. }) => return Err(error),
        Err(error) if fault::machine_error(&error).is_some() => return Err(error),
        Err(_) => return Ok(false),
    };
    let key = tile_key(proxies, tile, parameters, own);
    let expected = tile.len(parameters.tile, proxies.len()) as u64;
    Ok(rows == expected && metadata.get("pdl.key") == Some(&key))
}

/// The pairs of a curation folder, validated against its proxies.
#[derive(Debug)]
pub struct Pairs {
    parts: Vec<(Tile, PathBuf)>,
    /// How the pairs were compared.
    pub parameters: CompareParameters,
}

impl Pairs {
    /// Opens `OUT/pairs` and checks that every tile is complete and belongs to these proxies.
    ///
    /// # Errors
    /// [`SimilarityError::Stale`] when pairs are missing or belong to other proxies;
    /// [`StoreError::NewerFormat`] if a newer pdl wrote them.
    pub fn open(out: &Path, proxies: &Proxies) -> Result<Self, SimilarityError> {
        let folder = out.join(FOLDER);
        let stale =
            |problem: &str| SimilarityError::Stale { path: folder.clone(), problem: problem.to_owned() };
        let first = path(out, Tile { row: 0, col: 0 });
        let metadata = match table::read_metadata(&first, SCHEMA_VERSION) {
            Err(error @ StoreError::NewerFormat { .. }) => return Err(error.into()),
            Err(error) if fault::machine_error(&error).is_some() => return Err(error.into()),
            read => read.map_err(|_| stale("there are no pairs"))?,
        };
        let fact = |key: &str| metadata.get(key).map(String::as_str).unwrap_or_default();
        let unknown = || stale("the first part file lacks its parameters");
        let parameters: CompareParameters =
            serde_json::from_str(fact("pdl.parameters")).map_err(|_| unknown())?;
        let own: Vec<String> = serde_json::from_str(fact("pdl.own_metrics")).map_err(|_| unknown())?;
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        if parameters.tile == 0 {
            return Err(unknown());
        }
        let mut parts = Vec::new();
        // One by one: a forged size of tiles makes more of them than there is memory for.
        for tile in tiles(parameters.tile, proxies.len()) {
            if !is_valid(out, proxies, tile, &parameters, &own)? {
                return Err(stale(&format!("{} is missing or belongs to other proxies", file_name(tile))));
            }
            parts.push((tile, path(out, tile)));
        }
        Ok(Self { parts, parameters })
    }

    /// Calls `visit` with the row numbers of every pair and its value in a column, part by part.
    ///
    /// # Errors
    /// [`StoreError`] if a file cannot be read or has no such column.
    pub fn for_each(
        &self,
        column: impl Into<PairColumn>,
        mut visit: impl FnMut(u32, u32, f32),
    ) -> Result<(), StoreError> {
        let column = column.into().name();
        self.parts.iter().try_for_each(|(_, path)| visit_part(path, &column, &mut visit))
    }

    /// Calls `visit` with the row number of every other case and the pair's value in a column.
    ///
    /// # Errors
    /// As [`Pairs::for_each`].
    pub fn of_case(
        &self,
        case: usize,
        column: impl Into<PairColumn>,
        mut visit: impl FnMut(u32, f32),
    ) -> Result<(), StoreError> {
        let column = column.into().name();
        let block = case / self.parameters.tile.max(1);
        let case = case as u32;
        for (_, path) in self.parts.iter().filter(|(tile, _)| tile.row == block || tile.col == block) {
            visit_part(path, &column, &mut |a, b, value| {
                if a == case {
                    visit(b, value);
                } else if b == case {
                    visit(a, value);
                }
            })?;
        }
        Ok(())
    }

    /// The pairs as they are stored: `a`, `b`, `case_a`, `case_b`, then the values in `column`, or
    /// in all columns.
    ///
    /// # Errors
    /// As [`Pairs::for_each`]; [`StoreError::Memory`] when they need more memory than is free.
    pub fn read_arrow(
        &self,
        column: Option<&PairColumn>,
    ) -> Result<(SchemaRef, Vec<RecordBatch>), StoreError> {
        let limit = MemoryLimit::free();
        let memory = limit.alone();
        let own = column.map(PairColumn::name);
        let columns: Option<Vec<&str>> =
            own.as_ref().map(|own| ["a", "b", "case_a", "case_b", own.as_str()].to_vec());
        let stored = || self.parameters.metrics.iter().map(|metric| metric.column());
        let mut all = (Arc::new(schema(stored())), Vec::new());
        for (_, path) in &self.parts {
            require_columns(path, own.as_deref().as_slice())?;
            let (schema, batches) = table::read_arrow(path, columns.as_deref(), &memory)?;
            all.0 = schema;
            all.1.extend(batches);
        }
        Ok(all)
    }

    /// Hash of the keys of all part files: it identifies the inputs and parameters of the pairs.
    ///
    /// # Errors
    /// [`StoreError`] if a file cannot be read.
    pub fn hash(&self) -> Result<String, StoreError> {
        let mut keys = pdl_store::hash::Key::new("pairs 1");
        for (_, path) in &self.parts {
            let metadata = table::read_metadata(path, SCHEMA_VERSION)?;
            keys = keys.part("part", &metadata.get("pdl.key"));
        }
        Ok(keys.finish())
    }
}

fn visit_part(path: &Path, metric: &str, visit: &mut dyn FnMut(u32, u32, f32)) -> Result<(), StoreError> {
    read_part(path, &[metric], &mut |a, b, values| {
        if let [value] = values {
            visit(a, b, *value);
        }
    })
}

/// Calls `visit` with the row numbers and the values of `metrics` of every row of a part file.
pub(crate) fn read_part(
    path: &Path,
    metrics: &[&str],
    visit: &mut dyn FnMut(u32, u32, &[f32]),
) -> Result<(), StoreError> {
    let problem =
        |e: &dyn std::fmt::Display| StoreError::Table { path: path.to_owned(), problem: e.to_string() };
    require_columns(path, metrics)?;
    let columns: Vec<&str> = ["a", "b"].into_iter().chain(metrics.iter().copied()).collect();
    let mut row = vec![0.0; metrics.len()];
    for batch in table::read_batches(path, &columns)? {
        let batch = batch?;
        let other_type = || problem(&"a column has an unexpected type");
        let number = |name: &str| batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<UInt32Type>());
        let value =
            |name: &&str| batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<Float32Type>());
        let (a, b) = number("a").zip(number("b")).ok_or_else(other_type)?;
        let values: Vec<_> = metrics.iter().map(value).collect::<Option<_>>().ok_or_else(other_type)?;
        for (i, (a, b)) in a.values().iter().zip(b.values()).enumerate() {
            row.iter_mut().zip(&values).for_each(|(to, column)| *to = column.value(i));
            visit(*a, *b, &row);
        }
    }
    Ok(())
}

/// # Errors
/// [`StoreError::Table`] with the metrics that there are, when one of `metrics` is missing.
fn require_columns(path: &Path, metrics: &[&str]) -> Result<(), StoreError> {
    let names = table::column_names(path)?;
    let Some(missing) = metrics.iter().find(|metric| !names.iter().any(|name| name == *metric)) else {
        return Ok(());
    };
    let there = names.iter().skip(4).map(String::as_str).collect::<Vec<_>>().join(", ");
    let problem = format!(
        "column {missing} is missing; there are {there}. `pdl compare --metrics` adds metrics; those of single channels \
         exist if cases have several"
    );
    Err(StoreError::Table { path: path.to_owned(), problem })
}

/// Removes part files that belong to no tile of this comparison.
pub(crate) fn remove_strangers(out: &Path, tiles: &[Tile]) -> Result<(), StoreError> {
    let names: std::collections::HashSet<String> = tiles.iter().map(|tile| file_name(*tile)).collect();
    let folder = SafePath::new(out, FOLDER)?;
    folder.create()?;
    atomic::retain(&folder, |name| names.contains(name))
}
