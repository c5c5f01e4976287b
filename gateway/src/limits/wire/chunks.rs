//! Chunked bodies of HTTP/1, byte by byte.

use super::{check_line_byte, field};
use crate::limits::{Refusal, is_end_to_end};

/// Most hexadecimal digits of a chunk's size: 64 bits.
const DIGITS_MAX: usize = 16;
/// Longest extension of a chunk.
const EXTENSION_BYTES_MAX: usize = 256;
/// Most bytes of all trailers.
const TRAILER_BYTES_MAX: usize = 4 << 10;

/// The place in a chunked body.
#[derive(Debug)]
pub(super) enum Chunks {
    /// In the line that holds a chunk's size.
    Size(Vec<u8>),
    /// In a chunk, so many bytes before its end.
    Data(u64),
    /// In the line end behind a chunk; whether its CR is here.
    End(bool),
    /// In the trailers: the line so far, and the bytes of all lines.
    Trailers(Vec<u8>, usize),
    Done,
}

impl Default for Chunks {
    fn default() -> Self {
        Self::Size(Vec::new())
    }
}

impl Chunks {
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Reads `input` up to the end of the body, and says how many bytes that were.
    pub(super) fn take(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let mut used = 0;
        while let Some(byte) = input.get(used).copied()
            && !self.is_done()
        {
            if let Self::Data(left) = self {
                let here = input.len() - used;
                let here = usize::try_from(*left).map_or(here, |left| left.min(here));
                *left -= here as u64;
                used += here;
                if *left == 0 {
                    *self = Self::End(false);
                }
                continue;
            }
            self.take_byte(byte)?;
            used += 1;
        }
        Ok(used)
    }

    fn take_byte(&mut self, byte: u8) -> Result<(), Refusal> {
        match self {
            Self::Size(line) => {
                check_line_byte(line.last().copied(), byte)?;
                line.push(byte);
                if line.len() > DIGITS_MAX + EXTENSION_BYTES_MAX + 2 {
                    return Err(extension());
                }
                if byte == b'\n' {
                    *self = match size(line.strip_suffix(b"\r\n").unwrap_or(line))? {
                        0 => Self::Trailers(Vec::new(), 0),
                        size => Self::Data(size),
                    };
                }
            }
            Self::End(has_cr) => match (*has_cr, byte) {
                (false, b'\r') => *has_cr = true,
                (true, b'\n') => *self = Self::default(),
                _ => {
                    let detail = "a chunk is not as long as it says";
                    return Err(Refusal::bad("chunk_end", detail));
                }
            },
            Self::Trailers(line, bytes) => {
                check_line_byte(line.last().copied(), byte)?;
                line.push(byte);
                *bytes += 1;
                if *bytes > TRAILER_BYTES_MAX {
                    let detail = format!("the trailers are above {TRAILER_BYTES_MAX} bytes");
                    return Err(Refusal::bad("trailers_too_large", detail));
                }
                if byte == b'\n' {
                    let content = line.strip_suffix(b"\r\n").unwrap_or(line);
                    if content.is_empty() {
                        *self = Self::Done;
                    } else {
                        trailer(content)?;
                        line.clear();
                    }
                }
            }
            Self::Data(_) | Self::Done => {}
        }
        Ok(())
    }
}

/// The size in a line `1f` or `1f;name=value`.
fn size(line: &[u8]) -> Result<u64, Refusal> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit());
    let (digits, rest) = line.split_at(end.unwrap_or(line.len()));
    let size = (1..=DIGITS_MAX)
        .contains(&digits.len())
        .then(|| std::str::from_utf8(digits).ok())
        .flatten()
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| {
            let detail = format!("a chunk's size is not 1 to {DIGITS_MAX} hexadecimal digits");
            Refusal::bad("chunk_size", detail)
        })?;
    let is_visible = |byte: &u8| *byte == b'\t' || (b' '..0x7f).contains(byte);
    let is_extension = rest.is_empty() || rest.trim_ascii_start().starts_with(b";");
    if is_extension && rest.len() <= EXTENSION_BYTES_MAX && rest.iter().all(is_visible) {
        Ok(size)
    } else {
        Err(extension())
    }
}

fn extension() -> Refusal {
    let detail = format!("a chunk's extension is malformed or above {EXTENSION_BYTES_MAX} bytes");
    Refusal::bad("chunk_extension", detail)
}

fn trailer(line: &[u8]) -> Result<(), Refusal> {
    let (name, _) = field(line)?;
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    if is_end_to_end(&name) {
        let detail = format!("{name} stands in the trailers");
        return Err(Refusal::bad("trailer", detail));
    }
    Ok(())
}
