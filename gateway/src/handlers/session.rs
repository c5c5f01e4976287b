//! Log-in, log-out, and who the caller is.

use std::sync::Arc;

use dataos_model::fault::Fault;
use http::{HeaderValue, header};
use serde::Deserialize;
use serde_json::json;

use super::{body, wire};
use crate::{
    limits::SESSION_COOKIE,
    record::authentication_name,
    respond::Answer,
    serve::{Call, Gateway},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogIn {
    user: String,
    password: String,
}

/// How a log-in went, and for which name.
pub(crate) struct Attempt {
    pub(crate) user: String,
    pub(crate) answer: Result<Answer, Fault>,
}

/// Longest user name that is put into a record.
const USER_CHARACTERS_MAX: usize = 64;

/// Opens a session. Called by the request path itself, which records it.
pub(crate) async fn log_in(gateway: &Gateway, call: &Call) -> Attempt {
    let log_in: LogIn = match body(call) {
        Ok(log_in) => log_in,
        Err(fault) => {
            return Attempt {
                user: String::new(),
                answer: Err(fault),
            };
        }
    };
    let now = gateway.seams.clock.now();
    let lifetime_ms = i64::try_from(gateway.session_lifetime.as_millis()).unwrap_or(0);
    let opened = gateway
        .accounts
        .log_in(&log_in.user, &log_in.password, now, lifetime_ms)
        .await;
    let answer = opened.and_then(|session| {
        let cookie = format!(
            "{SESSION_COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={}",
            session.cookie,
            lifetime_ms / 1000
        );
        let cookie = HeaderValue::from_str(&cookie)
            .map_err(|_| Fault::internal("a cookie that is no header value"))?;
        let shown = json!({"user": log_in.user, "expires_at": wire::time(session.expires_at)});
        Ok(Answer::ok(&shown).with_header(header::SET_COOKIE, cookie))
    });
    Attempt {
        user: log_in.user.chars().take(USER_CHARACTERS_MAX).collect(),
        answer,
    }
}

/// Log-in needs its own record, so the request path never comes here.
pub(crate) async fn not_here(_gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    Err(Fault::internal("log-in reached the general path"))
}

/// The caller as the PDP sees it.
pub(crate) async fn who(_gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let principal = &call.principal;
    Ok(Answer::ok(&json!({
        "user": principal.uid.id,
        "kind": principal.uid.entity_type.name().to_ascii_lowercase(),
        "groups": principal.groups,
        "roles": principal.roles,
        "tags": principal.tags,
        "attributes": principal.attributes,
        "authentication": authentication_name(principal.authentication),
        "issuer": principal.issuer,
    })))
}

/// Ends the session of the cookie; other credentials end by themselves.
pub(crate) async fn log_out(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let cookie = call
        .head
        .session_cookie
        .as_ref()
        .filter(|_| call.head.authorization.is_none())
        .ok_or_else(|| Fault::invalid("this call has no session to end"))?;
    gateway.accounts.log_out(cookie).await?;
    let gone = format!("{SESSION_COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    let gone = HeaderValue::from_str(&gone)
        .map_err(|_| Fault::internal("a cookie that is no header value"))?;
    Ok(Answer::no_content().with_header(header::SET_COOKIE, gone))
}
