//! Governed queries as they cross the seam. No Arrow here: rows arrive encoded.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use serde::{Deserialize, Serialize};

use crate::{
    access::DatasetAccess, clock::Timestamp, dataset::ColumnType, dataset::DatasetId, fault::Fault,
    hash::Hash, principal::Principal, record::Receipt, value::Value,
};

/// The format of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RowFormat {
    /// Chunks that together form one JSON array of arrays; 64-bit integers and decimals as strings
    /// only where a double cannot hold them exactly.
    Json,
    /// One JSON object a line, with the values of `Json`.
    NdJson,
    /// RFC 4180 with a header line, with the values of `Json`; NULL is an empty field, an empty text `""`.
    Csv,
    /// An Arrow IPC stream.
    ArrowStream,
}

/// The SQL dialect of a statement, as its caller writes it. What an engine is sent is in the engine's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// ANSI SQL as Trino speaks it.
    #[serde(alias = "trino")]
    Ansi,
    /// PostgreSQL.
    #[serde(rename = "postgresql")]
    Postgres,
    /// MySQL and MariaDB, in their default mode.
    MySql,
    /// That of the embedded engine.
    #[default]
    DataFusion,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ansi, Self::Postgres, Self::MySql, Self::DataFusion];

    /// Its name in requests and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ansi => "ansi",
            Self::Postgres => "postgresql",
            Self::MySql => "mysql",
            Self::DataFusion => "datafusion",
        }
    }
}

/// A statement to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryRequest {
    /// Who.
    pub principal: Principal,
    /// Id of the call; the certificate's record carries it.
    pub request_id: String,
    /// One SQL statement.
    pub sql: String,
    /// The dialect that it is written in.
    #[serde(default)]
    pub dialect: Dialect,
    /// Facts about this call, such as `purpose`.
    pub context: BTreeMap<String, Value>,
    /// How the rows are to be encoded.
    pub format: RowFormat,
    /// Most rows wanted; the answer says if there were more.
    pub rows_max: Option<u64>,
}

/// A column of the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultColumn {
    /// Its name.
    pub name: String,
    /// Its type as the caller sees it.
    pub column_type: ColumnType,
    /// Whether it derives from a column that is masked for this caller.
    pub is_masked: bool,
}

/// What was enforced for one table of the statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableCertificate {
    /// The dataset.
    pub dataset: DatasetId,
    /// The PDP's answer.
    pub access: Arc<DatasetAccess>,
    /// User with whose rights is read what is behind it, if it is a view that lends them.
    pub definer: Option<String>,
}

/// What was enforced behind the views of a statement that lend their definers' rights. For the record, and to be
/// decided again; its caller is told of none of it but whose rights they were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lent {
    /// Digest of the queries of these views, and of those behind them.
    pub statement: Hash,
    /// Definers, and what was read with the rights of each.
    pub tables: BTreeMap<String, Vec<TableCertificate>>,
}

/// What was enforced, as recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Policy set under which all tables were decided.
    pub policy_set: Hash,
    /// Entity snapshot.
    pub entities: Hash,
    /// Digest of the governed statement.
    pub statement: Hash,
    /// The dialect that the caller's statement was in.
    #[serde(default)]
    pub dialect: Dialect,
    /// The governed statement, as sent to the engine.
    pub governed_sql: String,
    /// Where it ran.
    pub engine: String,
    /// One item per dataset that was read with the caller's rights.
    pub tables: Vec<TableCertificate>,
    /// What was read with the rights of others. Never for the caller.
    pub lent: Lent,
}

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct QueryAnswer {
    /// Columns of the result.
    pub columns: Vec<ResultColumn>,
    /// Encoded rows, in order.
    pub chunks: Vec<Bytes>,
    /// Number of rows in `chunks`.
    pub row_count: u64,
    /// Whether rows were left out because of the row limit.
    pub is_truncated: bool,
    /// What was enforced.
    pub certificate: Certificate,
    /// Receipt of the certificate's record.
    pub receipt: Receipt,
}

/// The answer to a query whose rows are read while they are sent.
#[derive(Debug)]
pub struct QueryStream {
    /// Columns of the result.
    pub columns: Vec<ResultColumn>,
    /// What was enforced.
    pub certificate: Certificate,
    /// Receipt of the certificate's record.
    pub receipt: Receipt,
    /// The rows.
    pub rows: Box<dyn RowStream>,
}

/// Encoded rows on their way. Dropped before its end, the statement is cancelled, and recorded as that.
pub trait RowStream: Send + Debug {
    /// The next part. Nothing comes behind an end or a fault.
    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Result<RowPart, Fault>>;

    /// How it will end, if that is known before.
    fn end(&self) -> Option<RowsEnd> {
        None
    }
}

/// What a stream of rows gives next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowPart {
    /// Encoded rows.
    Chunk(Bytes),
    /// There are no more.
    End(RowsEnd),
}

/// How a stream of rows ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowsEnd {
    /// Number of rows in all chunks.
    pub row_count: u64,
    /// Whether rows were left out because of the row limit that the caller gave.
    pub is_truncated: bool,
}

/// Where a kept query stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryState {
    /// It waits for a place among those that run.
    Queued,
    /// It runs.
    Running,
    /// Its result is kept.
    Succeeded,
    /// It failed or was refused.
    Failed(Box<Fault>),
    /// Its caller gave it up.
    Cancelled,
}

impl QueryState {
    /// The word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will come of it.
    pub fn has_ended(&self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// A query whose result is kept for its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptQuery {
    /// Its name.
    pub id: String,
    /// Where it stands.
    pub state: QueryState,
    /// The statement as it was sent.
    pub sql: String,
    /// The dialect that it is written in.
    pub dialect: Dialect,
    /// When it was sent.
    pub submitted_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Until when it is kept.
    pub expires_at: Option<Timestamp>,
    /// Rows of the result so far.
    pub row_count: u64,
    /// Bytes of the result so far.
    pub byte_count: u64,
    /// Whether rows were left out because of the row limit.
    pub is_truncated: bool,
    /// Index of the certificate's record, once there is one.
    pub certificate: Option<u64>,
}

/// Asks for rows of a kept query.
#[derive(Clone, Debug, PartialEq)]
pub struct PageRequest {
    /// Who.
    pub principal: Principal,
    /// Id of the call.
    pub request_id: String,
    /// Facts about this call.
    pub context: BTreeMap<String, Value>,
    /// The kept query.
    pub id: String,
    /// Where the page begins; the first row if absent.
    pub cursor: Option<String>,
    /// Most rows of it; all if absent.
    pub rows_max: Option<u64>,
    /// How its rows are to be encoded.
    pub format: RowFormat,
}

/// Rows of a kept query.
#[derive(Debug)]
pub struct QueryPage {
    /// The rows.
    pub answer: QueryStream,
    /// The kept query; absent where the first page has all rows, so that nothing is kept.
    pub id: Option<String>,
    /// Where the next page begins; absent on the last one.
    pub next: Option<String>,
}

/// Figures of a query layer, since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryFigures {
    /// Queries that run.
    pub running: u64,
    /// Queries that are kept.
    pub kept: u64,
    /// Bytes of their results.
    pub kept_bytes: u64,
    /// Results that are answered again.
    pub cached: u64,
    /// Bytes of them.
    pub cached_bytes: u64,
    /// How often a result was there.
    pub cache_hits: u64,
    /// How often one that could have been there was not.
    pub cache_misses: u64,
    /// Statements by how they ended.
    pub ended: Vec<(&'static str, u64)>,
    /// How often each bound was hit.
    pub bounds_hit: Vec<(&'static str, u64)>,
}
