//! Declared resources as they cross the seam to the orchestrator.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    entity::{EntityType, EntityUid},
    fault::Fault,
    hash::Hash,
};

/// Identity of a resource; prints as `type:version:name[:workspace]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceId {
    /// Type, such as `workflow`.
    pub resource_type: String,
    /// Version, such as `v1`.
    pub version: String,
    /// Name.
    pub name: String,
    /// Workspace, for types that live in one.
    pub workspace: Option<String>,
}

impl ResourceId {
    /// Its entity.
    pub fn uid(&self) -> EntityUid {
        EntityType::RESOURCE.id(self.to_string())
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.resource_type, self.version, self.name)?;
        match &self.workspace {
            Some(workspace) => write!(f, ":{workspace}"),
            None => Ok(()),
        }
    }
}

impl FromStr for ResourceId {
    type Err = Fault;

    /// Accepts `type:version:name[:workspace]`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let parts: Vec<&str> = text.split(':').map(str::trim).collect();
        match parts.as_slice() {
            [resource_type, version, name, rest @ ..]
                if rest.len() <= 1 && parts.iter().all(|part| !part.is_empty()) =>
            {
                Ok(Self {
                    resource_type: (*resource_type).to_owned(),
                    version: (*version).to_owned(),
                    name: (*name).to_owned(),
                    workspace: rest.first().map(|workspace| (*workspace).to_owned()),
                })
            }
            _ => Err(Fault::invalid(format!("`{text}` is not a resource id"))
                .with_hint("write type:version:name or type:version:name:workspace")),
        }
    }
}

/// A resource with its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceView {
    /// Identity.
    pub id: ResourceId,
    /// Owner's user id.
    pub owner: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Description.
    pub description: String,
    /// `active`, `pending`, `inprogress`, `error`, `deleted`.
    pub status: String,
    /// `running:1`, `running`, `succeeded`, `failed`, `next:<time>`, or empty.
    pub runtime: String,
    /// Why the status is what it is, for a person.
    pub message: String,
    /// Number of the revision, from 1.
    pub revision: u64,
    /// When the revision was applied.
    pub updated_at: Timestamp,
    /// The manifest as applied, YAML, secrets blanked.
    pub manifest: String,
    /// Nodes of the newest run, for types that run.
    pub nodes: Vec<RunNode>,
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunNode {
    /// Name of the job in the DAG.
    pub job: String,
    /// Stack, such as `container` or `sql`.
    pub stack: String,
    /// Names of the jobs it waits for.
    pub dependencies: Vec<String>,
    /// Number of the attempt, from 1; 0 if it has not started.
    pub attempt: u32,
    /// `pending`, `running`, `succeeded`, `failed`, `skipped`, `denied`.
    pub phase: String,
    /// When the attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Exit code, or why it failed.
    pub message: String,
}

/// What apply did with one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyOutcome {
    /// The resource.
    pub id: ResourceId,
    /// `created`, `updated`, `unchanged`, `deleted`.
    pub change: String,
    /// Revision after the change.
    pub revision: u64,
    /// Warnings: fields without effect, unknown keys kept, a replaced owner.
    pub warnings: Vec<String>,
}

/// One action that apply would take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChange {
    /// The resource.
    pub id: ResourceId,
    /// `create`, `update`, `delete`, `none`.
    pub action: String,
    /// Changed fields as `path: old -> new`.
    pub fields: Vec<String>,
}

/// A plan, and the digest that apply can demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Digest over manifests, base revisions and policy set.
    pub hash: Hash,
    /// Changes in order of execution.
    pub changes: Vec<PlannedChange>,
    /// As in [`ApplyOutcome`].
    pub warnings: Vec<String>,
}

/// Which resources to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceFilter {
    /// Of this type.
    pub resource_type: Option<String>,
    /// Of this name.
    pub name: Option<String>,
    /// In this workspace; types without workspace are listed always.
    pub workspace: Option<String>,
    /// Of this owner.
    pub owner: Option<String>,
}
