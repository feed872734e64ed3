//! The programs of a cluster on this machine, for tests.
#![allow(dead_code, reason = "each test uses a part")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pdl_cluster::address::Address;
use pdl_cluster::membership::Membership;
use pdl_cluster::scheduler_api::SchedulerApi;
use pdl_cluster::security::Security;

/// A program that ends with its test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pdl-cluster"));
    command.env_remove("PDL_CLUSTER_TLS").env_remove("PDL_CLUSTER_TOKEN");
    command
}

/// Starts a part of a cluster; returns its first line, which says where it listens.
fn start(arguments: &[&str]) -> (Running, String) {
    let started = program().args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = started.unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Running(child), line)
}

/// A scheduler and executors, with a token of their own.
pub struct Cluster {
    scratch: tempfile::TempDir,
    scheduler: Running,
    executors: Vec<Running>,
    /// Host and port of each executor.
    pub names: Vec<String>,
    pub address: Address,
}

impl Cluster {
    /// One executor for each list of further options; all have joined.
    pub fn start(executors: &[&[&str]]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let token = scratch.path().join("token").display().to_string();
        let root = scratch.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (scheduler, _) = start(&["scheduler", "--port", &port.to_string(), "--token", &token]);
        let at = format!("127.0.0.1:{port}");
        let (root, common) = (root.display().to_string(), ["executor", "--cores", "1"]);
        let run = |further: &&[&str]| {
            let options = ["--scheduler", &at, "--token", &token, "--root", &root];
            let (running, line) = start(&[&common, options.as_slice(), further].concat());
            let name = line.trim_start_matches("executor ").split(',').next().unwrap().to_owned();
            (running, name)
        };
        let (executors, names): (Vec<_>, Vec<_>) = executors.iter().map(run).unzip();
        let cluster = Self { scratch, scheduler, executors, names, address: at.parse().unwrap() };
        cluster.wait_for_executors();
        cluster
    }

    fn wait_for_executors(&self) {
        let wanted = self.executors.len();
        let (address, security) = (self.address.clone(), self.member());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let api = SchedulerApi::new(&address, &security).unwrap();
                let deadline = Instant::now() + Duration::from_secs(30);
                while !api.executors().await.is_ok_and(|joined| joined.len() >= wanted) {
                    assert!(Instant::now() < deadline, "the cluster does not come up");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        })
        .join()
        .unwrap();
    }

    pub fn member(&self) -> Security {
        Security::Members(Arc::new(Membership::in_token(&self.scratch.path().join("token")).unwrap()))
    }

    /// The folder that the executors may use.
    pub fn root(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    pub fn executors_live(&mut self) -> bool {
        self.executors.iter_mut().all(|executor| executor.0.try_wait().unwrap().is_none())
    }
}

/// Waits for the end of `future`, within a minute.
pub async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("an end within a minute")
}
