//! Label maps in two folders, predictions and references, paired by their names: what
//! `pdl-fit predict`, nnU-Net and others write.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_cohort::labels::regions::{DatasetLabels, DatasetRegions, LabelRegion, RegionError};
use pdl_curriculum::manifest::Label;
use pdl_store::memory::{MemoryError, MemoryLimit, MemoryShare, in_turns};
use pdl_store::progress::{self, Progress};
use pdl_store::{StoreError, fault, json};
use pdl_volume::{Grid, LabelMap};
use serde::{Deserialize, Serialize};

use crate::dice::IGNORED;
use crate::scores::{EvaluationRow, ScoredCase, StructureScore, SurfaceOptions};
use crate::structure::{ChannelUnion, MeasuredStructure};
use crate::surface::VoxelGrid;

/// nnU-Net's name of the label to ignore.
const IGNORE: &str = "ignore";
/// Endings of a prediction's name that its reference need not have: nnU-Net's channel of an image.
const CHANNEL: &str = "_0000";
/// Largest distance between the corners of two grids that count as one, as a fraction of the
/// smallest side of a voxel.
const SAME_GRID: f64 = 0.1;
/// Maximum number of labels: channels are bytes, of which background and voxels to ignore take two.
const MOST_LABELS: usize = 254;
/// Channel of the background, which every case is annotated for.
const BACKGROUND: u8 = 0;
/// Bytes a voxel that a case takes: two label maps, their channels, masks and surfaces.
const BYTES_A_VOXEL: u64 = 48;

/// Folders that cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// A folder or file could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A folder holds no label maps.
    #[error("no label map (NIfTI, NRRD, MetaImage) is in the folder or below it: {}", path.display())]
    NoLabelMaps {
        /// The folder.
        path: PathBuf,
    },
    /// No name is in both folders.
    #[error(
        "no prediction has the name of a reference: the first ones are {prediction} and {reference}: {}",
        path.display()
    )]
    NoPair {
        /// Name of the first prediction.
        prediction: String,
        /// Name of the first reference.
        reference: String,
        /// Folder of the predictions.
        path: PathBuf,
    },
    /// Two files of a folder have one name.
    #[error("{name} is the name of several label maps; keep one of them: {}", path.display())]
    SameName {
        /// The name, without ending.
        name: String,
        /// The folder.
        path: PathBuf,
    },
    /// Too many labels.
    #[error("the label maps have {labels} labels; at most {MOST_LABELS} can be scored")]
    LabelCount {
        /// Labels of all cases.
        labels: usize,
    },
    /// `dataset.json` names no usable labels.
    #[error("{problem}: {}", path.display())]
    Names {
        /// The defect.
        problem: String,
        /// The file.
        path: PathBuf,
    },
}

/// The labels of a data set, where a `dataset.json` names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelNames {
    /// Names by value, without background.
    pub names: BTreeMap<u16, String>,
    /// The label to ignore.
    pub ignored: Option<u16>,
    /// Name of the first channel of the images, such as "CT".
    pub channel: Option<String>,
    /// Unions of labels, which are scored instead of these.
    pub regions: Vec<LabelRegion>,
    /// Why the regions of the file are not scored, and single labels are.
    pub invalid_regions: Option<RegionError>,
}

/// The part of `dataset.json` (nnU-Net v2, Medical Segmentation Decathlon) that is read.
#[derive(Debug, Deserialize)]
struct DatasetJson {
    labels: DatasetLabels,
    regions_class_order: Option<serde_json::Value>,
    /// Channel names of nnU-Net v2.
    #[serde(default)]
    channel_names: BTreeMap<String, String>,
    /// Channel names of the Decathlon and nnU-Net v1.
    #[serde(default)]
    modality: BTreeMap<String, String>,
}

impl LabelNames {
    /// Reads a `dataset.json`: labels and regions by name (nnU-Net v2) or labels by value
    /// (Decathlon, nnU-Net v1).
    ///
    /// # Errors
    /// [`ScoreError`] if it cannot be read or names no labels.
    pub fn read(path: &Path) -> Result<Self, ScoreError> {
        let dataset: DatasetJson = json::read(path)?;
        let channel = dataset.channel_names.into_values().chain(dataset.modality.into_values()).next();
        let mut found = Self { channel, ..Self::default() };
        let of_file = DatasetRegions { labels: dataset.labels.clone(), order: dataset.regions_class_order };
        match of_file.regions() {
            Ok(regions) => found.regions = regions,
            Err(error) => found.invalid_regions = Some(error),
        }
        for (key, value) in dataset.labels.0 {
            match (key.parse::<u16>(), value) {
                (Ok(label), serde_json::Value::String(name)) => found.add(label, name),
                (_, serde_json::Value::Array(values)) if values.len() != 1 => {}
                (_, value) => match value_of(&value) {
                    Some(label) => found.add(label, key),
                    None => {
                        let problem = format!("expected a value from 0 to 65535 for the label {key}");
                        return Err(ScoreError::Names { problem, path: path.to_owned() });
                    }
                },
            }
        }
        Ok(found)
    }

    /// The `dataset.json` in the first of these folders, or beside it, that has one.
    ///
    /// # Errors
    /// As [`LabelNames::read`].
    pub fn find(folders: &[&Path]) -> Result<Option<(Self, PathBuf)>, ScoreError> {
        for folder in folders {
            for path in [folder.join("dataset.json"), folder.join("../dataset.json")] {
                if fault::is_file(&path).map_err(StoreError::io("look at the file", &path))? {
                    return Ok(Some((Self::read(&path)?, path)));
                }
            }
        }
        Ok(None)
    }

    fn add(&mut self, label: u16, name: String) {
        if name.eq_ignore_ascii_case(IGNORE) {
            self.ignored = Some(label);
        } else if label > 0 {
            self.names.insert(label, name);
        }
    }

    /// The regions of channels, which stand for these values.
    fn structures(&self, values: &[u16]) -> Vec<MeasuredStructure> {
        let channel = |value: &u16| values.binary_search(value).ok().map(|index| index as u8 + 1);
        let of_region = |region: &LabelRegion| MeasuredStructure {
            label: Label { value: region.value, name: region.name.clone() },
            union: ChannelUnion {
                channels: region.labels.iter().filter_map(channel).collect(),
                annotated_by: vec![BACKGROUND],
            },
        };
        self.regions.iter().map(of_region).collect()
    }

    fn name(&self, value: u16) -> String {
        self.names.get(&value).cloned().unwrap_or_else(|| format!("label {value}"))
    }
}

/// The value of a label, which may stand in a list of its own.
fn value_of(value: &serde_json::Value) -> Option<u16> {
    let value = value.as_array().map_or(Some(value), |values| values.first())?;
    value.as_u64().and_then(|value| u16::try_from(value).ok())
}

/// A case that was not scored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unscored {
    /// Name of its files.
    pub case_id: String,
    /// Why it was not.
    pub problem: String,
}

/// Figures of all cases of two folders.
#[derive(Clone, Debug, PartialEq)]
pub struct FolderScores {
    /// Labels of all cases, ascending, or regions in their order.
    pub labels: Vec<Label>,
    /// A row for each case and label or region, by case.
    pub rows: Vec<EvaluationRow>,
    /// Cases that were not scored: one of their files is missing or invalid, or their grids differ.
    pub unscored: Vec<Unscored>,
}

/// A prediction and its reference.
struct Pair {
    case_id: String,
    prediction: PathBuf,
    reference: PathBuf,
}

/// Rows of the labels that are in a case, or why it was not scored.
type Scored = Result<Vec<EvaluationRow>, Unscored>;

/// Compares the label maps of two folders, whose names pair them; folders inside them are a part of
/// the name. Every case counts as annotated for every label that any case has or `names` names.
/// Where `names` has regions, these are scored instead.
///
/// # Errors
/// [`ScoreError`] if a folder cannot be read or holds no label map, or no names agree.
pub fn score(
    predictions: &Path,
    references: &Path,
    names: &LabelNames,
    surfaces: SurfaceOptions,
    limit: &MemoryLimit,
    progress: &dyn Progress,
) -> Result<FolderScores, ScoreError> {
    let (pairs, mut unscored) = pairs(predictions, references)?;
    progress.begin("comparing label maps", pairs.len() as u64);
    let work = |pair: &Pair, memory: &MemoryShare<'_>| {
        let _item = progress::at_work(progress, &pair.case_id);
        let scored = of_pair(pair, names, surfaces, memory)?;
        if scored.is_ok() {
            progress.advance(1);
        }
        Ok::<_, ScoreError>(scored)
    };
    let too_large = |pair: &Pair, error: MemoryError| {
        progress.advance(1);
        let problem = error.to_string();
        match StoreError::no_memory(&format!("case {}", pair.case_id), error) {
            Some(error) => Err(ScoreError::from(error)),
            None => Ok(Err(Unscored { case_id: pair.case_id.clone(), problem })),
        }
    };
    let all: Vec<Scored> = in_turns(&pairs, limit, work, too_large)?;
    let mut found: Vec<(&str, Vec<EvaluationRow>)> = Vec::new();
    for (pair, scored) in pairs.iter().zip(all) {
        match scored {
            Ok(rows) => found.push((&pair.case_id, rows)),
            Err(problem) => unscored.push(problem),
        }
    }
    unscored.sort_by(|a, b| a.case_id.cmp(&b.case_id));
    let present = found.iter().flat_map(|(_, rows)| rows.iter().map(|row| row.score.label));
    let values: BTreeSet<u16> = present.chain(names.names.keys().copied()).collect();
    if values.len() > MOST_LABELS {
        return Err(ScoreError::LabelCount { labels: values.len() });
    }
    let labels: Vec<Label> = match names.regions.is_empty() {
        true => values.into_iter().map(|value| Label { value, name: names.name(value) }).collect(),
        false => names.structures(&[]).into_iter().map(|region| region.label).collect(),
    };
    let rows = found.into_iter().flat_map(|(case, rows)| with_absent(case, rows, &labels));
    Ok(FolderScores { rows: rows.collect(), labels, unscored })
}

/// The rows of a case for all labels; one that is neither in the prediction nor in the reference is
/// absent from both.
fn with_absent(case: &str, rows: Vec<EvaluationRow>, labels: &[Label]) -> Vec<EvaluationRow> {
    let mut of_label: BTreeMap<u16, EvaluationRow> =
        rows.into_iter().map(|row| (row.score.label, row)).collect();
    let row = |label: &Label| {
        of_label.remove(&label.value).unwrap_or_else(|| EvaluationRow {
            score: StructureScore {
                case_id: case.to_owned(),
                label: label.value,
                name: label.name.clone(),
                dice: None,
                surface_dice: None,
                hd95_mm: None,
                drawn_ml: 0.0,
                predicted_ml: 0.0,
                annotated: true,
            },
            false_positive_ml: Some(0.0),
            false_negative_ml: Some(0.0),
            lesions: Some(0),
            lesions_found: Some(0),
            predicted_lesions: Some(0),
            false_positive_lesions: Some(0),
        })
    };
    labels.iter().map(row).collect()
}

/// Pairs the label maps of two folders by name.
fn pairs(predictions: &Path, references: &Path) -> Result<(Vec<Pair>, Vec<Unscored>), ScoreError> {
    let (predicted, mut drawn) = (label_maps(predictions)?, label_maps(references)?);
    let first = |maps: &BTreeMap<String, PathBuf>| maps.keys().next().cloned().unwrap_or_default();
    let (first_prediction, first_reference) = (first(&predicted), first(&drawn));
    let (mut pairs, mut unscored) = (Vec::new(), Vec::new());
    for (name, prediction) in predicted {
        let case_id = match drawn.contains_key(&name) {
            true => name.clone(),
            false => name.strip_suffix(CHANNEL).unwrap_or(&name).to_owned(),
        };
        match drawn.remove(&case_id) {
            Some(reference) => pairs.push(Pair { case_id, prediction, reference }),
            None => unscored.push(Unscored { case_id: name, problem: "it has no reference".to_owned() }),
        }
    }
    if pairs.is_empty() {
        return Err(ScoreError::NoPair {
            prediction: first_prediction,
            reference: first_reference,
            path: predictions.to_owned(),
        });
    }
    let alone = drawn.into_keys();
    unscored.extend(alone.map(|case_id| Unscored { case_id, problem: "it has no prediction".to_owned() }));
    Ok((pairs, unscored))
}

/// The label maps in a folder and below it, by their paths in it without ending.
fn label_maps(folder: &Path) -> Result<BTreeMap<String, PathBuf>, ScoreError> {
    let mut maps = BTreeMap::new();
    for path in pdl_dicom::files_below(folder).map_err(StoreError::io("list the folder", folder))? {
        let below = path.strip_prefix(folder).unwrap_or(&path);
        let file = below.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let hidden = below.iter().any(|part| part.to_string_lossy().starts_with('.'));
        // Maps of probabilities and entropy beside the label maps of `pdl-fit predict`.
        let other = below.iter().count() > 1
            && below.iter().next().is_some_and(|first| first == "probabilities" || first == "uncertainty");
        if hidden || other || !pdl_io::is_volume_name(&file) {
            continue;
        }
        let name = below.with_file_name(pdl_io::stem(&file)).to_string_lossy().replace('\\', "/");
        if maps.insert(name.clone(), path).is_some() {
            return Err(ScoreError::SameName { name, path: folder.to_owned() });
        }
    }
    match maps.is_empty() {
        true => Err(ScoreError::NoLabelMaps { path: folder.to_owned() }),
        false => Ok(maps),
    }
}

fn of_pair(
    pair: &Pair,
    names: &LabelNames,
    surfaces: SurfaceOptions,
    memory: &MemoryShare<'_>,
) -> Result<Result<Scored, MemoryError>, StoreError> {
    let unscored = |problem: String| Ok(Ok(Err(Unscored { case_id: pair.case_id.clone(), problem })));
    let mut maps = Vec::with_capacity(2);
    for (what, path) in [("prediction", &pair.prediction), ("reference", &pair.reference)] {
        match pdl_io::read_labels_within(path, memory) {
            Ok(labels) => maps.push(labels.map.into_ras()),
            Err(error) => {
                if let Some(error) = error.memory() {
                    return Ok(Err(error));
                }
                if let Some(error) = error.machine(&format!("case {}", pair.case_id)) {
                    return Err(error);
                }
                return unscored(format!("its {what} cannot be read: {}", error.reason()));
            }
        }
    }
    let (prediction, reference) = (&maps[0], &maps[1]);
    if let Some(problem) = other_grid(&prediction.grid, &reference.grid) {
        return unscored(problem);
    }
    if let Err(error) = memory.take((reference.grid.len() as u64).saturating_mul(BYTES_A_VOXEL)) {
        return Ok(Err(error));
    }
    let mut is_present = vec![false; 1 + usize::from(u16::MAX)];
    maps.iter().flat_map(|map| &map.voxels).for_each(|value| is_present[usize::from(*value)] = true);
    let values: Vec<u16> = (1..=u16::MAX)
        .filter(|value| is_present[usize::from(*value)] && Some(*value) != names.ignored)
        .collect();
    if values.len() > MOST_LABELS {
        return unscored(format!("it has {} labels; at most {MOST_LABELS} can be scored", values.len()));
    }
    let structures = match names.regions.is_empty() {
        true => {
            let label = |&value: &u16| Label { value, name: names.name(value) };
            MeasuredStructure::of_labels(&values.iter().map(label).collect::<Vec<_>>())
        }
        false => names.structures(&values),
    };
    let [x, y, z] = reference.grid.spacing_mm();
    let [nx, ny, nz] = reference.grid.shape;
    let truth = channels(reference, &values, |value| if Some(value) == names.ignored { IGNORED } else { 0 });
    let predicted = channels(prediction, &values, |_| 0);
    let scored = ScoredCase {
        case_id: &pair.case_id,
        grid: VoxelGrid { shape: [nz, ny, nx], spacing_mm: [z, y, x] },
        truth: &truth,
        prediction: &predicted,
        annotated: &vec![true; values.len() + 1],
    };
    Ok(Ok(Ok(scored.rows(&structures, surfaces))))
}

/// The channel of every voxel: the place of its value among `values`, from 1.
fn channels(map: &LabelMap, values: &[u16], other: impl Fn(u16) -> u8) -> Vec<u8> {
    let channel = |value: &u16| match values.binary_search(value) {
        Ok(index) => index as u8 + 1,
        Err(_) => other(*value),
    };
    map.voxels.iter().map(channel).collect()
}

/// How the grids (RAS+) of a prediction and of its reference differ.
fn other_grid(prediction: &Grid, reference: &Grid) -> Option<String> {
    if prediction.shape != reference.shape {
        return Some(format!(
            "its prediction has {:?} voxels along x, y, z (RAS+); its reference {:?}",
            prediction.shape, reference.shape
        ));
    }
    let apart = prediction.affine.corner_distance_mm(&reference.affine, reference.shape);
    let side = reference.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
    (apart > SAME_GRID * side).then(|| {
        format!("its prediction is on another grid than its reference: corners are up to {apart:.2} mm apart")
    })
}
