//! The engine of an executor, which runs pdl's own plans alone.

use std::sync::Arc;

use ballista_core::JobId;
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;

use crate::own_plan::check_stage;

/// The engine behind a check of the plans that it gets.
#[derive(Default)]
pub(crate) struct OwnPlansEngine(DefaultExecutionEngine);

impl ExecutionEngine for OwnPlansEngine {
    fn create_query_stage_exec(
        &self,
        job_id: JobId,
        stage_id: usize,
        task_id: usize,
        global_output_partition_ids: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        work_dir: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        check_stage(plan.as_ref(), &job_id)?;
        let outputs = global_output_partition_ids;
        self.0.create_query_stage_exec(job_id, stage_id, task_id, outputs, plan, work_dir, config)
    }
}
