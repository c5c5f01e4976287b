//! Certificates: a built-in CA whose leaf is made anew at every start, or PEM files of one's own. The leaf's
//! key is only ever in memory.

pub(crate) mod authority;
mod issue;
pub(crate) mod role;
pub(crate) mod tls;

use std::{fmt, path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use authority::{Authority, Phase, Step};
use dataos_model::{
    clock::{Clock, Timestamp},
    fault::{Fault, FaultKind},
};
use issue::IssuedCertificate;
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tls::{Tls, Watched};

use crate::{
    authenticate::certificate::identity,
    config::{AskedOfClients, CertificateFiles},
    secrets::SealedSecrets,
};

/// Life of a leaf.
const LEAF_DAYS: i64 = 90;
/// How long before its end a leaf is replaced.
const RENEW_DAYS: i64 = 30;
/// How often the leaf's age, and files, are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What the acceptor serves.
#[derive(Debug)]
pub(crate) struct Certificates {
    served: Arc<Served>,
    source: Source,
    clients: AskedOfClients,
    tls: Arc<Tls>,
}

/// Where the leaf comes from.
#[derive(Debug)]
enum Source {
    Files(CertificateFiles),
    BuiltIn(BuiltIn),
}

/// What is needed to make a new leaf.
#[derive(Debug)]
struct BuiltIn {
    authority: Arc<Authority>,
    names: Vec<String>,
    expires_at: ArcSwap<Timestamp>,
}

/// The certificate in force; swapped without touching open connections.
struct Served(ArcSwap<CertifiedKey>);

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Served(..)")
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Certificates {
    /// Opens the built-in CA, making it at first, and issues a leaf for `names`.
    ///
    /// # Errors
    /// Secrets that cannot be read or written, or a CA that does not fit its key.
    pub(crate) async fn built_in(
        folder: &Path,
        secrets: Arc<SealedSecrets>,
        names: Vec<String>,
        clients: &AskedOfClients,
        clock: &dyn Clock,
    ) -> Result<Self, Fault> {
        let now = clock.now();
        let authority = Authority::open(folder, secrets, now).await?;
        let leaf = authority.issue_server(&names, LEAF_DAYS, now)?;
        let source = Source::BuiltIn(BuiltIn {
            authority: Arc::new(authority),
            names,
            expires_at: ArcSwap::from_pointee(end_of(now)),
        });
        Self::serving(leaf, source, clients)
    }

    /// Serves a chain and key from PEM files.
    ///
    /// # Errors
    /// Files that cannot be read, or a key that is not that of the certificate.
    pub(crate) fn from_files(
        files: &CertificateFiles,
        clients: &AskedOfClients,
    ) -> Result<Self, Fault> {
        let leaf = certified(files)?;
        Self::serving(leaf, Source::Files(files.clone()), clients)
    }

    fn serving(
        leaf: CertifiedKey,
        source: Source,
        clients: &AskedOfClients,
    ) -> Result<Self, Fault> {
        let served = Arc::new(Served(ArcSwap::from_pointee(leaf)));
        let parts = tls::parts(Arc::clone(&served) as _, &source.ca_pem(), clients)?;
        Ok(Self {
            served,
            source,
            clients: clients.clone(),
            tls: Arc::new(Tls::new(parts)),
        })
    }

    /// PEM that clients must trust; empty if the certificate is not ours.
    pub(crate) fn ca_pem(&self) -> String {
        self.source.ca_pem()
    }

    /// The built-in CA.
    ///
    /// # Errors
    /// The server has a certificate of its own.
    pub(crate) fn authority(&self) -> Result<&Authority, Fault> {
        self.source.built_in().map(|it| it.authority.as_ref())
    }

    /// Issues a client certificate for a service.
    ///
    /// # Errors
    /// There is no built-in CA, or it does not fit its key.
    pub(crate) fn issue_client(
        &self,
        service: &str,
        life_s: i64,
        now: Timestamp,
    ) -> Result<IssuedCertificate, Fault> {
        let identity = identity(&self.clients.trust_domain, service);
        self.authority()?
            .issue_client(service, identity, life_s, now)
    }

    /// What the doors serve.
    pub(crate) fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.tls)
    }

    /// When the certificates end that the doors stand on, by what each is.
    pub(crate) fn expiries(&self) -> Vec<(&'static str, Timestamp)> {
        let served = self.served.0.load();
        let server = served.cert.first().and_then(|leaf| authority::end_of(leaf));
        let authority = self.authority().and_then(Authority::expires_at).ok();
        [("server", server), ("authority", authority)]
            .into_iter()
            .filter_map(|(which, end)| Some((which, end?)))
            .collect()
    }

    /// Takes a step; when it returns, new connections are as it says.
    ///
    /// # Errors
    /// See [`Authority::take`]; without a built-in CA there is nothing to roll over.
    pub(crate) async fn roll_over(&self, step: Step, now: Timestamp) -> Result<Phase, Fault> {
        let built_in = self.source.built_in()?;
        let phase = built_in.authority.take(step, now).await?;
        self.tls.replace(self.parts()?);
        if matches!(step, Step::Issue | Step::Renew) {
            self.issue_leaf(built_in, now)?;
        }
        Ok(phase)
    }

    /// Replaces the leaf in good time, and takes up files that changed, for as long as the process runs.
    pub(crate) async fn keep_fresh(self: Arc<Self>, clock: Arc<dyn Clock>) {
        let clients = [&self.clients.ca_file, &self.clients.crl_file];
        let own = match &self.source {
            Source::Files(files) => vec![&files.certificate, &files.key],
            Source::BuiltIn(_) => Vec::new(),
        };
        let files = own.into_iter().chain(clients.into_iter().flatten());
        let mut watched = Watched::new(files.cloned());
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.renew(clock.now());
            if watched.has_changed() {
                match self.take_up() {
                    Ok(()) => tracing::info!("certificate files were taken up"),
                    Err(fault) => {
                        tracing::error!(%fault, "changed certificate files are not taken up");
                    }
                }
            }
        }
    }

    /// Replaces the leaf of the built-in CA when its end is near.
    fn renew(&self, now: Timestamp) {
        let Ok(built_in) = self.source.built_in() else {
            return;
        };
        if built_in.expires_at.load().0 - now.0 > RENEW_DAYS * 86_400_000 {
            return;
        }
        match self.issue_leaf(built_in, now) {
            Ok(()) => tracing::info!("issued a new server certificate"),
            Err(fault) => tracing::error!(%fault, "no new server certificate"),
        }
    }

    fn issue_leaf(&self, built_in: &BuiltIn, now: Timestamp) -> Result<(), Fault> {
        let names = &built_in.names;
        self.serve(built_in.authority.issue_server(names, LEAF_DAYS, now)?);
        built_in.expires_at.store(Arc::new(end_of(now)));
        Ok(())
    }

    /// Reads all files again; what is in force stays if any of them is of no use.
    fn take_up(&self) -> Result<(), Fault> {
        let leaf = match &self.source {
            Source::Files(files) => Some(certified(files)?),
            Source::BuiltIn(_) => None,
        };
        self.tls.replace(self.parts()?);
        if let Some(leaf) = leaf
            && leaf.cert != self.served.0.load().cert
        {
            self.serve(leaf);
        }
        Ok(())
    }

    fn parts(&self) -> Result<tls::Parts, Fault> {
        let served = Arc::clone(&self.served) as Arc<dyn ResolvesServerCert>;
        tls::parts(served, &self.source.ca_pem(), &self.clients)
    }

    fn serve(&self, leaf: CertifiedKey) {
        self.served.0.store(Arc::new(leaf));
        self.tls.note_served();
    }
}

impl Source {
    fn built_in(&self) -> Result<&BuiltIn, Fault> {
        match self {
            Self::BuiltIn(built_in) => Ok(built_in),
            Self::Files(_) => Err(Fault::new(
                FaultKind::Conflict,
                "there is no built-in CA, because the server has a certificate of its own",
            )
            .with_hint("client certificates are those of the CA of `tls.client_ca_file`")),
        }
    }

    fn ca_pem(&self) -> String {
        match self {
            Self::Files(_) => String::new(),
            Self::BuiltIn(built_in) => built_in.authority.bundle(),
        }
    }
}

/// The chain and key in PEM files.
fn certified(files: &CertificateFiles) -> Result<CertifiedKey, Fault> {
    let wrong = |path: &Path, problem: String| {
        Fault::invalid(format!("{}: {problem}", path.display()))
            .with_hint("see tls.certificate_file and tls.key_file in `dataos config explain`")
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(&files.certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong(&files.certificate, "holds no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| wrong(&files.key, error.to_string()))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|error| wrong(&files.key, error.to_string()))
}

fn end_of(start: Timestamp) -> Timestamp {
    Timestamp(start.0 + LEAF_DAYS * 86_400_000)
}

/// Names and addresses that the leaf is for: the loopback ones and the configured ones.
pub(crate) fn names(configured: &[String], listen: std::net::IpAddr) -> Vec<String> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    if !listen.is_unspecified() {
        names.push(listen.to_string());
    }
    names.extend(configured.iter().cloned());
    names.sort();
    names.dedup();
    names
}
