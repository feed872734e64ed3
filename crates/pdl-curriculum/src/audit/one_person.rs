//! Cases that show one person under two names, found by rigid alignment.

use std::collections::BTreeSet;
use std::path::Path;

use pdl_cohort::table::case_row::CaseRow;
use pdl_findings::Code;
use pdl_prepare::proxies::Proxies;
use pdl_similarity::registration::{RigidPair, rigid_neighbours};

use crate::CurriculumError;
use crate::audit::nearest_other_patient::{CasePair, FEWEST_TO_STAND_OUT};
use crate::audit::parameters::AlignWhen;
use crate::audit::patients;
use crate::audit::person_match::Agreements;
use crate::audit::transformed_duplicates::voxels_mm;

/// Proxies with a shorter side show too little of what persons differ by.
const LEAST_SIDE: usize = 32;

/// Finds pairs of cases of two patients among `rows`, ascending by id, that show one person.
///
/// Where the cohort states no patients, all cases are compared with all, whether they have been
/// joined before or not: what is found does not depend on what was found before.
///
/// # Errors
/// [`CurriculumError`] when an earlier stage is missing.
pub(super) fn find(
    out: &Path,
    rows: &[&CaseRow],
    proxies: &Proxies,
    when: AlignWhen,
) -> Result<BTreeSet<CasePair>, CurriculumError> {
    let names_none = !rows.is_empty() && rows.iter().all(|row| is_assumed(row));
    let wanted = match when {
        AlignWhen::Auto => names_none,
        AlignWhen::Always => true,
        AlignWhen::Never => false,
    };
    let people = if names_none { rows.len() } else { patients(rows) };
    let is_small = proxies.shape_zyx.iter().any(|side| *side < LEAST_SIDE);
    if !wanted || people < FEWEST_TO_STAND_OUT || is_small {
        return Ok(BTreeSet::new());
    }
    let number = |id: &String| rows.binary_search_by(|row| row.case_id.cmp(id)).ok();
    let numbers: Vec<Option<usize>> = proxies.case_ids.iter().map(number).collect();
    let voxels_mm = voxels_mm(out, proxies)?;
    let [nz, ny, nx] = proxies.shape_zyx.map(|side| side as f64);
    let box_mm = |id: &String| {
        let [x, y, z] = voxels_mm.get(id).copied().unwrap_or([1.0; 3]);
        [z * nz, y * ny, x * nx]
    };
    let boxes_mm: Vec<[f64; 3]> = proxies.case_ids.iter().map(box_mm).collect();
    let compared = |a: usize, b: usize| {
        let both = numbers[a].zip(numbers[b]);
        both.is_some_and(|(a, b)| names_none || rows[a].patient_id != rows[b].patient_id)
    };
    let aligned = rigid_neighbours(proxies, &boxes_mm, compared);
    let pair = |pair: &RigidPair| {
        let (a, b) = numbers[pair.a].zip(numbers[pair.b])?;
        Some(((a.min(b), a.max(b)), pair.agreement))
    };
    let found =
        Agreements::new(rows.len(), aligned.iter().filter_map(pair)).one_person(when == AlignWhen::Always);
    Ok(found.into_iter().filter(|(a, b)| rows[*a].patient_id != rows[*b].patient_id).collect())
}

/// Whether the cohort states no patients.
fn is_assumed(row: &CaseRow) -> bool {
    row.findings.iter().any(|finding| finding.code == Code::PatientAssumed)
}
