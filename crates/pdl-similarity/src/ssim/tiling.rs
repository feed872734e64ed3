//! How a volume is divided for the pair kernel.
//!
//! Columns of windows run along z. A column is divided into chunks of as many planes as the window
//! spans; a window belongs to the chunk that holds its last plane.

use crate::ssim::window::SsimWindow;

/// Maximum number of windows along x of a column, uniform window: the working set then fits the
/// second-level cache.
pub(crate) const UNIFORM_WIDTH: usize = 15;
/// Maximum number of windows along x of a column, Gaussian window.
pub(crate) const GAUSSIAN_WIDTH: usize = 9;

/// Maximum number of windows along y and x of a column.
pub(crate) fn most_windows(window: SsimWindow) -> [usize; 2] {
    match window {
        SsimWindow::Uniform => [UNIFORM_WIDTH, UNIFORM_WIDTH],
        // The overlap of neighbouring columns is computed twice, and grows with the window.
        SsimWindow::Gaussian => [2 * GAUSSIAN_WIDTH, GAUSSIAN_WIDTH],
    }
}

/// Consecutive planes of a column.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// First voxel (z, y, x).
    pub first: [usize; 3],
    /// Voxels along z, y, x; neighbouring columns overlap.
    pub voxels: [usize; 3],
    /// Windows along y, x.
    pub windows: [usize; 2],
    /// The chunk's first plane, counted from 0, in which a window ends.
    pub first_end: usize,
    /// Rows, and voxels per row, that no other column counts.
    pub own: [usize; 2],
    /// Offset of its voxels, means and spreads.
    pub at: usize,
    /// Offset of its bodies.
    pub bodies_at: usize,
    /// Index among all chunks of a volume.
    pub index: usize,
}

impl Chunk {
    /// The product of [`Chunk::voxels`].
    pub(crate) fn voxel_count(&self) -> usize {
        self.voxels.iter().product()
    }

    /// Slots for windows: `depth` for each (x, y), also where fewer windows end.
    pub(crate) fn places(&self, depth: usize) -> usize {
        self.windows[0] * self.windows[1] * depth
    }

    /// Number of values without bodies: voxels, means and spreads.
    pub(crate) fn len(&self, depth: usize) -> usize {
        self.voxel_count() + 2 * self.places(depth)
    }

    /// Number of values of the bodies: voxels and centres of windows.
    pub(crate) fn bodies_len(&self, depth: usize) -> usize {
        self.voxel_count() + self.places(depth)
    }

    /// The windows (z, y, x) that end in it, each with its slot in the order (x, y, z).
    pub(crate) fn places_and_windows(&self, depth: usize) -> impl Iterator<Item = (usize, [usize; 3])> + '_ {
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

/// The columns of volumes of `shape` (z, y, x), each a sequence of chunks along z.
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

/// Runs of at most `most`, as even as possible: first index and count of each.
fn even_runs(n: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = n.div_ceil(most);
    let bound = move |i: usize| i * n / count;
    (0..count).map(move |i| (bound(i), bound(i + 1) - bound(i)))
}
