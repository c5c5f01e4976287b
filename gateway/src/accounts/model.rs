//! What an account, a key and a session are.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dataos_model::{
    clock::Timestamp,
    entity::EntityType,
    fault::{Fault, Location},
    principal::{Authentication, Principal},
};
use serde::{Deserialize, Serialize};

use super::Scopes;

/// Names that no account may have: the anonymous caller and the platform itself.
const PLATFORM_NAMES: &[&str] = &["anonymous", "dataos"];
/// Longest user id.
const USER_BYTES_MAX: usize = 63;
/// Longest name, group, role, tag, attribute or value.
const LABEL_CHARACTERS_MAX: usize = 256;
/// Most groups, roles, tags or attributes of one user.
const LABELS_MAX: usize = 256;

/// A user as the API shows and takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) user: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) disabled: bool,
}

/// A user with what is kept of its password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) user: User,
    /// Argon2id, PHC form.
    pub(crate) password_hash: String,
    /// For a log-in that does not send the password; empty where there is none yet.
    pub(crate) verifier: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// An API key as stored. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiKey {
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) name: String,
    pub(crate) digest: Vec<u8>,
    /// For a log-in that does not send the key; empty for keys that are older than that.
    pub(crate) verifier: String,
    pub(crate) created_at: i64,
    pub(crate) expires_at: Option<i64>,
    /// 0 if it never was.
    pub(crate) last_used_at: i64,
    /// What it is limited to; `None` is all that its user may do.
    pub(crate) scopes: Option<Arc<Scopes>>,
}

/// A session as stored. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) digest: String,
    pub(crate) user: String,
    pub(crate) expires_at: i64,
    /// How long it may be left unused.
    pub(crate) idle_ms: i64,
    pub(crate) used_at: i64,
}

/// How long a session lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionLife {
    /// In all.
    pub(crate) whole: Duration,
    /// Without being used.
    pub(crate) idle: Duration,
}

impl SessionLife {
    /// When a session that begins now ends.
    pub(crate) fn end(self, now: Timestamp) -> i64 {
        now.0.saturating_add(ms(self.whole))
    }

    pub(crate) fn idle_ms(self) -> i64 {
        ms(self.idle)
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Whether the platform keeps this name, of a user or service, for itself.
pub(crate) fn is_platform_name(user: &str) -> bool {
    PLATFORM_NAMES.contains(&user)
}

impl User {
    /// Checks form and bounds of every field.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let mut bytes = self.user.bytes();
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let is_well_formed = bytes.next().is_some_and(is_plain)
            && bytes.all(|b| is_plain(b) || b"._-".contains(&b))
            && self.user.len() <= USER_BYTES_MAX;
        if !is_well_formed || is_platform_name(&self.user) {
            return Err(field_fault(
                "user",
                "a user id is 1 to 63 of a-z, 0-9, `.`, `_`, `-`, starts with a letter or digit, \
                 and is not `anonymous` or `dataos`",
            ));
        }
        if !self.name.is_empty() {
            check_label("name", &self.name)?;
        }
        for (field, labels) in [
            ("groups", &self.groups),
            ("roles", &self.roles),
            ("tags", &self.tags),
        ] {
            if labels.len() > LABELS_MAX {
                return Err(field_fault(field, &format!("at most {LABELS_MAX} items")));
            }
            labels
                .iter()
                .try_for_each(|label| check_label(field, label))?;
        }
        if self.attributes.len() > LABELS_MAX {
            return Err(field_fault(
                "attributes",
                &format!("at most {LABELS_MAX} items"),
            ));
        }
        for (name, value) in &self.attributes {
            check_label("attributes", name)?;
            check_label("attributes", value)?;
        }
        Ok(())
    }
}

impl Account {
    /// The principal of this account, unless it is disabled.
    pub(super) fn principal(
        &self,
        authentication: Authentication,
        credential_id: &str,
    ) -> Option<Arc<Principal>> {
        if self.user.disabled {
            return None;
        }
        let mut principal = Principal::new(EntityType::USER.id(&self.user.user), authentication);
        principal.groups.clone_from(&self.user.groups);
        principal.roles.clone_from(&self.user.roles);
        principal.tags.clone_from(&self.user.tags);
        principal.attributes.clone_from(&self.user.attributes);
        // The digest of a session is shortened: enough to tell sessions apart in the log.
        principal.credential_id = Some(credential_id.chars().take(16).collect());
        Some(Arc::new(principal))
    }
}

/// Checks a short text of a person's making.
pub(super) fn check_label(field: &str, label: &str) -> Result<(), Fault> {
    let count = label.chars().count();
    if (1..=LABEL_CHARACTERS_MAX).contains(&count) && !label.chars().any(char::is_control) {
        return Ok(());
    }
    let problem =
        format!("1 to {LABEL_CHARACTERS_MAX} characters, none of them a control character");
    Err(field_fault(field, &problem))
}

fn field_fault(field: &str, expected: &str) -> Fault {
    Fault::invalid(expected.to_owned()).at(Location {
        field: Some(field.to_owned()),
        ..Location::default()
    })
}
