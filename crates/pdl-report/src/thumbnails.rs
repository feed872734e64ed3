//! Thumbnails of the cases, many to a sheet.
//!
//! Images come from the proxies, which share one small grid and are memory-mapped; contours come
//! from the prepared labels. A sheet is two pictures that are shown on top of each other: the
//! images as a grey JPEG, and the contours as a PNG that is transparent elsewhere, so that they can
//! be switched off.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use pdl_io::read_labels;
use pdl_prepare::plan::ProxyPlan;
use pdl_prepare::prepared_row::PreparedRow;
use pdl_prepare::proxies::Proxies;
use pdl_store::progress::Progress;
use pdl_volume::Grid;
use rayon::prelude::*;
use serde::Serialize;

use crate::canvas::write_picture;
use crate::planes::{AnatomicalPlane, contour_pixel, fullest, outlines};
use crate::{Result, unless_unreadable};

/// Cases per sheet.
const PER_SHEET: usize = 50;

/// JPEG quality, of 100.
const QUALITY: u8 = 70;

/// Side of a plane in pixels: the larger one up to [`MANY`] cases, else the smaller.
const SIDES: [usize; 2] = [64, 48];
const MANY: usize = 400;

/// The sheets in the page's data.
#[derive(Clone, Debug, Serialize)]
pub struct Thumbnails {
    /// Side of a plane in pixels; a case is three planes wide and one high.
    pub side: usize,
    /// Cases per sheet, from top to bottom in the order of their numbers.
    pub per_sheet: usize,
    /// Base64 of a JPEG and a PNG for each sheet; of several channels the JPEG is the first's.
    pub sheets: Vec<(String, String)>,
    /// Names of the channels; empty where cases have one image.
    pub channels: Vec<String>,
    /// Base64 of a JPEG for each sheet, of each channel after the first.
    pub further_channels: Vec<Vec<String>>,
}

/// A case to be drawn.
#[derive(Clone, Copy, Debug)]
pub struct CaseToDraw<'a> {
    /// Row number in the proxies.
    pub row: usize,
    /// Row of `prepared.parquet`.
    pub prepared: &'a PreparedRow,
    /// RAS+ grid of the (cropped) stored image, of which the proxy was made; `None` stands for the
    /// grid of the prepared volume.
    pub source: Option<Grid>,
}

/// Pixels of one case.
struct Picture {
    /// For each channel.
    grey: Vec<Vec<u8>>,
    outline: Vec<[u8; 4]>,
}

/// Draws `cases`. `labels` are the cohort's label values, ascending: the index of a label among
/// them selects its colour. A case whose label map is unreadable is drawn without contours.
///
/// # Errors
/// [`crate::ReportError::Picture`] when a sheet cannot be encoded; errors of the machine that
/// prevent a label map from being read.
pub fn thumbnails(
    out: &Path,
    proxies: &Proxies,
    plan: &ProxyPlan,
    cases: &[CaseToDraw<'_>],
    labels: &[u16],
    progress: &dyn Progress,
) -> Result<Thumbnails> {
    let side = SIDES[usize::from(cases.len() > MANY)];
    progress.begin("pictures", cases.len() as u64);
    let draw = |case: &CaseToDraw<'_>| {
        let picture = draw(out, proxies, plan, case, labels, side)?;
        progress.advance(1);
        Ok(picture)
    };
    let sheet = |cases: &[CaseToDraw<'_>]| -> Result<(Vec<String>, String)> {
        let pictures: Vec<Picture> = cases.iter().map(draw).collect::<Result<_>>()?;
        let (width, height) = (3 * side as u32, (side * pictures.len()) as u32);
        let mut jpegs = Vec::with_capacity(proxies.channels());
        for channel in 0..proxies.channels() {
            let grey: Vec<u8> =
                pictures.iter().flat_map(|picture| picture.grey[channel].iter().copied()).collect();
            let mut jpeg = Vec::new();
            let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
            write_picture(encoder, &grey, [width, height], ExtendedColorType::L8)?;
            jpegs.push(STANDARD.encode(jpeg));
        }
        let outline: Vec<u8> = pictures.iter().flat_map(|p| p.outline.iter().flatten().copied()).collect();
        let mut png = Vec::new();
        let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Best, FilterType::NoFilter);
        write_picture(encoder, &outline, [width, height], ExtendedColorType::Rgba8)?;
        Ok((jpegs, STANDARD.encode(png)))
    };
    let drawn: Vec<(Vec<String>, String)> = cases.par_chunks(PER_SHEET).map(sheet).collect::<Result<_>>()?;
    let mut further_channels = vec![Vec::with_capacity(drawn.len()); proxies.channels() - 1];
    let mut sheets = Vec::with_capacity(drawn.len());
    for (jpegs, png) in drawn {
        let mut jpegs = jpegs.into_iter();
        sheets.push((jpegs.next().unwrap_or_default(), png));
        further_channels.iter_mut().zip(jpegs).for_each(|(sheets, jpeg)| sheets.push(jpeg));
    }
    let channels = proxies.channel_names.clone();
    Ok(Thumbnails { side, per_sheet: PER_SHEET, sheets, channels, further_channels })
}

/// The three planes of a case side by side.
fn draw(
    out: &Path,
    proxies: &Proxies,
    plan: &ProxyPlan,
    case: &CaseToDraw<'_>,
    labels: &[u16],
    side: usize,
) -> Result<Picture> {
    let prepared = case.prepared;
    let [nz, ny, nx] = proxies.shape_zyx;
    let read = |label: &String| unless_unreadable(read_labels(&out.join(label)));
    let map = prepared.label.as_ref().map(read).transpose()?.flatten().map(|read| read.map);
    let shape = map.as_ref().map_or([0; 3], |map| map.grid.shape);
    let own_mm: [f64; 3] = std::array::from_fn(|axis| {
        let count = prepared.shape.get(axis).copied().unwrap_or(1);
        f64::from(count) * prepared.spacing_mm.get(axis).copied().unwrap_or(1.0)
    });
    let own = map.as_ref().map(|map| map.grid);
    let source_mm = case.source.map_or(own_mm, |source| extent_mm(&source));
    let covered_mm = plan.fov_mm.unwrap_or(source_mm);
    let shift_mm = match (case.source, own) {
        (Some(source), Some(own)) => shift_mm(&source, &own),
        _ => [0.0; 3],
    };
    // A field of view is centred on the cropped image.
    let first_mm = std::array::from_fn(|axis| shift_mm[axis] + (covered_mm[axis] - source_mm[axis]) / 2.0);
    let extent_mm = covered_mm;
    let place = Placement { extent_mm, own_mm, first_mm, proxy: [nx, ny, nz], shape };
    let middle = match &map {
        Some(map) => place.of_voxels(fullest(&map.voxels, shape)),
        None => extent_mm.map(|mm| mm / 2.0),
    };
    let mut grey = vec![vec![0; 3 * side * side]; proxies.channels()];
    let mut outline = vec![[0; 4]; 3 * side * side];
    let reach = extent_mm.iter().copied().fold(0.0, f64::max);
    for (number, plane) in AnatomicalPlane::ALL.into_iter().enumerate() {
        let point = |pixel: usize| picture_point(plane, pixel, side, reach, extent_mm, middle);
        let points: Vec<Option<[f64; 3]>> = (0..side * side).map(point).collect();
        let to = |pixel: usize| (pixel / side) * 3 * side + number * side + pixel % side;
        for (channel, grey) in grey.iter_mut().enumerate() {
            let voxels = proxies.channel(case.row, channel);
            let values = points.iter().map(|p| p.map_or(0.0, |p| place.image(voxels, plane, p)));
            values.enumerate().for_each(|(pixel, v)| grey[to(pixel)] = (v * 255.0).round() as u8);
        }
        let at = |p: &Option<[f64; 3]>| p.and_then(|p| place.label(&map.as_ref()?.voxels, p)).unwrap_or(0);
        let found: Vec<u16> = points.iter().map(at).collect();
        let border = outlines(&found, side);
        for pixel in 0..side * side {
            let label = labels.binary_search(&found[pixel]).unwrap_or(0);
            if let (true, Some([r, g, b])) = (border[pixel], contour_pixel(label, pixel % side, pixel / side))
            {
                outline[to(pixel)] = [r, g, b, 255];
            }
        }
    }
    Ok(Picture { grey, outline })
}

/// The point at the centre of a pixel, mm from the corner of what the proxy covers; `None` outside
/// it.
fn picture_point(
    plane: AnatomicalPlane,
    pixel: usize,
    side: usize,
    reach_mm: f64,
    extent_mm: [f64; 3],
    middle_mm: [f64; 3],
) -> Option<[f64; 3]> {
    let [across, down, through] = plane.axes();
    let mut point = [0.0; 3];
    point[through] = middle_mm[through];
    for (axis, place) in [(across, pixel % side), (down, pixel / side)] {
        let from_start = (place as f64 + 0.5) / side as f64 * reach_mm - (reach_mm - extent_mm[axis]) / 2.0;
        if !(0.0..extent_mm[axis]).contains(&from_start) {
            return None;
        }
        point[axis] = extent_mm[axis] - from_start; //  picture axes run against the volume's
    }
    Some(point)
}

/// Extent of a grid along its axes, mm.
fn extent_mm(grid: &Grid) -> [f64; 3] {
    let spacing = grid.spacing_mm();
    std::array::from_fn(|axis| grid.shape[axis] as f64 * spacing[axis])
}

/// Offset of the corner of `own` from that of `source` along each axis of `source`, mm.
fn shift_mm(source: &Grid, own: &Grid) -> [f64; 3] {
    let corner = |grid: &Grid| grid.affine.apply([-0.5; 3]);
    let (from, to, spacing) = (corner(source), corner(own), source.spacing_mm());
    std::array::from_fn(|axis| {
        let step = source.affine.step_mm(axis);
        (0..3).map(|i| (to[i] - from[i]) * step[i]).sum::<f64>() / spacing[axis]
    })
}

/// How a case's proxy and its prepared volume, which may be a part of the stored one, overlap.
struct Placement {
    /// Extent of the proxy along x, y, z, mm.
    extent_mm: [f64; 3],
    /// Extent of the prepared volume, mm.
    own_mm: [f64; 3],
    /// Offset of the prepared volume from the corner of the proxy, mm.
    first_mm: [f64; 3],
    /// Voxels of the proxy.
    proxy: [usize; 3],
    /// Voxels of the prepared volume.
    shape: [usize; 3],
}

impl Placement {
    /// Centre of a voxel of the prepared volume, mm from the corner of the proxy.
    fn of_voxels(&self, voxel: [usize; 3]) -> [f64; 3] {
        std::array::from_fn(|axis| {
            let side = self.own_mm[axis] / self.shape[axis].max(1) as f64;
            let point = (voxel[axis] as f64 + 0.5) * side + self.first_mm[axis];
            point.clamp(0.0, self.extent_mm[axis])
        })
    }

    /// The label at a point, if the point lies in the prepared volume.
    fn label(&self, labels: &[u16], point_mm: [f64; 3]) -> Option<u16> {
        let mut index = [0; 3];
        for (axis, index) in index.iter_mut().enumerate() {
            let inside = point_mm[axis] - self.first_mm[axis];
            let place = (inside / self.own_mm[axis] * self.shape[axis] as f64).floor();
            if !(place >= 0.0 && place < self.shape[axis] as f64) {
                return None;
            }
            *index = place as usize;
        }
        labels.get(index[0] + self.shape[0] * (index[1] + self.shape[1] * index[2])).copied()
    }

    /// The proxy's value at a point: linear in the plane, nearest perpendicular to it.
    fn image(&self, voxels: &[f32], plane: AnatomicalPlane, point_mm: [f64; 3]) -> f32 {
        let place: [f64; 3] = std::array::from_fn(|axis| {
            let cells = self.proxy[axis] as f64;
            (point_mm[axis] / self.extent_mm[axis] * cells - 0.5).clamp(0.0, cells - 1.0)
        });
        let [across, down, through] = plane.axes();
        let value = |p: usize, q: usize| {
            let mut index = [0; 3];
            index[through] = place[through].round() as usize;
            index[across] = p.min(self.proxy[across] - 1);
            index[down] = q.min(self.proxy[down] - 1);
            let [x, y, z] = index;
            voxels[x + self.proxy[0] * (y + self.proxy[1] * z)]
        };
        let (p, q) = (place[across] as usize, place[down] as usize);
        let (s, t) = (place[across].fract() as f32, place[down].fract() as f32);
        let top = value(p, q) * (1.0 - s) + value(p + 1, q) * s;
        let bottom = value(p, q + 1) * (1.0 - s) + value(p + 1, q + 1) * s;
        (top * (1.0 - t) + bottom * t).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Orientation};

    const PLACE: Placement = Placement {
        extent_mm: [8.0, 8.0, 8.0],
        own_mm: [8.0, 4.0, 8.0],
        first_mm: [0.0, 2.0, 0.0],
        proxy: [4, 4, 4],
        shape: [8, 2, 4],
    };

    #[test]
    fn a_part_of_the_stored_image_lies_where_its_affine_says() {
        let source = Grid::new([10; 3], Affine::from_orientation(Orientation::RAS, [2.0, 1.0, 1.0], [10; 3]));
        let columns = [source.affine.step_mm(0), source.affine.step_mm(1), source.affine.step_mm(2)];
        let begin = source.affine.apply([3.0, 4.0, 0.0]); //  cropped: 3 voxels of 2 mm, 4 of 1 mm
        let part = Grid::new([5, 5, 10], Affine::from_columns(columns, begin));
        let shift = shift_mm(&source, &part);
        assert!(shift.iter().zip([6.0, 4.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-9), "{shift:?}");
        assert_eq!(extent_mm(&part), [10.0, 5.0, 10.0]);
    }

    #[test]
    fn pictures_show_the_right_on_the_left_and_the_front_at_the_top() {
        let point = |pixel| picture_point(AnatomicalPlane::Axial, pixel, 4, 8.0, [8.0; 3], [4.0; 3]).unwrap();
        assert_eq!(point(0), [7.0, 7.0, 4.0]); //  right, anterior
        assert_eq!(point(15), [1.0, 1.0, 4.0]); //  left, posterior
        let sagittal = picture_point(AnatomicalPlane::Sagittal, 0, 4, 8.0, [8.0; 3], [4.0; 3]).unwrap();
        assert_eq!(sagittal, [4.0, 7.0, 7.0]); //  anterior, superior
        // A flat volume is centred: the rows above and below it are empty.
        assert_eq!(picture_point(AnatomicalPlane::Axial, 0, 4, 8.0, [8.0, 4.0, 8.0], [4.0; 3]), None);
    }

    #[test]
    fn labels_lie_where_the_volume_lies_in_the_field_of_view() {
        let labels: Vec<u16> = (0..64).collect();
        let middle = PLACE.of_voxels([3, 1, 2]);
        assert_eq!(middle, [3.5, 5.0, 5.0]);
        assert_eq!(PLACE.label(&labels, middle), Some(3 + 8 * (1 + 2 * 2)));
        // in the field of view, outside the volume
        assert_eq!(PLACE.label(&labels, [3.5, 1.0, 5.0]), None);
    }

    #[test]
    fn images_are_linear_between_voxels() {
        let ramp: Vec<f32> = (0..64).map(|i| (i % 4) as f32 / 4.0).collect();
        assert_eq!(PLACE.image(&ramp, AnatomicalPlane::Axial, [1.0, 4.0, 4.0]), 0.0);
        assert!((PLACE.image(&ramp, AnatomicalPlane::Axial, [4.0, 4.0, 4.0]) - 0.375).abs() < 1e-6);
    }
}
