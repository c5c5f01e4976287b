//! Runs a governed statement on the embedded engine.

use std::{
    collections::HashMap,
    iter,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use datafusion::{
    arrow::datatypes::{Fields, Schema},
    catalog::TableProvider,
    common::Result as EngineResult,
    execution::SessionState,
    logical_expr::LogicalPlan,
    physical_plan::ExecutionPlan,
};
use dataos_model::{
    access::CellOutcome,
    dataset::DatasetId,
    depot::AssetSnapshot,
    fault::{Fault, FaultKind},
    predicate::Predicate,
    query::{RowFormat, RowsEnd},
    seams::Secrets,
    secret::SecretName,
};
use dataos_sql::{Bound, OutputColumn};
use futures::future::join_all;
use uuid::Uuid;

use crate::{
    config::MASK_KEY,
    encode::{Encoded, Encoder},
    engine::{
        correlated::optimized,
        cut::cut,
        failure::{Detail, fault, unbroken, unnamed},
        governed::GovernedTable,
        numbered::NumberedTable,
        same::same_named,
        session::{Sessions, plan, register},
        threads::{Running, Threads},
        view,
    },
    grant::Grant,
    mask::key::MaskKeys,
    rights::{Grants, Rights},
    shown::Shown,
    source::{Exchange, Sources},
    views::BoundView,
};

/// Sources of one statement that are opened at a time.
const OPENED_AT_A_TIME_MAX: usize = 8;

/// A statement planned over its governed tables.
pub(crate) struct Planned {
    pub(crate) threads: Arc<Threads>,
    pub(crate) session: SessionState,
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    /// Its columns, each under the name that it has in an answer.
    pub(crate) schema: Arc<Schema>,
    pub(crate) detail: Detail,
}

/// What statements are planned over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planner<'a> {
    pub(crate) sessions: &'a Sessions,
    pub(crate) sources: &'a Sources,
    pub(crate) secrets: &'a dyn Secrets,
    pub(crate) snapshot: &'a AssetSnapshot,
    pub(crate) grants: &'a Grants,
    pub(crate) views: &'a [BoundView],
}

/// What the first table of a statement stands for.
#[derive(Clone, Debug)]
pub(crate) enum First<'a> {
    /// For the dataset, as every other.
    Dataset,
    /// For the dataset with the number of each row, as this grant shows it.
    Numbered(&'a Grant),
    /// For these raw rows of the dataset.
    Rows(Arc<dyn TableProvider>),
}

/// Opens the tables of a bound statement, as granted, and plans it.
///
/// # Errors
/// A source that cannot be opened, or a statement that does not fit the types of its columns.
pub(crate) async fn planned(
    planner: Planner<'_>,
    bound: &Bound,
    first: First<'_>,
) -> Result<Planned, Fault> {
    let Planner {
        sessions,
        sources,
        secrets,
        snapshot,
        grants,
        views: _,
    } = planner;
    let detail = if !grants.definers.is_empty() {
        Detail::Lent
    } else if grants.caller.iter().all(|grant| grant.is_transparent()) {
        Detail::Shown
    } else {
        Detail::Hidden
    };
    let session = sessions.open(grants.all().map(|grant| grant.dataset.as_ref()));
    let keys = mask_keys(grants, secrets).await?;
    let exchange = Exchange::of(grants.all().map(|grant| grant.dataset.as_ref()));
    let opened = opened(planner, &session, keys.as_ref(), exchange, detail).await?;
    for (table, is_first) in bound
        .tables
        .iter()
        .zip(iter::once(true).chain(iter::repeat(false)))
    {
        let found = find(&opened, &Rights::Caller, &table.dataset);
        let Opened {
            grant, provider, ..
        } = found.ok_or_else(|| Fault::internal(format!("`{}` was not decided", table.dataset)))?;
        let provider = match &first {
            First::Numbered(numbered) if is_first => {
                let raw = sources
                    .open(
                        &session,
                        snapshot,
                        &grant.dataset,
                        &Predicate::ALWAYS,
                        exchange,
                    )
                    .await?;
                let raw = Arc::new(NumberedTable::new(raw));
                let numbered = Arc::new(Grant::clone(numbered));
                Arc::new(GovernedTable::new(numbered, raw, keys.clone()))
            }
            First::Rows(raw) if is_first => {
                let (grant, raw) = (Arc::clone(grant), Arc::clone(raw));
                Arc::new(GovernedTable::new(grant, raw, keys.clone()))
            }
            First::Dataset | First::Numbered(_) | First::Rows(_) => Arc::clone(provider),
        };
        register(&session, &table.governed_name, provider)
            .map_err(|error| fault(&error, detail))?;
    }
    let logical = plan(&session, bound.emit())
        .await
        .and_then(same_named)
        .map_err(|error| fault(&error, detail))?;
    let plan = physical(&session, logical)
        .await
        .map_err(|error| fault(&error, detail))?;
    Ok(Planned {
        threads: Arc::clone(sessions.threads()),
        session,
        schema: Arc::new(named(&plan.schema(), &bound.columns)),
        plan,
        detail,
    })
}

/// A schema with the names of the answer: the text has none where nobody asked for one.
fn named(schema: &Schema, columns: &[OutputColumn]) -> Schema {
    let names = columns.iter().map(|column| Some(&column.engine_name));
    let fields = schema.fields().iter();
    let named = fields.zip(names.chain(iter::repeat(None)));
    let named = named.map(|(field, name)| match name {
        Some(name) => Arc::new(field.as_ref().clone().with_name(name)),
        None => Arc::clone(field),
    });
    Schema::new(named.collect::<Fields>())
}

/// The plan that runs, with what a source computes whole cut out of it.
async fn physical(
    state: &SessionState,
    logical: LogicalPlan,
) -> EngineResult<Arc<dyn ExecutionPlan>> {
    let logical = cut(optimized(state, logical)?)?;
    let planner = state.query_planner();
    planner.create_physical_plan(&logical, state).await
}

/// A dataset as granted, and its rows.
struct Opened {
    rights: Rights,
    grant: Arc<Grant>,
    provider: Arc<dyn TableProvider>,
}

fn find<'a>(opened: &'a [Opened], rights: &Rights, dataset: &DatasetId) -> Option<&'a Opened> {
    let mut opened = opened.iter();
    opened.find(|one| one.rights == *rights && one.grant.dataset.id == *dataset)
}

/// All tables that were granted: those of sources, and views over them, inner ones first.
async fn opened(
    planner: Planner<'_>,
    session: &SessionState,
    keys: Option<&MaskKeys>,
    exchange: Exchange,
    detail: Detail,
) -> Result<Vec<Opened>, Fault> {
    let Planner {
        sessions,
        grants,
        views,
        ..
    } = planner;
    let governed = |rights: &Rights, grant: Arc<Grant>, raw| {
        let table = GovernedTable::new(Arc::clone(&grant), raw, keys.cloned());
        let table = match rights {
            Rights::Caller => table.counted(sessions.counts()),
            Rights::Definer(_) => table,
        };
        Opened {
            rights: rights.clone(),
            provider: Arc::new(table),
            grant,
        }
    };
    let raw = raw_tables(planner, session, exchange).await?;
    let mut opened: Vec<Opened> = Vec::new();
    for (rights, grant) in grants.each().filter(|(_, grant)| grant.view().is_none()) {
        let raw = raw.get(&grant.dataset.id).map(Arc::clone);
        let raw = raw.ok_or_else(|| Fault::internal("a table that was not opened"))?;
        opened.push(governed(&rights, Arc::clone(&grant.grant), raw));
    }
    for view in views {
        let grant = grants.find(&view.reader, &view.dataset);
        let grant = grant.ok_or_else(|| Fault::internal("a view that was not decided"))?;
        let tables = view.bound.tables.iter().map(|table| {
            let found = find(&opened, &view.behind, &table.dataset);
            let found = found.ok_or_else(|| Fault::internal("a table behind a view"))?;
            Ok((table.governed_name.clone(), Arc::clone(&found.provider)))
        });
        let tables = tables.collect::<Result<Vec<_>, Fault>>()?;
        let raw = view::open(sessions, &view.bound, &grant.dataset.schema, tables)
            .await
            .map_err(|error| view.told(fault(&error, detail)))?;
        let retyped = grant.retyped(&view::types(&raw.schema()));
        let grant = Arc::new(Grant {
            is_fenced: view.bound.is_aggregated() || view.lends(),
            ..retyped.map_err(|fault| view.told(fault))?
        });
        opened.push(governed(&view.reader, grant, raw));
    }
    Ok(opened)
}

/// The raw rows of the datasets of a statement, several opened at a time. One that is granted to several is opened
/// once, so that all of them see one version of it.
async fn raw_tables<'a>(
    planner: Planner<'a>,
    session: &SessionState,
    exchange: Exchange,
) -> Result<HashMap<&'a DatasetId, Arc<dyn TableProvider>>, Fault> {
    let Planner {
        sources,
        snapshot,
        grants,
        ..
    } = planner;
    let mut wanted: Vec<(Rights, &Shown, bool)> = Vec::new();
    for (rights, grant) in grants.each().filter(|(_, grant)| grant.view().is_none()) {
        let mut known = wanted.iter_mut();
        match known.find(|(_, known, _)| known.dataset.id == grant.dataset.id) {
            Some((.., is_shared)) => *is_shared = true,
            None => wanted.push((rights, grant, false)),
        }
    }
    let mut raw = HashMap::with_capacity(wanted.len());
    for some in wanted.chunks(OPENED_AT_A_TIME_MAX) {
        let opening = some.iter().map(|(_, grant, is_shared)| {
            let rows = if *is_shared {
                &Predicate::ALWAYS
            } else {
                &grant.access.rows
            };
            sources.open(session, snapshot, &grant.dataset, rows, exchange)
        });
        for ((rights, grant, _), opened) in some.iter().zip(join_all(opening).await) {
            let opened = opened.map_err(|fault| match rights {
                Rights::Caller => fault,
                Rights::Definer(_) => unnamed(&fault),
            })?;
            raw.insert(&grant.dataset.id, opened);
        }
    }
    Ok(raw)
}

impl Planned {
    /// Starts the statement.
    ///
    /// # Errors
    /// The engine's failure, without its text.
    pub(crate) fn start(&self) -> Result<Running, Fault> {
        let (plan, context) = (Arc::clone(&self.plan), self.session.task_ctx());
        Running::start(&self.threads, plan, context).map_err(|error| fault(&error, self.detail))
    }

    /// The columns that come out.
    pub(crate) fn schema(&self) -> Arc<Schema> {
        Arc::clone(&self.schema)
    }

    /// Starts it; its rows come encoded, at most `rows_max` of them.
    ///
    /// # Errors
    /// As `start`, or a schema that the format has no place for.
    pub(crate) fn rows(
        &self,
        format: RowFormat,
        rows_max: u64,
        bytes_max: u64,
    ) -> Result<Rows, Fault> {
        Ok(Rows {
            encoder: Encoder::new(format, &self.schema(), bytes_max)?,
            batches: self.start()?,
            detail: self.detail,
            rows_left: usize::try_from(rows_max).unwrap_or(usize::MAX),
            is_truncated: false,
            is_over: false,
        })
    }

    /// Runs it to its end or to `rows_max` rows; says whether there were more.
    ///
    /// # Errors
    /// The engine's failure, a source's, or a result that is too large.
    pub(crate) async fn encoded(
        &self,
        format: RowFormat,
        rows_max: u64,
        bytes_max: u64,
        progress: &Progress,
    ) -> Result<(Encoded, bool), Fault> {
        let mut rows = self.rows(format, rows_max, bytes_max)?;
        while !rows.is_over {
            rows.step().await?;
            progress.note(&rows);
        }
        let Rows {
            encoder,
            is_truncated,
            ..
        } = rows;
        Ok((encoder.finish()?, is_truncated))
    }
}

/// How far a statement is, for those who ask while it runs.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) is_running: AtomicBool,
    pub(crate) row_count: AtomicU64,
    pub(crate) byte_count: AtomicU64,
}

impl Progress {
    fn note(&self, rows: &Rows) {
        let (row_count, byte_count) = rows.encoder.counts();
        self.row_count.store(row_count, Ordering::Relaxed);
        self.byte_count.store(byte_count, Ordering::Relaxed);
    }
}

/// The encoded rows of a statement that runs. Dropped, it stops the statement.
pub(crate) struct Rows {
    encoder: Encoder,
    batches: Running,
    detail: Detail,
    rows_left: usize,
    is_truncated: bool,
    /// Whether all rows are encoded.
    is_over: bool,
}

impl Rows {
    /// Encodes one more batch, if there is one.
    async fn step(&mut self) -> Result<(), Fault> {
        // Nothing is read behind a fault.
        let next = unbroken(async { Ok(self.batches.next().await) }).await;
        let Some(batch) = next.inspect_err(|_| self.is_over = true)? else {
            self.batches.learn();
            self.is_over = true;
            return Ok(());
        };
        let batch = batch.map_err(|error| fault(&error, self.detail))?;
        if batch.num_rows() > self.rows_left {
            self.encoder.push(&batch.slice(0, self.rows_left))?;
            self.is_truncated = true;
            self.is_over = true;
            return Ok(());
        }
        self.rows_left -= batch.num_rows();
        self.encoder.push(&batch)
    }

    /// The next chunks; none behind the last.
    ///
    /// # Errors
    /// As [`Planned::encoded`].
    pub(crate) async fn next(&mut self) -> Result<Vec<Bytes>, Fault> {
        loop {
            if self.is_over {
                return Ok(Vec::new());
            }
            self.step().await?;
            if self.is_over {
                self.encoder.close()?;
            }
            let chunks = self.encoder.take();
            if !chunks.is_empty() {
                return Ok(chunks);
            }
        }
    }

    /// Whether the last chunk was given.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// How many rows there are so far, and whether some were left out.
    pub(crate) fn end(&self) -> RowsEnd {
        RowsEnd {
            row_count: self.encoder.counts().0,
            is_truncated: self.is_truncated,
        }
    }
}

/// The keys of masks, if one of the grants has any that need them.
async fn mask_keys(grants: &Grants, secrets: &dyn Secrets) -> Result<Option<MaskKeys>, Fault> {
    let mut rules = grants
        .all()
        .flat_map(|grant| &grant.columns)
        .flat_map(|column| &column.rules);
    let needs_key =
        rules.any(|rule| matches!(&rule.outcome, CellOutcome::Masked(mask) if mask.is_keyed()));
    if !needs_key {
        return Ok(None);
    }
    let name = SecretName(MASK_KEY.to_owned());
    let key = secrets.get(&name).await.map_err(|_| {
        Fault::unavailable("the key of masks cannot be read")
            .with_reason("mask_key")
            .with_hint(format!("ask the operator to store the secret `{MASK_KEY}`"))
    })?;
    if key.expose().is_empty() {
        return Err(Fault::unavailable("the key of masks is empty").with_reason("mask_key"));
    }
    // No other statement has this name, so nothing drawn by it can be linked to another's.
    let statement = Uuid::new_v4();
    Ok(Some(MaskKeys::new(Arc::new(key), statement.as_bytes())))
}

/// The end of a query that ran too long.
pub(crate) fn overdue(time_max: Duration) -> Fault {
    Fault::new(
        FaultKind::Timeout,
        format!("the query ran longer than {} ms", time_max.as_millis()),
    )
    .with_reason("time_limit")
    .with_hint("read fewer rows, or filter earlier")
}
