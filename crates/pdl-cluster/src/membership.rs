//! Membership of a cluster: the certificate of its authority, and a certificate signed by that
//! authority with its key.
//!
//! They lie in a folder that `pdl-cluster init-certs` makes or, for a cluster on one machine, in a
//! token: one file, which the scheduler makes and its owner alone can read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};

use crate::certificates::{AUTHORITY, Issued, MEMBER, MEMBER_KEY};
use crate::private_file::{read, read_private, write_new};
use crate::security_error::SecurityError;

/// The certificates of one member, as PEM, checked.
#[derive(Clone)]
pub struct Membership {
    /// Certificate of the authority.
    pub(crate) authority: Vec<u8>,
    /// Certificate of this member.
    pub(crate) certificate: Vec<u8>,
    /// The private key of that certificate.
    pub(crate) key: Vec<u8>,
}

/// Shows no key.
impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Membership")
    }
}

impl Membership {
    /// The member whose certificates lie in a folder of `init-certs`.
    ///
    /// # Errors
    /// [`SecurityError`] when one of them is missing, invalid, expired, or readable by others.
    pub fn in_folder(folder: &Path) -> Result<Self, SecurityError> {
        let member = Self {
            authority: read(&folder.join(AUTHORITY))?,
            certificate: read(&folder.join(MEMBER))?,
            key: read_private(&folder.join(MEMBER_KEY))?,
        };
        member.check(&folder.join(MEMBER))?;
        Ok(member)
    }

    /// The member that a token holds.
    ///
    /// # Errors
    /// As [`in_folder`](Self::in_folder); [`SecurityError::NoToken`] if there is none.
    pub fn in_token(path: &Path) -> Result<Self, SecurityError> {
        let bytes = match read_private(path) {
            Err(SecurityError::Read { path, source }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(SecurityError::NoToken { path });
            }
            read => read?,
        };
        let text = String::from_utf8_lossy(&bytes);
        let starts: Vec<usize> = text.match_indices("-----BEGIN ").map(|(at, _)| at).collect();
        let [_, second, third] = starts[..] else {
            let problem = "expected two certificates and a key".to_owned();
            return Err(SecurityError::Invalid { problem, path: path.to_owned() });
        };
        let (authority, rest) = text.split_at(second);
        let (certificate, key) = rest.split_at(third - second);
        let [authority, certificate, key] =
            [authority, certificate, key].map(|part| part.as_bytes().to_vec());
        let member = Self { authority, certificate, key };
        member.check(path)?;
        Ok(member)
    }

    /// Checks that the other members will accept this one. `path` is named in the error.
    fn check(&self, path: &Path) -> Result<(), SecurityError> {
        let invalid = |problem: String| SecurityError::Invalid { problem, path: path.to_owned() };
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(&self.authority)
            .map_err(|_| invalid("the authority's certificate cannot be read".to_owned()))?;
        roots.add(authority).map_err(|error| invalid(error.to_string()))?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.map_err(|_| invalid("the member's certificate cannot be read".to_owned()))?;
        let Some((first, intermediates)) = chain.split_first() else {
            return Err(invalid("the member's certificate is missing".to_owned()));
        };
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        verifier.verify_client_cert(first, intermediates, UnixTime::now()).map_err(|error| match error {
            rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => SecurityError::Expired { path: path.to_owned() },
            error => invalid(error.to_string()),
        })?;
        self.check_key(chain, &provider).map_err(|error| invalid(error.to_string()))
    }

    fn check_key(
        &self,
        chain: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
    ) -> Result<(), rustls::Error> {
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| rustls::Error::General("the member's key cannot be read".to_owned()))?;
        CertifiedKey::from_der(chain, key, provider).map(|_| ())
    }
}

/// Makes the token unless it exists. Of two schedulers that start at once, both use the same.
///
/// # Errors
/// [`SecurityError::Write`].
pub(crate) fn make_token(path: &Path) -> Result<(), SecurityError> {
    if path.exists() {
        return Ok(());
    }
    let failed = |source| SecurityError::Write { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let _ = std::fs::remove_file(&temporary); // of a process that was killed
    write_new(&temporary, &Issued::token()?)?;
    let linked = std::fs::hard_link(&temporary, path); // never overwrites
    let _ = std::fs::remove_file(&temporary);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(()),
    }
}

/// The place of the token where none is given.
///
/// # Errors
/// [`SecurityError::NoHome`].
pub(crate) fn default_token() -> Result<PathBuf, SecurityError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    Ok(cache.ok_or(SecurityError::NoHome)?.join("pdl").join("cluster.token"))
}
