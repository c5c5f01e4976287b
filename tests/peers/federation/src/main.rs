//! Answers statements over files, PostgreSQL and MariaDB with the stock crates for that.
//!
//!     dataos-peer-federation stock|last|none
//!
//! The first line of the standard input describes the sources ([`Sources`]), each other line is a statement
//! as a JSON string. To each statement there is one line of JSON: how long planning and execution took, and
//! the rows, each value as text; or the error.

use std::{
    collections::HashMap,
    error::Error,
    io::{BufRead, Write, stdin, stdout},
    sync::Arc,
    time::Instant,
};

use datafusion::{
    arrow::{
        array::{Array, RecordBatch},
        error::ArrowError,
        util::display::{ArrayFormatter, FormatOptions},
    },
    execution::session_state::{SessionState, SessionStateBuilder},
    optimizer::Optimizer,
    prelude::{ParquetReadOptions, SessionContext},
};
use datafusion_federation::{
    FederatedQueryPlanner, FederationOptimizerRule, default_session_state,
};
use datafusion_table_providers::{
    mysql::MySQLTableFactory,
    postgres::PostgresTableFactory,
    sql::db_connection_pool::{
        mysqlpool::MySQLConnectionPool, postgrespool::PostgresConnectionPool,
    },
    util::secrets::to_secret_map,
};
use serde::{Deserialize, Serialize};

/// The allocator of the product's own programs.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Where tables are; each is registered under the name that it has there.
#[derive(Debug, Deserialize)]
struct Sources {
    /// Threads' worth of work that a statement is split into.
    partitions: usize,
    files: Files,
    postgres: Server,
    mariadb: Server,
}

/// A folder of files `TABLE.parquet`.
#[derive(Debug, Deserialize)]
struct Files {
    folder: String,
    tables: Vec<String>,
}

/// A database server without TLS.
#[derive(Debug, Deserialize)]
struct Server {
    host: String,
    port: u16,
    user: String,
    password: String,
    database: String,
    tables: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Rows {
        ms: f64,
        rows: Vec<Vec<Option<String>>>,
    },
    Failure {
        error: String,
    },
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve())
}

async fn serve() -> Result<()> {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let mut lines = stdin().lock().lines();
    let sources = lines.next().ok_or("no line that describes the sources")??;
    let sources: Sources = serde_json::from_str(&sources)?;
    let state = session(&mode)?;
    let config = state.config().clone();
    let state = SessionStateBuilder::new_from_existing(state)
        .with_config(config.with_target_partitions(sources.partitions))
        .build();
    let context = SessionContext::new_with_state(state);
    sources.register(&context).await?;
    for line in lines {
        let sql: String = serde_json::from_str(&line?)?;
        let answer = answer(&context, &sql).await;
        let answer = answer.unwrap_or_else(|error| Answer::Failure {
            error: error.to_string(),
        });
        let mut to = stdout().lock();
        serde_json::to_writer(&mut to, &answer)?;
        to.write_all(b"\n")?;
        to.flush()?;
    }
    Ok(())
}

fn session(mode: &str) -> Result<SessionState> {
    match mode {
        // As its documentation says.
        "stock" => Ok(default_session_state()),
        // Its rule behind those that push conditions and columns down.
        "last" => {
            let mut rules = Optimizer::new().rules;
            rules.push(Arc::new(FederationOptimizerRule::new()));
            Ok(SessionStateBuilder::new()
                .with_optimizer_rules(rules)
                .with_query_planner(Arc::new(FederatedQueryPlanner::new()))
                .with_default_features()
                .build())
        }
        // The table providers alone.
        "none" => Ok(SessionStateBuilder::new().with_default_features().build()),
        _ => Err("the first argument must be stock, last or none".into()),
    }
}

impl Sources {
    async fn register(&self, context: &SessionContext) -> Result<()> {
        for table in &self.files.tables {
            let file = format!("{}/{table}.parquet", self.files.folder);
            let options = ParquetReadOptions::default();
            context.register_parquet(table, file, options).await?;
        }
        let settings = self.postgres.settings("port", "disable");
        let pool = PostgresConnectionPool::new(to_secret_map(settings));
        let factory = PostgresTableFactory::new(Arc::new(pool.await?));
        for table in &self.postgres.tables {
            let provider = factory.table_provider(table.as_str().into()).await?;
            context.register_table(table, provider)?;
        }
        let settings = self.mariadb.settings("tcp_port", "disabled");
        let pool = MySQLConnectionPool::new(to_secret_map(settings));
        let factory = MySQLTableFactory::new(Arc::new(pool.await?));
        for table in &self.mariadb.tables {
            let provider = factory.table_provider(table.as_str().into()).await?;
            context.register_table(table, provider)?;
        }
        Ok(())
    }
}

impl Server {
    /// Settings of a pool, which calls the port, and no TLS, so.
    fn settings(&self, port: &str, tls: &str) -> HashMap<String, String> {
        let settings = [
            ("host", self.host.clone()),
            (port, self.port.to_string()),
            ("user", self.user.clone()),
            ("pass", self.password.clone()),
            ("db", self.database.clone()),
            ("sslmode", tls.to_owned()),
        ];
        let settings = settings.into_iter();
        settings
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }
}

async fn answer(context: &SessionContext, sql: &str) -> Result<Answer> {
    let started = Instant::now();
    let batches = context.sql(sql).await?.collect().await?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    let mut rows = Vec::new();
    for batch in &batches {
        rows.extend(texts(batch)?);
    }
    Ok(Answer::Rows { ms, rows })
}

/// The values of each row.
fn texts(batch: &RecordBatch) -> std::result::Result<Vec<Vec<Option<String>>>, ArrowError> {
    let options = FormatOptions::default();
    let columns = batch.columns().iter();
    let columns = columns
        .map(|column| Ok((column, ArrayFormatter::try_new(column.as_ref(), &options)?)))
        .collect::<std::result::Result<Vec<_>, ArrowError>>()?;
    let text = |index: usize| {
        let values = columns.iter().map(|(column, formatter)| {
            let is_present = column.is_valid(index);
            is_present.then(|| formatter.value(index).to_string())
        });
        values.collect::<Vec<Option<String>>>()
    };
    Ok((0..batch.num_rows()).map(text).collect())
}
