//! A DICOM series as the image of a case whose labels are files of another format: masks in NIfTI,
//! or slices in PNG.

use std::path::{Path, PathBuf};

use pdl_dicom::{DicomError, ReadOptions, Series, SeriesImage};
use pdl_findings::{Code, Finding};
use pdl_io::{Part, StackGeometry};
use pdl_store::fault;
use pdl_store::file_state::FileState;
use pdl_store::memory::{MemoryLimit, MemoryShare};
use pdl_store::plural::counted;
use pdl_volume::{LabelMap, LabelReading, Orientation};

use crate::discover::dicom_folder;
use crate::import::ImportFailure;

/// Slices of a localizer at most.
const LOCALIZER_SLICES: usize = 3;

/// A series that was read, and the state of each file of its folder before that.
pub(crate) struct SeriesRead {
    pub image: SeriesImage,
    pub states: Vec<(PathBuf, FileState)>,
    pub findings: Vec<Finding>,
    series: Series,
}

/// Reads the one series of a folder; localizers beside it are ignored.
///
/// # Errors
/// [`ImportFailure::Case`] if there is none or several, or it makes no volume.
pub(crate) fn read(
    path: &Path,
    options: ReadOptions,
    memory: &MemoryShare<'_>,
) -> Result<SeriesRead, ImportFailure> {
    let files = dicom_folder::files_of(path).map_err(ImportFailure::Machine)?;
    let state = |file: PathBuf| Some((FileState::of(&file).ok()?, file));
    let states = files.iter().cloned().filter_map(state).map(|(state, file)| (file, state)).collect();
    let scan =
        pdl_dicom::scan_within(&files, &MemoryLimit::free(), &|| ()).map_err(|error| refusal(&error))?;
    let (series, localizers) = choose(scan.series)?;
    let image = pdl_dicom::read_series_within(&series, options, memory).map_err(|error| refusal(&error))?;
    let mut findings = image.findings.clone();
    if localizers > 0 {
        let message = format!(
            "{} of its folder with {LOCALIZER_SLICES} slices or fewer were skipped",
            counted(localizers, "series")
        );
        findings.push(Finding::new(Code::ImagesUnused, message));
    }
    Ok(SeriesRead { image, states, findings, series })
}

/// The series of a folder, and how many localizers lie beside it.
fn choose(mut series: Vec<Series>) -> Result<(Series, usize), Finding> {
    let found = series.len();
    if found > 1 {
        series.retain(|series| series.stored_shape()[2] > LOCALIZER_SLICES);
    }
    let left = series.len();
    match (series.pop(), left) {
        (Some(series), 1) => Ok((series, found - 1)),
        (None, _) if found == 0 => {
            Err(Finding::new(Code::UnreadableDicom, "no file of its folder is an image of a DICOM series"))
        }
        _ => {
            let message = format!(
                "its folder holds {found} DICOM series or volumes: name the folder of one of them in a table, or move \
                 each to a separate folder"
            );
            Err(Finding::new(Code::SeveralFiles, message))
        }
    }
}

fn refusal(error: &DicomError) -> ImportFailure {
    match (fault::machine_error(error), error.memory()) {
        (Some(error), _) => ImportFailure::Machine(error),
        (None, Some(error)) => ImportFailure::Memory(error),
        (None, None) => Finding::new(Code::UnreadableDicom, error.reason()).into(),
    }
}

impl SeriesRead {
    /// Reads a stack of mask slices, one for each file of the series, matched in the order of their
    /// names as in CHAOS. Rows and columns are those of the DICOM images.
    ///
    /// # Errors
    /// [`ImportFailure::Case`] when they are not as many, or not of the images' size.
    pub(crate) fn labels(
        &self,
        path: &Path,
        memory: &MemoryShare<'_>,
    ) -> Result<(LabelMap, Vec<Part>), ImportFailure> {
        let geometry = StackGeometry { spacing_mm: [1.0; 3], axes: Orientation::RAS };
        let read = pdl_io::read_label_stack_within(path, &geometry, LabelReading::default(), memory)
            .map_err(|error| match (fault::machine_error(&error), error.memory()) {
                (Some(error), _) => ImportFailure::Machine(error),
                (None, Some(error)) => ImportFailure::Memory(error),
                (None, None) => Finding::new(Code::UnreadableLabel, error.reason()).into(),
            })?;
        let of_slice = self.series.files_of_slices();
        let (wanted, found) = (self.image.stack.shape(), read.map.grid.shape);
        let mut files = of_slice.clone();
        files.sort_unstable();
        files.dedup();
        if wanted != found || files.len() != of_slice.len() {
            let text = |shape: [usize; 3]| format!("{} x {} x {}", shape[0], shape[1], shape[2]);
            let message = format!(
                "its mask slices have {} pixels, its DICOM series {}: expected a slice for each DICOM file, in the order of \
                 their names",
                text(found),
                text(wanted)
            );
            return Err(Finding::new(Code::ShapeMismatch, message).into());
        }
        let taken = memory.take_each(read.map.voxels.len() as u64, size_of::<u16>() as u64);
        taken.map_err(ImportFailure::Memory)?;
        let by_name = by_name(&self.series.files, &files);
        let slice = wanted[0] * wanted[1];
        let place = |file: &usize| by_name.iter().position(|named| named == file).unwrap_or(0);
        let voxels = of_slice.iter().flat_map(|file| {
            let first = place(file) * slice;
            read.map.voxels[first..first + slice].iter().copied()
        });
        let labels = self.image.place_labels(voxels.collect()).map_err(|error| refusal(&error))?;
        Ok((labels, read.parts))
    }
}

/// The numbers `used` of files in the natural order of their names: 2 before 10.
fn by_name(files: &[PathBuf], used: &[usize]) -> Vec<usize> {
    let mut order = used.to_vec();
    order.sort_by_key(|file| natural(&files[*file].to_string_lossy()));
    order
}

/// A name as runs of digits, which compare as numbers, and of other signs.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts: Vec<(String, u64)> = vec![(String::new(), 0)];
    let mut in_number = false;
    for c in name.chars() {
        let last = parts.len() - 1;
        match c.to_digit(10) {
            Some(digit) => {
                parts[last].1 = parts[last].1.saturating_mul(10).saturating_add(u64::from(digit));
                in_number = true;
            }
            None if in_number => {
                parts.push((c.to_string(), 0));
                in_number = false;
            }
            None => parts[last].0.push(c),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_go_by_the_numbers_in_their_names() {
        let files = ["a/i10.dcm", "a/i2.dcm", "a/i0001.dcm"].map(PathBuf::from);
        assert_eq!(by_name(&files, &[0, 1, 2]), [2, 1, 0]);
        assert_eq!(by_name(&files, &[0, 1]), [1, 0]);
    }
}
