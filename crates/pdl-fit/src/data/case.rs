//! Prepared cases in memory, and the channels of their labels.

use pdl_volume::{Grid, LabelMap, Volume};

pub use pdl_metrics::IGNORED;

/// Mapping from label values to channels: background is channel 0, labels follow in ascending
/// order.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// The same mapping with the label of voxels that say nothing.
    #[must_use]
    pub fn ignoring(self, label: Option<u16>) -> Self {
        Self { ignored: label, ..self }
    }

    /// Number of channels, background included.
    pub fn len(&self) -> usize {
        self.values.len() + 1
    }

    /// Whether there is no label besides background.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
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

/// A prepared case. Image and channels are in C order (z, y, x).
#[derive(Clone, Debug)]
pub struct Case {
    /// Identifier in the manifest.
    pub case_id: String,
    /// Voxels along z, y, x.
    pub shape: [usize; 3],
    /// Grid of the prepared image; its axes are x, y, z.
    pub grid: Grid,
    /// Normalised intensities.
    pub image: Vec<f32>,
    /// Channel of every voxel; empty for an unlabelled case.
    pub target: Vec<u8>,
    /// For every channel whether the case was annotated for it; background is true.
    pub annotated: Vec<bool>,
    /// For each channel from 1 on: the planes that contain it, ascending.
    pub planes: Vec<Vec<LabelPlane>>,
    /// Value outside the image: its minimum, as of air and of the dark surround of a scan. Zero
    /// would be the mean intensity, which no scanner shows outside the field of view.
    pub padding: f32,
}

impl Case {
    /// A case from a prepared image and the channel of every voxel (z, y, x).
    pub fn new(case_id: &str, image: Volume<f32>, target: Vec<u8>, annotated: Vec<bool>) -> Self {
        let [nx, ny, nz] = image.grid.shape;
        let planes = label_planes(&target, [nz, ny, nx], annotated.len());
        let padding = image.voxels.iter().copied().fold(f32::INFINITY, f32::min);
        Self {
            case_id: case_id.to_owned(),
            shape: [nz, ny, nx],
            grid: image.grid,
            image: image.voxels,
            target,
            annotated,
            planes,
            padding,
        }
    }

    /// A voxel (z, y, x) of the label of `channel`, by its number in C order among those of the
    /// label; `None` if the case has fewer.
    pub fn voxel_of(&self, channel: usize, number: usize) -> Option<[usize; 3]> {
        let planes = self.planes.get(channel.checked_sub(1)?)?;
        let plane = planes[..planes.partition_point(|plane| plane.before <= number)].last()?;
        let [_, ny, nx] = self.shape;
        let channels = &self.target[plane.z * ny * nx..(plane.z + 1) * ny * nx];
        let is_label = |&(_, &of_voxel): &(usize, &u8)| usize::from(of_voxel) == channel;
        let (at, _) = channels.iter().enumerate().filter(is_label).nth(number - plane.before)?;
        Some([plane.z, at / nx, at % nx])
    }

    /// Voxel spacing along z, y, x, in mm.
    pub fn spacing_mm_zyx(&self) -> [f64; 3] {
        let [x, y, z] = self.grid.spacing_mm();
        [z, y, x]
    }

    /// A case without labels, for prediction.
    pub fn unlabelled(case_id: &str, image: Volume<f32>) -> Self {
        Self::new(case_id, image, Vec::new(), vec![true])
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
            [0, 1, 2].map(|number| case.voxel_of(1, number)),
            [Some([0, 0, 1]), Some([2, 0, 1]), None]
        );
        assert_eq!(
            [case.voxel_of(2, 0), case.voxel_of(3, 0), case.voxel_of(0, 0)],
            [Some([2, 0, 0]), None, None]
        );
        assert_eq!(case.padding, -1.0);
    }
}
