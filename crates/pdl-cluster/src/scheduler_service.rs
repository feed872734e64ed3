//! The service of the scheduler: the engine's calls for plans of pdl, and no others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ballista_core::config::BALLISTA_JOB_NAME;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpc;
use ballista_core::serde::protobuf::{
    CancelJobParams, CancelJobResult, CleanJobDataParams, CleanJobDataResult, CreateUpdateSessionParams,
    CreateUpdateSessionResult, ExecuteQueryParams, ExecuteQueryResult, ExecutorRegistration,
    ExecutorStoppedParams, ExecutorStoppedResult, GetJobMetricsParams, GetJobMetricsResult,
    GetJobStatusParams, GetJobStatusResult, HeartBeatParams, HeartBeatResult, PollWorkParams, PollWorkResult,
    RegisterExecutorParams, RegisterExecutorResult, RemoveSessionParams, RemoveSessionResult,
    UpdateTaskStatusParams, UpdateTaskStatusResult,
};
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use pdl_similarity::isa::Isa;
use tonic::{Request, Response, Status};

use crate::executor_id::instruction_sets;
use crate::job::JobKind;
use crate::own_plan::job_in_query;

/// The engine's scheduler.
pub(crate) type Engine = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// The engine's scheduler behind checks of what is asked of it.
#[derive(Clone)]
pub(crate) struct SchedulerService {
    engine: Arc<Engine>,
    /// Instruction sets of the jobs that were submitted, by the names of the jobs.
    isas: Arc<Mutex<HashMap<String, Isa>>>,
}

type Answer<T> = Result<Response<T>, Status>;

impl SchedulerService {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, isas: Arc::default() }
    }

    /// Refuses a query that is not a plan of pdl, and remembers the instruction set of one that is.
    fn admit(&self, query: &ExecuteQueryParams) -> Result<(), Status> {
        let job = job_in_query(query.query.as_ref())
            .map_err(|error| Status::invalid_argument(error.to_engine_text()))?;
        let name = query.settings.iter().find(|setting| setting.key == BALLISTA_JOB_NAME);
        let Some(name) = name.and_then(|setting| setting.value.clone()) else {
            return Err(Status::invalid_argument("the job has no name"));
        };
        if let JobKind::Compare(job) = job.kind {
            let mut isas = self.isas.lock().unwrap_or_else(PoisonError::into_inner);
            isas.insert(name, job.parameters.isa);
        }
        Ok(())
    }

    /// Whether a running job needs an instruction set that the executor lacks.
    async fn lacks(&self, executor: &str) -> bool {
        let offered = instruction_sets(executor);
        let jobs = self.engine.state.task_manager.get_running_job_cache();
        for job in jobs.values() {
            let name = job.execution_graph.read().await.job_name().to_owned();
            let isas = self.isas.lock().unwrap_or_else(PoisonError::into_inner);
            if isas.get(&name).is_some_and(|isa| !offered.contains(isa)) {
                return true;
            }
        }
        false
    }
}

/// Checks the fields of a registration that the engine relies on.
fn check_registration(metadata: Option<&ExecutorRegistration>) -> Result<&ExecutorRegistration, Status> {
    let complete = metadata.filter(|metadata| {
        metadata.host.is_some() && metadata.specification.is_some() && metadata.os_info.is_some()
    });
    complete.ok_or_else(|| Status::invalid_argument("the registration of the executor is incomplete"))
}

#[tonic::async_trait]
impl SchedulerGrpc for SchedulerService {
    type ExecuteQueryPushStream = <Engine as SchedulerGrpc>::ExecuteQueryPushStream;

    async fn execute_query(&self, request: Request<ExecuteQueryParams>) -> Answer<ExecuteQueryResult> {
        self.admit(request.get_ref())?;
        self.engine.execute_query(request).await
    }

    async fn execute_query_push(
        &self,
        request: Request<ExecuteQueryParams>,
    ) -> Answer<Self::ExecuteQueryPushStream> {
        self.admit(request.get_ref())?;
        self.engine.execute_query_push(request).await
    }

    /// An executor that lacks the instruction set of a running job gets no task meanwhile.
    async fn poll_work(&self, mut request: Request<PollWorkParams>) -> Answer<PollWorkResult> {
        let executor = check_registration(request.get_ref().metadata.as_ref())?.id.clone();
        if self.lacks(&executor).await {
            request.get_mut().num_free_vcores = 0;
        }
        self.engine.poll_work(request).await
    }

    /// Executors register by asking for work.
    async fn register_executor(&self, _: Request<RegisterExecutorParams>) -> Answer<RegisterExecutorResult> {
        Err(Status::unimplemented("executors ask for work"))
    }

    async fn heart_beat_from_executor(&self, request: Request<HeartBeatParams>) -> Answer<HeartBeatResult> {
        let executor = check_registration(request.get_ref().metadata.as_ref())?;
        if self.engine.state.executor_manager.get_executor_metadata(&executor.id).await.is_err() {
            return Err(Status::not_found("the executor has not asked for work yet"));
        }
        self.engine.heart_beat_from_executor(request).await
    }

    async fn update_task_status(
        &self,
        request: Request<UpdateTaskStatusParams>,
    ) -> Answer<UpdateTaskStatusResult> {
        SchedulerGrpc::update_task_status(self.engine.as_ref(), request).await
    }

    async fn create_update_session(
        &self,
        request: Request<CreateUpdateSessionParams>,
    ) -> Answer<CreateUpdateSessionResult> {
        self.engine.create_update_session(request).await
    }

    async fn remove_session(&self, request: Request<RemoveSessionParams>) -> Answer<RemoveSessionResult> {
        self.engine.remove_session(request).await
    }

    async fn get_job_status(&self, request: Request<GetJobStatusParams>) -> Answer<GetJobStatusResult> {
        self.engine.get_job_status(request).await
    }

    async fn get_job_metrics(&self, request: Request<GetJobMetricsParams>) -> Answer<GetJobMetricsResult> {
        self.engine.get_job_metrics(request).await
    }

    async fn executor_stopped(
        &self,
        request: Request<ExecutorStoppedParams>,
    ) -> Answer<ExecutorStoppedResult> {
        self.engine.executor_stopped(request).await
    }

    async fn cancel_job(&self, request: Request<CancelJobParams>) -> Answer<CancelJobResult> {
        SchedulerGrpc::cancel_job(self.engine.as_ref(), request).await
    }

    async fn clean_job_data(&self, request: Request<CleanJobDataParams>) -> Answer<CleanJobDataResult> {
        self.engine.clean_job_data(request).await
    }
}
