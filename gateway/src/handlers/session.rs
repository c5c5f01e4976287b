//! Log-in, log-out, and who the caller is.

use std::{collections::BTreeMap, sync::Arc};

use dataos_model::fault::Fault;
use http::{HeaderValue, header};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{body, wire};
use crate::{
    authenticate::oidc::PASSAGE_S_MAX,
    limits::{LOGIN_COOKIE, SESSION_COOKIE},
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

/// How somebody came in or went out, or did not. The request path itself records it.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// `log_in` or `log_out`.
    pub(crate) action: &'static str,
    /// By what, for the record of one that succeeds.
    pub(crate) way: &'static str,
    /// Who, as far as that is known.
    pub(crate) user: String,
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) answer: Result<Answer, Fault>,
    /// Whether it is for the caller to know what was wrong.
    pub(crate) tells_reason: bool,
}

/// Longest user name that is put into a record.
const USER_CHARACTERS_MAX: usize = 64;

/// Opens a session for a password.
pub(crate) async fn log_in(gateway: &Gateway, call: &Call) -> Attempt {
    let (user, answer) = match body::<LogIn>(call) {
        Ok(_) if call.head.is_from_elsewhere => {
            let message = "the browser says that a page of another site sends this";
            let fault = Fault::denied("csrf_site_other", message);
            (String::new(), Err(fault))
        }
        Ok(log_in) => {
            let answer = opened(gateway, &log_in).await;
            let user = log_in.user.chars().take(USER_CHARACTERS_MAX).collect();
            (user, answer)
        }
        Err(fault) => (String::new(), Err(fault)),
    };
    Attempt {
        action: "log_in",
        way: "password",
        user,
        facts: Vec::new(),
        answer,
        // Which half of the pair was wrong is for the record alone.
        tells_reason: false,
    }
}

async fn opened(gateway: &Gateway, log_in: &LogIn) -> Result<Answer, Fault> {
    let (now, life) = (gateway.seams.clock.now(), gateway.session_life);
    let accounts = &gateway.accounts;
    let session = accounts
        .log_in(&log_in.user, &log_in.password, now, life)
        .await?;
    let seconds = life.whole.as_secs();
    let cookie = cookie(SESSION_COOKIE, &session.cookie, "Strict", seconds)?;
    let shown = json!({"user": log_in.user, "expires_at": wire::time(session.expires_at)});
    Ok(Answer::ok(&shown).with_header(header::SET_COOKIE, cookie))
}

/// A cookie for this host alone; 0 seconds take it away.
pub(super) fn cookie(
    name: &str,
    value: &str,
    same_site: &str,
    seconds: u64,
) -> Result<HeaderValue, Fault> {
    let text = format!(
        "{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site}; Max-Age={seconds}"
    );
    HeaderValue::from_str(&text).map_err(|_| Fault::internal("a cookie that is no header value"))
}

/// Who comes in needs a record of its own, so the request path never comes here.
pub(crate) async fn not_here(_gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    Err(Fault::internal("an entrance reached the general path"))
}

/// The caller, as it is shown.
#[derive(Serialize)]
struct Who<'a> {
    user: &'a str,
    kind: String,
    groups: &'a [String],
    roles: &'a [String],
    tags: &'a [String],
    attributes: &'a BTreeMap<String, String>,
    authentication: &'static str,
    issuer: &'a str,
}

/// The caller as the PDP sees it.
pub(crate) async fn who(_gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let principal = &call.principal;
    Answer::of(&Who {
        user: &principal.uid.id,
        kind: principal.uid.entity_type.name().to_ascii_lowercase(),
        groups: &principal.groups,
        roles: &principal.roles,
        tags: &principal.tags,
        attributes: &principal.attributes,
        authentication: authentication_name(principal.authentication),
        issuer: &principal.issuer,
    })
}

/// Ends the session of the cookie; other credentials end by themselves. Where a provider vouched for it,
/// the answer says how to leave that as well.
pub(crate) async fn log_out(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let session = call
        .head
        .session_cookie
        .as_ref()
        .filter(|_| call.head.authorization.is_none())
        .ok_or_else(|| Fault::invalid("this call has no session to end"))?;
    let ended = gateway.accounts.log_out(session).await?;
    let gone = cookie(SESSION_COOKIE, "", "Strict", 0)?;
    let now = gateway.seams.clock.now();
    let leaving = match &ended {
        Some(ended) => gateway.providers.leaving(ended, now).await,
        None => None,
    };
    let answer = match leaving {
        Some((name, leaving)) => {
            let seconds = PASSAGE_S_MAX.unsigned_abs();
            let leaving = cookie(LOGIN_COOKIE, &leaving, "Lax", seconds)?;
            let shown = json!({"continue": format!("/login/{name}/logout")});
            Answer::ok(&shown).with_header(header::SET_COOKIE, leaving)
        }
        None => Answer::no_content(),
    };
    Ok(answer.with_header(header::SET_COOKIE, gone))
}
