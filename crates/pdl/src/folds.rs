//! `pdl rank --folds`: a manifest for each fold of a cross-validation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pdl_cohort::folds::Fold;
use pdl_console::{counted, note};
use pdl_curriculum::audit::Audit;
use pdl_curriculum::manifest::{self, FOLDS_FOLDER, INFO_FILE, ManifestInfo};
use pdl_curriculum::rank::Ranked;
use pdl_store::json;
use serde_json::{Value, json};

use crate::audit;
use crate::output::summary;

/// Which folds to rank.
#[derive(Debug, clap::Args)]
pub(crate) struct FoldParameters {
    /// Divide all cases outside the test split into K folds, by patient and stratified as the split is. Written are
    /// folds/0/manifest.* to folds/K-1/manifest.*, each ranked on the training cases of its fold, instead of
    /// manifest.*. The plan must come from all these cases: `pdl prepare OUT --plan-from outside-test`.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(2..))]
    folds: Option<u32>,
    /// Write this fold only, from 0 to K-1; all of them when not given.
    #[arg(long, value_name = "FOLD", requires = "folds")]
    fold: Option<u32>,
}

impl FoldParameters {
    /// The folds asked for; none when there is to be one manifest.
    pub(crate) fn all(&self) -> Vec<Fold> {
        let Some(folds) = self.folds else { return Vec::new() };
        let which = self.fold.map_or(0..folds, |fold| fold..fold.saturating_add(1));
        which.map(|fold| Fold { fold, folds }).collect()
    }
}

/// A fold that was ranked.
#[derive(Debug)]
pub(crate) struct RankedFold {
    pub fold: Fold,
    pub ranked: Ranked,
    pub audited: Audit,
}

impl RankedFold {
    /// The folder of its manifest.
    pub(crate) fn folder(&self, out: &Path) -> PathBuf {
        manifest::folder(out, Some(self.fold))
    }
}

/// A line about the manifest of every fold, and one about its audit.
pub(crate) fn lines(folds: &[RankedFold]) -> Vec<String> {
    let of_fold = |ranked: &RankedFold| {
        let folder = ranked.folder(Path::new(""));
        [
            format!("  {}/ {}", folder.display(), summary::rank_line(&ranked.ranked)),
            format!("  {}/ {}", folder.display(), audit::line(&ranked.audited)),
        ]
    };
    folds.iter().flat_map(of_fold).collect()
}

/// Findings about the folds on stderr, each once.
pub(crate) fn warnings(out: &Path, folds: &[RankedFold]) {
    let mut seen = BTreeSet::new();
    for RankedFold { fold: Fold { fold, .. }, ranked, audited } in folds {
        for finding in ranked.ranking.findings.iter().chain(&audited.findings) {
            if seen.insert(&finding.message) {
                note(&format!("warning: fold {fold}: {} [{}]", finding.message, finding.code));
            }
        }
        if audited.leaks > 0 {
            note(&format!(
                "leak: fold {fold}: {} between two splits of this fold",
                counted(audited.leaks, "pair")
            ));
        }
    }
    if let Some(RankedFold { fold: Fold { folds, .. }, .. }) = folds.first() {
        for name in of_other_divisions(out, *folds) {
            note(&format!("warning: {FOLDS_FOLDER}/{name} is no fold of {folds}: rank it anew or delete it"));
        }
    }
}

/// The folders of folds that belong to a division into another number.
fn of_other_divisions(out: &Path, folds: u32) -> BTreeSet<String> {
    let entries = std::fs::read_dir(out.join(FOLDS_FOLDER)).into_iter().flatten().flatten();
    let other = |entry: std::fs::DirEntry| {
        let info: ManifestInfo = json::read(&entry.path().join(INFO_FILE)).ok()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        info.fold.is_none_or(|fold| fold.folds != folds).then_some(name)
    };
    entries.filter_map(other).collect()
}

/// The folds for scripts.
pub(crate) fn result(folds: &[RankedFold]) -> Value {
    let of_fold = |ranked: &RankedFold| {
        json!({
            "fold": ranked.fold.fold, "folds": ranked.fold.folds,
            "rank": summary::rank_result(&ranked.ranked), "audit": ranked.audited,
        })
    };
    folds.iter().map(of_fold).collect()
}
