//! Request heads of HTTP/1.

use http::{StatusCode, Uri};

use super::{Framing, HEAD_BYTES_MAX, check_line_byte, field, is_token};
use crate::limits::{Refusal, TARGET_BYTES_MAX, too_long};

/// Most header lines of one request.
pub(crate) const HEADERS_MAX: usize = 64;
/// Longest method.
const METHOD_BYTES_MAX: usize = 32;
/// Room for method, spaces and version around the longest target.
const LINE_BYTES_MAX: usize = TARGET_BYTES_MAX + METHOD_BYTES_MAX + 16;

/// Moves bytes of `input` into `head` up to the end of the head, and says how many; a line at a time.
pub(super) fn take(head: &mut Vec<u8>, input: &[u8]) -> Result<usize, Refusal> {
    head.reserve(input.len().min(HEAD_BYTES_MAX));
    let mut has_line = head.contains(&b'\n');
    let mut used = 0;
    while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let line = rest.get(..end).unwrap_or(rest);
        let bytes_max = if has_line {
            HEAD_BYTES_MAX
        } else {
            LINE_BYTES_MAX
        };
        // What is wrong within the bound is told before that it is passed.
        let room = bytes_max.saturating_sub(head.len());
        let line = line.get(..=room).unwrap_or(line);
        check_line_ends(head.last().copied(), line)?;
        head.extend_from_slice(line);
        used += line.len();
        if line.ends_with(b"\n") {
            has_line = true;
            if head == b"\r\n" {
                // One empty line before a request is to be ignored (RFC 9112, 2.2).
                head.clear();
                return Ok(used);
            }
            if is_whole(head) {
                return Ok(used);
            }
        }
        if !has_line && head.len() > LINE_BYTES_MAX {
            return Err(too_long());
        }
        if head.len() > HEAD_BYTES_MAX {
            let detail = format!("the request head is above {HEAD_BYTES_MAX} bytes");
            return Err(Refusal::new(TOO_LARGE, "head_too_large", detail));
        }
    }
    Ok(used)
}

/// Refuses a line that leaves open where it ends. `before` is the byte in front of it.
fn check_line_ends(mut before: Option<u8>, line: &[u8]) -> Result<(), Refusal> {
    let text = line.strip_suffix(b"\r\n").unwrap_or(line);
    // Nearly all lines: bytes that need no look at their neighbours.
    let is_plain = before != Some(b'\r') && memchr::memchr3(0, b'\r', b'\n', text).is_none();
    if is_plain {
        return Ok(());
    }
    for byte in line.iter().copied() {
        check_line_byte(before, byte)?;
        before = Some(byte);
    }
    Ok(())
}

const TOO_LARGE: StatusCode = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;

pub(super) fn is_whole(head: &[u8]) -> bool {
    head.ends_with(b"\r\n\r\n")
}

/// Checks a whole head and says how its body ends.
pub(super) fn check(head: &[u8]) -> Result<Framing, Refusal> {
    // Each LF has its CR: `take` saw to that.
    let mut ends = memchr::memchr_iter(b'\n', head);
    let mut start = 0;
    let mut lines = std::iter::from_fn(|| {
        let end = ends.next()?;
        let line = head.get(start..end)?;
        start = end + 1;
        Some(line.strip_suffix(b"\r").unwrap_or(line)).filter(|line| !line.is_empty())
    });
    let is_newer = request_line(lines.next().unwrap_or_default())?;
    let mut length = None;
    let mut is_chunked = false;
    for (index, line) in lines.enumerate() {
        if index == HEADERS_MAX {
            let detail = format!("more than {HEADERS_MAX} header lines");
            return Err(Refusal::new(TOO_LARGE, "headers_too_many", detail));
        }
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            if length.replace(content_length(value)?).is_some() {
                let detail = "header content-length is given twice";
                return Err(Refusal::bad("header_repeated", detail));
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if is_chunked || value != b"chunked" || !is_newer {
                let detail = "Transfer-Encoding is not one `chunked`, or not on HTTP/1.1";
                return Err(Refusal::bad("transfer_encoding", detail));
            }
            is_chunked = true;
        }
    }
    match (length, is_chunked) {
        (Some(_), true) => Err(Refusal::bad(
            "framing_ambiguous",
            "Content-Length stands beside Transfer-Encoding",
        )),
        (_, true) => Ok(Framing::Chunked),
        (length, false) => Ok(Framing::Sized(length.unwrap_or(0))),
    }
}

/// Checks `METHOD target HTTP/1.x`; whether it is 1.1.
fn request_line(line: &[u8]) -> Result<bool, Refusal> {
    let malformed = |detail: &str| Refusal::bad("request_line", detail);
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(malformed("the request line is not three words"));
    };
    let is_method = (1..=METHOD_BYTES_MAX).contains(&method.len());
    if !is_method || !method.iter().copied().all(is_token) {
        return Err(malformed("the method is not a token"));
    }
    let is_newer = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Refusal::new(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "http_version",
                "HTTP versions 1.0, 1.1 and 2 are served",
            ));
        }
        _ => return Err(malformed("the version is not HTTP/1.0 or HTTP/1.1")),
    };
    if target.len() > TARGET_BYTES_MAX {
        return Err(too_long());
    }
    // A fragment would silently be cut off behind this.
    let is_target = !target.is_empty()
        && target
            .iter()
            .all(|byte| byte.is_ascii_graphic() && *byte != b'#');
    if !is_target || Uri::try_from(target).is_err() {
        return Err(malformed("the request target is malformed"));
    }
    Ok(is_newer)
}

fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    let number = std::str::from_utf8(value).ok();
    number
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Refusal::bad("content_length", "Content-Length is not one number"))
}
