//! Settings of the TLS handshake, `[tls]`.

use std::{collections::BTreeMap, path::PathBuf};

use dataos_model::fault::Fault;

use super::{
    sources::Values,
    values::{is_host_name, text, wrong},
};

/// Longest trust domain, as SPIFFE says.
const TRUST_DOMAIN_BYTES_MAX: usize = 255;
/// Most names with a setting of their own.
const NAMES_MAX: usize = 64;

/// Files that replace the certificate of the built-in CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// Oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2, with forward secrecy and authenticated encryption alone.
    V12,
    /// 1.3.
    V13,
}

/// Whether a client shows a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// It is not asked for one.
    None,
    /// It is asked, and may have none.
    Optional,
    /// Without one the handshake fails.
    Required,
}

/// What the TLS handshake asks of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedOfClients {
    /// Oldest version of TLS.
    pub minimum_version: TlsVersion,
    /// Whether a certificate is shown.
    pub certificate: ClientCertificate,
    /// The same by the server name that the client asks for, lower case, where it differs.
    pub certificate_by_name: BTreeMap<String, ClientCertificate>,
    /// PEM of CAs beside the built-in one.
    pub ca_file: Option<PathBuf>,
    /// PEM of their revocation lists.
    pub crl_file: Option<PathBuf>,
    /// The domain in the identities `spiffe://DOMAIN/service/NAME`.
    pub trust_domain: String,
}

impl CertificateFiles {
    pub(super) fn read(values: &Values) -> Result<Option<Self>, Fault> {
        const CERTIFICATE: &str = "tls.certificate_file";
        const KEY: &str = "tls.key_file";
        let (certificate, key) = (text(values, CERTIFICATE), text(values, KEY));
        match (certificate.is_empty(), key.is_empty()) {
            (true, true) => Ok(None),
            (false, false) => Ok(Some(Self {
                certificate: certificate.into(),
                key: key.into(),
            })),
            (true, false) => Err(wrong(values, CERTIFICATE, "set, but tls.key_file is")),
            (false, true) => Err(wrong(values, KEY, "set, but tls.certificate_file is")),
        }
    }
}

impl AskedOfClients {
    pub(super) fn read(values: &Values) -> Result<Self, Fault> {
        const DOMAIN: &str = "tls.trust_domain";
        const VERSION: &str = "tls.minimum_version";
        const CERTIFICATE: &str = "tls.client_certificate";
        let trust_domain = text(values, DOMAIN);
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if !(1..=TRUST_DOMAIN_BYTES_MAX).contains(&trust_domain.len())
            || !trust_domain.bytes().all(is_plain)
        {
            return Err(wrong(values, DOMAIN, "1 to 255 of a-z, 0-9, `.`, `_`, `-`"));
        }
        let minimum_version = match text(values, VERSION).as_str() {
            "1.3" => TlsVersion::V13,
            "1.2" => TlsVersion::V12,
            _ => return Err(wrong(values, VERSION, "`1.3` or `1.2`")),
        };
        let certificate = ClientCertificate::named(&text(values, CERTIFICATE));
        let file = |key| {
            let file = text(values, key);
            (!file.is_empty()).then(|| file.into())
        };
        Ok(Self {
            minimum_version,
            certificate: certificate
                .ok_or_else(|| wrong(values, CERTIFICATE, "`none`, `optional` or `required`"))?,
            certificate_by_name: by_name(values)?,
            ca_file: file("tls.client_ca_file"),
            crl_file: file("tls.client_crl_file"),
            trust_domain,
        })
    }
}

impl ClientCertificate {
    fn named(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "optional" => Some(Self::Optional),
            "required" => Some(Self::Required),
            _ => None,
        }
    }
}

fn by_name(values: &Values) -> Result<BTreeMap<String, ClientCertificate>, Fault> {
    const KEY: &str = "tls.client_certificate_by_name";
    let mut found = BTreeMap::new();
    let text = text(values, KEY);
    for pair in text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        let parsed = pair.split_once('=').and_then(|(name, certificate)| {
            let name = name.trim().to_ascii_lowercase();
            let certificate = ClientCertificate::named(certificate.trim())?;
            is_host_name(&name).then_some((name, certificate))
        });
        let is_new =
            parsed.is_some_and(|(name, certificate)| found.insert(name, certificate).is_none());
        if !is_new || found.len() > NAMES_MAX {
            let expected = format!(
                "a list of at most {NAMES_MAX} different names, each `NAME=none`, `NAME=optional` or \
                 `NAME=required` (`{pair}`)"
            );
            return Err(wrong(values, KEY, &expected));
        }
    }
    Ok(found)
}
