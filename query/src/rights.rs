//! With whose rights datasets are read: what is behind a view that lends its definer's rights is read with
//! those, and all else with the caller's.

use std::{collections::BTreeMap, sync::Arc};

use dataos_model::dataset::DatasetId;

use crate::shown::Shown;

/// With whose rights a dataset is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rights {
    /// Those of who sent the statement.
    Caller,
    /// Those of the user who made a view.
    Definer(String),
}

/// What a statement may read. One dataset may be granted to several: each sees it in his way.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    /// To its caller.
    pub(crate) caller: Vec<Arc<Shown>>,
    /// To definers, by their user ids. Nothing of it is told to the caller.
    pub(crate) definers: BTreeMap<String, Vec<Arc<Shown>>>,
}

impl Grants {
    /// All that are granted with these rights.
    pub(crate) fn with(&self, rights: &Rights) -> &[Arc<Shown>] {
        match rights {
            Rights::Caller => &self.caller,
            Rights::Definer(user) => self.definers.get(user).map_or(&[], Vec::as_slice),
        }
    }

    /// What these rights show of a dataset.
    pub(crate) fn find(&self, rights: &Rights, dataset: &DatasetId) -> Option<&Shown> {
        let mut grants = self.with(rights).iter().map(Arc::as_ref);
        grants.find(|grant| grant.dataset.id == *dataset)
    }

    /// All of them: the caller's, then those of each definer.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Shown> {
        let all = self.caller.iter().chain(self.definers.values().flatten());
        all.map(Arc::as_ref)
    }

    /// Everybody's.
    pub(crate) fn each(&self) -> impl Iterator<Item = (Rights, &Shown)> {
        let caller = self.caller.iter();
        let caller = caller.map(|grant| (Rights::Caller, grant.as_ref()));
        let definers = self.definers.iter().flat_map(|(user, grants)| {
            let rights = Rights::Definer(user.clone());
            let grants = grants.iter();
            grants.map(move |grant| (rights.clone(), grant.as_ref()))
        });
        caller.chain(definers)
    }
}
