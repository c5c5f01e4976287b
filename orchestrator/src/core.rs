//! What all parts share: the seams, the store, and the tasks under way.

use std::{
    collections::BTreeMap,
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dataos_model::{
    clock::{Clock, Timestamp},
    entity::{Entity, EntityChange, EntityType, EntityUid},
    fault::Fault,
    principal::Principal,
    resource::ResourceId,
    seams::{Assets, EntitySink, Identities, Policies, RunQuery, Secrets},
    value::Value,
};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    config::OrchestratorConfig,
    govern::Governor,
    in_force::InForce,
    manifest::{self, Document},
    marks::Marks,
    store::{ResourceRow, Store},
};

/// A run under way, as others may stop it.
#[derive(Clone, Debug)]
pub(crate) struct ActiveRun {
    /// Asks it to stop; cancelled, too, when the process is about to end.
    pub(crate) stop: CancellationToken,
    /// Cancelled once nothing of it is left.
    pub(crate) done: CancellationToken,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: OrchestratorConfig,
    pub(crate) governor: Governor,
    pub(crate) policies: Arc<dyn Policies>,
    pub(crate) assets: Arc<dyn Assets>,
    pub(crate) secrets: Arc<dyn Secrets>,
    pub(crate) query: Arc<dyn RunQuery>,
    pub(crate) identities: Arc<dyn Identities>,
    pub(crate) sink: Arc<dyn EntitySink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Store,
    /// Held while the declared state is read and changed, so that applies do not interleave.
    pub(crate) applying: tokio::sync::Mutex<()>,
    /// One permit per running step.
    pub(crate) steps: Semaphore,
    /// Cancelled when the process is about to end; what runs then is started again later.
    pub(crate) closing: CancellationToken,
    /// Every task of ours; joined by `close`.
    tasks: Mutex<JoinSet<()>>,
    /// Resources that an apply is about to carry out: the retry loop keeps off.
    pub(crate) in_hand: Marks,
    /// Row filters of a stream that is not through yet: they come into force with the last one.
    pub(crate) held_filters: Marks,
    /// The policies that the PDP was given. Held while they change, so that changes do not interleave.
    pub(crate) in_force: tokio::sync::Mutex<InForce>,
    /// Runs under way by resource id; at most one each.
    runs: Mutex<BTreeMap<String, ActiveRun>>,
}

/// Everything that `Core` is made of, but its own state.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: OrchestratorConfig,
    pub(crate) governor: Governor,
    pub(crate) policies: Arc<dyn Policies>,
    pub(crate) assets: Arc<dyn Assets>,
    pub(crate) secrets: Arc<dyn Secrets>,
    pub(crate) query: Arc<dyn RunQuery>,
    pub(crate) identities: Arc<dyn Identities>,
    pub(crate) sink: Arc<dyn EntitySink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Store,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Self {
        let steps = Semaphore::new(parts.config.steps_parallel_max.max(1));
        Self {
            config: parts.config,
            governor: parts.governor,
            policies: parts.policies,
            assets: parts.assets,
            secrets: parts.secrets,
            query: parts.query,
            identities: parts.identities,
            sink: parts.sink,
            clock: parts.clock,
            store: parts.store,
            applying: tokio::sync::Mutex::new(()),
            steps,
            closing: CancellationToken::new(),
            tasks: Mutex::default(),
            in_hand: Marks::default(),
            held_filters: Marks::default(),
            in_force: tokio::sync::Mutex::default(),
            runs: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The folder of a run.
    pub(crate) fn run_directory(&self, run: u64) -> PathBuf {
        self.config.directory.join("runs").join(run.to_string())
    }

    /// Starts a task that `close` waits for; finished ones are let go.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = locked(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Waits for every task.
    pub(crate) async fn join(&self) {
        loop {
            let mut tasks = std::mem::take(&mut *locked(&self.tasks));
            if tasks.is_empty() {
                return;
            }
            while tasks.join_next().await.is_some() {}
        }
    }

    pub(crate) fn active_run(&self, id: &ResourceId) -> Option<ActiveRun> {
        locked(&self.runs).get(&id.to_string()).cloned()
    }

    pub(crate) fn enter_run(&self, id: &ResourceId) -> ActiveRun {
        let run = ActiveRun {
            stop: self.closing.child_token(),
            done: CancellationToken::new(),
        };
        locked(&self.runs).insert(id.to_string(), run.clone());
        run
    }

    pub(crate) fn leave_run(&self, id: &ResourceId, run: &ActiveRun) {
        locked(&self.runs).remove(&id.to_string());
        run.done.cancel();
    }

    /// Stops the run of a resource, if one is under way, and waits until nothing of it is left.
    pub(crate) async fn stop_run(&self, id: &ResourceId) {
        if let Some(run) = self.active_run(id) {
            run.stop.cancel();
            run.done.cancelled().await;
        }
    }

    /// The principal that acts for an owner.
    pub(crate) async fn owner(&self, owner: &EntityUid) -> Result<Principal, Fault> {
        self.identities.principal(&owner.id).await.map_err(|fault| {
            Fault::denied(
                "owner_unknown",
                format!("the owner cannot act: {}", fault.message),
            )
            .with_hint("apply the resource again as a user that exists and is not disabled")
        })
    }

    /// The parsed manifest of a stored resource.
    pub(crate) fn document(row: &ResourceRow) -> Result<Document, Fault> {
        parse_stored(&row.manifest, &row.id)
    }

    /// Tells the PDP about resources.
    pub(crate) fn publish<'a>(
        &self,
        resources: impl IntoIterator<Item = (&'a ResourceId, &'a EntityUid, &'a [String])>,
    ) -> Result<(), Fault> {
        let mut changes = Vec::new();
        for (id, owner, tags) in resources {
            changes.extend(
                tags.iter()
                    .flat_map(|tag| tag_hierarchy(tag))
                    .map(EntityChange::Upsert),
            );
            changes.push(EntityChange::Upsert(entity(id, owner, tags)));
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.sink.apply(changes).map(|_| ())
    }
}

/// Reads a manifest that was stored before.
pub(crate) fn parse_stored(text: &str, id: &ResourceId) -> Result<Document, Fault> {
    let workspace = id.workspace.as_deref().unwrap_or("public");
    manifest::parse(text, workspace)?
        .pop()
        .ok_or_else(|| Fault::internal(format!("the stored manifest of {id} is empty")))
}

/// A resource as the PDP sees it.
pub(crate) fn entity(id: &ResourceId, owner: &EntityUid, tags: &[String]) -> Entity {
    let workspace = id
        .workspace
        .iter()
        .map(|name| EntityType::WORKSPACE.id(name));
    let tags = tags.iter().map(|tag| EntityType::TAG.id(tag));
    let mut entity = Entity::new(id.uid()).with_parents(workspace.chain(tags));
    entity.attributes = BTreeMap::from([
        ("owner".to_owned(), Value::Entity(owner.clone())),
        ("type".to_owned(), Value::String(id.resource_type.clone())),
        ("name".to_owned(), Value::String(id.name.clone())),
    ]);
    entity
}

/// `A.B.C` is in `A.B`, which is in `A`.
fn tag_hierarchy(tag: &str) -> Vec<Entity> {
    let mut entities = Vec::new();
    let mut rest = tag;
    while let Some((parent, _)) = rest
        .rsplit_once('.')
        .filter(|(parent, _)| !parent.is_empty())
    {
        let child = Entity::new(EntityType::TAG.id(rest));
        entities.push(child.with_parents([EntityType::TAG.id(parent)]));
        rest = parent;
    }
    entities
}

/// The data behind our locks is whole after a panic: every change is one call.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
