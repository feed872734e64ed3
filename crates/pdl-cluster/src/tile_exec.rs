//! The plan's node that computes tiles, or prepares cases.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt};
use pdl_similarity::compare::TileDone;
use pdl_similarity::isa::Isa;
use pdl_similarity::tile::Tile;

use crate::job::{CompareJob, Job, JobKind};
use crate::prepare_task;
use crate::worker::{TileError, TileWorker};

/// Exit code of an executor that lacks the run's instruction set.
pub const LACKS_ISA: i32 = 6;

/// How often a tile is tried that the storage refuses, and how long the first pause is.
pub(crate) const TRIES: u32 = 6;
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Which tiles go in: a row for each; a case is a tile of column 0.
pub fn input_schema() -> SchemaRef {
    let column = |name| Field::new(name, DataType::UInt32, false);
    Arc::new(Schema::new(vec![column("row"), column("col")]))
}

/// What comes out: a row for each tile, and nothing of what it holds.
fn output_schema() -> SchemaRef {
    let column = |name, data_type| Field::new(name, data_type, false);
    Arc::new(Schema::new(vec![
        column("row", DataType::UInt32),
        column("col", DataType::UInt32),
        column("pairs", DataType::UInt64),
        column("computed", DataType::UInt64),
        column("executor", DataType::Utf8),
    ]))
}

/// Where tiles are computed.
#[derive(Debug)]
pub struct ExecutorHost {
    /// The thread that computes them.
    pub worker: TileWorker,
    /// The name under which this executor appears.
    pub name: String,
    /// Most bytes of memory for the cases of one task.
    pub memory: u64,
}

/// Computes the tiles that its input names, one after another, and writes each into the curation folder; or prepares
/// the cases that it names.
///
/// It is an inner node over a leaf that Ballista knows: a leaf of our own would be run whole by every task.
#[derive(Debug)]
pub struct TileExec {
    /// What to compute.
    pub job: Arc<Job>,
    input: Arc<dyn ExecutionPlan>,
    host: Option<Arc<ExecutorHost>>,
    properties: Arc<PlanProperties>,
}

impl TileExec {
    /// A node over `input`, whose rows are `(row, col)`; it runs only where there is a `host`.
    pub fn new(job: Arc<Job>, input: Arc<dyn ExecutionPlan>, host: Option<Arc<ExecutorHost>>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(output_schema()),
            input.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { job, input, host, properties: Arc::new(properties) }
    }
}

impl DisplayAs for TileExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.job.kind {
            JobKind::Compare(job) => {
                write!(f, "TileExec: tile={}, isa={}", job.parameters.tile, job.parameters.isa)
            }
            JobKind::Prepare(_) => write!(f, "TileExec: cases"),
        }
    }
}

impl ExecutionPlan for TileExec {
    fn name(&self) -> &str {
        "TileExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = children.as_slice() else {
            return Err(DataFusionError::Plan("TileExec has one child".to_owned()));
        };
        Ok(Arc::new(Self::new(Arc::clone(&self.job), Arc::clone(input), self.host.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let host = self.host.clone().ok_or_else(|| {
            DataFusionError::Execution("tiles are computed by `pdl-cluster executor` only".to_owned())
        })?;
        let input = self.input.execute(partition, context)?;
        let rows = input.map(|batch| batch.and_then(|batch| tiles_of(&batch)));
        match &self.job.kind {
            JobKind::Compare(job) => {
                leave_when_lacking(job.parameters.isa);
                let job = Arc::new(job.clone());
                // All wait for their turn at once, so that those of another task do not come between them.
                let done = rows.map_ok(move |tiles| {
                    let (job, host) = (Arc::clone(&job), Arc::clone(&host));
                    let one = move |tile| {
                        let (job, host) = (Arc::clone(&job), Arc::clone(&host));
                        async move { row_of(&compute(&host.worker, &job, tile).await?, &host.name) }
                    };
                    let at_once = tiles.len().max(1);
                    futures::stream::iter(tiles).map(one).buffered(at_once)
                });
                Ok(Box::pin(RecordBatchStreamAdapter::new(output_schema(), done.try_flatten())))
            }
            JobKind::Prepare(job) => {
                let job = Arc::new(job.as_ref().clone());
                let done = rows.and_then(move |cases| {
                    let (job, host) = (Arc::clone(&job), Arc::clone(&host));
                    async move {
                        let done = prepare_task::prepare(&job, cases, host.memory).await?;
                        rows_of(&done, &host.name)
                    }
                });
                Ok(Box::pin(RecordBatchStreamAdapter::new(output_schema(), done)))
            }
        }
    }
}

/// Ends this executor when it lacks the instruction set of the run: its tasks then go to others.
#[expect(clippy::print_stderr, reason = "the last words of a program")]
fn leave_when_lacking(isa: Isa) {
    if !Isa::available().contains(&isa) {
        eprintln!(
            "error: this run computes with {isa}, which this machine lacks; all executors must take the same, so that \
             all tiles are computed alike: run it with --isa avx2 or --isa scalar, or leave this machine out"
        );
        std::process::exit(LACKS_ISA);
    }
}

/// Computes a tile, again when the storage refuses it for a while.
async fn compute(worker: &TileWorker, job: &Arc<CompareJob>, tile: Tile) -> Result<TileDone> {
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=TRIES {
        match worker.compute(job, tile).await {
            Ok(done) => return Ok(done),
            Err(error) if attempt < TRIES && TileError::is_retryable(&error) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(error) => return Err(DataFusionError::Execution(error.to_string())),
        }
    }
    Err(DataFusionError::Execution("no try was made".to_owned()))
}

fn tiles_of(batch: &RecordBatch) -> Result<Vec<Tile>> {
    let column = |name: &str| {
        let found = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<UInt32Type>());
        found.ok_or_else(|| DataFusionError::Execution(format!("the tiles have no column '{name}'")))
    };
    let (rows, cols) = (column("row")?, column("col")?);
    let tile = |(row, col): (&u32, &u32)| Tile { row: *row as usize, col: *col as usize };
    Ok(rows.values().iter().zip(cols.values()).map(tile).collect())
}

fn row_of(done: &TileDone, executor: &str) -> Result<RecordBatch> {
    rows_of(std::slice::from_ref(done), executor)
}

fn rows_of(done: &[TileDone], executor: &str) -> Result<RecordBatch> {
    let narrow = |of: fn(&TileDone) -> usize| -> ArrayRef {
        Arc::new(done.iter().map(|row| of(row) as u32).collect::<UInt32Array>())
    };
    let wide =
        |of: fn(&TileDone) -> u64| -> ArrayRef { Arc::new(done.iter().map(of).collect::<UInt64Array>()) };
    let columns = vec![
        narrow(|row| row.tile.row),
        narrow(|row| row.tile.col),
        wide(|row| row.pairs),
        wide(|row| row.computed),
        Arc::new(StringArray::from(vec![executor; done.len()])),
    ];
    Ok(RecordBatch::try_new(output_schema(), columns)?)
}
