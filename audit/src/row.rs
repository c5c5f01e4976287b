//! An entry in borrowed pieces: what its canonical bytes are made of, wherever the pieces are kept.

use dataos_model::{
    clock::Timestamp,
    decision::Effect,
    hash::Hash,
    record::{Entry, EntryKind, StoredEntry},
};
use dataos_proof::{
    entry::{self as leaf, EntryError, EntryRef, Kind, Salt, details_hash},
    frame::EntryFrame,
};

use crate::{codec::kind_code, details::Details};

/// The pieces.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) index: u64,
    pub(crate) time_ms: i64,
    pub(crate) kind: EntryKind,
    pub(crate) request_id: &'a str,
    pub(crate) effect: Option<Effect>,
    pub(crate) action: &'a str,
    pub(crate) request_digest: &'a [u8; 32],
    pub(crate) policy_set: &'a [u8; 32],
    pub(crate) salt: &'a Salt,
    pub(crate) details: Details<'a>,
}

impl<'a> Row<'a> {
    pub(crate) fn of(entry: &'a Entry, index: u64, time_ms: i64, salt: &'a Salt) -> Self {
        Self {
            index,
            time_ms,
            kind: entry.kind,
            request_id: &entry.request_id,
            effect: entry.effect,
            action: &entry.action,
            request_digest: &entry.request_digest.0,
            policy_set: &entry.policy_set.0,
            salt,
            details: Details::of(entry),
        }
    }

    /// The entry in a frame, whose details may or may not be those that it commits to.
    pub(crate) fn of_frame(frame: &EntryFrame<'a>) -> Result<Self, String> {
        let entry = EntryRef::decode(frame.entry).map_err(|error| error.to_string())?;
        let kind = EntryKind::ALL.get(usize::from(entry.kind.0));
        Ok(Self {
            index: frame.index,
            time_ms: entry.time_ms,
            kind: *kind.ok_or_else(|| format!("entry {} is not known", entry.kind))?,
            request_id: entry.request_id,
            effect: entry.effect.map(|effect| match effect {
                leaf::Effect::Allow => Effect::Allow,
                leaf::Effect::Deny => Effect::Deny,
            }),
            action: entry.action,
            request_digest: entry.request_digest,
            policy_set: entry.policy_set,
            salt: frame.salt,
            details: Details::decode(frame.details).map_err(|error| error.to_string())?,
        })
    }

    /// The canonical bytes of the entry, given its details as bytes.
    pub(crate) fn canonical(&self, details: &[u8]) -> Result<Vec<u8>, EntryError> {
        EntryRef {
            kind: Kind(kind_code(self.kind)),
            time_ms: self.time_ms,
            request_id: self.request_id,
            effect: self.effect.map(|effect| match effect {
                Effect::Allow => leaf::Effect::Allow,
                Effect::Deny => leaf::Effect::Deny,
            }),
            action: self.action,
            request_digest: self.request_digest,
            policy_set: self.policy_set,
            details_hash: &details_hash(self.salt, details),
        }
        .encode()
    }

    /// The same, from the pieces alone.
    pub(crate) fn leaf(&self) -> Result<Vec<u8>, String> {
        let details = self.details.encode().map_err(|error| error.to_string())?;
        self.canonical(&details).map_err(|error| error.to_string())
    }

    /// A fact by its name.
    pub(crate) fn fact(&self, name: &str) -> Option<&'a str> {
        let facts = &self.details.facts;
        let position = facts.binary_search_by(|(known, _)| (*known).cmp(name));
        facts.get(position.ok()?).map(|(_, value)| *value)
    }

    /// A copy of its own.
    pub(crate) fn stored(&self) -> StoredEntry {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let details = &self.details;
        let facts = details.facts.iter();
        let entry = Entry {
            kind: self.kind,
            request_id: self.request_id.to_owned(),
            effect: self.effect,
            action: self.action.to_owned(),
            request_digest: Hash(*self.request_digest),
            policy_set: Hash(*self.policy_set),
            entities: Hash(*details.entities),
            principal: details.principal.to_owned(),
            resource: details.resource.to_owned(),
            reason: details.reason.to_owned(),
            policies: owned(&details.policies),
            obligations: owned(&details.obligations),
            completes: details.completes,
            facts: facts
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        StoredEntry {
            index: self.index,
            time: Timestamp(self.time_ms),
            entry,
        }
    }
}
