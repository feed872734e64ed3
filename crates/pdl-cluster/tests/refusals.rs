//! Plans that an executor cannot compute are refused, and the client receives the typed reason.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::SessionConfigExt;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::StreamExt;
use pdl_cluster::codec::TileCodec;
use pdl_cluster::error::ClusterError;
use pdl_cluster::job::{CompareJob, DataLocation, Job, JobKind, VERSION};
use pdl_cluster::plan::plan;
use pdl_cluster::work_unit::WorkUnit;
use pdl_similarity::isa::Isa;
use pdl_similarity::parameters::CompareParameters;
use pdl_similarity::tile::Tile;

/// A program that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(arguments: &[&str]) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pdl-cluster"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap(); // it says where it listens
    Running(child)
}

fn scheduler() -> (Running, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let running = start(&["scheduler", "--port", &port.to_string()]);
    let address = format!("127.0.0.1:{port}");
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(&address).is_err() {
        assert!(Instant::now() < deadline, "the scheduler does not come up");
        std::thread::sleep(Duration::from_millis(50));
    }
    (running, address)
}

/// The error that the client of a cluster of one executor receives for this job.
fn refusal(job: Job) -> ClusterError {
    let (_scheduler, address) = scheduler();
    let _executor = start(&["executor", "--scheduler", &address, "--cores", "1"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = SessionConfig::new_with_ballista();
        let ballista = config.ballista_config();
        let plan = plan(job, &[vec![WorkUnit::Tile(Tile { row: 0, col: 0 })]]).unwrap();
        let url = format!("http://{address}");
        let scheduler = address.parse().unwrap();
        let codec = TileCodec::default();
        let sent =
            execute_physical_plan::<PhysicalPlanNode>(url, &ballista, plan, &codec, "t".into(), config);
        let wait = Duration::from_secs(60);
        let ended = tokio::time::timeout(wait, async {
            let mut rows = match sent.await {
                Ok(rows) => rows,
                Err(error) => return ClusterError::from_engine(&scheduler, &error),
            };
            loop {
                match rows.next().await {
                    Some(Ok(_)) => (),
                    Some(Err(error)) => return ClusterError::from_engine(&scheduler, &error),
                    None => panic!("the plan was not refused"),
                }
            }
        });
        ended.await.expect("refused within a minute")
    })
}

fn job(version: &str) -> Job {
    Job {
        version: version.to_owned(),
        kind: JobKind::Compare(CompareJob {
            location: DataLocation::Folder("/nowhere".into()),
            parameters: CompareParameters::default().resolve().unwrap(),
            proxies: String::new(),
        }),
    }
}

#[test]
fn a_plan_of_another_version_is_refused_by_name() {
    let error = refusal(job("pdl-cluster 9.9, plan 7"));
    assert!(!error.is_retryable());
    let ClusterError::VersionMismatch { client, machine } = error else { panic!("{error}") };
    assert_eq!((client.as_str(), machine.as_str()), ("pdl-cluster 9.9, plan 7", VERSION));
}

#[test]
fn an_executor_that_lacks_the_instructions_of_a_run_leaves_and_says_why() {
    let lacking = if cfg!(target_arch = "aarch64") { Isa::Avx2 } else { Isa::Neon };
    let (_scheduler, address) = scheduler();
    let words = ["executor", "--scheduler", &address, "--cores", "1"];
    let mut executor = Command::new(env!("CARGO_BIN_EXE_pdl-cluster"))
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map(Running)
        .unwrap();
    let parameters = CompareParameters { isa: lacking, ..CompareParameters::default() };
    let work = JobKind::Compare(CompareJob {
        location: DataLocation::Folder("/nowhere".into()),
        parameters,
        proxies: String::new(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let sent = runtime.spawn(async move {
        let config = SessionConfig::new_with_ballista();
        let ballista = config.ballista_config();
        let plan = plan(Job::new(work), &[vec![WorkUnit::Tile(Tile { row: 0, col: 0 })]]).unwrap();
        let url = format!("http://{address}");
        let codec = TileCodec::default();
        let rows =
            execute_physical_plan::<PhysicalPlanNode>(url, &ballista, plan, &codec, "t".into(), config);
        if let Ok(mut rows) = rows.await {
            while rows.next().await.is_some() {}
        }
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = executor.0.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "the executor stays");
        std::thread::sleep(Duration::from_millis(50));
    };
    sent.abort();
    let mut words = String::new();
    executor.0.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert_eq!(status.code(), Some(6), "{words}");
    assert!(words.contains(&format!("computes with {lacking}, which this machine lacks")), "{words}");
}

#[test]
fn a_folder_that_the_executor_does_not_see_is_named() {
    let error = refusal(job(VERSION));
    assert!(error.is_retryable());
    assert!(matches!(error, ClusterError::TileFailed { .. }), "{error}");
    assert!(error.to_string().contains("/nowhere"), "{error}");
}
