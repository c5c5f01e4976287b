//! What is kept of passwords and API keys for a log-in that does not send them: a SCRAM verifier, sealed, so
//! that a copy of the database gives nothing to guess against.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dataos_model::fault::Fault;

use super::{Accounts, model::Account};
use crate::authenticate::{
    api_key::Pepper,
    scram::{ITERATIONS, Verifier},
    seal::Seal,
};

const SALT_BYTES: usize = 16;
/// A verifier of a password, where that of a key has the key's id.
pub(super) const PASSWORD: &str = "";

/// What verifiers are made and kept with. All of it follows from the pepper, so there is nothing more to
/// back up.
#[derive(Debug)]
pub(super) struct Verifiers {
    pepper: Arc<Pepper>,
    seal: Seal,
}

impl Verifiers {
    pub(super) fn new(pepper: &Arc<Pepper>) -> Result<Self, Fault> {
        Ok(Self {
            seal: Seal::new(&pepper.derived("scram verifiers"))?,
            pepper: Arc::clone(pepper),
        })
    }

    /// One salt for all secrets of a name, whether there is such a user or not: it is told before anything is
    /// proved, and the client does not say which secret it has.
    fn salt(&self, user: &str) -> Vec<u8> {
        let salt = self.pepper.derived(&format!("scram salt of {user}"));
        salt.expose().iter().take(SALT_BYTES).copied().collect()
    }

    /// What is kept of a secret; takes some ten milliseconds.
    fn make(&self, user: &str, owner: &str, secret: &str) -> Result<String, Fault> {
        let verifier = Verifier::of(secret, &self.salt(user), ITERATIONS);
        let sealed = self.seal.seal(&place(user, owner), &verifier.to_bytes())?;
        Ok(STANDARD.encode(sealed))
    }

    /// What was kept, unless it was for another name or number of iterations, or by another pepper.
    pub(super) fn open(&self, user: &str, owner: &str, kept: &str) -> Option<Verifier> {
        let sealed = STANDARD.decode(kept).ok()?;
        let opened = self.seal.open(&place(user, owner), &sealed)?;
        Verifier::from_bytes(opened.expose())
    }
}

fn place(user: &str, owner: &str) -> String {
    format!("{user}/{owner}/{ITERATIONS}")
}

impl Accounts {
    /// What the secrets of this name are hashed with.
    pub(crate) fn salt(&self, user: &str) -> Vec<u8> {
        self.verifiers.salt(user)
    }

    /// The verifier of a new password.
    pub(super) async fn password_verifier(
        &self,
        user: &str,
        password: &str,
    ) -> Result<String, Fault> {
        self.verifier(user, PASSWORD, password).await
    }

    /// The verifier of a new secret.
    pub(super) async fn verifier(
        &self,
        user: &str,
        owner: &str,
        secret: &str,
    ) -> Result<String, Fault> {
        let verifiers = Arc::clone(&self.verifiers);
        let [user, owner, secret] = [user, owner, secret].map(str::to_owned);
        let made = move || verifiers.make(&user, &owner, &secret);
        self.passwords.on_blocking_pool(made).await?
    }

    /// An account whose password was right, with a verifier if it had none: it is older than verifiers, or the
    /// pepper is new.
    pub(super) async fn with_verifier(
        &self,
        checked: Account,
        password: &str,
    ) -> Result<Account, Fault> {
        let user = checked.user.user.clone();
        if self
            .verifiers
            .open(&user, PASSWORD, &checked.verifier)
            .is_some()
        {
            return Ok(checked);
        }
        let verifier = self.password_verifier(&user, password).await?;
        let _changing = self.changing.lock().await;
        let now = self.read().accounts.get(&user).cloned();
        // Another password, or nobody: what comes next refuses that.
        let Some(account) = now.filter(|now| now.password_hash == checked.password_hash) else {
            return Ok(checked);
        };
        let account = Account {
            verifier,
            ..account
        };
        self.store.put_account(&account, false).await?;
        self.write().accounts.insert(user, account.clone());
        Ok(account)
    }
}
