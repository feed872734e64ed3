//! Connected components of a mask: voxels that touch by a face, an edge or a corner (26 neighbours)
//! belong to one component.

/// Consecutive voxels of a mask along x, in one row.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Index of the first voxel in the volume.
    first: usize,
    /// Position of the first voxel along x.
    start: usize,
    /// Position behind the last voxel along x.
    end: usize,
}

/// The connected components of a mask with 26 neighbours, as
/// `scipy.ndimage.label(mask, structure=np.ones((3, 3, 3)))` finds them.
#[derive(Debug)]
pub struct Components {
    runs: Vec<Run>,
    /// Component of each run, from 0, in the order of their first voxels.
    of_run: Vec<usize>,
    sizes: Vec<usize>,
}

impl Components {
    /// The components of the voxels of a volume of `shape` (x, y, z; x fastest) for which `inside`
    /// is true, by index. Memory: four words a row of consecutive voxels.
    pub fn of([nx, ny, nz]: [usize; 3], inside: impl Fn(usize) -> bool) -> Self {
        let mut runs = Vec::new();
        // Index of the first run of each row, and the number of all runs.
        let mut rows = Vec::with_capacity(ny * nz + 1);
        for row in 0..ny * nz {
            rows.push(runs.len());
            let mut x = 0;
            while x < nx {
                let start = x;
                while x < nx && inside(row * nx + x) {
                    x += 1;
                }
                if x > start {
                    runs.push(Run { first: row * nx + start, start, end: x });
                }
                x += 1;
            }
        }
        rows.push(runs.len());
        let mut parents: Vec<usize> = (0..runs.len()).collect();
        for row in 0..ny * nz {
            let (y, z) = (row % ny, row / ny);
            let before = (y > 0).then(|| row - 1);
            let below = (z > 0).then(|| row - ny);
            let below_before = (y > 0 && z > 0).then(|| row - ny - 1);
            let below_behind = (y + 1 < ny && z > 0).then(|| row - ny + 1);
            for other in [before, below_before, below, below_behind].into_iter().flatten() {
                join_rows(&runs, &mut parents, rows[row]..rows[row + 1], rows[other]..rows[other + 1]);
            }
        }
        numbered(runs, &mut parents)
    }

    /// Number of components.
    pub fn count(&self) -> usize {
        self.sizes.len()
    }

    /// Voxels of each component, in the order of the components' first voxels.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Indices of the voxels outside of the largest component; of several components of the largest
    /// size all count as largest, as in nnU-Net.
    pub fn outside_largest(&self) -> impl Iterator<Item = usize> {
        let largest = self.sizes.iter().copied().max().unwrap_or(0);
        let others = self.runs.iter().zip(&self.of_run);
        let others = others.filter(move |(_, component)| self.sizes[**component] < largest);
        others.flat_map(|(run, _)| run.first..run.first + run.end - run.start)
    }
}

/// Joins the runs of two neighbouring rows that touch, diagonally as well.
fn join_rows(
    runs: &[Run],
    parents: &mut [usize],
    mut row: std::ops::Range<usize>,
    mut other: std::ops::Range<usize>,
) {
    while !row.is_empty() && !other.is_empty() {
        let (a, b) = (runs[row.start], runs[other.start]);
        if a.start <= b.end && b.start <= a.end {
            let roots = [root(parents, row.start), root(parents, other.start)];
            let [low, high] = [roots[0].min(roots[1]), roots[0].max(roots[1])];
            parents[high] = low;
        }
        // The run that ends first cannot touch what follows in the other row, unless both end
        // together.
        if a.end < b.end {
            row.start += 1;
        } else {
            other.start += 1;
        }
    }
}

/// The first run of a run's component; compresses the path to it.
fn root(parents: &mut [usize], mut run: usize) -> usize {
    while parents[run] != run {
        parents[run] = parents[parents[run]];
        run = parents[run];
    }
    run
}

/// Numbers the components in the order of their first runs.
fn numbered(runs: Vec<Run>, parents: &mut [usize]) -> Components {
    let mut of_run: Vec<usize> = Vec::with_capacity(runs.len());
    let mut sizes: Vec<usize> = Vec::new();
    for (number, run) in runs.iter().enumerate() {
        let first = root(parents, number);
        // A component's first run is its own root, and comes before the others.
        let component = if first == number { sizes.len() } else { of_run[first] };
        if first == number {
            sizes.push(0);
        }
        sizes[component] += run.end - run.start;
        of_run.push(component);
    }
    Components { runs, of_run, sizes }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mask of 0 and 1 in rows along x, planes along z.
    fn mask(planes: &[&[&str]]) -> ([usize; 3], Vec<bool>) {
        let shape = [planes[0][0].len(), planes[0].len(), planes.len()];
        let voxels = planes.iter().flat_map(|rows| rows.iter()).flat_map(|row| row.bytes());
        (shape, voxels.map(|byte| byte == b'1').collect())
    }

    #[test]
    fn corners_and_edges_connect() {
        let (shape, voxels) = mask(&[&["1000", "0100", "0000"], &["0000", "0010", "1000"]]);
        let components = Components::of(shape, |voxel| voxels[voxel]);
        assert_eq!(components.sizes(), [4], "(1, 1) touches (0, 2) of the next plane by a corner");
        let (shape, voxels) = mask(&[&["1001", "0000", "1010"]]);
        assert_eq!(Components::of(shape, |voxel| voxels[voxel]).sizes(), [1, 1, 1, 1]);
    }

    #[test]
    fn joins_that_meet_late_are_one() {
        let (shape, voxels) = mask(&[&["10101", "10101", "11111"]]);
        assert_eq!(Components::of(shape, |voxel| voxels[voxel]).sizes(), [11]);
    }

    #[test]
    fn only_what_is_smaller_than_the_largest_is_outside_it() {
        let (shape, voxels) = mask(&[&["11011", "00000", "10000"]]);
        let components = Components::of(shape, |voxel| voxels[voxel]);
        assert_eq!(components.outside_largest().collect::<Vec<_>>(), [10]);
        let none = Components::of([3, 2, 1], |_| false);
        assert_eq!((none.count(), none.outside_largest().count()), (0, 0));
    }

    /// Components by walking from voxel to voxel, for masks of pseudorandom voxels.
    #[test]
    fn equals_a_flood_fill() {
        for (seed, shape) in [(1_u64, [7, 6, 5]), (2, [16, 3, 4]), (3, [1, 9, 9]), (4, [13, 11, 1])] {
            let [nx, ny, nz] = shape;
            let mut state = seed;
            let mut bit = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state >> 33 & 7 < 2
            };
            let voxels: Vec<bool> = (0..nx * ny * nz).map(|_| bit()).collect();
            let mut seen = vec![false; voxels.len()];
            let mut sizes = Vec::new();
            for start in 0..voxels.len() {
                let mut open = if voxels[start] && !seen[start] { vec![start] } else { continue };
                seen[start] = true;
                let mut size = 0;
                while let Some(voxel) = open.pop() {
                    size += 1;
                    let at = [voxel % nx, voxel / nx % ny, voxel / (nx * ny)];
                    for step in 0..27_usize {
                        let to: [usize; 3] = std::array::from_fn(|axis| {
                            (at[axis] + step / 3_usize.pow(axis as u32) % 3).wrapping_sub(1)
                        });
                        if (0..3).any(|axis| to[axis] >= shape[axis]) {
                            continue;
                        }
                        let neighbour = to[0] + nx * (to[1] + ny * to[2]);
                        if voxels[neighbour] && !seen[neighbour] {
                            seen[neighbour] = true;
                            open.push(neighbour);
                        }
                    }
                }
                sizes.push(size);
            }
            assert_eq!(Components::of(shape, |voxel| voxels[voxel]).sizes(), sizes, "{shape:?}");
        }
    }
}
