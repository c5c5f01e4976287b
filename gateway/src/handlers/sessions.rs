//! Who is logged in.

use std::sync::Arc;

use dataos_model::{clock::Timestamp, fault::Fault};
use serde_json::{Value, json};

use super::{bounded, users::recorded, wire};
use crate::{
    respond::Answer,
    serve::{Call, Gateway},
};

/// Sessions in an answer, where nothing is said and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;

pub(crate) async fn list(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let limit = bounded(&call, "limit", LIMIT, LIMIT_MAX)?;
    let open = gateway.accounts.sessions(gateway.seams.clock.now(), limit);
    let shown: Vec<Value> = open
        .into_iter()
        .map(|session| {
            json!({
                "id": session.id,
                "user": session.user,
                "issuer": session.issuer,
                "used_at": wire::time(Timestamp(session.used_at)),
                "expires_at": wire::time(Timestamp(session.expires_at)),
            })
        })
        .collect();
    Ok(Answer::ok(&json!({"sessions": shown})))
}

pub(crate) async fn end(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let id = call.parameters.get("id")?;
    gateway.accounts.end_session(id).await?;
    recorded(&gateway, &call, "session_ended", id).await?;
    Ok(Answer::no_content())
}
