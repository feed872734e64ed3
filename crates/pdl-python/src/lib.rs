//! `import pdl`: what the command line does with files, with Arrow tables and NumPy arrays.
//!
//! In: curation folders, arrays. Out: the extension module `pdl._pdl`, which the Python package
//! beside it (`python/pdl`) re-exports: [`cohort`] and [`curriculum`] read a curation folder,
//! [`similarity`] compares arrays, [`table`] hands tables over by the Arrow PyCapsule interface,
//! and `command` runs the program. Work is done in [`threads`] while other Python threads run;
//! errors are exceptions with the program's words ([`error`]). It decides nothing of its own.

mod cohort;
mod curriculum;
mod error;
mod similarity;
mod table;
mod threads;

#[pyo3::pymodule]
mod _pdl {
    use std::ffi::OsString;

    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::cohort::Cohort;
    #[pymodule_export]
    use crate::curriculum::Curriculum;
    #[pymodule_export]
    use crate::error::{Error, MachineError};
    #[pymodule_export]
    use crate::similarity::{similarity, ssim};
    #[pymodule_export]
    use crate::table::Table;

    /// Run the program pdl with a command line, of which the first word is the program's name.
    ///
    /// Return its exit code. A process runs one: threads and the answer to Ctrl-C are set up for
    /// good.
    #[pyfunction]
    fn command(py: Python<'_>, words: Vec<OsString>) -> u8 {
        py.detach(|| pdl::run(words).code())
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
