//! Label maps of images that nobody has labelled: each goes through the preparation of the run, and its labels come
//! back on its own grid.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pdl_dicom::{ReadOptions, Series};
use pdl_io::nifti;
use pdl_prepare::prepare::prepare_image;
use pdl_store::hash::{self, Key};
use pdl_store::journal::{Journal, Stamp, Trust};
use pdl_store::lock::FolderLock;
use pdl_store::{StoreError, atomic, fault};
use pdl_volume::Volume;
use serde::Serialize;

use crate::data::case::Case;
use crate::error::{FitError, Result};
use crate::inference::domain_shift;
use crate::inference::model::Model;

/// One image to be segmented.
#[derive(Debug)]
pub struct Input {
    /// What its label map is called, without an ending.
    pub name: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Series(Box<Series>),
}

/// What became of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PredictionStatus {
    /// Its label map was made.
    Made,
    /// Its label map was there already, made from the same image by the same weights.
    Kept,
    /// It could not be used.
    Failed,
}

/// One image's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prediction {
    /// The image's name.
    pub name: String,
    /// What became of it.
    pub status: PredictionStatus,
    /// The label map's file.
    pub output: PathBuf,
    /// Why it failed.
    pub problem: Option<String>,
    /// What is unlike the network's training cases about it; its label map may be wrong.
    pub warnings: Vec<String>,
}

/// Finds images: files, and below folders all volumes and DICOM series, at any depth. A file's label map is named as it
/// is, with the path from the folder that was given; that of a series as the folder of its files. What lies in `out` is
/// no image.
///
/// # Errors
/// [`FitError::NoImages`] when there is none in a place, [`FitError::DuplicateImage`].
pub fn find(places: &[PathBuf], out: &Path) -> Result<Vec<Input>> {
    let mut inputs: BTreeMap<String, Input> = BTreeMap::new();
    for place in places {
        let found = if place.is_dir() { below(place, out)? } else { vec![of_file(place)] };
        if found.is_empty() {
            return Err(FitError::NoImages { path: place.clone() });
        }
        for input in found {
            if let Some(other) = inputs.insert(input.name.clone(), input) {
                return Err(FitError::DuplicateImage { name: other.name });
            }
        }
    }
    Ok(inputs.into_values().collect())
}

fn of_file(path: &Path) -> Input {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Input { name: pdl_io::stem(&name).to_owned(), source: Source::File(path.to_owned()) }
}

fn below(folder: &Path, out: &Path) -> Result<Vec<Input>> {
    std::fs::read_dir(folder).map_err(StoreError::io("list the folder", folder))?;
    let own = out.canonicalize().ok();
    let is_own = |path: &Path| {
        own.as_ref().is_some_and(|own| path.canonicalize().is_ok_and(|path| path.starts_with(own)))
    };
    let files = pdl_dicom::files_below(folder).map_err(StoreError::io("list the folder", folder))?;
    let files = files.into_iter().filter(|path| !is_hidden(path, folder) && !is_own(path));
    let (volumes, others): (Vec<_>, Vec<_>) = files.partition(|path| {
        path.file_name().is_some_and(|name| pdl_io::is_volume_name(&name.to_string_lossy()))
    });
    let volumes = volumes.into_iter().map(|path| {
        let input = of_file(&path);
        Input { name: name_below(folder, path.parent(), &input.name), ..input }
    });
    let volumes: Vec<Input> = volumes.collect();
    Ok(volumes.into_iter().chain(series(folder, &others)?).collect())
}

/// The series of DICOM files, named by their folders; several of one folder are numbered.
fn series(folder: &Path, files: &[PathBuf]) -> Result<Vec<Input>> {
    let place =
        folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let place = place.unwrap_or_else(|| "series".to_owned());
    let mut named: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    let scan = pdl_dicom::scan(files, &|| {}).map_err(|error| {
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

/// `name` with the folders that lead to it from `folder`, between slashes.
fn name_below(folder: &Path, parent: Option<&Path>, name: &str) -> String {
    let way = parent.and_then(|parent| parent.strip_prefix(folder).ok()).unwrap_or(Path::new(""));
    let parts = way.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
    parts.chain([name.to_owned()]).collect::<Vec<_>>().join("/")
}

/// Whether a file, or a folder that leads to it from `folder`, begins with a dot.
fn is_hidden(path: &Path, folder: &Path) -> bool {
    let way = path.strip_prefix(folder).unwrap_or(path);
    way.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'))
}

/// Writes `NAME.nii.gz` for every input to `out`, unless it is there already from the same image and weights; tells
/// `watch` of each. An image that cannot be used is a result, too.
///
/// # Errors
/// [`FitError`] when `out` cannot be written.
pub fn predict(
    model: &Model,
    inputs: &[Input],
    out: &Path,
    watch: &mut dyn FnMut(&Prediction),
) -> Result<Vec<Prediction>> {
    std::fs::create_dir_all(out).map_err(StoreError::io("make the folder", out))?;
    let _lock = FolderLock::take(out)?;
    atomic::sweep(out)?;
    let journal = Journal::<Vec<String>>::open(out, "predict", Trust::Stamps)?;
    let mut done = Vec::with_capacity(inputs.len());
    for input in inputs {
        let file = format!("{}.nii.gz", input.name);
        let (status, problem, warnings) = match one(model, input, out, &file, &journal) {
            Ok((status, warnings)) => (status, None, warnings),
            // Without room or rights for one file there is none for the next.
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

/// Why there is no label map.
enum Problem {
    /// The image cannot be used.
    Image(String),
    /// The run cannot go on.
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
    journal: &Journal<Vec<String>>,
) -> std::result::Result<(PredictionStatus, Vec<String>), Problem> {
    let unreadable = |error: StoreError| match fault::machine_error(&error) {
        Some(_) => Problem::from(error),
        None => Problem::Image(error.to_string()),
    };
    let hashes = match &input.source {
        Source::File(path) => vec![hash::of_file(path).map_err(unreadable)?],
        Source::Series(series) => series
            .files
            .iter()
            .map(|file| hash::of_file(file))
            .collect::<std::result::Result<_, _>>()
            .map_err(unreadable)?,
    };
    let key = Key::new("predict 3")
        .part("input", &hashes)
        .part("weights", &model.record.results.weights_blake3)
        .part("preparation", &model.record.preparation)
        .finish();
    if let Some(warnings) = journal.find(&input.name, &key) {
        return Ok((PredictionStatus::Kept, warnings.clone()));
    }
    let image = read(model, input)?;
    let warnings = domain_shift::findings(&image, &model.record.preparation);
    let stored = image.grid;
    let prepared = prepare_image(image, &model.record.preparation);
    let prepared = prepared.map_err(|error| Problem::Image(error.to_string()))?;
    let labels = model.label_map(&Case::unlabelled(&input.name, prepared), stored)?;
    nifti::write_labels(&out.join(file), &labels)?;
    journal.record(&input.name, &key, vec![Stamp::hash(out, file)?], &warnings)?;
    Ok((PredictionStatus::Made, warnings))
}

fn read(model: &Model, input: &Input) -> std::result::Result<Volume<f32>, Problem> {
    let unreadable = |reason: String, error: &(dyn std::error::Error + 'static)| {
        let machine = StoreError::machine(&format!("image {}", input.name), None, error);
        machine.map_or(Problem::Image(reason), Problem::from)
    };
    let modality = model.record.preparation.modality;
    let image = match &input.source {
        Source::File(path) => {
            pdl_io::read_image(path).map_err(|error| unreadable(error.reason(), &error))?.volume
        }
        Source::Series(series) if series.modality != modality.to_string() => {
            let problem = format!("it is {}; the network was trained on {modality}", series.modality);
            return Err(Problem::Image(problem));
        }
        Source::Series(series) => {
            let options = ReadOptions::default();
            let read = pdl_dicom::read_series(series, options);
            read.map_err(|error| unreadable(error.reason(), &error))?.volume
        }
    };
    if !image.grid.affine.is_usable() {
        let problem = "its affine is of no use: it holds no numbers, or its axes are no volume".to_owned();
        return Err(Problem::Image(problem));
    }
    match image.voxels.iter().filter(|voxel| !voxel.is_finite()).count() {
        0 => Ok(image),
        wrong => Err(Problem::Image(format!("{wrong} voxels are NaN or infinite"))),
    }
}
