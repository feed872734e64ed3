//! How a volume is cut up for the pair kernel, and a volume in that order.
//!
//! Columns of windows stand along z. A column is cut into chunks of as many planes as the window spans; a window
//! belongs to the chunk in which its last plane lies. All that the kernel reads of a volume lies in the order in
//! which it is read: chunk by chunk down each column, so that memory is read from one end to the other.

use crate::ssim::setup::Kernel;
use crate::ssim::statistics::{ComputeStatistics, LocalStatistics};
use crate::ssim::window::SsimWindow;

/// Most windows along x of a column, with the uniform window: what the kernel works on then stays in the second level
/// of the cache.
pub(crate) const UNIFORM_WIDTH: usize = 15;
/// Most windows along x of a column, with the Gaussian window.
pub(crate) const GAUSSIAN_WIDTH: usize = 9;

/// Most windows along y and x of a column.
pub(crate) fn most_windows(window: SsimWindow) -> [usize; 2] {
    match window {
        SsimWindow::Uniform => [UNIFORM_WIDTH, UNIFORM_WIDTH],
        // What neighbouring columns share is computed twice, and the longer the window, the more that is.
        SsimWindow::Gaussian => [2 * GAUSSIAN_WIDTH, GAUSSIAN_WIDTH],
    }
}

/// Some planes of a column.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// The first voxel (z, y, x).
    pub first: [usize; 3],
    /// Voxels along z, y, x; neighbouring columns share some.
    pub voxels: [usize; 3],
    /// Windows along y, x.
    pub windows: [usize; 2],
    /// The plane, counted from the chunk's first, in which the first of its windows ends: all before it end none.
    pub first_end: usize,
    /// Rows, and voxels of a row, that no other column counts.
    pub own: [usize; 2],
    /// Where its voxels, means and spreads begin.
    pub at: usize,
    /// Where its bodies begin.
    pub bodies_at: usize,
    /// Its number among all chunks.
    pub index: usize,
}

impl Chunk {
    /// How many voxels it has.
    pub(crate) fn voxel_count(&self) -> usize {
        self.voxels.iter().product()
    }

    /// Places for windows: `depth` at each of its (x, y), also where fewer windows end.
    pub(crate) fn places(&self, depth: usize) -> usize {
        self.windows[0] * self.windows[1] * depth
    }

    /// How many values [`Chunked`] holds of it besides bodies.
    pub(crate) fn len(&self, depth: usize) -> usize {
        self.voxel_count() + 2 * self.places(depth)
    }

    /// How many values of bodies [`Chunked`] holds of it.
    pub(crate) fn bodies_len(&self, depth: usize) -> usize {
        self.voxel_count() + self.places(depth)
    }

    /// The windows (z, y, x) that end in it, each with its place in the order (x, y, z).
    fn places_and_windows(&self, depth: usize) -> impl Iterator<Item = (usize, [usize; 3])> + '_ {
        let [oy, ox] = self.windows;
        let [first_z, first_y, first_x] = self.first;
        (self.first_end..self.voxels[0]).flat_map(move |k| {
            let z = first_z + k + 1 - depth;
            (0..oy).flat_map(move |y| {
                (0..ox).map(move |x| ((x * oy + y) * depth + k, [z, first_y + y, first_x + x]))
            })
        })
    }
}

/// The columns of volumes of `shape` (z, y, x), each a run of chunks along z.
pub(crate) fn columns(window: SsimWindow, shape: [usize; 3], sides: [usize; 3]) -> Vec<Vec<Chunk>> {
    let [height, width] = most_windows(window);
    let inner = [0, 1, 2].map(|axis| shape[axis] + 1 - sides[axis]);
    let [depth, halo_y, halo_x] = [sides[0], sides[1] - 1, sides[2] - 1];
    let (mut at, mut bodies_at, mut index) = (0, 0, 0);
    let mut columns = Vec::new();
    for (y, oy) in even_runs(inner[1], height) {
        for (x, ox) in even_runs(inner[2], width) {
            let own_y = if y + oy == inner[1] { oy + halo_y } else { oy };
            let own_x = if x + ox == inner[2] { ox + halo_x } else { ox };
            let column = (0..shape[0]).step_by(depth).map(|z| {
                let chunk = Chunk {
                    first: [z, y, x],
                    voxels: [depth.min(shape[0] - z), oy + halo_y, ox + halo_x],
                    windows: [oy, ox],
                    first_end: if z == 0 { depth - 1 } else { 0 },
                    own: [own_y, own_x],
                    at,
                    bodies_at,
                    index,
                };
                at += chunk.len(depth);
                bodies_at += chunk.bodies_len(depth);
                index += 1;
                chunk
            });
            columns.push(column.collect());
        }
    }
    columns
}

/// Runs of at most `most`, first and count, as even as can be.
fn even_runs(n: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = n.div_ceil(most);
    let bound = move |i: usize| i * n / count;
    (0..count).map(move |i| (bound(i), bound(i + 1) - bound(i)))
}

/// Volumes in the order of the chunks, one behind the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunked {
    /// Of each chunk: voxels (z, y, x) times the kernel's scale, then the means and then the spreads of its windows
    /// (x, y, z), both in the units of [`crate::ssim::statistics`].
    values: Vec<f32>,
    /// Of each chunk: 1 inside the body and 0 outside it, for the voxels and for the windows' middles in the same
    /// orders; empty unless bodies are compared.
    bodies: Vec<f32>,
    /// For each chunk, whether one of its windows is flat.
    flat: Vec<bool>,
}

/// One volume of a [`Chunked`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ChunkedView<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) bodies: &'a [f32],
    pub(crate) flat: &'a [bool],
}

impl Chunked {
    /// The volumes whose voxels and bodies `volume` gives, C arrays (z, y, x); bodies only where they are compared.
    pub(crate) fn new<'a>(
        kernel: &Kernel,
        volumes: usize,
        with_bodies: bool,
        volume: impl Fn(usize) -> (&'a [f32], &'a [f32]) + Sync,
    ) -> Self {
        use rayon::prelude::*;
        let bodies_len = if with_bodies { kernel.bodies_len() } else { 0 };
        let mut all = Self {
            values: vec![0.0; volumes * kernel.values_len()],
            bodies: vec![0.0; volumes * bodies_len],
            flat: vec![false; volumes * kernel.chunk_count()],
        };
        let values = all.values.par_chunks_mut(kernel.values_len());
        let flat = all.flat.par_chunks_mut(kernel.chunk_count());
        values.zip(flat).enumerate().for_each_init(
            LocalStatistics::default,
            |statistics, (i, (values, flat))| {
                let voxels = volume(i).0;
                kernel.isa.run(ComputeStatistics { kernel, voxels, to: statistics });
                put(kernel, voxels, values, flat, statistics);
            },
        );
        if with_bodies {
            let bodies = all.bodies.par_chunks_mut(bodies_len);
            bodies.enumerate().for_each(|(i, bodies)| put_bodies(kernel, volume(i).1, bodies));
        }
        all
    }

    /// Volume number `volume`; empty when there are none.
    pub(crate) fn view(&self, kernel: &Kernel, volume: usize) -> ChunkedView<'_> {
        if self.values.is_empty() {
            return ChunkedView::default();
        }
        let part = |len: usize| volume * len..(volume + 1) * len;
        let bodies = if self.bodies.is_empty() { 0..0 } else { part(kernel.bodies_len()) };
        ChunkedView {
            values: &self.values[part(kernel.values_len())],
            bodies: &self.bodies[bodies],
            flat: &self.flat[part(kernel.chunk_count())],
        }
    }

    /// Bytes that one volume takes.
    pub(crate) fn bytes(kernel: &Kernel, with_bodies: bool) -> u64 {
        let bodies = if with_bodies { kernel.bodies_len() } else { 0 };
        (size_of::<f32>() * (kernel.values_len() + bodies)) as u64
    }
}

/// Writes a volume's voxels and the statistics of its windows.
fn put(kernel: &Kernel, voxels: &[f32], values: &mut [f32], flat: &mut [bool], of: &LocalStatistics) {
    let [_, inner_y, inner_x] = kernel.inner;
    let depth = kernel.depth();
    for chunk in kernel.columns.iter().flatten() {
        let values = &mut values[chunk.at..][..chunk.len(depth)];
        let (of_voxels, rest) = values.split_at_mut(chunk.voxel_count());
        let (means, spreads) = rest.split_at_mut(chunk.places(depth));
        for (row, from) in of_voxels.chunks_exact_mut(chunk.voxels[2]).zip(rows(kernel, chunk)) {
            let from = &voxels[from..from + row.len()];
            row.iter_mut().zip(from).for_each(|(to, from)| *to = from * kernel.scale);
        }
        // In the order in which it is written; what is read lies close enough together to stay in the cache.
        let [oy, ox] = chunk.windows;
        let plane = inner_y * inner_x;
        let places = means.chunks_exact_mut(depth).zip(spreads.chunks_exact_mut(depth));
        for (i, (means, spreads)) in places.enumerate() {
            let column = (chunk.first[1] + i % oy) * inner_x + chunk.first[2] + i / oy;
            let first = (chunk.first[0] + chunk.first_end + 1 - depth) * plane + column;
            let from = of.mean[first..].iter().zip(&of.spread[first..]).step_by(plane);
            let to = means.iter_mut().zip(spreads).take(chunk.voxels[0]).skip(chunk.first_end);
            to.zip(from).for_each(|((mean, spread), from)| (*mean, *spread) = (*from.0, *from.1));
        }
        flat[chunk.index] = (chunk.first_end..chunk.voxels[0]).any(|k| {
            (0..oy).any(|y| {
                let row = (chunk.first[0] + k + 1 - depth) * plane
                    + (chunk.first[1] + y) * inner_x
                    + chunk.first[2];
                of.flat[row..row + ox].contains(&true)
            })
        });
    }
}

/// Writes a volume's body.
fn put_bodies(kernel: &Kernel, body: &[f32], bodies: &mut [f32]) {
    let [_, ny, nx] = kernel.shape;
    let depth = kernel.depth();
    let half = kernel.weights.each_ref().map(|weights| weights.len() / 2);
    for chunk in kernel.columns.iter().flatten() {
        let bodies = &mut bodies[chunk.bodies_at..][..chunk.bodies_len(depth)];
        let (of_voxels, of_windows) = bodies.split_at_mut(chunk.voxel_count());
        for (row, from) in of_voxels.chunks_exact_mut(chunk.voxels[2]).zip(rows(kernel, chunk)) {
            row.copy_from_slice(&body[from..from + row.len()]);
        }
        for (place, [z, y, x]) in chunk.places_and_windows(depth) {
            of_windows[place] = body[((z + half[0]) * ny + y + half[1]) * nx + x + half[2]];
        }
    }
}

/// Where the rows of a chunk's voxels begin in a C array (z, y, x).
fn rows<'a>(kernel: &Kernel, chunk: &'a Chunk) -> impl Iterator<Item = usize> + 'a {
    let [_, ny, nx] = kernel.shape;
    let ([z0, y0, x0], [planes, rows, _]) = (chunk.first, chunk.voxels);
    (0..planes).flat_map(move |z| (0..rows).map(move |y| ((z0 + z) * ny + y0 + y) * nx + x0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    #[test]
    fn every_window_and_every_voxel_belongs_to_one_chunk() {
        for (window, shape) in [
            (SsimWindow::Uniform, [40, 21, 64]),
            (SsimWindow::Uniform, [1, 30, 8]),
            (SsimWindow::Gaussian, [12, 11, 33]),
            (SsimWindow::Gaussian, [1, 20, 31]),
        ] {
            let kernel = Kernel::new(window, shape, 1.0, Isa::Auto).unwrap();
            let depth = kernel.depth();
            let mut windows = vec![0; kernel.inner.iter().product()];
            let mut voxels = vec![0; shape.iter().product()];
            for (number, chunk) in kernel.columns.iter().flatten().enumerate() {
                assert_eq!(chunk.index, number);
                for (_, [z, y, x]) in chunk.places_and_windows(depth) {
                    windows[(z * kernel.inner[1] + y) * kernel.inner[2] + x] += 1;
                }
                for (i, row) in rows(&kernel, chunk).enumerate() {
                    if i % chunk.voxels[1] < chunk.own[0] {
                        voxels[row..row + chunk.own[1]].iter_mut().for_each(|n| *n += 1);
                    }
                }
            }
            assert!(windows.iter().chain(&voxels).all(|n| *n == 1), "{window} {shape:?}");
        }
    }
}
