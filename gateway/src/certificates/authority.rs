//! The built-in CA, and its roll-over: a new CA is announced, so that who trusts the old one can take it up;
//! then it issues; then the old one is dropped.
//!
//! All of it is one sealed secret, so that a crash leaves one step or the next. `ca.pem` in the data directory
//! has what clients must trust at the moment.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use dataos_model::{
    clock::Timestamp,
    fault::{Fault, FaultKind},
    hash::Hash,
    seams::Secrets,
    secret::{Secret, SecretName},
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::Mutex;

use crate::{data_directory::write_atomic, secrets::SealedSecrets};

/// Life of a CA.
const CA_DAYS: i64 = 3650;
/// Clocks of clients may be behind ours by this much.
const BACKDATE: time::Duration = time::Duration::hours(1);

const CA: &str = "dataos/ca";
/// Where the first releases kept the one CA that they knew.
const FIRST_KEY: &str = "dataos/ca-key";
const FIRST_CERTIFICATE: &str = "dataos/ca-certificate";

/// The CA that issues, and while it is rolled over the one that comes or goes.
#[derive(Clone, Serialize, Deserialize)]
struct Authorities {
    issuing: Ca,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Ca>,
    /// The certificate alone: its key is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retiring: Option<String>,
}

/// One CA, both parts in PEM.
#[derive(Clone, Serialize, Deserialize)]
struct Ca {
    certificate: String,
    key: String,
}

/// A step of a roll-over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Makes the next CA; it is trusted from now on.
    Announce,
    /// Drops the next CA again.
    Cancel,
    /// The next CA issues from now on; the old one is still trusted.
    Issue,
    /// The old CA is trusted no more.
    Finish,
    /// No step of a roll-over: a new server certificate, of the CA that issues.
    Renew,
}

/// Where a roll-over stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Steady,
    Announced,
    Issuing,
}

impl Phase {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Announced => "announced",
            Self::Issuing => "issuing",
        }
    }
}

/// A CA as it is told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) role: &'static str,
    pub(crate) subject: String,
    /// SHA-256 of the certificate.
    pub(crate) fingerprint: Hash,
    pub(crate) expires_at: Timestamp,
}

/// The built-in CA.
pub(crate) struct Authority {
    secrets: Arc<SealedSecrets>,
    bundle_file: PathBuf,
    held: ArcSwap<Authorities>,
    /// Steps follow each other.
    turn: Mutex<()>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Opens the CA, making it at first.
    ///
    /// # Errors
    /// Secrets that cannot be read or written, or a damaged one.
    pub(crate) async fn open(
        folder: &Path,
        secrets: Arc<SealedSecrets>,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let opened = match Self::there(folder, Arc::clone(&secrets)).await? {
            Some(opened) => opened,
            None => Self::of(folder, secrets, Ca::make(now).map_err(failed)?.into()),
        };
        if get(&opened.secrets, CA).await?.is_none() {
            keep(&opened.secrets, &opened.held.load()).await?;
            for name in [FIRST_CERTIFICATE, FIRST_KEY] {
                let name = SecretName(name.to_owned());
                opened.secrets.remove(&name).await?;
            }
        }
        opened.write_bundle()?;
        Ok(opened)
    }

    /// The CA as it is there, if there is one; writes nothing.
    ///
    /// # Errors
    /// Secrets that cannot be read, or a damaged one.
    pub(super) async fn there(
        folder: &Path,
        secrets: Arc<SealedSecrets>,
    ) -> Result<Option<Self>, Fault> {
        let held = match get(&secrets, CA).await? {
            Some(text) => Some(serde_json::from_slice(text.expose()).map_err(|_| damaged())?),
            None => first(&secrets).await?.map(Authorities::from),
        };
        Ok(held.map(|held| Self::of(folder, secrets, held)))
    }

    fn of(folder: &Path, secrets: Arc<SealedSecrets>, held: Authorities) -> Self {
        Self {
            secrets,
            bundle_file: folder.join("ca.pem"),
            held: ArcSwap::from_pointee(held),
            turn: Mutex::default(),
        }
    }

    /// PEM of all CAs that are trusted at the moment, that which issues first.
    pub(crate) fn bundle(&self) -> String {
        self.held.load().bundle()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.held.load().phase()
    }

    /// All CAs that are trusted at the moment.
    ///
    /// # Errors
    /// A certificate that cannot be read.
    pub(crate) fn told(&self) -> Result<Vec<Told>, Fault> {
        let held = self.held.load();
        held.certificates()
            .map(|(role, pem)| {
                let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| damaged())?;
                let parsed = x509_parser::parse_x509_certificate(&der);
                let (_, parsed) = parsed.map_err(|_| damaged())?;
                Ok(Told {
                    role,
                    subject: parsed.subject().to_string(),
                    fingerprint: Hash::of(&der),
                    expires_at: Timestamp(parsed.validity().not_after.timestamp() * 1000),
                })
            })
            .collect()
    }

    /// When the CA that issues ends.
    ///
    /// # Errors
    /// A certificate that cannot be read.
    pub(crate) fn expires_at(&self) -> Result<Timestamp, Fault> {
        let held = self.held.load();
        let der = CertificateDer::from_pem_slice(held.issuing.certificate.as_bytes());
        der.ok().and_then(|der| end_of(&der)).ok_or_else(damaged)
    }

    /// Takes a step, durably.
    ///
    /// # Errors
    /// A step that does not follow where the roll-over stands; secrets that cannot be written.
    pub(crate) async fn take(&self, step: Step, now: Timestamp) -> Result<Phase, Fault> {
        let _turn = self.turn.lock().await;
        let held = self.held.load().after(step, now)?;
        keep(&self.secrets, &held).await?;
        let phase = held.phase();
        self.held.store(Arc::new(held));
        self.write_bundle()?;
        Ok(phase)
    }

    /// Signs with the CA that issues.
    ///
    /// # Errors
    /// It does not fit its key.
    pub(super) fn sign(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<rcgen::Certificate, Fault> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let held = self.held.load();
        let ca_key = KeyPair::from_pem(&held.issuing.key).map_err(failed)?;
        let issuer = Issuer::from_ca_cert_pem(&held.issuing.certificate, ca_key).map_err(failed)?;
        params.signed_by(key, &issuer).map_err(failed)
    }

    fn write_bundle(&self) -> Result<(), Fault> {
        let (path, bundle) = (&self.bundle_file, self.bundle());
        if std::fs::read_to_string(path).ok().as_deref() == Some(&bundle) {
            return Ok(());
        }
        write_atomic(path, bundle.as_bytes(), 0o644).map_err(|error| {
            Fault::unavailable(format!("{}: {error}", path.display()))
                .with_hint("the CAs in force are kept; the file is written at the next start")
        })
    }
}

impl From<Ca> for Authorities {
    fn from(issuing: Ca) -> Self {
        Self {
            issuing,
            next: None,
            retiring: None,
        }
    }
}

impl Authorities {
    /// All that are trusted, that which issues first, each with its role.
    fn certificates(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let issuing = ("issuing", self.issuing.certificate.as_str());
        let next = self
            .next
            .as_ref()
            .map(|ca| ("next", ca.certificate.as_str()));
        let retiring = self.retiring.as_deref().map(|pem| ("retiring", pem));
        [Some(issuing), next, retiring].into_iter().flatten()
    }

    fn bundle(&self) -> String {
        self.certificates().map(|(_, pem)| pem).collect()
    }

    const fn phase(&self) -> Phase {
        match (&self.next, &self.retiring) {
            (Some(_), _) => Phase::Announced,
            (None, Some(_)) => Phase::Issuing,
            (None, None) => Phase::Steady,
        }
    }

    fn after(&self, step: Step, now: Timestamp) -> Result<Self, Fault> {
        let mut after = self.clone();
        match (step, self.phase()) {
            (Step::Announce, Phase::Steady) => after.next = Some(Ca::make(now).map_err(failed)?),
            (Step::Cancel, Phase::Announced) => after.next = None,
            (Step::Issue, Phase::Announced) => {
                if let Some(next) = after.next.take() {
                    after.retiring = Some(std::mem::replace(&mut after.issuing, next).certificate);
                }
            }
            (Step::Finish, Phase::Issuing) => after.retiring = None,
            (Step::Renew, _) => {}
            (step, phase) => {
                let told =
                    format!("`{step:?}` does not follow where the roll-over of the CA stands");
                return Err(
                    Fault::new(FaultKind::Conflict, told.to_lowercase()).with_hint(match phase {
                        Phase::Steady => "none is under way: `announce` begins one",
                        Phase::Announced => "the next CA is announced: `issue` or `cancel` follows",
                        Phase::Issuing => "the new CA issues: `finish` follows",
                    }),
                );
            }
        }
        Ok(after)
    }
}

impl Ca {
    fn make(now: Timestamp) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        // A name of its own: who looks for an issuer by name finds one.
        let digest = Hash::of(key.subject_public_key_info()).to_string();
        let short = digest.get(..8).unwrap_or_default();
        params.distinguished_name = named(&format!("DataOS built-in CA {short}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = validity(now, time::Duration::days(CA_DAYS));
        Ok(Self {
            certificate: params.self_signed(&key)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// When a certificate ends, if it is one.
pub(super) fn end_of(der: &[u8]) -> Option<Timestamp> {
    let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(Timestamp(parsed.validity().not_after.timestamp() * 1000))
}

async fn get(secrets: &SealedSecrets, name: &str) -> Result<Option<Secret>, Fault> {
    match secrets.get(&SecretName(name.to_owned())).await {
        Ok(secret) => Ok(Some(secret)),
        Err(fault) if fault.kind == FaultKind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

async fn keep(secrets: &SealedSecrets, held: &Authorities) -> Result<(), Fault> {
    let text = serde_json::to_vec(held)
        .map_err(|error| Fault::internal(format!("the CAs cannot be written: {error}")))?;
    secrets
        .put(&SecretName(CA.to_owned()), Secret::new(text))
        .await
}

/// The CA of a first release.
async fn first(secrets: &SealedSecrets) -> Result<Option<Ca>, Fault> {
    let Some(certificate) = get(secrets, FIRST_CERTIFICATE).await? else {
        return Ok(None);
    };
    let key = get(secrets, FIRST_KEY).await?.ok_or_else(damaged)?;
    let key = KeyPair::try_from(key.expose()).map_err(failed)?;
    Ok(Some(Ca {
        certificate: String::from_utf8(certificate.expose().to_vec()).map_err(|_| damaged())?,
        key: key.serialize_pem(),
    }))
}

fn damaged() -> Fault {
    Fault::new(
        FaultKind::Damaged,
        "the built-in CA in the sealed secrets cannot be read",
    )
    .with_hint("restore secrets.sealed and secrets.key from one backup")
}

pub(super) fn failed(error: rcgen::Error) -> Fault {
    Fault::internal(format!("no certificate can be issued: {error}"))
}

pub(super) fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

pub(super) fn validity(now: Timestamp, life: time::Duration) -> (OffsetDateTime, OffsetDateTime) {
    let start =
        OffsetDateTime::from_unix_timestamp(now.0 / 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    (start - BACKDATE, start + life)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dataos_model::{
        clock::Timestamp,
        fault::FaultKind,
        seams::Secrets,
        secret::{Secret, SecretName},
    };
    use rcgen::KeyPair;

    use super::{Authority, Ca, FIRST_CERTIFICATE, FIRST_KEY, Phase, Step};
    use crate::secrets::SealedSecrets;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn certificates(pem: &str) -> usize {
        pem.matches("BEGIN CERTIFICATE").count()
    }

    async fn reopened(folder: &std::path::Path) -> Authority {
        let secrets = Arc::new(SealedSecrets::open(folder).unwrap());
        Authority::open(folder, secrets, NOW).await.unwrap()
    }

    #[tokio::test]
    async fn every_step_follows_one_and_survives_a_start() {
        use Phase::{Announced, Issuing, Steady};
        use Step::{Announce, Cancel, Finish, Issue};
        let folder = tempfile::tempdir().unwrap();
        let first = reopened(folder.path()).await.bundle();
        for (step, phase, count) in [
            (Announce, Announced, 2),
            (Cancel, Steady, 1),
            (Announce, Announced, 2),
            (Issue, Issuing, 2),
            (Finish, Steady, 1),
        ] {
            let authority = reopened(folder.path()).await;
            for other in [Announce, Cancel, Issue, Finish] {
                let fits = match authority.phase() {
                    Steady => other == Announce,
                    Announced => other == Cancel || other == Issue,
                    Issuing => other == Finish,
                };
                if !fits {
                    let fault = authority.take(other, NOW).await.unwrap_err();
                    assert_eq!(fault.kind, FaultKind::Conflict, "{other:?}");
                }
            }
            authority.take(Step::Renew, NOW).await.unwrap();
            assert_eq!(authority.take(step, NOW).await.unwrap(), phase, "{step:?}");
            let again = reopened(folder.path()).await;
            assert_eq!(
                (again.phase(), certificates(&again.bundle())),
                (phase, count)
            );
            assert_eq!(again.bundle(), authority.bundle());
            let file = std::fs::read_to_string(folder.path().join("ca.pem")).unwrap();
            assert_eq!(file, authority.bundle());
            assert_eq!(again.told().unwrap().len(), count);
        }
        let last = reopened(folder.path()).await;
        assert_ne!(last.bundle(), first);
        // The key of the first one is nowhere any more.
        let held = last.secrets.get(&SecretName(super::CA.to_owned())).await;
        let held = String::from_utf8(held.unwrap().expose().to_vec()).unwrap();
        assert_eq!(
            held.matches("PRIVATE KEY").count(),
            2,
            "one key, begin and end"
        );
    }

    #[tokio::test]
    async fn the_ca_of_a_first_release_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = SealedSecrets::open(folder.path()).unwrap();
        let ca = Ca::make(NOW).unwrap();
        let key = KeyPair::from_pem(&ca.key).unwrap().serialize_der();
        for (name, value) in [
            (FIRST_KEY, key),
            (FIRST_CERTIFICATE, ca.certificate.clone().into_bytes()),
        ] {
            let name = SecretName(name.to_owned());
            secrets.put(&name, Secret::new(value)).await.unwrap();
        }
        drop(secrets);
        let authority = reopened(folder.path()).await;
        assert_eq!(authority.bundle(), ca.certificate);
        assert!(
            authority
                .issue_server(&["localhost".to_owned()], 1, NOW)
                .is_ok()
        );
        assert_eq!(reopened(folder.path()).await.bundle(), ca.certificate);
        let old = SecretName(FIRST_KEY.to_owned());
        let old = authority.secrets.get(&old).await;
        assert_eq!(old.unwrap_err().kind, FaultKind::NotFound);
    }
}
