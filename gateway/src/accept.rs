//! Connections: TCP, TLS 1.3, HTTP/1.1 or 2, each step with its own deadline and all with a cap.

mod ending;
mod guard;
mod peers;
mod wire;

use std::{convert::Infallible, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use http::{HeaderValue, Request, header::CONNECTION};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use crate::{
    authenticate::certificate::PeerCertificate,
    certificates::tls::{CheckedChain, Parts, Tls},
    config::Limits,
    limits::{
        Peer,
        wire::{HEAD_BYTES_MAX, HEADERS_MAX},
    },
    serve::Gateway,
};
use ending::{Ending, until_ended};
use guard::{Guarded, Tell};
pub(crate) use peers::{Peers, Place, peer_of};
use wire::Wire;

/// The name of HTTP/2 in the TLS handshake; whoever does not agree on it speaks HTTP/1.
const HTTP2: &[u8] = b"h2";
/// Most calls at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// Most streams that a peer may reset before they are accepted (rapid reset).
const RESETS_MAX: usize = 32;
/// How often a silent HTTP/2 connection is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Pause after a failed accept, such as too many open files, so that the loop does not spin.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until told to stop, then lets open calls finish for a while.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
    tls: Arc<Tls>,
    gateway: Arc<Gateway>,
    limits: Limits,
}

impl Acceptor {
    pub(crate) fn new(
        listener: TcpListener,
        tls: Arc<Tls>,
        gateway: Arc<Gateway>,
        limits: Limits,
    ) -> Self {
        Self {
            listener,
            tls,
            gateway,
            limits,
        }
    }

    /// Runs until `stop` turns true, then drains.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(self.limits.connections_max));
        let peers = Peers::default();
        // Nothing is sent: it is closed when the last connection is gone.
        let (alive, mut ended) = mpsc::channel::<Infallible>(1);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                self.gateway.figures.note_connection_refused();
                continue;
            };
            let most = self.limits.connections_per_peer_max;
            let Some(place) = peers.enter(address.ip(), most) else {
                self.gateway.figures.note_connection_refused();
                self.gateway.note_refused("connections_per_peer", address);
                continue;
            };
            let open = self.limits.connections_max - permits.available_permits();
            self.gateway.figures.set_connections_open(open);
            let connection = Connection {
                gateway: Arc::clone(&self.gateway),
                tls: Arc::clone(&self.tls),
                limits: self.limits.clone(),
                stop: stop.clone(),
                _alive: alive.clone(),
                _permit: permit,
                _place: place,
            };
            // Bounded by the permits.
            tokio::spawn(connection.run(stream, address));
        }
        drop((self.listener, alive));
        let drained = tokio::time::timeout(self.limits.drain_timeout, ended.recv()).await;
        if drained.is_err() {
            tracing::warn!("some calls did not finish in time and were cut off");
        }
    }
}

struct Connection {
    gateway: Arc<Gateway>,
    tls: Arc<Tls>,
    limits: Limits,
    stop: watch::Receiver<bool>,
    _alive: mpsc::Sender<Infallible>,
    /// Given back when the connection ends.
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

/// A connection whose handshake is done.
struct Open {
    stream: TlsStream<TcpStream>,
    is_http2: bool,
    peer: Peer,
    ending: Ending,
}

/// What drives a connection to its end. Each step is boxed, so that an idle connection holds no room for its
/// handshake, the other protocol, or a call.
type Driving = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

impl Connection {
    async fn run(self, stream: TcpStream, address: SocketAddr) {
        let Some(open) = Box::pin(self.open(stream, address)).await else {
            return;
        };
        if let Err(error) = self.serve(open).await {
            tracing::debug!(%address, %error, "connection ended early");
        }
    }

    /// Ends TLS.
    async fn open(&self, stream: TcpStream, address: SocketAddr) -> Option<Open> {
        // Before the handshake: a certificate that is served from here on is another one.
        let ending = Ending::new(&self.tls, self.stop.clone(), address, &self.limits);
        let parts = self.tls.parts();
        let handshake = handshake(prepared(stream), &parts);
        let stream = match tokio::time::timeout(self.limits.handshake_timeout, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                self.gateway.figures.note_handshake_failed();
                tracing::debug!(%address, %error, "handshake failed");
                if is_certificate_refused(&error) {
                    self.gateway.note_refused("certificate_refused", address);
                }
                return None;
            }
            Err(_) => {
                self.gateway.figures.note_handshake_failed();
                tracing::debug!(%address, "handshake timed out");
                return None;
            }
        };
        let session = stream.get_ref().1;
        let certificate = session.peer_certificates().and_then(|chain| {
            let checked = CheckedChain::new(chain, Arc::clone(&self.tls), parts);
            let leaf = chain.first()?;
            Some(Arc::new(PeerCertificate::read(leaf, Some(checked))))
        });
        let peer = Peer {
            server_name: session.server_name().map(str::to_owned),
            certificate,
            ..Peer::new(address)
        };
        Some(Open {
            is_http2: session.alpn_protocol() == Some(HTTP2),
            stream,
            peer,
            ending,
        })
    }

    /// Serves calls until either side ends the connection.
    fn serve(&self, open: Open) -> Driving {
        let Open {
            stream,
            is_http2,
            peer,
            ending,
        } = open;
        let address = peer.address;
        let wire = Arc::new(Wire::new(ending.is_last()));
        let gateway = Arc::clone(&self.gateway);
        let tell: Tell = Box::new(move |reason| gateway.note_refused(reason, address));
        let limits = self.limits.clone();
        let stream = Guarded::new(stream, is_http2, Arc::clone(&wire), limits, tell);
        let stream = TokioIo::new(stream);
        let gateway = Arc::clone(&self.gateway);
        let service = service_fn(move |request: Request<Incoming>| {
            let (gateway, peer) = (Arc::clone(&gateway), peer.clone());
            let (call, refusal) = wire.begin();
            let wire = Arc::clone(&wire);
            // So that the library keeps no room for a call on an idle connection.
            Box::pin(async move {
                let mut response = match refusal {
                    Some(refusal) => gateway.answer_malformed(&refusal, &peer),
                    None => gateway.answer(request, peer).await,
                };
                if !is_http2 && wire.is_last() {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, Infallible>(response.map(|body| call.answered(body)))
            })
        });
        if is_http2 {
            let connection = Box::pin(http2().serve_connection(stream, service));
            let ends = ending.of_http2();
            Box::pin(until_ended(connection, ends, |it| it.graceful_shutdown()))
        } else {
            let connection = Box::pin(http1().serve_connection(stream, service));
            let ends = ending.of_http1();
            Box::pin(until_ended(connection, ends, |it| it.graceful_shutdown()))
        }
    }
}

/// Ends TLS, by what the server name that the client asks for says.
async fn handshake(stream: TcpStream, parts: &Parts) -> io::Result<TlsStream<TcpStream>> {
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let config = parts.config(start.client_hello().server_name());
    start.into_stream(config).await
}

/// Whether a handshake failed by the certificate that the client sent.
fn is_certificate_refused(error: &io::Error) -> bool {
    let inner = error.get_ref();
    let error = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::InvalidCertificate(_)))
}

/// Sets the options that every connection has.
pub(crate) fn prepared(stream: TcpStream) -> TcpStream {
    // Small answers go out at once; without this they may wait for the peer's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    stream
}

/// Times are kept, and heads bounded, by the [`Guarded`] stream.
fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        // The library holds no more than the longest head and one read of the guard's.
        .max_buf_size(2 * HEAD_BYTES_MAX);
    builder
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        // Twice what a head may hold, so that one above it gets an answer and a record.
        .max_header_list_size(2 * HEAD_BYTES_MAX as u32)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .keep_alive_interval(PING_EVERY);
    builder
}

#[cfg(test)]
mod tests;
