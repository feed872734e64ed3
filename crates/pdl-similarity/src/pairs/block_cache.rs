//! Blocks of cases in memory, as many as the memory limit allows.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use pdl_prepare::proxies::Proxies;
use pdl_volume::body::body;
use rayon::prelude::*;

use crate::label_overlap::LabelSets;
use crate::metrics::RequiredPasses;
use crate::ssim::driver;
use crate::ssim::memory_layout::Chunked;
use crate::ssim::setup::Kernel;
use crate::ssim::views::VolumeView;

/// Memory of the program and its libraries without blocks.
const PROGRAM_BYTES: u64 = 64 << 20;

/// Consecutive cases with all inputs of the passes.
#[derive(Debug)]
pub(crate) struct Block {
    /// Row numbers in the proxies.
    pub rows: Range<usize>,
    /// For each channel.
    chunked: Vec<Chunked>,
    /// One volume after the other; empty unless bodies are compared.
    bodies: Vec<f32>,
    /// For each case; empty unless a metric requires them.
    labels: Vec<LabelSets>,
}

impl Block {
    // All cases of a block share one allocation, which is returned to the system with the block.
    fn load(proxies: &Proxies, kernel: &Kernel, passes: RequiredPasses, rows: Range<usize>) -> Self {
        let voxels = kernel.shape.iter().product::<usize>();
        let mut bodies = Vec::new();
        if passes.bodies {
            bodies = vec![0.0; rows.len() * voxels];
            let places = bodies.par_chunks_mut(voxels);
            rows.clone().into_par_iter().zip(places).for_each(|(row, place)| {
                let inside = body(proxies.voxels(row), proxies.shape_zyx, [0.0, 1.0]);
                place.iter_mut().zip(inside).for_each(|(v, inside)| *v = f32::from(inside));
            });
        }
        let mut chunked = Vec::with_capacity(proxies.channels());
        for channel in 0..proxies.channels() {
            chunked.push(match passes.windows || passes.bodies {
                true => {
                    let body =
                        |i: usize| if passes.bodies { &bodies[i * voxels..(i + 1) * voxels] } else { &[] };
                    let volume = |i: usize| (proxies.channel(rows.start + i, channel), body(i));
                    Chunked::new(kernel, rows.len(), passes.bodies, volume)
                }
                false => Chunked::default(),
            });
        }
        let mut labels = Vec::new();
        if passes.labels {
            let maps = rows.clone().into_par_iter().filter_map(|row| proxies.labels(row));
            labels = maps.map(|map| LabelSets::new(&map)).collect();
        }
        Self { rows, chunked, bodies, labels }
    }

    /// A view of a channel of each case, in order. Bodies are those of the first channel.
    pub(crate) fn views<'a>(
        &'a self,
        proxies: &'a Proxies,
        kernel: &Kernel,
        channel: usize,
    ) -> Vec<VolumeView<'a>> {
        let voxels = kernel.shape.iter().product::<usize>();
        let view = |(i, row): (usize, usize)| VolumeView {
            voxels: proxies.channel(row, channel),
            chunked: self.chunked[channel].view(kernel, i),
            body: if self.bodies.is_empty() { &[] } else { &self.bodies[i * voxels..(i + 1) * voxels] },
            labels: self.labels.get(i),
        };
        self.rows.clone().enumerate().map(view).collect()
    }
}

/// A least-recently-used cache of blocks.
pub(crate) struct BlockCache<'a> {
    pub proxies: &'a Proxies,
    pub kernel: &'a Kernel,
    pub passes: RequiredPasses,
    /// Maximum number of cases of a block.
    pub size: usize,
    /// Maximum number of blocks in memory.
    pub capacity: usize,
    /// Cases whose proxies are not what they were made: their voxels are no intensities.
    pub damaged: Option<Range<usize>>,
    cached: VecDeque<Arc<Block>>,
}

impl<'a> BlockCache<'a> {
    /// Blocks of at most `most` cases that together stay within `memory` bytes, if possible.
    pub(crate) fn new(
        proxies: &'a Proxies,
        kernel: &'a Kernel,
        passes: RequiredPasses,
        most: usize,
        memory: u64,
    ) -> Self {
        let voxels = (size_of::<f32>() * kernel.shape.iter().product::<usize>()) as u64;
        let windows = if passes.windows || passes.bodies { Chunked::bytes(kernel, passes.bodies) } else { 0 };
        let bodies = if passes.bodies { voxels } else { 0 };
        let labels = if passes.labels { LabelSets::bytes(proxies) } else { 0 };
        let case = (voxels + windows) * proxies.channels() as u64 + bodies + labels;
        let threads = rayon::current_num_threads() as u64;
        let capacity = |size: usize| {
            let spare = memory.saturating_sub(PROGRAM_BYTES + threads * driver::bytes_a_thread(kernel, size));
            (spare / (case * size as u64)) as usize
        };
        // At least two blocks; smaller ones where memory is short.
        let mut size = most.min(proxies.len().max(1));
        while size > 1 && capacity(size) < 2 {
            size = size.div_ceil(2);
        }
        Self {
            proxies,
            kernel,
            passes,
            size,
            capacity: capacity(size).max(2),
            damaged: None,
            cached: VecDeque::new(),
        }
    }

    /// The block of `rows`, loaded unless it is cached.
    pub(crate) fn get(&mut self, rows: Range<usize>) -> Arc<Block> {
        let block = match self.cached.iter().position(|block| block.rows == rows) {
            Some(place) => self.cached.remove(place),
            None => None,
        };
        let block = block.unwrap_or_else(|| {
            while self.cached.len() + 1 > self.capacity {
                if let Some(old) = self.cached.pop_front() {
                    self.proxies.release(old.rows.clone());
                }
            }
            if !self.proxies.are_intensities(rows.clone()) {
                self.damaged = Some(rows.clone());
            }
            Arc::new(Block::load(self.proxies, self.kernel, self.passes, rows))
        });
        self.cached.push_back(Arc::clone(&block));
        block
    }

    /// The rows of `range`, divided into blocks.
    pub(crate) fn within(&self, range: Range<usize>) -> Vec<Range<usize>> {
        range.clone().step_by(self.size).map(|first| first..(first + self.size).min(range.end)).collect()
    }
}
