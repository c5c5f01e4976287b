//! Certificates of roles by the built-in CA: X.509-SVIDs that both ends of a connection between roles show.

use std::path::Path;

use dataos_model::{
    clock::Timestamp,
    fault::{Fault, FaultKind},
    seams::Secrets,
    secret::{Secret, SecretName},
};
use rcgen::{
    Certificate, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::CertificateSigningRequestDer;

use super::{CA_CERTIFICATE, Certificates, named, open_ca, validity};
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
    ca_pem: String,
    ca_key: Secret,
    /// PEM of all CAs that roles trust.
    roots_pem: String,
    trust_domain: String,
}

impl Certificates {
    /// What issues certificates of roles now, if the CA is the built-in one.
    pub(crate) fn role_issuer(&self) -> Option<RoleIssuer> {
        self.renewal.as_ref().map(|renewal| RoleIssuer {
            ca_pem: renewal.ca_pem.clone(),
            ca_key: renewal.ca_key.clone(),
            roots_pem: self.ca_pem.clone(),
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
        let secrets = SealedSecrets::open(folder)?;
        let certificate = secrets.get(&SecretName(CA_CERTIFICATE.to_owned())).await;
        if certificate.is_err_and(|fault| fault.kind == FaultKind::NotFound) {
            return Err(none());
        }
        let (ca_pem, ca_key) = open_ca(&secrets, Timestamp(0)).await?;
        Ok(Self {
            roots_pem: ca_pem.clone(),
            ca_pem,
            ca_key,
            trust_domain: trust_domain.to_owned(),
        })
    }

    /// PEM of all CAs that roles trust.
    pub(crate) fn roots_pem(&self) -> &str {
        &self.roots_pem
    }

    /// A certificate with a key of its own.
    ///
    /// # Errors
    /// A CA that does not fit its key.
    pub(crate) fn issue(&self, role: Role, life_s: i64, now: Timestamp) -> Result<Pem, Fault> {
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = self.signed(role, &key, life_s, now).map_err(failed)?;
        Ok(Pem {
            chain: certificate.pem(),
            key: Secret::new(key.serialize_pem()),
            roots: self.roots_pem.clone(),
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
        let certificate = self.signed(role, &request.public_key, LIFE_S, now);
        Ok(Renewed {
            chain: certificate.map_err(failed)?.pem(),
            roots: self.roots_pem.clone(),
        })
    }

    fn signed(
        &self,
        role: Role,
        key: &impl PublicKeyData,
        life_s: i64,
        now: Timestamp,
    ) -> Result<Certificate, rcgen::Error> {
        let ca_key = KeyPair::try_from(self.ca_key.expose())?;
        let issuer = Issuer::from_ca_cert_pem(&self.ca_pem, ca_key)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&format!("DataOS {role}"));
        params.subject_alt_names = vec![SanType::URI(
            role.uri(&self.trust_domain).as_str().try_into()?,
        )];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let (not_before, start) = validity(now, 0);
        params.not_before = not_before;
        params.not_after = start + time::Duration::seconds(life_s);
        params.signed_by(key, &issuer)
    }
}

fn failed(error: rcgen::Error) -> Fault {
    Fault::internal(format!("no certificate can be issued: {error}"))
}
