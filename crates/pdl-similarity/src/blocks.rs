//! Blocks of cases in memory, as many as the limit allows.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use pdl_prepare::proxies::Proxies;
use pdl_volume::body::body;
use rayon::prelude::*;

use crate::chunks::Chunked;
use crate::engine;
use crate::kernel::{Kernel, Member};
use crate::labels::LabelSets;
use crate::metric::Needs;

/// What the program and its libraries take besides the blocks.
const PROGRAM_BYTES: u64 = 64 << 20;

/// Consecutive cases with all that the pair kernel needs of them.
#[derive(Debug)]
pub(crate) struct Block {
    /// Row numbers in the proxies.
    pub rows: Range<usize>,
    chunked: Chunked,
    /// One behind the other; empty unless they are needed.
    bodies: Vec<f32>,
    /// One for each case; none unless they are needed.
    labels: Vec<LabelSets>,
}

impl Block {
    // All cases of a block lie in one piece of memory, which goes back to the system with the block.
    fn load(proxies: &Proxies, kernel: &Kernel, needs: Needs, rows: Range<usize>) -> Self {
        let voxels = kernel.shape.iter().product::<usize>();
        let mut bodies = Vec::new();
        if needs.bodies {
            bodies = vec![0.0; rows.len() * voxels];
            let places = bodies.par_chunks_mut(voxels);
            rows.clone().into_par_iter().zip(places).for_each(|(row, place)| {
                let inside = body(proxies.voxels(row), proxies.shape_zyx, [0.0, 1.0]);
                place.iter_mut().zip(inside).for_each(|(v, inside)| *v = f32::from(inside));
            });
        }
        let mut chunked = Chunked::default();
        if needs.windows || needs.bodies {
            let body = |i: usize| if needs.bodies { &bodies[i * voxels..(i + 1) * voxels] } else { &[] };
            let volume = |i: usize| (proxies.voxels(rows.start + i), body(i));
            chunked = Chunked::new(kernel, rows.len(), needs.bodies, volume);
        }
        let mut labels = Vec::new();
        if needs.labels {
            let maps = rows.clone().into_par_iter().filter_map(|row| proxies.labels(row));
            labels = maps.map(|map| LabelSets::new(&map)).collect();
        }
        Self { rows, chunked, bodies, labels }
    }

    /// Its cases, in order.
    pub(crate) fn members<'a>(&'a self, proxies: &'a Proxies, kernel: &Kernel) -> Vec<Member<'a>> {
        let voxels = kernel.shape.iter().product::<usize>();
        let member = |(i, row): (usize, usize)| Member {
            voxels: proxies.voxels(row),
            chunked: self.chunked.view(kernel, i),
            body: if self.bodies.is_empty() { &[] } else { &self.bodies[i * voxels..(i + 1) * voxels] },
            labels: self.labels.get(i),
        };
        self.rows.clone().enumerate().map(member).collect()
    }
}

/// Loads blocks and keeps those used last.
pub(crate) struct Blocks<'a> {
    pub proxies: &'a Proxies,
    pub kernel: &'a Kernel,
    pub needs: Needs,
    /// Most cases in a block.
    pub size: usize,
    /// Most blocks in memory.
    pub capacity: usize,
    kept: VecDeque<Arc<Block>>,
}

impl<'a> Blocks<'a> {
    /// Blocks of at most `most` cases, that together stay within `memory` bytes as far as that can be.
    pub(crate) fn new(
        proxies: &'a Proxies,
        kernel: &'a Kernel,
        needs: Needs,
        most: usize,
        memory: u64,
    ) -> Self {
        let voxels = (size_of::<f32>() * kernel.shape.iter().product::<usize>()) as u64;
        let windows = if needs.windows || needs.bodies { Chunked::bytes(kernel, needs.bodies) } else { 0 };
        let bodies = if needs.bodies { voxels } else { 0 };
        let labels = if needs.labels { LabelSets::bytes(proxies) } else { 0 };
        let case = voxels + windows + bodies + labels;
        let threads = rayon::current_num_threads() as u64;
        let capacity = |size: usize| {
            let spare = memory.saturating_sub(PROGRAM_BYTES + threads * engine::bytes_a_thread(kernel, size));
            (spare / (case * size as u64)) as usize
        };
        // Two blocks at least; smaller ones where memory is short.
        let mut size = most.min(proxies.len().max(1));
        while size > 1 && capacity(size) < 2 {
            size = size.div_ceil(2);
        }
        Self { proxies, kernel, needs, size, capacity: capacity(size).max(2), kept: VecDeque::new() }
    }

    /// The block of `rows`.
    pub(crate) fn get(&mut self, rows: Range<usize>) -> Arc<Block> {
        let block = match self.kept.iter().position(|block| block.rows == rows) {
            Some(place) => self.kept.remove(place),
            None => None,
        };
        let block = block.unwrap_or_else(|| {
            while self.kept.len() + 1 > self.capacity {
                if let Some(old) = self.kept.pop_front() {
                    self.proxies.release(old.rows.clone());
                }
            }
            Arc::new(Block::load(self.proxies, self.kernel, self.needs, rows))
        });
        self.kept.push_back(Arc::clone(&block));
        block
    }

    /// The rows of `range` in blocks.
    pub(crate) fn within(&self, range: Range<usize>) -> Vec<Range<usize>> {
        range.clone().step_by(self.size).map(|first| first..(first + self.size).min(range.end)).collect()
    }
}
