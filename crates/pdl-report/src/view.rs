//! `pdl view`: three planes of a case with its labels outlined, as stored (above) and as prepared (below).
//!
//! Both rows show the same points of the patient, at the same scale, in the orientation of [`crate::planes`]; letters
//! say which side is which.

use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use pdl_cohort::cases::{CaseRow, Cases};
use pdl_io::{read_image, read_labels};
use pdl_prepare::prepare;
use pdl_store::{atomic, paths};
use pdl_volume::statistics::Statistics;
use pdl_volume::{Grid, Volume};

use crate::planes::{COLOURS, Plane, fullest, outlines};
use crate::{ReportError, Result};

/// Pixels of each side of a plane.
const SIDE: usize = 384;

/// Pixels of a side of a letter; its font has 8.
const LETTER: usize = 16;

/// A picture of three planes in two rows.
struct Canvas {
    rgb: Vec<u8>,
}

/// One row of the picture: an image and its labels on one RAS+ grid.
struct Row {
    image: Volume<f32>,
    labels: Option<Volume<u16>>,
    /// The intensities that are black and white.
    window: [f64; 2],
}

/// Writes the PNG of `case` to `to`.
///
/// # Errors
/// [`ReportError`] when there is no such prepared case, or its files cannot be read.
pub fn view(out: &Path, case: &str, to: &Path) -> Result<()> {
    let cases = Cases::read(out)?;
    let prepared_rows = prepare::read(out)?;
    let unknown = || ReportError::UnknownCase {
        case: case.to_owned(),
        hint: prepared_rows.first().map_or(String::new(), |row| format!("; the first is '{}'", row.case_id)),
        out: out.to_owned(),
    };
    let row = cases.rows.iter().find(|row| row.case_id == case).ok_or_else(unknown)?;
    let own = prepared_rows.iter().find(|row| row.case_id == case).ok_or_else(unknown)?;
    let stored = stored(out, row)?;
    let image = read_image(&out.join(&own.image))?.volume.to_ras();
    let labels = read_labels(&out.join(&own.label))?.map.to_ras();
    let window = Statistics::of(&image.voxels).map_or([0.0, 1.0], |s| [s.p00_5, s.p99_5]);
    let middle = fullest(&labels.voxels, labels.grid.shape).map(|index| index as f64);
    let middle_mm = labels.grid.affine.apply(middle);
    let prepared = Row { image, labels: Some(labels), window };
    let reach =
        [&stored, &prepared].into_iter().flat_map(|row| extent_mm(&row.image.grid)).fold(0.0, f64::max);
    let values: Vec<u16> = cases.rows.iter().flat_map(|row| row.labels.iter().map(|l| l.value)).collect();
    let values: std::collections::BTreeSet<u16> = values.into_iter().collect();
    let values: Vec<u16> = values.into_iter().collect();
    let mut canvas = Canvas { rgb: vec![0; 3 * 3 * SIDE * 2 * SIDE] };
    for (number, row) in [&stored, &prepared].into_iter().enumerate() {
        for (column, plane) in Plane::ALL.into_iter().enumerate() {
            draw(&mut canvas, [column * SIDE, number * SIDE], row, plane, middle_mm, reach, &values);
        }
    }
    let mut png = Vec::new();
    let (width, height) = (3 * SIDE as u32, 2 * SIDE as u32);
    PngEncoder::new(&mut png).write_image(&canvas.rgb, width, height, ExtendedColorType::Rgb8)?;
    Ok(atomic::write(to, &png)?)
}

/// The case as stored, on the grid that the table of cases gives it.
fn stored(out: &Path, row: &CaseRow) -> Result<Row> {
    let image = read_image(&paths::resolve(out, &row.image))?.volume;
    let grid = row.grid().filter(|grid| grid.shape == image.grid.shape).unwrap_or(image.grid);
    let labels = match &row.label {
        Some(label) => Some(read_labels(&paths::resolve(out, label))?.map),
        None => None,
    };
    let labels = labels.filter(|labels| labels.grid.shape == grid.shape);
    Ok(Row {
        image: Volume { grid, voxels: image.voxels }.to_ras(),
        labels: labels.map(|labels| Volume { grid, voxels: labels.voxels }.to_ras()),
        window: [row.intensity_p00_5, row.intensity_p99_5],
    })
}

fn extent_mm(grid: &Grid) -> [f64; 3] {
    let spacing = grid.spacing_mm();
    std::array::from_fn(|axis| grid.shape[axis] as f64 * spacing[axis])
}

/// The voxel (fractional) of a RAS+ grid at a point: along each axis how far it lies from the first voxel.
fn voxel_at(grid: &Grid, point_mm: [f64; 3]) -> [f64; 3] {
    let origin = grid.affine.origin_mm();
    std::array::from_fn(|axis| {
        let step = grid.affine.step_mm(axis);
        let along: f64 = (0..3).map(|i| (point_mm[i] - origin[i]) * step[i]).sum();
        along / step.iter().map(|s| s * s).sum::<f64>()
    })
}

/// One plane with its outlines and letters; its upper left corner is `corner` (x, y).
fn draw(
    canvas: &mut Canvas,
    corner: [usize; 2],
    row: &Row,
    plane: Plane,
    middle_mm: [f64; 3],
    reach_mm: f64,
    values: &[u16],
) {
    let grid = &row.image.grid;
    let middle = voxel_at(grid, middle_mm);
    let places: Vec<Option<usize>> =
        (0..SIDE * SIDE).map(|i| place(grid, plane, i, middle, reach_mm)).collect();
    let found: Vec<u16> = places
        .iter()
        .map(|place| row.labels.as_ref().and_then(|labels| Some(labels.voxels[(*place)?])).unwrap_or(0))
        .collect();
    let border = outlines(&found, SIDE);
    let [low, high] = row.window;
    let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
    for (i, place) in places.iter().enumerate() {
        let Some(place) = place else { continue };
        let grey = ((f64::from(row.image.voxels[*place]) - low) * scale).clamp(0.0, 255.0).round() as u8;
        let colour = values.binary_search(&found[i]).unwrap_or(0) % COLOURS.len();
        let rgb = if border[i] { COLOURS[colour] } else { [grey; 3] };
        canvas.set(corner[0] + i % SIDE, corner[1] + i / SIDE, rgb);
    }
    let (middle, end) = ((SIDE - LETTER) / 2, SIDE - LETTER - 2);
    let spots = [[2, middle], [end, middle], [middle, 2], [middle, end]];
    for (letter, [x, y]) in plane.letters().into_iter().zip(spots) {
        canvas.letter(letter, [corner[0] + x, corner[1] + y]);
    }
}

/// The voxel that a pixel shows, the nearest one; nothing outside the volume. The volume is centred in the picture.
fn place(grid: &Grid, plane: Plane, pixel: usize, middle: [f64; 3], reach_mm: f64) -> Option<usize> {
    let [across, down, through] = plane.axes();
    let (spacing, extent) = (grid.spacing_mm(), extent_mm(grid));
    let mut index = [0; 3];
    index[through] = inside(middle[through].round(), grid.shape[through])?;
    for (axis, i) in [(across, pixel % SIDE), (down, pixel / SIDE)] {
        let along = (i as f64 + 0.5) / SIDE as f64 * reach_mm - (reach_mm - extent[axis]) / 2.0;
        // Pictures run against the volume's axes.
        index[axis] = inside(((extent[axis] - along) / spacing[axis]).floor(), grid.shape[axis])?;
    }
    Some(index[0] + grid.shape[0] * (index[1] + grid.shape[1] * index[2]))
}

fn inside(index: f64, count: usize) -> Option<usize> {
    (index >= 0.0 && index < count as f64).then_some(index as usize)
}

impl Canvas {
    fn set(&mut self, x: usize, y: usize, rgb: [u8; 3]) {
        let at = 3 * (y * 3 * SIDE + x);
        self.rgb[at..at + 3].copy_from_slice(&rgb);
    }

    /// A white letter on black, its upper left corner at `corner` (x, y).
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

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Orientation};

    #[test]
    fn the_right_is_on_the_left_and_the_same_point_is_found_on_another_grid() {
        let grid =
            |shape, spacing| Grid::new(shape, Affine::from_orientation(Orientation::RAS, spacing, shape));
        let fine = grid([8, 8, 8], [1.0; 3]);
        let first = place(&fine, Plane::Axial, 0, [4.0; 3], 8.0).unwrap();
        assert_eq!(first, 7 + 8 * (7 + 8 * 4)); // most to the right, most to the front
        let last = place(&fine, Plane::Axial, SIDE * SIDE - 1, [4.0; 3], 8.0).unwrap();
        assert_eq!(last, 8 * 8 * 4);
        let point = fine.affine.apply([3.0, 4.0, 5.0]);
        assert!(voxel_at(&fine, point).iter().zip([3.0, 4.0, 5.0]).all(|(a, b)| (a - b).abs() < 1e-9));
    }
}
