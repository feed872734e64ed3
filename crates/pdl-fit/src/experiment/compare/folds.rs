//! Fold folders of a comparison: for each order and fold a manifest in which every labelled case
//! has one of three parts.

use std::path::{Path, PathBuf};
use std::time::Instant;

use pdl_cohort::attributes::Split;
use pdl_cohort::split::folds::Fold;
use pdl_cohort::table::cases::Cases;
use pdl_curriculum::manifest::Manifest;
use pdl_curriculum::rank::rank_for_experiment;
use pdl_prepare::prepared_row;
use pdl_store::hash::Key;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::dataset::{Dataset, TrainingImages};
use crate::data::subset::Subset;
use crate::error::{FitError, Result};
use crate::experiment::compare::FOLDER;
use crate::experiment::compare::protocol::Protocol;
use crate::experiment::rows::{CostRow, ManifestKey, Row, RowFile};
use crate::plan::settings::{Augment, Settings};
use pdl_store::memory::MemoryLimit;

/// The manifest of one order and fold.
#[derive(Clone, Debug)]
pub struct FoldFolder {
    /// Name of the order.
    pub order: String,
    /// Fold, from 0.
    pub fold: u32,
    /// `comparison/ORDER-FOLDofFOLDS` of the curation folder.
    pub folder: PathBuf,
    /// The manifest, as far as runs depend on it.
    pub manifest: ManifestKey,
}

/// Number of cases in the parts of a fold, and how many of its test cases the plan has seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FoldParts {
    /// Fold, from 0.
    pub fold: u32,
    /// Cases in training.
    pub training: usize,
    /// Cases by which arms choose.
    pub validation: usize,
    /// Cases on which they are compared.
    pub test: usize,
    /// Test cases among those from which the curation folder's plan (spacing, normalisation) was
    /// made. All arms share the plan, so that it favours none.
    pub test_seen_by_plan: usize,
}

/// All fold folders of a comparison.
#[derive(Clone, Debug)]
pub struct Folds {
    folders: Vec<FoldFolder>,
    /// Number of folds.
    pub count: u32,
    /// The parts of every fold.
    pub parts: Vec<FoldParts>,
}

/// Key of the seconds that ranking by an order takes.
pub fn rank_key(manifest: &ManifestKey) -> String {
    Key::new("rank seconds 1").part("manifest", &manifest.blake3).finish()
}

impl Folds {
    /// Ranks all orders on all folds in the curation folder `out`; the seconds of each go to
    /// `rows`.
    ///
    /// # Errors
    /// [`FitError::Curriculum`] if the cohort cannot be divided or ranked.
    pub fn make(out: &Path, protocol: &Protocol, rows: &RowFile) -> Result<Self> {
        let _lock = rows.lock()?;
        let (mut folders, mut costs) = (Vec::new(), Vec::new());
        for (order, parameters) in protocol.all_orders() {
            for fold in 0..protocol.folds {
                let name = format!("{order}-{fold}of{}", protocol.folds);
                let clock = Instant::now();
                rank_for_experiment(out, &parameters, &name, Some(Fold { fold, folds: protocol.folds }))?;
                let seconds = clock.elapsed().as_secs_f64();
                let folder = out.join(FOLDER).join(name);
                let manifest = ManifestKey::of(&folder)?;
                let (key, what) = (rank_key(&manifest), format!("rank {order}"));
                costs.push(Row::Cost(CostRow { key, what, seconds }));
                folders.push(FoldFolder { order: order.to_owned(), fold, folder, manifest });
            }
        }
        rows.add_locked(costs)?;
        let parts = parts(out, &folders, protocol.folds)?;
        Ok(Self { folders, count: protocol.folds, parts })
    }

    /// The folder of an order and fold.
    ///
    /// # Errors
    /// [`FitError::NoCandidates`] if the protocol has no such order, which its check refuses.
    pub fn of(&self, order: &str, fold: u32) -> Result<&FoldFolder> {
        let same = |own: &&FoldFolder| own.order == order && own.fold == fold;
        self.folders.iter().find(same).ok_or(FitError::NoCandidates)
    }

    /// The fold of a reported seed.
    pub fn of_seed(&self, seed: u64) -> u32 {
        (seed % u64::from(self.count)) as u32
    }
}

fn parts(out: &Path, folders: &[FoldFolder], folds: u32) -> Result<Vec<FoldParts>> {
    let cases = Cases::read(out)?;
    let of_folder = |own: &FoldFolder| {
        let manifest = Manifest::open(&own.folder)?;
        let plan_from = manifest.info.plan.parameters.plan_from;
        let seen = |case_id: &str| {
            let row = cases.rows.iter().find(|row| row.case_id == case_id);
            row.is_some_and(|row| plan_from.includes(row.split))
        };
        let count = |split| manifest.rows.iter().filter(|row| row.split == split).count();
        let test = manifest.rows.iter().filter(|row| row.split == Split::Test);
        Ok(FoldParts {
            fold: own.fold,
            training: count(Split::Train),
            validation: count(Split::Val),
            test: count(Split::Test),
            test_seen_by_plan: test.filter(|row| seen(&row.case_id)).count(),
        })
    };
    folders.iter().take(folds as usize).map(of_folder).collect()
}

/// A dataset with what the plan of a run depends on.
#[derive(Debug)]
pub struct PlannedDataset {
    /// Manifest, channels and labels.
    pub dataset: Dataset,
    shapes: TrainingImages,
    folder: PathBuf,
    memory: Option<u64>,
}

impl PlannedDataset {
    /// Opens a fold's folder.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn open(folder: &Path, memory: Option<u64>) -> Result<Self> {
        let dataset = Dataset::open(folder)?;
        let curation = dataset.manifest.info.curation_folder(folder);
        let prepared = prepared_row::read(&curation).map_err(pdl_curriculum::CurriculumError::from)?;
        let shape = |case_id: &str| {
            let row = prepared.iter().find(|row| row.case_id == case_id)?;
            let [x, y, z] = <[u32; 3]>::try_from(row.shape.as_slice()).ok()?;
            Some([z, y, x].map(|side| side as usize))
        };
        let training = dataset.manifest.training();
        let shapes = training.iter().filter_map(|row| shape(&row.case_id)).collect();
        let shapes = TrainingImages { shapes, mirrored: Vec::new() };
        Ok(Self { dataset, shapes, folder: folder.to_owned(), memory })
    }

    /// Facts about the training images that a plan depends on. Their voxels are only read if
    /// patches are augmented, for the positions of labels.
    ///
    /// # Errors
    /// As [`Dataset::load`].
    pub fn images(&self, settings: &Settings) -> Result<TrainingImages> {
        let augment = settings.patches.augment.unwrap_or(Augment::None);
        if augment == Augment::None {
            return Ok(self.shapes.clone());
        }
        let limit = MemoryLimit::or_half_of_free(self.memory);
        let loaded = self.dataset.load(&self.folder, (Subset::All, Split::Val), true, &limit)?;
        self.dataset.training_images(&loaded, augment)
    }
}
