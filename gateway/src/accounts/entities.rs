//! Accounts as entities of the PDP, so that searches and questions about others know them.

use dataos_model::{
    entity::{EntityChange, EntityType},
    principal::Authentication,
};

use super::model::Account;

/// What the PDP is to know of an account; of a disabled one, nothing.
pub(super) fn change(account: &Account) -> EntityChange {
    match account.principal(Authentication::Internal, "") {
        Some(principal) => EntityChange::Upsert(principal.entity()),
        None => removal(&account.user.user),
    }
}

/// The account is gone.
pub(super) fn removal(user: &str) -> EntityChange {
    EntityChange::Remove(EntityType::USER.id(user))
}
