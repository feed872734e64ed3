//! One or several trained networks that are applied together: the mean of their probabilities, on
//! request also over mirrored copies of the image (test-time augmentation).

use std::path::{Path, PathBuf};

use pdl_volume::{Grid, Volume, VoxelBox};

use crate::data::case::Case;
use crate::data::laterality;
use crate::error::{FitError, Result};
use crate::inference::case_probabilities::CaseProbabilities;
use crate::inference::model::Model;
use crate::model::device::DeviceChoice;
use crate::plan::settings::Axes;

/// Axes along which mirrored copies of an image are segmented as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MirrorTta {
    /// None: the image as it is.
    #[default]
    Off,
    /// The axes along which patches were mirrored in training.
    Trained,
    /// These.
    Along(Axes),
}

/// Networks of finished runs whose probabilities are averaged.
#[derive(Debug)]
pub struct Ensemble {
    models: Vec<Model>,
    /// Mirrored copies of an image, each by its mirrored axes z, y, x; the first is the image
    /// itself.
    copies: Vec<[bool; 3]>,
}

impl Ensemble {
    /// Reads the folders of finished runs. They must have the same labels, and prepare and read
    /// images alike.
    ///
    /// # Errors
    /// As [`Model::load`]; [`FitError::Ensemble`] if a run does not fit the first;
    /// [`FitError::InvalidOption`] if the image cannot be mirrored along these axes.
    pub fn load(
        runs: &[PathBuf],
        mirror: MirrorTta,
        device: DeviceChoice,
        threads: Option<usize>,
    ) -> Result<Self> {
        let models = runs.iter().map(|run| Model::load(run, device, threads)).collect::<Result<Vec<_>>>()?;
        let Some(first) = models.first() else { return Err(FitError::NoSuchRun { path: PathBuf::new() }) };
        for (model, run) in models.iter().zip(runs).skip(1) {
            check_alike(first, model, run)?;
        }
        let axes = mirrored_axes(&models, mirror)?;
        Ok(Self { models, copies: copies(axes) })
    }

    /// The first network, whose labels, preparation and reading are those of all.
    pub fn first(&self) -> &Model {
        &self.models[0]
    }

    /// The networks.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// Mirrored copies of an image, each by its mirrored axes z, y, x; the first is the image
    /// itself.
    pub fn copies(&self) -> &[[bool; 3]] {
        &self.copies
    }

    /// Whether this is one network and the image as it is.
    pub fn is_plain(&self) -> bool {
        self.models.len() == 1 && self.copies.len() == 1
    }

    /// Most probable channel of every voxel (z, y, x) of the RAS+ grid `whole`, of which the case
    /// covers all or a box; background outside.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails; [`FitError::OffGrid`] if the case is not part of the
    /// grid.
    pub fn channels(&self, case: &Case, whole: &Grid) -> Result<Vec<u8>> {
        match self.is_plain() {
            true => self.first().predictor().channels(case, whole),
            false => Ok(self.probabilities(case, whole)?.most_probable()),
        }
    }

    /// Mean probabilities of the case's voxels, which are a part of the RAS+ grid `whole`.
    ///
    /// # Errors
    /// As [`Ensemble::channels`].
    pub fn probabilities(&self, case: &Case, whole: &Grid) -> Result<CaseProbabilities> {
        let part = VoxelBox::filled_by(whole, &case.grid)
            .ok_or_else(|| FitError::OffGrid { case_id: case.case_id.clone() })?;
        let outputs = self.first().record.plan.network.classes as usize;
        let mut sum: Vec<f32> = Vec::new();
        for model in &self.models {
            let predictor = model.predictor();
            for axes in &self.copies {
                let of_copy = match axes {
                    [false, false, false] => predictor.mean_probabilities(case)?,
                    axes => {
                        let mut p = predictor.mean_probabilities(&mirrored(case, *axes)?)?;
                        mirror(&mut p, case.shape, outputs, *axes);
                        p
                    }
                };
                match sum.is_empty() {
                    true => sum = of_copy,
                    false => sum.iter_mut().zip(of_copy).for_each(|(sum, p)| *sum += p),
                }
            }
        }
        let count = (self.models.len() * self.copies.len()) as f32;
        sum.iter_mut().for_each(|p| *p /= count);
        Ok(CaseProbabilities {
            p: sum,
            outputs,
            regions: self.first().record.plan.regions.clone(),
            shape: case.shape,
            part,
            whole: *whole,
        })
    }
}

/// The images of a case mirrored along some of the axes z, y, x, without its labels.
///
/// # Errors
/// [`FitError::Store`] if the voxels cannot be read.
fn mirrored(case: &Case, axes: [bool; 3]) -> Result<Case> {
    let whole = case.whole()?;
    let image = |voxels: &[f32]| {
        let mut voxels = voxels.to_vec();
        mirror(&mut voxels, case.shape, 1, axes);
        Volume { grid: case.grid, voxels }
    };
    let mut images: Vec<Volume<f32>> = whole.images().map(image).collect();
    let first = images.remove(0);
    Ok(Case::unlabelled(&case.case_id, first, &images))
}

/// Mirrors values (z, y, x, and `each` a voxel) in C order along some of the axes z, y, x.
fn mirror(values: &mut [f32], [_, ny, nx]: [usize; 3], each: usize, axes: [bool; 3]) {
    let (row, plane) = (nx * each, ny * nx * each);
    let whole = values.len();
    for (mirrors, block, part) in [(axes[0], whole, plane), (axes[1], plane, row), (axes[2], row, each)] {
        if mirrors && block > 0 {
            values.chunks_exact_mut(block).for_each(|block| reverse(block, part));
        }
    }
}

/// Reverses the order of the parts of `size` values each.
fn reverse(values: &mut [f32], size: usize) {
    let count = values.len() / size;
    for part in 0..count / 2 {
        let (front, back) = values.split_at_mut((count - 1 - part) * size);
        front[part * size..(part + 1) * size].swap_with_slice(&mut back[..size]);
    }
}

/// All copies of an image that is mirrored along some of the axes z, y, x; itself first.
fn copies(axes: [bool; 3]) -> Vec<[bool; 3]> {
    let all = (0..8_u8).map(|bits| [bits & 4 > 0, bits & 2 > 0, bits & 1 > 0]);
    all.filter(|copy| copy.iter().zip(axes).all(|(mirrored, allowed)| !mirrored || allowed)).collect()
}

/// The axes z, y, x along which an image is mirrored.
fn mirrored_axes(models: &[Model], mirror: MirrorTta) -> Result<[bool; 3]> {
    let sided = models.iter().any(has_sides);
    match mirror {
        MirrorTta::Off => Ok([false; 3]),
        MirrorTta::Along(Axes([_, _, true])) if sided => Err(FitError::option(
            "mirror_tta",
            "cannot mirror along x: labels of the run are, or may be, left and right, which would be exchanged; name other \
             axes",
        )),
        MirrorTta::Along(Axes([true, _, _])) if models.iter().any(|m| m.record.plan.network.dims == 2) => {
            Err(FitError::option(
                "mirror_tta",
                "cannot mirror along z: the network sees single planes (y, x)",
            ))
        }
        MirrorTta::Along(axes) => Ok(axes.0),
        MirrorTta::Trained => {
            let trained = |axis: usize| models.iter().all(|model| model.record.plan.mirror[axis]);
            let axes = [trained(0), trained(1), trained(2) && !sided];
            match axes.contains(&true) {
                true => Ok(axes),
                false => Err(FitError::option(
                    "mirror_tta",
                    "has no axis: the patches of the training were mirrored along none, or along x alone where labels are, or \
                     may be, left and right; name axes, as in --mirror-tta=y, or train with --augment light",
                )),
            }
        }
    }
}

/// Whether labels of the run are left and right, by their names or by their positions in the
/// training cases.
fn has_sides(model: &Model) -> bool {
    let names: Vec<String> = model.record.labels.iter().map(|label| label.name.clone()).collect();
    let plan = &model.record.plan;
    laterality::may_be_sided(&names) || !plan.sides_by_position.is_empty() || !plan.swapped.is_empty()
}

/// Refuses a run whose networks cannot be averaged with those of the first.
fn check_alike(first: &Model, model: &Model, run: &Path) -> Result<()> {
    let (one, other) = (&first.record, &model.record);
    let (a, b) = (&one.preparation, &other.preparation);
    let labels = |model: &Model| {
        let names = model.record.labels.iter().map(|label| format!("{} ({})", label.name, label.value));
        names.collect::<Vec<_>>().join(", ")
    };
    let millimetres = |spacing: [f64; 3]| spacing.map(|side| side.to_string()).join(" x ");
    let problem = if one.labels != other.labels {
        format!("its labels are {}; those of the first are {}", labels(model), labels(first))
    } else if one.channels != other.channels {
        let (this, that) = (other.channels.join(", "), one.channels.join(", "));
        format!("its channels are {this}; those of the first are {that}")
    } else if a.modality != b.modality {
        format!("it was trained on {}; the first on {}", b.modality, a.modality)
    } else if a.spacing_mm != b.spacing_mm {
        let (this, that) = (millimetres(b.spacing_mm), millimetres(a.spacing_mm));
        format!("its images are prepared at {this} mm (x, y, z); those of the first at {that} mm")
    } else if one.plan.regions != other.plan.regions {
        "its regions are not those of the first".to_owned()
    } else if (&a.normalisation, &a.further_channels) != (&b.normalisation, &b.further_channels) {
        "its images are normalised otherwise than those of the first".to_owned()
    } else if (a.crop, a.resample) != (b.crop, b.resample) {
        "its images are cropped or resampled otherwise than those of the first".to_owned()
    } else if one.reading != other.reading {
        "its images were read otherwise than those of the first (orientation, channel, frame, stacks, rescaling or unit)"
            .to_owned()
    } else {
        return Ok(());
    };
    Err(FitError::Ensemble { problem, path: run.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_all_ways_to_mirror_the_axes() {
        assert_eq!(copies([false; 3]), [[false; 3]]);
        let two = copies([true, false, true]);
        assert_eq!(two, [[false; 3], [false, false, true], [true, false, false], [true, false, true]]);
        assert_eq!(copies([true; 3]).len(), 8);
    }

    #[test]
    fn mirroring_reverses_axes_and_keeps_channels_together() {
        let shape = [2, 3, 4];
        let values: Vec<f32> = (0..48).map(|value| value as f32).collect();
        for axes in copies([true; 3]) {
            let mut found = values.clone();
            mirror(&mut found, shape, 2, axes);
            for voxel in 0..24 {
                let at = [voxel / 12, voxel / 4 % 3, voxel % 4];
                let from: [usize; 3] =
                    std::array::from_fn(
                        |axis| if axes[axis] { shape[axis] - 1 - at[axis] } else { at[axis] },
                    );
                let from = (from[0] * 3 + from[1]) * 4 + from[2];
                assert_eq!(found[2 * voxel..2 * voxel + 2], values[2 * from..2 * from + 2], "{axes:?}");
            }
            mirror(&mut found, shape, 2, axes);
            assert_eq!(found, values, "mirrored twice");
        }
    }
}
