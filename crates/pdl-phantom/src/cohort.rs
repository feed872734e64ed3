//! Cohorts of scans, and the two files that describe a cohort.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use crate::PhantomError;
use crate::anatomy::Anatomy;
use crate::modality::PhantomModality;
use crate::patient::patients;
use crate::random::RandomSource;
use crate::scan::{PhantomScan, scan};
use crate::tissue::LABEL_NAMES;

/// One scan of one patient.
#[derive(Clone, Debug, PartialEq)]
pub struct PhantomCase {
    /// Name, such as "ct_07": the stem of its files.
    pub name: String,
    /// Patient, such as "ct-p03".
    pub patient: String,
    /// The patient's number within the cohort, from 1.
    pub patient_number: usize,
    /// Image and labels.
    pub scan: PhantomScan,
}

/// Scans of one modality.
#[derive(Clone, Debug, PartialEq)]
pub struct PhantomCohort {
    /// How they were made.
    pub modality: PhantomModality,
    /// The seed that they follow from.
    pub seed: u64,
    /// The cases, by name.
    pub cases: Vec<PhantomCase>,
}

/// One case in six is a second scan of an earlier patient.
const CASES_PER_SECOND_SCAN: usize = 6;

/// Streams of random numbers: a modality's patients, and each of its scans.
fn stream(modality: PhantomModality, number: usize) -> u64 {
    let base = match modality {
        PhantomModality::Ct => 1_000_000,
        PhantomModality::Mr => 2_000_000,
    };
    base + number as u64
}

/// Generates `count` cases of a modality. The same seed and count give the same voxels everywhere.
///
/// # Errors
/// [`PhantomError`] when a grid is invalid, which none of the built-in ones is.
pub fn generate(modality: PhantomModality, seed: u64, count: usize) -> Result<PhantomCohort, PhantomError> {
    let people = count - count / CASES_PER_SECOND_SCAN;
    let traits = patients(&mut RandomSource::new(seed, stream(modality, 0)), people);
    let cases = (0..count)
        .into_par_iter()
        .map(|index| {
            let person = patient_of(index, people);
            let mut source = RandomSource::new(seed, stream(modality, index + 1));
            Ok(PhantomCase {
                name: format!("{}_{:02}", modality.folder(), index + 1),
                patient: format!("{}-p{:02}", modality.folder(), person + 1),
                patient_number: person + 1,
                scan: scan(modality, &Anatomy::new(&traits[person]), index, &mut source)?,
            })
        })
        .collect::<Result<_, PhantomError>>()?;
    Ok(PhantomCohort { modality, seed, cases })
}

/// First everyone once, then every fifth one again.
pub(crate) fn patient_of(index: usize, people: usize) -> usize {
    if index < people { index } else { (2 + 5 * (index - people)) % people }
}

impl PhantomCohort {
    /// The bytes of `cohort.csv`: image, label, patient, modality; paths relative to the cohort's
    /// folder.
    pub fn table(&self) -> String {
        let mut text = String::from("image,label,patient,modality\n");
        for case in &self.cases {
            let [image, label] = case.paths();
            text.push_str(&format!("{image},{label},{},{}\n", case.patient, self.modality.code()));
        }
        text
    }

    /// The bytes of `dataset.json`, in the style of the Medical Segmentation Decathlon.
    ///
    /// # Errors
    /// [`PhantomError::Json`], which does not happen: every key is text.
    pub fn dataset(&self) -> Result<Vec<u8>, PhantomError> {
        let pair = |case: &PhantomCase| {
            let [image, label] = case.paths().map(|path| format!("./{path}"));
            Pair { image, label }
        };
        let dataset = Dataset {
            name: format!("pdl thorax phantoms, {}", self.modality.code()),
            description: format!(
                "Synthetic: {} phantoms made by pdl-phantom with seed {}. No patient was scanned.",
                self.modality.code(),
                self.seed
            ),
            licence: "MIT OR Apache-2.0",
            tensor_image_size: "3D",
            modality: BTreeMap::from([("0", self.modality.decathlon_name())]),
            labels: LABEL_NAMES.iter().enumerate().map(|(label, name)| (label.to_string(), *name)).collect(),
            num_training: self.cases.len(),
            num_test: 0,
            training: self.cases.iter().map(pair).collect(),
            test: [],
        };
        let mut bytes = serde_json::to_vec_pretty(&dataset)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

impl PhantomCase {
    /// The paths of image and labels, relative to the cohort's folder.
    pub fn paths(&self) -> [String; 2] {
        ["images", "labels"].map(|folder| format!("{folder}/{}.nii.gz", self.name))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dataset {
    name: String,
    description: String,
    licence: &'static str,
    tensor_image_size: &'static str,
    modality: BTreeMap<&'static str, &'static str>,
    labels: BTreeMap<String, &'static str>,
    num_training: usize,
    num_test: usize,
    training: Vec<Pair>,
    test: [Pair; 0],
}

#[derive(Serialize)]
struct Pair {
    image: String,
    label: String,
}
