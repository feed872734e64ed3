//! Evidence from the pixels of single frames if headers are ambiguous.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pdl_store::fault;
use pdl_store::hash::of_voxels;
use pdl_store::memory::{MemoryError, MemoryLimit, MemoryShare, in_turns, zeros};

use crate::DicomError;
use crate::pixels::Pixels;
use crate::series::header::Frame;

/// The pixels of a frame in brief.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PixelSummary {
    /// Hash of all rescaled values, in their order.
    pub hash: String,
    pub mean: f64,
}

/// Gives the pixels of frames.
pub(crate) trait FramePixels {
    /// A summary of each of these frames; `None` for one that cannot be read.
    ///
    /// # Errors
    /// Errors of the machine.
    fn summaries(&self, frames: &[&Frame]) -> Result<Vec<Option<PixelSummary>>, DicomError>;
}

/// Reads them from the files of a series.
pub(crate) struct SeriesPixels<'a> {
    pub files: &'a [PathBuf],
    pub limit: &'a MemoryLimit,
}

impl FramePixels for SeriesPixels<'_> {
    fn summaries(&self, frames: &[&Frame]) -> Result<Vec<Option<PixelSummary>>, DicomError> {
        let mut by_file: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, frame) in frames.iter().enumerate() {
            by_file.entry(frame.file).or_default().push(number);
        }
        let by_file: Vec<(usize, Vec<usize>)> = by_file.into_iter().collect();
        let work = |(file, wanted): &(usize, Vec<usize>), memory: &MemoryShare<'_>| {
            let path = &self.files[*file];
            let of_file = || {
                let pixels = Pixels::open(path, memory)?;
                let summary = |number: &usize| {
                    let no_memory = DicomError::no_memory(path);
                    Ok((*number, summary(&pixels, frames[*number], memory, &no_memory)?))
                };
                wanted.iter().map(summary).collect::<Result<Vec<_>, DicomError>>()
            };
            let read = of_file();
            match read {
                Ok(read) => Ok(Ok(read)),
                Err(DicomError::Memory { source, .. }) => Ok(Err(source)),
                Err(error) if fault::machine_error(&error).is_some() => Err(error),
                Err(_) => Ok(Ok(Vec::new())),
            }
        };
        let refused = |(file, _): &(usize, Vec<usize>), error: MemoryError| match error.machine() {
            Some(source) => Err(DicomError::Io { path: self.files[*file].clone(), source }),
            None => Ok(Vec::new()),
        };
        let read = in_turns(&by_file, self.limit, work, refused)?;
        let mut summaries = vec![None; frames.len()];
        for (number, summary) in read.into_iter().flatten() {
            summaries[number] = Some(summary);
        }
        Ok(summaries)
    }
}

fn summary(
    pixels: &Pixels,
    frame: &Frame,
    memory: &MemoryShare<'_>,
    no_memory: &dyn Fn(MemoryError) -> DicomError,
) -> Result<PixelSummary, DicomError> {
    let memory = memory.part();
    let [columns, rows] = frame.plane.size;
    let count = columns.saturating_mul(rows);
    memory.take_each(count as u64, size_of::<f32>() as u64).map_err(no_memory)?;
    let mut values = zeros::<f32>(count).map_err(no_memory)?;
    let stored = pixels.frame(frame.number)?;
    let scaling = frame.rescale.unwrap_or([1.0, 0.0]);
    for (row, line) in values.chunks_mut(columns.max(1)).enumerate() {
        let first = frame.offset[0] + frame.stored_size[0] * (frame.offset[1] + row);
        let scaled = stored.scaled(first..first + columns, scaling, line);
        scaled.ok_or_else(|| pixels.contradicts())?;
    }
    let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
    Ok(PixelSummary { hash: of_voxels([columns, rows, 1], &values), mean: sum / count.max(1) as f64 })
}
