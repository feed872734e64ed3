//! Similarities of arrays.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use numpy::ndarray::Array2;
use numpy::{PyArray, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pdl_similarity::arrays::ArrayPairs;
use pdl_similarity::metrics::Metric;
use pdl_similarity::ssim::SsimWindow;
use pdl_store::memory::MemoryLimit;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::error::{invalid, invalid_arrays};
use crate::threads::interruptible;

/// Compare every two of some volumes, with the kernel of `pdl compare`.
///
/// `volumes` is an array (N, z, y, x) or a list of arrays (z, y, x); planes (y, x) take the
/// two-dimensional window. No side is shorter than the window, which is 7 voxels long (`uniform`)
/// or 11 (`gaussian`). `metrics` are `mse`, `psnr`, `ssim`, `uqi`, or one of them, `data_range` is
/// what the data can span.
/// SSIM is that of scikit-image 0.26 with the same data range: its default for `uniform`; with
/// `gaussian_weights=True, sigma=1.5, use_sample_covariance=False` for `gaussian`.
///
/// Return a dictionary with a symmetric float32 matrix (N, N) for each metric. Voxels are taken
/// as float32. Other Python threads run meanwhile and must not write to the volumes.
///
/// >>> import numpy, pdl
/// >>> ramp = numpy.linspace(0, 1, 4096, dtype="float32").reshape(16, 16, 16)
/// >>> result = pdl.similarity([ramp, ramp, ramp[::-1]], metrics=("ssim", "mse"))
/// >>> result["ssim"].shape, float(result["ssim"][0, 1]), float(result["mse"][0, 1])
/// ((3, 3), 1.0, 0.0)
#[pyfunction]
#[pyo3(signature = (volumes, metrics = None, window = "uniform", data_range = 1.0),
       text_signature = "(volumes, metrics=('ssim', 'mse'), window='uniform', data_range=1.0)")]
pub(crate) fn similarity<'py>(
    py: Python<'py>,
    volumes: &Bound<'py, PyAny>,
    metrics: Option<&Bound<'py, PyAny>>,
    window: &str,
    data_range: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let metrics = metrics.map_or(Ok(vec![Metric::Ssim, Metric::Mse]), parse_metrics)?;
    let window = parse_window(window)?;
    let arrays = volume_arrays(volumes)?;
    let shaped = arrays.iter().map(shaped).collect::<PyResult<Vec<_>>>()?;
    let count = shaped.len();
    let mut matrices: Vec<Array2<f32>> = metrics
        .iter()
        .map(|metric| {
            let mut matrix = Array2::from_elem([count, count], f32::NAN);
            matrix.diag_mut().fill(metric.of_identical());
            matrix
        })
        .collect();
    let compared = interruptible(py, |stop| {
        let pairs = ArrayPairs::new(&shaped, &metrics, window, data_range)?;
        pairs.for_each_tile(MemoryLimit::or_half_of_free(None).bytes(), |tile| {
            for (a, b, similarity) in tile {
                for (matrix, metric) in matrices.iter_mut().zip(&metrics) {
                    let value = metric.of_intensities(similarity) as f32;
                    matrix[[*a, *b]] = value;
                    matrix[[*b, *a]] = value;
                }
            }
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    })?;
    compared.map_err(|error| invalid_arrays(&error))?;
    let result = PyDict::new(py);
    for (metric, matrix) in metrics.iter().zip(matrices) {
        result.set_item(metric.column(), PyArray::from_owned_array(py, matrix))?;
    }
    Ok(result)
}

/// The structural similarity of two volumes (z, y, x) or planes (y, x): see `similarity`.
///
/// >>> import numpy, pdl
/// >>> a = numpy.random.default_rng(1).random((32, 32, 32), dtype="float32")
/// >>> pdl.ssim(a, a)
/// 1.0
/// >>> pdl.ssim(a, 0.9 * a) < 1
/// True
#[pyfunction]
#[pyo3(signature = (a, b, window = "uniform", data_range = 1.0))]
pub(crate) fn ssim(
    py: Python<'_>,
    a: &Bound<'_, PyAny>,
    b: &Bound<'_, PyAny>,
    window: &str,
    data_range: f64,
) -> PyResult<f64> {
    let window = parse_window(window)?;
    let arrays = [float32(a)?, float32(b)?];
    let shaped = arrays.iter().map(shaped).collect::<PyResult<Vec<_>>>()?;
    let mut value = f64::NAN;
    let compared = interruptible(py, |_| {
        let pairs = ArrayPairs::new(&shaped, &[Metric::Ssim], window, data_range)?;
        pairs.for_each_tile(MemoryLimit::or_half_of_free(None).bytes(), |tile| {
            tile.iter().for_each(|(_, _, similarity)| value = similarity.ssim);
            ControlFlow::Continue(())
        })
    })?;
    compared.map_err(|error| invalid_arrays(&error))?;
    Ok(value)
}

/// The volumes of an array (N, z, y, x) or of a sequence of arrays.
fn volume_arrays<'py>(volumes: &Bound<'py, PyAny>) -> PyResult<Vec<PyReadonlyArrayDyn<'py, f32>>> {
    let whole = volumes.hasattr("__array__")?.then(|| float32(volumes)).transpose()?;
    let arrays: Vec<PyReadonlyArrayDyn<'py, f32>> = match &whole {
        Some(whole) if whole.ndim() < 3 => {
            return Err(PyValueError::new_err(format!(
                "expected volumes (N, z, y, x) or planes (N, y, x), found an array of {} axes",
                whole.ndim()
            )));
        }
        Some(whole) => whole.as_any().try_iter()?.map(|one| float32(&one?)).collect::<PyResult<_>>()?,
        None => volumes.try_iter()?.map(|one| float32(&one?)).collect::<PyResult<_>>()?,
    };
    if arrays.is_empty() {
        return Err(PyValueError::new_err("expected at least one volume, found none"));
    }
    Ok(arrays)
}

/// A C array of float32, the same memory where it is one already.
fn float32<'py>(array: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArrayDyn<'py, f32>> {
    let numpy = array.py().import("numpy")?;
    let array = numpy.call_method1("asarray", (array,))?;
    let dtype = array.getattr("dtype")?;
    if !["b", "i", "u", "f"].contains(&dtype.getattr("kind")?.extract::<String>()?.as_str()) {
        return Err(PyTypeError::new_err(format!("expected an array of numbers, found dtype {dtype}")));
    }
    let array = numpy.call_method1("ascontiguousarray", (array, "float32"))?;
    Ok(array.cast_into::<PyArrayDyn<f32>>()?.try_readonly()?)
}

/// An array's shape (z, y, x) and voxels; a plane has one slice.
fn shaped<'a>(array: &'a PyReadonlyArrayDyn<'_, f32>) -> PyResult<([usize; 3], &'a [f32])> {
    let shape = match *array.shape() {
        [y, x] => [1, y, x],
        [z, y, x] => [z, y, x],
        ref other => {
            return Err(PyValueError::new_err(format!(
                "expected a volume (z, y, x) or a plane (y, x), found an array of {} axes",
                other.len()
            )));
        }
    };
    Ok((shape, array.as_slice()?))
}

fn parse_metrics(metrics: &Bound<'_, PyAny>) -> PyResult<Vec<Metric>> {
    let names: Vec<String> = match metrics.cast::<PyString>() {
        Ok(one) => vec![one.extract()?],
        Err(_) => metrics.extract()?,
    };
    let parse = |name: &String| {
        let found = Metric::USUAL.into_iter().find(|metric| metric.column() == name);
        found.ok_or_else(|| invalid("metrics", format!("expected mse, psnr, ssim or uqi, found '{name}'")))
    };
    names.iter().map(parse).collect()
}

fn parse_window(name: &str) -> PyResult<SsimWindow> {
    let found =
        [SsimWindow::Uniform, SsimWindow::Gaussian].into_iter().find(|window| window.to_string() == name);
    found.ok_or_else(|| invalid("window", format!("expected uniform or gaussian, found '{name}'")))
}
