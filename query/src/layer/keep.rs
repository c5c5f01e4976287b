//! Queries that go on by themselves, and pages of their results.
//!
//! A result is decided anew each time it is read: what its caller may see of its tables must be what it
//! was answered with, whoever he has become since.

use std::{iter, sync::Arc, time::Instant};

use async_trait::async_trait;
use dataos_model::{
    access::DatasetAccess,
    action::Action,
    dataset::DatasetId,
    fault::{Fault, FaultKind},
    principal::Principal,
    query::{
        Certificate, KeptQuery, PageRequest, QueryPage, QueryRequest, QueryStream, RowFormat,
        TableCertificate,
    },
    seams::KeepQueries,
};
use dataos_sql::{Kind, reflect::Question};

use super::{Inner, QueryLayer, granted::Asked, open::Open, stream::Recorded};
use crate::{
    certificate::{self, Basis, Refusal, Unlent},
    engine::failure::unbroken,
    execute::Progress,
    grant::denied,
    kept::{KeptRows, PageRows, Place},
    questions::Questions,
    rights::{Grants, Rights},
};

#[async_trait]
impl KeepQueries for QueryLayer {
    async fn submit(&self, request: QueryRequest) -> Result<KeptQuery, Fault> {
        let (inner, owner) = (&self.inner, request.principal.uid.clone());
        let progress = Arc::<Progress>::default();
        let entered =
            keepable(&request).and_then(|()| inner.kept.enter(&request, Arc::clone(&progress)));
        let id = match entered {
            Ok(id) => id,
            Err(fault) => return Err(inner.refuse(&request, fault.into()).await),
        };
        let rows_max = inner.rows_max_kept(request.rows_max);
        let request = QueryRequest {
            format: RowFormat::ArrowStream,
            rows_max: Some(rows_max),
            ..request
        };
        // Bounded by the queries that may be kept.
        let task = tokio::spawn(Arc::clone(inner).go(id.clone(), request, progress));
        inner.kept.hold(&id, task);
        inner.kept.shown(&owner, &id)
    }

    async fn first_page(&self, request: QueryRequest) -> Result<QueryPage, Fault> {
        let (inner, format) = (&self.inner, request.format);
        if let Err(fault) = keepable(&request) {
            return Err(inner.refuse(&request, fault.into()).await);
        }
        let page_rows = inner.rows_max(&request);
        let request = Arc::new(QueryRequest {
            format: RowFormat::ArrowStream,
            rows_max: Some(inner.config.rows_max),
            ..request
        });
        let queue_time_max = inner.config.queue_time_max;
        let answer = inner
            .run(Arc::clone(&request), queue_time_max, Arc::default())
            .await?;
        let rows = KeptRows::new(answer)?;
        if rows.row_count <= page_rows {
            let rows = Arc::new(rows);
            let page = (0, rows.row_count);
            let answer = stream(&rows, page, format)?;
            return Ok(QueryPage {
                answer,
                id: None,
                next: None,
            });
        }
        let (id, rows) = inner.keep(&request, rows)?;
        let answer = stream(&rows, (0, page_rows), format)?;
        let place = place(&id, &request.principal, &rows, rows.certificate.policy_set);
        let next = inner.kept.cursors.write(place, page_rows);
        Ok(QueryPage {
            answer,
            id: Some(id),
            next: Some(next),
        })
    }

    async fn page(&self, request: PageRequest) -> Result<QueryPage, Fault> {
        self.inner.page(request).await
    }

    fn kept(&self, caller: &Principal, id: &str) -> Result<KeptQuery, Fault> {
        self.inner.kept.shown(&caller.uid, id)
    }

    fn list(&self, caller: &Principal) -> Vec<KeptQuery> {
        self.inner.kept.list(&caller.uid)
    }

    async fn discard(&self, caller: &Principal, id: &str) -> Result<KeptQuery, Fault> {
        let kept = &self.inner.kept;
        let found = kept.shown(&caller.uid, id)?;
        let is_over = found.state.has_ended();
        if !is_over && writes(&found) {
            let message = "a write is not stopped half-way";
            return Err(Fault::new(FaultKind::Conflict, message)
                .with_reason("write_running")
                .with_hint("wait for its end"));
        }
        let Some(task) = kept.task(id) else {
            return kept.shown(&caller.uid, id);
        };
        task.abort();
        // Whatever it ran is gone when this returns.
        let _ = task.await;
        let found = kept.shown(&caller.uid, id)?;
        if found.state.has_ended() {
            kept.forget(id);
            return Ok(found);
        }
        kept.cancel(id);
        self.inner.expire(id.to_owned());
        kept.shown(&caller.uid, id)
    }
}

impl Inner {
    /// Runs a submitted query to its end, keeps its result, and forgets it when its time is over.
    async fn go(self: Arc<Self>, id: String, request: QueryRequest, progress: Arc<Progress>) {
        let run = self.run(Arc::new(request), self.kept.time_max(), progress);
        let rows = unbroken(Box::pin(run)).await.and_then(KeptRows::new);
        if let Err(fault) = self.kept.end(&id, rows) {
            self.figures.note_fault(&fault);
        }
        self.kept.expire(&id).await;
    }

    /// Keeps a result that is there.
    fn keep(
        self: &Arc<Self>,
        request: &QueryRequest,
        rows: KeptRows,
    ) -> Result<(String, Arc<KeptRows>), Fault> {
        let owner = &request.principal.uid;
        let entered = self.kept.enter(request, Arc::default());
        let kept = entered.and_then(|id| {
            self.kept.end(&id, Ok(rows))?;
            let (rows, _) = self.kept.rows(owner, &id)?;
            self.expire(id.clone());
            Ok((id, rows))
        });
        kept.inspect_err(|fault| self.figures.note_fault(fault))
    }

    /// Forgets a query when its time is over. Bounded by the queries that may be kept.
    fn expire(&self, id: String) {
        let (kept, expired) = (Arc::clone(&self.kept), id.clone());
        let task = tokio::spawn(async move { kept.expire(&expired).await });
        self.kept.hold(&id, task);
    }

    fn rows_max_kept(&self, wanted: Option<u64>) -> u64 {
        wanted.unwrap_or(u64::MAX).min(self.config.rows_max)
    }

    async fn page(&self, asked: PageRequest) -> Result<QueryPage, Fault> {
        let started = Instant::now();
        let (rows, sql) = self.kept.rows(&asked.principal.uid, &asked.id)?;
        let request = Arc::new(QueryRequest {
            principal: asked.principal,
            request_id: asked.request_id,
            sql,
            dialect: rows.certificate.dialect,
            context: asked.context,
            format: asked.format,
            rows_max: asked.rows_max,
        });
        let mut questions = Questions::default();
        let authorised = self.authorised(&request, &rows, &mut questions).await;
        let grants = match authorised {
            Ok(grants) => grants,
            Err(refusal) => return Err(self.refuse(&request, refusal).await),
        };
        let before = Basis {
            policy_set: rows.certificate.policy_set,
            entities: rows.certificate.entities,
        };
        let first = grants.caller.first();
        let basis = first.map_or(before, |grant| Basis::of(&grant.access.decision));
        let place = place(&asked.id, &request.principal, &rows, basis.policy_set);
        let cursor = asked.cursor.as_ref();
        let from = cursor.map_or(Ok(0), |cursor| self.kept.cursors.read(place, cursor));
        let from = match from {
            Ok(from) => from,
            Err(fault) => return Err(self.refuse(&request, fault.into()).await),
        };
        let until = asked.rows_max.unwrap_or(u64::MAX).saturating_add(from);
        let until = until.min(rows.row_count);
        let next = (until < rows.row_count).then(|| self.kept.cursors.write(place, until));
        let before = &rows.certificate;
        let governed = (before.governed_sql.as_str(), before.lent.statement);
        let certificate = certificate::certificate(request.dialect, &grants, governed, basis);
        let told = format!("rows {from} to {until} of query {}", asked.id);
        let resource = certificate::resource(&grants);
        let entry = certificate::allowed(
            &request,
            Action::Select,
            &resource,
            &certificate,
            &grants,
            (&told, &questions),
        );
        let mut open = Open::new(self, &request, started, entry);
        let receipt = open.durable().await?;
        open.stream(0);
        let page = PageRows::new(Arc::clone(&rows), (from, until), request.format);
        let page = match page {
            Ok(page) => page,
            Err(fault) => {
                open.fail(&fault);
                return Err(fault);
            }
        };
        Ok(QueryPage {
            answer: QueryStream {
                columns: rows.columns.clone(),
                certificate,
                receipt,
                rows: Box::new(Recorded::new(page, open)),
            },
            id: Some(asked.id),
            next,
        })
    }

    /// What may be seen now of the tables behind a result, by its caller and by those whose rights he is lent, if
    /// that is what it was answered with.
    async fn authorised(
        &self,
        request: &QueryRequest,
        rows: &KeptRows,
        questions: &mut Questions,
    ) -> Result<Grants, Refusal> {
        let Certificate { tables, lent, .. } = &rows.certificate;
        if tables.is_empty() {
            return Ok(Grants::default());
        }
        let names = |tables: &[TableCertificate]| {
            let names = tables.iter().map(|table| table.dataset.clone());
            names.collect::<Vec<DatasetId>>()
        };
        let of_definers = lent.tables.iter();
        let of_definers = of_definers.map(|(user, tables)| (user.clone(), names(tables)));
        let asked = self
            .asked(request, names(tables), of_definers.collect())
            .await?;
        let answers = self.answers(&asked.requests).await?;
        questions.read(&asked.requests, &answers);
        let before = iter::once(tables).chain(lent.tables.values());
        if let Some(refusal) = changed(&asked, before, &answers) {
            return Err(Refusal {
                questions: std::mem::take(questions),
                ..refusal
            });
        }
        let snapshot = self.seams.assets.snapshot().await?;
        let told = |definer: &str, cause| lent_no_more(Unlent::new(definer, cause));
        let grants = asked.grants((&snapshot, &self.shown), answers, told);
        grants.map_err(|refusal| *refusal)
    }
}

/// Why a result is not shown any more, if it is not: what its caller may see comes first.
fn changed<'a>(
    asked: &Asked,
    before: impl Iterator<Item = &'a Vec<TableCertificate>>,
    answers: &[Vec<Arc<DatasetAccess>>],
) -> Option<Refusal> {
    // Without one definer's answers those of the next do not go with what was before.
    let is_whole = asked.unlent.is_none();
    let mut rights = asked.rights.iter().zip(before.zip(answers));
    let changed = rights.find_map(|(rights, (before, now))| {
        if !is_whole && *rights != Rights::Caller {
            return None;
        }
        let mut both = before.iter().zip(now);
        let (_, now) = both.find(|(table, now)| table.access.in_short() != now.in_short())?;
        Some((rights, now))
    });
    let decision = |now: &DatasetAccess| Some((now.dataset.uid(), Box::new(now.decision.clone())));
    match changed {
        Some((Rights::Caller, now)) => Some(Refusal {
            action: Action::Select,
            decision: decision(now),
            ..Refusal::from(changed_access(now))
        }),
        Some((Rights::Definer(user), now)) => Some(Refusal {
            decision: decision(now),
            ..lent_no_more(Unlent {
                definer: user.clone(),
                cause: "what he may see has changed".to_owned(),
            })
        }),
        None => asked.unlent.clone().map(lent_no_more),
    }
}

/// Other rights than a result was made with, of somebody who lent them. Whose and to what is for the log.
fn lent_no_more(unlent: Unlent) -> Refusal {
    let message = "what a view of the query shows has changed since the query ran";
    let fault = Fault::new(FaultKind::Conflict, message)
        .with_reason("policy_changed")
        .with_hint("run the query again");
    Refusal {
        action: Action::Select,
        unlent: Some(unlent),
        ..Refusal::from(fault)
    }
}

/// Another answer of the PDP than a result was made under.
fn changed_access(now: &DatasetAccess) -> Fault {
    if !now.decision.is_allowed() {
        return denied(now);
    }
    let message = format!(
        "what you may see of `{}` has changed since the query ran",
        now.dataset
    );
    Fault::new(FaultKind::Conflict, message)
        .with_reason("policy_changed")
        .with_hint("run the query again")
}

fn place<'a>(
    id: &'a str,
    caller: &'a Principal,
    rows: &KeptRows,
    policy_set: dataos_model::hash::Hash,
) -> Place<'a> {
    Place {
        id,
        owner: &caller.uid,
        statement: rows.certificate.statement,
        policy_set,
    }
}

/// Rows that were recorded with the statement itself.
fn stream(rows: &Arc<KeptRows>, page: (u64, u64), format: RowFormat) -> Result<QueryStream, Fault> {
    Ok(QueryStream {
        columns: rows.columns.clone(),
        certificate: rows.certificate.clone(),
        receipt: rows.receipt.clone(),
        rows: Box::new(PageRows::new(Arc::clone(rows), page, format)?),
    })
}

/// Refuses what reads nothing that could be decided again when its result is read.
fn keepable(request: &QueryRequest) -> Result<(), Fault> {
    let (dialect, sql) = (request.dialect, request.sql.as_str());
    let is_question = Question::of(dialect, sql)?.is_some();
    if is_question || dataos_sql::parse(dialect, sql)?.kind == Kind::ShowTables {
        let message = "what is asked about the database itself is answered at once, and not kept";
        return Err(Fault::new(FaultKind::Unsupported, message)
            .with_reason("sql_unsupported")
            .with_hint("send it to /api/v1/query without `page_rows`"));
    }
    Ok(())
}

fn writes(query: &KeptQuery) -> bool {
    let kind = dataos_sql::parse(query.dialect, &query.sql).map(|statement| statement.kind);
    matches!(
        kind,
        Ok(Kind::CreateTableAs { .. }
            | Kind::CreateView { .. }
            | Kind::DropView { .. }
            | Kind::Insert { .. }
            | Kind::Change(_))
    )
}
