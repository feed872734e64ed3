//! Proxies: every case on one small common grid with intensities in [0, 1], as Arrow IPC files.
//!
//! `proxies/NNNNN.arrow` holds up to [`ROWS_PER_FILE`] cases in the columns `case_id` and `voxels`,
//! a fixed-size list of float32 in (z, y, x) order; on request also their label maps ([`labels`]).
//! Where cases have several channels, `voxels` is the first and `voxels_NAME` each further one; the
//! metadata's `channels` (JSON) holds their names and mappings then.
//! Rows are numbered across the files by name. The schema's metadata holds `shape` (JSON [z, y,
//! x]), `grid` and `mapping`; the footer's holds, under `row_keys`, for each row the hash of
//! everything it was made from.

mod arrow_file;
pub mod labels;
mod spans;

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, RecordBatch, StringArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Float32Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::FileWriter;
use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;
use pdl_cohort::table::case_row::CaseRow;
use pdl_store::{StoreError, fault, format_version, regular_file, safe_name};
use pdl_volume::Volume;
use rayon::prelude::*;

use crate::PrepareError;
use crate::normalise::Mapping;
use crate::plan::{PROXY_SIDES, Plan, ProxyPlan};
use crate::proxies::arrow_file::{Decoded, decode_checked};
use crate::proxies::labels::{LabelBatch, LabelType, LabelView, ProxyLabels};
use crate::proxies::spans::{padded, spans};
use crate::resample::{Interpolation, resample_windows};

/// The folder's name inside a curation folder.
pub const FOLDER: &str = "proxies";

/// Version of the files' format, which states none: a later one does, in the schema's metadata.
pub const SCHEMA_VERSION: u32 = 1;

/// Maximum number of cases in one file.
pub const ROWS_PER_FILE: usize = 1024;

/// A case on the common grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Proxy {
    /// Intensities in [0, 1], x fastest: a C array (z, y, x).
    pub voxels: Vec<f32>,
    /// The channels after the first, each as `voxels`.
    pub channels: Vec<Vec<f32>>,
    /// Labels, if proxies hold them.
    pub labels: Option<ProxyLabels>,
    /// The fraction of the voxels that the image does not reach.
    pub padded_share: f64,
}

/// Puts a RAS+ image on the common grid, without labels; `percentiles` are its own 0.5th and
/// 99.5th.
///
/// # Errors
/// [`PrepareError::Resample`] if the grid is invalid.
pub fn proxy(image: &Volume<f32>, percentiles: [f64; 2], plan: &ProxyPlan) -> Result<Proxy, PrepareError> {
    let (voxels, padded_share) = mapped(image, percentiles, plan, plan.mapping)?;
    Ok(Proxy { voxels, channels: Vec::new(), labels: None, padded_share })
}

/// The voxels of an image on the common grid, in [0, 1], and the fraction of them that it does not
/// reach.
///
/// # Errors
/// [`PrepareError::Resample`] if the grid is invalid.
pub(crate) fn mapped(
    image: &Volume<f32>,
    percentiles: [f64; 2],
    plan: &ProxyPlan,
    mapping: Mapping,
) -> Result<(Vec<f32>, f64), PrepareError> {
    let spans = spans(&image.grid, plan)?;
    let windows = spans.map(|span| span.window);
    let mut part = resample_windows(&image.voxels, image.grid.shape, windows, [Interpolation::Linear; 3])?;
    let [low, high] = match mapping {
        Mapping::Range { low, high } => [low, high],
        Mapping::ImagePercentiles => percentiles,
    };
    let scale = if high > low { 1.0 / (high - low) } else { 1.0 };
    part.iter_mut().for_each(|v| *v = ((f64::from(*v) - low) * scale).clamp(0.0, 1.0) as f32);
    let padded_share = 1.0 - part.len() as f64 / plan.shape.iter().product::<usize>() as f64;
    Ok((padded(part, spans, plan.shape), padded_share))
}

/// The column of a channel after the first.
fn channel_column(name: &str) -> String {
    format!("voxels_{name}")
}

/// The name of the file that holds the rows from `index * ROWS_PER_FILE` on.
pub fn file_name(index: usize) -> String {
    format!("{index:05}.arrow")
}

/// Whether a file of proxies can have this name; other files in their folder are ignored.
fn is_file_name(name: &str) -> bool {
    let number = name.strip_suffix(".arrow").and_then(|number| number.parse().ok());
    number.is_some_and(|number| name == file_name(number))
}

/// Writes one file of proxies, a few rows at a time.
pub(crate) struct ProxyWriter {
    writer: FileWriter<BufWriter<File>>,
    schema: SchemaRef,
    voxels: usize,
    /// Channels after the first.
    channels: usize,
    /// How label maps are stored, if there are some.
    labels: Option<LabelType>,
    path: PathBuf,
    row_keys: Vec<String>,
}

impl ProxyWriter {
    /// For proxies of `cases`.
    pub(crate) fn create(
        temporary: &Path,
        path: &Path,
        plan: &Plan,
        cases: &[&CaseRow],
    ) -> Result<Self, PrepareError> {
        let further = plan.further_channels.iter().map(|channel| (channel.name.as_str(), channel.mapping));
        let first = plan.first_channel.as_deref().map(|name| (name, plan.proxies.mapping));
        let channels: Vec<(&str, Mapping)> = first.into_iter().chain(further).collect();
        let plan = &plan.proxies;
        let voxels = plan.shape.iter().product::<usize>();
        let labels = plan.labels.then(|| LabelType::for_cases(cases));
        let mut fields = vec![
            Field::new("case_id", DataType::Utf8, false),
            Field::new("voxels", voxel_type(voxels), false),
        ];
        let of_channel =
            |(name, _): &(&str, Mapping)| Field::new(channel_column(name), voxel_type(voxels), false);
        fields.extend(channels.iter().skip(1).map(of_channel));
        fields.extend(labels.into_iter().flat_map(|labels| labels.fields(voxels)));
        let text = |value: serde_json::Result<String>| {
            value.map_err(|source| StoreError::Json { path: path.to_owned(), source })
        };
        let zyx = [plan.shape[2], plan.shape[1], plan.shape[0]];
        let mut facts = HashMap::from([
            ("shape".to_owned(), text(serde_json::to_string(&zyx))?),
            ("grid".to_owned(), text(serde_json::to_string(&(plan.grid, plan.fov_mm)))?),
            ("mapping".to_owned(), text(serde_json::to_string(&plan.mapping))?),
        ]);
        if !channels.is_empty() {
            facts.insert("channels".to_owned(), text(serde_json::to_string(&channels))?);
        }
        let schema = Arc::new(Schema::new(fields).with_metadata(facts));
        let file = File::create(temporary).map_err(StoreError::io("write the proxies", path))?;
        let writer = FileWriter::try_new_buffered(file, &schema).map_err(|e| unwritten(path, &e))?;
        Ok(Self {
            writer,
            schema,
            voxels,
            channels: channels.len().saturating_sub(1),
            labels,
            path: path.to_owned(),
            row_keys: Vec::new(),
        })
    }

    pub(crate) fn write(&mut self, rows: Vec<ProxyRow>) -> Result<(), PrepareError> {
        if rows.is_empty() {
            return Ok(());
        }
        let ids: StringArray = rows.iter().map(|row| Some(row.case_id.as_str())).collect();
        let problem = |e: ArrowError| unwritten(&self.path, &e);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(ids)];
        columns.push(self.lists(rows.iter().map(|row| &row.proxy.voxels)).map_err(problem)?);
        for channel in 0..self.channels {
            let of_channel = rows.iter().filter_map(|row| row.proxy.channels.get(channel));
            columns.push(self.lists(of_channel).map_err(problem)?);
        }
        if let Some(labels) = self.labels {
            let of_rows: Vec<&ProxyLabels> =
                rows.iter().filter_map(|row| row.proxy.labels.as_ref()).collect();
            columns.extend(labels.columns(&of_rows, self.voxels).map_err(problem)?);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(problem)?;
        self.writer.write(&batch).map_err(problem)?;
        self.row_keys.extend(rows.into_iter().map(|row| row.key));
        Ok(())
    }

    /// A list of voxels for each row.
    fn lists<'a>(&self, rows: impl Iterator<Item = &'a Vec<f32>>) -> Result<ArrayRef, ArrowError> {
        let flat: Vec<f32> = rows.flatten().copied().collect();
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let values = Arc::new(Float32Array::from(flat));
        Ok(Arc::new(FixedSizeListArray::try_new(item, self.voxels as i32, values, None)?))
    }

    /// Ends the file; the keys of its rows go into the footer.
    pub(crate) fn finish(mut self) -> Result<(), PrepareError> {
        let keys = serde_json::to_string(&self.row_keys)
            .map_err(|source| StoreError::Json { path: self.path.clone(), source })?;
        self.writer.write_metadata("row_keys", keys);
        self.writer.finish().map_err(|e| unwritten(&self.path, &e))
    }
}

/// One case for a [`ProxyWriter`].
pub(crate) struct ProxyRow {
    pub case_id: String,
    pub key: String,
    pub proxy: Proxy,
}

fn voxel_type(voxels: usize) -> DataType {
    DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float32, false)), voxels as i32)
}

fn refused(path: &Path, error: &dyn std::fmt::Display) -> PrepareError {
    PrepareError::Proxies { path: path.to_owned(), problem: error.to_string() }
}

/// Why proxies could not be written: the machine's error, where there is one.
fn unwritten(path: &Path, error: &ArrowError) -> PrepareError {
    match fault::machine_error(error) {
        Some(source) => StoreError::io("write the proxies", path)(source).into(),
        None => refused(path, error),
    }
}

/// All proxies of a curation folder, memory-mapped.
#[derive(Debug)]
pub struct Proxies {
    /// Voxels along z, y, x: the order in which they lie.
    pub shape_zyx: [usize; 3],
    /// The region that a proxy covers, from the files' metadata.
    pub grid: String,
    /// The case of each row.
    pub case_ids: Vec<String>,
    /// For each row the hash of all its inputs.
    pub row_keys: Vec<String>,
    /// Names of the channels, in order; empty where cases have one image.
    pub channel_names: Vec<String>,
    /// For each batch its voxels, a column for each channel.
    batches: Vec<Vec<Float32Array>>,
    /// Whether the proxies have label maps.
    labelled: bool,
    /// For each batch, if there are some.
    labels: Vec<LabelBatch>,
    /// For each row its batch and its place there.
    places: Vec<(usize, usize)>,
    maps: Vec<Arc<Mmap>>,
}

impl Proxies {
    /// Maps every file of `OUT/proxies`.
    ///
    /// # Errors
    /// [`PrepareError::Proxies`] if there is none, or one is damaged or of another grid than the
    /// others.
    pub fn open(out: &Path) -> Result<Self, PrepareError> {
        let folder = out.join(FOLDER);
        let mut paths: Vec<PathBuf> = fault::list(&folder)
            .map_err(StoreError::io("list the proxies (has `pdl prepare` run?)", &folder))?
            .iter()
            .map(|entry| entry.path())
            .filter(|path| is_file_name(&path.file_name().unwrap_or_default().to_string_lossy()))
            .collect();
        paths.sort();
        let mut all: Option<Self> = None;
        for path in &paths {
            let part = Self::open_file(path)?;
            match &mut all {
                None => all = Some(part),
                Some(all) => all.append(part).map_err(|problem| refused(path, &problem))?,
            }
        }
        all.ok_or_else(|| refused(&folder, &"there are none"))
    }

    /// Maps the first file of `OUT/proxies`.
    ///
    /// # Errors
    /// As [`Proxies::open`].
    pub fn open_first(out: &Path) -> Result<Self, PrepareError> {
        Self::open_file(&out.join(FOLDER).join(file_name(0)))
    }

    /// Maps one file.
    ///
    /// # Errors
    /// As [`Proxies::open`]; [`PrepareError::Store`] when the system does not give it, or a newer
    /// pdl wrote it.
    pub(crate) fn open_file(path: &Path) -> Result<Self, PrepareError> {
        let map = fault::retried(|| map(path)).map_err(StoreError::io("read the proxies", path))?;
        let buffer = Buffer::from(bytes::Bytes::from_owner(Mapped(Arc::clone(&map))));
        let decoded = decode_checked(&buffer).map_err(|problem| refused(path, &problem))?;
        let version = decoded.2.get(format_version::TABLE_KEY).map(String::as_str);
        format_version::check_text(path, version, SCHEMA_VERSION)?;
        Self::decoded(map, decoded).map_err(|problem| refused(path, &problem))
    }

    fn decoded(map: Arc<Mmap>, (schema, batches, metadata): Decoded) -> Result<Self, String> {
        let fact = |key: &str| metadata.get(key).ok_or(format!("no metadata '{key}'"));
        let shape_zyx: [usize; 3] = serde_json::from_str(fact("shape")?).map_err(|e| e.to_string())?;
        let row_keys: Vec<String> = serde_json::from_str(fact("row_keys")?).map_err(|e| e.to_string())?;
        if !shape_zyx.iter().all(|side| PROXY_SIDES.contains(side)) {
            return Err(format!("their shape is {shape_zyx:?}"));
        }
        let voxels = shape_zyx.iter().product::<usize>();
        let channels: Vec<(String, Mapping)> = match metadata.get("channels") {
            Some(text) => serde_json::from_str(text).map_err(|e| e.to_string())?,
            None => Vec::new(),
        };
        let of_channels = metadata.get("channels").map_or(String::new(), |text| format!(" {text}"));
        let grid = format!("{} {}{of_channels}", fact("grid")?, fact("mapping")?);
        let channel_names: Vec<String> = channels.into_iter().map(|(name, _)| name).collect();
        if !channel_names.iter().all(|name| safe_name::is_safe(name)) {
            return Err("a name of a channel cannot be".to_owned());
        }
        let columns: Vec<String> = std::iter::once("voxels".to_owned())
            .chain(channel_names.iter().skip(1).map(|name| channel_column(name)))
            .collect();
        for name in &columns {
            if schema.field_with_name(name).map_err(|e| e.to_string())?.data_type() != &voxel_type(voxels) {
                return Err(format!("the voxels do not fill {shape_zyx:?}"));
            }
        }
        let mut all = Self {
            shape_zyx,
            grid,
            case_ids: vec![],
            row_keys,
            channel_names,
            batches: vec![],
            labelled: schema.field_with_name(labels::COLUMN).is_ok(),
            labels: vec![],
            places: vec![],
            maps: vec![map],
        };
        for (number, batch) in batches.iter().enumerate() {
            let column = |name: &str| batch.column_by_name(name).filter(|column| column.null_count() == 0);
            let ids =
                column("case_id").and_then(|ids| ids.as_string_opt::<i32>()).ok_or("case_id is not text")?;
            let mut of_channels = Vec::with_capacity(columns.len());
            for name in &columns {
                let lists = column(name).and_then(|lists| lists.as_fixed_size_list_opt());
                let lists = lists.ok_or("voxels are no lists")?;
                let values =
                    lists.values().as_primitive_opt::<Float32Type>().ok_or("voxels are no float32")?;
                if values.len() != ids.len() * voxels {
                    return Err("rows and voxels differ in number".to_owned());
                }
                of_channels.push(values.clone());
            }
            all.case_ids.extend(ids.iter().map(|id| id.unwrap_or_default().to_owned()));
            all.places.extend((0..ids.len()).map(|row| (number, row)));
            all.batches.push(of_channels);
            if all.labelled {
                all.labels.push(LabelBatch::read(batch, voxels)?);
            }
        }
        if all.row_keys.len() != all.case_ids.len() {
            return Err("row_keys and rows differ in number".to_owned());
        }
        Ok(all)
    }

    fn append(&mut self, other: Self) -> Result<(), &'static str> {
        if self.shape_zyx != other.shape_zyx || self.grid != other.grid {
            return Err("it has another grid or mapping than the files before");
        }
        if self.labelled != other.labelled {
            return Err("only some files have label maps");
        }
        let offset = self.batches.len();
        self.places.extend(other.places.into_iter().map(|(batch, row)| (batch + offset, row)));
        self.batches.extend(other.batches);
        self.labels.extend(other.labels);
        self.maps.extend(other.maps);
        self.case_ids.extend(other.case_ids);
        self.row_keys.extend(other.row_keys);
        Ok(())
    }

    /// Whether the voxels of some rows are intensities, which lie in [0, 1]; those of a modified
    /// file may not be.
    ///
    /// # Panics
    /// When there are no such rows.
    pub fn are_intensities(&self, rows: Range<usize>) -> bool {
        let is_one = |voxels: &[f32]| voxels.iter().all(|voxel| (0.0..=1.0).contains(voxel));
        rows.into_par_iter().all(|row| (0..self.channels()).all(|channel| is_one(self.channel(row, channel))))
    }

    /// Number of cases.
    pub fn len(&self) -> usize {
        self.case_ids.len()
    }

    /// Whether there are no cases.
    pub fn is_empty(&self) -> bool {
        self.case_ids.is_empty()
    }

    /// The voxels of a row, those of its first channel, in [0, 1], a C array of
    /// [`Proxies::shape_zyx`].
    ///
    /// # Panics
    /// If there is no such row.
    pub fn voxels(&self, row: usize) -> &[f32] {
        self.channel(row, 0)
    }

    /// Number of channels of each case.
    pub fn channels(&self) -> usize {
        self.channel_names.len().max(1)
    }

    /// The voxels of one channel of a row; channel 0 is [`Proxies::voxels`].
    ///
    /// # Panics
    /// If there is no such row or channel.
    pub fn channel(&self, row: usize, channel: usize) -> &[f32] {
        let (batch, place) = self.places[row];
        let voxels = self.shape_zyx.iter().product::<usize>();
        &self.batches[batch][channel].values()[place * voxels..(place + 1) * voxels]
    }

    /// Whether every case has a label map.
    pub fn has_labels(&self) -> bool {
        self.labelled
    }

    /// The label map of a row, where proxies hold them.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn labels(&self, row: usize) -> Option<LabelView<'_>> {
        let (batch, place) = self.places[row];
        self.labels.get(batch).map(|labels| labels.row(place, self.shape_zyx.iter().product()))
    }

    /// Locations of the voxels of a row, channel by channel, and then of its label map if any: the
    /// number of the file and the byte range in it.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn places(&self, row: usize) -> Vec<(usize, Range<usize>)> {
        let labels = self.labels(row).map(|labels| self.place(labels.voxels.bytes()));
        let channels = (0..self.channels()).map(|channel| self.channel(row, channel));
        channels.map(|voxels| self.place(bytemuck::cast_slice(voxels))).chain(labels).collect()
    }

    /// Location of bytes: the number of the file and the range in it.
    fn place(&self, bytes: &[u8]) -> (usize, Range<usize>) {
        let start = bytes.as_ptr().addr();
        let first = |map: &Arc<Mmap>| map.as_ptr().addr();
        let file = self.maps.iter().position(|map| (first(map)..first(map) + map.len()).contains(&start));
        let file = file.unwrap_or(usize::MAX); // never: every row is decoded in place, out of a map
        let offset = self.maps.get(file).map_or(0, |map| start - first(map));
        (file, offset..offset + bytes.len())
    }

    /// Releases the memory of the voxels and label maps of `rows`; they are read from the files
    /// again on the next access.
    ///
    /// # Panics
    /// When there are no such rows.
    #[expect(unsafe_code, reason = "memory map")]
    pub fn release(&self, rows: Range<usize>) {
        #[cfg(unix)]
        for (file, bytes) in rows.flat_map(|row| self.places(row)) {
            let Some(map) = self.maps.get(file) else { continue };
            // SAFETY: the map shows a file, read-only: dropped pages come back with the same bytes.
            // An error is harmless: the pages stay.
            let _ =
                unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, bytes.start, bytes.len()) };
        }
        #[cfg(not(unix))]
        let _ = rows;
    }
}

/// Keeps a map for as long as a buffer shows its bytes.
struct Mapped(Arc<Mmap>);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[expect(unsafe_code, reason = "memory map")]
fn map(path: &Path) -> std::io::Result<Arc<Mmap>> {
    let file = regular_file::open(path)?;
    // SAFETY: proxies are written to a temporary name and renamed, never changed in place, and the
    // folder's lock keeps other runs out; a file replaced by a rename keeps its mapped content.
    Ok(Arc::new(unsafe { Mmap::map(&file) }?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::GridKind;
    use pdl_volume::{Affine, Grid, Orientation};

    #[test]
    fn what_a_full_disk_does_not_take_is_the_machines_error() {
        let full = ArrowError::IoError("full".to_owned(), std::io::Error::from_raw_os_error(28));
        assert!(fault::machine_error(&unwritten(Path::new("p"), &full)).is_some());
        let other = unwritten(Path::new("p"), &ArrowError::DivideByZero);
        assert!(fault::machine_error(&other).is_none(), "{other}");
    }

    fn ramp(shape: [usize; 3], spacing: [f64; 3]) -> Volume<f32> {
        let grid = Grid::new(shape, Affine::from_orientation(Orientation::RAS, spacing, shape));
        Volume::new(grid, (0..grid.len()).map(|i| (i % shape[0]) as f32).collect()).unwrap()
    }

    fn plan(fov_mm: Option<[f64; 3]>) -> ProxyPlan {
        let grid = if fov_mm.is_some() { GridKind::Fov } else { GridKind::Box };
        let mapping = Mapping::Range { low: 0.0, high: 15.0 };
        ProxyPlan { shape: [8, 8, 8], grid, fov_mm, mapping, labels: false }
    }

    #[test]
    fn a_box_is_stretched_about_its_centre() {
        let proxy = proxy(&ramp([16, 4, 4], [1.0; 3]), [0.0, 1.0], &plan(None)).unwrap();
        assert_eq!(proxy.padded_share, 0.0);
        // Cell 3 of 8 covers voxels 6 and 7, cell 4 voxels 8 and 9.
        assert!((proxy.voxels[3] - 6.5 / 15.0).abs() < 1e-3);
        assert!((proxy.voxels[4] - 8.5 / 15.0).abs() < 1e-3);
        assert!((proxy.voxels[3] + proxy.voxels[4] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_field_of_view_keeps_millimetres_and_tells_its_padding() {
        // 8 x 16 x 16 mm in a field of 16 mm: half of x is padding, cells are 2 mm.
        let proxy = proxy(&ramp([8, 16, 16], [1.0; 3]), [0.0, 1.0], &plan(Some([16.0; 3]))).unwrap();
        assert!((proxy.padded_share - 0.5).abs() < 1e-12);
        assert_eq!(proxy.voxels[0..2], [0.0, 0.0]);
        assert_eq!(proxy.voxels[6..8], [0.0, 0.0]);
        assert!(proxy.voxels[2..6].windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_field_of_view_cuts_what_is_longer_and_refuses_what_is_a_speck_in_it() {
        // The middle 8 of 16 mm, a voxel each.
        let proxy = proxy(&ramp([16, 8, 8], [1.0; 3]), [0.0, 1.0], &plan(Some([8.0; 3]))).unwrap();
        assert_eq!(proxy.padded_share, 0.0);
        assert!((0..8).all(|i| (proxy.voxels[i] - (i + 4) as f32 / 15.0).abs() < 1e-6));
        let speck = super::proxy(&ramp([4; 3], [1.0; 3]), [0.0, 1.0], &plan(Some([80.0; 3])));
        assert!(speck.unwrap_err().to_string().contains("--field-of-view"));
    }
}
