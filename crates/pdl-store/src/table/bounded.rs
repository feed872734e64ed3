//! Reads Parquet files within a memory limit, with all declared sizes checked first.
//!
//! Sizes in the footer and in the headers of pages are not trusted: a list of two thousand million
//! row groups, or a page of two gigabytes, is refused before a library allocates memory for it.
//! Read errors of the disk are distinguished from a damaged file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};

use super::thrift;
use crate::fault::{self, ReadFault, Watched};
use crate::memory::{MemoryError, MemoryLimit, MemoryShare};
use crate::{Result, StoreError, catch_panic, regular_file};

/// Maximum memory of an element of a list in the footer, such as a row group, in bytes.
const ELEMENT_BYTES: u64 = 512;
/// Maximum size of the header of a page, in bytes.
const LONGEST_HEADER: u64 = 1 << 20;
/// Size above which a decoded page is larger than writers make them, unless values are that long,
/// in bytes.
const LARGE_PAGE: u64 = 64 << 20;
/// Maximum compression ratio of such a page.
const MOST_EXPANSION: u64 = 4096;
/// How a frame of LZ4 begins. What Hadoop writes under the same codec begins with a size instead.
const LZ4_FRAME: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Bytes that a page of LZ4 frames may be decoded to whatever its header says.
const LARGE_FRAMES: u64 = 16 << 20;
/// The length of the footer and the file's name at its end, bytes.
const TAIL: u64 = 8;
/// Maximum number of rows in memory at a time.
const ROWS_AT_A_TIME: u64 = 1024;

/// A Parquet file whose footer was read.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    reader: Pages,
    metadata: ArrowReaderMetadata,
}

impl Table {
    /// Opens a file; its footer counts as memory while it is read.
    pub(super) fn open(path: &Path, memory: &MemoryShare<'_>) -> Result<Self> {
        let file =
            fault::retried(|| regular_file::open(path)).map_err(StoreError::io("read the table", path))?;
        let length = file.metadata().map_err(StoreError::io("read the table", path))?.len();
        let mut reader = Pages::new(file, length);
        check_footer(&reader, memory).map_err(|error| reader.error(path, &error))?;
        let load = || ArrowReaderMetadata::load(&reader, ArrowReaderOptions::default());
        let metadata = unless_panicked(load).map_err(|error| reader.error(path, &error))?;
        reader.chunks = chunks(metadata.metadata()).into();
        reader.limit = memory.left();
        Ok(Self { path: path.to_owned(), reader, metadata })
    }

    /// The file's own metadata.
    pub(super) fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// The names of its columns, in their order.
    pub(super) fn column_names(&self) -> Vec<String> {
        self.metadata.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// The codec of some columns, or of all, that the library cannot decode.
    fn undecoded(&self, columns: Option<&[&str]>) -> Option<Compression> {
        let chunks = self.metadata().row_groups().iter().flat_map(|group| group.columns());
        let wanted = |chunk: &&ColumnChunkMetaData| {
            let name = chunk.column_path().parts().first().map(String::as_str);
            columns.is_none_or(|columns| name.is_some_and(|name| columns.contains(&name)))
        };
        chunks.filter(wanted).map(ColumnChunkMetaData::compression).find(|codec| *codec == Compression::LZO)
    }

    /// Rows, some columns of them or all, a few at a time.
    pub(super) fn batches(self, columns: Option<&[&str]>) -> Result<Batches> {
        if let Some(codec) = self.undecoded(columns) {
            let problem = format!("its columns are compressed by {codec}, which is not read: {REWRITE}");
            return Err(StoreError::Table { path: self.path, problem });
        }
        let Self { path, reader, metadata } = self;
        let mask = match columns {
            Some(columns) => ProjectionMask::columns(metadata.parquet_schema(), columns.iter().copied()),
            None => ProjectionMask::all(),
        };
        // A value, which a dictionary may repeat in every row, is no longer than its column.
        let longest = reader.chunks.iter().map(|chunk| chunk.decoded).max().unwrap_or(0).max(1);
        let rows = (reader.limit / longest).clamp(1, ROWS_AT_A_TIME) as usize;
        let build = || {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(reader.clone(), metadata);
            builder.with_projection(mask).with_batch_size(rows).build()
        };
        let rows = unless_panicked(build).map_err(|error| reader.error(&path, &error))?;
        Ok(Batches { path, reader, rows, ended: false })
    }
}

/// What to do about a codec.
const REWRITE: &str = "write the table with another compression, such as zstd";

/// The rows of a table, a batch at a time.
pub(super) struct Batches {
    path: PathBuf,
    reader: Pages,
    rows: ParquetRecordBatchReader,
    ended: bool,
}

impl Batches {
    /// The columns of every batch.
    pub(super) fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let rows = &mut self.rows;
        let next = unless_panicked(|| rows.next().transpose().map_err(ParquetError::from)).transpose()?;
        self.ended = next.is_err();
        Some(next.map_err(|error| self.reader.error(&self.path, &error)))
    }
}

/// The result of a library that may panic at a damaged file.
fn unless_panicked<T>(work: impl FnOnce() -> parquet::errors::Result<T>) -> parquet::errors::Result<T> {
    catch_panic::quietly(work).unwrap_or_else(|| Err(damaged("it is damaged")))
}

fn damaged(problem: &str) -> ParquetError {
    ParquetError::General(problem.to_owned())
}

/// The column of a row group in the file.
#[derive(Clone, Debug)]
struct Chunk {
    bytes: Range<u64>,
    compression: Compression,
    /// Size of its decoded pages as the footer states it, in bytes.
    decoded: u64,
}

fn chunks(metadata: &ParquetMetaData) -> Vec<Chunk> {
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    let chunk = |column: &ColumnChunkMetaData| {
        let first = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let start = first.min(column.data_page_offset()).max(0) as u64;
        let length = column.compressed_size().max(0) as u64;
        Chunk {
            bytes: start..start.saturating_add(length),
            compression: column.compression(),
            decoded: column.uncompressed_size().max(0) as u64,
        }
    };
    columns.map(chunk).collect()
}

/// Why a read of the library was refused.
#[derive(Debug, Default)]
struct Refusals {
    fault: ReadFault,
    memory: Mutex<Option<MemoryError>>,
}

/// The pages of a file, each checked before it is decoded.
#[derive(Clone, Debug)]
struct Pages {
    file: Arc<File>,
    length: u64,
    /// Maximum size of a decoded page, in bytes.
    limit: u64,
    chunks: Arc<[Chunk]>,
    /// Offsets at which headers of pages may begin: those at which reading began.
    begun: Arc<Mutex<BTreeSet<u64>>>,
    refusals: Arc<Refusals>,
}

impl Pages {
    /// Before the footer is known.
    fn new(file: File, length: u64) -> Self {
        Self {
            file: Arc::new(file),
            length,
            limit: u64::MAX,
            chunks: Arc::new([]),
            begun: Arc::default(),
            refusals: Arc::default(),
        }
    }

    /// The error to report for one of the library.
    fn error(&self, path: &Path, error: &ParquetError) -> StoreError {
        let refused = self.refusals.memory.lock().unwrap_or_else(PoisonError::into_inner).take();
        let machine = self.refusals.fault.take().or_else(|| fault::machine_error(error));
        let path = path.to_owned();
        match (refused, machine) {
            (Some(source), _) => StoreError::Memory { path, source },
            (None, Some(source)) => StoreError::Io { action: "read the table", path, source },
            (None, None) => StoreError::Table { path, problem: told(error) },
        }
    }

    fn at(&self, start: u64) -> io::Result<Watched<File>> {
        // The library would make a text of its error, too.
        let handle = fault::retried(|| self.file.try_clone());
        let mut file = handle.inspect_err(|error| self.refusals.fault.note(error))?;
        file.seek(SeekFrom::Start(start))?;
        Ok(Watched::new(file, &self.refusals.fault))
    }

    fn read(&self, bytes: Range<u64>) -> parquet::errors::Result<Vec<u8>> {
        if bytes.start > bytes.end || bytes.end > self.length {
            return Err(ParquetError::EOF("the file is truncated".to_owned()));
        }
        let length = (bytes.end - bytes.start) as usize;
        let read = fault::retried(|| {
            let mut content = Vec::new();
            content.try_reserve_exact(length)?;
            self.at(bytes.start)?.take(length as u64).read_to_end(&mut content)?;
            Ok::<_, io::Error>(content)
        })?;
        if read.len() != length {
            return Err(ParquetError::EOF("the file is truncated".to_owned()));
        }
        let _ = self.refusals.fault.take(); // what passed with another try
        Ok(read)
    }

    /// Checks the page whose content begins at `start`, right after its header.
    fn check_page(&self, chunk: &Chunk, start: u64, content: &[u8]) -> parquet::errors::Result<()> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let header = begun.range(chunk.bytes.start..start).next_back().copied();
        drop(begun);
        let header = header.filter(|header| start - header <= LONGEST_HEADER);
        let header = header.ok_or_else(|| damaged("a page has no header"))?;
        let mut decoded = None;
        let mut see = |path: &[i16], number: i64| {
            // PageHeader.uncompressed_page_size; of several the library takes the last.
            if path == [2] {
                decoded = decoded.max(u64::try_from(number).ok());
            }
        };
        let header = self.read(header..start)?;
        let walked = thrift::walk(&header, &mut see);
        let decoded = walked.and(decoded).ok_or_else(|| damaged("the header of a page is damaged"))?;
        if decoded > self.limit {
            let error = MemoryError::TooLarge { needed: decoded, allowed: self.limit };
            *self.refusals.memory.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            return Err(damaged("a page is larger than the memory"));
        }
        if decoded > LARGE_PAGE && decoded / MOST_EXPANSION > content.len() as u64 {
            return Err(damaged("the header of a page states a far larger size than its content can have"));
        }
        if chunk.compression == Compression::LZ4 && is_unbounded(content, decoded) {
            let problem = format!(
                "its pages are LZ4 frames, of which nobody knows how large they are before they are decoded: {REWRITE}"
            );
            return Err(damaged(&problem));
        }
        // Headers count as part of the column.
        if decoded > chunk.decoded || !expands_to(content, chunk.compression, decoded) {
            return Err(damaged("a page is larger than its column or its header states"));
        }
        Ok(())
    }
}

/// Whether content decodes to at most `decoded` bytes. Checked only for decoders without a limit of
/// their own.
fn expands_to(content: &[u8], compression: Compression, decoded: u64) -> bool {
    let counted =
        |reader: &mut dyn Read| io::copy(&mut reader.take(decoded.saturating_add(1)), &mut io::sink());
    let bytes = match compression {
        Compression::GZIP(_) => counted(&mut flate2::read::MultiGzDecoder::new(content)),
        Compression::BROTLI(_) => counted(&mut brotli::Decompressor::new(content, 1 << 12)),
        _ => return true,
    };
    bytes.map_or(true, |bytes| bytes <= decoded) // what cannot be decoded is the library's to tell
}

/// Whether a page of the codec LZ4 may be decoded to far more than its header says: frames may, to
/// 255 times their size, and what Hadoop writes does not.
fn is_unbounded(content: &[u8], decoded: u64) -> bool {
    content.starts_with(&LZ4_FRAME) && content.len() as u64 * 255 > decoded.max(LARGE_FRAMES)
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Pages {
    type T = BufReader<Watched<File>>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).insert(start);
        Ok(BufReader::new(self.at(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let content = self.read(start..start.saturating_add(length as u64))?;
        let of_chunks = self.chunks.iter().filter(|chunk| chunk.bytes.contains(&start));
        for chunk in of_chunks {
            self.check_page(chunk, start, &content)?;
        }
        Ok(content.into())
    }
}

/// Checks the sizes of the lists in the footer, for which the library allocates memory.
fn check_footer(reader: &Pages, memory: &MemoryShare<'_>) -> parquet::errors::Result<()> {
    let cut = || damaged("the file is truncated or not a Parquet file");
    let end = reader.length.checked_sub(TAIL).ok_or_else(cut)?;
    let tail = reader.read(end..reader.length)?;
    let Some((&length, b"PAR1")) = tail.split_first_chunk::<4>() else { return Err(cut()) };
    let start = end.checked_sub(u32::from_le_bytes(length).into()).ok_or_else(cut)?;
    let footer = reader.read(start..end)?;
    let mut children = 0;
    let mut see = |path: &[i16], number: i64| {
        // FileMetaData.schema, SchemaElement.num_children
        if path == [2, 5] {
            children = number.max(children);
        }
    };
    let elements = thrift::walk(&footer, &mut see).filter(|elements| children as u64 <= *elements);
    let elements = elements.ok_or_else(|| damaged("its footer is damaged"))?;
    let part = memory.part();
    part.take_each(elements, ELEMENT_BYTES).map_err(|error| {
        *reader.refusals.memory.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        damaged("its footer is larger than the memory")
    })
}

/// The library's message without its prefix.
fn told(error: &ParquetError) -> String {
    match error {
        ParquetError::General(text) | ParquetError::EOF(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Opens a table of pdl's own within the free memory.
pub(super) fn open_own(path: &Path) -> Result<Table> {
    Table::open(path, &MemoryLimit::free().alone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{column, properties, read_metadata, read_text, write_rows};
    use arrow::array::StringArray;
    use arrow::datatypes::{DataType, Schema};
    use parquet::arrow::ArrowWriter;
    use std::io::Write;

    #[test]
    fn content_that_expands_beyond_its_header_is_found() {
        let zeros = vec![0; 1 << 20];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&zeros).unwrap();
        let mut brotli = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
        brotli.write_all(&zeros).unwrap();
        let all = [
            (gzip.finish().unwrap(), Compression::GZIP(Default::default())),
            (brotli.into_inner(), Compression::BROTLI(Default::default())),
        ];
        for (content, compression) in all {
            assert!(expands_to(&content, compression, 1 << 20), "{compression}");
            assert!(!expands_to(&content, compression, (1 << 20) - 1), "{compression}");
        }
        let frames = [&LZ4_FRAME[..], &zeros].concat();
        assert!(is_unbounded(&frames, 10) && !is_unbounded(&frames[..1000], 10));
        assert!(!is_unbounded(&zeros, 10), "of Hadoop");
    }

    #[test]
    fn a_codec_that_is_not_decoded_is_named() {
        #[derive(serde::Serialize)]
        struct Row {
            id: u32,
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let schema = Schema::new(vec![column("id", DataType::UInt32)]);
        write_rows(&path, &schema, &[Row { id: 7 }], Vec::new()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        // Wherever the footer holds the number of zstd (6, as 12), that of LZO (3, as 6).
        let told = (0..whole.len()).filter(|at| whole[*at] == 12).filter_map(|at| {
            let mut changed = whole.clone();
            changed[at] = 6;
            std::fs::write(&path, changed).unwrap();
            Some(read_text(&path, "id", &MemoryLimit::new(16 << 20).alone()).err()?.to_string())
        });
        let told: Vec<String> = told.collect();
        assert!(told.iter().any(|told| told.contains("its columns are compressed by LZO")), "{told:?}");
    }

    #[test]
    fn a_page_larger_than_the_memory_is_refused_with_the_figures() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let schema = Arc::new(Schema::new(vec![column("id", DataType::Utf8)]));
        let long = "a".repeat(8 << 20);
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(StringArray::from(vec![long]))]);
        let mut bytes = Vec::new();
        let properties =
            properties(Vec::new()).set_compression(Compression::GZIP(Default::default())).build();
        let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties)).unwrap();
        writer.write(&batch.unwrap()).unwrap();
        writer.close().unwrap();
        std::fs::write(&path, bytes).unwrap();
        let read = |limit: u64| read_text(&path, "id", &MemoryLimit::new(limit).alone());
        assert_eq!(read(64 << 20).unwrap().len(), 1);
        let error = read(4 << 20).unwrap_err();
        assert!(matches!(error, StoreError::Memory { .. }), "{error}");
        assert!(error.to_string().contains("at least 8.0 MiB of memory"), "{error}");
    }

    #[test]
    fn every_byte_may_be_another() {
        #[derive(serde::Serialize)]
        struct Row {
            id: &'static str,
            rank: u32,
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let schema = Schema::new(vec![column("id", DataType::Utf8), column("rank", DataType::UInt32)]);
        let rows: Vec<Row> = (0..20).map(|rank| Row { id: "case", rank }).collect();
        write_rows(&path, &schema, &rows, vec![("key".to_owned(), "value".to_owned())]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let limit = MemoryLimit::new(16 << 20);
        for at in 0..whole.len() {
            for byte in [0xff, whole[at] ^ 0x10] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                std::fs::write(&path, damaged).unwrap();
                // An error or rows, no panic, and no memory beyond the limit.
                let _ = (read_text(&path, "id", &limit.alone()), read_metadata(&path, 1));
            }
        }
    }
}
