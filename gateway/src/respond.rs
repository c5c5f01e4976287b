//! Answers: bodies, the one table of problems (RFC 9457), and the headers that every answer gets.

pub(crate) mod events;
mod streamed;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use dataos_model::{
    fault::{Fault, FaultKind},
    query::RowStream,
    record::{Entry, Receipt},
    seams::Record,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::limits::Refusal;
use events::Events;
pub(crate) use streamed::{CutOff, truncated};
use streamed::{Source, Streamed};

/// Number of rows in an answer that is no JSON document.
pub(crate) const ROW_COUNT: HeaderName = HeaderName::from_static("dataos-row-count");
/// Whether rows were left out of it.
pub(crate) const TRUNCATED: HeaderName = HeaderName::from_static("dataos-truncated");
/// The status of what its caller gave up, as web servers log it.
const CANCELLED: u16 = 499;
const PROBLEM_TYPE: &str = "application/problem+json";
const REQUEST_ID: HeaderName = HeaderName::from_static("dataos-request-id");
const RECEIPT: HeaderName = HeaderName::from_static("dataos-receipt");
/// Seconds after which a client may try again what is not available now.
const RETRY_AFTER_S: u64 = 1;

/// A body of parts that are at hand, and of what is made behind them while it is sent.
#[derive(Debug, Default)]
pub(crate) struct AnswerBody {
    parts: VecDeque<Bytes>,
    rest_bytes: u64,
    /// Sent behind the last part.
    trailers: Option<HeaderMap>,
    streamed: Option<Box<Streamed>>,
}

impl AnswerBody {
    /// A body of these parts, in order.
    pub(crate) fn new(parts: impl IntoIterator<Item = Bytes>) -> Self {
        let parts: VecDeque<Bytes> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let rest_bytes = parts.iter().map(|part| part.len() as u64).sum();
        Self {
            parts,
            rest_bytes,
            trailers: None,
            streamed: None,
        }
    }

    /// A body of rows that are read while it is sent. It ends in trailers, or is cut off.
    pub(crate) fn of_rows(rows: Box<dyn RowStream>) -> Self {
        Self {
            streamed: Some(Box::new(Streamed::new(Source::Rows(rows)))),
            ..Self::default()
        }
    }

    /// A body of events, which goes on until its client or [`AnswerBody::wind_up`] ends it.
    pub(crate) fn of_events(events: Events) -> Self {
        Self {
            streamed: Some(Box::new(Streamed::new(Source::Events(events)))),
            ..Self::default()
        }
    }

    /// Has a body that would go on for ever end in order: its connection takes no further calls.
    pub(crate) fn wind_up(&self) {
        if let Some(streamed) = &self.streamed {
            streamed.wind_up();
        }
    }

    /// Records the outcome: now, or of a body that is made while it is sent, when it ends.
    pub(crate) fn record(&mut self, record: &Arc<dyn Record>, entry: Entry, started: Instant) {
        match &mut self.streamed {
            Some(streamed) => streamed.record(Arc::clone(record), entry, started),
            None => record.append_behind(entry),
        }
    }

    /// The same with trailers behind it.
    pub(crate) fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = Some(trailers);
        self
    }

    /// The parts that are still to be sent.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Bytes> {
        self.parts.iter()
    }

    /// Bytes that are still to be sent, of those that are at hand.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.rest_bytes
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        if let Some(part) = self.parts.pop_front() {
            self.rest_bytes = self.rest_bytes.saturating_sub(part.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        if let Some(streamed) = &mut self.streamed {
            let frame = ready!(streamed.poll_frame(context));
            let is_last = match &frame {
                Some(Ok(frame)) => frame.is_trailers(),
                Some(Err(_)) | None => true,
            };
            if is_last {
                self.streamed = None;
            }
            return Poll::Ready(frame);
        }
        Poll::Ready(self.trailers.take().map(Frame::trailers).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty() && self.trailers.is_none() && self.streamed.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // An exact size becomes a Content-Length, which has no place before trailers.
        match (&self.trailers, &self.streamed) {
            (None, None) => SizeHint::with_exact(self.rest_bytes),
            _ => SizeHint::default(),
        }
    }
}

/// What a handler gives back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: AnswerBody,
    /// Facts for the outcome's record; never governed data.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// What a problem says in one line, for forms of answers that hold no document.
    pub(crate) told: Option<String>,
}

impl Answer {
    /// A JSON answer.
    pub(crate) fn json(status: StatusCode, value: &Value) -> Self {
        // Writing a tree to memory does not fail.
        Self::written(status, serde_json::to_vec(value).unwrap_or_default())
    }

    /// 200 with JSON that is written without a tree.
    ///
    /// # Errors
    /// `value` cannot be JSON.
    pub(crate) fn of(value: &impl Serialize) -> Result<Self, Fault> {
        let text = serde_json::to_vec(value);
        let text =
            text.map_err(|error| Fault::internal(format!("an answer is no JSON: {error}")))?;
        Ok(Self::written(StatusCode::OK, text))
    }

    fn written(status: StatusCode, text: Vec<u8>) -> Self {
        Self::bytes(status, "application/json", Bytes::from(text))
    }

    /// 200 with JSON.
    pub(crate) fn ok(value: &Value) -> Self {
        Self::json(StatusCode::OK, value)
    }

    /// 204.
    pub(crate) fn no_content() -> Self {
        Self::bytes(StatusCode::NO_CONTENT, "", Bytes::new())
    }

    /// What stands for the answer to a client that went away before it.
    pub(crate) fn cancelled() -> Self {
        let status = StatusCode::from_u16(CANCELLED).unwrap_or(StatusCode::REQUEST_TIMEOUT);
        Self::bytes(status, "", Bytes::new()).with_fact("problem", "cancelled")
    }

    /// An answer of one part.
    pub(crate) fn bytes(status: StatusCode, content_type: &'static str, body: Bytes) -> Self {
        Self {
            status,
            content_type,
            headers: Vec::new(),
            body: AnswerBody::new([body]),
            facts: Vec::new(),
            told: None,
        }
    }

    /// The same with one more header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same with one more fact for the record.
    pub(crate) fn with_fact(mut self, name: &'static str, value: impl ToString) -> Self {
        self.facts.push((name, value.to_string()));
        self
    }
}

/// Kind, title and status of each problem: the table of docs/api.md.
pub(crate) fn problem_kind(kind: FaultKind) -> (&'static str, &'static str, StatusCode) {
    match kind {
        FaultKind::Invalid => ("invalid", "Invalid request", StatusCode::BAD_REQUEST),
        FaultKind::Unauthenticated => (
            "unauthenticated",
            "Not authenticated",
            StatusCode::UNAUTHORIZED,
        ),
        FaultKind::Denied => ("denied", "Denied by policy", StatusCode::FORBIDDEN),
        FaultKind::NotFound => ("not_found", "Not found", StatusCode::NOT_FOUND),
        FaultKind::Conflict => ("conflict", "Conflict", StatusCode::CONFLICT),
        FaultKind::PreconditionFailed => (
            "precondition_failed",
            "Changed in the meantime",
            StatusCode::PRECONDITION_FAILED,
        ),
        FaultKind::PreconditionRequired => (
            "precondition_required",
            "A condition is required",
            StatusCode::PRECONDITION_REQUIRED,
        ),
        FaultKind::NotAcceptable => (
            "not_acceptable",
            "Not acceptable",
            StatusCode::NOT_ACCEPTABLE,
        ),
        FaultKind::TooLarge => ("too_large", "Too large", StatusCode::PAYLOAD_TOO_LARGE),
        FaultKind::Unsupported => (
            "unsupported",
            "Not supported",
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        FaultKind::Unavailable => (
            "unavailable",
            "Not available now",
            StatusCode::SERVICE_UNAVAILABLE,
        ),
        FaultKind::Timeout => ("timeout", "Timed out", StatusCode::GATEWAY_TIMEOUT),
        FaultKind::Damaged => (
            "damaged",
            "Stored data is damaged",
            StatusCode::INTERNAL_SERVER_ERROR,
        ),
        _ => (
            "internal",
            "Internal error",
            StatusCode::INTERNAL_SERVER_ERROR,
        ),
    }
}

/// The answer to a fault.
pub(crate) fn problem(fault: &Fault, request_id: &str, receipt: Option<&Receipt>) -> Answer {
    let (kind, title, status) = problem_kind(fault.kind);
    let mut document = document(kind, title, status, request_id);
    // What went wrong inside is for our log; the request id joins the two.
    let detail = match fault.kind {
        FaultKind::Internal => {
            tracing::error!(request_id, %fault, "internal error");
            "the server failed; its log names this request id"
        }
        _ => fault.message.as_str(),
    };
    document.insert("detail".to_owned(), json!(detail));
    if !fault.reason.is_empty() {
        document.insert("reason".to_owned(), json!(fault.reason));
    }
    if !fault.policies.is_empty() {
        document.insert("policies".to_owned(), json!(fault.policies));
    }
    if let Some(hint) = &fault.hint {
        document.insert("hint".to_owned(), json!(hint));
    }
    if let Some(location) = &fault.location {
        let mut place = Map::new();
        place.insert("file".to_owned(), json!(location.file));
        place.insert("line".to_owned(), json!(location.line));
        place.insert("column".to_owned(), json!(location.column));
        place.insert("field".to_owned(), json!(location.field));
        place.retain(|_, value| !value.is_null());
        document.insert("location".to_owned(), Value::Object(place));
    }
    if let Some(receipt) = receipt {
        document.insert("receipt".to_owned(), json!(receipt.text));
    }
    let mut answer = from_document(status, document).with_fact("problem", kind);
    if !fault.reason.is_empty() {
        answer = answer.with_fact("reason", &fault.reason);
    }
    match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            answer.with_header(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))
        }
        StatusCode::UNAUTHORIZED => {
            answer.with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        }
        _ => answer,
    }
}

/// The answer to a request that is refused before authentication; the connection is closed.
pub(crate) fn refusal(refusal: &Refusal, request_id: &str) -> Answer {
    let (kind, title) = match refusal.status {
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::URI_TOO_LONG => ("too_large", "Too large"),
        StatusCode::REQUEST_TIMEOUT => ("timeout", "Timed out"),
        StatusCode::TOO_MANY_REQUESTS => ("rate_limited", "Too many requests"),
        StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "Not available"),
        _ => ("invalid", "Invalid request"),
    };
    let mut document = document(kind, title, refusal.status, request_id);
    document.insert("detail".to_owned(), json!(refusal.detail));
    document.insert("reason".to_owned(), json!(refusal.reason));
    from_document(refusal.status, document)
}

/// 401 for a bearer token or key that is not valid: no word about which check failed.
pub(crate) fn invalid_token(request_id: &str) -> Answer {
    let status = StatusCode::UNAUTHORIZED;
    let mut document = document("unauthenticated", "Not authenticated", status, request_id);
    document.insert("detail".to_owned(), json!("the credential is not valid"));
    from_document(status, document).with_header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer error=\"invalid_token\""),
    )
}

fn document(kind: &str, title: &str, status: StatusCode, request_id: &str) -> Map<String, Value> {
    let mut document = Map::new();
    document.insert(
        "type".to_owned(),
        json!(format!("urn:dataos:problem:{kind}")),
    );
    document.insert("title".to_owned(), json!(title));
    document.insert("status".to_owned(), json!(status.as_u16()));
    document.insert("instance".to_owned(), json!(request_id));
    document
}

fn from_document(status: StatusCode, document: Map<String, Value>) -> Answer {
    let told = told(&document);
    let body = Bytes::from(Value::Object(document).to_string());
    Answer {
        told: Some(told),
        ..Answer::bytes(status, PROBLEM_TYPE, body)
    }
}

/// A problem in one line: its field, detail and hint.
fn told(document: &Map<String, Value>) -> String {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let detail = text("detail").or_else(|| text("title")).unwrap_or_default();
    let field = document
        .get("location")
        .and_then(|place| place.get("field"));
    let mut told = match field.and_then(Value::as_str) {
        Some(field) if !detail.contains(field) => format!("`{field}`: {detail}"),
        _ => detail.to_owned(),
    };
    if let Some(hint) = text("hint") {
        told.push_str("; ");
        told.push_str(hint);
    }
    told
}

/// The response on the wire: the answer and the headers that every answer gets.
pub(crate) fn response(
    answer: Answer,
    request_id: &str,
    receipt: Option<&Receipt>,
) -> Response<AnswerBody> {
    let mut response = Response::new(answer.body);
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if !answer.content_type.is_empty() {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(answer.content_type),
        );
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::STRICT_TRANSPORT_SECURITY,
        HeaderValue::from_static("max-age=31536000"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    if let Some(value) = receipt.and_then(|receipt| HeaderValue::from_str(&receipt.text).ok()) {
        headers.insert(RECEIPT, value);
    }
    for (name, value) in answer.headers {
        // A cookie may stand beside others; of all other headers the answer's own counts.
        if name == header::SET_COOKIE {
            headers.append(name, value);
        } else {
            headers.insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests;
