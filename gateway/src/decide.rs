//! From a request to the question that the PDP is asked.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dataos_model::{
    action::Action,
    dataset::DatasetId,
    decision::{Decision, Effect, Reason, Request},
    entity::{Entity, EntityType, EntityUid},
    fault::{Fault, FaultKind},
    hash::Hash,
    principal::Principal,
    resource::{ResourceId, ResourceView},
    seams::{Decide, Resources},
    value::Value,
};

use crate::{
    limits::{Peer, Verb},
    route::Parameters,
};

/// The workspace of resources that name none, and of queries and searches.
pub(crate) const PUBLIC_WORKSPACE: &str = "public";
/// The one policy set.
const POLICY_SET: &str = "active";
/// The one audit log.
const AUDIT_LOG: &str = "main";
/// Time for a decision, which takes microseconds; above it something is badly wrong.
const DECISION_TIMEOUT: Duration = Duration::from_secs(5);

/// What a route's decision is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The path itself.
    ApiPath,
    /// The workspace of the parameter `workspace`, else the public one.
    Workspace,
    /// The policies in force.
    PolicySet,
    /// The audit log.
    AuditLog,
    /// `{depot}`.
    Depot,
    /// `{depot}/{collection}/{name}`.
    Dataset,
    /// `{rid}`.
    Resource,
}

/// What a decision is about, as the PDP is told.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) uid: EntityUid,
    /// For what the entity snapshot does not hold.
    pub(crate) entity: Option<Entity>,
}

impl Target {
    fn supplied(uid: EntityUid) -> Self {
        Self {
            entity: Some(Entity::new(uid.clone())),
            uid,
        }
    }
}

/// Resolves the subject of a route for one request.
pub(crate) async fn target(
    subject: Subject,
    path: &str,
    workspace: Option<&str>,
    parameters: &Parameters,
    resources: &dyn Resources,
) -> Result<Target, Fault> {
    Ok(match subject {
        Subject::ApiPath => Target::supplied(EntityType::API_PATH.id(path)),
        Subject::Workspace => {
            let name = workspace.unwrap_or(PUBLIC_WORKSPACE);
            Target::supplied(EntityType::WORKSPACE.id(name))
        }
        Subject::PolicySet => policy_set(),
        Subject::AuditLog => audit_log(),
        Subject::Depot => Target {
            uid: EntityType::DEPOT.id(parameters.get("depot")?),
            entity: None,
        },
        Subject::Dataset => Target {
            uid: dataset_id(parameters)?.uid(),
            entity: None,
        },
        Subject::Resource => {
            let id: ResourceId = parameters.get("rid")?.parse()?;
            match resources.get(&id).await {
                Ok(view) => resource(&id, &view.owner, &view.tags),
                // Decided as one that nobody owns, so that a caller who may not see it learns
                // nothing, and one who may is told that it does not exist.
                Err(fault) if fault.kind == FaultKind::NotFound => resource(&id, "", &[]),
                Err(fault) => return Err(fault),
            }
        }
    })
}

/// The policies in force as a target.
pub(crate) fn policy_set() -> Target {
    Target::supplied(EntityType::POLICY_SET.id(POLICY_SET))
}

/// Ids of a type of which there are no others than these.
pub(crate) fn singletons(entity_type: &EntityType) -> Option<&'static [&'static str]> {
    if *entity_type == EntityType::POLICY_SET {
        Some(&[POLICY_SET])
    } else if *entity_type == EntityType::AUDIT_LOG {
        Some(&[AUDIT_LOG])
    } else {
        None
    }
}

/// The entity of a thing of which there is one.
pub(crate) fn singleton(uid: &EntityUid) -> Option<Entity> {
    let is_one = singletons(&uid.entity_type)?.contains(&uid.id.as_str());
    is_one.then(|| Entity::new(uid.clone()))
}

/// The entity of a thing that the gateway decides on and the snapshot does not hold, as it would be
/// supplied if it were called for.
pub(crate) async fn known(
    uid: &EntityUid,
    resources: &dyn Resources,
) -> Result<Option<Entity>, Fault> {
    let entity_type = &uid.entity_type;
    if *entity_type == EntityType::API_PATH || *entity_type == EntityType::WORKSPACE {
        return Ok(Some(Entity::new(uid.clone())));
    }
    if *entity_type != EntityType::RESOURCE {
        return Ok(singleton(uid));
    }
    let Ok(id) = uid.id.parse::<ResourceId>() else {
        return Ok(None);
    };
    match resources.get(&id).await {
        Ok(view) => Ok(resource(&id, &view.owner, &view.tags).entity),
        Err(fault) if fault.kind == FaultKind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// The audit log as a target.
pub(crate) fn audit_log() -> Target {
    Target::supplied(EntityType::AUDIT_LOG.id(AUDIT_LOG))
}

/// The dataset that a path names.
pub(crate) fn dataset_id(parameters: &Parameters) -> Result<DatasetId, Fault> {
    Ok(DatasetId::new(
        parameters.get("depot")?,
        parameters.get("collection")?,
        parameters.get("name")?,
    ))
}

/// A declared resource as a target.
fn resource(id: &ResourceId, owner: &str, tags: &[String]) -> Target {
    let workspace = id.workspace.as_deref().unwrap_or(PUBLIC_WORKSPACE);
    let mut entity = Entity::new(id.uid())
        .with_parents([EntityType::WORKSPACE.id(workspace)])
        .with_parents(tags.iter().map(|tag| EntityType::TAG.id(tag)));
    let text = |value: &str| Value::String(value.to_owned());
    entity.attributes.insert(
        "owner".to_owned(),
        Value::Entity(EntityType::USER.id(owner)),
    );
    entity
        .attributes
        .insert("type".to_owned(), text(&id.resource_type));
    entity.attributes.insert("name".to_owned(), text(&id.name));
    Target {
        uid: id.uid(),
        entity: Some(entity),
    }
}

/// The question whether a listed resource may be shown.
pub(crate) fn resource_request(
    principal: &Principal,
    action: Action,
    view: &ResourceView,
    context: &BTreeMap<String, Value>,
) -> Request {
    request(
        principal,
        action,
        resource(&view.id, &view.owner, &view.tags),
        context,
    )
}

/// The question of a route.
pub(crate) fn request(
    principal: &Principal,
    action: Action,
    target: Target,
    context: &BTreeMap<String, Value>,
) -> Request {
    Request {
        principal: principal.clone(),
        action,
        resource: target.uid,
        resource_entity: target.entity,
        context: context.clone(),
    }
}

/// Facts about a call that policies may read.
pub(crate) fn context(verb: Verb, peer: &Peer) -> BTreeMap<String, Value> {
    BTreeMap::from([
        ("method".to_owned(), Value::from(verb.name())),
        ("network".to_owned(), Value::from(peer.network.as_str())),
    ])
}

/// Asks the PDP; no answer in time is a deny.
pub(crate) async fn ask(decide: &Arc<dyn Decide>, request: &Request) -> Decision {
    match tokio::time::timeout(DECISION_TIMEOUT, decide.decide(request)).await {
        Ok(decision) => decision,
        Err(_) => Decision {
            effect: Effect::Deny,
            reason: Reason::Internal,
            policies: Vec::new(),
            errors: Vec::new(),
            obligations: Vec::new(),
            policy_set: Hash::default(),
            entities: Hash::default(),
            detail: "the decision did not come in time".to_owned(),
        },
    }
}

/// What a caller is told about a denial.
pub(crate) fn denial(decision: &Decision) -> Fault {
    if let Some(fault) = decision.not_asked() {
        return fault;
    }
    let message = if decision.detail.is_empty() {
        match decision.reason {
            Reason::NoPermit => "no policy permits this",
            Reason::Forbidden => "a policy forbids this",
            _ => "this could not be decided, so it is denied",
        }
    } else {
        decision.detail.as_str()
    };
    let mut fault = Fault::denied(decision.reason.code(), message);
    fault.policies = decision
        .policies
        .iter()
        .map(|policy| policy.id.clone())
        .collect();
    fault
}
