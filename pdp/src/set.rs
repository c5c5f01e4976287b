//! A policy set: all texts of the folder and all applied texts together, immutable once made.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use cedar_policy::PolicySet as CedarSet;
use dataos_model::{clock::Timestamp, entity::EntityUid, hash::Hash};

use crate::{
    index::Index,
    problem::Problem,
    scan::{Bound, POLICIES_MAX},
    schema::BaseSchema,
    source::{LoadedPolicy, Origin, load},
};

/// One text and what was read from it.
#[derive(Debug)]
pub(crate) struct Source {
    /// Digest of text and schema: the same again need not be read again.
    digest: Hash,
    origin: Origin,
    /// The text itself if it is not in the folder, where it can be read again.
    applied: Option<String>,
    /// Its policies, in the order of the text.
    pub policies: Vec<Arc<LoadedPolicy>>,
}

/// All texts by name: paths within the folder, and ids of applied resources.
pub(crate) type Sources = BTreeMap<String, Arc<Source>>;

impl Source {
    /// Reads a text, unless `known` is the same.
    pub(crate) fn read(
        schema: &BaseSchema,
        name: &str,
        origin: Origin,
        text: &str,
        known: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, Problem> {
        let digest = Hash::of_parts([schema.hash.0.as_slice(), text.as_bytes()]);
        if let Some(known) = known.filter(|known| known.digest == digest && known.origin == origin)
        {
            return Ok(Arc::clone(known));
        }
        let policies = load(schema, name, origin, text)?;
        Ok(Arc::new(Self {
            digest,
            origin,
            applied: (origin == Origin::Applied).then(|| text.to_owned()),
            policies: policies.into_iter().map(Arc::new).collect(),
        }))
    }

    /// An applied text under a schema that may have changed.
    pub(crate) fn recheck(
        self: &Arc<Self>,
        schema: &BaseSchema,
        name: &str,
    ) -> Result<Arc<Self>, Problem> {
        match &self.applied {
            Some(text) => Self::read(schema, name, self.origin, text, Some(self)),
            None => Ok(Arc::clone(self)),
        }
    }

    /// Whether it came from the folder.
    pub(crate) fn is_file(&self) -> bool {
        self.origin == Origin::File
    }
}

/// An immutable policy set.
#[derive(Debug)]
pub(crate) struct PolicySet {
    /// Digest over schema, ids and canonical forms; neither layout nor comments nor file names
    /// change it.
    pub hash: Hash,
    /// When it became active.
    pub activated_at: Timestamp,
    /// The schema that it was checked against.
    pub schema: Arc<BaseSchema>,
    /// All policies, by id.
    pub policies: Vec<Arc<LoadedPolicy>>,
    /// The texts.
    pub sources: Sources,
    /// Which policies can apply to a request.
    pub index: Index,
    positions: HashMap<String, usize>,
    whole: OnceLock<(CedarSet, Vec<EntityUid>)>,
}

impl PolicySet {
    /// Joins texts that were checked one by one.
    pub(crate) fn new(
        schema: Arc<BaseSchema>,
        sources: Sources,
        activated_at: Timestamp,
    ) -> Result<Self, Problem> {
        let mut policies: Vec<Arc<LoadedPolicy>> = sources
            .values()
            .flat_map(|source| source.policies.iter().cloned())
            .collect();
        policies.sort_by(|left, right| left.id().cmp(right.id()));
        for (left, right) in policies.iter().zip(policies.iter().skip(1)) {
            if left.id() == right.id() {
                return Err(duplicate(left, right));
            }
        }
        if policies.len() > POLICIES_MAX {
            return Err(Problem::whole("policies", Bound::Policies.to_string()));
        }
        let digests = policies.iter().map(|policy| policy.digest.0);
        Ok(Self {
            hash: Hash::of_parts(std::iter::once(schema.hash.0).chain(digests)),
            activated_at,
            index: Index::new(policies.iter().map(|policy| &policy.scope)),
            positions: policies
                .iter()
                .enumerate()
                .map(|(position, policy)| (policy.id().to_owned(), position))
                .collect(),
            schema,
            policies,
            sources,
            whole: OnceLock::new(),
        })
    }

    /// A policy by id.
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<LoadedPolicy>> {
        self.policies.get(*self.positions.get(id)?)
    }

    /// The policies at these positions.
    pub(crate) fn at(&self, positions: &[usize]) -> Vec<&Arc<LoadedPolicy>> {
        positions
            .iter()
            .filter_map(|position| self.policies.get(*position))
            .collect()
    }

    /// All policies as Cedar's own set, and the entities that any of them looks into; made when
    /// first asked for, since only the comparison with stock Cedar needs it.
    pub(crate) fn whole(&self) -> &(CedarSet, Vec<EntityUid>) {
        self.whole.get_or_init(|| {
            let looked_into = self
                .policies
                .iter()
                .flat_map(|policy| policy.looked_into.iter().cloned());
            (cedar_set(&self.policies), looked_into.collect())
        })
    }
}

/// Cedar's own set of these policies. Ids are unique in a set, so none is lost.
pub(crate) fn cedar_set<'a>(policies: impl IntoIterator<Item = &'a Arc<LoadedPolicy>>) -> CedarSet {
    let mut set = CedarSet::new();
    for policy in policies {
        if set.add(policy.cedar.clone()).is_err() {
            tracing::error!(policy = policy.id(), "a policy id is in the set twice");
        }
    }
    set
}

/// Two policies of one id: told at the second one, naming the first.
fn duplicate(first: &LoadedPolicy, second: &LoadedPolicy) -> Problem {
    let (file, line) = match second.reference.source.rsplit_once(':') {
        Some((file, line)) => (file, line.parse().ok()),
        None => (second.reference.source.as_str(), None),
    };
    // Applied resources have ids with colons and no line.
    let (file, line) = if line.is_none() {
        (second.reference.source.as_str(), None)
    } else {
        (file, line)
    };
    let message = format!(
        "@id(\"{}\") is already used in {}",
        second.id(),
        first.reference.source
    );
    Problem {
        position: line.map(|line| (line, 1)),
        ..Problem::whole(file, message)
    }
}
