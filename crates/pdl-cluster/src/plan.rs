//! The plan of a run: partitions of units of work, completed by [`TileExec`], and their results
//! brought together.
//!
//! ```text
//! CoalescePartitionsExec <- TileExec <- DataSourceExec of units
//! ```
//!
//! The last stage holds no results of tiles: those of a lost executor would be fetched from a dead
//! address.

use std::sync::Arc;

use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use pdl_similarity::tile::Tile;

use crate::job::Job;
use crate::tile_exec::TileExec;
use crate::work_unit::{WorkUnit, input_schema, to_batch};

/// A partition takes one share of the remaining units, and there are this many shares per executor.
/// Partitions shrink towards the end, so that all executors end at about the same time.
const SHARES_PER_EXECUTOR: usize = 4;
/// Bounds of the number of shares. The lower one leaves work for executors that join later; the
/// upper one keeps a plan at a few thousand partitions, since each costs the scheduler memory and
/// time.
const SHARES: [usize; 2] = [8, 500];
/// A partition never has more units than this, or than this fraction of all units where that is
/// more.
const MOST_UNITS: usize = 16;
const MOST_OF_ALL: usize = 64;

/// The plan that completes the units of `partitions`.
///
/// # Errors
/// When DataFusion refuses it.
pub fn plan(job: Job, partitions: &[Vec<WorkUnit>]) -> Result<Arc<dyn ExecutionPlan>> {
    let partitions = partitions.iter().map(|units| Ok(vec![to_batch(units)?])).collect::<Result<Vec<_>>>()?;
    let source = MemorySourceConfig::try_new_exec(&partitions, input_schema(), None)?;
    let tiles = TileExec::new(Arc::new(job), source, None);
    Ok(Arc::new(CoalescePartitionsExec::new(Arc::new(tiles))))
}

/// Divides units among executors. Neighbouring tiles share a partition, and with it most of their
/// cases, whatever its size and however many cases an executor holds in memory.
pub fn partitions(units: &[WorkUnit], executors: usize) -> Vec<Vec<WorkUnit>> {
    let mut units = units.to_vec();
    units.sort_by_key(|unit| match unit {
        WorkUnit::Tile(tile) => morton(*tile),
        WorkUnit::Case(case) => *case as u64,
    });
    let shares = (SHARES_PER_EXECUTOR * executors).clamp(SHARES[0], SHARES[1]);
    let most = most_units(units.len());
    let mut partitions = Vec::new();
    let mut left = units.as_slice();
    while !left.is_empty() {
        let (partition, rest) = left.split_at((left.len() / shares).clamp(1, most));
        partitions.push(partition.to_vec());
        left = rest;
    }
    partitions
}

fn most_units(all: usize) -> usize {
    MOST_UNITS.max(all / MOST_OF_ALL)
}

/// Position on the Morton curve (bits of row and column interleaved), which completes every
/// square of 2 x 2, of 4 x 4, ... tiles before the next.
fn morton(tile: Tile) -> u64 {
    let bit = |number: usize, bit: u32| (number as u64 >> bit) & 1;
    (0..32).map(|at| bit(tile.row, at) << (2 * at + 1) | bit(tile.col, at) << (2 * at)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_similarity::tile::tiles;

    fn units(size: usize, cases: usize) -> Vec<WorkUnit> {
        tiles(size, cases).map(WorkUnit::Tile).collect()
    }

    fn tiles_of(units: &[WorkUnit]) -> impl Iterator<Item = Tile> {
        units.iter().filter_map(|unit| if let WorkUnit::Tile(tile) = unit { Some(*tile) } else { None })
    }

    #[test]
    fn every_tile_is_in_one_partition_and_plans_stay_small() {
        for (cases, executors) in [(2, 1), (100, 0), (1000, 3), (20_000, 1), (20_000, 64), (20_000, 5000)] {
            let all = units(50, cases);
            let partitions = partitions(&all, executors);
            assert!(partitions.len() < 3500, "{} partitions", partitions.len());
            let found: Vec<WorkUnit> = partitions.into_iter().flatten().collect();
            let mut found: Vec<Tile> = tiles_of(&found).collect();
            found.sort_by_key(|tile| (tile.row, tile.col));
            assert!(found.into_iter().eq(tiles_of(&all)));
        }
    }

    #[test]
    fn partitions_are_compact_and_the_last_ones_small() {
        let all = units(1, 64);
        let partitions = partitions(&all, 2);
        for partition in partitions.iter().filter(|partition| partition.len() == most_units(all.len())) {
            let mut blocks: Vec<usize> = tiles_of(partition).flat_map(|tile| [tile.row, tile.col]).collect();
            blocks.sort_unstable();
            blocks.dedup();
            assert!(blocks.len() <= 20, "{} blocks for {} tiles", blocks.len(), partition.len());
        }
        assert!(partitions.iter().rev().take(8).all(|partition| partition.len() == 1));
    }

    #[test]
    fn cases_stay_in_their_order() {
        let all: Vec<WorkUnit> = (0..300).map(WorkUnit::Case).collect();
        assert_eq!(partitions(&all, 3).concat(), all);
    }
}
