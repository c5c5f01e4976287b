//! One HTTP/2 connection to a process of another role, and a call on it.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use dataos_model::{clock::Timestamp, fault::Fault};
use http::{Request, Response, Uri, uri::PathAndQuery};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, task::AbortHandle};
use tokio_rustls::TlsConnector;
use tonic::{Code, Status, body::Body, client::GrpcService, metadata::MetadataValue};
use tonic_prost::ProstCodec;

use crate::{
    accept::prepared,
    authenticate::certificate::PeerCertificate,
    roles::{
        Role,
        identity::Material,
        method::Method,
        wire::{
            Answer, Arriving, CALL_BYTES_MAX, MESSAGE_BYTES_MAX, VERSION, VERSION_HEADER,
            messages::{Call, Piece},
        },
    },
};

/// Longest wait for a connection, its handshake included.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How often a silent connection is asked whether it lives, and how long it may take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Most bytes that wait for us in one answer, and in all of a connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Why a call has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody was reached, or who was there is not the role that was looked for.
    NotReached(String),
    /// The connection ended. Whether the call was begun is not known.
    Broken(String),
    /// The callee took no call; nothing was begun.
    Full(String),
    /// The callee refuses to be called so, and will again.
    Refused(String),
    /// The time was over.
    Late,
}

impl Failure {
    /// Whether the callee may have done something.
    pub(super) fn may_have_run(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Late)
    }

    /// What it says of itself.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::NotReached(why) | Self::Broken(why) | Self::Full(why) | Self::Refused(why) => why,
            Self::Late => "no answer in time",
        }
    }

    /// Whether another try may end otherwise, where there may be other endpoints: of another build, for one.
    pub(super) fn is_passing(&self, has_others: bool) -> bool {
        match self {
            Self::NotReached(_) | Self::Broken(_) | Self::Full(_) => true,
            Self::Refused(_) => has_others,
            Self::Late => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReached(why) => write!(f, "not reached: {why}"),
            Self::Broken(why) => write!(f, "the connection ended: {why}"),
            Self::Full(why) => write!(f, "full: {why}"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Late => f.write_str("no answer in time"),
        }
    }
}

/// An open connection.
pub(super) struct Connection {
    send: SendRequest<Body>,
    origin: Uri,
    /// What it was made with.
    material: Arc<Material>,
    /// The callee's certificate.
    certificate: PeerCertificate,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects, and proves both sides.
    pub(super) async fn open(
        address: &str,
        peer: Role,
        material: Arc<Material>,
        trust_domain: &str,
    ) -> Result<Self, Failure> {
        let opened = tokio::time::timeout(CONNECT_MAX, open(address, peer, material, trust_domain));
        let opened = opened.await;
        let opened = opened.unwrap_or_else(|_| Err("no connection in time".into()));
        opened.map_err(|error| Failure::NotReached(chain(error.as_ref())))
    }

    /// Whether it can be used for one more call.
    pub(super) fn is_usable(&self, current: &Arc<Material>, now: Timestamp) -> bool {
        !self.send.is_closed()
            && Arc::ptr_eq(&self.material, current)
            && self.certificate.uri(now).is_ok()
    }

    /// Calls a method. Dropping the future ends the call at the callee too.
    pub(super) async fn call(
        &self,
        method: Method,
        arguments: Bytes,
        time_left: Duration,
    ) -> Result<Result<Answer, Fault>, Failure> {
        let mut request = tonic::Request::new(Call { arguments });
        request.set_timeout(time_left);
        let version = MetadataValue::from_static(VERSION);
        request.metadata_mut().insert(VERSION_HEADER, version);
        let path = PathAndQuery::from_static(method.path());
        let codec = ProstCodec::<Call, Piece>::default();
        let sender = Sender(self.send.clone());
        let mut client = tonic::client::Grpc::with_origin(sender, self.origin.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(CALL_BYTES_MAX + MESSAGE_BYTES_MAX);
        let answered = async {
            let response = client.server_streaming(request, path, codec).await?;
            let mut pieces = response.into_inner();
            let mut arriving = Arriving::default();
            while let Some(piece) = pieces.message().await? {
                if let Err(fault) = arriving.take(piece) {
                    return Ok(Err(fault));
                }
            }
            Ok(arriving.whole())
        };
        match tokio::time::timeout(time_left, answered).await {
            Ok(answered) => answered.map_err(|status: Status| failure(&status)),
            Err(_) => Err(Failure::Late),
        }
    }
}

async fn open(
    address: &str,
    peer: Role,
    material: Arc<Material>,
    trust_domain: &str,
) -> Result<Connection, Box<dyn Error + Send + Sync>> {
    let config = material.client(peer, trust_domain)?;
    let stream = prepared(TcpStream::connect(address).await?);
    // Nobody looks at it: who answers is told by the role in its certificate.
    let name = ServerName::try_from(peer.name())?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    let leaf = stream.get_ref().1.peer_certificates();
    let leaf = leaf.and_then(<[_]>::first).ok_or("no certificate")?;
    let certificate = PeerCertificate::read(leaf, None);
    let (send, driver) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream))
        .await?;
    let driver = tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!(error = chain(&error), "a connection to a role ended");
        }
    });
    Ok(Connection {
        send,
        origin: Uri::builder()
            .scheme("https")
            .authority(address)
            .path_and_query("/")
            .build()?,
        material,
        certificate,
        driver: driver.abort_handle(),
    })
}

/// What a status means for the caller.
fn failure(status: &Status) -> Failure {
    let mut source = Error::source(status);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            // Canceled: the connection was gone before the call was written to it.
            return match error.is_canceled() {
                true => Failure::NotReached(chain(error)),
                false => Failure::Broken(chain(error)),
            };
        }
        source = error.source();
    }
    let why = status.message().to_owned();
    match status.code() {
        Code::ResourceExhausted => Failure::Full(why),
        Code::DeadlineExceeded => Failure::Late,
        Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::Unimplemented => Failure::Refused(why),
        _ => Failure::Broken(format!("{}: {why}", status.code())),
    }
}

/// An error with what is behind it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A connection as tonic uses it.
struct Sender(SendRequest<Body>);

impl GrpcService<Body> for Sender {
    type ResponseBody = Incoming;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
