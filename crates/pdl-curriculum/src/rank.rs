//! The rank stage: from pairs to the manifest.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_cohort::cases::{self, CaseRow, Cases};
use pdl_prepare::fingerprint::{self, Fingerprint};
use pdl_prepare::plan;
use pdl_prepare::prepare::{self, PreparedRow};
use pdl_prepare::proxies::Proxies;
use pdl_similarity::pairs::{Metric, Pairs};
use pdl_similarity::parameters::CompareParameters;
use pdl_store::{hash, json};

use crate::CurriculumError;
use crate::manifest::{self, Hashes, Label, ManifestInfo, ManifestRow};
use crate::pace::{self, Stage};
use crate::parameters::RankParameters;
use crate::score;

/// What the rank stage did.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// Every case in the manifest.
    pub rows: Vec<ManifestRow>,
    /// The stages.
    pub stages: Vec<Stage>,
    /// Whether the manifest is new or other than before.
    pub changed: bool,
}

/// Ranks the training cases of the curation folder `out` and writes the manifest.
///
/// # Errors
/// [`CurriculumError`] when an earlier stage is missing or stale, or `out` cannot be written.
pub fn rank(out: &Path, parameters: &RankParameters) -> Result<Ranked, CurriculumError> {
    let cases = Cases::read(out)?;
    let prepared = prepare::read(out)?;
    let proxies = Proxies::open(out)?;
    let rows = join(&cases, &prepared)?;
    let training: Vec<&Joined<'_>> = rows.iter().filter(|row| row.case.split == Split::Train).collect();
    if training.is_empty() {
        return Err(CurriculumError::NoTrainingCases { cases: rows.len(), out: out.to_owned() });
    }
    let (scores, compare, pairs_hash) = scores(out, &proxies, &training, parameters.metric)?;
    let plan = prepare::read_plan(out)?;
    let stages =
        pace::fixed(training.len(), parameters.start, parameters.add, parameters.every(plan.modality));
    let ranked = ranked_rows(&rows, &scores, &stages, parameters);

    let fingerprint: Fingerprint = json::read(&out.join(fingerprint::FILE))?;
    let info = ManifestInfo {
        schema_version: 1,
        modality: plan.modality,
        labels: labels(&cases),
        index: cases.parameters.clone(),
        parameters: RankParameters { every: Some(parameters.every(plan.modality)), ..parameters.clone() },
        compare,
        stages: stages.clone(),
        fingerprint,
        hashes: Hashes {
            cases: hash::of_file(&out.join(cases::FILE))?,
            plan: hash::of_file(&out.join(plan::FILE))?,
            pairs: pairs_hash,
            manifest: String::new(),
        },
        plan,
    };
    let changed = manifest::write(out, &ranked, info)?;
    Ok(Ranked { rows: ranked, stages, changed })
}

/// A case with its prepared files.
struct Joined<'a> {
    case: &'a CaseRow,
    prepared: &'a PreparedRow,
}

fn join<'a>(cases: &'a Cases, prepared: &'a [PreparedRow]) -> Result<Vec<Joined<'a>>, CurriculumError> {
    let by_id: HashMap<&str, &CaseRow> = cases.usable().map(|row| (row.case_id.as_str(), row)).collect();
    prepared
        .iter()
        .map(|prepared| {
            let case = by_id.get(prepared.case_id.as_str());
            let case = case.ok_or_else(|| CurriculumError::UnknownCase { case: prepared.case_id.clone() })?;
            Ok(Joined { case, prepared })
        })
        .collect()
}

type Scores<'a> = HashMap<&'a str, Option<f64>>;

/// Scores of the training cases, how the pairs were compared, and their hash.
fn scores<'a>(
    out: &Path,
    proxies: &'a Proxies,
    training: &[&Joined<'_>],
    metric: Metric,
) -> Result<(Scores<'a>, CompareParameters, String), CurriculumError> {
    if proxies.len() < 2 {
        return Ok((Scores::new(), CompareParameters::default(), String::new()));
    }
    let pairs = Pairs::open(out, proxies)?;
    let ids: BTreeSet<&str> = training.iter().map(|row| row.case.case_id.as_str()).collect();
    let is_training: Vec<bool> = proxies.case_ids.iter().map(|id| ids.contains(id.as_str())).collect();
    let scores = score::mean_similarity(&pairs, metric, &is_training)?;
    let scores = proxies.case_ids.iter().map(String::as_str).zip(scores).collect();
    Ok((scores, pairs.parameters.clone(), pairs.hash()?))
}

fn ranked_rows(
    rows: &[Joined<'_>],
    scores: &Scores<'_>,
    stages: &[Stage],
    parameters: &RankParameters,
) -> Vec<ManifestRow> {
    let score_of = |row: &Joined<'_>| scores.get(row.case.case_id.as_str()).copied().flatten();
    let training: Vec<(&str, Option<f64>)> = rows
        .iter()
        .filter(|row| row.case.split == Split::Train)
        .map(|row| (row.case.case_id.as_str(), score_of(row)))
        .collect();
    let tune_from = parameters.tune_from.of(training.len()) as u32;
    let ranks: HashMap<&str, u32> = training.iter().map(|(id, _)| *id).zip(score::rank(&training)).collect();
    let mut ranked: Vec<ManifestRow> = rows
        .iter()
        .map(|row| {
            let rank = ranks.get(row.case.case_id.as_str()).copied();
            let in_sample =
                |rank: u32| rank <= tune_from && (rank - 1).is_multiple_of(parameters.tune_step.max(1));
            ManifestRow {
                case_id: row.case.case_id.clone(),
                patient_id: row.case.patient_id.clone(),
                modality: row.case.modality,
                split: row.case.split,
                rank,
                score: rank.and_then(|_| score_of(row)),
                stage: rank.map(|rank| pace::stage_of(rank, stages)),
                tune: rank.is_some_and(in_sample),
                labels_annotated: row.case.labels_annotated.clone(),
                image: row.prepared.image.clone(),
                label: row.prepared.label.clone(),
                image_blake3: row.prepared.image_blake3.clone(),
                label_blake3: row.prepared.label_blake3.clone(),
            }
        })
        .collect();
    ranked.sort_by(|a, b| {
        let key = |row: &ManifestRow| (row.split, row.rank);
        key(a).cmp(&key(b)).then_with(|| a.case_id.cmp(&b.case_id))
    });
    ranked
}

/// Every label that a usable case has, with its name.
fn labels(cases: &Cases) -> Vec<Label> {
    let values: BTreeSet<u16> =
        cases.usable().flat_map(|row| row.labels.iter().map(|label| label.value)).collect();
    let name =
        |value: &u16| cases.label_names.get(value).cloned().unwrap_or_else(|| format!("label {value}"));
    values.iter().map(|value| Label { value: *value, name: name(value) }).collect()
}
