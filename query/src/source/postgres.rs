//! Tables of a PostgreSQL database.
//!
//! One connection for each read, in a read-only transaction with a UTC session and a statement
//! time-out. Only the columns that query and policy need are fetched. Conditions of a policy that
//! mean exactly the same to PostgreSQL go along; all are applied again to what arrives. Groups are made
//! there if all of their conditions went along.

mod cell;
mod dialect;
mod transport;
mod wire;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use dataos_model::{
    dataset::ColumnType,
    depot::Tls,
    fault::{Fault, FaultKind},
    secret::Secret,
};
use futures::TryStreamExt;
use tokio::{runtime::Handle, sync::OwnedSemaphorePermit, task::JoinHandle};
use tokio_postgres::{
    CancelToken, Client, Config, NoTls, RowStream, Statement as Prepared, config::SslMode,
};

use self::{
    cell::cell,
    dialect::Postgres,
    transport::{NoTransport, Transport, connect},
    wire::{Raw, numeric},
};
use super::{
    batch::{Cell, TOO_LARGE, Unfit},
    condition::{Condition, Parameter, alias, clause},
    groups::{Groups, Statement, Total, wrapped},
    permits::{CONNECT_TIME_MAX, Permits},
    table::{Answered, Database, Read, Rows},
};

/// Most digits of a sum of 64-bit integers: of as many as there are in no table.
const SUM_DIGITS_MAX: u8 = 38;

/// How a database is reached. `Debug` shows no secret.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) depot: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: Option<Arc<Secret>>,
    pub(super) tls: Tls,
    pub(super) permits: Permits,
    pub(super) time_max: Duration,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.depot)
    }
}

/// An identifier, exactly as spelled.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The table of a read, under the name that columns are qualified with.
fn place(read: &Read, table: usize) -> String {
    let (space, name) = (quoted(&read.space), quoted(&read.table));
    format!("{space}.{name} AS {}", alias(table))
}

/// Numbers go as their texts.
fn texts(parameters: Vec<Parameter>) -> Vec<String> {
    let texts = parameters.into_iter().map(|parameter| match parameter {
        Parameter::Text(text) => text,
        Parameter::Long(number) => number.to_string(),
    });
    texts.collect()
}

#[async_trait]
impl Database for Server {
    async fn read(&self, read: &Read, rows: &mut Rows) -> Result<(), Fault> {
        let mut connection = Connection::open(self).await?;
        let mut found = Box::pin(self.rows(&connection.client, read).await?);
        while let Some(row) = found
            .try_next()
            .await
            .map_err(|error| failed(&self.depot, &error))?
        {
            rows.push(|index, column_type| {
                let Raw(raw) = row.try_get(index).map_err(|_| "a value in another form")?;
                cell(raw, column_type)
            })?;
            rows.settle().await?;
        }
        connection.is_idle = true;
        Ok(())
    }

    fn group_statement(&self, reads: &[Read], groups: &Groups) -> Option<String> {
        let reads_of = reads.iter().enumerate();
        let dialects = reads_of.map(|(table, read)| Postgres::supposed(table, &read.columns));
        let dialects: Vec<Postgres> = dialects.collect();
        let statement = Statement::of(reads, groups, &dialects)?;
        Some(statement.sql)
    }

    async fn group(
        &self,
        reads: &[Read],
        groups: &Groups,
        rows: &mut Rows,
    ) -> Result<Answered, Fault> {
        let failed = |error| failed(&self.depot, &error);
        let mut connection = Connection::open(self).await?;
        let mut dialects = Vec::with_capacity(reads.len());
        for (table, read) in reads.iter().enumerate() {
            let found = self.columns(&connection.client, read).await?;
            let is_utf8 = connection.is_utf8;
            dialects.push(Postgres::new(table, &read.columns, &found, is_utf8));
        }
        let Some(Statement { sql, parameters }) = Statement::of(reads, groups, &dialects) else {
            connection.is_idle = true;
            return Ok(Answered::Declined);
        };
        let found = connection.client.query_raw(&sql, texts(parameters)).await;
        let mut found = Box::pin(found.map_err(failed)?);
        while let Some(row) = found.try_next().await.map_err(failed)? {
            let value = |index| {
                let Raw(raw) = row.try_get(index).map_err(|_| "a value in another form")?;
                Ok::<_, Unfit>(raw)
            };
            // The same in every row, so if it is true then no row was handed over.
            if value(groups.outputs.len()) != Ok(Some(&[0])) {
                return Ok(Answered::Declined);
            }
            rows.push(|index, column_type| match groups.total(index) {
                Some(Total::Sum(summed)) if matches!(summed.column_type, ColumnType::Int(_)) => {
                    sum(value(index)?)
                }
                _ => cell(value(index)?, column_type),
            })?;
            rows.settle().await?;
        }
        connection.is_idle = true;
        Ok(Answered::Whole)
    }
}

/// Integers are added up as numeric.
fn sum(raw: Option<&[u8]>) -> Result<Cell<'static>, Unfit> {
    let Some(raw) = raw else {
        return Ok(Cell::Null);
    };
    numeric(raw, SUM_DIGITS_MAX, 0)
        .map(wrapped)
        .ok_or(TOO_LARGE)
}

impl Server {
    /// A connection to its port, which nobody uses yet.
    async fn transport(&self) -> Result<Box<dyn Transport>, Fault> {
        let connecting = connect((&self.host, self.port), &self.tls);
        let connected = tokio::time::timeout(CONNECT_TIME_MAX, connecting).await;
        connected
            .unwrap_or(Err(NoTransport::Silent))
            .map_err(|problem| {
                let (text, hint) = problem.told();
                Fault::unavailable(format!("depot `{}`: {text}", self.depot))
                    .with_reason("source")
                    .with_hint(hint)
            })
    }

    /// Ends what runs on a connection. If that fails, the statement time-out of the session ends it.
    async fn cancel(&self, token: CancelToken) {
        if let Ok(transport) = self.transport().await {
            let cancelling = token.cancel_query_raw(transport, NoTls);
            tokio::time::timeout(CONNECT_TIME_MAX, cancelling)
                .await
                .ok();
        }
    }

    /// The columns that a read fetches, of the types that the catalog knows.
    async fn columns(&self, client: &Client, read: &Read) -> Result<Prepared, Fault> {
        let statement = client
            .prepare(&select(read))
            .await
            .map_err(|error| failed(&self.depot, &error))?;
        cell::check(&read.dataset, &read.columns, statement.columns())?;
        Ok(statement)
    }

    async fn rows(&self, client: &Client, read: &Read) -> Result<RowStream, Fault> {
        let failed = |error| failed(&self.depot, &error);
        let columns = self.columns(client, read).await?;
        let dialect = Postgres::new(0, &read.columns, &columns, false);
        let condition = Condition::of(read, &dialect, Vec::new());
        if condition.conjuncts.is_empty() {
            let none: [String; 0] = [];
            return client.query_raw(&columns, none).await.map_err(failed);
        }
        let filtered = format!("{}{}", select(read), clause(&condition.conjuncts));
        let texts = texts(condition.parameters);
        client.query_raw(&filtered, texts).await.map_err(failed)
    }
}

/// Without a condition.
fn select(read: &Read) -> String {
    let list = read.columns.iter().map(|column| quoted(&column.name));
    let list: Vec<String> = list.collect();
    // PostgreSQL has rows without columns: `SELECT FROM t`.
    format!("SELECT {} FROM {}", list.join(", "), place(read, 0))
}

/// A connection, the task that drives it, and its place among the bounded number.
struct Connection {
    server: Server,
    client: Client,
    /// Whether the database keeps its texts in UTF-8.
    is_utf8: bool,
    task: JoinHandle<()>,
    /// Whether the server is done with what it was asked.
    is_idle: bool,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Closes the socket, which a server that has no row to send would not notice.
        self.task.abort();
        if !self.is_idle
            && let Ok(runtime) = Handle::try_current()
        {
            let (token, permit) = (self.client.cancel_token(), self.permit.take());
            let server = self.server.clone();
            runtime.spawn(async move {
                server.cancel(token).await;
                drop(permit);
            });
        }
    }
}

impl Connection {
    async fn open(server: &Server) -> Result<Self, Fault> {
        let permit = server.permits.acquire().await?;
        let mut config = Config::new();
        // TLS, where there is any, is below this.
        config
            .dbname(&server.database)
            .user(&server.user)
            .application_name("dataos")
            .ssl_mode(SslMode::Disable);
        if let Some(password) = &server.password {
            config.password(password.expose());
        }
        let transport = server.transport().await?;
        let connecting = config.connect_raw(transport, NoTls);
        let connecting = tokio::time::timeout(CONNECT_TIME_MAX, connecting);
        let (client, connection) = connecting
            .await
            .map_err(|_| silent(&server.depot))?
            .map_err(|error| failed(&server.depot, &error))?;
        let is_utf8 = connection.parameter("server_encoding") == Some("UTF8");
        let task = tokio::spawn(async move {
            // The client of this connection reports its end.
            let _ended = connection.await;
        });
        let opened = Self {
            server: server.clone(),
            client,
            is_utf8,
            task,
            is_idle: false,
            permit: Some(permit),
        };
        let time_max_ms = server.time_max.as_millis();
        let settings = format!(
            "SET TIME ZONE 'UTC'; SET statement_timeout = {time_max_ms}; SET search_path = ''; \
             BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
        );
        opened
            .client
            .batch_execute(&settings)
            .await
            .map_err(|error| failed(&server.depot, &error))?;
        Ok(opened)
    }
}

fn silent(depot: &str) -> Fault {
    Fault::unavailable(format!(
        "the database server of depot `{depot}` does not answer"
    ))
    .with_reason("source")
    .with_hint("check that it runs and that host and port of the depot are right")
}

/// By SQLSTATE; the server's own text can quote values and stays out.
fn failed(depot: &str, error: &tokio_postgres::Error) -> Fault {
    let Some(code) = error.code() else {
        return silent(depot);
    };
    let code = code.code();
    let state = format!("SQLSTATE {code}");
    match code {
        _ if code.starts_with("28") => Fault::unavailable(format!(
            "depot `{depot}`: the database refuses the log-in ({state})"
        ))
        .with_hint("check the user and the password of the depot"),
        "3D000" => Fault::unavailable(format!("depot `{depot}`: no such database ({state})"))
            .with_hint("check the database name of the depot"),
        "42501" => Fault::unavailable(format!(
            "depot `{depot}`: the role of the depot may not read the table ({state})"
        ))
        .with_hint("grant SELECT to the role that the depot logs in as"),
        _ if code.starts_with("42") => Fault::new(
            FaultKind::Conflict,
            format!("depot `{depot}`: the table is not what the catalog knows ({state})"),
        )
        .with_hint("scan the depot again"),
        "57014" => Fault::new(
            FaultKind::Timeout,
            format!("depot `{depot}`: the database needed too long ({state})"),
        )
        .with_hint("read fewer rows"),
        _ => Fault::unavailable(format!("depot `{depot}`: the database failed ({state})"))
            .with_hint("see the log of the database server"),
    }
    .with_reason("source")
}
