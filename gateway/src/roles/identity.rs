//! Who this process is to other roles: a certificate with its key, and the CAs that others must come from.
//!
//! An identity is one URI `spiffe://TRUST_DOMAIN/role/ROLE` (an X.509-SVID). It is made by the built-in CA in
//! the gateway's memory, or lies in a folder: `identity.pem` (chain and key) with `ca.pem`, as `dataos
//! certificate issue` writes them and renewal keeps them; or `tls.crt`, `tls.key` and `ca.crt`, which others
//! keep, with revocation lists in `ca.crl` where there are any. Host names say nothing here: a role is who its certificate says, wherever it runs.

mod verifier;

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
    secret::Secret,
};
use rustls::{
    CertificateError, ClientConfig, Error, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime, pem::PemObject,
    },
    server::{NoServerSessionStorage, danger::ClientCertVerifier as _},
    sign::{CertifiedKey, SingleCertAndKey},
};
use serde::{Deserialize, Serialize};
use x509_parser::parse_x509_certificate;

use super::{Role, method};
use crate::{
    authenticate::certificate::PeerCertificate,
    certificates::{
        Certificates,
        role::{LIFE_S, RoleIssuer},
        tls::{Watched, lists_of, text},
    },
    data_directory::write_atomic,
};
use verifier::RoleVerifier;

/// The form that we write and renew: chain and key in one file, so that one rename replaces both.
const OWN: [&str; 3] = ["identity.pem", "identity.pem", "ca.pem"];
/// The form that others give, as Kubernetes keeps certificates in secrets.
const GIVEN: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];

/// Revocation lists of the CAs of that form.
const LISTS: &str = "ca.crl";

/// An identity as it is kept.
pub(crate) struct Pem {
    /// Leaf first.
    pub(crate) chain: String,
    pub(crate) key: Secret,
    /// CAs that others must come from; two while a CA is rolled over.
    pub(crate) roots: String,
    /// Revocation lists of these CAs.
    pub(crate) lists: Option<Vec<u8>>,
}

/// A certificate over a key that the role has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Renewed {
    pub(crate) chain: String,
    pub(crate) roots: String,
}

/// The identity of this process; what is in force is swapped, and connections are made anew.
#[derive(Debug)]
pub(crate) struct Identity {
    role: Role,
    /// Tells this run of the process from another one.
    process: u128,
    trust_domain: String,
    source: Source,
    current: ArcSwap<Material>,
}

/// Where it comes from.
#[derive(Debug)]
enum Source {
    /// The built-in CA.
    BuiltIn(Arc<Certificates>),
    Folder(PathBuf),
}

/// What is in force.
pub(crate) struct Material {
    leaf: Arc<SingleCertAndKey>,
    roots: Arc<RootCertStore>,
    roots_digest: Hash,
    lists: Vec<CertificateRevocationListDer<'static>>,
    /// Whom the door takes.
    callers: Arc<RoleVerifier>,
    server: Arc<ServerConfig>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// The gateway's own, by the built-in CA.
    ///
    /// # Errors
    /// The CA is not the built-in one.
    pub(crate) fn built_in(
        certificates: Arc<Certificates>,
        trust_domain: &str,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let issuer = certificates.role_issuer().ok_or_else(|| {
            Fault::invalid(
                "roles need identities, and tls.certificate_file turns the built-in CA off",
            )
            .with_hint("name a folder with the gateway's identity in roles.identity")
        })?;
        let pem = issuer.issue(Role::Gateway, LIFE_S, now)?;
        let material = Material::new(&pem, Role::Gateway, trust_domain, now)?;
        Ok(Self {
            role: Role::Gateway,
            process: new_process(),
            trust_domain: trust_domain.to_owned(),
            source: Source::BuiltIn(certificates),
            current: ArcSwap::from_pointee(material),
        })
    }

    /// The identity of a folder.
    ///
    /// # Errors
    /// Files that cannot be read or do not belong together, or a certificate that is of another role or trust
    /// domain, or does not hold now.
    pub(crate) fn of_folder(
        role: Role,
        trust_domain: &str,
        folder: &Path,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let material = Material::new(&pem_of(folder)?, role, trust_domain, now)
            .map_err(|fault| of_folder(folder, &fault))?;
        Ok(Self {
            role,
            process: new_process(),
            trust_domain: trust_domain.to_owned(),
            source: Source::Folder(folder.to_owned()),
            current: ArcSwap::from_pointee(material),
        })
    }

    /// The role.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// This run of the process.
    pub(crate) fn process(&self) -> u128 {
        self.process
    }

    /// The domain of all roles.
    pub(crate) fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// What is in force.
    pub(crate) fn current(&self) -> Arc<Material> {
        self.current.load_full()
    }

    /// What issues certificates of roles, if this process has the built-in CA.
    pub(crate) fn issuer(&self) -> Option<RoleIssuer> {
        match &self.source {
            Source::BuiltIn(certificates) => certificates.role_issuer(),
            Source::Folder(_) => None,
        }
    }

    /// The folder whose certificate is renewed by this process itself.
    pub(crate) fn own_folder(&self) -> Option<&Path> {
        match &self.source {
            Source::Folder(folder) if folder.join(OWN[0]).exists() => Some(folder),
            _ => None,
        }
    }

    /// Files that are looked at for changes.
    pub(crate) fn watched(&self) -> Watched {
        match &self.source {
            Source::BuiltIn(_) => Watched::new([]),
            Source::Folder(folder) => {
                let names = OWN.into_iter().chain(GIVEN).chain([LISTS]);
                Watched::new(names.map(|name| folder.join(name)))
            }
        }
    }

    /// Takes up what lies in the folder now.
    ///
    /// # Errors
    /// As of [`Identity::of_folder`]; what was in force stays.
    pub(crate) fn take_up(&self, now: Timestamp) -> Result<(), Fault> {
        let Source::Folder(folder) = &self.source else {
            return Ok(());
        };
        let pem = pem_of(folder)?;
        self.replace(&pem, now)
            .map_err(|fault| of_folder(folder, &fault))
    }

    /// Takes up another certificate.
    ///
    /// # Errors
    /// It is not one of this role that holds now; what was in force stays.
    pub(crate) fn replace(&self, pem: &Pem, now: Timestamp) -> Result<(), Fault> {
        let material = Material::new(pem, self.role, &self.trust_domain, now)?;
        self.current.store(Arc::new(material));
        Ok(())
    }

    /// Makes another certificate by the built-in CA when half of the life of this one is over, or the CA is
    /// another one.
    ///
    /// # Errors
    /// None can be issued; what was in force stays.
    pub(crate) fn reissue(&self, now: Timestamp) -> Result<bool, Fault> {
        let Some(issuer) = self.issuer() else {
            return Ok(false);
        };
        let current = self.current();
        let roots = Hash::of(issuer.roots_pem().as_bytes());
        if !current.is_half_over(now) && current.roots_digest == roots {
            return Ok(false);
        }
        self.replace(&issuer.issue(self.role, LIFE_S, now)?, now)?;
        Ok(true)
    }
}

impl Material {
    fn new(pem: &Pem, role: Role, trust_domain: &str, now: Timestamp) -> Result<Self, Fault> {
        let wrong = |problem: &dyn fmt::Display| Fault::invalid(format!("{problem}"));
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(pem.chain.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|error| wrong(&error))?;
        let leaf = chain
            .first()
            .ok_or_else(|| wrong(&"there is no certificate"))?;
        check_leaf(leaf, role, trust_domain, now)?;
        let (not_before, not_after) = life(leaf)?;
        let key = PrivateKeyDer::from_pem_slice(pem.key.expose()).map_err(|error| wrong(&error))?;
        let provider = aws_lc_rs::default_provider();
        let leaf = CertifiedKey::from_der(chain, key, &provider).map_err(|error| wrong(&error))?;
        let leaf = Arc::new(SingleCertAndKey::from(leaf));
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(pem.roots.as_bytes()) {
            let root = root.map_err(|error| wrong(&error))?;
            roots.add(root).map_err(|error| wrong(&error))?;
        }
        if roots.is_empty() {
            return Err(wrong(&"there is no CA certificate"));
        }
        let roots = Arc::new(roots);
        let lists = pem.lists.as_deref().map(lists_of).transpose();
        let lists = lists.map_err(|problem| wrong(&format!("{LISTS} {problem}")))?;
        let lists = lists.unwrap_or_default();
        let callers = RoleVerifier::new(&roots, &lists, trust_domain, method::callers(role))?;
        let callers = Arc::new(callers);
        let server = server_config(&leaf, &callers)?;
        Ok(Self {
            leaf,
            roots,
            roots_digest: Hash::of(pem.roots.as_bytes()),
            lists,
            callers,
            server: Arc::new(server),
            not_before,
            not_after,
        })
    }

    /// How calls of others are taken.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// How `peer` is called.
    ///
    /// # Errors
    /// The provider lacks TLS 1.3.
    pub(crate) fn client(&self, peer: Role, trust_domain: &str) -> Result<ClientConfig, Fault> {
        let verifier = RoleVerifier::new(&self.roots, &self.lists, trust_domain, vec![peer])?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let mut config = builder
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(no_tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::clone(&self.leaf) as _);
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Each connection proves both sides anew.
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(config)
    }

    /// Looks a caller's chain, leaf first, that a handshake took, up in the lists. One of a CA that goes has its
    /// connection to the end, over which it is renewed.
    pub(crate) fn look_up(&self, chain: &[CertificateDer<'_>]) -> Result<(), &'static str> {
        let checked = chain
            .split_first()
            .map(|(leaf, rest)| self.callers.verify_client_cert(leaf, rest, UnixTime::now()));
        match checked {
            None | Some(Err(Error::InvalidCertificate(CertificateError::Revoked))) => {
                Err("certificate_revoked")
            }
            Some(_) => Ok(()),
        }
    }

    /// Digest of the CAs that others must come from.
    pub(crate) fn roots_digest(&self) -> Hash {
        self.roots_digest
    }

    /// When it ends.
    pub(crate) fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether it should be renewed.
    pub(crate) fn is_half_over(&self, now: Timestamp) -> bool {
        now.0 >= self.not_before.0.midpoint(self.not_after.0)
    }
}

fn server_config(
    leaf: &Arc<SingleCertAndKey>,
    callers: &Arc<RoleVerifier>,
) -> Result<ServerConfig, Fault> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let mut config = builder
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(no_tls)?
        .with_client_cert_verifier(Arc::clone(callers) as _)
        .with_cert_resolver(Arc::clone(leaf) as _);
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.max_early_data_size = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn no_tls(error: rustls::Error) -> Fault {
    Fault::internal(format!("TLS: {error}"))
}

/// Refuses a certificate that is not of this role, or does not hold now.
fn check_leaf(leaf: &[u8], role: Role, trust_domain: &str, now: Timestamp) -> Result<(), Fault> {
    let expected = role.uri(trust_domain);
    let certificate = PeerCertificate::read(leaf, None);
    let problem = match certificate.uri(now) {
        Ok(uri) if uri == expected => return Ok(()),
        Ok(uri) => format!("the certificate is of {uri}, not of {expected}"),
        Err(reason) => format!("the certificate is of no use: {reason}"),
    };
    Err(Fault::invalid(problem))
}

fn life(leaf: &[u8]) -> Result<(Timestamp, Timestamp), Fault> {
    let parsed = parse_x509_certificate(leaf);
    let (_, parsed) = parsed.map_err(|error| Fault::invalid(error.to_string()))?;
    let validity = parsed.validity();
    let time = |seconds: i64| Timestamp(seconds.saturating_mul(1000));
    Ok((
        time(validity.not_before.timestamp()),
        time(validity.not_after.timestamp()),
    ))
}

fn new_process() -> u128 {
    uuid::Uuid::new_v4().as_u128()
}

fn pem_of(folder: &Path) -> Result<Pem, Fault> {
    let is_own = folder.join(OWN[0]).exists();
    let names = if is_own { OWN } else { GIVEN };
    let [chain, key, roots] = names.map(|name| {
        let path = folder.join(name);
        std::fs::read_to_string(&path)
            .map_err(|error| Fault::unavailable(format!("{}: {error}", path.display())))
    });
    let missing = |fault| of_folder(folder, &fault);
    let lists = folder.join(LISTS);
    // The built-in CA, of the other form, publishes none.
    let has_lists = !is_own && lists.exists();
    let lists = has_lists.then(|| {
        text(&lists).map_err(|problem| {
            let fault = Fault::unavailable(format!("{}: {problem}", lists.display()));
            of_folder(folder, &fault)
        })
    });
    Ok(Pem {
        chain: chain.map_err(missing)?,
        key: Secret::new(key.map_err(missing)?),
        roots: roots.map_err(missing)?,
        lists: lists.transpose()?,
    })
}

fn of_folder(folder: &Path, fault: &Fault) -> Fault {
    let message = format!("identity in {}: {}", folder.display(), fault.message);
    Fault::new(FaultKind::Invalid, message).with_hint(
        "make one with `dataos certificate issue --role ROLE --out FOLDER` on the gateway's data directory",
    )
}

/// Writes an identity in the form that we renew.
///
/// # Errors
/// The folder cannot be made or written.
pub(crate) fn write(folder: &Path, pem: &Pem) -> Result<(), Fault> {
    let failed =
        |error: std::io::Error| Fault::unavailable(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let [own, _, roots] = OWN;
    // The CAs first: a certificate without them would be of no use.
    write_atomic(&folder.join(roots), pem.roots.as_bytes(), 0o644).map_err(failed)?;
    let both = [pem.chain.as_bytes(), pem.key.expose()].concat();
    write_atomic(&folder.join(own), &both, 0o600).map_err(failed)
}
