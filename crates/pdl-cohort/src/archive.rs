//! A tree of DICOM files: each series with labels becomes a case, kept as NIfTI inside the curation folder.
//!
//! Names of cases and patients are pseudonyms unless ids are kept; no message holds a path or an attribute's
//! value other than the names of structures.

use std::collections::{BTreeMap, BTreeSet};

use pdl_dicom::acquisition::acquisition;
use pdl_dicom::{
    DicomError, LabelFile, LabelKind, Mask, ReadOptions, Scan, Segmentation, Series, SeriesImage,
    StructureSet,
};
use pdl_store::hash::Key;
use pdl_store::progress::Run;
use rayon::prelude::*;

use crate::CohortError;
use crate::attributes::Modality;
use crate::cases::Finding;
use crate::kept::{Files, Origin, Original, Volumes};
use crate::layout::{Found, Layout};
use crate::parameters::IndexParameters;
use crate::pseudonyms::Naming;
use crate::structures::Structures;

/// Most names of structures in a message.
const MOST_NAMES: usize = 20;

/// What a tree of DICOM files holds, under the names that its cases go by.
pub(crate) struct Archive {
    scan: Scan,
    naming: Naming,
    /// For every case of the layout its series, and its label file.
    cases: Vec<(usize, Option<usize>)>,
    structures: Structures,
    options: ReadOptions,
}

impl Archive {
    /// Reads all headers and gives the layout its cases. Label values of an `earlier` run stay.
    pub(crate) fn scan(
        layout: &mut Layout,
        naming: Naming,
        parameters: &IndexParameters,
        earlier: &BTreeMap<u16, String>,
        run: Run<'_>,
    ) -> Result<Self, CohortError> {
        run.progress.begin("reading headers", layout.dicom_files.len() as u64);
        let scan = pdl_dicom::scan(&layout.dicom_files, &|| run.progress.advance(1));
        let (labels, _) = scan.labels_of_series();
        let mut order: Vec<(Found, usize, Option<usize>)> = scan
            .series
            .iter()
            .zip(&labels)
            .enumerate()
            .map(|(number, (series, labels))| {
                (found(&naming, series, labels.len()), number, labels.last().copied())
            })
            .collect();
        order.sort_by(|a, b| a.0.case_id.cmp(&b.0.case_id));
        let used =
            order.iter().filter_map(|(_, _, label)| *label).flat_map(|label| &scan.labels[label].names);
        let structures = Structures::new(&parameters.structures, used.map(String::as_str), earlier)?;
        layout.label_names.clone_from(&structures.names);
        keep_acquisition(&mut order, &scan, &parameters.carried()?);
        let cases = order.iter().map(|(_, series, label)| (*series, *label)).collect();
        layout.cases = order.into_iter().map(|(found, ..)| found).collect();
        let options = ReadOptions { mr_rescale: parameters.mr_rescale };
        Ok(Self { scan, naming, cases, structures, options })
    }
}

impl Origin for Archive {
    fn naming(&self) -> &Naming {
        &self.naming
    }

    fn wants(&self, found: &Found, modality: Option<Modality>) -> bool {
        found.modality == modality
    }

    fn files(&self, case: usize) -> Files {
        let (series, label) = self.sources(case);
        [series.files.clone(), label.map(|label| label.path.clone()).into_iter().collect()]
    }

    fn key(&self, case: usize) -> Key {
        let (series, label) = self.sources(case);
        let names = label.iter().flat_map(|label| &label.names);
        let values: Vec<_> = names.map(|name| (name, self.structures.label(name))).collect();
        Key::new("import 2")
            .part("part", &series.part)
            .part("values", &values)
            .part("mr_rescale", &self.options.mr_rescale)
    }

    fn read(&self, case: usize) -> Result<Volumes, Vec<Finding>> {
        let (series, label) = self.sources(case);
        let Some(label) = label else {
            let message = "an image series that no structure set or segmentation refers to";
            return Err(vec![Finding::new("no-label", message)]);
        };
        let volumes = self.volumes(series, label);
        volumes.map_err(|error| vec![Finding::new("unreadable-dicom", error.reason())])
    }

    fn original(&self, case: usize) -> Original {
        let (series, _) = self.sources(case);
        Original { case: series.series_uid.clone(), patient: Some(series.patient_id.clone()) }
    }

    fn findings(&self) -> Vec<Finding> {
        let mut aside: Vec<String> =
            self.scan.set_aside.iter().map(|aside| format!("{} {}", aside.count, aside.reason)).collect();
        let (_, orphans) = self.scan.labels_of_series();
        if orphans > 0 {
            aside.push(format!("{orphans} labels of images that are not here"));
        }
        let message = format!("files set aside: {}", aside.join("; "));
        let aside = (!aside.is_empty()).then(|| Finding::new("files-set-aside", message));
        aside.into_iter().chain(self.unmatched()).collect()
    }
}

impl Archive {
    /// What is said of patterns that no structure has.
    fn unmatched(&self) -> Option<Finding> {
        let used = self.cases.iter().filter_map(|(_, label)| *label);
        let names: BTreeSet<&str> =
            used.flat_map(|label| &self.scan.labels[label].names).map(String::as_str).collect();
        let unmatched = self.structures.unmatched(names.iter().copied());
        (!unmatched.is_empty()).then(|| {
            let shown: Vec<&str> = names.iter().copied().take(MOST_NAMES).collect();
            let more = if names.len() > MOST_NAMES { " and others" } else { "" };
            let (patterns, names) = (unmatched.join("', '"), shown.join(", "));
            Finding::new(
                "structures-unmatched",
                format!("no structure is called '{patterns}'; there are {names}{more}"),
            )
        })
    }

    /// The series of a case, and its label file.
    fn sources(&self, case: usize) -> (&Series, Option<&LabelFile>) {
        let (series, label) = self.cases[case];
        (&self.scan.series[series], label.map(|label| &self.scan.labels[label]))
    }

    fn volumes(&self, series: &Series, label: &LabelFile) -> Result<Volumes, DicomError> {
        let image = pdl_dicom::read_series(series, self.options)?;
        let mut findings: Vec<Finding> = image.findings.iter().map(own).collect();
        let mut masks: Vec<(u16, Mask)> = Vec::new();
        for (name, mask) in structures_of(label, &image)? {
            let Some(value) = self.structures.label(&name) else { continue };
            match mask() {
                Ok(mask) => {
                    findings.extend(mask.findings.iter().map(own));
                    masks.push((value, mask));
                }
                Err(error) => {
                    findings.push(Finding::new("unusable-structure", format!("{name}: {}", error.reason())));
                }
            }
        }
        masks.sort_by_key(|(value, _)| *value);
        let (painted, overlapping) =
            pdl_dicom::paint(&image.stack, masks.iter().map(|(value, mask)| (*value, mask)));
        if overlapping > 0 {
            let message =
                format!("{overlapping} voxels lie in several structures; the one of the higher label wins");
            findings.push(Finding::new("overlapping-structures", message));
        }
        let labels = image.place_labels(painted)?;
        Ok(Volumes {
            image: Some(image.volume),
            labels: Some(labels),
            files: [series.files.clone(), vec![label.path.clone()]],
            findings,
        })
    }
}

/// Keeps the attributes `carry` of every case's series. Of a file that cannot be read any more there is nothing: why is
/// told where the series is read.
fn keep_acquisition(order: &mut [(Found, usize, Option<usize>)], scan: &Scan, carry: &BTreeSet<String>) {
    if carry.is_empty() {
        return;
    }
    order.par_iter_mut().for_each(|(found, series, _)| {
        let keywords = carry.iter().map(String::as_str);
        found.carried = acquisition(&scan.series[*series], keywords)
            .unwrap_or_else(|_| carry.iter().map(|keyword| (keyword.clone(), None)).collect());
    });
}

/// What the headers say of a case.
fn found(naming: &Naming, series: &Series, labels: usize) -> Found {
    let mut findings = Vec::new();
    let patient = if series.patient_id.is_empty() {
        let message = "its files name no patient; its study is taken as a patient of its own";
        findings.push(Finding::new("no-patient-id", message));
        &series.study_uid
    } else {
        &series.patient_id
    };
    if labels > 1 {
        let message = format!("{labels} structure sets or segmentations refer to it; the latest is used");
        findings.push(Finding::new("several-labels", message));
    }
    let unique =
        format!("{}\0{}\0{}\0{}", series.patient_id, series.study_uid, series.series_uid, series.part);
    Found {
        case_id: naming.case(patient, &unique),
        patient: Some(naming.patient(patient)),
        modality: series.modality.parse().ok(),
        findings,
        ..Found::default()
    }
}

/// A structure's name, and how to get its pixels.
type Drawn<'a> = (String, Box<dyn Fn() -> Result<Mask, DicomError> + 'a>);

fn structures_of<'a>(label: &LabelFile, image: &'a SeriesImage) -> Result<Vec<Drawn<'a>>, DicomError> {
    Ok(match label.kind {
        LabelKind::StructureSet => {
            let regions = StructureSet::read(&label.path)?.regions;
            let drawn = |region: pdl_dicom::Region| -> Drawn<'a> {
                (region.name.clone(), Box::new(move || region.mask(&image.stack)))
            };
            regions.into_iter().map(drawn).collect()
        }
        LabelKind::Segmentation => {
            let object = std::sync::Arc::new(Segmentation::read(&label.path)?);
            let drawn = |segment: &pdl_dicom::Segment| -> Drawn<'a> {
                let (object, number) = (object.clone(), segment.number);
                (segment.name.clone(), Box::new(move || object.mask(number, &image.stack)))
            };
            object.segments.iter().map(drawn).collect()
        }
    })
}

fn own(finding: &pdl_dicom::Finding) -> Finding {
    Finding::new(finding.code, finding.message.clone())
}
