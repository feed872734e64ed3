//! A cohort whose cases are named by their files or a table, under pseudonyms.

use std::path::PathBuf;

use pdl_io::{Part, ReadError, read_image, read_labels, split_frame};
use pdl_store::hash::Key;

use crate::attributes::Modality;
use crate::cases::Finding;
use crate::check;
use crate::kept::{Files, Origin, Original, Volumes};
use crate::layout::{Found, Layout};
use crate::pseudonyms::Naming;

/// The cases under the names that they came with.
pub(crate) struct Named {
    naming: Naming,
    cases: Vec<Found>,
}

impl Named {
    /// Gives cases and patients of the layout their pseudonyms.
    pub(crate) fn rename(layout: &mut Layout, naming: Naming) -> Self {
        let mut pairs: Vec<(Found, Found)> = layout
            .cases
            .drain(..)
            .map(|original| {
                let patient = original.patient.as_deref();
                let case_id = naming.case(patient.unwrap_or_default(), &original.case_id);
                let patient = patient.map(|patient| naming.patient(patient));
                (Found { case_id, patient, ..original.clone() }, original)
            })
            .collect();
        pairs.sort_by(|a, b| a.0.case_id.cmp(&b.0.case_id));
        let (renamed, cases) = pairs.into_iter().unzip();
        layout.cases = renamed;
        Self { naming, cases }
    }
}

impl Origin for Named {
    fn naming(&self) -> &Naming {
        &self.naming
    }

    fn wants(&self, _found: &Found, _modality: Option<Modality>) -> bool {
        true
    }

    fn files(&self, case: usize) -> Files {
        let file = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.exists() { path.clone() } else { path.with_file_name(split_frame(&name).0) }
        };
        let Found { image, label, .. } = &self.cases[case];
        [image, label].map(|path| path.iter().map(file).collect())
    }

    fn key(&self, case: usize) -> Key {
        let Found { image, label, .. } = &self.cases[case];
        Key::new("keep 1").part("image", image).part("label", label)
    }

    fn read(&self, case: usize) -> Result<Volumes, Vec<Finding>> {
        let Found { image, label, .. } = &self.cases[case];
        let mut volumes = Volumes { files: self.files(case), ..Volumes::default() };
        let mut refused = Vec::new();
        let refusal = |code: &str, error: ReadError| Finding::new(code, error.reason());
        match image.as_deref().map(read_image) {
            Some(Ok(image)) => {
                volumes.findings = image.remarks.iter().map(check::remark).collect();
                volumes.files[0] = paths(image.parts);
                volumes.image = Some(image.volume);
            }
            Some(Err(error)) => refused.push(refusal("unreadable-image", error)),
            None => {}
        }
        match label.as_deref().map(read_labels) {
            Some(Ok(labels)) => {
                volumes.files[1] = paths(labels.parts);
                volumes.labels = Some(labels.map);
            }
            Some(Err(error)) => refused.push(refusal("unreadable-label", error)),
            None => {}
        }
        if refused.is_empty() { Ok(volumes) } else { Err(refused) }
    }

    fn original(&self, case: usize) -> Original {
        let Found { case_id, patient, .. } = &self.cases[case];
        Original { case: case_id.clone(), patient: patient.clone() }
    }
}

fn paths(parts: Vec<Part>) -> Vec<PathBuf> {
    parts.into_iter().map(|part| part.path).collect()
}
