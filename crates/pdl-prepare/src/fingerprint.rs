//! `fingerprint.json`: what the training cases are like.

use pdl_cohort::attributes::Modality;
use pdl_cohort::table::case_row::{CaseChannel, CaseRow, LabelVoxels};
use pdl_findings::{Code, Finding};
use pdl_volume::statistics::{self, Statistics, median};
use pdl_volume::{LabelMap, Volume};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crop;
use crate::normalise::{LANDMARKS, landmarks, on_unit_scale};

/// The file's name inside a curation folder.
pub const FILE: &str = "fingerprint.json";
/// Version of the file's format.
pub const SCHEMA_VERSION: u32 = 1;

/// Number of order statistics of each case's foreground; every case has the same weight in the
/// cohort's figures.
const SKETCH: usize = 1000;

/// How a figure is spread over the training cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// Smallest.
    pub min: f64,
    /// 10th percentile.
    pub p10: f64,
    /// 50th percentile.
    pub median: f64,
    /// Largest.
    pub max: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * values.len().saturating_sub(1) as f64;
            let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        if values.is_empty() {
            return Self { min: 0.0, p10: 0.0, median: 0.0, max: 0.0 };
        }
        Self { min: at(0.0), p10: at(0.1), median: at(0.5), max: at(1.0) }
    }
}

/// Intensities of labelled voxels, every training case weighing the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Foreground {
    /// Percentile 0.5.
    pub p00_5: f64,
    /// Percentile 99.5.
    pub p99_5: f64,
    /// Arithmetic mean of the intensities.
    pub mean: f64,
    /// Standard deviation.
    pub std: f64,
}

/// Statistics of the training cases. Axes are x, y, z of the RAS+ images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fingerprint {
    /// Version of this file's form.
    pub schema_version: u32,
    /// How the images were made.
    pub modality: Modality,
    /// Training cases it was taken from; with `plan_from` "outside-test" validation cases are among
    /// them.
    pub training_cases: usize,
    /// Voxel sizes along x, y, z of the RAS+ images, mm.
    pub spacing_mm: [Spread; 3],
    /// Voxels along x, y, z of the RAS+ images, cropped as planned.
    pub shape: [Spread; 3],
    /// Extents along x, y, z of the RAS+ images, cropped as planned, mm.
    pub extent_mm: [Spread; 3],
    /// Intensities of labelled voxels; where no training case has a label, of all voxels of the
    /// body.
    pub foreground: Foreground,
    /// Whether no training case has a label.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_labels: bool,
    /// Median fraction of voxels that remain of a training case after cropping to the box of
    /// non-zero ones.
    pub nonzero_box_share: f64,
    /// Medians of the training images' own percentiles 0.5 and 99.5; none in files of earlier
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_range: Option<[f64; 2]>,
    /// Mean of the training images' histogram landmarks, each image's first taken to 0 and its last
    /// to 1 (Nyul).
    #[serde(default)]
    pub standard_scale: [f64; LANDMARKS.len()],
    /// The name of the first channel, where cases have several; the figures of intensities above
    /// are its.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_channel: Option<String>,
    /// The channels after the first, where cases have several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_channels: Vec<ChannelFingerprint>,
    /// Findings about changes since the pinned plan was made.
    pub findings: Vec<Finding>,
}

/// Statistics of one channel of the training cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelFingerprint {
    /// The channel's name.
    pub name: String,
    /// How its images were made.
    pub modality: Modality,
    /// Intensities of labelled voxels.
    pub foreground: Foreground,
    /// Medians of the images' own percentiles 0.5 and 99.5.
    pub image_range: [f64; 2],
    /// The `standard_scale` of the first channel.
    pub standard_scale: [f64; LANDMARKS.len()],
}

impl Fingerprint {
    /// As if a channel after the first were the only one.
    pub(crate) fn of_channel(&self, channel: &ChannelFingerprint) -> Self {
        Self {
            modality: channel.modality,
            foreground: channel.foreground,
            image_range: Some(channel.image_range),
            standard_scale: channel.standard_scale,
            first_channel: None,
            further_channels: Vec::new(),
            ..self.clone()
        }
    }

    /// The first invalid value of a fingerprint read from a file.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let Foreground { p00_5, p99_5, mean, std } = self.foreground;
        let sizes = self.spacing_mm.iter().chain(&self.shape).chain(&self.extent_mm);
        let sizes = sizes.flat_map(|spread| [spread.min, spread.p10, spread.median, spread.max]);
        let figures = [p00_5, p99_5, mean, std, self.nonzero_box_share];
        let further = self.further_channels.iter().flat_map(|channel| {
            let Foreground { p00_5, p99_5, mean, std } = channel.foreground;
            channel.image_range.into_iter().chain(channel.standard_scale).chain([p00_5, p99_5, mean, std])
        });
        let finite = |figure: f64| (figure as f32).is_finite();
        let deviates = self.further_channels.iter().all(|channel| channel.foreground.std >= 0.0);
        let plausible = sizes.chain([std]).all(|figure| (0.0..=1e9).contains(&figure))
            && figures.iter().chain(&self.standard_scale).all(|figure| finite(*figure))
            && deviates
            && further.into_iter().all(finite);
        (!plausible).then_some("its fingerprint has implausible sizes or intensities")
    }
}

/// The part of one case in the fingerprint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CaseFingerprint {
    /// Order statistics of the labelled voxels' intensities, evenly spaced in rank.
    sketch: Vec<f32>,
    mean: f64,
    std: f64,
    nonzero_box_share: f64,
    /// Voxels along x, y, z of the cropped image.
    shape: [usize; 3],
    /// Histogram landmarks from 0 to 1; `None` for a constant image.
    landmarks: Option<[f64; LANDMARKS.len()]>,
    /// The channels after the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    channels: Vec<CaseFingerprint>,
}

impl CaseFingerprint {
    /// The fingerprint of a cropped case; `nonzero_box_share` is that of the whole image. `present`
    /// are the case's labels: other values, such as the label to ignore, are not foreground. The
    /// foreground of a case without a label is its body.
    pub(crate) fn of(
        image: &Volume<f32>,
        labels: Option<&LabelMap>,
        present: &[LabelVoxels],
        nonzero_box_share: f64,
    ) -> Self {
        let mut foreground = match labels {
            Some(labels) => labelled_voxels(image, labels, present),
            None => crop::body_voxels(image),
        };
        foreground.sort_by(f32::total_cmp);
        let n = foreground.len();
        let points = n.min(SKETCH);
        // The middle of each of `points` equal parts of the ranks.
        let sketch = (0..points).map(|i| foreground[(2 * i + 1) * n / (2 * points)]).collect();
        let (mean, std) = statistics::mean_and_std(&foreground);
        let landmarks = on_unit_scale(&landmarks(&image.voxels));
        let channels = Vec::new();
        Self { sketch, mean, std, nonzero_box_share, shape: image.grid.shape, landmarks, channels }
    }

    /// With those of the channels after the first.
    pub(crate) fn with_channels(self, channels: Vec<Self>) -> Self {
        Self { channels, ..self }
    }
}

/// The intensities of the voxels that have one of the labels `present`.
fn labelled_voxels(image: &Volume<f32>, labels: &LabelMap, present: &[LabelVoxels]) -> Vec<f32> {
    let mut is_label = vec![false; usize::from(u16::MAX) + 1];
    present.iter().for_each(|label| is_label[usize::from(label.value)] = true);
    let voxels = image.voxels.iter().zip(&labels.voxels);
    voxels.filter(|(_, label)| is_label[usize::from(**label)]).map(|(v, _)| *v).collect()
}

/// The fraction of the voxels inside the smallest box that holds all non-zero ones of an image and
/// of the channels on its grid.
pub(crate) fn nonzero_box_share(image: &Volume<f32>, channels: &[Volume<f32>]) -> f64 {
    let boxes = std::iter::once(image).chain(channels).filter_map(crop::nonzero);
    let kept = boxes.reduce(|a, b| a.joined(&b));
    kept.map_or(0, |kept| kept.len()) as f64 / image.voxels.len() as f64
}

impl Fingerprint {
    /// Finding if no training case has a label.
    pub(crate) fn without_labels_finding(&self) -> Option<Finding> {
        let message = format!(
            "none of the {} cases that the plan is made from has a label: its intensities are those of whole bodies. \
             Cases can be compared with it; once some are annotated, --replan uses the intensities of their labels",
            self.training_cases
        );
        self.without_labels.then(|| Finding::new(Code::PlanWithoutLabels, message))
    }

    /// Puts the training cases' parts together.
    pub(crate) fn of(modality: Modality, rows: &[&CaseRow], parts: &[CaseFingerprint]) -> Self {
        let grids: Vec<_> = rows.iter().filter_map(|row| row.grid()).map(|grid| grid.to_ras()).collect();
        let spacing = |axis: usize| Spread::of(grids.iter().map(|g| g.spacing_mm()[axis]));
        let shape = |axis: usize| Spread::of(parts.iter().map(|part| part.shape[axis] as f64));
        let sides = |axis: usize| grids.iter().map(move |grid| grid.spacing_mm()[axis]);
        let extent = |axis: usize| {
            Spread::of(sides(axis).zip(parts).map(|(side, part)| side * part.shape[axis] as f64))
        };
        Self {
            schema_version: SCHEMA_VERSION,
            modality,
            training_cases: rows.len(),
            spacing_mm: std::array::from_fn(spacing),
            shape: std::array::from_fn(shape),
            extent_mm: std::array::from_fn(extent),
            foreground: pooled(parts),
            without_labels: !rows.iter().any(|row| row.is_labelled()),
            nonzero_box_share: Spread::of(parts.iter().map(|part| part.nonzero_box_share)).median,
            image_range: Some(image_range(rows.iter().map(|row| row.intensities.percentiles()))),
            standard_scale: standard_scale(parts),
            first_channel: rows.first().and_then(|row| Some(row.channels.first()?.name.clone())),
            further_channels: further_channels(rows, parts),
            findings: Vec::new(),
        }
    }
}

/// The channels after the first: those of the first case, which all cases have.
fn further_channels(rows: &[&CaseRow], parts: &[CaseFingerprint]) -> Vec<ChannelFingerprint> {
    let Some(first) = rows.first() else { return Vec::new() };
    let of_channel = |(number, channel): (usize, &CaseChannel)| {
        let percentiles = rows
            .iter()
            .filter_map(|row| row.channels.get(number))
            .map(|channel| channel.intensities.percentiles());
        let parts: Vec<&CaseFingerprint> =
            parts.iter().filter_map(|part| part.channels.get(number - 1)).collect();
        ChannelFingerprint {
            name: channel.name.clone(),
            modality: channel.modality,
            foreground: pooled(parts.iter().copied()),
            image_range: image_range(percentiles),
            standard_scale: standard_scale(parts.iter().copied()),
        }
    };
    first.channels.iter().enumerate().skip(1).map(of_channel).collect()
}

/// Medians of the images' own percentiles 0.5 and 99.5.
fn image_range(percentiles: impl Iterator<Item = [f64; 2]>) -> [f64; 2] {
    let all: Vec<[f64; 2]> = percentiles.collect();
    [0, 1].map(|which| median(&mut all.iter().map(|pair| pair[which]).collect::<Vec<_>>()))
}

/// Every image weighs the same; where all are flat, the percentiles themselves.
fn standard_scale<'a>(parts: impl IntoIterator<Item = &'a CaseFingerprint>) -> [f64; LANDMARKS.len()] {
    let all: Vec<_> = parts.into_iter().filter_map(|part| part.landmarks).collect();
    if all.is_empty() {
        return LANDMARKS.map(|percent| percent / 100.0);
    }
    std::array::from_fn(|i| all.iter().map(|landmarks| landmarks[i]).sum::<f64>() / all.len() as f64)
}

/// Percentiles of the pooled sketches, and mean and standard deviation of the mixture in which
/// every case has the same weight. Cases without a labelled voxel are omitted.
fn pooled<'a>(parts: impl IntoIterator<Item = &'a CaseFingerprint>) -> Foreground {
    let parts: Vec<&CaseFingerprint> = parts.into_iter().filter(|part| !part.sketch.is_empty()).collect();
    let pool: Vec<f32> = parts.iter().flat_map(|part| part.sketch.iter().copied()).collect();
    let range = Statistics::of(&pool);
    let n = parts.len().max(1) as f64;
    let mean = parts.iter().map(|part| part.mean).sum::<f64>() / n;
    let variance = parts.iter().map(|part| part.std.powi(2) + (part.mean - mean).powi(2)).sum::<f64>() / n;
    Foreground {
        p00_5: range.map_or(0.0, |s| s.p00_5),
        p99_5: range.map_or(1.0, |s| s.p99_5),
        mean,
        std: variance.sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Grid, Orientation};

    #[test]
    fn foreground_figures_are_those_of_the_labelled_voxels() {
        let shape = [100, 10, 10];
        let grid = Grid::new(shape, Affine::from_orientation(Orientation::RAS, [1.0; 3], shape));
        let image = Volume::new(grid, (0..10_000).map(|i| i as f32).collect()).unwrap();
        let labels = LabelMap::new(grid, (0..10_000).map(|i| u16::from(i >= 5000)).collect()).unwrap();
        let present = [LabelVoxels { value: 1, voxels: 5000 }];
        let foreground = pooled(&[CaseFingerprint::of(&image, Some(&labels), &present, 1.0)]);
        // numpy on arange(5000, 10000): percentiles 5024.995 and 9974.005, mean 7499.5, std
        // 1443.3756
        assert!((foreground.p00_5 - 5024.995).abs() < 3.0, "{foreground:?}");
        assert!((foreground.p99_5 - 9974.005).abs() < 3.0, "{foreground:?}");
        assert!((foreground.mean - 7499.5).abs() < 1e-6);
        assert!((foreground.std - 1443.3756).abs() < 1e-3);
    }

    #[test]
    fn a_case_without_labels_does_not_move_the_foreground() {
        let grid = Grid::new([4, 1, 1], Affine::from_orientation(Orientation::RAS, [1.0; 3], [4, 1, 1]));
        let image = Volume::new(grid, vec![10.0, 20.0, 30.0, 40.0]).unwrap();
        let present = [LabelVoxels { value: 1, voxels: 2 }];
        let of = |labels: Vec<u16>| {
            CaseFingerprint::of(&image, Some(&LabelMap::new(grid, labels).unwrap()), &present, 1.0)
        };
        let (labelled, negative) = (of(vec![0, 1, 1, 0]), of(vec![0, 0, 0, 9]));
        assert_eq!(pooled(&[labelled.clone(), negative.clone()]), pooled(&[labelled]));
        assert!(pooled(&[negative]).mean.is_finite());
    }

    #[test]
    fn the_box_of_nonzero_voxels_is_found() {
        let shape = [10, 10, 10];
        let grid = Grid::new(shape, Affine::from_orientation(Orientation::RAS, [1.0; 3], shape));
        let mut image = Volume::new(grid, vec![0.0; 1000]).unwrap();
        image.voxels[2 + 10 * 3 + 100 * 4] = 1.0;
        image.voxels[6 + 10 * 7 + 100 * 8] = 1.0;
        assert!((nonzero_box_share(&image, &[]) - 0.125).abs() < 1e-12);
    }
}
