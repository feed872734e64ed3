//! Pictures of validation cases: one axial plane without labels, with the label map, and with the
//! prediction, side by side.

use crate::data::case::{Case, IGNORED};
use crate::error::{FitError, Result};

/// Fractions of a plane's voxels below black and above white.
const WINDOW: [f64; 2] = [0.005, 0.995];
/// Weight of a label's colour over the image.
const OPACITY: f32 = 0.5;
/// Colours of labels (red, green, blue), repeated for more labels; they differ for all common
/// kinds of colour vision (Okabe and Ito 2008).
const COLOURS: [[u8; 3]; 7] = [
    [230, 159, 0],
    [86, 180, 233],
    [0, 158, 115],
    [240, 228, 66],
    [0, 114, 178],
    [213, 94, 0],
    [204, 121, 167],
];

/// An RGB image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The image, encoded as PNG.
    pub png: Vec<u8>,
}

/// Draws the plane of a case's first image with most labelled voxels, one pixel per voxel.
/// `predicted` is the channel of every voxel (z, y, x) of the prepared image. The patient's right
/// is on the left of a plane, as radiologists see it, and anterior is up.
///
/// # Errors
/// [`FitError::Picture`] if the image cannot be encoded, [`FitError::Store`] if the case cannot be
/// read.
pub fn draw(case: &Case, predicted: &[u8]) -> Result<Picture> {
    let [_, height, width] = case.shape;
    let whole = case.whole()?;
    let plane = plane_with_most_labels(case.shape, &whole.target);
    let part = |channels: &[u8]| channels.get(plane * height * width..).unwrap_or_default().to_vec();
    let grey = grey_levels(&whole.image[plane * height * width..(plane + 1) * height * width]);
    let panels = [Vec::new(), part(&whole.target), part(predicted)];
    let mut pixels = Vec::with_capacity(9 * height * width);
    for y in (0..height).rev() {
        for channels in &panels {
            for x in (0..width).rev() {
                let voxel = y * width + x;
                pixels.extend(colour(grey[voxel], channels.get(voxel).copied().unwrap_or(0)));
            }
        }
    }
    let width = panels.len() * width;
    Ok(Picture { width, height, png: encode(width, height, &pixels)? })
}

/// The axial plane with most labelled voxels, the first of equals; the middle one without labels.
/// `target` is the channel of every voxel (z, y, x).
fn plane_with_most_labels([planes, height, width]: [usize; 3], target: &[u8]) -> usize {
    let labelled = |plane: &[u8]| plane.iter().filter(|&&channel| channel != 0 && channel != IGNORED).count();
    let counts = target.chunks(height * width).map(labelled).enumerate();
    let most = counts.max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0))).filter(|(_, count)| *count > 0);
    most.map_or(planes / 2, |(plane, _)| plane)
}

/// Intensities as grey levels from 0 to 255.
fn grey_levels(plane: &[f32]) -> Vec<f32> {
    let mut sorted = plane.to_vec();
    sorted.sort_by(f32::total_cmp);
    let at = |share: f64| sorted.get((share * (sorted.len() - 1) as f64).round() as usize).copied();
    let [low, high] = WINDOW.map(|share| at(share).unwrap_or(0.0));
    let range = (high - low).max(f32::MIN_POSITIVE);
    plane.iter().map(|value| 255.0 * ((value - low) / range).clamp(0.0, 1.0)).collect()
}

fn colour(grey: f32, channel: u8) -> [u8; 3] {
    if channel == 0 || channel == IGNORED {
        return [grey as u8; 3];
    }
    let label = COLOURS[(usize::from(channel) - 1) % COLOURS.len()];
    label.map(|part| (OPACITY * f32::from(part) + (1.0 - OPACITY) * grey) as u8)
}

fn encode(width: usize, height: usize, pixels: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(pixels));
    written.map_err(|error| FitError::Picture { problem: error.to_string() })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use pdl_volume::{Affine, Grid, Orientation, Volume};

    use super::*;

    #[test]
    fn right_is_on_the_left_and_anterior_is_up() {
        // Two planes of 3 x 2 voxels (x, y); the patient's left is at x 0, anterior at y 1 (RAS+).
        let shape = [3, 2, 2];
        let affine = Affine::from_orientation(Orientation::RAS, [1.0; 3], shape);
        let image = vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let mut target = vec![0; 12];
        target[9] = 1;
        let volume = Volume::new(Grid::new(shape, affine), image).unwrap();
        let case = Case::new("a", volume, target, vec![true, true]);
        let mut predicted = vec![0; 12];
        predicted[6] = 2;
        let Picture { width, height, png } = draw(&case, &predicted).unwrap();
        assert_eq!((width, height), (9, 2));
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let at = |row: usize, column: usize| &pixels[3 * (row * width + column)..][..3];
        assert_eq!(at(1, 2), [255; 3], "the bright voxel: x 0 is the last column, y 0 the last row");
        assert_eq!(at(0, 3 + 2), COLOURS[0].map(|part| part / 2), "the label on black");
        assert_eq!(at(1, 6 + 2), COLOURS[1].map(|part| ((f32::from(part) + 255.0) / 2.0) as u8));
        let black = (0..2).flat_map(|row| (0..9).map(move |column| (row, column)));
        assert_eq!(black.filter(|&(row, column)| at(row, column) == [0; 3]).count(), 18 - 4);
    }
}
