//! The TLS side of the doors, made anew when a file that it is made of changes: new connections get the
//! new one at once, open ones go on, but for those whose client certificate is revoked by now.

use std::{
    collections::HashSet,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use arc_swap::ArcSwap;
use dataos_model::fault::{Fault, FaultKind};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject},
    server::{ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::{certificate::X509Certificate, parse_x509_crl};

use crate::config::ClientCertificates;

/// Most bytes of a file of certificates or revocation lists.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What the doors serve.
pub(crate) struct Tls {
    config: ArcSwap<ServerConfig>,
    revoked: Arc<ArcSwap<Revoked>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Client certificates that are revoked, by issuer and serial number.
#[derive(Debug, Default)]
pub(crate) struct Revoked(HashSet<(Vec<u8>, Vec<u8>)>);

/// What the TLS side is made of.
pub(super) struct Parts {
    config: ServerConfig,
    revoked: Revoked,
}

impl Tls {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            config: ArcSwap::from_pointee(parts.config),
            revoked: Arc::new(ArcSwap::from_pointee(parts.revoked)),
        }
    }

    /// The same for tests, with a configuration that nothing replaces.
    #[cfg(test)]
    pub(crate) fn fixed(config: ServerConfig) -> Arc<Self> {
        let revoked = Revoked::default();
        Arc::new(Self::new(Parts { config, revoked }))
    }

    pub(super) fn replace(&self, parts: Parts) {
        // Sessions are resumed within a configuration, so none outlives the lists that it was checked by.
        self.config.store(Arc::new(parts.config));
        self.revoked.store(Arc::new(parts.revoked));
    }

    /// For the next connection.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// For open connections.
    pub(crate) fn revoked(&self) -> Arc<ArcSwap<Revoked>> {
        Arc::clone(&self.revoked)
    }
}

impl Revoked {
    /// Whether a certificate is.
    pub(crate) fn has(&self, key: &(Vec<u8>, Vec<u8>)) -> bool {
        self.0.contains(key)
    }
}

/// What tells a certificate from all others.
pub(crate) fn key_of(certificate: &X509Certificate<'_>) -> (Vec<u8>, Vec<u8>) {
    let issuer = certificate.issuer().as_raw().to_vec();
    (issuer, certificate.raw_serial().to_vec())
}

/// TLS 1.3 alone, no early data, HTTP/2 or HTTP/1.1. A client may send a certificate; one that is not
/// valid ends the handshake.
///
/// # Errors
/// If the provider lacks TLS 1.3, or a file cannot be read.
pub(super) fn parts(
    served: Arc<dyn ResolvesServerCert>,
    built_in: &str,
    clients: &ClientCertificates,
) -> Result<Parts, Fault> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Fault::internal(format!("TLS: {error}")))?;
    let roots = client_roots(built_in, clients.ca_file.as_deref())?;
    let (lists, revoked) = match &clients.crl_file {
        Some(path) => revocation_lists(path)?,
        None => Default::default(),
    };
    let builder = if roots.is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated();
        if !lists.is_empty() {
            // Issuers without a list revoke otherwise; a list that is too old says nothing any more.
            verifier = verifier
                .with_crls(lists)
                .allow_unknown_revocation_status()
                .enforce_revocation_expiration();
        }
        let verifier: Arc<dyn ClientCertVerifier> = verifier
            .build()
            .map_err(|error| Fault::invalid(format!("client certificates: {error}")))?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut config = builder.with_cert_resolver(served);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.max_early_data_size = 0;
    Ok(Parts { config, revoked })
}

/// CAs whose client certificates are taken.
fn client_roots(built_in: &str, file: Option<&Path>) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    let mut add = |certificate: CertificateDer<'static>| {
        let added = roots.add(certificate);
        added.map_err(|error| error.to_string())
    };
    for certificate in CertificateDer::pem_slice_iter(built_in.as_bytes()) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(&mut add);
        added
            .map_err(|problem| Fault::new(FaultKind::Damaged, format!("built-in CA: {problem}")))?;
    }
    let Some(path) = file else { return Ok(roots) };
    let wrong = |problem: String| wrong(path, "tls.client_ca_file", &problem);
    let text = text(path).map_err(wrong)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("holds no certificate".to_owned()));
    }
    certificates.into_iter().try_for_each(add).map_err(wrong)?;
    Ok(roots)
}

/// The lists of a file, and what they revoke. Whether they are signed by who they say is found in the
/// handshake of a client of that issuer.
fn revocation_lists(
    path: &Path,
) -> Result<(Vec<CertificateRevocationListDer<'static>>, Revoked), Fault> {
    let wrong = |problem: String| wrong(path, "tls.client_crl_file", &problem);
    let text = text(path).map_err(wrong)?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&text).collect();
    let lists: Vec<CertificateRevocationListDer<'static>> =
        lists.map_err(|error| wrong(error.to_string()))?;
    if lists.is_empty() {
        return Err(wrong("holds no revocation list".to_owned()));
    }
    let mut revoked = HashSet::new();
    for list in &lists {
        let parsed = parse_x509_crl(list);
        let (_, parsed) = parsed.map_err(|error| wrong(error.to_string()))?;
        let issuer = parsed.issuer().as_raw();
        let serials = parsed.iter_revoked_certificates();
        revoked.extend(serials.map(|one| (issuer.to_vec(), one.raw_serial().to_vec())));
    }
    Ok((lists, Revoked(revoked)))
}

fn text(path: &Path) -> Result<Vec<u8>, String> {
    let problem = |error: std::io::Error| error.to_string();
    if std::fs::metadata(path).map_err(problem)?.len() > FILE_BYTES_MAX {
        return Err(format!("is above {FILE_BYTES_MAX} bytes"));
    }
    std::fs::read(path).map_err(problem)
}

fn wrong(path: &Path, setting: &str, problem: &str) -> Fault {
    Fault::invalid(format!("{}: {problem}", path.display()))
        .with_hint(format!("see {setting} in `dataos config explain`"))
}

/// Files that are looked at for changes.
#[derive(Debug)]
pub(super) struct Watched {
    files: Vec<PathBuf>,
    seen: Vec<Option<(SystemTime, u64)>>,
}

impl Watched {
    pub(super) fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let files: Vec<PathBuf> = files.into_iter().collect();
        let seen = stamps(&files);
        Self { files, seen }
    }

    /// Whether any has changed since this was asked last.
    pub(super) fn has_changed(&mut self) -> bool {
        let now = stamps(&self.files);
        let has_changed = now != self.seen;
        self.seen = now;
        has_changed
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<(SystemTime, u64)>> {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(stamp).collect()
}
