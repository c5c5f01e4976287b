//! Certificates that the built-in CA issues for the doors and for services.

use dataos_model::{clock::Timestamp, fault::Fault, hash::Hash};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, SanType};
use rustls::{crypto::aws_lc_rs, pki_types::PrivateKeyDer, sign::CertifiedKey};

use super::authority::{Authority, failed, named, validity};

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

impl Authority {
    /// A server certificate with a key of its own, which is in memory only.
    ///
    /// # Errors
    /// A CA that does not fit its key, or names that no certificate can have.
    pub(crate) fn issue_server(
        &self,
        names: &[String],
        days: i64,
        now: Timestamp,
    ) -> Result<CertifiedKey, Fault> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
        params.distinguished_name = named("DataOS");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = validity(now, time::Duration::days(days));
        let certificate = self.sign(params, &key)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        CertifiedKey::from_der(
            vec![certificate.der().clone()],
            key,
            &aws_lc_rs::default_provider(),
        )
        .map_err(|error| Fault::internal(format!("no certificate can be issued: {error}")))
    }

    /// A client certificate for one identity, with a key of its own.
    ///
    /// # Errors
    /// A CA that does not fit its key, or an identity that is no URI.
    pub(crate) fn issue_client(
        &self,
        name: &str,
        identity: String,
        life_s: i64,
        now: Timestamp,
    ) -> Result<IssuedCertificate, Fault> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.subject_alt_names =
            vec![SanType::URI(identity.as_str().try_into().map_err(failed)?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = validity(now, time::Duration::seconds(life_s));
        let certificate = self.sign(params, &key)?;
        Ok(IssuedCertificate {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            ca_pem: self.bundle(),
            identity,
            fingerprint: Hash::of(certificate.der()),
            expires_at: Timestamp(now.0 + life_s * 1000),
        })
    }
}
