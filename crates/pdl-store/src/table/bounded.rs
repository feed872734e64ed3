//! A Parquet file of which no more is read into memory than its own sizes and a limit allow.
//!
//! Sizes in the footer and in the headers of pages are the file's word: a list of two thousand
//! million row groups, or a page of two gigabytes, is refused before a library takes the memory for
//! it. What the disk does not give is told apart from a damaged file.

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
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::thrift;
use crate::fault::{self, ReadFault, Watched};
use crate::memory::{MemoryError, MemoryLimit, MemoryShare};
use crate::{Result, StoreError, catch_panic, regular_file};

/// Memory that an element of a list of the footer takes at most, such as a row group.
const ELEMENT_BYTES: u64 = 512;
/// Most bytes of the header of a page.
const LONGEST_HEADER: u64 = 1 << 20;
/// A decoded page of more bytes than writers put into one, unless values are that long.
const LARGE_PAGE: u64 = 64 << 20;
/// Most times that the content of such a page expands.
const MOST_EXPANSION: u64 = 4096;
/// The length of the footer and the file's name at its end, bytes.
const TAIL: u64 = 8;
/// Most rows that are in memory as they are stored.
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

    /// What the file says of itself.
    pub(super) fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// What its columns are called, in their order.
    pub(super) fn column_names(&self) -> Vec<String> {
        self.metadata.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// Its rows, some columns of them or all, a few at a time.
    pub(super) fn batches(self, columns: Option<&[&str]>) -> Result<Batches> {
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

/// What a library gives, which may panic at a damaged file.
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
    /// Bytes of its pages when they are decoded, by the footer's word.
    decoded: u64,
}

fn chunks(metadata: &ParquetMetaData) -> Vec<Chunk> {
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    let chunk = |column: &parquet::file::metadata::ColumnChunkMetaData| {
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

/// Why the library was refused what it wanted to read.
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
    /// Most bytes that a page may have when it is decoded.
    limit: u64,
    chunks: Arc<[Chunk]>,
    /// Where headers of pages may begin: wherever reading began.
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

    /// The library's error as it is told.
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
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        Ok(Watched::new(file, &self.refusals.fault))
    }

    fn read(&self, bytes: Range<u64>) -> parquet::errors::Result<Vec<u8>> {
        if bytes.start > bytes.end || bytes.end > self.length {
            return Err(ParquetError::EOF("the file is cut short".to_owned()));
        }
        let length = (bytes.end - bytes.start) as usize;
        let read = fault::retried(|| {
            let mut content = Vec::new();
            content.try_reserve_exact(length)?;
            self.at(bytes.start)?.take(length as u64).read_to_end(&mut content)?;
            Ok::<_, io::Error>(content)
        })?;
        if read.len() != length {
            return Err(ParquetError::EOF("the file is cut short".to_owned()));
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
            return Err(damaged("the header of a page says that it is far larger than its content can be"));
        }
        // Headers count as part of the column.
        if decoded > chunk.decoded || !expands_to(content, chunk.compression, decoded) {
            return Err(damaged("a page is larger than its column or its header says"));
        }
        Ok(())
    }
}

/// Whether content decodes to `decoded` bytes at most. Only decoders that do not stop there by
/// themselves are asked.
fn expands_to(content: &[u8], compression: Compression, decoded: u64) -> bool {
    let counted =
        |reader: &mut dyn Read| io::copy(&mut reader.take(decoded.saturating_add(1)), &mut io::sink());
    let bytes = match compression {
        Compression::GZIP(_) => counted(&mut flate2::read::MultiGzDecoder::new(content)),
        Compression::BROTLI(_) => counted(&mut brotli::Decompressor::new(content, 1 << 12)),
        // Frames of LZ4 expand to 255 times their size at most.
        Compression::LZ4 => return content.len() as u64 * 255 <= decoded.max(1 << 24),
        _ => return true,
    };
    bytes.map_or(true, |bytes| bytes <= decoded) // what cannot be decoded is the library's to tell
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

/// Checks the sizes in the footer, for whose lists the library takes memory.
fn check_footer(reader: &Pages, memory: &MemoryShare<'_>) -> parquet::errors::Result<()> {
    let cut = || damaged("the file is cut short, or no Parquet file");
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

/// What the library says, without the words that it puts before each message.
fn told(error: &ParquetError) -> String {
    match error {
        ParquetError::General(text) | ParquetError::EOF(text) => text.clone(),
        other => other.to_string(),
    }
}

/// For a table of pdl's own, whose size is limited by what is free on the machine.
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
        assert!(!expands_to(&zeros, Compression::LZ4, 10));
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
                let _ = (read_text(&path, "id", &limit.alone()), read_metadata(&path));
            }
        }
    }
}
