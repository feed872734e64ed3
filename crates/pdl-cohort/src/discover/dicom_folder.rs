//! Folders of DICOM files that a cohort names as the image of a case.

use std::io;
use std::path::{Path, PathBuf};

use pdl_io::{is_volume_name, stack};
use pdl_store::fault;

use crate::attributes::Modality;
use crate::discover::walk;

/// Number of files of a folder that are checked for DICOM.
const FIRST_FILES: usize = 8;

/// Whether a path is a DICOM file, or a folder that holds DICOM files at any depth.
///
/// # Errors
/// Errors of the machine.
pub(crate) fn is_series(path: &Path) -> io::Result<bool> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if is_volume_name(&name) || stack::is_stack(path)? {
        return Ok(false);
    }
    if !fault::is_dir(path)? {
        return Ok(fault::is_file(path)? && pdl_dicom::is_dicom(path)?);
    }
    for file in files_of(path)?.iter().take(FIRST_FILES) {
        if pdl_dicom::is_dicom(file)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a folder holds DICOM files directly.
///
/// # Errors
/// Errors of the machine.
pub(crate) fn is_flat_series(folder: &Path) -> io::Result<bool> {
    let mut files: Vec<PathBuf> = fault::list(folder)?.iter().map(std::fs::DirEntry::path).collect();
    files.sort();
    let is_hidden = |file: &&PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with('.') || is_volume_name(&name) || stack::is_slice_name(&name)
    };
    for file in files.iter().filter(|file| !is_hidden(file)).take(FIRST_FILES) {
        if fault::is_file(file)? && pdl_dicom::is_dicom(file)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The files of a series, ascending.
///
/// # Errors
/// Errors of the machine.
pub(crate) fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fault::is_dir(path)? {
        return Ok(vec![path.to_owned()]);
    }
    let is_hidden =
        |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let mut files = pdl_dicom::files_below_except(path, &walk::is_curation)?;
    files.retain(|file| !is_hidden(file));
    files.sort();
    Ok(files)
}

/// The modality that the first of a series' files states.
///
/// # Errors
/// Errors of the machine.
pub(crate) fn modality(path: &Path) -> io::Result<Option<Modality>> {
    for file in files_of(path)?.into_iter().take(FIRST_FILES) {
        let scan = pdl_dicom::scan(&[file], &|| ()).map_err(|error| machine(&error))?;
        if let Some(series) = scan.series.first() {
            return Ok(series.modality.parse().ok());
        }
    }
    Ok(None)
}

fn machine(error: &pdl_dicom::DicomError) -> io::Error {
    fault::machine_error(error).unwrap_or_else(|| io::Error::other(error.reason()))
}
