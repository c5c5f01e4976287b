//! The traits by which rooms meet. All are joined in `gateway/src/app.rs`.
//!
//! Async methods so that an implementation may be remote; in one process they are plain calls.

use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    access::{AccessRequest, DatasetAccess},
    dataset::DatasetId,
    decision::{Decision, Request},
    depot::{AssetSnapshot, Dataset, Depot},
    entity::{Entity, EntityChange, EntityUid},
    explain::{Explanation, Search, SearchPage},
    fault::{Fault, FaultKind},
    hash::Hash,
    lineage::{ColumnEdge, WriteLineage},
    policy::{PolicyInfo, PolicyLink, PolicySetInfo, PolicyText, TemplateInfo},
    principal::Principal,
    query::{
        KeptQuery, PageRequest, QueryAnswer, QueryFigures, QueryPage, QueryRequest, QueryStream,
        ResultColumn,
    },
    record::{Entry, LogStatus, Receipt, RecordPage, RecordQuery, RecordSummary, StoredEntry},
    resource::{ApplyOutcome, Plan, ResourceFilter, ResourceId, ResourceView},
    secret::{Secret, SecretName},
    vocabulary::Vocabulary,
};

/// A future that owns what it needs.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The policy decision point. Never fails: a failure is a deny with its reason.
#[async_trait]
pub trait Decide: Send + Sync + Debug {
    /// One decision.
    async fn decide(&self, request: &Request) -> Decision;

    /// Several decisions under one policy set and one entity snapshot, in order.
    async fn decide_all(&self, requests: &[Request]) -> Vec<Decision>;

    /// Rows and columns of several datasets, for each of several principals, under one policy set and one
    /// entity snapshot, in order. Those who ask the same may share an answer.
    async fn access_all(&self, requests: &[AccessRequest]) -> Vec<Vec<Arc<DatasetAccess>>>;

    /// The same for one principal.
    async fn access(&self, request: &AccessRequest) -> Vec<Arc<DatasetAccess>> {
        let answers = self.access_all(std::slice::from_ref(request)).await;
        answers.into_iter().next().unwrap_or_default()
    }
}

/// Asks the policy decision point why, and who or what else.
#[async_trait]
pub trait Explore: Send + Sync + Debug {
    /// The decision, and for a deny what came nearest to a permit.
    async fn explain(&self, request: &Request) -> Explanation;

    /// All that a decision would allow, page by page.
    ///
    /// # Errors
    /// A page size out of bounds, or a request that does not fit the schema.
    async fn search(&self, search: &Search) -> Result<SearchPage, Fault>;

    /// An entity of the snapshot.
    fn entity(&self, uid: &EntityUid) -> Option<Arc<Entity>>;

    /// What can be asked about beside our own types and actions.
    fn vocabulary(&self) -> Arc<Vocabulary> {
        Arc::default()
    }
}

/// The entity snapshot that the PDP looks at.
pub trait EntitySink: Send + Sync + Debug {
    /// Applies the changes as one version; when it returns, decisions see them.
    ///
    /// # Errors
    /// An entity that does not fit the schema, or a cycle; nothing is applied.
    fn apply(&self, changes: Vec<EntityChange>) -> Result<Hash, Fault>;
}

/// The policies in force: the `policies/` folder plus applied texts, hashed together.
#[async_trait]
pub trait Policies: Send + Sync + Debug {
    /// What is in force.
    fn info(&self) -> PolicySetInfo;

    /// The digest of what is in force.
    ///
    /// # Errors
    /// The PDP is elsewhere and cannot be asked.
    async fn hash(&self) -> Result<Hash, Fault> {
        Ok(self.info().hash)
    }

    /// All policies in force, by id.
    fn list(&self) -> Vec<PolicyInfo>;

    /// All entities of the snapshot: what candidates are checked and tested against.
    fn entities(&self) -> Vec<Arc<Entity>>;

    /// Checks texts against the schema, without effect.
    ///
    /// # Errors
    /// The first problem, with source, line and column.
    async fn check(&self, texts: &[PolicyText]) -> Result<(), Fault>;

    /// Adds or replaces the text of one source; checked, atomic.
    ///
    /// # Errors
    /// As `check`; the old set stays.
    async fn put(&self, text: PolicyText) -> Result<Hash, Fault>;

    /// Whether the text of one source can be removed, without effect.
    ///
    /// # Errors
    /// As `remove`.
    async fn check_removal(&self, _source: &str) -> Result<(), Fault> {
        Ok(())
    }

    /// All templates in force, by id. Who knows none has none.
    fn templates(&self) -> Vec<TemplateInfo> {
        Vec::new()
    }

    /// Checks a link, without effect.
    ///
    /// # Errors
    /// There is no such template, its slots are others, or the policy does not fit the schema.
    async fn check_link(&self, link: &PolicyLink) -> Result<(), Fault> {
        Err(no_template(&link.template))
    }

    /// Adds or replaces a link; checked, atomic.
    ///
    /// # Errors
    /// As `check_link`; the old set stays.
    async fn put_link(&self, link: PolicyLink) -> Result<Hash, Fault> {
        Err(no_template(&link.template))
    }

    /// Removes a link; one that is not there changes nothing.
    ///
    /// # Errors
    /// If what remains is invalid; the old set stays.
    async fn remove_link(&self, _id: &str) -> Result<Hash, Fault> {
        Ok(self.info().hash)
    }

    /// Removes the text of one source.
    ///
    /// # Errors
    /// If what remains is invalid; the old set stays.
    async fn remove(&self, source: &str) -> Result<Hash, Fault>;
}

fn no_template(id: &str) -> Fault {
    Fault::invalid(format!("there is no template `{id}`"))
}

/// Appends to the audit log.
pub trait Record: Send + Sync + Debug {
    /// Queues the entry before it returns; the future resolves when the entry is durable.
    /// The entry is written even if the future is dropped.
    fn append(&self, entry: Entry) -> BoxFuture<Result<Receipt, Fault>>;

    /// As [`Record::append`], for a caller that does nothing else until the entry is durable: the log may write it
    /// on the caller's own thread, before this returns.
    fn append_awaited(&self, entry: Entry) -> BoxFuture<Result<Receipt, Fault>> {
        self.append(entry)
    }

    /// Queues an entry for which nobody waits, not even for whether there is room. It is written in order like
    /// any other: with the next one that somebody waits for, or a moment later.
    fn append_behind(&self, entry: Entry) {
        drop(self.append(entry));
    }
}

/// Reads the audit log.
#[async_trait]
pub trait Records: Send + Sync + Debug {
    /// A page of entries, newest first; sees every acknowledged entry.
    ///
    /// # Errors
    /// Damaged storage.
    async fn search(&self, query: &RecordQuery) -> Result<RecordPage, Fault>;

    /// How many entries match, which, and when; bounds of indexes and limit of the query do not count. Bounded
    /// work: [`RecordSummary::is_complete`] says whether all was counted.
    ///
    /// # Errors
    /// Damaged storage, or a log that does not count.
    async fn summary(&self, _query: &RecordQuery) -> Result<RecordSummary, Fault> {
        let message = "this log does not summarise its entries";
        Err(Fault::new(FaultKind::Unsupported, message))
    }

    /// One entry.
    ///
    /// # Errors
    /// No such index, or damaged storage.
    async fn get(&self, index: u64) -> Result<StoredEntry, Fault>;

    /// What the log keeps beside an entry, by the digest that a fact of the entry holds
    /// ([`CONTENT_SUFFIX`](crate::record::CONTENT_SUFFIX)).
    ///
    /// # Errors
    /// No such content, or another than its digest says.
    async fn content(&self, digest: Hash) -> Result<Bytes, Fault> {
        Err(Fault::not_found(format!("there is no content {digest}")))
    }

    /// A full proof of one entry against the newest checkpoint, as C2SP tlog-proof text.
    ///
    /// # Errors
    /// No such index.
    async fn proof(&self, index: u64) -> Result<String, Fault>;

    /// The newest signed checkpoint.
    async fn checkpoint(&self) -> Result<String, Fault>;

    /// The bytes of a hash tile at its C2SP path, such as `tile/0/000` or `tile/1/000.p/3`.
    ///
    /// # Errors
    /// A path that names no tile of the log.
    async fn tile(&self, path: &str) -> Result<Bytes, Fault>;

    /// The bytes of an entry bundle at its C2SP path, such as `tile/entries/000` or
    /// `tile/entries/001.p/3`.
    ///
    /// # Errors
    /// A path that names no bundle of the log.
    async fn bundle(&self, path: &str) -> Result<Bytes, Fault> {
        Err(Fault::not_found(format!("the log has no bundle {path}")))
    }

    /// Figures.
    fn status(&self) -> LogStatus;
}

/// The catalog.
#[async_trait]
pub trait Assets: Send + Sync + Debug {
    /// The catalog as it is now: every change that was acknowledged before is in it.
    ///
    /// # Errors
    /// The catalog is elsewhere and cannot be asked.
    async fn snapshot(&self) -> Result<Arc<AssetSnapshot>, Fault>;

    /// Adds or replaces a depot. Its datasets appear with the next scan.
    ///
    /// # Errors
    /// A name or source that is not acceptable.
    async fn register_depot(&self, depot: Depot) -> Result<(), Fault>;

    /// Removes a depot and what is known of its datasets.
    ///
    /// # Errors
    /// No such depot.
    async fn remove_depot(&self, name: &str) -> Result<(), Fault>;

    /// Reads the depot's structure. Datasets that cannot be read are named in the report; unseen is
    /// never dropped unless the source was read whole.
    ///
    /// # Errors
    /// The depot cannot be reached at all.
    async fn scan(&self, depot: &str) -> Result<ScanReport, Fault>;

    /// Sets the tags set by hand on a dataset (`column` is `None`) or a column, replacing the former
    /// ones; propagated tags stay.
    ///
    /// # Errors
    /// No such asset, or a malformed tag.
    async fn set_tags(
        &self,
        dataset: &DatasetId,
        column: Option<&str>,
        tags: Vec<String>,
    ) -> Result<(), Fault>;

    /// Before a write: makes the target known with its schema, lineage and derived tags, so that a
    /// copy is governed from its first read. Durable and visible to the PDP when it returns.
    ///
    /// # Errors
    /// If it cannot be made durable; the write must not happen.
    async fn stage_write(&self, target: Dataset, lineage: WriteLineage) -> Result<u64, Fault>;

    /// The write succeeded: row count and paths become final.
    ///
    /// # Errors
    /// No such stage.
    async fn settle_write(&self, stage: u64, target: Dataset) -> Result<(), Fault>;

    /// The write did not happen and left nothing behind.
    ///
    /// # Errors
    /// No such stage.
    async fn retract_write(&self, stage: u64) -> Result<(), Fault>;

    /// Removes a view; what was derived from it is still derived.
    ///
    /// # Errors
    /// No such view, or it cannot be made durable.
    async fn drop_view(&self, view: &DatasetId) -> Result<(), Fault> {
        let message = format!("this catalog has no view `{view}`");
        Err(Fault::new(FaultKind::Unsupported, message))
    }

    /// Datasets and columns whose name, description or tag matches all words of `text`, best first,
    /// at most `limit`, filtered by `is_visible` before ranking.
    ///
    /// # Errors
    /// The catalog is elsewhere and cannot be asked.
    async fn search(
        &self,
        text: &str,
        limit: usize,
        is_visible: &(dyn for<'a> Fn(&'a DatasetId) -> bool + Send + Sync),
    ) -> Result<Vec<DatasetId>, Fault>;

    /// Edges into (`upstream`) or out of the columns of a dataset, with the other side's id.
    async fn lineage(&self, dataset: &DatasetId) -> Result<Lineage, Fault>;
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanReport {
    /// Datasets that are new.
    pub added: Vec<DatasetId>,
    /// Datasets whose schema or statistics changed.
    pub changed: Vec<DatasetId>,
    /// Datasets that are gone.
    pub dropped: Vec<DatasetId>,
    /// Number of datasets that did not change.
    pub unchanged: usize,
    /// What could not be read, and why.
    pub unreadable: Vec<(String, String)>,
}

/// Lineage around one dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Edges into its columns.
    pub upstream: Vec<ColumnEdge>,
    /// Edges out of its columns: the dataset fed, and the edge.
    pub downstream: Vec<(DatasetId, ColumnEdge)>,
}

/// The orchestrator.
#[async_trait]
pub trait Resources: Send + Sync + Debug {
    /// Applies a stream of YAML documents: all are parsed and checked before any is applied; each
    /// is decided (`apply_resource`) and recorded. Secrets never reach the result.
    ///
    /// # Errors
    /// A document that does not parse or is refused; the location says where.
    async fn apply(
        &self,
        principal: &Principal,
        request_id: &str,
        workspace: &str,
        manifests: &str,
        plan: Option<Hash>,
    ) -> Result<Vec<ApplyOutcome>, Fault>;

    /// What apply would do, without effect.
    ///
    /// # Errors
    /// As `apply`.
    async fn plan(
        &self,
        principal: &Principal,
        workspace: &str,
        manifests: &str,
    ) -> Result<Plan, Fault>;

    /// Resources that match; the caller narrows them by `get_resource`.
    async fn list(&self, filter: &ResourceFilter) -> Result<Vec<ResourceView>, Fault>;

    /// One resource.
    ///
    /// # Errors
    /// No such resource.
    async fn get(&self, id: &ResourceId) -> Result<ResourceView, Fault>;

    /// Deletes; decided (`delete_resource`) and recorded.
    ///
    /// # Errors
    /// No such resource, or others depend on it.
    async fn delete(
        &self,
        principal: &Principal,
        request_id: &str,
        id: &ResourceId,
    ) -> Result<ApplyOutcome, Fault>;

    /// The last `lines` lines of the log of a run, each `job | text`.
    ///
    /// # Errors
    /// No such resource, or one that does not run.
    async fn log(
        &self,
        id: &ResourceId,
        job: Option<&str>,
        lines: usize,
    ) -> Result<Vec<String>, Fault>;
}

/// The query layer.
#[async_trait]
pub trait RunQuery: Send + Sync + Debug {
    /// Runs one statement. The certificate's record is durable when it returns.
    ///
    /// # Errors
    /// Refused with position and reason, denied, or failed at the source; in each case recorded.
    async fn run(&self, request: QueryRequest) -> Result<QueryAnswer, Fault>;

    /// The columns that the answer to a query would have, without running it; decided and recorded as if
    /// it ran. A write has none.
    ///
    /// # Errors
    /// As `run`.
    async fn describe(&self, _request: QueryRequest) -> Result<Vec<ResultColumn>, Fault> {
        let message = "this query layer describes no statement";
        Err(Fault::new(FaultKind::Unsupported, message))
    }

    /// Runs one statement whose rows are read while they are sent, with bounded memory. The certificate's
    /// record is durable when it returns, and its first rows are at hand. Without a row limit of the
    /// caller's there is none.
    ///
    /// # Errors
    /// As `run`; what fails later is a fault of the stream.
    async fn stream(&self, _request: QueryRequest) -> Result<QueryStream, Fault> {
        let message = "this query layer streams no rows";
        Err(Fault::new(FaultKind::Unsupported, message))
    }

    /// The queries that it keeps for their callers.
    ///
    /// # Errors
    /// It keeps none.
    fn keeper(&self) -> Result<&dyn KeepQueries, Fault> {
        let message = "this query layer keeps no results";
        Err(Fault::new(FaultKind::Unsupported, message))
    }

    /// Figures.
    fn figures(&self) -> QueryFigures {
        QueryFigures::default()
    }
}

/// Keeps results for a while, each for the caller who asked alone: to another it does not exist.
#[async_trait]
pub trait KeepQueries: Send + Sync + Debug {
    /// Begins a statement that goes on by itself.
    ///
    /// # Errors
    /// A text that is no statement, or a bound on how many are kept.
    async fn submit(&self, request: QueryRequest) -> Result<KeptQuery, Fault>;

    /// Runs a statement and answers its first page of `rows_max` rows; the rest is kept if there is more.
    ///
    /// # Errors
    /// As [`RunQuery::run`], or a bound on what is kept.
    async fn first_page(&self, request: QueryRequest) -> Result<QueryPage, Fault>;

    /// Rows of a query that succeeded, if the caller may still see what it was answered with.
    ///
    /// # Errors
    /// No such query, one that did not succeed, a cursor of another, or what its caller may see has changed.
    async fn page(&self, request: PageRequest) -> Result<QueryPage, Fault>;

    /// One query of a caller.
    ///
    /// # Errors
    /// No such query.
    fn kept(&self, caller: &Principal, id: &str) -> Result<KeptQuery, Fault>;

    /// All queries of a caller, newest first.
    fn list(&self, caller: &Principal) -> Vec<KeptQuery>;

    /// Cancels a query that has not ended, and returns when its work has stopped; forgets one that has.
    ///
    /// # Errors
    /// No such query, or a write, which is not stopped half-way.
    async fn discard(&self, caller: &Principal, id: &str) -> Result<KeptQuery, Fault>;
}

/// Keeps secrets.
#[async_trait]
pub trait Secrets: Send + Sync + Debug {
    /// The secret of this name.
    ///
    /// # Errors
    /// No such secret, or the store cannot be opened.
    async fn get(&self, name: &SecretName) -> Result<Secret, Fault>;

    /// Adds or replaces a secret; durable when it returns.
    ///
    /// # Errors
    /// The store cannot be written.
    async fn put(&self, name: &SecretName, secret: Secret) -> Result<(), Fault>;

    /// Removes a secret, if present.
    ///
    /// # Errors
    /// The store cannot be written.
    async fn remove(&self, name: &SecretName) -> Result<(), Fault>;
}

/// Who there is.
#[async_trait]
pub trait Identities: Send + Sync + Debug {
    /// The principal of a user id, as a reconcile loop needs it to act for the owner of a resource.
    ///
    /// # Errors
    /// No such user, or a disabled one.
    async fn principal(&self, user: &str) -> Result<Principal, Fault>;
}

/// Knows nobody: for a place without accounts.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

#[async_trait]
impl Identities for Nobody {
    async fn principal(&self, user: &str) -> Result<Principal, Fault> {
        Err(Fault::not_found(format!("there is no user `{user}`")))
    }
}
