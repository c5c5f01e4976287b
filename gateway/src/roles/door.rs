//! The door between roles: TLS 1.3 in which the caller proves a role, HTTP/2, gRPC, and nothing else.
//!
//! A call is answered only if the caller's role has a row for it in [`method`](super::method), its certificate
//! holds now, and it is of the same build. What is refused here was not begun.

use std::{
    convert::Infallible, fmt, io, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc,
    time::Duration,
};

use dataos_model::{clock::Clock, fault::Fault};
use futures::{FutureExt, stream};
use http::{Request, Response, request::Parts};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tonic::{Status, body::Body, server::ServerStreamingService};
use tonic_prost::ProstCodec;

use super::{
    Role, deadline,
    identity::{Identity, Material},
    method::Method,
    served::Served,
    wire::{
        self, CALL_BYTES_MAX, MESSAGE_BYTES_MAX, VERSION, VERSION_HEADER,
        messages::{Call, Piece},
    },
};
use crate::{
    accept::{ACCEPT_PAUSE, prepared},
    authenticate::certificate::PeerCertificate,
    certificates::tls::Proved,
    rpc,
};

/// Most connections at once: each process of a role has one.
const CONNECTIONS_MAX: usize = 256;
/// Most calls at once, of all connections together.
const CALLS_MAX: usize = 2048;
/// Most calls at once on one connection.
const STREAMS_MAX: u32 = 1024;
/// Most streams that a peer may reset before they are accepted (rapid reset).
const RESETS_MAX: usize = 128;
/// Longest handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// How often a silent connection is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Most bytes of headers.
const HEADERS_BYTES_MAX: u32 = 16 << 10;
/// Most bytes of an answer that wait to be sent.
const SEND_BYTES_MAX: usize = 1 << 20;
/// Most bytes of arguments that wait for us in one call, and in all of a connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Told of each refusal: a reason code, and whom.
pub(crate) type Tell = Box<dyn Fn(&'static str, SocketAddr) + Send + Sync>;

/// Answers calls of other roles.
pub(crate) struct Door {
    listener: TcpListener,
    shared: Arc<Shared>,
    drain_max: Duration,
}

struct Shared {
    identity: Arc<Identity>,
    served: Arc<Served>,
    clock: Arc<dyn Clock>,
    calls: Arc<Semaphore>,
    tell: Tell,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

/// Who calls.
#[derive(Clone)]
struct Caller {
    address: SocketAddr,
    certificate: Arc<PeerCertificate>,
    proved: Arc<Proved<Material>>,
}

impl Door {
    pub(crate) fn new(
        listener: TcpListener,
        identity: Arc<Identity>,
        served: Arc<Served>,
        clock: Arc<dyn Clock>,
        tell: Tell,
        drain_max: Duration,
    ) -> Self {
        Self {
            listener,
            shared: Arc::new(Shared {
                identity,
                served,
                clock,
                calls: Arc::new(Semaphore::new(CALLS_MAX)),
                tell,
            }),
            drain_max,
        }
    }

    /// Runs until `stop` turns true, then lets open calls finish for a while.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let graceful = GracefulShutdown::new();
        let mut open = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection of a role could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                (self.shared.tell)("role_connections", address);
                continue;
            };
            let shared = Arc::clone(&self.shared);
            // Bounded by the permits.
            open.spawn(shared.connection(stream, address, graceful.watcher(), permit));
            while open.try_join_next().is_some() {}
        }
        drop(self.listener);
        let drained = tokio::time::timeout(self.drain_max, graceful.shutdown()).await;
        if drained.is_err() {
            tracing::warn!("some calls of roles did not finish in time and were cut off");
        }
        open.shutdown().await;
    }
}

impl Shared {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        watcher: Watcher,
        _permit: OwnedSemaphorePermit,
    ) {
        let material = self.identity.current();
        let acceptor = TlsAcceptor::from(material.server());
        let handshake = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(prepared(stream)));
        let stream = match handshake.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.refused_handshake(&error, address),
            Err(_) => return,
        };
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        // The handshake demands one.
        let Some(leaf) = chain.first() else { return };
        let caller = Caller {
            address,
            certificate: Arc::new(PeerCertificate::read(leaf, None)),
            proved: Arc::new(Proved::new(chain, material)),
        };
        let service = service_fn(move |request: Request<Incoming>| {
            let (shared, caller) = (Arc::clone(&self), caller.clone());
            async move { Ok::<_, Infallible>(shared.answer(request, &caller).await) }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_pending_accept_reset_streams(RESETS_MAX)
            .max_header_list_size(HEADERS_BYTES_MAX)
            .max_send_buf_size(SEND_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%address, %error, "a connection of a role ended early");
        }
    }

    fn refused_handshake(&self, error: &io::Error, address: SocketAddr) {
        tracing::warn!(%address, %error, "a handshake of a role failed");
        let inner = error.get_ref();
        let error = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let is_certificate = matches!(
            error,
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)
        );
        if is_certificate {
            (self.tell)("role_certificate_refused", address);
        }
    }

    /// Answers one call, or says why not. Dropped when the caller goes away.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        caller: &Caller,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let (role, method, time_max) = match self.admitted(&parts, caller) {
            Ok(admitted) => admitted,
            Err(status) => return status.into_http(),
        };
        let Ok(place) = Arc::clone(&self.calls).try_acquire_owned() else {
            return Status::resource_exhausted(format!("{CALLS_MAX} calls are under way"))
                .into_http();
        };
        let handler = Handler {
            shared: self,
            role,
            method,
            time_max,
            place: Some(place),
        };
        let codec = ProstCodec::<Piece, Call>::default();
        tonic::server::Grpc::new(codec)
            .max_decoding_message_size(CALL_BYTES_MAX + MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
            .server_streaming(handler, Request::from_parts(parts, body))
            .await
    }

    /// The caller's role, what it calls, and how long it waits.
    fn admitted(&self, parts: &Parts, caller: &Caller) -> Result<(Role, Method, Duration), Status> {
        let refused = |reason: &'static str, status: Status| {
            tracing::warn!(address = %caller.address, path = parts.uri.path(), reason, "a call of a role is refused");
            (self.tell)(reason, caller.address);
            status
        };
        // A connection can outlive the certificate that it was made with, and a list can name it later.
        let uri = caller.certificate.uri(self.clock.now());
        let current = self.identity.current();
        let uri = uri.and_then(|uri| {
            let listed = caller.proved.check(&current, Material::look_up);
            listed.map(|()| uri)
        });
        let uri = uri.map_err(|reason| refused(reason, Status::unauthenticated(reason)))?;
        let role = Role::of_uri(uri, self.identity.trust_domain());
        let role =
            role.ok_or_else(|| refused("role_unknown", Status::unauthenticated("no role")))?;
        let method = Method::of_path(parts.uri.path())
            .ok_or_else(|| refused("role_call_unknown", Status::unimplemented("no such call")))?;
        let own = self.identity.role();
        if !method.allows(role, own) {
            let message = format!(
                "the role `{role}` may not call {} of `{own}`",
                method.path()
            );
            return Err(refused(
                "role_call_denied",
                Status::permission_denied(message),
            ));
        }
        let version = parts.headers.get(VERSION_HEADER);
        if version.is_none_or(|version| version != VERSION) {
            let theirs = version.and_then(|version| version.to_str().ok());
            let message = format!(
                "`{own}` is of build {VERSION}, `{role}` of build {}; run one build of dataos in all roles",
                theirs.unwrap_or("none")
            );
            return Err(refused("role_build", Status::failed_precondition(message)));
        }
        let given =
            rpc::deadline(parts).map_err(|refusal| Status::invalid_argument(refusal.detail))?;
        let time_max = given.map_or(method.time_max(), |given| given.min(method.time_max()));
        Ok((role, method, time_max))
    }
}

/// One call that was admitted.
struct Handler {
    shared: Arc<Shared>,
    role: Role,
    method: Method,
    time_max: Duration,
    /// Given back when the last piece of the answer is sent.
    place: Option<OwnedSemaphorePermit>,
}

type Pieces = stream::BoxStream<'static, Result<Piece, Status>>;

impl ServerStreamingService<Call> for Handler {
    type Response = Piece;
    type ResponseStream = Pieces;
    type Future = futures::future::BoxFuture<'static, Result<tonic::Response<Pieces>, Status>>;

    fn call(&mut self, request: tonic::Request<Call>) -> Self::Future {
        let (shared, role, method) = (Arc::clone(&self.shared), self.role, self.method);
        let (time_max, place) = (self.time_max, self.place.take());
        let own = self.shared.identity.role();
        Box::pin(async move {
            let arguments = request.into_inner().arguments;
            let work = shared.served.call(role, method, &arguments);
            // One call that cannot be answered must not look like a role that is away.
            let work = AssertUnwindSafe(work).catch_unwind();
            // Whoever answers it calls others for no longer than the caller waits.
            let work = deadline::within(time_max, work);
            let outcome = tokio::time::timeout(time_max, work)
                .await
                .map_err(|_| Status::deadline_exceeded("the caller's time is over"))?;
            let outcome = outcome.unwrap_or_else(|_| {
                let message = format!(
                    "{} of the role `{own}` failed; its log says why",
                    method.path()
                );
                Err(Fault::internal(message))
            });
            let pieces = wire::pieces(outcome).map(move |piece| {
                let _held = &place;
                Ok(piece)
            });
            let pieces: Pieces = Box::pin(stream::iter(pieces));
            Ok(tonic::Response::new(pieces))
        })
    }
}
