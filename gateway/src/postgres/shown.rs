//! The certificate that a client was shown, to which it may bind its log-in.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use rustls::{
    pki_types::CertificateDer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::{oid_registry, prelude::FromDer};

/// Gives the handshake of one connection its certificate, and remembers which it was: another may be served
/// by the time of the log-in.
#[derive(Debug)]
pub(super) struct Shown {
    resolver: Arc<dyn ResolvesServerCert>,
    leaf: OnceLock<CertificateDer<'static>>,
}

impl Shown {
    pub(super) fn instead_of(resolver: &Arc<dyn ResolvesServerCert>) -> Self {
        Self {
            resolver: Arc::clone(resolver),
            leaf: OnceLock::new(),
        }
    }

    /// Its hash as `tls-server-end-point` has it (RFC 5929, section 4.1): by the hash function of its
    /// signature, or SHA-256 in the place of older ones. Not defined for signatures without one, as Ed25519.
    pub(super) fn end_point(&self) -> Option<Vec<u8>> {
        let leaf = self.leaf.get()?;
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(leaf).ok()?;
        let algorithm = hash_of(parsed.signature_algorithm.oid())?;
        Some(digest(algorithm, leaf).as_ref().to_vec())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = self.resolver.resolve(hello)?;
        if let Some(leaf) = key.cert.first() {
            // A handshake asks once.
            let _ = self.leaf.set(leaf.clone());
        }
        Some(key)
    }
}

fn hash_of(signature: &oid_registry::Oid<'_>) -> Option<&'static Algorithm> {
    use oid_registry::{
        OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA,
        OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
        OID_SIG_ECDSA_WITH_SHA512,
    };
    let of: [(&oid_registry::Oid<'_>, &Algorithm); 7] = [
        (&OID_PKCS1_SHA1WITHRSA, &SHA256),
        (&OID_PKCS1_SHA256WITHRSA, &SHA256),
        (&OID_SIG_ECDSA_WITH_SHA256, &SHA256),
        (&OID_PKCS1_SHA384WITHRSA, &SHA384),
        (&OID_SIG_ECDSA_WITH_SHA384, &SHA384),
        (&OID_PKCS1_SHA512WITHRSA, &SHA512),
        (&OID_SIG_ECDSA_WITH_SHA512, &SHA512),
    ];
    let found = of.into_iter().find(|(oid, _)| *oid == signature);
    found.map(|(_, algorithm)| algorithm)
}
