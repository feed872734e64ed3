//! The rank stage: from pairs to the manifest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use pdl_cohort::attributes::{Modality, Split};
use pdl_cohort::split::folds::{self, AppliedFold, Fold, FoldDivision, HeldOutGroups};
use pdl_cohort::table::case_row::{self, CaseRow};
use pdl_cohort::table::cases::{self, Cases};
use pdl_prepare::fingerprint::{self, Fingerprint};
use pdl_prepare::plan::{self, Plan};
use pdl_prepare::prepared_row::{self, PreparedRow};
use pdl_prepare::proxies::Proxies;
use pdl_similarity::pairs::Pairs;
use pdl_similarity::parameters::CompareParameters;
use pdl_store::{hash, json, safe_name};

use crate::CurriculumError;
use crate::manifest::{self, Hashes, Label, ManifestInfo, ManifestRow, Ranking};
use crate::order::prune::DuplicateCandidate;
use crate::order::ranker::{self, CaseRank, TrainingCase};
use crate::pacing::{self, CurriculumStage};
use crate::parameters::RankParameters;
use crate::results;

/// Result of the rank stage.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// All rows of the manifest.
    pub rows: Vec<ManifestRow>,
    /// Stages of the curriculum, ascending.
    pub stages: Vec<CurriculumStage>,
    /// Results for the whole cohort.
    pub ranking: Ranking,
    /// Whether any file of the manifest changed.
    pub changed: bool,
    /// The groups that the fold holds out, if folds keep groups whole.
    pub held_out: Option<HeldOutGroups>,
}

/// Ranks the training cases of the curation folder `out`, or of one fold of it, and writes the
/// manifest to `out` or to `folds/K/` in it.
///
/// # Errors
/// [`CurriculumError`] when an earlier stage is missing or outdated, the plan does not cover the
/// training cases of a fold, or `out` cannot be written.
pub fn rank(
    out: &Path,
    parameters: &RankParameters,
    division: Option<FoldDivision<'_>>,
) -> Result<Ranked, CurriculumError> {
    let mut cases = Cases::read(out)?;
    let plan = plan::read(out)?;
    let fold = division.map(|division| division.fold);
    let applied = match division {
        Some(division) => {
            check_plan(&cases, &plan, out)?;
            folds::apply(&mut cases, division)?
        }
        None => AppliedFold::default(),
    };
    rank_divided(out, parameters, Divided { cases, plan, fold, experiment: None, applied })
}

/// Ranks the training cases for an experiment, and writes the manifest to `comparison/NAME/` of the
/// curation folder `out`. With a fold all labelled cases are divided anew ([`folds::rotate`]),
/// those of the test split included; without one the splits are those of the curation folder, which
/// stay as they are in any case.
///
/// The plan is that of the curation folder: it may have seen images that the fold tests on, and
/// [`Plan`]'s parameters say of which splits it was made.
///
/// # Errors
/// As [`rank`].
pub fn rank_for_experiment(
    out: &Path,
    parameters: &RankParameters,
    name: &str,
    fold: Option<Fold>,
) -> Result<Ranked, CurriculumError> {
    if !safe_name::is_safe(name) {
        let problem = "expected letters, digits, '-' and '_'".to_owned();
        return Err(CurriculumError::InvalidOption { name: "experiment", problem });
    }
    let mut cases = Cases::read(out)?;
    let findings = fold.map(|fold| folds::rotate(&mut cases, fold)).transpose()?.unwrap_or_default();
    let plan = plan::read(out)?;
    let (experiment, applied) = (Some(name.to_owned()), AppliedFold { held_out: None, findings });
    rank_divided(out, parameters, Divided { cases, plan, fold, experiment, applied })
}

/// Cases with the splits of a manifest.
struct Divided {
    cases: Cases,
    plan: Plan,
    fold: Option<Fold>,
    experiment: Option<String>,
    applied: AppliedFold,
}

fn rank_divided(
    out: &Path,
    parameters: &RankParameters,
    divided: Divided,
) -> Result<Ranked, CurriculumError> {
    parameters.check()?;
    let Divided { cases, plan, fold, experiment, applied } = divided;
    let prepared = prepared_row::read(out)?;
    let proxies = Proxies::open(out)?;
    let rows = join(&cases, &prepared)?;
    let values = values_of(&cases, out, parameters)?;
    let training = training_cases(&rows, parameters, values.as_ref())?;
    if training.is_empty() {
        let (cases, out) = (rows.len(), out.to_owned());
        return Err(match cases {
            0 => CurriculumError::NoLabelledCases { out },
            _ => CurriculumError::NoTrainingCases { cases, out },
        });
    }
    let pairs = if proxies.len() < 2 { None } else { Some(Pairs::open(out, &proxies)?) };
    let (places, mut ranking) = ranker::rank_cases(&training, pairs.as_ref(), &proxies.case_ids, parameters)?;
    ranking.findings.extend(applied.findings);
    let every = parameters.every(plan.modality);
    let stages = pacing::stages(ranking.ranked, parameters, every);
    let mut ranked = manifest_rows(&rows, &places, &stages);
    if fold.is_some() || experiment.is_some() {
        for ManifestRow { image, label, images, .. } in &mut ranked {
            for path in images.iter_mut().chain([image, label]) {
                *path = format!("{}/{path}", manifest::UP_FROM_FOLD);
            }
        }
    }

    let fingerprint: Fingerprint =
        json::read_versioned(&out.join(fingerprint::FILE), fingerprint::SCHEMA_VERSION)?;
    let info = ManifestInfo {
        schema_version: manifest::SCHEMA_VERSION,
        modality: plan.modality,
        channel_names: channel_names(&cases, plan.modality),
        labels: labels(&cases),
        regions: cases.regions.clone(),
        index: cases.parameters.clone(),
        parameters: RankParameters { every: Some(every), ..parameters.clone() },
        ranking: ranking.clone(),
        compare: pairs.as_ref().map_or_else(CompareParameters::default, |pairs| pairs.parameters.clone()),
        stages: stages.clone(),
        fingerprint,
        fold,
        experiment,
        held_out_groups: applied.held_out.clone(),
        hashes: Hashes {
            cases: hash::of_file(&out.join(cases::FILE))?,
            plan: hash::of_file(&out.join(plan::FILE))?,
            pairs: pairs.map_or(Ok(String::new()), |pairs| pairs.hash())?,
            manifest: String::new(),
        },
        plan,
    };
    let changed = manifest::write(&manifest::made_folder_of(out, &info)?, &ranked, info)?;
    Ok(Ranked { rows: ranked, stages, ranking, changed, held_out: applied.held_out })
}

/// Folds train on validation cases, too, so the plan must be made from them.
fn check_plan(cases: &Cases, plan: &Plan, out: &Path) -> Result<(), CurriculumError> {
    let unseen = |row: &CaseRow| row.split != Split::Test && !plan.parameters.plan_from.includes(row.split);
    if cases.labelled().any(unseen) {
        return Err(CurriculumError::PlanWithoutValidation { out: out.to_owned() });
    }
    Ok(())
}

/// A labelled case with its prepared files.
struct Joined<'a> {
    case: &'a CaseRow,
    prepared: &'a PreparedRow,
    /// The path of its prepared label map, and the hash of that.
    label: [&'a str; 2],
}

/// The labelled cases that are prepared; those without a label are no part of a manifest.
fn join<'a>(cases: &'a Cases, prepared: &'a [PreparedRow]) -> Result<Vec<Joined<'a>>, CurriculumError> {
    let by_id: HashMap<&str, &CaseRow> = cases.usable().map(|row| (row.case_id.as_str(), row)).collect();
    let mut joined = Vec::with_capacity(prepared.len());
    for prepared in prepared {
        let case = by_id.get(prepared.case_id.as_str());
        let case = *case.ok_or_else(|| CurriculumError::UnknownCase { case: prepared.case_id.clone() })?;
        match (&prepared.label, &prepared.label_blake3) {
            (Some(path), Some(blake3)) if case.is_labelled() => {
                joined.push(Joined { case, prepared, label: [path, blake3] });
            }
            // Its label was added after it was prepared.
            _ if case.is_labelled() => {
                return Err(CurriculumError::NotPrepared { case: prepared.case_id.clone() });
            }
            _ => {}
        }
    }
    Ok(joined)
}

/// The values by which cases are ranked instead of similarities, by case.
fn values_of(
    cases: &Cases,
    out: &Path,
    parameters: &RankParameters,
) -> Result<Option<BTreeMap<String, f64>>, CurriculumError> {
    let Some(column) = parameters.by.as_deref() else { return Ok(None) };
    let found = results::by_case(out, column, cases.usable())?;
    found.map(Some).map_err(|columns| CurriculumError::InvalidOption {
        name: "by",
        problem: format!(
            "neither {} nor cases.parquet has a column {column} of numbers; `pdl import-results` and `pdl-fit train \
             --folds all` write the former, whose columns are: {}",
            results::FILE,
            if columns.is_empty() { "none".to_owned() } else { columns.join(", ") }
        ),
    })
}

/// The training cases, ascending by id.
fn training_cases<'a>(
    rows: &[Joined<'a>],
    parameters: &RankParameters,
    values: Option<&BTreeMap<String, f64>>,
) -> Result<Vec<TrainingCase<'a>>, CurriculumError> {
    let mut training = Vec::new();
    for row in rows.iter().filter(|row| row.case.split == Split::Train) {
        let stratum = parameters.stratum_column().map(|column| stratum(row.case, column)).transpose()?;
        training.push(TrainingCase {
            case_id: &row.case.case_id,
            patient_id: &row.case.patient_id,
            candidate: DuplicateCandidate {
                images_blake3: row.case.images().into_iter().map(|(_, blake3)| blake3).collect(),
                labels_annotated: row.case.labels_annotated.len(),
            },
            stratum,
            value: values.and_then(|values| values.get(&row.case.case_id)).copied(),
        });
    }
    training.sort_by_key(|case| case.case_id);
    Ok(training)
}

fn stratum(case: &CaseRow, column: &str) -> Result<String, CurriculumError> {
    case.value(column).ok_or_else(|| {
        let schema = case_row::schema();
        let own = schema.fields().iter().map(|field| field.name().clone());
        let columns: Vec<String> = own.chain(case.carried.keys().cloned()).collect();
        CurriculumError::InvalidOption {
            name: "stratify_by",
            problem: format!(
                "cases.parquet has no column {column} (`pdl index` carries columns of the cohort's table \
                 with `carry`); its columns are {}",
                columns.join(", ")
            ),
        }
    })
}

/// The rows of the manifest: by rank, then the other training cases, validation and test cases by
/// id.
fn manifest_rows(
    rows: &[Joined<'_>],
    places: &BTreeMap<&str, CaseRank>,
    stages: &[CurriculumStage],
) -> Vec<ManifestRow> {
    let mut ranked: Vec<ManifestRow> = rows
        .iter()
        .map(|row| {
            let place = places.get(row.case.case_id.as_str()).cloned().unwrap_or_default();
            ManifestRow {
                case_id: row.case.case_id.clone(),
                patient_id: row.case.patient_id.clone(),
                modality: row.case.modality,
                split: row.case.split,
                rank: place.rank,
                score: place.score,
                stage: place.rank.map(|rank| pacing::stage_of(rank, stages)),
                tune: place.tune,
                labels_annotated: row.case.labels_annotated.clone(),
                image: row.prepared.image.clone(),
                label: row.label[0].to_owned(),
                image_blake3: row.prepared.image_blake3.clone(),
                label_blake3: row.label[1].to_owned(),
                group: place.group,
                left_out: place.left_out,
                images: row.prepared.images.clone(),
                images_blake3: row.prepared.images_blake3.clone(),
            }
        })
        .collect();
    ranked.sort_by(|a, b| {
        let key = |row: &ManifestRow| (row.split, row.rank.unwrap_or(u32::MAX));
        key(a).cmp(&key(b)).then_with(|| a.case_id.cmp(&b.case_id))
    });
    ranked
}

/// The names of the channels; the modality's where cases have one image.
fn channel_names(cases: &Cases, modality: Modality) -> Vec<String> {
    let named = cases.usable().find(|row| !row.channels.is_empty());
    let names = named.map(|row| row.channels.iter().map(|channel| channel.name.clone()).collect());
    names.unwrap_or_else(|| vec![modality.to_string()])
}

/// Every label of a usable case or of a region, with its name.
fn labels(cases: &Cases) -> Vec<Label> {
    let of_rows = cases.usable().flat_map(|row| row.labels.iter().map(|label| label.value));
    let of_regions = cases.regions.iter().flat_map(|region| region.labels.iter().copied());
    let values: BTreeSet<u16> = of_rows.chain(of_regions).collect();
    let name =
        |value: &u16| cases.label_names.get(value).cloned().unwrap_or_else(|| format!("label {value}"));
    values.iter().map(|value| Label { value: *value, name: name(value) }).collect()
}
