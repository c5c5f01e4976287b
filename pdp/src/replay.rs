//! Past decisions made again: under the policies that were in force, or with other files in their place.
//!
//! The log says what decisions were made from ([`dataos_model::state`]); this follows it, entry by entry,
//! and puts together the version that a decision names. Whatever the log does not say is never guessed:
//! such a decision is not made again, and the reason is told.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    path::Path,
    sync::Arc,
};

use dataos_model::{
    access::{AccessRequest, DatasetAccess},
    clock::Timestamp,
    decision::{Decision, Request},
    fault::{Fault, FaultKind},
    hash::Hash,
    policy::PolicyLink,
    state::{Change, SourceChange, StateChange, StateOf},
};

use crate::{
    decide::Engine,
    entities::Snapshot,
    folder::{Folder, is_fragment},
    names::Names,
    schema::{BaseSchema, SCHEMA_FILE, SchemaTexts},
    set::{PolicySet, Source, Sources, links},
    source::Origin,
    state::State,
    version::Version,
};

/// Most versions of each kind that are kept: entries are near each other that name the same.
pub const STATES_MAX: usize = 256;

/// Why a decision is not made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReplayed {
    /// The log does not say what the entities were.
    Entities,
    /// The log does not say what the policies were.
    Policies,
    /// The policies that were applied do not go with the files that are to replace the others.
    Unfit(String),
}

impl fmt::Display for NotReplayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entities => f.write_str("the log does not say what the entities were"),
            Self::Policies => f.write_str("the log does not say what the policies were"),
            Self::Unfit(why) => write!(f, "the policies do not go together: {why}"),
        }
    }
}

/// The newest values by hash.
#[derive(Debug)]
struct Newest<V> {
    by_hash: HashMap<Hash, V>,
    order: VecDeque<Hash>,
}

impl<V> Default for Newest<V> {
    fn default() -> Self {
        Self {
            by_hash: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<V: Clone> Newest<V> {
    fn get(&self, hash: &Hash) -> Option<V> {
        self.by_hash.get(hash).cloned()
    }

    fn put(&mut self, hash: Hash, value: V) {
        if self.by_hash.insert(hash, value).is_none() {
            self.order.push_back(hash);
        }
        if self.order.len() > STATES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_hash.remove(&oldest);
        }
    }
}

/// The texts of a policy set.
#[derive(Clone, Debug, Default)]
struct Recorded {
    /// Files of the folder: schema and policies.
    files: BTreeMap<String, Arc<str>>,
    /// What was applied, by name.
    applied: BTreeMap<String, Arc<str>>,
    links: BTreeMap<String, PolicyLink>,
}

/// What a whole is made of while its parts come in.
#[derive(Debug)]
struct Parts<V> {
    after: Hash,
    next: u64,
    value: V,
}

/// A set that was built, or why it could not be.
type Built = Result<Arc<PolicySet>, NotReplayed>;

/// Follows the log.
#[derive(Debug)]
pub struct Replay {
    /// Files in place of those of the record.
    files: Option<BTreeMap<String, Arc<str>>>,
    names: Arc<Names>,
    entities: Newest<Snapshot>,
    entity_parts: Option<Parts<Snapshot>>,
    texts: Newest<Arc<Recorded>>,
    text_parts: Option<Parts<Recorded>>,
    /// Sets by the digest of all their texts.
    sets: Newest<Built>,
    /// The set that was built last: most texts of the next are the same.
    built: Option<Arc<PolicySet>>,
    /// Versions by the digest of both hashes.
    versions: Newest<State>,
}

impl Replay {
    /// Makes decisions under the policies that were in force.
    pub fn recorded() -> Self {
        Self {
            files: None,
            names: Arc::default(),
            entities: Newest::default(),
            entity_parts: None,
            texts: Newest::default(),
            text_parts: None,
            sets: Newest::default(),
            built: None,
            versions: Newest::default(),
        }
    }

    /// Makes decisions with the files of a policies folder in the place of those that were in force, and
    /// with what was applied beside them. Entities stay those of the record.
    ///
    /// # Errors
    /// A folder that cannot be read, or does not load.
    pub fn with_files(folder: &Path) -> Result<Self, Fault> {
        let Folder {
            schema,
            fragments,
            files,
            ..
        } = Folder::read(folder)?;
        let schema = (SCHEMA_FILE.to_owned(), schema);
        let files = fragments.into_iter().chain(files).chain([schema]);
        let mut replay = Self {
            files: Some(files.map(|(name, text)| (name, text.into())).collect()),
            ..Self::recorded()
        };
        // So that a folder that does not load is refused before the log is read.
        replay.set(&Recorded::default()).map_err(|not| match not {
            NotReplayed::Unfit(why) => Fault::invalid(why),
            other => Fault::internal(other.to_string()),
        })?;
        Ok(replay)
    }

    /// Takes note of an entry of kind `state`, with all of its facts in place.
    ///
    /// # Errors
    /// An entry that is malformed, or does not lead to the version that it names.
    pub fn learn(&mut self, change: &StateChange) -> Result<(), Fault> {
        match change.of {
            StateOf::Entities => self.learn_entities(change),
            StateOf::Policies => self.learn_texts(change),
        }
    }

    fn learn_entities(&mut self, change: &StateChange) -> Result<(), Fault> {
        let parts = self.entity_parts.take();
        let base = match change.before {
            Some(before) => self.entities.get(&before),
            None => follow(parts, change, || Snapshot::empty(Arc::clone(&self.names))),
        };
        // What does not follow on anything known stays unknown, and so do the decisions made from it.
        let Some(base) = base else { return Ok(()) };
        let mut changes = Vec::new();
        for line in change.changes() {
            match line.map_err(|error| Fault::new(FaultKind::Damaged, error.to_string()))? {
                Change::Entity(entity) => changes.push(entity),
                Change::Source(_) | Change::Link(..) => return Err(foreign()),
            }
        }
        let next = base.with(changes).map_err(|refused| {
            let message = format!("recorded entities do not fit each other: {refused:?}");
            Fault::new(FaultKind::Damaged, message)
        })?;
        if !change.is_last {
            self.entity_parts = Some(Parts {
                after: change.after,
                next: change.part + 1,
                value: next,
            });
        } else if next.hash() == change.after {
            self.entities.put(change.after, next);
        } else {
            return Err(other_version(change.after, next.hash()));
        }
        Ok(())
    }

    fn learn_texts(&mut self, change: &StateChange) -> Result<(), Fault> {
        let parts = self.text_parts.take();
        let base = match change.before {
            Some(before) => self.texts.get(&before).map(Arc::unwrap_or_clone),
            None => follow(parts, change, Recorded::default),
        };
        let Some(mut next) = base else { return Ok(()) };
        for line in change.changes() {
            match line.map_err(|error| Fault::new(FaultKind::Damaged, error.to_string()))? {
                Change::Source(source) => next.put(source),
                Change::Link(id, Some(link)) => drop(next.links.insert(id, link)),
                Change::Link(id, None) => drop(next.links.remove(&id)),
                Change::Entity(_) => return Err(foreign()),
            }
        }
        if change.is_last {
            self.texts.put(change.after, Arc::new(next));
        } else {
            self.text_parts = Some(Parts {
                after: change.after,
                next: change.part + 1,
                value: next,
            });
        }
        Ok(())
    }

    /// What a decision of this policy set over these entities is made from.
    ///
    /// # Errors
    /// What the log does not say, or what does not go together.
    pub fn at(&mut self, policy_set: Hash, entities: Hash) -> Result<State, NotReplayed> {
        let both = Hash::of_parts([policy_set.0, entities.0]);
        if let Some(known) = self.versions.get(&both) {
            return Ok(known);
        }
        let snapshot = self.entities.get(&entities).ok_or(NotReplayed::Entities)?;
        let texts = self.texts.get(&policy_set).ok_or(NotReplayed::Policies)?;
        let set = self.set(&texts)?;
        if self.files.is_none() && set.hash != policy_set {
            return Err(NotReplayed::Policies);
        }
        let state = State(Arc::new(Version::new(set, snapshot)));
        self.versions.put(both, state.clone());
        Ok(state)
    }

    fn set(&mut self, texts: &Recorded) -> Built {
        let files = self.files.as_ref().unwrap_or(&texts.files);
        let digest = texts.digest(files);
        if let Some(known) = self.sets.get(&digest) {
            return known;
        }
        let built = build(&self.names, files, texts, self.built.as_deref());
        let built = built
            .map(Arc::new)
            .map_err(|fault| NotReplayed::Unfit(fault.to_string()));
        self.built = built.as_ref().ok().cloned().or(self.built.take());
        self.sets.put(digest, built.clone());
        built
    }
}

impl State {
    /// The decision, as it was or would have been made from this.
    pub fn decide(&self, request: &Request) -> Decision {
        let compiled = self.0.decide_compiled(request, Engine::Compiled);
        compiled.unwrap_or_else(|| self.0.decide(request, Engine::IndexedStock))
    }

    /// Rows and columns of datasets, as they were or would have been answered from this.
    pub fn access(&self, request: &AccessRequest) -> Vec<Arc<DatasetAccess>> {
        self.0.access(request)
    }
}

impl Recorded {
    fn put(&mut self, change: SourceChange) {
        let texts = if change.is_file {
            &mut self.files
        } else {
            &mut self.applied
        };
        match change.text {
            Some(text) => texts.insert(change.name, text.into()),
            None => texts.remove(&change.name),
        };
    }

    fn digest(&self, files: &BTreeMap<String, Arc<str>>) -> Hash {
        let texts = files.iter().chain(&self.applied);
        let texts = texts.flat_map(|(name, text)| [name.clone(), text.to_string()]);
        let links = self.links.values().map(|link| format!("{link:?}"));
        let counts = [files.len().to_string(), self.applied.len().to_string()];
        Hash::of_parts(counts.into_iter().chain(texts).chain(links))
    }
}

fn build(
    names: &Arc<Names>,
    files: &BTreeMap<String, Arc<str>>,
    texts: &Recorded,
    known: Option<&PolicySet>,
) -> Result<PolicySet, Fault> {
    let owned = |(name, text): (&String, &Arc<str>)| (name.clone(), text.to_string());
    let fragments = files
        .iter()
        .filter(|(name, _)| is_fragment(name))
        .map(owned);
    let fragments: BTreeMap<String, String> = fragments.collect();
    let schema = files
        .get(SCHEMA_FILE)
        .map(AsRef::as_ref)
        .unwrap_or_default();
    let schema = SchemaTexts {
        schema,
        fragments: &fragments,
    };
    let schema = match known.map(|known| &known.schema) {
        Some(known) if known.text_hash == schema.hash() => Arc::clone(known),
        _ => Arc::new(BaseSchema::read(schema, names)?),
    };
    let is_policy = |(name, _): &(&String, &Arc<str>)| name.ends_with(".cedar");
    let of_files = files
        .iter()
        .filter(is_policy)
        .map(|text| (text, Origin::File));
    let applied = texts.applied.iter().map(|text| (text, Origin::Applied));
    let mut sources = Sources::new();
    for ((name, text), origin) in of_files.chain(applied) {
        let known = known.and_then(|known| known.source(name));
        let source = Source::read(&schema, name, origin, text, known)?;
        sources.insert(name.clone(), source);
    }
    let set = PolicySet::new(schema, sources, Timestamp(0))?;
    let links = texts.links.iter();
    let change = links::Change {
        links: links
            .map(|(id, link)| (id.clone(), Some(link.clone())))
            .collect(),
        ..links::Change::default()
    };
    set.next(change, Timestamp(0))
}

/// What a part of a whole is added to: nothing for the first, else the parts before.
fn follow<V>(
    parts: Option<Parts<V>>,
    change: &StateChange,
    empty: impl FnOnce() -> V,
) -> Option<V> {
    if change.part == 0 {
        return Some(empty());
    }
    let follows = |parts: &Parts<V>| parts.after == change.after && parts.next == change.part;
    parts.filter(follows).map(|parts| parts.value)
}

fn foreign() -> Fault {
    Fault::new(
        FaultKind::Damaged,
        "a change of something else than the entry is about",
    )
}

fn other_version(expected: Hash, found: Hash) -> Fault {
    let message =
        format!("recorded changes lead to {found}, not to {expected} as their entry says");
    Fault::new(FaultKind::Damaged, message)
}
