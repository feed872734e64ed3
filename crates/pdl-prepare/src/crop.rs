//! The box to which a case is cropped before all other steps.

use pdl_volume::body::body;
use pdl_volume::statistics::percentiles;
use pdl_volume::{LabelMap, Volume, VoxelBox};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The part of an image that is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Crop {
    /// The whole image.
    #[default]
    None,
    /// The bounding box of all voxels that are not 0, as in nnU-Net v2.
    Nonzero,
    /// The bounding box of the body: voxels brighter than Otsu's threshold (of the intensities
    /// between percentiles 0.5 and 99.5), and darker ones that are not connected to the image's
    /// border through darker voxels. A couch counts as body.
    Body,
}

impl Crop {
    /// The box of an image; the whole image if it has no foreground.
    pub fn of(self, image: &Volume<f32>) -> VoxelBox {
        self.of_channels(image, &[])
    }

    /// The smallest box that holds those of an image and of the channels on its grid; the whole
    /// image if none has foreground.
    pub(crate) fn of_channels(self, image: &Volume<f32>, channels: &[Volume<f32>]) -> VoxelBox {
        let found = |image: &Volume<f32>| match self {
            Self::None => None,
            Self::Nonzero => nonzero(image),
            Self::Body => body_box(image),
        };
        let boxes = std::iter::once(image).chain(channels).filter_map(found);
        boxes.reduce(|a, b| a.joined(&b)).unwrap_or_else(|| VoxelBox::whole(image.grid.shape))
    }
}

/// The smallest box about the voxels that are not 0.
pub(crate) fn nonzero(image: &Volume<f32>) -> Option<VoxelBox> {
    VoxelBox::around(image.grid.shape, |i| image.voxels[i] != 0.0)
}

fn body_box(image: &Volume<f32>) -> Option<VoxelBox> {
    let inside = body_mask(image)?;
    VoxelBox::around(image.grid.shape, |i| inside[i])
}

/// Whether each voxel lies inside the body; `None` for an image of one intensity.
fn body_mask(image: &Volume<f32>) -> Option<Vec<bool>> {
    let [nx, ny, nz] = image.grid.shape;
    let [low, high] = percentiles(&image.voxels, [0.5, 99.5]).map(|v| v as f32);
    (low < high).then(|| body(&image.voxels, [nz, ny, nx], [low, high]))
}

/// The intensities inside the body; all of an image of one intensity.
pub(crate) fn body_voxels(image: &Volume<f32>) -> Vec<f32> {
    let Some(inside) = body_mask(image) else { return image.voxels.clone() };
    image.voxels.iter().zip(inside).filter(|(_, inside)| *inside).map(|(voxel, _)| *voxel).collect()
}

/// The crop of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cropped {
    /// The box, of voxels of the stored RAS+ image.
    pub part: VoxelBox,
    /// Number of labelled voxels outside the image's own box, which was extended to hold them.
    pub labelled_outside: u64,
}

impl Cropped {
    /// The box of an image, extended to hold every labelled voxel, if it has labels.
    pub(crate) fn of(
        crop: Crop,
        image: &Volume<f32>,
        channels: &[Volume<f32>],
        labels: Option<&LabelMap>,
    ) -> Self {
        let part = crop.of_channels(image, channels);
        let Some(labels) = labels.filter(|_| part != VoxelBox::whole(image.grid.shape)) else {
            return Self { part, labelled_outside: 0 };
        };
        let [nx, ny, _] = labels.grid.shape;
        let place = |i: usize| [i % nx, i / nx % ny, i / (nx * ny)];
        let labelled = labels.voxels.iter().enumerate().filter(|(_, label)| **label > 0);
        let labelled_outside = labelled.filter(|(i, _)| !part.holds(place(*i))).count() as u64;
        let extended = VoxelBox::around(labels.grid.shape, |i| labels.voxels[i] > 0);
        Self { part: extended.map_or(part, |labels| part.joined(&labels)), labelled_outside }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Grid, Orientation};

    const SHAPE: [usize; 3] = [12, 11, 10];
    const BODY: VoxelBox = VoxelBox { start: [3, 2, 1], shape: [6, 7, 8] };

    fn image(inside: f32, outside: f32) -> Volume<f32> {
        let grid = Grid::new(SHAPE, Affine::from_orientation(Orientation::RAS, [1.0; 3], SHAPE));
        let voxels = BODY.put_back(vec![inside; BODY.len()], SHAPE, outside);
        Volume::new(grid, voxels).unwrap()
    }

    #[test]
    fn boxes_are_those_of_the_image() {
        assert_eq!(Crop::None.of(&image(40.0, -1000.0)), VoxelBox::whole(SHAPE));
        assert_eq!(Crop::Body.of(&image(40.0, -1000.0)), BODY);
        assert_eq!(Crop::Nonzero.of(&image(40.0, 0.0)), BODY);
        assert_eq!(Crop::Nonzero.of(&image(40.0, -1000.0)), VoxelBox::whole(SHAPE));
        let mut dot = image(0.0, 0.0);
        dot.voxels[11] = 1.0;
        let both = VoxelBox { start: [3, 0, 0], shape: [9, 9, 9] };
        assert_eq!(Crop::Nonzero.of_channels(&image(40.0, 0.0), &[dot]), both);
        for crop in [Crop::Nonzero, Crop::Body] {
            assert_eq!(crop.of(&image(0.0, 0.0)), VoxelBox::whole(SHAPE), "nothing stands out");
        }
    }

    #[test]
    fn labels_outside_extend_the_box_and_are_counted() {
        let image = image(40.0, 0.0);
        let mut labels = image.map(|_| 0_u16);
        labels.voxels[4 + 12 * (3 + 11 * 2)] = 1;
        let inside = Cropped::of(Crop::Nonzero, &image, &[], Some(&labels));
        assert_eq!(inside, Cropped { part: BODY, labelled_outside: 0 });
        labels.voxels[11 + 12 * (3 + 11 * 2)] = 2;
        let extended = Cropped::of(Crop::Nonzero, &image, &[], Some(&labels));
        assert_eq!(extended.part, VoxelBox { start: [3, 2, 1], shape: [9, 7, 8] });
        assert_eq!(extended.labelled_outside, 1);
    }
}
