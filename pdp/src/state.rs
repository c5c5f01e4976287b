//! What decisions are made from, for whoever keeps it: whole when somebody begins to listen, then change
//! by change, each told before the first decision that is made from it.

use std::{fmt, sync::Arc};

use dataos_model::{
    entity::EntityChange,
    hash::Hash,
    state::{self, Change, PART_BYTES, SourceChange, StateChange, StateOf},
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

impl StateStep {
    /// What a log keeps of it: a change in one piece, a whole in parts.
    pub fn into_entries(self) -> impl Iterator<Item = StateChange> {
        Parts {
            next: Some(first(self.of, self.before, self.after)),
            changes: self.changes.into_iter(),
            // Only a whole can be put together from parts.
            part_bytes: self.before.map_or(PART_BYTES, |_| usize::MAX),
        }
    }
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

    /// The same as a log keeps it, in parts.
    pub fn entries(&self, of: StateOf) -> impl Iterator<Item = StateChange> + Send {
        Parts {
            next: Some(first(of, None, self.hash(of))),
            changes: self.changes(of),
            part_bytes: PART_BYTES,
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

/// Changes as lines, in parts that end when they have so many bytes.
struct Parts<I> {
    /// The part that is filled next; none behind the last.
    next: Option<StateChange>,
    changes: I,
    part_bytes: usize,
}

impl<I: Iterator<Item = Change>> Iterator for Parts<I> {
    type Item = StateChange;

    fn next(&mut self) -> Option<StateChange> {
        let mut part = self.next.take()?;
        for change in self.changes.by_ref() {
            part.lines.push_str(&state::write(&change));
            part.lines.push('\n');
            if part.lines.len() >= self.part_bytes {
                let number = part.part + 1;
                self.next = Some(StateChange {
                    part: number,
                    ..first(part.of, part.before, part.after)
                });
                return Some(part);
            }
        }
        part.is_last = true;
        Some(part)
    }
}

/// The first part, still empty.
fn first(of: StateOf, before: Option<Hash>, after: Hash) -> StateChange {
    StateChange {
        of,
        before,
        after,
        part: 0,
        is_last: false,
        lines: String::new(),
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
