//! Queries whose results are kept in memory, each for the caller who asked alone, and for a while.
//!
//! Whoever asks for another's hears what he would hear if there were none.

mod cursor;
mod rows;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use dataos_model::{
    clock::{Clock, Timestamp},
    entity::EntityUid,
    fault::{Fault, FaultKind},
    query::{Dialect, KeptQuery, QueryRequest, QueryState},
};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{config::QueryConfig, execute::Progress};

pub(crate) use cursor::{Cursors, Place};
pub(crate) use rows::{KeptRows, PageRows};

/// All that are kept.
#[derive(Debug)]
pub(crate) struct Kept {
    queries_max: usize,
    queries_per_caller_max: usize,
    bytes_max: u64,
    time_max: Duration,
    clock: Arc<dyn Clock>,
    pub(crate) cursors: Cursors,
    /// By id, which ascend with time.
    queries: Mutex<BTreeMap<String, Query>>,
}

#[derive(Debug)]
struct Query {
    owner: EntityUid,
    sql: String,
    dialect: Dialect,
    submitted_at: Timestamp,
    progress: Arc<Progress>,
    phase: Phase,
    /// Runs it, and forgets it when its time is over.
    task: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Phase {
    Going,
    Ended(Timestamp, Result<Arc<KeptRows>, Box<Fault>>),
    Cancelled(Timestamp),
}

impl Kept {
    pub(crate) fn new(config: &QueryConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            queries_max: config.kept_queries_max,
            queries_per_caller_max: config.kept_queries_per_caller_max,
            bytes_max: config.kept_bytes_max,
            time_max: config.kept_time_max,
            clock,
            cursors: Cursors::new(),
            queries: Mutex::default(),
        }
    }

    /// Takes a place for a query that begins.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn enter(
        &self,
        request: &QueryRequest,
        progress: Arc<Progress>,
    ) -> Result<String, Fault> {
        let owner = &request.principal.uid;
        let mut queries = self.queries();
        let owned = queries.values().filter(|query| query.owner == *owner);
        let (owned, all) = (owned.count(), queries.len());
        if owned >= self.queries_per_caller_max || all >= self.queries_max {
            let message = format!("{owned} queries of yours are kept, and {all} in all");
            return Err(Fault::unavailable(message)
                .with_reason("kept_queries")
                .with_hint("delete those that you need no more, or wait until they expire"));
        }
        let id = Uuid::now_v7().to_string();
        let query = Query {
            owner: owner.clone(),
            sql: request.sql.clone(),
            dialect: request.dialect,
            submitted_at: self.clock.now(),
            progress,
            phase: Phase::Going,
            task: None,
        };
        queries.insert(id.clone(), query);
        Ok(id)
    }

    /// The query ended; its result is kept if there is room.
    ///
    /// # Errors
    /// There is none, or the query failed: what its caller hears.
    pub(crate) fn end(&self, id: &str, result: Result<KeptRows, Fault>) -> Result<(), Fault> {
        let mut queries = self.queries();
        let taken: u64 = queries.values().map(Query::byte_count).sum();
        let result = result.and_then(|rows| {
            if taken + rows.byte_count <= self.bytes_max {
                return Ok(Arc::new(rows));
            }
            let message = format!("results of {} MiB are kept", self.bytes_max >> 20);
            Err(Fault::new(FaultKind::TooLarge, message)
                .with_reason("kept_bytes")
                .with_hint("stream the rows instead, or try again when others have expired"))
        });
        let told = result.as_ref().map(|_| ()).map_err(Fault::clone);
        if let Some(query) = queries.get_mut(id) {
            query.phase = Phase::Ended(self.clock.now(), result.map_err(Box::new));
        }
        told
    }

    /// The query was stopped.
    pub(crate) fn cancel(&self, id: &str) {
        if let Some(query) = self.queries().get_mut(id) {
            query.phase = Phase::Cancelled(self.clock.now());
        }
    }

    pub(crate) fn forget(&self, id: &str) {
        self.queries().remove(id);
    }

    /// The task of a query, for as long as it is kept.
    pub(crate) fn hold(&self, id: &str, task: JoinHandle<()>) {
        if let Some(query) = self.queries().get_mut(id) {
            query.task = Some(task);
        }
    }

    /// The same, which is the caller's from now on.
    pub(crate) fn task(&self, id: &str) -> Option<JoinHandle<()>> {
        self.queries().get_mut(id)?.task.take()
    }

    /// Forgets a query that has ended when its time is over.
    pub(crate) async fn expire(&self, id: &str) {
        tokio::time::sleep(self.time_max).await;
        self.forget(id);
    }

    /// How long a query may wait for its place.
    pub(crate) fn time_max(&self) -> Duration {
        self.time_max
    }

    /// A caller's query.
    ///
    /// # Errors
    /// There is none of that id.
    pub(crate) fn shown(&self, owner: &EntityUid, id: &str) -> Result<KeptQuery, Fault> {
        let queries = self.queries();
        let query = queries.get(id).filter(|query| query.owner == *owner);
        let query = query.ok_or_else(|| unknown(id))?;
        Ok(self.view(id, query))
    }

    /// A caller's queries, newest first.
    pub(crate) fn list(&self, owner: &EntityUid) -> Vec<KeptQuery> {
        let queries = self.queries();
        let owned = queries.iter().rev();
        let owned = owned.filter(|(_, query)| query.owner == *owner);
        owned.map(|(id, query)| self.view(id, query)).collect()
    }

    /// The rows of a caller's query, and its statement.
    ///
    /// # Errors
    /// There is none of that id, or it did not succeed.
    pub(crate) fn rows(
        &self,
        owner: &EntityUid,
        id: &str,
    ) -> Result<(Arc<KeptRows>, String), Fault> {
        let queries = self.queries();
        let query = queries.get(id).filter(|query| query.owner == *owner);
        let query = query.ok_or_else(|| unknown(id))?;
        match &query.phase {
            Phase::Ended(_, Ok(rows)) => Ok((Arc::clone(rows), query.sql.clone())),
            Phase::Ended(_, Err(fault)) => Err(Fault::clone(fault)),
            Phase::Going => Err(not_there(id, "has not ended", "ask for its status first")),
            Phase::Cancelled(_) => Err(not_there(id, "was cancelled", "run it again")),
        }
    }

    /// How many there are, and the bytes of their results.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let queries = self.queries();
        let byte_count = queries.values().map(Query::byte_count).sum();
        (queries.len() as u64, byte_count)
    }

    fn view(&self, id: &str, query: &Query) -> KeptQuery {
        let progress = &query.progress;
        let (ended_at, state) = match &query.phase {
            Phase::Going if progress.is_running.load(Ordering::Relaxed) => {
                (None, QueryState::Running)
            }
            Phase::Going => (None, QueryState::Queued),
            Phase::Ended(at, Ok(_)) => (Some(*at), QueryState::Succeeded),
            Phase::Ended(at, Err(fault)) => (Some(*at), QueryState::Failed(fault.clone())),
            Phase::Cancelled(at) => (Some(*at), QueryState::Cancelled),
        };
        let rows = query.rows();
        let time_ms = i64::try_from(self.time_max.as_millis()).unwrap_or(i64::MAX);
        KeptQuery {
            id: id.to_owned(),
            state,
            sql: query.sql.clone(),
            dialect: query.dialect,
            submitted_at: query.submitted_at,
            ended_at,
            expires_at: ended_at.map(|at| Timestamp(at.0.saturating_add(time_ms))),
            row_count: rows.map_or(progress.row_count.load(Ordering::Relaxed), |rows| {
                rows.row_count
            }),
            byte_count: rows.map_or(progress.byte_count.load(Ordering::Relaxed), |rows| {
                rows.byte_count
            }),
            is_truncated: rows.is_some_and(|rows| rows.is_truncated),
            certificate: rows.map(|rows| rows.receipt.index),
        }
    }

    fn queries(&self) -> MutexGuard<'_, BTreeMap<String, Query>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Query {
    fn rows(&self) -> Option<&KeptRows> {
        match &self.phase {
            Phase::Ended(_, Ok(rows)) => Some(rows),
            Phase::Ended(_, Err(_)) | Phase::Going | Phase::Cancelled(_) => None,
        }
    }

    fn byte_count(&self) -> u64 {
        self.rows().map_or(0, |rows| rows.byte_count)
    }
}

fn unknown(id: &str) -> Fault {
    Fault::not_found(format!("you have no query `{id}`"))
        .with_hint("results are kept for a while only; run it again")
}

fn not_there(id: &str, what: &str, hint: &str) -> Fault {
    Fault::new(FaultKind::Conflict, format!("the query `{id}` {what}"))
        .with_reason("no_result")
        .with_hint(hint)
}
