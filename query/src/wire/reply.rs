//! What a peer is sent.

use std::{io, time::Duration};

use bytes::{BufMut, BytesMut};
use dataos_model::fault::Fault;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{
    Failed,
    message::{Broken, Format, Input},
    problem::{self, Place},
    value::{Kind, text_kind},
};

/// Size at which the buffer is sent.
const BUFFER_BYTES: usize = 64 << 10;
/// Longest time for which a refused peer is listened to, so that it can read its answer.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Where a session stands, as the peer is told when it is its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Idle,
    InTransaction,
    /// Nothing but the end of the transaction is taken.
    Failed,
}

/// A column of a result as the peer is told.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
}

impl Field {
    pub(super) fn text(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: text_kind(),
        }
    }
}

/// Messages on their way to a peer.
#[derive(Debug)]
pub(super) struct Output<W> {
    stream: W,
    buffer: BytesMut,
    send_timeout: Duration,
}

impl<W: AsyncWrite + Unpin> Output<W> {
    pub(super) fn new(stream: W, send_timeout: Duration) -> Self {
        Self {
            stream,
            buffer: BytesMut::with_capacity(1 << 10),
            send_timeout,
        }
    }

    /// Sends what is there; waits so long for the peer and no longer.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let Self {
            stream,
            buffer,
            send_timeout,
        } = self;
        while !buffer.is_empty() {
            let sent = tokio::time::timeout(*send_timeout, stream.write_buf(buffer));
            if sent.await.map_err(|_| slow())?? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        let flushed = tokio::time::timeout(*send_timeout, stream.flush());
        flushed.await.map_err(|_| slow())?
    }

    /// Sends what is there if it is much.
    pub(super) async fn make_room(&mut self) -> io::Result<()> {
        if self.buffer.len() < BUFFER_BYTES {
            return Ok(());
        }
        self.flush().await
    }

    /// Adds a message without a body.
    pub(super) fn sign(&mut self, kind: u8) {
        put(&mut self.buffer, kind, |_| {});
    }

    /// Adds a message.
    pub(super) fn put(&mut self, kind: u8, body: impl FnOnce(&mut BytesMut)) {
        put(&mut self.buffer, kind, body);
    }

    /// Where the log-in stands, and what belongs to that.
    pub(super) fn authentication(&mut self, code: u32, more: &[u8]) {
        self.put(b'R', |body| {
            body.put_u32(code);
            body.put_slice(more);
        });
    }

    pub(super) fn parameter(&mut self, name: &str, value: &str) {
        self.put(b'S', |body| {
            put_text(body, name);
            put_text(body, value);
        });
    }

    pub(super) fn ready(&mut self, status: Status) {
        let status = match status {
            Status::Idle => b'I',
            Status::InTransaction => b'T',
            Status::Failed => b'E',
        };
        self.put(b'Z', |body| body.put_u8(status));
    }

    pub(super) fn complete(&mut self, tag: &str) {
        self.put(b'C', |body| put_text(body, tag));
    }

    pub(super) fn fields(&mut self, fields: &[Field], formats: &[Format]) {
        self.put(b'T', |body| {
            body.put_u16(u16::try_from(fields.len()).unwrap_or(u16::MAX));
            for (index, field) in fields.iter().enumerate() {
                put_text(body, &field.name);
                // No column of a table, as of any expression.
                body.put_u32(0);
                body.put_u16(0);
                body.put_u32(field.kind.oid);
                body.put_i16(field.kind.size);
                body.put_i32(field.kind.modifier);
                body.put_u16(match format_of(formats, index) {
                    Format::Text => 0,
                    Format::Binary => 1,
                });
            }
        });
    }

    pub(super) fn parameters(&mut self, types: &[u32]) {
        self.put(b't', |body| {
            body.put_u16(u16::try_from(types.len()).unwrap_or(u16::MAX));
            types.iter().for_each(|oid| body.put_u32(*oid));
        });
    }

    /// One row of one text.
    pub(super) fn text_row(&mut self, values: &[&str]) {
        self.put(b'D', |body| {
            body.put_u16(u16::try_from(values.len()).unwrap_or(u16::MAX));
            for value in values {
                body.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
                body.put_slice(value.as_bytes());
            }
        });
    }

    /// One row, whose values `write` adds. Nothing of it is sent if that fails.
    pub(super) fn row(
        &mut self,
        count: usize,
        write: impl FnOnce(&mut BytesMut) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let before = self.buffer.len();
        let mut written = Ok(());
        self.put(b'D', |body| {
            body.put_u16(u16::try_from(count).unwrap_or(u16::MAX));
            written = write(body);
        });
        if written.is_err() {
            self.buffer.truncate(before);
        }
        written
    }

    pub(super) fn error(&mut self, failed: &Failed, place: &Place<'_>) {
        self.put(b'E', |body| problem::fields(body, "ERROR", failed, place));
    }

    pub(super) fn warning(&mut self, message: &str) {
        self.put(b'N', |body| {
            problem::field_texts(body, "WARNING", "01000", message);
            body.put_u8(0);
        });
    }

    /// Tells why the connection ends.
    pub(super) async fn goodbye(&mut self, broken: &Broken) -> io::Result<()> {
        if matches!(broken, Broken::Closed | Broken::Io(_)) {
            return Ok(());
        }
        let farewell = farewell(broken);
        self.buffer.extend_from_slice(&farewell);
        self.flush().await
    }

    /// Ends the connection so that the peer can read all that was sent.
    pub(super) async fn close<R: AsyncRead + Unpin>(&mut self, input: &mut Input<R>) {
        if self.stream.shutdown().await.is_ok() {
            let _ = tokio::time::timeout(LINGER, input.drain()).await;
        }
    }
}

/// The last message of a connection.
pub(super) fn farewell(broken: &Broken) -> BytesMut {
    let mut buffer = BytesMut::new();
    put(&mut buffer, b'E', |body| problem::fatal(body, broken));
    buffer
}

/// The format of a column: one for all, one for each, or text.
pub(super) fn format_of(formats: &[Format], index: usize) -> Format {
    match formats {
        [one] => *one,
        several => several.get(index).copied().unwrap_or(Format::Text),
    }
}

pub(super) fn put_text(body: &mut BytesMut, text: &str) {
    // A zero byte would end it early.
    body.extend(text.bytes().filter(|byte| *byte != 0));
    body.put_u8(0);
}

/// A message: kind, length, body.
fn put(buffer: &mut BytesMut, kind: u8, body: impl FnOnce(&mut BytesMut)) {
    buffer.put_u8(kind);
    let at = buffer.len();
    buffer.put_u32(0);
    body(buffer);
    let length = u32::try_from(buffer.len() - at).unwrap_or(u32::MAX);
    if let Some(place) = buffer.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

fn slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the peer does not read its answer")
}
