//! Whoever has no certificate of the cluster's authority is kept out of every part of it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

mod programs;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Criteria, Ticket};
use ballista_core::serde::protobuf::executor_grpc_client::ExecutorGrpcClient;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{ExecutorStoppedParams, StopExecutorParams};
use http_body_util::BodyExt;
use pdl_cluster::certificates;
use pdl_cluster::membership::Membership;
use pdl_cluster::scheduler_api::SchedulerApi;
use pdl_cluster::security_error::SecurityError;
use programs::{Cluster, patiently, program};
use tonic::Code;
use tonic::codegen::Service;
use tonic::codegen::http::{Method, Request, StatusCode};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// TLS that trusts whom the cluster trusts, so that only the own certificate can be missing.
fn trusting(authority: &[u8]) -> ClientTlsConfig {
    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority)).domain_name("pdl-cluster")
}

fn identity(folder: &Path) -> Identity {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    Identity::from_pem(read("member.pem"), read("member.key"))
}

/// The first call to a part of the cluster over this connection: what it answers, if anything.
async fn answer(at: &str, tls: Option<ClientTlsConfig>, is_scheduler: bool) -> Option<Code> {
    let endpoint = match tls {
        Some(tls) => Endpoint::from_shared(format!("https://{at}")).unwrap().tls_config(tls).unwrap(),
        None => Endpoint::from_shared(format!("http://{at}")).unwrap(),
    };
    let channel = endpoint.timeout(Duration::from_secs(10)).connect().await.ok()?;
    let status = if is_scheduler {
        let stopped = ExecutorStoppedParams { executor_id: "nobody".to_owned(), reason: String::new() };
        SchedulerGrpcClient::new(channel).executor_stopped(stopped).await.map(|_| ())
    } else {
        FlightServiceClient::new(channel).list_flights(Criteria::default()).await.map(|_| ())
    };
    let code = status.map_or_else(|status| status.code(), |()| Code::Ok);
    // What the client makes of a connection that is closed.
    (!matches!(code, Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled)).then_some(code)
}

#[tokio::test]
async fn only_members_reach_the_scheduler_and_the_executors() {
    let cluster = Cluster::start(&[&[]]);
    let token = std::fs::read_to_string(cluster.scratch().join("token")).unwrap();
    let [authority, certificate, key] = parts(&token);
    let scratch = tempfile::tempdir().unwrap();
    certificates::create(&scratch.path().join("other"), 1).unwrap();
    let other = identity(&scratch.path().join("other"));
    let scheduler = cluster.address.to_string();
    for (at, is_scheduler, own) in
        [(&scheduler, true, Code::Ok), (&cluster.names[0], false, Code::Unimplemented)]
    {
        let member = trusting(authority.as_bytes()).identity(Identity::from_pem(&certificate, &key));
        assert_eq!(answer(at, Some(member), is_scheduler).await, Some(own), "a member at {at}");
        let nobody = trusting(authority.as_bytes());
        assert_eq!(answer(at, Some(nobody), is_scheduler).await, None, "without a certificate at {at}");
        let stranger = trusting(authority.as_bytes()).identity(other.clone());
        assert_eq!(answer(at, Some(stranger), is_scheduler).await, None, "with another's at {at}");
        assert_eq!(answer(at, None, is_scheduler).await, None, "without TLS at {at}");
    }
    // And a member does not talk to a cluster of others.
    certificates::create(&scratch.path().join("home"), 1).unwrap();
    let home = Membership::in_folder(&scratch.path().join("home")).unwrap();
    let home = pdl_cluster::security::Security::Members(home.into());
    assert!(SchedulerApi::new(&cluster.address, &home).unwrap().executors().await.is_err());
}

fn parts(token: &str) -> [String; 3] {
    let starts: Vec<usize> = token.match_indices("-----BEGIN ").map(|(at, _)| at).collect();
    [&token[..starts[1]], &token[starts[1]..starts[2]], &token[starts[2]..]].map(str::to_owned)
}

#[tokio::test]
async fn an_expired_certificate_admits_nobody_and_is_renewed_by_its_authority() {
    let scratch = tempfile::tempdir().unwrap();
    let (valid, expired) = (scratch.path().join("valid"), scratch.path().join("expired"));
    certificates::create(&valid, 1).unwrap();
    std::fs::create_dir(&expired).unwrap();
    for file in std::fs::read_dir(&valid).unwrap() {
        let path = file.unwrap().path();
        std::fs::copy(&path, expired.join(path.file_name().unwrap())).unwrap();
    }
    certificates::renew(&expired, 0).unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await; // validity counts seconds
    let refused = Membership::in_folder(&expired);
    assert!(matches!(refused, Err(SecurityError::Expired { .. })), "{refused:?}");

    let security = pdl_cluster::security::Security::Members(Membership::in_folder(&valid).unwrap().into());
    let incoming = tonic::transport::server::TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = incoming.local_addr().unwrap().to_string();
    let server = security.server().unwrap().add_routes(tonic::service::Routes::default());
    let _server = tokio::spawn(server.serve_with_incoming(incoming));
    let authority = std::fs::read(valid.join("ca.pem")).unwrap();
    let with = |folder: &Path| Some(trusting(&authority).identity(identity(folder)));
    assert_eq!(answer(&at, with(&expired), false).await, None);
    assert_eq!(answer(&at, with(&valid), false).await, Some(Code::Unimplemented));
    certificates::renew(&expired, 1).unwrap();
    assert_eq!(answer(&at, with(&expired), false).await, Some(Code::Unimplemented));
}

#[tokio::test]
async fn the_http_interface_has_no_more_than_clients_use_and_no_page_reaches_it() {
    let cluster = Cluster::start(&[]);
    let mut channel = cluster.member().endpoint(&cluster.address).unwrap().connect().await.unwrap();
    let mut ask = async |method: Method, path: &str, origin: Option<&str>| {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let request = request.body(tonic::body::Body::empty()).unwrap();
        std::future::poll_fn(|context| Channel::poll_ready(&mut channel, context)).await.unwrap();
        let response = channel.call(request).await.unwrap();
        let open = response.headers().contains_key("access-control-allow-origin");
        let status = response.status();
        response.into_body().collect().await.unwrap();
        (status, open)
    };
    assert_eq!(ask(Method::GET, "/api/executors", None).await, (StatusCode::OK, false));
    for path in
        ["/", "/api/state", "/api/metrics", "/api/openapi.json", "/api/job/x/config", "/api/job/x/dot"]
    {
        assert_ne!(ask(Method::GET, path, None).await.0, StatusCode::OK, "{path}");
    }
    for origin in ["http://localhost:8080", "https://nightlies.apache.org", "null"] {
        for method in [Method::GET, Method::OPTIONS] {
            assert_eq!(ask(method, "/api/jobs", Some(origin)).await, (StatusCode::FORBIDDEN, false));
        }
    }
}

#[tokio::test]
async fn no_member_can_stop_an_executor_or_read_files_outside_its_results() {
    let mut cluster = Cluster::start(&[&[]]);
    let executor = cluster.names[0].parse().unwrap();
    let channel = cluster.member().endpoint(&executor).unwrap().connect().await.unwrap();
    let stop = StopExecutorParams { executor_id: "x".to_owned(), reason: String::new(), force: true };
    let refused = ExecutorGrpcClient::new(channel.clone()).stop_executor(stop).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let mut results = FlightServiceClient::new(channel);
    std::fs::create_dir_all(cluster.root().join("1/2")).unwrap();
    std::fs::write(cluster.root().join("1/2/data.arrow"), b"secret").unwrap();
    for job in [cluster.root().display().to_string(), "../elsewhere".to_owned(), String::new()] {
        use ballista_core::serde::protobuf::{Action, FetchPartition, action::ActionType};
        let fetch = FetchPartition { job_id: job, stage_id: 1, partition_id: 2, ..FetchPartition::default() };
        let action = Action { action_type: Some(ActionType::FetchPartition(fetch)), ..Action::default() };
        let ticket = prost::Message::encode_to_vec(&action).into();
        let refused = results.do_get(Ticket { ticket }).await.map(|_| ()).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    assert!(cluster.executors_live());
}

#[test]
fn every_address_but_loopback_needs_certificates() {
    for words in [
        ["scheduler", "--bind", "0.0.0.0", "--port", "0"].as_slice(),
        &["executor", "--root", "/", "--bind", "0.0.0.0", "--scheduler", "127.0.0.1:1"],
        &["executor", "--root", "/", "--scheduler", "192.0.2.1:1"],
        &["status", "--scheduler", "192.0.2.1:1"],
        &["status", "--scheduler", "localhost.example:1"],
    ] {
        let ended = program().args(words).output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{told}");
        assert!(told.contains("--tls") && told.contains("--insecure"), "{told}");
    }
    let words = ["status", "--scheduler", "192.0.2.1:1", "--insecure"];
    let told = String::from_utf8(program().args(words).output().unwrap().stderr).unwrap();
    assert!(told.contains("neither encrypted nor authenticated"), "{told}");
}

#[test]
fn a_token_is_refused_that_others_can_read_or_that_is_none() {
    let scratch = tempfile::tempdir().unwrap();
    let token = scratch.path().join("token");
    let status = || {
        let words = ["status", "--scheduler", "127.0.0.1:1", "--token"];
        let ended = program().args(words).arg(&token).output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    let (code, told) = status();
    assert!(code == Some(1) && told.contains("there is no token"), "{told}");
    std::fs::write(&token, "-----BEGIN nothing").unwrap();
    set_mode(&token, 0o600);
    assert!(status().1.contains("expected two certificates and a key"));
    set_mode(&token, 0o640);
    let (code, told) = status();
    assert!(code == Some(1) && told.contains("mode 0640"), "{told}");
}

#[tokio::test]
async fn the_scheduler_makes_a_token_for_its_owner_alone() {
    let cluster = Cluster::start(&[]);
    let mode = std::fs::metadata(cluster.scratch().join("token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        patiently(SchedulerApi::new(&cluster.address, &cluster.member()).unwrap().executors()).await.is_ok()
    );
}

#[test]
fn certificates_are_made_once_for_their_owner_alone_and_belong_together() {
    let scratch = tempfile::tempdir().unwrap();
    let (one, other) = (scratch.path().join("one"), scratch.path().join("other"));
    for folder in [&one, &other] {
        assert!(program().arg("init-certs").arg(folder).output().unwrap().status.success());
    }
    for key in ["ca.key", "member.key"] {
        assert_eq!(std::fs::metadata(one.join(key)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let before = std::fs::read(one.join("ca.key")).unwrap();
    let again = program().arg("init-certs").arg(&one).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(std::fs::read(one.join("ca.key")).unwrap(), before);
    std::fs::remove_file(one.join("ca.key")).unwrap(); // as on the machines of members
    assert!(Membership::in_folder(&one).is_ok());
    set_mode(&one.join("member.key"), 0o644);
    assert!(matches!(Membership::in_folder(&one), Err(SecurityError::Readable { mode: 0o644, .. })));
    set_mode(&one.join("member.key"), 0o600);
    std::fs::copy(other.join("member.key"), one.join("member.key")).unwrap();
    assert!(matches!(Membership::in_folder(&one), Err(SecurityError::Invalid { .. })), "another's key");
    std::fs::copy(other.join("member.pem"), one.join("member.pem")).unwrap();
    assert!(matches!(Membership::in_folder(&one), Err(SecurityError::Invalid { .. })), "another's authority");
}
