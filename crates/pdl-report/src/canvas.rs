//! Axial, coronal and sagittal planes of a case with the contours of its labels, one row per
//! volume.
//!
//! All rows show the same point of the patient, at the same scale, in the orientation of
//! [`crate::planes`]; letters mark the sides.

use std::io::ErrorKind;
use std::path::Path;

use image::{ExtendedColorType, ImageEncoder, ImageError};
use pdl_cohort::table::case_row::CaseRow;
use pdl_io::{read_image, read_labels};
use pdl_store::{catch_panic, paths};
use pdl_volume::{Grid, Volume};

use crate::Result;
use crate::planes::{AnatomicalPlane, contour_pixel, fullest, outlines};

/// Side of a letter in pixels; its font has 8.
const LETTER: usize = 16;

/// An image and its labels on one RAS+ grid.
pub(crate) struct LabelledImage {
    pub(crate) image: Volume<f32>,
    pub(crate) labels: Option<Volume<u16>>,
    /// Intensities that are black and white.
    pub(crate) window: [f64; 2],
}

/// The case as stored, on the grid of the table of cases; of several channels the one with this
/// number, on its own grid where that is another.
pub(crate) fn stored(out: &Path, row: &CaseRow, channel: usize) -> Result<LabelledImage> {
    let of_channel = row.channels.get(channel);
    let path = of_channel.map_or(&row.image, |channel| &channel.image);
    let window = match of_channel {
        Some(channel) => channel.intensities.percentiles(),
        None => row.intensities.percentiles(),
    };
    let image = read_image(&paths::resolve(out, path))?.volume;
    let grid = row.grid().filter(|grid| grid.shape == image.grid.shape).unwrap_or(image.grid);
    let labels = match &row.label {
        Some(label) => Some(read_labels(&paths::resolve(out, label))?.map),
        None => None,
    };
    let labels = labels.filter(|labels| labels.grid.shape == grid.shape);
    Ok(LabelledImage {
        image: Volume { grid, voxels: image.voxels }.to_ras(),
        labels: labels.map(|labels| Volume { grid, voxels: labels.voxels }.to_ras()),
        window,
    })
}

/// The point whose planes hold most labelled voxels, mm (RAS).
pub(crate) fn middle_mm(labels: &Volume<u16>) -> [f64; 3] {
    labels.grid.affine.apply(fullest(&labels.voxels, labels.grid.shape).map(|index| index as f64))
}

/// An RGB picture with three planes, each `side` pixels square, per row.
pub(crate) struct Canvas {
    side: usize,
    rgb: Vec<u8>,
}

/// Encodes the pixels of a picture of this width and height. A codec without memory is an error of
/// the machine.
pub(crate) fn write_picture(
    encoder: impl ImageEncoder,
    pixels: &[u8],
    [width, height]: [u32; 2],
    colour: ExtendedColorType,
) -> Result<()> {
    let written = catch_panic::of_codecs(|| encoder.write_image(pixels, width, height, colour));
    let no_memory = || Err(ImageError::IoError(ErrorKind::OutOfMemory.into()));
    Ok(written.unwrap_or_else(no_memory)?)
}

impl Canvas {
    /// Draws `rows` with the planes through `middle_mm`. `values` are the cohort's label values,
    /// ascending: the index of a label among them selects its colour.
    pub(crate) fn draw(side: usize, rows: &[&LabelledImage], middle_mm: [f64; 3], values: &[u16]) -> Self {
        let mut canvas = Self { side, rgb: vec![0; 3 * 3 * side * rows.len() * side] };
        let reach_mm = rows.iter().flat_map(|row| extent_mm(&row.image.grid)).fold(0.0, f64::max);
        for (number, row) in rows.iter().enumerate() {
            for (column, plane) in AnatomicalPlane::ALL.into_iter().enumerate() {
                canvas.plane([column * side, number * side], row, plane, middle_mm, reach_mm, values);
            }
        }
        canvas
    }

    /// Encodes the picture.
    pub(crate) fn encode(&self, encoder: impl ImageEncoder) -> Result<()> {
        let (width, height) = (3 * self.side, self.rgb.len() / (3 * 3 * self.side));
        write_picture(encoder, &self.rgb, [width as u32, height as u32], ExtendedColorType::Rgb8)
    }

    /// Draws one plane with its contours and letters; its upper left corner is `corner` (x, y).
    fn plane(
        &mut self,
        corner: [usize; 2],
        row: &LabelledImage,
        plane: AnatomicalPlane,
        middle_mm: [f64; 3],
        reach_mm: f64,
        values: &[u16],
    ) {
        let (grid, side) = (&row.image.grid, self.side);
        let middle = grid.affine.index_at(middle_mm);
        let places: Vec<Option<usize>> = (0..side * side)
            .map(|i| place(grid, plane, [i % side, i / side], side, middle, reach_mm))
            .collect();
        let found: Vec<u16> = places
            .iter()
            .map(|place| row.labels.as_ref().and_then(|labels| Some(labels.voxels[(*place)?])).unwrap_or(0))
            .collect();
        let border = outlines(&found, side);
        let [low, high] = row.window;
        let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
        for (i, place) in places.iter().enumerate() {
            let Some(place) = place else { continue };
            let grey = ((f64::from(row.image.voxels[*place]) - low) * scale).clamp(0.0, 255.0).round() as u8;
            let label = values.binary_search(&found[i]).unwrap_or(0);
            let contour = contour_pixel(label, i % side, i / side).filter(|_| border[i]);
            let rgb = contour.unwrap_or([grey; 3]);
            self.set(corner[0] + i % side, corner[1] + i / side, rgb);
        }
        let (middle, end) = ((side - LETTER) / 2, side - LETTER - 2);
        let spots = [[2, middle], [end, middle], [middle, 2], [middle, end]];
        for (letter, [x, y]) in plane.letters().into_iter().zip(spots) {
            self.letter(letter, [corner[0] + x, corner[1] + y]);
        }
    }

    fn set(&mut self, x: usize, y: usize, rgb: [u8; 3]) {
        let at = 3 * (y * 3 * self.side + x);
        self.rgb[at..at + 3].copy_from_slice(&rgb);
    }

    /// Draws a white letter on black; its upper left corner is `corner` (x, y).
    fn letter(&mut self, letter: char, corner: [usize; 2]) {
        let glyph = font8x8::legacy::BASIC_LEGACY[letter as usize % 128];
        for y in 0..LETTER {
            for x in 0..LETTER {
                let lit = glyph[y * 8 / LETTER] >> (x * 8 / LETTER) & 1 == 1;
                self.set(corner[0] + x, corner[1] + y, [if lit { 255 } else { 0 }; 3]);
            }
        }
    }
}

fn extent_mm(grid: &Grid) -> [f64; 3] {
    let spacing = grid.spacing_mm();
    std::array::from_fn(|axis| grid.shape[axis] as f64 * spacing[axis])
}

/// Index of the voxel nearest to a pixel (x, y) of a square of `side` pixels; `None` outside the
/// volume, which is centred in the picture.
fn place(
    grid: &Grid,
    plane: AnatomicalPlane,
    pixel: [usize; 2],
    side: usize,
    middle: [f64; 3],
    reach_mm: f64,
) -> Option<usize> {
    let [across, down, through] = plane.axes();
    let (spacing, extent) = (grid.spacing_mm(), extent_mm(grid));
    let mut index = [0; 3];
    index[through] = inside(middle[through].round(), grid.shape[through])?;
    for (axis, i) in [(across, pixel[0]), (down, pixel[1])] {
        let along = (i as f64 + 0.5) / side as f64 * reach_mm - (reach_mm - extent[axis]) / 2.0;
        // Picture axes run against the volume's.
        index[axis] = inside(((extent[axis] - along) / spacing[axis]).floor(), grid.shape[axis])?;
    }
    Some(index[0] + grid.shape[0] * (index[1] + grid.shape[1] * index[2]))
}

fn inside(index: f64, count: usize) -> Option<usize> {
    (index >= 0.0 && index < count as f64).then_some(index as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Orientation};

    #[test]
    fn the_right_is_on_the_left_and_the_same_point_is_found_on_another_grid() {
        let grid =
            |shape, spacing| Grid::new(shape, Affine::from_orientation(Orientation::RAS, spacing, shape));
        let fine = grid([8, 8, 8], [1.0; 3]);
        let first = place(&fine, AnatomicalPlane::Axial, [0, 0], 8, [4.0; 3], 8.0).unwrap();
        assert_eq!(first, 7 + 8 * (7 + 8 * 4)); //  most to the right, most to the front
        let last = place(&fine, AnatomicalPlane::Axial, [7, 7], 8, [4.0; 3], 8.0).unwrap();
        assert_eq!(last, 8 * 8 * 4);
        let point = fine.affine.apply([3.0, 4.0, 5.0]);
        assert!(fine.affine.index_at(point).iter().zip([3.0, 4.0, 5.0]).all(|(a, b)| (a - b).abs() < 1e-9));
    }
}
