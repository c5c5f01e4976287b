//! The entity snapshot: immutable versions that share what did not change.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, OnceLock},
};

use dataos_model::{
    entity::{Entity, EntityChange, EntityType, EntityUid},
    hash::Hash,
};

use crate::{
    digest::entity_digest,
    digest_map::{DigestMap, Digested},
    names::{Name, Names},
    pages::Pages,
};
use smallvec::SmallVec;

/// Most ancestors of one entity.
pub const ANCESTORS_MAX: usize = 10_000;
/// Most entities in a snapshot.
pub const ENTITIES_MAX: usize = 10_000_000;

/// A stored entity.
#[derive(Debug)]
pub(crate) struct Stored {
    /// As it was sent.
    pub entity: Arc<Entity>,
    digest: Hash,
}

impl Digested for Stored {
    fn digest(&self) -> Hash {
        self.digest
    }
}

/// A stored entity, with what a walk up the hierarchy needs beside it.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    /// Numbers of its direct parents.
    pub parents: SmallVec<[Name; 4]>,
    /// The entity.
    pub entity: Arc<Entity>,
}

/// One version of all entities.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    names: Arc<Names>,
    entities: DigestMap<EntityUid, Stored>,
    by_name: Pages<Numbered>,
    /// By type, in the order of their ids; made when first asked for.
    by_type: Arc<OnceLock<HashMap<EntityType, Vec<Arc<Entity>>>>>,
}

/// Why a list of changes is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// An entity would be its own ancestor.
    Cycle(EntityUid),
    /// Rows and cells exist only inside a decision.
    Reserved(EntityUid),
    /// More than [`ANCESTORS_MAX`].
    Ancestors(EntityUid),
    /// More than [`ENTITIES_MAX`].
    Entities,
}

impl Snapshot {
    /// No entities yet.
    pub(crate) fn empty(names: Arc<Names>) -> Self {
        Self {
            names,
            entities: DigestMap::default(),
            by_name: Pages::default(),
            by_type: Arc::default(),
        }
    }

    /// Digest of this version.
    pub(crate) fn hash(&self) -> Hash {
        self.entities.hash
    }

    /// Number of entities.
    pub(crate) fn len(&self) -> usize {
        self.entities.len()
    }

    /// An entity by name.
    pub(crate) fn get(&self, uid: &EntityUid) -> Option<&Arc<Stored>> {
        self.entities.get(uid)
    }

    /// An entity by number.
    pub(crate) fn named(&self, name: Name) -> Option<&Numbered> {
        self.by_name.get(name)
    }

    /// All entities of a type, in the order of their ids.
    pub(crate) fn of_type(&self, of: &EntityType) -> &[Arc<Entity>] {
        let by_type = self.by_type.get_or_init(|| {
            let mut by_type: HashMap<EntityType, Vec<Arc<Entity>>> = HashMap::new();
            for entity in self.all() {
                let of_type = by_type.entry(entity.uid.entity_type.clone()).or_default();
                of_type.push(Arc::clone(entity));
            }
            for entities in by_type.values_mut() {
                entities.sort_unstable_by(|left, right| left.uid.id.cmp(&right.uid.id));
            }
            by_type
        });
        by_type.get(of).map(Vec::as_slice).unwrap_or_default()
    }

    /// All entities.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Entity>> {
        self.entities.iter().map(|(_, stored)| &stored.entity)
    }

    /// All ancestors of an entity with these direct parents; those that the snapshot does not hold
    /// count, without parents of their own.
    pub(crate) fn ancestors(&self, parents: &[EntityUid]) -> Vec<EntityUid> {
        let mut seen: HashSet<&EntityUid> = HashSet::new();
        let mut ancestors = Vec::new();
        let mut waiting: Vec<&EntityUid> = parents.iter().rev().collect();
        while let Some(uid) = waiting.pop() {
            if ancestors.len() > ANCESTORS_MAX || !seen.insert(uid) {
                continue;
            }
            ancestors.push(uid.clone());
            if let Some(stored) = self.get(uid) {
                waiting.extend(stored.entity.parents.iter().rev());
            }
        }
        ancestors
    }

    /// The next version. Of several changes of one entity the last one counts.
    pub(crate) fn with(&self, changes: Vec<EntityChange>) -> Result<Self, Refused> {
        let mut next: BTreeMap<EntityUid, Option<Arc<Stored>>> = BTreeMap::new();
        for change in changes {
            match change {
                EntityChange::Upsert(entity) => {
                    next.insert(entity.uid.clone(), Some(stored(entity)?))
                }
                EntityChange::Remove(uid) => next.insert(uid, None),
            };
        }
        let is_known = |(uid, stored): &(&EntityUid, &Option<Arc<Stored>>)| {
            stored.is_some() || self.get(uid).is_some()
        };
        let by_name = next.iter().filter(is_known).map(|(uid, stored)| {
            let numbered = stored.as_ref().map(|stored| self.numbered(&stored.entity));
            (self.names.name(uid), numbered)
        });
        let by_name = self.by_name.with(by_name);
        let upserted: Vec<Arc<Stored>> = next.values().flatten().cloned().collect();
        let next = Self {
            names: Arc::clone(&self.names),
            entities: self.entities.with(next),
            by_name,
            by_type: Arc::default(),
        };
        if next.entities.len() > ENTITIES_MAX {
            return Err(Refused::Entities);
        }
        upserted
            .iter()
            .try_for_each(|stored| next.check_ancestors(&stored.entity))?;
        Ok(next)
    }

    fn numbered(&self, entity: &Arc<Entity>) -> Numbered {
        let parents = entity.parents.iter().map(|uid| self.names.name(uid));
        Numbered {
            parents: parents.collect(),
            entity: Arc::clone(entity),
        }
    }

    /// Any new cycle runs through an entity that was upserted.
    fn check_ancestors(&self, entity: &Entity) -> Result<(), Refused> {
        let ancestors = self.ancestors(&entity.parents);
        if ancestors.contains(&entity.uid) {
            return Err(Refused::Cycle(entity.uid.clone()));
        }
        if ancestors.len() > ANCESTORS_MAX {
            return Err(Refused::Ancestors(entity.uid.clone()));
        }
        Ok(())
    }
}

fn stored(entity: Entity) -> Result<Arc<Stored>, Refused> {
    let of = &entity.uid.entity_type;
    if *of == EntityType::ROW || *of == EntityType::CELL {
        return Err(Refused::Reserved(entity.uid));
    }
    Ok(Arc::new(Stored {
        digest: entity_digest(&entity),
        entity: Arc::new(entity),
    }))
}
