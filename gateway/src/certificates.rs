//! Certificates: a built-in CA whose leaf is made anew at every start, or PEM files of one's own.
//!
//! The CA's key lies in the sealed secrets; the leaf's key is only ever in memory. The CA
//! certificate is written to `ca.pem` in the data directory for clients to trust.

pub(crate) mod tls;

use std::{fmt, path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use dataos_model::{
    clock::{Clock, Timestamp},
    fault::{Fault, FaultKind},
    hash::Hash,
    seams::Secrets,
    secret::{Secret, SecretName},
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use time::OffsetDateTime;
use tls::{Tls, Watched};

use crate::{
    authenticate::certificate::identity,
    config::{CertificateFiles, ClientCertificates},
    data_directory::write_atomic,
    secrets::SealedSecrets,
};

/// Life of the CA.
const CA_DAYS: i64 = 3650;
/// Life of a leaf.
const LEAF_DAYS: i64 = 90;
/// How long before its end a leaf is replaced.
const RENEW_DAYS: i64 = 30;
/// How often the leaf's age, and files, are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Clocks of clients may be behind ours by this much.
const BACKDATE: time::Duration = time::Duration::hours(1);

const CA_KEY: &str = "dataos/ca-key";
const CA_CERTIFICATE: &str = "dataos/ca-certificate";

/// What the acceptor serves.
#[derive(Debug)]
pub(crate) struct Certificates {
    served: Arc<Served>,
    /// PEM that clients must trust; empty if the certificate is not ours.
    ca_pem: String,
    clients: ClientCertificates,
    files: Option<CertificateFiles>,
    tls: Arc<Tls>,
    renewal: Option<Renewal>,
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

/// What is needed to make a new leaf.
struct Renewal {
    ca_pem: String,
    ca_key: Secret,
    names: Vec<String>,
    expires_at: ArcSwap<Timestamp>,
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Opens the built-in CA, making it at first, and issues a leaf for `names`.
    ///
    /// # Errors
    /// Secrets that cannot be read or written, or a CA that does not fit its key.
    pub(crate) async fn built_in(
        folder: &Path,
        secrets: &SealedSecrets,
        names: Vec<String>,
        clients: &ClientCertificates,
        clock: &dyn Clock,
    ) -> Result<Self, Fault> {
        let (ca_pem, ca_key) = open_ca(secrets, clock.now()).await?;
        let path = folder.join("ca.pem");
        if std::fs::read_to_string(&path).ok().as_deref() != Some(&ca_pem) {
            write_atomic(&path, ca_pem.as_bytes(), 0o644)
                .map_err(|error| Fault::unavailable(format!("{}: {error}", path.display())))?;
        }
        let leaf = issue(&ca_pem, &ca_key, &names, clock.now())?;
        let expires_at = ArcSwap::from_pointee(end_of(clock.now()));
        let renewal = Renewal {
            ca_pem: ca_pem.clone(),
            ca_key,
            names,
            expires_at,
        };
        Self::serving(leaf, ca_pem, clients, None, Some(renewal))
    }

    /// Serves a chain and key from PEM files.
    ///
    /// # Errors
    /// Files that cannot be read, or a key that is not that of the certificate.
    pub(crate) fn from_files(
        files: &CertificateFiles,
        clients: &ClientCertificates,
    ) -> Result<Self, Fault> {
        let leaf = certified(files)?;
        Self::serving(leaf, String::new(), clients, Some(files), None)
    }

    fn serving(
        leaf: CertifiedKey,
        ca_pem: String,
        clients: &ClientCertificates,
        files: Option<&CertificateFiles>,
        renewal: Option<Renewal>,
    ) -> Result<Self, Fault> {
        let served = Arc::new(Served(ArcSwap::from_pointee(leaf)));
        let parts = tls::parts(Arc::clone(&served) as _, &ca_pem, clients)?;
        Ok(Self {
            served,
            ca_pem,
            clients: clients.clone(),
            files: files.cloned(),
            tls: Arc::new(Tls::new(parts)),
            renewal,
        })
    }

    /// PEM that clients must trust.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What issues client certificates, if the CA is the built-in one.
    pub(crate) fn client_issuer(&self, trust_domain: &str) -> Option<ClientIssuer> {
        self.renewal.as_ref().map(|renewal| ClientIssuer {
            ca_pem: renewal.ca_pem.clone(),
            ca_key: renewal.ca_key.clone(),
            trust_domain: trust_domain.to_owned(),
        })
    }

    /// What the doors serve.
    pub(crate) fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.tls)
    }

    /// Replaces the leaf in good time, and takes up files that changed, for as long as the process runs.
    pub(crate) async fn keep_fresh(self: Arc<Self>, clock: Arc<dyn Clock>) {
        let clients = [&self.clients.ca_file, &self.clients.crl_file];
        let own = self
            .files
            .iter()
            .flat_map(|files| [&files.certificate, &files.key]);
        let files = own.chain(clients.into_iter().flatten());
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
        let Some(renewal) = &self.renewal else { return };
        if renewal.expires_at.load().0 - now.0 > RENEW_DAYS * 86_400_000 {
            return;
        }
        match issue(&renewal.ca_pem, &renewal.ca_key, &renewal.names, now) {
            Ok(leaf) => {
                self.served.0.store(Arc::new(leaf));
                renewal.expires_at.store(Arc::new(end_of(now)));
                tracing::info!("issued a new server certificate");
            }
            Err(fault) => tracing::error!(%fault, "no new server certificate"),
        }
    }

    /// Reads all files again; what is in force stays if any of them is of no use.
    fn take_up(&self) -> Result<(), Fault> {
        let leaf = self.files.as_ref().map(certified).transpose()?;
        let served = Arc::clone(&self.served) as Arc<dyn ResolvesServerCert>;
        let parts = tls::parts(served, &self.ca_pem, &self.clients)?;
        if let Some(leaf) = leaf {
            self.served.0.store(Arc::new(leaf));
        }
        self.tls.replace(parts);
        Ok(())
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

/// Issues client certificates by the built-in CA.
pub(crate) struct ClientIssuer {
    ca_pem: String,
    ca_key: Secret,
    trust_domain: String,
}

impl fmt::Debug for ClientIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIssuer")
            .field("trust_domain", &self.trust_domain)
            .finish_non_exhaustive()
    }
}

/// A client certificate that was just issued.
pub(crate) struct IssuedCertificate {
    pub(crate) certificate_pem: String,
    /// Held nowhere else.
    pub(crate) key_pem: String,
    pub(crate) ca_pem: String,
    pub(crate) identity: String,
    pub(crate) fingerprint: Hash,
    pub(crate) expires_at: Timestamp,
}

impl ClientIssuer {
    /// Issues a certificate for a service, with a key of its own.
    ///
    /// # Errors
    /// A CA that does not fit its key.
    pub(crate) fn issue(
        &self,
        service: &str,
        life_s: i64,
        now: Timestamp,
    ) -> Result<IssuedCertificate, Fault> {
        let failed =
            |error: rcgen::Error| Fault::internal(format!("no certificate can be issued: {error}"));
        let ca_key = KeyPair::try_from(self.ca_key.expose()).map_err(failed)?;
        let issuer = Issuer::from_ca_cert_pem(&self.ca_pem, ca_key).map_err(failed)?;
        let key = KeyPair::generate().map_err(failed)?;
        let identity = identity(&self.trust_domain, service);
        let mut params = CertificateParams::default();
        params.distinguished_name = named(service);
        params.subject_alt_names =
            vec![SanType::URI(identity.as_str().try_into().map_err(failed)?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let start = validity(now, 0);
        (params.not_before, params.not_after) =
            (start.0, start.1 + time::Duration::seconds(life_s));
        let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
        Ok(IssuedCertificate {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            ca_pem: self.ca_pem.clone(),
            identity,
            fingerprint: Hash::of(certificate.der()),
            expires_at: Timestamp(now.0 + life_s * 1000),
        })
    }
}

fn end_of(start: Timestamp) -> Timestamp {
    Timestamp(start.0 + LEAF_DAYS * 86_400_000)
}

async fn open_ca(secrets: &SealedSecrets, now: Timestamp) -> Result<(String, Secret), Fault> {
    let key_name = SecretName(CA_KEY.to_owned());
    let certificate_name = SecretName(CA_CERTIFICATE.to_owned());
    match (
        secrets.get(&certificate_name).await,
        secrets.get(&key_name).await,
    ) {
        (Ok(certificate), Ok(key)) => {
            let pem = String::from_utf8(certificate.expose().to_vec())
                .map_err(|_| Fault::new(FaultKind::Damaged, "the CA certificate is no text"))?;
            Ok((pem, key))
        }
        (Err(fault), _) if fault.kind == FaultKind::NotFound => {
            let (pem, key) = make_ca(now)
                .map_err(|error| Fault::internal(format!("the CA cannot be made: {error}")))?;
            secrets.put(&key_name, key.clone()).await?;
            // The certificate last: with it the pair is whole.
            secrets
                .put(&certificate_name, Secret::new(pem.clone().into_bytes()))
                .await?;
            Ok((pem, key))
        }
        (Err(fault), _) | (_, Err(fault)) => Err(fault),
    }
}

fn make_ca(now: Timestamp) -> Result<(String, Secret), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = named("DataOS built-in CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = validity(now, CA_DAYS);
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), Secret::new(key.serialize_der())))
}

fn issue(
    ca_pem: &str,
    ca_key: &Secret,
    names: &[String],
    now: Timestamp,
) -> Result<CertifiedKey, Fault> {
    let failed =
        |error: rcgen::Error| Fault::internal(format!("no certificate can be issued: {error}"));
    let ca_key = KeyPair::try_from(ca_key.expose()).map_err(failed)?;
    let issuer = Issuer::from_ca_cert_pem(ca_pem, ca_key).map_err(failed)?;
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
    params.distinguished_name = named("DataOS");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = validity(now, LEAF_DAYS);
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    CertifiedKey::from_der(
        vec![certificate.der().clone()],
        key,
        &aws_lc_rs::default_provider(),
    )
    .map_err(|error| Fault::internal(format!("no certificate can be issued: {error}")))
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn validity(now: Timestamp, days: i64) -> (OffsetDateTime, OffsetDateTime) {
    let start =
        OffsetDateTime::from_unix_timestamp(now.0 / 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    (start - BACKDATE, start + time::Duration::days(days))
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
