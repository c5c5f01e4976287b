//! A map with a digest: versions share what did not change, and two maps with the same entries have
//! the same digest however they came about.
//!
//! Entries are spread over shards by a fixed hash of their key; a change copies the shards that it
//! touches. The digest is a two-level hash tree over the shards, so it costs what the change costs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dataos_model::{entity::EntityUid, hash::Hash};

/// Number of shards; a part of how the digest is formed.
const SHARDS: usize = 1024;

/// A key that says where it belongs, for all time.
pub(crate) trait Spread: Clone + Ord {
    /// The bytes that are hashed.
    fn bytes(&self) -> impl Iterator<Item = u8>;
}

/// A value that has a digest.
pub(crate) trait Digested {
    /// Digest of key and value.
    fn digest(&self) -> Hash;
}

impl Spread for EntityUid {
    fn bytes(&self) -> impl Iterator<Item = u8> {
        self.entity_type
            .name()
            .bytes()
            .chain([0])
            .chain(self.id.bytes())
    }
}

impl Spread for String {
    fn bytes(&self) -> impl Iterator<Item = u8> {
        self.as_str().bytes()
    }
}

#[derive(Debug)]
struct Shard<K, V> {
    entries: Arc<BTreeMap<K, Arc<V>>>,
    digest: Hash,
}

impl<K, V> Clone for Shard<K, V> {
    fn clone(&self) -> Self {
        Self {
            entries: Arc::clone(&self.entries),
            digest: self.digest,
        }
    }
}

/// One version of the map.
#[derive(Debug)]
pub(crate) struct DigestMap<K, V> {
    /// Digest of all entries.
    pub hash: Hash,
    shards: Arc<Vec<Shard<K, V>>>,
    count: usize,
}

impl<K, V> Clone for DigestMap<K, V> {
    fn clone(&self) -> Self {
        Self {
            hash: self.hash,
            shards: Arc::clone(&self.shards),
            count: self.count,
        }
    }
}

impl<K: Spread, V: Digested> Default for DigestMap<K, V> {
    fn default() -> Self {
        let entries = BTreeMap::new();
        let empty = Shard {
            digest: digest_of(&entries),
            entries: Arc::new(entries),
        };
        let shards = vec![empty; SHARDS];
        Self {
            hash: root(&shards),
            shards: Arc::new(shards),
            count: 0,
        }
    }
}

impl<K: Spread, V: Digested> DigestMap<K, V> {
    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &K) -> Option<&Arc<V>> {
        self.shards.get(shard_of(key))?.entries.get(key)
    }

    /// All entries.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &Arc<V>)> {
        self.shards.iter().flat_map(|shard| shard.entries.iter())
    }

    /// The next version: a value is added or replaces, `None` removes.
    pub(crate) fn with(&self, changes: impl IntoIterator<Item = (K, Option<Arc<V>>)>) -> Self {
        let mut shards = self.shards.as_ref().clone();
        let mut count = self.count;
        let mut touched = BTreeSet::new();
        for (key, value) in changes {
            let number = shard_of(&key);
            let Some(shard) = shards.get_mut(number) else {
                continue;
            };
            let entries = Arc::make_mut(&mut shard.entries);
            let former = match value {
                None => entries.remove(&key),
                Some(value) => {
                    count += 1;
                    entries.insert(key, value)
                }
            };
            count -= usize::from(former.is_some());
            touched.insert(number);
        }
        for number in touched {
            if let Some(shard) = shards.get_mut(number) {
                shard.digest = digest_of(&shard.entries);
            }
        }
        Self {
            hash: root(&shards),
            shards: Arc::new(shards),
            count,
        }
    }
}

fn root<K, V>(shards: &[Shard<K, V>]) -> Hash {
    Hash::of_parts(shards.iter().map(|shard| shard.digest.0))
}

fn digest_of<K, V: Digested>(entries: &BTreeMap<K, Arc<V>>) -> Hash {
    Hash::of_parts(entries.values().map(|value| value.digest().0))
}

/// FNV-1a. Fixed for all time: the digest depends on it.
fn shard_of(key: &impl Spread) -> usize {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from((hash >> 32) % (SHARDS as u64)).unwrap_or(0)
}
