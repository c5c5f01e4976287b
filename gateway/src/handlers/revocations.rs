//! Revocations of tokens that other issuers gave out.

use std::sync::Arc;

use dataos_model::{
    clock::Timestamp,
    fault::{Fault, Location},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{body, users::recorded, wire};
use crate::{
    accounts::{Revocation, Revoked},
    respond::Answer,
    serve::{Call, Gateway},
};

/// How long a revocation is kept where nothing is said, and at most: longer than any token lives.
const LIFE_S: i64 = 366 * 86_400;
const LIFE_S_MAX: i64 = 10 * LIFE_S;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    issuer: String,
    jti: Option<String>,
    subject: Option<String>,
    expires_in_seconds: Option<i64>,
}

pub(crate) async fn list(gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    let all: Vec<Value> = gateway.accounts.revocations().iter().map(shown).collect();
    Ok(Answer::ok(&json!({"revocations": all})))
}

pub(crate) async fn create(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let wire: Body = body(&call)?;
    if !gateway.authenticator.knows_issuer(&wire.issuer) {
        let problem = format!(
            "there is no issuer `{:.200}` in the configuration",
            wire.issuer
        );
        return Err(Fault::invalid(problem).at(Location {
            field: Some("issuer".to_owned()),
            ..Location::default()
        }));
    }
    let (revoked, change, subject) = match (wire.jti, wire.subject) {
        (Some(id), None) => (Revoked::Token(id.clone()), "token_revoked", id),
        (None, Some(subject)) => (
            Revoked::Subject(subject.clone()),
            "subject_revoked",
            subject,
        ),
        _ => return Err(Fault::invalid("give either `jti` or `subject`")),
    };
    let life_s = wire.expires_in_seconds.unwrap_or(LIFE_S);
    if !(1..=LIFE_S_MAX).contains(&life_s) {
        let problem = format!("expires_in_seconds is not from 1 to {LIFE_S_MAX}");
        return Err(Fault::invalid(problem));
    }
    let now = gateway.seams.clock.now();
    let accounts = &gateway.accounts;
    let revocation = accounts
        .revoke(&wire.issuer, revoked, life_s * 1000, now)
        .await?;
    let subject = format!("{} {subject}", wire.issuer);
    recorded(&gateway, &call, change, &subject).await?;
    Ok(Answer::json(StatusCode::CREATED, &shown(&revocation)))
}

fn shown(revocation: &Revocation) -> Value {
    let (jti, subject) = match &revocation.revoked {
        Revoked::Token(id) => (Some(id), None),
        Revoked::Subject(subject) => (None, Some(subject)),
    };
    json!({
        "issuer": revocation.issuer,
        "jti": jti,
        "subject": subject,
        "revoked_at": wire::time(Timestamp(revocation.revoked_at)),
        "expires_at": wire::time(Timestamp(revocation.expires_at)),
    })
}
