//! tonic's client over a connection of our own, and certificates, good and bad.

use std::{future::Future, pin::Pin, sync::Arc, task};

use dataos_pdp::decisions::wire::{
    DecideAllRequest, DecideAllResponse, DecideRequest, DecideResponse,
};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer as Signer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tonic::{
    Request, Status,
    body::Body,
    client::{Grpc, GrpcService},
    metadata::MetadataMap,
};
use tonic_prost::ProstCodec;

/// A certificate with its key, as PEM.
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Identity {
    pub(super) fn self_signed(uris: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params(uris, -1, 1).self_signed(&key).unwrap();
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A CA.
pub(super) struct Issuer {
    signer: Signer<'static, KeyPair>,
    pem: String,
}

fn params(uris: &[&str], from_days: i64, to_days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    let uris = uris.iter().map(|uri| (*uri).try_into().unwrap());
    params.subject_alt_names = uris.map(SanType::URI).collect();
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now + time::Duration::days(from_days);
    params.not_after = now + time::Duration::days(to_days);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

impl Issuer {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(&[], -10, 10);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.extended_key_usages = Vec::new();
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            signer: Signer::new(params, key),
            pem,
        }
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// A client certificate with a life in days from now.
    pub(super) fn client(&self, uris: &[&str], from_days: i64, to_days: i64) -> Identity {
        self.sign(&params(uris, from_days, to_days))
    }

    /// A certificate that is not for clients.
    pub(super) fn server(&self, uris: &[&str]) -> Identity {
        let mut params = params(uris, -1, 1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.signer).unwrap();
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

struct Transport(SendRequest<Body>);

type Answered<T> = Pin<Box<dyn Future<Output = Result<T, hyper::Error>> + Send>>;

impl GrpcService<Body> for Transport {
    type ResponseBody = Incoming;
    type Error = hyper::Error;
    type Future = Answered<http::Response<Incoming>>;

    fn poll_ready(
        &mut self,
        context: &mut task::Context<'_>,
    ) -> task::Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// A client on one connection.
pub(super) struct Client {
    grpc: Grpc<Transport>,
    /// A credential beside the certificate.
    pub(super) bearer: Option<String>,
    /// `grpc-timeout`.
    pub(super) timeout: Option<&'static str>,
}

impl Client {
    pub(super) async fn connect(
        url: &str,
        ca: &str,
        identity: Option<&Identity>,
    ) -> Result<Self, String> {
        let tls = config(ca, identity);
        let address = url.strip_prefix("https://").unwrap();
        let port = address.rsplit(':').next().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
        let stream = connector.connect(name, stream).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .map_err(|error| error.to_string())?;
        // It ends with the connection.
        tokio::spawn(connection);
        let origin = format!("https://localhost:{port}").parse().unwrap();
        Ok(Self {
            grpc: Grpc::with_origin(Transport(sender), origin),
            bearer: None,
            timeout: None,
        })
    }

    pub(super) async fn decide(
        &mut self,
        request: DecideRequest,
    ) -> Result<(DecideResponse, MetadataMap), Status> {
        self.unary(request, "Decide").await
    }

    pub(super) async fn decide_all(
        &mut self,
        request: DecideAllRequest,
    ) -> Result<(DecideAllResponse, MetadataMap), Status> {
        self.unary(request, "DecideAll").await
    }

    pub(super) async fn unknown_method(
        &mut self,
        request: DecideRequest,
    ) -> Result<(DecideResponse, MetadataMap), Status> {
        self.unary(request, "Guess").await
    }

    async fn unary<Q, A>(&mut self, message: Q, method: &str) -> Result<(A, MetadataMap), Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let ready = self.grpc.ready().await;
        ready.map_err(|error| Status::unknown(error.to_string()))?;
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        if let Some(bearer) = &self.bearer {
            metadata.insert("authorization", bearer.parse().unwrap());
        }
        if let Some(timeout) = self.timeout {
            metadata.insert("grpc-timeout", timeout.parse().unwrap());
        }
        let path = format!("/dataos.heimdall.v1.Decisions/{method}");
        let codec = ProstCodec::<Q, A>::default();
        let answer = self
            .grpc
            .unary(request, path.parse().unwrap(), codec)
            .await?;
        let (metadata, message, _) = answer.into_parts();
        Ok((message, metadata))
    }
}

fn config(ca: &str, identity: Option<&Identity>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder
                .with_client_auth_cert(chain.collect::<Result<_, _>>().unwrap(), key)
                .unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}
