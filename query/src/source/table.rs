//! A table of a database, whichever kind of database it is.
//!
//! A read runs in a task of its own and hands over batches through a channel that holds few. The task
//! ends when nobody waits for rows any more; what a database still does for it then is ended by what
//! the database's own `read` leaves behind when it is dropped.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    catalog::{Session, TableProvider},
    common::Result as EngineResult,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};
use dataos_model::{
    dataset::{Column, ColumnType},
    depot::Dataset,
    fault::Fault,
    predicate::Predicate,
};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::{
    batch::{Batches, Cell, Unfit},
    read::{Keys, ReadExec},
};
use crate::column::arrow_schema;

/// Batches that wait to be taken; a source that is faster waits.
const BATCHES_WAITING_MAX: usize = 2;

/// A database whose tables are read.
#[async_trait]
pub(super) trait Database: fmt::Debug + Send + Sync {
    /// Hands each row that `read` asks for to `rows`. If it is dropped before it returns, it leaves
    /// nothing running at the source.
    ///
    /// # Errors
    /// A database that cannot be reached, that fails, or whose table is not what the catalog knows.
    async fn read(&self, read: &Read, rows: &mut Rows) -> Result<(), Fault>;
}

/// One read of some columns of a table.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) dataset: Arc<Dataset>,
    /// The schema that the table is in.
    pub(super) space: String,
    pub(super) table: String,
    pub(super) columns: Vec<Column>,
    schema: SchemaRef,
    /// What the caller's rows satisfy. All are filtered again, so a source may send more.
    pub(super) rows: Predicate,
    /// What rows must satisfy to be of use to the statement; they are filtered again too.
    pub(super) filters: Vec<Expr>,
    /// Whether keys that joins found in other sources may be sent to this one.
    pub(super) takes_keys: bool,
    /// Such keys: rows with others are of no use either.
    pub(super) keys: Vec<Keys>,
}

/// The rows of a table. Nothing is connected before the scan runs.
pub(super) fn open(
    database: Arc<dyn Database>,
    dataset: &Dataset,
    (space, table): (&str, &str),
    rows: &Predicate,
    takes_keys: bool,
) -> Arc<dyn TableProvider> {
    let all = Read {
        dataset: Arc::new(dataset.clone()),
        space: space.to_owned(),
        table: table.to_owned(),
        columns: dataset.schema.columns.clone(),
        schema: arrow_schema(&dataset.schema),
        rows: rows.clone(),
        filters: Vec::new(),
        takes_keys,
        keys: Vec::new(),
    };
    Arc::new(Table { database, all })
}

#[derive(Debug)]
struct Table {
    database: Arc<dyn Database>,
    all: Read,
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.all.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let mut read = self.all.clone();
        read.filters = filters.to_vec();
        if let Some(indexes) = projection {
            let columns = indexes.iter().filter_map(|at| self.all.columns.get(*at));
            read.columns = columns.cloned().collect();
            read.schema = Arc::new(self.all.schema.project(indexes)?);
        }
        let schema = Arc::clone(&read.schema);
        let database = Arc::clone(&self.database);
        Ok(Arc::new(ReadExec::new(database, read, schema)))
    }

    /// What the source takes of a filter is known when it is read; the engine keeps all.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

/// A batch, the end of the rows, or the fault that ends them.
type Message = Result<Option<RecordBatch>, Fault>;

/// Where a database puts the rows that it reads.
pub(super) struct Rows {
    batches: Batches,
    to: mpsc::Sender<Message>,
}

impl Rows {
    /// Adds a row, of which `cell` gives the value of each column; `settle` follows.
    ///
    /// # Errors
    /// Names the first column whose value does not fit.
    pub(super) fn push<'a>(
        &mut self,
        cell: impl Fn(usize, &ColumnType) -> Result<Cell<'a>, Unfit>,
    ) -> Result<(), Fault> {
        self.batches.push(cell)
    }

    /// Hands a full batch over, and waits if enough are waiting.
    ///
    /// # Errors
    /// Nobody takes rows any more.
    pub(super) async fn settle(&mut self) -> Result<(), Fault> {
        if self.batches.is_full() {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        let batch = self.batches.take()?;
        let sent = self.to.send(Ok(Some(batch))).await;
        sent.map_err(|_| Fault::internal("rows that nobody takes"))
    }
}

/// Reads in a task of its own, from when the first row is asked for; then `read` says what.
pub(super) fn started(
    database: Arc<dyn Database>,
    read: impl FnOnce() -> Read + Send,
) -> impl Stream<Item = Result<RecordBatch, Fault>> + Send {
    let start = async move {
        let (to, from) = mpsc::channel(BATCHES_WAITING_MAX);
        tokio::spawn(run(database, read(), to));
        from
    };
    futures::stream::once(start).flat_map(received)
}

fn received(from: mpsc::Receiver<Message>) -> impl Stream<Item = Result<RecordBatch, Fault>> {
    futures::stream::unfold(Some(from), |from| async {
        let mut from = from?;
        match from.recv().await {
            Some(Ok(Some(batch))) => Some((Ok(batch), Some(from))),
            Some(Ok(None)) => None,
            Some(Err(fault)) => Some((Err(fault), None)),
            // Not even a fault: the task is gone. Rows must not end as if these were all.
            None => Some((Err(Fault::internal("the reader of a source is gone")), None)),
        }
    })
}

async fn run(database: Arc<dyn Database>, read: Read, to: mpsc::Sender<Message>) {
    let (dataset, columns) = (Arc::clone(&read.dataset), read.columns.clone());
    let mut rows = Rows {
        batches: Batches::new(dataset, columns, Arc::clone(&read.schema)),
        to: to.clone(),
    };
    let reading = async {
        database.read(&read, &mut rows).await?;
        if !rows.batches.is_empty() {
            rows.flush().await?;
        }
        Ok(None)
    };
    let ended = tokio::select! {
        biased;
        () = to.closed() => return,
        ended = reading => ended,
    };
    // If nobody waits for the end, nobody misses it.
    to.send(ended).await.ok();
}
