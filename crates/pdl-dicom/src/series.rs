//! Reads a series as one volume.

use std::collections::BTreeMap;
use std::path::Path;

use pdl_store::memory::{MemoryError, MemoryLimit, MemoryShare, zeros};
use pdl_volume::{Grid, LabelMap, Volume};
use rayon::prelude::*;

use crate::DicomError;
use crate::gantry_tilt::Straightening;
use crate::header::Frame;
use crate::pixels::{Pixels, Stored, is_inverted, voxel_type};
use crate::scan::Series;
use crate::stack::Stack;
use pdl_findings::{Code, Finding};

/// How intensities are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Apply RescaleSlope and RescaleIntercept to MR, too. There they are no modality LUT, and may
    /// differ from frame to frame.
    pub mr_rescale: bool,
}

/// A series as a volume: x along the column index, y along the row index, z along the slices'
/// normal.
#[derive(Clone, Debug)]
pub struct SeriesImage {
    /// Intensities (HU for CT) on a grid in RAS+ mm.
    pub volume: Volume<f32>,
    /// The stored slices, on which labels are drawn.
    pub stack: Stack,
    /// How the pixels are stored, such as "uint16".
    pub voxel_type: String,
    /// What a person should know of it; those of the series' headers included.
    pub findings: Vec<Finding>,
    straightening: Option<Straightening>,
}

impl SeriesImage {
    /// Puts labels that were drawn on the stored slices (x fastest, slice by slice) on the volume's
    /// grid.
    ///
    /// # Errors
    /// [`DicomError::LabelGrid`] when there are not as many as the slices have pixels.
    pub fn place_labels(&self, stored: Vec<u16>) -> Result<LabelMap, DicomError> {
        if stored.len() != self.stack.shape().iter().product::<usize>() {
            return Err(DicomError::label_grid("there are more or fewer labels than pixels"));
        }
        Ok(match &self.straightening {
            Some(straightening) => straightening.labels(&self.stack, &stored),
            None => LabelMap { grid: self.volume.grid, voxels: stored },
        })
    }

    /// The grid of the volume.
    pub fn grid(&self) -> Grid {
        self.volume.grid
    }
}

/// Reads all pixels of a series, with no more memory than is free.
///
/// # Errors
/// [`DicomError`] when a file cannot be read, or the slices make no volume.
pub fn read_series(series: &Series, options: ReadOptions) -> Result<SeriesImage, DicomError> {
    read_series_within(series, options, &MemoryLimit::free().alone())
}

/// As [`read_series`], with memory out of a share.
///
/// # Errors
/// As [`read_series`].
pub fn read_series_within(
    series: &Series,
    options: ReadOptions,
    memory: &MemoryShare<'_>,
) -> Result<SeriesImage, DicomError> {
    if let Some(doubt) = &series.doubt {
        return Err(DicomError::geometry(doubt));
    }
    let thickness = series.frames.first().and_then(|frame| frame.thickness);
    let stack = Stack::new(series.frames.iter().map(|frame| frame.plane).collect())?
        .with_header(thickness, &series.frame_of_reference);
    let layout = stack.layout(thickness)?;
    let rescale = options.mr_rescale || series.modality != "MR";
    let Read { voxels, voxel_type, inverted } = read_frames(series, rescale, memory)?;
    let mut findings = series.findings.clone();
    findings.extend(layout.findings);
    if inverted {
        let message = "its pixels are dark where they are large (MONOCHROME1); stored values are kept";
        findings.push(Finding::new(Code::Inverted, message));
    }
    let volume = match &layout.straightening {
        Some(straightening) => {
            let voxels_there = layout.grid.shape.iter().fold(1, |all: u64, n| all.saturating_mul(*n as u64));
            let taken = memory.take_each(voxels_there, size_of::<f32>() as u64);
            taken.map_err(|source| no_memory(series, source))?;
            straightening.image(&stack, &voxels)
        }
        None => Volume { grid: layout.grid, voxels },
    };
    Ok(SeriesImage { volume, stack, voxel_type, findings, straightening: layout.straightening })
}

struct Read {
    voxels: Vec<f32>,
    voxel_type: String,
    inverted: bool,
}

/// The voxels of all frames in their order; each file is opened once.
fn read_frames(series: &Series, rescale: bool, memory: &MemoryShare<'_>) -> Result<Read, DicomError> {
    let shape = series.stored_shape();
    // A forged number of columns must not take memory.
    if let Some(shortfall) = &series.shortfall {
        return Err(shortfall.error());
    }
    let all = shape.iter().fold(1, |all: u64, n| all.saturating_mul(*n as u64));
    let taken = memory.take_each(all, size_of::<f32>() as u64);
    taken.map_err(|source| no_memory(series, source))?;
    let slice = shape[0] * shape[1];
    let mut voxels = zeros::<f32>(slice * shape[2]).map_err(|source| no_memory(series, source))?;
    let mut by_file: BTreeMap<usize, Vec<(&Frame, &mut [f32])>> = BTreeMap::new();
    for (frame, part) in series.frames.iter().zip(voxels.chunks_mut(slice)) {
        by_file.entry(frame.file).or_default().push((frame, part));
    }
    let one = |(file, parts): (usize, Vec<(&Frame, &mut [f32])>)| {
        let while_open = memory.part();
        let pixels = Pixels::open(&series.files[file], &while_open)?;
        fill(&pixels, parts, rescale)?;
        Ok((voxel_type(pixels.object()), is_inverted(pixels.object())))
    };
    // One by one where that may be what fits.
    let kinds: Vec<(String, bool)> = match memory.is_alone() {
        true => by_file.into_iter().map(one).collect::<Result<_, DicomError>>()?,
        false => by_file.into_par_iter().map(one).collect::<Result<_, DicomError>>()?,
    };
    let voxel_type = kinds.first().map(|kind| kind.0.clone()).unwrap_or_default();
    Ok(Read { voxels, voxel_type, inverted: kinds.iter().any(|kind| kind.1) })
}

fn no_memory(series: &Series, source: MemoryError) -> DicomError {
    DicomError::no_memory(series.files.first().map_or(Path::new(""), |file| file.as_path()))(source)
}

fn fill(pixels: &Pixels, mut parts: Vec<(&Frame, &mut [f32])>, rescale: bool) -> Result<(), DicomError> {
    parts.sort_by_key(|(frame, _)| frame.number);
    let mut decoded: Option<(u32, Stored<'_>)> = None;
    for (frame, part) in parts {
        let stored = match decoded.take().filter(|(number, _)| *number == frame.number) {
            Some((_, stored)) => stored, // the next tile of the same mosaic
            None => pixels.frame(frame.number)?,
        };
        let [slope, intercept] = frame.rescale.filter(|_| rescale).unwrap_or([1.0, 0.0]);
        let [columns, rows] = frame.plane.size;
        for row in 0..rows {
            let first = frame.offset[0] + frame.stored_size[0] * (frame.offset[1] + row);
            let line = stored.values(first..first + columns).ok_or_else(|| pixels.contradicts())?;
            for (voxel, value) in part[row * columns..(row + 1) * columns].iter_mut().zip(line) {
                *voxel = (value as f64 * slope + intercept) as f32;
            }
        }
        decoded = Some((frame.number, stored));
    }
    Ok(())
}
