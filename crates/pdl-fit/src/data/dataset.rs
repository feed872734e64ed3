//! Reads and validates the cases of a curation folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pdl_cohort::attributes::Split;
use pdl_cohort::case_row::CaseRow;
use pdl_cohort::cases::Cases;
use pdl_curriculum::manifest::{Manifest, ManifestRow};
use pdl_store::StoreError;
use pdl_volume::{Grid, LabelMap, Volume};
use rayon::prelude::*;

use crate::data::case::{Case, Channels};
use crate::data::laterality;
use crate::data::regions::RegionOutput;
use crate::data::subset::Subset;
use crate::error::{FitError, Result};
use crate::plan::run_plan::Cohort;
use crate::plan::settings::Augment;

/// Minimum number of patients for a split into training, validation and test set.
const LEAST_PATIENTS: usize = 3;

/// A validation or test case with its original label map.
#[derive(Clone, Debug)]
pub struct EvalCase {
    /// The prepared case.
    pub case: Case,
    /// Shape (z, y, x) of the original image in RAS+ orientation.
    pub shape: [usize; 3],
    /// Channel of every voxel of the original label map in RAS+ orientation (z, y, x).
    pub truth: Vec<u8>,
    /// Grid of the original image in its stored orientation.
    pub stored: Grid,
}

/// A curation folder that can be trained on.
#[derive(Debug)]
pub struct Dataset {
    /// Splits, ranks, stages and files of all cases.
    pub manifest: Manifest,
    /// Label values and their channels.
    pub channels: Channels,
    /// Names of the labels in channel order, from channel 1.
    pub names: Vec<String>,
    /// What the outputs of a network stand for where it learns regions; empty where it learns
    /// labels.
    pub regions: Vec<RegionOutput>,
}

/// Properties of the training images that a plan depends on.
#[derive(Clone, Debug, Default)]
pub struct TrainingImages {
    /// Shapes (z, y, x) in voxels.
    pub shapes: Vec<[usize; 3]>,
    /// Pairs of channels (left, right) of labels that mirror each other by their positions.
    pub mirrored: Vec<[u8; 2]>,
}

/// The cases of a dataset in memory.
#[derive(Debug)]
pub struct Loaded {
    /// Training cases by rank.
    pub training: Vec<Case>,
    /// Validation cases in the manifest's order.
    pub validation: Vec<EvalCase>,
}

impl Dataset {
    /// Opens a curation folder, or one of its folds (`OUT/folds/K`), and validates it.
    ///
    /// # Errors
    /// [`FitError`] if there is no manifest, or its cases do not allow training and validation.
    pub fn open(out: &Path) -> Result<Self> {
        let manifest = Manifest::open(out)?;
        check_splits(&manifest.rows, out)?;
        let labels = &manifest.info.labels;
        let channels = Channels::new(labels.iter().map(|label| label.value).collect())
            .ignoring(manifest.info.index.ignored_label());
        let most = usize::from(u8::MAX) - 1;
        let learnt = channels.labels().len();
        if !(1..=most).contains(&learnt) {
            return Err(FitError::LabelCount { labels: learnt, most });
        }
        let name = |value: &u16| labels.iter().find(|label| label.value == *value).map(|l| l.name.clone());
        let names = channels.labels().iter().filter_map(name).collect();
        let of_rows = manifest.rows.iter().flat_map(|row| row.labels_annotated.iter().copied());
        let regions = RegionOutput::of(&manifest.info.regions, &channels, &of_rows.collect());
        Ok(Self { manifest, channels, names, regions })
    }

    /// Reads the training cases of a subset and all validation cases. Unless `trust_files`, every
    /// file must match its recorded hash.
    ///
    /// # Errors
    /// [`FitError`] if a file is missing, damaged or changed or contains an unknown label, or if
    /// the subset is empty.
    pub fn load(&self, out: &Path, subset: Subset, trust_files: bool) -> Result<Loaded> {
        let mut training = self.manifest.training();
        training.retain(|row| subset == Subset::All || row.tune);
        if training.is_empty() {
            return Err(FitError::NoTuningSubset);
        }
        let curation = self.manifest.info.curation_folder(out);
        let loader = Loader { out, curation: &curation, channels: &self.channels, trust_files };
        let training = training.par_iter().map(|row| loader.prepared(row)).collect::<Result<Vec<_>>>()?;
        let validation = self.held_out(out, Split::Val, trust_files)?;
        Ok(Loaded { training, validation })
    }

    /// Reads all cases of a split with their original label maps.
    ///
    /// # Errors
    /// As [`Dataset::load`].
    pub fn held_out(&self, out: &Path, split: Split, trust_files: bool) -> Result<Vec<EvalCase>> {
        let curation = self.manifest.info.curation_folder(out);
        let loader = Loader { out, curation: &curation, channels: &self.channels, trust_files };
        let cases = Cases::read(&curation)?;
        let rows: Vec<&ManifestRow> = self.of_split(split).collect();
        let held_out = |row: &&ManifestRow| {
            let original = cases.rows.iter().find(|case| case.case_id == row.case_id);
            let original = original.ok_or_else(|| FitError::UnknownCase { case_id: row.case_id.clone() })?;
            loader.held_out(row, original)
        };
        rows.par_iter().map(held_out).collect()
    }

    /// The properties of the cohort for planning, with those of its training images.
    pub fn with<'a>(&'a self, training: &'a TrainingImages) -> Cohort<'a> {
        let TrainingImages { shapes, mirrored } = training;
        let (names, regions) = (&self.names, &self.regions);
        Cohort { info: &self.manifest.info, shapes, names, regions, mirrored }
    }

    /// What the training images say for planning. Positions of labels are looked at only where
    /// patches are augmented.
    pub fn training_images(&self, loaded: &Loaded, augment: Augment) -> TrainingImages {
        let cases = &loaded.training;
        let mirrored = match augment {
            Augment::None => Vec::new(),
            Augment::Light | Augment::Full => laterality::pairs_by_position(cases, &self.names),
        };
        TrainingImages { shapes: cases.iter().map(|case| case.shape).collect(), mirrored }
    }

    fn of_split(&self, split: Split) -> impl Iterator<Item = &ManifestRow> {
        self.manifest.rows.iter().filter(move |row| row.split == split)
    }
}

fn check_splits(rows: &[ManifestRow], out: &Path) -> Result<()> {
    let patients: BTreeSet<&str> = rows.iter().map(|row| row.patient_id.as_str()).collect();
    if patients.len() < LEAST_PATIENTS {
        return Err(FitError::TooFewPatients {
            cases: rows.len(),
            patients: patients.len(),
            least: LEAST_PATIENTS,
        });
    }
    for split in [Split::Train, Split::Val] {
        if !rows.iter().any(|row| row.split == split) {
            return Err(FitError::NoData { split, path: out.to_owned() });
        }
    }
    Ok(())
}

/// Reads cases of one curation folder.
struct Loader<'a> {
    /// Folder of the manifest, the base of prepared files.
    out: &'a Path,
    /// Curation folder, the base of the cohort's original files.
    curation: &'a Path,
    channels: &'a Channels,
    trust_files: bool,
}

impl Loader<'_> {
    fn prepared(&self, row: &ManifestRow) -> Result<Case> {
        let file = |path: &str| File { case_id: &row.case_id, path: self.out.join(path) };
        let (image_file, label_file) = (file(&row.image), file(&row.label));
        let image = pdl_io::read_image(&image_file.path).map_err(|e| image_file.unreadable(&e))?;
        self.check_hash(&image_file, &image.blake3, &row.image_blake3)?;
        let labels = self.labels(&label_file, &row.label_blake3)?;
        same_shape(&label_file, &labels, &image.volume)?;
        if image.volume.voxels.iter().any(|v| !v.is_finite()) {
            return Err(image_file.problem("it holds voxels that are no numbers"));
        }
        let annotated = self.channels.annotated(&row.labels_annotated);
        let target = self.encode(&label_file, &labels, &annotated)?;
        Ok(Case::new(&row.case_id, image.volume, target, annotated))
    }

    fn held_out(&self, row: &ManifestRow, original: &CaseRow) -> Result<EvalCase> {
        let case = self.prepared(row)?;
        let label = original.label.as_deref().unwrap_or_default();
        let file = File { case_id: &row.case_id, path: self.curation.join(label) };
        let mut labels = self.labels(&file, original.label_blake3.as_deref().unwrap_or_default())?;
        // The grid of `cases.parquet` counts, not that of the label file: the user may have
        // corrected the orientation.
        let grid = original.grid().filter(|grid| grid.shape == labels.grid.shape);
        let stored =
            grid.ok_or_else(|| file.problem("its shape is not that of the image in cases.parquet"))?;
        labels.grid = stored;
        let labels = labels.to_ras();
        let truth = self.encode(&file, &labels, &case.annotated)?;
        let [x, y, z] = labels.grid.shape;
        Ok(EvalCase { case, shape: [z, y, x], truth, stored })
    }

    fn labels(&self, file: &File<'_>, hash: &str) -> Result<LabelMap> {
        let labels = pdl_io::read_labels(&file.path).map_err(|e| file.unreadable(&e))?;
        self.check_hash(file, &labels.blake3, hash)?;
        Ok(labels.map)
    }

    fn encode(&self, file: &File<'_>, map: &LabelMap, annotated: &[bool]) -> Result<Vec<u8>> {
        let known = self.channels.labels();
        self.channels.encode(map, annotated).map_err(|value| {
            file.problem(format!("it holds the label {value}, but the manifest knows {known:?} only"))
        })
    }

    fn check_hash(&self, file: &File<'_>, found: &str, recorded: &str) -> Result<()> {
        if self.trust_files || found == recorded {
            return Ok(());
        }
        Err(file
            .problem("it has changed since the manifest was made (give --trust-files to use it as it is)"))
    }
}

fn same_shape(file: &File<'_>, labels: &LabelMap, image: &Volume<f32>) -> Result<()> {
    if labels.grid.shape == image.grid.shape {
        return Ok(());
    }
    let (a, b) = (labels.grid.shape, image.grid.shape);
    Err(file.problem(format!("its shape {a:?} is not that of the prepared image {b:?}")))
}

/// A file of a case, for error messages.
struct File<'a> {
    case_id: &'a str,
    path: PathBuf,
}

impl File<'_> {
    fn problem(&self, problem: impl std::fmt::Display) -> FitError {
        let problem = format!("{problem}; `pdl curate` makes the folder whole again");
        FitError::Case { case_id: self.case_id.to_owned(), problem, path: self.path.clone() }
    }

    fn unreadable(&self, error: &pdl_io::ReadError) -> FitError {
        if let Some(error) = StoreError::machine(&format!("case {}", self.case_id), Some(&self.path), error) {
            return error.into();
        }
        if !self.path.exists() {
            return self.problem("the file is missing");
        }
        self.problem(error.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_cohort::attributes::Modality;

    fn row(patient: &str, split: Split) -> ManifestRow {
        ManifestRow {
            case_id: format!("{patient}-{split}"),
            patient_id: patient.to_owned(),
            modality: Modality::MR,
            split,
            rank: None,
            score: None,
            stage: None,
            tune: false,
            labels_annotated: vec![1],
            image: String::new(),
            label: String::new(),
            image_blake3: String::new(),
            label_blake3: String::new(),
            group: None,
            left_out: None,
            images: Vec::new(),
            images_blake3: Vec::new(),
        }
    }

    #[test]
    fn two_patients_are_too_few() {
        let rows = [row("a", Split::Train), row("b", Split::Train), row("b", Split::Train)];
        let refusal = check_splits(&rows, Path::new("out")).unwrap_err().to_string();
        assert!(refusal.contains("3 cases of 2 patients"), "{refusal}");
    }

    #[test]
    fn training_and_validation_cases_are_needed() {
        let full = [row("a", Split::Train), row("b", Split::Val), row("c", Split::Test)];
        assert!(check_splits(&full, Path::new("out")).is_ok());
        for (missing, split) in [(0, "train"), (1, "val")] {
            let mut rows = full.to_vec();
            rows[missing].split = Split::Test;
            let refusal = check_splits(&rows, Path::new("out")).unwrap_err().to_string();
            assert!(refusal.contains(&format!("the {split} split")), "{refusal}");
        }
    }
}
