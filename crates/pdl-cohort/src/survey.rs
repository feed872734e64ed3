//! A first look at a cohort: what layout it has, and what a few of its cases are like. It writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;

use crate::CohortError;
use crate::attributes::Modality;
use crate::check::{self, Checked};
use crate::layout::{self, Found};
use crate::pairing::{self, Paired};

/// Most cases that are read, evenly through the cohort.
const MOST_READ: usize = 12;

/// What was seen of a cohort.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Its layout, in words.
    pub layout: &'static str,
    /// Cases with an image and a label.
    pub pairs: usize,
    /// Cases that lack one of both.
    pub incomplete: usize,
    /// Files below a folder of DICOM; what cases they hold shows when they are read.
    pub dicom_files: usize,
    /// What its layout says of the cohort as a whole.
    pub notes: Vec<String>,
    /// How many patients its table names; none when it names none.
    pub patients: Option<usize>,
    /// Whether its table says which case is for what.
    pub split_given: bool,
    /// How the images were made, and whether that was guessed from their voxels.
    pub modality: Option<(Modality, bool)>,
    /// Names of channels by number, where cases have several.
    pub channels: BTreeMap<u32, String>,
    /// Names of labels that `dataset.json` gives.
    pub label_names: BTreeMap<u16, String>,
    /// Where no layout is known: what goes with what by its name.
    pub proposed: Option<Paired>,
    /// Cases that were read for what follows.
    pub read: usize,
    /// Voxels along x, y, z: the least and the most.
    pub shapes: Option<[[u32; 3]; 2]>,
    /// Their size in mm: the least and the most.
    pub spacings_mm: Option<[[f64; 3]; 2]>,
    /// Directions of the stored axes.
    pub orientations: BTreeSet<String>,
    /// Label values.
    pub labels: BTreeSet<u16>,
    /// What was found of these cases: by code how many, and a sentence.
    pub findings: BTreeMap<String, (usize, String)>,
}

/// Looks at the cohort at `cohort`: at the names of all its files, and into some of them.
///
/// # Errors
/// [`CohortError`] when there is nothing that could become a cohort.
pub fn survey(cohort: &Path) -> Result<Survey, CohortError> {
    let mut survey = Survey::default();
    let known = layout::find(cohort, &BTreeSet::new());
    let cases = match known {
        Ok(layout) => {
            survey.dicom_files = layout.dicom_files.len();
            survey.layout = name(cohort, survey.dicom_files);
            survey.notes = layout.findings.into_iter().map(|finding| finding.message).collect();
            survey.modality = layout.modality.map(|modality| (modality, false));
            survey.label_names = layout.label_names;
            survey.channels = channels(&layout.cases, &layout.channel_names);
            layout.cases
        }
        Err(error) => {
            let paired = pairing::pair(cohort);
            if paired.pairs.is_empty() {
                let volumes = paired.alone.len();
                let unpaired = CohortError::Unpaired { volumes, path: cohort.to_owned() };
                return Err(if volumes == 0 { error } else { unpaired });
            }
            survey.layout = "volumes in no layout that pdl knows, paired by their names";
            let cases = of_pairs(cohort, &paired);
            survey.proposed = Some(paired);
            cases
        }
    };
    survey.count(&cases);
    survey.look_into(&cases);
    Ok(survey)
}

fn name(cohort: &Path, dicom_files: usize) -> &'static str {
    let is = |name: &str| cohort.join(name).exists();
    match cohort.extension().and_then(|ending| ending.to_str()) {
        _ if dicom_files > 0 => "a folder of DICOM files",
        _ if is("cohort.csv") => "a folder with a cohort.csv",
        _ if is("imagesTr") => "imagesTr/ and labelsTr/",
        _ if is("images") => "images/ and labels/",
        Some("json") => "a MONAI datalist",
        _ => "a table",
    }
}

/// The channels of cases that have several; a number without a name is its own name.
fn channels(cases: &[Found], names: &BTreeMap<u32, String>) -> BTreeMap<u32, String> {
    let numbers: BTreeSet<u32> = cases.iter().flat_map(|case| case.channels.keys().copied()).collect();
    numbers.into_iter().map(|n| (n, names.get(&n).cloned().unwrap_or_else(|| n.to_string()))).collect()
}

fn of_pairs(root: &Path, paired: &Paired) -> Vec<Found> {
    let patients = paired.patients();
    let found = |(number, pair): (usize, &pairing::Pair)| Found {
        image: Some(root.join(&pair.image)),
        label: Some(root.join(&pair.label)),
        patient: patients.as_ref().map(|patients| patients[number].clone()),
        ..Found::default()
    };
    paired.pairs.iter().enumerate().map(found).collect()
}

impl Survey {
    fn count(&mut self, cases: &[Found]) {
        self.pairs = cases.iter().filter(|case| case.image.is_some() && case.label.is_some()).count();
        self.incomplete = cases.len() - self.pairs;
        let patients: BTreeSet<&str> = cases.iter().filter_map(|case| case.patient.as_deref()).collect();
        self.patients = (!patients.is_empty()).then_some(patients.len());
        self.split_given = cases.iter().any(|case| case.split.is_some());
        let stated: BTreeSet<Modality> = cases.iter().filter_map(|case| case.modality).collect();
        if let Some(modality) = stated.first().filter(|_| stated.len() == 1) {
            self.modality = Some((*modality, false));
        }
    }

    /// Reads some of the cases with both files.
    fn look_into(&mut self, cases: &[Found]) {
        let whole: Vec<&Found> =
            cases.iter().filter(|case| case.image.is_some() && case.label.is_some()).collect();
        let count = whole.len().min(MOST_READ);
        let chosen: Vec<&Found> = (0..count).map(|k| whole[k * whole.len() / count]).collect();
        let checked: Vec<Checked> = chosen.par_iter().map(|found| check::check(found, None)).collect();
        self.read = count;
        for case in &checked {
            for finding in &case.findings {
                let entry = self.findings.entry(finding.code.clone()).or_insert((0, finding.message.clone()));
                entry.0 += 1;
            }
            self.labels.extend(case.labels.iter().map(|label| label.value));
            if !case.orientation.is_empty() {
                self.orientations.insert(case.orientation.clone());
            }
            widen(&mut self.shapes, &case.shape, u32::min, u32::max);
            widen(&mut self.spacings_mm, &case.spacing_mm, f64::min, f64::max);
        }
        let readable: Vec<&Checked> = checked.iter().filter(|case| case.intensity.is_some()).collect();
        if self.modality.is_none() && !readable.is_empty() {
            let ct = readable.iter().filter(|case| case.looks_like_ct).count();
            self.modality = Some((if 2 * ct > readable.len() { Modality::CT } else { Modality::MR }, true));
        }
    }
}

/// Makes room for the values of one more case between the least and the most.
fn widen<T: Copy>(range: &mut Option<[[T; 3]; 2]>, values: &[T], least: fn(T, T) -> T, most: fn(T, T) -> T) {
    let Ok(values) = <[T; 3]>::try_from(values) else { return };
    let [low, high] = range.unwrap_or([values; 2]);
    let each =
        |pick: fn(T, T) -> T, so_far: [T; 3]| std::array::from_fn(|axis| pick(so_far[axis], values[axis]));
    *range = Some([each(least, low), each(most, high)]);
}
