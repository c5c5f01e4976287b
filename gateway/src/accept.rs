//! Connections: TCP, TLS 1.3, HTTP/1.1 or 2, each step with its own deadline and all with a cap.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    authenticate::certificate::PeerCertificate, config::Limits, limits::Peer, serve::Gateway,
};

/// Most header lines of one request.
const HEADERS_MAX: usize = 64;
/// Most bytes of a request head that are held.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Most calls at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// Most streams that a peer may reset before they are accepted (rapid reset).
const RESETS_MAX: usize = 32;
/// How often a silent HTTP/2 connection is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Pause after a failed accept, such as too many open files, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until told to stop, then lets open calls finish for a while.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    gateway: Arc<Gateway>,
    limits: Limits,
}

impl Acceptor {
    pub(crate) fn new(
        listener: TcpListener,
        tls: Arc<ServerConfig>,
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
        let graceful = GracefulShutdown::new();
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
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
            let open = self.limits.connections_max - permits.available_permits();
            self.gateway.figures.set_connections_open(open);
            let connection = Connection {
                gateway: Arc::clone(&self.gateway),
                acceptor: acceptor.clone(),
                limits: self.limits.clone(),
                watcher: graceful.watcher(),
                _permit: permit,
            };
            // Bounded by the permits.
            tokio::spawn(connection.run(stream, address));
        }
        drop(self.listener);
        let drained = tokio::time::timeout(self.limits.drain_timeout, graceful.shutdown()).await;
        if drained.is_err() {
            tracing::warn!("some calls did not finish in time and were cut off");
        }
    }
}

struct Connection {
    gateway: Arc<Gateway>,
    acceptor: TlsAcceptor,
    limits: Limits,
    watcher: hyper_util::server::graceful::Watcher,
    /// Given back when the connection ends.
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, stream: TcpStream, address: SocketAddr) {
        let handshake = self.acceptor.accept(prepared(stream));
        let stream = match tokio::time::timeout(self.limits.handshake_timeout, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                self.gateway.figures.note_handshake_failed();
                tracing::debug!(%address, %error, "handshake failed");
                if is_certificate_refused(&error) {
                    self.gateway.note_certificate_refused(address);
                }
                return;
            }
            Err(_) => {
                self.gateway.figures.note_handshake_failed();
                tracing::debug!(%address, "handshake timed out");
                return;
            }
        };
        let session = stream.get_ref().1;
        let leaf = session.peer_certificates().and_then(<[_]>::first);
        let peer = Peer {
            address,
            server_name: session.server_name().map(str::to_owned),
            certificate: leaf.map(|leaf| Arc::new(PeerCertificate::read(leaf))),
        };
        let gateway = Arc::clone(&self.gateway);
        let has_spoken = Arc::new(AtomicBool::new(false));
        let spoken = Arc::clone(&has_spoken);
        let service = service_fn(move |request: Request<Incoming>| {
            spoken.store(true, Ordering::Relaxed);
            let (gateway, peer) = (Arc::clone(&gateway), peer.clone());
            async move { Ok::<_, Infallible>(gateway.answer(request, peer).await) }
        });
        let builder = builder(&self.limits);
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        tokio::select! {
            ended = self.watcher.watch(connection) => if let Err(error) = ended {
                tracing::debug!(%address, %error, "connection ended early");
            },
            () = silence(self.limits.head_timeout, &has_spoken) => {
                tracing::debug!(%address, "no request after the handshake");
            }
        }
    }
}

/// Ends if no request came in time. The HTTP layer's own deadline starts with the first byte, so a
/// peer that is silent after the handshake would keep its place for ever.
async fn silence(wait: Duration, has_spoken: &AtomicBool) {
    tokio::time::sleep(wait).await;
    if has_spoken.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Whether a handshake failed by the certificate that the client sent.
fn is_certificate_refused(error: &io::Error) -> bool {
    let inner = error.get_ref();
    let error = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::InvalidCertificate(_)))
}

fn prepared(stream: TcpStream) -> TcpStream {
    // Small answers go out at once; without this they may wait for the peer's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    stream
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .keep_alive_interval(PING_EVERY);
    builder
}

/// Binds the address to listen on.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}
