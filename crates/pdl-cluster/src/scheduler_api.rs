//! The scheduler's HTTP interface: executors, jobs and their progress.

use std::time::Duration;

use ballista_api_types::dto::{JobResponse, QueryStagesResponse};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tonic::codegen::http::{Method, Request, StatusCode};
use tonic::codegen::{Bytes, Service, StdError};
use tonic::transport::Channel;

use crate::address::Address;
use crate::error::{ClusterError, with_sources};
use crate::security::Security;

/// Time limit of one request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one scheduler.
#[derive(Clone, Debug)]
pub struct SchedulerApi {
    channel: Channel,
    scheduler: Address,
}

/// An executor as the scheduler lists it.
#[derive(Debug, Deserialize)]
pub struct ExecutorState {
    /// Id, which names its instruction sets:
    /// [`instruction_sets`](crate::executor_id::instruction_sets).
    pub id: String,
    /// Host under which others reach it.
    pub host: String,
    /// Port of its results.
    pub port: u16,
    /// Time of its last heartbeat in milliseconds since 1970.
    pub last_seen: Option<u128>,
}

impl SchedulerApi {
    /// A client of the scheduler at this address; sends nothing yet.
    ///
    /// # Errors
    /// [`ClusterError::Security`] if a connection to such an address is not allowed.
    pub fn new(scheduler: &Address, security: &Security) -> Result<Self, ClusterError> {
        let channel = security.endpoint(scheduler)?.connect_lazy();
        Ok(Self { channel, scheduler: scheduler.clone() })
    }

    fn gone(&self, reason: String) -> ClusterError {
        ClusterError::SchedulerGone { scheduler: self.scheduler.clone(), reason }
    }

    async fn request(&self, method: Method, path: &str) -> Result<(StatusCode, Bytes), ClusterError> {
        let mut channel = self.channel.clone();
        let exchange = async move {
            let request = Request::builder().method(method).uri(path).body(tonic::body::Body::empty())?;
            std::future::poll_fn(|context| channel.poll_ready(context)).await?;
            let response = channel.call(request).await?;
            let status = response.status();
            Ok::<_, StdError>((status, response.into_body().collect().await?.to_bytes()))
        };
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(answer) => answer.map_err(|error| self.gone(with_sources(error.as_ref()))),
            Err(_) => Err(self.gone(format!("no answer within {} seconds", TIMEOUT.as_secs()))),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClusterError> {
        let (status, bytes) = self.request(Method::GET, path).await?;
        if !status.is_success() {
            return Err(self.gone(format!("it answers with status {status}")));
        }
        serde_json::from_slice(&bytes)
            .map_err(|source| ClusterError::NotAScheduler { scheduler: self.scheduler.clone(), source })
    }

    /// All executors that the scheduler remembers, lost ones included.
    ///
    /// # Errors
    /// [`ClusterError::SchedulerGone`] and [`ClusterError::NotAScheduler`].
    pub async fn executors(&self) -> Result<Vec<ExecutorState>, ClusterError> {
        self.get("/api/executors").await
    }

    /// All jobs that the scheduler remembers, completed ones included.
    ///
    /// # Errors
    /// As [`executors`](Self::executors).
    pub async fn jobs(&self) -> Result<Vec<JobResponse>, ClusterError> {
        self.get("/api/jobs").await
    }

    /// The queued and running jobs whose names start with `name`.
    ///
    /// # Errors
    /// As [`executors`](Self::executors).
    pub async fn active_jobs(&self, name: &str) -> Result<Vec<JobResponse>, ClusterError> {
        let mut jobs = self.jobs().await?;
        jobs.retain(|job| job.job_name.starts_with(name) && matches!(&*job.status, "Queued" | "Running"));
        Ok(jobs)
    }

    /// Completed units of a job: the rows that its first stage has returned.
    ///
    /// # Errors
    /// As [`executors`](Self::executors).
    pub async fn units_done(&self, job_id: &str) -> Result<u64, ClusterError> {
        let stages: QueryStagesResponse = self.get(&format!("/api/job/{job_id}/stages")).await?;
        let first = stages.stages.iter().find(|stage| stage.stage_id == "1");
        Ok(first.map_or(0, |stage| stage.output_rows as u64))
    }

    /// Cancels a job; a job that has ended is no error.
    ///
    /// # Errors
    /// [`ClusterError::SchedulerGone`].
    pub async fn cancel(&self, job_id: &str) -> Result<(), ClusterError> {
        let (status, _) = self.request(Method::PATCH, &format!("/api/job/{job_id}")).await?;
        if !status.is_success() && status != StatusCode::CONFLICT {
            return Err(self.gone(format!("it answers with status {status}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[tokio::test]
    async fn a_scheduler_that_accepts_requests_and_sends_no_answer_is_gone() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap().to_string().parse().unwrap();
        let error = SchedulerApi::new(&address, &Security::Open).unwrap().jobs().await.unwrap_err();
        assert!(matches!(error, ClusterError::SchedulerGone { .. }), "{error}");
    }
}
