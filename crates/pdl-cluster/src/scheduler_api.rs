//! The scheduler's HTTP interface: executors, jobs and their progress.

use std::time::Duration;

use ballista_api_types::dto::{JobResponse, QueryStagesResponse};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::address::Address;
use crate::error::{ClusterError, with_sources};

/// Time limit of one request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one scheduler.
#[derive(Clone, Debug)]
pub struct SchedulerApi {
    client: reqwest::Client,
    scheduler: Address,
}

/// An executor as the scheduler lists it.
#[derive(Debug, Deserialize)]
pub struct ExecutorState {
    /// Host under which others reach it.
    pub host: String,
    /// Port of its results.
    pub port: u16,
    /// Time of its last heartbeat in milliseconds since 1970.
    pub last_seen: Option<u128>,
}

impl SchedulerApi {
    /// A client of the scheduler at this address; sends nothing yet.
    pub fn new(scheduler: &Address) -> Self {
        Self { client: reqwest::Client::new(), scheduler: scheduler.clone() }
    }

    fn gone(&self) -> impl Fn(reqwest::Error) -> ClusterError {
        let scheduler = self.scheduler.clone();
        move |error| ClusterError::SchedulerGone {
            scheduler: scheduler.clone(),
            reason: with_sources(&error),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClusterError> {
        let url = format!("http://{}{path}", self.scheduler);
        let answer = self.client.get(url).timeout(TIMEOUT).send().await.map_err(self.gone())?;
        let answer = answer.error_for_status().map_err(self.gone())?;
        let bytes = answer.bytes().await.map_err(self.gone())?;
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
        let url = format!("http://{}/api/job/{job_id}", self.scheduler);
        let answer = self.client.patch(url).timeout(TIMEOUT).send().await.map_err(self.gone())?;
        if answer.status() != reqwest::StatusCode::CONFLICT {
            answer.error_for_status().map_err(self.gone())?;
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
        let error = SchedulerApi::new(&address).jobs().await.unwrap_err();
        assert!(matches!(error, ClusterError::SchedulerGone { .. }), "{error}");
    }
}
