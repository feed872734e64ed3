//! Authentication in a cluster, and the connections between its members.
//!
//! Every connection is TLS in which both sides show a certificate of the cluster's authority
//! ([`Membership`]): clients and executors to the scheduler, the scheduler and all others to the
//! executors, and the scheduler's HTTP interface. `--insecure` alone does without.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ballista_core::extension::{EndpointOverrideFn, SessionConfigExt};
use ballista_core::utils::{GrpcClientConfig, create_grpc_client_endpoint};
use datafusion::prelude::SessionConfig;
use pdl_console::note;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};

use crate::address::Address;
use crate::certificates::MEMBER_NAME;
use crate::membership::{Membership, default_token, make_token};
use crate::security_error::SecurityError;

/// Time limit of a handshake: a silent peer does not keep a connection.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval of the pings that detect a lost peer, and the wait for their answer.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Options of authentication.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Security")]
pub struct SecurityArgs {
    /// Folder with the cluster's certificates, made by `pdl-cluster init-certs`; needed for every
    /// address that other machines can reach.
    #[arg(long, value_name = "DIR", env = "PDL_CLUSTER_TLS", conflicts_with_all = ["token", "insecure"])]
    tls: Option<PathBuf>,
    /// Authentication token for a cluster on this machine; the scheduler makes the file with mode
    /// 0600. Default: ~/.cache/pdl/cluster.token.
    #[arg(long, value_name = "FILE", env = "PDL_CLUSTER_TOKEN", conflicts_with = "insecure")]
    token: Option<PathBuf>,
    /// Disable authentication: whoever reaches a port can run work, read results and cancel jobs.
    #[arg(long)]
    insecure: bool,
}

/// What to do about a missing token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingToken {
    /// Makes it: the scheduler.
    Make,
    /// Refuses to start: all others.
    Refuse,
}

/// How a part of the cluster connects.
#[derive(Clone, Debug)]
pub enum Security {
    /// As a member, with members only.
    Members(Arc<Membership>),
    /// Without authentication.
    Open,
}

impl SecurityArgs {
    /// The security for a part that listens on or connects to `hosts`.
    ///
    /// # Errors
    /// [`SecurityError::Unprotected`] when other machines can reach one of them and there are no
    /// certificates; else why the certificates or the token cannot be used.
    pub fn resolve(&self, hosts: &[&str], missing: MissingToken) -> Result<Security, SecurityError> {
        if self.insecure {
            note(
                "warning: --insecure: connections are neither encrypted nor authenticated; whoever reaches \
                 a port can run work, read results and cancel jobs",
            );
            return Ok(Security::Open);
        }
        if let Some(folder) = &self.tls {
            return Ok(Security::Members(Arc::new(Membership::in_folder(folder)?)));
        }
        if let Some(host) = hosts.iter().find(|host| !is_loopback(host)) {
            return Err(SecurityError::Unprotected { host: (*host).to_owned() });
        }
        let path = self.token.clone().map_or_else(default_token, Ok)?;
        if missing == MissingToken::Make {
            make_token(&path)?;
        }
        Ok(Security::Members(Arc::new(Membership::in_token(&path)?)))
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Security {
    fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// The root of an address' URLs.
    pub fn url(&self, address: &Address) -> String {
        let scheme = if self.is_open() { "http" } else { "https" };
        format!("{scheme}://{address}")
    }

    /// A connection to `address`, not opened yet.
    ///
    /// # Errors
    /// [`SecurityError::Connection`] for an invalid address.
    pub fn endpoint(&self, address: &Address) -> Result<Endpoint, SecurityError> {
        self.secured(&self.url(address))
    }

    fn secured(&self, url: &str) -> Result<Endpoint, SecurityError> {
        let endpoint = create_grpc_client_endpoint(url.to_owned(), Some(&GrpcClientConfig::default()))?;
        let endpoint = endpoint.http2_keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
        Ok(match self {
            Self::Open => endpoint,
            Self::Members(member) => endpoint.tls_config(member.client())?,
        })
    }

    /// Replaces the connections that the engine opens, which are not encrypted, by ones of members.
    pub fn engine_connections(&self) -> EndpointOverrideFn {
        let security = self.clone();
        Arc::new(move |endpoint| {
            let plain = endpoint.uri().to_string();
            let (_, rest) = plain.split_once("://").unwrap_or(("", &plain));
            let scheme = if security.is_open() { "http" } else { "https" };
            Ok(security.secured(&format!("{scheme}://{}", rest.trim_end_matches('/')))?)
        })
    }

    /// Settings of the engine's sessions, whose connections are those of this part.
    pub fn session(&self) -> SessionConfig {
        SessionConfig::new_with_ballista()
            .with_ballista_use_tls(!self.is_open())
            .with_ballista_override_create_grpc_client_endpoint(self.engine_connections())
    }

    /// A server that admits members alone.
    ///
    /// # Errors
    /// [`SecurityError::Connection`] when the TLS library refuses the certificates.
    pub fn server(&self) -> Result<Server, SecurityError> {
        let server = Server::builder()
            .tcp_nodelay(true)
            .http2_keepalive_interval(Some(PING_INTERVAL))
            .http2_keepalive_timeout(Some(PING_TIMEOUT));
        Ok(match self {
            Self::Open => server,
            Self::Members(member) => server.tls_config(member.server())?,
        })
    }
}

impl Membership {
    fn identity(&self) -> Identity {
        Identity::from_pem(&self.certificate, &self.key)
    }

    fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.authority))
            .identity(self.identity())
            .domain_name(MEMBER_NAME)
            .timeout(HANDSHAKE_TIMEOUT)
    }

    fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .client_ca_root(Certificate::from_pem(&self.authority))
            .identity(self.identity())
            .timeout(HANDSHAKE_TIMEOUT)
    }
}
