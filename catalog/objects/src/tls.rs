//! How servers of depots are verified: by public authorities, as for every database, and by the depot's own.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Why the authorities of a depot cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAuthorities(String);

impl fmt::Display for NoAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoAuthorities {}

/// TLS towards a server whose certificate must be for its host name; `authorities` (PEM) are believed besides the
/// public ones.
///
/// # Errors
/// The text holds no certificate, or one that is none.
pub fn verified(authorities: Option<&str>) -> Result<ClientConfig, NoAuthorities> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(pem) = authorities {
        let public = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| NoAuthorities(error.to_string()))?;
            let added = roots.add(certificate);
            added.map_err(|error| NoAuthorities(error.to_string()))?;
        }
        if roots.len() == public {
            return Err(NoAuthorities("no PEM certificate is in them".to_owned()));
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| NoAuthorities(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_must_be_certificates() {
        assert!(verified(None).is_ok());
        for text in [
            "",
            "none",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(verified(Some(text)).is_err(), "{text:?}");
        }
    }
}
