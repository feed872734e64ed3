//! The plan of a run: tiles in partitions, computed by [`TileExec`], and its rows brought together.
//!
//! ```text
//! CoalescePartitionsExec <- TileExec <- DataSourceExec of (row, col)
//! ```
//!
//! The last stage holds no results of tiles: those of a lost executor would be asked for at a dead address.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use pdl_similarity::tile::Tile;

use crate::job::Job;
use crate::tile_exec::{TileExec, input_schema};

/// A partition of the work is this share of what is left, for each executor: partitions become smaller towards the end, so that
/// all executors end at the same time.
const SHARE: usize = 4;
/// Bounds of the share: work for executors that come later; and a plan of some thousand partitions at most, of which each
/// costs the scheduler memory and some milliseconds.
const SHARES: [usize; 2] = [8, 500];
/// Whatever the shares, no partition is larger than this many tiles or this part of all.
const MOST_TILES: usize = 16;
const MOST_OF_ALL: usize = 64;

/// The plan that computes tiles, or prepares cases, which are tiles of column 0.
///
/// # Errors
/// When DataFusion refuses it.
pub fn plan(job: Job, partitions: &[Vec<Tile>]) -> Result<Arc<dyn ExecutionPlan>> {
    let partitions: Vec<Vec<RecordBatch>> =
        partitions.iter().map(|tiles| Ok(vec![batch(tiles)?])).collect::<Result<_>>()?;
    let source = MemorySourceConfig::try_new_exec(&partitions, input_schema(), None)?;
    let tiles = TileExec::new(Arc::new(job), source, None);
    Ok(Arc::new(CoalescePartitionsExec::new(Arc::new(tiles))))
}

/// Tiles, or cases as tiles of column 0, in partitions for so many executors, neighbours together: those of a partition share
/// most of their cases, whatever its size and however many of them an executor keeps in memory.
pub fn partitions(tiles: &[Tile], executors: usize) -> Vec<Vec<Tile>> {
    let mut tiles = tiles.to_vec();
    tiles.sort_by_key(along_curve);
    let shares = (SHARE * executors).clamp(SHARES[0], SHARES[1]);
    let most = MOST_TILES.max(tiles.len() / MOST_OF_ALL);
    let mut partitions = Vec::new();
    let mut left = tiles.as_slice();
    while !left.is_empty() {
        let (partition, rest) = left.split_at((left.len() / shares).clamp(1, most));
        partitions.push(partition.to_vec());
        left = rest;
    }
    partitions
}

/// The position of a tile on Morton's curve, which goes through every square of 2 x 2, of 4 x 4, ... before the next: the bits
/// of row and column by turns.
fn along_curve(tile: &Tile) -> u64 {
    let bit = |number: usize, bit: u32| (number as u64 >> bit) & 1;
    (0..32).map(|at| bit(tile.row, at) << (2 * at + 1) | bit(tile.col, at) << (2 * at)).sum()
}

fn batch(tiles: &[Tile]) -> Result<RecordBatch> {
    let column = |of: fn(&Tile) -> usize| -> arrow::array::ArrayRef {
        Arc::new(tiles.iter().map(|tile| of(tile) as u32).collect::<UInt32Array>())
    };
    Ok(RecordBatch::try_new(input_schema(), vec![column(|tile| tile.row), column(|tile| tile.col)])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_similarity::tile::tiles;

    #[test]
    fn every_tile_is_in_one_piece_and_plans_stay_small() {
        for (cases, executors) in [(2, 1), (100, 0), (1000, 3), (20_000, 1), (20_000, 64), (20_000, 5000)] {
            let all: Vec<Tile> = tiles(50, cases).collect();
            let partitions = partitions(&all, executors);
            assert!(partitions.len() < 3500, "{} partitions", partitions.len());
            let mut found: Vec<Tile> = partitions.into_iter().flatten().collect();
            found.sort_by_key(|tile| (tile.row, tile.col));
            assert_eq!(found, all);
        }
    }

    #[test]
    fn pieces_are_compact_and_the_last_ones_small() {
        let all: Vec<Tile> = tiles(1, 64).collect();
        let partitions = partitions(&all, 2);
        for partition in
            partitions.iter().filter(|partition| partition.len() == MOST_TILES.max(all.len() / MOST_OF_ALL))
        {
            let mut blocks: Vec<usize> = partition.iter().flat_map(|tile| [tile.row, tile.col]).collect();
            blocks.sort_unstable();
            blocks.dedup();
            assert!(blocks.len() <= 20, "{} blocks for {} tiles", blocks.len(), partition.len());
        }
        assert!(partitions.iter().rev().take(8).all(|partition| partition.len() == 1));
    }
}
