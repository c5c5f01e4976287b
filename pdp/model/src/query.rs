//! Governed queries as they cross the seam. No Arrow here: rows arrive encoded.

use std::collections::BTreeMap;

use crate::{
    access::DatasetAccess, dataset::ColumnType, dataset::DatasetId, hash::Hash,
    principal::Principal, record::Receipt, value::Value,
};

/// The format of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowFormat {
    /// Chunks that together form one JSON array of arrays; 64-bit integers and decimals as strings
    /// only where a double cannot hold them exactly.
    Json,
    /// An Arrow IPC stream.
    ArrowStream,
}

/// A statement to run.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryRequest {
    /// Who.
    pub principal: Principal,
    /// Id of the call; the certificate's record carries it.
    pub request_id: String,
    /// One SQL statement.
    pub sql: String,
    /// Facts about this call, such as `purpose`.
    pub context: BTreeMap<String, Value>,
    /// How the rows are to be encoded.
    pub format: RowFormat,
    /// Most rows wanted; the answer says if there were more.
    pub rows_max: Option<u64>,
}

/// A column of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its name.
    pub name: String,
    /// Its type as the caller sees it.
    pub column_type: ColumnType,
    /// Whether it derives from a column that is masked for this caller.
    pub is_masked: bool,
}

/// What was enforced for one table of the statement.
#[derive(Clone, Debug, PartialEq)]
pub struct TableCertificate {
    /// The dataset.
    pub dataset: DatasetId,
    /// The PDP's answer.
    pub access: DatasetAccess,
}

/// What was enforced, as recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// Policy set under which all tables were decided.
    pub policy_set: Hash,
    /// Entity snapshot.
    pub entities: Hash,
    /// Digest of the governed statement.
    pub statement: Hash,
    /// The governed statement, as sent to the engine.
    pub governed_sql: String,
    /// Where it ran.
    pub engine: String,
    /// One item per base table.
    pub tables: Vec<TableCertificate>,
}

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct QueryAnswer {
    /// Columns of the result.
    pub columns: Vec<ResultColumn>,
    /// Encoded rows, in order.
    pub chunks: Vec<bytes::Bytes>,
    /// Number of rows in `chunks`.
    pub row_count: u64,
    /// Whether rows were left out because of the row limit.
    pub is_truncated: bool,
    /// What was enforced.
    pub certificate: Certificate,
    /// Receipt of the certificate's record.
    pub receipt: Receipt,
}
