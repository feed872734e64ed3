//! The people of a DICOM tree, gathered from all of its headers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::file::text;
use crate::names::Identifiers;

/// Study and patient of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectOwner {
    study: String,
    patient: String,
}

impl ObjectOwner {
    /// Identifies the study by the UIDs of an object; by the folder of its file where it names no
    /// study.
    pub(crate) fn of(path: &Path, object: &InMemDicomObject) -> Self {
        Self::new(path, text(object, tags::STUDY_INSTANCE_UID), text(object, tags::PATIENT_ID))
    }

    /// PatientID; empty if the object names none.
    pub(crate) fn patient(&self) -> &str {
        &self.patient
    }

    pub(crate) fn new(path: &Path, study_uid: String, patient_id: String) -> Self {
        let folder = || path.parent().unwrap_or(Path::new("")).to_string_lossy().into_owned();
        Self { study: if study_uid.is_empty() { folder() } else { study_uid }, patient: patient_id }
    }
}

/// Identifiers of people in the headers of a tree; never shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct People {
    of_study: BTreeMap<String, Identifiers>,
    /// The studies of a patient.
    studies: BTreeMap<String, BTreeSet<String>>,
}

impl People {
    /// Adds the identifiers of an object.
    pub(crate) fn add(&mut self, whose: ObjectOwner, found: Identifiers) {
        let ObjectOwner { study, patient } = whose;
        if !patient.is_empty() {
            self.studies.entry(patient).or_default().insert(study.clone());
        }
        self.of_study.entry(study).or_default().extend(found);
    }

    /// The identifiers in all objects of these studies, and of all studies of these patients.
    pub(crate) fn of<'a>(&self, whose: impl IntoIterator<Item = &'a ObjectOwner>) -> Identifiers {
        let mut studies: BTreeSet<&String> = BTreeSet::new();
        for ObjectOwner { study, patient } in whose {
            studies.insert(study);
            studies.extend(self.studies.get(patient).into_iter().flatten());
        }
        let mut all = Identifiers::default();
        studies
            .into_iter()
            .filter_map(|study| self.of_study.get(study))
            .for_each(|found| all.extend(found.clone()));
        all
    }
}
