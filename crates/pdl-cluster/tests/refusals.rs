//! Plans that a cluster cannot or must not run are refused; the client receives the typed reason.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

mod programs;

use std::time::Duration;

use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::execute_query_params::Query;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{ExecuteQueryParams, KeyValuePair};
use datafusion::arrow::datatypes::Schema;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::StreamExt;
use pdl_cluster::codec::TileCodec;
use pdl_cluster::error::ClusterError;
use pdl_cluster::job::{CompareJob, DataLocation, Job, JobKind, VERSION};
use pdl_cluster::plan::plan;
use pdl_cluster::submission::Submission;
use pdl_cluster::work_unit::WorkUnit;
use pdl_similarity::isa::Isa;
use pdl_similarity::parameters::CompareParameters;
use pdl_similarity::tile::Tile;
use programs::{Cluster, patiently};
use tonic::Code;

/// The error that the client receives for a plan.
async fn refusal(cluster: &Cluster, plan: std::sync::Arc<dyn ExecutionPlan>) -> ClusterError {
    let security = cluster.member();
    let config = security.session().set_str("ballista.job.name", "a test");
    let (ballista, url, codec) =
        (config.ballista_config(), security.url(&cluster.address), TileCodec::default());
    patiently(async {
        let sent =
            execute_physical_plan::<PhysicalPlanNode>(url, &ballista, plan, &codec, "t".into(), config);
        let mut rows = match sent.await {
            Ok(rows) => rows,
            Err(error) => return ClusterError::from_engine(&cluster.address, &error),
        };
        loop {
            match rows.next().await {
                Some(Ok(_)) => (),
                Some(Err(error)) => return ClusterError::from_engine(&cluster.address, &error),
                None => panic!("the plan was not refused"),
            }
        }
    })
    .await
}

fn comparison(folder: &str, isa: Isa) -> JobKind {
    let parameters = CompareParameters { isa, ..CompareParameters::default() };
    JobKind::Compare(CompareJob {
        location: DataLocation::Folder(folder.into()),
        parameters,
        proxies: String::new(),
    })
}

fn unit() -> WorkUnit {
    WorkUnit::Tile(Tile { row: 0, col: 0 })
}

fn submission(kind: JobKind) -> Submission {
    Submission { name: kind.name(), job: Job::new(kind), units: vec![unit()], step: "testing", total: 1 }
}

#[tokio::test]
async fn a_plan_of_another_version_is_refused_by_name() {
    let cluster = Cluster::start(&[]);
    let version = "pdl-cluster 9.9, plan 7".to_owned();
    let job = Job { version: version.clone(), kind: comparison("/nowhere", Isa::Scalar) };
    let error = refusal(&cluster, plan(job, &[vec![unit()]]).unwrap()).await;
    assert!(!error.is_retryable());
    let ClusterError::VersionMismatch { client, machine } = error else { panic!("{error}") };
    assert_eq!((client.as_str(), machine.as_str()), (version.as_str(), VERSION));
}

#[tokio::test]
async fn no_job_leads_out_of_the_roots_of_an_executor() {
    let cluster = Cluster::start(&[&[]]);
    for place in ["/nowhere", "/", &format!("{}/../..", cluster.root().display())] {
        let job = Job::new(comparison(place, Isa::Scalar));
        let error = refusal(&cluster, plan(job, &[vec![unit()]]).unwrap()).await;
        assert!(!error.is_retryable());
        let ClusterError::OutsideRoot { place: told, .. } = error else { panic!("{place}: {error}") };
        assert_eq!(told, place);
    }
    // Inside it is another error: there are no proxies.
    let job = Job::new(comparison(&cluster.root().display().to_string(), Isa::Scalar));
    let error = refusal(&cluster, plan(job, &[vec![unit()]]).unwrap()).await;
    assert!(matches!(error, ClusterError::TileFailed { .. }), "{error}");
}

#[tokio::test]
async fn a_plan_that_is_not_made_of_units_of_work_is_refused() {
    let cluster = Cluster::start(&[&[]]);
    let nothing: std::sync::Arc<dyn ExecutionPlan> =
        std::sync::Arc::new(EmptyExec::new(Schema::empty().into()));
    let job = Job::new(comparison("/nowhere", Isa::Scalar));
    let own = plan(job, &[vec![unit()]]).unwrap();
    let twice = std::sync::Arc::new(CoalescePartitionsExec::new(std::sync::Arc::clone(&own)));
    let gathered = std::sync::Arc::new(CoalescePartitionsExec::new(std::sync::Arc::clone(&nothing)));
    for foreign in [nothing, twice, gathered, std::sync::Arc::clone(own.children()[0])] {
        let error = refusal(&cluster, foreign).await;
        assert!(matches!(error, ClusterError::InvalidPlan { .. }), "{error}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn a_query_that_is_no_physical_plan_is_refused() {
    let cluster = Cluster::start(&[]);
    let channel = cluster.member().endpoint(&cluster.address).unwrap().connect().await.unwrap();
    let mut client = SchedulerGrpcClient::new(channel);
    let mut bytes = Vec::new();
    let nothing = std::sync::Arc::new(EmptyExec::new(Schema::empty().into()));
    let node = PhysicalPlanNode::try_from_physical_plan(nothing, &TileCodec::default()).unwrap();
    node.try_encode(&mut bytes).unwrap();
    let queries = [
        None,
        Some(Query::LogicalPlan(bytes.clone())),
        Some(Query::SubstraitPlan(bytes.clone())),
        Some(Query::PhysicalPlan(b"no plan".to_vec())),
        Some(Query::PhysicalPlan(bytes)),
    ];
    for query in queries {
        let name = KeyValuePair { key: "ballista.job.name".to_owned(), value: Some("a test".to_owned()) };
        let sent = ExecuteQueryParams { query, settings: vec![name], ..ExecuteQueryParams::default() };
        let pushed = client.execute_query_push(sent.clone()).await.map(|_| ()).unwrap_err();
        let pulled = client.execute_query(sent).await.map(|_| ()).unwrap_err();
        assert_eq!([pushed.code(), pulled.code()], [Code::InvalidArgument; 2]);
    }
}

#[tokio::test]
async fn an_executor_that_lacks_the_instructions_of_a_run_is_told_and_stays() {
    let mut cluster = Cluster::start(&[&["--only-isa", "scalar"]]);
    let lacking = Isa::Neon; // offered by no executor of this test, whatever the machine
    let error =
        patiently(submission(comparison("/nowhere", lacking)).run(&cluster.address, &cluster.member())).await;
    let Err(ClusterError::LacksInstructionSet { isa, executors }) = error else { panic!("{error:?}") };
    assert_eq!(isa, lacking);
    assert!(executors.starts_with("127.0.0.1:"), "{executors}");
    // A client that does not ask first: the scheduler keeps the tasks.
    let foreign = Job::new(comparison("/nowhere", lacking));
    let waiting = tokio::time::timeout(
        Duration::from_secs(3),
        refusal(&cluster, plan(foreign, &[vec![unit()]]).unwrap()),
    );
    assert!(waiting.await.is_err(), "the job has ended");
    assert!(cluster.executors_live());
}

#[tokio::test]
async fn a_run_goes_on_with_the_executors_that_have_its_instructions() {
    let cluster = Cluster::start(&[&["--only-isa", "scalar"], &["--only-isa", "avx2"]]);
    // Both are asked in turn; only the second can answer that there is nothing.
    for (isa, _) in [(Isa::Avx2, 0), (Isa::Scalar, 1), (Isa::Avx2, 2)] {
        let error =
            patiently(submission(comparison("/nowhere", isa)).run(&cluster.address, &cluster.member())).await;
        let Err(ClusterError::OutsideRoot { executor, .. }) = error else { panic!("{error:?}") };
        let index = usize::from(isa == Isa::Avx2);
        assert_eq!(executor, cluster.names[index]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_is_lost_is_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    let certificates = scratch.path().join("certificates").display().to_string();
    for words in [&["--help"][..], &["init-certs", &certificates]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut program = programs::program();
        program.args(words).stdout(full).stderr(std::process::Stdio::null());
        assert_eq!(program.status().unwrap().code(), Some(7), "{words:?}");
    }
}
