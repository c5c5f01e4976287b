//! The path of one statement: parse, decide, bind, record, execute, record the outcome.

mod cache;
mod granted;
mod keep;
mod open;
mod reflect;
mod run;
mod stream;
mod writes;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use datafusion::{
    arrow::{array::RecordBatch, datatypes::Schema},
    physical_plan::displayable,
};
use dataos_model::{
    access::AccessRequest,
    action::Action,
    annotation::Call,
    decision::{Decision, Request},
    depot::{AssetSnapshot, Definer},
    fault::{Fault, FaultKind},
    obligation::Obliged,
    query::{QueryAnswer, QueryFigures, QueryRequest, QueryStream, ResultColumn},
    seams::{KeepQueries, RunQuery},
};
use dataos_sql::{Bound, BoundKind, Explained, Kind, Statement, Tables};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    cached::Cached,
    certificate::{self, Basis, Refusal},
    column::column_type,
    config::{QueryConfig, QuerySeams},
    encode::{Encoded, Encoder},
    engine::{failure::unbroken, session::Sessions},
    execute::{First, Planned, Planner, Progress, planned},
    explain,
    figures::Figures,
    kept::Kept,
    known::{Governed, Known},
    obligation,
    questions::Questions,
    resolve::{LastParts, SnapshotNames, visible},
    rights::{Grants, Rights},
    shown::AllShown,
    source::Sources,
    views::{self, Views},
    write::{
        retired::{Retired, Running},
        rules,
        turns::{Turn, Turns},
    },
};

/// The layer carries out no obligation on a write: a policy that permits one under some does not permit here.
const KNOWS_NONE: fn(&Call) -> bool = |_| false;

/// The governed query layer.
#[derive(Debug)]
pub struct QueryLayer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: QueryConfig,
    seams: QuerySeams,
    /// Decides on writes.
    writes: Obliged,
    sessions: Sessions,
    sources: Sources,
    places: Arc<Semaphore>,
    turns: Turns,
    retired: Retired,
    kept: Arc<Kept>,
    cached: Arc<Cached>,
    last_parts: LastParts,
    known: Known,
    shown: AllShown,
    figures: Arc<Figures>,
}

/// A statement that may run, and all that is needed to run it.
struct Prepared {
    snapshot: Arc<AssetSnapshot>,
    governed: Arc<Governed>,
    /// Who lends his rights to the view that the statement makes.
    lender: Option<Definer>,
    action: Action,
    questions: Questions,
    /// What permits a write.
    permits: Vec<(Request, Decision)>,
    /// Held until the write has ended.
    _turn: Option<Turn>,
    /// Held while its files may be read.
    _running: Running,
}

/// A statement's tables in a catalog.
struct Resolved {
    snapshot: Arc<AssetSnapshot>,
    tables: Tables,
    /// Whether its names mean the same for everybody.
    is_anyones: bool,
}

/// What came of it.
struct Performed {
    encoded: Encoded,
    columns: Vec<ResultColumn>,
    is_truncated: bool,
    /// Rows that a write added, changed or removed.
    rows_written: Option<u64>,
    /// Whether nothing was run for it.
    is_cached: bool,
}

impl QueryLayer {
    /// Opens the layer.
    ///
    /// # Errors
    /// A limit of zero, or an engine that does not start.
    pub fn open(config: QueryConfig, seams: QuerySeams) -> Result<Arc<Self>, Fault> {
        config.check()?;
        let seams = QuerySeams {
            decide: Arc::new(Obliged::new(seams.decide, obligation::is_known)),
            ..seams
        };
        let sessions = Sessions::new(&config)?;
        let sources = Sources::new(
            Arc::clone(&seams.secrets),
            seams.records.clone(),
            config.connections_max,
            config.time_max,
        );
        let places = Arc::new(Semaphore::new(config.queries_max));
        let figures = Arc::new(Figures::default());
        let inner = Inner {
            kept: Arc::new(Kept::new(&config, Arc::clone(&seams.clock))),
            cached: Arc::new(Cached::new(config.cache_bytes_max)),
            last_parts: LastParts::default(),
            known: Known::default(),
            shown: AllShown::default(),
            config,
            writes: Obliged::new(Arc::clone(&seams.decide), KNOWS_NONE),
            seams,
            sessions,
            sources,
            places,
            turns: Turns::default(),
            retired: Retired::default(),
            figures,
        };
        Ok(Arc::new(Self {
            inner: Arc::new(inner),
        }))
    }

    /// The governed text of a statement, for benchmarks and tests: nothing is run and nothing recorded. Never
    /// reachable from a request.
    ///
    /// # Errors
    /// As `run`.
    pub async fn rewrite(&self, request: &QueryRequest) -> Result<String, Fault> {
        let prepared = self.inner.prepare(request).await;
        let prepared = prepared.map_err(|refusal| refusal.fault)?;
        Ok(prepared.governed.certificate.governed_sql.clone())
    }

    /// The engine's physical plan of a query, for benchmarks and tests: it names masks and filters,
    /// and nothing is recorded. Never reachable from a request.
    ///
    /// # Errors
    /// As `run`.
    pub async fn physical_plan(&self, request: &QueryRequest) -> Result<String, Fault> {
        let prepared = self
            .inner
            .prepare(request)
            .await
            .map_err(|refusal| refusal.fault)?;
        let planned = self.inner.plan(&prepared).await?;
        Ok(displayable(planned.plan.as_ref()).indent(false).to_string())
    }
}

impl Inner {
    async fn place(&self, queue_time_max: Duration) -> Result<OwnedSemaphorePermit, Fault> {
        let places = Arc::clone(&self.places);
        let waited = tokio::time::timeout(queue_time_max, places.acquire_owned()).await;
        match waited {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Fault::unavailable(format!(
                "{} queries are running and none ended in time",
                self.config.queries_max
            ))
            .with_reason("busy")
            .with_hint("try again later")),
        }
    }

    /// The tables that a statement names in a catalog.
    async fn resolve(
        &self,
        request: &QueryRequest,
        statement: &Statement,
        snapshot: Arc<AssetSnapshot>,
    ) -> Result<Resolved, Refusal> {
        let decide = self.seams.decide.as_ref();
        let names =
            SnapshotNames::of((&snapshot, &self.last_parts), statement, request, decide).await;
        let tables = dataos_sql::tables(statement, &names)?;
        let is_anyones = names.is_anyones();
        drop(names);
        Ok(Resolved {
            snapshot,
            tables,
            is_anyones,
        })
    }

    /// The turn to write to the target; the catalog is then looked up again, as whoever had the turn before
    /// has changed it.
    async fn turn(
        &self,
        request: &QueryRequest,
        statement: &Statement,
        resolved: Resolved,
    ) -> Result<(Option<Turn>, Resolved), Refusal> {
        let is_explained = matches!(statement.kind, Kind::ExplainWrite(..));
        let target = resolved.tables.target.as_ref();
        let Some(target) = target.filter(|_| !is_explained) else {
            return Ok((None, resolved));
        };
        let dataset = target.dataset.clone();
        let turn = self
            .turns
            .take(&dataset, self.config.queue_time_max)
            .await?;
        let snapshot = self.seams.assets.snapshot().await?;
        let resolved = self.resolve(request, statement, snapshot).await?;
        let is_same = resolved
            .tables
            .target
            .as_ref()
            .is_some_and(|target| target.dataset == dataset);
        if is_same {
            return Ok((Some(turn), resolved));
        }
        let fault = Fault::new(FaultKind::Conflict, "the table's name changed its meaning");
        Err(fault.with_hint("run the statement again").into())
    }

    /// Everything up to the decision; nothing of the sources is touched.
    async fn prepare(&self, request: &QueryRequest) -> Result<Prepared, Refusal> {
        // Before the catalog is looked at: files that it names now stay until the statement ends.
        let running = self.retired.begin();
        let snapshot = self.seams.assets.snapshot().await;
        if let Ok(snapshot) = &snapshot
            && let Some((governed, questions)) = self.known(request, snapshot).await
        {
            return Ok(Prepared {
                snapshot: Arc::clone(snapshot),
                governed,
                lender: None,
                action: Action::Select,
                questions,
                permits: Vec::new(),
                _turn: None,
                _running: running,
            });
        }
        let statement = dataos_sql::parse(request.dialect, &request.sql)?;
        let resolved = self.resolve(request, &statement, snapshot?).await?;
        let (turn, resolved) = self.turn(request, &statement, resolved).await?;
        let prepared = self
            .governed(request, &statement, resolved, running)
            .await?;
        Ok(Prepared {
            _turn: turn,
            ..prepared
        })
    }

    /// Decides on a statement, and binds it to what is granted.
    async fn governed(
        &self,
        request: &QueryRequest,
        statement: &Statement,
        resolved: Resolved,
        running: Running,
    ) -> Result<Prepared, Refusal> {
        let Resolved {
            snapshot,
            tables,
            is_anyones,
        } = resolved;
        let mut questions = Questions::default();
        let (mut action, mut resource, mut basis, permits) = self
            .decide_write(
                request,
                &statement.kind,
                (&snapshot, &tables),
                &mut questions,
            )
            .await?;
        let behind = Views::of(&snapshot, &tables)?;
        let read = (statement, &tables, &behind);
        let grants = self
            .granted(request, &snapshot, read, &mut questions)
            .await?;
        let lender = self.lender(request, statement, (&tables, &behind)).await?;
        if let Some(grant) = grants.caller.first() {
            basis = Basis::of(&grant.access.decision);
        }
        if resource.is_empty() {
            resource = certificate::resource(&grants);
        }
        let (shown, views) = behind.bind(&grants).map_err(|refusal| *refusal)?;
        let bound = dataos_sql::bind(statement, &tables, &shown)?;
        shown_alone(&bound, &grants)?;
        let kind = match &bound.kind {
            BoundKind::ExplainWrite(kind, _) => {
                action = Action::Select;
                kind
            }
            kind => kind,
        };
        if let BoundKind::Change(change) = kind {
            let grant = grants.find(&Rights::Caller, &change.target.dataset);
            let grant = grant.ok_or_else(|| Fault::internal("a target that was not decided"))?;
            rules::check(grant, change)?;
        }
        if bound.kind == BoundKind::ShowTables {
            action = Action::ViewAsset;
        }
        let governed_sql = views::governed_sql(bound.emit(), &views);
        let text = (governed_sql.as_str(), views::lent_statement(&views));
        let certificate = certificate::certificate(request.dialect, &grants, text, basis);
        let governed = Arc::new(Governed {
            bound,
            grants,
            views,
            certificate,
            resource,
            answers: questions.answers().to_vec(),
        });
        if is_anyones && governed.bound.kind == BoundKind::Query {
            self.known.keep(request, &snapshot, &governed);
        }
        Ok(Prepared {
            snapshot,
            governed,
            lender,
            action,
            questions,
            permits,
            _turn: None,
            _running: running,
        })
    }

    /// What the text came to before over this catalog, if the PDP answers the caller now as it did then.
    async fn known(
        &self,
        request: &QueryRequest,
        snapshot: &Arc<AssetSnapshot>,
    ) -> Option<(Arc<Governed>, Questions)> {
        let known = self.known.find(request, snapshot);
        let asked = AccessRequest {
            principal: request.principal.clone(),
            action: Action::Select,
            datasets: known.first()?.datasets(),
            context: request.context.clone(),
        };
        let answers = self.seams.decide.access(&asked).await;
        let governed = known.into_iter().find(|known| known.is_under(&answers))?;
        let mut questions = Questions::default();
        questions.read_as(
            std::slice::from_ref(&asked),
            answers.first()?,
            governed.answers.iter().cloned(),
        );
        Some((governed, questions))
    }

    async fn perform(
        &self,
        request: &QueryRequest,
        prepared: &Prepared,
        progress: &Progress,
    ) -> Result<Performed, Fault> {
        let batch = match &prepared.governed.bound.kind {
            BoundKind::Query => return self.query(request, prepared, progress).await,
            BoundKind::CreateTableAs(_) | BoundKind::Insert(_) => {
                let planned = self.plan(prepared).await?;
                let writer = self.writer(request, prepared);
                let planner = self.planner(prepared);
                let written = writer
                    .write(&prepared.governed.bound, &planned, planner)
                    .await?;
                return self.written(request, prepared, written);
            }
            BoundKind::Change(change) => {
                let (writer, planner) = (self.writer(request, prepared), self.planner(prepared));
                let written = writer
                    .change(&prepared.governed.bound, change, planner)
                    .await?;
                return self.written(request, prepared, written);
            }
            BoundKind::CreateView(view) => {
                let planned = self.plan(prepared).await?;
                let (writer, planner) = (self.writer(request, prepared), self.planner(prepared));
                let bound = &prepared.governed.bound;
                let written = writer.create_view(bound, view, &planned, planner).await?;
                return self.written(request, prepared, written);
            }
            BoundKind::DropView(target) => {
                let written = self.writer(request, prepared).drop_view(target).await?;
                return self.written(request, prepared, written);
            }
            BoundKind::Explain => explain::statement(prepared.governed.bound.emit())?,
            BoundKind::ExplainWrite(_, Explained::Statement) => {
                explain::statement(prepared.governed.bound.emit())?
            }
            BoundKind::ExplainPolicy | BoundKind::ExplainWrite(_, Explained::Policy) => {
                explain::policy(&prepared.permits, &prepared.governed.grants.caller)?
            }
            BoundKind::ShowTables => {
                let all: Vec<_> = prepared.snapshot.datasets.keys().cloned().collect();
                explain::tables(&visible(&all, request, self.seams.decide.as_ref()).await)?
            }
        };
        self.answered(request, &batch)
    }

    fn planner<'a>(&'a self, prepared: &'a Prepared) -> Planner<'a> {
        Planner {
            sessions: &self.sessions,
            sources: &self.sources,
            secrets: self.seams.secrets.as_ref(),
            snapshot: &prepared.snapshot,
            grants: &prepared.governed.grants,
            views: &prepared.governed.views,
        }
    }

    async fn plan(&self, prepared: &Prepared) -> Result<Planned, Fault> {
        planned(
            self.planner(prepared),
            &prepared.governed.bound,
            First::Dataset,
        )
        .await
    }

    async fn query(
        &self,
        request: &QueryRequest,
        prepared: &Prepared,
        progress: &Progress,
    ) -> Result<Performed, Fault> {
        let rows_max = self.rows_max(request);
        let key = self.key(request.format, prepared, rows_max).await;
        if let Some(found) = key.as_ref().and_then(|key| self.cached.find(key)) {
            return Ok(Performed::again(&found));
        }
        let planned = self.plan(prepared).await?;
        let (encoded, is_truncated) = planned
            .encoded(
                request.format,
                rows_max,
                self.config.result_bytes_max,
                progress,
            )
            .await?;
        let performed = Performed {
            encoded,
            columns: columns_of(&prepared.governed.bound, &planned.schema()),
            is_truncated,
            rows_written: None,
            is_cached: false,
        };
        self.cache(key, &performed).await;
        Ok(performed)
    }

    /// What a statement would answer, without its rows.
    async fn outline(
        &self,
        request: &QueryRequest,
        prepared: &Prepared,
    ) -> Result<Performed, Fault> {
        let columns = match &prepared.governed.bound.kind {
            BoundKind::Query => columns_of(
                &prepared.governed.bound,
                &self.plan(prepared).await?.schema(),
            ),
            BoundKind::CreateTableAs(_)
            | BoundKind::CreateView(_)
            | BoundKind::DropView(_)
            | BoundKind::Insert(_)
            | BoundKind::Change(_) => self.returned_columns(prepared).await?,
            // What these answer costs nothing.
            BoundKind::Explain
            | BoundKind::ExplainPolicy
            | BoundKind::ExplainWrite(..)
            | BoundKind::ShowTables => {
                let progress = Progress::default();
                self.perform(request, prepared, &progress).await?.columns
            }
        };
        Ok(Performed {
            encoded: Encoded::default(),
            columns,
            is_truncated: false,
            rows_written: None,
            is_cached: false,
        })
    }

    fn rows_max(&self, request: &QueryRequest) -> u64 {
        request
            .rows_max
            .unwrap_or(self.config.rows_default)
            .min(self.config.rows_max)
    }

    /// A batch of our own making as an answer.
    fn answered(&self, request: &QueryRequest, batch: &RecordBatch) -> Result<Performed, Fault> {
        let schema = batch.schema();
        let mut encoder = Encoder::new(request.format, &schema, self.config.result_bytes_max)?;
        let row_count = usize::try_from(self.rows_max(request)).unwrap_or(usize::MAX);
        let is_truncated = batch.num_rows() > row_count;
        encoder.push(&batch.slice(0, batch.num_rows().min(row_count)))?;
        Ok(Performed {
            encoded: encoder.finish()?,
            columns: columns(&schema),
            is_truncated,
            rows_written: None,
            is_cached: false,
        })
    }
}

impl Prepared {
    fn writes(&self) -> bool {
        matches!(
            self.governed.bound.kind,
            BoundKind::CreateTableAs(_)
                | BoundKind::CreateView(_)
                | BoundKind::DropView(_)
                | BoundKind::Insert(_)
                | BoundKind::Change(_)
        )
    }
}

#[async_trait]
impl RunQuery for QueryLayer {
    async fn run(&self, request: QueryRequest) -> Result<QueryAnswer, Fault> {
        let queue_time_max = self.inner.config.queue_time_max;
        let run = self
            .inner
            .run(Arc::new(request), queue_time_max, Arc::default());
        unbroken(run).await
    }

    async fn describe(&self, request: QueryRequest) -> Result<Vec<ResultColumn>, Fault> {
        unbroken(self.inner.describe(&Arc::new(request))).await
    }

    async fn stream(&self, request: QueryRequest) -> Result<QueryStream, Fault> {
        unbroken(self.inner.stream(Arc::new(request))).await
    }

    fn keeper(&self) -> Result<&dyn KeepQueries, Fault> {
        Ok(self)
    }

    fn figures(&self) -> QueryFigures {
        let inner = &self.inner;
        let (kept, kept_bytes) = inner.kept.counts();
        let cached = inner.cached.counts();
        let running = inner.config.queries_max - inner.places.available_permits();
        QueryFigures {
            running: running as u64,
            kept,
            kept_bytes,
            cached: cached.entries,
            cached_bytes: cached.byte_count,
            cache_hits: cached.hits,
            cache_misses: cached.misses,
            ..inner.figures.read()
        }
    }
}

/// Refuses a statement that takes a value from a column that may stand in conditions alone. A change reads its
/// tables in too many ways to tell them apart, so it reads none with such a column.
fn shown_alone(bound: &Bound, grants: &Grants) -> Result<(), Fault> {
    let kind = match &bound.kind {
        BoundKind::ExplainWrite(kind, _) => kind,
        kind => kind,
    };
    let outputs = bound.columns.iter();
    let outputs = outputs.chain(bound.returning().into_iter().flat_map(|of| &of.columns));
    let found = match kind {
        BoundKind::Change(_) => grants.each().find_map(|(rights, grant)| {
            let mut columns = grant.columns.iter();
            let banned = columns.find(|column| grant.is_condition_only(&column.name))?;
            Some(match rights {
                Rights::Caller => format!("`{}`", banned.name),
                Rights::Definer(_) => "a view that it reads".to_owned(),
            })
        }),
        _ => outputs
            .filter(|column| column.is_condition_only)
            .map(|column| format!("`{}`", column.name))
            .next(),
    };
    let Some(what) = found else { return Ok(()) };
    let message = format!("{what} would show what may stand in conditions alone");
    Err(Fault::denied("no_projection", message)
        .with_hint("name the other columns instead of `*`; use it in WHERE or in JOIN .. ON"))
}

/// The columns of a query, as they come out of its plan.
fn columns_of(bound: &Bound, schema: &Schema) -> Vec<ResultColumn> {
    let columns = bound.columns.iter().zip(schema.fields());
    columns
        .map(|(column, field)| ResultColumn {
            name: column.name.clone(),
            column_type: column_type(field.data_type()),
            is_masked: column.is_masked,
        })
        .collect()
}

fn columns(schema: &Schema) -> Vec<ResultColumn> {
    schema
        .fields()
        .iter()
        .map(|field| ResultColumn {
            name: field.name().clone(),
            column_type: column_type(field.data_type()),
            is_masked: false,
        })
        .collect()
}
