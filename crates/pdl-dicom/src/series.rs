//! Reads a series as one volume.

pub mod acquisition;
pub(crate) mod concatenation;
pub(crate) mod frame_attributes;
pub(crate) mod frame_pixels;
pub(crate) mod gantry_tilt;
pub(crate) mod geometry;
pub(crate) mod header;
pub(crate) mod interleaving;
pub(crate) mod mosaic;
pub(crate) mod partition;
pub(crate) mod shared_grid;
pub(crate) mod slice_positions;
pub(crate) mod slice_series;
pub(crate) mod stack;
pub(crate) mod stack_layout;
pub(crate) mod volume_grouping;

use std::collections::BTreeMap;
use std::path::Path;

use dicom_dictionary_std::tags;
use pdl_store::memory::{MemoryError, MemoryLimit, MemoryShare, zeros};
use pdl_store::plural::counted;
use pdl_volume::{Grid, LabelMap, Volume};
use rayon::prelude::*;

use crate::DicomError;
use crate::file::{items, text};
use crate::pixels::pet::{self, PetError, PetHeader, PetScale};
use crate::pixels::pet_unit::PetUnit;
use crate::pixels::{Pixels, Stored, is_inverted, voxel_type};
use crate::scan::Series;
use crate::series::gantry_tilt::Straightening;
use crate::series::header::Frame;
use crate::series::stack::Stack;
use pdl_findings::{Code, Finding};

/// How intensities are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Apply RescaleSlope and RescaleIntercept to MR, too, where they are those of the whole
    /// volume; where they differ from slice to slice they always are.
    pub mr_rescale: bool,
    /// The unit to which PET values are converted.
    pub pet: PetScale,
}

/// A series as a volume: x along the column index, y along the row index, z along the slices'
/// normal.
#[derive(Clone, Debug)]
pub struct SeriesImage {
    /// Intensities (HU for CT) on a grid in RAS+ mm.
    pub volume: Volume<f32>,
    /// The stored slices, on which labels are drawn.
    pub stack: Stack,
    /// Stored data type of the pixels, such as "uint16".
    pub voxel_type: String,
    /// Findings about it, including those of its headers.
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
/// [`DicomError`] if a file cannot be read, or the slices make no volume.
pub fn read_series(series: &Series, options: ReadOptions) -> Result<SeriesImage, DicomError> {
    read_series_within(series, options, &MemoryLimit::free().alone())
}

/// Like [`read_series`], with memory out of a share.
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
    let (scalings, scaled) = scalings(series, options)?;
    let Read { voxels, voxel_type, inverted, odd } = read_frames(series, &scalings, memory)?;
    let mut findings = series.findings.clone();
    findings.extend(layout.findings);
    findings.extend(scaled);
    findings.extend(odd);
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
    /// Findings about pixels that are not as the headers state.
    odd: Vec<Finding>,
}

/// Slope and intercept from stored values to intensities.
type Scaling = [f64; 2];

const AS_STORED: Scaling = [1.0, 0.0];

impl Series {
    /// The stored unit of its PET values; `None` for other images.
    pub fn pet_unit(&self) -> Option<PetUnit> {
        self.frames.first().and_then(|frame| Some(frame.pet.as_ref()?.unit()))
    }

    /// The factor that converts the values of each of its frames, after RescaleSlope, to a scale; 1
    /// for other modalities.
    ///
    /// # Errors
    /// [`PetError`] if the headers lack something.
    pub fn pet_factors(&self, scale: PetScale) -> Result<Vec<f64>, PetError> {
        let headers: Vec<&PetHeader> = self.frames.iter().filter_map(|frame| frame.pet.as_deref()).collect();
        match headers.len() == self.frames.len() {
            true => pet::factors(&headers, scale),
            false => Ok(vec![1.0; self.frames.len()]),
        }
    }
}

/// Scaling of each frame, and a finding about it. The slopes of MR are not a modality LUT: one that
/// all frames share can be ignored, others bring the frames to one scale.
fn scalings(series: &Series, options: ReadOptions) -> Result<(Vec<Scaling>, Option<Finding>), DicomError> {
    let of_frames = |of: fn(&Frame) -> Option<Scaling>| -> Vec<Scaling> {
        series.frames.iter().map(|frame| of(frame).unwrap_or(AS_STORED)).collect()
    };
    let mut rescale = of_frames(|frame| frame.rescale);
    check_rescale(series, &rescale, options)?;
    if series.modality != "MR" {
        let is_zero = |[slope, _]: &Scaling| *slope == 0.0;
        // Slices of a PET that are empty may have it.
        let is_flat = match series.modality.as_str() {
            "PT" => rescale.iter().all(is_zero),
            _ => rescale.iter().any(is_zero),
        };
        if is_flat {
            let problem = "its RescaleSlope is 0, which gives all of its pixels one value";
            return Err(DicomError::unsupported(Path::new(""), problem));
        }
        if options.pet != PetScale::Stored {
            for (scaling, frame) in rescale.iter_mut().zip(&series.frames) {
                *scaling = frame.pet.as_ref().and_then(|pet| pet.mapped()).unwrap_or(*scaling);
            }
        }
        let turned = turned_pet(series, &rescale);
        let factors = series.pet_factors(options.pet);
        let factors = factors.map_err(|error| DicomError::unsupported(Path::new(""), error.to_string()))?;
        for ([slope, intercept], factor) in rescale.iter_mut().zip(factors) {
            *slope *= factor;
            *intercept *= factor;
        }
        return Ok((rescale, turned));
    }
    if options.mr_rescale {
        return Ok((rescale, None));
    }
    for (scalings, what) in
        [(rescale, "RescaleSlope"), (of_frames(|frame| frame.real_world), "RealWorldValueSlope")]
    {
        if differ(&scalings) {
            let slopes = scalings.iter().map(|[slope, _]| *slope);
            let (least, most) =
                (slopes.clone().fold(f64::INFINITY, f64::min), slopes.fold(f64::NEG_INFINITY, f64::max));
            let message = format!(
                "{what} and its intercept differ from slice to slice (slopes of {least} to {most}): they are applied, as \
                 stored values are of no common scale"
            );
            return Ok((scalings, Some(Finding::new(Code::SlicesRescaled, message))));
        }
    }
    Ok((vec![AS_STORED; series.frames.len()], None))
}

/// Finding about PET slices whose slope is below 0; that of a CT is reported with its header.
fn turned_pet(series: &Series, scalings: &[Scaling]) -> Option<Finding> {
    let count = scalings.iter().filter(|[slope, _]| *slope < 0.0).count();
    let message = format!(
        "the slope of {count} of its {} is below 0 (RescaleSlope, or that of a real world value mapping) and is applied: \
         the more activity a pixel states, the lower its value becomes",
        counted(scalings.len(), "slice")
    );
    (series.modality == "PT" && count > 0).then(|| Finding::new(Code::OddHeader, message))
}

/// Refuses slopes and intercepts that are not numbers, or that some of the slices lack, where they
/// count; `scalings` has those of all frames.
fn check_rescale(series: &Series, scalings: &[Scaling], options: ReadOptions) -> Result<(), DicomError> {
    if series.modality == "MR" && !options.mr_rescale && !differ(scalings) {
        return Ok(()); // ignored
    }
    let refused = |problem| Err(DicomError::unsupported(Path::new(""), problem));
    if scalings.iter().flatten().any(|number| !number.is_finite()) {
        return refused("its RescaleSlope or RescaleIntercept is stated, but not as a number".to_owned());
    }
    let (lacking, all) =
        (series.frames.iter().filter(|frame| frame.rescale.is_none()).count(), scalings.len());
    if lacking > 0 && scalings.iter().any(|scaling| *scaling != AS_STORED) {
        return refused(format!(
            "RescaleSlope and RescaleIntercept are missing from {lacking} of its {}, and the others have them: the values \
             are of no common scale",
            counted(all, "slice")
        ));
    }
    Ok(())
}

/// Whether frames have different scalings; those that are no numbers are equal.
fn differ(scalings: &[Scaling]) -> bool {
    scalings.windows(2).any(|pair| pair[0].map(f64::to_bits) != pair[1].map(f64::to_bits))
}

/// The voxels of all frames in their order; each file is opened once.
fn read_frames(series: &Series, scalings: &[Scaling], memory: &MemoryShare<'_>) -> Result<Read, DicomError> {
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
    let mut by_file: BTreeMap<usize, Vec<FramePart<'_>>> = BTreeMap::new();
    let frames = series.frames.iter().zip(scalings);
    for ((frame, scaling), voxels) in frames.zip(voxels.chunks_mut(slice)) {
        by_file.entry(frame.file).or_default().push(FramePart { frame, scaling: *scaling, voxels });
    }
    let one = |(file, parts): (usize, Vec<FramePart<'_>>)| {
        let while_open = memory.part();
        let pixels = Pixels::open(&series.files[file], &while_open)?;
        if series.modality != "MR" && !items(pixels.object(), tags::MODALITY_LUT_SEQUENCE).is_empty() {
            let problem =
                "its stored values become intensities by a table (Modality LUT), which pdl does not apply";
            return Err(DicomError::unsupported(&series.files[file], problem));
        }
        if text(pixels.object(), tags::PHOTOMETRIC_INTERPRETATION) == "PALETTE COLOR" {
            let problem = "its pixels are numbers of colours (PALETTE COLOR), not intensities";
            return Err(DicomError::unsupported(&series.files[file], problem));
        }
        let cut = fill(&pixels, parts)?.then(|| pixels.bits_stored());
        Ok((voxel_type(pixels.object()), is_inverted(pixels.object()), pixels.excess(), cut))
    };
    // One by one where that may be what fits.
    let kinds: Vec<(String, bool, u64, Option<u32>)> = match memory.is_alone() {
        true => by_file.into_iter().map(one).collect::<Result<_, DicomError>>()?,
        false => by_file.into_par_iter().map(one).collect::<Result<_, DicomError>>()?,
    };
    let voxel_type = kinds.first().map(|kind| kind.0.clone()).unwrap_or_default();
    let odd = excess(kinds.iter().map(|kind| kind.2)).into_iter().chain(cut(kinds.iter().map(|kind| kind.3)));
    Ok(Read { voxels, voxel_type, inverted: kinds.iter().any(|kind| kind.1), odd: odd.collect() })
}

/// Finding about bytes beyond the pixels.
fn excess(of_files: impl Iterator<Item = u64>) -> Option<Finding> {
    let (mut files, mut most) = (0, 0);
    for excess in of_files.filter(|excess| *excess > 0) {
        (files, most) = (files + 1, most.max(excess));
    }
    let message = || {
        let bytes = counted(most as usize, "byte");
        format!(
            "{} with up to {bytes} more of pixels than declared, which were skipped",
            counted(files, "file")
        )
    };
    (files > 0).then(|| Finding::new(Code::OddHeader, message()))
}

/// Finding about bits above those that the headers state as stored, by the number stated in each
/// file that has some.
fn cut(of_files: impl Iterator<Item = Option<u32>>) -> Option<Finding> {
    let stated: Vec<u32> = of_files.flatten().collect();
    let bits = stated.first()?;
    let message = format!(
        "{} with pixels that have bits above the {bits} that the header states as stored (BitsStored): they were ignored, \
         and the values are wrong if that number is",
        counted(stated.len(), "file")
    );
    Some(Finding::new(Code::OddHeader, message))
}

/// A frame and where its voxels go.
struct FramePart<'a> {
    frame: &'a Frame,
    scaling: Scaling,
    voxels: &'a mut [f32],
}

fn no_memory(series: &Series, source: MemoryError) -> DicomError {
    DicomError::no_memory(series.files.first().map_or(Path::new(""), |file| file.as_path()))(source)
}

/// Fills the voxels of frames; gives whether bits of some that are no overlay were ignored.
fn fill(pixels: &Pixels, mut parts: Vec<FramePart<'_>>) -> Result<bool, DicomError> {
    let mut cut = false;
    parts.sort_by_key(|part| part.frame.number);
    let mut decoded: Option<(u32, Stored<'_>)> = None;
    for FramePart { frame, scaling, voxels } in parts {
        let stored = match decoded.take().filter(|(number, _)| *number == frame.number) {
            Some((_, stored)) => stored, // the next tile of the same mosaic
            None => {
                let stored = pixels.frame(frame.number)?;
                cut |= stored.has_bits_beyond();
                stored
            }
        };
        let [columns, rows] = frame.plane.size;
        for row in 0..rows {
            let first = frame.offset[0] + frame.stored_size[0] * (frame.offset[1] + row);
            let line = &mut voxels[row * columns..(row + 1) * columns];
            let scaled = stored.scaled(first..first + columns, scaling, line);
            scaled.ok_or_else(|| pixels.contradicts())?;
        }
        decoded = Some((frame.number, stored));
    }
    Ok(cut && !pixels.has_overlay_bits())
}
