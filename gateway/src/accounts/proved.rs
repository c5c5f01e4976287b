//! Secrets that were shown once, by those who keep a connection instead of a session.

use dataos_model::{clock::Timestamp, fault::Fault, principal::Authentication};

use super::{Accounts, keys, model::Account, verifiers::PASSWORD, wrong_login};
use crate::authenticate::{
    Caller,
    scram::{Proof, Verifier},
};

/// Whose secret it was; without the secret.
#[derive(Debug)]
pub(crate) enum Proved {
    /// The password of an account.
    Password(Account),
    /// The key of this id.
    Key(String),
}

impl Accounts {
    /// Checks a user and password.
    ///
    /// # Errors
    /// As [`Accounts::log_in`].
    pub(crate) async fn check_password(
        &self,
        user: &str,
        password: &str,
        now: Timestamp,
    ) -> Result<Proved, Fault> {
        let checked = self.checked(user, password, now).await?;
        Ok(Proved::Password(checked))
    }

    /// Which secret of a user a proof shows, and the server's own proof.
    ///
    /// # Errors
    /// As [`Accounts::log_in`].
    pub(crate) fn check_proof(
        &self,
        user: &str,
        proof: &Proof,
        now: Timestamp,
    ) -> Result<(Proved, String), Fault> {
        let (account, keys) = {
            let state = self.read();
            let account = state.accounts.get(user).cloned();
            let keys = state.keys.values().map(|held| &held.key);
            let keys = keys.filter(|key| key.user == user);
            let keys = keys.map(|key| (key.id.clone(), key.verifier.clone()));
            (account, keys.collect::<Vec<_>>())
        };
        // Where there is none, as much is done.
        let shown = |owner: &str, kept: &str| {
            let verifier = self.verifiers.open(user, owner, kept);
            proof.shows(&verifier.unwrap_or(Verifier::NOBODYS))
        };
        for (id, kept) in keys {
            // Nobody guesses a key, so it works while the account rests.
            if let Some(own) = shown(&id, &kept) {
                return Ok((Proved::Key(id), own));
            }
        }
        let kept = account.as_ref().map(|account| account.verifier.as_str());
        let own = shown(PASSWORD, kept.unwrap_or_default());
        self.passwords.note_check(user, own.is_some(), now)?;
        let (Some(own), Some(account)) = (own, account) else {
            return Err(wrong_login("login_wrong"));
        };
        if account.user.disabled {
            return Err(wrong_login("account_disabled"));
        }
        Ok((Proved::Password(account), own))
    }

    /// Whom a secret stands for, as long as it does: another password, a deleted or expired key, a disabled
    /// account ends that.
    pub(crate) fn caller_of_proved(
        &self,
        proved: &Proved,
        now: Timestamp,
    ) -> Result<Caller, &'static str> {
        let state = self.read();
        match proved {
            Proved::Key(id) => keys::used(state.keys.get(id).ok_or("api_key_unknown")?, now),
            Proved::Password(checked) => {
                let account = state.accounts.get(&checked.user.user);
                let account = account.filter(|now| now.password_hash == checked.password_hash);
                let account = account.ok_or("password_changed")?;
                let principal = account.principal(Authentication::Password, "");
                Ok(principal.ok_or("account_disabled")?.into())
            }
        }
    }
}

#[cfg(test)]
mod tests;
