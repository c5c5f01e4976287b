//! A map whose copies share what did not change.
//!
//! Entries are spread over a fixed number of shards. A copy shares all of them; a change copies the
//! one shard that it touches, unless nobody else holds it. So the next version of a large map costs
//! what the change costs, and readers of the old one see nothing of it.
//!
//! A shard is one table of places: an entry stands in the first empty place at or behind the one that
//! its hash names. Address and length of all shards stand side by side, and key and value in the
//! place itself, so a look costs one load from memory that is in no cache. A key can have several
//! entries, which then stand next to each other: their addresses are known before the first one is
//! there, so that they are loaded together.

use std::{
    borrow::Borrow,
    hash::{BuildHasher, Hash},
    mem,
    sync::Arc,
};

use foldhash::fast::RandomState;

/// Number of shards: a copy costs one counter each, a change one shard of a map.
const SHARDS: usize = 512;
/// Places that are loaded before they are looked at.
const TOUCHED: usize = 2;
/// Places of the smallest shard with entries.
const PLACES_MIN: usize = 4;

/// A persistent map.
#[derive(Clone, Debug)]
pub(crate) struct Shards<K, V> {
    hasher: RandomState,
    /// Empty while nothing was added.
    shards: Arc<[Shard<K, V>]>,
}

/// Two fifths of the places or more are empty.
#[derive(Clone, Debug)]
struct Shard<K, V> {
    places: Arc<[Place<K, V>]>,
    count: usize,
}

/// Begins where a line of the processor's cache begins.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Place<K, V>(Option<(K, V)>);

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self {
            hasher: RandomState::default(),
            shards: Arc::default(),
        }
    }
}

impl<K, V> Default for Shard<K, V> {
    fn default() -> Self {
        Self {
            places: Arc::default(),
            count: 0,
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Shards<K, V> {
    /// The values of a key, in no order.
    pub(crate) fn all<'a, 'k, Q: Eq + Hash + ?Sized>(
        &'a self,
        key: &'k Q,
    ) -> impl Iterator<Item = &'a V> + use<'a, 'k, Q, K, V>
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let shard = self.shards.get(shard_of(hash));
        let entries = shard.into_iter().flat_map(move |shard| shard.near(hash));
        entries.filter_map(move |(known, value)| (known.borrow() == key).then_some(value))
    }

    /// Has the places loaded where most keys are found, without waiting for them: there is no branch on
    /// what is in them. The number is of no use but to be used.
    pub(crate) fn touch<Q: Hash + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let touched = |shard: &Shard<K, V>| {
            let places = shard.places.get(shard.home(hash)..).unwrap_or_default();
            let places = places.iter().take(TOUCHED);
            places.map(|place| usize::from(place.0.is_some())).sum()
        };
        self.shards.get(shard_of(hash)).map_or(0, touched)
    }

    /// The value of a key.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        self.shards.get(shard_of(hash))?.get(hash, key)
    }

    /// All entries, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let places = self.shards.iter().flat_map(|shard| shard.places.iter());
        places.filter_map(|place| place.0.as_ref().map(|(key, value)| (key, value)))
    }

    /// The value of a key, to change it.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.get(key)?;
        let hash = self.hasher.hash_one(key);
        let shard = self.shard_mut(hash)?;
        let position = shard.position(hash, |(known, _)| known == key).ok()?;
        let place = Arc::make_mut(&mut shard.places).get_mut(position)?;
        place.0.as_mut().map(|(_, value)| value)
    }

    /// Adds another value of a key.
    pub(crate) fn add(&mut self, key: K, value: V) {
        let hash = self.hasher.hash_one(&key);
        let hasher = self.hasher.clone();
        if let Some(shard) = self.shard_mut(hash) {
            shard.add(hash, (key, value), &hasher);
        }
    }

    /// Adds or replaces; gives the former value.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let hash = self.hasher.hash_one(&key);
        let hasher = self.hasher.clone();
        self.shard_mut(hash)?.insert(hash, key, value, &hasher)
    }

    /// Removes; gives the former value.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.take(key, |_| true)
    }

    /// Removes the first value of a key that is `wanted`, and gives it.
    pub(crate) fn take(&mut self, key: &K, wanted: impl Fn(&V) -> bool) -> Option<V> {
        self.all(key).find(|value| wanted(value))?;
        let hash = self.hasher.hash_one(key);
        let hasher = self.hasher.clone();
        let is_it = |(known, value): &(K, V)| known == key && wanted(value);
        self.shard_mut(hash)?.remove(hash, is_it, &hasher)
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

    /// Never `None`: a shard's number is below their count.
    fn shard_mut(&mut self, hash: u64) -> Option<&mut Shard<K, V>> {
        if self.shards.is_empty() {
            self.shards = (0..SHARDS).map(|_| Shard::default()).collect();
        }
        Arc::make_mut(&mut self.shards).get_mut(shard_of(hash))
    }
}

/// The upper half of a hash says the shard, the lower one the place in it.
fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

impl<K: Clone + Eq + Hash, V: Clone> Shard<K, V> {
    fn get<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut entries = self.near(hash);
        let (_, value) = entries.find(|(known, _)| known.borrow() == key)?;
        Some(value)
    }

    /// All entries among which those with this hash are.
    fn near(&self, hash: u64) -> impl Iterator<Item = &(K, V)> {
        let (before, behind) = self.places.split_at(self.home(hash));
        // Ends, because some places are empty.
        behind
            .iter()
            .chain(before)
            .map_while(|place| place.0.as_ref())
    }

    fn insert(&mut self, hash: u64, key: K, value: V, hasher: &RandomState) -> Option<V> {
        if let Ok(position) = self.position(hash, |(known, _)| *known == key) {
            let place = Arc::make_mut(&mut self.places).get_mut(position)?;
            return place.0.replace((key, value)).map(|(_, former)| former);
        }
        self.add(hash, (key, value), hasher);
        None
    }

    fn add(&mut self, hash: u64, entry: (K, V), hasher: &RandomState) {
        if (self.count + 1) * 5 > self.places.len() * 3 {
            self.grow(hasher);
        }
        self.put(hash, entry);
    }

    /// Adds an entry for which there is room.
    fn put(&mut self, hash: u64, entry: (K, V)) {
        let position = self.position(hash, |_| false);
        let places = Arc::make_mut(&mut self.places);
        if let Err(position) = position
            && let Some(place) = places.get_mut(position)
        {
            place.0 = Some(entry);
            self.count += 1;
        }
    }

    fn grow(&mut self, hasher: &RandomState) {
        let places = (self.count * 2).max(PLACES_MIN);
        let empty = Self {
            places: (0..places).map(|_| Place(None)).collect(),
            count: 0,
        };
        let mut former = mem::replace(self, empty);
        for place in Arc::make_mut(&mut former.places) {
            if let Some(entry) = place.0.take() {
                self.put(hasher.hash_one(&entry.0), entry);
            }
        }
    }

    fn remove(
        &mut self,
        hash: u64,
        is_it: impl Fn(&(K, V)) -> bool,
        hasher: &RandomState,
    ) -> Option<V> {
        let mut hole = self.position(hash, is_it).ok()?;
        let (_, former) = Arc::make_mut(&mut self.places).get_mut(hole)?.0.take()?;
        self.count -= 1;
        // Entries behind it are found by way of its place: those that it kept from their own move up.
        let mut position = self.after(hole);
        while let Some(Place(Some((key, _)))) = self.places.get(position) {
            let home = self.home(hasher.hash_one(key));
            if self.steps(home, position) >= self.steps(hole, position) {
                Arc::make_mut(&mut self.places).swap(hole, position);
                hole = position;
            }
            position = self.after(position);
        }
        Some(former)
    }

    /// Where the first entry stands that it is, or else the empty place behind those that it is not.
    fn position(&self, hash: u64, is_it: impl Fn(&(K, V)) -> bool) -> Result<usize, usize> {
        let mut position = self.home(hash);
        while let Some(Place(Some(entry))) = self.places.get(position) {
            if is_it(entry) {
                return Ok(position);
            }
            position = self.after(position);
        }
        Err(position)
    }

    /// The place that a hash names.
    fn home(&self, hash: u64) -> usize {
        (((hash & u64::from(u32::MAX)) * self.places.len() as u64) >> 32) as usize
    }

    fn after(&self, position: usize) -> usize {
        if position + 1 < self.places.len() {
            position + 1
        } else {
            0
        }
    }

    /// From one place on to the other.
    fn steps(&self, from: usize, to: usize) -> usize {
        if from <= to {
            to - from
        } else {
            to + self.places.len() - from
        }
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
    use std::collections::HashMap;

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
    fn it_holds_what_a_hash_map_holds() {
        let (mut ours, mut known) = (Shards::default(), HashMap::new());
        // Over few keys, so that most are removed and come again in shards that were full of them.
        let mut state = 1_u64;
        for step in 0..200_000_u32 {
            state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            let key = state >> 33 & 0x3fff;
            if state >> 60 < 9 {
                assert_eq!(ours.insert(key, step), known.insert(key, step));
            } else {
                assert_eq!(ours.remove(&key), known.remove(&key));
            }
        }
        assert!((0..=0x3fff).all(|key| ours.get(&key) == known.get(&key)));
        let entries: HashMap<u64, u32> = ours.iter().map(|(key, value)| (*key, *value)).collect();
        assert_eq!((entries.len(), entries), (ours.iter().count(), known));
    }

    #[test]
    fn entries_of_one_home_are_found_after_others_go() {
        let hasher = RandomState::default();
        let mut shard: Shard<u64, u64> = Shard::default();
        // Hashes are not the hasher's here: all name the last place, so that the walk wraps around.
        let hash = u64::from(u32::MAX);
        for key in 0..2 {
            assert_eq!(shard.insert(hash, key, key, &hasher), None);
        }
        assert_eq!(shard.places.len(), PLACES_MIN);
        assert_eq!(
            (shard.get(hash, &0), shard.get(hash, &1)),
            (Some(&0), Some(&1))
        );
        assert_eq!(shard.get(hash, &2), None);
        assert_eq!(shard.position(hash, |_| false), Err(1));
    }

    #[test]
    fn a_key_has_all_the_values_that_were_added() {
        let mut map = Shards::default();
        (0..1_000_u32).for_each(|n| map.add(n % 300, n));
        let all = |map: &Shards<u32, u32>, key: u32| {
            let mut all: Vec<u32> = map.all(&key).copied().collect();
            all.sort_unstable();
            all
        };
        assert_eq!(all(&map, 7), [7, 307, 607, 907]);
        let before = map.clone();
        assert_eq!(map.take(&7, |value| *value == 607), Some(607));
        assert_eq!(map.take(&7, |value| *value == 607), None);
        assert_eq!(all(&map, 7), [7, 307, 907]);
        assert_eq!(all(&before, 7), [7, 307, 607, 907]);
        assert!((0..300).all(|key| all(&map, key).iter().all(|n| n % 300 == key)));
        assert_eq!((map.iter().count(), all(&map, 300).len()), (999, 0));
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
