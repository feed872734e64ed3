//! The service of an executor: it serves the results of its tasks, and cancels tasks. It gets its
//! tasks by asking the scheduler for them, and ends only on its own machine.

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, PollInfo,
    SchemaResult, Ticket,
};
use ballista_core::serde::decode_protobuf;
use ballista_core::serde::protobuf::executor_grpc_server::ExecutorGrpc;
use ballista_core::serde::protobuf::{
    CancelTasksParams, CancelTasksResult, LaunchMultiTaskParams, LaunchMultiTaskResult, LaunchTaskParams,
    LaunchTaskResult, RemoveJobDataParams, RemoveJobDataResult, StopExecutorParams, StopExecutorResult,
};
use ballista_core::serde::scheduler::Action as EngineAction;
use ballista_executor::executor::Executor;
use ballista_executor::flight_service::BallistaFlightService as Engine;
use tonic::{Request, Response, Status, Streaming};

use crate::own_plan::is_plain;

type Answer<T> = Result<Response<T>, Status>;

/// Control of the tasks that run.
pub(crate) struct TaskControl(pub(crate) Arc<Executor>);

#[tonic::async_trait]
impl ExecutorGrpc for TaskControl {
    async fn cancel_tasks(&self, request: Request<CancelTasksParams>) -> Answer<CancelTasksResult> {
        let mut cancelled = true;
        for task in request.into_inner().task_infos {
            let (stage, number) = (task.stage_id as usize, task.task_id as usize);
            let found = self.0.cancel_task(task.job_id.into(), stage, number).await;
            cancelled &= found.map_err(|error| Status::internal(error.to_string()))?;
        }
        Ok(Response::new(CancelTasksResult { cancelled }))
    }

    async fn launch_task(&self, _: Request<LaunchTaskParams>) -> Answer<LaunchTaskResult> {
        Err(refused())
    }

    async fn launch_multi_task(&self, _: Request<LaunchMultiTaskParams>) -> Answer<LaunchMultiTaskResult> {
        Err(refused())
    }

    async fn stop_executor(&self, _: Request<StopExecutorParams>) -> Answer<StopExecutorResult> {
        Err(refused())
    }

    async fn remove_job_data(&self, _: Request<RemoveJobDataParams>) -> Answer<RemoveJobDataResult> {
        Err(refused())
    }
}

/// The results of tasks, below the executor's temporary folder.
pub(crate) struct TaskResults(Engine);

impl TaskResults {
    pub(crate) fn new(folder: String) -> Self {
        Self(Engine::new(folder))
    }
}

/// Refuses a request for a file whose path would leave the folder.
fn check(request: &[u8]) -> Result<(), Status> {
    let action = decode_protobuf(request).map_err(|_| Status::invalid_argument("the request is invalid"))?;
    let EngineAction::FetchPartition { job_id, .. } = action;
    if is_plain(&job_id) { Ok(()) } else { Err(Status::invalid_argument("the id of the job is invalid")) }
}

fn refused() -> Status {
    Status::unimplemented("an executor of pdl-cluster asks for its tasks")
}

#[tonic::async_trait]
impl FlightService for TaskResults {
    type HandshakeStream = <Engine as FlightService>::HandshakeStream;
    type ListFlightsStream = <Engine as FlightService>::ListFlightsStream;
    type DoGetStream = <Engine as FlightService>::DoGetStream;
    type DoPutStream = <Engine as FlightService>::DoPutStream;
    type DoExchangeStream = <Engine as FlightService>::DoExchangeStream;
    type DoActionStream = <Engine as FlightService>::DoActionStream;
    type ListActionsStream = <Engine as FlightService>::ListActionsStream;

    async fn do_get(&self, request: Request<Ticket>) -> Answer<Self::DoGetStream> {
        check(&request.get_ref().ticket)?;
        self.0.do_get(request).await
    }

    async fn do_action(&self, request: Request<Action>) -> Answer<Self::DoActionStream> {
        check(&request.get_ref().body)?;
        self.0.do_action(request).await
    }

    async fn handshake(&self, _: Request<Streaming<HandshakeRequest>>) -> Answer<Self::HandshakeStream> {
        Err(refused())
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        Err(refused())
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        Err(refused())
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<PollInfo> {
        Err(refused())
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        Err(refused())
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        Err(refused())
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoExchangeStream> {
        Err(refused())
    }

    async fn list_actions(&self, _: Request<Empty>) -> Answer<Self::ListActionsStream> {
        Err(refused())
    }
}
