//! The body in an image, as opposed to background.

use std::collections::VecDeque;

/// Number of bins of the histogram for Otsu's threshold.
const BINS: usize = 256;

/// Whether each voxel of a C array of `shape` (z, y, x) lies inside the body.
///
/// Background is what is no brighter than Otsu's threshold (Otsu 1979) and joined through faces to
/// the border of the array; the body is the rest, so that air inside it (lungs, bowel) belongs to
/// it. The threshold divides the intensities within `range`; those beyond are clamped to it.
pub fn body(voxels: &[f32], shape: [usize; 3], range: [f32; 2]) -> Vec<bool> {
    let threshold = otsu(voxels, range);
    let mut body = vec![true; voxels.len()];
    let [nz, ny, nx] = shape;
    let mut queue = VecDeque::new();
    let mut visit = |i: usize, queue: &mut VecDeque<usize>| {
        if body[i] && voxels[i] <= threshold {
            body[i] = false;
            queue.push_back(i);
        }
    };
    // A plane has no border along z.
    let border = |z: usize, y: usize, x: usize| {
        (nz > 1 && (z == 0 || z == nz - 1)) || y == 0 || y == ny - 1 || x == 0 || x == nx - 1
    };
    for i in 0..voxels.len() {
        if border(i / (ny * nx), i / nx % ny, i % nx) {
            visit(i, &mut queue);
        }
    }
    while let Some(i) = queue.pop_front() {
        let (z, y, x) = (i / (ny * nx), i / nx % ny, i % nx);
        let neighbours = [
            (z > 0, i.wrapping_sub(ny * nx)),
            (z + 1 < nz, i + ny * nx),
            (y > 0, i.wrapping_sub(nx)),
            (y + 1 < ny, i + nx),
            (x > 0, i.wrapping_sub(1)),
            (x + 1 < nx, i + 1),
        ];
        for (_, neighbour) in neighbours.into_iter().filter(|(inside, _)| *inside) {
            visit(neighbour, &mut queue);
        }
    }
    body
}

/// The upper edge of the darker class: the cut with the largest variance between the classes.
fn otsu(voxels: &[f32], [low, high]: [f32; 2]) -> f32 {
    let mut counts = [0_u64; BINS];
    for voxel in voxels {
        counts[(((voxel - low) / (high - low) * BINS as f32) as usize).min(BINS - 1)] += 1;
    }
    let total = voxels.len() as f64;
    let all: f64 = counts.iter().enumerate().map(|(bin, count)| bin as f64 * *count as f64).sum();
    let (mut below, mut sum, mut best, mut cut) = (0.0, 0.0, -1.0, 0);
    for (bin, count) in counts.iter().enumerate().take(BINS - 1) {
        below += *count as f64;
        sum += bin as f64 * *count as f64;
        let above = total - below;
        if below == 0.0 || above == 0.0 {
            continue;
        }
        let between = below * above * (sum / below - (all - sum) / above).powi(2);
        if between > best {
            (best, cut) = (between, bin);
        }
    }
    low + (cut + 1) as f32 / BINS as f32 * (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn air_inside_belongs_to_the_body_and_air_outside_does_not() {
        let shape = [9, 9, 9];
        let at = |i: usize| [i / 81, i / 9 % 9, i % 9];
        let shell = |i: usize| at(i).iter().all(|c| (2..7).contains(c));
        let hole = |i: usize| at(i).iter().all(|c| (3..6).contains(c));
        let value = |i: usize| if shell(i) && !hole(i) { 0.8 } else { 0.05 };
        let voxels: Vec<f32> = (0..729).map(value).collect();
        let found = body(&voxels, shape, [0.0, 1.0]);
        assert!((0..729).all(|i| found[i] == shell(i)));
        let hounsfield: Vec<f32> = voxels.iter().map(|v| v * 2000.0 - 1000.0).collect();
        assert_eq!(body(&hounsfield, shape, [-1000.0, 1000.0]), found);
    }
}
