//! Surface distances between two masks, in millimetres.
//!
//! By area, the default: the surface runs through the corners between voxels, and each corner
//! weighs as much as the area of the surface about it. These are the definitions of DeepMind's
//! surface-distance (Nikolov et al. 2021, arXiv 1809.04430), which clinical papers report.
//!
//! By voxel: the surface consists of the voxels with a face neighbour outside the mask or the
//! volume, which all weigh the same; distances are between voxel centres. These are the definitions
//! of MONAI's `compute_hausdorff_distance` and `compute_surface_dice`.

use pdl_volume::statistics::quantile;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::surface_elements::{NORMALS, NORMALS_OF_CODE};

/// How the surface of a mask is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SurfaceMeasure {
    /// Surface elements weighted by their area, as DeepMind's surface-distance.
    #[default]
    Area,
    /// Surface voxels, each of the same weight, as MONAI.
    Voxel,
}

impl SurfaceMeasure {
    /// The value's spelling on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Area => "area",
            Self::Voxel => "voxel",
        }
    }
}

/// Metrics of the distance between two surfaces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurfaceDistances {
    /// Larger of the two directed 95th percentiles, mm.
    pub hd95_mm: f64,
    /// Fraction of both surfaces within the tolerance of the other.
    pub surface_dice: f64,
}

/// A voxel grid: its shape and the spacing of its voxels in mm, along z, y, x.
#[derive(Clone, Copy, Debug)]
pub struct VoxelGrid {
    /// Voxels along z, y, x.
    pub shape: [usize; 3],
    /// Millimetres between voxels along z, y, x.
    pub spacing_mm: [f64; 3],
}

/// Compares two masks (z, y, x, C order) on one grid.
///
/// If one mask is empty, the distance is the volume's diagonal and the surface Dice 0; if both are,
/// the result is `None`.
pub fn compare(
    measure: SurfaceMeasure,
    a: &[bool],
    b: &[bool],
    grid: VoxelGrid,
    tolerance_mm: f64,
) -> Option<SurfaceDistances> {
    let VoxelGrid { shape, spacing_mm } = grid;
    let boxes = [bounds(a, shape), bounds(b, shape)];
    let (first, last): ([usize; 3], [usize; 3]) = match boxes {
        [None, None] => return None,
        [Some(a), Some(b)] => (
            std::array::from_fn(|axis| a.0[axis].min(b.0[axis])),
            std::array::from_fn(|axis| a.1[axis].max(b.1[axis])),
        ),
        _ => {
            let diagonal = (0..3).map(|axis| (shape[axis] as f64 * spacing_mm[axis]).powi(2)).sum::<f64>();
            return Some(SurfaceDistances { hd95_mm: diagonal.sqrt(), surface_dice: 0.0 });
        }
    };
    let size: [usize; 3] = std::array::from_fn(|axis| last[axis] - first[axis] + 1);
    let masks = [a, b].map(|mask| crop(mask, shape, first, size));
    let (weights, size) = match measure {
        SurfaceMeasure::Area => {
            (masks.map(|mask| corner_areas(&mask, size, spacing_mm)), size.map(|n| n + 1))
        }
        SurfaceMeasure::Voxel => (masks.map(|mask| surface_voxels(&mask, size)), size),
    };
    let elements = [0, 1].map(|from: usize| {
        let to: Vec<bool> = weights[1 - from].iter().map(|weight| *weight > 0.0).collect();
        let to = squared_distances(&to, size, spacing_mm);
        let on_surface = weights[from].iter().zip(to).filter(|(weight, _)| **weight > 0.0);
        let mut elements: Vec<(f64, f64)> =
            on_surface.map(|(weight, squared)| (squared.sqrt(), *weight)).collect();
        elements.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        elements
    });
    let weight =
        |elements: &mut dyn Iterator<Item = &(f64, f64)>| elements.map(|(_, weight)| weight).sum::<f64>();
    let near = weight(&mut elements.iter().flatten().filter(|(distance, _)| *distance <= tolerance_mm));
    let percentile = match measure {
        SurfaceMeasure::Area => weighted_percentile,
        SurfaceMeasure::Voxel => percentile,
    };
    Some(SurfaceDistances {
        hd95_mm: elements.iter().map(|sorted| percentile(sorted, 0.95)).fold(0.0, f64::max),
        surface_dice: near / weight(&mut elements.iter().flatten()),
    })
}

/// The area of the surface about every corner of a mask's voxels, mm2: an array with one more along
/// each axis, whose first corner is before the first voxel.
fn corner_areas(mask: &[bool], size: [usize; 3], spacing_mm: [f64; 3]) -> Vec<f64> {
    let [sz, sy, sx] = spacing_mm;
    let faces = [sy * sx, sz * sx, sz * sy];
    let area = |normal: &[u8; 3]| {
        let part = |axis: usize| f64::from(normal[axis]) / 8.0 * faces[axis];
        (0..3).map(|axis| part(axis).powi(2)).sum::<f64>().sqrt()
    };
    let of_set = NORMALS.map(|normals| normals.iter().map(area).sum::<f64>());
    let [nz, ny, nx] = size;
    let mut codes = vec![0_u8; (nz + 1) * (ny + 1) * (nx + 1)];
    for (index, _) in mask.iter().enumerate().filter(|(_, inside)| **inside) {
        let [z, y, x] = [index / (ny * nx), index / nx % ny, index % nx];
        // A voxel is the last one of the corner before it, and the first one of that behind it.
        for corner in 0..8_usize {
            let [dz, dy, dx] = [corner >> 2 & 1, corner >> 1 & 1, corner & 1];
            codes[((z + dz) * (ny + 1) + y + dy) * (nx + 1) + x + dx] |= 1 << corner;
        }
    }
    codes.into_iter().map(|code| of_set[usize::from(NORMALS_OF_CODE[usize::from(code)])]).collect()
}

/// First and last index along z, y, x of the voxels in a mask.
fn bounds(mask: &[bool], [_, ny, nx]: [usize; 3]) -> Option<([usize; 3], [usize; 3])> {
    let mut found: Option<([usize; 3], [usize; 3])> = None;
    for (index, _) in mask.iter().enumerate().filter(|(_, inside)| **inside) {
        let at = [index / (ny * nx), index / nx % ny, index % nx];
        let (first, last) = found.get_or_insert((at, at));
        for axis in 0..3 {
            first[axis] = first[axis].min(at[axis]);
            last[axis] = last[axis].max(at[axis]);
        }
    }
    found
}

fn crop(mask: &[bool], [_, ny, nx]: [usize; 3], first: [usize; 3], size: [usize; 3]) -> Vec<bool> {
    let mut cropped = Vec::with_capacity(size.iter().product());
    for z in first[0]..first[0] + size[0] {
        for y in first[1]..first[1] + size[1] {
            let row = (z * ny + y) * nx + first[2];
            cropped.extend_from_slice(&mask[row..row + size[2]]);
        }
    }
    cropped
}

/// 1 for the voxels of a mask with a face neighbour outside it, 0 for others. The box contains the
/// whole mask, so voxels beyond the box are outside.
fn surface_voxels(mask: &[bool], size: [usize; 3]) -> Vec<f64> {
    let [nz, ny, nx] = size;
    let inside = |z: usize, y: usize, x: usize| z < nz && y < ny && x < nx && mask[(z * ny + y) * nx + x];
    let mut on = Vec::with_capacity(mask.len());
    for z in 0..nz {
        for y in 0..ny {
            for x in 0..nx {
                // An index that wraps below 0 is beyond the box.
                let neighbours = [
                    (z.wrapping_sub(1), y, x),
                    (z + 1, y, x),
                    (z, y.wrapping_sub(1), x),
                    (z, y + 1, x),
                    (z, y, x.wrapping_sub(1)),
                    (z, y, x + 1),
                ];
                let is_on = inside(z, y, x) && !neighbours.into_iter().all(|(z, y, x)| inside(z, y, x));
                on.push(f64::from(u8::from(is_on)));
            }
        }
    }
    on
}

/// Squared distance of every voxel to the nearest voxel of `on`, mm^2: lower envelopes of parabolas
/// along one axis after the other (Felzenszwalb and Huttenlocher 2012).
fn squared_distances(on: &[bool], size: [usize; 3], spacing_mm: [f64; 3]) -> Vec<f64> {
    let mut squared: Vec<f64> = on.iter().map(|on| if *on { 0.0 } else { f64::INFINITY }).collect();
    let stride = [size[1] * size[2], size[2], 1];
    for axis in 0..3 {
        let mut line = Line::new(size[axis], spacing_mm[axis]);
        for start in 0..squared.len() {
            if (start / stride[axis]).is_multiple_of(size[axis]) {
                line.transform(&mut squared, start, stride[axis]);
            }
        }
    }
    squared
}

/// Buffers for the transform of one line of voxels.
struct Line {
    spacing_mm: f64,
    values: Vec<f64>,
    /// Voxels whose parabolas form the envelope, each with the start of its part in mm.
    envelope: Vec<(usize, f64)>,
}

impl Line {
    fn new(length: usize, spacing_mm: f64) -> Self {
        Self { spacing_mm, values: vec![0.0; length], envelope: Vec::with_capacity(length) }
    }

    fn transform(&mut self, all: &mut [f64], start: usize, stride: usize) {
        let places = (start..).step_by(stride);
        self.values.iter_mut().zip(places.clone()).for_each(|(value, place)| *value = all[place]);
        self.envelope.clear();
        let at = |voxel: usize| voxel as f64 * self.spacing_mm;
        for (voxel, value) in self.values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
            let mut from = f64::NEG_INFINITY;
            while let Some(&(last, since)) = self.envelope.last() {
                let (p, q) = (at(last), at(voxel));
                from = (value + q * q - self.values[last] - p * p) / (2.0 * (q - p));
                if from > since {
                    break;
                }
                self.envelope.pop();
                from = f64::NEG_INFINITY;
            }
            self.envelope.push((voxel, from));
        }
        let mut current = 0;
        for (voxel, place) in (0..self.values.len()).zip(places) {
            while self.envelope.get(current + 1).is_some_and(|(_, from)| *from < at(voxel)) {
                current += 1;
            }
            if let Some(&(nearest, _)) = self.envelope.get(current) {
                all[place] = (at(voxel) - at(nearest)).powi(2) + self.values[nearest];
            }
        }
    }
}

/// Quantile of sorted distances, interpolated linearly (NumPy's default); weights are ignored.
fn percentile(sorted: &[(f64, f64)], share: f64) -> f64 {
    let distances: Vec<f64> = sorted.iter().map(|(distance, _)| *distance).collect();
    quantile(&distances, share)
}

/// The first of sorted distances up to which lies at least this fraction of the weight.
fn weighted_percentile(sorted: &[(f64, f64)], share: f64) -> f64 {
    let all: f64 = sorted.iter().map(|(_, weight)| weight).sum();
    let mut sum = 0.0;
    let reached = sorted.iter().find(|(_, weight)| {
        sum += weight;
        sum / all >= share
    });
    reached.or(sorted.last()).map_or(0.0, |(distance, _)| *distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [14, 20, 24];

    /// An ellipsoid: voxels (z, y, x) whose centres are within radii around a centre.
    fn ellipsoid(centre: [f64; 3], radii: [f64; 3]) -> Vec<bool> {
        let [nz, ny, nx] = SHAPE;
        let mut mask = Vec::new();
        for z in 0..nz {
            for y in 0..ny {
                for x in 0..nx {
                    let at = [z, y, x];
                    let far = |axis: usize| ((at[axis] as f64 - centre[axis]) / radii[axis]).powi(2);
                    mask.push((0..3).map(far).sum::<f64>() <= 1.0);
                }
            }
        }
        mask
    }

    /// tests/golden/data/surface.json: the same ellipsoids compared by MONAI.
    #[test]
    fn agrees_with_monai() {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/data/surface.json");
        let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let numbers = |value: &serde_json::Value| -> [f64; 3] {
            std::array::from_fn(|axis| value[axis].as_f64().unwrap())
        };
        let pairs = golden["pairs"].as_array().unwrap();
        assert!(pairs.len() >= 6);
        for pair in pairs {
            let mask = |name: &str| ellipsoid(numbers(&pair[name]["centre"]), numbers(&pair[name]["radii"]));
            let grid = VoxelGrid { shape: SHAPE, spacing_mm: numbers(&pair["spacing_mm"]) };
            let found = compare(SurfaceMeasure::Voxel, &mask("a"), &mask("b"), grid, 2.0).unwrap();
            let of = |name: &str| pair[name].as_f64().unwrap();
            assert!((found.hd95_mm - of("hd95_mm")).abs() < 1e-4, "{found:?} {pair}");
            assert!((found.surface_dice - of("surface_dice")).abs() < 1e-5, "{found:?} {pair}");
        }
    }

    /// tests/golden/data/surface_area.json: masks compared by DeepMind's surface-distance.
    #[test]
    fn agrees_with_surface_distance() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/golden/data/surface_area.json");
        let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let numbers = |value: &serde_json::Value| -> [f64; 3] {
            std::array::from_fn(|axis| value[axis].as_f64().unwrap())
        };
        let shape = numbers(&golden["shape"]).map(|n| n as usize);
        let [nz, ny, nx] = shape;
        let mask = |parts: &serde_json::Value| {
            let mut mask = vec![false; nz * ny * nx];
            for part in parts.as_array().unwrap() {
                let (centre, radii, inside) =
                    (numbers(&part[0]), numbers(&part[1]), part[2].as_bool().unwrap());
                for (index, voxel) in mask.iter_mut().enumerate() {
                    let at = [index / (ny * nx), index / nx % ny, index % nx];
                    let far = |axis: usize| ((at[axis] as f64 - centre[axis]) / radii[axis]).powi(2);
                    if (0..3).map(far).sum::<f64>() <= 1.0 {
                        *voxel = inside;
                    }
                }
            }
            mask
        };
        let pairs = golden["pairs"].as_array().unwrap();
        assert!(pairs.len() >= 100);
        for pair in pairs {
            let (a, b) = (mask(&pair["a"]), mask(&pair["b"]));
            let grid = VoxelGrid { shape, spacing_mm: numbers(&pair["spacing_mm"]) };
            let tolerances = golden["tolerances_mm"].as_array().unwrap();
            for (tolerance, dice) in tolerances.iter().zip(pair["surface_dice"].as_array().unwrap()) {
                let found = compare(SurfaceMeasure::Area, &a, &b, grid, tolerance.as_f64().unwrap()).unwrap();
                assert!((found.hd95_mm - pair["hd95_mm"].as_f64().unwrap()).abs() < 1e-6, "{found:?} {pair}");
                assert!((found.surface_dice - dice.as_f64().unwrap()).abs() < 1e-6, "{found:?} {pair}");
            }
        }
    }

    #[test]
    fn an_empty_mask_is_as_far_as_can_be() {
        let (some, none) = (ellipsoid([7.0; 3], [3.0; 3]), vec![false; 14 * 20 * 24]);
        let grid = |spacing_mm| VoxelGrid { shape: SHAPE, spacing_mm };
        for measure in [SurfaceMeasure::Area, SurfaceMeasure::Voxel] {
            let found = compare(measure, &some, &none, grid([3.0, 1.0, 1.0]), 1.0).unwrap();
            let diagonal = (42.0_f64.powi(2) + 400.0 + 576.0).sqrt();
            assert!((found.hd95_mm - diagonal).abs() < 1e-9 && found.surface_dice == 0.0);
            assert_eq!(compare(measure, &none, &none, grid([1.0; 3]), 1.0), None);
            let same = compare(measure, &some, &some, grid([1.0; 3]), 0.0).unwrap();
            assert_eq!((same.hd95_mm, same.surface_dice), (0.0, 1.0));
        }
    }
}
