//! gRPC as a form of a request: unary calls on routes of the one table, over HTTP/2.
//!
//! Enters: a request body with one framed message. Leaves: an answer with one, and the status in
//! trailers; whatever the request path refuses becomes a status too. Never done here: a message's
//! meaning.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use dataos_model::fault::{Fault, FaultKind};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header, request::Parts};

use crate::{
    limits::Refusal,
    respond::{Answer, AnswerBody},
};

/// Content type of requests and answers.
pub(crate) const CONTENT_TYPE: &str = "application/grpc";
/// The same, with the encoding of messages said.
const CONTENT_TYPE_PROTO: &str = "application/grpc+proto";
/// Flag and length in front of a message.
const PREFIX_BYTES: usize = 5;
/// Most digits of `grpc-timeout`, as the protocol says.
const TIMEOUT_DIGITS_MAX: usize = 8;
/// Longest `grpc-message`.
const STATUS_TEXT_BYTES_MAX: usize = 1024;

const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const STATUS_TEXT: HeaderName = HeaderName::from_static("grpc-message");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// Whether this content type is gRPC's with messages as we read them.
pub(crate) fn is_content_type(essence: &str) -> bool {
    essence.eq_ignore_ascii_case(CONTENT_TYPE) || essence.eq_ignore_ascii_case(CONTENT_TYPE_PROTO)
}

/// Whether a request is to be answered as gRPC demands.
pub(crate) fn is_call(parts: &Parts) -> bool {
    parts.version == Version::HTTP_2 && says_grpc(parts)
}

fn says_grpc(parts: &Parts) -> bool {
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(CONTENT_TYPE.as_bytes()))
}

/// The time that the client gives a call; nothing if it sets no limit or the request is not gRPC.
pub(crate) fn deadline(parts: &Parts) -> Result<Option<Duration>, Refusal> {
    if !says_grpc(parts) {
        return Ok(None);
    }
    if parts.version != Version::HTTP_2 {
        return Err(Refusal::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "http_version",
            "gRPC is served over HTTP/2",
        ));
    }
    let Some(value) = parts.headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let is_one = parts.headers.get_all(TIMEOUT).iter().count() == 1;
    let given = value.to_str().ok().filter(|_| is_one).and_then(timeout);
    given.map(Some).ok_or_else(|| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "grpc_timeout",
            "grpc-timeout is not one number of up to 8 digits with a unit of H, M, S, m, u or n",
        )
    })
}

fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > TIMEOUT_DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// The one message of a request body.
///
/// # Errors
/// A compressed message, or a body that is not one whole message.
pub(crate) fn message(body: &[u8]) -> Result<&[u8], Fault> {
    let malformed = || Fault::invalid("the request is not one whole message");
    let (prefix, message) = body.split_at_checked(PREFIX_BYTES).ok_or_else(malformed)?;
    let [flag, length @ ..] = prefix else {
        return Err(malformed());
    };
    match flag {
        0 => {}
        1 => {
            let fault = Fault::new(FaultKind::Unsupported, "compressed messages are not taken");
            return Err(fault.with_hint("send grpc-encoding: identity"));
        }
        _ => return Err(malformed()),
    }
    let length = <[u8; 4]>::try_from(length).map_err(|_| malformed())?;
    if u32::from_be_bytes(length) as usize != message.len() {
        return Err(malformed());
    }
    Ok(message)
}

/// The answer that carries a message.
///
/// # Errors
/// A message above 4 GiB.
pub(crate) fn answer(message: &[u8]) -> Result<Answer, Fault> {
    let length = u32::try_from(message.len())
        .map_err(|_| Fault::new(FaultKind::TooLarge, "the answer is above 4 GiB"))?;
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(length);
    framed.put_slice(message);
    Ok(Answer::bytes(StatusCode::OK, CONTENT_TYPE, framed.freeze()))
}

/// Any answer of the request path in gRPC's form: always 200, with the status in trailers, or in the
/// head where there is no message.
pub(crate) fn answered(answer: Answer) -> Answer {
    let accepted = HeaderValue::from_static("identity");
    if answer.status == StatusCode::OK && answer.content_type == CONTENT_TYPE {
        let mut trailers = HeaderMap::new();
        trailers.insert(STATUS, HeaderValue::from(0));
        return Answer {
            body: answer.body.with_trailers(trailers),
            ..answer
        }
        .with_header(ACCEPT_ENCODING, accepted);
    }
    let text = answer.told.as_deref().unwrap_or("the server failed");
    let text = HeaderValue::from_str(&percent_encoded(text));
    let empty = Answer {
        body: AnswerBody::default(),
        ..Answer::bytes(StatusCode::OK, CONTENT_TYPE, Bytes::new())
    };
    let status = empty
        .with_header(STATUS, HeaderValue::from(code(answer.status)))
        .with_header(ACCEPT_ENCODING, accepted);
    match text {
        Ok(text) => status.with_header(STATUS_TEXT, text),
        Err(_) => status,
    }
}

/// The status code of gRPC for one of HTTP.
fn code(status: StatusCode) -> u16 {
    const INVALID_ARGUMENT: u16 = 3;
    const DEADLINE_EXCEEDED: u16 = 4;
    const PERMISSION_DENIED: u16 = 7;
    const RESOURCE_EXHAUSTED: u16 = 8;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match status {
        StatusCode::UNAUTHORIZED => UNAUTHENTICATED,
        StatusCode::FORBIDDEN => PERMISSION_DENIED,
        // A path that is no method of a service.
        StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::UNPROCESSABLE_ENTITY => UNIMPLEMENTED,
        StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::URI_TOO_LONG
        | StatusCode::TOO_MANY_REQUESTS => RESOURCE_EXHAUSTED,
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => DEADLINE_EXCEEDED,
        StatusCode::SERVICE_UNAVAILABLE => UNAVAILABLE,
        status if status.is_client_error() => INVALID_ARGUMENT,
        _ => INTERNAL,
    }
}

/// Text as `grpc-message` carries it, cut where it is too long.
fn percent_encoded(text: &str) -> String {
    use std::fmt::Write;

    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes().take(STATUS_TEXT_BYTES_MAX) {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dataos_model::fault::FaultKind;

    use super::{message, percent_encoded, timeout};

    #[test]
    fn a_body_is_one_whole_message() {
        assert_eq!(message(b"\0\0\0\0\x02ab").unwrap(), b"ab");
        assert_eq!(message(b"\0\0\0\0\0").unwrap(), b"");
        for wrong in [
            &b""[..],
            b"\0\0\0\0",
            b"\0\0\0\0\x01",
            b"\0\0\0\0\x01ab",
            b"\x02\0\0\0\x01a",
            b"\0\xff\xff\xff\xffab",
        ] {
            assert_eq!(message(wrong).unwrap_err().kind, FaultKind::Invalid);
        }
        let compressed = message(b"\x01\0\0\0\x01a").unwrap_err();
        assert_eq!(compressed.kind, FaultKind::Unsupported);
    }

    #[test]
    fn deadlines_carry_a_unit() {
        assert_eq!(timeout("5S"), Some(Duration::from_secs(5)));
        assert_eq!(timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        assert_eq!(timeout("0m"), Some(Duration::ZERO));
        for wrong in ["", "S", "5", "5s", "-1S", "100000000S", "1.5S", "5\u{e9}"] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn status_texts_are_ascii() {
        assert_eq!(percent_encoded("100% \u{e9}\n"), "100%25 %C3%A9%0A");
    }
}
