//! Answers about datasets, kept for as long as their version lives.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use dataos_model::{
    access::{AccessRequest, DatasetAccess},
    action::Action,
    dataset::DatasetId,
    entity::EntityUid,
    value::Value,
};
use foldhash::quality::RandomState;

/// Answers about datasets kept per version; when full, all are dropped.
pub const RESIDUALS_MAX: usize = 20_000;

/// Answers by question. Questions with one hash are told apart by all that they say.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    hasher: RandomState,
    kept: Mutex<HashMap<u64, Vec<Kept>>>,
}

type Kept = (Question, Arc<DatasetAccess>);

/// All of a request that can make a difference.
#[derive(Debug)]
struct Question {
    principal: EntityUid,
    groups: Vec<String>,
    roles: Vec<String>,
    tags: Vec<String>,
    attributes: BTreeMap<String, String>,
    action: Action,
    dataset: DatasetId,
    context: BTreeMap<String, Value>,
}

impl Answers {
    /// The answer given before, or a new one.
    pub(crate) fn get_or_insert(
        &self,
        request: &AccessRequest,
        dataset: &DatasetId,
        answer: impl FnOnce() -> DatasetAccess,
    ) -> Arc<DatasetAccess> {
        let hash = self.hash(request, dataset);
        let locked = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_asked = |(question, _): &&Kept| question.is(request, dataset);
        let known = locked()
            .get(&hash)
            .and_then(|kept| kept.iter().find(is_asked))
            .map(|(_, answer)| Arc::clone(answer));
        if let Some(known) = known {
            return known;
        }
        let answer = Arc::new(answer());
        let mut kept = locked();
        if kept.len() >= RESIDUALS_MAX {
            kept.clear();
        }
        let question = Question::of(request, dataset);
        kept.entry(hash)
            .or_default()
            .push((question, Arc::clone(&answer)));
        answer
    }

    fn hash(&self, request: &AccessRequest, dataset: &DatasetId) -> u64 {
        let principal = &request.principal;
        let mut hasher = self.hasher.build_hasher();
        principal.uid.hash(&mut hasher);
        principal.groups.hash(&mut hasher);
        principal.roles.hash(&mut hasher);
        principal.tags.hash(&mut hasher);
        principal.attributes.hash(&mut hasher);
        (request.action, dataset).hash(&mut hasher);
        request.context.hash(&mut hasher);
        hasher.finish()
    }
}

impl Question {
    fn of(request: &AccessRequest, dataset: &DatasetId) -> Self {
        let principal = &request.principal;
        Self {
            principal: principal.uid.clone(),
            groups: principal.groups.clone(),
            roles: principal.roles.clone(),
            tags: principal.tags.clone(),
            attributes: principal.attributes.clone(),
            action: request.action,
            dataset: dataset.clone(),
            context: request.context.clone(),
        }
    }

    fn is(&self, request: &AccessRequest, dataset: &DatasetId) -> bool {
        let principal = &request.principal;
        self.principal == principal.uid
            && self.groups == principal.groups
            && self.roles == principal.roles
            && self.tags == principal.tags
            && self.attributes == principal.attributes
            && self.action == request.action
            && self.dataset == *dataset
            && self.context == request.context
    }
}
