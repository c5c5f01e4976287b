//! The PDP as others hold it: the active version, and the ways to change it.

mod telling;
mod texts;

use std::{
    collections::BTreeMap,
    num::NonZero,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
use dataos_model::{
    access::{AccessRequest, DatasetAccess},
    clock::Clock,
    decision::{Decision, Request},
    entity::{Entity, EntityChange, EntityType, EntityUid},
    explain::{Explanation, Search, SearchPage},
    fault::{Fault, FaultKind},
    hash::Hash,
    policy::{PolicyInfo, PolicyLink, PolicySetInfo, PolicyText, TemplateInfo},
    seams::{Decide, EntitySink, Explore, Policies},
    vocabulary::Vocabulary,
};
use serde_json::Value as Json;

use crate::{
    decide::Engine,
    doubts::Doubts,
    entities::{ANCESTORS_MAX, ENTITIES_MAX, Refused, Snapshot},
    entity_files::{FileEntities, read_entity},
    folder::Folder,
    names::Names,
    problem::Problem,
    schema::BaseSchema,
    set::{
        PolicySet, Source, Sources,
        links::{self, Change},
    },
    shadow::{DecisionCounts, Divergence, Shadow},
    source::Origin,
    state::{self, Listener},
    version::{Version, check_entities, check_entity},
};
use telling::Texts;

/// What a PDP needs to start.
#[derive(Clone, Debug)]
pub struct PdpConfig {
    /// The folder with `schema.cedarschema`, schemas of one's own, and `*.cedar` files.
    pub policies_dir: PathBuf,
    /// One in so many decisions is made again by stock Cedar and compared; 0 for none.
    pub shadow_every: u64,
}

/// One in so many decisions is checked unless said otherwise.
const SHADOW_EVERY: u64 = 1_024;

impl PdpConfig {
    /// A PDP over this folder.
    pub fn new(policies_dir: PathBuf) -> Self {
        Self {
            policies_dir,
            shadow_every: SHADOW_EVERY,
        }
    }
}

/// The policy decision point.
///
/// Readers take the active version once and never wait. Writers take `writing` and swap in the next
/// version whole, so no answer mixes two.
#[derive(Debug)]
pub struct Pdp {
    config: PdpConfig,
    clock: Arc<dyn Clock>,
    active: ArcSwap<Version>,
    /// The entities that are in files; held from reading the active version to replacing it.
    writing: Mutex<FileEntities>,
    /// Why the newest reload failed, until one succeeds.
    load_error: ArcSwapOption<Fault>,
    shadow: Shadow,
    doubts: Doubts,
    /// Who keeps what decisions are made from.
    listener: OnceLock<Listener>,
}

impl Pdp {
    /// Reads and checks the folder.
    ///
    /// # Errors
    /// The first problem, with file, line and column.
    pub fn open(config: PdpConfig, clock: Arc<dyn Clock>) -> Result<Arc<Self>, Fault> {
        let names = Arc::default();
        let Loaded {
            schema,
            sources,
            entities: files,
        } = read_folder(&config, None, &names)?;
        let policies = PolicySet::new(schema, sources, clock.now())?;
        tracing::info!(policy_set = %policies.hash, count = policies.len(), "policies loaded");
        let empty = Snapshot::empty(names);
        let changes = FileEntities::default().changes(&files, &empty)?;
        let entities = empty.with(changes).map_err(refused)?;
        let version = Arc::new(Version::new(Arc::new(policies), entities));
        let doubts = Doubts::start();
        doubts.look(Arc::clone(&version));
        Ok(Arc::new(Self {
            shadow: Shadow::new(config.shadow_every),
            doubts,
            config,
            clock,
            active: ArcSwap::new(version),
            writing: Mutex::new(files),
            load_error: ArcSwapOption::empty(),
            listener: OnceLock::new(),
        }))
    }

    /// Reads the folder again and activates it together with the applied texts.
    ///
    /// # Errors
    /// The first problem, with file, line and column; the old set stays as a whole, and
    /// [`PolicySetInfo::load_error`] says so until a reload succeeds.
    pub fn reload(&self) -> Result<Hash, Fault> {
        let mut files = self.write();
        let loaded = self.reload_locked(&mut files);
        self.load_error
            .store(loaded.as_ref().err().cloned().map(Arc::new));
        if let Err(fault) = &loaded {
            tracing::error!(%fault, "the policies folder was not loaded; the old set stays");
        }
        loaded
    }

    fn reload_locked(&self, files: &mut FileEntities) -> Result<Hash, Fault> {
        let version = self.active.load_full();
        let known = &version.policies;
        let Loaded {
            schema,
            mut sources,
            entities: next,
        } = read_folder(&self.config, Some(known), &known.schema.names)?;
        let moved = files.changes(&next, &version.entities)?;
        let entities = if moved.is_empty() {
            version.entities.clone()
        } else {
            version.entities.with(moved.clone()).map_err(refused)?
        };
        if schema.hash != version.policies.schema.hash {
            check_entities(&entities, &schema)?;
        }
        for (name, source) in known.sources() {
            if !source.is_file() {
                let source = source.recheck(&schema, name)?;
                sources.insert(name.clone(), source);
            }
        }
        let (policies, texts) = if Arc::ptr_eq(&schema, &known.schema) {
            let change = Change {
                texts: changes(known, sources),
                ..Change::default()
            };
            self.next(known, change)?
        } else {
            let policies = PolicySet::new(schema, sources, self.clock.now())?;
            (policies, Texts::Replaced)
        };
        *files = next;
        let next = Version::new(Arc::new(policies), entities);
        Ok(self.activate(next, moved, texts))
    }

    /// Digest of the entities that are in files of the folder.
    pub fn file_entities_hash(&self) -> Hash {
        self.write().hash()
    }

    /// The file of the folder that an entity is in.
    pub fn entity_file(&self, uid: &EntityUid) -> Option<String> {
        self.write().file(uid).map(str::to_owned)
    }

    /// An entity of an own type from Cedar's JSON form, checked against the schema, without effect.
    ///
    /// # Errors
    /// It does not fit, or is of one of our types.
    pub fn read_entity(&self, json: Json) -> Result<Entity, Fault> {
        let version = self.active.load();
        let schema = version.policies.schema.plain();
        read_entity(json, schema.schema())
            .map_err(|message| Fault::invalid(format!("the entity is not taken: {message}")))
    }

    /// Entities of a type in the order of their ids, at most `limit`, behind the id `after`.
    pub fn entities_of(
        &self,
        of: &EntityType,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<Arc<Entity>> {
        let version = self.active.load();
        let entities = version.entities.of_type(of);
        let is_before = |entity: &Arc<Entity>| after.is_some_and(|id| entity.uid.id.as_str() <= id);
        let first = entities.partition_point(is_before);
        entities.iter().skip(first).take(limit).cloned().collect()
    }

    /// Decides by evaluating every policy, as stock Cedar does: the oracle for the index, and what
    /// benchmarks compare with.
    pub fn decide_stock(&self, request: &Request) -> Decision {
        self.decide_with(request, Engine::Stock)
    }

    /// Decides in one of the ways that all give the same answer.
    pub fn decide_with(&self, request: &Request, engine: Engine) -> Decision {
        self.active.load().decide(request, engine)
    }

    /// Decides at once; the seam's `decide` for callers that are not asynchronous.
    pub fn decide_now(&self, request: &Request) -> Decision {
        self.decide_under(&self.active.load(), request)
    }

    fn engine(&self) -> Engine {
        if self.shadow.allows_programs() {
            Engine::Compiled
        } else {
            Engine::Stock
        }
    }

    fn decide_under(&self, version: &Arc<Version>, request: &Request) -> Decision {
        if !self.shadow.allows_programs() {
            return version.decide(request, Engine::Stock);
        }
        match version.decide_compiled(request, Engine::Compiled) {
            Some(decision) => {
                self.shadow.decided(version, request, &decision);
                decision
            }
            None => {
                self.shadow.fell_back();
                version.decide(request, Engine::IndexedStock)
            }
        }
    }

    /// Rows and columns at once, shared with later callers that ask the same.
    pub fn access_now(&self, request: &AccessRequest) -> Vec<Arc<DatasetAccess>> {
        self.active.load().access(request)
    }

    /// How decisions were made since the start.
    pub fn decision_counts(&self) -> DecisionCounts {
        self.shadow.counts()
    }

    /// Who is told when a live decision differs from stock Cedar's; set once.
    pub fn on_divergence(&self, alarm: impl Fn(Divergence) + Send + Sync + 'static) {
        self.shadow.on_divergence(Box::new(alarm));
    }

    fn write(&self) -> MutexGuard<'_, FileEntities> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a version active; the same set again only keeps the older date.
    fn activate(&self, next: Version, entities: Vec<EntityChange>, texts: Texts) -> Hash {
        let policies = &next.policies;
        let hash = policies.hash;
        if hash != self.active.load().policies.hash {
            self.shadow.set_changed();
            tracing::info!(policy_set = %hash, count = policies.len(), "policies activated");
        }
        let version = Arc::new(next);
        self.doubts.look(Arc::clone(&version));
        self.tell(&version, entities, texts);
        self.active.store(version);
        hash
    }

    /// Makes a set active over the same entities.
    fn activate_set(&self, version: &Version, (policies, texts): (PolicySet, Texts)) -> Hash {
        let next = Version::new(Arc::new(policies), version.entities.clone());
        self.activate(next, Vec::new(), texts)
    }

    /// The next set, and what differs.
    fn next(&self, policies: &PolicySet, change: Change) -> Result<(PolicySet, Texts), Fault> {
        let is_file = |name: &str| policies.source(name).is_some_and(|source| source.is_file());
        let texts = state::changes(&change, is_file);
        Ok((
            policies.next(change, self.clock.now())?,
            Texts::Changed(texts),
        ))
    }

    /// The next set, with the texts of some sources replaced (`Some`) or removed (`None`).
    fn changed(
        &self,
        version: &Version,
        changes: &[(&str, Option<&str>)],
    ) -> Result<(PolicySet, Texts), Fault> {
        let policies = &version.policies;
        let mut next = BTreeMap::new();
        for (name, text) in changes {
            let known = policies.source(name);
            if known.is_some_and(|source| source.is_file()) {
                return Err(Fault::new(
                    FaultKind::Conflict,
                    format!("`{name}` is a file of the policies folder"),
                )
                .with_hint("change the file and reload"));
            }
            let read = |text| Source::read(&policies.schema, name, Origin::Applied, text, known);
            next.insert((*name).to_owned(), text.map(read).transpose()?);
        }
        let change = Change {
            texts: next,
            ..Change::default()
        };
        self.next(policies, change)
    }

    /// The next set, with a link added, replaced or removed.
    fn relinked(
        &self,
        version: &Version,
        id: &str,
        link: Option<&PolicyLink>,
    ) -> Result<(PolicySet, Texts), Fault> {
        let change = Change {
            links: BTreeMap::from([(id.to_owned(), link.cloned())]),
            ..Change::default()
        };
        self.next(&version.policies, change)
    }

    /// Checks on the datasets what a candidate made anew of the links.
    fn check_links(&self, version: &Version, candidate: &Version) -> Result<(), Fault> {
        for (name, source) in candidate.policies.sources() {
            let known = version.policies.source(name);
            let is_same = known.is_some_and(|known| Arc::ptr_eq(known, source));
            if source.link().is_some() && !is_same {
                candidate.check_datasets(name)?;
            }
        }
        Ok(())
    }
}

/// The texts that differ from those of `known`.
fn changes(known: &PolicySet, sources: Sources) -> BTreeMap<String, Option<Arc<Source>>> {
    let gone = known.sources().map(|(name, _)| name);
    let gone = gone.filter(|name| !sources.contains_key(*name));
    let gone: Vec<String> = gone.cloned().collect();
    let is_new = |name: &String, source: &Arc<Source>| {
        !known
            .source(name)
            .is_some_and(|known| Arc::ptr_eq(known, source))
    };
    let changed = sources
        .into_iter()
        .filter(|(name, source)| is_new(name, source))
        .map(|(name, source)| (name, Some(source)));
    changed
        .chain(gone.into_iter().map(|name| (name, None)))
        .collect()
}

/// What a folder holds.
struct Loaded {
    schema: Arc<BaseSchema>,
    sources: Sources,
    entities: FileEntities,
}

/// Reads the folder; texts that did not change are taken from `known`.
fn read_folder(
    config: &PdpConfig,
    known: Option<&PolicySet>,
    names: &Arc<Names>,
) -> Result<Loaded, Fault> {
    let folder = Folder::read(&config.policies_dir)?;
    let known_schema = known.map(|known| &known.schema);
    let schema = match known_schema {
        Some(known) if known.text_hash == folder.schema_texts().hash() => Arc::clone(known),
        _ => Arc::new(BaseSchema::read(folder.schema_texts(), names)?),
    };
    let read = |name: &String, text: &String| {
        let known = known.and_then(|known| known.source(name));
        let source = Source::read(&schema, name, Origin::File, text, known)?;
        Ok((name.clone(), source))
    };
    Ok(Loaded {
        sources: read_all(&folder.files, read)?,
        entities: FileEntities::read(&folder.entities, schema.plain().schema())?,
        schema,
    })
}

/// Reads files on all cores; of several problems the first file's is told.
fn read_all(
    files: &BTreeMap<String, String>,
    read: impl Fn(&String, &String) -> Result<(String, Arc<Source>), Problem> + Sync,
) -> Result<Sources, Problem> {
    let files: Vec<(&String, &String)> = files.iter().collect();
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = files.len().div_ceil(cores).max(1);
    thread::scope(|scope| {
        let read = &read;
        let read_share = move |share: &[(&String, &String)]| {
            share
                .iter()
                .map(|(name, text)| read(name, text))
                .collect::<Result<Vec<_>, _>>()
        };
        let readers: Vec<_> = files
            .chunks(share)
            .map(|share| scope.spawn(move || read_share(share)))
            .collect();
        let mut sources = Sources::new();
        for reader in readers {
            let failed = || Problem::whole("policies", "the policies could not be read");
            sources.extend(reader.join().map_err(|_| failed())??);
        }
        Ok(sources)
    })
}

#[async_trait]
impl Decide for Pdp {
    async fn decide(&self, request: &Request) -> Decision {
        self.decide_now(request)
    }

    async fn decide_all(&self, requests: &[Request]) -> Vec<Decision> {
        let version = self.active.load_full();
        requests
            .iter()
            .map(|request| self.decide_under(&version, request))
            .collect()
    }

    async fn access_all(&self, requests: &[AccessRequest]) -> Vec<Vec<Arc<DatasetAccess>>> {
        let version = self.active.load_full();
        let each = requests.iter();
        each.map(|request| version.access(request)).collect()
    }
}

#[async_trait]
impl Explore for Pdp {
    async fn explain(&self, request: &Request) -> Explanation {
        self.active.load_full().explain(request, self.engine())
    }

    async fn search(&self, search: &Search) -> Result<SearchPage, Fault> {
        self.active.load_full().search(search, self.engine())
    }

    fn entity(&self, uid: &EntityUid) -> Option<Arc<Entity>> {
        let version = self.active.load();
        Some(Arc::clone(&version.entities.get(uid)?.entity))
    }

    fn vocabulary(&self) -> Arc<Vocabulary> {
        Arc::clone(&self.active.load().policies.schema.vocabulary)
    }
}

impl EntitySink for Pdp {
    fn apply(&self, changes: Vec<EntityChange>) -> Result<Hash, Fault> {
        let files = self.write();
        let version = self.active.load_full();
        let is_about_data = changes.iter().any(is_about_data);
        for change in &changes {
            let (EntityChange::Upsert(Entity { uid, .. }) | EntityChange::Remove(uid)) = change;
            if let Some(file) = files.file(uid) {
                let message = format!("{uid} is in {file} of the policies folder");
                return Err(Fault::new(FaultKind::Conflict, message)
                    .with_hint("change the file; the folder is loaded when it changes"));
            }
            if let EntityChange::Upsert(entity) = change {
                check_entity(entity, version.policies.schema.plain().schema())
                    .map_err(Fault::invalid)?;
            }
        }
        let entities = version.entities.with(changes.clone()).map_err(refused)?;
        let hash = entities.hash();
        if hash != version.entities.hash() {
            let policies = Arc::clone(&version.policies);
            let version = Arc::new(Version::new(policies, entities));
            if is_about_data {
                self.doubts.look(Arc::clone(&version));
            }
            self.tell(&version, changes, Texts::stay());
            self.active.store(version);
        }
        Ok(hash)
    }
}

#[async_trait]
impl Policies for Pdp {
    fn info(&self) -> PolicySetInfo {
        let version = self.active.load();
        PolicySetInfo {
            hash: version.policies.hash,
            activated_at: version.policies.activated_at,
            count: version.policies.len(),
            load_error: self.load_error.load().as_deref().cloned(),
            warnings: self.doubts.found(),
        }
    }

    fn list(&self) -> Vec<PolicyInfo> {
        let version = self.active.load();
        let mut list: Vec<PolicyInfo> = version
            .policies
            .policies()
            .map(|policy| policy.info())
            .collect();
        list.sort_by(|left, right| left.id.cmp(&right.id));
        list
    }

    fn entities(&self) -> Vec<Arc<Entity>> {
        self.active.load().entities.all().cloned().collect()
    }

    async fn check(&self, texts: &[PolicyText]) -> Result<(), Fault> {
        let version = self.active.load_full();
        let changes: Vec<(&str, Option<&str>)> = texts
            .iter()
            .map(|text| (text.source.as_str(), Some(text.cedar.as_str())))
            .collect();
        let (candidate, _) = self.changed(&version, &changes)?;
        let candidate = Version::new(Arc::new(candidate), version.entities.clone());
        for text in texts {
            candidate.check_datasets(&text.source)?;
        }
        self.check_links(&version, &candidate)
    }

    async fn put(&self, text: PolicyText) -> Result<Hash, Fault> {
        let _writing = self.write();
        let version = self.active.load_full();
        let policies = self.changed(&version, &[(&text.source, Some(&text.cedar))])?;
        Ok(self.activate_set(&version, policies))
    }

    async fn check_removal(&self, source: &str) -> Result<(), Fault> {
        let version = self.active.load_full();
        self.changed(&version, &[(source, None)]).map(drop)
    }

    fn templates(&self) -> Vec<TemplateInfo> {
        let version = self.active.load();
        let mut links: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for link in version.policies.links() {
            let of_template = links.entry(&link.template).or_default();
            of_template.push(link.id.clone());
        }
        let mut templates: Vec<TemplateInfo> = version
            .policies
            .templates()
            .map(|template| {
                let mut links = links.remove(template.id.as_str()).unwrap_or_default();
                links.sort_unstable();
                template.info(links)
            })
            .collect();
        templates.sort_by(|left, right| left.id.cmp(&right.id));
        templates
    }

    async fn check_link(&self, link: &PolicyLink) -> Result<(), Fault> {
        let version = self.active.load_full();
        let (candidate, _) = self.relinked(&version, &link.id, Some(link))?;
        let candidate = Version::new(Arc::new(candidate), version.entities.clone());
        candidate.check_datasets(&links::source_name(&link.id))
    }

    async fn put_link(&self, link: PolicyLink) -> Result<Hash, Fault> {
        let _writing = self.write();
        let version = self.active.load_full();
        let policies = self.relinked(&version, &link.id, Some(&link))?;
        Ok(self.activate_set(&version, policies))
    }

    async fn remove_link(&self, id: &str) -> Result<Hash, Fault> {
        let _writing = self.write();
        let version = self.active.load_full();
        let policies = self.relinked(&version, id, None)?;
        Ok(self.activate_set(&version, policies))
    }

    async fn remove(&self, source: &str) -> Result<Hash, Fault> {
        let _writing = self.write();
        let version = self.active.load_full();
        let policies = self.changed(&version, &[(source, None)])?;
        Ok(self.activate_set(&version, policies))
    }
}

/// Whether a change can make a policy on data fit, or fit no longer.
fn is_about_data(change: &EntityChange) -> bool {
    let (EntityChange::Upsert(Entity { uid, .. }) | EntityChange::Remove(uid)) = change;
    [EntityType::DATASET, EntityType::COLUMN].contains(&uid.entity_type)
}

fn refused(refused: Refused) -> Fault {
    match refused {
        Refused::Cycle(uid) => Fault::invalid(format!("{uid} would be its own ancestor")),
        Refused::Reserved(uid) => {
            Fault::invalid(format!("{uid}: rows and cells are not kept as entities"))
        }
        Refused::Ancestors(uid) => Fault::new(
            FaultKind::TooLarge,
            format!("{uid} has more than {ANCESTORS_MAX} ancestors (ANCESTORS_MAX)"),
        ),
        Refused::Entities => Fault::new(
            FaultKind::TooLarge,
            format!("more than {ENTITIES_MAX} entities (ENTITIES_MAX)"),
        ),
    }
}
