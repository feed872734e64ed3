//! The certificate authority of a cluster, and the certificate that all its members share.
//!
//! ```text
//! DIR/ca.pem       certificate of the authority
//! DIR/ca.key       its key: only to renew; members do not need it
//! DIR/member.pem   certificate of the members
//! DIR/member.key   their key
//! ```
//!
//! The authority signs for one cluster only, so whoever holds a certificate of it is a member, as
//! client and as server. All members have one name ([`MEMBER_NAME`]): their machines may have any
//! address.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use crate::private_file::{read_private, write_new};
use crate::security_error::SecurityError;

/// Files of a folder of certificates.
pub(crate) const AUTHORITY: &str = "ca.pem";
pub(crate) const AUTHORITY_KEY: &str = "ca.key";
pub(crate) const MEMBER: &str = "member.pem";
pub(crate) const MEMBER_KEY: &str = "member.key";

/// Name in every member's certificate, which clients expect of a server.
pub const MEMBER_NAME: &str = "pdl-cluster";

/// Validity of the authority, and of the certificate in a token.
const AUTHORITY_DAYS: u32 = 3650;
/// Start of every validity before now, for machines whose clocks differ.
const CLOCK_TOLERANCE: Duration = Duration::hours(1);

/// A new authority with a certificate for its members, all as PEM.
pub(crate) struct Issued {
    authority: String,
    authority_key: String,
    member: String,
    member_key: String,
}

impl Issued {
    /// The member's certificate is valid for `days`.
    pub(crate) fn new(days: u32) -> Result<Self, SecurityError> {
        let key = KeyPair::generate().map_err(SecurityError::Generate)?;
        let params = authority();
        let authority = params.self_signed(&key).map_err(SecurityError::Generate)?.pem();
        let authority_key = key.serialize_pem();
        let (member, member_key) = member(&Issuer::new(params, key), days)?;
        Ok(Self { authority, authority_key, member, member_key })
    }

    /// For a token: what a member needs, in one text.
    pub(crate) fn token() -> Result<String, SecurityError> {
        let issued = Self::new(AUTHORITY_DAYS)?;
        Ok([issued.authority, issued.member, issued.member_key].concat())
    }
}

/// Writes a new authority and the certificate of its members, valid for `days`, into a folder that
/// has none.
///
/// # Errors
/// [`SecurityError::Exists`] when the folder has certificates; [`SecurityError::Write`].
pub fn create(folder: &Path, days: u32) -> Result<(), SecurityError> {
    if let Some(name) =
        [AUTHORITY, AUTHORITY_KEY, MEMBER, MEMBER_KEY].into_iter().find(|name| folder.join(name).exists())
    {
        return Err(SecurityError::Exists { path: folder.join(name) });
    }
    let failed = |source| SecurityError::Write { path: folder.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let issued = Issued::new(days)?;
    write_new(&folder.join(AUTHORITY_KEY), &issued.authority_key)?;
    write_new(&folder.join(AUTHORITY), &issued.authority)?;
    write_new(&folder.join(MEMBER_KEY), &issued.member_key)?;
    write_new(&folder.join(MEMBER), &issued.member)
}

/// Replaces the members' certificate and key by new ones of the same authority, valid for `days`.
///
/// # Errors
/// [`SecurityError::Read`] when the authority's key is missing, [`SecurityError::Generate`] when it
/// is invalid, [`SecurityError::Write`].
pub fn renew(folder: &Path, days: u32) -> Result<(), SecurityError> {
    let path = folder.join(AUTHORITY_KEY);
    let key = String::from_utf8_lossy(&read_private(&path)?).into_owned();
    let key = KeyPair::from_pem(&key).map_err(SecurityError::Generate)?;
    let (certificate, key) = member(&Issuer::new(authority(), key), days)?;
    for (name, text) in [(MEMBER_KEY, key), (MEMBER, certificate)] {
        let (path, temporary) = (folder.join(name), folder.join(format!(".{name}.new")));
        let _ = std::fs::remove_file(&temporary); // of a renewal that was interrupted
        write_new(&temporary, &text)?;
        std::fs::rename(&temporary, &path).map_err(|source| SecurityError::Write { path, source })?;
    }
    Ok(())
}

fn authority() -> CertificateParams {
    let mut params = valid_for(AUTHORITY_DAYS, "pdl-cluster authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Certificate and key as PEM.
fn member(issuer: &Issuer<'_, KeyPair>, days: u32) -> Result<(String, String), SecurityError> {
    let key = KeyPair::generate().map_err(SecurityError::Generate)?;
    let mut params = valid_for(days, MEMBER_NAME);
    let name = MEMBER_NAME.try_into().map_err(SecurityError::Generate)?;
    params.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, issuer).map_err(SecurityError::Generate)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn valid_for(days: u32, name: &str) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now - CLOCK_TOLERANCE;
    params.not_after = now + Duration::days(i64::from(days));
    params
}
