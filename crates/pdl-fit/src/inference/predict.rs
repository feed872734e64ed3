//! Prediction for new images: each is read and prepared as the run's training images were, and its
//! label map is written on its original grid.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pdl_cohort::reading::ImageReading;
use pdl_dicom::Series;
use pdl_io::{nifti, split_frame};
use pdl_prepare::prepare::prepare_images;
use pdl_prepare::resample::checked_shape_at;
use pdl_store::hash::{self, Key};
use pdl_store::journal::{HashCheck, Journal, Stamp};
use pdl_store::lock::FolderLock;
use pdl_store::memory::{MemoryError, MemoryLimit, MemoryShare};
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, fault};
use pdl_volume::{Grid, Volume};
use serde::Serialize;

use crate::data::case::Case;
use crate::error::{FitError, Result};
use crate::inference::channel_files::{self, ChannelFiles};
use crate::inference::domain_shift;
use crate::inference::model::Model;

/// One image for prediction.
#[derive(Debug)]
pub struct Input {
    /// Name of its label map, without file extension.
    pub name: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// Volumes or stacks of slices, one for each channel in the network's order. `FILE#3` is frame 3
    /// of a file.
    Files(Vec<PathBuf>),
    Series(Box<Series>),
    /// Why the files that were found are no image of the network's channels.
    Incomplete(String),
}

/// Outcome for one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PredictionStatus {
    /// The label map was predicted and written.
    Made,
    /// A label map of the same image and weights exists.
    Kept,
    /// The image is invalid.
    Failed,
}

/// Result for one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prediction {
    /// Name of the image.
    pub name: String,
    /// Outcome of the prediction.
    pub status: PredictionStatus,
    /// File of the label map.
    pub output: PathBuf,
    /// Reason for a failure.
    pub problem: Option<String>,
    /// Differences from the training cases (domain shift); the label map may be wrong.
    pub warnings: Vec<String>,
}

/// Images to segment.
#[derive(Debug)]
pub struct Inputs {
    /// By the names of their label maps.
    pub images: Vec<Input>,
    /// Files that hold other channels of these images than the network was trained on.
    pub other_channels: usize,
}

/// Discovers images: files, and all volumes, stacks of slices and DICOM series below folders, of
/// the channel that `reading` names, or of all `channels` if the network has several
/// ([`crate::inference::channel_files`]). A file's label map is named after it, with the path below
/// the folder that was passed; a series' label map after the folder of its files. Files below `out`
/// are ignored. Headers are read within the memory limit.
///
/// # Errors
/// [`FitError::NoImages`] if a path contains no image, [`FitError::DuplicateImage`] if two images
/// would have the same name.
pub fn find(
    places: &[PathBuf],
    out: &Path,
    reading: &ImageReading,
    channels: &[String],
    limit: &MemoryLimit,
) -> Result<Inputs> {
    let mut inputs: BTreeMap<String, Input> = BTreeMap::new();
    let is_single = |place: &Path| Ok::<_, FitError>(!place.is_dir() || is_stack(reading, place)?);
    let mut singles = Vec::new();
    let mut found = Vec::new();
    let mut other_channels = 0;
    for place in places {
        if is_single(place)? {
            singles.push(place.clone());
            continue;
        }
        let (below, others) = below(place, out, reading, channels, limit)?;
        other_channels += others;
        if below.is_empty() {
            return Err(FitError::NoImages { path: place.clone() });
        }
        found.extend(below);
    }
    let (singles, others) = images_among(singles, reading, channels);
    found.extend(singles.into_iter().map(|(_, name, source)| Input { name, source }));
    for input in found {
        if let Some(other) = inputs.insert(input.name.clone(), input) {
            return Err(FitError::DuplicateImage { name: other.name });
        }
    }
    Ok(Inputs { images: inputs.into_values().collect(), other_channels: other_channels + others })
}

fn is_stack(reading: &ImageReading, path: &Path) -> Result<bool> {
    Ok(reading.is_stack(path).map_err(StoreError::io("look at the file", path))?)
}

/// The stacks of slices among files and the folders that they lie in, and the other files.
fn without_stacks(files: Vec<PathBuf>, reading: &ImageReading) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let mut folders: BTreeMap<PathBuf, bool> = BTreeMap::new();
    let (mut stacks, mut others) = (Vec::new(), Vec::new());
    for file in files {
        let parent = file.parent().unwrap_or(Path::new("")).to_owned();
        let known = folders.get(&parent).copied();
        let in_stack = match known {
            Some(in_stack) => in_stack,
            None => is_stack(reading, &parent)?,
        };
        if known.is_none() {
            folders.insert(parent.clone(), in_stack);
            stacks.extend(in_stack.then_some(parent));
        }
        if !in_stack {
            let stack = is_stack(reading, &file)?;
            if stack { stacks.push(file) } else { others.push(file) }
        }
    }
    Ok((stacks, others))
}

/// The images among files, each with its path and name, and how many files hold other channels of
/// these than the network was trained on.
fn images_among(
    paths: Vec<PathBuf>,
    reading: &ImageReading,
    channels: &[String],
) -> (Vec<(PathBuf, String, Source)>, usize) {
    if channels.len() < 2 {
        let (chosen, others) = reading.of_channel(paths);
        let image = |(path, name): (PathBuf, String)| (path.clone(), name, Source::Files(vec![path]));
        return (chosen.into_iter().map(image).collect(), others);
    }
    let image = |found: ChannelFiles| {
        let name = found.image.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let source = match found.complete(channels) {
            Ok(files) => Source::Files(files),
            Err(problem) => Source::Incomplete(problem),
        };
        (found.image, name, source)
    };
    (channel_files::grouped(&paths, channels).into_iter().map(image).collect(), 0)
}

fn below(
    folder: &Path,
    out: &Path,
    reading: &ImageReading,
    channels: &[String],
    limit: &MemoryLimit,
) -> Result<(Vec<Input>, usize)> {
    std::fs::read_dir(folder).map_err(StoreError::io("list the folder", folder))?;
    let own = out.canonicalize().ok();
    let is_own = |path: &Path| {
        own.as_ref().is_some_and(|own| path.canonicalize().is_ok_and(|path| path.starts_with(own)))
    };
    let files = pdl_dicom::files_below(folder).map_err(StoreError::io("list the folder", folder))?;
    let files = files.into_iter().filter(|path| !is_hidden(path, folder) && !is_own(path));
    let (mut volumes, others): (Vec<_>, Vec<_>) = files.partition(|path| {
        path.file_name().is_some_and(|name| pdl_io::is_volume_name(&name.to_string_lossy()))
    });
    let (stacks, others) = without_stacks(others, reading)?;
    volumes.extend(stacks);
    let (volumes, other_channels) = images_among(volumes, reading, channels);
    let volumes = volumes
        .into_iter()
        .map(|(path, name, source)| Input { name: name_below(folder, path.parent(), &name), source });
    let volumes: Vec<Input> = volumes.collect();
    let images = volumes.into_iter().chain(series(folder, &others, limit)?).collect();
    Ok((images, other_channels))
}

/// Series of DICOM files, named after their folders; several in one folder are numbered.
fn series(folder: &Path, files: &[PathBuf], limit: &MemoryLimit) -> Result<Vec<Input>> {
    let place =
        folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let place = place.unwrap_or_else(|| "series".to_owned());
    let mut named: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    let scan = pdl_dicom::scan_within(files, limit, &|| {}).map_err(|error| {
        StoreError::machine("a DICOM file", None, &error)
            .map_or_else(|| FitError::Dicom(error), FitError::from)
    })?;
    for series in scan.series {
        let own = series.files.first().and_then(|file| file.parent()).filter(|own| *own != folder);
        let name = own.map_or_else(
            || place.clone(),
            |own| name_below(folder, own.parent(), &own.file_name().unwrap_or_default().to_string_lossy()),
        );
        named.entry(name).or_default().push(series);
    }
    let numbered = named.into_iter().flat_map(|(name, all)| {
        let several = all.len() > 1;
        all.into_iter().enumerate().map(move |(number, series)| Input {
            name: if several { format!("{name}-{}", number + 1) } else { name.clone() },
            source: Source::Series(Box::new(series)),
        })
    });
    Ok(numbered.collect())
}

/// `name` with the path from `folder` to it, joined by slashes.
fn name_below(folder: &Path, parent: Option<&Path>, name: &str) -> String {
    let way = parent.and_then(|parent| parent.strip_prefix(folder).ok()).unwrap_or(Path::new(""));
    let parts = way.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
    parts.chain([name.to_owned()]).collect::<Vec<_>>().join("/")
}

/// Whether a component of the path below `folder` starts with a dot.
fn is_hidden(path: &Path, folder: &Path) -> bool {
    let way = path.strip_prefix(folder).unwrap_or(path);
    way.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'))
}

/// Writes `NAME.nii.gz` to `out` for every input, unless it exists for the same image and weights;
/// `watch` receives each result. An image that is invalid, or needs more memory than the limit, is
/// a result as well.
///
/// # Errors
/// [`FitError`] if `out` cannot be written.
pub fn predict(
    model: &Model,
    inputs: &[Input],
    out: &Path,
    limit: &MemoryLimit,
    watch: &mut dyn FnMut(&Prediction),
) -> Result<Vec<Prediction>> {
    std::fs::create_dir_all(out).map_err(StoreError::io("make the folder", out))?;
    let _lock = FolderLock::take(out)?;
    atomic::sweep(&SafePath::root(out))?;
    let journal = Journal::<Vec<String>>::open(out, "predict", HashCheck::Stamps)?;
    let mut done = Vec::with_capacity(inputs.len());
    for input in inputs {
        let file = format!("{}.nii.gz", input.name);
        let (status, problem, warnings) = match one(model, input, out, &file, limit, &journal) {
            Ok((status, warnings)) => (status, None, warnings),
            // Missing space or permissions affect every further file.
            Err(Problem::Ours(error)) => return Err(error),
            Err(Problem::Image(reason)) => (PredictionStatus::Failed, Some(reason), Vec::new()),
        };
        let (name, output) = (input.name.clone(), out.join(file));
        let prediction = Prediction { name, status, output, problem, warnings };
        watch(&prediction);
        done.push(prediction);
    }
    Ok(done)
}

/// Reason for a missing label map.
enum Problem {
    /// The image is invalid.
    Image(String),
    /// The run fails as a whole.
    Ours(FitError),
}

impl<E: Into<FitError>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}

fn one(
    model: &Model,
    input: &Input,
    out: &Path,
    file: &str,
    limit: &MemoryLimit,
    journal: &Journal<Vec<String>>,
) -> std::result::Result<(PredictionStatus, Vec<String>), Problem> {
    let unreadable = |error: StoreError| match fault::machine_error(&error) {
        Some(_) => Problem::from(error),
        None => Problem::Image(error.to_string()),
    };
    let files = match &input.source {
        Source::Files(paths) => {
            let of = |path: &PathBuf| files_of(path).map_err(StoreError::io("list the folder", path));
            let files = paths.iter().map(of).collect::<std::result::Result<Vec<_>, _>>();
            files.map_err(unreadable)?.concat()
        }
        Source::Series(series) => series.files.clone(),
        Source::Incomplete(problem) => return Err(Problem::Image(problem.clone())),
    };
    let hashes: Vec<String> = files
        .iter()
        .map(|file| hash::of_file(file))
        .collect::<std::result::Result<_, _>>()
        .map_err(unreadable)?;
    let key = Key::new("predict 4")
        .part("input", &hashes)
        .part("weights", &model.record.results.weights_blake3)
        .part("preparation", &model.record.preparation)
        .part("reading", &model.record.reading)
        .finish();
    if Path::new(file).iter().any(|part| part.len() > LONGEST_NAME) {
        let problem = format!("its label map would have a name of more than {LONGEST_NAME} bytes: rename it");
        return Err(Problem::Image(problem));
    }
    if let Some(warnings) = journal.find(&input.name, &key) {
        return Ok((PredictionStatus::Kept, warnings.clone()));
    }
    let (images, own_grid) = read(model, input, &limit.alone())?;
    let [image, ..] = images.as_slice() else { return Err(Problem::Image("it has no channel".to_owned())) };
    let taken = limit.alone().take(bytes(model, image)?);
    taken.map_err(|error| Problem::Image(error.to_string()))?;
    let warnings = domain_shift::findings(image, &model.record.preparation);
    let stored = image.grid;
    let prepared = prepare_images(images, &model.record.preparation);
    let mut prepared = prepared.map_err(|error| Problem::Image(error.to_string()))?;
    let first = prepared.remove(0); // as many as channels, so one at least
    let mut labels = model.label_map(&Case::unlabelled(&input.name, first, &prepared), stored)?;
    // A stated orientation says where the voxels lie; the label map bears the image's own header.
    labels.grid = own_grid;
    nifti::write_labels(SafePath::new(out, file)?, &labels)?;
    journal.record(&input.name, &key, vec![Stamp::hash(out, file)?], &warnings)?;
    Ok((PredictionStatus::Made, warnings))
}

/// Memory that segmenting an image takes at most: copies of it on its own and on the prepared grid,
/// and what the network's windows need beside them.
fn bytes(model: &Model, image: &Volume<f32>) -> std::result::Result<u64, Problem> {
    let shape = checked_shape_at(&image.grid.to_ras(), model.record.preparation.spacing_mm);
    let [x, y, z] = shape.map_err(|error| Problem::Image(error.to_string()))?;
    let prepared = [x, y, z].iter().fold(1, |all: u64, n| all.saturating_mul(*n as u64));
    let own = image.voxels.len() as u64;
    let channels = model.record.channels.len() as u64;
    let copies = own.saturating_add(prepared).saturating_mul(BYTES_A_VOXEL).saturating_mul(channels);
    Ok(copies.saturating_add(model.predictor().bytes([z, y, x], own)))
}

/// Most bytes of a file's name.
const LONGEST_NAME: usize = 255;

/// Two copies of float32.
const BYTES_A_VOXEL: u64 = 8;

/// The files of an image: those of the folder of a stack of slices, or the file itself without the
/// number of its frame.
fn files_of(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let (file, Some(_)) = split_frame(&name) {
        return Ok(vec![path.with_file_name(file)]);
    }
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files: Vec<PathBuf> = fault::list(path)?.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.is_file());
    files.sort();
    Ok(files)
}

/// The images of all channels as the training images were read, and the grid that the files of the
/// first state.
fn read(
    model: &Model,
    input: &Input,
    memory: &MemoryShare<'_>,
) -> std::result::Result<(Vec<Volume<f32>>, Grid), Problem> {
    let what = format!("image {}", input.name);
    type Cause = dyn std::error::Error + 'static;
    let unreadable = |reason: String, memory: Option<MemoryError>, error: &Cause| {
        let machine = match memory {
            Some(error) => StoreError::no_memory(&what, error),
            None => StoreError::machine(&what, None, error),
        };
        machine.map_or(Problem::Image(reason), Problem::from)
    };
    let modality = model.record.preparation.modality;
    let reading = model.record.reading.clone().unwrap_or_default();
    let channels = &model.record.channels;
    let (images, own_grid) = match &input.source {
        Source::Files(paths) => {
            let read = |(path, channel): (&PathBuf, &String)| {
                reading.read(path, memory).map_err(|error| {
                    let of = if channels.len() > 1 { format!("channel {channel}: ") } else { String::new() };
                    unreadable(of + &error.reason(), error.memory(), &error)
                })
            };
            let read: Vec<_> = paths.iter().zip(channels).map(read).collect::<std::result::Result<_, _>>()?;
            let (images, grids): (Vec<_>, Vec<Grid>) = read.into_iter().unzip();
            let own = grids.first().copied().ok_or_else(|| Problem::Image("it has no channel".to_owned()))?;
            (images, own)
        }
        Source::Incomplete(problem) => return Err(Problem::Image(problem.clone())),
        Source::Series(_) if channels.len() > 1 => {
            let named = channels.join(", ");
            let problem = format!(
                "a DICOM series is one image, and the network needs the channels {named}: convert them to files \
                 (CASE_0000.nii.gz, CASE_0001.nii.gz ...)"
            );
            return Err(Problem::Image(problem));
        }
        Source::Series(series) if series.modality != modality.to_string() => {
            let problem = format!("it is {}; the network was trained on {modality}", series.modality);
            return Err(Problem::Image(problem));
        }
        Source::Series(series) => {
            let read = pdl_dicom::read_series_within(series, reading.dicom_options(), memory);
            let volume = read.map_err(|error| unreadable(error.reason(), error.memory(), &error))?.volume;
            let grid = volume.grid;
            (vec![reading.oriented(volume)], grid)
        }
    };
    match unusable(&images, channels, reading.resample_channels) {
        None => Ok((images, own_grid)),
        Some(problem) => Err(Problem::Image(problem)),
    }
}

/// Why the images of a case cannot be segmented; nothing when they can.
fn unusable(images: &[Volume<f32>], channels: &[String], resample: bool) -> Option<String> {
    let first = images.first()?.grid;
    for (image, channel) in images.iter().zip(channels) {
        let of = if channels.len() > 1 { format!("channel {channel}: ") } else { String::new() };
        if !image.grid.affine.is_usable() {
            return Some(format!(
                "{of}its affine is of no use: it holds no numbers, or its axes are no volume"
            ));
        }
        if !resample && !first.coincides(&image.grid) {
            return Some(format!(
                "{of}it is on another grid than {}, as no channel of the training images was: resample it to that grid",
                channels[0]
            ));
        }
        match image.voxels.iter().filter(|voxel| !voxel.is_finite()).count() {
            0 => {}
            wrong => return Some(format!("{of}{wrong} voxels are NaN or infinite")),
        }
    }
    None
}
