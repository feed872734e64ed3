//! Prediction for new images: each is read and prepared as the run's training images were, and its
//! label map is written on its original grid. On request probabilities and their entropy are
//! written beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pdl_cohort::reading::ImageReading;
use pdl_dicom::Series;
use pdl_io::nifti;
use pdl_prepare::prepare::prepare_image;
use pdl_prepare::resample::checked_shape_at;
use pdl_store::hash::{self, Key};
use pdl_store::journal::{HashCheck, Journal, Stamp};
use pdl_store::lock::FolderLock;
use pdl_store::memory::{MemoryError, MemoryLimit, MemoryShare};
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, fault};
use pdl_volume::{Grid, Volume};
use serde::{Deserialize, Serialize};

use crate::data::case::Case;
use crate::error::{FitError, Result};
use crate::inference::case_probabilities::{CaseProbabilities, Uncertainty};
use crate::inference::domain_shift;
use crate::inference::ensemble::Ensemble;
use crate::inference::model::Model;
use crate::inference::postprocessing::ComponentFilter;
use crate::inference::prediction_table::{self, PredictionRow};

/// One image for prediction.
#[derive(Debug)]
pub struct Input {
    /// Name of its label map, without file extension.
    pub name: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Series(Box<Series>),
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
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// How unsure the networks are; null where it was not asked for.
    pub uncertainty: Option<Uncertainty>,
}

impl Prediction {
    /// Its row in the table of the folder.
    fn row(&self) -> PredictionRow {
        let Self { name, problem, warnings, uncertainty, .. } = self.clone();
        PredictionRow {
            label_map: problem.is_none().then(|| format!("{name}.nii.gz")),
            name,
            problem,
            warnings,
            uncertainty: uncertainty.map(|uncertainty| uncertainty.plausible),
            entropy: uncertainty.map(|uncertainty| uncertainty.whole),
        }
    }
}

/// What is written beside the label maps, and what is removed from them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PredictOptions {
    /// Write `probabilities/NAME/VALUE_LABEL.nii.gz` for each label: its probability on the image's
    /// own grid, uint16 with slope 1/65535.
    pub probabilities: bool,
    /// Write `uncertainty/NAME.nii.gz`: the entropy of every voxel, from 0 to 1, in the same form.
    pub uncertainty: bool,
    /// Components that are removed from the label maps; probabilities and entropy stay.
    pub filter: ComponentFilter,
}

impl PredictOptions {
    /// Whether the probabilities of all voxels are needed at once.
    fn needs_probabilities(&self) -> bool {
        self.probabilities || self.uncertainty
    }
}

/// Folder of the probability maps inside that of the label maps.
pub const PROBABILITIES_FOLDER: &str = "probabilities";
/// Folder of the entropy maps inside that of the label maps.
pub const UNCERTAINTY_FOLDER: &str = "uncertainty";

/// What the journal holds of an image that was segmented.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Noted {
    warnings: Vec<String>,
    uncertainty: Option<Uncertainty>,
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
/// the channel that `reading` names. A file's label map is named after it, with the path below the
/// folder that was passed; a series' label map after the folder of its files. Files below `out`
/// are ignored. Headers are read within the memory limit.
///
/// # Errors
/// [`FitError::NoImages`] if a path contains no image, [`FitError::DuplicateImage`] if two images
/// would have the same name.
pub fn find(places: &[PathBuf], out: &Path, reading: &ImageReading, limit: &MemoryLimit) -> Result<Inputs> {
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
        let (below, others) = below(place, out, reading, limit)?;
        other_channels += others;
        if below.is_empty() {
            return Err(FitError::NoImages { path: place.clone() });
        }
        found.extend(below);
    }
    let (singles, others) = reading.of_channel(singles);
    found.extend(singles.into_iter().map(|(path, name)| Input { name, source: Source::File(path) }));
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

fn below(
    folder: &Path,
    out: &Path,
    reading: &ImageReading,
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
    let (volumes, other_channels) = reading.of_channel(volumes);
    let volumes = volumes.into_iter().map(|(path, name)| Input {
        name: name_below(folder, path.parent(), &name),
        source: Source::File(path),
    });
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

/// Writes `NAME.nii.gz` to `out` for every input, unless it exists for the same image, weights and
/// options, and a row of `predictions.parquet`; `watch` receives each result. An image that is
/// invalid, or needs more memory than the limit, is a result as well.
///
/// # Errors
/// [`FitError`] if `out` cannot be written.
pub fn predict(
    ensemble: &Ensemble,
    inputs: &[Input],
    out: &Path,
    options: &PredictOptions,
    limit: &MemoryLimit,
    watch: &mut dyn FnMut(&Prediction),
) -> Result<Vec<Prediction>> {
    std::fs::create_dir_all(out).map_err(StoreError::io("make the folder", out))?;
    let _lock = FolderLock::take(out)?;
    atomic::sweep(&SafePath::root(out))?;
    let journal = Journal::<Noted>::open(out, "predict", HashCheck::Stamps)?;
    let job = Job { ensemble, out, options, limit, journal };
    let mut done = Vec::with_capacity(inputs.len());
    for input in inputs {
        let file = format!("{}.nii.gz", input.name);
        let (status, problem, noted) = match job.one(input, &file) {
            Ok((status, noted)) => (status, None, noted),
            // Missing space or permissions affect every further file.
            Err(Problem::Ours(error)) => return Err(error),
            Err(Problem::Image(reason)) => (PredictionStatus::Failed, Some(reason), Noted::default()),
        };
        let Noted { warnings, uncertainty } = noted;
        let (name, output) = (input.name.clone(), out.join(file));
        let prediction = Prediction { name, status, output, problem, warnings, uncertainty };
        watch(&prediction);
        done.push(prediction);
    }
    prediction_table::write(out, done.iter().map(Prediction::row).collect())?;
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

/// Prediction of many images into one folder.
struct Job<'a> {
    ensemble: &'a Ensemble,
    out: &'a Path,
    options: &'a PredictOptions,
    limit: &'a MemoryLimit,
    journal: Journal<Noted>,
}

impl Job<'_> {
    /// Segments one image into `file`, relative to the folder.
    fn one(&self, input: &Input, file: &str) -> std::result::Result<(PredictionStatus, Noted), Problem> {
        let Self { ensemble, out, options, limit, journal } = self;
        let model = ensemble.first();
        check_name(input, file, options)?;
        let key = self.key(input)?;
        if let Some(noted) = journal.find(&input.name, &key) {
            return Ok((PredictionStatus::Kept, noted.clone()));
        }
        let (image, own_grid) = read(model, input, &limit.alone())?;
        let taken = limit.alone().take(self.bytes(&image)?);
        taken.map_err(|error| Problem::Image(error.to_string()))?;
        let warnings = domain_shift::findings(&image, &model.record.preparation);
        let stored = image.grid;
        let prepared = prepare_image(image, &model.record.preparation);
        let prepared = prepared.map_err(|error| Problem::Image(error.to_string()))?;
        let case = Case::unlabelled(&input.name, prepared, &[]);
        let whole = stored.to_ras();
        let (mut channels, p) = if options.needs_probabilities() {
            let p = ensemble.probabilities(&case, &whole)?;
            (p.most_probable(), Some(p))
        } else {
            (ensemble.channels(&case, &whole)?, None)
        };
        let [nx, ny, nz] = whole.shape;
        options.filter.apply(&mut channels, [nz, ny, nx]);
        let mut labels = model.to_labels(&channels, stored)?;
        // A stated orientation says where the voxels lie; the label map bears the image's own
        // header.
        labels.grid = own_grid;
        nifti::write_labels(SafePath::new(out, file)?, &labels)?;
        let mut written = vec![file.to_owned()];
        let grids = Grids { stored, own: own_grid };
        let uncertainty = p.map(|p| self.write_maps(input, &p, grids, &mut written)).transpose()?.flatten();
        let stamps = written.iter().map(|file| Stamp::hash(out, file));
        let noted = Noted { warnings, uncertainty };
        journal.record(&input.name, &key, stamps.collect::<std::result::Result<_, _>>()?, &noted)?;
        Ok((PredictionStatus::Made, noted))
    }

    /// Memory that segmenting an image takes at most: copies of it on its own and on the prepared
    /// grid, and what the network's windows need beside them; where probabilities are averaged or
    /// written, those of all voxels twice, and a map on the image's own grid.
    fn bytes(&self, image: &Volume<f32>) -> std::result::Result<u64, Problem> {
        let model = self.ensemble.first();
        let shape = checked_shape_at(&image.grid.to_ras(), model.record.preparation.spacing_mm);
        let [x, y, z] = shape.map_err(|error| Problem::Image(error.to_string()))?;
        let prepared = [x, y, z].iter().fold(1, |all: u64, n| all.saturating_mul(*n as u64));
        let own = image.voxels.len() as u64;
        let copies = own.saturating_add(prepared).saturating_mul(BYTES_A_VOXEL);
        let windows = model.predictor().bytes([z, y, x], own);
        let maps = match self.ensemble.is_plain() && !self.options.needs_probabilities() {
            true => 0,
            false => prepared
                .saturating_mul(2 * 4 * model.channels.len() as u64)
                .saturating_add(own.saturating_mul(BYTES_A_VOXEL)),
        };
        Ok(copies.saturating_add(windows).saturating_add(maps))
    }

    /// What the label map of an image depends on.
    fn key(&self, input: &Input) -> std::result::Result<String, Problem> {
        let unreadable = |error: StoreError| match fault::machine_error(&error) {
            Some(_) => Problem::from(error),
            None => Problem::Image(error.to_string()),
        };
        let files = match &input.source {
            Source::File(path) => {
                files_of(path).map_err(StoreError::io("list the folder", path)).map_err(unreadable)?
            }
            Source::Series(series) => series.files.clone(),
        };
        let hashes: Vec<String> = files
            .iter()
            .map(|file| hash::of_file(file))
            .collect::<std::result::Result<_, _>>()
            .map_err(unreadable)?;
        let models = self.ensemble.models().iter();
        let weights: Vec<&str> = models.map(|model| model.record.results.weights_blake3.as_str()).collect();
        let record = &self.ensemble.first().record;
        let key = Key::new("predict 5")
            .part("input", &hashes)
            .part("weights", &weights)
            .part("preparation", &record.preparation)
            .part("reading", &record.reading)
            .part("copies", &self.ensemble.copies())
            .part("options", &self.options)
            .finish();
        Ok(key)
    }

    /// Writes the maps that the options ask for, and adds their files to `written`.
    fn write_maps(
        &self,
        input: &Input,
        p: &CaseProbabilities,
        grids: Grids,
        written: &mut Vec<String>,
    ) -> std::result::Result<Option<Uncertainty>, Problem> {
        let mut write = |file: String, values: Vec<f32>| {
            let mut map = Volume::new(grids.stored.to_ras(), values)
                .and_then(|map| map.stored_as(grids.stored))
                .map_err(FitError::from)?;
            map.grid = grids.own;
            nifti::write_fractions(SafePath::new(self.out, &file)?, &map)?;
            written.push(file);
            Ok::<_, Problem>(())
        };
        if self.options.probabilities {
            for (index, label) in self.ensemble.first().record.labels.iter().enumerate() {
                let name = prediction_table::label_file_name(label);
                write(format!("{PROBABILITIES_FOLDER}/{}/{name}", input.name), p.of_channel(index + 1))?;
            }
        }
        if !self.options.uncertainty {
            return Ok(None);
        }
        let (map, uncertainty) = p.entropy();
        write(format!("{UNCERTAINTY_FOLDER}/{}.nii.gz", input.name), map)?;
        Ok(Some(uncertainty))
    }
}

/// Grids of an image on which its maps are written.
#[derive(Clone, Copy)]
struct Grids {
    /// Where its voxels lie.
    stored: Grid,
    /// What its files state.
    own: Grid,
}

/// Refuses an image whose label map cannot be written, or would lie among other maps.
fn check_name(input: &Input, file: &str, options: &PredictOptions) -> std::result::Result<(), Problem> {
    if Path::new(file).iter().any(|part| part.len() > LONGEST_NAME) {
        let problem = format!("its label map would have a name of more than {LONGEST_NAME} bytes: rename it");
        return Err(Problem::Image(problem));
    }
    let first = input.name.split('/').next().filter(|first| input.name.len() > first.len());
    let taken = [(options.probabilities, PROBABILITIES_FOLDER), (options.uncertainty, UNCERTAINTY_FOLDER)];
    match taken.into_iter().find(|(written, folder)| *written && first == Some(folder)) {
        Some((_, folder)) => Err(Problem::Image(format!(
            "its label map would lie in the folder {folder} of other maps: rename the folder of the image"
        ))),
        None => Ok(()),
    }
}

/// Most bytes of a file's name.
const LONGEST_NAME: usize = 255;

/// Two copies of float32.
const BYTES_A_VOXEL: u64 = 8;

/// The files of an image: those of the folder of a stack of slices, or the file itself.
fn files_of(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files: Vec<PathBuf> = fault::list(path)?.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.is_file());
    files.sort();
    Ok(files)
}

/// The image as the training images were read, and the grid that its files state.
fn read(
    model: &Model,
    input: &Input,
    memory: &MemoryShare<'_>,
) -> std::result::Result<(Volume<f32>, Grid), Problem> {
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
    let (image, own_grid) = match &input.source {
        Source::File(path) => {
            let read = reading.read(path, memory);
            read.map_err(|error| unreadable(error.reason(), error.memory(), &error))?
        }
        Source::Series(series) if series.modality != modality.to_string() => {
            let problem = format!("it is {}; the network was trained on {modality}", series.modality);
            return Err(Problem::Image(problem));
        }
        Source::Series(series) => {
            let read = pdl_dicom::read_series_within(series, reading.dicom_options(), memory);
            let volume = read.map_err(|error| unreadable(error.reason(), error.memory(), &error))?.volume;
            let grid = volume.grid;
            (reading.oriented(volume), grid)
        }
    };
    if !image.grid.affine.is_usable() {
        let problem = "its affine is of no use: it holds no numbers, or its axes are no volume".to_owned();
        return Err(Problem::Image(problem));
    }
    match image.voxels.iter().filter(|voxel| !voxel.is_finite()).count() {
        0 => Ok((image, own_grid)),
        wrong => Err(Problem::Image(format!("{wrong} voxels are NaN or infinite"))),
    }
}
