//! Passwords: argon2id, a bounded number of checks at a time, and a pause after many wrong ones.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use dataos_model::{
    clock::Timestamp,
    fault::{Fault, FaultKind, Location},
};
use tokio::sync::Semaphore;

use super::wrong_login;

/// Checks at once: each takes 19 MiB and tens of milliseconds of one core.
const AT_ONCE: usize = 2;
/// Checks that may wait; more are told to come back.
const WAITING_MAX: usize = 32;
/// Wrong passwords in a row after which an account rests.
const WRONG_IN_A_ROW_MAX: u32 = 10;
/// How long it rests: about 2900 guesses a day remain.
const REST_MS: i64 = 30_000;
/// Most names whose wrong passwords are counted.
const COUNTED_MAX: usize = 10_000;
/// Shortest and longest password, in bytes.
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=1024;

/// Checks and makes password hashes.
#[derive(Debug)]
pub(super) struct Passwords {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// By user: wrong passwords in a row, and when the last one came.
    wrong: Mutex<HashMap<String, (u32, i64)>>,
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: AtomicUsize::new(0),
            wrong: Mutex::new(HashMap::new()),
        }
    }

    /// Checks a password against a hash, or against a decoy if there is none.
    pub(super) async fn check(
        &self,
        user: &str,
        password: &str,
        hash: Option<String>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        if self.is_resting(user, now) {
            return Err(wrong_login("login_resting"));
        }
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| DECOY.to_owned());
        let given = password.as_bytes().to_vec();
        let is_right = self
            .on_blocking_pool(move || {
                given.len() <= *PASSWORD_BYTES.end()
                    && PasswordHash::new(&hash)
                        .is_ok_and(|hash| Argon2::default().verify_password(&given, &hash).is_ok())
            })
            .await?;
        self.note(user, is_right && is_known, now);
        if is_right && is_known {
            Ok(())
        } else {
            Err(wrong_login("login_wrong"))
        }
    }

    /// Counts a check that was made elsewhere.
    ///
    /// # Errors
    /// The account rests, so that nobody may know how the check ended.
    pub(super) fn note_check(
        &self,
        user: &str,
        is_right: bool,
        now: Timestamp,
    ) -> Result<(), Fault> {
        if self.is_resting(user, now) {
            return Err(wrong_login("login_resting"));
        }
        self.note(user, is_right, now);
        Ok(())
    }

    /// Makes the hash of a new password.
    pub(super) async fn hash(&self, password: &str) -> Result<String, Fault> {
        if !PASSWORD_BYTES.contains(&password.len()) {
            let place = Location {
                field: Some("password".to_owned()),
                ..Location::default()
            };
            return Err(Fault::invalid("a password has 8 to 1024 bytes").at(place));
        }
        let given = password.as_bytes().to_vec();
        self.on_blocking_pool(move || {
            Argon2::default()
                .hash_password(&given)
                .map(|hash| hash.to_string())
        })
        .await?
        .map_err(|error| Fault::internal(format!("a password cannot be hashed: {error}")))
    }

    /// Does what takes a core for a while.
    pub(super) async fn on_blocking_pool<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(Fault::unavailable(
                "too many passwords and keys are worked on; try again in a second",
            ));
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        let permit = permit.map_err(|_| Fault::unavailable("shutting down"))?;
        tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        })
        .await
        .map_err(|_| Fault::new(FaultKind::Internal, "a password check was stopped"))
    }

    fn is_resting(&self, user: &str, now: Timestamp) -> bool {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong
            .get(user)
            .is_some_and(|(count, last)| *count >= WRONG_IN_A_ROW_MAX && now.0 - last < REST_MS)
    }

    fn note(&self, user: &str, is_right: bool, now: Timestamp) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if is_right {
            wrong.remove(user);
            return;
        }
        if wrong.len() >= COUNTED_MAX {
            wrong.retain(|_, (_, last)| now.0 - *last < REST_MS);
        }
        if wrong.len() < COUNTED_MAX {
            let (count, last) = wrong.entry(user.to_owned()).or_default();
            *count = count.saturating_add(1);
            *last = now.0;
        }
    }
}

/// Checked when there is no such user, so that the answer takes as long: a hash with today's
/// parameters that no known password has.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$ZGVjb3lkZWNveWRlY295MQ$\
                     3s4Y7Y5l8cT1oFqk0m2m9yq1S8n0T2u3v4w5x6y7z8A";

#[cfg(test)]
mod tests {
    use argon2::{Argon2, Params, password_hash::phc::PasswordHash};

    #[test]
    fn the_decoy_costs_as_much_as_a_real_check() {
        let decoy = PasswordHash::new(super::DECOY).unwrap();
        let params = Params::try_from(&decoy).unwrap();
        let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
        assert_eq!(cost(&params), cost(Argon2::default().params()));
        assert!(decoy.salt.is_some() && decoy.hash.is_some());
    }
}
