//! From claims to a principal: the same for tokens that callers send and for people who log in.

use dataos_model::{
    entity::EntityType,
    principal::{Authentication, Principal},
};
use serde_json::{Map, Value};

use super::jws::TokenFault;
use crate::config::{ClaimNames, IssuerConfig};

/// Most values taken from one claim.
const CLAIM_VALUES_MAX: usize = 256;
/// Longest user id of an issuer, without its prefix.
const USER_BYTES_MAX: usize = 256;

/// Whom an issuer means by these claims. Whether the platform or a local account has the name already
/// is for the caller to look at, at each use.
pub(super) fn principal_of(
    issuer: &IssuerConfig,
    claims: &Map<String, Value>,
    authentication: Authentication,
) -> Result<Principal, TokenFault> {
    let names_of =
        |claim: &Option<String>| names(claims, claim.as_deref()).ok_or(TokenFault::Claims);
    let user = claims
        .get(&issuer.claims.user)
        .and_then(Value::as_str)
        .filter(|user| {
            (1..=USER_BYTES_MAX).contains(&user.len()) && !user.chars().any(char::is_control)
        })
        .ok_or(TokenFault::Claims)?;
    let user = format!("{}{user}", issuer.user_prefix);
    let mut principal = Principal::new(EntityType::USER.id(user), authentication);
    principal.groups = names_of(&issuer.claims.groups)?;
    principal.roles = names_of(&issuer.claims.roles)?;
    for name in &issuer.claims.attributes {
        let text = match claims.get(name) {
            None => continue,
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(value)) => value.to_string(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(TokenFault::Claims),
        };
        principal.attributes.insert(name.clone(), text);
    }
    principal.issuer.clone_from(&issuer.issuer);
    Ok(principal)
}

/// The claims that a principal is made of, and no others.
pub(super) fn mapped(names: &ClaimNames, claims: &Map<String, Value>) -> Map<String, Value> {
    let wanted = [
        Some(&names.user),
        names.groups.as_ref(),
        names.roles.as_ref(),
    ];
    let wanted = wanted.into_iter().flatten().chain(&names.attributes);
    wanted
        .filter_map(|name| claims.get_key_value(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Values of a claim that is a list of texts, or one text with spaces.
fn names(claims: &Map<String, Value>, claim: Option<&str>) -> Option<Vec<String>> {
    let Some(value) = claim.and_then(|name| claims.get(name)) else {
        return Some(Vec::new());
    };
    let names: Vec<String> = match value {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<_>>()?,
        _ => return None,
    };
    (names.len() <= CLAIM_VALUES_MAX).then_some(names)
}
