//! How a connection ends in order: when the program stops, or another certificate is served than the one that
//! the connection began with. No call is cut, and none that a client has just sent is lost.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::{certificates::tls::Tls, config::Limits};

/// For how long an idle HTTP/1 connection may still send a call. Closed at once, it would lose a call that is
/// on its way; HTTP/2 has a frame that tells.
const LINGER: Duration = Duration::from_secs(1);

/// What tells a connection to end.
pub(super) struct Ending {
    stop: watch::Receiver<bool>,
    served: watch::Receiver<u64>,
    /// The next answer says that it is the last.
    is_last: Arc<AtomicBool>,
    /// Until when it ends after another certificate is served: connections do not all come back at once.
    spread: Duration,
    linger: Duration,
}

impl Ending {
    pub(super) fn new(
        tls: &Tls,
        stop: watch::Receiver<bool>,
        peer: SocketAddr,
        limits: &Limits,
    ) -> Self {
        Self {
            stop,
            served: tls.served(),
            is_last: Arc::default(),
            // Ports of clients are spread well enough.
            spread: limits.drain_timeout * u32::from(peer.port() % 1024) / 1024,
            linger: LINGER.min(limits.drain_timeout),
        }
    }

    pub(super) fn is_last(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_last)
    }

    /// Resolves when an HTTP/2 connection is to be told that it takes no further calls.
    pub(super) async fn of_http2(mut self) {
        self.told().await;
    }

    /// Resolves when an HTTP/1 connection is to be closed as soon as it is idle. Before that its next answer
    /// says so itself.
    pub(super) async fn of_http1(mut self) {
        self.told().await;
        tokio::time::sleep(self.linger).await;
    }

    async fn told(&mut self) {
        tokio::select! {
            () = stopped(&mut self.stop) => {}
            () = replaced(&mut self.served, self.spread) => {}
        }
        self.is_last.store(true, Ordering::Relaxed);
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Without a sender there is nobody to wait for calls either.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn replaced(served: &mut watch::Receiver<u64>, spread: Duration) {
    if served.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(spread).await;
}

/// Drives a connection to its end, and has it ended in order when `ends` resolves.
pub(super) async fn until_ended<C: Future>(
    mut connection: Pin<Box<C>>,
    ends: impl Future<Output = ()>,
    end: impl FnOnce(Pin<&mut C>),
) -> C::Output {
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = ends => end(connection.as_mut()),
    }
    connection.await
}
