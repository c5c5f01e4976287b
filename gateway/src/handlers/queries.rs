//! Governed SQL: statements that go on by themselves, and their results, for as long as they are kept.

use std::sync::Arc;

use dataos_model::{
    fault::{Fault, FaultKind},
    query::{KeptQuery, PageRequest, QueryState, RowFormat},
    value::Value as PolicyValue,
};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use super::{
    body, bounded,
    query::{
        PAGE_ROWS_MAX, QueryBody,
        document::{Page, of_rows},
        format,
    },
    wire::time,
};
use crate::{
    respond::{Answer, problem_kind},
    serve::{Call, Gateway},
};

/// Rows of a page of JSON, if the caller does not say.
const PAGE_ROWS: usize = 1000;

pub(crate) async fn submit(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let wire: QueryBody = body(&call)?;
    let wire = wire.without_pages("is for rows that are asked for")?;
    let request = wire.request(&call, RowFormat::ArrowStream);
    let kept = gateway.seams.query.keeper()?.submit(request).await?;
    let location = HeaderValue::from_str(&format!("/api/v1/queries/{}", kept.id))
        .map_err(|_| Fault::internal("an id that is no header"))?;
    Ok(Answer::json(StatusCode::ACCEPTED, &shown(&kept))
        .with_header(header::LOCATION, location)
        .with_fact("query", &kept.id))
}

pub(crate) async fn list(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let kept = gateway.seams.query.keeper()?.list(&call.principal);
    let queries: Vec<Value> = kept.iter().map(shown).collect();
    Ok(Answer::ok(&json!({"queries": queries})))
}

pub(crate) async fn status(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let id = call.parameters.get("id")?;
    let kept = gateway.seams.query.keeper()?.kept(&call.principal, id)?;
    Ok(Answer::ok(&shown(&kept)))
}

pub(crate) async fn discard(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let id = call.parameters.get("id")?;
    let keeper = gateway.seams.query.keeper()?;
    let kept = keeper.discard(&call.principal, id).await?;
    Ok(Answer::ok(&shown(&kept)).with_fact("query", id))
}

pub(crate) async fn rows(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let format = format(&call.head.accept)?;
    let query = &call.head.query;
    let is_cut = format == RowFormat::Json || query.get("limit").is_some();
    let rows_max = usize::try_from(PAGE_ROWS_MAX).unwrap_or(usize::MAX);
    let limit = bounded(&call, "limit", PAGE_ROWS, rows_max)?;
    let limit = is_cut.then_some(limit as u64);
    let mut context = call.context.clone();
    if let Some(purpose) = query.get("purpose") {
        let purpose = PolicyValue::String(purpose.to_owned());
        context.insert("purpose".to_owned(), purpose);
    }
    let page = gateway.seams.query.keeper()?.page(PageRequest {
        principal: (*call.principal).clone(),
        request_id: call.request_id.clone(),
        context,
        id: call.parameters.get("id")?.to_owned(),
        cursor: query.get("cursor").map(str::to_owned),
        rows_max: limit,
        format,
    });
    let page = page.await?;
    let links = Page::of(&page, limit);
    let answer = of_rows(page.answer, format, Some(links)).await?;
    Ok(answer.with_fact("query", call.parameters.get("id")?))
}

fn shown(kept: &KeptQuery) -> Value {
    let mut document = json!({
        "id": kept.id,
        "state": kept.state.name(),
        "sql": kept.sql,
        "dialect": kept.dialect.name(),
        "submitted_at": time(kept.submitted_at),
        "progress": {"rows": kept.row_count, "bytes": kept.byte_count},
        "truncated": kept.is_truncated,
    });
    let Some(fields) = document.as_object_mut() else {
        return document;
    };
    if let Some(at) = kept.ended_at {
        fields.insert("ended_at".to_owned(), json!(time(at)));
    }
    if let Some(at) = kept.expires_at {
        fields.insert("expires_at".to_owned(), json!(time(at)));
    }
    if let Some(index) = kept.certificate {
        fields.insert("certificate".to_owned(), json!(index));
    }
    if let QueryState::Failed(fault) = &kept.state {
        fields.insert("problem".to_owned(), problem(fault));
    }
    document
}

/// What a query failed with, as the problem that its caller would have got at once.
fn problem(fault: &Fault) -> Value {
    let (kind, title, status) = problem_kind(fault.kind);
    let mut problem = Map::new();
    let mut put = |name: &str, value: Value| problem.insert(name.to_owned(), value);
    put("type", json!(format!("urn:dataos:problem:{kind}")));
    put("title", json!(title));
    put("status", json!(status.as_u16()));
    if fault.kind != FaultKind::Internal {
        put("detail", json!(fault.message));
    }
    if !fault.reason.is_empty() {
        put("reason", json!(fault.reason));
    }
    if !fault.policies.is_empty() {
        put("policies", json!(fault.policies));
    }
    if let Some(hint) = &fault.hint {
        put("hint", json!(hint));
    }
    Value::Object(problem)
}
