//! Whether the other end of a handshake is a role that may be there: a chain to one of our CAs, valid now, with
//! one URI that names such a role.

use std::sync::Arc;

use dataos_model::{clock::Timestamp, fault::Fault};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime},
    server::{
        ParsedCertificate, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use crate::{authenticate::certificate::PeerCertificate, certificates::tls::by_lists, roles::Role};

/// Takes these roles and nobody else, as client and as server.
#[derive(Debug)]
pub(super) struct RoleVerifier {
    roots: Arc<RootCertStore>,
    trust_domain: String,
    roles: Vec<Role>,
    /// Checks the chains of clients, and of servers too where there are lists: roles are both.
    clients: Arc<dyn ClientCertVerifier>,
    has_lists: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl RoleVerifier {
    /// # Errors
    /// Roots of which none can be used, or a list that is none.
    pub(super) fn new(
        roots: &Arc<RootCertStore>,
        lists: &[CertificateRevocationListDer<'static>],
        trust_domain: &str,
        roles: Vec<Role>,
    ) -> Result<Self, Fault> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider);
        let clients = by_lists(clients, lists)
            .build()
            .map_err(|error| Fault::invalid(format!("CAs of roles: {error}")))?;
        Ok(Self {
            roots: Arc::clone(roots),
            has_lists: !lists.is_empty(),
            trust_domain: trust_domain.to_owned(),
            roles,
            clients,
            algorithms,
        })
    }

    fn check_role(&self, leaf: &[u8], now: UnixTime) -> Result<(), Error> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let certificate = PeerCertificate::read(leaf, None);
        let role = certificate
            .uri(Timestamp(now.saturating_mul(1000)))
            .ok()
            .and_then(|uri| Role::of_uri(uri, &self.trust_domain));
        match role {
            Some(role) if self.roles.contains(&role) => Ok(()),
            _ => Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
        }
    }
}

impl ClientCertVerifier for RoleVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.clients.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .clients
            .verify_client_cert(end_entity, intermediates, now)?;
        self.check_role(end_entity, now)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for RoleVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        if self.has_lists {
            self.clients
                .verify_client_cert(end_entity, intermediates, now)?;
        }
        self.check_role(end_entity, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn too_old() -> Error {
    Error::General("roles speak TLS 1.3 alone".to_owned())
}
