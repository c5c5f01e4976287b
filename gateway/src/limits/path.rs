//! The canonical path: decoded once, and refused where another reader could see another path.

use std::fmt;

/// A path whose segments are decoded and mean the same to everyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CanonicalPath {
    segments: Vec<String>,
    text: String,
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathProblem {
    NotAbsolute,
    EmptySegment,
    DotSegment,
    BadEscape,
    Separator,
    Control,
    DoubleEncoding,
    NotUtf8,
    Fragment,
}

impl fmt::Display for PathProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "the path does not start with `/`",
            Self::EmptySegment => "the path has an empty segment",
            Self::DotSegment => "the path has a dot segment",
            Self::BadEscape => "the path has a `%` without two hexadecimal digits",
            Self::Separator => "the path has a slash or backslash inside a segment",
            Self::Control => "the path has a control character",
            Self::DoubleEncoding => "the path is encoded twice",
            Self::NotUtf8 => "the path is not UTF-8",
            Self::Fragment => "the path has a `#`",
        })
    }
}

impl CanonicalPath {
    /// Decodes `raw` once.
    pub(crate) fn parse(raw: &str) -> Result<Self, PathProblem> {
        let rest = raw.strip_prefix('/').ok_or(PathProblem::NotAbsolute)?;
        let parts: Vec<&str> = rest.split('/').collect();
        let last = parts.len().saturating_sub(1);
        let mut segments = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            // Only the end may be empty: `/` and `/console/`.
            if part.is_empty() && index != last {
                return Err(PathProblem::EmptySegment);
            }
            segments.push(segment(part)?);
        }
        let text = segments
            .iter()
            .fold(String::with_capacity(raw.len()), |mut text, segment| {
                text.push('/');
                text.push_str(segment);
                text
            });
        Ok(Self { segments, text })
    }

    /// The decoded segments; the last one is empty if the path ends with a slash.
    pub(crate) fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The decoded path. No segment holds a slash, so it is unambiguous.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

fn segment(raw: &str) -> Result<String, PathProblem> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let high = bytes
                    .next()
                    .and_then(hex_digit)
                    .ok_or(PathProblem::BadEscape)?;
                let low = bytes
                    .next()
                    .and_then(hex_digit)
                    .ok_or(PathProblem::BadEscape)?;
                decoded.push(high * 16 + low);
            }
            b'#' => return Err(PathProblem::Fragment),
            other => decoded.push(other),
        }
    }
    let text = String::from_utf8(decoded).map_err(|_| PathProblem::NotUtf8)?;
    if text.contains(['/', '\\']) {
        return Err(PathProblem::Separator);
    }
    if text.chars().any(char::is_control) {
        return Err(PathProblem::Control);
    }
    // `..;x=1` is `..` to servers that cut off path parameters.
    let bare = text.split(';').next().unwrap_or(&text);
    if matches!(bare, "." | "..") {
        return Err(PathProblem::DotSegment);
    }
    if is_encoded_again(&text) {
        return Err(PathProblem::DoubleEncoding);
    }
    Ok(text)
}

/// Whether a second decoding would bring up anything but plain letters, digits, `-`, `_` and `~`.
fn is_encoded_again(text: &str) -> bool {
    text.as_bytes().windows(3).any(|window| match window {
        [b'%', high, low] => match (hex_digit(*high), hex_digit(*low)) {
            (Some(high), Some(low)) => {
                let byte = high * 16 + low;
                !(byte.is_ascii_alphanumeric() || b"-_~".contains(&byte))
            }
            _ => false,
        },
        _ => false,
    })
}

pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
