//! The same event into the log, into SQLite and into PostgreSQL, in turn in the same run and on the same
//! disk. No caller goes on before its event is durable: the databases sync each commit (SQLite:
//! write-ahead log, `synchronous = FULL`; PostgreSQL: `fsync` and `synchronous_commit` on).
//!
//! | case | the log | SQLite | PostgreSQL |
//! | --- | --- | --- | --- |
//! | 1 caller | an append | a transaction of one insert | the same, one connection |
//! | 512 callers | an append each | one writer commits all that wait in one transaction, 64 rows a statement | the same in one statement |
//! | 512 callers, 64 connections | | | a transaction of one insert each |
//!
//! The table has the fields of an event and an index each for what the log is searched by: request id,
//! trace id, principal, resource. The databases keep no hash, signature or proof.

use std::{
    fs::{self, Permissions},
    io::{Error, Result},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dataos_audit::{AuditConfig, AuditLog};
use dataos_model::{
    clock::Clock as _, decision::Effect, record::Entry, seams::Record as _, secret::Secret,
};
use dataos_tests::peers::Postgres;
use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, PgPool, SqliteConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{mpsc, oneshot};

use super::{Options, SystemClock, events::event};
use crate::report::{Figure, quantile};

const CALLERS: usize = 512;
const CONNECTIONS: u32 = 64;

/// Rows of one statement into SQLite, in which a statement is a round trip between threads.
const SQLITE_ROWS: usize = 64;

/// Columns by type: one number, then texts, then hashes.
const TEXTS: usize = 10;
const HASHES: usize = 3;
const FIELDS: usize = 1 + TEXTS + HASHES;

/// The table, with the word for bytes.
fn table(bytes: &str) -> String {
    let texts =
        "kind, request_id, trace_id, effect, action, principal, resource, reason, policies, facts";
    let texts = texts.replace(',', " TEXT NOT NULL,");
    let hashes = ["request_digest", "policy_set", "entities"];
    let hashes = hashes
        .map(|name| format!("{name} {bytes} NOT NULL"))
        .join(", ");
    let indexes = ["request_id", "trace_id", "principal", "resource"];
    let indexes = indexes.map(|name| format!("CREATE INDEX {name}_index ON event ({name});"));
    format!(
        "CREATE TABLE event (time BIGINT NOT NULL, {texts} TEXT NOT NULL, {hashes}); {}",
        indexes.concat()
    )
}

/// An event as a row.
#[derive(Debug)]
struct Row {
    time: i64,
    texts: [String; TEXTS],
    hashes: [Vec<u8>; HASHES],
}

impl Row {
    fn of(entry: Entry) -> Self {
        let facts = serde_json::to_string(&entry.facts).unwrap_or_default();
        let trace = entry.facts.get("trace_id").cloned().unwrap_or_default();
        let hashes = [entry.request_digest, entry.policy_set, entry.entities];
        Self {
            time: SystemClock.now().0,
            texts: [
                entry.kind.name().to_owned(),
                entry.request_id,
                trace,
                entry.effect.map_or("", Effect::name).to_owned(),
                entry.action,
                entry.principal,
                entry.resource,
                entry.reason,
                entry.policies.join(" "),
                facts,
            ],
            hashes: hashes.map(|hash| hash.0.to_vec()),
        }
    }
}

/// Writes rows in one transaction; they are durable when it returns.
trait Sink: Send + 'static {
    fn write(&mut self, rows: Vec<Row>) -> impl Future<Output = Result<()>> + Send;
}

impl Sink for SqliteConnection {
    async fn write(&mut self, rows: Vec<Row>) -> Result<()> {
        let mut transaction = self.begin().await.map_err(Error::other)?;
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let count = if rest.len() < SQLITE_ROWS {
                1
            } else {
                SQLITE_ROWS
            };
            let (now, later) = rest.split_at(count);
            let row = format!("({})", vec!["?"; FIELDS].join(","));
            let statement = format!("INSERT INTO event VALUES {}", vec![row; count].join(","));
            let mut query = sqlx::query(AssertSqlSafe(statement));
            for row in now {
                query = query.bind(row.time);
                for text in &row.texts {
                    query = query.bind(text.as_str());
                }
                for hash in &row.hashes {
                    query = query.bind(hash.as_slice());
                }
            }
            query
                .execute(&mut *transaction)
                .await
                .map_err(Error::other)?;
            rest = later;
        }
        transaction.commit().await.map_err(Error::other)
    }
}

impl Sink for PgConnection {
    /// A statement is a transaction.
    async fn write(&mut self, rows: Vec<Row>) -> Result<()> {
        insert(self, rows).await
    }
}

async fn insert(connection: &mut PgConnection, rows: Vec<Row>) -> Result<()> {
    const STATEMENT: &str = "INSERT INTO event SELECT * FROM UNNEST($1::bigint[], $2::text[], $3::text[], \
         $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], \
         $11::text[], $12::bytea[], $13::bytea[], $14::bytea[])";
    let mut query = sqlx::query(STATEMENT);
    query = query.bind(rows.iter().map(|row| row.time).collect::<Vec<_>>());
    let (mut texts, mut hashes) = (
        [const { Vec::new() }; TEXTS],
        [const { Vec::new() }; HASHES],
    );
    for row in rows {
        texts
            .iter_mut()
            .zip(row.texts)
            .for_each(|(column, text)| column.push(text));
        hashes
            .iter_mut()
            .zip(row.hashes)
            .for_each(|(column, hash)| column.push(hash));
    }
    for column in texts {
        query = query.bind(column);
    }
    for column in hashes {
        query = query.bind(column);
    }
    query
        .execute(connection)
        .await
        .map_err(Error::other)
        .map(drop)
}

/// One writer for many callers: it commits all that wait.
#[derive(Clone)]
struct Writer(mpsc::Sender<(Row, oneshot::Sender<()>)>);

impl Writer {
    fn new(mut sink: impl Sink) -> Self {
        let (sender, mut receiver) = mpsc::channel(CALLERS);
        tokio::spawn(async move {
            let mut waiting = Vec::new();
            while receiver.recv_many(&mut waiting, CALLERS).await > 0 {
                let (rows, callers): (Vec<Row>, Vec<oneshot::Sender<()>>) =
                    waiting.drain(..).unzip();
                // A caller whose answer is dropped reports the failure.
                if sink.write(rows).await.is_ok() {
                    callers.into_iter().for_each(|caller| _ = caller.send(()));
                }
            }
        });
        Self(sender)
    }

    async fn write(&self, row: Row) -> Result<()> {
        let (sender, receiver) = oneshot::channel();
        let gone = || Error::other("the writer failed");
        self.0.send((row, sender)).await.map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())
    }
}

/// All that is compared.
struct Rivals {
    log: Arc<AuditLog>,
    sqlite: Writer,
    postgres: Writer,
    pool: PgPool,
    /// Runs as long as the rest.
    _server: Postgres,
}

impl Rivals {
    async fn start(folder: &Path) -> Result<Self> {
        let config = AuditConfig::new(folder.join("audit"), "bench");
        let log = AuditLog::open(config, Secret::new([7; 32]), Arc::new(SystemClock));
        let log = log.map_err(|fault| Error::other(fault.message))?;
        let sqlite = SqliteConnectOptions::new()
            .filename(folder.join("events.sqlite"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut sqlite = SqliteConnection::connect_with(&sqlite)
            .await
            .map_err(Error::other)?;
        let script = sqlx::raw_sql(AssertSqlSafe(table("BLOB")));
        script.execute(&mut sqlite).await.map_err(Error::other)?;
        let server = Postgres::start_durable(folder)?;
        let options = PgConnectOptions::new()
            .host("127.0.0.1")
            .port(server.port)
            .username("dataos")
            .password(&server.password)
            .database("postgres");
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .min_connections(CONNECTIONS);
        let pool = pool
            .connect_with(options.clone())
            .await
            .map_err(Error::other)?;
        let mut postgres = PgConnection::connect_with(&options)
            .await
            .map_err(Error::other)?;
        let script = sqlx::raw_sql(AssertSqlSafe(table("BYTEA")));
        script.execute(&mut postgres).await.map_err(Error::other)?;
        Ok(Self {
            log,
            sqlite: Writer::new(sqlite),
            postgres: Writer::new(postgres),
            pool,
            _server: server,
        })
    }

    /// Acknowledged events per second of each, in turn, with so many callers.
    async fn round(&self, width: usize, span: Duration) -> Result<Vec<f64>> {
        let log = Arc::clone(&self.log);
        let ours = callers(width, span, move |entry| {
            let log = Arc::clone(&log);
            async move {
                let appended = log.append(entry).await;
                appended
                    .map_err(|fault| Error::other(fault.message))
                    .map(drop)
            }
        });
        let mut rates = vec![ours.await?];
        for writer in [&self.sqlite, &self.postgres] {
            let writer = writer.clone();
            let theirs = callers(width, span, move |entry| {
                let writer = writer.clone();
                async move { writer.write(Row::of(entry)).await }
            });
            rates.push(theirs.await?);
        }
        if width > 1 {
            let pool = self.pool.clone();
            let theirs = callers(width, span, move |entry| {
                let pool = pool.clone();
                async move {
                    let mut connection = pool.acquire().await.map_err(Error::other)?;
                    insert(&mut connection, vec![Row::of(entry)]).await
                }
            });
            rates.push(theirs.await?);
        }
        Ok(rates)
    }
}

pub(super) fn run(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir_in(&options.folder)?;
    // PostgreSQL runs as its own user.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let span = Duration::from_millis(options.milliseconds);
    let mut figures = Vec::new();
    let rivals = runtime.block_on(Rivals::start(folder.path()))?;
    for width in [1, CALLERS] {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            rounds.push(runtime.block_on(rivals.round(width, span))?);
        }
        let names = [
            "the log",
            "SQLite, one writer",
            "PostgreSQL, one writer",
            "PostgreSQL, 64 connections",
        ];
        let mut ours = f64::NAN;
        for (position, name) in names.into_iter().enumerate() {
            let rates = rounds
                .iter()
                .filter_map(|rates| rates.get(position).copied());
            let mut rates: Vec<f64> = rates.collect();
            if rates.is_empty() {
                continue;
            }
            let rate = quantile(&mut rates, 0.5);
            figures.push(Figure::new(
                format!("{name}, {width} callers: durable events"),
                rate,
                "1/s",
            ));
            if position == 0 {
                ours = rate;
            } else {
                let figure = format!("the log to that, {width} callers");
                figures.push(Figure::ratio(figure, ours / rate, name));
            }
        }
    }
    rivals
        .log
        .close()
        .map_err(|fault| Error::other(fault.message))?;
    Ok(figures)
}

/// So many callers, each of which makes an event, waits until it is durable, and makes the next.
/// Events per second.
async fn callers<F>(
    width: usize,
    span: Duration,
    append: impl Fn(Entry) -> F + Clone + Send + 'static,
) -> Result<f64>
where
    F: Future<Output = Result<()>> + Send,
{
    // Never twice the same, whoever is measured next.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..width {
        let append = append.clone();
        tasks.spawn(async move {
            let mut count = 0_u64;
            while started.elapsed() < span {
                append(event(NEXT.fetch_add(1, Ordering::Relaxed))).await?;
                count += 1;
            }
            Ok::<_, Error>(count)
        });
    }
    let mut count = 0;
    while let Some(done) = tasks.join_next().await {
        count += done.map_err(Error::other)??;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}
