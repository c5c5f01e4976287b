//! Limits of the query layer, and what it is joined to.

use std::{sync::Arc, time::Duration};

use dataos_model::{
    clock::Clock,
    fault::Fault,
    seams::{Assets, Decide, Identities, Record, Records, Secrets},
};

/// Name of the secret that keys masks.
pub const MASK_KEY: &str = "dataos/mask-key";

/// Limits. All are bounds of one process.
#[derive(Clone, Debug)]
pub struct QueryConfig {
    /// Memory of all running queries together, in bytes; sorts, joins and groups spill or fail.
    pub memory_bytes_max: usize,
    /// Longest run of one query.
    pub time_max: Duration,
    /// Most queries that run at a time.
    pub queries_max: usize,
    /// Longest wait for a place among them.
    pub queue_time_max: Duration,
    /// Rows of an answer if the caller does not say.
    pub rows_default: u64,
    /// Most rows of an answer, whatever the caller says.
    pub rows_max: u64,
    /// Most bytes of an encoded answer that is answered or kept whole.
    pub result_bytes_max: u64,
    /// Most bytes of an answer whose rows are read while they are sent.
    pub stream_bytes_max: u64,
    /// Most queries whose results are kept.
    pub kept_queries_max: usize,
    /// Most of them of one caller.
    pub kept_queries_per_caller_max: usize,
    /// Most bytes of all results that are kept.
    pub kept_bytes_max: u64,
    /// How long a result is kept, and a submitted query waits for its place.
    pub kept_time_max: Duration,
    /// Most bytes of all results that are answered again; none are, if 0.
    pub cache_bytes_max: u64,
    /// Threads' worth of work that one query is split into.
    pub partitions: usize,
    /// Most connections to source databases at a time.
    pub connections_max: usize,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self {
            memory_bytes_max: 1 << 30,
            time_max: Duration::from_secs(300),
            queries_max: 8,
            queue_time_max: Duration::from_secs(30),
            rows_default: 10_000,
            rows_max: 1_000_000,
            result_bytes_max: 64 << 20,
            stream_bytes_max: 64 << 30,
            kept_queries_max: 256,
            kept_queries_per_caller_max: 16,
            kept_bytes_max: 256 << 20,
            kept_time_max: Duration::from_secs(15 * 60),
            cache_bytes_max: 0,
            partitions: std::thread::available_parallelism().map_or(2, usize::from),
            connections_max: 16,
        }
    }
}

impl QueryConfig {
    /// Refuses limits under which no query could run.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let smallest = [
            ("memory_bytes_max", self.memory_bytes_max as u64),
            ("queries_max", self.queries_max as u64),
            ("rows_default", self.rows_default),
            ("rows_max", self.rows_max),
            ("result_bytes_max", self.result_bytes_max),
            ("stream_bytes_max", self.stream_bytes_max),
            ("kept_queries_max", self.kept_queries_max as u64),
            (
                "kept_queries_per_caller_max",
                self.kept_queries_per_caller_max as u64,
            ),
            ("kept_bytes_max", self.kept_bytes_max),
            ("partitions", self.partitions as u64),
            ("connections_max", self.connections_max as u64),
            (
                "time_max",
                u64::try_from(self.time_max.as_millis()).unwrap_or(u64::MAX),
            ),
        ];
        match smallest.iter().find(|(_, value)| *value == 0) {
            None => Ok(()),
            Some((name, _)) => Err(Fault::invalid(format!("query limit `{name}` is 0"))
                .with_hint("set it to 1 or more")),
        }
    }
}

/// The rooms that the query layer speaks to.
#[derive(Clone, Debug)]
pub struct QuerySeams {
    /// Decides.
    pub decide: Arc<dyn Decide>,
    /// Takes records.
    pub record: Arc<dyn Record>,
    /// Gives the rows of the audit log; absent where there is none.
    pub records: Option<Arc<dyn Records>>,
    /// Knows datasets.
    pub assets: Arc<dyn Assets>,
    /// Knows the accounts whose rights views lend.
    pub identities: Arc<dyn Identities>,
    /// Keeps passwords of sources and the key of masks.
    pub secrets: Arc<dyn Secrets>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}
