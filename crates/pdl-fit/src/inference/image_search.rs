//! Images for prediction among files and folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pdl_cohort::read_options::ImageReading;
use pdl_dicom::Series;
use pdl_store::memory::MemoryLimit;
use pdl_store::{StoreError, fault};

use crate::error::{FitError, Result};
use crate::inference::channel_files::{self, ChannelFiles, ChannelNames};

/// One image for prediction.
#[derive(Debug)]
pub struct Input {
    /// Name of its label map, without file extension.
    pub name: String,
    /// Files.
    pub source: Source,
}

/// The files of an image.
#[derive(Debug)]
pub enum Source {
    /// Volumes or stacks of slices, one for each channel in the network's order. `FILE#3` is frame
    /// 3 of a file.
    Files(Vec<PathBuf>),
    /// A DICOM series.
    Series(Box<Series>),
    /// Why the files that were found are no image of the network's channels.
    Incomplete(String),
}

/// Images to segment.
#[derive(Debug)]
pub struct Inputs {
    /// Images, sorted by the names of their label maps.
    pub images: Vec<Input>,
    /// Files that hold other channels of these images than the network was trained on.
    pub other_channels: usize,
}

/// Discovers images: files, and all volumes, stacks of slices and DICOM series below folders, of
/// the channel that `reading` names, or of all `channels` if the network has several
/// (`inference::channel_files`). A file's label map is named after it, with the path below
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
    let is_single = |place: &Path| {
        let is_folder = fault::is_dir(place).map_err(StoreError::io("look at the file", place))?;
        Ok::<_, FitError>(!is_folder || is_stack(reading, place)?)
    };
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
    let channels =
        ChannelNames { names: channels, numbers: &reading.channel_numbers, colours: reading.colours };
    let image = |found: ChannelFiles| {
        let name = found.image.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let source = match found.complete(&channels) {
            Ok(files) => Source::Files(files),
            Err(problem) => Source::Incomplete(problem),
        };
        (found.image, name, source)
    };
    (channel_files::grouped(&paths, &channels).into_iter().map(image).collect(), 0)
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
