//! The prepare stage: fingerprint, plan, prepared volumes and proxies.

use pdl_findings::{Code, Finding};
use std::collections::HashSet;
use std::path::Path;

use arrow::datatypes::{DataType, Schema};
use pdl_cohort::case_row::CaseRow;
use pdl_cohort::cases::Cases;
use pdl_io::nifti;
use pdl_store::hash::Key;
use pdl_store::journal::{Journal, Stamp};
use pdl_store::memory::MemoryLimit;
use pdl_store::progress::{self, StageContext};
use pdl_store::safe_path::{self, SafePath};
use pdl_store::table::{self, column, list, nullable, structure};
use pdl_store::{StoreError, atomic, json, regular_file, safe_name};
use pdl_volume::{Grid, Volume, VoxelBox, image_on};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::PrepareError;
use crate::channels;
use crate::crop::Crop;
use crate::fingerprint::{self, CaseFingerprint, Fingerprint, nonzero_box_share};
use crate::label_loss::{self, PreparedLabel};
use crate::normalisation_choice;
use crate::normalise::{Normalisation, normalise};
use crate::parameters::{PlanFrom, PrepareParameters, Resampling};
use crate::plan::{self, Plan};
use crate::proxies::labels::ProxyLabels;
use crate::proxies::{self, ProxyRow, ProxyWriter, ROWS_PER_FILE};
use crate::remote_results;
use crate::resample::{checked_shape_at, resample_image, resample_labels, shape_at};
use crate::source::{self, Source, batches};
use crate::spline;

/// The table's name inside a curation folder.
pub const FILE: &str = "prepared.parquet";

/// The list of cases that failed, inside a curation folder; absent when none did.
pub const FAILURES_FILE: &str = "failures.json";

const IMAGES: &str = "prepared/images";
const LABELS: &str = "prepared/labels";

/// One prepared case. Paths are relative to the curation folder; arrays over axes are x, y, z of
/// the RAS+ volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PreparedRow {
    /// The prepared case, by its id.
    #[serde(deserialize_with = "safe_name::deserialize")]
    pub case_id: String,
    /// The prepared image, float32.
    #[serde(deserialize_with = "safe_path::deserialize")]
    pub image: String,
    /// The prepared label map; null for a case without a label.
    #[serde(default, deserialize_with = "safe_path::deserialize_option")]
    pub label: Option<String>,
    /// Voxels along x, y, z.
    pub shape: Vec<u32>,
    /// Voxel size along x, y, z, mm.
    pub spacing_mm: Vec<f64>,
    /// First voxel of the crop along x, y, z of the stored image in RAS+ order.
    #[serde(default)]
    pub crop_start_xyz: Vec<u32>,
    /// Shape of the crop along x, y, z of the stored image in RAS+ order.
    #[serde(default)]
    pub crop_shape_xyz: Vec<u32>,
    /// Number of labelled voxels outside the image's own box, which was extended to hold them.
    #[serde(default)]
    pub crop_labelled_outside: u64,
    /// The labels of the case after preparation.
    #[serde(default)]
    pub labels: Vec<PreparedLabel>,
    /// BLAKE3 of the image file.
    pub image_blake3: String,
    /// BLAKE3 of the label file; null for a case without a label.
    #[serde(default)]
    pub label_blake3: Option<String>,
    /// The prepared images in the order of the cohort's channels; the first is `image`.
    #[serde(default, deserialize_with = "safe_path::deserialize_list")]
    pub images: Vec<String>,
    /// BLAKE3 of each file of `images`.
    #[serde(default)]
    pub images_blake3: Vec<String>,
}

impl PreparedRow {
    /// Whether it states a plausible volume: three sides and three spacings.
    fn is_plausible(&self) -> bool {
        let spacing = <[f64; 3]>::try_from(self.spacing_mm.as_slice());
        self.shape.len() == 3
            && !self.shape.contains(&0)
            && spacing.is_ok_and(plan::is_plausible)
            && self.images.len() == self.images_blake3.len()
    }

    /// With the images of all channels, which tables of earlier versions do not list.
    pub(crate) fn with_images(mut self) -> Self {
        if self.images.is_empty() {
            self.images = vec![self.image.clone()];
            self.images_blake3 = vec![self.image_blake3.clone()];
        }
        self
    }

    /// The crop of the stored image's RAS+ grid; the whole grid if the table does not state it.
    pub fn cropped(&self, whole: &Grid) -> Grid {
        let three = |numbers: &[u32]| <[u32; 3]>::try_from(numbers).ok().map(|n| n.map(|n| n as usize));
        match (three(&self.crop_start_xyz), three(&self.crop_shape_xyz)) {
            (Some(start), Some(shape)) => VoxelBox { start, shape }.of_grid(whole),
            _ => *whole,
        }
    }
}

/// The table's columns.
pub fn schema() -> Schema {
    use DataType::{Float64, UInt16, UInt32, UInt64, Utf8};
    Schema::new(vec![
        column("case_id", Utf8),
        column("image", Utf8),
        nullable("label", Utf8),
        column("shape", list(UInt32)),
        column("spacing_mm", list(Float64)),
        column("crop_start_xyz", list(UInt32)),
        column("crop_shape_xyz", list(UInt32)),
        column("crop_labelled_outside", UInt64),
        column("labels", list(structure(&[("value", UInt16), ("voxels", UInt64), ("kept", Float64)]))),
        column("image_blake3", Utf8),
        nullable("label_blake3", Utf8),
        column("images", list(Utf8)),
        column("images_blake3", list(Utf8)),
    ])
}

/// Reads `prepared.parquet` of a curation folder.
///
/// # Errors
/// [`StoreError`] if it is missing or not such a table.
pub fn read(out: &Path) -> Result<Vec<PreparedRow>, StoreError> {
    let path = out.join(FILE);
    let rows: Vec<PreparedRow> = table::read_rows(&path)?.0;
    match rows.iter().find(|row| !row.is_plausible()) {
        Some(row) => {
            let problem =
                format!("the shape or spacing of case {} cannot be; run `pdl prepare` again", row.case_id);
            Err(StoreError::Table { path, problem })
        }
        None => Ok(rows.into_iter().map(PreparedRow::with_images).collect()),
    }
}

/// Reads `failures.json` of a curation folder; there are none where the file is absent.
///
/// # Errors
/// [`StoreError`] if it is not such a file.
pub fn read_failures(out: &Path) -> Result<Vec<Failure>, StoreError> {
    let path = out.join(FAILURES_FILE);
    if regular_file::is_there(&path)? { json::read(&path) } else { Ok(Vec::new()) }
}

/// A case that a stage could not work on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The case that failed, by its id.
    pub case_id: String,
    /// The stage that could not work on it.
    pub stage: String,
    /// Why.
    pub message: String,
}

/// The result of the prepare stage.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The plan that was applied to every case.
    pub plan: Plan,
    /// Findings about changes since the plan was pinned, and about the proxies.
    pub findings: Vec<Finding>,
    /// Number of cases that were written; the others were valid.
    pub written: usize,
    /// Cases in the result.
    pub cases: usize,
    /// Cases that failed.
    pub failures: Vec<Failure>,
}

/// Prepares every usable case of the curation folder `out`.
///
/// # Errors
/// [`PrepareError`] when there is no training case, every case fails, or `out` cannot be written. A
/// case that fails is listed in the result and in `failures.json`.
pub fn prepare(
    out: &Path,
    parameters: &PrepareParameters,
    replan: bool,
    run: StageContext<'_>,
) -> Result<Prepared, PrepareError> {
    let cases = Cases::read(out)?;
    let rows: Vec<&CaseRow> = cases.usable().collect();
    for folder in [IMAGES, LABELS, proxies::FOLDER] {
        atomic::sweep(&SafePath::new(out, folder)?)?;
    }
    remote_results::collect(out)?;
    let (plan, mut findings) = make_plan(out, &rows, parameters, replan, run)?;
    let limit = run.memory_limit();
    limit.alone().take(plan.proxy_bytes()).map_err(PrepareError::ProxyMemory)?;
    let stage = Stage {
        out,
        plan: &plan,
        journal: Journal::open(out, "prepare", run.trust)?,
        proxy_journal: Journal::open(out, "proxies", run.trust)?,
        run,
        memory: limit.bytes(),
        separator: channels::separator(&rows),
    };
    run.progress.begin("preparing cases", rows.len() as u64);
    let mut done = Vec::with_capacity(rows.len());
    for (index, chunk) in rows.chunks(ROWS_PER_FILE).enumerate() {
        done.extend(stage.chunk(index, chunk)?);
    }
    let failures: Vec<Failure> = done.iter().filter_map(|case| case.as_ref().err().cloned()).collect();
    let done: Vec<Done> = done.into_iter().flatten().collect();
    if let (true, Some(first)) = (done.is_empty(), failures.first()) {
        return Err(PrepareError::AllFailed { count: failures.len(), first: first.message.clone() });
    }
    report_failures(out, &failures)?;
    findings.extend(padding_finding(&done));
    findings.extend(crop_finding(&done));
    let written = done.iter().filter(|case| case.fresh).count();
    let prepared: Vec<PreparedRow> = done.into_iter().map(|case| case.row).collect();
    let left = prepared.iter().map(|row| (row.case_id.as_str(), row.labels.as_slice()));
    findings.extend(label_loss::findings(left, &cases.label_names));
    table::write_rows(&out.join(FILE), &schema(), &prepared, Vec::new())?;
    remove_strangers(out, &prepared, rows.len().div_ceil(ROWS_PER_FILE))?;
    if failures.is_empty() {
        remote_results::remove(out)?;
    }
    Ok(Prepared { plan, findings, written, cases: prepared.len(), failures })
}

/// Reads `plan.json` of a curation folder.
///
/// # Errors
/// [`PrepareError::Store`] if it is missing or not such a file, [`PrepareError::Plan`] if it is
/// invalid.
pub fn read_plan(out: &Path) -> Result<Plan, PrepareError> {
    checked_plan(&out.join(plan::FILE))
}

/// Computes the fingerprint, and keeps the existing plan unless a new one is requested or its
/// options have changed; a plan that the user has edited is not replaced.
pub(crate) fn make_plan(
    out: &Path,
    rows: &[&CaseRow],
    parameters: &PrepareParameters,
    replan: bool,
    run: StageContext<'_>,
) -> Result<(Plan, Vec<Finding>), PrepareError> {
    let training = plan_cases(rows, parameters.plan_from);
    let mut fingerprint = take_fingerprint(out, &training, parameters.crop, run)?;
    let path = out.join(plan::FILE);
    let pinned = if !replan && regular_file::is_there(&path)? { Some(checked_plan(&path)?) } else { None };
    let pinned = match pinned {
        Some(plan)
            if plan.parameters == *parameters
                && plan.modality == fingerprint.modality
                && plan.has_channels_of(&fingerprint) =>
        {
            Some(plan)
        }
        Some(plan) => {
            if let Some(edited) = plan.edited()? {
                return Err(PrepareError::EditedPlan { edited, options: changed(&plan, parameters), path });
            }
            None
        }
        None => None,
    };
    let plan = match pinned {
        Some(plan) => {
            fingerprint.findings = plan.drift(&fingerprint);
            plan
        }
        None => Plan::new(&fingerprint, parameters)?,
    };
    json::write(&out.join(fingerprint::FILE), &fingerprint)?;
    json::write(&path, &plan)?;
    let mut findings = fingerprint.findings.clone();
    findings.extend(normalisation_choice::window_finding(&fingerprint, plan.proxies.mapping, parameters));
    findings.extend(fingerprint.without_labels_finding());
    Ok((plan, findings))
}

/// The cases that the plan is made from: those that are labelled, or all of them where none is.
fn plan_cases<'a>(rows: &[&'a CaseRow], plan_from: PlanFrom) -> Vec<&'a CaseRow> {
    let mut cases: Vec<&CaseRow> = rows.iter().copied().filter(|row| plan_from.includes(row.split)).collect();
    if cases.iter().any(|row| row.is_labelled()) {
        cases.retain(|row| row.is_labelled());
    }
    cases
}

/// Reads a plan, and checks what it holds, which may have been edited.
fn checked_plan(path: &Path) -> Result<Plan, PrepareError> {
    let plan: Plan = json::read(path)?;
    let problem = plan.problem();
    problem.map_or(Ok(plan), |problem| Err(PrepareError::Plan { path: path.to_owned(), problem }))
}

/// The options that are not those of the plan, by name.
fn changed(plan: &Plan, parameters: &PrepareParameters) -> String {
    let names = plan::differences(&plan.parameters, parameters);
    if names.is_empty() { "modality or channels".to_owned() } else { names.join(", ") }
}

fn take_fingerprint(
    out: &Path,
    training: &[&CaseRow],
    crop: Crop,
    run: StageContext<'_>,
) -> Result<Fingerprint, PrepareError> {
    let Some(modality) = training.first().map(|row| row.modality) else {
        return Err(PrepareError::NoTrainingCases { out: out.to_owned() });
    };
    let journal = Journal::<CaseFingerprint>::open(out, "fingerprint", run.trust)?;
    run.progress.begin("taking the fingerprint", training.len() as u64);
    let mut parts: Vec<Result<CaseFingerprint, PrepareError>> = Vec::with_capacity(training.len());
    let limit = run.memory_limit();
    for batch in batches(training, limit.bytes(), |grid| source::voxels(grid.shape)) {
        let one = |row: &&CaseRow| {
            let _item = progress::at_work(run.progress, &row.case_id);
            let part = fingerprint_once(out, &journal, row, crop, &limit);
            run.progress.advance(1);
            part
        };
        parts.extend(batch.par_iter().map(one).collect::<Result<Vec<_>, StoreError>>()?);
    }
    let first = parts.iter().find_map(|part| part.as_ref().err()).map(ToString::to_string);
    let (rows, parts): (Vec<&CaseRow>, Vec<CaseFingerprint>) =
        training.iter().zip(parts).filter_map(|(row, part)| Some((*row, part.ok()?))).unzip();
    if let (true, Some(first)) = (rows.is_empty(), first) {
        return Err(PrepareError::AllFailed { count: training.len(), first });
    }
    Ok(Fingerprint::of(modality, &rows, &parts))
}

/// The case's part of the fingerprint; the inner error if its files cannot be read: such a case is
/// reported where it is prepared.
fn fingerprint_once(
    out: &Path,
    journal: &Journal<CaseFingerprint>,
    row: &CaseRow,
    crop: Crop,
    limit: &MemoryLimit,
) -> Result<Result<CaseFingerprint, PrepareError>, StoreError> {
    let key = Key::new("fingerprint 4")
        .part("image", &row.image_blake3)
        .part("label", &row.label_blake3)
        .part("labels", &row.labels)
        .part("affine", &row.affine)
        .part("crop", &crop);
    let key = with_channels(key, row).finish();
    if let Some(known) = journal.find(&row.case_id, &key) {
        return Ok(Ok(known.clone()));
    }
    let source = match Source::read(out, row, &limit.share()) {
        Ok(source) => source,
        Err(error) => return machine_failure(row, &error).map_or(Ok(Err(error)), Err),
    };
    let nonzero = nonzero_box_share(&source.image, &source.channels);
    let source = source.crop(crop);
    let of = |image| CaseFingerprint::of(image, source.labels.as_ref(), &row.labels, nonzero);
    let part = of(&source.image).with_channels(source.channels.iter().map(of).collect());
    journal.record(&row.case_id, &key, Vec::new(), &part)?;
    Ok(Ok(part))
}

/// The machine's error in the sources of a case's error; it ends the run, as it is no defect of the
/// case.
fn machine_failure(row: &CaseRow, error: &PrepareError) -> Option<StoreError> {
    let what = format!("case {}", row.case_id);
    let memory = match error {
        PrepareError::Memory(error) => Some(*error),
        PrepareError::Read(error) => error.memory(),
        _ => None,
    };
    if let Some(error) = memory {
        return StoreError::no_memory(&what, error);
    }
    let path = match error {
        PrepareError::Read(error) => Some(error.path()),
        PrepareError::Store(StoreError::Io { path, .. }) => Some(path.as_path()),
        _ => None,
    };
    StoreError::machine(&what, path, error)
}

/// The outputs of a case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    row: PreparedRow,
    padded_share: f64,
    #[serde(skip)]
    fresh: bool,
}

pub(crate) struct Stage<'a> {
    pub out: &'a Path,
    pub plan: &'a Plan,
    pub journal: Journal<PreparedRow>,
    pub proxy_journal: Journal<Vec<f64>>,
    pub run: StageContext<'a>,
    /// Memory limit of all cases together, in bytes.
    pub memory: u64,
    /// Separator between a case's id and a channel's name in a prepared file's name.
    pub separator: String,
}

impl Stage<'_> {
    /// Prepares the cases of one file of proxies, and writes that file unless it is valid.
    fn chunk(&self, index: usize, rows: &[&CaseRow]) -> Result<Vec<Result<Done, Failure>>, PrepareError> {
        let name = proxies::file_name(index);
        let relative = format!("{}/{name}", proxies::FOLDER);
        let key = self.proxy_file_key(rows);
        if let Some(padded) = self.proxy_journal.find(&name, &key).cloned() {
            let mut padded = padded.into_iter();
            let mut done = Vec::with_capacity(rows.len());
            for batch in self.batches(rows) {
                let padded: Vec<f64> = padded.by_ref().take(batch.len()).collect();
                done.extend(self.in_parallel(batch, |case, row| {
                    let padded_share = padded.get(case).copied().unwrap_or(0.0);
                    let (row, fresh) = self.volumes(row, None)?;
                    Ok(Done { row, padded_share, fresh })
                })?);
            }
            return Ok(done);
        }
        let path = self.out.join(&relative);
        let mut done = Vec::with_capacity(rows.len());
        atomic::write_with(SafePath::new(self.out, &relative)?, |temporary| {
            let mut writer = ProxyWriter::create(temporary, &path, self.plan, rows)?;
            for batch in self.batches(rows) {
                let made = self.in_parallel(batch, |_, row| self.case_and_proxy(row))?;
                let mut proxies = Vec::with_capacity(made.len());
                for case in made {
                    done.push(case.map(|(case, proxy)| {
                        proxies.push(proxy);
                        case
                    }));
                }
                writer.write(proxies)?;
            }
            writer.finish()
        })?;
        // A file that lacks a failed case is tried again next time, so it is not recorded.
        if done.iter().all(Result::is_ok) {
            let padded: Vec<f64> = done.iter().flatten().map(|case| case.padded_share).collect();
            self.proxy_journal.record(&name, &key, vec![Stamp::hash(self.out, &relative)?], &padded)?;
        }
        Ok(done)
    }

    /// Batches of cases that fit into memory together.
    fn batches<'r, 'c>(&self, rows: &'r [&'c CaseRow]) -> Vec<&'r [&'c CaseRow]> {
        batches_by_memory(rows, self.plan, self.memory)
    }

    /// Works on cases; one that fails by its own fault is a result, too.
    fn in_parallel<T: Send>(
        &self,
        rows: &[&CaseRow],
        work: impl Fn(usize, &CaseRow) -> Result<T, PrepareError> + Sync,
    ) -> Result<Vec<Result<T, Failure>>, StoreError> {
        let one = |(index, row): (usize, &&CaseRow)| {
            let _item = progress::at_work(self.run.progress, &row.case_id);
            let result = match work(index, row) {
                Ok(result) => Ok(result),
                Err(error) => match machine_failure(row, &error) {
                    Some(error) => return Err(error),
                    None => Err(Failure {
                        case_id: row.case_id.clone(),
                        stage: "prepare".to_owned(),
                        message: error.to_string(),
                    }),
                },
            };
            self.run.progress.advance(1);
            Ok(result)
        };
        rows.par_iter().enumerate().map(one).collect()
    }

    pub(crate) fn case_and_proxy(&self, row: &CaseRow) -> Result<(Done, ProxyRow), PrepareError> {
        let submitted = remote_results::proxy(self.out, row, &self.proxy_key(row), self.run.trust)?;
        let (proxy, source) = match submitted {
            Some(proxy) => (proxy, None),
            None => {
                let source = self.source(row)?;
                let percentiles = [row.intensity_p00_5, row.intensity_p99_5];
                let mut proxy = proxies::proxy(&source.image, percentiles, &self.plan.proxies)?;
                let further = row.channels.iter().skip(1).zip(&self.plan.further_channels);
                for ((channel, planned), image) in further.zip(&source.channels) {
                    let percentiles = [channel.intensity_p00_5, channel.intensity_p99_5];
                    let mapped = proxies::mapped(image, percentiles, &self.plan.proxies, planned.mapping)?;
                    proxy.channels.push(mapped.0);
                }
                if self.plan.proxies.labels {
                    let (map, grid) = (source.labels.as_ref(), &source.image.grid);
                    proxy.labels = Some(ProxyLabels::new(map, grid, row, &self.plan.proxies)?);
                }
                (proxy, Some(source))
            }
        };
        let (prepared, fresh) = self.volumes(row, source)?;
        let done = Done { row: prepared, padded_share: proxy.padded_share, fresh };
        Ok((done, ProxyRow { case_id: row.case_id.clone(), key: self.proxy_key(row), proxy }))
    }

    /// The prepared files of a case, written unless they are valid; and whether they were.
    fn volumes(&self, row: &CaseRow, source: Option<Source>) -> Result<(PreparedRow, bool), PrepareError> {
        let key = self.volume_key(row);
        if let Some(known) = self.journal.find(&row.case_id, &key) {
            return Ok((self.with_labels(row, known.clone())?.with_images(), false));
        }
        let Source { image, channels, labels, cropped } = source.map_or_else(|| self.source(row), Ok)?;
        let shape = checked_shape_at(&image.grid, self.plan.spacing_mm)?;
        let spacing_mm = image.grid.resized(shape).spacing_mm().to_vec();
        // Each image is written and gone before the next, and before the labels are resampled: one
        // of them at a time takes copies.
        let mut images = vec![format!("{IMAGES}/{}.nii.gz", row.case_id)];
        self.write_image(image, &self.plan.normalisation, &images[0], None)?;
        for (image, planned) in channels.into_iter().zip(&self.plan.further_channels) {
            let stem = channels::file_stem(row, &planned.name, &self.separator);
            let name = format!("{IMAGES}/{stem}.nii.gz");
            self.write_image(image, &planned.normalisation, &name, Some(&planned.name))?;
            images.push(name);
        }
        let mut stamps =
            images.iter().map(|name| Stamp::hash(self.out, name)).collect::<Result<Vec<_>, _>>()?;
        let images_blake3: Vec<String> = stamps.iter().map(|stamp| stamp.blake3.clone()).collect();
        let label_name = labels.as_ref().map(|_| format!("{LABELS}/{}.nii.gz", row.case_id));
        let (mut label_blake3, mut kept_labels) = (None, Vec::new());
        if let (Some(labels), Some(name)) = (labels, &label_name) {
            let labels = match self.plan.resample {
                Resampling::Box => resample_labels(labels, shape)?,
                Resampling::Nnunet => spline::resample_labels(&labels, shape),
            };
            nifti::write_labels(SafePath::new(self.out, name)?, &labels)?;
            kept_labels = PreparedLabel::of(row, &labels);
            let stamp = Stamp::hash(self.out, name)?;
            label_blake3 = Some(stamp.blake3.clone());
            stamps.push(stamp);
        }
        let prepared = PreparedRow {
            case_id: row.case_id.clone(),
            image: images[0].clone(),
            label: label_name,
            shape: shape.iter().map(|n| *n as u32).collect(),
            spacing_mm,
            crop_start_xyz: cropped.part.start.map(|n| n as u32).to_vec(),
            crop_shape_xyz: cropped.part.shape.map(|n| n as u32).to_vec(),
            crop_labelled_outside: cropped.labelled_outside,
            labels: kept_labels,
            image_blake3: images_blake3[0].clone(),
            label_blake3,
            images,
            images_blake3,
        };
        self.journal.record(&row.case_id, &key, stamps, &prepared)?;
        Ok((prepared, true))
    }

    /// Normalises, resamples and writes one image; `channel` names it where it is not the first.
    fn write_image(
        &self,
        image: Volume<f32>,
        normalisation: &Normalisation,
        name: &str,
        channel: Option<&str>,
    ) -> Result<(), PrepareError> {
        let image = normalised_and_resampled(image, normalisation, self.plan)?;
        if let Some(value) = constant(&image.voxels) {
            return Err(PrepareError::Constant { channel: channel.map(str::to_owned), value });
        }
        Ok(nifti::write_image(SafePath::new(self.out, name)?, &image)?)
    }

    /// A prepared case with its labels after preparation, which records of earlier versions lack.
    fn with_labels(&self, row: &CaseRow, prepared: PreparedRow) -> Result<PreparedRow, PrepareError> {
        let Some(label) = prepared.label.as_ref().filter(|_| prepared.labels.len() != row.labels.len())
        else {
            return Ok(prepared);
        };
        let path = self.out.join(label);
        let labels = pdl_io::read_labels_within(&path, &MemoryLimit::new(self.memory).alone())?;
        Ok(PreparedRow { labels: PreparedLabel::of(row, &labels.map), ..prepared })
    }

    /// A case's volumes, cropped; once it is clear that there is memory for them and for what
    /// becomes of them.
    fn source(&self, row: &CaseRow) -> Result<Source, PrepareError> {
        let limit = MemoryLimit::new(self.memory);
        if let Some(grid) = row.grid().map(|grid| grid.to_ras()) {
            let resampled = match self.plan.crop {
                Crop::None => source::voxels(checked_shape_at(&grid, self.plan.spacing_mm)?),
                _ => 0, // which box is kept is known only when the image is there
            };
            limit.alone().take(source::bytes(&grid, resampled, source::channels(row)))?;
        }
        let cropped = Source::read(self.out, row, &limit.alone())?.crop(self.plan.crop);
        let (expected, found) = (self.plan.channels(), 1 + cropped.channels.len());
        if expected != found {
            return Err(PrepareError::Channels { expected, found });
        }
        let resampled = source::voxels(checked_shape_at(&cropped.image.grid, self.plan.spacing_mm)?);
        limit.alone().take(source::bytes(&cropped.image.grid, resampled, source::channels(row)))?;
        Ok(cropped)
    }

    /// The hash of all inputs of a case's prepared files.
    pub(crate) fn volume_key(&self, row: &CaseRow) -> String {
        let key = Key::new("prepare 2")
            .part("image", &row.image_blake3)
            .part("label", &row.label_blake3)
            .part("affine", &row.affine)
            .part("crop", &self.plan.crop)
            .part("spacing", &self.plan.spacing_mm)
            .part("resample", &self.plan.resample)
            .part("normalisation", &self.plan.normalisation);
        let key = with_channels(key, row);
        if row.channels.is_empty() {
            return key.finish();
        }
        key.part("further_channels", &self.plan.further_channels).part("separator", &self.separator).finish()
    }

    /// The hash of all inputs of a file of proxies.
    pub(crate) fn proxy_file_key(&self, rows: &[&CaseRow]) -> String {
        let row_keys: Vec<(&str, String)> =
            rows.iter().map(|row| (row.case_id.as_str(), self.proxy_key(row))).collect();
        Key::new("proxy file 1").part("rows", &row_keys).finish()
    }

    /// The hash of all inputs of a case's proxy.
    pub(crate) fn proxy_key(&self, row: &CaseRow) -> String {
        let key = Key::new("proxy 1")
            .part("image", &row.image_blake3)
            .part("affine", &row.affine)
            .part("plan", &self.plan.proxies);
        let key = with_channels(key, row);
        let key = match row.channels.is_empty() {
            true => key,
            false => key.part("further_channels", &self.plan.further_channels),
        };
        let key = match self.plan.proxies.labels {
            false => key,
            true => key.part("labels", &(&row.label_blake3, &row.labels_annotated)),
        };
        match self.plan.crop {
            Crop::None => key.finish(),
            // Labels may extend the box.
            crop => key.part("crop", &crop).part("label", &row.label_blake3).finish(),
        }
    }
}

/// A key with the images of a case that has several, or is one frame of a file of several.
fn with_channels(key: Key, row: &CaseRow) -> Key {
    match channels::identities(row).as_slice() {
        [(_, None)] => key,
        several => key.part("channels", &several),
    }
}

/// Cases that may be prepared together within `memory` bytes.
pub(crate) fn batches_by_memory<'r, 'c>(
    rows: &'r [&'c CaseRow],
    plan: &Plan,
    memory: u64,
) -> Vec<&'r [&'c CaseRow]> {
    let resampled = |grid: &Grid| {
        let resampled = source::voxels(shape_at(&grid.to_ras(), plan.spacing_mm));
        resampled.saturating_add(plan.proxy_bytes() / source::BYTES_A_VOXEL)
    };
    batches(rows, memory, resampled)
}

/// An image as a plan makes it: in the orientation RAS+, cropped, normalised, at the plan's
/// spacing.
///
/// # Errors
/// [`PrepareError::Resample`] when the resampler refuses; [`PrepareError::Channels`] when the plan
/// is for several images a case.
pub fn prepare_image(image: Volume<f32>, plan: &Plan) -> Result<Volume<f32>, PrepareError> {
    let mut prepared = prepare_images(vec![image], plan)?;
    prepared.pop().ok_or(PrepareError::Channels { expected: plan.channels(), found: 0 })
}

/// As [`prepare_image`], of all images of a case in the order of the plan's channels. Those after
/// the first are on its grid, or resampled to it. All are cropped to one box.
///
/// # Errors
/// As [`prepare_image`].
pub fn prepare_images(images: Vec<Volume<f32>>, plan: &Plan) -> Result<Vec<Volume<f32>>, PrepareError> {
    let (expected, found) = (plan.channels(), images.len());
    let mut images = images.into_iter();
    let first =
        images.next().filter(|_| expected == found).ok_or(PrepareError::Channels { expected, found })?;
    let stated = first.grid;
    let on_first = |image: Volume<f32>| match stated.coincides(&image.grid) {
        true => Volume { grid: stated, voxels: image.voxels }.into_ras(),
        false => image_on(&image, stated).0.into_ras(),
    };
    let further: Vec<Volume<f32>> = images.map(on_first).collect();
    let first = first.into_ras();
    let part = plan.crop.of_channels(&first, &further);
    std::iter::once(first)
        .chain(further)
        .zip(plan.normalisations())
        .map(|(image, normalisation)| normalised_and_resampled(part.of_volume(image), normalisation, plan))
        .collect()
}

fn normalised_and_resampled(
    mut image: Volume<f32>,
    normalisation: &Normalisation,
    plan: &Plan,
) -> Result<Volume<f32>, PrepareError> {
    let shape = checked_shape_at(&image.grid, plan.spacing_mm)?;
    normalise(&mut image, normalisation);
    match plan.resample {
        Resampling::Box => resample_image(image, shape),
        Resampling::Nnunet => Ok(spline::resample_image(&image, shape)),
    }
}

/// The value of all voxels; none where they differ.
fn constant(voxels: &[f32]) -> Option<f32> {
    let first = *voxels.first()?;
    voxels.iter().all(|voxel| *voxel == first).then_some(first)
}

fn report_failures(out: &Path, failures: &[Failure]) -> Result<(), StoreError> {
    let path = out.join(FAILURES_FILE);
    if !failures.is_empty() {
        json::write(&path, &failures)?;
    } else {
        atomic::remove(&SafePath::from(&path))?;
    }
    Ok(())
}

/// Padding is the same in every case, so it counts as likeness: users must know how much of it
/// there is.
fn padding_finding(done: &[Done]) -> Option<Finding> {
    let mean = done.iter().map(|case| case.padded_share).sum::<f64>() / done.len().max(1) as f64;
    (mean > 0.0).then(|| {
        let message = format!(
            "{:.0}% of the proxies' voxels are padding, which makes all cases look alike; \
             `--grid box` has none",
            100.0 * mean
        );
        Finding::new(Code::PaddedProxies, message)
    })
}

/// Finding about labels outside of the crop: the labels of a new image are unknown, so its crop
/// cannot be extended for them.
fn crop_finding(done: &[Done]) -> Option<Finding> {
    let outside = |case: &&Done| case.row.crop_labelled_outside > 0;
    let cases: Vec<&Done> = done.iter().filter(outside).collect();
    let first = cases.first()?;
    let message = format!(
        "in {} of {} cases labels extend beyond the box of `--crop` ({} voxels in {}, the first of them): the box was \
         extended, which is not possible for images without labels; \"crop_labelled_outside\" in {FILE} lists them",
        cases.len(),
        done.len(),
        first.row.crop_labelled_outside,
        first.row.case_id
    );
    Some(Finding::new(Code::CropExtended, message))
}

/// Removes what earlier runs made of cases that are no longer there.
fn remove_strangers(out: &Path, prepared: &[PreparedRow], files: usize) -> Result<(), StoreError> {
    let names: HashSet<&str> =
        prepared.iter().flat_map(|row| row.images.iter().chain(&row.label)).map(String::as_str).collect();
    for folder in [IMAGES, LABELS] {
        let kept = SafePath::new(out, folder)?;
        atomic::retain(&kept, |name| names.contains(format!("{folder}/{name}").as_str()))?;
    }
    let kept = SafePath::new(out, proxies::FOLDER)?;
    atomic::retain(&kept, |name| (0..files).any(|i| name == proxies::file_name(i)))
}
