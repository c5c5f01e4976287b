//! A map whose copies share what did not change.
//!
//! Entries are spread over a fixed number of shards. A copy shares all of them; a change copies the
//! one shard that it touches, unless nobody else holds it. So the next version of a large map costs
//! what the change costs, and readers of the old one see nothing of it.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::{BuildHasher, Hash},
    sync::Arc,
};

use foldhash::fast::RandomState;

/// Number of shards: a copy costs one counter each, a change one shard of a map.
const SHARDS: usize = 512;

/// A persistent map.
#[derive(Clone, Debug)]
pub(crate) struct Shards<K, V> {
    hasher: RandomState,
    shards: Arc<Vec<Shard<K, V>>>,
}

type Shard<K, V> = Arc<HashMap<K, V, RandomState>>;

impl<K: Clone + Eq + Hash, V: Clone> Default for Shards<K, V> {
    fn default() -> Self {
        let hasher = RandomState::default();
        let empty = Arc::new(HashMap::with_hasher(hasher.clone()));
        Self {
            shards: Arc::new(vec![empty; SHARDS]),
            hasher,
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Shards<K, V> {
    /// The value of a key.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.shards.get(self.shard_of(key))?.get(key)
    }

    /// All entries, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    /// Adds or replaces; gives the former value.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.shard_mut(&key)?.insert(key, value)
    }

    /// Removes; gives the former value.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.get(key)?;
        self.shard_mut(key)?.remove(key)
    }

    /// Changes the value of a key, starting from the default; an entry that `change` says is empty
    /// goes.
    pub(crate) fn update(&mut self, key: K, change: impl FnOnce(&mut V) -> Keep)
    where
        V: Default,
    {
        let mut value = self.remove(&key).unwrap_or_default();
        if change(&mut value) == Keep::Entry {
            self.insert(key, value);
        }
    }

    fn shard_of<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        // The map inside a shard uses the low bits and the top seven.
        (self.hasher.hash_one(key) >> 32) as usize % SHARDS
    }

    /// Never `None`: a shard's number is below their count.
    fn shard_mut(&mut self, key: &K) -> Option<&mut HashMap<K, V, RandomState>> {
        let number = self.shard_of(key);
        Arc::make_mut(&mut self.shards)
            .get_mut(number)
            .map(Arc::make_mut)
    }
}

/// What becomes of an entry that was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// It stays.
    Entry,
    /// It is empty and goes.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_does_not_see_later_changes() {
        let mut first = Shards::default();
        for n in 0..10_000_u32 {
            assert_eq!(first.insert(n, n), None);
        }
        let second = first.clone();
        assert_eq!(first.insert(7, 70), Some(7));
        assert_eq!(first.remove(&8), Some(8));
        assert_eq!(
            (first.iter().count(), second.iter().count()),
            (9_999, 10_000)
        );
        assert_eq!((first.get(&7), second.get(&7)), (Some(&70), Some(&7)));
        assert_eq!((first.get(&8), second.get(&8)), (None, Some(&8)));
    }

    #[test]
    fn an_empty_entry_goes() {
        let mut map: Shards<&str, Vec<u8>> = Shards::default();
        map.update("a", |list| {
            list.push(1);
            Keep::Entry
        });
        assert_eq!(map.get("a"), Some(&vec![1]));
        map.update("a", |list| {
            list.clear();
            Keep::Nothing
        });
        assert_eq!((map.get("a"), map.iter().count()), (None, 0));
    }
}
