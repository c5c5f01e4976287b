//! What a peer sends: messages whose length is checked before a byte of them is held.

use std::{fmt, io};

use bytes::{Buf, BytesMut};
use dataos_model::fault::{Fault, FaultKind};
use tokio::io::{AsyncRead, AsyncReadExt};

use dataos_sql::{limits::STATEMENT_BYTES_MAX, script::PARAMETERS_MAX};

/// Longest start-up message, as PostgreSQL's.
const STARTUP_BYTES_MAX: usize = 10_000;
/// Longest password; access tokens are long.
const PASSWORD_BYTES_MAX: usize = 16 << 10;
/// Longest message of a mechanism, as PostgreSQL's.
const SASL_BYTES_MAX: usize = 1 << 10;
/// Longest message that holds a statement or parameters.
const LONG_BYTES_MAX: usize = STATEMENT_BYTES_MAX + (64 << 10);
/// Longest of all others.
const SHORT_BYTES_MAX: usize = 4 << 10;
/// Bytes that are read ahead while a statement runs.
const AHEAD_BYTES_MAX: usize = 64 << 10;

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum Broken {
    /// The peer ended it.
    Closed,
    /// Reading or writing failed.
    Io(io::Error),
    /// What came is no message that may come here.
    Malformed(String),
    /// A message is longer than allowed.
    TooLong(&'static str, usize),
    /// What did not come in time.
    Late(&'static str),
    /// The peer may not start a session like this: SQLSTATE, message, hint.
    Refused(&'static str, String, &'static str),
    /// The log-in failed; recorded already.
    NotLoggedIn(Box<Fault>),
}

impl Broken {
    pub(super) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }

    /// The reason code for the record, if there is something to record.
    pub(super) fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Closed | Self::Io(_) | Self::NotLoggedIn(_) => None,
            Self::Malformed(_) => Some("message_malformed"),
            Self::TooLong(..) => Some("message_too_long"),
            Self::Late(_) => Some("startup_timeout"),
            Self::Refused(..) => Some("startup_refused"),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection ended"),
            Self::Io(error) => error.fmt(f),
            Self::Malformed(what) => write!(f, "malformed message: {what}"),
            Self::TooLong(what, most) => write!(f, "{what} is longer than {most} bytes"),
            Self::Late(what) => write!(f, "{what} did not come in time"),
            Self::Refused(_, message, _) => f.write_str(message),
            Self::NotLoggedIn(fault) if fault.kind == FaultKind::Internal => {
                f.write_str("the server failed; its log says more")
            }
            Self::NotLoggedIn(fault) => f.write_str(&fault.message),
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// A prepared statement or a portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Statement(String),
    Portal(String),
}

/// The form of a value on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
}

/// A message of a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Query(String),
    Parse {
        name: String,
        sql: String,
        types: Vec<u32>,
    },
    Bind {
        portal: String,
        statement: String,
        formats: Vec<Format>,
        values: Vec<Option<Vec<u8>>>,
        results: Vec<Format>,
    },
    Describe(Named),
    Execute {
        portal: String,
        /// 0 is all.
        rows_max: usize,
    },
    Close(Named),
    Flush,
    Sync,
    FunctionCall,
    /// Of COPY, which nothing started.
    Stray,
    Terminate,
}

/// The bytes of a peer.
#[derive(Debug)]
pub(super) struct Input<R> {
    stream: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Input<R> {
    pub(super) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// The start-up message: its code and what follows.
    pub(super) async fn startup(&mut self) -> Result<(u32, BytesMut), Broken> {
        self.fill(4).await?;
        let length = self.buffer.get_u32();
        let mut body = self
            .body(length, 8, STARTUP_BYTES_MAX, "the start-up message")
            .await?;
        Ok((body.get_u32(), body))
    }

    /// The answer to a password request.
    pub(super) async fn password(&mut self) -> Result<String, Broken> {
        let body = self.proof(5, PASSWORD_BYTES_MAX, "the password").await?;
        let mut body = Body(&body);
        let password = body.text()?;
        body.end()?;
        Ok(password)
    }

    /// The mechanism that the peer chose, and the first message of it.
    pub(super) async fn sasl_first(&mut self) -> Result<(String, Vec<u8>), Broken> {
        let body = self.sasl().await?;
        let mut body = Body(&body);
        let mechanism = body.text()?;
        let first = match usize::try_from(body.signed()?) {
            Ok(length) => body.bytes(length)?.to_vec(),
            Err(_) => return Err(Broken::malformed("a mechanism without its first message")),
        };
        body.end()?;
        Ok((mechanism, first))
    }

    /// A further message of a mechanism.
    pub(super) async fn sasl(&mut self) -> Result<BytesMut, Broken> {
        self.proof(4, SASL_BYTES_MAX, "a message of the log-in")
            .await
    }

    /// What a peer sends to log in; every way has the same type.
    async fn proof(
        &mut self,
        least: usize,
        most: usize,
        what: &'static str,
    ) -> Result<BytesMut, Broken> {
        self.fill(5).await?;
        let kind = self.buffer.get_u8();
        if kind != b'p' {
            return Err(unexpected(kind));
        }
        let length = self.buffer.get_u32();
        self.body(length, least, most, what).await
    }

    /// The next message.
    pub(super) async fn message(&mut self) -> Result<Message, Broken> {
        self.fill(5).await?;
        let kind = self.buffer.get_u8();
        let length = self.buffer.get_u32();
        let (what, most) = match kind {
            b'Q' | b'P' => ("a statement", LONG_BYTES_MAX),
            b'B' => ("the parameters of a statement", LONG_BYTES_MAX),
            b'D' | b'E' | b'C' | b'H' | b'S' | b'X' | b'F' | b'd' | b'c' | b'f' => {
                ("a message", SHORT_BYTES_MAX)
            }
            _ => return Err(unexpected(kind)),
        };
        let body = self.body(length, 4, most, what).await?;
        let mut body = Body(&body);
        let message = match kind {
            b'Q' => Message::Query(body.text()?),
            b'P' => body.parse()?,
            b'B' => body.bind()?,
            b'D' => Message::Describe(body.named()?),
            b'E' => Message::Execute {
                portal: body.text()?,
                rows_max: usize::try_from(body.signed()?).unwrap_or(0),
            },
            b'C' => Message::Close(body.named()?),
            b'H' => Message::Flush,
            b'S' => Message::Sync,
            b'X' => Message::Terminate,
            b'F' => return Ok(Message::FunctionCall),
            _ => return Ok(Message::Stray),
        };
        body.end()?;
        Ok(message)
    }

    /// Reads ahead; returns when the peer is gone.
    pub(super) async fn gone(&mut self) {
        while self.buffer.len() < AHEAD_BYTES_MAX {
            if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(read) if read > 0) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Reads and forgets a little, so that the peer can read what was sent before the end.
    pub(super) async fn drain(&mut self) {
        self.buffer.clear();
        self.gone().await;
    }

    /// The rest of a message of this length, which counts itself.
    async fn body(
        &mut self,
        length: u32,
        least: usize,
        most: usize,
        what: &'static str,
    ) -> Result<BytesMut, Broken> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length < least {
            return Err(Broken::malformed(format!("a length of {length}")));
        }
        if length > most {
            return Err(Broken::TooLong(what, most));
        }
        self.fill(length - 4).await?;
        Ok(self.buffer.split_to(length - 4))
    }

    async fn fill(&mut self, bytes: usize) -> Result<(), Broken> {
        while self.buffer.len() < bytes {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Broken::Closed);
            }
        }
        Ok(())
    }
}

fn unexpected(kind: u8) -> Broken {
    Broken::malformed(format!("type {:?} is not expected here", char::from(kind)))
}

/// The rest of a message.
pub(super) struct Body<'a>(pub(super) &'a [u8]);

impl Body<'_> {
    /// Text up to its zero byte.
    pub(super) fn text(&mut self) -> Result<String, Broken> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let (text, rest) = end
            .and_then(|end| self.0.split_at_checked(end))
            .ok_or_else(|| Broken::malformed("text without an end"))?;
        self.0 = rest.get(1..).unwrap_or_default();
        match std::str::from_utf8(text) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Broken::malformed("text is not UTF-8")),
        }
    }

    /// What must be true at the end.
    pub(super) fn end(&self) -> Result<(), Broken> {
        match self.0 {
            [] => Ok(()),
            rest => Err(Broken::malformed(format!("{} bytes too many", rest.len()))),
        }
    }

    fn bytes(&mut self, count: usize) -> Result<&[u8], Broken> {
        let (bytes, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| Broken::malformed("it ends too early"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn short(&mut self) -> Result<u16, Broken> {
        self.bytes(2).map(|mut bytes| bytes.get_u16())
    }

    fn signed(&mut self) -> Result<i32, Broken> {
        self.bytes(4).map(|mut bytes| bytes.get_i32())
    }

    /// A number of things that follow.
    fn count(&mut self) -> Result<usize, Broken> {
        let count = usize::from(self.short()?);
        if count > PARAMETERS_MAX {
            return Err(Broken::malformed(format!("{count} parameters")));
        }
        Ok(count)
    }

    fn formats(&mut self) -> Result<Vec<Format>, Broken> {
        let count = self.count()?;
        (0..count)
            .map(|_| match self.short()? {
                0 => Ok(Format::Text),
                1 => Ok(Format::Binary),
                code => Err(Broken::malformed(format!("format {code}"))),
            })
            .collect()
    }

    fn named(&mut self) -> Result<Named, Broken> {
        match self.bytes(1)? {
            b"S" => self.text().map(Named::Statement),
            b"P" => self.text().map(Named::Portal),
            _ => Err(Broken::malformed("neither statement nor portal")),
        }
    }

    fn parse(&mut self) -> Result<Message, Broken> {
        let (name, sql) = (self.text()?, self.text()?);
        let count = self.count()?;
        let types = (0..count).map(|_| self.bytes(4).map(|mut bytes| bytes.get_u32()));
        let types = types.collect::<Result<_, _>>()?;
        Ok(Message::Parse { name, sql, types })
    }

    fn bind(&mut self) -> Result<Message, Broken> {
        let (portal, statement) = (self.text()?, self.text()?);
        let formats = self.formats()?;
        let count = self.count()?;
        let values = (0..count).map(|_| {
            let length = self.signed()?;
            match usize::try_from(length) {
                Ok(length) => self.bytes(length).map(|bytes| Some(bytes.to_vec())),
                Err(_) if length == -1 => Ok(None),
                Err(_) => Err(Broken::malformed(format!("a length of {length}"))),
            }
        });
        let values = values.collect::<Result<_, _>>()?;
        Ok(Message::Bind {
            portal,
            statement,
            formats,
            values,
            results: self.formats()?,
        })
    }
}

#[cfg(test)]
mod tests;
