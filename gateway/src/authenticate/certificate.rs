//! Client certificates as credentials. The handshake has checked the chain; here is who it names.
//!
//! An identity is one URI `spiffe://TRUST_DOMAIN/service/NAME`, as workload identities are written.
//! Common names and DNS names say nothing about who calls.

use std::sync::Arc;

use dataos_model::{
    clock::Timestamp,
    entity::EntityType,
    hash::Hash,
    principal::{Authentication, Principal},
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate};

use crate::{accounts::is_platform_name, certificates::tls::CheckedChain};

/// Longest name of a service.
pub(crate) const NAME_BYTES_MAX: usize = 63;

/// The certificate that a peer proved to hold, read once for each connection.
#[derive(Debug)]
pub(crate) struct PeerCertificate {
    /// The one URI that it names, or why there is not one.
    uri: Result<String, &'static str>,
    not_before: Timestamp,
    not_after: Timestamp,
    digest: Hash,
    chain: Option<CheckedChain>,
}

impl PeerCertificate {
    /// Reads the leaf of a chain that a handshake took; without the chain nothing checks that again.
    pub(crate) fn read(leaf: &[u8], chain: Option<CheckedChain>) -> Self {
        let parsed = parse_x509_certificate(leaf).ok();
        let parsed = parsed.map(|(_, certificate)| certificate);
        let validity = parsed.as_ref().map(|certificate| certificate.validity());
        let time = |seconds: i64| Timestamp(seconds.saturating_mul(1000));
        Self {
            uri: parsed
                .as_ref()
                .ok_or("certificate_malformed")
                .and_then(uri_of),
            not_before: time(validity.map_or(i64::MAX, |v| v.not_before.timestamp())),
            not_after: time(validity.map_or(0, |v| v.not_after.timestamp())),
            digest: Hash::of(leaf),
            chain,
        }
    }

    /// The service that it stands for. Its life, and whether its chain would still be taken, are looked at
    /// again on every call: a connection, and a resumed session more so, can outlive both.
    pub(crate) fn principal(
        &self,
        trust_domain: &str,
        now: Timestamp,
    ) -> Result<Arc<Principal>, &'static str> {
        let name = self
            .uri(now)?
            .strip_prefix(&identity(trust_domain, ""))
            .filter(|name| is_service_name(name))
            .ok_or("certificate_identity")?;
        let mut principal =
            Principal::new(EntityType::SERVICE.id(name), Authentication::Certificate);
        // Not `local`: there is no account, and a user of the same name is somebody else.
        principal.issuer = format!("spiffe://{trust_domain}");
        principal.credential_id = Some(self.digest.to_string());
        Ok(Arc::new(principal))
    }

    /// The one URI that it names, while it lives.
    pub(crate) fn uri(&self, now: Timestamp) -> Result<&str, &'static str> {
        let uri = self.uri.as_deref().map_err(|reason| *reason)?;
        self.check_life(now)?;
        Ok(uri)
    }

    /// Its digest as bound tokens name it (RFC 8705 3.1), while it lives. Whom it names does not matter.
    pub(crate) fn proved(&self, now: Timestamp) -> Option<Hash> {
        self.check_life(now).ok().map(|()| self.digest)
    }

    fn check_life(&self, now: Timestamp) -> Result<(), &'static str> {
        if now.0 < self.not_before.0 {
            return Err("certificate_not_yet_valid");
        }
        if now.0 >= self.not_after.0 {
            return Err("certificate_expired");
        }
        self.chain.as_ref().map_or(Ok(()), CheckedChain::check)
    }
}

/// The URI of a service.
pub(crate) fn identity(trust_domain: &str, service: &str) -> String {
    format!("spiffe://{trust_domain}/service/{service}")
}

/// Whether a service other than the platform itself can have this name.
pub(crate) fn is_service_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && name.len() <= NAME_BYTES_MAX
        && !is_platform_name(name)
}

/// The one URI among the names; two would leave open which one counts.
fn uri_of(certificate: &X509Certificate<'_>) -> Result<String, &'static str> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| "certificate_malformed")?;
    let names = names.map_or(&[][..], |extension| &extension.value.general_names);
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Ok(uri.to_owned()),
        _ => Err("certificate_identity"),
    }
}

#[cfg(test)]
mod tests {
    use dataos_model::clock::Timestamp;
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::PeerCertificate;

    fn certificate(uris: &[&str]) -> PeerCertificate {
        let mut params = CertificateParams::new(vec!["example.org".to_owned()]).unwrap();
        let uris = uris.iter().map(|uri| (*uri).try_into().unwrap());
        params.subject_alt_names.extend(uris.map(SanType::URI));
        params.not_before = time::OffsetDateTime::from_unix_timestamp(1_000).unwrap();
        params.not_after = time::OffsetDateTime::from_unix_timestamp(2_000).unwrap();
        let key = KeyPair::generate().unwrap();
        PeerCertificate::read(params.self_signed(&key).unwrap().der(), None)
    }

    #[test]
    fn one_uri_of_the_trust_domain_is_an_identity_and_nothing_else() {
        let named = |uris: &[&str]| {
            certificate(uris)
                .principal("dataos", Timestamp(1_500_000))
                .map(|principal| principal.uid.to_string())
        };
        assert_eq!(
            named(&["spiffe://dataos/service/shop-1"]).as_deref(),
            Ok("DataOS::Service::\"shop-1\"")
        );
        for wrong in [
            &[][..],
            &[
                "spiffe://dataos/service/shop",
                "spiffe://dataos/service/pay",
            ],
            &["spiffe://other/service/shop"],
            &["spiffe://dataos/user/admin"],
            &["spiffe://dataos/service/"],
            &["spiffe://dataos/service/a/b"],
            &["spiffe://dataos/service/a%2Fb"],
            &["spiffe://dataos/service/dataos"],
            &["https://dataos/service/shop"],
        ] {
            assert_eq!(named(wrong), Err("certificate_identity"), "{wrong:?}");
        }
        let garbage = PeerCertificate::read(b"no certificate", None);
        assert!(garbage.principal("dataos", Timestamp(1_500_000)).is_err());
    }

    #[test]
    fn its_life_counts_on_every_call() {
        let certificate = certificate(&["spiffe://dataos/service/shop"]);
        for (seconds, expected) in [
            (999, Some("certificate_not_yet_valid")),
            (1_000, None),
            (1_999, None),
            (2_000, Some("certificate_expired")),
        ] {
            let now = Timestamp(seconds * 1000);
            assert_eq!(certificate.principal("dataos", now).err(), expected);
        }
    }
}
