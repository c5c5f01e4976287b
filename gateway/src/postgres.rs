//! The PostgreSQL door: TCP, TLS as agreed on by the protocol, then sessions of the query layer's wire.
//!
//! Enters: connections to `postgres.listen`. Leaves: answers of the same entry as those of
//! `POST /api/v1/query`, with the same decisions, records, quotas and limits. Never done here: a byte of
//! a session without TLS.

mod shown;

mod door;
mod session;

use std::{net::SocketAddr, sync::Arc};

use dataos_query::wire::{self, Cancels, Negotiated, WireLimits};
use rustls::server::NoServerSessionStorage;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    accept::{ACCEPT_PAUSE, Peers, Place, prepared},
    certificates::tls::Tls,
    config::{PostgresConfig, PostgresLogin},
    serve::Gateway,
};
use door::{Entrance, LogIn};
use shown::Shown;

/// First byte of a TLS handshake, which no start of the protocol has.
const TLS_HANDSHAKE: u8 = 0x16;

/// Accepts connections until told to stop, then lets running statements finish for a while.
pub(crate) struct PostgresAcceptor {
    listener: TcpListener,
    tls: Arc<Tls>,
    gateway: Arc<Gateway>,
    config: PostgresConfig,
    cancels: Arc<Cancels>,
}

/// One connection's share of the acceptor.
struct Connection {
    tls: Arc<Tls>,
    gateway: Arc<Gateway>,
    limits: WireLimits,
    login: PostgresLogin,
    cancels: Arc<Cancels>,
    stop: watch::Receiver<bool>,
    /// Given back when the connection ends.
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

impl PostgresAcceptor {
    /// Over the certificate of the HTTPS door; client certificates are not asked for.
    pub(crate) fn new(
        listener: TcpListener,
        tls: Arc<Tls>,
        gateway: Arc<Gateway>,
        config: PostgresConfig,
    ) -> Self {
        Self {
            listener,
            tls,
            gateway,
            config,
            cancels: Arc::default(),
        }
    }

    /// Runs until `stop` turns true, then drains.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let limits = self.gateway.limits.clone();
        let permits = Arc::new(Semaphore::new(self.config.connections_max));
        let peers = Peers::default();
        // Bounded by the permits.
        let mut open = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = open.join_next() => continue,
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
            let permit = Arc::clone(&permits).try_acquire_owned();
            let place = peers.enter(address.ip(), limits.connections_per_peer_max);
            let (Ok(permit), Some(place)) = (permit, place) else {
                self.gateway.figures.note_connection_refused();
                self.gateway.note_refused("postgres_connections", address);
                continue;
            };
            let connection = Connection {
                tls: Arc::clone(&self.tls),
                gateway: Arc::clone(&self.gateway),
                limits: WireLimits {
                    startup_timeout: limits.handshake_timeout,
                    idle_timeout: self.config.idle_timeout,
                    send_timeout: limits.send_timeout,
                    lifetime: self.gateway.session_life.whole,
                },
                login: self.config.login,
                cancels: Arc::clone(&self.cancels),
                stop: stop.clone(),
                _permit: permit,
                _place: place,
            };
            open.spawn(connection.run(stream, address));
        }
        drop(self.listener);
        let drained = async { while open.join_next().await.is_some() {} };
        if tokio::time::timeout(limits.drain_timeout, drained)
            .await
            .is_err()
        {
            tracing::warn!("some statements did not finish in time and were cut off");
        }
    }
}

impl Connection {
    async fn run(self, stream: TcpStream, address: SocketAddr) {
        let agreed = self.agree(prepared(stream), address);
        // The handshake's own time; the log-in has the same again.
        let (stream, shown) = match tokio::time::timeout(self.limits.startup_timeout, agreed).await
        {
            Ok(Some(agreed)) => agreed,
            Ok(None) => return,
            Err(_) => {
                self.gateway.figures.note_handshake_failed();
                return;
            }
        };
        let login = match self.login {
            PostgresLogin::Clear => LogIn::Clear,
            PostgresLogin::Scram => LogIn::Scram {
                channel: shown.end_point(),
            },
        };
        let entrance = Entrance::new(Arc::clone(&self.gateway), address, login);
        wire::serve(stream, &entrance, &self.cancels, &self.limits, self.stop).await;
    }

    /// TLS, at once or after the protocol's own question, and the certificate shown in it; `None` if the
    /// connection is at its end.
    async fn agree(
        &self,
        mut stream: TcpStream,
        address: SocketAddr,
    ) -> Option<(TlsStream<TcpStream>, Arc<Shown>)> {
        let mut first = [0];
        let is_direct = stream.peek(&mut first).await.ok()? == 1 && first == [TLS_HANDSHAKE];
        if !is_direct {
            match wire::negotiate(&mut stream).await.ok()? {
                Negotiated::Tls => {}
                Negotiated::Cancel(key) => {
                    self.cancels.cancel(&key);
                    return None;
                }
                Negotiated::Refused(reason) => {
                    self.gateway.note_refused(reason, address);
                    return None;
                }
            }
        }
        let mut config = (*self.tls.parts().config(None)).clone();
        config.alpn_protocols = vec![wire::ALPN.to_vec()];
        let shown = Arc::new(Shown::instead_of(&config.cert_resolver));
        config.cert_resolver = Arc::clone(&shown) as _;
        // A session that is taken up again shows no certificate, and log-ins may be bound to that.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        match TlsAcceptor::from(Arc::new(config)).accept(stream).await {
            // Without the name of the protocol, a request meant for another server might be answered.
            Ok(stream) if is_direct && stream.get_ref().1.alpn_protocol() != Some(wire::ALPN) => {
                self.gateway.note_refused("alpn", address);
                None
            }
            Ok(stream) => Some((stream, shown)),
            Err(error) => {
                self.gateway.figures.note_handshake_failed();
                tracing::debug!(%address, %error, "handshake failed");
                None
            }
        }
    }
}
