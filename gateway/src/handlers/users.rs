//! Users and API keys.

use std::{collections::BTreeMap, sync::Arc};

use dataos_model::{
    clock::Timestamp,
    fault::{Fault, FaultKind, Location},
    record::{Entry, EntryKind},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{body, wire};
use crate::{
    accounts::{Scopes, User, Wanted, beyond_scopes},
    respond::Answer,
    serve::{Call, Gateway},
};

/// Longest life of a key.
const KEY_LIFE_S_MAX: i64 = 10 * 366 * 86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserBody {
    user: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    disabled: bool,
    password: Option<String>,
}

impl UserBody {
    fn into_user(self, user: String) -> (User, Option<String>) {
        let fields = User {
            user,
            name: self.name,
            groups: self.groups,
            roles: self.roles,
            tags: self.tags,
            attributes: self.attributes,
            disabled: self.disabled,
        };
        (fields, self.password)
    }
}

/// How long the old key works on where nothing is said, and at most.
const OVERLAP_S: i64 = 3600;
const OVERLAP_S_MAX: i64 = 30 * 86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RotationBody {
    overlap_seconds: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKeyBody {
    name: String,
    expires_in_seconds: Option<i64>,
    scopes: Option<Vec<String>>,
}

fn shown(user: &User) -> Value {
    json!(user)
}

pub(crate) async fn list(gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    let users: Vec<Value> = gateway.accounts.users().iter().map(shown).collect();
    Ok(Answer::ok(&json!({"users": users})))
}

pub(crate) async fn create(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let mut wire: UserBody = body(&call)?;
    let user = wire.user.take().ok_or_else(|| missing("user"))?;
    let (user, password) = wire.into_user(user);
    let password = password.ok_or_else(|| missing("password"))?;
    gateway.accounts.create(user.clone(), &password).await?;
    recorded(&gateway, &call, "user_created", &user.user).await?;
    Ok(Answer::json(StatusCode::CREATED, &shown(&user)))
}

pub(crate) async fn replace(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let name = call.parameters.get("user")?.to_owned();
    let mut wire: UserBody = body(&call)?;
    if wire.user.take().is_some_and(|given| given != name) {
        return Err(Fault::invalid("`user` is not the one of the path"));
    }
    if wire.disabled && is_own(&call, &name) {
        return Err(Fault::new(
            FaultKind::Conflict,
            "you cannot disable your own account",
        ));
    }
    let (user, password) = wire.into_user(name);
    gateway
        .accounts
        .replace(user.clone(), password.as_deref())
        .await?;
    recorded(&gateway, &call, "user_changed", &user.user).await?;
    Ok(Answer::ok(&shown(&user)))
}

pub(crate) async fn remove(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let user = call.parameters.get("user")?;
    if is_own(&call, user) {
        return Err(Fault::new(
            FaultKind::Conflict,
            "you cannot delete your own account",
        ));
    }
    gateway.accounts.remove(user).await?;
    recorded(&gateway, &call, "user_deleted", user).await?;
    Ok(Answer::no_content())
}

pub(crate) async fn keys(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let keys: Vec<Value> = gateway
        .accounts
        .keys(own_user(&call)?)
        .into_iter()
        .map(|key| {
            json!({
                "id": key.id,
                "name": key.name,
                "created_at": wire::time(Timestamp(key.created_at)),
                "expires_at": key.expires_at.map(|at| wire::time(Timestamp(at))),
                "last_used_at": key.last_used_at.map(|at| wire::time(Timestamp(at))),
                "scopes": key.scopes,
            })
        })
        .collect();
    Ok(Answer::ok(&json!({"keys": keys})))
}

pub(crate) async fn create_key(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let wire: NewKeyBody = body(&call)?;
    let now = gateway.seams.clock.now();
    let expires_at = match wire.expires_in_seconds {
        None => None,
        Some(seconds) if (1..=KEY_LIFE_S_MAX).contains(&seconds) => Some(now.0 + seconds * 1000),
        Some(_) => {
            let problem = format!("expires_in_seconds is not from 1 to {KEY_LIFE_S_MAX}");
            return Err(Fault::invalid(problem));
        }
    };
    let user = own_user(&call)?;
    let scopes = wire.scopes.as_deref().map(Scopes::parse).transpose()?;
    if let Some(own) = &call.scopes
        && !own.cover(scopes.as_ref())
    {
        return Err(beyond_scopes());
    }
    let wanted = Wanted {
        name: wire.name.clone(),
        expires_at,
        scopes: scopes.map(Arc::new),
    };
    let key = gateway.accounts.create_key(user, wanted, now).await?;
    recorded(&gateway, &call, "key_created", &key.id).await?;
    Ok(Answer::json(
        StatusCode::CREATED,
        &json!({
            "id": key.id,
            "name": wire.name,
            "expires_at": expires_at.map(|at| wire::time(Timestamp(at))),
            "scopes": wire.scopes,
            "key": key.text,
        }),
    ))
}

pub(crate) async fn rotate_key(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let wire: RotationBody = body(&call)?;
    let overlap_s = wire.overlap_seconds.unwrap_or(OVERLAP_S);
    if !(0..=OVERLAP_S_MAX).contains(&overlap_s) {
        let problem = format!("overlap_seconds is not from 0 to {OVERLAP_S_MAX}");
        return Err(Fault::invalid(problem));
    }
    let (user, id) = (own_user(&call)?, call.parameters.get("id")?);
    let now = gateway.seams.clock.now();
    let accounts = &gateway.accounts;
    let within = call.scopes.as_deref();
    let rotated = accounts
        .rotate_key(user, id, overlap_s * 1000, within, now)
        .await?;
    recorded(&gateway, &call, "key_created", &rotated.new.id).await?;
    recorded(&gateway, &call, "key_rotated", id).await?;
    Ok(Answer::json(
        StatusCode::CREATED,
        &json!({
            "id": rotated.new.id,
            "name": rotated.name,
            "expires_at": rotated.expires_at.map(|at| wire::time(Timestamp(at))),
            "scopes": rotated.scopes.map(|scopes| scopes.texts()),
            "key": rotated.new.text,
            "replaces": {
                "id": id,
                "expires_at": wire::time(Timestamp(rotated.old_expires_at)),
            },
        }),
    ))
}

pub(crate) async fn remove_key(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let id = call.parameters.get("id")?;
    gateway.accounts.remove_key(own_user(&call)?, id).await?;
    recorded(&gateway, &call, "key_deleted", id).await?;
    Ok(Answer::no_content())
}

/// The local user of the caller. A token of another issuer has none, whatever its name.
fn own_user(call: &Call) -> Result<&str, Fault> {
    if call.principal.issuer == "local" {
        return Ok(&call.principal.uid.id);
    }
    Err(Fault::invalid("only local users can have API keys")
        .with_hint("ask the issuer of your tokens for another token"))
}

fn is_own(call: &Call, user: &str) -> bool {
    call.principal.issuer == "local" && call.principal.uid.id == user
}

fn missing(field: &str) -> Fault {
    Fault::invalid(format!("`{field}` is missing")).at(Location {
        field: Some(field.to_owned()),
        ..Location::default()
    })
}

/// Writes an identity change to the log; the answer waits for it.
pub(super) async fn recorded(
    gateway: &Gateway,
    call: &Call,
    change: &str,
    subject: &str,
) -> Result<(), Fault> {
    let mut entry = Entry::new(EntryKind::IdentityChange, &call.request_id);
    entry.action = change.to_owned();
    entry.principal = call.principal.uid.to_string();
    entry.resource = subject.to_owned();
    entry.request_digest = call.digest;
    gateway.seams.record.append(entry).await.map(drop)
}
