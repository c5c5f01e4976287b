//! A Bloom filter over the keys of the index: most keys that a decision probes have no policies, and
//! the filter says so from one word that is in the processor's cache.
//!
//! Bits are only ever set, so versions share one filter: what a newer version adds can cost an older
//! one a look, never an answer. Three bits of one word per key (a blocked filter: Putze, Sanders and
//! Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007).

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Bits per key that a new filter has room for.
const BITS_PER_KEY: usize = 16;
/// Keys that the smallest filter has room for.
const KEYS_MIN: usize = 4_096;

/// Shared by all versions until it is full.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    words: Arc<[AtomicU64]>,
    /// Keys that were added, also those that are gone since.
    added: Arc<AtomicUsize>,
}

impl Filter {
    /// An empty filter with room for twice as many keys.
    pub(crate) fn for_keys(keys: usize) -> Self {
        let room = keys.saturating_mul(2).max(KEYS_MIN);
        let words = (room * BITS_PER_KEY / 64).next_power_of_two();
        Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            added: Arc::default(),
        }
    }

    /// A filter with these; each counts once, because with repetitions the filter would be several
    /// times as large, and no longer in the cache.
    pub(crate) fn of(mut digests: Vec<u64>) -> Self {
        digests.sort_unstable();
        digests.dedup();
        let filter = Self::for_keys(digests.len());
        filter.add_all(digests);
        filter
    }

    /// Adds those that it may not have yet; false if it is full, and a larger one is due.
    pub(crate) fn add_all(&self, digests: impl IntoIterator<Item = u64>) -> bool {
        let mut has_room = true;
        for digest in digests {
            if !self.may_have(digest) {
                has_room &= self.add(digest);
            }
        }
        has_room
    }

    /// Adds the digest of a key; false if the filter is full, and a larger one is due.
    pub(crate) fn add(&self, digest: u64) -> bool {
        if let Some(word) = self.words.get(self.position(digest)) {
            word.fetch_or(bits(digest), Ordering::Release);
        }
        let added = self.added.fetch_add(1, Ordering::Relaxed);
        added < self.words.len() * 64 / BITS_PER_KEY
    }

    /// Whether the key may have been added.
    pub(crate) fn may_have(&self, digest: u64) -> bool {
        let bits = bits(digest);
        self.words
            .get(self.position(digest))
            .is_none_or(|word| word.load(Ordering::Acquire) & bits == bits)
    }

    /// The number of words is a power of two.
    fn position(&self, digest: u64) -> usize {
        (digest >> 32) as usize & (self.words.len() - 1)
    }
}

fn bits(digest: u64) -> u64 {
    1 << (digest & 63) | 1 << (digest >> 6 & 63) | 1 << (digest >> 12 & 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_there_and_little_else() {
        let filter = Filter::for_keys(50_000);
        let digest = |n: u64| {
            let mixed = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
        };
        for n in 0..100_000 {
            assert!(filter.add(digest(n)), "{n}");
        }
        assert!((0..100_000).all(|n| filter.may_have(digest(n))));
        let wrong = (100_000..200_000).filter(|n| filter.may_have(digest(*n)));
        assert!(wrong.count() < 5_000);
        let full = (0..1_000_000).find(|n| !filter.add(digest(*n)));
        assert!(full.is_some());
    }
}
