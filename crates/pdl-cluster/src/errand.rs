//! What a client sends to a cluster once, and how it waits for the end.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};
use std::time::Duration;

use anyhow::{Context, Result};
use arrow::array::{AsArray, RecordBatch};
use ballista_core::config::BALLISTA_JOB_NAME;
use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::SessionConfigExt;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::StreamExt;
use pdl_similarity::tile::Tile;

use crate::codec::TileCodec;
use crate::job::Job;
use crate::plan::plan;
use crate::rest::Rest;
use crate::{Address, Bar, note};

/// How often the scheduler is asked how far it is.
const LOOK: Duration = Duration::from_millis(500);
/// Looks without an answer after which the scheduler counts as gone.
const SILENT: u32 = 20;

/// A run that was left, and whether its job goes on.
#[derive(Debug, thiserror::Error)]
#[error("stopped; {0}")]
pub struct Interrupted(&'static str);

/// A job that is sent once.
#[derive(Debug)]
pub struct Errand {
    /// What is to be made.
    pub job: Job,
    /// The name under which the scheduler lists it.
    pub name: String,
    /// Which of it, in partitions: tiles, or cases as tiles of column 0.
    pub partitions: Vec<Vec<Tile>>,
    /// What the progress is called.
    pub step: &'static str,
    /// Units of progress in all.
    pub units: u64,
}

/// How many rows each executor made.
pub type Shares = BTreeMap<String, u64>;

impl Errand {
    /// Sends it and waits for the end.
    ///
    /// # Errors
    /// [`Interrupted`], or why the cluster failed.
    pub async fn run(&self, scheduler: &Address) -> Result<Shares> {
        let rest = Rest::new(scheduler);
        if rest.executors().await?.is_empty() {
            note("no executor has come yet; waiting for one (`pdl-cluster executor --scheduler HOST:PORT`)");
        }
        let bar = Bar::new(self.step, self.units);
        let ended = tokio::select! {
            ended = self.send(scheduler) => {
                ended.with_context(|| format!("the run on the scheduler at {scheduler} failed"))
            }
            () = self.watch(&rest, &bar) => {
                Err(anyhow::anyhow!("the scheduler at {scheduler} does not answer any more"))
            }
            _ = tokio::signal::ctrl_c() => {
                bar.clear();
                return Err(self.interrupted(&rest).await.into());
            }
        };
        bar.clear();
        ended
    }

    async fn send(&self, scheduler: &Address) -> Result<Shares> {
        let config = SessionConfig::new_with_ballista()
            .set_str(BALLISTA_JOB_NAME, &self.name)
            .set_str("ballista.scheduler.max_partitions_per_task", "1");
        let ballista = config.ballista_config();
        let plan = plan(self.job.clone(), &self.partitions)?;
        let url = format!("http://{scheduler}");
        let codec = TileCodec::default();
        let name = self.name.clone();
        let mut rows =
            execute_physical_plan::<PhysicalPlanNode>(url, &ballista, plan, &codec, name, config).await?;
        let mut shares = Shares::new();
        while let Some(batch) = rows.next().await {
            count(&batch?, &mut shares)?;
        }
        Ok(shares)
    }

    /// Shows how far the job is; ends when the scheduler has not answered for a while.
    async fn watch(&self, rest: &Rest, bar: &Bar) {
        let rows: usize = self.partitions.iter().map(Vec::len).sum();
        let each = self.units as f64 / rows as f64;
        let mut silent = 0;
        let mut job = None;
        while silent < SILENT {
            tokio::time::sleep(LOOK).await;
            let done = match &job {
                None => rest.job_named(&self.name).await.map(|found| {
                    job = found.map(|found| found.job_id);
                    0
                }),
                Some(id) => rest.tiles_done(id).await,
            };
            match done {
                Ok(done) => {
                    silent = 0;
                    bar.set((done as f64 * each) as u64);
                }
                Err(_) => silent += 1,
            }
        }
    }

    /// Asks whether to end the job too.
    async fn interrupted(&self, rest: &Rest) -> Interrupted {
        let goes_on = "the job goes on in the cluster; run this again to see it through";
        if !std::io::stdin().is_terminal() {
            return Interrupted(goes_on);
        }
        note("Cancel the job in the cluster, too? What is done stays. [y/N]");
        let answer = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            let _ = std::io::stdin().lock().read_line(&mut line);
            line
        });
        if !answer.await.is_ok_and(|line| line.trim().eq_ignore_ascii_case("y")) {
            return Interrupted(goes_on);
        }
        match rest.job_named(&self.name).await {
            Ok(Some(job)) if rest.cancel(&job.job_id).await.is_ok() => {
                Interrupted("the job is cancelled; what is done stays, and the next run goes on from there")
            }
            _ => Interrupted("the job could not be cancelled: the scheduler does not answer"),
        }
    }
}

/// Whether it makes no sense to go on: the scheduler is gone, or refuses the plan.
pub fn is_final(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    let signs = ["does not answer", "same version", "same pdl-cluster", "share this folder"];
    error.is::<Interrupted>() || signs.iter().any(|sign| text.contains(sign))
}

/// Says how many rows an executor made.
pub fn tell((executor, rows): (&String, &u64)) {
    note(&format!("{executor}: {rows}"));
}

/// Every row says who made it.
fn count(batch: &RecordBatch, shares: &mut Shares) -> Result<()> {
    let executors = batch.column_by_name("executor").and_then(|column| column.as_string_opt::<i32>());
    for executor in executors.context("the answer of the cluster has no column 'executor'")?.iter().flatten()
    {
        *shares.entry(executor.to_owned()).or_default() += 1;
    }
    Ok(())
}
