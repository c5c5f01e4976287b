//! Connections to a server: made, kept for a while, and freed from what still runs on them.

use std::{fmt, sync::Arc};

use dataos_model::fault::Fault;
use tokio::{runtime::Handle, sync::OwnedSemaphorePermit, task::JoinHandle, time::timeout};
use tokio_postgres::{CancelToken, Client, Config, NoTls, config::SslMode};

use super::{
    failed, silent,
    transport::{NoTransport, Transport, connect},
};
use crate::source::{
    permits::CONNECT_TIME_MAX,
    pool::{self, Address},
};

/// What makes a connection as it was when it was new: views call functions, and those can change a session.
/// Prepared statements stay, since the driver keeps some for itself.
const FRESHEN: &str = "ROLLBACK; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; CLOSE ALL; UNLISTEN *; \
    SELECT pg_catalog.pg_advisory_unlock_all()";

/// The connections of one depot.
pub(in crate::source) type Pool = pool::Pool<Connection>;

/// A connection and the task that drives it.
pub(in crate::source) struct Connection {
    client: Client,
    /// Whether the database keeps its texts in UTF-8.
    is_utf8: bool,
    task: JoinHandle<()>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection(..)")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Closes the socket, which a server that has no row to send would not notice.
        self.task.abort();
    }
}

impl Pool {
    /// A connection to its port, which nobody uses yet.
    async fn transport(&self) -> Result<Box<dyn Transport>, Fault> {
        let Address {
            depot,
            host,
            port,
            tls,
            ..
        } = &self.address;
        let connected = timeout(CONNECT_TIME_MAX, connect((host, *port), tls)).await;
        connected
            .unwrap_or(Err(NoTransport::Silent))
            .map_err(|problem| {
                let (text, hint) = problem.told();
                Fault::unavailable(format!("depot `{depot}`: {text}"))
                    .with_reason("source")
                    .with_hint(hint)
            })
    }

    /// Ends what runs on a connection. If that fails, the statement time-out of the session ends it.
    async fn cancel(&self, token: CancelToken) {
        if let Ok(transport) = self.transport().await {
            let cancelling = token.cancel_query_raw(transport, NoTls);
            timeout(CONNECT_TIME_MAX, cancelling).await.ok();
        }
    }

    /// A connection that rests and still answers, in its transaction.
    async fn rested(&self) -> Option<Connection> {
        while let Some(rested) = self.resting.take() {
            if matches!(
                timeout(CONNECT_TIME_MAX, self.begin(&rested)).await,
                Ok(Ok(()))
            ) {
                return Some(rested);
            }
        }
        None
    }

    /// A new connection, in its transaction.
    async fn connect(&self) -> Result<Connection, Fault> {
        let Address {
            depot,
            database,
            user,
            password,
            ..
        } = &self.address;
        let mut config = Config::new();
        // TLS, where there is any, is below this.
        config
            .dbname(database)
            .user(user)
            .application_name("dataos")
            .ssl_mode(SslMode::Disable);
        if let Some(password) = password {
            config.password(password.expose());
        }
        let connecting = config.connect_raw(self.transport().await?, NoTls);
        let (client, connection) = timeout(CONNECT_TIME_MAX, connecting)
            .await
            .map_err(|_| silent(depot))?
            .map_err(|error| failed(depot, &error))?;
        let is_utf8 = connection.parameter("server_encoding") == Some("UTF8");
        let task = tokio::spawn(async move {
            // The client of this connection reports its end.
            let _ended = connection.await;
        });
        let connection = Connection {
            client,
            is_utf8,
            task,
        };
        let begun = self.begin(&connection).await;
        begun.map_err(|error| failed(depot, &error))?;
        Ok(connection)
    }

    /// No setting of the server changes what a read means.
    async fn begin(&self, connection: &Connection) -> Result<(), tokio_postgres::Error> {
        let time_max_ms = self.time_max.as_millis();
        let settings = format!(
            "SET TIME ZONE 'UTC'; SET statement_timeout = {time_max_ms}; SET search_path = ''; \
             BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
        );
        connection.client.batch_execute(&settings).await
    }
}

/// A connection that one read has for itself. Dropped before [`Session::rest`], it has what it runs
/// cancelled at the server.
pub(super) struct Session {
    pool: Arc<Pool>,
    held: Option<Connection>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Session {
    pub(super) async fn open(pool: &Arc<Pool>) -> Result<Self, Fault> {
        let permit = pool.permits.acquire().await?;
        let held = match pool.rested().await {
            Some(rested) => rested,
            None => pool.connect().await?,
        };
        Ok(Self {
            pool: Arc::clone(pool),
            held: Some(held),
            permit: Some(permit),
        })
    }

    pub(super) fn client(&self) -> Result<&Client, Fault> {
        let held = self.held.as_ref().map(|held| &held.client);
        held.ok_or_else(|| Fault::internal("a session without its connection"))
    }

    /// Whether the database keeps its texts in UTF-8.
    pub(super) fn is_utf8(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.is_utf8)
    }

    /// Gives the connection back: all that it was asked for has arrived. Nobody waits for its transaction to end.
    pub(super) fn rest(mut self) {
        let (held, permit) = (self.held.take(), self.permit.take());
        if let (Some(held), Ok(runtime)) = (held, Handle::try_current()) {
            let pool = Arc::clone(&self.pool);
            runtime.spawn(async move {
                let freshened = timeout(CONNECT_TIME_MAX, held.client.batch_execute(FRESHEN)).await;
                drop(permit);
                if matches!(freshened, Ok(Ok(()))) {
                    pool.resting.rest(held);
                }
            });
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let (Some(held), Ok(runtime)) = (self.held.take(), Handle::try_current()) {
            let (pool, permit) = (Arc::clone(&self.pool), self.permit.take());
            let token = held.client.cancel_token();
            drop(held);
            runtime.spawn(async move {
                pool.cancel(token).await;
                drop(permit);
            });
        }
    }
}
