//! HTTP as bytes, in front of the HTTP library: what that repairs, reads past or refuses by a bare
//! close is found here, so that there is an answer and a record.
//!
//! Pure: bytes in, bytes or a [`Refusal`] out. No clock, no socket.

mod chunks;
mod frames;
mod head;

use super::Refusal;
use chunks::Chunks;

pub(crate) use frames::{Frames, FramesSent, Sent};
pub(crate) use head::HEADERS_MAX;

/// Most bytes of a request head.
pub(crate) const HEAD_BYTES_MAX: usize = 32 << 10;

/// Where a head ends its body, as its own bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Sized(u64),
    /// By chunks.
    Chunked,
}

/// What ended the reading of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) refusal: Refusal,
    /// Whether it was a head; if not, a body, whose head has been passed on.
    pub(crate) in_head: bool,
}

/// The messages of an HTTP/1 connection, read strictly.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    state: State,
    /// Heads that were passed on whole.
    heads: u64,
}

#[derive(Debug)]
enum State {
    /// The bytes of a head so far.
    Head(Vec<u8>),
    /// Bytes left of a body.
    Sized(u64),
    Chunked(Chunks),
    /// Nothing behind a refusal is read: where a message starts is unknown.
    Refused,
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Messages {
    /// Reads `input` and appends to `passed` what the HTTP library may see: heads only whole and
    /// checked, bodies as they come.
    ///
    /// # Errors
    /// The first fault; what came before it is in `passed`.
    pub(crate) fn take(&mut self, mut input: &[u8], passed: &mut Vec<u8>) -> Result<(), Broken> {
        while !input.is_empty() {
            let used = match self.step(input, passed) {
                Ok(used) => used,
                Err(refusal) => return Err(self.refuse(refusal)),
            };
            input = input.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    /// Heads that were passed on whole.
    pub(crate) fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether part of a head is here and the rest is not.
    pub(crate) fn is_within_head(&self) -> bool {
        matches!(&self.state, State::Head(bytes) if !bytes.is_empty())
    }

    /// Ends the reading for a reason, found here or by a clock.
    pub(crate) fn refuse(&mut self, refusal: Refusal) -> Broken {
        let in_head = matches!(self.state, State::Head(_));
        self.state = State::Refused;
        Broken { refusal, in_head }
    }

    fn step(&mut self, input: &[u8], passed: &mut Vec<u8>) -> Result<usize, Refusal> {
        match &mut self.state {
            State::Head(bytes) => {
                let used = head::take(bytes, input)?;
                if head::is_whole(bytes) {
                    let framing = head::check(bytes)?;
                    passed.extend_from_slice(bytes);
                    self.heads += 1;
                    self.state = match framing {
                        Framing::Sized(0) => State::default(),
                        Framing::Sized(bytes) => State::Sized(bytes),
                        Framing::Chunked => State::Chunked(Chunks::default()),
                    };
                }
                Ok(used)
            }
            State::Sized(left) => {
                let used = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                passed.extend_from_slice(input.get(..used).unwrap_or_default());
                *left -= used as u64;
                if *left == 0 {
                    self.state = State::default();
                }
                Ok(used)
            }
            State::Chunked(chunks) => {
                let used = chunks.take(input)?;
                passed.extend_from_slice(input.get(..used).unwrap_or_default());
                if chunks.is_done() {
                    self.state = State::default();
                }
                Ok(used)
            }
            State::Refused => Ok(input.len()),
        }
    }
}

/// Whether this byte may stand in a header name or a method.
fn is_token(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+'
        | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Whether these bytes may stand in a header value. All are looked at, several at a time: nearly none is wrong, and a
/// token is long.
fn is_value(bytes: &[u8]) -> bool {
    let is_one = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    bytes.iter().fold(true, |all, byte| all & is_one(*byte))
}

/// Splits `name: value`; the value is without white space around it.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Refusal::bad("line_folded", "a header line is folded"));
    }
    let colon = memchr::memchr(b':', line);
    let (name, value) = colon
        .and_then(|at| Some((line.get(..at)?, line.get(at + 1..)?)))
        .ok_or_else(|| Refusal::bad("header_line", "a header line has no `:`"))?;
    if name.is_empty() || !name.iter().copied().all(is_token) {
        let detail = "a header name holds what no name may hold";
        return Err(Refusal::bad("header_name", detail));
    }
    if !is_value(value) {
        return Err(Refusal::bad(
            "header_value",
            "a header value holds a control character",
        ));
    }
    Ok((name, value.trim_ascii()))
}

/// Refuses a byte that leaves open where a line ends. `before` is the byte in front of it.
fn check_line_byte(before: Option<u8>, byte: u8) -> Result<(), Refusal> {
    match (before, byte) {
        (_, 0) => Err(Refusal::bad("nul", "there is a NUL")),
        (Some(b'\r'), b'\n') => Ok(()),
        (Some(b'\r'), _) => Err(Refusal::bad("bare_cr", "a CR stands without LF")),
        (_, b'\n') => Err(Refusal::bad("bare_lf", "a LF stands without CR")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
