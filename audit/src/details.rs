//! The details of an entry as bytes: what the public header commits to by a salted hash.
//!
//! One encoding for each value. Integers are big-endian; a text is its length (u32) and UTF-8 bytes:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version of this layout, 1 |
//! | 32 | hash of the entity snapshot |
//! | text x 3 | principal, resource, reason |
//! | 2, text x n | number of determining policies, their ids |
//! | 2, text x n | number of obligations, each as text |
//! | 1, 8 | 1 and the index of the entry that this one completes, or 0 alone |
//! | 2, (text, text) x n | number of facts; names ascend, each with its value |

use dataos_model::record::Entry;
use dataos_proof::wire::Cursor;

/// The version that this module writes and reads.
const VERSION: u8 = 1;

/// Room for the details of most entries.
const DETAILS_BYTES_USUAL: usize = 512;

/// Why bytes are not details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DetailsError {
    /// A version that this build does not know.
    #[error("version {0} of the details is not known; this build reads version 1")]
    Version(u8),
    /// Bytes that the encoder cannot have written.
    #[error("the details are malformed")]
    Malformed,
}

/// A list is longer than its count can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the entry names more than 65535 policies, obligations or facts")]
pub(crate) struct TooMany;

/// The texts and hashes that details are made of, wherever they are kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Details<'a> {
    pub(crate) entities: &'a [u8; 32],
    pub(crate) principal: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) policies: Vec<&'a str>,
    pub(crate) obligations: Vec<&'a str>,
    pub(crate) completes: Option<u64>,
    /// Names ascend.
    pub(crate) facts: Vec<(&'a str, &'a str)>,
}

impl<'a> Details<'a> {
    pub(crate) fn of(entry: &'a Entry) -> Self {
        let facts = entry.facts.iter();
        Self {
            entities: &entry.entities.0,
            principal: &entry.principal,
            resource: &entry.resource,
            reason: &entry.reason,
            policies: entry.policies.iter().map(String::as_str).collect(),
            obligations: entry.obligations.iter().map(String::as_str).collect(),
            completes: entry.completes,
            facts: facts
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect(),
        }
    }

    /// The details that have exactly these bytes.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, DetailsError> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(version) => return Err(DetailsError::Version(*version)),
            None => return Err(DetailsError::Malformed),
        }
        Self::read(bytes.get(1..).unwrap_or_default()).ok_or(DetailsError::Malformed)
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let details = Self {
            entities: cursor.array_ref()?,
            principal: text(&mut cursor)?,
            resource: text(&mut cursor)?,
            reason: text(&mut cursor)?,
            policies: texts(&mut cursor)?,
            obligations: texts(&mut cursor)?,
            completes: match cursor.u8()? {
                0 => None,
                1 => Some(cursor.u64()?),
                _ => return None,
            },
            facts: facts(&mut cursor)?,
        };
        cursor.is_empty().then_some(details)
    }

    /// The details as bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, TooMany> {
        let mut out = Vec::with_capacity(DETAILS_BYTES_USUAL);
        out.push(VERSION);
        out.extend_from_slice(self.entities);
        put(&mut out, self.principal);
        put(&mut out, self.resource);
        put(&mut out, self.reason);
        for list in [&self.policies, &self.obligations] {
            put_count(&mut out, list.len())?;
            list.iter().for_each(|text| put(&mut out, text));
        }
        match self.completes {
            None => out.push(0),
            Some(index) => {
                out.push(1);
                out.extend_from_slice(&index.to_be_bytes());
            }
        }
        put_count(&mut out, self.facts.len())?;
        for (name, value) in &self.facts {
            put(&mut out, name);
            put(&mut out, value);
        }
        Ok(out)
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    // A text that does not fit u32 does not fit an entry either: the caller checks the total.
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_count(out: &mut Vec<u8>, count: usize) -> Result<(), TooMany> {
    out.extend_from_slice(&u16::try_from(count).map_err(|_| TooMany)?.to_be_bytes());
    Ok(())
}

fn text<'a>(cursor: &mut Cursor<'a>) -> Option<&'a str> {
    let length = usize::try_from(cursor.u32()?).ok()?;
    std::str::from_utf8(cursor.take(length)?).ok()
}

fn texts<'a>(cursor: &mut Cursor<'a>) -> Option<Vec<&'a str>> {
    // No capacity from the count: it is only believed as far as bytes follow.
    (0..cursor.u16()?).map(|_| text(cursor)).collect()
}

fn facts<'a>(cursor: &mut Cursor<'a>) -> Option<Vec<(&'a str, &'a str)>> {
    let mut facts: Vec<(&str, &str)> = Vec::new();
    for _ in 0..cursor.u16()? {
        let name = text(cursor)?;
        if facts.last().is_some_and(|(last, _)| *last >= name) {
            return None;
        }
        facts.push((name, text(cursor)?));
    }
    Some(facts)
}

#[cfg(test)]
mod tests {
    use dataos_model::{hash::Hash, record::EntryKind};

    use super::*;

    fn example() -> Entry {
        let mut entry = Entry::new(EntryKind::Outcome, "request-1");
        entry.entities = Hash([7; 32]);
        entry.principal = "DataOS::User::\"alice\"".to_owned();
        entry.resource = "DataOS::Dataset::\"lake/sales/orders\"".to_owned();
        entry.reason = "permitted".to_owned();
        entry.policies = vec!["p1".to_owned(), "p2".to_owned()];
        entry.obligations = vec!["min_group(size = 5)".to_owned()];
        entry.completes = Some(41);
        entry.with_fact("rows", 12).with_fact("bytes", 1024)
    }

    #[test]
    fn details_read_back_and_are_canonical() {
        let entry = example();
        let bytes = Details::of(&entry).encode().unwrap();
        assert_eq!(Details::decode(&bytes), Ok(Details::of(&entry)));
        for length in 0..bytes.len() {
            assert!(Details::decode(&bytes[..length]).is_err(), "{length}");
        }
        for position in 0..bytes.len() {
            for change in [1, 2, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[position] ^= change;
                if let Ok(read) = Details::decode(&changed) {
                    assert_eq!(read.encode().unwrap(), changed);
                }
            }
        }
    }

    #[test]
    fn later_versions_and_long_lists_are_refused() {
        let mut bytes = Details::of(&example()).encode().unwrap();
        bytes[0] = 2;
        assert_eq!(Details::decode(&bytes), Err(DetailsError::Version(2)));
        let mut entry = example();
        entry.policies = vec![String::new(); 70_000];
        assert_eq!(Details::of(&entry).encode(), Err(TooMany));
    }
}
