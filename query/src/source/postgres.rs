//! Tables of a PostgreSQL database.
//!
//! One connection for each scan, in a read-only transaction with a UTC session and a statement
//! time-out. Only the columns that query and policy need are fetched. Conditions of a policy that
//! mean exactly the same to PostgreSQL go along; all are applied again to what arrives.

mod decode;
mod pushdown;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    catalog::{Session, TableProvider},
    common::Result as EngineResult,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, TableType},
    physical_plan::{
        ExecutionPlan,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use dataos_model::{
    dataset::Column,
    depot::Dataset,
    fault::{Fault, FaultKind},
    predicate::Predicate,
    secret::Secret,
};
use futures::{StreamExt, TryStreamExt};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use tokio_postgres::{Client, Config, NoTls, RowStream, config::SslMode};

use self::{decode::Batches, pushdown::Condition};
use crate::{column::arrow_schema, engine::failure::raised};

/// Longest wait for a connection to be made, or for one of the bounded number to come free.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// How a database is reached. `Debug` shows no secret.
#[derive(Clone)]
pub(crate) struct Server {
    pub(super) depot: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: Option<Arc<Secret>>,
    pub(super) connections: Arc<Semaphore>,
    pub(super) time_max: Duration,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.depot)
    }
}

/// The rows of a table. Nothing is connected before the scan runs.
pub(super) fn open(
    server: Server,
    dataset: &Dataset,
    schema: &str,
    table: &str,
    rows: &Predicate,
) -> Arc<dyn TableProvider> {
    Arc::new(Table {
        server,
        name: format!("{}.{}", quoted(schema), quoted(table)),
        dataset: dataset.clone(),
        schema: arrow_schema(&dataset.schema),
        rows: rows.clone(),
    })
}

/// An identifier, exactly as spelled.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[derive(Debug)]
struct Table {
    server: Server,
    name: String,
    dataset: Dataset,
    schema: SchemaRef,
    rows: Predicate,
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let columns: Vec<Column> = match projection {
            Some(indexes) => indexes
                .iter()
                .filter_map(|index| self.dataset.schema.columns.get(*index).cloned())
                .collect(),
            None => self.dataset.schema.columns.clone(),
        };
        let schema = match projection {
            Some(indexes) => Arc::new(self.schema.project(indexes)?),
            None => Arc::clone(&self.schema),
        };
        let scan = Scan {
            server: self.server.clone(),
            table: self.name.clone(),
            dataset: self.dataset.clone(),
            columns,
            schema: Arc::clone(&schema),
            rows: self.rows.clone(),
        };
        let partitions: Vec<Arc<dyn PartitionStream>> = vec![Arc::new(scan)];
        Ok(Arc::new(StreamingTableExec::try_new(
            schema,
            partitions,
            None,
            [],
            false,
            None,
        )?))
    }
}

/// One read of some columns.
#[derive(Clone, Debug)]
struct Scan {
    server: Server,
    table: String,
    dataset: Dataset,
    columns: Vec<Column>,
    schema: SchemaRef,
    rows: Predicate,
}

impl PartitionStream for Scan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let scan = self.clone();
        let batches = futures::stream::once(async move { scan.start().await })
            .try_flatten()
            .map_err(raised);
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            batches,
        ))
    }
}

impl Scan {
    async fn start(
        self,
    ) -> Result<impl futures::Stream<Item = Result<RecordBatch, Fault>> + Send, Fault> {
        let connection = Connection::open(&self.server).await?;
        let rows = self.rows(&connection.client).await?;
        let batches = Batches::new(self.columns, self.schema);
        let depot = self.server.depot;
        // Asked again behind its end, the stream would say that the connection is closed.
        let state = (Box::pin(rows.fuse()), connection, batches, depot);
        Ok(futures::stream::try_unfold(
            state,
            |(mut rows, connection, mut batches, depot)| async {
                while let Some(row) = rows.next().await {
                    batches.push(&row.map_err(|error| failed(&depot, &error))?)?;
                    if batches.is_full() {
                        let batch = batches.take()?;
                        return Ok(Some((batch, (rows, connection, batches, depot))));
                    }
                }
                if batches.is_empty() {
                    return Ok(None);
                }
                let batch = batches.take()?;
                Ok(Some((batch, (rows, connection, batches, depot))))
            },
        ))
    }

    async fn rows(&self, client: &Client) -> Result<RowStream, Fault> {
        let depot = &self.server.depot;
        let list: Vec<String> = self
            .columns
            .iter()
            .map(|column| quoted(&column.name))
            .collect();
        // PostgreSQL has rows without columns: `SELECT FROM t`.
        let select = format!("SELECT {} FROM {}", list.join(", "), self.table);
        let statement = client
            .prepare(&select)
            .await
            .map_err(|error| failed(depot, &error))?;
        decode::check(&self.dataset, &self.columns, statement.columns())?;
        let texts = statement
            .columns()
            .iter()
            .filter(|column| pushdown::is_text(column.type_()));
        let texts: Vec<&str> = texts.map(tokio_postgres::Column::name).collect();
        let condition = Condition::of(&self.rows, &self.dataset.schema, &texts);
        let Some(condition) = condition else {
            let none: [String; 0] = [];
            return client
                .query_raw(&statement, none)
                .await
                .map_err(|error| failed(depot, &error));
        };
        let filtered = format!("{select} WHERE {}", condition.sql);
        client
            .query_raw(&filtered, condition.parameters)
            .await
            .map_err(|error| failed(depot, &error))
    }
}

/// A connection, the task that drives it, and its place among the bounded number.
struct Connection {
    client: Client,
    task: JoinHandle<()>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Closes the socket; the server then ends what still runs.
        self.task.abort();
    }
}

impl Connection {
    async fn open(server: &Server) -> Result<Self, Fault> {
        let permits = Arc::clone(&server.connections);
        let permit = match tokio::time::timeout(CONNECT_TIME_MAX, permits.acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            _ => {
                return Err(
                    Fault::unavailable("all connections to databases are in use")
                        .with_reason("busy")
                        .with_hint("try again later"),
                );
            }
        };
        let mut config = Config::new();
        config
            .host(&server.host)
            .port(server.port)
            .dbname(&server.database)
            .user(&server.user)
            .application_name("dataos")
            .ssl_mode(SslMode::Disable)
            .connect_timeout(CONNECT_TIME_MAX);
        if let Some(password) = &server.password {
            config.password(password.expose());
        }
        let connecting = tokio::time::timeout(CONNECT_TIME_MAX, config.connect(NoTls));
        let (client, connection) = connecting
            .await
            .map_err(|_| silent(&server.depot))?
            .map_err(|error| failed(&server.depot, &error))?;
        let task = tokio::spawn(async move {
            // The client of this connection reports its end.
            let _ended = connection.await;
        });
        let opened = Self {
            client,
            task,
            _permit: permit,
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
