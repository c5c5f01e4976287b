//! What decisions are made from, for whoever keeps it: whole when somebody begins to listen, then change
//! by change, each told before the first decision that is made from it.

use std::{fmt, sync::Arc};

use dataos_model::{
    entity::EntityChange,
    hash::Hash,
    state::{Change, SourceChange, StateOf},
};

use crate::{
    set::{Source, links},
    version::Version,
};

/// A step from one version to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct StateStep {
    /// What changed.
    pub of: StateOf,
    /// The version before; none if the changes are the whole.
    pub before: Option<Hash>,
    /// The version that the changes lead to.
    pub after: Hash,
    /// The changes.
    pub changes: Vec<Change>,
}

/// Policies and entities at one moment.
#[derive(Clone, Debug)]
pub struct State(pub(crate) Arc<Version>);

/// Who is told of each step.
pub(crate) struct Listener(pub(crate) Box<dyn Fn(StateStep) + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl State {
    /// The version, as decisions name it.
    pub fn hash(&self, of: StateOf) -> Hash {
        match of {
            StateOf::Entities => self.0.entities.hash(),
            StateOf::Policies => self.0.policies.hash,
        }
    }

    /// All that it is made of, in an order that is the same for the same version.
    pub fn changes(&self, of: StateOf) -> Box<dyn Iterator<Item = Change> + Send + '_> {
        match of {
            StateOf::Entities => Box::new(self.entities()),
            StateOf::Policies => Box::new(self.policies()),
        }
    }

    fn entities(&self) -> impl Iterator<Item = Change> + Send {
        let entities = self.0.entities.all();
        entities.map(|entity| Change::Entity(EntityChange::Upsert(entity.as_ref().clone())))
    }

    fn policies(&self) -> impl Iterator<Item = Change> + Send {
        let policies = &self.0.policies;
        let schema = policies.schema.texts.iter().map(|(file, text)| {
            Change::Source(SourceChange {
                name: file.clone(),
                is_file: true,
                text: Some(text.clone()),
            })
        });
        let mut sources: Vec<(&String, &Arc<Source>)> = policies.sources().collect();
        sources.sort_unstable_by_key(|(name, _)| *name);
        let (links, texts): (Vec<_>, Vec<_>) = sources
            .into_iter()
            .partition(|(_, source)| source.link().is_some());
        let texts = texts.into_iter().map(|(name, source)| text(name, source));
        let links = links.into_iter().filter_map(|(_, source)| {
            let link = source.link()?.clone();
            Some(Change::Link(link.id.clone(), Some(link)))
        });
        schema.chain(texts).chain(links)
    }
}

/// What a change of a policy set is to whoever keeps it.
pub(crate) fn changes(change: &links::Change, is_file: impl Fn(&str) -> bool) -> Vec<Change> {
    let texts = change.texts.iter().map(|(name, source)| match source {
        Some(source) => text(name, source),
        None => Change::Source(SourceChange {
            name: name.clone(),
            is_file: is_file(name),
            text: None,
        }),
    });
    let links = change.links.iter();
    let links = links.map(|(id, link)| Change::Link(id.clone(), link.clone()));
    texts.chain(links).collect()
}

fn text(name: &str, source: &Source) -> Change {
    Change::Source(SourceChange {
        name: name.to_owned(),
        is_file: source.is_file(),
        text: source.text.clone(),
    })
}
