//! The canonical bytes of a log entry: the leaf of the tree.
//!
//! An entry is a public header and a salted hash of the details. The details (who, on what, which
//! policies, facts) lie beside it in the log; a receipt shows the header and the hash only. All
//! integers are big-endian:
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version of this layout, 1 |
//! | 1 | kind, see [`Kind`] |
//! | 8 | time, i64, milliseconds since 1970-01-01T00:00:00Z |
//! | 1 + n | length and UTF-8 bytes of the request id, n <= 128 |
//! | 1 | effect: 0 none, 1 allow, 2 deny |
//! | 1 + n | length and UTF-8 bytes of the action, n <= 64 |
//! | 32 | SHA-256 of the canonical request |
//! | 32 | hash of the policy set that decided |
//! | 32 | SHA-256(salt, 16 bytes, then the details) |
//!
//! There is one encoding for each entry and one entry for each encoding; neither text may hold a
//! control character. The leaf hash is SHA-256(0x00, then these bytes), as RFC 6962 says.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::{Digest, wire::Cursor};

/// The version that this module writes and reads.
pub const VERSION: u8 = 1;

/// Longest request id, in bytes; keeps a receipt within a header.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Longest action name, in bytes.
pub const ACTION_BYTES_MAX: usize = 64;

/// Longest encoded entry.
pub const ENTRY_BYTES_MAX: usize = 10 + 1 + REQUEST_ID_BYTES_MAX + 1 + 1 + ACTION_BYTES_MAX + 96;

/// Random bytes that keep low-entropy details from being guessed from their hash.
pub type Salt = [u8; 16];

/// What an entry is about, as its code; an unknown code still verifies.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind(pub u8);

/// Allow or deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The request may pass.
    Allow,
    /// It may not.
    Deny,
}

/// The public part of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is about.
    pub kind: Kind,
    /// When it was appended, in milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: i64,
    /// Id of the request.
    pub request_id: String,
    /// The decision, for entries that hold one.
    pub effect: Option<Effect>,
    /// The action's name; empty where there is none.
    pub action: String,
    /// Digest of the canonical request.
    pub request_digest: Digest,
    /// Policy set that decided.
    pub policy_set: Digest,
}

/// What the tree covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The public part.
    pub header: Header,
    /// SHA-256 of salt and details; see [`details_hash`].
    pub details_hash: Digest,
}

/// What the tree covers, in borrowed pieces: millions of entries are read and written without a copy
/// of their texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// See [`Header::kind`], as for all fields but the last.
    pub kind: Kind,
    /// See there.
    pub time_ms: i64,
    /// See there.
    pub request_id: &'a str,
    /// See there.
    pub effect: Option<Effect>,
    /// See there.
    pub action: &'a str,
    /// See there.
    pub request_digest: &'a Digest,
    /// See there.
    pub policy_set: &'a Digest,
    /// See [`Entry::details_hash`].
    pub details_hash: &'a Digest,
}

/// Why bytes are not an entry, or an entry has no bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The bytes end within a field.
    #[error("the entry ends within its {0}")]
    Short(&'static str),
    /// Bytes follow the last field.
    #[error("{0} bytes follow the entry")]
    Trailing(usize),
    /// A version that this build does not know.
    #[error("entry version {0} is not known; this build reads version 1")]
    Version(u8),
    /// An effect code other than 0, 1, 2.
    #[error("entry effect {0} is not known")]
    Effect(u8),
    /// A text over its bound.
    #[error("the {field} has {bytes} bytes; at most {max} fit")]
    TooLong {
        /// Which text.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// A text that is not UTF-8 or holds a control character.
    #[error("the {0} is not plain UTF-8 text")]
    Text(&'static str),
}

impl Kind {
    /// The word for a kind that this build knows.
    pub fn name(self) -> Option<&'static str> {
        const NAMES: [&str; 11] = [
            "decision",
            "outcome",
            "policy_change",
            "resource_change",
            "identity_change",
            "metadata_change",
            "key",
            "config",
            "shutdown",
            "gap",
            "state",
        ];
        NAMES.get(usize::from(self.0)).copied()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "kind {}", self.0),
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({self})")
    }
}

impl Effect {
    /// The word shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Entry {
    /// The canonical bytes.
    ///
    /// # Errors
    /// A text over its bound or with a control character.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        let header = &self.header;
        EntryRef {
            kind: header.kind,
            time_ms: header.time_ms,
            request_id: &header.request_id,
            effect: header.effect,
            action: &header.action,
            request_digest: &header.request_digest,
            policy_set: &header.policy_set,
            details_hash: &self.details_hash,
        }
        .encode()
    }

    /// The entry that has exactly these canonical bytes.
    ///
    /// # Errors
    /// Anything that [`Entry::encode`] cannot have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        EntryRef::decode(bytes).map(EntryRef::to_owned)
    }
}

impl<'a> EntryRef<'a> {
    /// The canonical bytes.
    ///
    /// # Errors
    /// A text over its bound or with a control character.
    pub fn encode(self) -> Result<Vec<u8>, EntryError> {
        let mut bytes = Vec::with_capacity(ENTRY_BYTES_MAX);
        bytes.push(VERSION);
        bytes.push(self.kind.0);
        bytes.extend_from_slice(&self.time_ms.to_be_bytes());
        put_text(
            &mut bytes,
            "request id",
            self.request_id,
            REQUEST_ID_BYTES_MAX,
        )?;
        bytes.push(match self.effect {
            None => 0,
            Some(Effect::Allow) => 1,
            Some(Effect::Deny) => 2,
        });
        put_text(&mut bytes, "action", self.action, ACTION_BYTES_MAX)?;
        bytes.extend_from_slice(self.request_digest);
        bytes.extend_from_slice(self.policy_set);
        bytes.extend_from_slice(self.details_hash);
        Ok(bytes)
    }

    /// The entry that has exactly these canonical bytes.
    ///
    /// # Errors
    /// Anything that [`EntryRef::encode`] cannot have written.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, EntryError> {
        let mut cursor = Cursor::new(bytes);
        match cursor.u8().ok_or(EntryError::Short("version"))? {
            VERSION => {}
            version => return Err(EntryError::Version(version)),
        }
        let short = EntryError::Short;
        let entry = Self {
            kind: Kind(cursor.u8().ok_or(short("kind"))?),
            time_ms: cursor.i64().ok_or(short("time"))?,
            request_id: take_text(&mut cursor, "request id", REQUEST_ID_BYTES_MAX)?,
            effect: match cursor.u8().ok_or(short("effect"))? {
                0 => None,
                1 => Some(Effect::Allow),
                2 => Some(Effect::Deny),
                code => return Err(EntryError::Effect(code)),
            },
            action: take_text(&mut cursor, "action", ACTION_BYTES_MAX)?,
            request_digest: cursor.array_ref().ok_or(short("request digest"))?,
            policy_set: cursor.array_ref().ok_or(short("policy set"))?,
            details_hash: cursor.array_ref().ok_or(short("details hash"))?,
        };
        if cursor.is_empty() {
            Ok(entry)
        } else {
            Err(EntryError::Trailing(cursor.rest().len()))
        }
    }

    /// A copy of its own.
    pub fn to_owned(self) -> Entry {
        Entry {
            header: Header {
                kind: self.kind,
                time_ms: self.time_ms,
                request_id: self.request_id.to_owned(),
                effect: self.effect,
                action: self.action.to_owned(),
                request_digest: *self.request_digest,
                policy_set: *self.policy_set,
            },
            details_hash: *self.details_hash,
        }
    }
}

/// Writes the time into canonical bytes that were encoded without it: the committer knows the time
/// last and must not encode again.
pub fn stamp(bytes: &mut [u8], time_ms: i64) {
    if let Some(field) = bytes.get_mut(2..10) {
        field.copy_from_slice(&time_ms.to_be_bytes());
    }
}

/// The commitment to details: SHA-256(salt, details).
pub fn details_hash(salt: &Salt, details: &[u8]) -> Digest {
    Sha256::new()
        .chain_update(salt)
        .chain_update(details)
        .finalize()
        .into()
}

fn check_text(field: &'static str, text: &str, max: usize) -> Result<u8, EntryError> {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !is_plain && text.chars().any(char::is_control) {
        return Err(EntryError::Text(field));
    }
    let too_long = EntryError::TooLong {
        field,
        bytes: text.len(),
        max,
    };
    if text.len() > max {
        return Err(too_long);
    }
    u8::try_from(text.len()).map_err(|_| too_long)
}

fn put_text(
    bytes: &mut Vec<u8>,
    field: &'static str,
    text: &str,
    max: usize,
) -> Result<(), EntryError> {
    bytes.push(check_text(field, text, max)?);
    bytes.extend_from_slice(text.as_bytes());
    Ok(())
}

fn take_text<'a>(
    cursor: &mut Cursor<'a>,
    field: &'static str,
    max: usize,
) -> Result<&'a str, EntryError> {
    let length = cursor.u8().ok_or(EntryError::Short(field))?;
    let bytes = cursor
        .take(usize::from(length))
        .ok_or(EntryError::Short(field))?;
    let text = std::str::from_utf8(bytes).map_err(|_| EntryError::Text(field))?;
    check_text(field, text, max)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
