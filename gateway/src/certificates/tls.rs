//! The TLS side of the doors, made anew when what it is made of changes: new connections get the new one at
//! once; open ones go on, but for those whose client certificate would not be taken any more.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwap;
use dataos_model::fault::{Fault, FaultKind};
use rustls::{
    CertificateError, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime, pem::PemObject},
    server::{
        ClientCertVerifierBuilder, ResolvesServerCert, WebPkiClientVerifier,
        danger::ClientCertVerifier,
    },
    version,
};
use tokio::sync::watch;

use crate::config::{AskedOfClients, ClientCertificate, TlsVersion};

/// Most bytes of a file of certificates or revocation lists.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What the doors serve.
pub(crate) struct Tls {
    parts: ArcSwap<Parts>,
    /// Counts the certificates served.
    served: watch::Sender<u64>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// What the TLS side is made of.
pub(crate) struct Parts {
    config: Arc<ServerConfig>,
    /// By the server name that a client asks for, where it differs.
    by_name: BTreeMap<String, Arc<ServerConfig>>,
    /// Without one, there is no CA whose client certificates are taken.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Tls {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts: ArcSwap::from_pointee(parts),
            served: watch::Sender::new(0),
        }
    }

    /// The same for tests, with a configuration that nothing replaces.
    #[cfg(test)]
    pub(crate) fn fixed(config: ServerConfig) -> Arc<Self> {
        Arc::new(Self::new(Parts {
            config: Arc::new(config),
            by_name: BTreeMap::new(),
            verifier: None,
        }))
    }

    pub(super) fn replace(&self, parts: Parts) {
        // Sessions are resumed within a configuration, so none outlives what it was checked by.
        self.parts.store(Arc::new(parts));
    }

    /// Another certificate is served from now on.
    pub(crate) fn note_served(&self) {
        self.served.send_modify(|count| *count += 1);
    }

    /// For the next connection.
    pub(crate) fn parts(&self) -> Arc<Parts> {
        self.parts.load_full()
    }

    /// Tells an open connection that another certificate is served than the one that it began with.
    pub(crate) fn served(&self) -> watch::Receiver<u64> {
        self.served.subscribe()
    }
}

/// A chain that a peer proved to hold, checked again whenever that by which chains are checked changes.
pub(crate) struct Proved<T> {
    /// Leaf first.
    chain: Vec<CertificateDer<'static>>,
    last: Mutex<(Arc<T>, Result<(), &'static str>)>,
}

impl<T> Proved<T> {
    /// A chain that a handshake by `taker` has just taken.
    pub(crate) fn new(chain: &[CertificateDer<'_>], taker: Arc<T>) -> Self {
        let chain = chain.iter().cloned().map(CertificateDer::into_owned);
        Self {
            chain: chain.collect(),
            last: Mutex::new((taker, Ok(()))),
        }
    }

    /// What `check` says of it by `current`.
    pub(crate) fn check(
        &self,
        current: &Arc<T>,
        check: impl FnOnce(&T, &[CertificateDer<'_>]) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(current, &last.0) {
            *last = (Arc::clone(current), check(current, &self.chain));
        }
        last.1
    }
}

/// The chain of a client of the doors.
pub(crate) struct CheckedChain {
    tls: Arc<Tls>,
    proved: Proved<Parts>,
}

impl fmt::Debug for CheckedChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedChain").finish_non_exhaustive()
    }
}

impl CheckedChain {
    /// A chain, leaf first, that a handshake by `parts` has just taken.
    pub(crate) fn new(chain: &[CertificateDer<'_>], tls: Arc<Tls>, parts: Arc<Parts>) -> Self {
        let proved = Proved::new(chain, parts);
        Self { tls, proved }
    }

    /// Whether a handshake would take it now, but for its times; else why not.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        self.proved.check(&self.tls.parts.load(), Parts::check)
    }
}

impl Parts {
    /// For a client that asks for this server name.
    pub(crate) fn config(&self, server_name: Option<&str>) -> Arc<ServerConfig> {
        let named = server_name
            .filter(|_| !self.by_name.is_empty())
            .and_then(|name| self.by_name.get(&name.to_ascii_lowercase()));
        Arc::clone(named.unwrap_or(&self.config))
    }

    fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), &'static str> {
        let (Some(verifier), Some((leaf, rest))) = (&self.verifier, chain.split_first()) else {
            return Err("certificate_untrusted");
        };
        let checked = verifier.verify_client_cert(leaf, rest, UnixTime::now());
        checked.map(drop).map_err(|error| match error {
            rustls::Error::InvalidCertificate(CertificateError::Revoked) => "certificate_revoked",
            _ => "certificate_untrusted",
        })
    }
}

/// No early data, HTTP/2 or HTTP/1.1. A client certificate that is not valid ends the handshake.
///
/// # Errors
/// If the provider lacks the versions, a file cannot be read, or a certificate is required that no CA could
/// have issued.
pub(super) fn parts(
    served: Arc<dyn ResolvesServerCert>,
    built_in: &str,
    clients: &AskedOfClients,
) -> Result<Parts, Fault> {
    let roots = Arc::new(client_roots(built_in, clients.ca_file.as_deref())?);
    let lists = match &clients.crl_file {
        Some(path) => revocation_lists(path)?,
        None => Vec::new(),
    };
    let config = |asked| {
        let verifier = verifier(asked, &roots, &lists)?;
        config(Arc::clone(&served), clients.minimum_version, verifier)
    };
    let by_name = clients.certificate_by_name.iter();
    Ok(Parts {
        config: config(clients.certificate)?,
        by_name: by_name
            .map(|(name, asked)| Ok((name.clone(), config(*asked)?)))
            .collect::<Result<_, Fault>>()?,
        verifier: verifier(ClientCertificate::Optional, &roots, &lists)?,
    })
}

fn config(
    served: Arc<dyn ResolvesServerCert>,
    minimum: TlsVersion,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, Fault> {
    let versions: &[_] = match minimum {
        TlsVersion::V13 => &[&version::TLS13],
        TlsVersion::V12 => &[&version::TLS13, &version::TLS12],
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| Fault::internal(format!("TLS: {error}")))?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(served);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// What checks client certificates, if any are asked for.
fn verifier(
    asked: ClientCertificate,
    roots: &Arc<RootCertStore>,
    lists: &[CertificateRevocationListDer<'static>],
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Fault> {
    match (asked, roots.is_empty()) {
        (ClientCertificate::None, _) | (ClientCertificate::Optional, true) => return Ok(None),
        (ClientCertificate::Required, true) => {
            let told = "client certificates are required, and there is no CA that they could be of";
            return Err(
                Fault::invalid(told).with_hint("see tls.client_ca_file in `dataos config explain`")
            );
        }
        (ClientCertificate::Optional | ClientCertificate::Required, false) => {}
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider);
    if asked == ClientCertificate::Optional {
        verifier = verifier.allow_unauthenticated();
    }
    let verifier: Arc<dyn ClientCertVerifier> = by_lists(verifier, lists)
        .build()
        .map_err(|error| Fault::invalid(format!("client certificates: {error}")))?;
    Ok(Some(verifier))
}

/// Takes nobody whom a list of his issuer revokes. Issuers without a list revoke otherwise; a list that is too old
/// says nothing any more, so nobody of that issuer is taken.
pub(crate) fn by_lists(
    verifier: ClientCertVerifierBuilder,
    lists: &[CertificateRevocationListDer<'static>],
) -> ClientCertVerifierBuilder {
    if lists.is_empty() {
        return verifier;
    }
    verifier
        .with_crls(lists.iter().cloned())
        .allow_unknown_revocation_status()
        .enforce_revocation_expiration()
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

/// The lists of a file. Whether they are signed by who they say is found when a certificate of that issuer is
/// checked.
fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Fault> {
    let wrong = |problem: String| wrong(path, "tls.client_crl_file", &problem);
    text(path).and_then(|text| lists_of(&text)).map_err(wrong)
}

/// The lists of a PEM text, one at least.
pub(crate) fn lists_of(pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    let lists: Vec<_> = lists.map_err(|error| error.to_string())?;
    if lists.is_empty() {
        return Err("holds no revocation list".to_owned());
    }
    Ok(lists)
}

/// What lies in a file of certificates or lists.
pub(crate) fn text(path: &Path) -> Result<Vec<u8>, String> {
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
pub(crate) struct Watched {
    files: Vec<PathBuf>,
    seen: Vec<Option<(SystemTime, u64)>>,
}

impl Watched {
    pub(crate) fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let files: Vec<PathBuf> = files.into_iter().collect();
        let seen = stamps(&files);
        Self { files, seen }
    }

    /// Whether any has changed since this was asked last.
    pub(crate) fn has_changed(&mut self) -> bool {
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
