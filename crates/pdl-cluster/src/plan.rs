//! The plan of a run: tiles in partitions, computed by [`TileExec`], and its rows brought together.
//!
//! ```text
//! CoalescePartitionsExec <- TileExec <- DataSourceExec of (row, col)
//! ```
//!
//! The last stage holds no results of tiles: those of a lost executor would be asked for at a dead address.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use pdl_similarity::tile::Tile;

use crate::job::Job;
use crate::tile_exec::{TileExec, input_schema};

/// Most partitions of a plan: each costs the scheduler memory and some milliseconds.
const MOST_PARTITIONS: usize = 2000;
/// From this many tiles on, a partition holds several: neighbours, which share cases.
const MANY_TILES: usize = 64;
/// Cases in a partition: as many as a machine with many cores prepares at a time, unless there are very many.
const MOST_CASES: usize = 16;

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

/// Squares of neighbouring tiles, small enough that every executor gets many, large enough that a plan has few.
pub fn squares(tiles: &[Tile]) -> Vec<Vec<Tile>> {
    let mut side = if tiles.len() < MANY_TILES { 1 } else { 2 };
    loop {
        let mut squares: BTreeMap<(usize, usize), Vec<Tile>> = BTreeMap::new();
        for tile in tiles {
            squares.entry((tile.row / side, tile.col / side)).or_default().push(*tile);
        }
        if squares.len() <= MOST_PARTITIONS {
            return squares.into_values().collect();
        }
        side += 1;
    }
}

/// Handfuls of cases, each a tile of column 0.
pub fn handfuls(cases: &[usize]) -> Vec<Vec<Tile>> {
    let size = (cases.len() / MANY_TILES).clamp(1, MOST_CASES).max(cases.len().div_ceil(MOST_PARTITIONS));
    let handful = |cases: &[usize]| cases.iter().map(|row| Tile { row: *row, col: 0 }).collect();
    cases.chunks(size).map(handful).collect()
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
    fn every_tile_is_in_one_partition_and_plans_stay_small() {
        for cases in [2, 100, 1000, 20_000] {
            let all: Vec<Tile> = tiles(50, cases).collect();
            let parts = squares(&all);
            assert!(parts.len() <= MOST_PARTITIONS);
            let mut found: Vec<Tile> = parts.into_iter().flatten().collect();
            found.sort_by_key(|tile| (tile.row, tile.col));
            assert_eq!(found, all);
        }
    }
}
