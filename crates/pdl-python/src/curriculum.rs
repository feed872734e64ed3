//! The curriculum of a manifest.

use std::path::{Path, PathBuf};

use pdl::preconditions::{CASES, MANIFEST, check_curated};
use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::{Manifest, ManifestRow, TABLE_FILE};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::error::{invalid, raised};
use crate::threads::detached;

/// Which cases train at which epoch.
///
/// `path` is a curation folder, or the folder of a fold's manifest (`OUT/folds/0`).
///
/// >>> import pdl
/// >>> curriculum = pdl.Curriculum("out/ct")
/// >>> [len(curriculum.active(epoch)) for epoch in (0, 9, 10, 40)]
/// [4, 4, 8, 18]
#[pyclass(frozen, module = "pdl")]
pub(crate) struct Curriculum {
    folder: PathBuf,
    manifest: Manifest,
}

#[pymethods]
impl Curriculum {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        if !path.join(TABLE_FILE).exists() {
            check_curated(&path, &[CASES, MANIFEST]).map_err(raised)?;
        }
        let manifest = detached(py, || Manifest::open(&path))?.map_err(raised)?;
        Ok(Self { folder: path, manifest })
    }

    /// The ids of the training cases in the order of their ranks, in which they join.
    #[getter]
    fn cases(&self) -> Vec<&str> {
        self.manifest.training().into_iter().map(|row| row.case_id.as_str()).collect()
    }

    /// The stages, ascending: from `first_epoch` on, `active_cases` cases train.
    #[getter]
    fn stages<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let stages = self.manifest.info.stages.iter().map(|stage| {
            let dict = PyDict::new(py);
            dict.set_item("stage", stage.stage)?;
            dict.set_item("first_epoch", stage.first_epoch)?;
            dict.set_item("active_cases", stage.active_cases)?;
            Ok(dict)
        });
        PyList::new(py, stages.collect::<PyResult<Vec<_>>>()?)
    }

    /// The ids of the cases that train at an epoch, counted from 0, in the order of their ranks.
    fn active(&self, epoch: i64) -> PyResult<Vec<&str>> {
        if epoch < 0 {
            return Err(invalid("epoch", format!("expected 0 or more, found {epoch}")));
        }
        let stages = self.manifest.info.stages.iter();
        let begun = stages.take_while(|stage| i64::from(stage.first_epoch) <= epoch).last();
        let mut cases = self.cases();
        cases.truncate(begun.map_or(0, |stage| stage.active_cases as usize));
        Ok(cases)
    }

    /// The files of a split (`train`, `val` or `test`), a dictionary for each case.
    ///
    /// Training cases are in the order of their ranks, others in that of their ids. `image` is the
    /// path of the prepared image, or a list of paths where cases have several channels, `label`
    /// that of the label map. Prepared volumes are RAS+ NIfTI.
    ///
    /// >>> import pdl
    /// >>> first = pdl.Curriculum("out/ct").files()[0]
    /// >>> first["case_id"], first["image"]
    /// ('ct_02', 'out/ct/prepared/images/ct_02.nii.gz')
    #[pyo3(signature = (split = "train"))]
    fn files<'py>(&self, py: Python<'py>, split: &str) -> PyResult<Bound<'py, PyList>> {
        let of_split =
            |split: Split| self.manifest.rows.iter().filter(move |row| row.split == split).collect();
        let rows: Vec<&ManifestRow> = match split {
            "train" => self.manifest.training(),
            "val" => of_split(Split::Val),
            "test" => of_split(Split::Test),
            _ => return Err(invalid("split", format!("expected train, val or test, found '{split}'"))),
        };
        let files = rows.into_iter().map(|row| files_of(py, &self.folder, row));
        PyList::new(py, files.collect::<PyResult<Vec<_>>>()?)
    }

    fn __len__(&self) -> usize {
        self.manifest.training().len()
    }

    fn __repr__(&self) -> String {
        format!("Curriculum({:?})", self.folder)
    }

    fn __getnewargs__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        (self.folder.as_os_str(),).into_pyobject(py)
    }
}

fn files_of<'py>(py: Python<'py>, folder: &Path, row: &ManifestRow) -> PyResult<Bound<'py, PyDict>> {
    let path = |file: &String| folder.join(file).into_os_string();
    let files = PyDict::new(py);
    files.set_item("case_id", &row.case_id)?;
    match row.images.as_slice() {
        [one] => files.set_item("image", path(one))?,
        several => files.set_item("image", several.iter().map(path).collect::<Vec<_>>())?,
    }
    files.set_item("label", path(&row.label))?;
    Ok(files)
}
