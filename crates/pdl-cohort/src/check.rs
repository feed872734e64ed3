//! Reads one case and checks it; problems become findings.

pub(crate) mod cross_case_checks;
pub(crate) mod extra_columns;
pub mod size_check;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_io::{Image, Labels, Part, ReadError, Unread};
use pdl_store::memory::{MemoryError, MemoryShare};
use pdl_store::plural::counted;
use pdl_store::{StoreError, hash};
use pdl_volume::statistics::Statistics;
use pdl_volume::{Affine, Grid, LabelError, LabelReading, Orientation, Volume, count_labels, image_on};
use serde::{Deserialize, Serialize};

use crate::discover::DiscoveredCase;
use crate::import::cohort_channels::CohortChannels;
use crate::import::stacks;
use crate::table::case_row::LabelVoxels;

/// Facts and findings from the files of one case, independent of the rest of the cohort.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub shape: Vec<u32>,
    pub spacing_mm: Vec<f64>,
    pub affine: Vec<f64>,
    pub orientation: String,
    pub voxel_type: String,
    pub labels: Vec<LabelVoxels>,
    /// min, max, mean, std, p00_5, p99_5; none for a case that could not be read (JSON has no NaN).
    pub intensity: Option<[f64; 6]>,
    pub image_blake3: String,
    pub label_blake3: Option<String>,
    /// The files of the image and those of the label, as far as they could be read.
    #[serde(skip)]
    pub parts: [Vec<Part>; 2],
    /// The channels after the first, in order.
    #[serde(default)]
    pub channels: Vec<CheckedChannel>,
    /// BLAKE3 hash of the image's shape and values, however its file stores them; empty where they
    /// could not be read.
    pub voxels_blake3: String,
    pub looks_like_ct: bool,
    pub rejected: bool,
    pub findings: Vec<Finding>,
}

/// Facts from the file of one channel.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CheckedChannel {
    pub voxel_type: String,
    pub image_blake3: String,
    /// min, max, mean, std, p00_5, p99_5 on the grid of the first channel.
    pub intensity: Option<[f64; 6]>,
    pub looks_like_ct: bool,
    /// Files, as far as they could be read.
    #[serde(skip)]
    pub parts: Vec<Part>,
}

impl Checked {
    fn nothing() -> Self {
        Self {
            shape: Vec::new(),
            spacing_mm: Vec::new(),
            affine: Vec::new(),
            orientation: String::new(),
            voxel_type: String::new(),
            labels: Vec::new(),
            intensity: None,
            image_blake3: String::new(),
            label_blake3: None,
            parts: [Vec::new(), Vec::new()],
            channels: Vec::new(),
            voxels_blake3: String::new(),
            looks_like_ct: false,
            rejected: false,
            findings: Vec::new(),
        }
    }

    /// A case whose files are not read.
    pub(crate) fn refused() -> Self {
        Self { rejected: true, ..Self::nothing() }
    }

    /// A case with files whose paths cannot be written into a table.
    pub(crate) fn unnamed(message: String) -> Self {
        let mut case = Self::nothing();
        case.reject(Code::NameNotText, message);
        case
    }

    /// A case whose files need more memory than allowed.
    ///
    /// # Errors
    /// [`StoreError::Machine`] if the system refuses memory within the limit, or an error of the
    /// machine prevents a file from being hashed.
    pub(crate) fn too_large(found: &DiscoveredCase, error: MemoryError) -> Result<Self, StoreError> {
        if let Some(error) = StoreError::no_memory(&found.what(), error) {
            return Err(error);
        }
        let hash = |path: &Option<PathBuf>| path.as_deref().map_or(Ok(None), |path| hash_if_any(found, path));
        Ok(Self {
            image_blake3: hash(&found.image)?.unwrap_or_default(),
            label_blake3: hash(&found.label)?,
            rejected: true,
            findings: vec![too_large(error)],
            ..Self::nothing()
        })
    }

    fn warn(&mut self, code: Code, message: impl Into<String>) {
        self.findings.push(Finding::new(code, message));
    }

    fn reject(&mut self, code: Code, message: impl Into<String>) {
        self.warn(code, message);
        self.rejected = true;
    }
}

/// Geometry that the user states, which overrides the files.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StatedGrids {
    /// Directions in which the stored axes grow.
    pub orientation: Option<Orientation>,
    /// Whether label maps lie on their images' grids whatever their own affines say.
    pub copy_affine: bool,
}

/// Finding about a case that needs more memory than allowed.
pub(crate) fn too_large(error: MemoryError) -> Finding {
    let advice = "if it is a volume of that size, allow more (--memory); else its header is wrong";
    Finding::new(Code::TooLarge, format!("{error}: {advice}"))
}

/// Reads the files of a case and checks each, then one against the other.
///
/// # Errors
/// [`StoreError::Machine`] if an error of the machine prevents one from being read: the state of
/// the case is then unknown. The inner [`MemoryError`] if they need more memory than allowed.
pub(crate) fn check(
    found: &DiscoveredCase,
    stated: StatedGrids,
    channels: &CohortChannels,
    memory: &MemoryShare<'_>,
) -> Result<Result<Checked, MemoryError>, StoreError> {
    let mut case = Checked::nothing();
    if let Some(refused) = found.refused_stack()? {
        case.reject(refused.code, refused.message);
        return Ok(Ok(case));
    }
    case.findings.extend(found.assumed_axes()?);
    let image = || found.image.as_deref().map(|path| (path, stacks::read_image(path, found.stacks, memory)));
    let labels = || {
        found
            .label
            .as_deref()
            .map(|path| (path, stacks::read_labels(path, found.stacks, LabelReading::default(), memory)))
    };
    let (image, labels) = if memory.is_alone() { (image(), labels()) } else { rayon::join(image, labels) };
    let image = image.map(|(path, read)| or_unreadable(found, path, read, reason)).transpose()?;
    let labels = labels.map(|(path, read)| or_unreadable(found, path, read, reason_of_labels)).transpose()?;
    let image_refused = image.as_ref().and_then(|read| read.as_ref().err()?.memory);
    let labels_refused = labels.as_ref().and_then(|read| read.as_ref().err()?.memory);
    if let Some(error) = image_refused.or(labels_refused) {
        return Ok(Err(error));
    }
    if image.is_none() {
        case.reject(Code::NoImage, "a label without an image");
    }
    // Grids of channels are compared as their files state them.
    let stored_grid = image.as_ref().and_then(|read| read.as_ref().ok()).map(|image| image.volume.grid);
    let image = image.and_then(|read| take_image(&mut case, read, stated.orientation));
    if labels.is_none() && !found.findings.iter().any(|finding| finding.code == Code::NoLabel) {
        case.warn(Code::NoLabel, "an image without a label: it is compared, and not trained on");
    }
    let labels = labels.and_then(|read| take_labels(&mut case, read));
    if let (Some(image), Some(labels)) = (&image, &labels) {
        compare_grids(&mut case, image, labels, stated, found.channels.len() > 1);
    }
    drop(image);
    let overridden = stated.orientation.is_some();
    let further = FurtherChannels { found, channels, grid: stored_grid, overridden };
    for (number, path) in found.channels.iter().skip(1) {
        // One at a time: what it takes is given back before the next is read.
        if let Err(error) = further.check(&mut case, *number, path, &memory.part())? {
            return Ok(Err(error));
        }
    }
    Ok(Ok(case))
}

/// The channels of a case after the first.
struct FurtherChannels<'a> {
    found: &'a DiscoveredCase,
    channels: &'a CohortChannels,
    /// Grid of the first channel, if it could be read.
    grid: Option<Grid>,
    /// Whether the user's orientation overrides those of all files.
    overridden: bool,
}

impl FurtherChannels<'_> {
    /// Reads one and records its findings; the inner [`MemoryError`] if it needs more memory than
    /// allowed.
    fn check(
        &self,
        case: &mut Checked,
        number: u32,
        path: &Path,
        memory: &MemoryShare<'_>,
    ) -> Result<Result<(), MemoryError>, StoreError> {
        let name = self.channels.name(number);
        let read = stacks::read_image(path, self.found.stacks, memory);
        let image = match or_unreadable(self.found, path, read, reason)? {
            Ok(image) => image,
            Err(Unreadable { memory: Some(error), .. }) => return Ok(Err(error)),
            Err(Unreadable { reason, parts, .. }) => {
                case.reject(Code::UnreadableImage, format!("channel {name}: {reason}"));
                let image_blake3 = parts.first().map_or(String::new(), |part| part.blake3.clone());
                case.channels.push(CheckedChannel { image_blake3, parts, ..CheckedChannel::default() });
                return Ok(Ok(()));
            }
        };
        let Image { volume, voxel_type, blake3, parts, .. } = image;
        let on_grid = match self.on_grid(case, name, volume, memory) {
            Ok(volume) => volume,
            Err(error) => return Ok(Err(error)),
        };
        let mut own = Checked::nothing();
        if let Some(volume) = on_grid {
            measure(&mut own, &volume.voxels);
        }
        case.rejected |= own.rejected;
        let named =
            |finding: Finding| Finding { message: format!("channel {name}: {}", finding.message), ..finding };
        case.findings.extend(own.findings.into_iter().map(named));
        case.channels.push(CheckedChannel {
            voxel_type,
            image_blake3: blake3,
            intensity: own.intensity,
            looks_like_ct: own.looks_like_ct,
            parts,
        });
        Ok(Ok(()))
    }

    /// The channel on the grid of the first; `None` if it lies on another and is not resampled.
    fn on_grid(
        &self,
        case: &mut Checked,
        name: &str,
        volume: Volume<f32>,
        memory: &MemoryShare<'_>,
    ) -> Result<Option<Volume<f32>>, MemoryError> {
        let Some(grid) = self.grid else { return Ok(None) };
        if grid.coincides(&volume.grid) || self.overridden && grid.shape == volume.grid.shape {
            return Ok(Some(volume));
        }
        let (of_channel, of_first) = (grid_text(&volume.grid), grid_text(&grid));
        let apart = corners_apart_mm(&volume.grid, &grid);
        let grids = format!(
            "channel {name} has {of_channel}, the first {of_first}, and corners are {apart:.3} mm apart"
        );
        if !self.channels.resample || self.overridden {
            let advice = "(--resample-channels resamples it)";
            case.reject(Code::ChannelGridMismatch, format!("{grids} {advice}"));
            return Ok(None);
        }
        memory.take_each(grid.len() as u64, size_of::<f32>() as u64)?;
        let (volume, outside) = image_on(&volume, grid);
        if outside == 1.0 {
            case.reject(Code::ChannelGridMismatch, format!("{grids}: they have no place in common"));
            return Ok(None);
        }
        let beyond =
            format!("{:.1}% of the first are outside of it and get its smallest value", 100.0 * outside);
        case.warn(Code::ChannelResampled, format!("{grids}: it was resampled; {beyond}"));
        Ok(Some(volume))
    }
}

fn grid_text(grid: &Grid) -> String {
    let ([nx, ny, nz], [x, y, z]) = (grid.shape, grid.spacing_mm());
    format!("{nx} x {ny} x {nz} voxels of {x:.2} x {y:.2} x {z:.2} mm")
}

fn take_image(
    case: &mut Checked,
    read: Result<Image, Unreadable>,
    orientation: Option<Orientation>,
) -> Option<Image> {
    let mut image = match read {
        Ok(image) => image,
        Err(Unreadable { reason, parts, .. }) => {
            case.image_blake3 = parts.first().map_or(String::new(), |part| part.blake3.clone());
            case.parts[0] = parts;
            case.reject(Code::UnreadableImage, reason);
            return None;
        }
    };
    case.image_blake3.clone_from(&image.blake3);
    case.parts[0].clone_from(&image.parts);
    if let Some(orientation) = orientation {
        let grid = &mut image.volume.grid;
        grid.affine = Affine::from_orientation(orientation, grid.spacing_mm(), grid.shape);
        case.warn(
            Code::OrientationOverridden,
            format!("its orientation is {orientation}, as stated by --orientation"),
        );
    } else {
        case.findings.extend(image.findings.iter().cloned());
    }
    let grid = &image.volume.grid;
    case.shape = grid.shape.iter().map(|n| *n as u32).collect();
    case.spacing_mm = grid.spacing_mm().to_vec();
    case.affine = grid.affine.to_row_major();
    case.orientation = grid.orientation().to_string();
    case.voxel_type.clone_from(&image.voxel_type);
    if let Some(problem) = size_check::problem(grid) {
        case.reject(Code::ImplausibleSize, problem);
    }
    if let Some(shear) = size_check::shear(grid) {
        case.warn(Code::ShearedAxes, shear);
    }
    let voxels = &image.volume.voxels;
    let hashed = || hash::of_voxels(grid.shape, voxels);
    let (voxels_blake3, ()) = rayon::join(hashed, || measure(case, voxels));
    case.voxels_blake3 = voxels_blake3;
    Some(image)
}

fn measure(case: &mut Checked, voxels: &[f32]) {
    let wrong = voxels.iter().filter(|v| !v.is_finite()).count();
    if wrong > 0 {
        let verb = if wrong == 1 { "is" } else { "are" };
        case.reject(
            Code::NotFinite,
            format!("{} {verb} NaN or infinite, or too large for 32 bits", counted(wrong, "voxel")),
        );
        return;
    }
    let Some(s) = Statistics::of(voxels) else { return };
    case.intensity = Some([s.min, s.max, s.mean, s.std, s.p00_5, s.p99_5]);
    // Hounsfield units are whole, reach down to air (-1000) and do not leave the scanners' range.
    case.looks_like_ct = s.min <= -500.0 && s.min >= -4096.0 && voxels.iter().all(|v| *v as i32 as f32 == *v);
    if s.min == s.max {
        case.reject(Code::ConstantImage, format!("every voxel is {}", s.min));
    }
}

fn take_labels(case: &mut Checked, read: Result<Labels, Unreadable>) -> Option<Labels> {
    let labels = match read {
        Ok(labels) => labels,
        Err(Unreadable { reason, parts, .. }) => {
            case.label_blake3 = parts.first().map(|part| part.blake3.clone());
            case.parts[1] = parts;
            case.reject(Code::UnreadableLabel, reason);
            return None;
        }
    };
    case.label_blake3 = Some(labels.blake3.clone());
    case.findings.extend(labels.rounding());
    case.parts[1].clone_from(&labels.parts);
    case.labels = count_labels(&labels.map)
        .into_iter()
        .map(|count| LabelVoxels { value: count.value, voxels: count.voxels })
        .collect();
    if is_blurred_mask(&case.labels) {
        let message = format!(
            "its label map has {} values, of which {WHITE} has most voxels and the others lie between: a mask that was \
             resized, or saved as JPEG. Save it with 0 and {WHITE} alone, or take the voxels of {WHITE} by --structures \
             {WHITE}=NAME",
            case.labels.len()
        );
        case.reject(Code::UnreadableLabel, message);
    }
    Some(labels)
}

/// The value of a mask in files of pictures.
const WHITE: u16 = 255;
/// Values from which on a map may be one of grey values.
const FEWEST_GREYS: usize = 8;

/// Whether labels are the grey values of a mask that was interpolated: 255 has most voxels, and the
/// others are not numbered from 1, as those of structures are beside 255 for voxels to ignore.
fn is_blurred_mask(labels: &[LabelVoxels]) -> bool {
    let Some((white, others)) = labels.split_last() else { return false };
    let is_numbered = (1..).zip(others).all(|(number, label)| label.value == number);
    labels.len() >= FEWEST_GREYS
        && white.value == WHITE
        && others.iter().all(|label| label.voxels < white.voxels)
        && !is_numbered
}

/// `several` says whether the image is the first of several channels.
fn compare_grids(case: &mut Checked, image: &Image, labels: &Labels, stated: StatedGrids, several: bool) {
    let of_channel =
        if several { "; where it lies on another channel's, name that first with --channels" } else { "" };
    let of_label = &labels.findings;
    let (image, labels) = (image.volume.grid, labels.map.grid);
    let text = |shape: [usize; 3]| format!("{} x {} x {}", shape[0], shape[1], shape[2]);
    if stated.orientation.is_none()
        && !is_same_grid(&image, &labels)
        && is_same_grid(&image.to_ras(), &labels.to_ras())
    {
        let message = format!(
            "its label map has the voxels of its image in another order: its axes are {}, those of the image {} \
             (--resample-labels puts each voxel in its place)",
            labels.orientation(),
            image.orientation()
        );
        case.reject(Code::GridMismatch, message);
        return;
    }
    if image.shape != labels.shape {
        case.reject(
            Code::ShapeMismatch,
            format!(
                "its image has {} voxels, its label {} (--resample-labels resamples it{of_channel})",
                text(image.shape),
                text(labels.shape)
            ),
        );
        return;
    }
    if stated.orientation.is_some() || is_same_grid(&image, &labels) {
        return;
    }
    let distance = image.affine.corner_distance_mm(&labels.affine, image.shape);
    let apart = format!("its label is on another grid than its image: corners are {distance:.3} mm apart");
    if stated.copy_affine {
        let message = format!("{apart}; the affine of the image is used (--copy-affine)");
        case.warn(Code::LabelAffineReplaced, message);
        return;
    }
    let advice = "if both affines are right, --resample-labels resamples it to the image's grid; if only the label's \
                  affine is wrong, --copy-affine uses the image's";
    case.reject(Code::GridMismatch, format!("{apart} ({advice}{of_channel})"));
    // The header of the label map may say why.
    of_label.iter().for_each(|finding| case.warn(finding.code, format!("label map: {}", finding.message)));
}

/// Whether two grids have the same voxels, to a small fraction of a voxel.
pub(crate) fn is_same_grid(image: &Grid, labels: &Grid) -> bool {
    image.coincides(labels)
}

/// The largest distance between matching outer corners of what two grids cover.
pub(crate) fn corners_apart_mm(a: &Grid, b: &Grid) -> f64 {
    let (a, b) = (a.to_ras(), b.to_ras());
    let corner = |grid: &Grid, corner: usize| {
        let index = |axis: usize| if corner >> axis & 1 == 1 { grid.shape[axis] as f64 - 0.5 } else { -0.5 };
        grid.affine.apply(std::array::from_fn(index))
    };
    let apart = |number: usize| {
        let (p, q) = (corner(&a, number), corner(&b, number));
        (0..3).map(|i| (p[i] - q[i]).powi(2)).sum::<f64>().sqrt()
    };
    (0..8).map(apart).fold(0.0, f64::max)
}

/// Why a file is not a readable volume, and the files whose contents cause that.
struct Unreadable {
    reason: String,
    parts: Vec<Part>,
    /// Set if it needs more memory than allowed, which is no defect of the file.
    memory: Option<MemoryError>,
}

/// Describes the problem with a file; where its values are not labels, says how to convert them.
pub(crate) fn reason(error: &ReadError) -> String {
    let between = |value: f32| value.fract() != 0.0 && (0.0..f32::from(u16::MAX)).contains(&value);
    match error {
        ReadError::Io { path, source } if source.kind() == ErrorKind::NotFound && path.is_symlink() => {
            "it is a link to a file that is not there: fetch it (of git-annex and DataLad: `git annex get`)"
                .to_owned()
        }
        ReadError::Labels { source: LabelError::NotALabel { value, .. }, .. } if between(*value) => {
            let advice = "(--round-labels DISTANCE takes those that are near to whole ones)";
            format!("{} {advice}", error.reason())
        }
        ReadError::Labels { source: LabelError::NotALabel { value, alike, .. }, .. }
            if value.fract() == 0.0 && *value < 0.0 =>
        {
            let advice = match alike {
                true => format!("(--ignore {value} excludes voxels of that value from loss and metrics)"),
                false => "(they have several values: check that it is no image)".to_owned(),
            };
            format!("{} {advice}", error.reason())
        }
        _ => error.reason(),
    }
}

/// Like [`reason`], for a label map: its volumes are no frames of a film.
pub(crate) fn reason_of_labels(error: &ReadError) -> String {
    match error {
        ReadError::Frames { frames, .. } => format!(
            "it has {frames} volumes: expected one label map. Save structures of which each has a volume as one map, or as \
             files that a table names in columns label_NAME; of the frames of a film name one in its column label, as in \
             FILE#0"
        ),
        _ => reason(error),
    }
}

/// The hash of a file that was not read as a volume, if it is a file at all.
///
/// # Errors
/// [`StoreError::Machine`].
fn hash_if_any(found: &DiscoveredCase, path: &Path) -> Result<Option<String>, StoreError> {
    match hash::of_file(path) {
        Ok(blake3) => Ok(Some(blake3)),
        Err(error) => StoreError::machine(&found.what(), Some(path), &error).map_or(Ok(None), Err),
    }
}

/// The volume, or why the file is not a readable one.
///
/// # Errors
/// [`StoreError::Machine`] if that is no defect of the file.
fn or_unreadable<T>(
    found: &DiscoveredCase,
    path: &Path,
    read: Result<T, Unread>,
    reason: fn(&ReadError) -> String,
) -> Result<Result<T, Unreadable>, StoreError> {
    let Unread { error, files } = match read {
        Ok(read) => return Ok(Ok(read)),
        Err(unread) => unread,
    };
    if let (None, Some(error)) = (error.memory(), StoreError::machine(&found.what(), Some(path), &error)) {
        return Err(error);
    }
    let (reason, memory) = (reason(&error), error.memory());
    let mut parts = Vec::with_capacity(files.len());
    // Hashed only for a verdict that is stored.
    for (path, state) in files.into_iter().filter(|_| memory.is_none()) {
        match hash_if_any(found, &path)? {
            Some(blake3) => parts.push(Part { path, blake3, state }),
            None => return Ok(Err(Unreadable { reason, parts: Vec::new(), memory })),
        }
    }
    Ok(Err(Unreadable { reason, parts, memory }))
}
