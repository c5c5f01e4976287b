//! Places counted by who has them, so that one cannot take those of all.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// Places that are taken, by who has them; bounded by the places that there may be at once.
#[derive(Debug)]
pub(crate) struct Counted<K: Eq + Hash>(Mutex<HashMap<K, usize>>);

/// One of them; given back when dropped.
#[derive(Debug)]
#[must_use = "the place is given back when it is dropped"]
pub(crate) struct Place<K: Eq + Hash> {
    counted: Arc<Counted<K>>,
    key: K,
}

impl<K: Eq + Hash> Default for Counted<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone> Counted<K> {
    /// One more place for `key`, if it has fewer than `most`.
    pub(crate) fn enter(self: &Arc<Self>, key: K, most: usize) -> Option<Place<K>> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.get(&key).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        taken.insert(key.clone(), count + 1);
        Some(Place {
            counted: Arc::clone(self),
            key,
        })
    }

    /// Places taken by all.
    pub(crate) fn taken(&self) -> usize {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.values().sum()
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let taken = self.counted.0.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Counted;

    #[test]
    fn each_has_so_many_places_and_gets_them_back() {
        let counted = Arc::new(Counted::default());
        let one = counted.enter("a", 2).unwrap();
        let _two = counted.enter("a", 2).unwrap();
        assert!(counted.enter("a", 2).is_none());
        let three = counted.enter("b", 2).unwrap();
        assert_eq!(counted.taken(), 3);
        drop(three);
        drop(one);
        let _four = counted.enter("a", 2).unwrap();
        assert_eq!(counted.taken(), 2);
        assert_eq!(
            counted.0.lock().unwrap().len(),
            1,
            "nobody is kept who has none"
        );
    }
}
