//! Why a machine could not become a member of a cluster.

use std::io;
use std::path::PathBuf;

/// Why certificates could not be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecurityError {
    /// Other machines can reach the address, and there is no authentication.
    #[error(
        "other machines can reach {host}: pass --tls DIR with the certificates of the cluster \
         (`pdl-cluster init-certs DIR` makes them), or --insecure to let anybody in"
    )]
    Unprotected {
        /// The address as given.
        host: String,
    },
    /// No folder for the token is known.
    #[error("cannot place the token, since HOME is not set: pass --token FILE")]
    NoHome,
    /// The scheduler has not made the token yet, or another one.
    #[error("there is no token: start the scheduler on this machine first: {}", path.display())]
    NoToken {
        /// The path where it was expected.
        path: PathBuf,
    },
    /// Others than the owner could read a key.
    #[error("mode {mode:04o} lets others read the key: set it to 0600 (chmod 600): {}", path.display())]
    Readable {
        /// Permission bits of the file.
        mode: u32,
        /// The file.
        path: PathBuf,
    },
    /// The certificate is past its end.
    #[error(
        "the certificate has expired: renew it with `pdl-cluster init-certs DIR --renew` and copy it \
         to all machines: {}",
        path.display()
    )]
    Expired {
        /// The file.
        path: PathBuf,
    },
    /// The files do not belong together, or are invalid.
    #[error("the certificates are invalid: {problem}: {}", path.display())]
    Invalid {
        /// The defect.
        problem: String,
        /// The file that has it.
        path: PathBuf,
    },
    /// A file of certificates could not be read.
    #[error("cannot read the certificates: {source}: {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The folder has certificates already.
    #[error("certificates exist already; --renew replaces those of the members: {}", path.display())]
    Exists {
        /// The first of them.
        path: PathBuf,
    },
    /// A file of certificates could not be written.
    #[error("cannot write the certificates: {source}: {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The certificates could not be generated.
    #[error("cannot make the certificates: {0}")]
    Generate(rcgen::Error),
    /// The TLS library refused the certificates, or an address.
    #[error("cannot set up the connection: {0}")]
    Connection(#[from] tonic::transport::Error),
}
