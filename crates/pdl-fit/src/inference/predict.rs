//! Prediction for new images: each is read and prepared as the run's training images were, and its
//! label map is written on its original grid. On request probabilities and their entropy are
//! written beside it.

use std::path::{Path, PathBuf};

use pdl_io::{nifti, split_frame};
use pdl_prepare::prepare_image::prepare_images;
use pdl_prepare::resample::checked_shape_at;
use pdl_store::hash::{self, Key};
use pdl_store::journal::{HashCheck, Journal, Stamp};
use pdl_store::lock::FolderLock;
use pdl_store::memory::{MemoryError, MemoryLimit, MemoryShare};
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, fault, table};
use pdl_volume::{Grid, Volume};
use serde::{Deserialize, Serialize};

use crate::data::case::Case;
use crate::error::{FitError, Result};
use crate::inference::case_probabilities::{CaseProbabilities, Uncertainty};
use crate::inference::domain_shift;
use crate::inference::ensemble::Ensemble;
use crate::inference::image_search::{Input, Source};
use crate::inference::model::Model;
use crate::inference::postprocessing::ComponentFilter;
use crate::inference::prediction_table::{self, PredictionRow};

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
    /// Uncertainty of the networks; `None` unless requested.
    pub uncertainty: Option<Uncertainty>,
}

impl Prediction {
    /// Row in the table of the folder.
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

/// Further outputs, and postprocessing.
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

/// The journal's record of a segmented image.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Noted {
    warnings: Vec<String>,
    uncertainty: Option<Uncertainty>,
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
    table::refuse_newer(&out.join(prediction_table::FILE), prediction_table::SCHEMA_VERSION)?;
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
        let (images, own_grid) = read(model, input, &limit.alone())?;
        let [image, ..] = images.as_slice() else {
            return Err(Problem::Image("it has no channel".to_owned()));
        };
        let taken = limit.alone().take(self.bytes(image)?);
        taken.map_err(|error| Problem::Image(error.to_string()))?;
        let warnings = domain_shift::findings(image, &model.record.preparation);
        let stored = image.grid;
        let prepared = prepare_images(images, &model.record.preparation);
        let mut prepared = prepared.map_err(|error| Problem::Image(error.to_string()))?;
        let first = prepared.remove(0); // as many as channels, so one at least
        let case = Case::unlabelled(&input.name, first, &prepared);
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
        // A stated orientation places the voxels; the label map has the image's own header.
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
        let inputs = model.record.channels.len() as u64;
        let copies = own.saturating_add(prepared).saturating_mul(BYTES_A_VOXEL).saturating_mul(inputs);
        let windows = model.predictor().bytes([z, y, x], own);
        let maps = match self.ensemble.is_plain() && !self.options.needs_probabilities() {
            true => 0,
            false => prepared
                .saturating_mul(2 * 4 * model.channels.len() as u64)
                .saturating_add(own.saturating_mul(BYTES_A_VOXEL)),
        };
        Ok(copies.saturating_add(windows).saturating_add(maps))
    }

    /// The hash of all inputs of the label map of an image.
    fn key(&self, input: &Input) -> std::result::Result<String, Problem> {
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
            for (index, label) in self.ensemble.first().record.structures().iter().enumerate() {
                let name = prediction_table::label_file_name(label);
                write(format!("{PROBABILITIES_FOLDER}/{}/{name}", input.name), p.of_structure(index))?;
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
    /// Grid.
    stored: Grid,
    /// The grid that its files state.
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

/// Maximum length of a file's name in bytes.
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
    if !fault::is_dir(path)? {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fault::list(path)? {
        if fault::is_file(&entry.path())? {
            files.push(entry.path());
        }
    }
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

/// Why the images of a case cannot be segmented; `None` if they can.
fn unusable(images: &[Volume<f32>], channels: &[String], resample: bool) -> Option<String> {
    let first = images.first()?.grid;
    for (image, channel) in images.iter().zip(channels) {
        let of = if channels.len() > 1 { format!("channel {channel}: ") } else { String::new() };
        if !image.grid.affine.is_usable() {
            return Some(format!("{of}its affine is invalid: it is not finite, or its axes are degenerate"));
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
