//! Between [`Entry`] and the bytes of the log; and the terms by which an entry can be found.

use std::hash::{DefaultHasher, Hash as Hashable, Hasher as _};

use dataos_model::{
    decision::Effect,
    fault::{Fault, FaultKind},
    hash::Hash,
    record::{CONTENT_BYTES_MAX, CONTENT_SUFFIX, Entry, EntryKind, RecordQuery, TRACE_ID},
};
use dataos_proof::{
    entry::{EntryError, Salt, details_hash},
    frame::{DETAILS_BYTES_MAX, EntryFrame, FRAME_HEADER_BYTES},
};

use crate::{contents::Content, row::Row};

/// An entry ready for the committer, which still has to set the time.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Canonical bytes with time 0.
    pub(crate) entry: Vec<u8>,
    pub(crate) salt: Salt,
    pub(crate) details: Vec<u8>,
    pub(crate) terms: Vec<u64>,
    /// What it names and has no room for.
    pub(crate) contents: Vec<Content>,
}

impl Prepared {
    /// Bytes that the entry holds in memory while it waits.
    pub(crate) fn bytes(&self) -> usize {
        let contents = self.contents.iter().map(|content| content.bytes.len());
        self.entry.len() + self.details.len() + self.terms.len() * 8 + contents.sum::<usize>()
    }

    /// Bytes that the entry takes on disk.
    pub(crate) fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + 3 + self.entry.len() + self.salt.len() + self.details.len()
    }
}

/// Bytes of facts that stay in the entry; of more, the largest are kept beside the log.
const FACTS_BYTES_MAX: usize = 48 * 1024;

/// Encodes, with a fresh salt.
pub(crate) fn prepare(entry: &Entry) -> Result<Prepared, Fault> {
    let facts = entry.facts.iter();
    let bytes: usize = facts.map(|(name, value)| name.len() + value.len()).sum();
    if bytes <= FACTS_BYTES_MAX {
        return encode(entry, Vec::new());
    }
    let mut entry = entry.clone();
    let contents = take_contents(&mut entry, bytes)?;
    encode(&entry, contents)
}

/// Takes the largest facts out of an entry, which has `bytes` of them, until the others fit; their
/// digests stay.
fn take_contents(entry: &mut Entry, mut bytes: usize) -> Result<Vec<Content>, Fault> {
    let mut contents = Vec::new();
    while bytes > FACTS_BYTES_MAX {
        let largest = entry.facts.iter().max_by_key(|(_, value)| value.len());
        let Some(name) = largest.map(|(name, _)| name.clone()) else {
            break;
        };
        let value = entry.facts.remove(&name).unwrap_or_default();
        if value.len() > CONTENT_BYTES_MAX {
            let long = value.len();
            return Err(too_large(format!(
                "its fact `{name}` has {long} bytes, at most {CONTENT_BYTES_MAX} are kept \
                 (CONTENT_BYTES_MAX)"
            )));
        }
        let digest = Hash::of(&value);
        let reference = (format!("{name}{CONTENT_SUFFIX}"), digest.to_string());
        let shorter = name.len() + value.len();
        let shorter = shorter.saturating_sub(reference.0.len() + reference.1.len());
        if shorter == 0 {
            return Err(too_large(format!("it has {bytes} bytes of small facts")));
        }
        bytes -= shorter;
        entry.facts.extend([reference]);
        let value = value.into_bytes();
        contents.push(Content {
            digest,
            bytes: value,
        });
    }
    Ok(contents)
}

fn encode(entry: &Entry, contents: Vec<Content>) -> Result<Prepared, Fault> {
    let salt: Salt = rand::random();
    let row = Row::of(entry, 0, 0, &salt);
    let details = row
        .details
        .encode()
        .map_err(|error| too_large(error.to_string()))?;
    if details.len() > DETAILS_BYTES_MAX {
        let bytes = details.len();
        return Err(too_large(format!(
            "its details have {bytes} bytes, at most 65535 fit"
        )));
    }
    let bytes = row.canonical(&details).map_err(|error| match &error {
        EntryError::TooLong { .. } => too_large(error.to_string()),
        _ => Fault::invalid(format!("the audit entry cannot be written: {error}")),
    })?;
    let terms = terms(&row);
    Ok(Prepared {
        entry: bytes,
        salt,
        details,
        terms,
        contents,
    })
}

fn too_large(why: String) -> Fault {
    let message = format!("the audit entry cannot be written: {why}");
    Fault::new(FaultKind::TooLarge, message).with_reason("audit_entry_too_large")
}

/// The entry in a frame, if its details are those that it commits to.
pub(crate) fn read<'a>(frame: &EntryFrame<'a>) -> Result<Row<'a>, String> {
    let row = Row::of_frame(frame)?;
    let (_, committed) = frame.entry.split_last_chunk().unwrap_or((&[], &[0; 32]));
    if details_hash(frame.salt, frame.details) == *committed {
        Ok(row)
    } else {
        Err("the details do not match their hash in the entry".to_owned())
    }
}

/// The code of a kind: its position among all.
pub(crate) fn kind_code(kind: EntryKind) -> u8 {
    let position = EntryKind::ALL.iter().position(|known| *known == kind);
    position
        .and_then(|position| u8::try_from(position).ok())
        .unwrap_or(u8::MAX)
}

/// What can be searched for by a term.
#[derive(Clone, Copy, Hashable)]
enum Field {
    Kind,
    Effect,
    Action,
    RequestId,
    Principal,
    Resource,
    Policy,
    Trace,
}

fn term(field: Field, text: &str) -> u64 {
    // The filter lives in memory only, so the hash need not be the same in the next build.
    let mut hasher = DefaultHasher::new();
    (field, text).hash(&mut hasher);
    hasher.finish()
}

/// The id in `DataOS::User::"alice"`.
pub(crate) fn id_of(uid: &str) -> Option<&str> {
    uid.split_once("::\"")?.1.strip_suffix('"')
}

/// Every term of an entry.
pub(crate) fn terms(row: &Row<'_>) -> Vec<u64> {
    let details = &row.details;
    let mut terms = vec![
        term(Field::Kind, row.kind.name()),
        term(Field::Action, row.action),
        term(Field::RequestId, row.request_id),
        term(Field::Principal, details.principal),
        term(Field::Resource, details.resource),
    ];
    let effect = row.effect.map(Effect::name);
    terms.extend(effect.map(|effect| term(Field::Effect, effect)));
    terms.extend(id_of(details.principal).map(|id| term(Field::Principal, id)));
    terms.extend(id_of(details.resource).map(|id| term(Field::Resource, id)));
    terms.extend(
        details
            .policies
            .iter()
            .map(|policy| term(Field::Policy, policy)),
    );
    let trace = row.fact(TRACE_ID);
    terms.extend(trace.map(|trace| term(Field::Trace, trace)));
    terms
}

/// The terms that an entry must have to match the query.
pub(crate) fn wanted_terms(query: &RecordQuery) -> Vec<u64> {
    let texts = [
        (Field::Action, &query.action),
        (Field::RequestId, &query.request_id),
        (Field::Principal, &query.principal),
        (Field::Resource, &query.resource),
        (Field::Policy, &query.policy),
        (Field::Trace, &query.trace),
    ];
    let mut terms: Vec<u64> = texts
        .iter()
        .filter_map(|(field, text)| text.as_ref().map(|text| term(*field, text)))
        .collect();
    terms.extend(query.kind.map(|kind| term(Field::Kind, kind.name())));
    terms.extend(
        query
            .effect
            .map(|effect| term(Field::Effect, effect.name())),
    );
    terms
}

/// Whether an entry matches all conditions of the query; its cursor and limit aside.
pub(crate) fn matches(query: &RecordQuery, row: &Row<'_>) -> bool {
    let is =
        |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|wanted| wanted == text);
    let uid = |wanted: &Option<String>, uid: &str| {
        is(wanted, uid)
            || wanted
                .as_deref()
                .is_some_and(|wanted| Some(wanted) == id_of(uid))
    };
    let details = &row.details;
    query.from.is_none_or(|from| row.time_ms >= from.0)
        && query.to.is_none_or(|to| row.time_ms < to.0)
        && is(&query.request_id, row.request_id)
        && query
            .trace
            .as_ref()
            .is_none_or(|trace| row.fact(TRACE_ID) == Some(trace))
        && uid(&query.principal, details.principal)
        && uid(&query.resource, details.resource)
        && is(&query.action, row.action)
        && query.kind.is_none_or(|kind| row.kind == kind)
        && query.effect.is_none_or(|effect| row.effect == Some(effect))
        && query
            .policy
            .as_ref()
            .is_none_or(|policy| details.policies.contains(&policy.as_str()))
        && query
            .text
            .as_ref()
            .is_none_or(|text| holds(row, &text.to_lowercase()))
}

/// Whether any text of the entry holds `text`, which is in lower case.
fn holds(row: &Row<'_>, text: &str) -> bool {
    let details = &row.details;
    let single = [
        row.kind.name(),
        row.effect.map_or("", Effect::name),
        row.request_id,
        row.action,
        details.principal,
        details.resource,
        details.reason,
    ];
    let facts = details
        .facts
        .iter()
        .flat_map(|(name, value)| [*name, *value]);
    let mut texts = single
        .into_iter()
        .chain(details.policies.iter().copied())
        .chain(details.obligations.iter().copied())
        .chain(facts);
    texts.any(|candidate| candidate.to_lowercase().contains(text))
}

#[cfg(test)]
mod tests {
    use dataos_proof::entry::Kind;

    use super::*;

    #[test]
    fn kinds_have_the_same_code_and_word_in_the_proof_format() {
        for kind in EntryKind::ALL {
            assert_eq!(Kind(kind_code(*kind)).name(), Some(kind.name()));
        }
        let next = u8::try_from(EntryKind::ALL.len()).unwrap();
        assert_eq!(Kind(next).name(), None);
    }

    #[test]
    fn entries_that_do_not_fit_are_refused_with_a_reason() {
        let mut large = Entry::new(EntryKind::Config, "r");
        large.reason = "x".repeat(70_000);
        let fault = prepare(&large).unwrap_err();
        assert_eq!(
            (fault.kind, fault.reason.as_str()),
            (FaultKind::TooLarge, "audit_entry_too_large")
        );
        let longest = "x".repeat(CONTENT_BYTES_MAX + 1);
        let large = Entry::new(EntryKind::Config, "r").with_fact("sql", longest);
        assert_eq!(prepare(&large).unwrap_err().kind, FaultKind::TooLarge);
        let mut many = Entry::new(EntryKind::Config, "r");
        let facts = (0..6_000).map(|n| (format!("fact-{n}"), "x".to_owned()));
        many.facts.extend(facts);
        assert_eq!(prepare(&many).unwrap_err().kind, FaultKind::TooLarge);
        let long = Entry::new(EntryKind::Config, "r".repeat(129));
        assert_eq!(prepare(&long).unwrap_err().kind, FaultKind::TooLarge);
        let control = Entry::new(EntryKind::Config, "a\nb");
        assert_eq!(prepare(&control).unwrap_err().kind, FaultKind::Invalid);
    }

    #[test]
    fn the_largest_facts_go_first_and_leave_their_digests() {
        let texts = [("a", "1".repeat(30_000)), ("b", "2".repeat(40_000))];
        let mut entry = Entry::new(EntryKind::Config, "r").with_fact("c", "small");
        for (name, text) in &texts {
            entry = entry.with_fact(name, text);
        }
        let prepared = prepare(&entry).unwrap();
        let [content] = prepared.contents.as_slice() else {
            panic!("{} contents", prepared.contents.len());
        };
        assert_eq!(content.bytes, texts[1].1.as_bytes());
        let details = crate::details::Details::decode(&prepared.details).unwrap();
        let digest = Hash::of(&texts[1].1).to_string();
        let facts = [("a", &*texts[0].1), ("b@sha256", &*digest), ("c", "small")];
        assert_eq!(details.facts, facts);
    }
}
