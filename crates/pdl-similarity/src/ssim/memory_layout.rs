//! Volumes in the order in which the pair kernel reads them.
//!
//! Voxels and statistics lie chunk by chunk down each column ([`crate::ssim::tiling`]), so memory
//! is read from one end to the other.

use crate::ssim::setup::Kernel;
use crate::ssim::statistics::{ComputeStatistics, LocalStatistics};
use crate::ssim::tiling::Chunk;

/// Volumes in the order of the chunks, one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunked {
    /// For each chunk: voxels (z, y, x) times the kernel's scale, then the means and then the
    /// spreads of its windows (x, y, z), both in the units of [`crate::ssim::statistics`].
    values: Vec<f32>,
    /// For each chunk: 1 inside the body and 0 outside it, for the voxels and for the centres of
    /// the windows in the same orders; empty unless bodies are compared.
    bodies: Vec<f32>,
    /// For each chunk, whether it holds a flat window.
    flat: Vec<bool>,
}

/// One volume of a `Chunked`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChunkedView<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) bodies: &'a [f32],
    pub(crate) flat: &'a [bool],
}

impl Chunked {
    /// Lays out the volumes and bodies that `volume` returns, C arrays (z, y, x); bodies are read
    /// only `with_bodies`.
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

    /// The volume of index `volume`; an empty view when nothing was laid out.
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

    /// Bytes of one volume.
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
        // In the order of writing; the values read lie close enough together to stay in the cache.
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

/// Index of the first voxel of each row of a chunk in a C array (z, y, x).
fn rows<'a>(kernel: &Kernel, chunk: &'a Chunk) -> impl Iterator<Item = usize> + 'a {
    let [_, ny, nx] = kernel.shape;
    let ([z0, y0, x0], [planes, rows, _]) = (chunk.first, chunk.voxels);
    (0..planes).flat_map(move |z| (0..rows).map(move |y| ((z0 + z) * ny + y0 + y) * nx + x0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::ssim::window::SsimWindow;

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
