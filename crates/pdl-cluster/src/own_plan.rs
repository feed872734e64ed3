//! Recognises pdl's own plans; the scheduler and the executors refuse all others.
//!
//! The engine can run any query over any file that it can read. A cluster of pdl completes units of
//! work ([`plan`](crate::plan)) and runs nothing else.

use ballista_core::JobId;
use ballista_core::execution_plans::{ShuffleReaderExec, ShuffleWriterExec};
use ballista_core::serde::protobuf::execute_query_params::Query;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;
use datafusion_proto::protobuf::physical_plan_node::PhysicalPlanType;

use crate::codec::job_in_node;
use crate::error::ClusterError;
use crate::job::Job;
use crate::tile_exec::TileExec;

/// The job of a query that a client submits, before any part of it is decoded or run.
///
/// # Errors
/// [`ClusterError::InvalidPlan`] for a query that is not a plan of pdl, and the errors of
/// [`Job::decode`].
pub fn job_in_query(query: Option<&Query>) -> Result<Job, ClusterError> {
    let Some(Query::PhysicalPlan(bytes)) = query else { return Err(foreign("a query")) };
    let root = PhysicalPlanNode::try_decode(bytes).map_err(|_| foreign("bytes of another format"))?;
    let Some(PhysicalPlanType::Merge(merge)) = root.physical_plan_type else {
        return Err(foreign("another first node"));
    };
    let below = merge.input.and_then(|node| node.physical_plan_type);
    let Some(PhysicalPlanType::Extension(units)) = below else { return Err(foreign("another second node")) };
    let job = job_in_node(&units.node)?;
    let leaf =
        |node: &PhysicalPlanNode| matches!(node.physical_plan_type, Some(PhysicalPlanType::MemoryScan(_)));
    match units.inputs.as_slice() {
        [input] if leaf(input) => Ok(job),
        _ => Err(foreign("another last node")),
    }
}

/// Refuses the part of a plan that an executor runs, unless it completes units of work or brings
/// their results together.
///
/// # Errors
/// [`ClusterError::InvalidPlan`].
pub fn check_stage(stage: &dyn ExecutionPlan, job: &JobId) -> Result<(), ClusterError> {
    if !is_plain(job) {
        return Err(foreign("another id of the job"));
    }
    let writer = stage.downcast_ref::<ShuffleWriterExec>().ok_or_else(|| foreign("another first node"))?;
    let [below] = writer.children()[..] else { return Err(foreign("another first node")) };
    let leaf = match below.children()[..] {
        [leaf] => leaf,
        _ => return Err(foreign("another second node")),
    };
    let is_units = || {
        let source = leaf.downcast_ref::<DataSourceExec>();
        below.downcast_ref::<TileExec>().is_some()
            && source
                .is_some_and(|source| source.data_source().downcast_ref::<MemorySourceConfig>().is_some())
    };
    let is_results = || {
        let own = |reader: &ShuffleReaderExec| {
            reader.partition.iter().flatten().all(|place| place.partition_id.job_id == *job)
        };
        below.downcast_ref::<CoalescePartitionsExec>().is_some()
            && leaf.downcast_ref::<ShuffleReaderExec>().is_some_and(own)
    };
    if is_units() || is_results() { Ok(()) } else { Err(foreign("another second node")) }
}

/// Whether the id of a job is safe as the name of a folder.
pub fn is_plain(job: &JobId) -> bool {
    let id = job.as_str();
    !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn foreign(found: &str) -> ClusterError {
    ClusterError::InvalidPlan { problem: format!("expected units of work of pdl, found {found}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use std::sync::Arc;

    use ballista_core::serde::scheduler::{
        ExecutorMetadata, ExecutorOperatingSystemSpecification, ExecutorSpecification, PartitionId,
        PartitionLocation, PartitionStats,
    };
    use datafusion::physical_plan::Partitioning;
    use datafusion::physical_plan::empty::EmptyExec;
    use pdl_similarity::parameters::CompareParameters;
    use pdl_similarity::tile::Tile;

    use super::*;
    use crate::job::{CompareJob, DataLocation, JobKind};
    use crate::plan::plan;
    use crate::work_unit::{WorkUnit, output_schema};

    fn units() -> Arc<dyn ExecutionPlan> {
        let kind = JobKind::Compare(CompareJob {
            location: DataLocation::Folder("out".into()),
            parameters: CompareParameters::default(),
            proxies: String::new(),
        });
        let unit = WorkUnit::Tile(Tile { row: 0, col: 0 });
        Arc::clone(plan(Job::new(kind), &[vec![unit]]).unwrap().children()[0])
    }

    fn results_of(job: &str) -> Arc<dyn ExecutionPlan> {
        let place = PartitionLocation {
            map_partition_id: 0,
            partition_id: PartitionId { job_id: job.into(), stage_id: 1, partition_id: 0 },
            executor_meta: ExecutorMetadata {
                id: "id".to_owned(),
                host: "host".to_owned(),
                port: 1,
                grpc_port: 1,
                specification: ExecutorSpecification::default(),
                os_info: ExecutorOperatingSystemSpecification::default(),
            },
            partition_stats: PartitionStats::default(),
            file_id: None,
            is_sort_shuffle: false,
        };
        let one = Partitioning::UnknownPartitioning(1);
        let reader = ShuffleReaderExec::try_new(1, vec![vec![place]], output_schema(), one).unwrap();
        Arc::new(CoalescePartitionsExec::new(Arc::new(reader)))
    }

    fn written(plan: Arc<dyn ExecutionPlan>, job: &str) -> ShuffleWriterExec {
        ShuffleWriterExec::try_new(job.into(), 1, plan, "work".to_owned()).unwrap()
    }

    #[test]
    fn the_two_stages_of_a_plan_are_run() {
        for stage in [units(), results_of("job-1")] {
            assert!(check_stage(&written(stage, "job-1"), &"job-1".into()).is_ok());
        }
    }

    #[test]
    fn any_other_stage_is_refused() {
        let empty: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(output_schema()));
        let gathered: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(Arc::clone(&empty)));
        let over_units: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(units()));
        for stage in [empty, gathered, over_units, results_of("job-2")] {
            let refused = check_stage(&written(stage, "job-1"), &"job-1".into());
            assert!(matches!(refused, Err(ClusterError::InvalidPlan { .. })));
        }
        assert!(check_stage(units().as_ref(), &"job-1".into()).is_err(), "nobody writes the results");
    }

    #[test]
    fn the_id_of_a_job_is_no_path() {
        for id in ["", "..", "a/b", "/etc", "a\0"] {
            assert!(check_stage(&written(units(), id), &id.into()).is_err(), "{id}");
        }
    }
}
