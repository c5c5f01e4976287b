//! Ids that are marked for as long as somebody holds them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use crate::core::locked;

/// A set of marks; an id that is marked twice stays marked until both are gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks(Arc<Mutex<BTreeMap<String, usize>>>);

/// Takes its marks away when it is dropped.
#[derive(Debug)]
pub(crate) struct Marked {
    marks: Marks,
    ids: Vec<String>,
}

impl Marks {
    /// Marks these ids.
    pub(crate) fn mark(&self, ids: impl IntoIterator<Item = String>) -> Marked {
        let ids: Vec<String> = ids.into_iter().collect();
        let mut counts = locked(&self.0);
        for id in &ids {
            *counts.entry(id.clone()).or_default() += 1;
        }
        Marked {
            marks: self.clone(),
            ids,
        }
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        locked(&self.0).contains_key(id)
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        let mut counts = locked(&self.marks.0);
        for id in &self.ids {
            match counts.get_mut(id) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(counts.remove(id)),
            }
        }
    }
}
