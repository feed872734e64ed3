//! Checks that compare a case with the rest of its cohort.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pdl_findings::{Code, Finding};
use pdl_store::plural::counted;
use pdl_volume::Grid;
use pdl_volume::statistics::median;

use crate::attributes::Modality;
use crate::table::case_row::CaseRow;

/// Minimum number of usable cases with which a case is compared.
const FEWEST: usize = 8;

/// A storage property is unusual if at most this fraction of the cases has it.
const UNUSUAL: f64 = 0.1;

/// Air is -1000 HU: a CT whose darkest voxels lie this far above the cohort's, HU, was stored
/// without its offset (1000, or 1024 where the scanner pads).
const OFFSET_HU: std::ops::RangeInclusive<f64> = 900.0..=1200.0;

/// Minimum number of usable cases for a usual size and a usual range of HU.
const FEWEST_ALIKE: usize = 4;

/// Maximum HU of a CT: HU end below 31,000 even in scales that are extended for metal.
const MOST_HU: f64 = 32_767.0;
/// Maximum of percentile 99.5, HU: less than half a percent of a body is metal or bone above it.
const MOST_P99_5_HU: f64 = 5000.0;
/// Minimum of percentile 0.5, HU: below the values stored outside of the field of view.
const LEAST_P00_5_HU: f64 = -4096.0;
/// Voxels darker than this are air, or gas, lung and fat of a crop, HU: the thresholds for a cohort
/// that has such voxels, and for a case that lacks them.
const AIR_HU: [f64; 2] = [-500.0, -200.0];

/// A case that differs from the median by this factor, in voxel size and in extent, gets a warning;
/// by the second factor it is rejected. The smallest factor between units that are confused is 10.
const SIZES: [f64; 2] = [7.0, 100.0];

/// Maximum number of sets of label values, and of values per set, in a message.
const MOST_SETS: usize = 6;
const MOST_VALUES: usize = 12;

/// Adds to each usable row what sets it apart from the others; `voxels` has the hash of every
/// case's voxels.
pub(crate) fn mark(rows: &mut [CaseRow], voxels: &HashMap<String, String>) {
    mark_copies(rows, voxels);
    if rows.iter().filter(|row| row.is_labelled()).count() >= FEWEST {
        mark_lone_labels(rows);
    }
    if rows.iter().filter(|row| row.is_usable()).count() >= FEWEST {
        mark_offsets(rows);
        mark_handedness(rows);
    }
    mark_hounsfield(rows);
}

/// Finding if the label maps of cases hold different values, and some have no name: a mask may be
/// stored as 0 and 1 in one file and as 0 and 255 in another.
pub(crate) fn value_sets(rows: &[CaseRow], names: &BTreeMap<u16, String>) -> Option<Finding> {
    let mut cases: BTreeMap<Vec<u16>, Vec<&str>> = BTreeMap::new();
    // A map without labels is a negative, and holds no other values than the rest.
    for row in rows.iter().filter(|row| row.is_labelled() && !row.labels.is_empty()) {
        let values = row.labels.iter().map(|label| label.value).collect();
        cases.entry(values).or_default().push(&row.case_id);
    }
    let unnamed: BTreeSet<u16> = cases.keys().flatten().filter(|v| !names.contains_key(v)).copied().collect();
    if cases.len() < 2 || unnamed.is_empty() {
        return None;
    }
    let mut sets: Vec<(&Vec<u16>, &Vec<&str>)> = cases.iter().collect();
    sets.sort_by_key(|(_, cases)| std::cmp::Reverse(cases.len())); // stable: then by values
    let list = |values: &[u16]| {
        let shown: Vec<String> = values.iter().take(MOST_VALUES).map(u16::to_string).collect();
        shown.join(" ") + if values.len() > MOST_VALUES { " ..." } else { "" }
    };
    let told = sets.iter().take(MOST_SETS).map(|(values, cases)| {
        let example = cases.first().copied().unwrap_or_default();
        format!("{} in {} ({example})", list(values), counted(cases.len(), "case"))
    });
    let told = told.collect::<Vec<_>>().join(", ");
    let more = sets.len().saturating_sub(MOST_SETS);
    let more = if more > 0 { format!(", and {more} further sets") } else { String::new() };
    let are_masks = sets.iter().all(|(values, _)| values.len() == 1);
    let advice = match are_masks {
        true => {
            "; masks of one structure need one value in all files, as --structures 1=NAME,255=NAME gives them"
        }
        false => "; --structures maps them, [labels] names them",
    };
    let nameless: Vec<u16> = unnamed.into_iter().collect();
    let message = format!(
        "label maps have different values: {told}{more}; values without a name: {}; a value counts as the same label \
         in all cases{advice}",
        list(&nameless)
    );
    Some(Finding::new(Code::LabelValueSets, message))
}

/// The same image under two names is trained on twice, or leaks from one split into another; under
/// two patients it shows that they are one. Images are compared by their voxels: compression,
/// header and number type may differ.
fn mark_copies(rows: &mut [CaseRow], voxels: &HashMap<String, String>) {
    let mut first: HashMap<&str, (String, String)> = HashMap::new();
    for row in rows.iter_mut().filter(|row| row.is_usable()) {
        let Some(hash) = voxels.get(&row.case_id) else { continue };
        let Some((case, patient)) = first.get(hash.as_str()) else {
            first.insert(hash, (row.case_id.clone(), row.patient_id.clone()));
            continue;
        };
        let same = Finding::new(Code::DuplicateImage, format!("its image is voxel for voxel that of {case}"));
        let one = (*patient != row.patient_id).then(|| {
            let message = format!(
                "it has the image of {case}, whose patient is {patient} and not {}: join them with --same-patient, or \
                 correct the table",
                row.patient_id
            );
            Finding::new(Code::OnePatientTwoIds, message)
        });
        row.add_finding(same);
        one.into_iter().for_each(|finding| row.add_finding(finding));
    }
}

/// A label that occurs in one case only is most often a mistake, and cannot be learnt.
fn mark_lone_labels(rows: &mut [CaseRow]) {
    let mut cases: BTreeMap<u16, usize> = BTreeMap::new();
    let usable = rows.iter().filter(|row| row.is_usable());
    usable.flat_map(|row| &row.labels).for_each(|label| *cases.entry(label.value).or_default() += 1);
    for row in rows.iter_mut().filter(|row| row.is_usable()) {
        for label in row.labels.clone().iter().filter(|label| cases[&label.value] == 1) {
            let message = format!("no other case has its label {} ({} voxels)", label.value, label.voxels);
            row.add_finding(Finding::new(Code::LoneLabel, message));
        }
    }
}

/// A CT without its rescale intercept is brighter than the others by a constant.
fn mark_offsets(rows: &mut [CaseRow]) {
    let is_ct = |row: &CaseRow| row.is_usable() && row.modality == Modality::CT;
    let middle = |figure: fn(&CaseRow) -> f64| {
        let mut values: Vec<f64> = rows.iter().filter(|row| is_ct(row)).map(figure).collect();
        median(&mut values)
    };
    let (darkest, dark) = (middle(|row| row.intensities.min), middle(|row| row.intensities.p00_5));
    for row in rows.iter_mut().filter(|row| is_ct(row)) {
        // Both, as padding may move the one and a crop to the body the other.
        let shifts = [row.intensities.min - darkest, row.intensities.p00_5 - dark];
        if shifts.iter().all(|shift| OFFSET_HU.contains(shift)) {
            let message = format!(
                "its darkest voxels are {:.0}, in the median case {darkest:.0}: it seems to lack an offset of {:.0} HU",
                row.intensities.min, shifts[0]
            );
            row.add_finding(Finding::new(Code::UnitOffset, message));
        }
    }
}

/// A CT that is not in HU: a lost sign, a scale, or values that were clipped and stretched. An
/// offset alone is reported by [`mark_offsets`].
fn mark_hounsfield(rows: &mut [CaseRow]) {
    let is_ct = |row: &CaseRow| row.is_usable() && row.modality == Modality::CT;
    let mut darkest: Vec<f64> = rows.iter().filter(|row| is_ct(row)).map(|row| row.intensities.min).collect();
    let has_air = darkest.len() >= FEWEST_ALIKE && median(&mut darkest) <= AIR_HU[0];
    for row in rows.iter_mut().filter(|row| is_ct(row)) {
        let offset = row.findings.iter().any(|finding| finding.code == Code::UnitOffset);
        let guessed = row.findings.iter().any(|finding| finding.code == Code::ModalityGuessed);
        let (least, most) = (row.intensities.min, row.intensities.max);
        let problem = if most > MOST_HU && !guessed {
            Some(
                "no CT has such values: its stored values may be signed, although its header states unsigned",
            )
        } else if row.intensities.p99_5 > MOST_P99_5_HU || row.intensities.p00_5 < LEAST_P00_5_HU {
            Some("half a percent of its voxels have values that no body has: it may have another scale")
        } else if has_air && least > AIR_HU[1] && !offset {
            Some(
                "most of the other cases reach down to air (-1000 HU): it may lack its offset, or be of another scale",
            )
        } else {
            None
        };
        if let Some(problem) = problem.filter(|_| !guessed || has_air) {
            let message = format!(
                "its values of {} to {} are not Hounsfield units: {problem}",
                figure(least),
                figure(most)
            );
            row.add_finding(Finding::new(Code::NotHounsfield, message));
        }
    }
}

/// A value in whole units, or with three digits where it is small.
fn figure(value: f64) -> String {
    if value.abs() < 10.0 && value.fract() != 0.0 { format!("{value:.3}") } else { format!("{value:.0}") }
}

/// Marks usable rows whose voxels and whose whole image are both many times larger or smaller than
/// those of the median case, as if a header gives lengths in another unit, and rejects those that
/// differ too much.
pub(crate) fn mark_sizes(rows: &mut [CaseRow]) {
    let sizes: Vec<Option<[f64; 2]>> =
        rows.iter().map(|row| row.grid().filter(|_| row.is_usable()).map(|grid| size(&grid))).collect();
    let known: Vec<[f64; 2]> = sizes.iter().flatten().copied().collect();
    if known.len() < FEWEST_ALIKE {
        return;
    }
    let middle = [0, 1].map(|which| median(&mut known.iter().map(|size| size[which]).collect::<Vec<_>>()));
    for (row, size) in rows.iter_mut().zip(sizes) {
        let Some(size) = size else { continue };
        let times = [0, 1].map(|which| size[which] / middle[which]);
        let beyond = |factor: f64| {
            times.iter().all(|times| *times >= factor) || times.iter().all(|times| *times <= 1.0 / factor)
        };
        if !beyond(SIZES[0]) {
            continue;
        }
        let message = format!(
            "its voxels are {:.3} mm long on the mean and it is {:.0} mm, in the median case {:.3} mm and {:.0} mm: its \
             header may give lengths in another unit than mm",
            size[0], size[1], middle[0], middle[1]
        );
        if beyond(SIZES[1]) {
            row.reject(Finding::new(Code::ImplausibleSize, message));
        } else {
            row.add_finding(Finding::new(Code::SizeDiffers, message));
        }
    }
}

/// The geometric mean of the sides of a voxel, and of the sides of the whole, mm.
fn size(grid: &Grid) -> [f64; 2] {
    let sides = grid.spacing_mm();
    let voxel = sides.iter().product::<f64>().cbrt();
    let voxels = grid.shape.iter().map(|n| *n as f64).product::<f64>().cbrt();
    [voxel, voxel * voxels]
}

/// Marks cases whose handedness differs from nearly all others: both are valid, but such a case was
/// often mirrored by a converter.
fn mark_handedness(rows: &mut [CaseRow]) {
    let right_handed = |row: &CaseRow| row.grid().map(|grid| grid.affine.determinant() > 0.0);
    let known: Vec<bool> = rows.iter().filter(|row| row.is_usable()).filter_map(right_handed).collect();
    let right = known.iter().filter(|right| **right).count();
    let rare_is_right = 2 * right < known.len();
    let rare = if rare_is_right { right } else { known.len() - right };
    if rare as f64 > UNUSUAL * known.len() as f64 && rare > 1 {
        return;
    }
    for row in rows.iter_mut().filter(|row| row.is_usable()) {
        if right_handed(row) == Some(rare_is_right) {
            let message = format!(
                "its axes ({}) mirror those of {} of {} cases: check that its left is left",
                row.orientation,
                known.len() - rare,
                known.len()
            );
            row.add_finding(Finding::new(Code::OtherHandedness, message));
        }
    }
}
