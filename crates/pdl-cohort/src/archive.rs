//! A tree of DICOM files: each series with labels becomes a case, kept as NIfTI inside the curation folder.
//!
//! `volumes/images/CASE.nii.gz` holds the series' voxels, `volumes/labels/CASE.nii.gz` its structures on the same
//! grid. Names of cases and patients are pseudonyms unless ids are kept; no message holds a path or an attribute's
//! value other than the names of structures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use pdl_dicom::{
    DicomError, LabelFile, LabelKind, Mask, ReadOptions, Scan, Segmentation, Series, SeriesImage,
    StructureSet,
};
use pdl_io::nifti;
use pdl_store::hash::Key;
use pdl_store::journal::{Journal, Stamp, Trust};
use pdl_store::progress::Run;
use pdl_store::{StoreError, atomic};
use pdl_volume::{LabelMap, Volume};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::CohortError;
use crate::attributes::Modality;
use crate::cases::Finding;
use crate::layout::{Found, Layout};
use crate::parameters::IndexParameters;
use crate::pseudonyms::Naming;
use crate::sources::{self, SourceRow};
use crate::structures::Structures;

const IMAGES: &str = "volumes/images";
const LABELS: &str = "volumes/labels";

/// What a tree of DICOM files holds, under the names that its cases go by.
pub(crate) struct Archive {
    scan: Scan,
    naming: Naming,
    /// For every case of the layout its series, and its label file.
    cases: Vec<(usize, Option<usize>)>,
    structures: Structures,
    options: ReadOptions,
}

/// What came of a case's files.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Imported {
    findings: Vec<Finding>,
    refused: bool,
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
        let cases = order.iter().map(|(_, series, label)| (*series, *label)).collect();
        layout.cases = order.into_iter().map(|(found, ..)| found).collect();
        let options = ReadOptions { mr_rescale: parameters.mr_rescale };
        Ok(Self { scan, naming, cases, structures, options })
    }

    /// Findings about the tree as a whole.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut aside: Vec<String> =
            self.scan.set_aside.iter().map(|aside| format!("{} {}", aside.count, aside.reason)).collect();
        let (_, orphans) = self.scan.labels_of_series();
        if orphans > 0 {
            aside.push(format!("{orphans} labels of images that are not here"));
        }
        let message = format!("files set aside: {}", aside.join("; "));
        if aside.is_empty() { Vec::new() } else { vec![Finding::new("files-set-aside", message)] }
    }

    /// Writes the volumes of all cases of `modality` that have labels, and `sources.parquet`.
    pub(crate) fn import(
        &self,
        layout: &mut Layout,
        modality: Option<Modality>,
        out: &Path,
        run: Run<'_>,
    ) -> Result<(), CohortError> {
        for folder in [IMAGES, LABELS] {
            atomic::sweep(&out.join(folder))?;
        }
        let journal = Journal::<Imported>::open(out, "import", run.trust)?;
        run.progress.begin("reading DICOM", layout.cases.len() as u64);
        let worked = layout.cases.par_iter_mut().zip(&self.cases).map(|(found, case)| {
            let wanted = found.modality == modality && !found.refused;
            if wanted {
                let imported = self.import_once(found, *case, out, &journal, run.trust)?;
                found.findings.extend(imported.findings);
                found.refused |= imported.refused;
            }
            found.refused |= !wanted;
            if !found.refused {
                found.image = Some(out.join(IMAGES).join(file_name(&found.case_id)));
                found.label = Some(out.join(LABELS).join(file_name(&found.case_id)));
            }
            run.progress.advance(1);
            Ok(())
        });
        worked.collect::<Result<(), StoreError>>()?;
        let kept: Vec<String> = layout
            .cases
            .iter()
            .filter(|found| !found.refused)
            .map(|found| file_name(&found.case_id))
            .collect();
        for folder in [IMAGES, LABELS] {
            atomic::retain(&out.join(folder), |name| kept.iter().any(|kept| kept == name))?;
        }
        sources::write(out, &self.sources(layout, out))?;
        Ok(())
    }

    fn sources(&self, layout: &Layout, out: &Path) -> Vec<SourceRow> {
        let text = |path: &PathBuf| {
            let absolute = path.canonicalize().unwrap_or_else(|_| path.clone());
            pdl_store::paths::relative(out, &absolute)
        };
        let row = |(found, (series, label)): (&Found, &(usize, Option<usize>))| SourceRow {
            case_id: found.case_id.clone(),
            image: self.scan.series[*series].files.iter().map(text).collect(),
            label: label.map(|label| text(&self.scan.labels[label].path)),
        };
        layout.cases.iter().zip(&self.cases).map(row).collect()
    }

    fn import_once(
        &self,
        found: &Found,
        (series, label): (usize, Option<usize>),
        out: &Path,
        journal: &Journal<Imported>,
        trust: Trust,
    ) -> Result<Imported, StoreError> {
        let (series, label) = (&self.scan.series[series], label.map(|label| &self.scan.labels[label]));
        let Some(label) = label else {
            let finding =
                Finding::new("no-label", "an image series that no structure set or segmentation refers to");
            return Ok(Imported { findings: vec![finding], refused: true });
        };
        let key = self.key(series, label);
        // The key knows the sources' size and time only; who wants more has them read again.
        if let (Trust::Stamps, Some(known)) = (trust, journal.find(&found.case_id, &key)) {
            return Ok(known.clone());
        }
        let name = file_name(&found.case_id);
        let files = [format!("{IMAGES}/{name}"), format!("{LABELS}/{name}")];
        let imported = match self.volumes(series, label) {
            Ok((image, labels, findings)) => {
                write_image(&out.join(&files[0]), &image.volume)?;
                nifti::write_labels(&out.join(&files[1]), &labels)?;
                Imported { findings, refused: false }
            }
            Err(error) => {
                Imported { findings: vec![Finding::new("unreadable-dicom", error.reason())], refused: true }
            }
        };
        if !imported.refused {
            let stamps = [Stamp::hash(out, &files[0])?, Stamp::hash(out, &files[1])?];
            journal.record(&found.case_id, &key, stamps.to_vec(), &imported)?;
        }
        Ok(imported)
    }

    /// The hash of what the volumes of a case are made from: paths, sizes and times of its files, and the options.
    fn key(&self, series: &Series, label: &LabelFile) -> String {
        let stamp = |path: &PathBuf| {
            let meta = path.metadata().ok()?;
            let time = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            Some((path.to_string_lossy().into_owned(), meta.len(), time.as_nanos() as u64))
        };
        let stamps: Vec<_> = series.files.iter().chain([&label.path]).map(stamp).collect();
        let values: Vec<_> = label.names.iter().map(|name| (name, self.structures.label(name))).collect();
        // Hashed under the secret key, so that nobody can try paths out.
        let parts = Key::new("import 1")
            .part("files", &stamps)
            .part("part", &series.part)
            .part("values", &values)
            .part("mr_rescale", &self.options.mr_rescale)
            .finish();
        self.naming.secret(parts)
    }

    fn volumes(
        &self,
        series: &Series,
        label: &LabelFile,
    ) -> Result<(SeriesImage, LabelMap, Vec<Finding>), DicomError> {
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
        Ok((image, labels, findings))
    }
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

fn file_name(case: &str) -> String {
    format!("{case}.nii.gz")
}

/// As int16 where that holds every voxel exactly, else as float32.
fn write_image(path: &Path, image: &Volume<f32>) -> Result<(), StoreError> {
    let fits = |v: &f32| v.fract() == 0.0 && (f32::from(i16::MIN)..=f32::from(i16::MAX)).contains(v);
    if image.voxels.iter().all(fits) {
        nifti::write_image_i16(path, image)
    } else {
        nifti::write_image(path, image)
    }
}
