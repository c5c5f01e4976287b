//! The PostgreSQL wire: protocol 3.0 and 3.2 over a stream that is TLS already.
//!
//! Enters: bytes of a peer, and a [`Door`] behind which everything is decided and recorded. Leaves: the
//! answers of the door in PostgreSQL's messages. Never done here: TLS, a decision, a record, reading a
//! message of which the length was not checked, holding more of a peer than [`WireLimits`] and the
//! constants of `message` and `session` say.
//!
//! The order of a connection: [`negotiate`] on the plain stream, TLS by the composition root, then
//! [`serve`] with start-up, log-in and one message after the other.

mod message;
mod negotiate;
mod problem;
mod reply;

mod startup;

mod command;
pub(crate) mod settings;

mod parameter;
pub(crate) mod value;

mod answer;
mod session;

mod cancel;

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use dataos_model::{
    fault::Fault,
    query::{QueryAnswer, ResultColumn},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

pub use cancel::Cancels;
pub use negotiate::{Negotiated, negotiate};

/// The one database.
pub const DATABASE: &str = "dataos";
/// The protocol's name in the TLS handshake (ALPN), demanded of those who start with TLS at once.
pub const ALPN: &[u8] = b"postgresql";

/// Times of a connection.
#[derive(Clone, Debug)]
pub struct WireLimits {
    /// Time from the end of the TLS handshake to the end of the log-in.
    pub startup_timeout: Duration,
    /// Time that a connection may be open without a statement.
    pub idle_timeout: Duration,
    /// Time for which a peer may take nothing of its answer.
    pub send_timeout: Duration,
    /// Life of a connection, whatever it does.
    pub lifetime: Duration,
}

/// A statement with what the session says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// One statement, its parameters filled in.
    pub sql: String,
    /// The purpose that the session declared.
    pub purpose: Option<String>,
    /// Most rows wanted; the layer's own limit holds in any case.
    pub rows_max: u64,
}

/// Why a statement has no answer.
#[derive(Clone, Debug)]
pub struct Failed {
    /// What the caller hears.
    pub fault: Box<Fault>,
    /// Id of the call in the log.
    pub request_id: String,
}

/// Where a peer logs in. Made for one connection.
#[async_trait]
pub trait Door: Send + Sync + Debug {
    /// The SASL mechanisms by which a peer may prove that it knows its secret, the best first. If there are
    /// none, the secret is asked for.
    fn mechanisms(&self) -> &'static [&'static str];

    /// Takes the first message of one of them.
    ///
    /// # Errors
    /// It is no such message, or nothing can be checked now; recorded when it returns.
    async fn begin(
        &self,
        user: &str,
        mechanism: &str,
        first: &[u8],
    ) -> Result<Box<dyn Exchange>, Fault>;

    /// Checks a secret that was sent; the attempt is recorded when it returns.
    ///
    /// # Errors
    /// The credential is not valid, or nothing can be checked or recorded now.
    async fn log_in(&self, user: &str, secret: &str) -> Result<Arc<dyn Caller>, Fault>;

    /// Records that the peer was refused before that.
    fn refused(&self, reason: &'static str);
}

/// A log-in by a mechanism that has begun.
#[async_trait]
pub trait Exchange: Send + Debug {
    /// What the peer is to answer.
    fn challenge(&self) -> &str;

    /// Takes the answer, and gives what proves to the peer that the server knows its secret as well; the
    /// attempt is recorded when it returns.
    ///
    /// # Errors
    /// As [`Door::log_in`].
    async fn finish(self: Box<Self>, answer: &[u8]) -> Result<(Arc<dyn Caller>, String), Fault>;
}

/// Somebody who logged in. Each call authenticates again, is decided, and recorded.
#[async_trait]
pub trait Caller: Send + Sync + Debug {
    /// Runs one statement; rows come as an Arrow IPC stream, and the record is durable. Dropped before
    /// its end, the statement is cancelled, and recorded as that.
    ///
    /// # Errors
    /// Refused, denied, or failed.
    async fn run(&self, asked: Asked) -> Result<QueryAnswer, Failed>;

    /// The columns that a query would have.
    ///
    /// # Errors
    /// As [`Caller::run`].
    async fn describe(&self, asked: Asked) -> Result<Vec<ResultColumn>, Failed>;
}

/// Serves one connection until either side ends it, or `stop` turns true and the running statement ends.
pub async fn serve<S>(
    stream: S,
    door: &dyn Door,
    cancels: &Arc<Cancels>,
    limits: &WireLimits,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Send,
{
    let (input, output) = tokio::io::split(stream);
    let mut input = message::Input::new(input);
    let mut output = reply::Output::new(output, limits.send_timeout);
    let started = startup::run(&mut input, &mut output, door, cancels);
    let ended = match tokio::time::timeout(limits.startup_timeout, started).await {
        Ok(Ok(Some(opened))) => {
            let mut session = session::Session::new(input, output, opened, limits.clone(), stop);
            session.run().await;
            session.close().await;
            return;
        }
        Ok(Ok(None)) => Ok(()),
        Ok(Err(broken)) => {
            if let Some(reason) = broken.reason() {
                door.refused(reason);
            }
            output.goodbye(&broken).await
        }
        Err(_) => {
            door.refused("startup_timeout");
            output.goodbye(&message::Broken::Late("the log-in")).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended before its log-in");
    }
    output.close(&mut input).await;
}
