//! A table of a database, whichever kind of database it is.
//!
//! A read runs in a task of its own and hands over batches through a channel that holds few. The task
//! ends when nobody waits for rows any more; what a database still does for it then is ended by what
//! the database's own `read` leaves behind when it is dropped.

use std::{collections::BTreeSet, fmt, sync::Arc};

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
    select::Select,
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

    /// The statement for what `select` makes of the rows that `reads` ask for, as far as it is known before the
    /// database was asked anything; `None` if it has no exact form.
    fn statement(&self, reads: &[Read], select: &Select) -> Option<String>;

    /// Hands what `select` makes of the rows that `reads` ask for to `rows`, in an order of its values, or nothing
    /// of it. Otherwise as `read`.
    ///
    /// # Errors
    /// As `read`.
    async fn select(
        &self,
        reads: &[Read],
        select: &Select,
        rows: &mut Rows,
    ) -> Result<Answered, Fault>;
}

/// How a database answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// All rows were handed over.
    Whole,
    /// None was: what it would give is not exact.
    Declined,
}

/// One read of some columns of a table.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) dataset: Arc<Dataset>,
    /// The schema that the table is in.
    pub(super) space: String,
    pub(super) table: String,
    pub(super) columns: Vec<Column>,
    pub(super) schema: SchemaRef,
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

/// See [`open`].
#[derive(Debug)]
pub(crate) struct Table {
    database: Arc<dyn Database>,
    all: Read,
}

impl Table {
    /// Its part in a statement: the rows that satisfy `rows` and `filters`, with these columns and what the
    /// conditions read.
    pub(crate) fn part(
        &self,
        rows: &Predicate,
        filters: Vec<Expr>,
        mut names: BTreeSet<String>,
    ) -> Option<Part> {
        names.extend(rows.columns());
        for filter in &filters {
            let columns = filter.column_refs();
            names.extend(columns.into_iter().map(|column| column.name.clone()));
        }
        let all = self.all.columns.iter().enumerate();
        let (indexes, columns): (Vec<usize>, Vec<Column>) = all
            .filter(|(_, column)| names.contains(&column.name))
            .map(|(index, column)| (index, column.clone()))
            .unzip();
        let read = Read {
            columns,
            schema: Arc::new(self.all.schema.project(&indexes).ok()?),
            rows: rows.clone(),
            filters,
            takes_keys: false,
            ..self.all.clone()
        };
        let database = Arc::clone(&self.database);
        Some(Part { database, read })
    }
}

/// Rows of a table that a statement reads.
#[derive(Debug)]
pub(crate) struct Part {
    pub(super) database: Arc<dyn Database>,
    pub(super) read: Read,
}

impl Part {
    /// Whether some rows of the table may be left out.
    pub(crate) fn is_filtered(&self) -> bool {
        self.read.rows != Predicate::ALWAYS || !self.read.filters.is_empty()
    }
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

/// Some of the rows, how they ended, or the fault that ends them.
type Message = Result<Told, Fault>;

/// See [`Message`].
enum Told {
    Batch(RecordBatch),
    End(Answered),
}

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
        let sent = self.to.send(Ok(Told::Batch(batch))).await;
        sent.map_err(|_| Fault::internal("rows that nobody takes"))
    }
}

/// Reads in a task of its own, from when the first row is asked for; then `read` says what.
pub(super) fn started(
    database: Arc<dyn Database>,
    read: impl FnOnce() -> Read + Send,
) -> impl Stream<Item = Result<RecordBatch, Fault>> + Send {
    let start = async move { received(spawned(database, Asked::Rows(read())), None) };
    futures::stream::once(start).flatten()
}

/// Has a statement answered in a task of its own; none if the database declines.
///
/// # Errors
/// As [`Database::select`].
pub(super) async fn selected(
    database: Arc<dyn Database>,
    reads: Arc<[Read]>,
    select: Arc<Select>,
) -> Result<Option<impl Stream<Item = Result<RecordBatch, Fault>> + Send>, Fault> {
    let mut from = spawned(database, Asked::Select(reads, select));
    let first = match from.recv().await {
        Some(Ok(Told::End(Answered::Declined))) => return Ok(None),
        Some(Err(fault)) => return Err(fault),
        first => first,
    };
    Ok(Some(received(from, first)))
}

/// The messages behind `first`, which was received before.
fn received(
    from: mpsc::Receiver<Message>,
    first: Option<Message>,
) -> impl Stream<Item = Result<RecordBatch, Fault>> {
    futures::stream::unfold((Some(from), first), |(from, first)| async {
        let mut from = from?;
        let next = match first {
            Some(first) => Some(first),
            None => from.recv().await,
        };
        match next {
            Some(Ok(Told::Batch(batch))) => Some((Ok(batch), (Some(from), None))),
            Some(Ok(Told::End(_))) => None,
            Some(Err(fault)) => Some((Err(fault), (None, None))),
            // Not even a fault: the task is gone. Rows must not end as if these were all.
            None => {
                let fault = Fault::internal("the reader of a source is gone");
                Some((Err(fault), (None, None)))
            }
        }
    })
}

/// What a database is asked for.
enum Asked {
    Rows(Read),
    Select(Arc<[Read]>, Arc<Select>),
}

impl Asked {
    /// Where its rows are put on their way to the receiver.
    fn batches(&self) -> Batches {
        match self {
            Self::Rows(read) => {
                let columns = read.columns.iter().cloned();
                let columns = columns.map(|column| (Arc::clone(&read.dataset), column));
                Batches::new(columns.collect(), Arc::clone(&read.schema))
            }
            Self::Select(reads, select) => {
                let columns = select.outputs.iter().filter_map(|output| {
                    let read = reads.get(output.table)?;
                    Some((Arc::clone(&read.dataset), output.what.clone()))
                });
                Batches::new(columns.collect(), Arc::clone(&select.schema))
            }
        }
    }
}

fn spawned(database: Arc<dyn Database>, asked: Asked) -> mpsc::Receiver<Message> {
    let (to, from) = mpsc::channel(BATCHES_WAITING_MAX);
    tokio::spawn(run(database, asked, to));
    from
}

async fn run(database: Arc<dyn Database>, asked: Asked, to: mpsc::Sender<Message>) {
    let mut rows = Rows {
        batches: asked.batches(),
        to: to.clone(),
    };
    let reading = async {
        let answered = match &asked {
            Asked::Rows(read) => {
                database.read(read, &mut rows).await?;
                Answered::Whole
            }
            Asked::Select(reads, select) => database.select(reads, select, &mut rows).await?,
        };
        if !rows.batches.is_empty() {
            rows.flush().await?;
        }
        Ok(Told::End(answered))
    };
    let ended = tokio::select! {
        biased;
        () = to.closed() => return,
        ended = reading => ended,
    };
    // If nobody waits for the end, nobody misses it.
    to.send(ended).await.ok();
}
