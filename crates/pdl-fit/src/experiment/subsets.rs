//! How few training cases suffice: Dice on the test set against the number of training cases that
//! are kept, for several ways to select them and for stratified random draws, with equally many
//! steps.
//!
//! Anchors: DeepCore (Guo et al. 2022), where few selections beat random ones; nnActive
//! (arXiv 2511.19183), where none beats a random draw that knows the foreground; ClaSP PE (arXiv
//! 2601.13677), the first that does.

pub(crate) mod selection;
pub(crate) mod subsets_table;
pub(crate) mod summary;

use std::path::{Path, PathBuf};

use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::{EXPERIMENTS_FOLDER, Manifest};
use pdl_curriculum::rank::rank_for_experiment;
use pdl_store::{json, table};

use crate::error::{FitError, Result};
use crate::experiment::compare::folds::PlannedDataset;
use crate::experiment::planned::{PlannedRun, RunMaker};
use crate::experiment::rows::ManifestKey;
use crate::experiment::subsets::selection::{Selection, SubsetsRequest, selections};
use crate::experiment::subsets::summary::{SCHEMA_VERSION, SubsetRow, Subsets, schema, summarised};
use crate::plan::planner::Planner;
use crate::plan::settings::{Augment, CURRICULUM, LENGTH, ScheduleKind, Settings};

/// Name of the result in the folder of experiments.
pub const FILE: &str = "subsets.json";
/// Name of the table of runs in the same folder.
pub const TABLE_FILE: &str = "subsets.parquet";
/// Settings that the experiment determines; the command line may not contain them.
pub fn own_settings() -> Vec<&'static str> {
    [&CURRICULUM[..], &LENGTH, &["restart_lr", "seed"]].concat()
}

/// Trains on all subsets of the curation folder `out` whose rows are missing, and writes
/// `subsets.json` and `subsets.parquet`. All runs are conventional and have the steps of
/// `settings`, by default as many as planned for all training cases.
///
/// # Errors
/// As [`RunMaker::rows_of`]; [`FitError::NoData`] without test cases; [`FitError::InvalidOption`]
/// if a setting is not for this experiment.
pub fn measure(
    out: &Path,
    request: &SubsetsRequest,
    settings: &Settings,
    maker: &mut RunMaker<'_>,
) -> Result<Subsets> {
    check(settings)?;
    let manifest = Manifest::open(out)?;
    let test_cases = manifest.rows.iter().filter(|row| row.split == Split::Test).count();
    if test_cases == 0 {
        return Err(FitError::NoData { split: Split::Test, path: out.to_owned() });
    }
    // Subsets of any size are augmented alike.
    let augment = settings.patches.augment.or(Some(Augment::None));
    let settings = settings.with(|settings| {
        settings.curriculum.schedule = ScheduleKind::Conventional;
        settings.patches.augment = augment;
    });
    let steps = steps(out, &settings, maker.memory)?;
    let settings = settings.with(|settings| {
        (settings.length.steps, settings.length.eval_every) = (Some(steps), Some(steps));
    });
    let (selections, left_out) = selections(request, &manifest.info.compare.metrics);
    let mut folders = Vec::new();
    for selection in &selections {
        folders.push(made(out, selection, maker)?);
    }
    let mut planned = Vec::new();
    // Seed by seed, so that an unfinished experiment has whole seeds.
    for seed in 1..=request.seeds {
        for (selection, (folder, manifest)) in selections.iter().zip(&folders) {
            planned.push(PlannedRun {
                name: selection.name(),
                order: selection.order.clone(),
                folder: folder.clone(),
                manifest: manifest.clone(),
                fold: None,
                evaluate_on: Split::Test,
                settings: settings.with(|settings| settings.machine.seed = seed),
            });
        }
    }
    let rows = maker.rows_of(&planned)?;
    let of_run = selections.iter().cycle().zip(&rows);
    let rows: Vec<SubsetRow> = of_run.map(|(selection, row)| SubsetRow::new(selection, row)).collect();
    let folder = out.join(EXPERIMENTS_FOLDER);
    table::write_rows(&folder.join(TABLE_FILE), &schema(), &rows, table::versioned(SCHEMA_VERSION))?;
    let subsets = summarised(&rows, steps, test_cases, left_out)?;
    json::write(&folder.join(FILE), &subsets)?;
    Ok(subsets)
}

fn check(settings: &Settings) -> Result<()> {
    let (given, defaults) = (settings.values()?, Settings::defaults()?.values()?);
    match own_settings().into_iter().find(|name| given.get(*name) != defaults.get(*name)) {
        Some(name) => {
            Err(FitError::option(name, "is not for subsets: runs are conventional, with equally many steps"))
        }
        None => settings.check(),
    }
}

/// Steps of every run: those of the settings, or as planned for all training cases.
fn steps(out: &Path, settings: &Settings, memory: Option<u64>) -> Result<u64> {
    let planned = PlannedDataset::open(out, memory)?;
    let images = planned.images(settings)?;
    let cohort = planned.dataset.with(&images);
    Ok(Planner { settings, cohort: &cohort, speed: None }.plan()?.steps)
}

/// The folder of a selection's manifest.
fn made(out: &Path, selection: &Selection, maker: &RunMaker<'_>) -> Result<(PathBuf, ManifestKey)> {
    let _lock = maker.rows.lock()?;
    let name = selection.folder();
    rank_for_experiment(out, &selection.parameters, &name, None)?;
    let folder = out.join(EXPERIMENTS_FOLDER).join(name);
    let manifest = ManifestKey::of(&folder)?;
    Ok((folder, manifest))
}
