//! Opening and closing, and the seam.

use std::{
    collections::BTreeMap, fs, os::unix::fs::DirBuilderExt, path::Path, sync::Arc, time::Duration,
};

use async_trait::async_trait;
use dataos_model::{
    annotation::Call,
    clock::Clock,
    fault::{Fault, FaultKind},
    hash::Hash,
    obligation::Obliged,
    principal::Principal,
    resource::{ApplyOutcome, Plan, ResourceFilter, ResourceId, ResourceView},
    seams::{
        Assets, Decide, EntitySink, Identities, Policies, Record, Resources, RunQuery, Secrets,
    },
};
use tokio::time::Instant;

use crate::{
    config::OrchestratorConfig,
    core::{Core, Parts, parse_stored},
    govern::Governor,
    manifest::Body,
    policy::Compiled,
    store::{ResourceRow, Status, Store},
};

/// The orchestrator carries out no obligation: a policy that permits under one does not permit here.
const KNOWS_NONE: fn(&Call) -> bool = |_| false;

/// The rooms that the orchestrator calls.
#[derive(Clone, Debug)]
pub struct OrchestratorSeams {
    /// Decides each action.
    pub decide: Arc<dyn Decide>,
    /// Records each decision before its action.
    pub record: Arc<dyn Record>,
    /// Takes compiled policies.
    pub policies: Arc<dyn Policies>,
    /// Takes depots.
    pub assets: Arc<dyn Assets>,
    /// Keeps secret values.
    pub secrets: Arc<dyn Secrets>,
    /// Runs steps of the stack `sql`.
    pub query: Arc<dyn RunQuery>,
    /// Knows the owners that reconcile steps act for.
    pub identities: Arc<dyn Identities>,
    /// Shows the PDP which resources there are.
    pub sink: Arc<dyn EntitySink>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Keeps declared resources and brings the platform to what they say.
#[derive(Debug)]
pub struct Orchestrator {
    pub(crate) core: Arc<Core>,
}

impl Orchestrator {
    /// Opens the store, puts the policies of applied resources back in force, tells the PDP about all
    /// resources, and takes up the runs that were under way.
    ///
    /// # Errors
    /// The directory or store cannot be used or has another format; or a policy that was in force
    /// cannot be put back: to go on without it could show what it hides.
    pub async fn open(
        config: OrchestratorConfig,
        seams: OrchestratorSeams,
    ) -> Result<Arc<Self>, Fault> {
        create_private(&config.directory.join("runs"))?;
        let file = config.directory.join("orchestrator.db");
        let store = Store::open(&config.metadata, &file).await?;
        let core = Arc::new(Core::new(Parts {
            config,
            governor: Governor {
                decide: Arc::new(Obliged::new(seams.decide, KNOWS_NONE)),
                record: seams.record,
            },
            policies: seams.policies,
            assets: seams.assets,
            secrets: seams.secrets,
            query: seams.query,
            identities: seams.identities,
            sink: seams.sink,
            clock: seams.clock,
            store,
        }));
        let rows = core.store.resources().await?;
        restore(&core, &rows).await?;
        for row in rows.iter().filter(|row| row.id.resource_type == "workflow") {
            core.resume_run(row).await?;
        }
        core.spawn(retry_loop(Arc::clone(&core)));
        Ok(Arc::new(Self { core }))
    }

    /// Ends: steps under way are stopped and will be tried again as their `retry` says; the store is
    /// closed. Nothing is executed after this returns.
    pub async fn close(&self) {
        self.core.closing.cancel();
        self.core.join().await;
        self.core.store.close().await;
    }
}

/// A folder that only this user can look into.
fn create_private(path: &Path) -> Result<(), Fault> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| {
            Fault::unavailable(format!("{} cannot be created: {error}", path.display()))
                .with_hint("look at its permissions and at free space")
        })
}

/// Brings the PDP back to what it was told before the last end.
async fn restore(core: &Core, rows: &[ResourceRow]) -> Result<(), Fault> {
    let mut resources = Vec::with_capacity(rows.len());
    for row in rows {
        let tags = Core::document(row)
            .map(|document| document.tags)
            .unwrap_or_default();
        resources.push((row, tags));
    }
    restore_policies(core, rows).await?;
    core.publish(
        resources
            .iter()
            .map(|(row, tags)| (&row.id, &row.owner, tags.as_slice())),
    )
}

async fn restore_policies(core: &Core, rows: &[ResourceRow]) -> Result<(), Fault> {
    let mut filters = Vec::new();
    for row in rows.iter().filter(|row| row.id.resource_type == "policy") {
        let refused = |fault| not_restored(&row.id.to_string(), &fault);
        let Some(manifest) = core.store.installed(&row.id).await? else {
            continue;
        };
        match parse_stored(&manifest, &row.id).map_err(refused)?.body {
            Body::Policy(Compiled::Filter(filter)) => filters.push((row.id.to_string(), filter)),
            Body::Policy(compiled) => core.put_policy(&row.id, &compiled).await.map_err(refused)?,
            _ => {}
        }
    }
    core.put_all_filters(filters)
        .await
        .map_err(|fault| not_restored("a row filter", &fault))
}

fn not_restored(what: &str, fault: &Fault) -> Fault {
    let text = format!(
        "{what} was in force and cannot be put back: {}",
        fault.message
    );
    Fault::new(FaultKind::Conflict, text)
        .with_hint("take back the last change of the policies folder or of the program")
}

/// Tries resources that are not as declared again, each with a wait of its own that doubles.
async fn retry_loop(core: Arc<Core>) {
    let mut waits: BTreeMap<String, (u64, Duration, Instant)> = BTreeMap::new();
    loop {
        match core.store.resources().await {
            Ok(rows) => {
                let open: Vec<ResourceRow> = rows
                    .into_iter()
                    .filter(|row| row.status != Status::Active)
                    .collect();
                waits.retain(|id, _| open.iter().any(|row| row.id.to_string() == *id));
                for row in open {
                    retry(&core, &row, &mut waits).await;
                }
            }
            Err(fault) => tracing::error!(%fault, "resources cannot be read"),
        }
        tokio::select! {
            () = core.closing.cancelled() => return,
            () = tokio::time::sleep(core.config.retry_wait) => {}
        }
    }
}

async fn retry(
    core: &Arc<Core>,
    row: &ResourceRow,
    waits: &mut BTreeMap<String, (u64, Duration, Instant)>,
) {
    let first = core.config.retry_wait;
    let now = Instant::now();
    let entry = waits
        .entry(row.id.to_string())
        .or_insert((row.revision, first, now + first));
    if entry.0 != row.revision {
        *entry = (row.revision, first, now + first);
    }
    if now < entry.2 || core.closing.is_cancelled() || core.in_hand.contains(&row.id.to_string()) {
        return;
    }
    entry.1 = (entry.1 * 2).min(core.config.retry_wait_max);
    entry.2 = now + entry.1;
    let request_id = format!("reconcile-{}", core.now().0);
    core.reconcile_again(row, &request_id).await;
}

#[async_trait]
impl Resources for Orchestrator {
    async fn apply(
        &self,
        principal: &Principal,
        request_id: &str,
        workspace: &str,
        manifests: &str,
        plan: Option<Hash>,
    ) -> Result<Vec<ApplyOutcome>, Fault> {
        Box::pin(
            self.core
                .apply(principal, request_id, workspace, manifests, plan),
        )
        .await
    }

    async fn plan(
        &self,
        principal: &Principal,
        workspace: &str,
        manifests: &str,
    ) -> Result<Plan, Fault> {
        Box::pin(self.core.plan(principal, workspace, manifests)).await
    }

    async fn list(&self, filter: &ResourceFilter) -> Result<Vec<ResourceView>, Fault> {
        self.core.list(filter).await
    }

    async fn get(&self, id: &ResourceId) -> Result<ResourceView, Fault> {
        self.core.get(id).await
    }

    async fn delete(
        &self,
        principal: &Principal,
        request_id: &str,
        id: &ResourceId,
    ) -> Result<ApplyOutcome, Fault> {
        Box::pin(self.core.delete(principal, request_id, id)).await
    }

    async fn log(
        &self,
        id: &ResourceId,
        job: Option<&str>,
        lines: usize,
    ) -> Result<Vec<String>, Fault> {
        self.core.log(id, job, lines).await
    }
}
