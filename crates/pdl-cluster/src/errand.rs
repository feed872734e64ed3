//! What a client sends to a cluster once, and how it waits for the end.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use arrow::array::{AsArray, RecordBatch};
use ballista_core::config::BALLISTA_JOB_NAME;
use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::SessionConfigExt;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::StreamExt;
use pdl_console::Display;
use pdl_similarity::tile::Tile;
use pdl_store::progress::Progress;

use crate::codec::TileCodec;
use crate::job::Job;
use crate::plan::{pieces, plan};
use crate::rest::Rest;
use crate::{Address, note};

/// How often the scheduler is asked how far it is.
const LOOK: Duration = Duration::from_millis(500);
/// How long the scheduler is silent before it counts as gone.
const SILENT: Duration = Duration::from_secs(15);

/// A run that was left, and whether its job goes on.
#[derive(Debug, thiserror::Error)]
#[error("stopped; {0}")]
pub struct Interrupted(&'static str);

/// A job that is sent once.
#[derive(Debug)]
pub struct Errand {
    /// What is to be made.
    pub job: Job,
    /// What the scheduler lists it under: the same for what must not be made twice at a time.
    pub name: String,
    /// Which of it: tiles, or cases as tiles of column 0.
    pub tiles: Vec<Tile>,
    /// What the progress is called.
    pub step: &'static str,
    /// Units of progress in all.
    pub units: u64,
}

/// How many rows each executor made.
pub type Shares = BTreeMap<String, u64>;

impl Errand {
    /// Sends it and waits for the end. A job of the same name that a client left behind is cancelled first: executors
    /// would make the same things for both.
    ///
    /// # Errors
    /// [`Interrupted`], or why the cluster failed.
    pub async fn run(&self, scheduler: &Address) -> Result<Shares> {
        let rest = Rest::new(scheduler);
        let executors = rest.executors().await?.len();
        if executors == 0 {
            note("no executor has come yet; waiting for one (`pdl-cluster executor --scheduler HOST:PORT`)");
        }
        for left in rest.jobs_under_way(&self.name).await? {
            rest.cancel(&left.job_id).await?;
        }
        // The scheduler remembers jobs that have ended: the time tells this one from them.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let name = format!("{} {now:x}", self.name);
        let display = Display::new();
        display.begin(self.step, self.units);
        let ended = tokio::select! {
            ended = self.send(scheduler, &name, executors) => {
                ended.with_context(|| format!("the run on the scheduler at {scheduler} failed"))
            }
            () = self.watch(&rest, &name, &display) => {
                Err(anyhow::anyhow!("the scheduler at {scheduler} does not answer any more"))
            }
            _ = tokio::signal::ctrl_c() => {
                display.clear();
                return Err(interrupted(&rest, &name).await.into());
            }
        };
        display.clear();
        ended
    }

    async fn send(&self, scheduler: &Address, name: &str, executors: usize) -> Result<Shares> {
        let config = SessionConfig::new_with_ballista()
            .set_str(BALLISTA_JOB_NAME, name)
            .set_str("ballista.scheduler.max_partitions_per_task", "1");
        let ballista = config.ballista_config();
        let plan = plan(self.job.clone(), &pieces(&self.tiles, executors))?;
        let url = format!("http://{scheduler}");
        let codec = TileCodec::default();
        let name = name.to_owned();
        let mut rows =
            execute_physical_plan::<PhysicalPlanNode>(url, &ballista, plan, &codec, name, config).await?;
        let mut shares = Shares::new();
        while let Some(batch) = rows.next().await {
            count(&batch?, &mut shares)?;
        }
        Ok(shares)
    }

    /// Shows how far the job is; ends when the scheduler has not answered for a while.
    async fn watch(&self, rest: &Rest, name: &str, display: &Display) {
        let each = self.units as f64 / self.tiles.len() as f64;
        let mut heard = Instant::now();
        let mut job = None;
        while heard.elapsed() < SILENT {
            tokio::time::sleep(LOOK).await;
            let done = match &job {
                None => rest.jobs_under_way(name).await.map(|found| {
                    job = found.into_iter().next().map(|found| found.job_id);
                    0
                }),
                Some(id) => rest.tiles_done(id).await,
            };
            if let Ok(done) = done {
                heard = Instant::now();
                display.set((done as f64 * each) as u64);
            }
        }
    }
}

/// Asks whether to end the job too.
async fn interrupted(rest: &Rest, name: &str) -> Interrupted {
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
    match rest.jobs_under_way(name).await.as_deref() {
        Ok([job, ..]) if rest.cancel(&job.job_id).await.is_ok() => {
            Interrupted("the job is cancelled; what is done stays, and the next run goes on from there")
        }
        Ok([]) => Interrupted("the job had ended already; what is done stays"),
        _ => Interrupted("the job could not be cancelled: the scheduler does not answer"),
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
