//! What the scheduler tells over HTTP: jobs, how far they are, and executors.

use anyhow::{Context, Result};
use ballista_api_types::dto::{JobResponse, QueryStagesResponse};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Address;

/// Asks one scheduler.
#[derive(Clone, Debug)]
pub struct Rest {
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

impl Rest {
    /// For the scheduler at an address.
    pub fn new(scheduler: &Address) -> Self {
        Self { client: reqwest::Client::new(), scheduler: scheduler.clone() }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let url = format!("http://{}{path}", self.scheduler);
        let failed = || format!("the scheduler at {} does not answer", self.scheduler);
        let answer = self.client.get(url).send().await.with_context(failed)?;
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

    /// The job of a name.
    ///
    /// # Errors
    /// When the scheduler does not answer.
    pub async fn job_named(&self, name: &str) -> Result<Option<JobResponse>> {
        Ok(self.jobs().await?.into_iter().find(|job| job.job_name == name))
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
        self.client.patch(url).send().await?.error_for_status()?;
        Ok(())
    }
}
