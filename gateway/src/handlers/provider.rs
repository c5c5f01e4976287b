//! Log-in and log-out through a provider: to it, and back from it.

use std::sync::Arc;

use bytes::Bytes;
use dataos_model::fault::Fault;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::session::{Attempt, cookie};
use crate::{
    authenticate::oidc::{LogInFault, PASSAGE_S_MAX},
    config::LoginConfig,
    limits::{LOGIN_COOKIE, SESSION_COOKIE},
    respond::Answer,
    serve::{Call, Gateway},
};

/// Where people go who are out.
const AFTER: &str = "/console/";
/// Providers come back by a link of theirs, which must bring the cookie along.
const SAME_SITE: &str = "Lax";

pub(crate) async fn list(gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    let logins = gateway.providers.logins();
    let providers: Vec<Value> = logins.map(|(issuer, login)| shown(issuer, login)).collect();
    Ok(Answer::ok(&json!({"providers": providers})))
}

fn shown(issuer: &str, login: &LoginConfig) -> Value {
    let command_line = login.command_line.as_ref().map(|own| {
        json!({
            "issuer": issuer,
            "client_id": own.client_id,
            "scope": own.scopes.join(" "),
            "resource": own.resource,
        })
    });
    json!({
        "name": login.name,
        "title": login.title,
        "path": format!("/login/{}", login.name),
        "command_line": command_line,
    })
}

/// Sends a browser to a provider.
pub(crate) async fn begin(gateway: &Gateway, call: &Call) -> Attempt {
    attempt(begun(gateway, call).await)
}

async fn begun(gateway: &Gateway, call: &Call) -> Result<Answer, Fault> {
    let name = call.parameters.get("provider")?;
    let now = gateway.seams.clock.now();
    let sent = gateway
        .providers
        .begin(name, call.head.query.get("return"), now)
        .await
        .map_err(LogInFault::shown)?;
    let seconds = PASSAGE_S_MAX.unsigned_abs();
    let set = cookie(LOGIN_COOKIE, &sent.cookie, SAME_SITE, seconds)?;
    Ok(redirect(&sent.location)?.with_header(header::SET_COOKIE, set))
}

/// Takes a browser back, and opens a session.
pub(crate) async fn callback(gateway: &Gateway, call: &Call) -> Attempt {
    let name = match call.parameters.get("provider") {
        Ok(name) => name,
        Err(fault) => return attempt(Err(fault)),
    };
    let (now, head) = (gateway.seams.clock.now(), &call.head);
    let finished = gateway
        .providers
        .finish(name, &head.query, head.login_cookie.as_deref(), now)
        .await;
    let logged_in = match finished {
        Ok(logged_in) => logged_in,
        Err(fault) => return attempt(Err(fault.shown())),
    };
    let seconds = gateway.session_life.whole.as_secs();
    let answer = || {
        let session = cookie(SESSION_COOKIE, &logged_in.cookie, SAME_SITE, seconds)?;
        let gone = cookie(LOGIN_COOKIE, "", SAME_SITE, 0)?;
        let answer = redirect(&logged_in.return_to)?;
        let answer = answer.with_header(header::SET_COOKIE, session);
        Ok(answer.with_header(header::SET_COOKIE, gone))
    };
    Attempt {
        facts: vec![("issuer", logged_in.issuer.clone())],
        user: logged_in.user.clone(),
        ..attempt(answer())
    }
}

/// Sends a browser that logged out here to its provider.
pub(crate) async fn leave(gateway: &Gateway, call: &Call) -> Attempt {
    let leaving = async {
        let name = call.parameters.get("provider")?;
        let (now, cookie) = (gateway.seams.clock.now(), call.head.login_cookie.as_deref());
        let left = gateway.providers.leave(name, cookie, now).await;
        redirect(&left.map_err(LogInFault::shown)?)
    };
    out(leaving.await)
}

/// Takes it back.
pub(crate) fn left(gateway: &Gateway, call: &Call) -> Attempt {
    let came_back = || {
        let name = call.parameters.get("provider")?;
        let (now, head) = (gateway.seams.clock.now(), &call.head);
        let (state, cookie) = (head.query.get("state"), head.login_cookie.as_deref());
        let left = gateway.providers.left(name, state, cookie, now);
        left.map_err(LogInFault::shown)?;
        let gone = super::session::cookie(LOGIN_COOKIE, "", SAME_SITE, 0)?;
        Ok(redirect(AFTER)?.with_header(header::SET_COOKIE, gone))
    };
    out(came_back())
}

/// Ends the sessions of somebody who left the provider.
pub(crate) async fn end(gateway: &Gateway, call: &Call) -> Attempt {
    let name = match call.parameters.get("provider") {
        Ok(name) => name,
        Err(fault) => return out(Err(fault)),
    };
    let now = gateway.seams.clock.now();
    match gateway.providers.end_by_token(name, &call.body, now).await {
        Ok(ended) => Attempt {
            facts: vec![
                ("issuer", ended.issuer),
                ("sessions", ended.users.len().to_string()),
            ],
            user: ended.users.into_iter().next().unwrap_or_default(),
            ..out(Ok(Answer::bytes(StatusCode::OK, "", Bytes::new())))
        },
        Err(fault) => out(Err(fault.shown())),
    }
}

fn out(answer: Result<Answer, Fault>) -> Attempt {
    Attempt {
        action: "log_out",
        ..attempt(answer)
    }
}

fn attempt(answer: Result<Answer, Fault>) -> Attempt {
    Attempt {
        action: "log_in",
        way: "provider",
        user: String::new(),
        facts: Vec::new(),
        answer,
        tells_reason: true,
    }
}

/// A browser goes on with GET, and tells nobody where it comes from: its address holds a code.
fn redirect(location: &str) -> Result<Answer, Fault> {
    let location = HeaderValue::from_str(location)
        .map_err(|_| Fault::internal("an address that is no header value"))?;
    let referrer = HeaderValue::from_static("no-referrer");
    Ok(Answer::bytes(StatusCode::SEE_OTHER, "", Bytes::new())
        .with_header(header::LOCATION, location)
        .with_header(header::REFERRER_POLICY, referrer))
}
