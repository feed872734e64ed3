//! A curation folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema};
use numpy::ndarray::{Array2, Array3};
use numpy::{Element, PyArray, PyArray2, PyArray3};
use pdl::preconditions::{CASES, MANIFEST, Made, PAIRED, PREPARED, check_case, check_curated};
use pdl_curriculum::manifest::{Manifest, TABLE_FILE};
use pdl_prepare::plan;
use pdl_prepare::prepared_row::{self, PreparedRow};
use pdl_prepare::proxies::Proxies;
use pdl_report::findings::{self, StageFinding};
use pdl_report::notebook;
use pdl_similarity::matrix::PairMatrix;
use pdl_similarity::metrics::PairColumn;
use pdl_similarity::pairs::Pairs;
use pdl_store::memory::MemoryLimit;
use pdl_store::table::{self, column, nullable};
use pdl_volume::Volume;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use crate::error::{Error, invalid, raised};
use crate::table::Table;
use crate::threads::detached;

/// The results of `pdl curate` in a curation folder.
///
/// Tables are read when they are asked for. Open the folder again after a stage has run.
///
/// >>> import pdl
/// >>> cohort = pdl.open("out/ct")
/// >>> cohort.image("ct_02").ndim, cohort.matrix("ssim").shape
/// (3, (24, 24))
#[pyclass(frozen, module = "pdl")]
pub(crate) struct Cohort {
    out: PathBuf,
    /// The prepared cases by id, read once: a data loader asks for one after the other.
    prepared: PyOnceLock<HashMap<String, PreparedRow>>,
}

#[pymethods]
impl Cohort {
    #[new]
    fn new(path: PathBuf) -> PyResult<Self> {
        check_curated(&path, &[CASES]).map_err(raised)?;
        Ok(Self { out: path, prepared: PyOnceLock::new() })
    }

    /// The curation folder, as it was given.
    #[getter]
    fn path(&self) -> &Path {
        &self.out
    }

    /// `cases.parquet`: a row for every case, rejected ones included.
    #[getter]
    fn cases(&self, py: Python<'_>) -> PyResult<Table> {
        self.read(py, &[CASES], |out| {
            pdl_cohort::table::cases::Cases::read(out)?;
            read_table(&out.join(pdl_cohort::table::cases::FILE))
        })
    }

    /// `manifest.parquet`: a row for every case with a label, its split, rank, stage and files.
    #[getter]
    fn manifest(&self, py: Python<'_>) -> PyResult<Table> {
        self.read(py, &[CASES, MANIFEST], |out| {
            Manifest::open(out)?;
            read_table(&out.join(TABLE_FILE))
        })
    }

    /// The findings of all stages: `stage`, `case_id` (null where it is about the cohort), `code`,
    /// `severity` (note, warning or rejection) and `message`.
    #[getter]
    fn findings(&self, py: Python<'_>) -> PyResult<Table> {
        self.read(py, &[CASES], |out| findings_table(&findings::read(out)?))
    }

    /// Every pair of cases once: `a`, `b` (rows of `matrix`), `case_a`, `case_b` and the value of a
    /// metric such as `ssim`, or of all metrics.
    #[pyo3(signature = (metric = None))]
    fn pairs(&self, py: Python<'_>, metric: Option<&str>) -> PyResult<Table> {
        let column = metric.map(parse_metric).transpose()?;
        self.read(py, PAIRED, |out| Ok(open_pairs(out)?.1.read_arrow(column.as_ref())?))
    }

    /// The pairs of a metric as a symmetric float32 matrix, in the order of `case_ids`. The
    /// diagonal holds the value of identical volumes.
    #[pyo3(signature = (metric = "ssim"))]
    fn matrix<'py>(&self, py: Python<'py>, metric: &str) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let column = parse_metric(metric)?;
        let matrix = self.checked(py, PAIRED, |out| {
            let (proxies, pairs) = open_pairs(out)?;
            let matrix = PairMatrix::read(&proxies, &pairs, &column)?;
            let count = matrix.case_ids.len();
            Ok(Array2::from_shape_vec([count, count], matrix.values)?)
        })?;
        Ok(PyArray::from_owned_array(py, matrix))
    }

    /// The ids of the compared cases: the order of the rows and columns of `matrix`.
    #[getter]
    fn case_ids(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.checked(py, &[CASES, PREPARED], |out| Ok(Proxies::open(out)?.case_ids))
    }

    /// The prepared image of a case, a float32 array [z, y, x].
    ///
    /// It is normalised, RAS+ and at the plan's spacing: x grows to the patient's right, y to the
    /// front, z upwards. `channel` is one of several channels, by its name or its number from 0;
    /// without it the first is read.
    #[pyo3(signature = (case, channel = None))]
    fn image<'py>(
        &self,
        py: Python<'py>,
        case: &str,
        channel: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray3<f32>>> {
        let row = self.prepared_case(py, case)?;
        let channel = channel.map_or(Ok(0), |channel| self.channel(row, channel))?;
        let path = self.out.join(&row.images[channel]);
        let image = detached(py, || pdl_io::read_image(&path))?.map_err(raised)?;
        zyx(py, image.volume.into_ras())
    }

    /// The prepared label map of a case, a uint16 array [z, y, x] on the grid of its image.
    fn label<'py>(&self, py: Python<'py>, case: &str) -> PyResult<Bound<'py, PyArray3<u16>>> {
        let row = self.prepared_case(py, case)?;
        let Some(label) = &row.label else {
            return Err(Error::new_err(format!("case '{case}' has no label")));
        };
        let path = self.out.join(label);
        let labels = detached(py, || pdl_io::read_labels(&path))?.map_err(raised)?;
        zyx(py, labels.map.into_ras())
    }

    fn __repr__(&self) -> String {
        format!("Cohort({:?})", self.out)
    }

    fn __str__(&self, py: Python<'_>) -> PyResult<String> {
        self.checked(py, &[CASES], |out| Ok(pdl::summary_lines(out)?.join("\n")))
    }

    /// The summary, and thumbnails of the first cases, for a notebook.
    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        self.checked(py, &[CASES], |out| Ok(notebook::html(out, &pdl::summary_lines(out)?)?))
    }

    fn __getnewargs__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        (self.out.as_os_str(),).into_pyobject(py)
    }
}

impl Cohort {
    /// What `read` reads, once the folder holds what it requires.
    fn checked<T: Send>(
        &self,
        py: Python<'_>,
        required: &[Made],
        read: impl FnOnce(&Path) -> anyhow::Result<T> + Send,
    ) -> PyResult<T> {
        let out = self.out.as_path();
        let work = || check_curated(out, required).and_then(|()| read(out));
        detached(py, work)?.map_err(raised)
    }

    fn read(
        &self,
        py: Python<'_>,
        required: &[Made],
        read: impl FnOnce(&Path) -> anyhow::Result<(Arc<Schema>, Vec<RecordBatch>)> + Send,
    ) -> PyResult<Table> {
        self.checked(py, required, read).map(Table::new)
    }

    fn prepared_case(&self, py: Python<'_>, case: &str) -> PyResult<&PreparedRow> {
        let rows = self.prepared.get_or_try_init(py, || {
            self.checked(py, &[CASES, PREPARED], |out| {
                let rows = prepared_row::read(out)?.into_iter();
                Ok(rows.map(|row| (row.case_id.clone(), row)).collect::<HashMap<_, _>>())
            })
        })?;
        if let Some(row) = rows.get(case) {
            return Ok(row);
        }
        check_case(&self.out, case).map_err(raised)?;
        Err(Error::new_err(format!(
            "case '{case}' could not be prepared; failures.json says why: {}",
            self.out.display()
        )))
    }

    /// The number of a channel, by its name or its number from 0.
    fn channel(&self, row: &PreparedRow, channel: &Bound<'_, PyAny>) -> PyResult<usize> {
        let plan = plan::read(&self.out).map_err(raised)?;
        let further = plan.further_channels.iter().map(|channel| channel.name.as_str());
        let names: Vec<&str> = plan.first_channel.as_deref().into_iter().chain(further).collect();
        let number = match channel.extract::<usize>() {
            Ok(number) => Some(number),
            Err(_) => {
                let name: String = channel.extract()?;
                names.iter().position(|own| own.eq_ignore_ascii_case(&name))
            }
        };
        number.filter(|number| *number < row.images.len()).ok_or_else(|| {
            let known = match names.as_slice() {
                [] => "cases have one image".to_owned(),
                _ => format!("expected one of {}", names.join(", ")),
            };
            invalid("channel", format!("{known}, found {channel}"))
        })
    }
}

fn read_table(path: &Path) -> anyhow::Result<(Arc<Schema>, Vec<RecordBatch>)> {
    let limit = MemoryLimit::free();
    Ok(table::read_arrow(path, None, &limit.alone())?)
}

fn open_pairs(out: &Path) -> anyhow::Result<(Proxies, Pairs)> {
    let proxies = Proxies::open(out)?;
    let pairs = Pairs::open(out, &proxies)?;
    Ok((proxies, pairs))
}

fn parse_metric(name: &str) -> PyResult<PairColumn> {
    name.parse().map_err(|problem: String| invalid("metric", problem))
}

fn findings_table(findings: &[StageFinding]) -> anyhow::Result<(Arc<Schema>, Vec<RecordBatch>)> {
    let schema = Arc::new(Schema::new(vec![
        column("stage", DataType::Utf8),
        nullable("case_id", DataType::Utf8),
        column("code", DataType::Utf8),
        column("severity", DataType::Utf8),
        column("message", DataType::Utf8),
    ]));
    let texts = |text: fn(&StageFinding) -> Option<&str>| -> ArrayRef {
        Arc::new(findings.iter().map(text).collect::<StringArray>())
    };
    let columns = vec![
        texts(|finding| Some(finding.stage)),
        texts(|finding| finding.case_id.as_deref()),
        texts(|finding| Some(finding.code)),
        texts(|finding| Some(finding.severity.as_str())),
        texts(|finding| Some(&finding.message)),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    Ok((schema, vec![batch]))
}

/// The voxels as they lie, x fastest, as a C array (z, y, x).
fn zyx<T: Element>(py: Python<'_>, volume: Volume<T>) -> PyResult<Bound<'_, PyArray3<T>>> {
    let [nx, ny, nz] = volume.grid.shape;
    let array = Array3::from_shape_vec([nz, ny, nx], volume.voxels).map_err(raised)?;
    Ok(PyArray::from_owned_array(py, array))
}
