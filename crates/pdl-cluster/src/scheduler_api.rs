//! What the scheduler tells over HTTP: jobs, how far they are, and executors.

use std::time::Duration;

use anyhow::{Context, Result};
use ballista_api_types::dto::{JobResponse, QueryStagesResponse};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Address;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks one scheduler.
#[derive(Clone, Debug)]
pub struct SchedulerApi {
    client: reqwest::Client,
    scheduler: Address,
}

/// An executor as the scheduler knows it.
#[derive(Debug, Deserialize)]
pub struct ExecutorState {
    /// Where it is.
    pub host: String,
    /// Its port for results.
    pub port: u16,
    /// Milliseconds since 1970 of its last sign of life.
    pub last_seen: Option<u128>,
}

impl SchedulerApi {
    /// For the scheduler at an address.
    pub fn new(scheduler: &Address) -> Self {
        Self { client: reqwest::Client::new(), scheduler: scheduler.clone() }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let url = format!("http://{}{path}", self.scheduler);
        let failed = || format!("the scheduler at {} does not answer", self.scheduler);
        let answer = self.client.get(url).timeout(PATIENCE).send().await.with_context(failed)?;
        let bytes = answer.error_for_status().with_context(failed)?.bytes().await.with_context(failed)?;
        serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is no scheduler of pdl-cluster", self.scheduler))
    }

    /// All executors.
    ///
    /// # Errors
    /// When the scheduler does not answer.
    pub async fn executors(&self) -> Result<Vec<ExecutorState>> {
        self.get("/api/executors").await
    }

    /// All jobs that it remembers.
    ///
    /// # Errors
    /// When the scheduler does not answer.
    pub async fn jobs(&self) -> Result<Vec<JobResponse>> {
        self.get("/api/jobs").await
    }

    /// The jobs whose names begin like this and that have not ended.
    ///
    /// # Errors
    /// When the scheduler does not answer.
    pub async fn jobs_under_way(&self, name: &str) -> Result<Vec<JobResponse>> {
        let mut jobs = self.jobs().await?;
        jobs.retain(|job| job.job_name.starts_with(name) && matches!(&*job.status, "Queued" | "Running"));
        Ok(jobs)
    }

    /// How many tiles of a job are done: the rows that its first stage gave.
    ///
    /// # Errors
    /// When the scheduler does not answer.
    pub async fn tiles_done(&self, job_id: &str) -> Result<u64> {
        let stages: QueryStagesResponse = self.get(&format!("/api/job/{job_id}/stages")).await?;
        let first = stages.stages.iter().find(|stage| stage.stage_id == "1");
        Ok(first.map_or(0, |stage| stage.output_rows as u64))
    }

    /// Ends a job.
    ///
    /// # Errors
    /// When the scheduler does not answer.
    pub async fn cancel(&self, job_id: &str) -> Result<()> {
        let url = format!("http://{}/api/job/{job_id}", self.scheduler);
        let answer = self.client.patch(url).timeout(PATIENCE).send().await?;
        if answer.status() != reqwest::StatusCode::CONFLICT {
            answer.error_for_status()?; // in conflict with a job that has ended meanwhile
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[tokio::test]
    async fn a_scheduler_that_takes_calls_and_says_nothing_is_told() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap().to_string().parse().unwrap();
        let error = SchedulerApi::new(&address).jobs().await.unwrap_err().to_string();
        assert!(error.contains("does not answer"), "{error}");
    }
}
