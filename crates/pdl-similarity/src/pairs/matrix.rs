//! The pairs of one metric as a square matrix.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema};
use npyz::WriterBuilder;
use pdl_prepare::proxies::Proxies;
use pdl_store::printable::cell;
use pdl_store::table::{self, column};
use pdl_store::{StoreError, atomic};

use crate::metrics::PairColumn;
use crate::pairs::pair_table::Pairs;

/// File format of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum MatrixFormat {
    /// NumPy: float32, C order; rows and columns in the order of the proxies.
    Npy,
    /// Comma-separated values: a header of case ids, then a line per case that begins with its id.
    Csv,
    /// Parquet: a column `case_id`, then a column per case.
    Parquet,
}

impl MatrixFormat {
    /// File name extension, without the dot.
    pub fn ending(self) -> &'static str {
        match self {
            MatrixFormat::Npy => "npy",
            MatrixFormat::Csv => "csv",
            MatrixFormat::Parquet => "parquet",
        }
    }
}

/// All pairs of one metric as a symmetric matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct PairMatrix {
    /// Case ids of the rows and columns.
    pub case_ids: Vec<String>,
    /// Row by row; the diagonal holds the metric's value of identical volumes.
    pub values: Vec<f32>,
}

impl PairMatrix {
    /// Reads a column of the pairs; a missing pair is NaN.
    ///
    /// # Errors
    /// [`StoreError`] when the pairs cannot be read.
    pub fn read(proxies: &Proxies, pairs: &Pairs, column: impl Into<PairColumn>) -> Result<Self, StoreError> {
        let n = proxies.len();
        let mut values = vec![f32::NAN; n * n];
        let column = column.into();
        let identical = column.metric.of_identical();
        values.iter_mut().step_by(n + 1).for_each(|value| *value = identical);
        pairs.for_each(&column, |a, b, value| {
            let (a, b) = (a as usize, b as usize);
            values[a * n + b] = value;
            values[b * n + a] = value;
        })?;
        Ok(Self { case_ids: proxies.case_ids.clone(), values })
    }

    /// Writes the matrix to `path`.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn write(&self, path: &Path, format: MatrixFormat) -> Result<(), StoreError> {
        atomic::write_with(path, |temporary| match format {
            MatrixFormat::Npy => self.write_npy(temporary, path),
            MatrixFormat::Csv => self.write_csv(temporary, path),
            MatrixFormat::Parquet => self.write_parquet(temporary, path),
        })
    }

    fn rows(&self) -> impl Iterator<Item = (&String, &[f32])> {
        self.case_ids.iter().zip(self.values.chunks(self.case_ids.len().max(1)))
    }

    fn write_npy(&self, temporary: &Path, path: &Path) -> Result<(), StoreError> {
        let io = || StoreError::io("write the matrix", path);
        let file = BufWriter::new(File::create(temporary).map_err(io())?);
        let n = self.case_ids.len() as u64;
        let options = npyz::WriteOptions::new().default_dtype().shape(&[n, n]).writer(file);
        let mut writer = options.begin_nd().map_err(io())?;
        writer.extend(&self.values).map_err(io())?;
        writer.finish().map_err(io())
    }

    fn write_csv(&self, temporary: &Path, path: &Path) -> Result<(), StoreError> {
        let io = || StoreError::io("write the matrix", path);
        let file = BufWriter::new(File::create(temporary).map_err(io())?);
        let mut writer = csv::Writer::from_writer(file);
        let broken = |e: csv::Error| io()(e.into());
        writer.write_field("case_id").map_err(broken)?;
        writer.write_record(self.case_ids.iter().map(|case| cell(case).into_owned())).map_err(broken)?;
        for (case, row) in self.rows() {
            writer.write_field(cell(case).as_ref()).map_err(broken)?;
            writer.write_record(row.iter().map(f32::to_string)).map_err(broken)?;
        }
        writer.flush().map_err(io())?;
        writer.into_inner().map_err(|e| io()(e.into_error()))?.flush().map_err(io())
    }

    fn write_parquet(&self, temporary: &Path, path: &Path) -> Result<(), StoreError> {
        let mut fields = vec![column("case_id", DataType::Utf8)];
        fields.extend(self.case_ids.iter().map(|case| column(case, DataType::Float32)));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(&self.case_ids))];
        // The matrix is symmetric: its rows are its columns.
        columns.extend(self.rows().map(|(_, row)| Arc::new(Float32Array::from(row.to_vec())) as ArrayRef));
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .map_err(|e| StoreError::Table { path: path.to_owned(), problem: e.to_string() })?;
        let bytes = table::encode(path, &batch, table::properties(Vec::new()).build())?;
        std::fs::write(temporary, bytes).map_err(StoreError::io("write the matrix", path))
    }
}
