//! Connections to a server: made, kept for a while, and freed from what still runs on them.

use std::sync::Arc;

use dataos_model::{depot::Tls, fault::Fault};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, MySqlConnection, Row,
    mysql::{MySqlConnectOptions, MySqlSslMode},
};
use tokio::{runtime::Handle, sync::OwnedSemaphorePermit};

use super::{failed, silent};
use crate::source::{
    permits::CONNECT_TIME_MAX,
    pool::{self, Address},
};

/// What a session says first, so that no setting of the server changes what a read means: texts in
/// UTF-8, instants in UTC, backslashes mean themselves, padding is not added, no read is cut off.
const SETTINGS: &str = "SET NAMES utf8mb4 COLLATE utf8mb4_bin; \
    SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES', time_zone = '+00:00', \
    sql_select_limit = 18446744073709551615, sql_big_selects = 1, sql_auto_is_null = 0; \
    SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
    SET SESSION TRANSACTION READ ONLY";

/// What MariaDB is told besides: to join by hash where no index is of use. Without that it compares each row of
/// one table with each of the other, of 100 000 and 20 000 rows for 39 seconds instead of a tenth of one.
const HASHED_JOINS: &str =
    "join_cache_level = 4, join_buffer_size = 8388608, join_buffer_space_limit = 33554432";

/// The first version of MySQL that joins by hash by itself, also rows that only have to meet others.
const HASHES_JOINS: [u32; 3] = [8, 0, 20];

/// A connection that has more statements prepared is not used again, since closing one of them costs more than a new
/// connection does.
const STATEMENTS_MAX: usize = 96;

/// How many more one session may prepare: its statement, and a look at each of its tables.
const SESSION_STATEMENTS_MAX: usize = 32;

/// The connections of one depot.
pub(in crate::source) type Pool = pool::Pool<Connected>;

/// A connection.
#[derive(Debug)]
pub(in crate::source) struct Connected {
    connection: MySqlConnection,
    /// The number that the server knows it by.
    id: String,
    /// Whether it joins by hash where no index is of use.
    hashes_joins: bool,
}

impl Pool {
    /// Takes a connection that rests and still answers.
    async fn rested(&self) -> Option<Connected> {
        while let Some(mut rested) = self.resting.take() {
            let ping = tokio::time::timeout(CONNECT_TIME_MAX, rested.connection.ping());
            if matches!(ping.await, Ok(Ok(()))) {
                return Some(rested);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Connected, Fault> {
        let depot = &self.address.depot;
        let options = options(&self.address)?;
        let connecting = async {
            let mut connection = options.connect().await?;
            let row = connection
                .fetch_one("SELECT CAST(CONNECTION_ID() AS CHAR), VERSION()")
                .await?;
            let (id, version): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let is_mariadb = version.contains("MariaDB");
            let limit = if is_mariadb {
                format!(
                    "max_statement_time = {}, {HASHED_JOINS}",
                    self.time_max.as_secs_f64()
                )
            } else {
                format!("max_execution_time = {}", self.time_max.as_millis())
            };
            let settings = format!("{SETTINGS}; SET SESSION {limit}");
            connection.execute(AssertSqlSafe(settings)).await?;
            Ok(Connected {
                connection,
                id,
                hashes_joins: is_mariadb || numbers(&version) >= HASHES_JOINS,
            })
        };
        let connected = tokio::time::timeout(CONNECT_TIME_MAX, connecting).await;
        connected
            .map_err(|_| silent(depot))?
            .map_err(|error: sqlx::Error| failed(depot, &error))
    }
}

/// The numbers that a version begins with.
fn numbers(version: &str) -> [u32; 3] {
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    std::array::from_fn(|_| parts.next().and_then(|part| part.parse().ok()).unwrap_or(0))
}

/// How a connection is made.
fn options(address: &Address) -> Result<MySqlConnectOptions, Fault> {
    let mut options = MySqlConnectOptions::new()
        .host(&address.host)
        .port(address.port)
        .database(&address.database)
        .username(&address.user)
        .set_names(false)
        .timezone(None)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .statement_cache_capacity(STATEMENTS_MAX + SESSION_STATEMENTS_MAX)
        .disable_statement_logging();
    if let Some(password) = &address.password {
        let text = std::str::from_utf8(password.expose()).map_err(|_| {
            Fault::unavailable(format!(
                "the password of depot `{}` is not text",
                address.depot
            ))
            .with_hint("store the secret again")
        })?;
        options = options.password(text.trim_end_matches(['\r', '\n']));
    }
    Ok(match &address.tls {
        Tls::Off => options.ssl_mode(MySqlSslMode::Disabled),
        Tls::Verified { authorities } => {
            let options = options.ssl_mode(MySqlSslMode::VerifyIdentity);
            match authorities {
                Some(pem) => options.ssl_ca_from_pem(pem.clone().into_bytes()),
                None => options,
            }
        }
    })
}

/// A connection that one read has for itself. Dropped before [`Session::rest`], it has what it runs
/// killed at the server.
pub(super) struct Session {
    pool: Arc<Pool>,
    held: Option<Connected>,
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

    pub(super) fn connection(&mut self) -> Result<&mut MySqlConnection, Fault> {
        let held = self.held.as_mut().map(|held| &mut held.connection);
        held.ok_or_else(|| Fault::internal("a session without its connection"))
    }

    /// Whether the server joins by hash where no index is of use.
    pub(super) fn hashes_joins(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.hashes_joins)
    }

    /// Gives the connection back: all that it was asked for has arrived.
    pub(super) fn rest(mut self) {
        let Some(held) = self.held.take() else { return };
        if held.connection.cached_statements_size() <= STATEMENTS_MAX {
            self.pool.resting.rest(held);
        } else if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(held.connection.close());
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let (Some(held), Ok(runtime)) = (self.held.take(), Handle::try_current()) {
            let (pool, permit) = (Arc::clone(&self.pool), self.permit.take());
            runtime.spawn(async move {
                // A closed socket is noticed when there is a row to send, which may be never. If this
                // fails, the time-out of the session ends the statement.
                if let Ok(Connected {
                    connection: mut killer,
                    ..
                }) = pool.connect().await
                {
                    let kill = AssertSqlSafe(format!("KILL QUERY {}", held.id));
                    killer.execute(kill).await.ok();
                    killer.close().await.ok();
                }
                drop((held, permit));
            });
        }
    }
}
