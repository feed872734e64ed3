//! Surface distances between two masks.
//!
//! The surface of a mask consists of its voxels with a face neighbour outside the mask or the
//! volume; distances are between voxel centres, in millimetres. These are the definitions of
//! MONAI's `compute_hausdorff_distance` and `compute_surface_dice`.

/// Metrics of the distance between two surfaces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurfaceDistances {
    /// Larger of the two directed 95th percentiles, mm.
    pub hd95_mm: f64,
    /// Fraction of both surfaces within the tolerance of the other.
    pub surface_dice: f64,
}

/// Compares two masks of `shape` (z, y, x, C order) with a spacing of `spacing_mm` (z, y, x).
///
/// If one mask is empty, the distance is the volume's diagonal and the surface Dice 0; if both are,
/// the result is `None`.
pub fn compare(
    a: &[bool],
    b: &[bool],
    shape: [usize; 3],
    spacing_mm: [f64; 3],
    tolerance_mm: f64,
) -> Option<SurfaceDistances> {
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
    let surfaces = [a, b].map(|mask| surface(&crop(mask, shape, first, size), size));
    let distances = [0, 1].map(|from: usize| {
        let to = squared_distances(&surfaces[1 - from], size, spacing_mm);
        let on_surface = surfaces[from].iter().zip(to).filter(|(on, _)| **on);
        let mut distances: Vec<f64> = on_surface.map(|(_, squared)| squared.sqrt()).collect();
        distances.sort_by(f64::total_cmp);
        distances
    });
    let near = |distances: &Vec<f64>| distances.iter().filter(|distance| **distance <= tolerance_mm).count();
    let all: usize = distances.iter().map(Vec::len).sum();
    Some(SurfaceDistances {
        hd95_mm: distances.iter().map(|sorted| percentile(sorted, 0.95)).fold(0.0, f64::max),
        surface_dice: distances.iter().map(near).sum::<usize>() as f64 / all as f64,
    })
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

/// Voxels of a mask with a face neighbour outside it. The box contains the whole mask, so voxels
/// beyond the box are outside.
fn surface(mask: &[bool], size: [usize; 3]) -> Vec<bool> {
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
                on.push(inside(z, y, x) && !neighbours.into_iter().all(|(z, y, x)| inside(z, y, x)));
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

/// Quantile of sorted values, interpolated linearly (NumPy's default).
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() as f64 - 1.0);
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
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
            let found = compare(&mask("a"), &mask("b"), SHAPE, numbers(&pair["spacing_mm"]), 2.0).unwrap();
            let of = |name: &str| pair[name].as_f64().unwrap();
            assert!((found.hd95_mm - of("hd95_mm")).abs() < 1e-4, "{found:?} {pair}");
            assert!((found.surface_dice - of("surface_dice")).abs() < 1e-5, "{found:?} {pair}");
        }
    }

    #[test]
    fn an_empty_mask_is_as_far_as_can_be() {
        let (some, none) = (ellipsoid([7.0; 3], [3.0; 3]), vec![false; 14 * 20 * 24]);
        let found = compare(&some, &none, SHAPE, [3.0, 1.0, 1.0], 1.0).unwrap();
        let diagonal = (42.0_f64.powi(2) + 400.0 + 576.0).sqrt();
        assert!((found.hd95_mm - diagonal).abs() < 1e-9 && found.surface_dice == 0.0);
        assert_eq!(compare(&none, &none, SHAPE, [1.0; 3], 1.0), None);
        let same = compare(&some, &some, SHAPE, [1.0; 3], 0.0).unwrap();
        assert_eq!((same.hd95_mm, same.surface_dice), (0.0, 1.0));
    }
}
