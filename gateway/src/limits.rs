//! The strict front: what is not exactly well formed is refused before anything is decided.
//!
//! Enters: bytes, of which `wire` refuses those that the HTTP library would repair or read past (bare
//! line feeds, folded lines, `Content-Length` beside `Transfer-Encoding`); then the head that it
//! parsed. Leaves: a [`Head`] with canonical path, query and the few headers that anything behind
//! reads, or a [`Refusal`].

mod path;
mod query;
mod trace;
pub(crate) mod wire;

use std::{
    error::Error,
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{Bytes, BytesMut};
use dataos_model::{fault::Fault, hash::Hash};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request::Parts,
    uri::Scheme,
};
use http_body_util::BodyExt;
use hyper::body::Body;

pub(crate) use path::CanonicalPath;
pub(crate) use query::Query;
pub(crate) use trace::TraceParent;
use wire::{HEAD_BYTES_MAX, HEADERS_MAX};

use crate::{authenticate::certificate::PeerCertificate, observe::spans::Span};

/// Longest request target: what common clients and proxies pass.
const TARGET_BYTES_MAX: usize = 8 << 10;
/// Most bytes that are read of a body that nobody wants.
const DISCARDED_BYTES_MAX: usize = 64 << 10;
/// Longest time that they are read for.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest request id taken from a client.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The same without the port, as policies and records have it.
    pub(crate) network: String,
    /// The server name that it asked for in the TLS handshake.
    pub(crate) server_name: Option<String>,
    /// The client certificate whose chain the handshake checked.
    pub(crate) certificate: Option<Arc<PeerCertificate>>,
}

impl Peer {
    /// One of which nothing is known but its address.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            network: address.ip().to_canonical().to_string(),
            server_name: None,
            certificate: None,
        }
    }
}

/// A request that is refused before authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    pub(crate) fn new(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            detail: detail.into(),
        }
    }

    fn bad(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason, detail)
    }
}

/// A method that some route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    /// As it stands in a request line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// The canonical head: route table, PDP, record and handlers get this and nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) verb: Verb,
    pub(crate) host: String,
    pub(crate) path: CanonicalPath,
    pub(crate) query: Query,
    pub(crate) authorization: Option<String>,
    pub(crate) session_cookie: Option<String>,
    /// Of a log-in on its way through a provider.
    pub(crate) login_cookie: Option<String>,
    pub(crate) has_csrf_header: bool,
    /// Whether a browser says that a page of another site, or of nobody, sends this.
    pub(crate) is_from_elsewhere: bool,
    pub(crate) content_type: Option<String>,
    pub(crate) accept: String,
    pub(crate) accept_encoding: String,
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
    /// The last event that a client saw of a stream to which it comes back.
    pub(crate) last_event_id: Option<String>,
    /// What the client says of the trace that the request is part of.
    pub(crate) trace: Option<TraceParent>,
    /// The span of the call, if it is traced.
    pub(crate) span: Option<Arc<Span>>,
}

impl Head {
    /// The head of a call that did not come over HTTP, but is one of this path to all behind: JSON by POST.
    pub(crate) fn posted(path: &str) -> Result<Self, Fault> {
        let path = CanonicalPath::parse(path)
            .map_err(|_| Fault::internal(format!("{path} is no canonical path")))?;
        Ok(Self {
            verb: Verb::Post,
            host: String::new(),
            path,
            query: Query::default(),
            authorization: None,
            session_cookie: None,
            login_cookie: None,
            has_csrf_header: false,
            is_from_elsewhere: false,
            content_type: Some("application/json".to_owned()),
            accept: String::new(),
            accept_encoding: String::new(),
            if_match: None,
            if_none_match: None,
            last_event_id: None,
            trace: None,
            span: None,
        })
    }

    /// The trace that the call is part of: its client's, or the one that began here.
    pub(crate) fn trace_id(&self) -> Option<&str> {
        let given = self.trace.as_ref().map(|trace| trace.trace_id.as_str());
        given.or_else(|| Some(self.span.as_ref()?.trace_id()))
    }

    /// Whether a form of a foreign site could make a browser send this: it sends POST with one of three
    /// content types, and what goes along by itself, such as a client certificate.
    pub(crate) fn may_be_a_form(&self) -> bool {
        const FORMS: [&str; 3] = [
            "text/plain",
            "multipart/form-data",
            "application/x-www-form-urlencoded",
        ];
        let given = self.content_type.as_deref().unwrap_or("text/plain");
        let essence = given.split(';').next().unwrap_or("").trim();
        let is_form = FORMS.iter().any(|form| essence.eq_ignore_ascii_case(form));
        self.verb == Verb::Post && is_form
    }

    /// Digest of where the request went, without what it brought.
    pub(crate) fn digest_of_place(&self) -> Hash {
        let head = Self {
            query: Query::default(),
            ..self.clone()
        };
        head.digest(b"")
    }

    /// Digest of the canonical request: what was asked, independent of who asked and when.
    pub(crate) fn digest(&self, body: &[u8]) -> Hash {
        Hash::of_parts([
            self.verb.name().as_bytes(),
            self.host.as_bytes(),
            self.path.text().as_bytes(),
            self.query.canonical().as_bytes(),
            self.content_type.as_deref().unwrap_or("").as_bytes(),
            self.accept.as_bytes(),
            &Hash::of(body).0,
        ])
    }
}

/// Name of the session cookie; the prefix makes browsers refuse it from other hosts and paths.
pub(crate) const SESSION_COOKIE: &str = "__Host-dataos-session";
/// Name of the cookie of a log-in on its way.
pub(crate) const LOGIN_COOKIE: &str = "__Host-dataos-login";
/// What browsers say of who sends a request, relative to whom.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Where a client of a stream of events goes on.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The header that a cross-site form cannot send.
const CSRF_HEADER: &str = "x-dataos-csrf";
/// Headers of which a second value would leave open which one counts.
const SINGLE: &[&str] = &[
    "authorization",
    "content-type",
    "content-length",
    "transfer-encoding",
    "host",
    "expect",
    "dpop",
    "x-request-id",
    "dataos-correlation-id",
    "if-match",
    "if-none-match",
    "last-event-id",
    "origin",
    "sec-fetch-site",
    CSRF_HEADER,
];
/// Headers that say where a message ends, who sends it and what it means: no hop may drop them, and
/// they come too late in trailers.
const END_TO_END: &[&str] = &[
    "accept",
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "if-match",
    "if-none-match",
    "proxy-authorization",
    "trailer",
    "transfer-encoding",
    "upgrade",
    CSRF_HEADER,
];
/// Beginnings of names by which proxies, and we, tell of a request.
const TOLD_BY_PROXIES: &[&str] = &["x-forwarded-", "x-original-", "x-rewrite-", "x-dataos-"];

/// Whether a header of this lower-case name may neither be dropped by a hop nor come in trailers.
fn is_end_to_end(name: &str) -> bool {
    END_TO_END.contains(&name) || TOLD_BY_PROXIES.iter().any(|told| name.starts_with(told))
}

/// Headers by which clients name their requests: AuthZEN's, and the original product's.
const REQUEST_NAMES: [HeaderName; 2] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("dataos-correlation-id"),
];

/// The client's own request id, if it sent an acceptable one, else a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    REQUEST_NAMES
        .iter()
        .filter_map(|name| headers.get(name)?.to_str().ok())
        .find(|id| {
            (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        })
        .map_or_else(new_request_id, str::to_owned)
}

/// A new request id, a UUID of version 7. Its random part comes from a generator in the process: the uuid library
/// asks the system for it, which is a call for each request.
pub(crate) fn new_request_id() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since_ms = u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    let id = uuid::Builder::from_unix_timestamp_millis(since_ms, &rand::random());
    id.into_uuid().to_string()
}

/// The headers by which the client named its request, for the answer: any text comes back as it
/// came, also one that we do not use as id.
pub(crate) fn echoed(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    REQUEST_NAMES
        .into_iter()
        .filter_map(|name| {
            let value = headers.get(&name)?.clone();
            Some((name, value))
        })
        .collect()
}

/// Checks a head and makes it canonical.
pub(crate) fn check(parts: &Parts, peer: &Peer) -> Result<Head, Refusal> {
    check_version(parts.version)?;
    let verb = verb(parts)?;
    check_headers(&parts.headers)?;
    check_scheme(parts)?;
    let host = host(parts, peer)?;
    let target_bytes = parts
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if target_bytes > TARGET_BYTES_MAX {
        return Err(too_long());
    }
    let path = CanonicalPath::parse(parts.uri.path())
        .map_err(|problem| Refusal::bad("path_not_canonical", problem.to_string()))?;
    let query = Query::parse(parts.uri.query().unwrap_or(""))
        .map_err(|problem| Refusal::bad("query_not_canonical", problem))?;
    let text = |name: HeaderName| text(&parts.headers, &name);
    let is_from_elsewhere = is_from_elsewhere(&host, text(header::ORIGIN)?, text(FETCH_SITE)?);
    Ok(Head {
        verb,
        host,
        path,
        query,
        authorization: text(header::AUTHORIZATION)?,
        session_cookie: cookie(&parts.headers, SESSION_COOKIE)?,
        login_cookie: cookie(&parts.headers, LOGIN_COOKIE)?,
        is_from_elsewhere,
        has_csrf_header: parts
            .headers
            .get(CSRF_HEADER)
            .is_some_and(|value| value == "1"),
        content_type: text(header::CONTENT_TYPE)?,
        accept: list(&parts.headers, header::ACCEPT),
        accept_encoding: list(&parts.headers, header::ACCEPT_ENCODING),
        if_match: text(header::IF_MATCH)?,
        if_none_match: text(header::IF_NONE_MATCH)?,
        last_event_id: text(LAST_EVENT_ID)?,
        trace: TraceParent::read(&parts.headers),
        span: None,
    })
}

/// The value of a header. One that is not ASCII is refused: dropped, it would leave the call to
/// another credential or condition than the one that was sent.
fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Refusal> {
    let value = headers.get(name).map(HeaderValue::to_str).transpose();
    let value = value
        .map_err(|_| Refusal::bad("header_not_ascii", format!("header {name} is not ASCII")))?;
    Ok(value.map(str::to_owned))
}

/// All values of a list header as one list; a value that is not ASCII counts as not sent.
fn list(headers: &HeaderMap, name: HeaderName) -> String {
    let values: Vec<&str> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    values.join(",")
}

fn check_version(version: Version) -> Result<(), Refusal> {
    match version {
        Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2 => Ok(()),
        _ => Err(Refusal::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "http_version",
            "HTTP versions 1.0, 1.1 and 2 are served",
        )),
    }
}

/// All that arrives here came over TLS; a target that says otherwise is meant for another server.
fn check_scheme(parts: &Parts) -> Result<(), Refusal> {
    match parts.uri.scheme() {
        Some(scheme) if *scheme != Scheme::HTTPS => {
            Err(misdirected("the scheme of the request target is not https"))
        }
        _ => Ok(()),
    }
}

fn verb(parts: &Parts) -> Result<Verb, Refusal> {
    let is_asterisk = parts.uri.path() == "*";
    match parts.method {
        _ if is_asterisk => {}
        Method::GET => return Ok(Verb::Get),
        Method::POST => return Ok(Verb::Post),
        Method::PUT => return Ok(Verb::Put),
        Method::DELETE => return Ok(Verb::Delete),
        _ => {}
    }
    Err(Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "GET, POST, PUT and DELETE on a path are served",
    ))
}

/// Bounds of the head, for HTTP/2; those of HTTP/1 are kept as its bytes come.
fn check_size(headers: &HeaderMap) -> Result<(), Refusal> {
    let too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    if headers.len() > HEADERS_MAX {
        let detail = format!("more than {HEADERS_MAX} header lines");
        return Err(Refusal::new(too_large, "headers_too_many", detail));
    }
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    if sizes.sum::<usize>() > HEAD_BYTES_MAX {
        let detail = format!("the request head is above {HEAD_BYTES_MAX} bytes");
        return Err(Refusal::new(too_large, "head_too_large", detail));
    }
    Ok(())
}

fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    check_size(headers)?;
    // As many values as names: none is given twice.
    let is_repeated = headers.len() > headers.keys_len();
    for name in SINGLE.iter().filter(|_| is_repeated) {
        if headers.get_all(*name).iter().count() > 1 {
            return Err(Refusal::bad(
                "header_repeated",
                format!("header {name} is given twice"),
            ));
        }
    }
    if let Some(coding) = headers.get(header::TRANSFER_ENCODING) {
        if coding != "chunked" {
            return Err(Refusal::bad(
                "transfer_encoding",
                "Transfer-Encoding is not `chunked`",
            ));
        }
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err(Refusal::bad(
                "framing_ambiguous",
                "Content-Length stands beside Transfer-Encoding",
            ));
        }
    }
    if let Some(length) = headers.get(header::CONTENT_LENGTH) {
        let digits = length.as_bytes();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Refusal::bad(
                "content_length",
                "Content-Length is not one number",
            ));
        }
    }
    if headers.contains_key(header::UPGRADE) {
        return Err(Refusal::bad(
            "upgrade",
            "no route here upgrades the protocol",
        ));
    }
    if headers
        .get(header::EXPECT)
        .is_some_and(|v| !v.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(Refusal::new(
            StatusCode::EXPECTATION_FAILED,
            "expectation",
            "Expect is not `100-continue`",
        ));
    }
    for value in headers.get_all(header::CONNECTION) {
        let named = value.to_str().unwrap_or("").split(',').map(str::trim);
        // `Upgrade` is nominated by those who send it, and refused as itself.
        let mut named = named.map(str::to_ascii_lowercase);
        if named.any(|name| name != "upgrade" && is_end_to_end(&name)) {
            return Err(Refusal::bad(
                "connection_nominates",
                "Connection names a header that no hop may drop",
            ));
        }
    }
    Ok(())
}

/// The authority, lower case, from the one place that may say it.
fn host(parts: &Parts, peer: &Peer) -> Result<String, Refusal> {
    let from_header = match parts.headers.get(header::HOST) {
        Some(value) => Some(
            value
                .to_str()
                .map_err(|_| Refusal::bad("host", "Host is not ASCII"))?
                .to_ascii_lowercase(),
        ),
        None => None,
    };
    let from_target = parts
        .uri
        .authority()
        .map(|a| a.as_str().to_ascii_lowercase());
    let host = match (from_header, from_target) {
        (Some(header), Some(target)) if header == target => header,
        (Some(_), Some(_)) => return Err(misdirected("Host and request target differ")),
        (Some(host), None) => host,
        // HTTP/2 says it in `:authority` alone; HTTP/1 must send Host.
        (None, Some(target)) if parts.version == Version::HTTP_2 => target,
        (None, _) => return Err(Refusal::bad("host_missing", "there is no Host")),
    };
    let Some(name) = name_of(&host) else {
        return Err(Refusal::bad(
            "host",
            "Host is not a name or address with an optional port",
        ));
    };
    if peer
        .server_name
        .as_ref()
        .is_some_and(|asked| !asked.eq_ignore_ascii_case(name))
    {
        return Err(misdirected("Host and TLS server name differ"));
    }
    Ok(host)
}

/// The name or address of `name[:port]`, if it is one.
fn name_of(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, port)
        }
        None => {
            let end = host.find(':').unwrap_or(host.len());
            let (name, port) = host.split_at_checked(end)?;
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            (!name.is_empty() && name.bytes().all(is_plain)).then_some(())?;
            (name, port)
        }
    };
    let is_port = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    is_port.then_some(name)
}

fn too_long() -> Refusal {
    Refusal::new(
        StatusCode::URI_TOO_LONG,
        "target_too_long",
        format!("the request target is above {TARGET_BYTES_MAX} bytes"),
    )
}

fn misdirected(detail: &str) -> Refusal {
    Refusal::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", detail)
}

/// Whether a browser says that this does not come from a page of ours. Programs say nothing of it.
fn is_from_elsewhere(host: &str, origin: Option<String>, site: Option<String>) -> bool {
    let is_ours = |origin: &str| origin.strip_prefix("https://") == Some(host);
    origin.is_some_and(|origin| !is_ours(&origin)) || site.is_some_and(|site| site != "same-origin")
}

/// A cookie of ours. A second one of the name is refused: a neighbour may have planted it.
fn cookie(headers: &HeaderMap, wanted: &str) -> Result<Option<String>, Refusal> {
    let mut found = None;
    for value in headers.get_all(header::COOKIE) {
        let Ok(text) = value.to_str() else {
            return Err(Refusal::bad("cookie", "Cookie is not ASCII"));
        };
        for pair in text.split(';') {
            if let Some((name, value)) = pair.trim().split_once('=')
                && name == wanted
                && found.replace(value.to_owned()).is_some()
            {
                let detail = format!("two cookies {wanted}");
                return Err(Refusal::bad("cookie_repeated", detail));
            }
        }
    }
    Ok(found)
}

/// Reads a body whole, up to `bytes_max` and for at most `timeout`.
pub(crate) async fn read_body<B>(
    body: B,
    bytes_max: usize,
    timeout: Duration,
) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Error + 'static,
{
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    tokio::time::timeout(timeout, collect(body, bytes_max))
        .await
        .unwrap_or_else(|_| {
            Err(Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                "the request body did not arrive in time",
            ))
        })
}

/// Reads what is left of a body that nobody wants. An answer that overtakes the body makes some
/// clients give up sending it and lose the answer.
pub(crate) async fn discard<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut left = DISCARDED_BYTES_MAX;
    let reading = async {
        while !body.is_end_stream() {
            let Some(Ok(frame)) = body.frame().await else {
                return;
            };
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(bytes) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    // Whoever is too slow or sends too much is not waited for.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, reading).await;
}

async fn collect<B>(mut body: B, bytes_max: usize) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Error + 'static,
{
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = match frame.map_err(|error| malformed(&error))?.into_data() {
            Ok(data) => data,
            Err(frame) => {
                check_trailers(frame.trailers_ref())?;
                continue;
            }
        };
        if whole.len() + data.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// What is wrong with a body: the guard of the connection knows better than the HTTP library.
fn malformed(error: &(dyn Error + 'static)) -> Refusal {
    let mut source = Some(error);
    while let Some(error) = source {
        let refusal = match error.downcast_ref::<std::io::Error>() {
            Some(error) => error.get_ref().and_then(|inner| inner.downcast_ref()),
            None => error.downcast_ref::<Refusal>(),
        };
        if let Some(refusal) = refusal {
            return Refusal::clone(refusal);
        }
        source = error.source();
    }
    Refusal::bad("body", "the request body is malformed")
}

/// Trailers mean nothing here; those that would mean something elsewhere are refused.
fn check_trailers(trailers: Option<&HeaderMap>) -> Result<(), Refusal> {
    let mut names = trailers.into_iter().flat_map(HeaderMap::keys);
    match names.find(|name| is_end_to_end(name.as_str())) {
        Some(name) => {
            let detail = format!("{name} stands in the trailers");
            Err(Refusal::bad("trailer", detail))
        }
        None => Ok(()),
    }
}

fn too_large(bytes_max: usize) -> Refusal {
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the request body is above {bytes_max} bytes"),
    )
}

#[cfg(test)]
mod tests;
