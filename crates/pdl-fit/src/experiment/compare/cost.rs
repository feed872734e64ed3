//! Seconds that an arm's order costs before training: comparing the cohort, and ranking it.

use std::path::Path;
use std::time::Instant;

use pdl_curriculum::manifest::Manifest;
use pdl_curriculum::parameters::{Order, RankParameters};
use pdl_prepare::proxies;
use pdl_similarity::compare::compare;
use pdl_store::hash::Key;
use pdl_store::journal::HashCheck;
use pdl_store::progress::{Silent, StageContext};
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic};

use crate::error::Result;
use crate::experiment::compare::FOLDER;
use crate::experiment::compare::folds::{FoldFolder, Folds, rank_key};
use crate::experiment::compare::protocol::{Arm, PLAIN_ORDER, Protocol};
use crate::experiment::rows::{CostRow, Row, RowFile, Rows};
use crate::plan::settings::ScheduleKind;

/// Folder in which the cohort is compared again to measure the time.
const AGAIN: &str = "compared-again";

/// Whether an order reads similarities.
fn reads_pairs(parameters: &RankParameters) -> bool {
    parameters.by.is_none() && !matches!(parameters.order, Order::Random | Order::RandomStratified)
}

/// Whether an arm trains by an order that reads similarities.
fn needs_pairs(protocol: &Protocol, arm: &Arm) -> Result<bool> {
    let order = arm.order.as_ref().and_then(|name| protocol.orders.get(name));
    Ok(protocol.settings(arm)?.curriculum.schedule == ScheduleKind::Pdl && order.is_some_and(reads_pairs))
}

/// Seconds of an arm's comparing and ranking on a fold; 0 for conventional training and random
/// orders.
///
/// # Errors
/// [`crate::FitError::NoCandidates`] if the fold has no folder.
pub fn of_arm(
    protocol: &Protocol,
    arm: &Arm,
    (folds, fold): (&Folds, u32),
    compare_seconds: f64,
    rows: &Rows,
) -> Result<f64> {
    if !needs_pairs(protocol, arm)? {
        return Ok(0.0);
    }
    let own = folds.of(arm.order_name(), fold)?;
    Ok(compare_seconds + rows.cost(&rank_key(&own.manifest)).unwrap_or(0.0))
}

/// Seconds of comparing the cohort of `out`: as the protocol gives them, as measured before, or
/// measured now, in a folder of its own with the metrics of the cohort's pairs. 0 if no arm needs
/// similarities.
///
/// # Errors
/// [`crate::FitError`] if the proxies cannot be compared.
pub fn compare_seconds(
    out: &Path,
    protocol: &Protocol,
    folds: &Folds,
    rows: &RowFile,
    memory: Option<u64>,
) -> Result<f64> {
    let needed = protocol.arms.iter().map(|arm| needs_pairs(protocol, arm)).collect::<Result<Vec<_>>>()?;
    if !needed.contains(&true) {
        return Ok(0.0);
    }
    if let Some(seconds) = protocol.compare_seconds {
        return Ok(seconds);
    }
    let _lock = rows.lock()?;
    let key = key(folds.of(PLAIN_ORDER, 0)?)?;
    if let Some(seconds) = rows.read()?.cost(&key) {
        return Ok(seconds);
    }
    let seconds = measure(out, folds.of(PLAIN_ORDER, 0)?, memory)?;
    rows.add_locked(vec![Row::Cost(CostRow { key, what: "compare".to_owned(), seconds })])?;
    Ok(seconds)
}

fn key(fold: &FoldFolder) -> Result<String> {
    let pairs = Manifest::open(&fold.folder)?.info.hashes.pairs;
    Ok(Key::new("compare seconds 1").part("pairs", &pairs).finish())
}

fn measure(out: &Path, fold: &FoldFolder, memory: Option<u64>) -> Result<f64> {
    let parameters = Manifest::open(&fold.folder)?.info.compare;
    let again = SafePath::new(&out.join(FOLDER), AGAIN)?;
    atomic::remove_folder(&again)?;
    let source = out.join(proxies::FOLDER);
    let copies = again.join(proxies::FOLDER)?;
    copies.create()?;
    for name in atomic::file_names(&SafePath::new(out, proxies::FOLDER)?)? {
        let (from, to) = (source.join(&name), copies.join(&name)?.full());
        std::fs::copy(&from, &to).map_err(StoreError::io("copy the file", &from))?;
    }
    let clock = Instant::now();
    let context = StageContext { hash_check: HashCheck::Stamps, progress: &Silent, memory };
    let compared = compare(&again.full(), &parameters, context);
    let seconds = clock.elapsed().as_secs_f64();
    atomic::remove_folder(&again)?;
    compared.map_err(pdl_curriculum::CurriculumError::from)?;
    Ok(seconds)
}
