//! Reads and validates the cases of a curation folder.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use pdl_cohort::attributes::Split;
use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_curriculum::manifest::{Manifest, ManifestRow};
use pdl_prepare::prepared_row;
use pdl_store::memory::{self, MemoryError, MemoryLimit, MemoryShare};
use pdl_store::{StoreError, fault};
use pdl_volume::Grid;

use crate::data::case::{Case, Channels};
use crate::data::case_cache::{self, CaseCache};
use crate::data::case_reader::{self, CaseReader, ReadFailure};
use crate::data::laterality;
use crate::data::regions::RegionOutput;
use crate::data::subset::Subset;
use crate::data::voxel_file::{BoxZyx, VoxelFile};
use crate::error::{FitError, Result};
use crate::plan::run_plan::Cohort;
use crate::plan::settings::Augment;

/// Minimum number of patients for a split into training, validation and test set.
const LEAST_PATIENTS: usize = 3;

/// Cases are held in memory if all together take at most this fraction of the memory limit; the
/// rest is for the network, the batches and evaluations.
const HELD_SHARE: u64 = 2;

/// A validation or test case with its original label map.
#[derive(Clone, Debug)]
pub struct EvalCase {
    /// The prepared case.
    pub case: Case,
    /// Shape (z, y, x) of the original image in RAS+ orientation.
    pub shape: [usize; 3],
    /// Grid of the original image in its stored orientation.
    pub stored: Grid,
    truth: Truth,
}

/// The original label map of a case, in memory or in a file.
#[derive(Clone, Debug)]
enum Truth {
    Memory(Vec<u8>),
    File(VoxelFile),
}

impl EvalCase {
    /// A case with the channel of every voxel (z, y, x) of its original label map in RAS+
    /// orientation; `stored` is the grid of the original.
    pub fn new(case: Case, truth: Vec<u8>, stored: Grid) -> Self {
        Self { case, shape: shape_zyx(&stored), stored, truth: Truth::Memory(truth) }
    }

    /// Channel of every voxel of the original label map in RAS+ orientation (z, y, x).
    ///
    /// # Errors
    /// [`FitError::Store`] if its file cannot be read.
    pub fn truth(&self) -> Result<Cow<'_, [u8]>> {
        match &self.truth {
            Truth::Memory(channels) => Ok(Cow::Borrowed(channels)),
            Truth::File(file) => Ok(Cow::Owned(file.channels(BoxZyx::whole(self.shape))?)),
        }
    }
}

/// Shape (z, y, x) of a grid in RAS+ orientation.
fn shape_zyx(stored: &Grid) -> [usize; 3] {
    let [x, y, z] = stored.to_ras().shape;
    [z, y, x]
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
    /// The regions of the network's outputs; empty if it learns labels.
    pub regions: Vec<RegionOutput>,
    /// Names of the images of a case, the inputs of the network, in their order.
    pub inputs: Vec<String>,
}

/// Properties of the training images that a plan depends on.
#[derive(Clone, Debug, Default)]
pub struct TrainingImages {
    /// Shapes (z, y, x) in voxels.
    pub shapes: Vec<[usize; 3]>,
    /// Pairs of channels (left, right) of labels that mirror each other by their positions.
    pub mirrored: Vec<[u8; 2]>,
}

/// The cases of a dataset, in memory or in files.
#[derive(Debug)]
pub struct Loaded {
    /// Training cases by rank.
    pub training: Vec<Case>,
    /// Cases of evaluations in the manifest's order: of the validation split, unless the request
    /// names another.
    pub validation: Vec<EvalCase>,
    /// Folder of the files that hold the voxels; `None` if they are in memory.
    pub cache: Option<PathBuf>,
}

/// A case to be read: its row of the manifest, and for evaluation that of its original.
type Wanted<'a> = (&'a ManifestRow, Option<&'a CaseRow>);

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
        let inputs = manifest.info.channel_names.clone();
        Ok(Self { manifest, channels, names, regions, inputs })
    }

    /// Reads the training cases of a subset and all cases of the split `held_out`, on which the run
    /// is evaluated. If they take more than half of `limit`, their voxels are written once to files
    /// of the curation folder (`data::case_cache`), from which patches are read. Unless
    /// `trust_files`, every file must match its recorded hash.
    ///
    /// # Errors
    /// [`FitError`] if a file is missing, damaged or changed or contains an unknown label, if the
    /// subset is empty, or if a single case needs more memory than the limit.
    pub fn load(
        &self,
        out: &Path,
        (subset, held_out): (Subset, Split),
        trust_files: bool,
        limit: &MemoryLimit,
    ) -> Result<Loaded> {
        let mut training = self.manifest.training();
        training.retain(|row| subset == Subset::All || row.tune);
        if training.is_empty() {
            return Err(FitError::NoTuningSubset);
        }
        let cases = Cases::read(&self.manifest.info.curation_folder(out))?;
        let held_out = self.wanted(held_out, &cases)?;
        let wanted: Vec<Wanted<'_>> = training.iter().map(|row| (*row, None)).chain(held_out).collect();
        self.read(out, &wanted, &cases, trust_files, limit)
    }

    /// Reads all cases of a split with their original label maps, within half of the memory that is
    /// free.
    ///
    /// # Errors
    /// As [`Dataset::load`].
    pub fn held_out(&self, out: &Path, split: Split, trust_files: bool) -> Result<Vec<EvalCase>> {
        let cases = Cases::read(&self.manifest.info.curation_folder(out))?;
        let wanted = self.wanted(split, &cases)?;
        let limit = MemoryLimit::or_half_of_free(None);
        Ok(self.read(out, &wanted, &cases, trust_files, &limit)?.validation)
    }

    /// The cases of a split with the rows of their originals.
    fn wanted<'a>(&'a self, split: Split, cases: &'a Cases) -> Result<Vec<Wanted<'a>>> {
        let rows: HashMap<&str, &CaseRow> =
            cases.rows.iter().map(|case| (case.case_id.as_str(), case)).collect();
        let wanted = |row: &'a ManifestRow| match rows.get(row.case_id.as_str()) {
            Some(original) => Ok((row, Some(*original))),
            None => Err(FitError::UnknownCase { case_id: row.case_id.clone() }),
        };
        self.of_split(split).map(wanted).collect()
    }

    fn read(
        &self,
        out: &Path,
        wanted: &[Wanted<'_>],
        cases: &Cases,
        trust_files: bool,
        limit: &MemoryLimit,
    ) -> Result<Loaded> {
        let curation = self.manifest.info.curation_folder(out);
        let reader = CaseReader { out, curation: &curation, channels: &self.channels, trust_files };
        let fit = bytes_of(wanted, &curation, cases)? <= limit.bytes() / HELD_SHARE;
        let cache = if fit { None } else { Some(CaseCache::open(&curation)?) };
        let read = memory::in_turns(
            wanted,
            limit,
            |wanted, share| match read_one(&reader, cache.as_ref(), wanted, share) {
                Ok(case) => Ok(Ok(case)),
                Err(ReadFailure::Memory(error)) => Ok(Err(error)),
                Err(ReadFailure::Case(error)) => Err(error),
            },
            |(row, _), source: MemoryError| {
                Err(StoreError::Memory { path: out.join(&row.image), source }.into())
            },
        )?;
        let mut loaded = Loaded {
            training: Vec::new(),
            validation: Vec::new(),
            cache: cache.map(|_| curation.join(case_cache::FOLDER)),
        };
        for case in read {
            match case {
                ReadCase::Training(case) => loaded.training.push(*case),
                ReadCase::HeldOut(case) => loaded.validation.push(*case),
            }
        }
        Ok(loaded)
    }

    /// The properties of the cohort for planning, with those of its training images.
    pub fn with<'a>(&'a self, training: &'a TrainingImages) -> Cohort<'a> {
        let TrainingImages { shapes, mirrored } = training;
        let (names, regions, inputs) = (&self.names, &self.regions, self.inputs.len());
        Cohort { info: &self.manifest.info, shapes, names, regions, inputs, mirrored }
    }

    /// Facts about the training images for planning. Positions of labels are only read if patches
    /// are augmented.
    ///
    /// # Errors
    /// [`FitError::Store`] if the voxels of a case cannot be read.
    pub fn training_images(&self, loaded: &Loaded, augment: Augment) -> Result<TrainingImages> {
        let cases = &loaded.training;
        let mirrored = match augment {
            Augment::None => Vec::new(),
            Augment::Light | Augment::Full => laterality::pairs_by_position(cases, &self.names)?,
        };
        Ok(TrainingImages { shapes: cases.iter().map(|case| case.shape).collect(), mirrored })
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

/// A prepared case, for training alone or with what evaluation compares it with.
enum ReadCase {
    Training(Box<Case>),
    HeldOut(Box<EvalCase>),
}

fn read_one(
    reader: &CaseReader<'_>,
    cache: Option<&CaseCache>,
    (row, original): &Wanted<'_>,
    share: &MemoryShare<'_>,
) -> std::result::Result<ReadCase, ReadFailure> {
    let case = match cache {
        Some(cache) => cache.case(&reader.key(row)?, row, || reader.prepared(row, share))?,
        None => reader.prepared(row, share)?,
    };
    let Some(original) = original else { return Ok(ReadCase::Training(Box::new(case))) };
    let stored = reader.stored_grid(row, original)?;
    let truth = match cache {
        None => Truth::Memory(reader.truth(row, original, &case.annotated, share)?),
        Some(cache) => {
            let key = reader.truth_key(row, original)?;
            let truth = || reader.truth(row, original, &case.annotated, share);
            Truth::File(cache.truth(&key, row, shape_zyx(&stored), truth)?)
        }
    };
    Ok(ReadCase::HeldOut(Box::new(EvalCase { case, shape: shape_zyx(&stored), stored, truth })))
}

/// Bytes that the voxels of the cases take in memory.
fn bytes_of(wanted: &[Wanted<'_>], curation: &Path, cases: &Cases) -> Result<u64> {
    let table = curation.join(prepared_row::FILE);
    let prepared = match fault::is_file(&table).map_err(StoreError::io("look at the file", &table))? {
        true => prepared_row::read(curation)?,
        false => Vec::new(),
    };
    let shapes: HashMap<&str, &[u32]> =
        prepared.iter().map(|row| (row.case_id.as_str(), row.shape.as_slice())).collect();
    let originals: HashMap<&str, &[u32]> =
        cases.rows.iter().map(|row| (row.case_id.as_str(), row.shape.as_slice())).collect();
    // A case of unknown size is not held in memory.
    let bytes = |sides: Option<&&[u32]>, inputs: usize| {
        let sides = sides.and_then(|sides| <[u32; 3]>::try_from(*sides).ok());
        sides.map_or(u64::MAX, |sides| VoxelFile::bytes(sides.map(|side| side as usize), inputs))
    };
    let bytes = |(row, original): &Wanted<'_>| {
        let case_id = row.case_id.as_str();
        // A prepared case that the table lacks is about as large as its original.
        let prepared = shapes.get(case_id).or_else(|| originals.get(case_id));
        let truth = original.map_or(0, |_| bytes(originals.get(case_id), 0));
        bytes(prepared, case_reader::images_of(row).len()).saturating_add(truth)
    };
    Ok(wanted.iter().map(bytes).fold(0, u64::saturating_add))
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
