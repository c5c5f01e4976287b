//! A call of a door for roles by hand, with any certificate or none.

use std::sync::Arc;

use dataos_gateway::roles::BUILD;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::net::{TcpListener, TcpStream};

/// What became of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There was no connection to speak on.
    NoConnection,
    /// Refused with this status of gRPC.
    Status(u16),
    /// Let through.
    Admitted,
}

/// Calls `Service/Method` with a chain and key in one PEM text.
pub(super) async fn call(port: u16, identity: Option<&str>, method: &str) -> Outcome {
    call_as(port, identity, method, Some(BUILD)).await
}

/// The same as a process of another build.
pub(super) async fn call_as(
    port: u16,
    identity: Option<&str>,
    method: &str,
    build: Option<&str>,
) -> Outcome {
    match attempt(port, identity, method, build).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::NoConnection,
    }
}

async fn attempt(
    port: u16,
    identity: Option<&str>,
    method: &str,
    build: Option<&str>,
) -> Result<Outcome, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config(identity)));
    let stream = connector
        .connect(ServerName::try_from("any")?, stream)
        .await?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    // It ends with the connection.
    tokio::spawn(connection);
    sender.ready().await?;
    let mut request = http::Request::post(format!("https://any/dataos.role.v1.{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(build) = build {
        request = request.header("dataos-wire", build);
    }
    // One message without fields.
    let response = sender
        .send_request(request.body("\0\0\0\0\0".to_owned())?)
        .await?;
    Ok(match response.headers().get("grpc-status") {
        None => Outcome::Admitted,
        Some(status) => Outcome::Status(status.to_str()?.parse()?),
    })
}

fn config(identity: Option<&str>) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let (chain, key) = read(pem);
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

fn read(pem: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    (chain.map(Result::unwrap).collect(), key)
}

/// A server with a certificate of its choice, which says nothing.
pub(super) struct Impostor {
    listener: TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
}

impl Impostor {
    pub(super) async fn open(port: u16, identity: &str) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (chain, key) = read(identity);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            listener: TcpListener::bind(("127.0.0.1", port)).await.unwrap(),
            acceptor: Arc::new(config).into(),
        }
    }

    /// Whether the next client takes its certificate.
    pub(super) async fn is_trusted(&mut self) -> bool {
        let (stream, _) = self.listener.accept().await.unwrap();
        self.acceptor.accept(stream).await.is_ok()
    }
}

/// Takes every server: who is asked here is not the question.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
