//! A policy set: all texts of the folder and all applied texts together, immutable once made. The
//! next set shares with the one before what did not change.

pub(crate) mod links;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, OnceLock},
};

use cedar_policy::PolicySet as CedarSet;
use dataos_model::{
    clock::Timestamp, entity::EntityUid, fault::Fault, hash::Hash, policy::PolicyLink,
};

use crate::{
    digest_map::{DigestMap, Digested},
    index::Index,
    problem::Problem,
    scan::{Bound, POLICIES_MAX},
    schema::BaseSchema,
    shards::Shards,
    source::{Loaded, LoadedPolicy, LoadedTemplate, Origin, load},
};
use links::{Change, Templates};

/// One text and what was read from it.
#[derive(Debug)]
pub(crate) struct Source {
    /// Digest of text and schema: the same again need not be read again.
    digest: Hash,
    origin: Origin,
    /// The text itself; none of a link.
    pub text: Option<String>,
    /// Its policies, in the order of the text.
    pub policies: Vec<Arc<LoadedPolicy>>,
    /// Its templates, in the order of the text.
    pub templates: Vec<Arc<LoadedTemplate>>,
    /// The link whose policy it holds, if it is one.
    link: Option<PolicyLink>,
}

/// Texts by name: paths within the folder, and ids of applied resources.
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
        let (mut policies, mut templates) = (Vec::new(), Vec::new());
        for loaded in load(schema, name, origin, text)? {
            match loaded {
                Loaded::Policy(policy) => policies.push(Arc::from(policy)),
                Loaded::Template(template) => templates.push(Arc::from(template)),
            }
        }
        Ok(Arc::new(Self {
            digest,
            origin,
            text: Some(text.to_owned()),
            policies,
            templates,
            link: None,
        }))
    }

    /// An applied text under a schema that may have changed.
    pub(crate) fn recheck(
        self: &Arc<Self>,
        schema: &BaseSchema,
        name: &str,
    ) -> Result<Arc<Self>, Problem> {
        match &self.text {
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
    /// Which policies can apply to a request.
    pub index: Index,
    sources: Shards<String, Arc<Source>>,
    templates: Templates,
    by_id: DigestMap<String, LoadedPolicy>,
    whole: OnceLock<(CedarSet, Vec<EntityUid>)>,
}

impl Digested for LoadedPolicy {
    fn digest(&self) -> Hash {
        self.digest
    }
}

impl PolicySet {
    /// Joins texts that were checked one by one, and links, which are checked again.
    pub(crate) fn new(
        schema: Arc<BaseSchema>,
        sources: Sources,
        activated_at: Timestamp,
    ) -> Result<Self, Fault> {
        let empty = Self {
            hash: Hash::default(),
            activated_at,
            index: Index::empty(Arc::clone(&schema.names)),
            schema,
            sources: Shards::default(),
            templates: Templates::default(),
            by_id: DigestMap::default(),
            whole: OnceLock::new(),
        };
        let mut change = Change::default();
        for (name, source) in sources {
            match source.link() {
                Some(link) => drop(change.links.insert(link.id.clone(), Some(link.clone()))),
                None => drop(change.texts.insert(name, Some(source))),
            }
        }
        empty.next(change, activated_at)
    }

    /// The next set under the same schema: policies of texts are added or replaced, `None` removes.
    fn with(
        &self,
        changes: BTreeMap<String, Option<Arc<Source>>>,
        activated_at: Timestamp,
    ) -> Result<Self, Problem> {
        let mut sources = self.sources.clone();
        let mut index = self.index.clone();
        // Policies that stay as they are are neither taken out nor put in again.
        let staying: HashSet<*const LoadedPolicy> = changes
            .values()
            .flatten()
            .flat_map(|source| source.policies.iter().map(Arc::as_ptr))
            .collect();
        let mut next: BTreeMap<String, Option<Arc<LoadedPolicy>>> = BTreeMap::new();
        let mut gone: HashSet<*const LoadedPolicy> = HashSet::new();
        for name in changes.keys() {
            for policy in self
                .sources
                .get(name)
                .iter()
                .flat_map(|source| &source.policies)
            {
                if !staying.contains(&Arc::as_ptr(policy)) {
                    index.remove(policy);
                    next.insert(policy.id().to_owned(), None);
                }
                gone.insert(Arc::as_ptr(policy));
            }
        }
        let mut added: HashMap<&str, &Arc<LoadedPolicy>> = HashMap::new();
        for policy in changes
            .values()
            .flatten()
            .flat_map(|source| &source.policies)
        {
            let kept = self.by_id.get(&policy.reference.id);
            let kept = kept.filter(|kept| !gone.contains(&Arc::as_ptr(kept)));
            if let Some(former) = added.insert(policy.id(), policy).or(kept) {
                return Err(duplicate(former, policy));
            }
            if !gone.contains(&Arc::as_ptr(policy)) {
                index.add(policy);
                next.insert(policy.id().to_owned(), Some(Arc::clone(policy)));
            }
        }
        for (name, source) in &changes {
            match source {
                Some(source) => sources.insert(name.clone(), Arc::clone(source)),
                None => sources.remove(name),
            };
        }
        let by_id = self.by_id.with(next);
        if by_id.len() > POLICIES_MAX {
            return Err(Problem::whole("policies", Bound::Policies.to_string()));
        }
        Ok(Self {
            hash: Hash::of_parts([self.schema.hash.0, by_id.hash.0]),
            activated_at,
            schema: Arc::clone(&self.schema),
            index,
            sources,
            templates: self.templates.clone(),
            by_id,
            whole: OnceLock::new(),
        })
    }

    /// Number of policies.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All policies, in no order.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &Arc<LoadedPolicy>> {
        self.by_id.iter().map(|(_, policy)| policy)
    }

    /// All texts by name, in no order.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&String, &Arc<Source>)> {
        self.sources.iter()
    }

    /// A text by name.
    pub(crate) fn source(&self, name: &str) -> Option<&Arc<Source>> {
        self.sources.get(name)
    }

    /// A policy by id.
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<LoadedPolicy>> {
        self.by_id.get(&id.to_owned())
    }

    /// All policies as Cedar's own set, and the entities that any of them looks into; made when
    /// first asked for, since only the comparison with stock Cedar needs it.
    pub(crate) fn whole(&self) -> &(CedarSet, Vec<EntityUid>) {
        self.whole.get_or_init(|| {
            let looked_into = self
                .policies()
                .flat_map(|policy| policy.looked_into.iter().cloned());
            (cedar_set(self.policies()), looked_into.collect())
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
