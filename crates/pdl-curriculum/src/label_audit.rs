//! Wrong labels found without a model: similar cases vote on each label.
//!
//! All labelled cases are aligned to their common template ([`align_group`]); there the nearest
//! cases of other patients vote on every label of a case (`vote`), and what the label says is
//! compared with the vote (`score`). A reviewer's decisions are read from `label-review.csv`
//! (`review`): a label that is right is no longer flagged, one that is wrong has no vote.

mod agreement;
mod label_cells;
mod review;
mod score;
mod vote;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_findings::{Code, Finding};
use pdl_prepare::PrepareError;
use pdl_prepare::plan;
use pdl_prepare::prepared_row::{self, PreparedRow};
use pdl_prepare::proxies::Proxies;
use pdl_similarity::metrics::Metric;
use pdl_similarity::pairs::Pairs;
use pdl_similarity::registration::{UnitAffine, align_group, value_at};
use pdl_store::hash::Key;
use pdl_store::memory::MemoryLimit;
use pdl_store::{StoreError, plural};
use rayon::prelude::*;

use crate::CurriculumError;
use crate::label_audit::label_cells::{LabelCells, RegionGrid, label_cells, labelled_box};
use crate::label_audit::review::Reviews;
use crate::label_audit::score::{Agreement, Scored};
use crate::label_audit::vote::{Consensus, RegionCase, levels, vote};
use crate::pairwise::{PairwiseSimilarity, SelectedPairs};

pub use crate::label_audit::agreement::{LabelAgreement, LabelAudit, LabelDecision, LabelReason};
pub use crate::label_audit::review::FILE as REVIEW_FILE;

/// Nearest cases of other patients that vote on a case's labels.
const VOTERS: usize = 20;

/// Most cells along each axis of the region in which labels are compared.
const SIDE: usize = 24;

/// Below this overlap a label is also compared with its mirror image.
const POOR: f64 = 0.5;

/// Minimum gain in agreement of the mirror image for a label to count as on the wrong side.
const BETTER: f64 = 0.2;

impl LabelAudit {
    /// The finding of the audit about the labels.
    pub(crate) fn finding(&self) -> Option<Finding> {
        let worst = self.worst().find(|own| own.decision.is_none())?;
        let open = self.worst().filter(|own| own.decision.is_none()).count();
        let name = worst.name.as_ref().map_or(String::new(), |name| format!(" ({name})"));
        let verb = if open == 1 { "differs" } else { "differ" };
        let message = format!(
            "{} {verb} from what similar cases lead one to expect; the worst is label {}{name} of {} ({}), {REVIEW_FILE} lists them",
            plural::counted(open, "label"),
            worst.label,
            worst.case_id,
            worst.reason.map_or("", LabelReason::as_str),
        );
        Some(Finding::new(Code::LabelDisagrees, message))
    }
}

/// Compares the labels of all labelled cases of the curation folder `out`, and writes
/// `label-review.csv`. `earlier` is returned where nothing has changed since.
///
/// # Errors
/// [`CurriculumError`] when a label cannot be read, a decision is invalid, or there is no memory.
pub(crate) fn audit_labels(
    out: &Path,
    cases: &Cases,
    proxies: &Proxies,
    pairs: Option<&Pairs>,
    earlier: Option<LabelAudit>,
) -> Result<LabelAudit, CurriculumError> {
    let reviews = Reviews::read(out)?;
    let cohort = Cohort::new(out, cases, proxies)?;
    let key = cohort.key(pairs, &reviews);
    let hashes: HashMap<&str, &str> = cohort
        .cases
        .iter()
        .filter_map(|case| Some((case.row.case_id.as_str(), case.row.label_blake3.as_deref()?)))
        .collect();
    let audit = match earlier {
        Some(earlier) if earlier.key == key => earlier,
        _ => cohort.audit(key, pairs, &reviews, &cases.label_names)?,
    };
    review::write(out, &audit.labels, |case| hashes.get(case).copied())?;
    Ok(audit)
}

/// `earlier`, where nothing has changed since it was made.
///
/// # Errors
/// As for [`audit_labels`].
pub(crate) fn unchanged(
    out: &Path,
    cases: &Cases,
    proxies: &Proxies,
    pairs: Option<&Pairs>,
    earlier: Option<LabelAudit>,
) -> Result<Option<LabelAudit>, CurriculumError> {
    let Some(earlier) = earlier else { return Ok(None) };
    let key = Cohort::new(out, cases, proxies)?.key(pairs, &Reviews::read(out)?);
    Ok((earlier.key == key).then_some(earlier))
}

/// A case with a label map, and how its proxy lies about it.
struct LabelledCase<'a> {
    row: &'a CaseRow,
    /// Row in the proxies.
    proxy: usize,
    /// Prepared label map, relative to the curation folder.
    label: String,
    /// Sides of the proxy's box along z, y, x, mm.
    box_mm: [f64; 3],
    /// Sides of the prepared image as fractions of that box, along x, y, z.
    shares: [f64; 3],
}

/// The labelled cases of a curation folder, ascending by case id.
struct Cohort<'a> {
    out: &'a Path,
    proxies: &'a Proxies,
    cases: Vec<LabelledCase<'a>>,
}

impl<'a> Cohort<'a> {
    fn new(out: &'a Path, cases: &'a Cases, proxies: &'a Proxies) -> Result<Self, CurriculumError> {
        let fov_mm = plan::read(out)?.proxies.fov_mm;
        let prepared: HashMap<String, PreparedRow> =
            prepared_row::read(out)?.into_iter().map(|row| (row.case_id.clone(), row)).collect();
        let places: HashMap<&str, usize> =
            proxies.case_ids.iter().enumerate().map(|(place, id)| (id.as_str(), place)).collect();
        let labelled = |row: &'a CaseRow| {
            let prepared = prepared.get(&row.case_id)?;
            let extent: [f64; 3] =
                std::array::from_fn(|axis| f64::from(prepared.shape[axis]) * prepared.spacing_mm[axis]);
            let [x, y, z] = fov_mm.unwrap_or(extent);
            Some(LabelledCase {
                row,
                proxy: *places.get(row.case_id.as_str())?,
                label: prepared.label.clone()?,
                box_mm: [z, y, x],
                shares: [extent[0] / x, extent[1] / y, extent[2] / z],
            })
        };
        let mut cases: Vec<LabelledCase<'a>> = cases.labelled().filter_map(labelled).collect();
        cases.sort_by(|a, b| a.row.case_id.cmp(&b.row.case_id));
        Ok(Self { out, proxies, cases })
    }

    /// The hash of everything that the result is made from.
    fn key(&self, pairs: Option<&Pairs>, reviews: &Reviews) -> String {
        let of_case = |case: &LabelledCase<'_>| {
            let hash = case.row.label_blake3.clone().unwrap_or_default();
            let decisions: Vec<Option<LabelDecision>> = case
                .row
                .labels_annotated
                .iter()
                .map(|label| reviews.of(&case.row.case_id, *label, &hash))
                .collect();
            let row = (&case.row.case_id, &case.row.patient_id, &case.row.labels, &case.row.labels_annotated);
            let key =
                Key::new("labelled case").part("row", &row).part("label", &hash).part("reviews", &decisions);
            key.part("proxy", &self.proxies.row_keys[case.proxy])
                .part("box", &(case.box_mm, case.shares))
                .finish()
        };
        let cases: Vec<String> = self.cases.iter().map(of_case).collect();
        Key::new("label audit 1")
            .part("cases", &cases)
            .part("pairs", &pairs.map(|pairs| &pairs.parameters))
            .finish()
    }

    fn audit(
        &self,
        key: String,
        pairs: Option<&Pairs>,
        reviews: &Reviews,
        names: &BTreeMap<u16, String>,
    ) -> Result<LabelAudit, CurriculumError> {
        let voters = self.voters(pairs)?;
        let labels = self.read_labels()?;
        let atlas = Atlas::new(self, &labels, reviews)?;
        let compare = |case: usize| atlas.agreements(case, &labels[case], &voters[case]);
        let agreements: Vec<Agreement> =
            (0..self.cases.len()).into_par_iter().flat_map_iter(compare).collect();
        let scores = score::scores(&agreements);
        let threshold = score::threshold(&agreements, &scores);
        let shown = |(own, scored): (&Agreement, &Option<Scored>)| {
            let case = &self.cases[own.case];
            let hash = case.row.label_blake3.as_deref().unwrap_or_default();
            let decision = reviews.of(&case.row.case_id, own.value, hash);
            let ml = case.box_mm.iter().product::<f64>() * atlas.maps[own.case].determinant().abs() / 1000.0;
            let beyond = scored.zip(threshold).is_some_and(|(scored, threshold)| scored.score >= threshold);
            LabelAgreement {
                case_id: case.row.case_id.clone(),
                label: own.value,
                name: names.get(&own.value).cloned(),
                score: scored.map(|scored| rounded(scored.score)),
                reason: scored.map(|scored| scored.reason),
                dice: rounded(own.dice),
                volume_ml: rounded(own.volumes[0] * ml),
                expected_ml: rounded(own.volumes[1] * ml),
                shift_mm: own.shift_mm.map(rounded),
                voters_with: rounded(own.expected),
                flagged: decision == Some(LabelDecision::Wrong) || beyond && decision.is_none(),
                decision,
            }
        };
        let mut labels: Vec<LabelAgreement> = agreements.iter().zip(&scores).map(shown).collect();
        let worst = |own: &LabelAgreement| own.score.unwrap_or(-1.0);
        // stable: equals stay ascending by case id
        labels.sort_by(|a, b| worst(b).total_cmp(&worst(a)));
        let flagged = labels.iter().filter(|own| own.flagged).count();
        Ok(LabelAudit { key, cases: self.cases.len(), threshold: threshold.map(rounded), flagged, labels })
    }

    /// For each case the nearest labelled cases of other patients by SSIM, at most [`VOTERS`]; ties
    /// by case id.
    fn voters(&self, pairs: Option<&Pairs>) -> Result<Vec<Vec<usize>>, StoreError> {
        let ids: Vec<&str> = self.cases.iter().map(|case| case.row.case_id.as_str()).collect();
        let pairwise = SelectedPairs::new(pairs, &self.proxies.case_ids, &ids);
        let mut nearest: Vec<Vec<(f32, usize)>> = vec![Vec::new(); ids.len()];
        pairwise.for_each(Metric::Ssim, |a, b, value| {
            if value.is_nan() || self.cases[a].row.patient_id == self.cases[b].row.patient_id {
                return;
            }
            for (case, other) in [(a, b), (b, a)] {
                let known = &mut nearest[case];
                let place =
                    known.partition_point(|(best, id)| *best > value || *best == value && *id < other);
                if place < VOTERS {
                    known.insert(place, (value, other));
                    known.truncate(VOTERS);
                }
            }
        })?;
        Ok(nearest.into_iter().map(|near| near.into_iter().map(|(_, other)| other).collect()).collect())
    }

    /// The labels of every case on its proxy's grid.
    fn read_labels(&self) -> Result<Vec<Vec<LabelCells>>, CurriculumError> {
        let limit = MemoryLimit::free();
        let read = |case: &LabelledCase<'_>| {
            let read = pdl_io::read_labels_within(&self.out.join(&case.label), &limit.share());
            let map = read.map_err(PrepareError::Read)?.map;
            Ok(label_cells(&map, self.proxies.shape_zyx, case.shares))
        };
        self.cases.par_iter().map(read).collect()
    }
}

/// All cases in the region of the template in which their labels lie.
struct Atlas<'a> {
    cohort: &'a Cohort<'a>,
    /// For each case the map from the template to its proxy, and back.
    maps: Vec<UnitAffine>,
    back: Vec<UnitAffine>,
    grid: RegionGrid,
    regions: Vec<RegionCase>,
    /// All labels that were looked for in some case, ascending.
    values: Vec<u16>,
}

impl<'a> Atlas<'a> {
    /// Labels that a reviewer found wrong are excluded.
    fn new(
        cohort: &'a Cohort<'a>,
        labels: &[Vec<LabelCells>],
        reviews: &Reviews,
    ) -> Result<Self, CurriculumError> {
        let shape = cohort.proxies.shape_zyx;
        let rows: Vec<usize> = cohort.cases.iter().map(|case| case.proxy).collect();
        let boxes: Vec<_> = labels.iter().map(|labels| labelled_box(labels, shape)).collect();
        let group = align_group(cohort.proxies, &rows, &boxes);
        let region = group.region;
        let sides: [usize; 3] = std::array::from_fn(|axis| {
            (((region.high[axis] - region.low[axis]) * shape[axis] as f64).round() as usize).clamp(1, SIDE)
        });
        let grid = RegionGrid { region, shape: sides };
        let cells: usize = labels.iter().flatten().map(|label| label.cells.len()).sum();
        let bytes = (cells * size_of::<(u32, f32)>() + cohort.cases.len() * grid.cells()) as u64;
        let limit = MemoryLimit::free();
        let memory = limit.alone();
        memory.take(bytes).map_err(|source| CurriculumError::Memory { cases: cohort.cases.len(), source })?;
        let maps = group.maps;
        let inverse = |map: &UnitAffine| map.inverse().unwrap_or(UnitAffine::IDENTITY);
        let back: Vec<UnitAffine> = maps.iter().map(inverse).collect();
        let mut values: Vec<u16> = cohort
            .cases
            .iter()
            .flat_map(|case| case.row.labels_annotated.iter().copied())
            .filter(|value| *value > 0)
            .collect();
        values.sort_unstable();
        values.dedup();
        let mut atlas = Self { cohort, maps, back, grid, regions: Vec::new(), values };
        let region = |case: usize| atlas.region_case(case, &labels[case], reviews);
        atlas.regions = (0..cohort.cases.len()).into_par_iter().map(region).collect();
        Ok(atlas)
    }

    fn region_case(&self, case: usize, labels: &[LabelCells], reviews: &Reviews) -> RegionCase {
        let (own, shape) = (&self.cohort.cases[case], self.cohort.proxies.shape_zyx);
        let voxels = self.cohort.proxies.voxels(own.proxy);
        let value = |cell: usize| value_at(voxels, shape, self.maps[case].apply(self.grid.centre(cell)));
        let image = levels(&(0..self.grid.cells()).map(value).collect::<Vec<f32>>());
        let hash = own.row.label_blake3.as_deref().unwrap_or_default();
        let wrong = |value: u16| reviews.of(&own.row.case_id, value, hash) == Some(LabelDecision::Wrong);
        let placed = |label: &LabelCells| (label.value, self.placed(case, label));
        let mut annotated: Vec<u16> =
            own.row.labels_annotated.iter().copied().filter(|value| *value > 0 && !wrong(*value)).collect();
        annotated.sort_unstable();
        RegionCase { image, labels: labels.iter().map(placed).collect(), annotated }
    }

    /// A label of a case on the region's grid.
    fn placed(&self, case: usize, label: &LabelCells) -> Vec<(u32, f32)> {
        let shape = self.cohort.proxies.shape_zyx;
        let finer = (0..3)
            .any(|axis| self.grid.sides()[axis] / self.grid.shape[axis] as f64 * (shape[axis] as f64) < 1.5);
        self.grid.placed(label, shape, &self.back[case], if finer { 2 } else { 1 })
    }

    /// How each label that was looked for in a case agrees with the vote.
    fn agreements(&self, case: usize, labels: &[LabelCells], voters: &[usize]) -> Vec<Agreement> {
        let own = &self.regions[case];
        let voters: Vec<&RegionCase> = voters.iter().map(|voter| &self.regions[*voter]).collect();
        let votes = vote(own, &voters, &self.values, self.grid.shape);
        let annotated = &self.cohort.cases[case].row.labels_annotated;
        let found = votes.iter().filter(|(value, _)| annotated.contains(value));
        found
            .map(|(value, consensus)| {
                let label = labels.iter().find(|label| label.value == *value);
                self.agreement(case, *value, label, consensus, &votes)
            })
            .collect()
    }

    fn agreement(
        &self,
        case: usize,
        value: u16,
        label: Option<&LabelCells>,
        consensus: &Consensus,
        votes: &BTreeMap<u16, Consensus>,
    ) -> Agreement {
        let shape = self.cohort.proxies.shape_zyx;
        let (expected, expected_at) = consensus.moments(&self.grid);
        let placed = self.regions[case].labels.get(&value).map_or(&[][..], Vec::as_slice);
        let (share, at) = label.map_or((0.0, [0.0; 3]), |label| label.moments(shape));
        let volume = share * self.back[case].determinant().abs();
        let dice = |placed: &[(u32, f32)]| {
            2.0 * consensus.shared(placed, &self.grid) / (volume + expected).max(1e-12)
        };
        let own_dice = if volume > 0.0 { dice(placed) } else { 0.0 };
        let both = volume > 0.0 && expected > 0.0;
        let mirrored =
            |label: &LabelCells| dice(&self.placed(case, &mirrored(label, shape))) > own_dice + BETTER;
        let other = |(other, consensus): (&u16, &Consensus)| {
            let shared = consensus.shared(placed, &self.grid);
            *other != value && shared > 0.25 * volume && shared > own_dice * (volume + expected)
        };
        let other_side = both && own_dice < POOR && (votes.iter().any(other) || label.is_some_and(mirrored));
        Agreement {
            case,
            value,
            volumes: [volume, expected],
            dice: own_dice.min(1.0),
            shift_mm: if both { self.shift_mm(case, at, expected_at) } else { [0.0; 3] },
            expected: consensus.with as f64 / consensus.voters.max(1) as f64,
            other_side,
        }
    }

    /// From where a label is expected in the template to where it lies in the case, mm along x, y,
    /// z.
    fn shift_mm(&self, case: usize, at: [f64; 3], expected: [f64; 3]) -> [f64; 3] {
        let there = self.maps[case].apply(expected);
        let box_mm = self.cohort.cases[case].box_mm;
        let [z, y, x] = std::array::from_fn(|axis| (at[axis] - there[axis]) * box_mm[axis]);
        [x, y, z]
    }
}

/// A label with left and right exchanged.
fn mirrored(label: &LabelCells, [_, _, nx]: [usize; 3]) -> LabelCells {
    let nx = nx as u32;
    let cells = label.cells.iter().map(|(cell, share)| (cell - cell % nx + nx - 1 - cell % nx, *share));
    LabelCells { value: label.value, cells: cells.collect() }
}

/// To four decimals.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
