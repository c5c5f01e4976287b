//! W3C Trace Context, version 00: the `traceparent` header.

use http::{HeaderMap, HeaderName};

/// Names the distributed trace that a request is part of.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// What a client says of the trace that its request is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent {
    /// 32 lower-case hexadecimal digits.
    pub(crate) trace_id: String,
    /// Of the client's span: 16 such digits.
    pub(crate) span_id: String,
    /// Whether the client keeps the trace.
    pub(crate) is_sampled: bool,
}

impl TraceParent {
    /// The one `traceparent` (section 3.2). One that is malformed or repeated counts as not sent, as the
    /// specification says: it decides nothing.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACE_PARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        let mut parts = value.to_str().ok()?.split('-');
        let mut part = |digits: usize| {
            let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            let is_fit = |part: &&str| part.len() == digits && part.bytes().all(is_hex);
            parts.next().filter(is_fit)
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let is_zero = |part: &str| part.bytes().all(|b| b == b'0');
        // Version 0 has four parts; later ones may have more.
        let is_whole = version != "00" || parts.next().is_none();
        let is_valid = version != "ff" && is_whole && !is_zero(trace) && !is_zero(span);
        let flags = u8::from_str_radix(flags, 16).ok()?;
        is_valid.then(|| Self {
            trace_id: trace.to_owned(),
            span_id: span.to_owned(),
            is_sampled: flags & 1 == 1,
        })
    }
}
