//! Certificates of roles by the built-in CA: X.509-SVIDs that both ends of a connection between roles show.

use std::{path::Path, sync::Arc};

use dataos_model::{clock::Timestamp, fault::Fault, secret::Secret};
use rcgen::{
    Certificate, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose,
    KeyPair, PublicKeyData, SanType,
};
use rustls::pki_types::CertificateSigningRequestDer;

use super::{
    Certificates,
    authority::{Authority, failed, named, validity},
};
use crate::{
    roles::{
        Role,
        identity::{Pem, Renewed},
    },
    secrets::SealedSecrets,
};

/// Life of a certificate; it is renewed at half of it.
pub(crate) const LIFE_S: i64 = 24 * 3600;

/// Issues certificates of roles.
#[derive(Debug)]
pub(crate) struct RoleIssuer {
    authority: Arc<Authority>,
    trust_domain: String,
}

impl Certificates {
    /// What issues certificates of roles, if the CA is the built-in one.
    pub(crate) fn role_issuer(&self) -> Option<RoleIssuer> {
        let built_in = self.source.built_in().ok()?;
        Some(RoleIssuer {
            authority: Arc::clone(&built_in.authority),
            trust_domain: self.clients.trust_domain.clone(),
        })
    }
}

impl RoleIssuer {
    /// Of the built-in CA in a data directory, whether or not a gateway runs on it; makes none.
    ///
    /// # Errors
    /// There is no data directory with a CA there.
    pub(crate) async fn of_directory(folder: &Path, trust_domain: &str) -> Result<Self, Fault> {
        let none = || {
            Fault::not_found(format!("{} holds no built-in CA", folder.display())).with_hint(
                "name the data directory of the gateway with --data-dir; its first start makes the CA",
            )
        };
        if !folder.join("secrets.sealed").exists() {
            return Err(none());
        }
        let secrets = Arc::new(SealedSecrets::open(folder)?);
        let authority = Authority::there(folder, secrets).await?;
        Ok(Self {
            authority: Arc::new(authority.ok_or_else(none)?),
            trust_domain: trust_domain.to_owned(),
        })
    }

    /// PEM of all CAs that roles trust.
    pub(crate) fn roots_pem(&self) -> String {
        self.authority.bundle()
    }

    /// A certificate with a key of its own.
    ///
    /// # Errors
    /// A CA that does not fit its key.
    pub(crate) fn issue(&self, role: Role, life_s: i64, now: Timestamp) -> Result<Pem, Fault> {
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = self.signed(role, &key, life_s, now)?;
        Ok(Pem {
            chain: certificate.pem(),
            key: Secret::new(key.serialize_pem()),
            roots: self.roots_pem(),
            lists: None,
        })
    }

    /// A new certificate over the key of a signing request. Nothing else of the request counts: the role is
    /// the one that the caller proved.
    ///
    /// # Errors
    /// A request that is malformed or not signed by its key.
    pub(crate) fn renew(
        &self,
        role: Role,
        request: &[u8],
        now: Timestamp,
    ) -> Result<Renewed, Fault> {
        let request = CertificateSigningRequestDer::from(request);
        let request = CertificateSigningRequestParams::from_der(&request)
            .map_err(|error| Fault::invalid(format!("not a signing request: {error}")))?;
        let certificate = self.signed(role, &request.public_key, LIFE_S, now)?;
        Ok(Renewed {
            chain: certificate.pem(),
            roots: self.roots_pem(),
        })
    }

    fn signed(
        &self,
        role: Role,
        key: &impl PublicKeyData,
        life_s: i64,
        now: Timestamp,
    ) -> Result<Certificate, Fault> {
        let uri = role.uri(&self.trust_domain);
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&format!("DataOS {role}"));
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().map_err(failed)?)];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        (params.not_before, params.not_after) = validity(now, time::Duration::seconds(life_s));
        self.authority.sign(params, key)
    }
}
