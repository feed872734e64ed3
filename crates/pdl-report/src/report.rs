//! `pdl report`: reads a curation folder and writes `report.html`.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use clap::Parser;
use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_curriculum::audit::{self, Audit};
use pdl_curriculum::manifest::Ranking;
use pdl_curriculum::manifest::{self, Manifest};
use pdl_curriculum::pacing::CurriculumStage;
use pdl_curriculum::pairwise::SelectedPairs;
use pdl_curriculum::parameters::RankParameters;
use pdl_prepare::prepared_row::{self, PreparedRow};
use pdl_prepare::proxies::{self, Proxies};
use pdl_prepare::{failure, plan};
use pdl_similarity::metrics::Metric;
use pdl_similarity::neighbours::{DuplicateGroup, duplicates};
use pdl_similarity::pairs::{self, Pairs};
use pdl_store::progress::Progress;
use pdl_store::{atomic, regular_file};
use serde::Serialize;

use crate::cohort::{self, CohortSummary, JoinedPatient, ShownCase};
use crate::experiments::{Experiments, experiments};
use crate::findings;
use crate::matrix::{ShownMatrix, shown_matrix};
use crate::out_of_fold::{OutOfFold, out_of_fold};
use crate::run_history::{ShownRun, runs};
use crate::thumbnails::{CaseToDraw, Thumbnails, thumbnails};
use crate::worst::{WorstCases, worst};
use crate::{ReportError, Result, page};

/// Name of the report inside a curation folder.
pub const FILE: &str = "report.html";

/// Version of the data inside the page.
const SCHEMA_VERSION: u32 = 1;

/// SSIM from which on cases count as near-duplicates.
const DUPLICATE_SSIM: f32 = 0.98;

/// Most labels to list that differ from what similar cases lead one to expect.
const MOST_LABELS: usize = 100;

/// How much of the cohort is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct ReportParameters {
    /// Maximum number of cases to draw and list. For a larger cohort the report shows those that
    /// the audit names, and others evenly through the curriculum. Totals count all cases.
    #[arg(long, default_value_t = 1000, value_name = "CASES")]
    pub cases: usize,
}

impl Default for ReportParameters {
    /// The defaults of the flags.
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct NoFlags {
            #[command(flatten)]
            parameters: ReportParameters,
        }
        NoFlags::parse_from(["pdl"]).parameters
    }
}

/// Result of writing the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reported {
    /// Cases of the cohort.
    pub cases: usize,
    /// Cases that are shown.
    pub shown: usize,
    /// Size of the file in bytes.
    pub bytes: usize,
    /// Whether the file changed.
    pub changed: bool,
}

/// The part of the curriculum that holds for all cases.
#[derive(Serialize)]
struct Curriculum<'a> {
    parameters: &'a RankParameters,
    stages: &'a [CurriculumStage],
    ranking: &'a Ranking,
    spacing_mm: [f64; 3],
}

/// The data of the page.
#[derive(Serialize)]
struct Data<'a> {
    schema_version: u32,
    pdl: &'static str,
    summary: CohortSummary,
    /// The first [`Data::compared`] are those of the matrix and the thumbnails, in their order.
    cases: Vec<ShownCase>,
    compared: usize,
    /// Cases that were compared, shown or not.
    all_compared: usize,
    matrix: Option<ShownMatrix>,
    duplicates: Vec<DuplicateGroup>,
    duplicate_threshold: f32,
    thumbnails: Option<Thumbnails>,
    label_colours: Vec<[u8; 3]>,
    curriculum: Option<Curriculum<'a>>,
    audit: Option<&'a Audit>,
    joined_patients: Vec<JoinedPatient>,
    runs: Vec<ShownRun>,
    runs_unread: usize,
    worst: Option<WorstCases>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    out_of_fold: Vec<OutOfFold>,
    experiments: Experiments,
}

/// Writes `OUT/report.html`; sections of stages that have not run say so.
///
/// # Errors
/// [`ReportError`] when the folder holds no cases, or the results of a stage are invalid.
pub fn report(out: &Path, parameters: &ReportParameters, progress: &dyn Progress) -> Result<Reported> {
    if parameters.cases < 2 {
        let problem = format!("expected at least 2, found {}", parameters.cases);
        return Err(ReportError::InvalidOption { name: "cases", problem });
    }
    if !regular_file::is_there(&out.join(pdl_cohort::table::cases::FILE))? {
        return Err(ReportError::NothingThere { out: out.to_owned() });
    }
    let cases = Cases::read(out)?;
    let is_ranked = regular_file::is_there(&out.join(manifest::TABLE_FILE))?;
    let manifest = is_ranked.then(|| Manifest::open(out)).transpose()?;
    let mut audit = audit::read(out)?;
    if let Some(labels) = audit.as_mut().and_then(|audit| audit.labels.as_mut()) {
        labels.labels.retain(|own| own.flagged || own.decision.is_some());
        labels.labels.truncate(MOST_LABELS);
    }
    let failures = failure::read(out)?;
    let compared = ComparedCases::open(out)?;
    let empty = Vec::new();
    let ids = compared.as_ref().map_or(&empty, |compared| &compared.ids);
    let chosen =
        cohort::choose(ids, manifest.as_ref(), &named(audit.as_ref(), manifest.as_ref()), parameters.cases);
    let of_prepare = prepared_row::read_findings(out)?;
    let reported = findings::reported(&of_prepare, manifest.as_ref(), audit.as_ref());
    let summary = cohort::summary(&cases, &failures, &reported);
    let labels: Vec<u16> = summary.labels.iter().map(|(value, _)| *value).collect();
    let shown = cohort::shown(&cases, &chosen, parameters.cases, manifest.as_ref());
    let drawn = compared.as_ref().map(|c| c.draw(out, &cases, &chosen, &labels, progress)).transpose()?;
    let matrix = compared.as_ref().map(|c| c.matrix(&chosen)).transpose()?.flatten();
    let duplicates = compared.as_ref().map(ComparedCases::duplicates).transpose()?.unwrap_or_default();
    let (runs, runs_unread) = runs(out)?;
    let worst = worst(out, &cases, &runs, &labels)?;
    let curriculum = manifest.as_ref().map(|manifest| Curriculum {
        parameters: &manifest.info.parameters,
        stages: &manifest.info.stages,
        ranking: &manifest.info.ranking,
        spacing_mm: manifest.info.plan.spacing_mm,
    });
    let label_colours = (0..labels.len()).map(crate::planes::contour_colour);
    let data = Data {
        schema_version: SCHEMA_VERSION,
        pdl: env!("CARGO_PKG_VERSION"),
        summary,
        compared: chosen.len(),
        all_compared: ids.len(),
        cases: shown,
        matrix,
        duplicates,
        duplicate_threshold: DUPLICATE_SSIM,
        thumbnails: drawn,
        label_colours: label_colours.collect(),
        curriculum,
        audit: audit.as_ref(),
        joined_patients: cohort::joined_patients(&cases),
        runs,
        runs_unread,
        worst,
        out_of_fold: out_of_fold(out)?,
        experiments: experiments(out)?,
    };
    let html = page::html(&data, &data.summary)?;
    let changed = atomic::write_if_changed(&out.join(FILE), html.as_bytes())?;
    Ok(Reported { cases: cases.rows.len(), shown: data.cases.len(), bytes: html.len(), changed })
}

/// Cases that the audit or the ranking names; they are shown even of a large cohort.
fn named<'a>(audit: Option<&'a Audit>, manifest: Option<&'a Manifest>) -> BTreeSet<&'a str> {
    let links = audit.into_iter().flat_map(|audit| &audit.links);
    let outliers = manifest.into_iter().flat_map(|manifest| &manifest.info.ranking.outliers);
    let labels = audit.into_iter().flat_map(|audit| &audit.labels).flat_map(|labels| &labels.labels);
    links
        .flat_map(|link| [link.case_a.as_str(), link.case_b.as_str()])
        .chain(outliers.map(|outlier| outlier.case_id.as_str()))
        .chain(labels.map(|own| own.case_id.as_str()))
        .collect()
}

/// Proxies and pairs of the curation folder.
pub(crate) struct ComparedCases {
    proxies: Proxies,
    pairs: Option<Pairs>,
    prepared: HashMap<String, PreparedRow>,
    /// Case ids of the proxies, ascending.
    pub(crate) ids: Vec<String>,
    row_of: HashMap<String, usize>,
}

impl ComparedCases {
    pub(crate) fn open(out: &Path) -> Result<Option<Self>> {
        if !regular_file::is_there(&out.join(proxies::FOLDER))? {
            return Ok(None);
        }
        let proxies = Proxies::open(out)?;
        // A single case has no pairs.
        let there = proxies.len() > 1 && regular_file::is_there(&out.join(pairs::FOLDER))?;
        let pairs = there.then(|| Pairs::open(out, &proxies)).transpose()?;
        let prepared = prepared_row::read(out)?.into_iter().map(|row| (row.case_id.clone(), row)).collect();
        let mut ids = proxies.case_ids.clone();
        ids.sort();
        let row_of = proxies.case_ids.iter().enumerate().map(|(row, id)| (id.clone(), row)).collect();
        Ok(Some(Self { proxies, pairs, prepared, ids, row_of }))
    }

    /// SSIM if it was computed, else the first metric.
    fn metric(pairs: &Pairs) -> Metric {
        let all = &pairs.parameters.metrics;
        if all.contains(&Metric::Ssim) { Metric::Ssim } else { all.first().copied().unwrap_or(Metric::Ssim) }
    }

    fn matrix(&self, chosen: &[String]) -> Result<Option<ShownMatrix>> {
        let Some(pairs) = &self.pairs else { return Ok(None) };
        let ids: Vec<&str> = chosen.iter().map(String::as_str).collect();
        let pairwise = SelectedPairs::new(Some(pairs), &self.proxies.case_ids, &ids);
        Ok(shown_matrix(&pairwise, Self::metric(pairs))?)
    }

    fn duplicates(&self) -> Result<Vec<DuplicateGroup>> {
        match &self.pairs {
            Some(pairs) if Self::metric(pairs) == Metric::Ssim => {
                Ok(duplicates(&self.proxies, pairs, Metric::Ssim, DUPLICATE_SSIM)?)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The thumbnails of the `chosen` of its cases.
    pub(crate) fn draw(
        &self,
        out: &Path,
        all: &Cases,
        chosen: &[String],
        labels: &[u16],
        progress: &dyn Progress,
    ) -> Result<Thumbnails> {
        let plan = plan::read(out)?.proxies;
        let rows: HashMap<&str, &CaseRow> = all.rows.iter().map(|row| (row.case_id.as_str(), row)).collect();
        let known = |id: &String| {
            let prepared = self.prepared.get(id)?;
            let stored = rows.get(id.as_str()).and_then(|row| row.grid()).map(|grid| grid.to_ras());
            let source = stored.map(|grid| prepared.cropped(&grid));
            Some(CaseToDraw { row: *self.row_of.get(id)?, prepared, source })
        };
        let cases: Vec<CaseToDraw<'_>> = chosen.iter().filter_map(known).collect();
        thumbnails(out, &self.proxies, &plan, &cases, labels, progress)
    }
}
