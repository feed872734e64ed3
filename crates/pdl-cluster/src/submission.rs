//! One job that a client submits to the cluster, and the wait for its end.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ballista_core::config::BALLISTA_JOB_NAME;
use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::SessionConfigExt;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::StreamExt;

use crate::address::Address;
use crate::codec::TileCodec;
use crate::error::{ClusterError, RemainingJob, with_sources};
use crate::executor_id::instruction_sets;
use crate::job::{Job, JobKind};
use crate::plan::{partitions, plan};
use crate::scheduler_api::{ExecutorState, SchedulerApi};
use crate::security::Security;
use crate::work_unit::{WorkUnit, executors};
use pdl_console::{Display, note};
use pdl_store::progress::Progress;

/// Time between two requests for progress.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Silence after which the scheduler counts as gone.
const SILENCE: Duration = Duration::from_secs(15);
/// Silence after which an executor counts as lost.
const EXECUTOR_SILENCE: Duration = Duration::from_secs(8);
/// Requests for progress between two looks at the executors.
const POLLS_A_LOOK: usize = 10;

/// A job and the units that are missing of it.
#[derive(Debug)]
pub struct Submission {
    /// The output of the job.
    pub job: Job,
    /// Name under which the scheduler lists the job; see
    /// [`JobKind::name`](crate::job::JobKind::name).
    pub name: String,
    /// The missing units.
    pub units: Vec<WorkUnit>,
    /// Label of the progress.
    pub step: &'static str,
    /// Progress when every unit is done, such as the pairs of all tiles.
    pub total: u64,
}

/// Completed units by executor.
pub type RowsByExecutor = BTreeMap<String, u64>;

impl Submission {
    /// Submits the job and waits for its end. An active job of the same name, left by an earlier
    /// client, is cancelled first: executors would do the same work for both.
    ///
    /// # Errors
    /// [`ClusterError::Interrupted`] after Ctrl-C, [`ClusterError::LacksInstructionSet`] when no
    /// executor can compute the job, else why the cluster failed.
    pub async fn run(
        &self,
        scheduler: &Address,
        security: &Security,
    ) -> Result<RowsByExecutor, ClusterError> {
        let api = SchedulerApi::new(scheduler, security)?;
        let executors = self.able_executors(&api).await?;
        if executors == 0 {
            note("no executor has joined yet: start one with `pdl-cluster executor --scheduler HOST:PORT`");
        }
        for left in api.active_jobs(&self.name).await? {
            api.cancel(&left.job_id).await?;
        }
        // The scheduler lists jobs that have ended, too; the time makes this name unique.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let name = format!("{} {now:x}", self.name);
        let progress = Display::new();
        progress.begin(self.step, self.total);
        let ended = tokio::select! {
            ended = self.submit(scheduler, security, &name, executors) => ended,
            last = self.watch(&api, &name, &progress) => Err(last),
            _ = tokio::signal::ctrl_c() => {
                progress.clear();
                return Err(ClusterError::Interrupted(interrupted(&api, &name).await));
            }
        };
        progress.clear();
        ended
    }

    /// The number of executors that live and can compute the job.
    ///
    /// # Errors
    /// [`ClusterError::LacksInstructionSet`] when there are executors, but none that can.
    async fn able_executors(&self, api: &SchedulerApi) -> Result<usize, ClusterError> {
        let mut living = api.executors().await?;
        living.retain(is_alive);
        let JobKind::Compare(job) = &self.job.kind else { return Ok(living.len()) };
        let isa = job.parameters.isa;
        let (able, lacking): (Vec<_>, Vec<_>) =
            living.iter().partition(|executor| instruction_sets(&executor.id).contains(&isa));
        if able.is_empty() && !lacking.is_empty() {
            let names: Vec<String> =
                lacking.iter().map(|executor| format!("{}:{}", executor.host, executor.port)).collect();
            return Err(ClusterError::LacksInstructionSet { isa, executors: names.join(", ") });
        }
        Ok(able.len())
    }

    async fn submit(
        &self,
        scheduler: &Address,
        security: &Security,
        name: &str,
        executors: usize,
    ) -> Result<RowsByExecutor, ClusterError> {
        let config = security
            .session()
            .set_str(BALLISTA_JOB_NAME, name)
            .set_str("ballista.scheduler.max_partitions_per_task", "1");
        let ballista = config.ballista_config();
        let plan = plan(self.job.clone(), &partitions(&self.units, executors))
            .map_err(|error| ClusterError::InvalidPlan { problem: with_sources(&error) })?;
        let url = security.url(scheduler);
        let codec = TileCodec::default();
        let name = name.to_owned();
        let mut rows = execute_physical_plan::<PhysicalPlanNode>(url, &ballista, plan, &codec, name, config)
            .await
            .map_err(|error| ClusterError::from_engine(scheduler, &error))?;
        let mut counts = RowsByExecutor::new();
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(|error| ClusterError::from_engine(scheduler, &error))?;
            for executor in self::executors(&batch)? {
                *counts.entry(executor.to_owned()).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// Shows progress until the scheduler has been silent for too long, or only executors are left
    /// that cannot compute the job; returns that error.
    async fn watch(&self, api: &SchedulerApi, name: &str, progress: &Display) -> ClusterError {
        let per_unit = self.total as f64 / self.units.len() as f64;
        let mut heard = Instant::now();
        let mut job = None;
        let mut polls = 0_usize;
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            polls += 1;
            if polls.is_multiple_of(POLLS_A_LOOK)
                && let Err(error @ ClusterError::LacksInstructionSet { .. }) = self.able_executors(api).await
            {
                return error;
            }
            let done = match &job {
                None => api.active_jobs(name).await.map(|found| {
                    job = found.into_iter().next().map(|found| found.job_id);
                    0
                }),
                Some(id) => api.units_done(id).await,
            };
            match done {
                Ok(done) => {
                    heard = Instant::now();
                    progress.set((done as f64 * per_unit) as u64);
                }
                Err(error) if heard.elapsed() >= SILENCE => return error,
                Err(_) => (),
            }
        }
    }
}

fn is_alive(executor: &ExecutorState) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    executor.last_seen.is_some_and(|seen| now.saturating_sub(seen) < EXECUTOR_SILENCE.as_millis())
}

/// Asks on a terminal whether to cancel the job as well.
async fn interrupted(api: &SchedulerApi, name: &str) -> RemainingJob {
    if !std::io::stdin().is_terminal() {
        return RemainingJob::Continues;
    }
    note("Cancel the job in the cluster as well? Completed results are kept. [y/N]");
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        let _ = std::io::stdin().lock().read_line(&mut line);
        line
    });
    if !answer.await.is_ok_and(|line| line.trim().eq_ignore_ascii_case("y")) {
        return RemainingJob::Continues;
    }
    match api.active_jobs(name).await.as_deref() {
        Ok([job, ..]) if api.cancel(&job.job_id).await.is_ok() => RemainingJob::Cancelled,
        Ok([]) => RemainingJob::Ended,
        _ => RemainingJob::Unknown,
    }
}

/// Prints how many units each executor completed.
pub fn print_counts(counts: &RowsByExecutor) {
    for (executor, units) in counts {
        note(&format!("{executor}: {units}"));
    }
}
