//! What is not governed: liveness, the console's files, the log's public face, the API document.

use std::sync::Arc;

use bytes::Bytes;
use dataos_model::{fault::Fault, hash::Hash};
use http::{HeaderValue, StatusCode, header};

use crate::{
    respond::Answer,
    route::{openapi, reference},
    serve::{Call, Gateway},
};

const TEXT: &str = "text/plain; charset=utf-8";
fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    Answer::bytes(status, TEXT, text.into())
}

pub(crate) async fn health(_gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    Ok(text(StatusCode::OK, "ok\n"))
}

/// Ready when decisions can be made and recorded. Roles that are away are named; what does without them goes on.
pub(crate) async fn ready(gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    let reason = if gateway.seams.policies.info().hash == Hash::default() {
        Some("no policy set is loaded\n")
    } else if gateway.seams.records.status().refuses().is_some() {
        Some("the audit log does not take records\n")
    } else if gateway.gate.as_ref().is_some_and(|gate| !gate.is_open()) {
        Some("the role `orchestrator` has not put its policies in force\n")
    } else {
        None
    };
    Ok(match reason {
        None => {
            let away = gateway.links.iter().filter(|link| link.away().is_some());
            let away: String = away
                .map(|link| format!("away: {}\n", link.peer()))
                .collect();
            text(StatusCode::OK, format!("ok\n{away}"))
        }
        Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
    })
}

pub(crate) async fn root(_gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    Ok(
        Answer::bytes(StatusCode::TEMPORARY_REDIRECT, "", Bytes::new())
            .with_header(header::LOCATION, HeaderValue::from_static("/console/")),
    )
}

pub(crate) async fn console(_gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let asset = dataos_console::resolve(call.parameters.get("path")?)
        .ok_or_else(|| Fault::not_found("the console has no such file"))?;
    let etag = header_value(asset.etag)?;
    let is_current = call.head.if_none_match.as_deref() == Some(asset.etag);
    let accepts = |encoding: &str| {
        call.head.accept_encoding.split(',').any(|part| {
            let mut pieces = part.split(';').map(str::trim);
            pieces.next() == Some(encoding) && pieces.next() != Some("q=0")
        })
    };
    let (body, encoding) = match asset.encoding {
        _ if is_current => (Bytes::new(), None),
        Some(encoding) if !accepts(encoding) => {
            let plain = dataos_console::inflate(&asset)
                .map_err(|error| Fault::internal(format!("a console file: {error}")))?;
            (Bytes::from(plain), None)
        }
        encoding => (Bytes::from_static(asset.bytes), encoding),
    };
    let status = if is_current {
        StatusCode::NOT_MODIFIED
    } else {
        StatusCode::OK
    };
    let mut answer = Answer::bytes(status, asset.content_type, body)
        .with_header(header::ETAG, etag)
        .with_header(header::CACHE_CONTROL, header_value(asset.cache_control())?)
        .with_header(header::VARY, HeaderValue::from_static("accept-encoding"))
        .with_header(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(dataos_console::CONTENT_SECURITY_POLICY),
        )
        .with_header(
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        );
    if let Some(encoding) = encoding {
        answer = answer.with_header(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    Ok(answer)
}

fn header_value(text: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(text).map_err(|_| Fault::internal("a page has a bad header"))
}

pub(crate) async fn checkpoint(gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    Ok(text(
        StatusCode::OK,
        gateway.seams.records.checkpoint().await?,
    ))
}

/// A full tile never changes, a partial one is replaced by a longer one of another name.
pub(crate) async fn tile(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let path = format!("tile/{}", call.parameters.get("path")?);
    let bytes = gateway.seams.records.tile(&path).await?;
    Ok(
        Answer::bytes(StatusCode::OK, "application/octet-stream", bytes).with_header(
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=31536000, immutable"),
        ),
    )
}

pub(crate) async fn key(gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    let mut key = gateway.seams.records.status().verifier_key;
    key.push('\n');
    Ok(text(StatusCode::OK, key))
}

pub(crate) async fn openapi(_gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    Ok(Answer::ok(&openapi::document()))
}

pub(crate) async fn reference(_gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    let page = Bytes::from(reference::page());
    let answer = Answer::bytes(StatusCode::OK, "text/html; charset=utf-8", page);
    let policy = header_value(&reference::CONTENT_SECURITY_POLICY)?;
    Ok(answer.with_header(header::CONTENT_SECURITY_POLICY, policy))
}
