//! The entity snapshot: immutable versions that share what did not change.
//!
//! Entities are spread over shards by a fixed hash of their name; a change copies the shards that it
//! touches. The snapshot's digest is a two-level hash tree over the shards, so it costs as much as
//! the change, and two snapshots of the same entities have the same digest however they came about.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use dataos_model::{
    entity::{Entity, EntityChange, EntityType, EntityUid},
    hash::Hash,
};

use crate::digest::entity_digest;

/// Number of shards; a part of how the digest is formed.
const SHARDS: usize = 1024;
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

#[derive(Clone, Debug, Default)]
struct Shard {
    entities: Arc<BTreeMap<EntityUid, Arc<Stored>>>,
    digest: Hash,
}

/// One version of all entities.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Digest of this version.
    pub hash: Hash,
    shards: Arc<Vec<Shard>>,
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

impl Default for Snapshot {
    fn default() -> Self {
        let empty = Shard {
            digest: digest_of(&BTreeMap::new()),
            ..Shard::default()
        };
        let shards = vec![empty; SHARDS];
        Self {
            hash: root(&shards),
            shards: Arc::new(shards),
        }
    }
}

impl Snapshot {
    /// An entity by name.
    pub(crate) fn get(&self, uid: &EntityUid) -> Option<&Arc<Stored>> {
        self.shards.get(shard_of(uid))?.entities.get(uid)
    }

    /// All entities.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Entity>> {
        let stored = self.shards.iter().flat_map(|shard| shard.entities.values());
        stored.map(|stored| &stored.entity)
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
        let mut next: BTreeMap<EntityUid, Option<Entity>> = BTreeMap::new();
        for change in changes {
            match change {
                EntityChange::Upsert(entity) => next.insert(entity.uid.clone(), Some(entity)),
                EntityChange::Remove(uid) => next.insert(uid, None),
            };
        }
        let mut shards = self.shards.as_ref().clone();
        let mut touched = BTreeSet::new();
        let upserted: Vec<EntityUid> = next
            .iter()
            .filter(|(_, entity)| entity.is_some())
            .map(|(uid, _)| uid.clone())
            .collect();
        for (uid, entity) in next {
            if uid.entity_type == EntityType::ROW || uid.entity_type == EntityType::CELL {
                return Err(Refused::Reserved(uid));
            }
            let number = shard_of(&uid);
            let Some(shard) = shards.get_mut(number) else {
                continue;
            };
            let entities = Arc::make_mut(&mut shard.entities);
            match entity {
                None => drop(entities.remove(&uid)),
                Some(entity) => {
                    let digest = entity_digest(&entity);
                    entities.insert(
                        uid,
                        Arc::new(Stored {
                            entity: Arc::new(entity),
                            digest,
                        }),
                    );
                }
            }
            touched.insert(number);
        }
        for number in touched {
            if let Some(shard) = shards.get_mut(number) {
                shard.digest = digest_of(&shard.entities);
            }
        }
        let count: usize = shards.iter().map(|shard| shard.entities.len()).sum();
        if count > ENTITIES_MAX {
            return Err(Refused::Entities);
        }
        let next = Self {
            hash: root(&shards),
            shards: Arc::new(shards),
        };
        upserted
            .iter()
            .try_for_each(|uid| next.check_ancestors(uid))?;
        Ok(next)
    }

    /// Any new cycle runs through an entity that was upserted.
    fn check_ancestors(&self, uid: &EntityUid) -> Result<(), Refused> {
        let Some(stored) = self.get(uid) else {
            return Ok(());
        };
        let ancestors = self.ancestors(&stored.entity.parents);
        if ancestors.contains(uid) {
            return Err(Refused::Cycle(uid.clone()));
        }
        if ancestors.len() > ANCESTORS_MAX {
            return Err(Refused::Ancestors(uid.clone()));
        }
        Ok(())
    }
}

fn root(shards: &[Shard]) -> Hash {
    Hash::of_parts(shards.iter().map(|shard| shard.digest.0))
}

fn digest_of(entities: &BTreeMap<EntityUid, Arc<Stored>>) -> Hash {
    Hash::of_parts(entities.values().map(|stored| stored.digest.0))
}

/// FNV-1a over type and id. Fixed for all time: the digest depends on it.
fn shard_of(uid: &EntityUid) -> usize {
    let bytes = uid
        .entity_type
        .name()
        .bytes()
        .chain([0])
        .chain(uid.id.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from((hash >> 32) % (SHARDS as u64)).unwrap_or(0)
}
