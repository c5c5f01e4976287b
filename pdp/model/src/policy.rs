//! Policies as texts, and the set in force.

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, entity::EntityUid, fault::Fault, hash::Hash};

/// A policy text that joins the folder: compiled from an applied resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyText {
    /// Where it comes from, such as `policy:v1:mask-email`; one source is replaced as a whole.
    pub source: String,
    /// Cedar text; each policy carries `@id`.
    pub cedar: String,
}

/// The policy set in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySetInfo {
    /// Its digest.
    pub hash: Hash,
    /// When it became active.
    pub activated_at: Timestamp,
    /// Number of policies.
    pub count: usize,
    /// What went wrong with the newest attempt to load, if it failed; the old set stays.
    pub load_error: Option<Fault>,
    /// What may not have been meant: policies on data that match no known dataset, or do not
    /// type-check on one. Looked for after the set became active, so they come a little later.
    pub warnings: Vec<Fault>,
}

/// One policy of the set in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyInfo {
    /// Its `@id`.
    pub id: String,
    /// `permit` or `forbid`.
    pub effect: String,
    /// `file.cedar:line` or the resource id.
    pub source: String,
    /// All annotations but `@id`.
    pub annotations: Vec<(String, String)>,
    /// Its Cedar text.
    pub text: String,
}

/// A template of the set in force: a policy with slots, which decides nothing until a link fills them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateInfo {
    /// Its `@id`.
    pub id: String,
    /// `permit` or `forbid`.
    pub effect: String,
    /// `file.cedar:line` or the name of the applied text.
    pub source: String,
    /// All annotations but `@id`.
    pub annotations: Vec<(String, String)>,
    /// Its Cedar text.
    pub text: String,
    /// Of `principal` and `resource` those that a link must give.
    pub slots: Vec<String>,
    /// Ids of its links.
    pub links: Vec<String>,
}

/// A policy made of a template: entities for its slots, and an id of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLink {
    /// Id of the policy.
    pub id: String,
    /// Id of the template.
    pub template: String,
    /// For `?principal`.
    pub principal: Option<EntityUid>,
    /// For `?resource`.
    pub resource: Option<EntityUid>,
}
