//! Prepared cases, in memory or in files, and the channels of their labels.

use std::borrow::Cow;

use pdl_volume::{Grid, LabelMap, Volume};
use serde::Serialize;

use crate::data::voxel_file::{BoxZyx, VoxelFile};
use crate::error::Result as FitResult;

pub use pdl_metrics::IGNORED;

/// Mapping from label values to channels: background is channel 0, labels follow in ascending
/// order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Channels {
    values: Vec<u16>,
    ignored: Option<u16>,
}

impl Channels {
    /// The mapping for these label values; duplicates and 0 are ignored.
    pub fn new(mut labels: Vec<u16>) -> Self {
        labels.sort_unstable();
        labels.dedup();
        labels.retain(|&value| value != 0);
        Self { values: labels, ignored: None }
    }

    /// The same mapping with a label to ignore.
    #[must_use]
    pub fn ignoring(self, label: Option<u16>) -> Self {
        Self { ignored: label, ..self }
    }

    /// Number of channels, background included.
    pub fn len(&self) -> usize {
        self.values.len() + 1
    }

    /// Label values in channel order, from channel 1.
    pub fn labels(&self) -> &[u16] {
        &self.values
    }

    /// For every channel whether `labels` contains it; background is always annotated.
    pub fn annotated(&self, labels: &[u16]) -> Vec<bool> {
        [true].into_iter().chain(self.values.iter().map(|value| labels.contains(value))).collect()
    }

    /// Channel of every voxel of a label map; labels that are not annotated become background, and
    /// the ignored one [`IGNORED`].
    ///
    /// # Errors
    /// The first value that is not a label of the cohort.
    pub fn encode(&self, map: &LabelMap, annotated: &[bool]) -> Result<Vec<u8>, u16> {
        let channel = |value: &u16| match (value, self.values.binary_search(value)) {
            (0, _) => Ok(0),
            (&value, _) if Some(value) == self.ignored => Ok(IGNORED),
            (_, Ok(index)) if annotated[index + 1] => Ok(index as u8 + 1),
            (_, Ok(_)) => Ok(0),
            (value, Err(_)) => Err(*value),
        };
        map.voxels.iter().map(channel).collect()
    }
}

/// A plane of a case that contains a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelPlane {
    /// Index along z.
    pub z: usize,
    /// Voxels of the label in all planes before this one.
    pub before: usize,
    /// Voxels of the label in this plane.
    pub voxels: usize,
}

/// A prepared case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Identifier in the manifest.
    pub case_id: String,
    /// Voxels along z, y, x.
    pub shape: [usize; 3],
    /// Grid of the prepared image; its axes are x, y, z.
    pub grid: Grid,
    /// For every channel whether the case was annotated for it; background is true.
    pub annotated: Vec<bool>,
    /// For each channel from 1 on: the planes that contain it, ascending.
    pub planes: Vec<Vec<LabelPlane>>,
    /// For each input the value outside its image: its minimum, as of air and of the dark surround
    /// of a scan. Zero would be the mean intensity, which no scanner shows outside the field of
    /// view.
    pub padding: Vec<f32>,
    voxels: Voxels,
}

/// The voxels of a case, in memory or in a file.
#[derive(Clone, Debug)]
enum Voxels {
    /// Normalised intensities (input, z, y, x), and the channel of every voxel (z, y, x), which is
    /// empty for an unlabelled case.
    Memory {
        image: Vec<f32>,
        target: Vec<u8>,
    },
    File(VoxelFile),
}

/// A box of a case's voxels in memory.
#[derive(Clone, Debug)]
pub struct CasePart<'a> {
    /// Place in the case.
    pub place: BoxZyx,
    /// Normalised intensities (input, z, y, x).
    pub image: Cow<'a, [f32]>,
    /// Channel of every voxel (z, y, x); empty for an unlabelled case.
    pub target: Cow<'a, [u8]>,
}

impl CasePart<'_> {
    /// Images (z, y, x) of the inputs.
    pub fn images(&self) -> impl Iterator<Item = &[f32]> {
        self.image.chunks_exact(self.place.len().max(1))
    }

    /// A position of the case (z, y, x) relative to the box.
    pub fn relative(&self, origin: [isize; 3]) -> [isize; 3] {
        std::array::from_fn(|axis| origin[axis] - self.place.start[axis] as isize)
    }
}

impl Case {
    /// A case with one input, from a prepared image and the channel of every voxel (z, y, x).
    #[cfg(test)]
    pub fn new(case_id: &str, image: Volume<f32>, target: Vec<u8>, annotated: Vec<bool>) -> Self {
        Self::with_inputs(case_id, image, &[], target, annotated)
    }

    /// A case from the prepared images of all inputs, which are on one grid: the first and the
    /// `others`.
    pub fn with_inputs(
        case_id: &str,
        first: Volume<f32>,
        others: &[Volume<f32>],
        target: Vec<u8>,
        annotated: Vec<bool>,
    ) -> Self {
        let [nx, ny, nz] = first.grid.shape;
        let lowest = |voxels: &[f32]| voxels.iter().copied().fold(f32::INFINITY, f32::min);
        let padding = [&first].into_iter().chain(others).map(|image| lowest(&image.voxels)).collect();
        let (grid, mut image) = (first.grid, first.voxels);
        others.iter().for_each(|other| image.extend_from_slice(&other.voxels));
        Self {
            case_id: case_id.to_owned(),
            shape: [nz, ny, nx],
            grid,
            planes: label_planes(&target, [nz, ny, nx], annotated.len()),
            annotated,
            padding,
            voxels: Voxels::Memory { image, target },
        }
    }

    /// The same case with its voxels in a file.
    #[must_use]
    pub fn in_file(self, file: VoxelFile) -> Self {
        Self { voxels: Voxels::File(file), ..self }
    }

    /// A case whose voxels are in a file, as an earlier [`Case::in_file`] described it.
    pub fn from_file(
        case_id: &str,
        grid: Grid,
        annotated: Vec<bool>,
        planes: Vec<Vec<LabelPlane>>,
        padding: Vec<f32>,
        file: VoxelFile,
    ) -> Self {
        let [nx, ny, nz] = grid.shape;
        let case_id = case_id.to_owned();
        Self { case_id, shape: [nz, ny, nx], grid, annotated, planes, padding, voxels: Voxels::File(file) }
    }

    /// Number of inputs: images of the case.
    pub fn inputs(&self) -> usize {
        self.padding.len()
    }

    /// At least the part of the case within a box of `size` voxels from `origin` (z, y, x) on. What
    /// is in memory is not copied.
    ///
    /// # Errors
    /// [`crate::FitError::Store`] if the file of the voxels cannot be read.
    pub fn part(&self, origin: [isize; 3], size: [usize; 3]) -> FitResult<CasePart<'_>> {
        match &self.voxels {
            Voxels::Memory { image, target } => Ok(CasePart {
                place: BoxZyx::whole(self.shape),
                image: Cow::Borrowed(image),
                target: Cow::Borrowed(target),
            }),
            Voxels::File(file) => {
                let place = BoxZyx::within(self.shape, origin, size);
                let (image, target) = (file.images(place)?, file.channels(place)?);
                Ok(CasePart { place, image: Cow::Owned(image), target: Cow::Owned(target) })
            }
        }
    }

    /// All voxels.
    ///
    /// # Errors
    /// As [`Case::part`].
    pub fn whole(&self) -> FitResult<CasePart<'_>> {
        self.part([0; 3], self.shape)
    }

    /// A voxel (z, y, x) of the label of `channel`, by its number in C order among those of the
    /// label; `None` if the case has fewer.
    ///
    /// # Errors
    /// As [`Case::part`].
    pub fn voxel_of(&self, channel: usize, number: usize) -> FitResult<Option<[usize; 3]>> {
        let planes = channel.checked_sub(1).and_then(|label| self.planes.get(label));
        let after = |planes: &Vec<LabelPlane>| planes.partition_point(|plane| plane.before <= number);
        let plane = planes.and_then(|planes| planes[..after(planes)].last());
        let Some(plane) = plane else { return Ok(None) };
        let [_, ny, nx] = self.shape;
        let channels = self.target_plane(plane.z)?;
        let is_label = |&(_, &of_voxel): &(usize, &u8)| usize::from(of_voxel) == channel;
        let found = channels.iter().enumerate().filter(is_label).nth(number - plane.before);
        debug_assert_eq!(channels.len(), ny * nx);
        Ok(found.map(|(at, _)| [plane.z, at / nx, at % nx]))
    }

    /// Channels (y, x) of a plane.
    fn target_plane(&self, z: usize) -> FitResult<Cow<'_, [u8]>> {
        let [_, ny, nx] = self.shape;
        match &self.voxels {
            Voxels::Memory { target, .. } => Ok(Cow::Borrowed(&target[z * ny * nx..(z + 1) * ny * nx])),
            Voxels::File(file) => {
                Ok(Cow::Owned(file.channels(BoxZyx { start: [z, 0, 0], shape: [1, ny, nx] })?))
            }
        }
    }

    /// Voxel spacing along z, y, x, in mm.
    pub fn spacing_mm_zyx(&self) -> [f64; 3] {
        let [x, y, z] = self.grid.spacing_mm();
        [z, y, x]
    }

    /// A case without labels, for prediction, from the prepared images of all inputs.
    pub fn unlabelled(case_id: &str, first: Volume<f32>, others: &[Volume<f32>]) -> Self {
        Self::with_inputs(case_id, first, others, Vec::new(), vec![true])
    }

    /// The same case with other intensities (input, z, y, x) and values outside.
    #[cfg(test)]
    pub fn with_image(mut self, padding: Vec<f32>, change: impl FnOnce(&mut Vec<f32>)) -> Self {
        self.padding = padding;
        if let Voxels::Memory { image, .. } = &mut self.voxels {
            change(image);
        }
        self
    }
}

/// For each channel from 1 to below `channels` the planes that contain it.
fn label_planes(target: &[u8], [nz, ny, nx]: [usize; 3], channels: usize) -> Vec<Vec<LabelPlane>> {
    let mut planes: Vec<Vec<LabelPlane>> = vec![Vec::new(); channels.saturating_sub(1)];
    for z in 0..nz {
        let mut counts = [0; 256];
        let plane = target.get(z * ny * nx..(z + 1) * ny * nx).unwrap_or_default();
        plane.iter().for_each(|&channel| counts[usize::from(channel)] += 1);
        for (planes, voxels) in planes.iter_mut().zip(counts.into_iter().skip(1)).filter(|(_, n)| *n > 0) {
            let before = planes.last().map_or(0, |last| last.before + last.voxels);
            planes.push(LabelPlane { z, before, voxels });
        }
    }
    planes
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Grid, Orientation};

    fn map(voxels: Vec<u16>) -> LabelMap {
        let shape = [2, 1, voxels.len() / 2];
        let affine = Affine::from_orientation(Orientation::RAS, [1.0; 3], shape);
        Volume::new(Grid::new(shape, affine), voxels).unwrap()
    }

    #[test]
    fn labels_need_not_be_consecutive() {
        let channels = Channels::new(vec![7, 3, 0]);
        assert_eq!(channels.len(), 3);
        assert_eq!(channels.encode(&map(vec![0, 3, 7, 3]), &[true; 3]), Ok(vec![0, 1, 2, 1]));
        assert_eq!(channels.encode(&map(vec![0, 4]), &[true; 3]), Err(4));
    }

    #[test]
    fn what_is_not_annotated_is_background() {
        let channels = Channels::new(vec![3, 7]);
        let annotated = channels.annotated(&[7]);
        assert_eq!(annotated, [true, false, true]);
        assert_eq!(channels.encode(&map(vec![3, 7]), &annotated), Ok(vec![0, 2]));
    }

    #[test]
    fn what_says_nothing_is_no_channel() {
        let channels = Channels::new(vec![3]).ignoring(Some(9));
        assert_eq!(
            (channels.len(), channels.encode(&map(vec![9, 3]), &[true; 2])),
            (2, Ok(vec![IGNORED, 1]))
        );
    }

    #[test]
    fn knows_which_planes_hold_a_label() {
        let target = vec![0, 1, 0, 0, 2, 1];
        let case = Case::new("a", map(vec![0; 6]).map(|_| -1.0), target, vec![true; 3]);
        assert_eq!(case.shape, [3, 1, 2]);
        let plane = |z, before, voxels| LabelPlane { z, before, voxels };
        assert_eq!(case.planes, [vec![plane(0, 0, 1), plane(2, 1, 1)], vec![plane(2, 0, 1)]]);
        assert_eq!(
            [0, 1, 2].map(|number| case.voxel_of(1, number).unwrap()),
            [Some([0, 0, 1]), Some([2, 0, 1]), None]
        );
        assert_eq!(
            [(2, 0), (3, 0), (0, 0)].map(|(channel, number)| case.voxel_of(channel, number).unwrap()),
            [Some([2, 0, 0]), None, None]
        );
        assert_eq!(case.padding, [-1.0]);
    }

    #[test]
    fn a_case_in_a_file_has_the_voxels_that_it_had_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.voxels");
        let image = |scale: f32| {
            let voxels = (0..24).map(|v| v as f32 * scale).collect();
            let affine = Affine::from_orientation(Orientation::RAS, [1.0; 3], [4, 3, 2]);
            Volume::new(Grid::new([4, 3, 2], affine), voxels).unwrap()
        };
        let target: Vec<u8> = (0..24).map(|v| u8::from(v % 5 == 0)).collect();
        let case = Case::with_inputs("a", image(1.0), &[image(-2.0)], target, vec![true; 2]);
        assert_eq!((case.inputs(), case.padding.as_slice()), (2, [0.0, -46.0].as_slice()));
        let whole = case.whole().unwrap();
        VoxelFile::write(&path, &whole.image, &whole.target).unwrap();
        let stored = case.clone().in_file(VoxelFile::new(path, case.shape, 2));
        let read = stored.whole().unwrap();
        assert_eq!((&read.image, &read.target), (&whole.image, &whole.target));
        let part = stored.part([1, -1, 2], [3, 3, 9]).unwrap();
        assert_eq!(part.place, BoxZyx { start: [1, 0, 2], shape: [1, 2, 2] });
        assert_eq!(part.image[..], [14.0, 15.0, 18.0, 19.0, -28.0, -30.0, -36.0, -38.0]);
        assert_eq!(part.relative([1, -1, 2]), [0, -1, 0]);
        for number in 0..6 {
            assert_eq!(stored.voxel_of(1, number).unwrap(), case.voxel_of(1, number).unwrap());
        }
    }
}
