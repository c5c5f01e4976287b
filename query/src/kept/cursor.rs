//! Where a page of a kept result begins, as its caller holds it: bound to the query, its caller, its
//! statement and the policies in force.

use dataos_model::{
    entity::EntityUid,
    fault::{Fault, FaultKind},
    hash::Hash,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// Bytes of the key, of the row, and of the policy set.
const KEY: usize = 64;
const ROW: usize = 8;
const HASH: usize = 32;

/// Seals cursors, for as long as the process lives.
pub(crate) struct Cursors([u8; KEY]);

/// What a cursor belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The query.
    pub(crate) id: &'a str,
    /// Its caller.
    pub(crate) owner: &'a EntityUid,
    /// Digest of its governed statement.
    pub(crate) statement: Hash,
    /// The policies in force.
    pub(crate) policy_set: Hash,
}

impl std::fmt::Debug for Cursors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cursors")
    }
}

impl Cursors {
    pub(crate) fn new() -> Self {
        let mut key = [0; KEY];
        for part in key.chunks_exact_mut(16) {
            // 122 random bits of the operating system.
            part.copy_from_slice(Uuid::new_v4().as_bytes());
        }
        Self(key)
    }

    /// The cursor of a row.
    pub(crate) fn write(&self, place: Place<'_>, row: u64) -> String {
        let mut bytes = row.to_be_bytes().to_vec();
        bytes.extend_from_slice(place.policy_set.0.as_slice());
        let seal = self.seal(place, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&seal);
        hex::encode(bytes)
    }

    /// The row of a cursor.
    ///
    /// # Errors
    /// A cursor of something else, or of other policies than those in force.
    pub(crate) fn read(&self, place: Place<'_>, cursor: &str) -> Result<u64, Fault> {
        let bytes = hex::decode(cursor).map_err(|_| foreign())?;
        let (head, seal) = bytes.split_at_checked(ROW + HASH).ok_or_else(foreign)?;
        self.seal(place, head)
            .verify_slice(seal)
            .map_err(|_| foreign())?;
        let (row, policy_set) = head.split_first_chunk::<ROW>().ok_or_else(foreign)?;
        if policy_set != place.policy_set.0.as_slice() {
            let message = "the policies changed since this cursor was given";
            return Err(Fault::new(FaultKind::Conflict, message)
                .with_reason("policy_changed")
                .with_hint("begin again with the first page, without a cursor"));
        }
        Ok(u64::from_be_bytes(*row))
    }

    fn seal(&self, place: Place<'_>, head: &[u8]) -> Hmac<Sha256> {
        let names = [
            place.id.to_owned(),
            place.owner.to_string(),
            place.statement.to_string(),
        ];
        let mut seal = Hmac::<Sha256>::new((&self.0).into());
        seal.update(&Hash::of_parts(names).0);
        seal.update(head);
        seal
    }
}

fn foreign() -> Fault {
    Fault::invalid("the cursor belongs to no page of this query")
        .with_reason("cursor")
        .with_hint("take `next` of the page before, as it is")
}
