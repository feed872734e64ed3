//! Errors as Python raises them.

use pdl_similarity::arrays::ArrayError;
use pdl_store::fault;
use pyo3::PyErr;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyMemoryError, PyValueError};

create_exception!(
    pdl,
    Error,
    PyException,
    "What keeps pdl from doing what it was asked to, in the words of the command line."
);
create_exception!(
    pdl,
    MachineError,
    Error,
    "The machine failed (disk, network file system, open files, memory): the same call may succeed later."
);

/// The exception of an error: [`MachineError`] where the machine caused it, else [`Error`].
pub(crate) fn raised(error: impl Into<anyhow::Error>) -> PyErr {
    let error = error.into();
    let text = pdl_console::explanation(error.as_ref());
    match fault::machine_error(error.as_ref()) {
        Some(_) => MachineError::new_err(text),
        None => Error::new_err(text),
    }
}

/// The exception of arrays that cannot be compared.
pub(crate) fn invalid_arrays(error: &ArrayError) -> PyErr {
    match error {
        ArrayError::Memory(_) => PyMemoryError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

/// The exception of an argument that has the right type and an invalid value.
pub(crate) fn invalid(argument: &str, problem: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(format!("invalid {argument}: {problem}"))
}
