//! Results that are answered again while nothing that could change them has changed.
//!
//! A statement is read, decided and recorded as if there were none of this; what is spared is to run it. So
//! whose result it was does not matter: it is found by all that an answer depends on (see [`key`]), and who is
//! shown something else has another key.

mod key;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use dataos_model::{
    hash::Hash,
    query::{ResultColumn, RowsEnd},
};

pub(crate) use key::{Asked, Key};

/// Most results.
const ENTRIES_MAX: usize = 4_096;
/// Most bytes of one.
const ENTRY_BYTES_MAX: u64 = 1 << 20;
/// What a result costs besides its rows, about: columns, list and maps.
const ENTRY_OVERHEAD_BYTES: u64 = 512;

/// The results. With room for no byte, there are none.
#[derive(Debug)]
pub(crate) struct Cached {
    bytes_max: u64,
    kept: Mutex<Results>,
}

/// Guarded as one, so that the counts always fit.
#[derive(Debug, Default)]
struct Results {
    by_key: HashMap<Hash, Entry>,
    /// Keys by the time of their last use, oldest first.
    by_use: BTreeMap<u64, Hash>,
    uses: u64,
    byte_count: u64,
    hits: u64,
    misses: u64,
}

#[derive(Debug)]
struct Entry {
    used: u64,
    result: Arc<CachedResult>,
}

/// The rows of a statement, encoded, and what is said with them.
#[derive(Debug)]
pub(crate) struct CachedResult {
    pub(crate) columns: Vec<ResultColumn>,
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) end: RowsEnd,
}

/// What there is, and how often it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) entries: u64,
    pub(crate) byte_count: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

impl Cached {
    /// Results of at most so many bytes together.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            kept: Mutex::default(),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.bytes_max > 0
    }

    /// The result of this key, if there is one.
    pub(crate) fn find(&self, key: &Key) -> Option<Arc<CachedResult>> {
        let mut kept = self.kept();
        let Some(found) = kept.find(key.id()) else {
            kept.misses += 1;
            return None;
        };
        kept.hits += 1;
        Some(found)
    }

    /// A result while its rows are read.
    pub(crate) fn filling(
        self: &Arc<Self>,
        key: Option<Key>,
        columns: &[ResultColumn],
    ) -> Option<Filling> {
        Some(Filling {
            cached: Arc::clone(self),
            key: key?,
            columns: columns.to_vec(),
            chunks: Vec::new(),
            byte_count: ENTRY_OVERHEAD_BYTES,
        })
    }

    /// What there is.
    pub(crate) fn counts(&self) -> Counts {
        let kept = self.kept();
        Counts {
            entries: kept.by_key.len() as u64,
            byte_count: kept.byte_count,
            hits: kept.hits,
            misses: kept.misses,
        }
    }

    fn put(&self, id: Hash, result: CachedResult) {
        let byte_count = result.byte_count();
        if byte_count > self.bytes_max {
            return;
        }
        let mut kept = self.kept();
        kept.remove(id);
        while kept.by_key.len() >= ENTRIES_MAX || kept.byte_count + byte_count > self.bytes_max {
            let Some(oldest) = kept.by_use.first_key_value().map(|(_, id)| *id) else {
                break;
            };
            kept.remove(oldest);
        }
        kept.put(id, Arc::new(result));
    }

    fn kept(&self) -> MutexGuard<'_, Results> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Results {
    fn find(&mut self, id: Hash) -> Option<Arc<CachedResult>> {
        let result = Arc::clone(&self.by_key.get(&id)?.result);
        self.remove(id);
        self.put(id, Arc::clone(&result));
        Some(result)
    }

    fn put(&mut self, id: Hash, result: Arc<CachedResult>) {
        self.uses += 1;
        self.byte_count += result.byte_count();
        self.by_use.insert(self.uses, id);
        let used = self.uses;
        self.by_key.insert(id, Entry { used, result });
    }

    fn remove(&mut self, id: Hash) {
        if let Some(entry) = self.by_key.remove(&id) {
            self.by_use.remove(&entry.used);
            self.byte_count -= entry.result.byte_count();
        }
    }
}

impl CachedResult {
    fn byte_count(&self) -> u64 {
        let chunks = self.chunks.iter().map(|chunk| chunk.len() as u64);
        chunks.sum::<u64>() + ENTRY_OVERHEAD_BYTES
    }
}

/// A result while its rows are read; kept if they end, and if what they were read from is the same then.
#[derive(Debug)]
pub(crate) struct Filling {
    cached: Arc<Cached>,
    key: Key,
    columns: Vec<ResultColumn>,
    chunks: Vec<Bytes>,
    byte_count: u64,
}

impl Filling {
    /// Adds a chunk; nothing is left if the result is too large to be kept.
    pub(crate) fn with(mut self, chunk: &Bytes) -> Option<Self> {
        self.byte_count += chunk.len() as u64;
        if self.byte_count > ENTRY_BYTES_MAX {
            return None;
        }
        self.chunks.push(chunk.clone());
        Some(self)
    }

    /// Its rows ended.
    pub(crate) async fn end(self, end: RowsEnd) {
        if !self.key.still_holds().await {
            return;
        }
        let result = CachedResult {
            columns: self.columns,
            chunks: self.chunks,
            end,
        };
        self.cached.put(self.key.id(), result);
    }
}

#[cfg(test)]
mod tests;
