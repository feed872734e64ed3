//! Tables of rows as Parquet files, from and to Rust types, under a schema that is written down.

mod bounded;
mod thrift;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::bounded::Table;
use crate::memory::{MemoryLimit, MemoryShare};
use crate::safe_path::SafePath;
use crate::{Result, StoreError, atomic, catch_panic, format_version};

/// A non-null column.
pub fn column(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

/// A column that may be null.
pub fn nullable(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

/// A list of non-null items.
pub fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, false)))
}

/// A list of items that may be null.
pub fn nullable_list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

/// A struct of non-null fields.
pub fn structure(fields: &[(&str, DataType)]) -> DataType {
    DataType::Struct(fields.iter().map(|(name, data_type)| column(name, data_type.clone())).collect())
}

/// Key-value metadata of a table's file, such as the parameters that it was made with.
pub type Metadata = Vec<(String, String)>;

/// The metadata of a table of pdl's own whose format has this version.
pub fn versioned(version: u32) -> Metadata {
    vec![(format_version::TABLE_KEY.to_owned(), version.to_string())]
}

/// The writer's settings of all tables: zstd, and no time or machine name in the file, so that the
/// same rows give the same bytes.
pub fn properties(metadata: Metadata) -> WriterPropertiesBuilder {
    let facts = metadata.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(format!("pdl {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(facts))
}

/// One batch as the bytes of a Parquet file.
///
/// # Errors
/// [`StoreError`] if the batch cannot be encoded; `path` is for the message.
/// [`StoreError::Machine`] if the compressor gets no memory.
pub fn encode(path: &Path, batch: &RecordBatch, properties: WriterProperties) -> Result<Vec<u8>> {
    let problem = |e: parquet::errors::ParquetError| table_problem(path, &e);
    let encoded = catch_panic::of_codecs(|| {
        let mut bytes = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).map_err(problem)?;
        writer.write(batch).map_err(problem)?;
        writer.close().map_err(problem)?;
        Ok(bytes)
    });
    encoded.unwrap_or_else(|| {
        let source = std::io::ErrorKind::OutOfMemory.into();
        Err(StoreError::Machine { what: "a table".to_owned(), path: Some(path.to_owned()), source })
    })
}

/// Writes rows as a Parquet file under `schema`, and returns whether that changed the file.
///
/// # Errors
/// [`StoreError`] when a row does not fit the schema or the file cannot be written.
pub fn write_rows<T: Serialize>(
    path: impl Into<SafePath>,
    schema: &Schema,
    rows: &[T],
    metadata: Metadata,
) -> Result<bool> {
    let path = path.into();
    let full = path.full();
    let batch = to_batch(&full, schema, rows)?;
    atomic::write_if_changed(path, &encode(&full, &batch, properties(metadata).build())?)
}

/// Like [`write_rows`], but only the user can read or write the file.
///
/// # Errors
/// As [`write_rows`].
pub fn write_private_rows<T: Serialize>(
    path: &Path,
    schema: &Schema,
    rows: &[T],
    metadata: Metadata,
) -> Result<bool> {
    let batch = to_batch(path, schema, rows)?;
    atomic::write_private_if_changed(path, &encode(path, &batch, properties(metadata).build())?)
}

fn to_batch<T: Serialize>(path: &Path, schema: &Schema, rows: &[T]) -> Result<RecordBatch> {
    let problem = |e: &dyn std::fmt::Display| table_problem(path, e);
    let arrays = serde_arrow::to_arrow(schema.fields(), rows).map_err(|e| problem(&e))?;
    RecordBatch::try_new(Arc::new(schema.clone()), arrays).map_err(|e| problem(&e))
}

/// Reads the rows and the metadata of a table of pdl's own, of format version `supported` or lower.
///
/// # Errors
/// [`StoreError`] if it is missing, truncated or does not fit the type;
/// [`StoreError::NewerFormat`] if a newer pdl wrote it; [`StoreError::Memory`] when it needs more
/// memory than is free on the machine.
pub fn read_rows<T: DeserializeOwned>(
    path: &Path,
    supported: u32,
) -> Result<(Vec<T>, HashMap<String, String>)> {
    let limit = MemoryLimit::free();
    let memory = limit.alone();
    let table = Table::open(path, &memory)?;
    let metadata = own_key_values(path, &table, supported)?;
    Ok((rows_of(path, table, None, size_of::<T>() as u64, &memory)?, metadata))
}

/// Reads those of the given columns that a Parquet file has, a few rows at a time. Each row counts
/// as `row_bytes` of memory in addition to its values.
///
/// # Errors
/// [`StoreError`] if it is missing, truncated or does not fit the type; [`StoreError::Memory`] if
/// it has more rows, or longer values, than the share allows.
pub fn read_columns<T: DeserializeOwned>(
    path: &Path,
    columns: &[&str],
    row_bytes: u64,
    memory: &MemoryShare<'_>,
) -> Result<Vec<T>> {
    let table = Table::open(path, memory)?;
    let names = table.column_names();
    if !columns.iter().any(|column| names.iter().any(|name| name == column)) {
        return Err(table_problem(path, &format!("it has none of the columns {}", columns.join(", "))));
    }
    rows_of(path, table, Some(columns), row_bytes, memory)
}

fn rows_of<T: DeserializeOwned>(
    path: &Path,
    table: Table,
    columns: Option<&[&str]>,
    row_bytes: u64,
    memory: &MemoryShare<'_>,
) -> Result<Vec<T>> {
    let no_memory = |source| StoreError::Memory { path: path.to_owned(), source };
    // The file's own metadata, before any row is read.
    let declared = table.metadata().file_metadata().num_rows().max(0) as u64;
    let part = memory.part();
    part.take_each(declared, row_bytes).map_err(no_memory)?;
    drop(part);
    let mut rows: Vec<T> = Vec::new();
    for batch in table.batches(columns)? {
        let batch = batch?;
        let held = (batch.num_rows() as u64).saturating_mul(row_bytes);
        memory.take(held.saturating_add(batch.get_array_memory_size() as u64)).map_err(no_memory)?;
        let batch = without_bytes(&batch).map_err(|e| table_problem(path, &e))?;
        let read = serde_arrow::from_record_batch::<Vec<T>>(&batch);
        rows.extend(read.map_err(|e| table_problem(path, &e))?);
    }
    Ok(rows)
}

/// The metadata of a table of pdl's own, of format version `supported` or lower, without reading
/// its rows.
///
/// # Errors
/// [`StoreError`] if it is missing or truncated; [`StoreError::NewerFormat`] if a newer pdl wrote
/// it.
pub fn read_metadata(path: &Path, supported: u32) -> Result<HashMap<String, String>> {
    own_key_values(path, &bounded::open_own(path)?, supported)
}

/// Like [`read_metadata`], with the number of rows before it.
///
/// # Errors
/// As [`read_metadata`].
pub fn read_facts(path: &Path, supported: u32) -> Result<(u64, HashMap<String, String>)> {
    let table = bounded::open_own(path)?;
    let rows = table.metadata().file_metadata().num_rows().max(0) as u64;
    Ok((rows, own_key_values(path, &table, supported)?))
}

/// The number of rows of a Parquet file, whoever wrote it.
///
/// # Errors
/// [`StoreError`] if it is missing or truncated.
pub fn row_count(path: &Path) -> Result<u64> {
    Ok(bounded::open_own(path)?.metadata().file_metadata().num_rows().max(0) as u64)
}

/// The names of a Parquet file's columns.
///
/// # Errors
/// [`StoreError`] if it is missing or truncated.
pub fn column_names(path: &Path) -> Result<Vec<String>> {
    Ok(bounded::open_own(path)?.column_names())
}

/// A column of a Parquet file, whatever its type, as text without spaces around it; `None` if it is
/// null.
///
/// # Errors
/// [`StoreError`] if the file is missing or truncated or has no such column; [`StoreError::Memory`]
/// if the column needs more than the share allows.
pub fn read_text(path: &Path, column: &str, memory: &MemoryShare<'_>) -> Result<Vec<Option<String>>> {
    let problem = |e: &dyn std::fmt::Display| table_problem(path, e);
    let no_memory = |source| StoreError::Memory { path: path.to_owned(), source };
    let mut texts = Vec::new();
    for batch in Table::open(path, memory)?.batches(Some(&[column]))? {
        let batch = batch?;
        let held = batch.num_rows() * size_of::<Option<String>>() + batch.get_array_memory_size();
        memory.take(held as u64).map_err(no_memory)?;
        let values =
            batch.column_by_name(column).ok_or_else(|| problem(&format!("it has no column {column}")))?;
        let values = decoded(values).map_err(|e| problem(&format!("the column {column}: {e}")))?;
        for row in 0..values.len() {
            let text = (!values.is_null(row)).then(|| array_value_to_string(&values, row)).transpose();
            texts.push(text.map_err(|e| problem(&e))?.map(|text| text.trim().to_owned()));
        }
    }
    Ok(texts)
}

/// Checks that no newer pdl wrote the table `path`, before it is replaced. A missing or damaged one
/// passes.
///
/// # Errors
/// [`StoreError::NewerFormat`] if its version is above `supported`; an error of the machine.
pub fn refuse_newer(path: &Path, supported: u32) -> Result<()> {
    format_version::unless_damaged(read_metadata(path, supported))
}

/// A batch whose columns of bytes are texts.
fn without_bytes(batch: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(decoded).collect::<std::result::Result<Vec<_>, _>>()?;
    let fields = batch.schema_ref().fields().iter().zip(&columns);
    let fields: Vec<Field> = fields
        .map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Bytes as the text that they hold: some programs write text so.
fn decoded(values: &ArrayRef) -> std::result::Result<ArrayRef, ArrowError> {
    match values.data_type() {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let options = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(values, &DataType::LargeUtf8, &options)
        }
        _ => Ok(Arc::clone(values)),
    }
}

/// Some columns of a Parquet file, a batch of rows at a time.
///
/// # Errors
/// [`StoreError`] if the file is missing or truncated; each batch may fail in the same ways.
pub fn read_batches(path: &Path, columns: &[&str]) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
    bounded::open_own(path)?.batches(Some(columns))
}

/// Some columns of a Parquet file, or all of them, as they are stored: the schema and the rows, a
/// batch after the other.
///
/// # Errors
/// [`StoreError`] when the file is missing or truncated; [`StoreError::Memory`] when its rows need
/// more memory than the share gives.
pub fn read_arrow(
    path: &Path,
    columns: Option<&[&str]>,
    memory: &MemoryShare<'_>,
) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let batches = Table::open(path, memory)?.batches(columns)?;
    let schema = batches.schema();
    let mut all = Vec::new();
    for batch in batches {
        let batch = batch?;
        let held = memory.take(batch.get_array_memory_size() as u64);
        held.map_err(|source| StoreError::Memory { path: path.to_owned(), source })?;
        all.push(batch);
    }
    Ok((schema, all))
}

fn own_key_values(path: &Path, table: &Table, supported: u32) -> Result<HashMap<String, String>> {
    let metadata = key_values(table);
    format_version::check_text(path, metadata.get(format_version::TABLE_KEY).map(String::as_str), supported)?;
    Ok(metadata)
}

fn key_values(table: &Table) -> HashMap<String, String> {
    let list = table.metadata().file_metadata().key_value_metadata();
    list.into_iter().flatten().filter_map(|kv| Some((kv.key.clone(), kv.value.clone()?))).collect()
}

fn table_problem(path: &Path, problem: &dyn std::fmt::Display) -> StoreError {
    StoreError::Table { path: path.to_owned(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryLimit;
    use serde::Deserialize;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        id: String,
        rank: Option<u32>,
        labels: Vec<u16>,
        score: f64,
    }

    #[test]
    fn rows_survive_and_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let schema = Schema::new(vec![
            column("id", DataType::Utf8),
            nullable("rank", DataType::UInt32),
            column("labels", list(DataType::UInt16)),
            column("score", DataType::Float64),
        ]);
        let rows = vec![
            Row { id: "a".into(), rank: Some(1), labels: vec![1, 2], score: f64::INFINITY },
            Row { id: "b".into(), rank: None, labels: vec![], score: -0.5 },
        ];
        let facts = vec![("key".to_owned(), "value".to_owned())];
        let path = folder.path().join("t.parquet");
        write_rows(&path, &schema, &rows, facts.clone()).unwrap();
        let (read, metadata) = read_rows::<Row>(&path, 1).unwrap();
        assert_eq!(read, rows);
        assert_eq!(metadata["key"], "value");
        assert_eq!(column_names(&path).unwrap(), ["id", "rank", "labels", "score"]);
        let limit = MemoryLimit::new(1 << 20);
        let text = |column| read_text(&path, column, &limit.alone());
        let (columns, batches) = read_arrow(&path, Some(&["rank", "id"]), &limit.alone()).unwrap();
        let names: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!((names, batches[0].num_rows()), (vec!["id", "rank"], 2));
        assert_eq!(text("rank").unwrap(), [Some("1".to_owned()), None]);
        assert_eq!(text("score").unwrap(), [Some("inf".to_owned()), Some("-0.5".to_owned())]);
        assert!(text("none").is_err());
        let bytes = std::fs::read(&path).unwrap();
        write_rows(&path, &schema, &rows, facts).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_table_of_more_rows_than_there_is_memory_for_is_refused_with_the_figures() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Named {
            id: String,
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let schema = Schema::new(vec![column("id", DataType::Utf8), column("other", DataType::UInt8)]);
        #[derive(Serialize)]
        struct Wide<'a> {
            id: &'a str,
            other: u8,
        }
        let rows: Vec<Wide<'_>> = (0..5000).map(|_| Wide { id: "a", other: 1 }).collect();
        write_rows(&path, &schema, &rows, Vec::new()).unwrap();
        let read = |bytes: u64| {
            read_columns::<Named>(&path, &["id", "missing"], 1000, &MemoryLimit::new(bytes).alone())
        };
        assert_eq!(read(8 << 20).unwrap().len(), 5000);
        let error = read(4 << 20).unwrap_err();
        assert!(matches!(error, StoreError::Memory { .. }), "{error}");
        assert!(error.to_string().contains("4.8 MiB of memory, and the limit is 4.0 MiB"), "{error}");
        // Few rows, and much in each.
        let long = "a".repeat(1 << 20);
        let rows: Vec<Wide<'_>> = (0..5).map(|_| Wide { id: &long, other: 1 }).collect();
        write_rows(&path, &schema, &rows, Vec::new()).unwrap();
        assert!(matches!(read(4 << 20), Err(StoreError::Memory { .. })));
        let none = read_columns::<Named>(&path, &["missing"], 1000, &MemoryLimit::new(8 << 20).alone());
        assert!(none.unwrap_err().to_string().contains("it has none of the columns missing"));
    }
}
