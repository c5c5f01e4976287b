//! Cancelling a statement from another connection, by number and secret of the one that runs it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;
use uuid::Uuid;

/// What names a connection to those that may cancel its statements.
#[derive(Clone, PartialEq, Eq)]
pub struct CancelKey {
    /// Number of the connection.
    pub(super) process: u32,
    /// Its secret: 4 bytes in protocol 3.0, more from 3.2 on.
    pub(super) secret: Vec<u8>,
}

impl std::fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CancelKey({})", self.process)
    }
}

impl CancelKey {
    /// Longest message that holds one.
    pub(super) const MESSAGE_BYTES_MAX: u32 = 12 + 256;

    /// From number and secret as sent.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (process, secret) = bytes.split_first_chunk()?;
        Some(Self {
            process: u32::from_be_bytes(*process),
            secret: secret.to_vec(),
        })
    }

    /// Compares in a time that tells nothing of the secret.
    fn matches(&self, other: &Self) -> bool {
        let differs = self
            .secret
            .iter()
            .zip(&other.secret)
            .fold(0, |differs, (ours, theirs)| differs | (ours ^ theirs));
        self.secret.len() == other.secret.len() && differs == 0
    }
}

/// All open connections; bounded by the connections that there may be.
#[derive(Debug, Default)]
pub struct Cancels(Mutex<HashMap<u32, (CancelKey, Arc<Notify>)>>);

impl Cancels {
    /// Cancels the statement that the connection of this key runs, if it runs one.
    pub fn cancel(&self, key: &CancelKey) {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((ours, running)) = open.get(&key.process)
            && ours.matches(key)
        {
            running.notify_waiters();
        }
    }

    /// A key for one more connection.
    pub(super) fn enter(self: &Arc<Self>, is_long: bool) -> Cancellable {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // 122 random bits of the operating system in each.
            let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
            let number: u32 = first.as_u128() as u32 >> 1;
            if number == 0 || open.contains_key(&number) {
                continue;
            }
            let secret = [first.as_bytes().as_slice(), second.as_bytes().as_slice()].concat();
            let secret = match is_long {
                true => secret,
                // The last four bytes of a version 4 UUID are all random.
                false => second
                    .as_bytes()
                    .last_chunk::<4>()
                    .map_or_else(Vec::new, |s| s.to_vec()),
            };
            let key = CancelKey {
                process: number,
                secret,
            };
            let running = Arc::new(Notify::new());
            open.insert(number, (key.clone(), Arc::clone(&running)));
            return Cancellable {
                key,
                running,
                cancels: Arc::clone(self),
            };
        }
    }
}

/// An open connection; gone from the list when dropped.
#[derive(Debug)]
pub(super) struct Cancellable {
    pub(super) key: CancelKey,
    pub(super) running: Arc<Notify>,
    cancels: Arc<Cancels>,
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        let mut open = self
            .cancels
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.key.process);
    }
}
