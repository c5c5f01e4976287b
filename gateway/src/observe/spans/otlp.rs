//! OTLP over HTTP, traces in the JSON form (OpenTelemetry protocol 1.x): `POST /v1/traces`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::{
    Client, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};
use serde::Serialize;

use super::{Finished, Value};
use crate::{
    config::TelemetryConfig,
    outbound::{self, told},
};

/// Time for one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a batch is sent, and the pause after the first failure; the next is twice as long.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause that the collector may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// `SPAN_KIND_INTERNAL`, `SPAN_KIND_SERVER`, `STATUS_CODE_ERROR`.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const ERROR: u8 = 2;

/// A collector of traces.
#[derive(Debug)]
pub(super) struct Collector {
    client: Client,
    url: String,
}

/// Why a batch was not taken.
enum Failure {
    /// It may be taken later, perhaps after the time that the collector names.
    Later(String, Option<Duration>),
    /// It never will.
    Never(String),
}

impl Collector {
    pub(super) fn new(config: &TelemetryConfig) -> Result<Self, String> {
        let mut builder = outbound::client(TIMEOUT, config.ca_file.as_deref())?;
        if let Some(path) = &config.headers_file {
            let problem = |why: String| format!("headers file {}: {why}", path.display());
            let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
            builder = builder.default_headers(headers(&text).map_err(problem)?);
        }
        let client = builder.build().map_err(|error| told(&error))?;
        let url = format!("{}/v1/traces", config.otlp.trim_end_matches('/'));
        Ok(Self { client, url })
    }

    /// Sends a batch; returns how many of it the collector rejected.
    pub(super) async fn send(&self, batch: &[Finished]) -> Result<u64, String> {
        let body = serde_json::to_vec(&Request::of(batch)).map_err(|error| error.to_string())?;
        let body = bytes::Bytes::from(body);
        let (mut attempt, mut pause) = (1, PAUSE);
        loop {
            let (why, wait) = match self.post(body.clone()).await {
                Ok(rejected) => return Ok(rejected),
                Err(Failure::Never(why)) => return Err(why),
                Err(Failure::Later(why, wait)) => (why, wait),
            };
            if attempt == ATTEMPTS {
                return Err(why);
            }
            tokio::time::sleep(wait.unwrap_or(pause).min(PAUSE_MAX)).await;
            attempt += 1;
            pause *= 2;
        }
    }

    async fn post(&self, body: bytes::Bytes) -> Result<u64, Failure> {
        let request = self.client.post(&self.url);
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let failed =
            |error: reqwest::Error| Failure::Later(format!("{}: {}", self.url, told(&error)), None);
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        if status == StatusCode::OK {
            let mut answer = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(failed)? {
                if answer.len() + chunk.len() > ANSWER_BYTES_MAX {
                    break;
                }
                answer.extend_from_slice(&chunk);
            }
            return Ok(rejected(&answer));
        }
        let why = format!("{} answers {status}", self.url);
        // Those that the protocol names as worth another attempt.
        if matches!(status.as_u16(), 429 | 502 | 503 | 504) {
            let wait = response.headers().get(RETRY_AFTER);
            let seconds = wait.and_then(|wait| wait.to_str().ok()?.parse().ok());
            return Err(Failure::Later(why, seconds.map(Duration::from_secs)));
        }
        Err(Failure::Never(why))
    }
}

/// The headers in a file, each a line `name: value`.
fn headers(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let parsed = line.split_once(':').and_then(|(name, value)| {
            let name: HeaderName = name.trim().parse().ok()?;
            let mut value: HeaderValue = value.trim().parse().ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        // The line itself may be a secret.
        let (name, value) = parsed.ok_or_else(|| format!("line {number} is not `name: value`"))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Spans that a collector took no part of, as its answer says.
fn rejected(answer: &[u8]) -> u64 {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let count = answer.pointer("/partialSuccess/rejectedSpans");
    // The JSON form of Protobuf writes 64-bit numbers as text, and reads both.
    let text = count.and_then(|count| count.as_str()?.parse().ok());
    text.or_else(|| count?.as_u64()).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource {
    attributes: [Attribute<'static>; 2],
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<WireSpan<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireSpan<'a> {
    trace_id: &'a str,
    span_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<&'a str>,
    name: &'a str,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Status {
    code: u8,
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'static str,
    value: AnyValue<'a>,
}

#[derive(Serialize)]
enum AnyValue<'a> {
    #[serde(rename = "stringValue")]
    Text(&'a str),
    #[serde(rename = "intValue")]
    Number(String),
    #[serde(rename = "boolValue")]
    Flag(bool),
}

impl<'a> Request<'a> {
    fn of(batch: &'a [Finished]) -> Self {
        let named = |key, text| Attribute {
            key,
            value: AnyValue::Text(text),
        };
        let attributes = [
            named("service.name", "dataos"),
            named("service.version", env!("CARGO_PKG_VERSION")),
        ];
        let spans = batch.iter().map(WireSpan::of).collect();
        let scope = Scope { name: "dataos" };
        Self {
            resource_spans: [ResourceSpans {
                resource: Resource { attributes },
                scope_spans: [ScopeSpans { scope, spans }],
            }],
        }
    }
}

impl<'a> WireSpan<'a> {
    fn of(span: &'a Finished) -> Self {
        let attributes = span.attributes.iter().map(|(key, value)| Attribute {
            key,
            value: match value {
                Value::Text(text) => AnyValue::Text(text),
                Value::Number(number) => AnyValue::Number(number.to_string()),
                Value::Flag(flag) => AnyValue::Flag(*flag),
            },
        });
        Self {
            trace_id: &span.trace_id,
            span_id: &span.span_id,
            parent_span_id: span.parent_id.as_deref(),
            name: &span.name,
            kind: if span.is_call { SERVER } else { INTERNAL },
            start_time_unix_nano: nanoseconds(span.began).to_string(),
            end_time_unix_nano: nanoseconds(span.began + span.took).to_string(),
            attributes: attributes.collect(),
            status: span.has_failed.then_some(Status { code: ERROR }),
        }
    }
}

fn nanoseconds(time: SystemTime) -> u128 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_nanos()
}
