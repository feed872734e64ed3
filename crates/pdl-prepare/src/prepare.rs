//! The prepare stage: fingerprint, plan, prepared volumes and proxies.

use std::collections::HashSet;
use std::path::Path;

use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_findings::Finding;
use pdl_io::nifti;
use pdl_store::hash::Key;
use pdl_store::journal::{Journal, Stamp};
use pdl_store::memory::MemoryLimit;
use pdl_store::progress::{self, StageContext};
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic};
use pdl_volume::{Grid, Volume};
use rayon::prelude::*;

use crate::PrepareError;
use crate::channels::{self, with_channels};
use crate::crop::Crop;
use crate::failure::{self, Failure};
use crate::label_loss::{self, PreparedLabel};
use crate::normalise::Normalisation;
use crate::parameters::{PrepareParameters, Resampling};
use crate::pinned_plan;
use crate::plan::Plan;
use crate::prepare_findings;
use crate::prepare_image::normalised_and_resampled;
use crate::prepared_row::{self, PreparedRow};
use crate::proxies::labels::ProxyLabels;
use crate::proxies::{self, ProxyRow, ProxyWriter, ROWS_PER_FILE};
use crate::remote_results;
use crate::resample::{checked_shape_at, resample_labels, shape_at};
use crate::source::{self, Source, batches};
use crate::spline;

const IMAGES: &str = "prepared/images";
const LABELS: &str = "prepared/labels";

/// The stage's own journals, below `.pdl/`: of the prepared volumes, and of the files of proxies.
pub(crate) const JOURNALS: [&str; 2] = ["prepare", "proxies"];

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
    atomic::sweep(&SafePath::root(out))?;
    for folder in [IMAGES, LABELS, proxies::FOLDER] {
        atomic::sweep(&SafePath::new(out, folder)?)?;
    }
    remote_results::collect(out)?;
    let (plan, mut findings) = pinned_plan::make(out, &rows, parameters, replan, run)?;
    run.memory_limit().alone().take(plan.proxy_bytes()).map_err(PrepareError::ProxyMemory)?;
    let stage = Stage::open(out, &plan, JOURNALS, channels::separator(&rows), run)?;
    run.progress.begin("preparing cases", rows.len() as u64);
    let mut done = Vec::with_capacity(rows.len());
    for (index, chunk) in rows.chunks(ROWS_PER_FILE).enumerate() {
        done.extend(stage.chunk(index, chunk)?);
    }
    let failures: Vec<Failure> = done.iter().filter_map(|case| case.as_ref().err().cloned()).collect();
    let done: Vec<PreparedCase> = done.into_iter().flatten().collect();
    if let (true, Some(first)) = (done.is_empty(), failures.first()) {
        return Err(PrepareError::AllFailed { count: failures.len(), first: first.message.clone() });
    }
    failure::write(out, &failures)?;
    let written = done.iter().filter(|case| case.fresh).count();
    let padded_shares: Vec<f64> = done.iter().map(|case| case.padded_share).collect();
    let prepared: Vec<PreparedRow> = done.into_iter().map(|case| case.row).collect();
    findings.extend(prepare_findings::padding(&padded_shares));
    findings.extend(prepare_findings::crop(&prepared));
    let left = prepared.iter().map(|row| (row.case_id.as_str(), row.labels.as_slice()));
    findings.extend(label_loss::findings(left, &cases.label_names));
    prepared_row::write(out, &prepared, &findings)?;
    remove_strangers(out, &prepared, rows.len().div_ceil(ROWS_PER_FILE))?;
    if failures.is_empty() {
        remote_results::remove(out)?;
    }
    Ok(Prepared { plan, findings, written, cases: prepared.len(), failures })
}

/// Result of preparing a case.
pub(crate) struct PreparedCase {
    row: PreparedRow,
    padded_share: f64,
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

impl<'a> Stage<'a> {
    /// Opens the two journals, of volumes and of proxies, by their names below `.pdl/`.
    pub(crate) fn open(
        out: &'a Path,
        plan: &'a Plan,
        [volumes, proxies]: [&str; 2],
        separator: String,
        run: StageContext<'a>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            out,
            plan,
            journal: Journal::open(out, volumes, run.hash_check)?,
            proxy_journal: Journal::open(out, proxies, run.hash_check)?,
            run,
            memory: run.memory(),
            separator,
        })
    }
}

impl Stage<'_> {
    /// Prepares the cases of one file of proxies, and writes that file unless it is valid.
    fn chunk(
        &self,
        index: usize,
        rows: &[&CaseRow],
    ) -> Result<Vec<Result<PreparedCase, Failure>>, PrepareError> {
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
                    Ok(PreparedCase { row, padded_share, fresh })
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
                Err(error) => match failure::of_machine(row, &error) {
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

    pub(crate) fn case_and_proxy(&self, row: &CaseRow) -> Result<(PreparedCase, ProxyRow), PrepareError> {
        let submitted = remote_results::proxy(self.out, row, &self.proxy_key(row), self.run.hash_check)?;
        let (proxy, source) = match submitted {
            Some(proxy) => (proxy, None),
            None => {
                let source = self.source(row)?;
                let percentiles = row.intensities.percentiles();
                let mut proxy = proxies::proxy(&source.image, percentiles, &self.plan.proxies)?;
                let further = row.channels.iter().skip(1).zip(&self.plan.further_channels);
                for ((channel, planned), image) in further.zip(&source.channels) {
                    let percentiles = channel.intensities.percentiles();
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
        let done = PreparedCase { row: prepared, padded_share: proxy.padded_share, fresh };
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

/// The value of all voxels; none where they differ.
fn constant(voxels: &[f32]) -> Option<f32> {
    let first = *voxels.first()?;
    voxels.iter().all(|voxel| *voxel == first).then_some(first)
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
