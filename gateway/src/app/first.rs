//! What the first start makes: an administrator with a random password.

use aws_lc_rs::rand;
use dataos_model::fault::Fault;

use crate::accounts::{Accounts, User};

/// Name of the first administrator.
pub(super) const ADMINISTRATOR: &str = "admin";
/// Letters of a password: none that look alike. 32 of them, so a random byte picks without bias.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 20 letters of 5 bits: 100 bits.
const PASSWORD_LETTERS: usize = 20;
/// Letters between hyphens.
const GROUP_LETTERS: usize = 5;

/// Makes the administrator if there is no account at all; gives its name and password.
pub(super) async fn administrator(accounts: &Accounts) -> Result<Option<(String, String)>, Fault> {
    if !accounts.is_empty() {
        return Ok(None);
    }
    let password = password()?;
    let user = User {
        user: ADMINISTRATOR.to_owned(),
        name: "Administrator".to_owned(),
        roles: vec!["admin".to_owned(), "auditor".to_owned()],
        ..User::default()
    };
    accounts.create(user, &password).await?;
    Ok(Some((ADMINISTRATOR.to_owned(), password)))
}

fn password() -> Result<String, Fault> {
    let mut bytes = [0; PASSWORD_LETTERS];
    rand::fill(&mut bytes)
        .map_err(|_| Fault::internal("the operating system gives no randomness"))?;
    let mut password = String::new();
    for (index, byte) in bytes.into_iter().enumerate() {
        if index > 0 && index % GROUP_LETTERS == 0 {
            password.push('-');
        }
        let letter = LETTERS
            .get(usize::from(byte) % LETTERS.len())
            .copied()
            .unwrap_or(b'x');
        password.push(char::from(letter));
    }
    Ok(password)
}
