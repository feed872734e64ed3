//! The plan's node that computes tiles or prepares cases on an executor.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
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
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use pdl_similarity::isa::Isa;
use pdl_similarity::tile::Tile;

use crate::error::ClusterError;
use crate::job::{CompareJob, Job, JobKind, PrepareJob};
use crate::prepare_task;
use crate::retry::with_backoff;
use crate::roots::Roots;
use crate::work_unit::{UnitDone, WorkUnit, from_batch, output_schema, results_to_batch};
use crate::worker::{TileError, TileWorker};

/// State that the nodes of an executor share.
#[derive(Debug)]
pub struct ExecutorHost {
    /// The thread that computes tiles.
    pub worker: TileWorker,
    /// Name of this executor in results.
    pub name: String,
    /// Bytes of memory for the cases of one task.
    pub memory: u64,
    /// Instruction sets that it computes with.
    pub isas: Vec<Isa>,
    /// The folders and prefixes that it may use.
    pub roots: Roots,
}

impl ExecutorHost {
    /// Refuses a job that this executor cannot compute, or that would leave its roots.
    fn check(&self, job: &JobKind) -> std::result::Result<(), ClusterError> {
        if let JobKind::Compare(CompareJob { parameters, .. }) = job
            && !self.isas.contains(&parameters.isa)
        {
            let executors = self.name.clone();
            return Err(ClusterError::LacksInstructionSet { isa: parameters.isa, executors });
        }
        self.roots.outside(job).map_or(Ok(()), |place| Err(self.outside(place)))
    }

    /// The error of a job that would leave the roots for `place`.
    pub(crate) fn outside(&self, place: String) -> ClusterError {
        ClusterError::OutsideRoot { executor: self.name.clone(), place }
    }
}

/// Completes the units of work that its input lists: computes tiles one after another, or prepares
/// cases. Results are written to files; its rows only report finished units.
///
/// It is an inner node over a leaf that Ballista knows. Every task would run a leaf of our own as a
/// whole.
#[derive(Debug)]
pub struct TileExec {
    /// The job of the partitions of this node.
    pub job: Arc<Job>,
    input: Arc<dyn ExecutionPlan>,
    host: Option<Arc<ExecutorHost>>,
    properties: Arc<PlanProperties>,
}

impl TileExec {
    /// A node over `input`, a table of [`input_schema`](crate::work_unit::input_schema). It can be
    /// executed only with a `host`.
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
        let host = self.host.clone().ok_or(ClusterError::NotAnExecutor)?;
        host.check(&self.job.kind)?;
        let input = self.input.execute(partition, context)?;
        let units: Units = input.map(|batch| Ok(from_batch(&batch?)?)).boxed();
        let results = match &self.job.kind {
            JobKind::Compare(job) => compute_all(Arc::new(job.clone()), units, host),
            JobKind::Prepare(job) => prepare_all(Arc::new(job.as_ref().clone()), units, host),
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(output_schema(), results)))
    }
}

type Units = BoxStream<'static, Result<Vec<WorkUnit>>>;
type Results = BoxStream<'static, Result<RecordBatch>>;

/// Requests all tiles at once, so that those of another task do not come between them.
fn compute_all(job: Arc<CompareJob>, units: Units, host: Arc<ExecutorHost>) -> Results {
    let results = units.map_ok(move |units| {
        let (job, host) = (Arc::clone(&job), Arc::clone(&host));
        let one = move |unit| {
            let (job, host) = (Arc::clone(&job), Arc::clone(&host));
            async move {
                let WorkUnit::Tile(tile) = unit else { return Err(foreign("a case").into()) };
                let done = compute(&host.worker, &job, tile).await?;
                Ok::<_, DataFusionError>(results_to_batch(&[done], &host.name)?)
            }
        };
        let at_once = units.len().max(1);
        futures::stream::iter(units).map(one).buffered(at_once)
    });
    results.try_flatten().boxed()
}

/// Computes a tile, repeatedly while the storage fails.
async fn compute(
    worker: &TileWorker,
    job: &Arc<CompareJob>,
    tile: Tile,
) -> std::result::Result<UnitDone, ClusterError> {
    let attempt = || worker.compute(job, tile);
    let outcome = with_backoff(attempt, |outcome| outcome.as_ref().is_err_and(TileError::is_retryable));
    outcome.await.map(UnitDone::from).map_err(|error| error.of(tile))
}

fn prepare_all(job: Arc<PrepareJob>, units: Units, host: Arc<ExecutorHost>) -> Results {
    let results = units.and_then(move |units| {
        let (job, host) = (Arc::clone(&job), Arc::clone(&host));
        async move {
            let case = |unit| if let WorkUnit::Case(case) = unit { Some(case) } else { None };
            let cases: Option<Vec<usize>> = units.into_iter().map(case).collect();
            let cases = cases.ok_or_else(|| foreign("a tile"))?;
            if let Some(place) = prepare_task::volume_outside(&job, &cases, &host.roots).await? {
                return Err(host.outside(place).into());
            }
            let done = prepare_task::prepare(&job, &cases, host.memory).await?;
            Ok::<_, DataFusionError>(results_to_batch(&done, &host.name)?)
        }
    });
    results.boxed()
}

fn foreign(unit: &str) -> ClusterError {
    ClusterError::InvalidPlan { problem: format!("{unit} is not a unit of this job") }
}
